//! Requests on a line without request numbers (RTU, ASCII) that ended without their answer: it may
//! still come. What tells two answers apart there is unit, function and length, so:
//!
//! * An answer of another unit, function or length than that of the waiting request is dropped and
//!   counted.
//! * Where the next request could be confused with one in doubt, something is asked first whose answer
//!   has another shape (`sync_request`). A unit answers in the order in which it was asked, so once that
//!   answer is there, none of those before it can still come, however late. It is one register
//!   instead of many, or the same of the sister table; a unit that refuses it has answered too.
//! * Where no such question exists, or the unit did not answer it, the unit is left alone for
//!   `late_window` (`rest_until`).
//!
//! Pure. Never holds more than `DOUBTS_MAX`: of more, the oldest is forgotten.

use super::super::frame::Frame;
use super::super::pdu::{Request, Response, Span};
use std::time::Instant;

/// One per unit, function and length: more than a bus of 247 units comes to.
const DOUBTS_MAX: usize = 256;

/// See above.
#[derive(Debug, Default)]
pub struct Doubts(Vec<Doubt>);

#[derive(Debug, PartialEq, Eq)]
struct Doubt {
    unit: u8,
    function: u8,
    /// Bytes of the message that would answer it; `None` where that is not known.
    len: Option<usize>,
    until: Instant,
    /// Asking for something of another shape did not help.
    stubborn: bool,
}

impl Doubts {
    /// What must be asked of the unit before `request`, because its answer could be confused with a
    /// late one (a refusal has no length, so the function alone is enough); `None` when `request` may
    /// go at once, or when no question helps.
    pub fn sync_request(&self, unit: u8, request: &Request) -> Option<Request> {
        let function = request.function();
        let confusable = self.of(unit).any(|doubt| doubt.function == function);
        let stubborn = self.of(unit).any(|doubt| doubt.stubborn);
        if !confusable || stubborn {
            return None;
        }
        let clear = |question: &Request| {
            self.of(unit).all(|doubt| {
                doubt.function != question.function()
                    || doubt
                        .len
                        .is_some_and(|len| Some(len) != question.answer_len())
            })
        };
        other_shapes(request).into_iter().flatten().find(clear)
    }

    /// The question of `sync_request` was not answered: from now on only time helps, and for all of
    /// the unit alike, for it answers in order.
    pub fn not_synced(&mut self, unit: u8) {
        let until = self.of(unit).map(|doubt| doubt.until).max();
        for doubt in self.0.iter_mut().filter(|doubt| doubt.unit == unit) {
            doubt.stubborn = true;
            doubt.until = until.unwrap_or(doubt.until);
        }
    }

    /// Until when the unit had better be left alone before `request`; in the past or `None` when it
    /// may be asked, or when `sync_request` helps.
    pub fn rest_until(&self, unit: u8, request: &Request) -> Option<Instant> {
        if self.sync_request(unit, request).is_some() {
            return None;
        }
        let confusable = |doubt: &&Doubt| doubt.function == request.function();
        let doubts = self.of(unit).filter(confusable);
        doubts.map(|doubt| doubt.until).max()
    }

    /// Until when asking a unit means waiting first, because it does not answer the question that
    /// would clear up what is late.
    pub fn resting(&self, unit: u8) -> Option<Instant> {
        let doubts = self.of(unit).filter(|doubt| doubt.stubborn);
        doubts.map(|doubt| doubt.until).max()
    }

    /// Forgets those that time has settled.
    pub(super) fn settle(&mut self, now: Instant) {
        self.0.retain(|doubt| !doubt.stubborn || doubt.until > now);
    }

    /// A request was given up.
    pub(super) fn add(&mut self, unit: u8, request: &Request, until: Instant) {
        let (function, len) = (request.function(), request.answer_len());
        let same = |other: &Doubt| (other.unit, other.function, other.len) == (unit, function, len);
        if let Some(other) = self.0.iter_mut().find(|other| same(other)) {
            other.until = until;
            return;
        }
        if self.0.len() >= DOUBTS_MAX {
            self.0.remove(0);
        }
        self.0.push(Doubt {
            unit,
            function,
            len,
            until,
            stubborn: false,
        });
    }

    /// A request was answered: those before it can come no more. But a refusal has no length and may
    /// have been a late one of the same function; then the answer itself is still to come.
    pub(super) fn answered(&mut self, unit: u8, request: &Request, response: &Response) {
        let refused = matches!(response, Response::Refused { .. });
        let function = request.function();
        let late = self.of(unit).find(|doubt| doubt.function == function);
        let until = late.map(|doubt| doubt.until).filter(|_| refused);
        self.0.retain(|doubt| doubt.unit != unit);
        if let Some(until) = until {
            self.add(unit, request, until);
        }
    }

    /// Whether a frame answers a request in doubt, which is then none any more.
    pub(super) fn resolve(&mut self, frame: &Frame) -> bool {
        let Some(head) = frame.pdu.first() else {
            return false;
        };
        let (function, refused) = (head & 0x7F, *head >= 0x80);
        let found = self.0.iter().position(|doubt| {
            let fits = refused || doubt.len.is_none_or(|len| len == frame.pdu.len());
            doubt.unit == frame.unit && doubt.function == function && fits
        });
        if let Some(at) = found {
            self.0.remove(at);
        }
        found.is_some()
    }

    fn of(&self, unit: u8) -> impl Iterator<Item = &Doubt> {
        self.0.iter().filter(move |doubt| doubt.unit == unit)
    }
}

/// Questions to the same unit whose answer cannot be taken for one to `request`, nor the other way
/// round, the better one first: fewer values of the same; the sister function (a unit that does not
/// have it refuses, and a refusal names the function). None for what is no plain reading.
fn other_shapes(request: &Request) -> [Option<Request>; 2] {
    let one = |span: &Span| Span {
        start: span.start,
        count: 1,
    };
    match request {
        Request::ReadHoldingRegisters(span) => [
            (span.count > 1).then(|| Request::ReadHoldingRegisters(one(span))),
            Some(Request::ReadInputRegisters(one(span))),
        ],
        Request::ReadInputRegisters(span) => [
            (span.count > 1).then(|| Request::ReadInputRegisters(one(span))),
            Some(Request::ReadHoldingRegisters(one(span))),
        ],
        Request::ReadCoils(span) => [
            (span.count > 8).then(|| Request::ReadCoils(one(span))),
            Some(Request::ReadDiscreteInputs(one(span))),
        ],
        Request::ReadDiscreteInputs(span) => [
            (span.count > 8).then(|| Request::ReadDiscreteInputs(one(span))),
            Some(Request::ReadCoils(one(span))),
        ],
        _ => [None, None],
    }
}
