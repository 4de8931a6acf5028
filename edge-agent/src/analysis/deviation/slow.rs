//! What shows only over hours: a level that drifts, and a signal that swings faster or slower than it
//! did. Never looks at a single reading: it is asked at the end of each window.
//!
//! A window is `WINDOW_S` or `READINGS_MIN` readings, if that is longer; time is that between the
//! readings, so that a clock that is set changes nothing. At its end:
//!
//! | member | size | usual |
//! | --- | --- | --- |
//! | drift | d = mean of x − slot(time of day) over about three windows, less m | m: its mean over 10 days, d² over 30 |
//! | swings | t = 2 √(c + 3/8) − 2 √(n + 3/8), c crossings of a window over about two (Anscombe 1948) | n: mean of c over 10 days, t² over 30 |
//!
//! A crossing is counted when r less its mean over an hour has gone from half a standard deviation on one
//! side to half of one on the other; by Rice (1944) their rate is that of the swings. What is learned of a
//! window is held to `HELD` usual sizes, or a slow drift would teach that it is usual. The score takes sizes
//! as double exponential, `SCORE_PER_SIZE` for each usual one, so that heavier tails than those of a normal
//! distribution raise nothing. State: 64 bytes. Cost: some additions a reading, four roots a window.

use super::tail::narrow;
use serde::{Deserialize, Serialize};

/// Shortest window.
const WINDOW_S: f64 = 7_200.0;
const READINGS_MIN: f64 = 60.0;
/// Windows before anything is said: four days of two hours.
const FIRST: u16 = 48;
/// Windows in the two smoothed figures, in what is usual, and in how far it usually is off.
const SMOOTH_DRIFT: f64 = 3.0;
const SMOOTH_SWINGS: f64 = 2.0;
const USUAL: f64 = 120.0;
const SPREAD: f64 = 360.0;
/// While there are few windows, a spread is that of the last third of them.
const YOUNG: f64 = 3.0;
/// Sizes are learned from as at most so many usual ones.
const HELD: f64 = 3.0;
/// A usual size is at least so much: of a drift in standard deviations of the readings, of swings in
/// itself and as a share of the root of their count. A size of 8 usual ones is told: a drift of 2
/// standard deviations, half as many swings again.
const DRIFT_MIN: f64 = 0.25;
const SWINGS_MIN: f64 = 0.25;
const SWINGS_SHARE: f64 = 0.06;
/// √2 log10 e.
const SCORE_PER_SIZE: f64 = 0.614;
/// What is usual is told as so many usual sizes to both sides.
const EDGES: f64 = 3.0;

/// The two members, and the window that runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Slow {
    /// Values are kept as what they are more than this.
    base: f64,
    /// Of the window that runs: its length, both sums weighed by time.
    elapsed_s: f32,
    levels: f32,
    squares: f32,
    crossings: u32,
    /// Of the drift: now, usual, how far that is off (squared), the score.
    smooth: f32,
    mean: f32,
    drift_square: f32,
    drift: f32,
    /// Of the swings: their standard deviation, crossings of a window now, usual, how far the
    /// root of that is off (squared), the score.
    deviation: f32,
    crossed: f32,
    usual: f32,
    swings_square: f32,
    swings: f32,
    /// Windows learned from.
    windows: u16,
    /// Which side of the mean it was on last: 1 or -1; 0: not known.
    side: i8,
}

/// A reading as this looks at it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// The value without what the time of the day adds.
    pub(super) level: f64,
    /// What it is more than its mean over an hour.
    pub(super) swing: f64,
    /// How far readings usually are off.
    pub(super) spread: f64,
    /// Time since the reading before.
    pub(super) dt_s: f64,
    /// Usual time between readings.
    pub(super) step_s: f64,
}

/// What is told of a member: how much it is now, and what is usual, from and to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Course {
    /// Now; of swings, in an hour.
    pub now: f64,
    /// Usual, from and to.
    pub usual: (f64, f64),
}

impl Slow {
    /// Takes a reading in; nothing is learned while `frozen`. The scores of drift and swings as the last
    /// window left them, 0 while too little is known.
    pub(super) fn step(&mut self, seen: Seen, frozen: bool) -> (f64, f64) {
        if self.windows == 0 && self.elapsed_s == 0.0 {
            self.base = seen.level;
        }
        let edge = f64::from(self.deviation) / 2.0;
        let side = match seen.swing {
            swing if swing > edge => 1,
            swing if swing < -edge => -1,
            _ => self.side,
        };
        if side != self.side && self.side != 0 {
            self.crossings = self.crossings.saturating_add(1);
        }
        self.side = side;
        self.levels += narrow((seen.level - self.base) * seen.dt_s);
        self.squares += narrow(seen.swing * seen.swing * seen.dt_s);
        self.elapsed_s += narrow(seen.dt_s);
        if f64::from(self.elapsed_s) >= window_s(seen.step_s) {
            self.end(seen, frozen);
        }
        (self.drift.into(), self.swings.into())
    }

