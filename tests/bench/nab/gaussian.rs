//! The windowed Gaussian detector of the benchmark, to check the scorer: its published score is known.
//! Never a detector of ours.
//!
//! score = 1 − Q(|x − mean| / sd), Q the upper tail of the normal distribution; mean and standard
//! deviation are those of the last 6,400 values, which move on by 100 at a time. Before the window is
//! full each value joins it. The published scores were written with 12 digits; so many count here too,
//! for what they make equal passes a threshold together.

use std::f64::consts::PI;

const WINDOW: usize = 6_400;
const STEP: usize = 100;
const DIGITS: f64 = 1e12;

/// One score for each value.
pub(crate) fn scores(values: &[f64]) -> Vec<f64> {
    let (mut window, mut waiting) = (Vec::new(), Vec::new());
    let (mut mean, mut sd) = (0.0, 1.0);
    let mut scores = Vec::with_capacity(values.len());
    for value in values {
        let score = if window.is_empty() {
            0.0
        } else {
            1.0 - upper_tail((value - mean).abs() / sd)
        };
        scores.push((score * DIGITS).round() / DIGITS);
        if window.len() < WINDOW {
            window.push(*value);
        } else {
            waiting.push(*value);
            if waiting.len() < STEP {
                continue;
            }
            window.drain(..STEP);
            window.append(&mut waiting);
        }
        (mean, sd) = spread(&window);
    }
    scores
}

fn spread(window: &[f64]) -> (f64, f64) {
    let count = f64::from(u32::try_from(window.len()).unwrap_or(u32::MAX));
    let mean = window.iter().sum::<f64>() / count;
    let square = window
        .iter()
        .map(|value| (value - mean).powi(2))
        .sum::<f64>()
        / count;
    let sd = square.sqrt();
    (mean, if sd > 0.0 { sd } else { 0.000_001 })
}

/// Q(z) = erfc(z / √2) / 2, for z of 0 or more.
fn upper_tail(z: f64) -> f64 {
    let x = z / 2.0_f64.sqrt();
    let erfc = if x < 2.5 {
        1.0 - erf_series(x)
    } else {
        erfc_fraction(x)
    };
    erfc / 2.0
}

/// Maclaurin series of erf (Abramowitz and Stegun 7.1.5).
fn erf_series(x: f64) -> f64 {
    let (mut term, mut sum, mut n) = (x, x, 0.0);
    while term.abs() > 1e-18 {
        n += 1.0;
        term *= -x * x / n;
        sum += term / (2.0 * n + 1.0);
    }
    sum * 2.0 / PI.sqrt()
}

/// Continued fraction of erfc (Abramowitz and Stegun 7.1.14).
fn erfc_fraction(x: f64) -> f64 {
    let fraction = (1..=200_u32)
        .rev()
        .fold(0.0, |below, k| f64::from(k) / 2.0 / (x + below));
    (-x * x).exp() / PI.sqrt() / (x + fraction)
}
