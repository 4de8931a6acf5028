//! One byte per cell for all but its value, and one per clock state.
//! Never loses a combination: even a bad quality beside a value comes back.

use super::{BlockError, malformed};
use crate::reading::{Cause, Cell, Quality, Raw};
use crate::time::ClockState;

/// No reading.
const SKIPPED: u8 = 0x80;
/// Bits of the state: value good, value uncertain, no value, value bad.
const STATE: u8 = 0xC0;
const GOOD: u8 = 0x00;
const UNCERTAIN: u8 = 0x40;
const MISSING: u8 = 0x80;
const BAD: u8 = 0xC0;
/// The value is a float.
const FLOAT: u8 = 0x20;

/// What a cell's byte says.
#[derive(Clone, Copy, Debug)]
pub(super) enum CellKind {
    /// A cell without a value.
    Empty(Cell),
    /// An integer follows.
    Int(Quality),
    /// A float follows.
    Float(Quality),
}

pub(super) const fn code(cell: Cell) -> u8 {
    match cell {
        Cell::Skipped => SKIPPED,
        Cell::Missing(cause) => MISSING | cause.code(),
        Cell::Value(raw, quality) => {
            let float = match raw {
                Raw::Int(_) => 0,
                Raw::Float(_) => FLOAT,
            };
            float
                | match quality {
                    Quality::Good => GOOD,
                    Quality::Uncertain(cause) => UNCERTAIN | cause.code(),
                    Quality::Bad(cause) => BAD | cause.code(),
                }
        }
    }
}

pub(super) fn kind(code: u8) -> Result<CellKind, BlockError> {
    let cause =
        || Cause::from_code(code & !STATE & !FLOAT).ok_or_else(|| malformed("unknown cell code"));
    let quality = match code & STATE {
        MISSING if code == SKIPPED => return Ok(CellKind::Empty(Cell::Skipped)),
        MISSING if code & FLOAT == 0 => return Ok(CellKind::Empty(Cell::Missing(cause()?))),
        GOOD if code & !FLOAT == 0 => Quality::Good,
        UNCERTAIN => Quality::Uncertain(cause()?),
        BAD => Quality::Bad(cause()?),
        _ => return Err(malformed("unknown cell code")),
    };
    Ok(if code & FLOAT == 0 {
        CellKind::Int(quality)
    } else {
        CellKind::Float(quality)
    })
}

pub(super) const fn clock_code(clock: ClockState) -> u8 {
    match clock {
        ClockState::Synchronised => 0,
        ClockState::Holdover => 1,
        ClockState::Untrusted => 2,
        ClockState::Corrected => 3,
    }
}

pub(super) fn clock(code: u8) -> Result<ClockState, BlockError> {
    match code {
        0 => Ok(ClockState::Synchronised),
        1 => Ok(ClockState::Holdover),
        2 => Ok(ClockState::Untrusted),
        3 => Ok(ClockState::Corrected),
        _ => Err(malformed("unknown clock state")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_refused_or_comes_back() {
        let mut known = 0;
        for byte in 0..=u8::MAX {
            let cell = match kind(byte) {
                Ok(CellKind::Empty(cell)) => cell,
                Ok(CellKind::Int(quality)) => Cell::Value(Raw::Int(1), quality),
                Ok(CellKind::Float(quality)) => Cell::Value(Raw::Float(1.0), quality),
                Err(_) => continue,
            };
            assert_eq!(code(cell), byte);
            known += 1;
        }
        assert_eq!(known, 1 + 9 + 2 * 19);
    }
}
