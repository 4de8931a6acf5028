//! What a person does with an alert, and what all actions share: each is one transaction of events.
//! Never does what the record would not follow: the guard is asked in the same transaction.

use super::caller::Caller;
use super::problem::Problem;
use super::records::{alert_id, alert_view};
use super::waited::{self, Ago};
use super::{Page, alarms};
use crate::clock;
use crate::people::Act;
use crate::storage::{NewEvent, RecordTx};
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use protocol::event::{Actor, AlertEvent, Body, RecordRef};
use protocol::id::{EventId, uuid_v7};
use protocol::limits::TEXT_BYTES_MAX;
use protocol::time::Timestamp;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::Deserialize;
use uuid::Uuid;

/// All that an action may carry; each action takes what it needs and refuses the rest.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Input {
    pub(super) by: String,
    pub(super) ago_s: Ago,
    text: Option<String>,
    pub(super) note: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) minutes: Option<u32>,
}

type Posted = Result<Json<Input>, JsonRejection>;

/// `POST /alerts/{id}/actions/{action}`
pub(super) async fn alert(
    State(page): State<Page>,
    Path((id, action)): Path<(String, String)>,
    caller: Caller,
    headers: HeaderMap,
    posted: Posted,
) -> Result<Response, Problem> {
    let id = alert_id(&id)?;
    let input = input(posted)?;
    if alarms::is_of_point(&action) {
        let point = alarms::point_of_alert(&page, id).await?;
        alarms::on_point(&page, point, &action, (caller, &headers, input)).await?;
        return Ok(Json(alert_view(&page, id, true).await?).into_response());
    }
    let event = match action.as_str() {
        "acknowledge" => AlertEvent::Acknowledged {
            note: text("note", input.note.as_deref())?,
        },
        "comment" => AlertEvent::Commented {
            text: required("text", input.text.as_deref())?,
        },
        "reset" => AlertEvent::Reset {
            note: text("note", input.note.as_deref())?,
        },
        _ => return Err(Problem::not_found("action")),
    };
    let actor = caller.actor(&page, &input.by, Act::Acknowledge).await?;
    let key = key(&headers)?;
    page.storage
        .records(move |tx| {
            let alert = tx.alert(id)?.ok_or_else(|| Problem::not_found("alert"))?;
            let is_done = alert.history.iter().any(|line| line.id == key);
            let waited_since = input.ago_s.waited_since(tx.now());
            if let Some(words) = waited::refused(&alert, &event, waited_since).filter(|_| !is_done)
            {
                return Err(Problem::not_now(words));
            }
            // A phone's clock that was set while it waited must not have an act before its alert.
            let time = waited_since.map(|at| at.max(alert.raised_at).min(tx.now()));
            let time = time.unwrap_or(tx.now());
            append_at(tx, key, &actor, vec![(id.into(), Body::Alert(event))], time)
        })
        .await?;
    Ok(Json(alert_view(&page, id, true).await?).into_response())
}

/// Writes events that say what a person did at `time`. Their ids follow from one key: the same action
/// again writes nothing.
pub(super) fn append_at(
    tx: &mut RecordTx<'_>,
    key: EventId,
    actor: &Actor,
    bodies: Vec<(RecordRef, Body)>,
    time: Timestamp,
) -> Result<(), Problem> {
    for (at, (record, body)) in bodies.into_iter().enumerate() {
        let id = match at {
            0 => key,
            at => EventId(Uuid::new_v5(&key.0, at.to_string().as_bytes())),
        };
        let new = NewEvent {
            id: Some(id),
            actor: actor.clone(),
            record,
            body,
        };
        tx.append_at(new, time, tx.clock())?;
    }
    Ok(())
}

/// The key of the caller, or a new one.
pub(super) fn key(headers: &HeaderMap) -> Result<EventId, Problem> {
    let Some(given) = headers.get("idempotency-key") else {
        let mut random = [0; 10];
        if SystemRandom::new().fill(&mut random).is_err() {
            tracing::warn!("the system gives no random bytes; the time alone tells actions apart");
        }
        let now_ms = u64::try_from(clock::now().millis()).unwrap_or(0);
        return Ok(EventId(uuid_v7(now_ms, random)));
    };
    let key = given.to_str().ok().and_then(|text| text.parse().ok());
    key.ok_or_else(|| Problem::invalid(None, "the header Idempotency-Key must be a UUID"))
}

pub(super) fn input(posted: Posted) -> Result<Input, Problem> {
    let Json(input) = posted.map_err(|error| Problem::invalid(None, error.body_text()))?;
    input.ago_s.check()?;
    Ok(input)
}

fn missing(field: &'static str) -> Problem {
    Problem::invalid(Some(field), format!("{field} is missing"))
}

pub(super) fn required(field: &'static str, value: Option<&str>) -> Result<String, Problem> {
    text(field, value)?.ok_or_else(|| missing(field))
}

pub(super) fn text(field: &'static str, value: Option<&str>) -> Result<Option<String>, Problem> {
    let value = value.map(str::trim).filter(|value| !value.is_empty());
    if value.is_some_and(|value| value.len() > TEXT_BYTES_MAX) {
        let words = format!("{field} is longer than {TEXT_BYTES_MAX} bytes; shorten it");
        return Err(Problem::invalid(Some(field), words));
    }
    Ok(value.map(str::to_owned))
}
