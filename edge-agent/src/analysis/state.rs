//! A device in a state in which it should not be. Never judges a number by its size.
//!
//! Abnormal: the value, a whole number, is one of `states` (or none of `not_states`) without a break
//! for `on_delay`; normal again after `off_delay`. A value that is no whole number is in no state.
//! State: 56 bytes. Cost: one look through the list. Source: ISA-18.2, discrete alarms.

use super::finding::{Change, Detail};
use super::standing::{Look, Standing, Turn};
use crate::config::StateRule;
use protocol::event::{AlertKind, Direction};
use protocol::reading::whole;
use protocol::time::Timestamp;
use std::sync::Arc;

/// A state rule at work.
#[derive(Clone, Debug)]
pub(super) struct StateWatch {
    rule: StateRule,
    pub(super) standing: Standing,
}

impl StateWatch {
    /// Has seen nothing yet.
    pub(super) fn new(rule: StateRule) -> Self {
        Self {
            rule,
            standing: Standing::default(),
        }
    }

    /// Judges one value.
    pub(super) fn step(&mut self, value: f64, time: Timestamp) -> Option<Change> {
        let listed = whole(value).is_some_and(|state| self.rule.states.contains(&state));
        let abnormal = (listed == self.rule.abnormal).then_some(Direction::High);
        let look = Look {
            abnormal,
            value,
            time,
        };
        let (on, off) = (self.rule.on_delay, self.rule.off_delay);
        match self.standing.step(look, on, off)? {
            Turn::Raised { since } => Some(Change::Raised {
                direction: Direction::High,
                limit: value,
                value,
                peak: value,
                since,
                detail: Some(Arc::new(Detail {
                    kind: AlertKind::State,
                    words: self.words(value),
                    expected: None,
                    score: None,
                    reaches_limit_in: None,
                })),
            }),
            Turn::Peaked => None,
            Turn::Cleared { peak } => Some(Change::Cleared { value, peak }),
        }
    }

    fn words(&self, value: f64) -> String {
        let states: Vec<String> = self.rule.states.iter().map(i64::to_string).collect();
        let states = states.join(", ");
        if self.rule.abnormal {
            format!("state {value}, which is one of {states}")
        } else {
            format!("state {value} where {states} is normal")
        }
    }
}
