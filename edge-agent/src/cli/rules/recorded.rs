//! Recorded readings of sensors that have rules: of a CSV file, or asked of the running agent page by
//! page. Never reads the store itself.

use super::super::client::Client;
use super::super::progress::Progress;
use super::super::series::{Series, Shape};
use super::super::words::text;
use crate::config::{Config, suggestion};
use anyhow::{Context as _, bail};
use protocol::id::{GatewayId, SensorId};
use protocol::reading::{Cause, Quality, Reading};
use protocol::time::{ClockState, Timestamp};
use protocol::view::rfc3339;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use uuid::Uuid;

/// Sensors are told apart by ids of this gateway, whatever box the data is from.
pub(super) const GATEWAY: GatewayId = GatewayId(Uuid::nil());
/// Most readings of one test: half a gigabyte of memory.
const READINGS_MAX: usize = 10_000_000;
/// Points asked for at once, and the time that is asked for first.
const POINTS: usize = 2_000;
const SPAN_FIRST_US: i64 = 1_800_000_000;
/// Of a shorter time there are no single readings kept any more.
const SPAN_MIN_US: i64 = 1_000_000;

/// In any order.
pub(super) type Readings = Vec<Reading>;

/// Readings of a file. Columns of sensors without a rule are passed over; unknown sensors are told.
pub(super) fn of_file(
    config: &Config,
    path: &Path,
    sensor: Option<&str>,
) -> anyhow::Result<Readings> {
    let known: BTreeSet<String> = config
        .devices
        .iter()
        .flat_map(|device| device.sensors.iter().map(|sensor| device.path(sensor)))
        .collect();
    let check = |name: &str| -> anyhow::Result<()> {
        if known.contains(name) {
            return Ok(());
        }
        let names = known.iter().map(String::as_str);
        bail!("there is no sensor \"{name}\"; {}", suggestion(name, names));
    };
    let mut series = Series::open(path)?;
    match (&series.shape, sensor) {
        (Shape::One, None) => bail!(
            "{}:1:1: which sensor the values are of is not said; add --sensor DEVICE/SENSOR",
            path.display()
        ),
        (Shape::One, Some(sensor)) => check(sensor).context("--sensor")?,
        (Shape::Wide(names), _) => {
            for (column, name) in names.iter().enumerate() {
                check(name).map_err(|error| series.wrong(1, column + 1, &error.to_string()))?;
            }
        }
        (Shape::Long, _) => {}
    }
    let mut readings = Vec::new();
    let mut line_number = 1;
    while let Some(line) = series.next()? {
        line_number += 1;
        for (name, value) in line.values {
            let name = if name.is_empty() {
                sensor.unwrap_or_default()
            } else {
                &name
            };
            if series.shape == Shape::Long {
                check(name).map_err(|error| series.wrong(line_number, 0, &error.to_string()))?;
            }
            push(&mut readings, reading(name, line.time, value))?;
        }
    }
    Ok(readings)
}

fn reading(path: &str, time: Timestamp, value: Option<f64>) -> Reading {
    Reading {
        sensor: SensorId::derive(GATEWAY, path),
        time,
        value,
        quality: value.map_or(Quality::Bad(Cause::NotAvailable), |_| Quality::Good),
        clock: ClockState::Synchronised,
    }
}

fn push(readings: &mut Readings, reading: Reading) -> anyhow::Result<()> {
    if readings.len() >= READINGS_MAX {
        bail!("these are more than {READINGS_MAX} readings; test a shorter time, or fewer sensors");
    }
    readings.push(reading);
    Ok(())
}

/// Readings that the running agent kept of the sensors that have rules.
pub(super) fn of_box(config: &Config, from: Timestamp, to: Timestamp) -> anyhow::Result<Readings> {
    let mut client = Client::new(config);
    let wanted: BTreeSet<&str> = config
        .rules
        .iter()
        .map(|rule| rule.sensor.as_str())
        .collect();
    let sensors = client.list("/sensors")?;
    let mut readings = Vec::new();
    let mut progress = Progress::new();
    for sensor in &sensors {
        let path = text(sensor, "/path");
        if !wanted.contains(path.as_str()) {
            continue;
        }
        let id = text(sensor, "/id");
        let (mut at, mut span_us) = (from, SPAN_FIRST_US);
        while at < to {
            progress.show(&format!("asking for {path}: {}", rfc3339(at)));
            let end = at.plus_micros(span_us).min(to);
            let asked = format!(
                "/sensors/{id}/readings?from={}&to={}&points={POINTS}",
                rfc3339(at),
                rfc3339(end)
            );
            let page = client.get(&asked)?;
            let is_raw = page.get("raw").and_then(Value::as_bool).unwrap_or(false);
            if !is_raw && span_us / 2 >= SPAN_MIN_US {
                span_us /= 2;
                continue;
            }
            if !is_raw {
                bail!(
                    "of {path} only statistics are kept at {}; begin later",
                    rfc3339(at)
                );
            }
            let points = page.get("points").and_then(Value::as_array);
            let points = points.context("the agent's answer has no points")?;
            for point in points {
                if let Some(reading) = of_point(&path, point) {
                    push(&mut readings, reading)?;
                }
            }
            if points.len() < POINTS / 4 {
                span_us = span_us.saturating_mul(2);
            }
            at = end;
        }
    }
    Ok(readings)
}

/// `[time in ms, mean, min, max, rank of quality]`
fn of_point(path: &str, point: &Value) -> Option<Reading> {
    let time_ms = point.get(0).and_then(Value::as_i64)?;
    let value = point.get(1).and_then(Value::as_f64);
    let rank = point.get(4).and_then(Value::as_u64).unwrap_or(0);
    let value = value.filter(|_| rank < 2);
    let mut reading = reading(path, Timestamp(time_ms.checked_mul(1_000)?), value);
    if rank == 1 {
        reading.quality = Quality::Uncertain(Cause::OutOfRange);
    }
    Some(reading)
}
