//! The simulated plant of the size figures: sensors of ten kinds with noise, jittering times and
//! rare answers that are missing, the same in every run. Never random in any other way than by its
//! seed.
#![expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "simulated registers are small whole numbers"
)]

use protocol::reading::{Cause, Cell, Column, GroupSchema, Poll, Quality, Raw, RawKind};
use protocol::time::{ClockState, Timestamp};

/// How many kinds of sensors there are; sensor `n` is of kind `n % KINDS`.
pub(crate) const KINDS: usize = 10;
/// Names of the kinds, with the scale that turns a register into the engineering value.
const SCALES: [(&str, f64); KINDS] = [
    ("temperature", 0.1),
    ("pressure", 0.001),
    ("vibration (f32)", 1.0),
    ("current", 0.01),
    ("energy counter", 1.0),
    ("switch", 1.0),
    ("setpoint", 0.1),
    ("flow", 0.01),
    ("level", 0.1),
    ("status word", 1.0),
];
/// 2026-09-21, in microseconds.
const START_US: i64 = 1_790_000_000_000_000;

/// A running plant of one poll group.
#[derive(Debug)]
pub(crate) struct Suite {
    noise: Noise,
    start: Timestamp,
    second: i64,
    state: Vec<f64>,
    unanswered: Vec<u32>,
}

impl Suite {
    /// That many sensors; another seed is another group.
    pub(crate) fn new(sensors: usize, seed: u64) -> Self {
        Self {
            noise: Noise(seed.wrapping_mul(0x1234_5678_9ABC_DEF1)),
            start: Timestamp(START_US),
            second: 0,
            state: vec![0.0; sensors],
            unanswered: vec![0; sensors],
        }
    }

    /// The same at another time.
    pub(crate) fn starting(mut self, start: Timestamp) -> Self {
        self.start = start;
        self
    }

    /// The next poll, a second later: 2 ms of jitter, 0.5 % of polls up to 60 ms late, 0.1 % of
    /// cells without an answer, ten in a row.
    pub(crate) fn poll(&mut self) -> Poll {
        let late = if self.noise.uniform() < 0.005 {
            self.noise.uniform() * 60_000.0
        } else {
            0.0
        };
        let jitter_us = (self.noise.bell() * 2_000.0).abs() + late;
        let mut cells = Vec::with_capacity(self.state.len());
        for (sensor, (state, silent)) in self.state.iter_mut().zip(&mut self.unanswered).enumerate()
        {
            let raw = register(sensor % KINDS, self.second, state, &mut self.noise);
            if self.noise.uniform() < 0.0001 {
                *silent = 10;
            }
            cells.push(if *silent > 0 {
                Cell::Missing(Cause::NoAnswer)
            } else {
                Cell::Value(raw, Quality::Good)
            });
            *silent = silent.saturating_sub(1);
        }
        let time = self
            .start
            .plus_micros(self.second * 1_000_000 + jitter_us as i64);
        self.second += 1;
        Poll {
            time,
            clock: ClockState::Synchronised,
            cells,
        }
    }
}

/// The schema of a group of that many sensors.
pub(crate) fn schema(name: &str, sensors: usize) -> GroupSchema {
    let column = |sensor: usize| Column {
        sensor: uuid::Uuid::from_u128(sensor as u128).into(),
        raw: if sensor % KINDS == 2 {
            RawKind::Float
        } else {
            RawKind::Int
        },
        scale: scale(sensor),
        offset: 0.0,
    };
    GroupSchema {
        name: name.to_owned(),
        period_us: 1_000_000,
        columns: (0..sensors).map(column).collect(),
    }
}

/// What a sensor's register is multiplied with.
pub(crate) fn scale(sensor: usize) -> f64 {
    SCALES.get(sensor % KINDS).map_or(1.0, |(_, scale)| *scale)
}

/// What kind a sensor is.
pub(crate) fn kind(sensor: usize) -> &'static str {
    SCALES.get(sensor % KINDS).map_or("", |(name, _)| *name)
}

fn register(kind: usize, second: i64, state: &mut f64, noise: &mut Noise) -> Raw {
    let swing = |period: f64| (second as f64 / period).sin();
    let value = match kind {
        0 => 600.0 + 40.0 * swing(300.0) + noise.bell() * 0.4,
        1 => 6_000.0 + 150.0 * swing(60.0) + noise.bell() * 12.0,
        2 => {
            let rms = 2.5 + 0.3 * swing(90.0) + noise.bell() * 0.1;
            return Raw::Float(f64::from(rms as f32));
        }
        3 => 1_250.0 + noise.bell() * 3.0,
        4 => {
            *state += (40.0 + noise.bell() * 1.5).round();
            8_000_000.0 + *state
        }
        5 => ((second / 170) % 2) as f64,
        6 => 450.0 + 25.0 * ((second / 900) % 5) as f64,
        7 => 3_500.0 + 200.0 * swing(40.0) + noise.bell() * 25.0,
        8 => 500.0 + 200.0 * swing(500.0) + noise.bell() * 0.6,
        _ if second % 290 < 5 => 259.0,
        _ => 257.0,
    };
    Raw::Int(value.round() as i64)
}

/// Splitmix64.
#[derive(Debug)]
struct Noise(u64);

impl Noise {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// 0 to 1.
    fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Mean 0, deviation 1.
    fn bell(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}
