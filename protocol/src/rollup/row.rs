//! The packed row in which rollups are stored: up to eight columns, an hour of minutes, a day of
//! hours or 32 days. About eight bytes per entry of an integer column. Never more than 480 entries.
//!
//! ```text
//! version 1, columns, per column its length (varint), shared times, the columns, crc32c (LE)
//! shared:  buckets (u64 LE, a bit each), per bucket: earliest and latest reading (µs from the
//!          begin of the bucket, varints; the latest from the earliest), highest count (varint)
//! column:  buckets (u64 LE), form of the values, per bucket:
//!          flags, [worst quality], [count], [first time], [time from first to last], values
//! values:  form 0: zigzag min - previous min, varints max - min, first - min, last - min,
//!          sum - count * min; form 1: four f32 and an f64; form 2: five f64 (LE)
//! ```

use super::bytes::{Reader, put_varint, put_zigzag};
use super::{Level, Rollup};
use crate::reading::Quality;
use crate::time::Timestamp;

/// Most columns of a row. A group with more has several rows for the same time.
pub const COLUMNS_PER_ROW: usize = 8;
const VERSION: u8 = 1;
const WORST: u8 = 1;
const COUNT: u8 = 2;
const FIRST_TIME: u8 = 4;
const LAST_TIME: u8 = 8;
const EMPTY: u8 = 16;
const WHOLE: u8 = 0;
const SINGLE: u8 = 1;
const DOUBLE: u8 = 2;
/// Whole numbers up to here are the same as floats and as integers.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// Why a stored row could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RollupError {
    /// Its bytes were changed or cut off on the disk.
    #[error("stored statistics are damaged; they can be made again from the readings")]
    Damaged,
    /// Made by a newer program.
    #[error("stored statistics have version {0}, which is not known here; update this program")]
    UnknownVersion(u8),
}

/// A row, unpacked.
#[derive(Clone, Debug, PartialEq)]
pub struct RollupRow {
    level: Level,
    /// Number of the row, see [`Level::row_of`].
    number: i64,
    columns: Vec<Vec<Option<Rollup>>>,
}

/// What most columns of a bucket have in common.
#[derive(Clone, Copy, Default)]
struct Shared {
    first_us: i64,
    last_us: i64,
    count: u32,
}

impl RollupRow {
    /// An empty row; `columns` is held to [`COLUMNS_PER_ROW`].
    pub fn new(level: Level, number: i64, columns: usize) -> Self {
        let buckets = buckets(level);
        Self {
            level,
            number,
            columns: vec![vec![None; buckets]; columns.min(COLUMNS_PER_ROW)],
        }
    }

    /// Takes readings of one column and bucket in; a bucket of another row is left out.
    pub fn merge(&mut self, column: usize, bucket: i64, more: &Rollup) {
        let at = bucket.checked_sub(self.first_bucket());
        let at = at.and_then(|at| usize::try_from(at).ok());
        let entries = self.columns.get_mut(column);
        if let Some(entry) = at.zip(entries).and_then(|(at, all)| all.get_mut(at)) {
            match entry {
                Some(entry) => entry.merge(more),
                None => *entry = Some(*more),
            }
        }
    }

    /// The entries of one column with the numbers of their buckets, ascending.
    pub fn column(&self, column: usize) -> impl Iterator<Item = (i64, &Rollup)> {
        let entries = self.columns.get(column).into_iter().flatten();
        let first = self.first_bucket();
        (0..)
            .zip(entries)
            .filter_map(move |(at, entry)| Some((first.saturating_add(at), entry.as_ref()?)))
    }

    const fn first_bucket(&self) -> i64 {
        self.number.saturating_mul(self.level.buckets_per_row())
    }

