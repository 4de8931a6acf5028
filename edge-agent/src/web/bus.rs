//! Buses as they are while they run: figures, and what goes over a line. Never slows a bus: who reads
//! too slowly misses pieces and is told how many.

use super::Page;
use super::problem::Problem;
use crate::clock;
use crate::health::{Bus, BusFigures, BusPiece, UnitFigures};
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use protocol::view::rfc3339;
use serde::Deserialize;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Lines that may be listened to at the same time.
pub(super) const CAPTURES_MAX: usize = 4;
const SECONDS_DEFAULT: u64 = 60;
const SECONDS_MAX: u64 = 3_600;

/// `GET /bus`
pub(super) async fn list(State(page): State<Page>) -> Json<Value> {
    let buses = page.health.buses();
    let data: Vec<Value> = buses
        .iter()
        .map(|(port, bus)| view(port, &bus.report()))
        .collect();
    Json(json!({ "data": data, "next_cursor": null }))
}

/// `GET /bus/{port}`
pub(super) async fn one(
    State(page): State<Page>,
    Path(port): Path<String>,
) -> Result<Json<Value>, Problem> {
    Ok(Json(view(&port, &find(&page, &port)?.report())))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Length {
    seconds: Option<u64>,
}

/// `GET /bus/{port}/capture`: a JSON object in each line, until the time is over or the caller goes.
pub(super) async fn capture(
    State(page): State<Page>,
    Path(port): Path<String>,
    Query(length): Query<Length>,
) -> Result<Response, Problem> {
    let bus = find(&page, &port)?;
    let seconds = length.seconds.unwrap_or(SECONDS_DEFAULT);
    if !(1..=SECONDS_MAX).contains(&seconds) {
        let words = format!("seconds is 1 to {SECONDS_MAX}");
        return Err(Problem::invalid(Some("seconds"), words));
    }
    let permit = Arc::clone(&page.captures)
        .try_acquire_owned()
        .map_err(|_| {
            let title = "Too many captures";
            let detail = "So many lines are listened to already; end one of them.";
            let status = StatusCode::SERVICE_UNAVAILABLE;
            Problem::new(status, "too_many_captures", title, detail).retry_after(10)
        })?;
    let mut stop = page.stop.clone();
    let end = async move {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(seconds)) => {}
            // A closed channel means that the agent is gone: an end too.
            _ = stop.wait_for(|stop| *stop) => {}
        }
    };
    let lines = bus.listen().take_until(end).map(move |piece| {
        // Given back when the stream is dropped.
        let _held = &permit;
        Ok::<_, Infallible>(format!("{}\n", line(&piece)))
    });
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((kind, Body::from_stream(lines)).into_response())
}

fn find(page: &Page, port: &str) -> Result<Arc<dyn Bus>, Problem> {
    page.health
        .bus(port)
        .ok_or_else(|| Problem::not_found("bus"))
}

fn line(piece: &BusPiece) -> Value {
    match piece {
        BusPiece::Missed(count) => json!({ "missed": count }),
        BusPiece::Bytes {
            at,
            sent,
            bytes,
            frames,
        } => {
            let ago = Instant::now().saturating_duration_since(*at);
            let ago_us = i64::try_from(ago.as_micros()).unwrap_or(i64::MAX);
            let frames = frames.iter().map(|frame| match frame {
                Ok((unit, words)) => json!({ "unit": unit, "words": words }),
                Err(words) => json!({ "error": words }),
            });
            json!({
                "time": rfc3339(clock::now().plus_micros(-ago_us)),
                "direction": if *sent { "sent" } else { "received" },
                "hex": data_encoding::HEXLOWER.encode(bytes),
                "frames": frames.collect::<Vec<_>>(),
            })
        }
    }
}

fn view(port: &str, figures: &BusFigures) -> Value {
    json!({
        "port": port,
        "seconds": figures.seconds,
        "utilisation_percent": figures.utilisation * 100.0,
        "requests_per_s": figures.requests_per_second,
        "connections": figures.connections,
        "units": figures.units.iter().map(unit).collect::<Vec<_>>(),
    })
}

fn unit(unit: &UnitFigures) -> Value {
    let (min, mean, max) = unit.turnaround_ms;
    json!({
        "unit": unit.unit,
        "devices": unit.devices,
        "utilisation_percent": unit.utilisation * 100.0,
        "requests_per_s": unit.requests_per_second,
        "requests": unit.requests,
        "answers": unit.answers,
        "refusals": unit.refusals,
        "timeouts": unit.timeouts,
        "garbled": unit.garbled,
        "lost": unit.lost,
        "checksum_errors": unit.checksum_errors,
        "late": unit.late,
        "turnaround_ms": { "min": min, "mean": mean, "max": max },
    })
}
