//! Readings of one sensor, thinned for a chart, over all streams and incarnations that hold some;
//! what is not there is named with its cause. Never fills a hole with a guess.

use super::chart::chart;
use crate::store::{Hole, SensorRow, Span, Store, StoreError};
use crate::tenants::TenantScope;
use protocol::id::SensorId;
use protocol::series::Series;
use protocol::time::Timestamp;

/// Most gaps that are told with one series: the newest.
const GAPS_MAX: usize = 200;

/// What a chart draws.
#[derive(Clone, Debug)]
pub struct SensorReadings {
    /// The sensor.
    pub sensor: SensorRow,
    /// Its readings.
    pub series: Series,
    /// Spans without readings, by their begin; they may overlap.
    pub gaps: Vec<ReadingsGap>,
}

/// A span without readings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadingsGap {
    /// Begin.
    pub from: Timestamp,
    /// End.
    pub to: Timestamp,
    /// Why, in words for people.
    pub cause: &'static str,
}

/// The readings of a sensor in a span, in at most `points_max` points.
pub async fn readings(
    store: &Store,
    scope: TenantScope,
    sensor: SensorId,
    span: Span,
    points_max: usize,
) -> Result<SensorReadings, StoreError> {
    let row = store.sensor(scope, sensor).await?;
    let (series, mut gaps) = store
        .read_sensor(scope, sensor, move |reader| chart(reader, span, points_max))
        .await?;
    let holes = store.holes(scope, row.gateway.id, span.from).await?;
    let streams = store.streams_of_sensor(scope, sensor).await?;
    for stream in holes.streams {
        if streams.contains(&(stream.incarnation, stream.stream)) {
            let missing = "not received yet: the box still has these readings";
            gaps.extend(stream.missing.iter().map(|hole| gap(hole, span, missing)));
            let lost = "the box had to give up these readings";
            gaps.extend(stream.lost.iter().map(|hole| gap(hole, span, lost)));
        }
    }
    gaps.extend(holes.gaps.iter().map(|told| ReadingsGap {
        from: told.from,
        to: told.to,
        cause: told.cause.words(),
    }));
    Ok(SensorReadings {
        sensor: row,
        series,
        gaps: within(gaps, span),
    })
}

fn gap(hole: &Hole, span: Span, cause: &'static str) -> ReadingsGap {
    ReadingsGap {
        from: hole.from.unwrap_or(span.from),
        to: hole.to.unwrap_or(span.to),
        cause,
    }
}

/// The gaps cut to the span, sorted, each once, the newest of them.
fn within(gaps: Vec<ReadingsGap>, span: Span) -> Vec<ReadingsGap> {
    let mut cut: Vec<ReadingsGap> = gaps
        .into_iter()
        .map(|gap| ReadingsGap {
            from: gap.from.max(span.from),
            to: gap.to.min(span.to),
            ..gap
        })
        .filter(|gap| gap.from < gap.to)
        .collect();
    cut.sort_by_key(|gap| (gap.from, gap.to, gap.cause));
    cut.dedup();
    let skipped = cut.len().saturating_sub(GAPS_MAX);
    cut.split_off(skipped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{self, Fixture, INCARNATION, STREAM, block, poll_time};
    use crate::store::{Ingest, LostPolls};

    async fn ask(fixture: &Fixture, from: u64, to: u64, points_max: usize) -> SensorReadings {
        let span = Span {
            from: poll_time(from),
            to: poll_time(to),
        };
        let sensor = testing::sensors()[0];
        readings(&fixture.store, fixture.scope, sensor, span, points_max)
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn a_short_span_comes_as_it_is_and_a_long_one_in_buckets() {
        let fixture = Fixture::with_catalog().await;
        fixture.bring(vec![block(1, 700), block(701, 1_000)]).await;
        let raw = ask(&fixture, 698, 704, 600).await.series;
        assert!(raw.raw);
        let values: Vec<_> = raw
            .points
            .iter()
            .map(|point| (point.time, point.mean.unwrap()))
            .collect();
        let expected: Vec<_> = (698_u32..704)
            .map(|seq| (poll_time(seq.into()), f64::from(seq)))
            .collect();
        assert_eq!(values, expected);
        let thin = ask(&fixture, 1, 1_001, 100).await.series;
        assert!(!thin.raw);
        assert_eq!(thin.points.len(), 100);
        assert_eq!(
            (thin.points[0].min, thin.points[0].max),
            (Some(1.0), Some(10.0))
        );
    }

    #[tokio::test]
    async fn what_is_not_there_is_named() {
        let fixture = Fixture::with_catalog().await;
        fixture
            .bring(vec![block(1, 10), block(21, 30), block(41, 50)])
            .await;
        let lost = LostPolls {
            incarnation: INCARNATION,
            stream: STREAM,
            first_seq: 31,
            last_seq: 40,
        };
        let batch = Ingest {
            lost: vec![lost],
            ..Ingest::default()
        };
        fixture
            .store
            .ingest(fixture.scope, fixture.gateway, batch)
            .await
            .unwrap();
        let gaps = ask(&fixture, 15, 100, 600).await.gaps;
        let shape: Vec<_> = gaps.iter().map(|gap| (gap.from, gap.to)).collect();
        assert_eq!(
            shape,
            [
                (poll_time(15), poll_time(21)),
                (poll_time(30), poll_time(41))
            ]
        );
        assert!(gaps[0].cause.contains("not received yet") && gaps[1].cause.contains("give up"));
    }
}