    /// What is now is usual from now on; how far it usually is off stays.
    pub(super) fn accept(&mut self) {
        (self.mean, self.usual) = (self.smooth, self.crossed);
        (self.drift, self.swings) = (0.0, 0.0);
    }

    /// The level apart from the time of day.
    pub(super) fn level(&self, spread: f64) -> Course {
        let (mean, size) = (self.base + f64::from(self.mean), self.drift_size(spread));
        Course {
            now: self.base + f64::from(self.smooth),
            usual: (mean - EDGES * size, mean + EDGES * size),
        }
    }

    /// Swings in an hour: up and down is one.
    pub(super) fn swings(&self, step_s: f64) -> Course {
        let an_hour = |crossings: f64| crossings.max(0.0) / 2.0 * 3_600.0 / window_s(step_s);
        let (middle, size) = (root(self.usual.into()), self.swings_size());
        let edge = |root: f64| an_hour((root.max(0.0) / 2.0).powi(2) - 0.375);
        Course {
            now: an_hour(self.crossed.into()),
            usual: (edge(middle - EDGES * size), edge(middle + EDGES * size)),
        }
    }

    fn end(&mut self, seen: Seen, frozen: bool) {
        let elapsed_s = f64::from(self.elapsed_s);
        let mean = f64::from(self.levels) / elapsed_s;
        let crossed = f64::from(self.crossings) * window_s(seen.step_s) / elapsed_s;
        let deviation = (f64::from(self.squares) / elapsed_s).sqrt();
        (self.elapsed_s, self.levels, self.squares, self.crossings) = (0.0, 0.0, 0.0, 0);
        let windows = f64::from(self.windows);
        approach(&mut self.smooth, mean, (windows + 1.0).min(SMOOTH_DRIFT));
        approach(
            &mut self.crossed,
            crossed,
            windows.clamp(1.0, SMOOTH_SWINGS),
        );
        let off = f64::from(self.smooth - self.mean);
        let (drift_size, swings_size) = (self.drift_size(seen.spread), self.swings_size());
        let turn = root(self.crossed.into()) - root(self.usual.into());
        let is_known = self.windows >= FIRST;
        let score = |size: f64| {
            let score = SCORE_PER_SIZE * size.abs();
            if is_known { narrow(score) } else { 0.0 }
        };
        (self.drift, self.swings) = (score(off / drift_size), score(turn / swings_size));
        if frozen {
            return;
        }
        let held = |off: f64, size: f64| {
            let most = if is_known { HELD * size } else { f64::MAX };
            off.clamp(-most, most)
        };
        let usual = (windows + 1.0).min(USUAL);
        let spread = ((windows + YOUNG) / YOUNG).min(SPREAD / YOUNG);
        let off = held(off, drift_size);
        self.mean += narrow(off / usual);
        approach(&mut self.drift_square, off * off, spread);
        approach(&mut self.deviation, deviation, usual);
        // The first window counted crossings without an edge.
        if self.windows > 0 {
            approach(&mut self.usual, crossed, windows.min(USUAL));
            approach(
                &mut self.swings_square,
                held(turn, swings_size).powi(2),
                spread,
            );
        }
        self.windows = self.windows.saturating_add(1);
    }

    fn drift_size(&self, spread: f64) -> f64 {
        let usual = f64::from(self.drift_square).sqrt();
        usual
            .max(DRIFT_MIN * spread)
            .max(f64::from(f32::MIN_POSITIVE))
    }

    fn swings_size(&self) -> f64 {
        let usual = f64::from(self.swings_square).sqrt();
        usual
            .max(SWINGS_MIN)
            .max(SWINGS_SHARE * f64::from(self.usual).sqrt())
    }
}

fn window_s(step_s: f64) -> f64 {
    WINDOW_S.max(READINGS_MIN * step_s)
}

/// Twice the root of a count: its spread does not depend on the count.
fn root(count: f64) -> f64 {
    2.0 * (count + 0.375).sqrt()
}

/// A running mean over so many.
fn approach(mean: &mut f32, value: f64, over: f64) {
    *mean += narrow((value - f64::from(*mean)) / over.max(1.0));
}
