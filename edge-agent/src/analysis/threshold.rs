//! Limits with deadband and delays, in the time of the readings.
//! Never looks at quality: bad readings do not come this far.

use super::finding::Change;
use super::standing::lasted;
use crate::config::Limits;
use protocol::event::Direction;
use protocol::time::{Correction, Timestamp};
use serde::{Deserialize, Serialize};

/// One set of limits on one sensor.
///
/// Abnormal is told once the value has been beyond a limit without a break for `on_delay`;
/// normal once it has been inside by the deadband without a break for `off_delay`. Between limit
/// and deadband an alert stays as it is and the off-delay begins anew. While a value is too high
/// it may at once become too low: the second alert waits until the first one has cleared.
#[derive(Clone, Debug)]
pub struct Threshold {
    limits: Limits,
    state: ThresholdState,
}

/// Where a threshold stands; survives a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ThresholdState {
    /// Beyond a limit, not yet told.
    pending: Option<Pending>,
    /// Told, not yet cleared.
    raised: Option<Raised>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Pending {
    direction: Direction,
    since: Timestamp,
    peak: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Raised {
    direction: Direction,
    peak: f64,
    inside_since: Option<Timestamp>,
}

impl Threshold {
    /// Limits that have seen nothing yet.
    pub const fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: ThresholdState {
                pending: None,
                raised: None,
            },
        }
    }

    /// Judges one value. Values that are not finite are passed over.
    pub fn step(&mut self, value: f64, time: Timestamp) -> Option<Change> {
        if !value.is_finite() {
            return None;
        }
        self.follow(value, time);
        if self.state.raised.is_some() {
            self.while_raised(value, time)
        } else {
            self.while_normal(value, time)
        }
    }

    /// What it remembers.
    pub const fn state(&self) -> ThresholdState {
        self.state
    }

    /// Takes up what was remembered.
    pub const fn restore(&mut self, state: ThresholdState) {
        self.state = state;
    }

    /// Moves the times it remembers, now that the true time is known.
    pub fn correct(&mut self, by: &Correction) {
        if let Some(pending) = &mut self.state.pending {
            pending.since = by.of(pending.since);
        }
        if let Some(raised) = &mut self.state.raised {
            raised.inside_since = raised.inside_since.map(|since| by.of(since));
        }
    }

    /// Makes sure that it knows of an alert that is open.
    pub fn stand_behind(&mut self, direction: Direction, peak: f64) {
        if self.state.raised.is_none() {
            let pending = self.state.pending;
            self.state.pending = pending.filter(|pending| pending.direction != direction);
            self.state.raised = Some(Raised {
                direction,
                peak,
                inside_since: None,
            });
        }
    }

    /// Keeps account of how long the value has been beyond a limit that is not told yet.
    fn follow(&mut self, value: f64, time: Timestamp) {
        let told = self.state.raised.map(|raised| raised.direction);
        let beyond = self.beyond(value).filter(|side| Some(*side) != told);
        self.state.pending = beyond.map(|direction| {
            let before = self.state.pending;
            match before.filter(|pending| pending.direction == direction) {
                Some(pending) => Pending {
                    direction,
                    // A clock that stepped back must not make the wait longer than the delay.
                    since: pending.since.min(time),
                    peak: further(direction, pending.peak, value),
                },
                None => Pending {
                    direction,
                    since: time,
                    peak: value,
                },
            }
        });
    }

    fn while_normal(&mut self, value: f64, time: Timestamp) -> Option<Change> {
        let pending = self.state.pending?;
        let limit = self.limit(pending.direction)?;
        if !lasted(pending.since, time, self.limits.on_delay) {
            return None;
        }
        self.state.pending = None;
        self.state.raised = Some(Raised {
            direction: pending.direction,
            peak: pending.peak,
            inside_since: None,
        });
        Some(Change::Raised {
            direction: pending.direction,
            limit,
            value,
            peak: pending.peak,
            since: pending.since,
            detail: None,
        })
    }

    fn while_raised(&mut self, value: f64, time: Timestamp) -> Option<Change> {
        let inside = self.is_inside(self.state.raised?.direction, value);
        let raised = self.state.raised.as_mut()?;
        if !inside {
            raised.inside_since = None;
            let peak = further(raised.direction, raised.peak, value);
            let is_new = peak.total_cmp(&raised.peak).is_ne();
            raised.peak = peak;
            return is_new.then_some(Change::Peaked { value: peak });
        }
        let since = raised.inside_since.map_or(time, |since| since.min(time));
        raised.inside_since = Some(since);
        if !lasted(since, time, self.limits.off_delay) {
            return None;
        }
        let peak = raised.peak;
        self.state.raised = None;
        Some(Change::Cleared { value, peak })
    }

    fn beyond(&self, value: f64) -> Option<Direction> {
        if self.limits.high.is_some_and(|high| value > high) {
            Some(Direction::High)
        } else if self.limits.low.is_some_and(|low| value < low) {
            Some(Direction::Low)
        } else {
            None
        }
    }

    /// Inside by the deadband. A limit that was taken out of the configuration is never in the
    /// way: its alert clears.
    fn is_inside(&self, direction: Direction, value: f64) -> bool {
        let deadband = self.limits.deadband;
        self.limit(direction).is_none_or(|limit| match direction {
            Direction::High => value <= limit - deadband,
            Direction::Low => value >= limit + deadband,
        })
    }

    const fn limit(&self, direction: Direction) -> Option<f64> {
        match direction {
            Direction::High => self.limits.high,
            Direction::Low => self.limits.low,
        }
    }
}

