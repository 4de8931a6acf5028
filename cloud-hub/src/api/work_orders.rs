//! `/work-orders`: what is to be done, by whom, and what was done.

use super::Context;
use super::extract::{Id, IdAction, Input, Key, Params, Reader, Writer};
use super::page::{self, Page};
use super::problem::Problem;
use crate::service::{self, NewOrder, OrderAction, OrderChanges};
use crate::store::{StoreError, WorkOrderFilter, WorkOrderRow};
use crate::tenants::TenantScope;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use protocol::id::{GatewayId, WorkOrderId};
use protocol::view::{BytesPlace, WorkOrderView};
use serde::Deserialize;

/// Which orders, and which page of them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ListParams {
    state: Option<String>,
    gateway: Option<GatewayId>,
    q: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// `GET /work-orders`
pub(super) async fn list(
    State(context): State<Context>,
    Reader(actor): Reader,
    Params(params): Params<ListParams>,
) -> Result<Json<Page<WorkOrderView>>, Problem> {
    let (open, state) = page::state(params.state.as_deref())?;
    let filter = WorkOrderFilter {
        open,
        state,
        gateway: params.gateway,
        text: params.q.filter(|text| !text.is_empty()),
    };
    let page = page::page(params.limit, params.cursor)?;
    let rows = context.store.work_orders(actor.scope, filter, page).await?;
    Ok(Page::of(rows, |row| view(row, false)))
}

/// `GET /work-orders/{id}`
pub(super) async fn one(
    State(context): State<Context>,
    Reader(actor): Reader,
    Id(id): Id<WorkOrderId>,
) -> Result<Json<WorkOrderView>, Problem> {
    whole(&context, actor.scope, id).await
}

/// `POST /work-orders`
pub(super) async fn create(
    State(context): State<Context>,
    Writer(actor): Writer,
    Key(key): Key,
    Input(order): Input<NewOrder>,
) -> Result<(StatusCode, Json<WorkOrderView>), Problem> {
    let id = service::create_order(&context.store, &actor, key, order).await?;
    let view = whole(&context, actor.scope, id).await?;
    Ok((StatusCode::CREATED, view))
}

/// `PATCH /work-orders/{id}`
pub(super) async fn change(
    State(context): State<Context>,
    Writer(actor): Writer,
    Id(id): Id<WorkOrderId>,
    Key(key): Key,
    Input(changes): Input<OrderChanges>,
) -> Result<Json<WorkOrderView>, Problem> {
    service::change_order(&context.store, &actor, id, key, changes).await?;
    whole(&context, actor.scope, id).await
}

/// `POST /work-orders/{id}/actions/{action}`
pub(super) async fn act(
    State(context): State<Context>,
    Writer(actor): Writer,
    IdAction(id, action): IdAction<WorkOrderId>,
    Key(key): Key,
    Input(body): Input<serde_json::Value>,
) -> Result<Json<WorkOrderView>, Problem> {
    let action: OrderAction = super::extract::action(&action, body)?;
    service::act_on_order(&context.store, &actor, id, key, action).await?;
    whole(&context, actor.scope, id).await
}

async fn whole(
    context: &Context,
    scope: TenantScope,
    id: WorkOrderId,
) -> Result<Json<WorkOrderView>, Problem> {
    let row = context.store.work_order(scope, id).await?;
    let hashes: Vec<_> = row.order.attachments.iter().collect();
    let hashes = hashes.iter().map(|known| known.content.hash).collect();
    let gateway = row.home.gateway.as_ref().map(|gateway| gateway.id);
    let mut view = view(row, true);
    let attachments = view.attachments.as_mut().into_iter().flatten();
    if let Some(gateway) = gateway {
        let whole = context.store.contents_whole(scope, gateway, hashes).await?;
        for (attachment, whole) in attachments.zip(whole) {
            attachment.place = if whole {
                BytesPlace::Hub
            } else {
                BytesPlace::Box
            };
        }
    }
    Ok(Json(view))
}

/// The order without its snapshot and history.
pub(super) async fn short(
    context: &Context,
    scope: TenantScope,
    id: WorkOrderId,
) -> Result<WorkOrderView, StoreError> {
    let row = context.store.work_order(scope, id).await?;
    Ok(view(row, false))
}

fn view(row: WorkOrderRow, whole: bool) -> WorkOrderView {
    protocol::view::work_order(&row.order, row.home, whole)
}
