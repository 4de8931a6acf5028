//! `/sites/{id}/reference/{kind}`, `/sites/{id}/bundle`, `/people/{name}/pin`: what the boxes of a
//! site know of it. Everybody who is signed in may look; PINs are never shown, but for one that the
//! hub has just made.

use super::Context;
use super::extract::{Id, IdAction, Input, Reader, Writer};
use super::problem::Problem;
use crate::auth;
use crate::service::reference::{self, BadCell, CLEAR, Kind, Mode, Report, Table};
use crate::service::{self, ServiceError};
use crate::store::{BundleRow, BundleTold};
use axum::Json;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::Method;
use axum::routing::{MethodRouter, get, put};
use protocol::id::SiteId;
use protocol::limits::BUNDLE_BYTES_MAX;
use protocol::view::rfc3339;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// The routes of this file.
pub(super) fn routes() -> [(Method, &'static str, MethodRouter<Context>); 4] {
    // In JSON each cell stands with the name of its column.
    let longer = DefaultBodyLimit::max(4 * BUNDLE_BYTES_MAX);
    let table = "/api/v1/sites/{id}/reference/{kind}";
    [
        (Method::GET, table, get(read)),
        (Method::PUT, table, put(change).layer(longer)),
        (Method::GET, "/api/v1/sites/{id}/bundle", get(bundle)),
        (Method::PUT, "/api/v1/people/{name}/pin", put(pin)),
    ]
}

/// Rows of a table to be taken.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    rows: Vec<Map<String, Value>>,
    #[serde(default)]
    replace: bool,
    #[serde(default)]
    dry_run: bool,
}

/// A new PIN: the one that is given, or one that the hub makes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPin {
    pin: Option<String>,
    #[serde(default)]
    remove: bool,
}

/// `GET /sites/{id}/reference/{kind}`
pub(super) async fn read(
    State(context): State<Context>,
    Reader(actor): Reader,
    IdAction(site, kind): IdAction<SiteId>,
) -> Result<Json<Value>, Problem> {
    let kind = kind_of(&kind)?;
    let table = reference::export(&context.store, actor.scope, site, kind).await?;
    let row = |(_, row): &(usize, Vec<String>)| -> Value {
        let cells = table.header.iter().zip(row);
        let cells = cells.map(|(name, text)| (name.clone(), Value::from(text.as_str())));
        Value::Object(cells.collect())
    };
    let data: Vec<Value> = table.rows.iter().map(row).collect();
    Ok(Json(json!({ "data": data, "next_cursor": null })))
}

/// `PUT /sites/{id}/reference/{kind}`
pub(super) async fn change(
    State(context): State<Context>,
    Writer(actor): Writer,
    IdAction(site, kind): IdAction<SiteId>,
    Input(change): Input<Change>,
) -> Result<Json<Value>, Problem> {
    let kind = kind_of(&kind)?;
    reference::may_change(&actor, kind)?;
    let mode = Mode {
        replace: change.replace,
        dry_run: change.dry_run,
    };
    let what = (kind, table(&change.rows)?);
    let place = (actor.scope, site);
    let by = (actor.name, context.terms);
    let report = reference::import(&context.store, place, what, mode, by).await?;
    Ok(Json(report_view(&report)))
}

/// `GET /sites/{id}/bundle`
pub(super) async fn bundle(
    State(context): State<Context>,
    Reader(actor): Reader,
    Id(site): Id<SiteId>,
) -> Result<Json<Value>, Problem> {
    let (rows, told) = context.store.bundles(actor.scope, site).await?;
    Ok(Json(json!({
        "bundles": rows.iter().map(bundle_view).collect::<Vec<_>>(),
        "gateways": told.iter().map(told_view).collect::<Vec<_>>(),
    })))
}

/// `PUT /people/{name}/pin`
pub(super) async fn pin(
    State(context): State<Context>,
    Writer(actor): Writer,
    Path(name): Path<String>,
    Input(new): Input<NewPin>,
) -> Result<Json<Value>, Problem> {
    service::administrator(&actor)?;
    let made = match (&new.pin, new.remove) {
        (None, false) => Some(auth::generate_pin().map_err(|_| ServiceError::NotNow {
            words: "the system gives no random numbers; try again".to_owned(),
        })?),
        _ => None,
    };
    let pin = made.as_deref().or(new.pin.as_deref());
    let pin = pin.filter(|_| !new.remove);
    let by = (actor.name, context.terms);
    let sites = reference::set_pin(&context.store, actor.scope, &name, pin, by).await?;
    Ok(Json(json!({ "sites": sites, "pin": made })))
}

fn kind_of(word: &str) -> Result<Kind, Problem> {
    Kind::from_word(word).ok_or_else(|| Problem::not_found("address"))
}

/// Rows of JSON as a table: a key that is missing leaves a value as it is, null takes it away.
fn table(rows: &[Map<String, Value>]) -> Result<Table, ServiceError> {
    let header: BTreeSet<&String> = rows.iter().flat_map(Map::keys).collect();
    let header: Vec<String> = header.into_iter().cloned().collect();
    let mut table = Table {
        header,
        rows: Vec::with_capacity(rows.len()),
    };
    for (line, row) in (1..).zip(rows) {
        let cells: Result<Vec<String>, ServiceError> = table
            .header
            .iter()
            .map(|name| cell(row.get(name)))
            .collect();
        table.rows.push((line, cells?));
    }
    Ok(table)
}

fn cell(value: Option<&Value>) -> Result<String, ServiceError> {
    Ok(match value {
        None => String::new(),
        Some(Value::Null) => CLEAR.to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(value @ (Value::Number(_) | Value::Bool(_))) => value.to_string(),
        Some(Value::Array(_) | Value::Object(_)) => {
            return Err(ServiceError::Invalid {
                field: "rows",
                words: "a cell is a text, a number, true, false or null".to_owned(),
            });
        }
    })
}

fn report_view(report: &Report) -> Value {
    let problem =
        |cell: &BadCell| json!({ "line": cell.line, "column": cell.column, "words": cell.words });
    json!({
        "added": report.added,
        "changed": report.changed,
        "removed": report.removed,
        "unchanged": report.unchanged,
        "problems": report.problems.iter().map(problem).collect::<Vec<_>>(),
        "bundle": report.bundle,
    })
}

fn bundle_view(row: &BundleRow) -> Value {
    json!({
        "number": row.number,
        "made": rfc3339(row.made),
        "valid_until": rfc3339(row.valid_until),
        "by": row.by,
        "words": row.words,
        "bytes": row.bytes,
    })
}

fn told_view(told: &BundleTold) -> Value {
    json!({
        "id": told.gateway,
        "name": told.name,
        "held": told.held,
        "refused": told.refused,
        "told": told.told.map(rfc3339),
    })
}
