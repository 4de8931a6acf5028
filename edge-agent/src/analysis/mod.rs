//! Detectors: from committed readings to findings. Pure: readings in, findings out; time is the
//! time of the readings, never a clock, so that the same readings always give the same findings.

mod finding;
mod threshold;

pub use finding::{Change, Detail, Finding};
pub use threshold::{Threshold, ThresholdState};

use crate::config::RuleConfig;
use protocol::alert::Alert;
use protocol::id::{GatewayId, SensorId};
use protocol::reading::Reading;
use protocol::time::Correction;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One rule at work on one sensor.
#[derive(Clone, Debug)]
pub struct Detector {
    rule: Arc<str>,
    sensor: SensorId,
    threshold: Threshold,
}

/// What a detector remembers over a restart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DetectorState {
    /// Name of the rule.
    pub rule: String,
    /// The sensor; a rule that was moved to another one begins anew.
    pub sensor: SensorId,
    /// Where it stands.
    pub threshold: ThresholdState,
}

impl Detector {
    /// A rule that has seen nothing yet; `None` where it has no limits.
    pub fn new(rule: &RuleConfig, gateway: GatewayId) -> Option<Self> {
        Some(Self {
            rule: rule.name.as_str().into(),
            sensor: SensorId::derive(gateway, &rule.sensor),
            threshold: Threshold::new(rule.kind.limits()?.clone()),
        })
    }

    /// Judges a reading of its sensor; readings of others are passed over.
    ///
    /// A bad reading has no value and changes nothing: it neither raises nor clears, and delays
    /// that are running go on. An uncertain one counts like a good one: a value outside the
    /// sensor's range may be a broken wire, or the very danger that the limit is for.
    pub fn step(&mut self, reading: &Reading) -> Option<Finding> {
        if reading.sensor != self.sensor {
            return None;
        }
        let change = self.threshold.step(reading.value?, reading.time)?;
        Some(Finding {
            rule: Arc::clone(&self.rule),
            sensor: self.sensor,
            time: reading.time,
            clock: reading.clock,
            change,
        })
    }

    /// Name of the rule.
    pub fn rule(&self) -> &str {
        &self.rule
    }

    /// The sensor that it judges.
    pub const fn sensor(&self) -> SensorId {
        self.sensor
    }
}

/// All detectors of a gateway, found by sensor.
#[derive(Clone, Debug, Default)]
pub struct Detectors {
    by_sensor: BTreeMap<SensorId, Vec<Detector>>,
}

impl Detectors {
    /// One per rule; at most `config::RULES_MAX`.
    pub fn new(rules: &[RuleConfig], gateway: GatewayId) -> Self {
        let mut by_sensor: BTreeMap<SensorId, Vec<Detector>> = BTreeMap::new();
        for rule in rules {
            let Some(detector) = Detector::new(rule, gateway) else {
                continue;
            };
            by_sensor.entry(detector.sensor).or_default().push(detector);
        }
        Self { by_sensor }
    }

    /// Judges a reading by every rule of its sensor, in the order of the configuration.
    pub fn step(&mut self, reading: &Reading) -> Vec<Finding> {
        let detectors = self.by_sensor.get_mut(&reading.sensor);
        let detectors = detectors.into_iter().flatten();
        detectors
            .filter_map(|detector| detector.step(reading))
            .collect()
    }

    /// What all of them remember, to be stored in the same transaction as the events that their
    /// findings led to: a restart then neither forgets an alert nor tells it twice. Detectors
    /// that have nothing to remember are left out.
    pub fn save(&self) -> Vec<DetectorState> {
        let detectors = self.by_sensor.values().flatten();
        let states = detectors.map(|detector| DetectorState {
            rule: detector.rule.to_string(),
            sensor: detector.sensor,
            threshold: detector.threshold.state(),
        });
        states
            .filter(|state| state.threshold != ThresholdState::default())
            .collect()
    }

    /// Takes up what was saved. A state whose rule or sensor is gone is passed over.
    pub fn restore(&mut self, states: &[DetectorState]) {
        for state in states {
            if let Some(detector) = self.find(&state.rule, state.sensor) {
                detector.threshold.restore(state.threshold);
            }
        }
    }

    /// Moves the times that they remember, now that the true time is known.
    pub fn correct(&mut self, by: &Correction) {
        for detector in self.by_sensor.values_mut().flatten() {
            detector.threshold.correct(by);
        }
    }

    /// Tells the rule of an alert of this box that it is not cleared, whatever the rule remembers:
    /// the events are the record, and an alert that no detector stands behind would never clear.
    /// To be called after `restore`.
    pub fn stand_behind(&mut self, alert: &Alert) {
        let raised = &alert.raised;
        if alert.cleared.is_none()
            && let Some(detector) = self.find(&raised.rule, raised.sensor)
        {
            detector
                .threshold
                .stand_behind(raised.direction, alert.peak);
        }
    }

    fn find(&mut self, rule: &str, sensor: SensorId) -> Option<&mut Detector> {
        let mut detectors = self.by_sensor.get_mut(&sensor)?.iter_mut();
        detectors.find(|detector| &*detector.rule == rule)
    }
}

#[cfg(test)]
mod tests;