    /// The row as it is stored.
    pub fn encode(&self) -> Vec<u8> {
        let start = |at: usize| start(self.level, self.number, at);
        let shared: Vec<Option<Shared>> = (0..buckets(self.level))
            .map(|at| shared(&self.columns, at, start(at)))
            .collect();
        let sections: Vec<Vec<u8>> = self
            .columns
            .iter()
            .map(|entries| column_section(entries, &shared, &start))
            .collect();
        let mut out = vec![VERSION, u8::try_from(sections.len()).unwrap_or(0)];
        for section in &sections {
            put_varint(&mut out, u64::try_from(section.len()).unwrap_or(0));
        }
        put_present(&mut out, shared.iter().map(Option::is_some));
        for shared in shared.into_iter().flatten() {
            put_varint(&mut out, shared.first_us.cast_unsigned());
            put_varint(&mut out, (shared.last_us - shared.first_us).cast_unsigned());
            put_varint(&mut out, shared.count.into());
        }
        out.extend(sections.into_iter().flatten());
        let checksum = crc32c::crc32c(&out);
        out.extend_from_slice(&checksum.to_le_bytes());
        out
    }

    /// Reads a stored row.
    pub fn decode(level: Level, number: i64, bytes: &[u8]) -> Result<Self, RollupError> {
        let open = Open::new(level, bytes)?;
        let columns = open
            .sections
            .iter()
            .map(|section| entries(*section, &open.shared, |at| start(level, number, at)))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            level,
            number,
            columns,
        })
    }

    /// Reads one column of a stored row; the others are not looked at. A column that it does not
    /// have is empty.
    pub fn decode_column(
        (level, number): (Level, i64),
        bytes: &[u8],
        column: usize,
    ) -> Result<Vec<(i64, Rollup)>, RollupError> {
        let open = Open::new(level, bytes)?;
        let Some(section) = open.sections.get(column) else {
            return Ok(Vec::new());
        };
        let entries = entries(*section, &open.shared, |at| start(level, number, at))?;
        let first = number.saturating_mul(level.buckets_per_row());
        // A damaged store may say any number.
        let present = (0..).zip(entries);
        Ok(present
            .filter_map(|(at, entry)| Some((first.saturating_add(at), entry?)))
            .collect())
    }
}

fn buckets(level: Level) -> usize {
    usize::try_from(level.buckets_per_row()).unwrap_or(0)
}

/// Begin of a bucket of a row.
fn start(level: Level, number: i64, at: usize) -> Timestamp {
    let first = number.saturating_mul(level.buckets_per_row());
    level.start(first.saturating_add(i64::try_from(at).unwrap_or(0)))
}

/// What most columns have in common; `None` when no column has an entry.
fn shared(columns: &[Vec<Option<Rollup>>], at: usize, start: Timestamp) -> Option<Shared> {
    let mut shared: Option<Shared> = None;
    let entries = columns
        .iter()
        .filter_map(|entries| entries.get(at)?.as_ref());
    for entry in entries {
        let found = shared.get_or_insert_default();
        if entry.count > found.count {
            *found = Shared {
                first_us: offset(entry.first_time, start),
                last_us: offset(entry.last_time, start),
                count: entry.count,
            };
        }
    }
    shared
}

/// Both lie in the bucket, so neither is negative; the last one never lies before the first.
fn offset(time: Timestamp, start: Timestamp) -> i64 {
    time.micros_since(start).max(0)
}

fn put_present(out: &mut Vec<u8>, present: impl DoubleEndedIterator<Item = bool>) {
    let bits = present
        .rev()
        .fold(0, |bits, set| bits << 1 | u64::from(set));
    out.extend_from_slice(&bits.to_le_bytes());
}

fn column_section(
    entries: &[Option<Rollup>],
    shared: &[Option<Shared>],
    start: &impl Fn(usize) -> Timestamp,
) -> Vec<u8> {
    let mut out = Vec::new();
    put_present(&mut out, entries.iter().map(Option::is_some));
    let form = form(entries);
    out.push(form);
    let mut previous = 0_i64;
    for (at, (entry, shared)) in entries.iter().zip(shared).enumerate() {
        let (Some(entry), Some(shared)) = (entry, shared) else {
            continue;
        };
        put_head(&mut out, entry, *shared, start(at));
        if entry.count > 0 {
            put_values(&mut out, entry, form, &mut previous);
        }
    }
    out
}

