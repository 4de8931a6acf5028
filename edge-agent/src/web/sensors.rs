//! Sensors, their latest values and their readings.

use super::Page;
use super::problem::Problem;
use crate::clock;
use axum::Json;
use axum::extract::{Path, Query, State};
use protocol::catalog::{Catalog, Sensor};
use protocol::id::SensorId;
use protocol::reading::{Quality, Reading};
use protocol::time::Timestamp;
use protocol::view::{UnitView, parse_rfc3339, rfc3339};
use serde::Deserialize;
use serde_json::{Value, json};

const POINTS_DEFAULT: usize = 600;
const POINTS_MAX: usize = 2_000;
const HOUR_US: i64 = 3_600 * 1_000_000;

/// `GET /sensors`
pub(super) async fn list(State(page): State<Page>) -> Result<Json<Value>, Problem> {
    let home = home(&page).await?;
    let catalog = page.catalog();
    let sensors = catalog.sensors.iter();
    let data: Vec<Value> = sensors
        .map(|sensor| view(&page, (&catalog, sensor), &home))
        .collect();
    Ok(Json(json!({ "data": data, "next_cursor": null })))
}

/// `GET /sensors/{id}`
pub(super) async fn one(
    State(page): State<Page>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let home = home(&page).await?;
    let catalog = page.catalog();
    let sensor = find(&catalog, &id)?;
    Ok(Json(view(&page, (&catalog, sensor), &home)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Range {
    from: Option<String>,
    to: Option<String>,
    points: Option<usize>,
}

/// `GET /sensors/{id}/readings`
pub(super) async fn readings(
    State(page): State<Page>,
    Path(id): Path<String>,
    Query(range): Query<Range>,
) -> Result<Json<Value>, Problem> {
    let catalog = page.catalog();
    let sensor = find(&catalog, &id)?;
    let to = time("to", range.to.as_deref())?.unwrap_or_else(clock::now);
    let from = time("from", range.from.as_deref())?.unwrap_or_else(|| to.plus_micros(-HOUR_US));
    if from >= to {
        return Err(Problem::invalid(Some("from"), "from must lie before to"));
    }
    let points = range.points.unwrap_or(POINTS_DEFAULT).clamp(1, POINTS_MAX);
    let series = page.storage.readings(sensor.id, from, to, points).await?;
    let gaps: Vec<Value> = (page.storage.gaps(from, to).await?.iter())
        .map(|gap| {
            json!({
                "from": rfc3339(gap.from), "to": rfc3339(gap.to), "cause": gap.cause.words(),
            })
        })
        .collect();
    let points: Vec<Value> = series
        .points
        .iter()
        .map(|point| {
            json!([
                point.time.millis(),
                point.mean,
                point.min,
                point.max,
                quality_rank(point.quality)
            ])
        })
        .collect();
    Ok(Json(json!({
        "sensor_id": sensor.id,
        "from": rfc3339(from),
        "to": rfc3339(to),
        "unit": UnitView::from(&sensor.unit),
        "raw": series.raw,
        "points": points,
        "gaps": gaps,
    })))
}

/// A reading as a page is told of it while it is open.
pub(super) fn reading(page: &Page, reading: &Reading) -> Value {
    json!({
        "sensor_id": reading.sensor,
        "time": rfc3339(reading.time),
        "value": reading.value,
        "text": page.health.text(reading).as_deref(),
        "quality": quality_word(reading.quality),
        "quality_words": quality_words(reading.quality),
    })
}

/// Names of gateway and site for the shapes.
pub(super) async fn home(page: &Page) -> Result<protocol::view::Home, Problem> {
    let id = page.storage.gateway_id();
    let site = page.storage.site().await?;
    let name = site.as_ref().map(|site| site.gateway_name.clone());
    let name = name
        .or_else(|| page.settings.name.clone())
        .unwrap_or_else(|| "This box".to_owned());
    Ok(protocol::view::Home {
        gateway: Some(protocol::view::Named { id, name }),
        site: site.map(|site| protocol::view::Named {
            id: site.site.into(),
            name: site.site_name,
        }),
    })
}

fn view(page: &Page, (catalog, sensor): (&Catalog, &Sensor), home: &protocol::view::Home) -> Value {
    let latest = page.health.latest(sensor.id);
    let device = catalog
        .devices
        .iter()
        .find(|device| device.id == sensor.device);
    let limits: Vec<Value> = sensor
        .limits
        .iter()
        .map(|limit| {
            json!({
                "name": limit.name, "value": limit.value,
                "direction": limit.direction, "severity": limit.severity,
            })
        })
        .collect();
    let name = sensor
        .path
        .rsplit_once('/')
        .map_or(sensor.path.as_str(), |(_, name)| name);
    json!({
        "id": sensor.id,
        "name": name,
        "path": sensor.path,
        "device": device.map(|device| &device.name),
        "asset": sensor.asset,
        "gateway": home.gateway,
        "unit": UnitView::from(&sensor.unit),
        "value": latest.and_then(|reading| reading.value),
        "text": latest.and_then(|reading| page.health.text(&reading)).as_deref(),
        "quality": latest.map(|reading| quality_word(reading.quality)),
        "quality_words": latest.and_then(|reading| quality_words(reading.quality)),
        "time": latest.map(|reading| rfc3339(reading.time)),
        "clock": latest.map(|reading| reading.clock),
        "period_s": sensor.period_us / 1_000_000,
        "limits": limits,
        "range": sensor.range,
    })
}

fn find<'a>(catalog: &'a Catalog, id: &str) -> Result<&'a Sensor, Problem> {
    let id: SensorId = id.parse().map_err(|_| Problem::not_found("sensor"))?;
    let found = catalog.sensors.iter().find(|sensor| sensor.id == id);
    found.ok_or_else(|| Problem::not_found("sensor"))
}

fn time(field: &'static str, text: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let wrong = || {
        let words = format!("\"{text}\" is not a time; write for example 2026-11-21T14:03:22Z");
        Problem::invalid(Some(field), words)
    };
    parse_rfc3339(text).map(Some).ok_or_else(wrong)
}

const fn quality_word(quality: Quality) -> &'static str {
    match quality {
        Quality::Good => "good",
        Quality::Uncertain(_) => "uncertain",
        Quality::Bad(_) => "bad",
    }
}

const fn quality_words(quality: Quality) -> Option<&'static str> {
    match quality {
        Quality::Good => None,
        Quality::Uncertain(cause) | Quality::Bad(cause) => Some(cause.words()),
    }
}

const fn quality_rank(quality: Quality) -> u8 {
    match quality {
        Quality::Good => 0,
        Quality::Uncertain(_) => 1,
        Quality::Bad(_) => 2,
    }
}
