//! Answers to bytes and back, and whether an answer is one to a request. Never takes a length on
//! trust.

use super::bytes::{
    behind_count, exactly, head, packed, put, put_counted, registers, unpacked, value, words,
};
use super::{
    DEVICE_IDENTIFICATION, Identification, Mismatch, PduError, REFUSED, Request, Response, Span,
};

impl Response {
    /// As bytes, function code first.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![self.function()];
        match self {
            Self::Bits { bits, .. } => put_counted(&mut out, &packed(bits)),
            Self::Registers { words, .. } => put_counted(&mut out, &registers(words)),
            Self::WroteOne { address, value, .. } => put(&mut out, &[*address, *value]),
            Self::WroteMany { span, .. } => put(&mut out, &[span.start, span.count]),
            Self::MaskWrote {
                address,
                and_mask,
                or_mask,
            } => put(&mut out, &[*address, *and_mask, *or_mask]),
            Self::ServerId(data) => put_counted(&mut out, data),
            Self::DeviceIdentification(found) => {
                let count = u8::try_from(found.objects.len()).unwrap_or(u8::MAX);
                out.extend([DEVICE_IDENTIFICATION, found.level, found.conformity]);
                match found.more {
                    Some(next) => out.extend([0xFF, next, count]),
                    None => out.extend([0, 0, count]),
                }
                for (number, text) in &found.objects {
                    out.push(*number);
                    put_counted(&mut out, text);
                }
            }
            Self::Refused { function, code } => return vec![function | REFUSED, (*code).into()],
        }
        out
    }

    /// From bytes, function code first.
    ///
    /// # Errors
    /// When they are no whole answer.
    pub fn decode(pdu: &[u8]) -> Result<Self, PduError> {
        let (function, body) = head(pdu)?;
        if function & REFUSED != 0 {
            let function = function & !REFUSED;
            return match *body {
                [code] => Ok(Self::Refused {
                    function,
                    code: code.into(),
                }),
                _ => Err(PduError::Length {
                    function,
                    wanted: 2,
                    got: pdu.len(),
                }),
            };
        }
        match function {
            1 | 2 => Ok(Self::Bits {
                function,
                bits: unpacked(behind_count(function, body)?),
            }),
            3 | 4 | 23 => {
                let words = words(behind_count(function, body)?)
                    .ok_or_else(|| value(function, "half a register"))?;
                Ok(Self::Registers { function, words })
            }
            5 | 6 => exactly(function, body).map(|[address, value]| Self::WroteOne {
                function,
                address,
                value,
            }),
            15 | 16 => exactly(function, body).map(|[start, count]| Self::WroteMany {
                function,
                span: Span { start, count },
            }),
            0x11 => behind_count(function, body).map(|data| Self::ServerId(data.to_vec())),
            22 => exactly(function, body).map(|[address, and_mask, or_mask]| Self::MaskWrote {
                address,
                and_mask,
                or_mask,
            }),
            0x2B => identification(body).map(Self::DeviceIdentification),
            _ => Err(PduError::Function(function)),
        }
    }

    /// The answer, when it is one to `request`; bits without their padding.
    ///
    /// # Errors
    /// How it does not fit.
    pub fn matching(mut self, request: &Request) -> Result<Self, Mismatch> {
        let (asked, came) = (request.function(), self.function());
        if asked != came {
            let words = format!("function {asked} was asked, {came} came");
            return Err(Mismatch::Other(words));
        }
        let repeats = |right: bool| {
            let words = || Mismatch::Other("it repeats another write".to_owned());
            right.then_some(()).ok_or_else(words)
        };
        if request.is_mirrored() && !matches!(self, Self::Refused { .. }) {
            repeats(self.encode() == request.encode())?;
        }
        match (&mut self, request) {
            (
                Self::Bits { bits, .. },
                Request::ReadCoils(span) | Request::ReadDiscreteInputs(span),
            ) => {
                let wanted = usize::from(span.count);
                if bits.len().div_ceil(8) != wanted.div_ceil(8) {
                    return Err(miscounted(span.count, bits.len()));
                }
                bits.truncate(wanted);
            }
            (
                Self::Registers { words, .. },
                Request::ReadHoldingRegisters(span)
                | Request::ReadInputRegisters(span)
                | Request::ReadWriteRegisters { read: span, .. },
            ) if words.len() != usize::from(span.count) => {
                return Err(miscounted(span.count, words.len()));
            }
            (Self::WroteMany { span, .. }, Request::WriteCoils(start, bits)) => {
                repeats((span.start, usize::from(span.count)) == (*start, bits.len()))?;
            }
            (Self::WroteMany { span, .. }, Request::WriteRegisters(start, words)) => {
                repeats((span.start, usize::from(span.count)) == (*start, words.len()))?;
            }
            _ => {}
        }
        Ok(self)
    }
}

const fn miscounted(wanted: u16, got: usize) -> Mismatch {
    Mismatch::Count { wanted, got }
}

fn identification(body: &[u8]) -> Result<Identification, PduError> {
    let broken = || value(0x2B, "a device identification that is not whole");
    let [
        DEVICE_IDENTIFICATION,
        level,
        conformity,
        more,
        next,
        count,
        rest @ ..,
    ] = body
    else {
        return Err(broken());
    };
    let mut objects = Vec::new();
    let mut rest = rest;
    for _ in 0..*count {
        let [number, len, tail @ ..] = rest else {
            return Err(broken());
        };
        let (text, tail) = tail.split_at_checked((*len).into()).ok_or_else(broken)?;
        objects.push((*number, text.to_vec()));
        rest = tail;
    }
    if !rest.is_empty() {
        return Err(broken());
    }
    Ok(Identification {
        level: *level,
        conformity: *conformity,
        more: (*more == 0xFF).then_some(*next),
        objects,
    })
}
