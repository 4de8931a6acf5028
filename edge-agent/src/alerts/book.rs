//! The episodes of the rules: from findings to the events `Raised`, `Peaked` and `Cleared`. Pure: ids
//! come in as arguments, times are those of the findings. Never acknowledges, and never holds
//! anything back: `Alarms` decides which findings come here.
//!
//! One alert is one abnormal episode of one rule, so a rule has at most one that is not cleared.
//! When a value becomes abnormal again after it cleared, that is a new alert with a new id, even
//! if nobody acknowledged the old one: each episode keeps its own times and peak.

use crate::analysis::{Change, Finding};
use crate::config::RuleConfig;
use protocol::alert::Alert;
use protocol::event::{AlertDescription, AlertEvent, AlertRaised, Direction};
use protocol::id::AlertId;
use protocol::time::{ClockState, Correction, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A new peak is told at most this often per alert, in the time of the readings; the last one is
/// told when the alert clears. A value that climbs for an hour would else be thousands of events.
pub const PEAK_PERIOD_US: i64 = 60_000_000;

/// The alerts of this box that are not cleared. Bounded: at most one per rule.
#[derive(Clone, Debug, Default)]
pub struct AlertBook {
    rules: BTreeMap<String, RuleConfig>,
    open: BTreeMap<String, Open>,
    /// Alerts that no rule stands behind, until `retire` ends them.
    orphans: Vec<(String, AlertId)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Open {
    alert: AlertId,
    direction: Direction,
    told_peak: f64,
    told_at: Timestamp,
}

/// An alert that was open when the book was saved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedAlert {
    rule: String,
    open: Open,
}

/// One event to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertStep {
    /// The alert.
    pub alert: AlertId,
    /// Name of the rule: who acts.
    pub rule: String,
    /// Time of the reading behind it.
    pub time: Timestamp,
    /// State of the clock that gave `time`.
    pub clock: ClockState,
    /// What happened.
    pub event: AlertEvent,
    /// What belongs to a `Raised`, to be written with it.
    pub described: Option<AlertDescription>,
}

impl AlertBook {
    /// For the rules as configured, with no alert open.
    pub fn new(rules: &[RuleConfig]) -> Self {
        let rules = rules.iter().map(|rule| (rule.name.clone(), rule.clone()));
        Self {
            rules: rules.collect(),
            open: BTreeMap::new(),
            orphans: Vec::new(),
        }
    }

    /// What is open, to be saved together with what the detectors remember.
    pub fn save(&self) -> Vec<SavedAlert> {
        let saved = |(rule, open): (&String, &Open)| SavedAlert {
            rule: rule.clone(),
            open: *open,
        };
        self.open.iter().map(saved).collect()
    }

    /// Takes up what was saved, so that the readings since then, judged again, mean the same
    /// alerts as the first time. A rule that is gone is passed over.
    pub fn restore(&mut self, saved: &[SavedAlert]) {
        for SavedAlert { rule, open } in saved {
            if self.rules.contains_key(rule) {
                self.open.insert(rule.clone(), *open);
            }
        }
    }

    /// The rules are others now. What is open for a rule that is gone, or that is for another sensor
    /// now, ends with the next `retire`.
    pub fn change_rules(&mut self, rules: &[RuleConfig]) {
        let before = std::mem::replace(self, Self::new(rules));
        self.orphans = before.orphans;
        for (name, open) in before.open {
            let sensor = |rules: &BTreeMap<String, RuleConfig>| {
                rules.get(&name).map(|rule| rule.sensor.clone())
            };
            if sensor(&self.rules).is_some() && sensor(&self.rules) == sensor(&before.rules) {
                self.open.insert(name, open);
            } else {
                self.orphans.push((name, open.alert));
            }
        }
    }

    /// Moves the times it remembers, now that the true time is known.
    pub fn correct(&mut self, by: &Correction) {
        for open in self.open.values_mut() {
            open.told_at = by.of(open.told_at);
        }
    }

    /// Takes up an alert of this box as its events tell it; a cleared one is passed over, and one
    /// that the book has stays as it is. To be called for all of them when the agent starts, once
    /// the readings since the last save are judged, then `retire`.
    pub fn take_up(&mut self, alert: &Alert) {
        if alert.cleared.is_some() {
            return;
        }
        let known = self.open.get(&alert.raised.rule);
        if known.is_some_and(|open| open.alert == alert.id) {
            return;
        }
        let name = alert.raised.rule.clone();
        let rule = self.rules.get(&name);
        if rule.is_none_or(|rule| rule.sensor != alert.raised.sensor_path) {
            self.orphans.push((name, alert.id));
            return;
        }
        let open = Open {
            alert: alert.id,
            direction: alert.raised.direction,
            told_peak: alert.peak,
            told_at: alert.raised_at,
        };
        if let Some(twin) = self.open.insert(name.clone(), open) {
            self.orphans.push((name, twin.alert));
        }
    }

