//! `/alarms` and `/maintenance`: what is held back at the boxes, holding back from here, and the load of
//! alerts on the people of the sites.

use super::Context;
use super::extract::{self, IdAction, Input, Key, Params, Reader, Writer};
use super::problem::Problem;
use crate::clock;
use crate::service::{self, AlarmAction, OfAlarm, SiteLoad};
use crate::store::{AlarmPointRow, LoadFilter, StoreError};
use crate::tenants::TenantScope;
use axum::Json;
use axum::extract::State;
use axum::http::Method;
use axum::routing::{MethodRouter, get, post};
use protocol::alarm_load::Period;
use protocol::id::{AlarmPointId, GatewayId, SiteId};
use protocol::view;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const HOUR_US: i64 = 3_600_000_000;
/// Longest time of which the load is counted, in hours: a month.
const LOAD_HOURS_MAX: i64 = 744;
/// Most people who may follow the alerts of one site at the same time.
const OPERATORS_MAX: usize = 100;

/// The routes of this file.
pub(super) fn routes() -> [(Method, &'static str, MethodRouter<Context>); 4] {
    [
        (Method::GET, "/api/v1/alarms", get(held)),
        (Method::GET, "/api/v1/alarms/load", get(load)),
        (
            Method::POST,
            "/api/v1/alarms/{id}/actions/{action}",
            post(act),
        ),
        (Method::GET, "/api/v1/maintenance", get(maintenance)),
    ]
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

/// `POST /alarms/{id}/actions/{action}`
pub(super) async fn act(
    State(context): State<Context>,
    Writer(actor): Writer,
    IdAction(id, action): IdAction<AlarmPointId>,
    Key(key): Key,
    Input(body): Input<Value>,
) -> Result<Json<Value>, Problem> {
    let action: AlarmAction = extract::action(&action, body)?;
    service::act_on_alarm(&context.store, &actor, OfAlarm::Point(id), key, action).await?;
    let (_, shape) = changed(&context, actor.scope, id).await?;
    Ok(Json(shape))
}

/// A point or a maintenance switch as the stream tells it, with the name of its event.
pub(super) async fn changed(
    context: &Context,
    scope: TenantScope,
    id: AlarmPointId,
) -> Result<(&'static str, Value), StoreError> {
    let row = context.store.alarm_point(scope, id).await?;
    let now = clock::now();
    Ok(match view::maintenance(&row.point, now) {
        Some(switch) => ("maintenance", at_home(&switch, &row)),
        None => ("alarm", at_home(&view::point(&row.point, now), &row)),
    })
}

/// Of which time and whom.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LoadParams {
    hours: Option<i64>,
    operators: Option<usize>,
    site: Option<SiteId>,
    gateway: Option<GatewayId>,
}

/// `GET /alarms/load`
pub(super) async fn load(
    State(context): State<Context>,
    Reader(actor): Reader,
    Params(params): Params<LoadParams>,
) -> Result<Json<Value>, Problem> {
    let hours = params.hours.unwrap_or(24);
    if !(1..=LOAD_HOURS_MAX).contains(&hours) {
        let words = format!("hours is 1 to {LOAD_HOURS_MAX}");
        return Err(Problem::invalid(Some("hours"), words));
    }
    let operators = params.operators.unwrap_or(1);
    if !(1..=OPERATORS_MAX).contains(&operators) {
        let words = format!("operators is 1 to {OPERATORS_MAX}");
        return Err(Problem::invalid(Some("operators"), words));
    }
    let to = clock::now();
    let period = Period {
        from: to.plus_micros(-hours * HOUR_US),
        to,
        operators,
    };
    let filter = LoadFilter {
        site: params.site,
        gateway: params.gateway,
    };
    let loads = service::alarm_loads(&context.store, actor.scope, filter, period).await?;
    let data: Vec<Value> = (loads.rows.iter())
        .map(|row| load_view(row, period))
        .collect();
    let left_out = loads.left_out;
    Ok(Json(
        json!({ "data": data, "left_out": left_out, "next_cursor": null }),
    ))
}

/// Docs: shape `AlarmLoad`, with site and gateway.
fn load_view(row: &SiteLoad, period: Period) -> Value {
    let mut shape = serde_json::to_value(view::load(&row.load, period)).unwrap_or_default();
    if let Some(fields) = shape.as_object_mut() {
        fields.insert("site".to_owned(), json!(row.site));
        fields.insert("gateway".to_owned(), json!(row.gateway));
    }
    shape
}
