//! `/alerts`: what is or was abnormal at any plant, and taking notice of it.

use super::Context;
use super::extract::{Id, IdAction, Input, Key, Params, Reader, Writer};
use super::page::{self, Page};
use super::problem::Problem;
use crate::clock;
use crate::service::{self, AlarmAction, AlertAction, OfAlarm};
use crate::store::{AlertFilter, AlertRow, StoreError};
use crate::tenants::TenantScope;
use axum::Json;
use axum::extract::State;
use protocol::event::Severity;
use protocol::id::{AlertId, GatewayId};
use protocol::view::{self, AlertView};
use serde::Deserialize;
use serde_json::Value;

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
    if AlarmAction::is_word(&action) {
        let action: AlarmAction = super::extract::action(&action, body)?;
        service::act_on_alarm(&context.store, &actor, OfAlarm::Alert(id), key, action).await?;
        return whole(&context, actor.scope, id).await;
    }
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
