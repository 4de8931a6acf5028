//! Alerts of other rules that come again and again, or one after another: one finding for all of
//! them. Never looks at a reading.
//!
//! Abnormal: `times` alerts of any of the rules (or `times` rounds of all of them in their order)
//! within the time. Normal again: when the oldest of them is longer ago. State: 80 bytes and 8 for
//! each of `times` (at most 64). Cost: nothing but at an alert of these rules. Source: ISA-18.2,
//! chattering and repeating alarms.

use super::finding::{Change, Detail};
use super::standing::{Look, Standing, Turn};
use crate::config::{PatternRule, show_duration};
use protocol::event::{AlertKind, Direction};
use protocol::time::{Correction, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// A pattern rule at work.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    rule: PatternRule,
    pub(super) standing: Standing,
    pub(super) memory: PatternMemory,
}

/// What came so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PatternMemory {
    /// When the last rounds began, the oldest first; at most `times`.
    rounds: VecDeque<Timestamp>,
    /// So many rules of the order have come in the round that runs.
    reached: u32,
    /// When that round began.
    began: Option<Timestamp>,
}

impl Pattern {
    /// Has seen nothing yet.
    pub(super) fn new(rule: PatternRule) -> Self {
        Self {
            rule,
            standing: Standing::default(),
            memory: PatternMemory::default(),
        }
    }

    /// An alert of a rule was raised.
    pub(super) fn raised(&mut self, rule: &str, time: Timestamp) -> Option<Change> {
        let at = self.rule.of.iter().position(|of| of == rule)?;
        let began = if self.rule.in_order {
            self.in_order(at, time)?
        } else {
            time
        };
        let most = usize::try_from(self.rule.times).unwrap_or(1);
        while self.memory.rounds.len() >= most {
            self.memory.rounds.pop_front();
        }
        self.memory.rounds.push_back(began);
        self.look(time)
    }

    /// Time passed.
    pub(super) fn tick(&mut self, now: Timestamp) -> Option<Change> {
        if self.standing.is_raised() {
            self.look(now)
        } else {
            None
        }
    }

    /// Whether the order is through with this alert; answers when it began.
    fn in_order(&mut self, at: usize, time: Timestamp) -> Option<Timestamp> {
        let memory = &mut self.memory;
        let began = memory
            .began
            .filter(|began| is_within(*began, time, self.rule.within));
        let reached = usize::try_from(memory.reached).unwrap_or(0);
        let began = match (began, at) {
            (Some(began), _) if at == reached => began,
            (_, 0) => {
                memory.reached = 0;
                time
            }
            _ => return None,
        };
        memory.began = Some(began);
        memory.reached += 1;
        let through = usize::try_from(memory.reached).unwrap_or(0) >= self.rule.of.len();
        if through {
            (memory.began, memory.reached) = (None, 0);
        }
        through.then_some(began)
    }

    fn look(&mut self, time: Timestamp) -> Option<Change> {
        let (times, within) = (self.rule.times, self.rule.within);
        let rounds = self.memory.rounds.iter();
        let count = rounds
            .filter(|began| is_within(**began, time, within))
            .count();
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let look = Look {
            abnormal: (count >= times).then_some(Direction::High),
            value: f64::from(count),
            time,
        };
        let value = look.value;
        match self.standing.step(look, Duration::ZERO, Duration::ZERO)? {
            Turn::Raised { .. } => Some(Change::Raised {
                direction: Direction::High,
                limit: f64::from(times),
                value,
                peak: value,
                since: self.memory.rounds.front().copied().unwrap_or(time),
                detail: Some(Arc::new(Detail {
                    kind: AlertKind::Pattern,
                    words: self.words(),
                    expected: None,
                    score: None,
                    reaches_limit_in: None,
                })),
            }),
            Turn::Peaked => None,
            Turn::Cleared { peak } => Some(Change::Cleared { value, peak }),
        }
    }

    fn words(&self) -> String {
        let within = show_duration(self.rule.within);
        let times = self.rule.times;
        if self.rule.in_order {
            let order = self.rule.of.join(", then ");
            format!("{order}: {times} time(s) within {within}")
        } else {
            let of = self.rule.of.join(", ");
            format!("{times} alerts within {within} of {of}")
        }
    }
}

impl PatternMemory {
    /// Moves the times it remembers, now that the true time is known.
    pub(super) fn correct(&mut self, by: &Correction) {
        for began in &mut self.rounds {
            *began = by.of(*began);
        }
        self.began = self.began.map(|began| by.of(began));
    }
}

fn is_within(began: Timestamp, time: Timestamp, within: Duration) -> bool {
    let within_us = i64::try_from(within.as_micros()).unwrap_or(i64::MAX);
    time.micros_since(began) <= within_us
}
