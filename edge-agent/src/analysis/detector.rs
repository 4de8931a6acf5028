//! One rule at work on one sensor: which detector it is, and what it remembers. A detector of several
//! sensors will be one more kind beside these, held by `Detectors` as patterns are.
//! Never decides which reading comes to it: `Detectors` does.

use super::deviation::{Deviation, DeviationMemory, Learning, Model, Slow};
use super::finding::{Change, Finding};
use super::flat::{Flat, FlatMemory};
use super::pattern::{Pattern, PatternMemory};
use super::rate::{Rate, RateMemory};
use super::stale::{Stale, StaleMemory};
use super::standing::Standing;
use super::state::StateWatch;
use super::threshold::{Threshold, ThresholdState};
use super::trend::{Trend, TrendMemory};
use crate::config::{RuleConfig, RuleKind};
use protocol::event::Direction;
use protocol::id::{GatewayId, SensorId};
use protocol::reading::{Quality, Reading};
use protocol::time::{ClockState, Correction, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One rule at work on one sensor.
#[derive(Clone, Debug)]
pub struct Detector {
    pub(super) rule: Arc<str>,
    pub(super) sensor: SensorId,
    pub(super) kind: Kind,
}

/// What it looks for. Boxed, so that each takes what it needs and no more.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Threshold(Box<Threshold>),
    State(Box<StateWatch>),
    Rate(Box<Rate>),
    Flat(Box<Flat>),
    Stale(Box<Stale>),
    Deviation(Box<Deviation>),
    Trend(Box<Trend>),
    Pattern(Box<Pattern>),
}

/// What a detector remembers over a restart. Saved: append only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Memory {
    /// Of limits.
    Threshold(ThresholdState),
    /// Of a state.
    State(Standing),
    /// Of a rate, while something is abnormal.
    Rate(Standing, Box<RateMemory>),
    /// Of a flat line.
    Flat(Standing, Option<FlatMemory>),
    /// Of a silence.
    Stale(Standing, StaleMemory),
    /// Of a deviation.
    Deviation(Standing, DeviationMemory),
    /// Of a trend.
    Trend(Standing),
    /// Of a pattern.
    Pattern(Standing, PatternMemory),
    /// What a sensor usually shows, and since when that is known.
    Model(Box<Model>, DeviationMemory),
    /// The window of a trend.
    Window(TrendMemory),
    /// What shows over hours only, beside `Model`.
    Slow(Box<Slow>),
}

impl Detector {
    /// A rule that has seen nothing yet.
    pub fn new(rule: &RuleConfig, gateway: GatewayId) -> Self {
        let kind = match rule.kind.clone() {
            RuleKind::Threshold(limits) => Kind::Threshold(Box::new(Threshold::new(limits))),
            RuleKind::State(rule) => Kind::State(Box::new(StateWatch::new(rule))),
            RuleKind::Rate(rule) => Kind::Rate(Box::new(Rate::new(rule))),
            RuleKind::Flat(rule) => Kind::Flat(Box::new(Flat::new(rule))),
            RuleKind::Stale(rule) => Kind::Stale(Box::new(Stale::new(rule))),
            RuleKind::Deviation(rule) => Kind::Deviation(Box::new(Deviation::new(rule))),
            RuleKind::Trend(rule) => Kind::Trend(Box::new(Trend::new(rule))),
            RuleKind::Pattern(rule) => Kind::Pattern(Box::new(Pattern::new(rule))),
        };
        Self {
            rule: rule.name.as_str().into(),
            sensor: SensorId::derive(gateway, &rule.sensor),
            kind,
        }
    }

    /// Judges a reading of its sensor; readings of others are passed over.
    ///
    /// The quality gate: a bad reading has no value and changes nothing: it neither raises nor
    /// clears, and delays that are running go on. An uncertain one counts for limits, states, rates
    /// and flat lines, for a value outside the sensor's range may be a broken wire, or the very
    /// danger that the limit is for; nothing is learned from it.
    pub fn step(&mut self, reading: &Reading) -> Option<Finding> {
        if reading.sensor != self.sensor {
            return None;
        }
        let (value, time) = (reading.value?, reading.time);
        if !value.is_finite() {
            return None;
        }
        let is_good = reading.quality == Quality::Good;
        let change = match &mut self.kind {
            Kind::Threshold(threshold) => threshold.step(value, time),
            Kind::State(state) => state.step(value, time),
            Kind::Rate(rate) => rate.step(value, time),
            Kind::Flat(flat) => flat.step(value, time),
            Kind::Stale(stale) => stale.step(value, time),
            Kind::Deviation(deviation) if is_good => deviation.step(value, time),
            Kind::Trend(trend) if is_good => trend.step(value, time),
            Kind::Deviation(_) | Kind::Trend(_) | Kind::Pattern(_) => None,
        };
        Some(self.finding(change?, time, reading.clock))
    }

    /// Whether this reading will raise an alert, without judging it: of limits, states and rates only.
    /// What else there is needs minutes of readings, so that a second more does not matter.
    pub fn foresees(&self, reading: &Reading) -> bool {
        let is_quick = matches!(
            self.kind,
            Kind::Threshold(_) | Kind::State(_) | Kind::Rate(_)
        );
        let found = is_quick.then(|| self.clone().step(reading)).flatten();
        found.is_some_and(|found| matches!(found.change, Change::Raised { .. }))
    }

    /// Name of the rule.
    pub fn rule(&self) -> &str {
        &self.rule
    }

    /// The sensor that it judges.
    pub const fn sensor(&self) -> SensorId {
        self.sensor
    }

    /// What is left to learn before it tells anything; `None`: nothing.
    pub fn learning(&self, now: Timestamp) -> Option<Learning> {
        match &self.kind {
            Kind::Deviation(deviation) => deviation.learning(now),
            Kind::Trend(trend) => trend.learning(now),
            _ => None,
        }
    }

