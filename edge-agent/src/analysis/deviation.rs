//! A value unlike what the sensor usually shows. Never tells anything while it learns.
//!
//! Abnormal: the score of `model` (a chance of 10 to the minus score) is at least `score`, the
//! learning time has passed, and the last alert was raised at least `quiet` ago. Normal again: the
//! score is below half of that for ten minutes. While an alert stands the model learns nothing, at
//! most for a day; then what is new becomes usual. State: 400 bytes. Cost: see
//! `make bench ONLY=detectors`. Source: `docs/rules.md` has the formulas and where they are from.

mod model;
mod slow;
mod tail;
mod words;

pub use model::{Model, Sight, Verdict};
pub use slow::Slow;

use super::finding::Change;
use super::standing::{Look, Standing, Turn, lasted};
use crate::config::DeviationRule;
use protocol::time::{Correction, Timestamp};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Calm for so long before it is told as normal.
const CALM: Duration = Duration::from_secs(600);
/// Longest time that the model learns nothing.
const FREEZE: Duration = Duration::from_secs(86_400);
/// Readings that it must have seen besides the learning time.
const READINGS_MIN: u32 = 200;

/// A deviation rule at work.
#[derive(Clone, Debug)]
pub struct Deviation {
    setting: Setting,
    pub(super) standing: Standing,
    pub(super) memory: DeviationMemory,
    pub(super) model: Model,
}

/// The rule, in 12 bytes: there may be ten thousand.
#[derive(Clone, Copy, Debug)]
struct Setting {
    score: f32,
    learn_s: u32,
    quiet_s: u32,
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
        let whole_s = |time: Duration| u32::try_from(time.as_millis().div_ceil(1_000));
        let setting = Setting {
            score: tail::narrow(rule.score),
            learn_s: whole_s(rule.learn).unwrap_or(u32::MAX),
            quiet_s: whole_s(rule.quiet).unwrap_or(u32::MAX),
        };
        Self {
            setting,
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
        let learned =
            self.model.count() >= READINGS_MIN && lasted(began, time, self.setting.learn());
        let raised_at = self.standing.raised_at();
        let frozen = learned && raised_at.is_some_and(|at| !lasted(at, time, FREEZE));
        if raised_at.is_some() && !frozen {
            self.model.slow.accept();
        }
        let verdict = self.model.step(value, time, frozen);
        let (score, quiet_for) = (self.setting.score.into(), self.setting.quiet());
        let quiet = self.memory.told;
        let quiet = quiet.is_some_and(|told| !lasted(told, time, quiet_for));
        let abnormal = match raised_at {
            Some(_) => learned && verdict.score >= score / 2.0,
            None => learned && !quiet && verdict.score >= score,
        };
        let direction = words::direction(&self.model, value, verdict);
        let look = Look {
            abnormal: abnormal.then_some(direction),
            value,
            time,
        };
        // What learns anew knows nothing against the value: its alert clears at once.
        let calm = if learned { CALM } else { Duration::ZERO };
        let turn = self.standing.step(look, Duration::ZERO, calm);
        let change = match turn {
            None => None,
            Some(Turn::Raised { since }) => {
                self.memory.told = Some(time);
                Some(words::raised(
                    &self.model,
                    look,
                    (direction, since),
                    verdict,
                ))
            }
            Some(Turn::Peaked) => Some(Change::Peaked { value }),
            Some(Turn::Cleared { peak }) => Some(Change::Cleared { value, peak }),
        };
        (verdict, change)
    }

    /// Forgets what it learned when that began before a time; answers whether it did.
    pub(super) fn learn_anew(&mut self, at: Timestamp) -> bool {
        let forgets = self.memory.began.is_some_and(|began| began < at);
        if forgets {
            self.model = Model::new();
            self.memory.began = Some(at);
        }
        forgets
    }

    /// What is left to learn at a time; `None`: it is through.
    pub fn learning(&self, now: Timestamp) -> Option<Learning> {
        let learn_us = i64::from(self.setting.learn_s) * 1_000_000;
        let until = self.memory.began.map(|began| began.plus_micros(learn_us));
        let readings_left = READINGS_MIN.saturating_sub(self.model.count());
        let is_through = until.is_some_and(|until| until <= now) && readings_left == 0;
        (!is_through).then_some(Learning {
            until,
            readings_left,
        })
    }
}

impl Setting {
    fn learn(self) -> Duration {
        Duration::from_secs(self.learn_s.into())
    }

    fn quiet(self) -> Duration {
        Duration::from_secs(self.quiet_s.into())
    }
}

impl DeviationMemory {
    /// Whether it looks at readings, or was told from when on to learn.
    pub(super) const fn has_begun(&self) -> bool {
        self.began.is_some()
    }

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
