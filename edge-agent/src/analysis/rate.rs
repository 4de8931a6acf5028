//! A value that rises or falls too much in a given time. Never compares two readings only: noise
//! between neighbours would raise it.
//!
//! Abnormal: x − min(x over the last W) > `rises`, or max(x over the last W) − x > `falls`. The last W
//! are the eight eighths before the one that runs, so that W is up to an eighth longer; pauses count as
//! what they are. State: 264 bytes. Cost: nine comparisons. Source: ISA-18.2, rate-of-change alarms.

use super::finding::{Change, Detail};
use super::standing::{Look, Standing, Turn};
use crate::config::{RateRule, show_duration};
use protocol::event::{AlertKind, Direction};
use protocol::time::{Correction, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// Parts of the time, and the one that runs.
const PARTS: usize = 9;

/// A rate rule at work.
#[derive(Clone, Debug)]
pub(super) struct Rate {
    rule: RateRule,
    pub(super) standing: Standing,
    pub(super) memory: RateMemory,
}

/// Lowest and highest value of each part of the time, by the number of the part.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RateMemory {
    parts: [Option<(i64, f64, f64)>; PARTS],
}

impl Rate {
    /// Has seen nothing yet.
    pub(super) fn new(rule: RateRule) -> Self {
        Self {
            rule,
            standing: Standing::default(),
            memory: RateMemory::default(),
        }
    }

    /// Judges one value.
    pub(super) fn step(&mut self, value: f64, time: Timestamp) -> Option<Change> {
        let width_us = i64::try_from(self.rule.within.as_micros() / 8).unwrap_or(i64::MAX);
        let (low, high) = self.memory.take(value, time.0.div_euclid(width_us.max(1)));
        let rise = self.rule.rises.filter(|most| value - low > *most);
        let fall = self.rule.falls.filter(|most| high - value > *most);
        let (abnormal, limit, words) = match (rise, fall) {
            (Some(most), _) => (
                Some(Direction::High),
                low + most,
                ("rose", value - low, most),
            ),
            (_, Some(most)) => (
                Some(Direction::Low),
                high - most,
                ("fell", high - value, most),
            ),
            _ => (None, value, ("", 0.0, 0.0)),
        };
        let look = Look {
            abnormal,
            value,
            time,
        };
        match self.standing.step(look, Duration::ZERO, Duration::ZERO)? {
            Turn::Raised { since } => Some(Change::Raised {
                direction: abnormal?,
                limit,
                value,
                peak: value,
                since,
                detail: Some(Arc::new(self.detail(words))),
            }),
            Turn::Peaked => Some(Change::Peaked { value }),
            Turn::Cleared { peak } => Some(Change::Cleared { value, peak }),
        }
    }

    fn detail(&self, (what, by, most): (&str, f64, f64)) -> Detail {
        Detail {
            kind: AlertKind::Rate,
            words: format!(
                "{what} by {} within {}; at most {most} is allowed",
                super::figure(by),
                show_duration(self.rule.within)
            ),
            expected: None,
            score: None,
            reaches_limit_in: None,
        }
    }
}

impl RateMemory {
    /// Takes a value of a part in; answers the lowest and the highest of the time.
    fn take(&mut self, value: f64, part: i64) -> (f64, f64) {
        let first = part - 8;
        // Also what is later: the clock stepped back.
        let keep = |kept: &(i64, f64, f64)| (first..=part).contains(&kept.0);
        for slot in &mut self.parts {
            *slot = slot.filter(keep);
        }
        let own = self
            .parts
            .iter()
            .position(|slot| slot.is_some_and(|kept| kept.0 == part));
        let free = || self.parts.iter().position(Option::is_none);
        if let Some(slot) = own.or_else(free).and_then(|at| self.parts.get_mut(at)) {
            let (_, low, high) = slot.unwrap_or((part, value, value));
            *slot = Some((part, low.min(value), high.max(value)));
        }
        let kept = self.parts.iter().flatten();
        kept.fold((value, value), |(low, high), kept| {
            (low.min(kept.1), high.max(kept.2))
        })
    }

    /// The parts are numbered by a clock that was not set.
    pub(super) fn correct(&mut self, _by: &Correction) {
        *self = Self::default();
    }
}
