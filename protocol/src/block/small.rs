//! The small layout (PROTOCOL §3.2): a few polls, as written at every commit, with nothing but varints.
//! Never keeps statistics or offsets: it is decoded whole.

use super::bytes::{Previous, Reader, put_runs, put_zigzag};
use super::cells::{self, CellKind};
use super::{BlockError, BlockHeader, size};
use crate::reading::{Cell, Poll};
use crate::time::Timestamp;

/// Clock states, times between the first and the last, cell codes column by column, values
/// column by column.
pub(super) fn encode(header: &BlockHeader, polls: &[Poll]) -> Vec<u8> {
    let mut out = Vec::new();
    let clocks: Vec<u8> = polls
        .iter()
        .map(|poll| cells::clock_code(poll.clock))
        .collect();
    put_runs(&mut out, &clocks);
    put_times(&mut out, polls);
    let columns = 0..size(header.columns);
    let codes: Vec<u8> = columns
        .clone()
        .flat_map(|index| column(polls, index))
        .map(cells::code)
        .collect();
    put_runs(&mut out, &codes);
    for index in columns {
        let mut previous = Previous::default();
        for cell in column(polls, index) {
            if let Cell::Value(raw, _) = cell {
                previous.put(&mut out, raw);
            }
        }
    }
    out
}

pub(super) fn decode(
    header: &BlockHeader,
    mut reader: Reader<'_>,
) -> Result<Vec<Poll>, BlockError> {
    let count = size(header.count);
    let columns = size(header.columns);
    let clocks = reader.runs(count)?;
    let times = get_times(header, &mut reader)?;
    let codes = reader.runs(count * columns)?;
    let mut polls = Vec::with_capacity(count);
    for (time, clock) in times.into_iter().zip(clocks) {
        let clock = cells::clock(clock)?;
        polls.push(Poll {
            time,
            clock,
            cells: Vec::with_capacity(columns),
        });
    }
    for column in codes.chunks(count) {
        let mut previous = Previous::default();
        for (code, poll) in column.iter().zip(&mut polls) {
            poll.cells.push(match cells::kind(*code)? {
                CellKind::Empty(cell) => cell,
                CellKind::Int(quality) => Cell::Value(previous.int(&mut reader)?, quality),
                CellKind::Float(quality) => Cell::Value(previous.float(&mut reader)?, quality),
            });
        }
    }
    reader.end()?;
    Ok(polls)
}

/// The cells of one column, poll by poll.
pub(super) fn column(polls: &[Poll], index: usize) -> impl Iterator<Item = Cell> {
    polls
        .iter()
        .filter_map(move |poll| poll.cells.get(index))
        .copied()
}

/// How much longer each step is than the step before; first and last time stand in the header.
fn put_times(out: &mut Vec<u8>, polls: &[Poll]) {
    let mut step = 0_i64;
    let inner = polls.len().saturating_sub(2);
    for (before, poll) in polls.iter().zip(polls.iter().skip(1)).take(inner) {
        let next_step = poll.time.0.wrapping_sub(before.time.0);
        put_zigzag(out, next_step.wrapping_sub(step));
        step = next_step;
    }
}

fn get_times(header: &BlockHeader, reader: &mut Reader<'_>) -> Result<Vec<Timestamp>, BlockError> {
    let mut times = Vec::with_capacity(size(header.count));
    times.push(header.first_time);
    let (mut time, mut step) = (header.first_time.0, 0_i64);
    for _ in 2..header.count {
        step = step.wrapping_add(reader.zigzag()?);
        time = time.wrapping_add(step);
        times.push(Timestamp(time));
    }
    if header.count > 1 {
        times.push(header.last_time);
    }
    Ok(times)
}
