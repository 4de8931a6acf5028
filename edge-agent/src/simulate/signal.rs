//! Signals of the demonstration machines as functions of time and a seed. Pure: the same seed
//! gives the same plant in every run.

use std::time::Duration;

/// One measured quantity of a machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Signal {
    /// For the register map.
    pub(super) name: &'static str,
    /// For the register map.
    pub(super) unit: &'static str,
    /// Value on a quiet day.
    pub(super) base: f64,
    /// Size of its slow swing.
    pub(super) swing: f64,
    /// Size of its noise.
    pub(super) noise: f64,
    /// What an episode adds at its height; 0: the episode does not touch it.
    pub(super) episode: f64,
    /// The scaled register holds the value times this.
    pub(super) factor: f64,
}

/// Time from one episode to the next.
const CYCLE_S: f64 = 240.0;
/// Within a cycle: quiet until here, then rising, held, falling, quiet again.
const RISE_S: f64 = 20.0;
const HOLD_S: f64 = 60.0;
const FALL_S: f64 = 110.0;
const CALM_S: f64 = 170.0;
/// Noise changes so often per second.
const NOISE_HZ: f64 = 4.0;

impl Signal {
    /// The value `at` after the start; `channel` tells signals of the same seed apart.
    pub(super) fn value(&self, seed: u64, channel: u64, at: Duration) -> f64 {
        let time_s = at.as_secs_f64();
        let own = mix(seed ^ mix(channel));
        let phase = unit_interval(own) * std::f64::consts::TAU;
        let period_s = 60.0 + 60.0 * unit_interval(mix(own));
        let swing = (time_s / period_s * std::f64::consts::TAU + phase).sin();
        let step = (time_s * NOISE_HZ).floor().to_bits();
        let noise = 2.0 * unit_interval(mix(own ^ mix(step))) - 1.0;
        self.base + self.swing * swing + self.noise * noise + self.episode * episode(time_s)
    }
}

/// 0 on a quiet day, 1 at the height of an episode.
fn episode(time_s: f64) -> f64 {
    let time_s = time_s % CYCLE_S;
    if !(RISE_S..CALM_S).contains(&time_s) {
        0.0
    } else if time_s < HOLD_S {
        (time_s - RISE_S) / (HOLD_S - RISE_S)
    } else if time_s < FALL_S {
        1.0
    } else {
        (CALM_S - time_s) / (CALM_S - FALL_S)
    }
}

/// Scatters the bits of a number (the finaliser of `SplitMix64`).
const fn mix(bits: u64) -> u64 {
    let bits = bits.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

/// The upper 52 bits as a number from 0 up to, but not including, 1.
fn unit_interval(bits: u64) -> f64 {
    f64::from_bits(0x3FF0_0000_0000_0000 | (bits >> 12)) - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIGNAL: Signal = Signal {
        name: "t",
        unit: "degC",
        base: 62.0,
        swing: 1.5,
        noise: 0.3,
        episode: 28.0,
        factor: 100.0,
    };

    #[test]
    fn an_episode_comes_and_goes_in_every_cycle() {
        for cycle in [0.0, 5.0 * CYCLE_S] {
            let at = |s: f64| SIGNAL.value(1, 2, Duration::from_secs_f64(cycle + s));
            assert!(at(10.0) < 64.0 && at(230.0) < 64.0);
            assert!(at(90.0) > 88.0);
            assert!(at(25.0) < at(40.0) && at(40.0) < at(60.0));
        }
    }

    #[test]
    fn the_seed_and_the_channel_make_a_difference_and_nothing_else_does() {
        let at = Duration::from_secs(10);
        let value = SIGNAL.value(1, 2, at).to_bits();
        assert_eq!(SIGNAL.value(1, 2, at).to_bits(), value);
        assert_ne!(SIGNAL.value(2, 2, at).to_bits(), value);
        assert_ne!(SIGNAL.value(1, 3, at).to_bits(), value);
    }

    proptest! {
        #[test]
        fn values_stay_within_what_the_parts_add_up_to(seed: u64, channel: u64, ms in 0_u64..10_000_000) {
            let value = SIGNAL.value(seed, channel, Duration::from_millis(ms));
            prop_assert!((62.0 - 1.8..=62.0 + 1.8 + 28.0).contains(&value), "{}", value);
        }
    }
}
