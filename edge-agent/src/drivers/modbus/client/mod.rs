//! One request and its answer at a time. Pure: bytes and `now` in, bytes and outcomes out. Never takes
//! a late answer for that of the request that waits.
//!
//! How a late answer is told from the right one:
//! * Modbus TCP gives each request a number. An older number is dropped and counted, and the right
//!   answer still waited for.
//! * RTU and ASCII have no number: `doubts.rs` says how they are told apart.

mod doubts;
#[cfg(test)]
mod tests;

pub use doubts::Doubts;

use super::frame::{Frame, FrameError, Framing, Reader, Side, bytes_on_the_line, encode};
use super::pdu::{Mismatch, PDU_BYTES_MAX, Request, Response};
use crate::drivers::bus::Noticed;
use std::time::{Duration, Instant};

/// Late answers noticed between two requests that are told one by one.
const LATE_MAX: usize = 64;
/// A pause within a frame of RTU that ends it. The specification says 1.5 characters; a USB adapter
/// hands on what it has 16 ms late, and a busy machine wakes up later still.
const SILENCE: Duration = Duration::from_millis(50);

/// How long things take on a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// From the end of the request to the beginning of the answer.
    pub timeout: Duration,
    /// How long a late answer is feared where nothing else helps.
    pub late_window: Duration,
    /// One character; zero where it is not known.
    pub character_time: Duration,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The unit answered, a refusal included.
    Answer(Response),
    /// Nothing came.
    Timeout,
    /// Something came that is not the answer: in words what.
    Garbled(String),
    /// An answer with another number of registers or bits.
    WrongLength {
        /// Asked for.
        wanted: u16,
        /// Came.
        got: usize,
    },
}

/// One side of a conversation.
#[derive(Debug)]
pub struct Client {
    framing: Framing,
    timing: Timing,
    reader: Reader,
    next_id: u16,
    /// Requests on this connection.
    sent: u16,
    active: Option<Active>,
    /// When the first byte came in answer to the last request.
    begun: Option<Instant>,
    doubts: Doubts,
    noticed: Noticed,
}

#[derive(Debug)]
struct Active {
    id: u16,
    unit: u8,
    request: Request,
    deadline: Instant,
    /// RTU: when what has come will not go on.
    silence_at: Option<Instant>,
    /// Bytes that were in no frame of another.
    bytes: usize,
}

impl Client {
    /// Nothing asked yet.
    pub fn new(framing: Framing, timing: Timing) -> Self {
        Self {
            framing,
            timing,
            reader: Reader::new(framing, Side::Answers),
            next_id: 0,
            sent: 0,
            active: None,
            begun: None,
            doubts: Doubts::default(),
            noticed: Noticed::default(),
        }
    }

    /// A fresh connection: numbers begin anew, half a frame of the old one is forgotten. Doubts stay:
    /// behind a serial server, the line is still the same.
    pub fn connected(&mut self) {
        self.reader.clear();
        self.next_id = 0;
        self.sent = 0;
    }

    /// Begins a request; answers the bytes to send.
    pub fn begin(&mut self, request: &Request, unit: u8, now: Instant) -> Vec<u8> {
        // One that was given up from outside may still be answered.
        if self.active.is_some() {
            self.doubt(now);
        }
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        self.sent = self.sent.saturating_add(1);
        self.reader.clear();
        self.begun = None;
        let frame = Frame {
            id: if self.framing == Framing::Mbap { id } else { 0 },
            unit,
            pdu: request.encode(),
        };
        let bytes = encode(self.framing, &frame);
        self.active = Some(Active {
            id: frame.id,
            unit,
            request: request.clone(),
            deadline: now + self.line_time(bytes.len()) + self.timing.timeout,
            silence_at: None,
            bytes: 0,
        });
        bytes
    }

    /// The request that waits is given up at `at`, when that is earlier, unless its answer begins.
    pub fn hurry(&mut self, at: Instant) {
        if let Some(active) = &mut self.active {
            active.deadline = active.deadline.min(at);
        }
    }