    /// Ends the alerts taken up whose rule is no longer configured for their sensor, or has
    /// another one open: nothing measures them, so nothing else would ever clear them.
    pub fn retire(&mut self, now: Timestamp, clock: ClockState) -> Vec<AlertStep> {
        let step = |(rule, alert)| AlertStep {
            alert,
            rule,
            time: now,
            clock,
            event: AlertEvent::Cleared { value: None },
            described: None,
        };
        self.orphans.drain(..).map(step).collect()
    }

    /// What a finding means for the alerts. `new_id` is used when it raises one. The events are
    /// to be written in this order, in one transaction with what the detectors remember.
    ///
    /// A finding that does not fit (raised though open, cleared though not) changes nothing but
    /// the peak: told twice is told once.
    pub fn apply(&mut self, finding: &Finding, new_id: AlertId) -> Vec<AlertStep> {
        let told = match finding.change {
            Change::Raised { peak, .. } if self.open.contains_key(&*finding.rule) => {
                self.peaked(finding, peak)
            }
            Change::Raised { peak, .. } => self.raised(finding, peak, new_id),
            Change::Peaked { value } => self.peaked(finding, value),
            Change::Cleared { value, peak } => self.cleared(finding, value, peak),
        };
        let Some((alert, events)) = told else {
            return Vec::new();
        };
        let step = |event| AlertStep {
            alert,
            rule: finding.rule.to_string(),
            time: finding.time,
            clock: finding.clock,
            event,
            described: None,
        };
        events.into_iter().map(step).collect()
    }

    /// A rule as configured.
    pub fn rule(&self, name: &str) -> Option<&RuleConfig> {
        self.rules.get(name)
    }

    /// All rules as configured.
    pub fn rules(&self) -> impl Iterator<Item = &RuleConfig> {
        self.rules.values()
    }

    /// The alert of a rule that is not cleared.
    pub fn open_alert(&self, rule: &str) -> Option<AlertId> {
        self.open.get(rule).map(|open| open.alert)
    }

    fn raised(&mut self, finding: &Finding, peak: f64, id: AlertId) -> Option<Told> {
        let Change::Raised {
            direction,
            limit,
            value,
            since,
            ..
        } = finding.change
        else {
            return None;
        };
        let rule = self.rules.get(&*finding.rule)?;
        let raised = AlertRaised {
            rule: rule.name.clone(),
            sensor: finding.sensor,
            sensor_path: rule.sensor.clone(),
            asset: rule.asset.clone(),
            title: rule.title.clone(),
            severity: rule.severity,
            direction,
            limit,
            value,
            unit: rule.unit.code().to_owned(),
            since,
        };
        let mut events = vec![AlertEvent::Raised(raised)];
        if is_further(direction, peak, value) {
            events.push(AlertEvent::Peaked { value: peak });
        }
        let open = Open {
            alert: id,
            direction,
            told_peak: peak,
            told_at: finding.time,
        };
        self.open.insert(rule.name.clone(), open);
        Some((id, events))
    }

    fn peaked(&mut self, finding: &Finding, value: f64) -> Option<Told> {
        let open = self.open.get_mut(&*finding.rule)?;
        let waited_us = finding.time.micros_since(open.told_at);
        let too_soon = (0..PEAK_PERIOD_US).contains(&waited_us);
        if too_soon || !is_further(open.direction, value, open.told_peak) {
            return None;
        }
        open.told_peak = value;
        open.told_at = finding.time;
        Some((open.alert, vec![AlertEvent::Peaked { value }]))
    }

    fn cleared(&mut self, finding: &Finding, value: f64, peak: f64) -> Option<Told> {
        let open = self.open.remove(&*finding.rule)?;
        let mut events = Vec::new();
        if is_further(open.direction, peak, open.told_peak) {
            events.push(AlertEvent::Peaked { value: peak });
        }
        events.push(AlertEvent::Cleared { value: Some(value) });
        Some((open.alert, events))
    }
}

type Told = (AlertId, Vec<AlertEvent>);

fn is_further(direction: Direction, value: f64, than: f64) -> bool {
    match direction {
        Direction::High => value > than,
        Direction::Low => value < than,
    }
}

#[cfg(test)]
mod tests;
