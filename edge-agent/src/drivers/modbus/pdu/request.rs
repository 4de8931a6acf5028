//! Requests to bytes and back. Never takes a length on trust.

use super::bytes::{
    behind_count, counted, exactly, head, length, packed, put, put_counted, registers, some,
    unpacked, value, values,
};
use super::{COIL_ON, DEVICE_IDENTIFICATION, PduError, Request, Span};

impl Request {
    /// As bytes, function code first.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![self.function()];
        match self {
            Self::ReadCoils(span)
            | Self::ReadDiscreteInputs(span)
            | Self::ReadHoldingRegisters(span)
            | Self::ReadInputRegisters(span) => put(&mut out, &[span.start, span.count]),
            Self::WriteCoil(address, on) => {
                put(&mut out, &[*address, if *on { COIL_ON } else { 0 }]);
            }
            Self::WriteRegister(address, value) => put(&mut out, &[*address, *value]),
            Self::WriteCoils(start, bits) => {
                put(&mut out, &[*start, length(bits.len())]);
                put_counted(&mut out, &packed(bits));
            }
            Self::WriteRegisters(start, words) => {
                put(&mut out, &[*start, length(words.len())]);
                put_counted(&mut out, &registers(words));
            }
            Self::MaskWriteRegister {
                address,
                and_mask,
                or_mask,
            } => put(&mut out, &[*address, *and_mask, *or_mask]),
            Self::ReadWriteRegisters {
                read,
                write_start,
                values,
            } => {
                let count = length(values.len());
                put(&mut out, &[read.start, read.count, *write_start, count]);
                put_counted(&mut out, &registers(values));
            }
            Self::ReportServerId => {}
            Self::ReadDeviceIdentification { level, object } => {
                out.extend([DEVICE_IDENTIFICATION, *level, *object]);
            }
        }
        out
    }

    /// From bytes, function code first.
    ///
    /// # Errors
    /// When they are no whole request that the specification allows.
    pub fn decode(pdu: &[u8]) -> Result<Self, PduError> {
        let (function, body) = head(pdu)?;
        match function {
            1..=4 => {
                let [start, count] = exactly(function, body)?;
                let span = Span { start, count };
                let most = if function <= 2 { 2_000 } else { 125 };
                counted(function, count, most)?;
                Ok(match function {
                    1 => Self::ReadCoils(span),
                    2 => Self::ReadDiscreteInputs(span),
                    3 => Self::ReadHoldingRegisters(span),
                    _ => Self::ReadInputRegisters(span),
                })
            }
            5 => match exactly(function, body)? {
                [address, COIL_ON] => Ok(Self::WriteCoil(address, true)),
                [address, 0] => Ok(Self::WriteCoil(address, false)),
                _ => Err(value(function, "a coil that is neither on nor off")),
            },
            6 => {
                exactly(function, body).map(|[address, value]| Self::WriteRegister(address, value))
            }
            15 => {
                let ([start, count], data) = some(function, body)?;
                counted(function, count, 1_968)?;
                let bits = unpacked(behind_count(function, data)?);
                if bits.len().div_ceil(8) != usize::from(count).div_ceil(8) {
                    return Err(value(function, "another number of coils than it says"));
                }
                let bits = bits.into_iter().take(count.into()).collect();
                Ok(Self::WriteCoils(start, bits))
            }
            16 => {
                let ([start, count], data) = some(function, body)?;
                counted(function, count, 123)?;
                Ok(Self::WriteRegisters(start, values(function, count, data)?))
            }
            0x11 => exactly(function, body).map(|[]| Self::ReportServerId),
            22 => exactly(function, body).map(|[address, and_mask, or_mask]| {
                Self::MaskWriteRegister {
                    address,
                    and_mask,
                    or_mask,
                }
            }),
            23 => {
                let ([start, count, write_start, write_count], data) = some(function, body)?;
                counted(function, count, 125)?;
                counted(function, write_count, 121)?;
                Ok(Self::ReadWriteRegisters {
                    read: Span { start, count },
                    write_start,
                    values: values(function, write_count, data)?,
                })
            }
            0x2B => match *body {
                [DEVICE_IDENTIFICATION, level @ 1..=4, object] => {
                    Ok(Self::ReadDeviceIdentification { level, object })
                }
                _ => Err(value(function, "no request for a device's identification")),
            },
            _ => Err(PduError::Function(function)),
        }
    }
}
