//! Whether a rule's alerts are suppressed by its condition: the newest values of the sensors that
//! conditions name, and until when a condition held. Never sees other sensors.
//!
//! A sensor of which nothing was read yet leaves a comparison open; a condition that is open does not
//! suppress. A bad reading changes nothing.

use super::book::AlertBook;
use crate::config::{Condition, SuppressWhile};
use protocol::event::SuppressionCause;
use protocol::id::{GatewayId, SensorId};
use protocol::reading::Reading;
use protocol::time::{Correction, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What conditions need to remember. Bounded by the rules that have one.
#[derive(Clone, Debug, Default)]
pub(super) struct Conditions {
    /// Sensors that are named, with their paths.
    sensors: BTreeMap<SensorId, String>,
    /// By rule.
    by_rule: BTreeMap<String, SuppressWhile>,
    known: Known,
}

/// What is remembered over a restart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Known {
    /// Newest value by sensor path.
    values: BTreeMap<String, f64>,
    /// When a rule's condition held last, for its start-up.
    held: BTreeMap<String, Timestamp>,
}

impl Conditions {
    pub(super) fn new(book: &AlertBook, gateway: GatewayId) -> Self {
        let rules = book.rules().filter_map(|rule| {
            let suppress = rule.alarm.suppress_while.clone()?;
            Some((rule.name.clone(), suppress))
        });
        let conditions: BTreeMap<String, SuppressWhile> = rules.collect();
        let mut sensors = BTreeMap::new();
        for suppress in conditions.values() {
            let mut sensor = |path: &str| {
                sensors.insert(SensorId::derive(gateway, path), path.to_owned());
            };
            suppress.condition.each(&mut sensor, &mut |_| {});
        }
        Self {
            sensors,
            by_rule: conditions,
            known: Known::default(),
        }
    }

    /// Takes notice of a reading.
    pub(super) fn read(&mut self, reading: &Reading) {
        if let (Some(path), Some(value)) = (self.sensors.get(&reading.sensor), reading.value) {
            if let Some(known) = self.known.values.get_mut(path) {
                *known = value;
            } else {
                self.known.values.insert(path.clone(), value);
            }
        }
    }

    /// Takes notice of which conditions hold, for their start-up.
    pub(super) fn look(&mut self, now: Timestamp, is_abnormal: &dyn Fn(&str) -> bool) {
        for (rule, suppress) in &self.by_rule {
            if !suppress.start_up.is_zero()
                && self.holds(&suppress.condition, is_abnormal) == Some(true)
            {
                self.known.held.insert(rule.clone(), now);
            }
        }
    }

    /// Why a rule's alerts are suppressed now, if its condition does it.
    pub(super) fn cause(
        &self,
        rule: &str,
        now: Timestamp,
        is_abnormal: &dyn Fn(&str) -> bool,
    ) -> Option<SuppressionCause> {
        let suppress = self.by_rule.get(rule)?;
        let words = || suppress.words.clone();
        if self.holds(&suppress.condition, is_abnormal) == Some(true) {
            return Some(SuppressionCause::Condition { words: words() });
        }
        let held = self.known.held.get(rule)?;
        let start_up_us = i64::try_from(suppress.start_up.as_micros()).unwrap_or(i64::MAX);
        let is_starting = (0..start_up_us).contains(&now.micros_since(*held));
        is_starting.then(|| SuppressionCause::StartUp { words: words() })
    }

    fn holds(&self, condition: &Condition, is_abnormal: &dyn Fn(&str) -> bool) -> Option<bool> {
        match condition {
            Condition::All(parts) => {
                let parts = parts.iter().map(|part| self.holds(part, is_abnormal));
                join(parts, false)
            }
            Condition::Any(parts) => {
                let parts = parts.iter().map(|part| self.holds(part, is_abnormal));
                join(parts, true)
            }
            Condition::Not(part) => self.holds(part, is_abnormal).map(|holds| !holds),
            Condition::Value {
                sensor,
                comparison,
                value,
            } => {
                let known = self.known.values.get(sensor)?;
                Some(comparison.holds(*known, *value))
            }
            Condition::Alert(rule) => Some(is_abnormal(rule)),
        }
    }

    pub(super) fn known(&self) -> Known {
        self.known.clone()
    }

    /// Takes up what is known, as far as it is still asked for.
    pub(super) fn restore(&mut self, known: Known) {
        self.known = known;
        let paths: std::collections::BTreeSet<&String> = self.sensors.values().collect();
        self.known.values.retain(|path, _| paths.contains(path));
        let conditions = &self.by_rule;
        self.known
            .held
            .retain(|rule, _| conditions.contains_key(rule));
    }

    pub(super) fn correct(&mut self, by: &Correction) {
        for held in self.known.held.values_mut() {
            *held = by.of(*held);
        }
    }
}

/// One part that is `decides` decides; else one that is open leaves the whole open.
fn join(parts: impl Iterator<Item = Option<bool>>, decides: bool) -> Option<bool> {
    let mut is_open = false;
    for part in parts {
        match part {
            Some(holds) if holds == decides => return Some(decides),
            Some(_) => {}
            None => is_open = true,
        }
    }
    (!is_open).then_some(!decides)
}