    /// Forgets what it learned before a time; answers whether there was anything.
    pub(super) fn learn_anew(&mut self, at: Timestamp) -> bool {
        match &mut self.kind {
            Kind::Deviation(deviation) => deviation.learn_anew(at),
            Kind::Trend(trend) => trend.learn_anew(at),
            _ => false,
        }
    }

    pub(super) fn finding(&self, change: Change, time: Timestamp, clock: ClockState) -> Finding {
        Finding {
            rule: Arc::clone(&self.rule),
            sensor: self.sensor,
            time,
            clock,
            change,
        }
    }

    /// What must be saved with every event; `None`: nothing that matters.
    pub(super) fn memory(&self) -> Option<Memory> {
        let calm = Standing::default();
        Some(match &self.kind {
            Kind::Threshold(it) if it.state() != ThresholdState::default() => {
                Memory::Threshold(it.state())
            }
            Kind::State(it) if it.standing != calm => Memory::State(it.standing.clone()),
            Kind::Rate(it) if it.standing != calm => {
                Memory::Rate(it.standing.clone(), Box::new(it.memory.clone()))
            }
            Kind::Flat(it) if it.standing != calm => Memory::Flat(it.standing.clone(), it.memory()),
            Kind::Stale(it) if it.standing != calm => Memory::Stale(it.standing.clone(), it.memory),
            Kind::Deviation(it) if it.standing != calm || it.memory.has_told() => {
                Memory::Deviation(it.standing.clone(), it.memory)
            }
            Kind::Trend(it) if it.standing != calm => Memory::Trend(it.standing.clone()),
            Kind::Pattern(it) if it.memory != PatternMemory::default() => {
                Memory::Pattern(it.standing.clone(), it.memory.clone())
            }
            _ => return None,
        })
    }

    /// What it learned over days: saved seldom, for it is larger and changes slowly. In the order in
    /// which it is restored.
    pub(super) fn learned(&self) -> [Option<Memory>; 2] {
        match &self.kind {
            Kind::Deviation(it) if it.memory.has_begun() => [
                Some(Memory::Model(Box::new(it.model.clone()), it.memory)),
                Some(Memory::Slow(Box::new(it.model.slow))),
            ],
            Kind::Flat(it) if it.memory().is_some() => {
                [Some(Memory::Flat(it.standing.clone(), it.memory())), None]
            }
            Kind::Trend(it) if it.memory != TrendMemory::default() => {
                [Some(Memory::Window(it.memory.clone())), None]
            }
            _ => [None, None],
        }
    }

    /// Takes up what was saved; that of another kind of rule is passed over.
    pub(super) fn restore(&mut self, memory: Memory) {
        match (&mut self.kind, memory) {
            (Kind::Threshold(it), Memory::Threshold(state)) => it.restore(state),
            (Kind::State(it), Memory::State(standing)) => it.standing = standing,
            (Kind::Rate(it), Memory::Rate(standing, memory)) => {
                (it.standing, it.memory) = (standing, *memory);
            }
            (Kind::Flat(it), Memory::Flat(standing, memory)) => {
                it.standing = standing;
                it.restore(memory);
            }
            (Kind::Stale(it), Memory::Stale(standing, memory)) => {
                (it.standing, it.memory) = (standing, memory);
            }
            (Kind::Deviation(it), Memory::Deviation(standing, memory)) => {
                (it.standing, it.memory) = (standing, memory);
            }
            (Kind::Trend(it), Memory::Trend(standing)) => it.standing = standing,
            (Kind::Pattern(it), Memory::Pattern(standing, memory)) => {
                (it.standing, it.memory) = (standing, memory);
            }
            (Kind::Deviation(it), Memory::Model(model, memory)) => {
                let slow = it.model.slow;
                (it.model, it.memory) = (*model, memory);
                it.model.slow = slow;
            }
            (Kind::Deviation(it), Memory::Slow(slow)) => it.model.slow = *slow,
            (Kind::Trend(it), Memory::Window(window)) => it.memory = window,
            _ => {}
        }
    }

    /// Moves the times it remembers, now that the true time is known.
    pub(super) fn correct(&mut self, by: &Correction) {
        match &mut self.kind {
            Kind::Threshold(it) => it.correct(by),
            Kind::State(it) => it.standing.correct(by),
            Kind::Rate(it) => {
                it.standing.correct(by);
                it.memory.correct(by);
            }
            Kind::Flat(it) => {
                it.standing.correct(by);
                it.correct(by);
            }
            Kind::Stale(it) => it.standing.correct(by),
            Kind::Deviation(it) => {
                it.standing.correct(by);
                it.memory.correct(by);
                it.model.correct(by);
            }
            Kind::Trend(it) => {
                it.standing.correct(by);
                it.memory.correct(by);
            }
            Kind::Pattern(it) => {
                it.standing.correct(by);
                it.memory.correct(by);
            }
        }
    }

    /// Makes sure that it knows of an alert that is open.
    pub(super) fn stand_behind(&mut self, direction: Direction, peak: f64, at: Timestamp) {
        let standing = match &mut self.kind {
            Kind::Threshold(it) => return it.stand_behind(direction, peak),
            Kind::State(it) => &mut it.standing,
            Kind::Rate(it) => &mut it.standing,
            Kind::Flat(it) => &mut it.standing,
            Kind::Stale(it) => &mut it.standing,
            Kind::Deviation(it) => &mut it.standing,
            Kind::Trend(it) => &mut it.standing,
            Kind::Pattern(it) => &mut it.standing,
        };
        standing.stand_behind(direction, peak, at);
    }
}
