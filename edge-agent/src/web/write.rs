//! A value for a device, by a person: noted as an event before it is written and after. Never writes
//! what the configuration does not release: the port's own task looks at that.

use super::Page;
use super::actions::text;
use super::caller::Caller;
use super::problem::Problem;
use crate::health::{WriteError, WritePlace, WriteRequest, Written};
use crate::people::Act;
use crate::storage::NewEvent;
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use protocol::event::{Actor, Body, GatewayEvent, RecordKind, RecordRef};
use protocol::limits::TEXT_BYTES_MAX;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    #[serde(default)]
    by: String,
    value: String,
    sensor: Option<String>,
    address: Option<String>,
}

/// `POST /devices/{device}/write`
pub(super) async fn write(
    State(page): State<Page>,
    Path(device): Path<String>,
    caller: Caller,
    posted: Result<Json<Input>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    let Json(input) = posted.map_err(|error| Problem::invalid(None, error.body_text()))?;
    let actor = caller.actor(&page, &input.by, Act::Write).await?;
    may_write(&page, &actor).await?;
    let value = text("value", Some(&input.value))?;
    let value = value.ok_or_else(|| Problem::invalid(Some("value"), "value is missing"))?;
    let place = match (
        text("sensor", input.sensor.as_deref())?,
        text("address", input.address.as_deref())?,
    ) {
        (Some(sensor), None) => WritePlace::Sensor(sensor),
        (None, Some(address)) => WritePlace::Address(address),
        _ => {
            let words = "name a sensor or an address, one of the two";
            return Err(Problem::invalid(Some("sensor"), words));
        }
    };
    if !page
        .catalog()
        .devices
        .iter()
        .any(|known| known.name == device)
    {
        return Err(Problem::not_found("device"));
    }
    let _one_at_a_time = page.writes.acquire().await.map_err(|_| stopped())?;
    let request = WriteRequest {
        device,
        place,
        value,
    };
    note(&page, &actor, &request, None).await?;
    let result = page.health.ports().write(request.clone()).await;
    let words = match &result {
        Ok(written) => outcome(written),
        Err(error) => error.to_string(),
    };
    note(&page, &actor, &request, Some(words)).await?;
    let written = result.map_err(|error| problem(&error))?;
    let mut view = serde_json::to_value(&written).unwrap_or_default();
    if let Some(fields) = view.as_object_mut() {
        fields.insert("by".to_owned(), json!(actor.name()));
    }
    Ok(Json(view))
}

/// A box that belongs to a hub knows its people: nobody else writes.
async fn may_write(page: &Page, actor: &Actor) -> Result<(), Problem> {
    let site = page.storage.site().await?;
    let people = site.is_some_and(|site| !site.people.is_empty());
    if people && matches!(actor, Actor::Person(_, None)) {
        let title = "Only people whom the hub knows may write";
        let detail = "Give the name as the hub has it, or ask the central team to add it.";
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            title,
            detail,
        ));
    }
    Ok(())
}

fn stopped() -> Problem {
    Problem::not_now("The box is stopping; nothing was written.")
}

/// `20 before, 21.5 written, 21.5 read back`
fn outcome(written: &Written) -> String {
    let before = written.before.as_deref().unwrap_or("unknown");
    format!(
        "{before} before, {} written, {} read back",
        written.written, written.after
    )
}

/// One line of the audit. A write that cannot be noted is not done.
async fn note(
    page: &Page,
    actor: &Actor,
    request: &WriteRequest,
    outcome: Option<String>,
) -> Result<(), Problem> {
    let (WritePlace::Sensor(place) | WritePlace::Address(place)) = &request.place;
    let outcome = outcome.map(|words| {
        let end = (0..=TEXT_BYTES_MAX.min(words.len())).rev();
        let end = end.into_iter().find(|at| words.is_char_boundary(*at));
        words.get(..end.unwrap_or(0)).unwrap_or_default().to_owned()
    });
    let event = NewEvent {
        id: None,
        actor: actor.clone(),
        record: RecordRef {
            kind: RecordKind::Gateway,
            id: page.storage.gateway_id().0,
        },
        body: Body::Gateway(GatewayEvent::Wrote {
            device: request.device.clone(),
            place: place.clone(),
            value: request.value.clone(),
            outcome,
        }),
    };
    page.storage
        .records(move |tx| Ok::<_, Problem>(tx.append(event).map(drop)?))
        .await
}

fn problem(error: &WriteError) -> Problem {
    let words = error.to_string();
    let title = "The value was not written";
    match error {
        WriteError::NoDevice { .. } | WriteError::NoSensor { .. } => {
            Problem::new(StatusCode::NOT_FOUND, "not_found", title, words)
        }
        WriteError::NotAllowed { .. } => {
            Problem::new(StatusCode::FORBIDDEN, "not_released", title, words)
        }
        WriteError::Address { .. } => Problem::invalid(Some("address"), words),
        WriteError::Value { .. } => Problem::invalid(Some("value"), words),
        WriteError::Full { .. } | WriteError::TooLate => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", title, words).retry_after(5)
        }
        WriteError::Silent { .. } | WriteError::Refused { .. } => {
            Problem::new(StatusCode::BAD_GATEWAY, "device", title, words)
        }
        WriteError::Unknown { .. } | WriteError::NotKept { .. } | WriteError::Stopped => {
            let title = "It is not sure what the device holds now";
            Problem::new(StatusCode::BAD_GATEWAY, "unknown", title, words)
        }
    }
}
