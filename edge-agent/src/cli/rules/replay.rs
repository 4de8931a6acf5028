//! Recorded readings through the rules, as the judge would: readings in the order of their time, a tick
//! wherever time passes. Pure. Never writes anything.

use super::recorded::{GATEWAY, Readings};
use crate::analysis::{Change, Detectors, Finding, Learning};
use crate::config::RuleConfig;
use protocol::time::{ClockState, Timestamp};

/// A tick at least this often: so much a tick counts at most.
const TICK_US: i64 = 10_000_000;
/// A pause is ticked through no further than this: longer than the longest silence a rule may wait for.
const PAUSE_TICKS_MAX: i64 = 32 * 86_400 / 10;

/// What came of it.
pub(super) struct Outcome {
    pub(super) readings: usize,
    pub(super) from: Option<Timestamp>,
    pub(super) to: Option<Timestamp>,
    pub(super) alerts: Vec<Raised>,
    /// Rules that could not tell anything yet at the end.
    pub(super) learning: Vec<(String, Learning)>,
}

/// An alert that would have been raised.
#[derive(Debug, PartialEq)]
pub(super) struct Raised {
    pub(super) rule: String,
    pub(super) at: Timestamp,
    pub(super) since: Timestamp,
    pub(super) cleared_at: Option<Timestamp>,
    pub(super) value: f64,
    pub(super) limit: f64,
    pub(super) words: String,
}

/// Runs the rules over the readings.
pub(super) fn replay(rules: &[RuleConfig], mut readings: Readings) -> Outcome {
    readings.sort_by_key(|reading| reading.time);
    let mut detectors = Detectors::new(rules, GATEWAY);
    let mut outcome = Outcome {
        readings: readings.len(),
        from: readings.first().map(|reading| reading.time),
        to: readings.last().map(|reading| reading.time),
        alerts: Vec::new(),
        learning: Vec::new(),
    };
    let mut now = outcome.from.unwrap_or_default();
    for reading in &readings {
        let pause_us = reading.time.micros_since(now);
        for _ in 0..(pause_us / TICK_US).min(PAUSE_TICKS_MAX) {
            now = now.plus_micros(TICK_US);
            outcome.take(detectors.tick(now, ClockState::Synchronised));
        }
        now = reading.time;
        outcome.take(detectors.tick(now, ClockState::Synchronised));
        outcome.take(detectors.step(reading));
    }
    outcome.learning = detectors.learning(now);
    outcome
}

impl Outcome {
    fn take(&mut self, found: Vec<Finding>) {
        for finding in found {
            match finding.change {
                Change::Raised {
                    direction,
                    limit,
                    value,
                    since,
                    detail,
                    ..
                } => {
                    let words = detail.map(|detail| detail.words.clone());
                    let side = match direction {
                        protocol::event::Direction::High => "above",
                        protocol::event::Direction::Low => "below",
                    };
                    self.alerts.push(Raised {
                        rule: finding.rule.to_string(),
                        at: finding.time,
                        since,
                        cleared_at: None,
                        value,
                        limit,
                        words: words.unwrap_or_else(|| format!("{value} is {side} {limit}")),
                    });
                }
                Change::Peaked { .. } => {}
                Change::Cleared { .. } => {
                    let mut open = self.alerts.iter_mut().rev();
                    if let Some(raised) = open.find(|raised| raised.rule == *finding.rule) {
                        raised.cleared_at = Some(finding.time);
                    }
                }
            }
        }
    }
}
