//! A value that goes towards a limit, or changes too fast over a long time. Never tells anything
//! from a window that is less than 80 % filled.
//!
//! The window is 64 buckets, each the mean of its readings. When a bucket ends: slope = median of the
//! slopes between all pairs of buckets (Theil 1950, Sen 1968), with the 99 % interval of Sen (1968,
//! by the variance of Kendall's S); level now = median of what the line leaves over, at the last
//! bucket. Abnormal: the interval leaves zero out, and either |slope| > `per_hour` or the level
//! reaches `reaches` within `ahead`; normal again: a fifth less than that. Neighbouring means that
//! depend on each other make the interval too narrow: choose a window much longer than the process
//! remembers. State: 400 bytes. Cost: an addition a reading; at the end of a bucket 2,016 slopes
//! (about 50 us). Source: Sen 1968, J. Am. Stat. Assoc. 63, sections 4 and 5.

use super::deviation::Learning;
use super::finding::{Change, Detail};
use super::standing::{Look, Standing, Turn};
use crate::config::{TrendRule, show_duration};
use protocol::event::{AlertKind, Direction};
use protocol::time::{Correction, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Buckets of a window.
const BUCKETS: usize = 64;
/// Of these so many must have readings: 80 %.
const FILLED_MIN: usize = 52;
/// Two-sided 99 % of a normal distribution.
const NORMAL_99: f64 = 2.575_829;
/// Normal again when it is so much less than what is told.
const HYSTERESIS: f64 = 0.8;

/// A trend rule at work.
#[derive(Clone, Debug)]
pub(super) struct Trend {
    rule: TrendRule,
    pub(super) standing: Standing,
    pub(super) memory: TrendMemory,
}

/// The window so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrendMemory {
    /// The number of the bucket that runs.
    bucket: Option<i64>,
    sum: f64,
    readings: u32,
    /// Buckets are told from here, so that few digits are enough.
    base: f64,
    /// The oldest first; no number where no reading was.
    means: VecDeque<f32>,
}

/// A line through the window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Line {
    /// Change per second: low, likely, high.
    pub(super) slope: (f64, f64, f64),
    /// The value now.
    pub(super) level: f64,
}

impl Trend {
    /// Has seen nothing yet.
    pub(super) fn new(rule: TrendRule) -> Self {
        Self {
            rule,
            standing: Standing::default(),
            memory: TrendMemory::default(),
        }
    }

    /// Judges one value.
    pub(super) fn step(&mut self, value: f64, time: Timestamp) -> Option<Change> {
        let bucket = time.0.div_euclid(self.bucket_us());
        let ended = self.memory.take(value, bucket);
        // An alert of which nothing is known any more clears at once.
        let has_forgotten = self.standing.is_raised() && self.memory.means.is_empty();
        if !ended && !has_forgotten {
            return None;
        }
        let line = self.line();
        let scale = if self.standing.is_raised() {
            HYSTERESIS
        } else {
            1.0
        };
        let found = line.and_then(|line| self.abnormal(line, scale));
        let look = Look {
            abnormal: found.as_ref().map(|(direction, _)| *direction),
            value,
            time,
        };
        match self.standing.step(look, Duration::ZERO, Duration::ZERO)? {
            Turn::Raised { since } => {
                let (direction, reaches) = found?;
                Some(self.raised(line?, (direction, reaches), value, since))
            }
            Turn::Peaked => Some(Change::Peaked { value }),
            Turn::Cleared { peak } => Some(Change::Cleared { value, peak }),
        }
    }

    /// What is left until the window is filled enough, at a time; `None`: it is.
    pub(super) fn learning(&self, now: Timestamp) -> Option<Learning> {
        let filled = self.memory.filled();
        let left = i64::try_from(FILLED_MIN.saturating_sub(filled)).unwrap_or(0);
        (left > 0).then(|| Learning {
            until: Some(now.plus_micros(self.bucket_us().saturating_mul(left))),
            readings_left: u32::try_from(left).unwrap_or(0),
        })
    }

    /// Forgets the window when it began before a time; answers whether it did.
    pub(super) fn learn_anew(&mut self, at: Timestamp) -> bool {
        let kept = i64::try_from(self.memory.means.len()).unwrap_or(i64::MAX);
        let first = at.0.div_euclid(self.bucket_us());
        let is_older = |running: i64| running.saturating_sub(kept) < first;
        let forgets = self.memory.bucket.is_some_and(is_older);
        if forgets {
            self.memory = TrendMemory::default();
        }
        forgets
    }

    fn bucket_us(&self) -> i64 {
        let buckets = u128::try_from(BUCKETS).unwrap_or(1);
        let width = self.rule.window.as_micros() / buckets;
        i64::try_from(width).unwrap_or(i64::MAX).max(1)
    }

    /// The line through the window, if that is filled enough.
    fn line(&self) -> Option<Line> {
        let width_s = super::seconds(self.bucket_us());
        self.memory.line(width_s)
    }

    /// To which side the line is abnormal, and when it reaches the limit.
    fn abnormal(&self, line: Line, scale: f64) -> Option<(Direction, Option<Reached>)> {
        let (low, likely, high) = line.slope;
        let direction = match (low > 0.0, high < 0.0) {
            (true, _) => Direction::High,
            (_, true) => Direction::Low,
            _ => return None,
        };
        let reached = self.rule.reaches.and_then(|limit| {
            let way = limit - line.level;
            let (fast, slow) = match direction {
                Direction::High => (high, low),
                Direction::Low => (low, high),
            };
            let towards = way * likely > 0.0;
            let ahead_s = self.rule.ahead.as_secs_f64() / scale;
            (towards && way / likely <= ahead_s).then_some((way / fast, way / likely, way / slow))
        });
        let most = self.rule.per_hour.map(|most| most * scale / 3_600.0);
        let is_fast = most.is_some_and(|most| likely.abs() > most);
        (reached.is_some() || is_fast).then_some((direction, reached))
    }

