//! What a chart from far away needs of a column: count, extremes, sum, first and last.
//! Never scaled: these are raw values, as the cells are.

use super::BlockError;
use super::bytes::{Previous, Reader, put_varint};
use crate::reading::{Cell, Raw, RawKind, to_f64};
use std::cmp::Ordering;

/// Of the values of one column of a block, whatever their quality. A NaN is left out.
///
/// Integers count as signed: for a column of `RawKind::Uint64` with values above `i64::MAX`,
/// compute from the decoded cells instead.
#[derive(Clone, Copy, Debug)]
pub struct ColumnStatistics {
    /// How many values, at least 1.
    pub count: u32,
    /// Smallest value.
    pub min: Raw,
    /// Largest value.
    pub max: Raw,
    /// Earliest value.
    pub first: Raw,
    /// Latest value.
    pub last: Raw,
    /// Sum of the raw values, added up in order as floats.
    pub sum: f64,
}

/// Equal to the bit, as raw values are.
impl PartialEq for ColumnStatistics {
    fn eq(&self, other: &Self) -> bool {
        self.count == other.count
            && self.parts() == other.parts()
            && self.sum.to_bits() == other.sum.to_bits()
    }
}

impl ColumnStatistics {
    /// `None` when there is no value that is a number.
    pub fn of(cells: impl IntoIterator<Item = Cell>) -> Option<Self> {
        let mut statistics = None;
        for cell in cells {
            if let Cell::Value(raw, _) = cell {
                Self::add(&mut statistics, raw);
            }
        }
        Self::finish(statistics)
    }

    /// Counts one more value in; `finish` is to follow the last.
    pub(super) fn add(so_far: &mut Option<Self>, raw: Raw) {
        let value = to_f64(raw, RawKind::Int);
        if value.is_nan() {
            return;
        }
        let Some(statistics) = so_far else {
            *so_far = Some(Self {
                count: 1,
                min: raw,
                max: raw,
                first: raw,
                last: raw,
                sum: value,
            });
            return;
        };
        statistics.count = statistics.count.saturating_add(1);
        statistics.sum += value;
        statistics.last = raw;
        if compare(raw, statistics.min) == Ordering::Less {
            statistics.min = raw;
        }
        if compare(raw, statistics.max) == Ordering::Greater {
            statistics.max = raw;
        }
    }

    /// Infinities of both signs add up to a NaN whose sign depends on the processor.
    pub(super) fn finish(statistics: Option<Self>) -> Option<Self> {
        statistics.map(|result| Self {
            sum: if result.sum.is_nan() {
                f64::NAN
            } else {
                result.sum
            },
            ..result
        })
    }

    /// The same of integers alone, faster.
    pub(super) fn of_ints(values: &[i64]) -> Option<Self> {
        let (first, last) = (values.first()?, values.last()?);
        let (mut min, mut max, mut sum) = (*first, *first, 0.0);
        for value in values {
            min = min.min(*value);
            max = max.max(*value);
            sum += to_f64(Raw::Int(*value), RawKind::Int);
        }
        Some(Self {
            count: u32::try_from(values.len()).unwrap_or(u32::MAX),
            min: Raw::Int(min),
            max: Raw::Int(max),
            first: Raw::Int(*first),
            last: Raw::Int(*last),
            sum,
        })
    }

    const fn parts(&self) -> [Raw; 4] {
        [self.min, self.max, self.first, self.last]
    }
}

fn compare(a: Raw, b: Raw) -> Ordering {
    match (a, b) {
        (Raw::Int(a), Raw::Int(b)) => a.cmp(&b),
        _ => to_f64(a, RawKind::Int).total_cmp(&to_f64(b, RawKind::Int)),
    }
}

/// The count; unless it is 0, which of the four values are floats, the four, the sum.
pub(super) fn put(out: &mut Vec<u8>, statistics: Option<ColumnStatistics>) {
    let Some(statistics) = statistics else {
        out.push(0);
        return;
    };
    put_varint(out, u64::from(statistics.count));
    let is_float = |raw: &Raw| u8::from(matches!(raw, Raw::Float(_)));
    let parts = statistics.parts();
    out.push(
        parts
            .iter()
            .rev()
            .fold(0, |flags, raw| flags << 1 | is_float(raw)),
    );
    let mut previous = Previous::default();
    for raw in parts {
        previous.put(out, raw);
    }
    Previous::default().put(out, Raw::Float(statistics.sum));
}

pub(super) fn get(reader: &mut Reader<'_>) -> Result<Option<ColumnStatistics>, BlockError> {
    let count = reader.number()?;
    if count == 0 {
        return Ok(None);
    }
    let flags = reader.byte()?;
    let mut previous = Previous::default();
    let mut part = |bit: u8| {
        if flags & bit == 0 {
            previous.int(reader)
        } else {
            previous.float(reader)
        }
    };
    let (min, max, first, last) = (part(1)?, part(2)?, part(4)?, part(8)?);
    let sum = to_f64(Previous::default().float(reader)?, RawKind::Float);
    Ok(Some(ColumnStatistics {
        count,
        min,
        max,
        first,
        last,
        sum,
    }))
}
