//! `/sensors`: what is measured, its newest reading, and readings over a span of time.

use super::Context;
use super::extract::{Id, Params, Reader};
use super::page::{self, Page};
use super::problem::Problem;
use crate::clock;
use crate::store::{SensorFilter, SensorRow, Span};
use crate::telemetry::{self, ReadingsGap};
use axum::Json;
use axum::extract::State;
use protocol::catalog::Limit;
use protocol::id::{GatewayId, SensorId};
use protocol::limits::SERIES_POINTS_MAX;
use protocol::reading::{Quality, Reading};
use protocol::series::Point;
use protocol::time::{ClockState, Timestamp};
use protocol::view::{Named, UnitView, parse_rfc3339, rfc3339};
use serde::{Deserialize, Serialize};

/// Points of a chart when nothing is asked.
const POINTS_DEFAULT: usize = 600;
/// Span of a chart when nothing is asked.
const SPAN_DEFAULT_US: i64 = 24 * 3_600 * 1_000_000;

/// A sensor and its newest reading.
#[derive(Debug, Serialize)]
pub(super) struct SensorView {
    id: SensorId,
    name: String,
    path: String,
    device: String,
    asset: Option<String>,
    gateway: Named<GatewayId>,
    unit: UnitView,
    value: Option<f64>,
    text: Option<String>,
    quality: &'static str,
    quality_words: Option<&'static str>,
    time: Option<String>,
    clock: ClockState,
    limits: Vec<Limit>,
    range: Option<(f64, f64)>,
    measured: bool,
}

impl From<SensorRow> for SensorView {
    fn from(row: SensorRow) -> Self {
        let sensor = row.sensor;
        let name = sensor.path.rsplit('/').next().unwrap_or(&sensor.path);
        // Without a reading there is no value to trust.
        let (quality, quality_words) = row
            .latest
            .map_or(("bad", Some("no reading yet")), |reading| {
                quality_words(reading.quality)
            });
        Self {
            id: sensor.id,
            name: name.to_owned(),
            device: row.device,
            asset: sensor.asset,
            gateway: row.gateway,
            unit: UnitView::from(&sensor.unit),
            value: row.latest.and_then(|reading| reading.value),
            text: row.text,
            quality,
            quality_words,
            time: row.latest.map(|reading| rfc3339(reading.time)),
            clock: row.latest.map(|reading| reading.clock).unwrap_or_default(),
            limits: sensor.limits,
            range: sensor.range,
            measured: row.in_catalog,
            path: sensor.path,
        }
    }
}

/// A reading as the stream sends it.
#[derive(Debug, Serialize)]
pub(super) struct ReadingView {
    sensor_id: SensorId,
    time: String,
    value: Option<f64>,
    text: Option<String>,
    quality: &'static str,
}

impl ReadingView {
    /// With its word, if it has one.
    pub(super) fn new(reading: &Reading, text: Option<String>) -> Self {
        Self {
            sensor_id: reading.sensor,
            time: rfc3339(reading.time),
            value: reading.value,
            text,
            quality: quality_words(reading.quality).0,
        }
    }
}

const fn quality_words(quality: Quality) -> (&'static str, Option<&'static str>) {
    match quality {
        Quality::Good => ("good", None),
        Quality::Uncertain(cause) => ("uncertain", Some(cause.words())),
        Quality::Bad(cause) => ("bad", Some(cause.words())),
    }
}

/// Which sensors, and which page of them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ListParams {
    gateway: Option<GatewayId>,
    q: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// `GET /sensors`
pub(super) async fn list(
    State(context): State<Context>,
    Reader(actor): Reader,
    Params(params): Params<ListParams>,
) -> Result<Json<Page<SensorView>>, Problem> {
    let filter = SensorFilter {
        gateway: params.gateway,
        text: params.q.filter(|text| !text.is_empty()),
    };
    let page = page::page(params.limit, params.cursor)?;
    let rows = context.store.sensors(actor.scope, filter, page).await?;
    Ok(Page::of(rows, SensorView::from))
}

/// `GET /sensors/{id}`
pub(super) async fn one(
    State(context): State<Context>,
    Reader(actor): Reader,
    Id(id): Id<SensorId>,
) -> Result<Json<SensorView>, Problem> {
    let row = context.store.sensor(actor.scope, id).await?;
    Ok(Json(row.into()))
}

/// Which readings.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ReadingsParams {
    from: Option<String>,
    to: Option<String>,
    points: Option<usize>,
}

/// Readings of one sensor: time in ms, mean, lowest, highest, quality.
#[derive(Debug, Serialize)]
pub(super) struct ReadingsView {
    sensor_id: SensorId,
    from: String,
    to: String,
    unit: UnitView,
    raw: bool,
    points: Vec<PointView>,
    gaps: Vec<GapView>,
}

type PointView = (i64, Option<f64>, Option<f64>, Option<f64>, u8);

#[derive(Debug, Serialize)]
struct GapView {
    from: String,
    to: String,
    cause: &'static str,
}

/// `GET /sensors/{id}/readings`
pub(super) async fn readings(
    State(context): State<Context>,
    Reader(actor): Reader,
    Id(id): Id<SensorId>,
    Params(params): Params<ReadingsParams>,
) -> Result<Json<ReadingsView>, Problem> {
    let (span, points_max) = params.read(clock::now())?;
    let found = telemetry::readings(&context.store, actor.scope, id, span, points_max).await?;
    let gap = |gap: ReadingsGap| GapView {
        from: rfc3339(gap.from),
        to: rfc3339(gap.to),
        cause: gap.cause,
    };
    Ok(Json(ReadingsView {
        sensor_id: id,
        from: rfc3339(span.from),
        to: rfc3339(span.to),
        unit: UnitView::from(&found.sensor.sensor.unit),
        raw: found.series.raw,
        points: found.series.points.iter().map(point).collect(),
        gaps: found.gaps.into_iter().map(gap).collect(),
    }))
}

impl ReadingsParams {
    /// The span, by default the last 24 hours, and how many points.
    fn read(&self, now: Timestamp) -> Result<(Span, usize), Problem> {
        let to = time("to", self.to.as_deref())?.unwrap_or(now);
        let day_before = to.plus_micros(-SPAN_DEFAULT_US);
        let from = time("from", self.from.as_deref())?.unwrap_or(day_before);
        if from >= to {
            return Err(Problem::invalid(Some("from"), "from must lie before to"));
        }
        let points = self.points.unwrap_or(POINTS_DEFAULT);
        if !(1..=SERIES_POINTS_MAX).contains(&points) {
            let words = format!("points goes from 1 to {SERIES_POINTS_MAX}");
            return Err(Problem::invalid(Some("points"), words));
        }
        Ok((Span { from, to }, points))
    }
}

fn time(field: &str, text: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = text else {
        return Ok(None);
    };
    // A plus sign of an offset comes as a blank when the caller did not encode it.
    parse_rfc3339(&text.replace(' ', "+"))
        .map(Some)
        .ok_or_else(|| {
            let words = format!("{field} is not a time; write it like 2026-11-21T14:00:00Z");
            Problem::invalid(Some(field), words)
        })
}

const fn point(point: &Point) -> PointView {
    let quality = match point.quality {
        Quality::Good => 0,
        Quality::Uncertain(_) => 1,
        Quality::Bad(_) => 2,
    };
    (
        point.time.millis(),
        point.mean,
        point.min,
        point.max,
        quality,
    )
}
