//! What the life cycle remembers of one alarm point: its alert, what was not told of it, how often it
//! came. Never decides anything. Points with nothing to remember are not kept.

use crate::analysis::{Change, Detail, Finding};
use protocol::event::{AlertKind, Direction, Severity, SuppressionCause};
use protocol::id::{AlertId, SensorId};
use protocol::time::{ClockState, Correction, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// One rule on one sensor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Point {
    /// Its newest alert, while that is not closed.
    pub standing: Option<Standing>,
    /// Abnormal and not told, for something holds it back.
    pub withheld: Option<Withheld>,
    /// The record has that it was withheld, once for each time it is held back.
    pub is_withheld_told: bool,
    /// When it became abnormal lately; at most as many as make it chatter.
    pub activations: Vec<Timestamp>,
    /// It comes and goes.
    pub chatter: Option<Chatter>,
    /// Suppressed by design, as the record has it.
    pub suppressed: Option<(SuppressionCause, Timestamp)>,
}

/// An alert that is not closed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Standing {
    pub alert: AlertId,
    pub severity: Severity,
    pub raised_at: Timestamp,
    /// When somebody took notice.
    pub acknowledged: Option<Timestamp>,
    pub cleared: bool,
    /// When people were told; none: it is held back.
    pub told: Option<Timestamp>,
    /// It had a notice of its own: it is handed over again after a start.
    pub has_notice: bool,
}

/// An abnormal episode that was not told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Withheld {
    pub sensor: SensorId,
    pub direction: Direction,
    pub limit: f64,
    pub value: f64,
    pub peak: f64,
    pub since: Timestamp,
    detail: Option<SavedDetail>,
}

/// `analysis::Detail`, to be stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct SavedDetail {
    kind: AlertKind,
    words: String,
    expected: Option<(f64, f64)>,
    score: Option<f64>,
    reaches_limit_in: Option<(f64, f64, f64)>,
}

/// A point that comes and goes: its alert stays open until it is calm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Chatter {
    pub since: Timestamp,
    /// The last time that it came or went.
    pub last: Timestamp,
    /// It is normal just now: what clears its alert when it stays so.
    pub clear: Option<Clear>,
}

/// The end of an episode that waits to be told.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Clear {
    pub value: f64,
    pub peak: f64,
    pub time: Timestamp,
    pub clock: ClockState,
}

impl Point {
    /// Whether there is nothing to remember.
    pub(super) fn is_idle(&self) -> bool {
        *self == Self::default()
    }

    /// Notes that it became abnormal; answers how often within `window`.
    pub(super) fn activate(&mut self, now: Timestamp, window: Duration, count_max: usize) -> usize {
        self.forget_activations(now, window);
        if self.activations.len() >= count_max {
            self.activations.remove(0);
        }
        self.activations.push(now);
        self.activations.len()
    }

    /// Those that are over, or that a clock left in the future.
    pub(super) fn forget_activations(&mut self, now: Timestamp, window: Duration) {
        self.activations.retain(|time| {
            u128::from(now.micros_since(*time).unsigned_abs()) <= window.as_micros()
        });
    }

    pub(super) fn correct(&mut self, by: &Correction) {
        if let Some(standing) = &mut self.standing {
            standing.raised_at = by.of(standing.raised_at);
            standing.acknowledged = standing.acknowledged.map(|at| by.of(at));
            standing.told = standing.told.map(|at| by.of(at));
        }
        if let Some(withheld) = &mut self.withheld {
            withheld.since = by.of(withheld.since);
        }
        for time in &mut self.activations {
            *time = by.of(*time);
        }
        if let Some(chatter) = &mut self.chatter {
            chatter.since = by.of(chatter.since);
            chatter.last = by.of(chatter.last);
            if let Some(clear) = &mut chatter.clear {
                clear.time = by.of(clear.time);
            }
        }
        if let Some((_, since)) = &mut self.suppressed {
            *since = by.of(*since);
        }
    }
}

impl Withheld {
    /// What a finding says that is not told; `None` when it is no beginning.
    pub(super) fn of(finding: &Finding) -> Option<Self> {
        let Change::Raised {
            direction,
            limit,
            value,
            peak,
            since,
            detail,
        } = &finding.change
        else {
            return None;
        };
        let detail = detail.as_ref().map(|detail| SavedDetail {
            kind: detail.kind,
            words: detail.words.clone(),
            expected: detail.expected,
            score: detail.score,
            reaches_limit_in: detail.reaches_limit_in,
        });
        Some(Self {
            sensor: finding.sensor,
            direction: *direction,
            limit: *limit,
            value: *value,
            peak: *peak,
            since: *since,
            detail,
        })
    }

    /// The finding again, to be told at `time`.
    pub(super) fn told_at(self, rule: &str, time: Timestamp, clock: ClockState) -> Finding {
        let detail = self.detail.map(|saved| {
            Arc::new(Detail {
                kind: saved.kind,
                words: saved.words,
                expected: saved.expected,
                score: saved.score,
                reaches_limit_in: saved.reaches_limit_in,
            })
        });
        Finding {
            rule: rule.into(),
            sensor: self.sensor,
            time,
            clock,
            change: Change::Raised {
                direction: self.direction,
                limit: self.limit,
                value: self.value,
                peak: self.peak,
                since: self.since,
                detail,
            },
        }
    }
}

impl Standing {
    /// Whether nothing is left to do about it, where `latches` says that it waits for a reset.
    pub(super) const fn is_closed(&self, latches: bool) -> bool {
        self.cleared && self.acknowledged.is_some() && !latches
    }
}
