//! Weeks of sensors in which nothing happens, and faults to plant into them. Everything follows from a
//! seed. Never measured: the shapes are those that pumps, tanks, motors and halls have.

use std::f64::consts::TAU;

/// Seconds between two readings.
pub(crate) const STEP_S: i64 = 60;
/// Readings of a week.
pub(crate) const WEEK: usize = 7 * 24 * 60;
const DAY_S: f64 = 86_400.0;

/// What a sensor is like when nothing happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A hall temperature: a daily cycle and white noise.
    Daily,
    /// A bearing temperature: noise that remembers an hour.
    Slow,
    /// A vibration: noise with a heavy tail (Student's t, 4 degrees of freedom).
    Heavy,
    /// A pump that runs and stops by a level, its current.
    Switched,
    /// A flow whose set point people change a few times a day.
    SetPoint,
    /// A line that works in two shifts and rests at night and on Sunday.
    Shifts,
    /// A tank that fills and empties twice an hour.
    Wave,
    /// A temperature in whole tenths that hardly moves.
    Coarse,
}

/// All shapes.
pub(crate) const SHAPES: [Shape; 8] = [
    Shape::Daily,
    Shape::Slow,
    Shape::Heavy,
    Shape::Switched,
    Shape::SetPoint,
    Shape::Shifts,
    Shape::Wave,
    Shape::Coarse,
];

/// What may be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Three readings 12 standard deviations off.
    Spike,
    /// 6 standard deviations more for 12 hours.
    Step,
    /// From 0 to 10 standard deviations within two days.
    Drift,
    /// The value does not move for 12 hours.
    Stuck,
    /// The noise is five times as loud for 12 hours.
    Noise,
    /// What swings, or is switched, does so three times as fast for 12 hours: a pump that cycles short.
    Frequency,
}

/// All faults.
pub(crate) const FAULTS: [Fault; 6] = [
    Fault::Spike,
    Fault::Step,
    Fault::Drift,
    Fault::Stuck,
    Fault::Noise,
    Fault::Frequency,
];

impl Fault {
    /// Readings that it lasts.
    pub(crate) const fn readings(self) -> usize {
        match self {
            Self::Spike => 3,
            Self::Drift => 2 * 24 * 60,
            _ => 12 * 60,
        }
    }

    /// Whether it can be seen in a sensor of this shape at all.
    pub(crate) const fn fits(self, shape: Shape) -> bool {
        match self {
            Self::Frequency => matches!(shape, Shape::Wave | Shape::Switched),
            // A value that hardly moves may well be stuck, and one that is switched is its own noise.
            Self::Stuck => matches!(
                shape,
                Shape::Daily | Shape::Slow | Shape::Heavy | Shape::Wave
            ),
            _ => matches!(shape, Shape::Daily | Shape::Slow | Shape::Heavy),
        }
    }
}

/// Random numbers from a seed (xorshift64*, Marsaglia and Vigna).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The same seed gives the same numbers.
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        for _ in 0..16 {
            random.unit();
        }
        random
    }

    /// From 0 up to 1.
    #[expect(
        clippy::as_conversions,
        clippy::cast_precision_loss,
        reason = "53 bits are exact"
    )]
    pub(crate) fn unit(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let mixed = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D);
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Of a standard normal distribution (Box and Muller 1958).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (TAU * self.unit()).cos()
    }
}

/// A sensor and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Sensor {
    shape: Shape,
    random: Random,
    at: i64,
    /// Phase, noise that remembers, set point or whether it runs.
    phase: f64,
    memory: f64,
    held: f64,
    left: i64,
    stuck: Option<f64>,
}

/// Standard deviation of the noise of all shapes.
const SPREAD: f64 = 1.0;

impl Sensor {
    /// A sensor of a shape; each seed gives another one.
    pub(crate) fn new(shape: Shape, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let phase = random.unit() * TAU;
        Self {
            shape,
            random,
            at: 0,
            phase,
            memory: 0.0,
            held: 0.0,
            left: 0,
            stuck: None,
        }
    }

    /// The next reading: its time in seconds, and its value. `fault` and how far it is, from 0 to 1.
    pub(crate) fn next(&mut self, fault: Option<(Fault, f64)>) -> (i64, f64) {
        self.at += 1;
        let time_s = self.at * STEP_S;
        let (kind, share) = (
            fault.map(|(kind, _)| kind),
            fault.map_or(0.0, |(_, far)| far),
        );
        let loud = if kind == Some(Fault::Noise) { 5.0 } else { 1.0 };
        let fast = if kind == Some(Fault::Frequency) {
            3.0
        } else {
            1.0
        };
        let value = self.quiet(time_s, loud * SPREAD, fast)
            + match kind {
                Some(Fault::Spike) => 12.0 * SPREAD,
                Some(Fault::Step) => 6.0 * SPREAD,
                Some(Fault::Drift) => 10.0 * SPREAD * share,
                _ => 0.0,
            };
        if kind == Some(Fault::Stuck) {
            return (time_s, *self.stuck.get_or_insert(value));
        }
        self.stuck = None;
        (time_s, value)
    }

    fn quiet(&mut self, time_s: i64, noise: f64, fast: f64) -> f64 {
        let time = whole(time_s);
        let daily = (TAU * time / DAY_S + self.phase).sin();
        let normal = self.random.normal();
        match self.shape {
            Shape::Daily => 20.0 + 5.0 * daily + noise * normal,
            Shape::Slow => {
                let keep: f64 = (-1.0_f64 / 60.0).exp();
                self.memory = keep * self.memory + noise * (1.0 - keep * keep).sqrt() * normal;
                60.0 + 2.0 * daily + self.memory
            }
            Shape::Heavy => {
                let squares: f64 = (0..4).map(|_| self.random.normal().powi(2)).sum();
                3.0 + noise * normal / (squares / 4.0).sqrt() / 2.0_f64.sqrt()
            }
            Shape::Switched => {
                self.hold((20.0 / fast, 40.0 / fast), |random, held| {
                    if held > 0.0 {
                        0.0
                    } else {
                        11.0 + random.normal() * 0.2
                    }
                });
                self.held + 0.1 * noise * normal
            }
            Shape::SetPoint => {
                self.hold((120.0, 600.0), |random, _| 30.0 + 10.0 * random.unit());
                self.held + noise * normal
            }
            Shape::Shifts => {
                let (day, hour) = (time_s / 86_400 % 7, time_s / 3_600 % 24);
                let works = day != 6 && (6..22).contains(&hour);
                if works {
                    80.0 + 3.0 * noise * normal
                } else {
                    2.0 + 0.3 * noise * normal
                }
            }
            Shape::Wave => {
                self.phase += TAU * whole(STEP_S) / 1_800.0 * fast;
                50.0 + 10.0 * self.phase.sin() + noise * normal
            }
            Shape::Coarse => {
                let keep: f64 = 0.995;
                self.memory = keep * self.memory + 0.02 * noise * normal;
                (10.0 * (21.0 + 0.3 * daily + self.memory)).round() / 10.0
            }
        }
    }

    /// Holds a value for some minutes, then takes another one.
    fn hold(&mut self, (least, more): (f64, f64), next: impl Fn(&mut Random, f64) -> f64) {
        self.left -= 1;
        if self.left <= 0 {
            self.held = next(&mut self.random, self.held);
            self.left = minutes(least + more * self.random.unit());
        }
    }
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "seconds of some weeks"
)]
fn whole(seconds: i64) -> f64 {
    seconds as f64
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "some hundred minutes"
)]
fn minutes(minutes: f64) -> i64 {
    minutes as i64
}
