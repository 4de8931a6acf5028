//! The demonstration plant as a Modbus server sees it: a frame in, a frame with its time out, faults
//! and line settings regarded. Pure: `now` and the settings of the line are arguments. Never answers
//! a unit on a line that is set otherwise than it.

use super::faults::{Fault, Faults, Order};
use super::plant::{Plant, Refusal};
use crate::drivers::modbus::frame::{Frame, Framing, encode};
use crate::drivers::modbus::pdu::{
    ExceptionCode, Identification, PduError, Request, Response, Span,
};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// What noise looks like.
const NOISE: [u8; 3] = [0x00, 0xFF, 0x5A];
/// Who made the simulated devices.
const MAKER: &str = "ChatterFix Edge";

/// How a serial line, or a unit on it, is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Bits per second.
    pub baud: u32,
    /// `N`, `E` or `O`.
    pub parity: char,
}

impl Setting {
    /// Time of `characters` on the line: 10 bits each, 11 with parity.
    pub(super) fn time(self, characters: usize) -> Duration {
        let bits: u64 = if self.parity == 'N' { 10 } else { 11 };
        let characters = u64::try_from(characters).unwrap_or(u64::MAX);
        let nanos = bits
            .saturating_mul(characters)
            .saturating_mul(1_000_000_000);
        Duration::from_nanos(nanos / u64::from(self.baud.max(1)))
    }

    /// The pause before an answer: 3.5 characters, above 19,200 baud 1.75 ms (Modbus over Serial
    /// Line V1.02, 2.5.1.1).
    fn silence(self) -> Duration {
        if self.baud > 19_200 {
            Duration::from_micros(1_750)
        } else {
            self.time(7) / 2
        }
    }
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("\"{text}\" is not a line setting; write for example 9600N or 19200E");
        let (baud, parity) = text
            .split_at_checked(text.len().saturating_sub(1))
            .ok_or_else(wrong)?;
        let parity = parity
            .chars()
            .next()
            .filter(|letter| "NEO".contains(*letter));
        let baud = baud
            .parse()
            .ok()
            .filter(|baud| (300..=4_000_000).contains(baud));
        Ok(Self {
            baud: baud.ok_or_else(wrong)?,
            parity: parity.ok_or_else(wrong)?,
        })
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.baud, self.parity)
    }
}

/// Over what a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) framing: Framing,
    /// How the client has set its serial line; `None` over a network, where a gateway answers for
    /// units that are not there.
    pub(super) line: Option<Setting>,
}

/// What becomes of a request that is not left unanswered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// These bytes, then.
    Send { at: Instant, bytes: Vec<u8> },
    /// The connection ends.
    Close,
}

/// Plant, faults and line settings.
#[derive(Debug)]
pub struct Station {
    plant: Plant,
    faults: Faults,
    settings: BTreeMap<u8, Setting>,
    start: Instant,
    /// Until when a unit is at its last answer.
    busy: BTreeMap<u8, Instant>,
}

impl Station {
    /// A plant without faults, whose time starts at `now`.
    pub fn new(plant: Plant, now: Instant) -> Self {
        Self {
            plant,
            faults: Faults::default(),
            settings: BTreeMap::new(),
            start: now,
            busy: BTreeMap::new(),
        }
    }

    /// A unit only answers on a serial line that is set like this; without it on any.
    pub fn set(&mut self, unit: u8, setting: Setting) {
        self.settings.insert(unit, setting);
    }

    /// Follows an order for a fault.
    pub fn order(&mut self, order: Order) {
        self.faults.order(order);
    }

    /// The faults as they are ordered now, one on each line.
    pub fn orders(&self) -> String {
        self.faults.words()
    }

    /// The plant.
    pub fn plant(&self) -> &Plant {
        &self.plant
    }

