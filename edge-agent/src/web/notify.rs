//! Who was told what, how the channels are, and a test of one. Never tells anybody by itself.

use super::Page;
use super::actions::text;
use super::problem::Problem;
use crate::notify::{ChannelView, NotifyError, Outcome};
use crate::storage::{Delivery, PAGE_MAX};
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use protocol::view::rfc3339;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

const LIMIT_DEFAULT: usize = 50;
/// A channel that hangs has its own time-out; one that has more to do first may take longer than a
/// person waits.
const TEST_WAIT: Duration = Duration::from_secs(120);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    limit: Option<usize>,
    cursor: Option<i64>,
}

/// `GET /deliveries`
pub(super) async fn deliveries(
    State(page): State<Page>,
    Query(list): Query<List>,
) -> Result<Json<Value>, Problem> {
    let limit = list.limit.unwrap_or(LIMIT_DEFAULT).clamp(1, PAGE_MAX);
    let found = page.storage.deliveries(list.cursor, limit).await?;
    let next = found
        .last()
        .filter(|_| found.len() == limit)
        .map(|(place, _)| place.to_string());
    let data: Vec<Value> = found.iter().map(|(_, delivery)| view(delivery)).collect();
    Ok(Json(json!({"data": data, "next_cursor": next})))
}

fn view(delivery: &Delivery) -> Value {
    let to = Some(&delivery.person).filter(|person| !person.is_empty());
    json!({
        "message": delivery.message,
        "alert": delivery.alert,
        "channel": delivery.channel,
        "to": to,
        "severity": delivery.severity,
        "title": delivery.title,
        "repeated": delivery.round,
        "attempt": delivery.attempt,
        "outcome": delivery.ended.word(),
        "words": delivery.words,
        "time": rfc3339(delivery.time),
        "latency_ms": delivery.latency_us / 1_000,
    })
}

/// `GET /channels`
pub(super) async fn channels(State(page): State<Page>) -> Json<Value> {
    let channels = page.telling.as_ref().map(crate::notify::Handle::channels);
    let data: Vec<Value> = channels.unwrap_or_default().iter().map(channel).collect();
    Json(json!({"data": data}))
}

fn channel(view: &ChannelView) -> Value {
    let status = &view.status;
    let state = match (status.is_down, &status.failed, status.delivered_at) {
        (true, _, _) => "down",
        (false, Some(_), _) => "failing",
        (false, None, Some(_)) => "ok",
        (false, None, None) => "untried",
    };
    json!({
        "name": view.name,
        "kind": view.kind,
        "state": state,
        "words": status.words,
        "waiting": view.waiting,
        "dropped": status.dropped,
        "delivered_at": status.delivered_at.map(rfc3339),
        "failed_at": status.failed.as_ref().map(|(time, _)| rfc3339(*time)),
        "failure": status.failed.as_ref().map(|(_, words)| words),
    })
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Tried {
    to: Option<String>,
}

/// `POST /channels/{name}/test`
pub(super) async fn test(
    State(page): State<Page>,
    Path(name): Path<String>,
    posted: Result<Json<Tried>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    let Json(tried) = posted.map_err(|error| Problem::invalid(None, error.body_text()))?;
    let to = text("to", tried.to.as_deref())?;
    let telling = page
        .telling
        .as_ref()
        .ok_or_else(|| Problem::not_found("channel"))?;
    let wait = tokio::time::timeout(TEST_WAIT, telling.test(&name, to.as_deref()));
    let outcome = wait.await.map_err(|_| {
        Problem::not_now(
            "The channel has other messages to send first; look at the log of deliveries.",
        )
    })?;
    match outcome {
        Ok(Outcome::Delivered(words)) => Ok(Json(json!({"delivered": true, "words": words}))),
        Ok(Outcome::Failed(words) | Outcome::Refused(words)) => {
            Ok(Json(json!({"delivered": false, "words": words})))
        }
        Ok(Outcome::Withdrawn) => Ok(Json(
            json!({"delivered": false, "words": "it was ended before it was sent"}),
        )),
        Err(error) => Err(problem(&error)),
    }
}

fn problem(error: &NotifyError) -> Problem {
    let words = error.to_string();
    match error {
        NotifyError::NoChannel { .. } => Problem::new(
            StatusCode::NOT_FOUND,
            "not_found",
            "There is no such channel",
            words,
        ),
        NotifyError::NoPerson { .. } => Problem::invalid(Some("to"), words),
        NotifyError::Stopping => Problem::not_now("The box is stopping."),
    }
}
