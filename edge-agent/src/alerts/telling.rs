//! How many people are told: floods, and the most notices in an hour. Never holds back what is high
//! or critical; never forgets that something was held back.
//!
//! High and critical alerts are told at once and count; a third of the notices of an hour is kept free
//! for them. Of the others as many are told as leave room for one more; instead of the next one a flood
//! begins, with one summary, and another one each hour. It also begins when there are more than ten
//! alerts in ten minutes (ISA-18.2), and ends when there are fewer than five and there is room again,
//! with a list of what was held back and still stands.

use crate::config::AlarmsConfig;
use protocol::event::Severity;
use protocol::time::{Correction, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

const HOUR_US: u64 = 3_600_000_000;
const TEN_MINUTES_US: u64 = 600_000_000;
/// Alerts and notices whose times are kept; the oldest go first. A flood of more is a flood.
const TIMES_MAX: usize = 1_024;
/// Notices in an hour for which there is to be room before low and medium ones are told one by one
/// again: the summary that says so, one of them, and the next summary.
const ROOM_TO_END: usize = 3;

/// What was told, and whether there is a flood.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Telling {
    /// Alerts of the last ten minutes.
    alerts: VecDeque<Timestamp>,
    /// Notices of the last hour that could have been held back.
    told: VecDeque<Timestamp>,
    /// Those that could not.
    urgent: VecDeque<Timestamp>,
    flood: Option<Flood>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Flood {
    since: Timestamp,
    /// When its last summary went out.
    told: Option<Timestamp>,
    /// Held back in all, and since that summary.
    held_back: usize,
    untold: usize,
}

/// A summary that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Summary {
    /// It began, or goes on for another hour: now, with the alerts of ten minutes.
    Began(Timestamp, usize),
    /// With when it began and how many were held back in it.
    Ended(Timestamp, usize),
}

impl Telling {
    /// An alert was raised.
    pub(super) fn raised(&mut self, now: Timestamp, settings: &AlarmsConfig) {
        self.forget(now);
        push(&mut self.alerts, now);
        if self.flood.is_none() && self.alerts.len() > settings.flood_begins_above {
            self.begin(now);
        }
    }

    /// Whether a notice of this urgency may go out now, counted if so. One that may not is held
    /// back.
    pub(super) fn may(
        &mut self,
        severity: Severity,
        now: Timestamp,
        settings: &AlarmsConfig,
    ) -> bool {
        self.forget(now);
        if severity < Severity::High && (self.flood.is_some() || self.room(settings) < 2) {
            if self.flood.is_none() {
                self.begin(now);
            }
            if let Some(flood) = &mut self.flood {
                flood.held_back += 1;
                flood.untold += 1;
            }
            return false;
        }
        let times = if severity < Severity::High {
            &mut self.told
        } else {
            &mut self.urgent
        };
        push(times, now);
        true
    }

    /// Like `may` for something that can also be told later: nothing is held back, it is asked
    /// again.
    pub(super) fn may_again(
        &mut self,
        severity: Severity,
        now: Timestamp,
        settings: &AlarmsConfig,
    ) -> bool {
        self.forget(now);
        let has_room = self.flood.is_none() && self.room(settings) >= 2;
        (severity >= Severity::High || has_room) && self.may(severity, now, settings)
    }

    /// The summary that is due now, counted.
    pub(super) fn summary(&mut self, now: Timestamp, settings: &AlarmsConfig) -> Option<Summary> {
        self.forget(now);
        let room = self.room(settings);
        let flood = self.flood.as_mut()?;
        let room_to_end = ROOM_TO_END.min(settings.notices_per_hour - reserve(settings));
        if self.alerts.len() < settings.flood_ends_below && room >= room_to_end {
            let ended = *flood;
            self.flood = None;
            if ended.held_back == 0 {
                return None;
            }
            push(&mut self.told, now);
            return Some(Summary::Ended(ended.since, ended.held_back));
        }
        let is_due = flood.told.is_none_or(|told| !is_near(told, now, HOUR_US));
        if !is_due || flood.untold == 0 || room == 0 {
            return None;
        }
        (flood.told, flood.untold) = (Some(now), 0);
        push(&mut self.told, now);
        Some(Summary::Began(now, self.alerts.len()))
    }

    pub(super) fn correct(&mut self, by: &Correction) {
        for time in self
            .alerts
            .iter_mut()
            .chain(&mut self.told)
            .chain(&mut self.urgent)
        {
            *time = by.of(*time);
        }
        if let Some(flood) = &mut self.flood {
            flood.since = by.of(flood.since);
            flood.told = flood.told.map(|told| by.of(told));
        }
    }

    const fn begin(&mut self, now: Timestamp) {
        self.flood = Some(Flood {
            since: now,
            told: None,
            held_back: 0,
            untold: 0,
        });
    }

    fn room(&self, settings: &AlarmsConfig) -> usize {
        let urgent = self.urgent.len().max(reserve(settings));
        settings
            .notices_per_hour
            .saturating_sub(self.told.len() + urgent)
    }

    /// Also what a clock that was set back left in the future goes when it is far off.
    fn forget(&mut self, now: Timestamp) {
        self.alerts
            .retain(|time| is_near(*time, now, TEN_MINUTES_US));
        self.told.retain(|time| is_near(*time, now, HOUR_US));
        self.urgent.retain(|time| is_near(*time, now, HOUR_US));
    }
}

/// Notices of an hour that are kept for what is urgent.
const fn reserve(settings: &AlarmsConfig) -> usize {
    settings.notices_per_hour / 3
}

const fn is_near(time: Timestamp, now: Timestamp, long_us: u64) -> bool {
    now.micros_since(time).unsigned_abs() < long_us
}

fn push(times: &mut VecDeque<Timestamp>, now: Timestamp) {
    if times.len() >= TIMES_MAX {
        times.pop_front();
    }
    times.push_back(now);
}
