//! What a sensor usually shows, learned from its readings: how a value is told apart from noise.
//! Never raises anything: `deviation` does, from the score that this gives.
//!
//! Five questions are asked of each reading, each answered by a size without a unit, and each size
//! is put on one scale, minus log10 of the chance that so large a one comes by itself:
//!
//! | member | size | finds |
//! | --- | --- | --- |
//! | residual | \|r\| / sd(r), r = x − level − slot(time of day) | spikes, values at the wrong hour |
//! | step | \|x − x before\| / sd(x − x before) | jumps, spikes |
//! | short | \|mean of r over S\| / sd of that mean, S = max(10 min, 10 readings) | steps |
//! | long | the same over L = max(1 h, 28 readings) | drifts, small steps |
//! | noise | \|ln(v(S) / v)\|, v the mean square of steps | noise, a signal that stands still |
//!
//! Level, slots and spreads are exponentially weighted means in the time of the readings, with the
//! weight of a plain mean while there are few. The score is the weighted sum of the five, or the
//! largest of them less `ALONE` if that is more: what only one of them sees must be clearer. What shows
//! over hours only is asked by `slow`; its score counts where it is larger.

use super::super::seconds;
use super::slow::{Course, Seen, Slow};
use super::tail::Tail;
use protocol::time::{Correction, Timestamp};
use serde::{Deserialize, Serialize};

/// Slots of a day.
const SLOTS: usize = 24;
const SLOT_US: i64 = 3_600_000_000;
const DAY_US: i64 = 86_400_000_000;

/// Memory of level and of spreads, in seconds.
const LEVEL_S: f64 = 3.0 * 86_400.0;
const SPREAD_S: f64 = 30.0 * 86_400.0;
/// Share of a residual that its slot takes in an hour; more in the first days, so that each day counts
/// alike.
const SLOT_PER_HOUR: f64 = 0.06;
/// While there are few readings, a spread is that of about the last third of them: the first ones were
/// judged by what was not known yet.
const YOUNG: f64 = 3.0;
/// The two smoothing times: so many seconds, or so many readings if that is longer.
const SHORT: (f64, f64) = (600.0, 10.0);
const LONG: (f64, f64) = (3_600.0, 28.0);
/// What each member counts in the score.
const WEIGHTS: [f64; MEMBERS] = [0.05, 0.28, 0.46, 0.12, 0.09];
const MEMBERS: usize = 5;
/// So much clearer must be what only one member sees.
const ALONE: f64 = 3.0;
/// Readings before anything is said.
const FIRST: u32 = 50;
/// A residual counts as at most so many of its usual size when the model learns from it: one broken
/// value must not blind it.
const CLIP: f64 = 100.0;
/// A pause longer than so many usual ones is none of the sensor's doing: the smoothed values begin
/// anew.
const GAP_STEPS: f64 = 20.0;

/// What a sensor usually shows. Fixed size, no heap.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Model {
    count: u32,
    time: Timestamp,
    value: f64,
    /// Usual time between readings, in seconds.
    step_s: f64,
    level: f64,
    slots: [f32; SLOTS],
    residual: f64,
    steps: f64,
    short: Smoothed,
    long: Smoothed,
    recent: f64,
    /// How long it has learned, in seconds.
    age_s: f64,
    tails: [Tail; MEMBERS],
    /// Saved beside this: what an older build saved goes without it.
    #[serde(skip)]
    pub(in crate::analysis) slow: Slow,
}

/// A smoothed residual and the mean of its square.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Smoothed {
    mean: f64,
    square: f64,
}

/// What the model says of a reading.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Verdict {
    /// Minus log10 of the chance of such a reading, about; 0 while too little is known.
    pub score: f64,
    /// The value expected at this time of the day.
    pub expected: f64,
    /// How far values are usually from it: one standard deviation.
    pub spread: f64,
    /// What gave the score.
    pub sight: Sight,
}

/// What gave a score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sight {
    /// The reading and those before it.
    #[default]
    Readings,
    /// The level over some hours.
    Drift,
    /// How fast it swings.
    Swings,
}

impl Default for Model {
    fn default() -> Self {
        Self::new()
    }
}

impl Model {
    /// Knows nothing yet.
    pub fn new() -> Self {
        Self {
            count: 0,
            time: Timestamp(0),
            value: 0.0,
            step_s: 0.0,
            level: 0.0,
            slots: [0.0; SLOTS],
            residual: 0.0,
            steps: 0.0,
            short: Smoothed::default(),
            long: Smoothed::default(),
            recent: 0.0,
            age_s: 0.0,
            tails: [Tail::new(); MEMBERS],
            slow: Slow::default(),
        }
    }

