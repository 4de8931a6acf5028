//! The small layout (PROTOCOL §3.2): a few polls, as written at every commit and sent live.
//! Never keeps statistics or offsets: it is decoded whole.

use super::bits::{BitReader, Writer, best_rice, get_rice, put_rice};
use super::bytes::{Reader, put_runs, put_zigzag, unzigzag, zigzag};
use super::cells::{self, CellKind};
use super::column::Work;
use super::{BlockError, BlockHeader, malformed, size};
use crate::reading::{Cell, Poll, Raw};
use crate::time::{ClockState, Timestamp};

/// Bits of the smallest width of a first integer, its largest, and bits of `more_bits`.
const BASE_BITS: u32 = 6;
const BASE_MAX: u32 = 63;
const MORE_BITS: u32 = 3;
/// Bits of a float's width, and the width that stands for a number in 64 bits.
const SIZE_BITS: u32 = 6;
const WHOLE: u32 = 63;
/// Bits of a column's Rice parameter, its largest, and the one that says: all differences are 0.
const PARAMETER_BITS: u32 = 5;
const LOW_BITS_MAX: u8 = 30;
const SAME: u32 = 31;

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
    let mut bits = Writer::new(&mut out);
    let firsts = columns.clone().filter_map(|index| {
        column(polls, index).find_map(|cell| match cell {
            Cell::Value(Raw::Int(value), _) => Some(value),
            _ => None,
        })
    });
    let form = FirstForm::of(firsts);
    form.put(&mut bits);
    let mut work = Work::default();
    for index in columns {
        work.ints.clear();
        work.floats.clear();
        for cell in column(polls, index) {
            match cell {
                Cell::Value(Raw::Int(value), _) => work.ints.push(value),
                Cell::Value(Raw::Float(value), _) => work.floats.push(value),
                Cell::Skipped | Cell::Missing(_) => {}
            }
        }
        put_ints(&mut bits, &form, &work.ints);
        put_floats(&mut bits, &work.floats);
    }
    bits.finish();
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
    let Work {
        codes,
        ints,
        floats,
        ..
    } = work;
    let mut bits = BitReader::new(reader.rest());
    let form = FirstForm::get(&mut bits);
    for (column, codes) in codes.chunks(count).enumerate() {
        let (mut int_count, mut float_count) = (0, 0);
        for code in codes {
            match cells::kind(*code)? {
                CellKind::Empty(_) => {}
                CellKind::Int(_) => int_count += 1,
                CellKind::Float(_) => float_count += 1,
            }
        }
        get_ints(&mut bits, &form, int_count, ints)?;
        get_floats(&mut bits, float_count, floats)?;
        let (mut ints, mut floats) = (ints.iter(), floats.iter());
        for (poll, code) in codes.iter().enumerate() {
            let raw = |raw: Option<Raw>| raw.ok_or(BlockError::Truncated);
            let cell = match cells::kind(*code)? {
                CellKind::Empty(cell) => cell,
                CellKind::Int(quality) => {
                    Cell::Value(raw(ints.next().copied().map(Raw::Int))?, quality)
                }
                CellKind::Float(quality) => {
                    Cell::Value(raw(floats.next().copied().map(Raw::Float))?, quality)
                }
            };
            each(column, poll, cell);
        }
    }
    reader.section(bits.bytes_used())?;
    reader.end()
}

/// How the first integers of all columns are written, which have nothing before them to be told
/// from: a width within the bounds of all, then the bits without the top one.
struct FirstForm {
    /// Some are negative, so all are zigzag.
    signed: bool,
    /// The smallest width.
    base: u32,
    /// Bits that tell how much wider one is.
    more_bits: u32,
}

impl FirstForm {
    fn of(firsts: impl Iterator<Item = i64> + Clone) -> Self {
        let signed = firsts.clone().any(i64::is_negative);
        let form = Self {
            signed,
            base: 0,
            more_bits: 0,
        };
        let widths = firsts.map(|first| width(form.code(first)));
        let base = widths.clone().min().unwrap_or(0).min(BASE_MAX);
        let more = widths.max().unwrap_or(0).saturating_sub(base);
        Self {
            base,
            more_bits: u32::BITS - more.leading_zeros(),
            ..form
        }
    }