    fn raised(
        &self,
        line: Line,
        (direction, reached): (Direction, Option<Reached>),
        value: f64,
        since: Timestamp,
    ) -> Change {
        let per_hour = line.slope.1 * 3_600.0;
        let window = show_duration(self.rule.window);
        let course = format!(
            "changes by {} an hour over {window}",
            super::figure(per_hour)
        );
        let (words, limit) =
            if let (Some((soonest, likely, latest)), Some(limit)) = (reached, self.rule.reaches) {
                let (soonest, likely, latest) = (hours(soonest), hours(likely), hours(latest));
                let when = format!("in about {likely} ({soonest} to {latest})");
                (format!("{course} and reaches {limit} {when}"), limit)
            } else {
                let most = self.rule.per_hour.unwrap_or(0.0);
                let hours = self.rule.window.as_secs_f64() / 3_600.0;
                let allowed = (most * hours).copysign(per_hour);
                let begin = line.level - line.slope.1 * self.rule.window.as_secs_f64();
                let words = format!("{course}; at most {most} is allowed");
                (words, begin + allowed)
            };
        Change::Raised {
            direction,
            limit,
            value,
            peak: value,
            since,
            detail: Some(Arc::new(Detail {
                kind: AlertKind::Trend,
                words,
                expected: None,
                score: None,
                reaches_limit_in: reached,
            })),
        }
    }
}

/// Seconds until a limit is reached: soonest, likely, latest.
type Reached = (f64, f64, f64);

fn hours(seconds: f64) -> String {
    let hours = seconds / 3_600.0;
    if hours >= 48.0 {
        format!("{:.0} days", hours / 24.0)
    } else if hours >= 1.0 {
        format!("{hours:.0} h")
    } else {
        format!("{:.0} min", seconds / 60.0)
    }
}

impl TrendMemory {
    /// Takes a value of a bucket in; answers whether a bucket has ended.
    fn take(&mut self, value: f64, bucket: i64) -> bool {
        let Some(running) = self.bucket else {
            (self.bucket, self.base) = (Some(bucket), value);
            (self.sum, self.readings) = (0.0, 1);
            return false;
        };
        let ended = bucket > running;
        if ended {
            let mean = narrow(self.sum / f64::from(self.readings.max(1)));
            self.push(if self.readings > 0 { mean } else { f32::NAN });
            let missing = usize::try_from(bucket - running - 1).unwrap_or(BUCKETS);
            for _ in 0..missing.min(BUCKETS) {
                self.push(f32::NAN);
            }
            (self.bucket, self.sum, self.readings) = (Some(bucket), 0.0, 0);
        }
        // A clock that stepped back: it counts for the bucket that runs.
        self.sum += value - self.base;
        self.readings = self.readings.saturating_add(1);
        ended
    }

    fn push(&mut self, mean: f32) {
        if self.means.len() == BUCKETS {
            self.means.pop_front();
        }
        self.means.push_back(mean);
    }

    fn filled(&self) -> usize {
        self.means.iter().filter(|mean| mean.is_finite()).count()
    }

    /// The line through the buckets of so many seconds.
    fn line(&self, width_s: f64) -> Option<Line> {
        let points: Vec<(f64, f64)> = (0_u32..)
            .zip(&self.means)
            .filter(|(_, mean)| mean.is_finite())
            .map(|(at, mean)| (f64::from(at), f64::from(*mean)))
            .collect();
        if points.len() < FILLED_MIN {
            return None;
        }
        let mut slopes = Vec::with_capacity(points.len() * points.len() / 2);
        for (at, (x, y)) in points.iter().enumerate() {
            let later = points.iter().skip(at + 1);
            slopes.extend(later.map(|(later_x, later_y)| (later_y - y) / (later_x - x)));
        }
        slopes.sort_unstable_by(f64::total_cmp);
        let count = f64::from(u32::try_from(points.len()).ok()?);
        let pairs = count * (count - 1.0) / 2.0;
        let spread = (count * (count - 1.0) * (2.0 * count + 5.0) / 18.0).sqrt() * NORMAL_99;
        let at = |rank: f64| slopes.get(rank_of(rank).min(slopes.len() - 1)).copied();
        let slope = at(pairs / 2.0)?;
        let low = at(((pairs - spread) / 2.0).max(0.0))?;
        let high = at(f64::midpoint(pairs, spread))?;
        let last = f64::from(u32::try_from(self.means.len()).ok()?);
        let mut levels: Vec<f64> = points.iter().map(|(x, y)| y + slope * (last - x)).collect();
        levels.sort_unstable_by(f64::total_cmp);
        let level = self.base + levels.get(levels.len() / 2).copied()?;
        let per_s = |slope: f64| slope / width_s;
        Some(Line {
            slope: (per_s(low), per_s(slope), per_s(high)),
            level,
        })
    }

    /// The buckets are numbered by a clock that was not set.
    pub(super) fn correct(&mut self, _by: &Correction) {
        *self = Self::default();
    }
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rank among 2,016 slopes, never below zero"
)]
fn rank_of(rank: f64) -> usize {
    rank as usize
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "seven digits from the base on are enough for a mean"
)]
fn narrow(mean: f64) -> f32 {
    mean as f32
}