    /// What becomes of one request; `None` when it stays unanswered.
    pub(super) fn request(&mut self, way: Way, frame: &Frame, now: Instant) -> Option<Reply> {
        let unit = frame.unit;
        let mut refusal = None;
        if !self.plant.has(unit) {
            way.line.is_none().then_some(())?;
            refusal = Some(ExceptionCode::GatewayTargetDevice);
        }
        if let (Some(line), Some(own)) = (way.line, self.settings.get(&unit))
            && line != *own
        {
            return None;
        }
        let fault = self.faults.strike(unit);
        match fault {
            Some(Fault::Dead) => return None,
            Some(Fault::Disconnect) => return Some(Reply::Close),
            Some(Fault::Exception(code)) => refusal = Some(code.into()),
            _ => {}
        }
        let function = frame.pdu.first().copied().unwrap_or_default();
        let response = match refusal {
            Some(code) => Response::Refused { function, code },
            None => self.answer(unit, &frame.pdu, now),
        };
        let pdu = response.encode();
        let answer = Frame {
            id: frame.id,
            unit,
            pdu,
        };
        let mut bytes = encode(way.framing, &answer);
        match fault {
            Some(Fault::Checksum) => spoil(way.framing, &mut bytes),
            Some(Fault::Noise) => {
                bytes.splice(0..0, NOISE);
            }
            _ => {}
        }
        let mut at = self.busy.get(&unit).map_or(now, |busy| now.max(*busy));
        if let Some(Fault::Late(delay)) = fault {
            at += delay;
        }
        if let Some(line) = way.line {
            let asked = encode(way.framing, frame).len();
            at += line.time(asked + bytes.len()) + line.silence();
        }
        self.busy.insert(unit, at);
        Some(Reply::Send { at, bytes })
    }

    fn answer(&mut self, unit: u8, pdu: &[u8], now: Instant) -> Response {
        let function = pdu.first().copied().unwrap_or_default();
        let answered = match Request::decode(pdu) {
            Ok(request) => self.serve(unit, request, now),
            Err(PduError::Function(_)) => Err(Refusal::Function),
            Err(_) => Err(Refusal::Count),
        };
        answered.unwrap_or_else(|refusal| Response::Refused {
            function,
            code: refusal.into(),
        })
    }

    fn serve(&mut self, unit: u8, request: Request, now: Instant) -> Result<Response, Refusal> {
        let at = now.saturating_duration_since(self.start);
        let function = request.function();
        let plant = &self.plant;
        match request {
            Request::ReadCoils(span) | Request::ReadDiscreteInputs(span) => {
                let bits = plant.bits(unit, span.start, span.count, at)?;
                Ok(Response::Bits { function, bits })
            }
            Request::ReadHoldingRegisters(span) | Request::ReadInputRegisters(span) => {
                let words = plant.words(unit, span.start, span.count, at)?;
                Ok(Response::Registers { function, words })
            }
            Request::ReadWriteRegisters {
                read,
                write_start,
                values,
            } => {
                self.plant.write_words(unit, write_start, &values)?;
                let words = self.plant.words(unit, read.start, read.count, at)?;
                Ok(Response::Registers { function, words })
            }
            Request::MaskWriteRegister {
                address,
                and_mask,
                or_mask,
            } => {
                let before = plant.words(unit, address, 1, at)?;
                let before = before.first().copied().unwrap_or_default();
                let after = before & and_mask | or_mask & !and_mask;
                self.plant.write_words(unit, address, &[after])?;
                Ok(Response::MaskWrote {
                    address,
                    and_mask,
                    or_mask,
                })
            }
            Request::ReportServerId => {
                let name = plant.name(unit).ok_or(Refusal::Unit)?;
                let mut id = name.into_bytes();
                // It runs.
                id.push(0xFF);
                Ok(Response::ServerId(id))
            }
            Request::ReadDeviceIdentification { level, object } => {
                let name = plant.name(unit).ok_or(Refusal::Unit)?;
                identification(&name, level, object).map(Response::DeviceIdentification)
            }
            Request::WriteCoil(..)
            | Request::WriteRegister(..)
            | Request::WriteCoils(..)
            | Request::WriteRegisters(..) => write(&mut self.plant, unit, request),
        }
    }
}

