//! Frames of a line in words, for whoever listens: what was asked, what came. Pure. Never guesses a
//! value: a register is shown as it came.

use crate::drivers::modbus::address::{Address, Table};
use crate::drivers::modbus::frame::{Framing, Reader, Side};
use crate::drivers::modbus::pdu::{Request, Response, Span};
use serde::Serialize;

/// Values of one answer that are shown; more are counted.
const VALUES_SHOWN: usize = 16;

/// A frame in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decoded {
    /// The unit.
    pub unit: u8,
    /// What it says.
    pub words: String,
    /// Whether it is a request.
    pub request: bool,
}

/// Follows a conversation: an answer is explained by the request before it.
#[derive(Debug)]
pub struct Listener {
    framing: Framing,
    requests: Reader,
    answers: Reader,
    asked: Option<(u8, Request)>,
}

impl Listener {
    /// For one line.
    pub fn new(framing: Framing) -> Self {
        Self {
            framing,
            requests: Reader::new(framing, Side::Requests),
            answers: Reader::new(framing, Side::Answers),
            asked: None,
        }
    }

    /// Bytes that the box itself sent.
    pub fn sent(&mut self, bytes: &[u8]) -> Vec<Result<Decoded, String>> {
        // A request goes out whole: half of one before it is one that was given up.
        self.requests.clear();
        self.answers.clear();
        self.requests.push(bytes);
        let mut told = Vec::new();
        while let Some(frame) = self.requests.next_frame() {
            told.push(match frame {
                Ok(frame) => self.request(frame.unit, &frame.pdu),
                Err(error) => Err(error.to_string()),
            });
        }
        told
    }

    /// Bytes that came back; a frame may come in pieces.
    pub fn received(&mut self, bytes: &[u8]) -> Vec<Result<Decoded, String>> {
        self.answers.push(bytes);
        let mut told = Vec::new();
        while let Some(frame) = self.answers.next_frame() {
            told.push(match frame {
                Ok(frame) => self.answer(frame.unit, &frame.pdu),
                Err(error) => Err(error.to_string()),
            });
        }
        told
    }

    /// Bytes between two silences on a line where others talk: a request or an answer, by what it
    /// can be and by what came before.
    pub fn overheard(&mut self, bytes: &[u8]) -> Vec<Result<Decoded, String>> {
        let sides = if self.asked.is_some() {
            [Side::Answers, Side::Requests]
        } else {
            [Side::Requests, Side::Answers]
        };
        for side in sides {
            let mut reader = Reader::new(self.framing, side);
            reader.push(bytes);
            let mut frames = Vec::new();
            let mut whole = true;
            while let Some(frame) = reader.next_frame() {
                match frame {
                    Ok(frame) => frames.push(frame),
                    Err(_) => whole = false,
                }
            }
            if !whole || frames.is_empty() || reader.waiting() > 0 {
                continue;
            }
            let told: Vec<_> = frames
                .iter()
                .map(|frame| match side {
                    Side::Requests => self.request(frame.unit, &frame.pdu),
                    Side::Answers => self.answer(frame.unit, &frame.pdu),
                })
                .collect();
            if told.iter().all(Result::is_ok) {
                return told;
            }
        }
        self.asked = None;
        vec![Err("no frame, or one with a wrong checksum".to_owned())]
    }

    fn request(&mut self, unit: u8, pdu: &[u8]) -> Result<Decoded, String> {
        let request = Request::decode(pdu).map_err(|error| error.to_string())?;
        let words = request_words(&request);
        self.asked = Some((unit, request));
        Ok(Decoded {
            unit,
            words,
            request: true,
        })
    }

    fn answer(&mut self, unit: u8, pdu: &[u8]) -> Result<Decoded, String> {
        let mut response = Response::decode(pdu).map_err(|error| error.to_string())?;
        let asked = self.asked.take().filter(|(asked, _)| *asked == unit);
        if let Some((_, request)) = &asked {
            response = response.matching(request).map_err(|mismatch| {
                format!("not the answer to the request before: {mismatch:?}")
            })?;
        }
        Ok(Decoded {
            unit,
            words: response_words(&response, asked.as_ref().map(|(_, request)| request)),
            request: false,
        })
    }
}

fn span_words(table: Table, span: Span) -> String {
    let address = Address {
        table,
        offset: span.start,
    };
    let end = if span.count == 1 { "" } else { "s" };
    format!("{} {table}{end} from {address}", span.count)
}

fn request_words(request: &Request) -> String {
    let place = |table, start| Address {
        table,
        offset: start,
    };
    match request {
        Request::ReadCoils(span) => format!("read {}", span_words(Table::Coil, *span)),
        Request::ReadDiscreteInputs(span) => {
            format!("read {}", span_words(Table::DiscreteInput, *span))
        }
        Request::ReadHoldingRegisters(span) => {
            format!("read {}", span_words(Table::Holding, *span))
        }
        Request::ReadInputRegisters(span) => format!("read {}", span_words(Table::Input, *span)),
        Request::WriteCoil(start, on) => {
            format!("write {} = {}", place(Table::Coil, *start), u8::from(*on))
        }
        Request::WriteRegister(start, value) => {
            format!("write {} = {value}", place(Table::Holding, *start))
        }
        Request::WriteCoils(start, bits) => {
            let bits: Vec<u16> = bits.iter().map(|bit| u16::from(*bit)).collect();
            format!(
                "write from {}: {}",
                place(Table::Coil, *start),
                values(&bits)
            )
        }
        Request::WriteRegisters(start, words) => {
            format!(
                "write from {}: {}",
                place(Table::Holding, *start),
                values(words)
            )
        }
        Request::MaskWriteRegister {
            address,
            and_mask,
            or_mask,
        } => format!(
            "change bits of {}: and 0x{and_mask:04X}, or 0x{or_mask:04X}",
            place(Table::Holding, *address)
        ),
        Request::ReadWriteRegisters {
            read,
            write_start,
            values: words,
        } => format!(
            "write from {}: {}; read {}",
            place(Table::Holding, *write_start),
            values(words),
            span_words(Table::Holding, *read)
        ),
        Request::ReportServerId => "what are you? (function 17)".to_owned(),
        Request::ReadDeviceIdentification { level, object } => {
            format!("what are you? (function 43, level {level}, from object {object})")
        }
    }
}

