//! A sensor that brings no usable reading. Never takes a box that was off, or a clock that was set,
//! for a silent sensor.
//!
//! Abnormal: no reading with a value for `stale_after`. Time is counted by ticks, each as at most
//! `TICK_MAX_US`, so that only time in which the box looked counts. Normal with the first usable
//! reading. State: 40 bytes. Cost: an addition a tick. Source: NAMUR NE 107, "failure".

use super::finding::{Change, Detail};
use super::standing::{Look, Standing, Turn};
use crate::config::{StaleRule, show_duration};
use protocol::event::{AlertKind, Direction};
use protocol::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// A tick stands for at most this long.
pub(super) const TICK_MAX_US: i64 = 10_000_000;

/// A stale rule at work.
#[derive(Clone, Debug)]
pub(super) struct Stale {
    after_us: i64,
    pub(super) standing: Standing,
    pub(super) memory: StaleMemory,
}

/// The silence so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StaleMemory {
    silent_us: i64,
    last: f64,
}

impl Stale {
    /// Has seen nothing yet.
    pub(super) fn new(rule: StaleRule) -> Self {
        Self {
            after_us: i64::try_from(rule.after.as_micros()).unwrap_or(i64::MAX),
            standing: Standing::default(),
            memory: StaleMemory::default(),
        }
    }

    /// A usable value came.
    pub(super) fn step(&mut self, value: f64, time: Timestamp) -> Option<Change> {
        self.memory = StaleMemory {
            silent_us: 0,
            last: value,
        };
        self.look(None, time)
    }

    /// So much time passed.
    pub(super) fn tick(&mut self, passed_us: i64, now: Timestamp) -> Option<Change> {
        self.memory.silent_us = self.memory.silent_us.saturating_add(passed_us);
        let is_stale = self.memory.silent_us >= self.after_us;
        if is_stale && !self.standing.is_raised() {
            return self.look(Some(Direction::Low), now);
        }
        None
    }

    fn look(&mut self, abnormal: Option<Direction>, time: Timestamp) -> Option<Change> {
        let value = self.memory.last;
        let look = Look {
            abnormal,
            value,
            time,
        };
        match self.standing.step(look, Duration::ZERO, Duration::ZERO)? {
            Turn::Raised { .. } => Some(Change::Raised {
                direction: Direction::Low,
                limit: value,
                value,
                peak: value,
                since: time.plus_micros(-self.memory.silent_us),
                detail: Some(Arc::new(Detail {
                    kind: AlertKind::Stale,
                    words: format!(
                        "no usable reading for {}",
                        show_duration(Duration::from_micros(self.after_us.unsigned_abs()))
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
}
