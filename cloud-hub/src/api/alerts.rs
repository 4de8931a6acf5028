//! `/alerts`: what is or was abnormal at any plant, and taking notice of it.

use super::Context;
use super::extract::{Id, IdAction, Input, Key, Params, Reader, Writer};
use super::page::{self, Page};
use super::problem::Problem;
use crate::clock;
use crate::service::{self, AlertAction};
use crate::store::{AlarmPointRow, AlertFilter, AlertRow, StoreError};
use crate::tenants::TenantScope;
use axum::Json;
use axum::extract::State;
use protocol::event::Severity;
use protocol::id::{AlertId, GatewayId};
use protocol::view::{self, AlertView};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Which alerts, and which page of them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ListParams {
    state: Option<String>,
    gateway: Option<GatewayId>,
    severity: Option<Severity>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// `GET /alerts`
pub(super) async fn list(
    State(context): State<Context>,
    Reader(actor): Reader,
    Params(params): Params<ListParams>,
) -> Result<Json<Page<AlertView>>, Problem> {
    let (open, state) = page::state(params.state.as_deref())?;
    let filter = AlertFilter {
        open,
        state,
        gateway: params.gateway,
        severity: params.severity,
    };
    let page = page::page(params.limit, params.cursor)?;
    let rows = context.store.alerts(actor.scope, filter, page).await?;
    Ok(Page::of(rows, |row| view(row, false)))
}

/// `GET /alerts/{id}`
pub(super) async fn one(
    State(context): State<Context>,
    Reader(actor): Reader,
    Id(id): Id<AlertId>,
) -> Result<Json<AlertView>, Problem> {
    whole(&context, actor.scope, id).await
}

/// `POST /alerts/{id}/actions/{action}`
pub(super) async fn act(
    State(context): State<Context>,
    Writer(actor): Writer,
    IdAction(id, action): IdAction<AlertId>,
    Key(key): Key,
    Input(body): Input<Value>,
) -> Result<Json<AlertView>, Problem> {
    let action: AlertAction = super::extract::action(&action, body)?;
    service::act_on_alert(&context.store, &actor, id, key, action).await?;
    whole(&context, actor.scope, id).await
}

async fn whole(
    context: &Context,
    scope: TenantScope,
    id: AlertId,
) -> Result<Json<AlertView>, Problem> {
    let row = context.store.alert(scope, id).await?;
    Ok(Json(view(row, true)))
}

/// The alert without its history.
pub(super) async fn short(
    context: &Context,
    scope: TenantScope,
    id: AlertId,
) -> Result<AlertView, StoreError> {
    let row = context.store.alert(scope, id).await?;
    Ok(view(row, false))
}

fn view(row: AlertRow, whole: bool) -> AlertView {
    let view = view::alert(&row.alert, row.order, row.home, whole);
    match row.point {
        Some((id, point)) => view.with_point(id, point.as_ref(), clock::now()),
        None => view,
    }
}

/// Which alarm points.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct HeldParams {
    gateway: Option<GatewayId>,
}

/// `GET /alarms`: what is held back: shelved, out of service, suppressed, chattering.
pub(super) async fn held(
    State(context): State<Context>,
    Reader(actor): Reader,
    Params(params): Params<HeldParams>,
) -> Result<Json<Value>, Problem> {
    let rows = context
        .store
        .held_alarm_points(actor.scope, params.gateway)
        .await?;
    let now = clock::now();
    let points = rows.iter().filter(|row| row.point.switch_of.is_none());
    let data: Vec<Value> = points
        .map(|row| at_home(&view::point(&row.point, now), row))
        .collect();
    Ok(Json(json!({ "data": data, "next_cursor": null })))
}

/// `GET /maintenance`: assets and devices on which somebody works.
pub(super) async fn maintenance(
    State(context): State<Context>,
    Reader(actor): Reader,
    Params(params): Params<HeldParams>,
) -> Result<Json<Value>, Problem> {
    let rows = context
        .store
        .held_alarm_points(actor.scope, params.gateway)
        .await?;
    let now = clock::now();
    let on = |row: &AlarmPointRow| {
        let view = view::maintenance(&row.point, now).filter(|view| view.on)?;
        Some(at_home(&view, row))
    };
    let data: Vec<Value> = rows.iter().filter_map(on).collect();
    Ok(Json(json!({ "data": data, "next_cursor": null })))
}

/// A shape with gateway and site.
fn at_home(shape: &impl Serialize, row: &AlarmPointRow) -> Value {
    let mut shape = serde_json::to_value(shape).unwrap_or_default();
    if let Some(fields) = shape.as_object_mut() {
        fields.insert("gateway".to_owned(), json!(row.home.gateway));
        fields.insert("site".to_owned(), json!(row.home.site));
    }
    shape
}