fn response_words(response: &Response, asked: Option<&Request>) -> String {
    match response {
        Response::Bits { bits, .. } => {
            // Without the request, how many of the last byte count is not known.
            let bits: Vec<u16> = bits.iter().map(|bit| u16::from(*bit)).collect();
            values(&bits)
        }
        Response::Registers { words, .. } => values(words),
        Response::WroteOne { .. } | Response::WroteMany { .. } | Response::MaskWrote { .. } => {
            match asked {
                Some(_) => "written".to_owned(),
                None => "written (the request was not heard)".to_owned(),
            }
        }
        Response::ServerId(data) => format!("{} bytes about itself", data.len()),
        Response::DeviceIdentification(found) => {
            let texts = found.objects.iter();
            let texts: Vec<String> = texts
                .map(|(_, text)| text.escape_ascii().to_string())
                .collect();
            format!("is \"{}\"", texts.join("\", \""))
        }
        Response::Refused { code, .. } => {
            format!("refuses: {code} (exception {})", u8::from(*code))
        }
    }
}

fn values(words: &[u16]) -> String {
    let shown: Vec<String> = words
        .iter()
        .take(VALUES_SHOWN)
        .map(ToString::to_string)
        .collect();
    match words
        .len()
        .checked_sub(VALUES_SHOWN)
        .filter(|more| *more > 0)
    {
        Some(more) => format!("{} and {more} more", shown.join(" ")),
        None => shown.join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drivers::modbus::frame::{Frame, encode};
    use crate::drivers::modbus::pdu::ExceptionCode;

    fn bytes(framing: Framing, pdu: Vec<u8>) -> Vec<u8> {
        encode(
            framing,
            &Frame {
                id: 7,
                unit: 3,
                pdu,
            },
        )
    }

    fn read(count: u16) -> Request {
        Request::ReadHoldingRegisters(Span { start: 0, count })
    }

    #[test]
    fn a_conversation_is_told_in_words_in_every_form() {
        let answer = Response::Registers {
            function: 3,
            words: vec![500, 65_535],
        };
        let refusal = Response::Refused {
            function: 3,
            code: ExceptionCode::IllegalDataAddress,
        };
        for framing in [Framing::Mbap, Framing::Rtu, Framing::Ascii] {
            let mut listener = Listener::new(framing);
            let asked = listener.sent(&bytes(framing, read(2).encode()));
            let decoded = asked[0].as_ref().unwrap();
            assert_eq!(decoded.words, "read 2 holding registers from 40001 (hr:0)");
            assert!(decoded.request && decoded.unit == 3);
            let whole = bytes(framing, answer.encode());
            let (begin, end) = whole.split_at(4);
            assert_eq!(listener.received(begin), []);
            assert_eq!(
                listener.received(end)[0].as_ref().unwrap().words,
                "500 65535"
            );
            listener.sent(&bytes(framing, read(2).encode()));
            let told = listener.received(&bytes(framing, refusal.encode()));
            let words = &told[0].as_ref().unwrap().words;
            assert_eq!(words, "refuses: Illegal data address (exception 2)");
        }
    }

    #[test]
    fn who_only_listens_tells_requests_from_answers() {
        let mut listener = Listener::new(Framing::Rtu);
        let write = Request::WriteRegister(4, 17);
        for (pdu, request, words) in [
            (
                read(1).encode(),
                true,
                "read 1 holding register from 40001 (hr:0)",
            ),
            (
                Response::Registers {
                    function: 3,
                    words: vec![9],
                }
                .encode(),
                false,
                "9",
            ),
            // Request and answer look the same.
            (write.encode(), true, "write 40005 (hr:4) = 17"),
            (write.encode(), false, "written"),
            (
                read(1).encode(),
                true,
                "read 1 holding register from 40001 (hr:0)",
            ),
            // Nobody answered; the master goes on.
            (
                read(2).encode(),
                true,
                "read 2 holding registers from 40001 (hr:0)",
            ),
        ] {
            let told = listener.overheard(&bytes(Framing::Rtu, pdu));
            let decoded = told[0].as_ref().unwrap();
            assert_eq!((decoded.request, decoded.words.as_str()), (request, words));
        }
        let mut broken = bytes(Framing::Rtu, read(1).encode());
        broken[2] ^= 1;
        assert!(listener.overheard(&broken)[0].is_err());
    }

    #[test]
    fn long_answers_are_cut() {
        assert_eq!(
            values(&[1; 20]),
            format!("{} and 4 more", ["1"; 16].join(" "))
        );
    }
}
