//! Statistics of the readings of a poll group per minute, hour and day: what charts from far away
//! are drawn from, with one meaning on the box and at the hub.
//! Never scaled: values are raw register values as floats; the group's schema has the scale. Never
//! the record of anything: whoever has the readings can make them again.

mod bytes;
mod row;
#[cfg(test)]
#[expect(
    clippy::float_cmp,
    reason = "statistics hold the very values that went in"
)]
mod tests;

use crate::reading::{Cell, Column, Poll, Quality, RawKind, to_f64};
use crate::time::{ClockState, Timestamp};

pub use row::{COLUMNS_PER_ROW, RollupError, RollupRow};

/// How long a bucket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// One minute.
    Minute,
    /// One hour.
    Hour,
    /// One day (UTC).
    Day,
}

impl Level {
    /// All levels, the finest first.
    pub const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    /// The number that stands for it in a store.
    pub const fn code(self) -> u8 {
        match self {
            Self::Minute => 1,
            Self::Hour => 2,
            Self::Day => 3,
        }
    }

    /// Length of a bucket, in microseconds.
    pub const fn bucket_us(self) -> i64 {
        match self {
            Self::Minute => 60_000_000,
            Self::Hour => 3_600_000_000,
            Self::Day => 86_400_000_000,
        }
    }

    /// Buckets that one row holds: an hour of minutes, a day of hours, 32 days.
    pub const fn buckets_per_row(self) -> i64 {
        match self {
            Self::Minute => 60,
            Self::Hour => 24,
            Self::Day => 32,
        }
    }

    /// The next finer level.
    pub const fn finer(self) -> Option<Self> {
        match self {
            Self::Minute => None,
            Self::Hour => Some(Self::Minute),
            Self::Day => Some(Self::Hour),
        }
    }

    /// Number of the bucket of `time`, counted from 1970.
    pub const fn bucket_of(self, time: Timestamp) -> i64 {
        time.0.div_euclid(self.bucket_us())
    }

    /// Begin of a bucket.
    pub const fn start(self, bucket: i64) -> Timestamp {
        Timestamp(bucket.saturating_mul(self.bucket_us()))
    }

    /// Number of the row of a bucket, counted from 1970.
    pub const fn row_of(self, bucket: i64) -> i64 {
        bucket.div_euclid(self.buckets_per_row())
    }
}

/// The readings of one column in one bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rollup {
    /// Usable values: finite, and of good or uncertain quality. With none, the values are 0.
    pub count: u32,
    /// Lowest raw value.
    pub min: f64,
    /// Highest raw value.
    pub max: f64,
    /// Sum of the raw values.
    pub sum: f64,
    /// Earliest raw value.
    pub first: f64,
    /// Latest raw value.
    pub last: f64,
    /// Time of `first`.
    pub first_time: Timestamp,
    /// Time of `last`.
    pub last_time: Timestamp,
    /// The worst quality of all readings, those without a usable value too.
    pub worst: Quality,
}

/// A [`Rollup`] in engineering values, as a chart takes it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scaled {
    /// Usable values.
    pub count: u32,
    /// Lowest.
    pub min: f64,
    /// Highest.
    pub max: f64,
    /// Mean.
    pub mean: f64,
    /// The worst quality of all readings.
    pub worst: Quality,
}

impl Rollup {
    /// Of one reading; `None` for a cell without one.
    pub fn of(time: Timestamp, cell: Cell, kind: RawKind) -> Option<Self> {
        let (value, worst) = match cell {
            Cell::Skipped => return None,
            Cell::Value(raw, quality) => (Some(to_f64(raw, kind)), quality),
            Cell::Missing(cause) => (None, Quality::Bad(cause)),
        };
        let usable = !matches!(worst, Quality::Bad(_));
        Some(match value.filter(|value| usable && value.is_finite()) {
            Some(value) => Self {
                count: 1,
                min: value,
                max: value,
                sum: value,
                first: value,
                last: value,
                first_time: time,
                last_time: time,
                worst,
            },
            None if usable => Self::empty(Quality::Bad(crate::reading::Cause::NotAvailable)),
            None => Self::empty(worst),
        })
    }

