//! Points in time, the state of the clock that gave them, and the hybrid logical clock.
//! Never reads a clock.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A point in time: microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// From milliseconds since 1970.
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms.saturating_mul(1_000))
    }

    /// Whole milliseconds since 1970, rounded down.
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// This point moved by `micros`; stops at the ends of the range.
    #[must_use]
    pub const fn plus_micros(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// Microseconds from `earlier` to this point; negative when `earlier` is later.
    pub const fn micros_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Before this point no clock of a box is right, for there was no such program: 2026-01-01. What
/// bears an earlier stamp is of unknown age.
pub const EARLIEST: Timestamp = Timestamp(1_767_225_600_000_000);

/// RFC 3339 in UTC; the epoch for a time beyond what a calendar holds.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        jiff::Timestamp::from_microsecond(self.0)
            .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
            .fmt(f)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}us", self.0)
    }
}

/// How far the clock that gave a time stamp may be trusted.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(rename_all = "snake_case")]
pub enum ClockState {
    /// Disciplined by a time source.
    Synchronised,
    /// Set once since boot (by a time source that is gone, a battery, the hub), runs on its own.
    Holdover,
    /// Never synchronised since boot: the stamp counts from whatever the clock began with.
    #[default]
    Untrusted,
    /// Taken while the clock was untrusted, and moved once when the true time became known.
    Corrected,
}

/// What is known of stamps of a clock that was not set, once the true time is known: all of them
/// are off by the same difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Correction {
    /// The first stamp that the clock can have given.
    pub from: Timestamp,
    /// The last one.
    pub until: Timestamp,
    /// To be added.
    pub shift_us: i64,
}

impl Correction {
    /// The true time, when `time` is of that clock; else `time`.
    #[must_use]
    pub fn of(&self, time: Timestamp) -> Timestamp {
        if (self.from..=self.until).contains(&time) {
            time.plus_micros(self.shift_us)
        } else {
            time
        }
    }
}

/// A hybrid logical clock stamp (Kulkarni et al., 2014): wall time that never runs backwards.
///
/// Ordered by time, then counter, then node, so that any two stamps differ unless they are equal.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
pub struct Hlc {
    /// Milliseconds since 1970.
    pub wall_ms: u64,
    /// Ticks within the same millisecond.
    pub counter: u32,
    /// Tie-breaker: the writer's number.
    pub node: u32,
}

impl Hlc {
    /// This stamp, moved behind `seen`, the highest stamp that its writer had seen on the record.
    ///
    /// Only needed where somebody's clock is so far ahead that [`HlcClock::observe`] does not
    /// follow it: the record is still in order, the writer's clock stays its own.
    #[must_use]
    pub fn after(self, seen: Self) -> Self {
        if self > seen {
            return self;
        }
        let (wall_ms, counter) = match seen.counter.checked_add(1) {
            Some(counter) => (seen.wall_ms, counter),
            None => (seen.wall_ms.saturating_add(1), 0),
        };
        Self {
            wall_ms,
            counter,
            node: self.node,
        }
    }
}

/// The running hybrid logical clock of one writer.
#[derive(Clone, Copy, Debug)]
pub struct HlcClock {
    last: Hlc,
}

impl HlcClock {
    /// Starts from the highest stamp this writer has stored; `node` is its tie-breaker.
    pub const fn new(last: Hlc, node: u32) -> Self {
        Self {
            last: Hlc {
                wall_ms: last.wall_ms,
                counter: last.counter,
                node,
            },
        }
    }

    /// The stamp of an event that happens at `now`.
    pub fn tick(&mut self, now: Timestamp) -> Hlc {
        let now_ms = u64::try_from(now.millis()).unwrap_or(0);
        if now_ms > self.last.wall_ms {
            self.last.wall_ms = now_ms;
            self.last.counter = 0;
        } else {
            self.last.counter = self.last.counter.saturating_add(1);
        }
        self.last
    }

    /// Takes note of a stamp seen from elsewhere.
    ///
    /// A stamp further ahead than `limits::HLC_AHEAD_MS_MAX` is not followed: a box whose clock
    /// is years ahead must not drag everybody else's clock along.
    pub fn observe(&mut self, seen: Hlc, now: Timestamp) {
        let now_ms = u64::try_from(now.millis()).unwrap_or(0);
        let bound = now_ms.saturating_add(crate::limits::HLC_AHEAD_MS_MAX);
        if seen.wall_ms <= bound
            && (seen.wall_ms, seen.counter) > (self.last.wall_ms, self.last.counter)
        {
            self.last.wall_ms = seen.wall_ms;
            self.last.counter = seen.counter;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_is_always_later_even_when_the_clock_steps_back() {
        let mut clock = HlcClock::new(Hlc::default(), 7);
        let first = clock.tick(Timestamp::from_millis(1_000));
        let second = clock.tick(Timestamp::from_millis(10));
        assert!(second > first);
        assert_eq!(
            second,
            Hlc {
                wall_ms: 1_000,
                counter: 1,
                node: 7
            }
        );
    }

    #[test]
    fn a_stamp_years_ahead_is_not_followed() {
        let mut clock = HlcClock::new(Hlc::default(), 1);
        let now = Timestamp::from_millis(1_000);
        clock.observe(
            Hlc {
                wall_ms: 10_000_000_000,
                counter: 0,
                node: 2,
            },
            now,
        );
        assert_eq!(clock.tick(now).wall_ms, 1_000);
        clock.observe(
            Hlc {
                wall_ms: 2_000,
                counter: 5,
                node: 2,
            },
            now,
        );
        assert_eq!(
            clock.tick(now),
            Hlc {
                wall_ms: 2_000,
                counter: 6,
                node: 1
            }
        );
    }
}
