//! How often a size is exceeded by itself, from the sizes seen. Never keeps the sizes.
//!
//! The size that 2 % of all exceed is followed by stochastic approximation (Robbins and Monro
//! 1951), and beyond it the tail is taken as exponential with the mean excess seen (peaks over a
//! threshold with shape 0, Pickands 1975). A tail that falls faster, as that of a normal
//! distribution does, makes the score too low rather than too high.

use serde::{Deserialize, Serialize};
use std::f32::consts::LOG10_E;

/// Share of sizes beyond the followed one.
const BEYOND: f32 = 0.02;
/// −log10 of it.
const SCORE: f32 = 1.698_97;
/// Sizes that are remembered, about.
const MEMORY: f32 = 40_000.0;

/// The tail of one kind of size. 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Tail {
    /// 2 % of all sizes are beyond it.
    edge: f32,
    /// Mean of what is beyond.
    excess: f32,
    seen: f32,
    seen_beyond: f32,
}

impl Tail {
    /// As of a normal distribution.
    pub(super) const fn new() -> Self {
        Self {
            edge: 2.0,
            excess: 0.6,
            seen: 0.0,
            seen_beyond: 2.0,
        }
    }

    /// Minus log10 of the share of sizes that are larger.
    pub(super) fn of(&self, size: f64) -> f64 {
        let size = narrow(size.min(1e6));
        let score = if size > self.edge {
            SCORE + (size - self.edge) / self.excess * LOG10_E
        } else {
            SCORE * size / self.edge
        };
        f64::from(score)
    }

    /// Takes a size in.
    pub(super) fn learn(&mut self, size: f64) {
        let size = narrow(size.min(1e6));
        self.seen = (self.seen + 1.0).min(MEMORY);
        let step = self.excess / BEYOND / (self.seen + 100.0);
        if size > self.edge {
            self.seen_beyond = (self.seen_beyond + 1.0).min(MEMORY * BEYOND);
            let excess = (size - self.edge).min(self.excess * 20.0);
            self.excess += (excess - self.excess) / (self.seen_beyond + 3.0);
            self.edge += step * (1.0 - BEYOND);
        } else {
            self.edge -= step * BEYOND;
        }
        self.edge = self.edge.max(0.1);
        self.excess = self.excess.max(0.1);
    }
}

/// Seven digits.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "seven digits are enough for a size"
)]
pub(super) fn narrow(size: f64) -> f32 {
    size as f32
}
