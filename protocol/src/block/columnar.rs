//! The columnar layout (PROTOCOL §3.3): many polls, one section per column, so that one column decodes alone.
//! Never decodes a section that was not asked for.

use super::bytes::{Reader, put_runs, put_varint};
use super::cells::{self, CellKind};
use super::column::{ColumnReader, Work};
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
    let (mut times, mut work) = (Vec::new(), Work::default());
    get_times(header, sections.time, &mut times, &mut work)?;
    let polls = times.into_iter().map(|(time, clock)| Poll {
        time,
        clock,
        cells: Vec::with_capacity(size(header.columns)),
    });
    let mut polls: Vec<Poll> = polls.collect();
    for section in sections.columns() {
        let mut next = polls.iter_mut();
        get_cells(header, section?, &mut work, |cell| {
            if let Some(poll) = next.next() {
                poll.cells.push(cell);
            }
        })?;
    }
    Ok(polls)
}

/// Fills `into` with the times and the cells of one column.
pub(super) fn read(
    header: &BlockHeader,
    reader: Reader<'_>,
    column: usize,
    into: &mut ColumnReader,
) -> Result<(), BlockError> {
    let ColumnReader { polls, cells, work } = into;
    let sections = Sections::read(header, reader)?;
    get_times(header, sections.time, polls, work)?;
    cells.clear();
    cells.reserve(size(header.count));
    let section = sections.column(header, column)?;
    get_cells(header, section, work, |cell| cells.push(cell))
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
    /// Lengths of the sections of the columns, and the sections.
    lengths: Reader<'a>,
    columns: Reader<'a>,
    count: u32,
}

impl<'a> Sections<'a> {
    /// Sees to it that the sections fill the body.
    fn read(header: &BlockHeader, mut reader: Reader<'a>) -> Result<Self, BlockError> {
        let mut lengths = reader;
        for _ in 0..=header.columns {
            reader.varint()?;
        }
        let time = section(&mut lengths, &mut reader)?;
        let sections = Self {
            time,
            lengths,
            columns: reader,
            count: header.columns,
        };
        for _ in 0..header.columns {
            section(&mut lengths, &mut reader)?;
        }
        reader.end()?;
        Ok(sections)
    }

    fn columns(&self) -> impl Iterator<Item = Result<Reader<'a>, BlockError>> {
        let (mut lengths, mut rest) = (self.lengths, self.columns);
        (0..self.count).map(move |_| section(&mut lengths, &mut rest))
    }

    fn column(&self, header: &BlockHeader, column: usize) -> Result<Reader<'a>, BlockError> {
        self.columns()
            .nth(column)
            .ok_or_else(|| no_such_column(header, column))?
    }
}

/// The next length, and the section of that length.
fn section<'a>(lengths: &mut Reader<'a>, rest: &mut Reader<'a>) -> Result<Reader<'a>, BlockError> {
    let length = size(lengths.number()?);
    if length < SECTION_BYTES_MIN {
        return Err(malformed("section too short"));
    }
    rest.section(length)
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

fn get_times(
    header: &BlockHeader,
    mut reader: Reader<'_>,
    polls: &mut Vec<(Timestamp, ClockState)>,
    work: &mut Work,
) -> Result<(), BlockError> {
    reader.runs(size(header.count), &mut work.codes)?;
    integers::get(&mut reader, size(header.count), &mut work.ints)?;
    reader.end()?;
    let times = &work.ints;
    if times.first() != Some(&header.first_time.0) || times.last() != Some(&header.last_time.0) {
        return Err(malformed("times differ from the header"));
    }
    polls.clear();
    polls.reserve(times.len());
    for (time, code) in times.iter().zip(&work.codes) {
        polls.push((Timestamp(*time), cells::clock(*code)?));
    }
    Ok(())
}

/// Statistics, runs of cell codes, the integer values, the float values.
fn column_section(cells: &[Cell]) -> Vec<u8> {
    let mut out = Vec::new();
    let codes: Vec<u8> = cells.iter().copied().map(cells::code).collect();
    let (mut ints, mut decimals) = (Vec::with_capacity(cells.len()), Vec::new());
    for cell in cells {
        match cell {
            Cell::Value(Raw::Int(value), _) => ints.push(*value),
            Cell::Value(Raw::Float(value), _) => decimals.push(*value),
            Cell::Skipped | Cell::Missing(_) => {}
        }
    }
    statistics::put(&mut out, statistics_of(cells, &ints, decimals.len()));
    put_runs(&mut out, &codes);
    integers::put(&mut out, &ints);
    floats::put(&mut out, &decimals);
    out
}

fn statistics_of(cells: &[Cell], ints: &[i64], floats: usize) -> Option<ColumnStatistics> {
    if floats == 0 {
        ColumnStatistics::of_ints(ints)
    } else {
        ColumnStatistics::of(cells.iter().copied())
    }
}

/// Calls `each` with the cells of a column, in order.
fn get_cells(
    header: &BlockHeader,
    mut reader: Reader<'_>,
    work: &mut Work,
    mut each: impl FnMut(Cell),
) -> Result<(), BlockError> {
    let stored = statistics::get(&mut reader)?;
    reader.runs(size(header.count), &mut work.codes)?;
    let (mut int_count, mut float_count) = (0, 0);
    for run in work.codes.chunk_by(|a, b| a == b) {
        match cells::kind(run.first().copied().unwrap_or_default())? {
            CellKind::Empty(_) => {}
            CellKind::Int(_) => int_count += run.len(),
            CellKind::Float(_) => float_count += run.len(),
        }
    }
    integers::get(&mut reader, int_count, &mut work.ints)?;
    floats::get(&mut reader, float_count, &mut work.wholes, &mut work.floats)?;
    reader.end()?;
    let (mut ints, mut floats) = (work.ints.iter().copied(), work.floats.iter().copied());
    let mut mixed = None;
    for run in work.codes.chunk_by(|a, b| a == b) {
        let ints = ints.by_ref().map(Raw::Int);
        let floats = floats.by_ref().map(Raw::Float);
        match cells::kind(run.first().copied().unwrap_or_default())? {
            CellKind::Empty(cell) => run.iter().for_each(|_| each(cell)),
            CellKind::Int(quality) if float_count == 0 => {
                ints.take(run.len())
                    .for_each(|raw| each(Cell::Value(raw, quality)));
            }
            CellKind::Int(quality) => ints.take(run.len()).for_each(|raw| {
                ColumnStatistics::add(&mut mixed, raw);
                each(Cell::Value(raw, quality));
            }),
            CellKind::Float(quality) => floats.take(run.len()).for_each(|raw| {
                ColumnStatistics::add(&mut mixed, raw);
                each(Cell::Value(raw, quality));
            }),
        }
    }
    let statistics = if float_count == 0 {
        ColumnStatistics::of_ints(&work.ints)
    } else {
        ColumnStatistics::finish(mixed)
    };
    if statistics != stored {
        return Err(malformed("statistics differ from the values"));
    }
    Ok(())
}
