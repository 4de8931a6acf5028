//! The small layout (PROTOCOL §3.2): a few polls, as written at every commit, with nothing but varints.
//! Never keeps statistics or offsets: it is decoded whole.

use super::bytes::{Previous, Reader, put_runs, put_zigzag};
use super::cells::{self, CellKind};
use super::column::Work;
use super::{BlockError, BlockHeader, size};
use crate::reading::{Cell, Poll};
use crate::time::{ClockState, Timestamp};

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

pub(super) fn decode(header: &BlockHeader, reader: Reader<'_>) -> Result<Vec<Poll>, BlockError> {
    let count = size(header.count);
    let mut cells = vec![Cell::Skipped; count * size(header.columns)];
    let (mut times, mut work) = (Vec::new(), Work::default());
    walk(
        header,
        reader,
        &mut times,
        &mut work,
        |column, poll, cell| {
            if let Some(place) = cells.get_mut(poll * size(header.columns) + column) {
                *place = cell;
            }
        },
    )?;
    let polls = times.into_iter().zip(cells.chunks(size(header.columns)));
    let polls = polls.map(|((time, clock), cells)| Poll {
        time,
        clock,
        cells: cells.to_vec(),
    });
    Ok(polls.collect())
}

/// Fills `polls` and calls `each` with column, poll and cell: column by column.
pub(super) fn walk(
    header: &BlockHeader,
    mut reader: Reader<'_>,
    polls: &mut Vec<(Timestamp, ClockState)>,
    work: &mut Work,
    mut each: impl FnMut(usize, usize, Cell),
) -> Result<(), BlockError> {
    let count = size(header.count);
    reader.runs(count, &mut work.codes)?;
    polls.clear();
    polls.reserve(count);
    for code in &work.codes {
        polls.push((header.first_time, cells::clock(*code)?));
    }
    get_times(header, &mut reader, polls)?;
    reader.runs(count * size(header.columns), &mut work.codes)?;
    for (column, codes) in work.codes.chunks(count).enumerate() {
        let mut previous = Previous::default();
        for (poll, code) in codes.iter().enumerate() {
            let cell = match cells::kind(*code)? {
                CellKind::Empty(cell) => cell,
                CellKind::Int(quality) => Cell::Value(previous.int(&mut reader)?, quality),
                CellKind::Float(quality) => Cell::Value(previous.float(&mut reader)?, quality),
            };
            each(column, poll, cell);
        }
    }
    reader.end()
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

/// Puts the times after the first into `polls`, which all hold the first.
fn get_times(
    header: &BlockHeader,
    reader: &mut Reader<'_>,
    polls: &mut [(Timestamp, ClockState)],
) -> Result<(), BlockError> {
    let Some((last, early)) = polls.split_last_mut() else {
        return Ok(());
    };
    last.0 = header.last_time;
    let (mut time, mut step) = (header.first_time.0, 0_i64);
    for (inner, _) in early.iter_mut().skip(1) {
        step = step.wrapping_add(reader.zigzag()?);
        time = time.wrapping_add(step);
        *inner = Timestamp(time);
    }
    Ok(())
}