    /// Takes what came in; answers how the request ended when it did.
    pub fn receive(&mut self, bytes: &[u8], now: Instant) -> Option<Outcome> {
        let answer = self.longest_answer();
        let line_time = self.line_time(answer);
        if let Some(active) = &mut self.active {
            active.bytes += bytes.len();
            if self.begun.is_none() {
                self.begun = Some(now);
                // The time-out is for the beginning; a long answer on a slow line takes its time.
                active.deadline = active.deadline.max(now + line_time * 2);
            }
            active.silence_at = Some(now + SILENCE.max(self.timing.character_time * 4));
        }
        self.reader.push(bytes);
        self.look(now)
    }

    /// The next moment at which `expire` has something to do; `None` when nothing waits.
    pub fn wake_at(&self) -> Option<Instant> {
        let active = self.active.as_ref()?;
        let silence = active.silence_at.filter(|_| self.reader.waiting() > 0);
        Some(silence.map_or(active.deadline, |at| at.min(active.deadline)))
    }

    /// Time has passed; answers how the request ended when it did.
    pub fn expire(&mut self, now: Instant) -> Option<Outcome> {
        let active = self.active.as_mut()?;
        if active.silence_at.is_some_and(|at| at <= now) {
            active.silence_at = None;
            self.reader.silence();
            if let Some(outcome) = self.look(now) {
                return Some(outcome);
            }
        }
        let active = self.active.as_ref()?;
        if now < active.deadline {
            return None;
        }
        // A line that changes its direction gives a byte or two of nonsense.
        let nonsense = if self.framing == Framing::Rtu { 3 } else { 0 };
        let outcome = match active.bytes {
            bytes if bytes <= nonsense => Outcome::Timeout,
            bytes => Outcome::Garbled(format!("{bytes} bytes that are no whole Modbus answer")),
        };
        self.doubt(now);
        Some(outcome)
    }

    /// Bytes that came while nothing was asked. `false` when the connection cannot be used any more.
    pub fn stray(&mut self, bytes: &[u8]) -> bool {
        self.reader.push(bytes);
        self.reader.silence();
        let mut good = true;
        while let Some(found) = self.reader.next_frame() {
            match found {
                Ok(frame) => {
                    let known = match self.framing {
                        Framing::Mbap => self.is_older(frame.id, self.next_id),
                        Framing::Rtu | Framing::Ascii => self.doubts.resolve(&frame),
                    };
                    self.count(known, frame.unit);
                }
                Err(error) if error.is_fatal() => {
                    good = false;
                    break;
                }
                Err(_) => self.noticed.checksum += 1,
            }
        }
        self.reader.clear();
        good
    }

    /// When the first byte came in answer to the last request.
    pub const fn begun(&self) -> Option<Instant> {
        self.begun
    }

    /// What was noticed since the last call.
    pub fn take_noticed(&mut self) -> Noticed {
        std::mem::take(&mut self.noticed)
    }

    /// What is in doubt.
    pub const fn doubts(&self) -> &Doubts {
        &self.doubts
    }

    /// See `doubts`; forgets those that time has settled.
    pub fn doubts_at(&mut self, now: Instant) -> &mut Doubts {
        self.doubts.settle(now);
        &mut self.doubts
    }

    /// Takes out frames until one of them ends the request.
    fn look(&mut self, now: Instant) -> Option<Outcome> {
        while let Some(found) = self.reader.next_frame() {
            let (outcome, in_doubt) = match found {
                Ok(frame) => {
                    let outcome = self.judge(&frame);
                    let answered = matches!(outcome, Some(Outcome::Answer(_)));
                    (outcome, !answered)
                }
                // The very answer, damaged, leaves no doubt: nothing more can come.
                Err(error) => (self.broken(&error), error.is_fatal()),
            };
            if let Some(outcome) = outcome {
                if in_doubt {
                    self.doubt(now);
                }
                self.active = None;
                return Some(outcome);
            }
        }
        None
    }

