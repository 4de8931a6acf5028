//! The state of one group's thinning: what was stored last, per sensor, and when.
//! Never keeps more than one reading per sensor.

use super::{Deadband, GroupSpec, RawCell, RawPoll, SensorSpec, Watch};
use protocol::reading::{Cause, Cell, Poll, Quality, Raw, RawKind};
use protocol::time::{ClockState, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// Judges and thins the polls of one group.
///
/// The clock's state travels with the poll and does not change a reading's quality: a doubt about
/// the time is no doubt about the value.
#[derive(Clone, Debug)]
pub struct Pipeline {
    period_us: i64,
    sensors: Arc<Vec<SensorSpec>>,
    lanes: Vec<Lane>,
}

/// One sensor's part.
#[derive(Clone, Debug)]
struct Lane {
    /// When nothing is thinned; changes with the rules.
    watch: Watch,
    /// A move by more than this is stored; `None`: everything is stored.
    band: Option<f64>,
    max_silence_us: i64,
    last: Option<Last>,
    /// The last time at which a value was beyond what the rules watch.
    watched: Option<Timestamp>,
}

/// The reading stored last.
#[derive(Clone, Copy, Debug)]
struct Last {
    time: Timestamp,
    quality: Quality,
    /// Engineering value; `None` when quality is bad.
    value: Option<f64>,
}

impl Pipeline {
    /// For a group as its driver announced it, before its first poll.
    pub fn new(group: &GroupSpec) -> Self {
        let lanes = group.sensors.iter().map(Lane::new).collect();
        Self {
            period_us: micros(group.period),
            sensors: Arc::clone(&group.sensors),
            lanes,
        }
    }

    /// When nothing is thinned from now on, one for each sensor: the rules are others now.
    pub fn watch(&mut self, watches: &[Watch]) {
        for (lane, watch) in self.lanes.iter_mut().zip(watches) {
            if lane.watch != *watch {
                lane.watch = *watch;
                lane.watched = None;
            }
        }
    }

    /// Judges one poll. `None` when no sensor has anything worth storing.
    ///
    /// The answer has one cell per sensor of the group, whatever the driver delivered: a cell
    /// that is not there counts as an answer that could not be understood.
    pub fn step(&mut self, raw: &RawPoll, clock: ClockState) -> Option<Poll> {
        let absent = RawCell::Missing(Cause::BadAnswer);
        let delivered = raw.cells.iter().chain(std::iter::repeat(&absent));
        let period_us = self.period_us;
        let lanes = self.lanes.iter_mut().zip(self.sensors.iter());
        let cells: Vec<Cell> = lanes
            .zip(delivered)
            .map(|((lane, spec), cell)| lane.step(spec, cell, raw.time, period_us))
            .collect();
        let any = cells.iter().any(|cell| *cell != Cell::Skipped);
        any.then_some(Poll {
            time: raw.time,
            clock,
            cells,
        })
    }
}

impl Lane {
    fn new(spec: &SensorSpec) -> Self {
        let band = match (spec.deadband, spec.range) {
            (Deadband::Absolute(band), _) => Some(band),
            (Deadband::OfRange(share), Some((low, high))) => Some(share * (high - low)),
            // A share of an unknown range: rather store too much.
            (Deadband::Off, _) | (Deadband::OfRange(_), None) => None,
        };
        Self {
            band,
            max_silence_us: micros(spec.max_silence),
            watch: spec.watch,
            last: None,
            watched: None,
        }
    }

    fn step(&mut self, spec: &SensorSpec, raw: &RawCell, time: Timestamp, period_us: i64) -> Cell {
        let (cell, quality, value) = judge(spec, raw);
        let now = Last {
            time,
            quality,
            value,
        };
        let watched = self.is_watched(value, time, period_us);
        if let Some(last) = self.last
            && !watched
            && !self.worth_storing(&last, &now, period_us)
        {
            return Cell::Skipped;
        }
        self.last = Some(now);
        cell
    }

    /// Whether the rules need this reading, however little it moved: beyond what they watch, for
    /// the longest off-delay afterwards, and when the agent has just started, for it may have
    /// stopped in between. Two polls more, for the delay counts from the first one inside, and
    /// polls are never quite on time. What is missing prolongs it: it does not count for the rules.
    fn is_watched(&mut self, value: Option<f64>, time: Timestamp, period_us: i64) -> bool {
        let watch = self.watch;
        if watch == Watch::default() {
            return false;
        }
        let since_us = self.watched.map_or(0, |watched| time.micros_since(watched));
        let window_us = micros(watch.after).saturating_add(period_us.saturating_mul(2));
        let lasts = since_us <= window_us;
        let starts = self.watched.is_none()
            || since_us < 0 // The clock stepped back: count anew.
            || value.is_some_and(|value| watch.is_beyond(value));
        if starts || (lasts && value.is_none()) {
            self.watched = Some(time);
        }
        value.is_some() && (starts || lasts)
    }

    fn worth_storing(&self, last: &Last, now: &Last, period_us: i64) -> bool {
        let Some(band) = self.band else { return true };
        if now.quality != last.quality {
            return true;
        }
        let silence_us = now.time.micros_since(last.time);
        // A clock that stepped back would else silence the sensor until it caught up. And the
        // next poll comes a period from now: too late if that passes the longest silence.
        if silence_us < 0 || silence_us.saturating_add(period_us) > self.max_silence_us {
            return true;
        }
        match (last.value, now.value) {
            (Some(last), Some(now)) => (now - last).abs() > band,
            _ => false,
        }
    }
}

/// Quality, and the engineering value where there is one.
fn judge(spec: &SensorSpec, raw: &RawCell) -> (Cell, Quality, Option<f64>) {
    let missing = |cause| (Cell::Missing(cause), Quality::Bad(cause), None);
    let raw = match raw {
        RawCell::Missing(cause) => return missing(*cause),
        // A text comes here by its code.
        RawCell::Text(_) => return missing(Cause::BadAnswer),
        RawCell::Value(raw) => *raw,
    };
    let is_float = matches!(raw, Raw::Float(_));
    if is_float != (spec.raw == RawKind::Float) {
        // The column could not hold it.
        return missing(Cause::BadAnswer);
    }
    let value = spec.value(raw);
    if !value.is_finite() {
        return missing(Cause::NotAvailable);
    }
    let in_range =
        |range: Option<(f64, f64)>| range.is_none_or(|(low, high)| (low..=high).contains(&value));
    let quality = if in_range(spec.range) && in_range(spec.clamp) {
        Quality::Good
    } else {
        Quality::Uncertain(Cause::OutOfRange)
    };
    let held = spec.clamp.filter(|_| !in_range(spec.clamp));
    let raw = held.map_or(raw, |(low, high)| {
        spec.raw_at(if value < low { low } else { high })
    });
    (Cell::Value(raw, quality), quality, Some(spec.value(raw)))
}

impl SensorSpec {
    /// The raw value that stands for an engineering one: of whole numbers the nearest.
    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a limit beyond the integers is held at the last one of them"
    )]
    fn raw_at(&self, value: f64) -> Raw {
        let raw = (value - self.offset) / self.scale;
        match self.raw {
            RawKind::Float => Raw::Float(raw),
            RawKind::Int => Raw::Int(raw.round() as i64),
            RawKind::Uint64 => Raw::Int((raw.round() as u64).cast_signed()),
        }
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Words;
    use proptest::prelude::*;
    use protocol::unit::Unit;

    const SECOND_US: i64 = 1_000_000;

    fn spec(deadband: Deadband) -> SensorSpec {
        SensorSpec {
            name: "t".to_owned(),
            asset: None,
            raw: RawKind::Int,
            scale: 0.1,
            offset: -5.0,
            unit: Unit::default(),
            range: Some((0.0, 100.0)),
            clamp: None,
            words: Words::default(),
            deadband,
            max_silence: Duration::from_secs(10),
            watch: Watch::default(),
        }
    }

    fn pipeline(sensors: Vec<SensorSpec>) -> Pipeline {
        let period = Duration::from_secs(1);
        Pipeline::new(&GroupSpec {
            device: "d".to_owned(),
            asset: None,
            period,
            sensors: Arc::new(sensors),
        })
    }

    fn poll(second: i64, cells: Vec<RawCell>) -> RawPoll {
        RawPoll {
            group: 0,
            time: Timestamp(second * SECOND_US),
            clock: ClockState::Synchronised,
            cells,
        }
    }

    fn int(value: i64) -> RawCell {
        RawCell::Value(Raw::Int(value))
    }

    fn step(pipeline: &mut Pipeline, second: i64, cell: RawCell) -> Option<Cell> {
        let poll = pipeline.step(&poll(second, vec![cell]), ClockState::Synchronised)?;
        poll.cells.first().copied()
    }

    #[test]
    fn small_moves_are_skipped_until_the_longest_silence() {
        let mut pipeline = pipeline(vec![spec(Deadband::Absolute(0.5))]);
        let stored: Vec<i64> = (0..25)
            .filter(|second| step(&mut pipeline, *second, int(500 + second % 5)).is_some())
            .collect();
        assert_eq!(stored, [0, 10, 20]);
        assert!(step(&mut pipeline, 25, int(506)).is_some());
        assert!(
            step(&mut pipeline, 26, int(501)).is_none(),
            "moved by the band, not by more"
        );
        assert!(step(&mut pipeline, 27, int(500)).is_some());
    }

    #[test]
    fn a_rule_that_comes_while_it_runs_is_not_thinned_away() {
        let mut sensor = spec(Deadband::Absolute(50.0));
        sensor.max_silence = Duration::from_secs(100);
        let mut pipeline = pipeline(vec![sensor]);
        let mut stored = |second, raw| step(&mut pipeline, second, int(raw)).is_some();
        assert!(stored(0, 600) && !stored(1, 600));
        let watch = Watch {
            above: 50.0,
            ..Watch::default()
        };
        pipeline.watch(&[watch]);
        // 55.0 all the time: beyond the limit, every reading counts.
        let mut stored = |second| step(&mut pipeline, second, int(600)).is_some();
        assert!((2..9).all(&mut stored));
        pipeline.watch(&[Watch::default()]);
        assert!(step(&mut pipeline, 9, int(600)).is_none());
    }

    #[test]
    fn a_share_of_the_range_is_a_band() {
        let mut pipeline = pipeline(vec![spec(Deadband::OfRange(0.01))]);
        assert!(step(&mut pipeline, 0, int(500)).is_some());
        assert!(step(&mut pipeline, 1, int(509)).is_none());
        assert!(step(&mut pipeline, 2, int(511)).is_some());
    }

    #[test]
    fn what_is_no_number_is_missing_and_what_is_out_of_range_is_uncertain() {
        let mut float = spec(Deadband::Off);
        float.raw = RawKind::Float;
        let mut pipeline = pipeline(vec![float.clone(), spec(Deadband::Off), float]);
        let nan = RawCell::Value(Raw::Float(f64::NAN));
        let raw = poll(0, vec![nan, int(5_000), int(1)]);
        let stored = pipeline.step(&raw, ClockState::Untrusted).unwrap();
        let out_of_range = Quality::Uncertain(Cause::OutOfRange);
        let expected = [
            Cell::Missing(Cause::NotAvailable),
            Cell::Value(Raw::Int(5_000), out_of_range),
            Cell::Missing(Cause::BadAnswer),
        ];
        assert_eq!(stored.cells, expected);
        assert_eq!(stored.clock, ClockState::Untrusted);
    }

    #[test]
    fn a_poll_with_too_few_or_too_many_cells_fits_the_group() {
        let mut pipeline = pipeline(vec![spec(Deadband::Off), spec(Deadband::Off)]);
        for cells in [vec![], vec![int(1)], vec![int(1); 3]] {
            let stored = pipeline
                .step(&poll(0, cells), ClockState::Holdover)
                .unwrap();
            assert_eq!(stored.cells.len(), 2);
        }
    }

    #[test]
    fn beyond_a_watched_limit_and_a_while_after_nothing_is_thinned() {
        let mut sensor = spec(Deadband::Absolute(5.0));
        sensor.max_silence = Duration::from_secs(100);
        sensor.watch.above = 50.0;
        sensor.watch.after = Duration::from_secs(3);
        let mut pipeline = pipeline(vec![sensor]);
        let mut stored = |seconds: std::ops::Range<i64>, raw: i64| -> Vec<i64> {
            seconds
                .filter(|second| step(&mut pipeline, *second, int(raw)).is_some())
                .collect()
        };
        assert_eq!(stored(0..10, 550), [0, 1, 2, 3, 4, 5], "50.0 is not beyond");
        assert_eq!(stored(10..20, 551), (10..20).collect::<Vec<_>>(), "50.1 is");
        assert_eq!(stored(20..30, 549), [20, 21, 22, 23, 24], "back inside");
    }

    #[test]
    fn what_is_beyond_the_clamp_is_held_at_the_limit_and_is_uncertain() {
        let held = |mut sensor: SensorSpec, raw: Raw| {
            sensor.clamp = Some((-5.0, 60.0));
            let mut pipeline = pipeline(vec![sensor.clone()]);
            let stored = step(&mut pipeline, 0, RawCell::Value(raw));
            match stored {
                Some(Cell::Value(raw, quality)) => (sensor.value(raw), quality),
                other => panic!("{other:?}"),
            }
        };
        let doubt = Quality::Uncertain(Cause::OutOfRange);
        // 0.1 and -5: raw 650 is 60.0, raw 0 is -5.0.
        let plain = || SensorSpec {
            range: None,
            ..spec(Deadband::Off)
        };
        assert_eq!(held(plain(), Raw::Int(650)), (60.0, Quality::Good));
        assert_eq!(held(plain(), Raw::Int(651)), (60.0, doubt));
        assert_eq!(held(plain(), Raw::Int(-700)), (-5.0, doubt));
        let mut unsigned = plain();
        unsigned.raw = RawKind::Uint64;
        assert_eq!(held(unsigned, Raw::Int(-1)), (60.0, doubt));
        let mut float = plain();
        (float.raw, float.scale) = (RawKind::Float, -2.0);
        assert_eq!(held(float.clone(), Raw::Float(-40.0)), (60.0, doubt));
        assert_eq!(held(float, Raw::Float(1.0)), (-5.0, doubt));
        // Held at a limit beyond the integers: at the last one.
        let mut far = plain();
        (far.scale, far.offset) = (1e-20, -100.0);
        assert_eq!(held(far, Raw::Int(1)).1, doubt);
    }

    #[test]
    fn a_clock_that_steps_back_silences_nothing() {
        let mut plain = pipeline(vec![spec(Deadband::Absolute(5.0))]);
        assert!(step(&mut plain, 1_000, int(500)).is_some());
        assert!(step(&mut plain, 10, int(500)).is_some());
        assert!(step(&mut plain, 11, int(500)).is_none());
        let mut sensor = spec(Deadband::Absolute(5.0));
        sensor.watch.above = 90.0;
        let mut watched = pipeline(vec![sensor]);
        assert!(step(&mut watched, 1_000, int(500)).is_some());
        assert!((10..13).all(|second| step(&mut watched, second, int(500)).is_some()));
        assert!(
            step(&mut watched, 13, int(500)).is_none(),
            "and thins soon again"
        );
    }

    fn cell() -> impl Strategy<Value = RawCell> {
        prop_oneof![
            8 => (-100_i64..1_500).prop_map(int),
            1 => Just(RawCell::Missing(Cause::NoAnswer)),
            1 => Just(RawCell::Missing(Cause::NoSuchAddress)),
        ]
    }

    proptest! {
        /// Whoever reads only what was stored is never further off than the band, never has
        /// another quality, never waits longer than the longest silence, and misses nothing
        /// beyond a watched limit.
        #[test]
        fn what_is_stored_stands_for_what_was_polled(
            cells in proptest::collection::vec(cell(), 1..200), band in 0.0_f64..20.0
        ) {
            let mut sensor = spec(Deadband::Absolute(band));
            sensor.watch = Watch { above: 90.0, below: 10.0, after: Duration::ZERO };
            let mut pipeline = pipeline(vec![sensor.clone()]);
            let mut held: Option<(i64, Cell)> = None;
            for (second, raw) in (0_i64..).zip(&cells) {
                if let Some(stored) = step(&mut pipeline, second, raw.clone()) {
                    held = Some((second, stored));
                }
                let (at, stored) = held.unwrap();
                prop_assert!(second - at < 10);
                match (raw.clone(), stored) {
                    (RawCell::Missing(cause), stored) => prop_assert_eq!(stored, Cell::Missing(cause)),
                    (RawCell::Value(raw), Cell::Value(stored, quality)) => {
                        let (now, then) = (sensor.value(raw), sensor.value(stored));
                        prop_assert!((now - then).abs() <= band);
                        prop_assert_eq!(quality == Quality::Good, (0.0..=100.0).contains(&now));
                        prop_assert!(at == second || !sensor.watch.is_beyond(now));
                    }
                    (raw, stored) => prop_assert!(false, "{raw:?} is held as {stored:?}"),
                }
            }
        }

        /// Without a deadband every poll is stored as it came.
        #[test]
        fn without_a_deadband_nothing_is_skipped(cells in proptest::collection::vec(cell(), 1..50)) {
            let mut pipeline = pipeline(vec![spec(Deadband::Off)]);
            for (second, raw) in (0_i64..).zip(&cells) {
                prop_assert!(step(&mut pipeline, second, raw.clone()).is_some());
            }
        }
    }
}