    const fn empty(worst: Quality) -> Self {
        Self {
            count: 0,
            min: 0.0,
            max: 0.0,
            sum: 0.0,
            first: 0.0,
            last: 0.0,
            first_time: Timestamp(0),
            last_time: Timestamp(0),
            worst,
        }
    }

    /// Takes further readings of the same bucket in, which must not be in it yet. In any order;
    /// only the last digits of a sum of fractions depend on it.
    pub fn merge(&mut self, other: &Self) {
        let worst = self.worst.max(other.worst);
        if self.count == 0 {
            *self = *other;
        } else if other.count > 0 {
            self.count = self.count.saturating_add(other.count);
            self.min = self.min.min(other.min);
            self.max = self.max.max(other.max);
            self.sum += other.sum;
            if other.first_time < self.first_time {
                (self.first, self.first_time) = (other.first, other.first_time);
            }
            if other.last_time >= self.last_time {
                (self.last, self.last_time) = (other.last, other.last_time);
            }
        }
        self.worst = worst;
    }

    /// In engineering values; `None` when it has no value.
    pub fn scaled(&self, column: &Column) -> Option<Scaled> {
        if self.count == 0 {
            return None;
        }
        let scaled = |raw: f64| raw * column.scale + column.offset;
        let (one, other) = (scaled(self.min), scaled(self.max));
        Some(Scaled {
            count: self.count,
            min: one.min(other),
            max: one.max(other),
            mean: scaled(self.sum / f64::from(self.count)),
            worst: self.worst,
        })
    }
}

/// One bucket of a poll group: an entry for each column that has readings in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Bucket {
    /// Its number, see [`Level::bucket_of`].
    pub number: i64,
    /// One entry per column.
    pub columns: Vec<Option<Rollup>>,
}

/// The minutes of some polls of one group, ascending. `kinds` says what each column's raw values
/// are; a column without one counts as signed.
///
/// A poll whose time is unknown belongs to no minute: it is left out, and stands in its block only.
pub fn minutes_of(polls: &[Poll], kinds: &[RawKind]) -> Vec<Bucket> {
    let mut buckets: Vec<Bucket> = Vec::new();
    for poll in polls
        .iter()
        .filter(|poll| poll.clock != ClockState::Untrusted)
    {
        let number = Level::Minute.bucket_of(poll.time);
        let Some(bucket) = bucket_at(&mut buckets, number, poll.cells.len()) else {
            continue;
        };
        let kinds = kinds.iter().chain(std::iter::repeat(&RawKind::Int));
        for ((entry, cell), kind) in bucket.columns.iter_mut().zip(&poll.cells).zip(kinds) {
            if let Some(one) = Rollup::of(poll.time, *cell, *kind) {
                match entry {
                    Some(entry) => entry.merge(&one),
                    None => *entry = Some(one),
                }
            }
        }
    }
    buckets
}

/// The next coarser buckets of buckets of `from`; days stay days.
pub fn coarser(buckets: &[Bucket], from: Level) -> Vec<Bucket> {
    let per = match from {
        Level::Minute => 60,
        Level::Hour => 24,
        Level::Day => 1,
    };
    let mut all: Vec<Bucket> = Vec::new();
    for bucket in buckets {
        let number = bucket.number.div_euclid(per);
        let Some(target) = bucket_at(&mut all, number, bucket.columns.len()) else {
            continue;
        };
        for (entry, more) in target.columns.iter_mut().zip(&bucket.columns) {
            match (entry, more) {
                (Some(entry), Some(more)) => entry.merge(more),
                (entry @ None, Some(more)) => *entry = Some(*more),
                (_, None) => {}
            }
        }
    }
    all
}

/// The bucket with this number, made where it is missing; polls mostly come in order of time.
fn bucket_at(buckets: &mut Vec<Bucket>, number: i64, columns: usize) -> Option<&mut Bucket> {
    let at = match buckets.last() {
        Some(last) if last.number == number => buckets.len() - 1,
        _ => match buckets.binary_search_by_key(&number, |bucket| bucket.number) {
            Ok(at) => at,
            Err(at) => {
                let columns = vec![None; columns];
                buckets.insert(at, Bucket { number, columns });
                at
            }
        },
    };
    buckets.get_mut(at)
}
