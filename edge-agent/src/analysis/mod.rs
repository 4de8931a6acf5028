//! Detectors: from committed readings to findings. Pure: readings in, findings out; time is the
//! time of the readings and of the ticks it is given, never a clock, so that the same readings and
//! ticks always give the same findings. README.md beside this has what each one costs.

mod detector;
mod deviation;
mod finding;
mod flat;
mod pattern;
mod profile;
mod rate;
mod stale;
mod standing;
mod state;
mod threshold;
mod trend;

pub use detector::{Detector, Memory};
pub use deviation::{Deviation, DeviationMemory, Learning, Model, Sight, Slow, Verdict};
pub use finding::{Change, Detail, Finding};
pub use flat::FlatMemory;
pub use pattern::PatternMemory;
pub use profile::{Analysis, PROFILES, Profile, Scored};
pub use rate::RateMemory;
pub use stale::StaleMemory;
pub use standing::Standing;
pub use threshold::{Threshold, ThresholdState};
pub use trend::TrendMemory;

use crate::config::RuleConfig;
use detector::Kind;
use protocol::alert::Alert;
use protocol::id::{GatewayId, SensorId};
use protocol::reading::Reading;
use protocol::time::{ClockState, Correction, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Detectors whose learning is saved together.
pub const CHUNK: usize = 32;

/// What a detector remembers over a restart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DetectorState {
    /// Name of the rule.
    pub rule: String,
    /// The sensor; a rule that was moved to another one begins anew.
    pub sensor: SensorId,
    /// What it remembers.
    pub memory: Memory,
}

/// What a build before the kinds of rules saved: limits only.
#[derive(Clone, Debug, Deserialize)]
pub struct DetectorStateV1 {
    rule: String,
    sensor: SensorId,
    threshold: ThresholdState,
}

impl From<DetectorStateV1> for DetectorState {
    fn from(saved: DetectorStateV1) -> Self {
        Self {
            rule: saved.rule,
            sensor: saved.sensor,
            memory: Memory::Threshold(saved.threshold),
        }
    }
}

/// All detectors of a gateway, found by sensor. At most `config::RULES_MAX`.
#[derive(Clone, Debug, Default)]
pub struct Detectors {
    /// Where a sensor's detectors are in `all`.
    by_sensor: HashMap<SensorId, usize>,
    /// Those of each sensor, in the order of the configuration.
    all: Vec<Box<[Detector]>>,
    patterns: Vec<Detector>,
    /// Which of `all` have a detector that counts silence.
    silent: Vec<usize>,
    ticked: Option<Timestamp>,
}

impl Detectors {
    /// One per rule.
    pub fn new(rules: &[RuleConfig], gateway: GatewayId) -> Self {
        let mut found = Self::default();
        let mut counts: Vec<usize> = Vec::new();
        let mut of_sensors = Vec::with_capacity(rules.len());
        for rule in rules {
            let detector = Detector::new(rule, gateway);
            if matches!(detector.kind, Kind::Pattern(_)) {
                found.patterns.push(detector);
                continue;
            }
            let at = *found
                .by_sensor
                .entry(detector.sensor)
                .or_insert(counts.len());
            match counts.get_mut(at) {
                Some(count) => *count += 1,
                None => counts.push(1),
            }
            of_sensors.push((at, detector));
        }
        // Without spare room: there may be ten thousand of them.
        let all = counts.into_iter().map(Vec::with_capacity);
        let mut all: Vec<Vec<Detector>> = all.collect();
        for (at, detector) in of_sensors {
            if let Some(of_sensor) = all.get_mut(at) {
                of_sensor.push(detector);
            }
        }
        found.all = all.into_iter().map(Vec::into_boxed_slice).collect();
        let counts = |of: &[Detector]| of.iter().any(|it| matches!(it.kind, Kind::Stale(_)));
        let places = found.all.iter().enumerate();
        let silent = places.filter(|(_, of)| counts(of));
        found.silent = silent.map(|(at, _)| at).collect();
        found
    }

    /// Judges a reading by every rule of its sensor, in the order of the configuration, then by the
    /// patterns that its findings belong to.
    pub fn step(&mut self, reading: &Reading) -> Vec<Finding> {
        let Some(at) = self.by_sensor.get(&reading.sensor) else {
            return Vec::new();
        };
        let of_sensor = self.all.get_mut(*at).into_iter().flatten();
        let found: Vec<Finding> = of_sensor.filter_map(|it| it.step(reading)).collect();
        self.with_patterns(found)
    }

    /// Whether judging this reading will raise an alert at once. Changes nothing: what was not
    /// judged yet is not known to it.
    pub fn foresees(&self, reading: &Reading) -> bool {
        let at = self.by_sensor.get(&reading.sensor);
        let of_sensor = at.and_then(|at| self.all.get(*at)).into_iter().flatten();
        of_sensor.into_iter().any(|it| it.foresees(reading))
    }

