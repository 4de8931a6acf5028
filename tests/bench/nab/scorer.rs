//! The score of the Numenta Anomaly Benchmark (Lavin and Ahmad 2015, "Evaluating Real-time Anomaly
//! Detection Algorithms", sections III and IV), written anew from its description. Never detects.
//!
//! * The first 15 % of a series, at most 750 readings, are probation: nothing there counts.
//! * A detection is a reading whose score is at least the threshold; one threshold for the corpus.
//! * In a window only the earliest detection counts, by s(p) / s(−1) with s(p) = 2 / (1 + e^(5p)) − 1 and
//!   p = −(readings to the window's end + 1) / its readings: nearly 1 at its begin, nearly 0 at its end.
//! * A detection outside counts by s(p) times the weight of false ones, p = readings since the end of the
//!   last window / (its readings − 1); −1 where p is 3 or more or no window came before.
//! * A window without detection counts minus the weight of missed ones.
//! * The sum is put on a scale on which detecting nothing is 0 and a perfect detector 100.

use super::corpus::Series;
use std::cmp::Ordering;

/// Longest probation, in readings.
const PROBATION_MAX: usize = 750;

/// What false and missed detections weigh; a true one weighs 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weights {
    false_one: f64,
    missed: f64,
}

/// The three profiles of the benchmark: standard, few false ones, few missed ones.
pub(crate) const PROFILES: [Weights; 3] = [
    Weights {
        false_one: 0.11,
        missed: 1.0,
    },
    Weights {
        false_one: 0.22,
        missed: 1.0,
    },
    Weights {
        false_one: 0.11,
        missed: 2.0,
    },
];

/// A reading that counts: the window it is in, and what a detection there is worth unweighted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Number of its window within the series.
    pub(crate) window: Option<usize>,
    worth: f64,
}

/// A series prepared for scoring.
#[derive(Debug)]
pub(crate) struct Scored {
    /// One for each reading; `None`: it does not count.
    pub(crate) places: Vec<Option<Place>>,
    windows: usize,
}

impl Scored {
    /// What each reading of a series is worth.
    pub(crate) fn new(series: &Series) -> Self {
        let count = series.values.len();
        let probation = (count * 15 / 100).min(PROBATION_MAX);
        let index = |time: i64| series.times_s.iter().position(|at| *at == time);
        let ends = series
            .windows
            .iter()
            .filter_map(|(first, last)| Some((index(*first)?, index(*last)?)));
        let ends: Vec<(usize, usize)> = ends.collect();
        let place = |at: usize| {
            let inside = ends
                .iter()
                .position(|(first, last)| (*first..=*last).contains(&at));
            let worth = if let Some((first, last)) = inside.and_then(|window| ends.get(window)) {
                let share = number(last - at + 1) / number(last - first + 1);
                sigmoid(-share) / sigmoid(-1.0)
            } else {
                let before = ends.iter().rev().find(|(_, last)| *last < at);
                let past = before.map(|(first, last)| number(at - last) / number(last - first));
                past.filter(|past| *past < 3.0).map_or(-1.0, sigmoid)
            };
            (at >= probation).then_some(Place {
                window: inside,
                worth,
            })
        };
        let places: Vec<Option<Place>> = (0..count).map(place).collect();
        let mut counted: Vec<usize> = places
            .iter()
            .flatten()
            .filter_map(|place| place.window)
            .collect();
        counted.dedup();
        Self {
            windows: counted.len(),
            places,
        }
    }

    /// Windows that count.
    pub(crate) const fn windows(&self) -> usize {
        self.windows
    }

    /// What detections, by their readings in order, are worth: sum of true ones, windows missed, sum of
    /// false ones, number of false ones.
    pub(crate) fn tally(&self, detections: impl Iterator<Item = usize>) -> Tally {
        let mut tally = Tally::default();
        let mut found = None;
        for at in detections {
            match self.places.get(at).copied().flatten() {
                Some(Place {
                    window: None,
                    worth,
                }) => {
                    tally.false_worth += worth;
                    tally.false_ones += 1;
                }
                Some(Place { window, worth }) if window != found => {
                    found = window;
                    tally.found_worth += worth;
                    tally.found += 1;
                }
                _ => {}
            }
        }
        tally.windows = self.windows;
        tally
    }
}

/// What detections are worth, before weights.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    found_worth: f64,
    /// Windows with a detection.
    pub(crate) found: usize,
    /// Windows that count.
    pub(crate) windows: usize,
    false_worth: f64,
    /// Detections outside.
    pub(crate) false_ones: usize,
}

impl Tally {
    /// That of two series.
    #[must_use]
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            found_worth: self.found_worth + other.found_worth,
            found: self.found + other.found,
            windows: self.windows + other.windows,
            false_worth: self.false_worth + other.false_worth,
            false_ones: self.false_ones + other.false_ones,
        }
    }

    /// The score from 0 to 100.
    pub(crate) fn score(&self, weights: Weights) -> f64 {
        let windows = number(self.windows);
        let missed = windows - number(self.found);
        let raw = self.found_worth + weights.false_one * self.false_worth - weights.missed * missed;
        100.0 * (raw + weights.missed * windows) / (windows + weights.missed * windows)
    }
}

/// The best score of all thresholds, for a detector that scores each reading: as the benchmark chooses
/// its threshold.
pub(crate) fn best(corpus: &[Scored], scores: &[Vec<f64>], weights: Weights) -> f64 {
    let mut points = Vec::new();
    for (series, (scored, scores)) in corpus.iter().zip(scores).enumerate() {
        for (place, score) in scored.places.iter().zip(scores) {
            points.extend(place.map(|place| (*score, series, place)));
        }
    }
    points.sort_by(|one, other| other.0.partial_cmp(&one.0).unwrap_or(Ordering::Equal));
    let windows: usize = corpus.iter().map(Scored::windows).sum();
    let mut found = std::collections::BTreeMap::<(usize, usize), f64>::new();
    let (mut sum, mut best) = (0.0, 0.0_f64);
    for (at, (score, series, place)) in points.iter().enumerate() {
        match place.window {
            None => sum += weights.false_one * place.worth,
            Some(window) => {
                let known = found.entry((*series, window)).or_insert(-weights.missed);
                sum += (place.worth - *known).max(0.0);
                *known = known.max(place.worth);
            }
        }
        // All readings of one score are in or out together.
        let next = points.get(at + 1).map(|point| point.0);
        if next.is_none_or(|next| next < *score) {
            best = best.max(sum);
        }
    }
    100.0 * best / (number(windows) * (1.0 + weights.missed))
}

fn sigmoid(past: f64) -> f64 {
    2.0 / (1.0 + (5.0 * past).exp()) - 1.0
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "readings of a series"
)]
fn number(count: usize) -> f64 {
    count as f64
}
