//! `/gateways/{id}/configuration` and `/gateways/{id}/commands`: what a box is to have and to do, and
//! what became of it. Only administrators give; everybody who is signed in may look.

use super::Context;
use super::extract::{Id, Input, Key, Reader, Writer};
use super::problem::Problem;
use crate::service::{self, ServiceError};
use crate::store::{CommandRow, ConfigurationTold, DocumentRow};
use axum::Json;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{Method, StatusCode};
use axum::routing::{MethodRouter, get, post};
use protocol::id::GatewayId;
use protocol::limits::DOCUMENT_BYTES_MAX;
use protocol::sync::{DocumentState, Outcome, Task};
use protocol::view::rfc3339;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

/// The routes of this file.
pub(super) fn routes() -> [(Method, &'static str, MethodRouter<Context>); 4] {
    // In JSON a text may take twice its bytes.
    let longer = DefaultBodyLimit::max(2 * DOCUMENT_BYTES_MAX);
    let (of_configuration, of_commands) = (
        "/api/v1/gateways/{id}/configuration",
        "/api/v1/gateways/{id}/commands",
    );
    [
        (Method::GET, of_configuration, get(configuration)),
        (
            Method::POST,
            of_configuration,
            post(configure).layer(longer),
        ),
        (Method::GET, of_commands, get(commands)),
        (Method::POST, of_commands, post(command)),
    ]
}

/// How long a command may wait when nobody says.
const EXPIRES_S: u64 = 300;

/// A new document.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewDocument {
    text: String,
}

/// A new command.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewCommand {
    task: String,
    #[serde(default)]
    arguments: Vec<String>,
    expires_s: Option<u64>,
}

/// `GET /gateways/{id}/configuration`
pub(super) async fn configuration(
    State(context): State<Context>,
    Reader(actor): Reader,
    Id(id): Id<GatewayId>,
) -> Result<Json<Value>, Problem> {
    context.store.gateway(actor.scope, id).await?;
    let (documents, told) = context.store.documents(actor.scope, id).await?;
    Ok(Json(json!({
        "told": told.as_ref().map(told_view),
        "documents": documents.iter().map(document_view).collect::<Vec<_>>(),
    })))
}

/// `POST /gateways/{id}/configuration`
pub(super) async fn configure(
    State(context): State<Context>,
    Writer(actor): Writer,
    Id(id): Id<GatewayId>,
    Key(key): Key,
    Input(new): Input<NewDocument>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let by = service::administrator(&actor)?;
    let act = (by, key);
    let version = service::configure(&context.store, actor.scope, act, id, new.text).await?;
    Ok((StatusCode::CREATED, Json(json!({ "document": version }))))
}

/// `GET /gateways/{id}/commands`
pub(super) async fn commands(
    State(context): State<Context>,
    Reader(actor): Reader,
    Id(id): Id<GatewayId>,
) -> Result<Json<Value>, Problem> {
    context.store.gateway(actor.scope, id).await?;
    let rows = context.store.commands(actor.scope, id).await?;
    let data: Vec<Value> = rows.iter().map(command_view).collect();
    Ok(Json(json!({ "data": data, "next_cursor": null })))
}

/// `POST /gateways/{id}/commands`
pub(super) async fn command(
    State(context): State<Context>,
    Writer(actor): Writer,
    Id(id): Id<GatewayId>,
    Key(key): Key,
    Input(new): Input<NewCommand>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let by = service::administrator(&actor)?;
    let task = Task::from_word(&new.task, &new.arguments).ok_or(ServiceError::Invalid {
        field: "task",
        words: "there is no such command with these arguments; there are: restart, \
                renew_certificate, read with one DEVICE/SENSOR"
            .to_owned(),
    })?;
    let expires = Duration::from_secs(new.expires_s.unwrap_or(EXPIRES_S));
    let what = (task, expires);
    service::command(&context.store, actor.scope, (by, key), id, what).await?;
    Ok((StatusCode::CREATED, Json(json!({ "id": key }))))
}

fn told_view(told: &ConfigurationTold) -> Value {
    json!({
        "version": told.version,
        "state": told.state.map(DocumentState::word),
        "words": told.words,
        "at": rfc3339(told.told),
    })
}

fn document_view(row: &DocumentRow) -> Value {
    json!({
        "version": row.version,
        "made": rfc3339(row.made),
        "by": row.by,
        "state": row.state.map(DocumentState::word),
        "words": row.words,
        "at": row.state_at.map(rfc3339),
    })
}

fn command_view(row: &CommandRow) -> Value {
    json!({
        "id": row.id,
        "task": row.task,
        "arguments": row.arguments,
        "issued": rfc3339(row.issued),
        "expires": rfc3339(row.expires),
        "by": row.by,
        "outcome": row.outcome.map(Outcome::word),
        "words": row.words,
        "ended": row.ended.map(rfc3339),
    })
}
