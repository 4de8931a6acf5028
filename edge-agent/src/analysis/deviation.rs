//! A value unlike what the sensor usually shows. Never tells anything while it learns.
//!
//! Abnormal: the score of `model` (a chance of 10 to the minus score) is at least `score`, the
//! learning time has passed, and the last alert was raised at least `quiet` ago. Normal again: the
//! score is below half of that for ten minutes. While an alert stands the model learns nothing, at
//! most for a day; then what is new becomes usual. State: 536 bytes (the model). Cost: see
//! `make bench ONLY=detectors`. Source: `docs/rules.md` has the formulas and where they are from.

mod model;
mod tail;

pub use model::{Model, Verdict};

use super::finding::{Change, Detail};
use super::standing::{Look, Standing, Turn, lasted};
use crate::config::DeviationRule;
use protocol::event::{AlertKind, Direction};
use protocol::time::{Correction, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// Calm for so long before it is told as normal.
const CALM: Duration = Duration::from_secs(600);
/// Longest time that the model learns nothing.
const FREEZE: Duration = Duration::from_secs(86_400);
/// Readings that it must have seen besides the learning time.
const READINGS_MIN: u32 = 200;
/// What was expected is told as so many standard deviations to both sides.
const EDGES: f64 = 3.0;

/// A deviation rule at work.
#[derive(Clone, Debug)]
pub struct Deviation {
    rule: DeviationRule,
    pub(super) standing: Standing,
    pub(super) memory: DeviationMemory,
    pub(super) model: Model,
}

/// What must not be lost at a restart, however old the saved model is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DeviationMemory {
    /// The first reading.
    began: Option<Timestamp>,
    /// The last alert.
    told: Option<Timestamp>,
}

/// What is left to learn before a detector tells anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Learning {
    /// Until this time at least; `None`: it has seen nothing yet.
    pub until: Option<Timestamp>,
    /// So many readings at least.
    pub readings_left: u32,
}

impl Deviation {
    /// Has seen nothing yet.
    pub fn new(rule: DeviationRule) -> Self {
        Self {
            rule,
            standing: Standing::default(),
            memory: DeviationMemory::default(),
            model: Model::new(),
        }
    }

    /// Judges one value.
    pub fn step(&mut self, value: f64, time: Timestamp) -> Option<Change> {
        self.judge(value, time).1
    }

    /// Judges one value, and tells what the model says of it.
    pub fn judge(&mut self, value: f64, time: Timestamp) -> (Verdict, Option<Change>) {
        let began = *self.memory.began.get_or_insert(time);
        let learned = self.model.count() >= READINGS_MIN && lasted(began, time, self.rule.learn);
        let raised_at = self.standing.raised_at();
        let frozen = raised_at.is_some_and(|at| !lasted(at, time, FREEZE));
        let verdict = self.model.step(value, time, frozen);
        let quiet = self.memory.told;
        let quiet = quiet.is_some_and(|told| !lasted(told, time, self.rule.quiet));
        let abnormal = match raised_at {
            Some(_) => verdict.score >= self.rule.score / 2.0,
            None => learned && !quiet && verdict.score >= self.rule.score,
        };
        let direction = if value >= verdict.expected {
            Direction::High
        } else {
            Direction::Low
        };
        let look = Look {
            abnormal: abnormal.then_some(direction),
            value,
            time,
        };
        let turn = self.standing.step(look, Duration::ZERO, CALM);
        let change = match turn {
            None => None,
            Some(Turn::Raised { since }) => {
                self.memory.told = Some(time);
                Some(raised(look, direction, since, verdict))
            }
            Some(Turn::Peaked) => Some(Change::Peaked { value }),
            Some(Turn::Cleared { peak }) => Some(Change::Cleared { value, peak }),
        };
        (verdict, change)
    }

    /// What is left to learn at a time; `None`: it is through.
    pub fn learning(&self, now: Timestamp) -> Option<Learning> {
        let learn_us = i64::try_from(self.rule.learn.as_micros()).unwrap_or(i64::MAX);
        let until = self.memory.began.map(|began| began.plus_micros(learn_us));
        let readings_left = READINGS_MIN.saturating_sub(self.model.count());
        let is_through = until.is_some_and(|until| until <= now) && readings_left == 0;
        (!is_through).then_some(Learning {
            until,
            readings_left,
        })
    }
}

impl DeviationMemory {
    /// Whether it ever told anything.
    pub(super) const fn has_told(&self) -> bool {
        self.told.is_some()
    }

    /// Moves the times it remembers, now that the true time is known.
    pub(super) fn correct(&mut self, by: &Correction) {
        self.began = self.began.map(|began| by.of(began));
        self.told = self.told.map(|told| by.of(told));
    }
}

fn raised(look: Look, direction: Direction, since: Timestamp, verdict: Verdict) -> Change {
    let (low, high) = (
        verdict.expected - EDGES * verdict.spread,
        verdict.expected + EDGES * verdict.spread,
    );
    let words = if (low..=high).contains(&look.value) {
        format!(
            "does not behave as usual: {} is within {} to {}, but its course is not (score {:.1})",
            super::figure(look.value),
            super::figure(low),
            super::figure(high),
            verdict.score
        )
    } else {
        format!(
            "{} where {} to {} is usual at this time of the day (score {:.1})",
            super::figure(look.value),
            super::figure(low),
            super::figure(high),
            verdict.score
        )
    };
    Change::Raised {
        direction,
        limit: match direction {
            Direction::High => high,
            Direction::Low => low,
        },
        value: look.value,
        peak: look.value,
        since,
        detail: Some(Arc::new(Detail {
            kind: AlertKind::Deviation,
            words,
            expected: Some((low, high)),
            score: Some(verdict.score),
            reaches_limit_in: None,
        })),
    }
}