/// Functions 5, 6, 15 and 16.
fn write(plant: &mut Plant, unit: u8, request: Request) -> Result<Response, Refusal> {
    let function = request.function();
    let one = |address, value| Response::WroteOne {
        function,
        address,
        value,
    };
    let many = |start, count| Response::WroteMany {
        function,
        span: span(start, count),
    };
    match request {
        Request::WriteCoil(address, on) => {
            plant.write_bits(unit, address, &[on])?;
            Ok(one(address, if on { 0xFF00 } else { 0 }))
        }
        Request::WriteRegister(address, value) => {
            plant.write_words(unit, address, &[value])?;
            Ok(one(address, value))
        }
        Request::WriteCoils(start, bits) => {
            plant.write_bits(unit, start, &bits)?;
            Ok(many(start, bits.len()))
        }
        Request::WriteRegisters(start, words) => {
            plant.write_words(unit, start, &words)?;
            Ok(many(start, words.len()))
        }
        _ => Err(Refusal::Function),
    }
}

fn span(start: u16, count: usize) -> Span {
    Span {
        start,
        count: u16::try_from(count).unwrap_or(u16::MAX),
    }
}

/// Basic and regular identification, all in one answer.
fn identification(name: &str, level: u8, object: u8) -> Result<Identification, Refusal> {
    let version = env!("CARGO_PKG_VERSION");
    let texts = [
        (0, MAKER),
        (1, name),
        (2, version),
        (4, "demonstration plant"),
        (5, name),
    ];
    let wanted = |number: u8| match level {
        1 => number <= 2 && number >= object,
        4 => number == object,
        _ => number >= object,
    };
    let objects = texts.into_iter().filter(|(number, _)| wanted(*number));
    let objects: Vec<(u8, Vec<u8>)> = objects
        .map(|(number, text)| (number, text.as_bytes().to_vec()))
        .collect();
    if objects.is_empty() {
        return Err(Refusal::Address);
    }
    Ok(Identification {
        level,
        // Regular identification, as a stream or one by one.
        conformity: 0x82,
        more: None,
        objects,
    })
}

/// Turns a bit of the checksum; of Modbus TCP, which has none, one of the protocol's number.
fn spoil(framing: Framing, bytes: &mut [u8]) {
    let (at, other) = match framing {
        Framing::Mbap => (2, None),
        Framing::Rtu => (bytes.len().saturating_sub(1), None),
        Framing::Ascii => (bytes.len().saturating_sub(3), Some(b'0')),
    };
    if let Some(byte) = bytes.get_mut(at) {
        *byte = match other {
            Some(digit) if *byte != digit => digit,
            Some(_) => b'1',
            None => *byte ^ 0x10,
        };
    }
}

impl From<Refusal> for ExceptionCode {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Function => Self::IllegalFunction,
            Refusal::Address => Self::IllegalDataAddress,
            Refusal::Count => Self::IllegalDataValue,
            Refusal::Unit => Self::GatewayTargetDevice,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: Way = Way {
        framing: Framing::Mbap,
        line: None,
    };

    fn way(framing: Framing, setting: &str) -> Way {
        let line = Some(setting.parse().unwrap());
        Way { framing, line }
    }

    fn ask(station: &mut Station, way: Way, unit: u8, request: &Request) -> Option<Reply> {
        let pdu = request.encode();
        station.request(way, &Frame { id: 7, unit, pdu }, station.start)
    }

    fn response(station: &mut Station, unit: u8, request: &Request) -> Response {
        let Some(Reply::Send { bytes, .. }) = ask(station, TCP, unit, request) else {
            panic!("no answer")
        };
        assert_eq!(bytes[..2], [0, 7]);
        Response::decode(&bytes[7..]).unwrap()
    }

    fn station() -> Station {
        Station::new(Plant::cabinet(1), Instant::now())
    }

    const READ: Request = Request::ReadHoldingRegisters(Span { start: 0, count: 2 });

