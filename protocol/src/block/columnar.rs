//! The columnar layout (PROTOCOL §3.3): many polls, one section per column, so that one column decodes alone.
//! Never decodes a section that was not asked for.

use super::bytes::{Reader, put_runs, put_varint};
use super::cells::{self, CellKind};
use super::small::column;
use super::statistics::{self, ColumnStatistics};
use super::{BlockError, BlockHeader, floats, integers, malformed, no_such_column, size};
use crate::reading::{Cell, Poll, Raw};
use crate::time::{ClockState, Timestamp};

/// Shortest section: one byte of statistics or times and one run.
const SECTION_BYTES_MIN: usize = 3;

/// The length of every section, then the time section, then one section per column.
pub(super) fn encode(header: &BlockHeader, polls: &[Poll]) -> Vec<u8> {
    let columns = (0..size(header.columns)).map(|index| {
        let cells: Vec<Cell> = column(polls, index).collect();
        column_section(&cells)
    });
    let sections: Vec<Vec<u8>> = std::iter::once(time_section(polls))
        .chain(columns)
        .collect();
    let mut out = Vec::new();
    for section in &sections {
        put_varint(&mut out, u64::try_from(section.len()).unwrap_or(u64::MAX));
    }
    out.extend(sections.into_iter().flatten());
    out
}

pub(super) fn decode(header: &BlockHeader, reader: Reader<'_>) -> Result<Vec<Poll>, BlockError> {
    let sections = Sections::read(header, reader)?;
    let mut polls = Vec::with_capacity(size(header.count));
    for (time, clock) in decode_times(header, sections.time)? {
        polls.push(Poll {
            time,
            clock,
            cells: Vec::with_capacity(size(header.columns)),
        });
    }
    for section in sections.columns {
        for (cell, poll) in decode_cells(header, section)?.into_iter().zip(&mut polls) {
            poll.cells.push(cell);
        }
    }
    Ok(polls)
}

pub(super) fn decode_column(
    header: &BlockHeader,
    reader: Reader<'_>,
    column: usize,
) -> Result<Vec<(Timestamp, ClockState, Cell)>, BlockError> {
    let sections = Sections::read(header, reader)?;
    let cells = decode_cells(header, sections.column(header, column)?)?;
    let times = decode_times(header, sections.time)?;
    Ok(times
        .into_iter()
        .zip(cells)
        .map(|((time, clock), cell)| (time, clock, cell))
        .collect())
}

pub(super) fn statistics(
    header: &BlockHeader,
    reader: Reader<'_>,
    column: usize,
) -> Result<Option<ColumnStatistics>, BlockError> {
    let sections = Sections::read(header, reader)?;
    statistics::get(&mut sections.column(header, column)?)
}

/// Where the sections are.
struct Sections<'a> {
    time: Reader<'a>,
    columns: Vec<Reader<'a>>,
}

impl<'a> Sections<'a> {
    fn read(header: &BlockHeader, mut reader: Reader<'a>) -> Result<Self, BlockError> {
        let lengths = (0..=header.columns)
            .map(|_| reader.number())
            .collect::<Result<Vec<_>, _>>()?;
        let mut sections = lengths.into_iter().map(|length| {
            if size(length) < SECTION_BYTES_MIN {
                return Err(malformed("section too short"));
            }
            reader.section(size(length))
        });
        let time = sections.next().ok_or(BlockError::Truncated)??;
        let columns = sections.collect::<Result<Vec<_>, _>>()?;
        reader.end()?;
        Ok(Self { time, columns })
    }

    fn column(&self, header: &BlockHeader, column: usize) -> Result<Reader<'a>, BlockError> {
        self.columns
            .get(column)
            .copied()
            .ok_or_else(|| no_such_column(header, column))
    }
}

/// Runs of clock states, then the times as integers.
fn time_section(polls: &[Poll]) -> Vec<u8> {
    let mut out = Vec::new();
    let clocks: Vec<u8> = polls
        .iter()
        .map(|poll| cells::clock_code(poll.clock))
        .collect();
    put_runs(&mut out, &clocks);
    let times: Vec<i64> = polls.iter().map(|poll| poll.time.0).collect();
    integers::put(&mut out, &times);
    out
}

fn decode_times(
    header: &BlockHeader,
    mut reader: Reader<'_>,
) -> Result<Vec<(Timestamp, ClockState)>, BlockError> {
    let clocks = reader.runs(size(header.count))?;
    let times = integers::get(&mut reader, size(header.count))?;
    reader.end()?;
    if times.first() != Some(&header.first_time.0) || times.last() != Some(&header.last_time.0) {
        return Err(malformed("times differ from the header"));
    }
    let pairs = times.into_iter().zip(clocks);
    pairs
        .map(|(time, clock)| Ok((Timestamp(time), cells::clock(clock)?)))
        .collect()
}

/// Statistics, runs of cell codes, the integer values, the float values.
fn column_section(cells: &[Cell]) -> Vec<u8> {
    let mut out = Vec::new();
    statistics::put(&mut out, ColumnStatistics::of(cells.iter().copied()));
    let codes: Vec<u8> = cells.iter().copied().map(cells::code).collect();
    put_runs(&mut out, &codes);
    let (mut ints, mut decimals) = (Vec::new(), Vec::new());
    for cell in cells {
        match cell {
            Cell::Value(Raw::Int(value), _) => ints.push(*value),
            Cell::Value(Raw::Float(value), _) => decimals.push(*value),
            Cell::Skipped | Cell::Missing(_) => {}
        }
    }
    integers::put(&mut out, &ints);
    floats::put(&mut out, &decimals);
    out
}

fn decode_cells(header: &BlockHeader, mut reader: Reader<'_>) -> Result<Vec<Cell>, BlockError> {
    let stored = statistics::get(&mut reader)?;
    let codes = reader.runs(size(header.count))?;
    let kinds = codes
        .into_iter()
        .map(cells::kind)
        .collect::<Result<Vec<_>, _>>()?;
    let int_count = kinds
        .iter()
        .filter(|kind| matches!(kind, CellKind::Int(_)))
        .count();
    let float_count = kinds
        .iter()
        .filter(|kind| matches!(kind, CellKind::Float(_)))
        .count();
    let mut ints = integers::get(&mut reader, int_count)?.into_iter();
    let mut floats = floats::get(&mut reader, float_count)?.into_iter();
    reader.end()?;
    let cells = kinds.into_iter().map(|kind| match kind {
        CellKind::Empty(cell) => Some(cell),
        CellKind::Int(quality) => Some(Cell::Value(Raw::Int(ints.next()?), quality)),
        CellKind::Float(quality) => Some(Cell::Value(Raw::Float(floats.next()?), quality)),
    });
    let cells = cells
        .collect::<Option<Vec<_>>>()
        .ok_or(BlockError::Truncated)?;
    if ColumnStatistics::of(cells.iter().copied()) != stored {
        return Err(malformed("statistics differ from the values"));
    }
    Ok(cells)
}