    fn put(&self, bits: &mut Writer<'_>) {
        bits.put(u64::from(self.signed), 1);
        bits.put(u64::from(self.base), BASE_BITS);
        bits.put(u64::from(self.more_bits), MORE_BITS);
    }

    fn get(bits: &mut BitReader<'_>) -> Self {
        Self {
            signed: bits.get(1) == 1,
            base: bits.get_number(BASE_BITS),
            more_bits: bits.get_number(MORE_BITS),
        }
    }

    const fn code(&self, value: i64) -> u64 {
        if self.signed {
            zigzag(value)
        } else {
            value.cast_unsigned()
        }
    }

    fn put_value(&self, bits: &mut Writer<'_>, value: i64) {
        let code = self.code(value);
        let width = width(code);
        bits.put(u64::from(width - self.base), self.more_bits);
        bits.put(code, width.saturating_sub(1));
    }

    fn value(&self, bits: &mut BitReader<'_>) -> Result<i64, BlockError> {
        let width = self.base + bits.get_number(self.more_bits);
        let code = match width {
            0 => 0,
            1..=64 => 1 << (width - 1) | bits.get(width - 1),
            _ => return Err(malformed("number beyond 64 bits")),
        };
        Ok(if self.signed {
            unzigzag(code)
        } else {
            code.cast_signed()
        })
    }
}

/// Bits that a number needs.
const fn width(code: u64) -> u32 {
    u64::BITS - code.leading_zeros()
}

/// The first with its width, then Rice codes of the differences, all with one parameter.
fn put_ints(bits: &mut Writer<'_>, form: &FirstForm, values: &[i64]) {
    let Some((first, rest)) = values.split_first() else {
        return;
    };
    form.put_value(bits, *first);
    if rest.is_empty() {
        return;
    }
    let steps = values.iter().zip(rest);
    let codes: Vec<u64> = steps.map(|(a, b)| zigzag(b.wrapping_sub(*a))).collect();
    if codes.iter().all(|code| *code == 0) {
        bits.put(u64::from(SAME), PARAMETER_BITS);
        return;
    }
    let low_bits = u32::from(best_rice(&codes, LOW_BITS_MAX));
    bits.put(u64::from(low_bits), PARAMETER_BITS);
    for code in codes {
        put_rice(bits, code, low_bits);
    }
}

fn get_ints(
    bits: &mut BitReader<'_>,
    form: &FirstForm,
    count: usize,
    values: &mut Vec<i64>,
) -> Result<(), BlockError> {
    values.clear();
    if count == 0 {
        return Ok(());
    }
    let mut value = form.value(bits)?;
    values.push(value);
    if count > 1 {
        let low_bits = bits.get_number(PARAMETER_BITS);
        for _ in 1..count {
            if low_bits != SAME {
                value = value.wrapping_add(unzigzag(get_rice(bits, low_bits)));
            }
            values.push(value);
        }
    }
    bits.check()
}

/// Each combined by exclusive or with the one before, then reversed: the zero low bits of a
/// widened `f32` or of a whole number become leading zeros, which take no room.
fn put_floats(bits: &mut Writer<'_>, values: &[f64]) {
    let mut previous = 0;
    for value in values {
        put_sized(bits, (value.to_bits() ^ previous).reverse_bits());
        previous = value.to_bits();
    }
}

fn get_floats(
    bits: &mut BitReader<'_>,
    count: usize,
    values: &mut Vec<f64>,
) -> Result<(), BlockError> {
    values.clear();
    let mut previous = 0;
    for _ in 0..count {
        previous ^= get_sized(bits).reverse_bits();
        values.push(f64::from_bits(previous));
    }
    bits.check()
}

/// Six bits of width, then the number without its top bit; a long number whole.
fn put_sized(bits: &mut Writer<'_>, code: u64) {
    let width = width(code);
    if width < WHOLE {
        bits.put(u64::from(width), SIZE_BITS);
        bits.put(code, width.saturating_sub(1));
    } else {
        bits.put(u64::from(WHOLE), SIZE_BITS);
        bits.put(code, 64);
    }
}

fn get_sized(bits: &mut BitReader<'_>) -> u64 {
    match bits.get_number(SIZE_BITS) {
        0 => 0,
        WHOLE => bits.get(64),
        width => 1 << (width - 1) | bits.get(width - 1),
    }
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