    #[test]
    fn a_unit_only_answers_on_a_line_that_is_set_like_it_and_takes_its_time() {
        let mut station = station();
        station.set(3, "19200E".parse().unwrap());
        for wrong in ["9600E", "19200N", "19200O"] {
            let way = way(Framing::Rtu, wrong);
            assert_eq!(ask(&mut station, way, 3, &READ), None, "{wrong}");
        }
        let reply = ask(&mut station, way(Framing::Rtu, "19200E"), 3, &READ);
        let Some(Reply::Send { at, bytes }) = reply else {
            panic!("no answer")
        };
        assert_eq!(bytes.len(), 9);
        // 8 + 9 characters and 3.5 of silence, 11 bits each.
        let took = at - station.start;
        let theory = Duration::from_secs_f64(20.5 * 11.0 / 19_200.0);
        assert!(took.abs_diff(theory) < Duration::from_micros(1), "{took:?}");
        // Not there: nothing on a serial line, a gateway's refusal over a network.
        let gone = way(Framing::Rtu, "19200E");
        assert_eq!(ask(&mut station, gone, 99, &READ), None);
        let refused = response(&mut station, 99, &READ);
        let code = ExceptionCode::GatewayTargetDevice;
        assert_eq!(refused, Response::Refused { function: 3, code });
    }

    #[test]
    fn each_fault_is_what_it_says() {
        let mut station = station();
        let line = way(Framing::Rtu, "9600N");
        let mut with = |order: &str| {
            station.order(order.parse().unwrap());
            ask(&mut station, line, 1, &READ)
        };
        let Some(Reply::Send { at, bytes: right }) = with("1 ok") else {
            panic!("no answer")
        };
        assert_eq!(with("1 dead"), None);
        assert_eq!(with("1 disconnect"), Some(Reply::Close));
        let bytes = |reply: Option<Reply>| match reply {
            Some(Reply::Send { bytes, .. }) => bytes,
            other => panic!("{other:?}"),
        };
        assert_eq!(bytes(with("1 noise"))[3..], right);
        let wrong = bytes(with("1 crc"));
        assert_eq!((wrong.len(), &wrong[..8]), (9, &right[..8]));
        assert_ne!(wrong[8], right[8]);
        assert_eq!(bytes(with("1 exception 4"))[..3], [1, 0x83, 4]);
        let Some(Reply::Send { at: late, .. }) = with("1 late 2s") else {
            panic!("no answer")
        };
        assert!(late >= at + Duration::from_secs(2));
        // A unit that is busy with a late answer does not overtake itself.
        let Some(Reply::Send { at: next, .. }) = with("1 ok") else {
            panic!("no answer")
        };
        assert!(next > late);
        let mut ascii = b":0103AA\r\n".to_vec();
        spoil(Framing::Ascii, &mut ascii);
        assert_eq!(ascii, b":0103A0\r\n");
    }

    #[test]
    fn what_was_written_is_read_back_and_elsewhere_writing_is_refused() {
        let mut station = station();
        let write = Request::WriteRegisters(200, vec![5, 6]);
        let span = Span {
            start: 200,
            count: 2,
        };
        let function = 16;
        assert_eq!(
            response(&mut station, 1, &write),
            Response::WroteMany { function, span }
        );
        let mask = Request::MaskWriteRegister {
            address: 201,
            and_mask: 0xFFF0,
            or_mask: 0x0009,
        };
        response(&mut station, 1, &mask);
        let words = vec![5, 9];
        assert_eq!(
            response(&mut station, 1, &Request::ReadHoldingRegisters(span)),
            Response::Registers { function: 3, words }
        );
        response(&mut station, 1, &Request::WriteCoil(17, true));
        let coils = Request::ReadCoils(Span {
            start: 16,
            count: 2,
        });
        let Response::Bits { bits, .. } = response(&mut station, 1, &coils) else {
            panic!("no bits")
        };
        assert_eq!(bits[..2], [false, true]);
        let code = ExceptionCode::IllegalDataAddress;
        assert_eq!(
            response(&mut station, 1, &Request::WriteRegister(0, 1)),
            Response::Refused { function: 6, code }
        );
    }

    #[test]
    fn a_unit_says_what_it_is() {
        let mut station = station();
        let basic = Request::ReadDeviceIdentification {
            level: 1,
            object: 0,
        };
        let Response::DeviceIdentification(found) = response(&mut station, 1, &basic) else {
            panic!("no identification")
        };
        let numbers: Vec<u8> = found.objects.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [0, 1, 2]);
        assert_eq!(found.objects[1].1, b"pump P-247");
        let Response::ServerId(id) = response(&mut station, 2, &Request::ReportServerId) else {
            panic!("no server id")
        };
        assert_eq!(id, b"compressor K-101\xFF");
    }
}
