//! What a person does on the page: each action is one transaction of events. Never does what the
//! record would not follow: the guard is asked in the same transaction.

use super::Page;
use super::caller::Caller;
use super::problem::Problem;
use super::records::{alert_id, alert_view, order_id, work_order_view};
use crate::clock;
use crate::people::Act;
use crate::storage::{NewEvent, RecordTx};
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use protocol::event::{
    Actor, AlertEvent, Body, HoldReason, RecordRef, WorkOrderCreated, WorkOrderEvent, WorkType,
};
use protocol::id::{EventId, WorkOrderId, uuid_v7};
use protocol::limits::TEXT_BYTES_MAX;
use protocol::work_order::{Action, WorkOrder};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::Deserialize;
use uuid::Uuid;

/// Longest time that one entry of labour may claim, in minutes: a week.
const MINUTES_MAX: u32 = 7 * 24 * 60;

/// All that an action may carry; each action takes what it needs and refuses the rest.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Input {
    by: String,
    title: Option<String>,
    description: Option<String>,
    asset: Option<String>,
    priority: Option<u8>,
    text: Option<String>,
    note: Option<String>,
    reason: Option<String>,
    remedy: Option<String>,
    minutes: Option<u32>,
    part: Option<String>,
    quantity: Option<f64>,
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
    let event = match action.as_str() {
        "acknowledge" => AlertEvent::Acknowledged {
            note: text("note", input.note.as_deref())?,
        },
        "comment" => AlertEvent::Commented {
            text: required("text", input.text.as_deref())?,
        },
        _ => return Err(Problem::not_found("action")),
    };
    let actor = caller.actor(&page, &input.by, Act::Acknowledge).await?;
    let key = key(&headers)?;
    page.storage
        .records(move |tx| {
            let alert = tx.alert(id)?.ok_or_else(|| Problem::not_found("alert"))?;
            let again =
                matches!(event, AlertEvent::Acknowledged { .. }) && alert.acknowledged.is_some();
            if again && !alert.history.iter().any(|line| line.id == key) {
                return Err(Problem::not_now(
                    "Somebody acknowledged this alert already.",
                ));
            }
            append(tx, key, &actor, id.into(), vec![Body::Alert(event)])
        })
        .await?;
    Ok(Json(alert_view(&page, id, true).await?).into_response())
}

/// `POST /work-orders`
pub(super) async fn create(
    State(page): State<Page>,
    caller: Caller,
    headers: HeaderMap,
    posted: Posted,
) -> Result<Response, Problem> {
    let input = input(posted)?;
    let actor = caller.actor(&page, &input.by, Act::Work).await?;
    let key = key(&headers)?;
    // The same key is the same order.
    let id = WorkOrderId(Uuid::new_v5(&key.0, b"work order"));
    let mut created = WorkOrderCreated {
        number: String::new(),
        title: required("title", input.title.as_deref())?,
        description: text("description", input.description.as_deref())?.unwrap_or_default(),
        work_type: WorkType::Corrective,
        priority: priority(input.priority)?,
        asset: text("asset", input.asset.as_deref())?,
        alert: None,
        dedupe_key: None,
        requested: false,
    };
    let site = page.storage.site().await?;
    let code = site.map_or_else(|| page.settings.code.clone(), |site| site.gateway_code);
    page.storage
        .records(move |tx| {
            if tx.work_order(id)?.is_some() {
                return Ok(());
            }
            created.number = tx.next_order_number(&code)?;
            let body = Body::WorkOrder(WorkOrderEvent::Created(created));
            append(tx, key, &actor, id.into(), vec![body])
        })
        .await?;
    let view = work_order_view(&page, id, true).await?;
    Ok((StatusCode::CREATED, Json(view)).into_response())
}

/// `POST /work-orders/{id}/actions/{action}`
pub(super) async fn work_order(
    State(page): State<Page>,
    Path((id, action)): Path<(String, String)>,
    caller: Caller,
    headers: HeaderMap,
    posted: Posted,
) -> Result<Response, Problem> {
    let id = order_id(&id)?;
    let input = input(posted)?;
    let (guard, events) = events(&action, &input)?;
    let actor = caller.actor(&page, &input.by, act_of(&action)).await?;
    let key = key(&headers)?;
    page.storage
        .records(move |tx| {
            let order = tx
                .work_order(id)?
                .ok_or_else(|| Problem::not_found("work order"))?;
            let repeated = order.history.iter().any(|line| line.id == key);
            if let Some(action) = guard
                && !repeated
                && !order.may(action)
            {
                return Err(not_now(&order, action));
            }
            append(
                tx,
                key,
                &actor,
                id.into(),
                events.into_iter().map(Body::WorkOrder).collect(),
            )
        })
        .await?;
    Ok(Json(work_order_view(&page, id, true).await?).into_response())
}

/// What kind of act an action on an order is, as roles know it.
fn act_of(action: &str) -> Act {
    match action {
        "reopen" => Act::Plan,
        _ => Act::Work,
    }
}

