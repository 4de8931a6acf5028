//! The points of a chart, out of readings where they are few and out of statistics where they are
//! many. A bucket of the chart holds exactly the readings of its time, whichever they come from:
//! where a span begins or ends inside a minute, hour or day, the finer level is asked for that end,
//! and the readings themselves at last. What is not in the statistics yet is added from its block.
//! Never guesses a value.

use super::readings::ReadingsGap;
use crate::store::{BlockOfSensor, SensorReader, Span, StoreError, StreamOfSensor, Which};
use protocol::block::ColumnReader;
use protocol::reading::{Cell, Quality};
use protocol::rollup::{Level, Rollup};
use protocol::series::{Series, SeriesBuilder};
use protocol::time::Timestamp;

/// Up to so many polls are read one by one, whatever is asked for.
const RAW_POLLS_MAX: u64 = 20_000;
const DAMAGED: &str = "the hub's copy of these readings is damaged; restore it from a backup";

/// The series of a sensor in a span, and where the hub's copy is damaged.
pub(super) fn chart(
    reader: &SensorReader<'_>,
    span: Span,
    points_max: usize,
) -> Result<(Series, Vec<ReadingsGap>), StoreError> {
    draw(reader, span, (points_max, level(reader, span, points_max)?))
}

fn draw(
    reader: &SensorReader<'_>,
    span: Span,
    (points_max, level): (usize, Option<Level>),
) -> Result<(Series, Vec<ReadingsGap>), StoreError> {
    let builder = match level {
        None => SeriesBuilder::new(span.from, span.to, points_max),
        Some(level) => SeriesBuilder::stepped(span.from, span.to, points_max, level.bucket_us()),
    };
    let mut chart = Chart {
        reader,
        builder,
        column: ColumnReader::default(),
        damaged: Vec::new(),
    };
    for stream in reader.streams() {
        chart.fill(stream, span, level)?;
    }
    Ok((chart.builder.finish(), chart.damaged))
}

/// The coarsest level whose buckets are not much longer than the distance of the points asked for;
/// none where the readings themselves are few enough.
fn level(
    reader: &SensorReader<'_>,
    span: Span,
    points_max: usize,
) -> Result<Option<Level>, StoreError> {
    let mut polls = Some(0_u64);
    for stream in reader.streams() {
        let removed = stream.kept_from.min(span.to).micros_since(span.from);
        let removed = u64::try_from(removed).unwrap_or(0) / stream.period_us.max(1);
        let more = reader.polls(stream, span)?;
        polls = polls
            .zip(more)
            .map(|(polls, more)| polls.saturating_add(more).saturating_add(removed));
    }
    if polls.is_some_and(|polls| polls <= RAW_POLLS_MAX) {
        return Ok(None);
    }
    let points = i64::try_from(points_max.max(1)).unwrap_or(i64::MAX);
    let distance_us = span.to.micros_since(span.from) / points;
    let fits = |level: &Level| level.bucket_us() <= distance_us.saturating_add(distance_us / 2);
    Ok(Level::ALL.into_iter().rev().find(fits))
}

struct Chart<'a, 'r> {
    reader: &'a SensorReader<'r>,
    builder: SeriesBuilder,
    column: ColumnReader,
    damaged: Vec<ReadingsGap>,
}

impl Chart<'_, '_> {
    /// Whole buckets of the level, and what is left at both ends from the finer one.
    fn fill(
        &mut self,
        stream: &StreamOfSensor,
        span: Span,
        level: Option<Level>,
    ) -> Result<(), StoreError> {
        if span.from >= span.to {
            return Ok(());
        }
        let Some(level) = level else {
            return self.readings(stream, span);
        };
        let first = bucket_from(level, span.from);
        let end = level.bucket_of(span.to);
        if first >= end {
            return self.fill(stream, span, level.finer());
        }
        let inner = Span {
            from: level.start(first),
            to: level.start(end),
        };
        let head = Span {
            to: inner.from,
            ..span
        };
        let tail = Span {
            from: inner.to,
            ..span
        };
        self.fill(stream, head, level.finer())?;
        self.statistics(stream, (level, first, end), inner)?;
        self.fill(stream, tail, level.finer())
    }