    /// Judges a reading by what was learned before it, then learns from it. While `frozen` only
    /// what is smoothed goes on, so that what stands out goes on standing out.
    pub fn step(&mut self, value: f64, time: Timestamp, frozen: bool) -> Verdict {
        if self.count == 0 {
            self.count = 1;
            (self.time, self.value, self.level) = (time, value, value);
            return Verdict {
                expected: value,
                ..Verdict::default()
            };
        }
        let dt_s = self.pass(time);
        let (slot, neighbour, share) = slots(time);
        let at = |slot: usize| self.slots.get(slot).copied().map_or(0.0, f64::from);
        let expected = self.level + at(slot) * (1.0 - share) + at(neighbour) * share;
        let residual = value - expected;
        let step = value - self.value;
        let floor = f64::EPSILON * 1e6 * (value.abs() + self.level.abs()) + f64::MIN_POSITIVE;
        let deviation = |square: f64| square.sqrt().max(floor);
        let (spread, jump) = (deviation(self.residual), deviation(self.steps));
        let short = weight(dt_s, SHORT.0.max(SHORT.1 * self.step_s));
        let long = weight(dt_s, LONG.0.max(LONG.1 * self.step_s));
        self.short.mean += short * (residual - self.short.mean);
        self.long.mean += long * (residual - self.long.mean);
        self.recent += short * (step * step - self.recent);
        let noise = (self.recent + floor * floor) / (self.steps + floor * floor);
        let sizes = [
            residual.abs() / spread,
            step.abs() / jump,
            self.short.mean.abs() / deviation(self.short.square),
            self.long.mean.abs() / deviation(self.long.square),
            noise.ln().abs(),
        ];
        let seen = Seen {
            level: self.level + residual,
            swing: residual - self.long.mean,
            spread,
            dt_s,
            step_s: self.step_s,
        };
        let (drift, swings) = self.slow.step(seen, frozen);
        let score = self.score(sizes, frozen);
        if !frozen {
            let known = self.count > FIRST;
            let held = |size: f64, usual: f64| {
                if known {
                    size.clamp(-CLIP * usual, CLIP * usual)
                } else {
                    size
                }
            };
            self.learn(
                (held(residual, spread), held(step, jump)),
                (slot, neighbour, share),
                dt_s,
            );
        }
        (self.time, self.value) = (time, value);
        self.count = self.count.saturating_add(1);
        let score = if self.count > FIRST { score } else { 0.0 };
        let (score, sight) = if score >= drift.max(swings) {
            (score, Sight::Readings)
        } else if drift >= swings {
            (drift, Sight::Drift)
        } else {
            (swings, Sight::Swings)
        };
        Verdict {
            score,
            expected,
            spread,
            sight,
        }
    }

    /// Readings seen.
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// The level apart from the time of day, and what is usual.
    pub(super) fn level(&self) -> Course {
        self.slow.level(self.residual.sqrt())
    }

    /// Swings in an hour, and what is usual.
    pub(super) fn swings(&self) -> Course {
        self.slow.swings(self.step_s)
    }

    /// Moves the times it remembers, now that the true time is known.
    pub fn correct(&mut self, by: &Correction) {
        self.time = by.of(self.time);
    }

    /// Time since the reading before, in seconds, and what follows from it.
    fn pass(&mut self, time: Timestamp) -> f64 {
        let dt_s = seconds(time.micros_since(self.time)).max(0.0);
        let known = self.count > 2;
        let most = if known { GAP_STEPS * self.step_s } else { dt_s };
        if dt_s > most {
            self.short.mean = 0.0;
            self.long.mean = 0.0;
            self.recent = self.steps;
        }
        let dt_s = dt_s.min(most);
        let share = (1.0 / f64::from(self.count)).max(0.01);
        self.step_s += (dt_s - self.step_s) * share;
        dt_s
    }

    /// Puts the sizes on one scale and adds them up.
    fn score(&mut self, sizes: [f64; MEMBERS], frozen: bool) -> f64 {
        let (mut sum, mut clearest) = (0.0, 0.0_f64);
        for ((tail, size), weight) in self.tails.iter_mut().zip(sizes).zip(WEIGHTS) {
            let score = tail.of(size);
            sum += weight * score;
            clearest = clearest.max(score);
            if !frozen {
                tail.learn(size);
            }
        }
        sum.max(clearest - ALONE)
    }

    fn learn(
        &mut self,
        (residual, step): (f64, f64),
        (slot, neighbour, share): (usize, usize, f64),
        dt_s: f64,
    ) {
        let few = 1.0 / f64::from(self.count.saturating_add(1));
        self.level += weight(dt_s, LEVEL_S).max(few) * residual;
        self.age_s += dt_s;
        let per_hour = SLOT_PER_HOUR.max(1.0 / (self.age_s / 86_400.0 + 1.0));
        let gain = (per_hour * dt_s / 3_600.0).min(0.5);
        for (slot, share) in [(slot, 1.0 - share), (neighbour, share)] {
            if let Some(slot) = self.slots.get_mut(slot) {
                *slot += super::tail::narrow(gain * share * residual);
            }
        }
        let spread = weight(dt_s, SPREAD_S).max((YOUNG * few).min(1.0));
        let square = |mean: &mut f64, size: f64| *mean += spread * (size * size - *mean);
        square(&mut self.residual, residual);
        square(&mut self.steps, step);
        square(&mut self.short.square, self.short.mean);
        square(&mut self.long.square, self.long.mean);
    }
}

/// Weight of a value that stands for `dt_s` in a mean over `memory_s`.
fn weight(dt_s: f64, memory_s: f64) -> f64 {
    if dt_s + memory_s > 0.0 {
        dt_s / (dt_s + memory_s)
    } else {
        0.0
    }
}

/// The slot of a time of day, the nearest other one, and how much that one counts.
fn slots(time: Timestamp) -> (usize, usize, f64) {
    let day = time.0.rem_euclid(DAY_US);
    let slot = usize::try_from(day / SLOT_US).unwrap_or(0);
    let within = seconds(day % SLOT_US) / 3_600.0 - 0.5;
    let neighbour = if within >= 0.0 {
        slot + 1
    } else {
        slot + SLOTS - 1
    };
    (slot, neighbour % SLOTS, within.abs())
}
