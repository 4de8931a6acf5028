//! Buses as they are while they run: figures, and what goes over a line. Never slows a bus: who reads
//! too slowly misses pieces and is told how many.

use super::Page;
use super::problem::Problem;
use crate::clock;
use crate::health::{BusReport, Captured, Direction, UnitCounts};
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use futures_util::stream::unfold;
use protocol::view::rfc3339;
use serde::Deserialize;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::broadcast::error::RecvError;

/// Lines that may be listened to at the same time.
pub(super) const CAPTURES_MAX: usize = 4;
const SECONDS_DEFAULT: u64 = 60;
const SECONDS_MAX: u64 = 3_600;

/// `GET /bus`
pub(super) async fn list(State(page): State<Page>) -> Json<Value> {
    let reports = page.health.ports().reports();
    let views = reports.iter().map(|(port, report)| view(port, report));
    Json(json!({ "data": views.collect::<Vec<_>>(), "next_cursor": null }))
}

/// `GET /bus/{port}`
pub(super) async fn one(
    State(page): State<Page>,
    Path(port): Path<String>,
) -> Result<Json<Value>, Problem> {
    let reports = page.health.ports().reports();
    let report = reports.get(&port).ok_or_else(no_port)?;
    Ok(Json(view(&port, report)))
}

fn no_port() -> Problem {
    Problem::not_found("port that runs")
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
    let tap = page.health.ports().listen(&port).ok_or_else(no_port)?;
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
    // The permit is given back when the stream is dropped.
    let pieces = unfold((tap, permit), |(mut tap, permit)| async move {
        let line = match tap.recv().await {
            Ok(piece) => line(&piece),
            Err(RecvError::Lagged(missed)) => json!({ "missed": missed }),
            Err(RecvError::Closed) => return None,
        };
        Some((Ok::<_, Infallible>(format!("{line}\n")), (tap, permit)))
    });
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    let body = Body::from_stream(pieces.take_until(Box::pin(end)));
    Ok((kind, body).into_response())
}

fn line(piece: &Captured) -> Value {
    let ago = Instant::now().saturating_duration_since(piece.at);
    let ago_us = i64::try_from(ago.as_micros()).unwrap_or(i64::MAX);
    json!({
        "time": rfc3339(clock::now().plus_micros(-ago_us)),
        "direction": match piece.direction {
            Direction::Sent => "sent",
            Direction::Received => "received",
        },
        "hex": data_encoding::HEXLOWER.encode(&piece.bytes),
    })
}

fn view(port: &str, report: &BusReport) -> Value {
    let units = report
        .units
        .iter()
        .map(|(unit, counts)| view_unit(*unit, counts));
    json!({
        "port": port,
        "seconds": report.seconds,
        "utilisation_percent": report.utilisation * 100.0,
        "requests_per_s": report.requests_per_second,
        "connections": report.connections,
        "units": units.collect::<Vec<_>>(),
    })
}

fn view_unit(unit: u8, counts: &UnitCounts) -> Value {
    json!({
        "unit": unit,
        "utilisation_percent": counts.utilisation * 100.0,
        "requests_per_s": counts.requests_per_second,
        "requests": counts.requests,
        "answers": counts.answers,
        "refusals": counts.exceptions,
        "timeouts": counts.timeouts,
        "garbled": counts.garbled,
        "lost": counts.lost,
        "checksum_errors": counts.checksum_errors,
        "late": counts.late,
        "turnaround_ms": {
            "min": counts.turnaround_min_ms,
            "mean": counts.turnaround_mean_ms,
            "max": counts.turnaround_max_ms,
        },
    })
}