/// What an action asks the guard, and the events it writes.
fn events(action: &str, input: &Input) -> Result<(Option<Action>, Vec<WorkOrderEvent>), Problem> {
    let note = || text("note", input.note.as_deref());
    Ok(match action {
        "start" => (Some(Action::Start), vec![WorkOrderEvent::Started]),
        "hold" => {
            let reason = hold_reason(input.reason.as_deref())?;
            (
                Some(Action::Hold),
                vec![WorkOrderEvent::Held {
                    reason,
                    note: note()?,
                }],
            )
        }
        "resume" => (Some(Action::Resume), vec![WorkOrderEvent::Resumed]),
        "complete" => {
            let mut events = Vec::new();
            if let Some(minutes) = minutes(input.minutes)? {
                events.push(WorkOrderEvent::LabourAdded {
                    minutes,
                    note: None,
                });
            }
            events.push(WorkOrderEvent::Done {
                remedy: text("remedy", input.remedy.as_deref())?,
            });
            (Some(Action::Complete), events)
        }
        "reopen" => {
            let reason = required("reason", input.reason.as_deref())?;
            (
                Some(Action::Reopen),
                vec![WorkOrderEvent::Reopened { reason }],
            )
        }
        "comment" => {
            let text = required("text", input.text.as_deref())?;
            (None, vec![WorkOrderEvent::Commented { text }])
        }
        "labour" => {
            let minutes = minutes(input.minutes)?.ok_or_else(|| missing("minutes"))?;
            (
                None,
                vec![WorkOrderEvent::LabourAdded {
                    minutes,
                    note: note()?,
                }],
            )
        }
        "part" => {
            let part = required("part", input.part.as_deref())?;
            let quantity = input.quantity.unwrap_or(1.0);
            if !quantity.is_finite() || quantity == 0.0 {
                return Err(Problem::invalid(
                    Some("quantity"),
                    "quantity must be a number other than 0",
                ));
            }
            (None, vec![WorkOrderEvent::PartUsed { part, quantity }])
        }
        _ => return Err(Problem::not_found("action")),
    })
}

fn not_now(order: &WorkOrder, action: Action) -> Problem {
    let possible: Vec<&str> = order.actions().into_iter().map(Action::word).collect();
    let state = serde_json::to_value(order.state).unwrap_or_default();
    let state = state.as_str().unwrap_or_default().replace('_', " ");
    Problem::not_now(format!(
        "Order {} is {state}; \"{}\" is not possible. Possible: {}.",
        order.number,
        action.word(),
        possible.join(", ")
    ))
}

/// Writes events whose ids follow from one key: the same action again writes nothing.
fn append(
    tx: &mut RecordTx<'_>,
    key: EventId,
    actor: &Actor,
    record: RecordRef,
    bodies: Vec<Body>,
) -> Result<(), Problem> {
    for (at, body) in bodies.into_iter().enumerate() {
        let id = match at {
            0 => key,
            at => EventId(Uuid::new_v5(&key.0, at.to_string().as_bytes())),
        };
        tx.append(NewEvent {
            id: Some(id),
            actor: actor.clone(),
            record,
            body,
        })?;
    }
    Ok(())
}

/// The key of the caller, or a new one.
fn key(headers: &HeaderMap) -> Result<EventId, Problem> {
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

fn input(posted: Posted) -> Result<Input, Problem> {
    posted
        .map(|Json(input)| input)
        .map_err(|error| Problem::invalid(None, error.body_text()))
}

fn missing(field: &'static str) -> Problem {
    Problem::invalid(Some(field), format!("{field} is missing"))
}

fn required(field: &'static str, value: Option<&str>) -> Result<String, Problem> {
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

fn priority(priority: Option<u8>) -> Result<u8, Problem> {
    match priority.unwrap_or(3) {
        priority @ 1..=5 => Ok(priority),
        _ => Err(Problem::invalid(
            Some("priority"),
            "priority is 1 (most urgent) to 5",
        )),
    }
}

fn minutes(minutes: Option<u32>) -> Result<Option<u32>, Problem> {
    match minutes {
        None | Some(0) => Ok(None),
        Some(minutes) if minutes <= MINUTES_MAX => Ok(Some(minutes)),
        Some(_) => Err(Problem::invalid(
            Some("minutes"),
            "minutes is at most a week",
        )),
    }
}

fn hold_reason(reason: Option<&str>) -> Result<HoldReason, Problem> {
    Ok(match reason {
        Some("material") => HoldReason::Material,
        Some("plant") => HoldReason::Plant,
        Some("access") => HoldReason::Access,
        Some("permit") => HoldReason::Permit,
        Some("vendor") => HoldReason::Vendor,
        Some("other") => HoldReason::Other,
        _ => {
            let words = "reason is one of material, plant, access, permit, vendor, other";
            return Err(Problem::invalid(Some("reason"), words));
        }
    })
}