fn put_head(out: &mut Vec<u8>, entry: &Rollup, shared: Shared, start: Timestamp) {
    let bad = entry.worst != Quality::Good;
    if entry.count == 0 {
        out.push(EMPTY | if bad { WORST } else { 0 });
        if bad {
            out.push(entry.worst.code());
        }
        return;
    }
    let first_us = offset(entry.first_time, start);
    let last_us = offset(entry.last_time, start).max(first_us);
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    let flags = flag(bad, WORST)
        | flag(entry.count != shared.count, COUNT)
        | flag(first_us != shared.first_us, FIRST_TIME)
        | flag(last_us != shared.last_us, LAST_TIME);
    out.push(flags);
    if bad {
        out.push(entry.worst.code());
    }
    if flags & COUNT != 0 {
        put_varint(out, entry.count.into());
    }
    if flags & FIRST_TIME != 0 {
        put_varint(out, first_us.cast_unsigned());
    }
    if flags & LAST_TIME != 0 {
        put_varint(out, (last_us - first_us).cast_unsigned());
    }
}

/// The shortest form that loses nothing.
fn form(entries: &[Option<Rollup>]) -> u8 {
    let used = || entries.iter().flatten().filter(|entry| entry.count > 0);
    let values = |entry: &Rollup| [entry.min, entry.max, entry.first, entry.last];
    let is_whole = |entry: &Rollup| {
        values(entry).into_iter().all(|v| whole(v).is_some()) && rise(entry).is_some()
    };
    if used().all(is_whole) {
        WHOLE
    } else if used().all(|entry| values(entry).into_iter().all(|v| single(v).is_some())) {
        SINGLE
    } else {
        DOUBLE
    }
}

/// How far the sum lies above `count` times the lowest value.
fn rise(entry: &Rollup) -> Option<u64> {
    let lowest = i64::from(entry.count).checked_mul(whole(entry.min)?)?;
    u64::try_from(whole(entry.sum)?.checked_sub(lowest)?).ok()
}

/// The same number as an integer. A negative zero is none.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "whole and within 53 bits"
)]
fn whole(value: f64) -> Option<i64> {
    let whole = value as i64;
    (value.abs() <= WHOLE_MAX && to_float(whole).to_bits() == value.to_bits()).then_some(whole)
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "within 53 bits, or compared afterwards"
)]
const fn to_float(whole: i64) -> f64 {
    whole as f64
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "only taken when the way back gives the same bits"
)]
fn single(value: f64) -> Option<f32> {
    let single = value as f32;
    (f64::from(single).to_bits() == value.to_bits()).then_some(single)
}

fn put_values(out: &mut Vec<u8>, entry: &Rollup, form: u8, previous: &mut i64) {
    let values = [entry.min, entry.max, entry.first, entry.last];
    match form {
        WHOLE => {
            let min = whole(entry.min).unwrap_or(0);
            put_zigzag(out, min.wrapping_sub(*previous));
            for value in values.into_iter().skip(1) {
                let above = whole(value).unwrap_or(0).wrapping_sub(min);
                put_varint(out, above.cast_unsigned());
            }
            put_varint(out, rise(entry).unwrap_or(0));
            *previous = min;
        }
        SINGLE => {
            for value in values.into_iter().filter_map(single) {
                out.extend_from_slice(&value.to_le_bytes());
            }
            out.extend_from_slice(&entry.sum.to_le_bytes());
        }
        _ => {
            for value in values.into_iter().chain([entry.sum]) {
                out.extend_from_slice(&value.to_le_bytes());
            }
        }
    }
}

/// A row whose checksum is right, cut into its parts.
struct Open<'a> {
    shared: Vec<Option<Shared>>,
    sections: Vec<Reader<'a>>,
}

impl<'a> Open<'a> {
    fn new(level: Level, bytes: &'a [u8]) -> Result<Self, RollupError> {
        let (checked, stored) = bytes.split_last_chunk::<4>().ok_or(RollupError::Damaged)?;
        if crc32c::crc32c(checked) != u32::from_le_bytes(*stored) {
            return Err(RollupError::Damaged);
        }
        let mut reader = Reader(checked);
        match reader.byte()? {
            VERSION => {}
            version => return Err(RollupError::UnknownVersion(version)),
        }
        let columns = usize::from(reader.byte()?);
        if columns > COLUMNS_PER_ROW {
            return Err(RollupError::Damaged);
        }
        let lengths = (0..columns)
            .map(|_| usize::try_from(reader.varint()?).map_err(|_| RollupError::Damaged))
            .collect::<Result<Vec<_>, _>>()?;
        let shared = present(&mut reader, level)?
            .into_iter()
            .map(|present| present.then(|| Shared::read(&mut reader)).transpose())
            .collect::<Result<_, _>>()?;
        let sections = lengths
            .into_iter()
            .map(|length| reader.take(length).map(Reader))
            .collect::<Result<_, _>>()?;
        Ok(Self { shared, sections })
    }
}