    fn broken(&mut self, error: &FrameError) -> Option<Outcome> {
        let active = self.active.as_ref()?;
        match error {
            FrameError::Checksum {
                unit,
                function,
                len,
            } => {
                self.noticed.checksum += 1;
                let expected = active.request.answer_len();
                let expected = expected.map(|len| bytes_on_the_line(self.framing, len));
                let is_ours = *unit == active.unit
                    && *function == active.request.function()
                    && expected == Some(*len);
                // Noise in front of the answer looks like a wrong checksum too: only where all but
                // the checksum fits, waiting on is of no use.
                is_ours.then(|| Outcome::Garbled(error.to_string()))
            }
            FrameError::Header(_) => Some(Outcome::Garbled(error.to_string())),
            FrameError::Text(_) => None,
        }
    }

    fn judge(&mut self, frame: &Frame) -> Option<Outcome> {
        let active = self.active.as_mut()?;
        let (unit, id) = (active.unit, active.id);
        let function = frame.pdu.first().map(|function| function & 0x7F);
        let len = bytes_on_the_line(self.framing, frame.pdu.len());
        if self.framing == Framing::Mbap {
            if frame.id != id {
                active.bytes = active.bytes.saturating_sub(len);
                if self.is_older(frame.id, id) {
                    self.late(frame.unit);
                    return None;
                }
                return Some(Outcome::Garbled("another request number".to_owned()));
            }
            if frame.unit != unit {
                return Some(Outcome::Garbled(format!("unit {} answers", frame.unit)));
            }
        } else if frame.unit != unit || function != Some(active.request.function()) {
            active.bytes = active.bytes.saturating_sub(len);
            let late = self.doubts.resolve(frame);
            self.count(late, frame.unit);
            return None;
        }
        let request = active.request.clone();
        let response = match Response::decode(&frame.pdu) {
            Ok(response) => response,
            Err(error) => return Some(Outcome::Garbled(error.to_string())),
        };
        match response.matching(&request) {
            Ok(response) => {
                self.doubts.answered(unit, &request, &response);
                Some(Outcome::Answer(response))
            }
            Err(mismatch) => {
                if self.framing != Framing::Mbap && self.doubts.resolve(frame) {
                    if let Some(active) = &mut self.active {
                        active.bytes = active.bytes.saturating_sub(len);
                    }
                    self.late(frame.unit);
                    return None;
                }
                Some(match mismatch {
                    Mismatch::Count { wanted, got } => Outcome::WrongLength { wanted, got },
                    Mismatch::Other(words) => Outcome::Garbled(words),
                })
            }
        }
    }

    fn count(&mut self, late: bool, unit: u8) {
        if late {
            self.late(unit);
        } else {
            self.noticed.foreign += 1;
        }
    }

    fn late(&mut self, unit: u8) {
        if self.noticed.late.len() < LATE_MAX {
            self.noticed.late.push(unit);
        }
    }

    /// The waiting request is given up: its answer may still come.
    fn doubt(&mut self, now: Instant) {
        let Some(active) = self.active.take() else {
            return;
        };
        if self.framing == Framing::Mbap {
            return;
        }
        let until = now + self.timing.late_window;
        self.doubts.add(active.unit, &active.request, until);
    }

    /// Whether a number was given out on this connection before `id`.
    fn is_older(&self, number: u16, id: u16) -> bool {
        let age = id.wrapping_sub(number);
        age > 0 && age <= self.sent.min(u16::MAX / 2)
    }

    fn longest_answer(&self) -> usize {
        let asked = self.active.as_ref().and_then(|a| a.request.answer_len());
        bytes_on_the_line(self.framing, asked.unwrap_or(PDU_BYTES_MAX))
    }

    fn line_time(&self, bytes: usize) -> Duration {
        let count = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.timing.character_time.saturating_mul(count)
    }
}