    /// Time has come this far: what brings no reading is found by this. To be called about once a
    /// second with the clock that stamps the readings.
    pub fn tick(&mut self, now: Timestamp, clock: ClockState) -> Vec<Finding> {
        let before = self.ticked.replace(now).unwrap_or(now);
        let passed_us = now.micros_since(before).clamp(0, stale::TICK_MAX_US);
        let mut found = Vec::new();
        for at in &self.silent {
            for detector in self.all.get_mut(*at).into_iter().flatten() {
                if let Kind::Stale(stale) = &mut detector.kind
                    && let Some(change) = stale.tick(passed_us, now)
                {
                    found.push(detector.finding(change, now, clock));
                }
            }
        }
        let mut found = self.with_patterns(found);
        for detector in &mut self.patterns {
            if let Kind::Pattern(pattern) = &mut detector.kind
                && let Some(change) = pattern.tick(now)
            {
                found.push(detector.finding(change, now, clock));
            }
        }
        found
    }

    fn with_patterns(&mut self, mut found: Vec<Finding>) -> Vec<Finding> {
        if self.patterns.is_empty() || found.is_empty() {
            return found;
        }
        let mut of_patterns = Vec::new();
        for finding in &found {
            if !matches!(finding.change, Change::Raised { .. }) {
                continue;
            }
            for detector in &mut self.patterns {
                if let Kind::Pattern(pattern) = &mut detector.kind
                    && let Some(change) = pattern.raised(&finding.rule, finding.time)
                {
                    of_patterns.push(detector.finding(change, finding.time, finding.clock));
                }
            }
        }
        found.append(&mut of_patterns);
        found
    }

    /// What all of them remember, to be stored in the same transaction as the events that their
    /// findings led to: a restart then neither forgets an alert nor tells it twice. Detectors
    /// that have nothing to remember are left out.
    pub fn save(&self) -> Vec<DetectorState> {
        let states = self.each().filter_map(|it| state(it, it.memory()));
        states.collect()
    }

    /// What those of a chunk learned over days: larger, and saved seldom. After a crash they have
    /// missed at most what came since.
    pub fn save_learned(&self, chunk: usize) -> Vec<DetectorState> {
        let of_chunk = self.each().skip(chunk * CHUNK).take(CHUNK);
        let states = of_chunk.flat_map(|it| it.learned().map(|memory| state(it, memory)));
        states.flatten().collect()
    }

    /// Chunks there are.
    pub fn chunks(&self) -> usize {
        self.each().count().div_ceil(CHUNK)
    }

    /// Takes up what was saved. A state whose rule or sensor is gone, or whose rule is of another
    /// kind now, is passed over.
    pub fn restore(&mut self, states: &[DetectorState]) {
        for state in states {
            if let Some(detector) = self.find(&state.rule, state.sensor) {
                detector.restore(state.memory.clone());
            }
        }
    }

    /// Moves the times that they remember, now that the true time is known.
    pub fn correct(&mut self, by: &Correction) {
        self.ticked = None;
        let all = self.all.iter_mut().flatten();
        for detector in all.chain(&mut self.patterns) {
            detector.correct(by);
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
            detector.stand_behind(raised.direction, alert.peak, alert.raised_at);
        }
    }

    /// A person said at a time that what a rule finds is normal now: it forgets what it learned before
    /// and learns anew; its alert clears with the next reading. The chunk that is to be saved; `None`: it
    /// has done so already, or learns nothing.
    pub fn learn_anew(&mut self, rule: &str, sensor: SensorId, at: Timestamp) -> Option<usize> {
        let is_new = self.find(rule, sensor)?.learn_anew(at);
        let mut all = self.each();
        let place = all.position(|it| &*it.rule == rule && it.sensor == sensor)?;
        is_new.then_some(place / CHUNK)
    }

    /// The rules that learn and tell nothing yet, with what is left.
    pub fn learning(&self, now: Timestamp) -> Vec<(String, Learning)> {
        let learning = |it: &Detector| Some((it.rule.to_string(), it.learning(now)?));
        self.each().filter_map(learning).collect()
    }

    fn each(&self) -> impl Iterator<Item = &Detector> {
        self.all.iter().flatten().chain(&self.patterns)
    }

    fn find(&mut self, rule: &str, sensor: SensorId) -> Option<&mut Detector> {
        let at = self.by_sensor.get(&sensor).copied();
        let of_sensor = at.and_then(|at| self.all.get_mut(at)).into_iter().flatten();
        let mut all = of_sensor.chain(&mut self.patterns);
        all.find(|it| &*it.rule == rule && it.sensor == sensor)
    }
}

fn state(detector: &Detector, memory: Option<Memory>) -> Option<DetectorState> {
    Some(DetectorState {
        rule: detector.rule.to_string(),
        sensor: detector.sensor,
        memory: memory?,
    })
}

/// A number as people read it: about four digits.
fn figure(value: f64) -> String {
    let text = match value.abs() {
        size if size >= 1_000.0 => format!("{value:.0}"),
        size if size >= 100.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    };
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a time between readings below 2^53 microseconds is exact"
)]
fn seconds(us: i64) -> f64 {
    us as f64 / 1e6
}

#[cfg(test)]
mod tests;