impl Shared {
    fn read(reader: &mut Reader<'_>) -> Result<Self, RollupError> {
        let first_us = reader.varint()?.cast_signed();
        Ok(Self {
            first_us,
            last_us: first_us.wrapping_add(reader.varint()?.cast_signed()),
            count: u32::try_from(reader.varint()?).map_err(|_| RollupError::Damaged)?,
        })
    }
}

fn present(reader: &mut Reader<'_>, level: Level) -> Result<Vec<bool>, RollupError> {
    let bits = u64::from_le_bytes(reader.array()?);
    Ok((0..buckets(level)).map(|at| bits >> at & 1 == 1).collect())
}

fn entries(
    mut reader: Reader<'_>,
    shared: &[Option<Shared>],
    start: impl Fn(usize) -> Timestamp,
) -> Result<Vec<Option<Rollup>>, RollupError> {
    let bits = u64::from_le_bytes(reader.array()?);
    let form = reader.byte()?;
    let mut previous = 0_i64;
    let mut all = Vec::with_capacity(shared.len());
    for (at, shared) in shared.iter().enumerate() {
        if bits >> at & 1 == 0 {
            all.push(None);
            continue;
        }
        let shared = shared.ok_or(RollupError::Damaged)?;
        let mut entry = read_head(&mut reader, shared, start(at))?;
        if entry.count > 0 {
            read_values(&mut reader, &mut entry, form, &mut previous)?;
        }
        all.push(Some(entry));
    }
    Ok(all)
}

fn read_head(
    reader: &mut Reader<'_>,
    shared: Shared,
    start: Timestamp,
) -> Result<Rollup, RollupError> {
    let flags = reader.byte()?;
    let worst = if flags & WORST == 0 {
        Quality::Good
    } else {
        Quality::from_code(reader.byte()?).ok_or(RollupError::Damaged)?
    };
    let mut entry = Rollup::empty(worst);
    if flags & EMPTY != 0 {
        return Ok(entry);
    }
    entry.count = shared.count;
    if flags & COUNT != 0 {
        entry.count = u32::try_from(reader.varint()?).map_err(|_| RollupError::Damaged)?;
    }
    let (mut first_us, mut last_us) = (shared.first_us, shared.last_us);
    if flags & FIRST_TIME != 0 {
        first_us = reader.varint()?.cast_signed();
    }
    if flags & LAST_TIME != 0 {
        last_us = first_us.wrapping_add(reader.varint()?.cast_signed());
    }
    entry.first_time = start.plus_micros(first_us);
    entry.last_time = start.plus_micros(last_us);
    Ok(entry)
}

fn read_values(
    reader: &mut Reader<'_>,
    entry: &mut Rollup,
    form: u8,
    previous: &mut i64,
) -> Result<(), RollupError> {
    match form {
        WHOLE => {
            let min = previous.wrapping_add(reader.zigzag()?);
            let mut above = || Ok(to_float(min.wrapping_add(reader.varint()?.cast_signed())));
            [entry.max, entry.first, entry.last] = [above()?, above()?, above()?];
            let rise = reader.varint()?.cast_signed();
            let lowest = i64::from(entry.count).wrapping_mul(min);
            (entry.min, entry.sum) = (to_float(min), to_float(lowest.wrapping_add(rise)));
            *previous = min;
        }
        SINGLE => {
            let mut next = || {
                reader
                    .array()
                    .map(|bytes| f64::from(f32::from_le_bytes(bytes)))
            };
            [entry.min, entry.max, entry.first, entry.last] = [next()?, next()?, next()?, next()?];
            entry.sum = f64::from_le_bytes(reader.array()?);
        }
        DOUBLE => {
            let mut next = || reader.array().map(f64::from_le_bytes);
            [entry.min, entry.max, entry.first, entry.last] = [next()?, next()?, next()?, next()?];
            entry.sum = next()?;
        }
        _ => return Err(RollupError::Damaged),
    }
    Ok(())
}