    /// Readings one by one; where they were removed for their age, minutes.
    fn readings(&mut self, stream: &StreamOfSensor, span: Span) -> Result<(), StoreError> {
        let kept = Span {
            from: span.from.max(stream.kept_from),
            ..span
        };
        if span.from < kept.from {
            let old = Span {
                to: kept.from.min(span.to),
                ..span
            };
            let first = bucket_from(Level::Minute, old.from);
            let end = bucket_from(Level::Minute, old.to);
            self.statistics(stream, (Level::Minute, first, end), old)?;
        }
        if kept.from >= kept.to {
            return Ok(());
        }
        self.blocks(stream, kept, Which::All)
    }

    fn statistics(
        &mut self,
        stream: &StreamOfSensor,
        (level, first, end): (Level, i64, i64),
        inner: Span,
    ) -> Result<(), StoreError> {
        let Self {
            reader,
            builder,
            damaged,
            ..
        } = self;
        reader.rollups(stream, (level, first, end), |bucket, entry| match entry {
            Ok(entry) => {
                let values = Rollup::scaled(entry, &stream.column);
                builder.push_rollup(level.start(bucket), values, entry.worst);
            }
            Err(_) => damaged.push(ReadingsGap {
                from: level.start(bucket),
                to: level.start(bucket.saturating_add(level.buckets_per_row())),
                cause: "the hub's statistics of these readings are damaged; look closer, where \
                        they are made of the readings themselves",
            }),
        })?;
        self.blocks(stream, inner, Which::Loose)
    }

    fn blocks(
        &mut self,
        stream: &StreamOfSensor,
        span: Span,
        which: Which,
    ) -> Result<(), StoreError> {
        let Self {
            reader,
            builder,
            column,
            damaged,
        } = self;
        reader.blocks(stream, (span, which), |block| {
            if column.read(block.body, stream.position).is_err() {
                damaged.push(gap_of(&block));
            }
            for (time, _, cell) in column.cells() {
                if time >= span.from && time < span.to {
                    push(builder, stream, time, cell);
                }
            }
        })
    }
}

fn push(builder: &mut SeriesBuilder, stream: &StreamOfSensor, time: Timestamp, cell: Cell) {
    match cell {
        Cell::Skipped => {}
        Cell::Value(raw, quality) => builder.push(time, Some(stream.column.value(raw)), quality),
        Cell::Missing(cause) => builder.push(time, None, Quality::Bad(cause)),
    }
}

fn gap_of(block: &BlockOfSensor<'_>) -> ReadingsGap {
    ReadingsGap {
        from: block.first_time,
        to: block.last_time,
        cause: DAMAGED,
    }
}

