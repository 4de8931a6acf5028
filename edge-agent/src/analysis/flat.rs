//! A value that stands still although it should move: a stuck sensor, a frozen converter. Never
//! takes a pause for standing still.
//!
//! Abnormal: since some reading the highest and the lowest value are no further apart than
//! `flat_within`, for `flat_for` and over at least five readings. When they move further apart it
//! begins anew with the newest, so that a value that stops moving is found after `flat_for` and one
//! that calms down after twice that at the latest. State: 72 bytes. Cost: two comparisons.
//! Source: NAMUR NE 107, "out of specification" (constant signal).

use super::finding::{Change, Detail};
use super::standing::{Look, Standing, Turn};
use crate::config::{FlatRule, show_duration};
use protocol::event::{AlertKind, Direction};
use protocol::time::{Correction, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// Readings that make a line.
const READINGS_MIN: u32 = 5;

/// A flat-line rule at work.
#[derive(Clone, Debug)]
pub(super) struct Flat {
    /// Not further apart than this, for so long.
    span: f64,
    lasts_us: i64,
    pub(super) standing: Standing,
    /// Without readings: nothing was seen yet.
    memory: FlatMemory,
}

/// The line so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FlatMemory {
    low: f64,
    high: f64,
    since: Timestamp,
    last: Timestamp,
    readings: u32,
}

impl Flat {
    /// Has seen nothing yet.
    pub(super) fn new(rule: FlatRule) -> Self {
        Self {
            span: rule.span,
            lasts_us: i64::try_from(rule.lasts.as_micros()).unwrap_or(i64::MAX),
            standing: Standing::default(),
            memory: FlatMemory::default(),
        }
    }

    /// The line so far; none: it has seen nothing yet.
    pub(super) fn memory(&self) -> Option<FlatMemory> {
        (self.memory.readings > 0).then_some(self.memory)
    }

    /// Goes on with what was saved.
    pub(super) fn restore(&mut self, memory: Option<FlatMemory>) {
        self.memory = memory.unwrap_or_default();
    }

    /// Moves the times it remembers, now that the true time is known.
    pub(super) fn correct(&mut self, by: &Correction) {
        self.memory.since = by.of(self.memory.since);
        self.memory.last = by.of(self.memory.last);
    }

    fn lasts(&self) -> Duration {
        Duration::from_micros(self.lasts_us.unsigned_abs())
    }

    /// Judges one value.
    pub(super) fn step(&mut self, value: f64, time: Timestamp) -> Option<Change> {
        let begun = FlatMemory {
            low: value,
            high: value,
            since: time,
            last: time,
            readings: 1,
        };
        let line = self.memory().map_or(begun, |line| self.go_on(line, begun));
        self.memory = line;
        let look = Look {
            abnormal: (line.readings >= READINGS_MIN).then_some(Direction::High),
            value,
            time,
        };
        // The line itself says how long it lasts: from its first reading, not the fifth.
        let lasts = super::standing::lasted(line.since, time, self.lasts());
        let abnormal = look.abnormal.filter(|_| lasts);
        let look = Look { abnormal, ..look };
        match self.standing.step(look, Duration::ZERO, Duration::ZERO)? {
            Turn::Raised { .. } => Some(Change::Raised {
                direction: Direction::High,
                limit: line.high,
                value,
                peak: value,
                since: line.since,
                detail: Some(Arc::new(Detail {
                    kind: AlertKind::Flat,
                    words: format!(
                        "stands at {} and has not moved by more than {} for {}",
                        super::figure(value),
                        self.span,
                        show_duration(self.lasts())
                    ),
                    expected: None,
                    score: None,
                    reaches_limit_in: None,
                })),
            }),
            Turn::Peaked => None,
            Turn::Cleared { peak } => Some(Change::Cleared { value, peak }),
        }
    }

    /// The line with one more reading, or a new one. The slack is that of adding floats.
    fn go_on(&self, line: FlatMemory, begun: FlatMemory) -> FlatMemory {
        let (low, high) = (line.low.min(begun.low), line.high.max(begun.high));
        let slack = f64::EPSILON * 4.0 * (low.abs() + high.abs());
        let pause_us = begun.last.micros_since(line.last);
        let paused = !(0..=self.lasts_us / 2).contains(&pause_us);
        if paused || high - low > self.span + slack {
            return begun;
        }
        FlatMemory {
            low,
            high,
            since: line.since,
            last: begun.last,
            readings: line.readings.saturating_add(1),
        }
    }
}