fn further(direction: Direction, one: f64, other: f64) -> f64 {
    match direction {
        Direction::High => one.max(other),
        Direction::Low => one.min(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn limits(on_s: u64, off_s: u64) -> Limits {
        Limits {
            high: Some(80.0),
            low: Some(10.0),
            deadband: 2.0,
            on_delay: Duration::from_secs(on_s),
            off_delay: Duration::from_secs(off_s),
        }
    }

    fn second(second: i64) -> Timestamp {
        Timestamp(second * 1_000_000)
    }

    /// One value a second; what was told, with its second.
    fn run(threshold: &mut Threshold, values: &[f64]) -> Vec<(i64, Change)> {
        let steps = (0_i64..).zip(values);
        steps
            .filter_map(|(at, value)| Some((at, threshold.step(*value, second(at))?)))
            .collect()
    }

    fn raised(value: f64, peak: f64, since: i64) -> Change {
        let (direction, limit) = (Direction::High, 80.0);
        let since = second(since);
        Change::Raised {
            direction,
            limit,
            value,
            peak,
            since,
            detail: None,
        }
    }

    const fn cleared(value: f64, peak: f64) -> Change {
        Change::Cleared { value, peak }
    }

    #[test]
    fn delays_and_deadband_in_the_time_of_the_readings() {
        let values = [
            79.0, 81.0, 85.0, 82.0, 83.0, 86.0, 79.0, 78.0, 79.0, 77.0, 76.0, 70.0,
        ];
        let told = run(&mut Threshold::new(limits(2, 2)), &values);
        let expected = [
            (3, raised(82.0, 85.0, 1)),
            (5, Change::Peaked { value: 86.0 }),
            (11, cleared(70.0, 86.0)),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn without_delays_it_is_told_at_once() {
        let told = run(&mut Threshold::new(limits(0, 0)), &[80.0, 80.1, 78.1, 78.0]);
        let expected = [(1, raised(80.1, 80.1, 1)), (3, cleared(78.0, 80.1))];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_saw_tooth_shorter_than_the_delay_is_never_told() {
        let values: Vec<f64> = (0..1_000)
            .map(|at| if at % 4 == 3 { 79.9 } else { 95.0 })
            .collect();
        assert_eq!(run(&mut Threshold::new(limits(3, 0)), &values), []);
        assert_eq!(run(&mut Threshold::new(limits(2, 30)), &values).len(), 1);
    }

    #[test]
    fn from_too_high_to_too_low_one_after_the_other() {
        let values = [90.0, 90.0, 5.0, 5.0, 5.0, 5.0];
        let told = run(&mut Threshold::new(limits(1, 1)), &values);
        let (direction, since) = (Direction::Low, second(2));
        let low = Change::Raised {
            direction,
            limit: 10.0,
            value: 5.0,
            peak: 5.0,
            since,
            detail: None,
        };
        let expected = [
            (1, raised(90.0, 90.0, 0)),
            (3, cleared(5.0, 90.0)),
            (4, low),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_clock_that_steps_back_delays_by_no_more_than_the_delay() {
        let mut threshold = Threshold::new(limits(5, 5));
        assert_eq!(threshold.step(90.0, second(1_000)), None);
        assert_eq!(threshold.step(90.0, second(10)), None);
        assert!(threshold.step(90.0, second(15)).is_some());
    }

    #[test]
    fn a_limit_taken_away_lets_its_alert_clear() {
        let mut threshold = Threshold::new(limits(0, 0));
        assert!(threshold.step(90.0, second(0)).is_some());
        let mut lowered = limits(0, 0);
        lowered.high = None;
        let mut next = Threshold::new(lowered);
        next.restore(threshold.state());
        assert_eq!(next.step(90.0, second(1)), Some(cleared(90.0, 90.0)));
    }

    #[test]
    fn an_open_alert_that_was_forgotten_clears_and_is_not_told_again() {
        let mut threshold = Threshold::new(limits(0, 0));
        threshold.stand_behind(Direction::High, 90.0);
        assert_eq!(threshold.step(85.0, second(1)), None);
        assert!(matches!(
            threshold.step(50.0, second(2)),
            Some(Change::Cleared { .. })
        ));
    }

    /// The same rules, written down over the whole past instead of step by step.
    fn by_the_book(limits: &Limits, values: &[f64]) -> Vec<(i64, bool)> {
        let run_length = |at: usize, from: usize, holds: &dyn Fn(f64) -> bool| {
            let run = values[from..=at].iter().rev();
            run.take_while(|value| holds(**value)).count()
        };
        let (high, clear) = (limits.high.unwrap(), limits.high.unwrap() - limits.deadband);
        let lasted = |count: usize, delay: Duration| {
            count > 0 && u64::try_from(count - 1).unwrap() >= delay.as_secs()
        };
        let mut told = Vec::new();
        let mut told_at = None;
        for at in 0..values.len() {
            let done = if let Some(from) = told_at {
                lasted(
                    run_length(at, from, &|value| value <= clear),
                    limits.off_delay,
                )
            } else {
                lasted(run_length(at, 0, &|value| value > high), limits.on_delay)
            };
            if done {
                told_at = if told_at.is_some() { None } else { Some(at) };
                told.push((i64::try_from(at).unwrap(), told_at.is_some()));
            }
        }
        told
    }

    proptest! {
        #[test]
        fn step_by_step_is_the_same_as_by_the_book(
            values in proptest::collection::vec(70.0_f64..90.0, 1..120), on in 0_u64..6, off in 0_u64..6
        ) {
            let limits = limits(on, off);
            let told = run(&mut Threshold::new(limits.clone()), &values);
            let told: Vec<(i64, bool)> = told
                .into_iter()
                .filter_map(|(at, change)| match change {
                    Change::Raised { .. } => Some((at, true)),
                    Change::Cleared { .. } => Some((at, false)),
                    Change::Peaked { .. } => None,
                })
                .collect();
            prop_assert_eq!(told, by_the_book(&limits, &values));
        }

        #[test]
        fn a_restart_at_any_point_changes_nothing(
            values in proptest::collection::vec(0.0_f64..100.0, 1..60),
            on in 0_u64..4, off in 0_u64..4, restart in 0_usize..60
        ) {
            let straight = run(&mut Threshold::new(limits(on, off)), &values);
            let mut threshold = Threshold::new(limits(on, off));
            let mut told = Vec::new();
            for (at, value) in values.iter().enumerate() {
                if at == restart {
                    let kept = postcard::to_allocvec(&threshold.state()).unwrap();
                    threshold = Threshold::new(limits(on, off));
                    threshold.restore(postcard::from_bytes(&kept).unwrap());
                }
                let at = i64::try_from(at).unwrap();
                told.extend(threshold.step(*value, second(at)).map(|change| (at, change)));
            }
            prop_assert_eq!(told, straight);
        }
    }
}