/// The first bucket that does not begin before `time`.
fn bucket_from(level: Level, time: Timestamp) -> i64 {
    let at = level.bucket_of(time);
    if level.start(at) == time {
        at
    } else {
        at.saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{self, Fixture, STREAM};
    use proptest::prelude::*;
    use protocol::block;
    use protocol::reading::{Cause, Poll, Raw};
    use protocol::time::ClockState;

    /// Every 97 s with a jitter, so that minutes, hours and days are crossed anywhere.
    fn poll(seq: u64) -> Poll {
        let at = i64::try_from(seq).unwrap();
        let cell = match seq % 31 {
            7 => Cell::Missing(Cause::NoAnswer),
            8 => Cell::Skipped,
            9 => Cell::Value(Raw::Int(at), Quality::Uncertain(Cause::OutOfRange)),
            _ => Cell::Value(Raw::Int(at * 7_919 % 1_000), Quality::Good),
        };
        Poll {
            time: testing::START.plus_micros(at * 97_000_000 + at * 31 % 997),
            clock: ClockState::Synchronised,
            cells: vec![cell, Cell::Value(Raw::Int(1), Quality::Good)],
        }
    }

    fn encoded(first: u64, last: u64) -> Vec<u8> {
        let polls: Vec<Poll> = (first..=last).map(poll).collect();
        block::encode(STREAM, first, &polls).unwrap()
    }

    async fn drawn(fixture: &Fixture, span: Span, points: usize, level: Option<Level>) -> Series {
        let (scope, sensor) = (fixture.scope, testing::sensors()[0]);
        let draw = move |reader: &SensorReader<'_>| draw(reader, span, (points, level));
        let (series, damaged) = fixture
            .store
            .read_sensor(scope, sensor, draw)
            .await
            .unwrap();
        assert_eq!(damaged, []);
        series
    }

    /// What the readings themselves give in the same buckets.
    fn expected(
        held: impl Iterator<Item = u64>,
        span: Span,
        points: usize,
        level: Option<Level>,
    ) -> Series {
        let mut builder = match level {
            None => SeriesBuilder::new(span.from, span.to, points),
            Some(level) => SeriesBuilder::stepped(span.from, span.to, points, level.bucket_us()),
        };
        for poll in held.map(poll) {
            match poll.cells[0] {
                Cell::Skipped => {}
                Cell::Value(Raw::Int(raw), quality) => {
                    let value = f64::from(i32::try_from(raw).unwrap()) * 0.5;
                    builder.push(poll.time, Some(value), quality);
                }
                _ => builder.push(poll.time, None, Quality::Bad(Cause::NoAnswer)),
            }
        }
        builder.finish()
    }

    fn assert_same(found: &Series, expected: &Series) {
        assert_eq!(found.raw, expected.raw);
        assert_eq!(found.points.len(), expected.points.len());
        for (one, other) in found.points.iter().zip(&expected.points) {
            assert_eq!(
                (one.time, one.min, one.max, one.quality),
                (other.time, other.min, other.max, other.quality)
            );
            let (one, other) = (one.mean.unwrap_or(0.0), other.mean.unwrap_or(0.0));
            assert!((one - other).abs() < 1e-6, "{one} is not {other}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn at_every_level_a_chart_shows_what_the_readings_say(
            sends in prop::collection::vec((1_u64..3_000, 1_u64..1_000), 1..12),
            spans in prop::collection::vec((0_i64..3_300, 1_i64..3_300, 1_usize..400), 4),
        ) {
            tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
                let fixture = Fixture::new().await;
                let mut held = std::collections::BTreeSet::new();
                for (first, count) in sends {
                    fixture.bring(vec![encoded(first, first + count - 1)]).await;
                    held.extend(first..first + count);
                }
                for (from, length, points) in spans {
                    let from = testing::START.plus_micros(from * 96_999_000);
                    let span = Span { from, to: from.plus_micros(length * 97_000_111) };
                    for level in [None].into_iter().chain(Level::ALL.map(Some)) {
                        let found = drawn(&fixture, span, points, level).await;
                        assert_same(&found, &expected(held.iter().copied(), span, points, level));
                    }
                }
            });
        }
    }

    #[tokio::test]
    async fn the_level_follows_the_span_and_the_points() {
        let fixture = Fixture::new().await;
        let start = testing::START;
        for first in (1..=36_000).step_by(1_000) {
            fixture.bring(vec![encoded(first, first + 999)]).await;
        }
        let ask = async |hours: i64, points: usize| {
            let to = start.plus_micros(hours * 3_600_000_000);
            let span = Span { from: start, to };
            let ask = move |reader: &SensorReader<'_>| level(reader, span, points);
            let (scope, sensor) = (fixture.scope, testing::sensors()[0]);
            fixture.store.read_sensor(scope, sensor, ask).await.unwrap()
        };
        assert_eq!(ask(24, 600).await, None, "891 polls are few");
        assert_eq!(ask(24 * 40, 20_000).await, Some(Level::Minute));
        assert_eq!(ask(24 * 40, 960).await, Some(Level::Hour));
        assert_eq!(ask(24 * 40, 30).await, Some(Level::Day));
        assert_eq!(ask(24 * 40, 10_000_000).await, None, "a point per reading");
    }

    #[tokio::test]
    async fn statistics_that_were_damaged_are_told_and_made_anew_with_the_next_block() {
        let fixture = Fixture::new().await;
        fixture.bring(vec![encoded(1, 600)]).await;
        let file = fixture.folder.path().join("hub.db");
        rusqlite::Connection::open(file)
            .unwrap()
            .execute("UPDATE rollup SET body = zeroblob(40) WHERE level = 3", [])
            .unwrap();
        let from = testing::START;
        let to = from.plus_micros(40 * 86_400_000_000);
        let span = Span { from, to };
        let (scope, sensor) = (fixture.scope, testing::sensors()[0]);
        let ask = move |reader: &SensorReader<'_>| draw(reader, span, (40, Some(Level::Day)));
        let (_, damaged) = fixture.store.read_sensor(scope, sensor, ask).await.unwrap();
        assert_eq!(damaged.len(), 1, "{damaged:?}");
        fixture.bring(vec![encoded(601, 1_200)]).await;
        let found = drawn(&fixture, span, 40, Some(Level::Day)).await;
        assert_same(&found, &expected(1..=1_200, span, 40, Some(Level::Day)));
    }
}
