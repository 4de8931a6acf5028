//! `/gateways/{id}/stock` and `/gateways/{id}/assets`: what people on the spot told of the site.

use super::Context;
use super::extract::{Id, Input, Key, Reader, Writer};
use super::problem::Problem;
use crate::service::{self, AssetAction};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::Method;
use axum::routing::{MethodRouter, get, post};
use protocol::id::GatewayId;
use protocol::view::{self, Listed, ProvisionalView, StockView};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The routes of this file.
pub(super) fn routes() -> [(Method, &'static str, MethodRouter<Context>); 5] {
    let stock = "/api/v1/gateways/{id}/stock";
    [
        (Method::GET, stock, get(list)),
        (Method::GET, "/api/v1/gateways/{id}/stock/{part}", get(one)),
        (
            Method::POST,
            "/api/v1/gateways/{id}/stock/{part}/actions/count",
            post(count),
        ),
        (Method::GET, "/api/v1/gateways/{id}/assets", get(assets)),
        (
            Method::POST,
            "/api/v1/gateways/{id}/assets/{tag}/actions/{action}",
            post(decide),
        ),
    ]
}

/// `GET /gateways/{id}/stock`
pub(super) async fn list(
    State(context): State<Context>,
    Reader(actor): Reader,
    Id(gateway): Id<GatewayId>,
) -> Result<Json<Value>, Problem> {
    context.store.gateway(actor.scope, gateway).await?;
    let stock = context.store.stock_of(actor.scope, gateway).await?;
    let listed = stock.bundle.iter().flat_map(|bundle| &bundle.parts);
    let mut parts: BTreeSet<&str> = listed.map(|part| part.number.as_str()).collect();
    parts.extend(stock.ledgers.iter().map(|ledger| ledger.part.as_str()));
    let data: Vec<StockView> = parts
        .into_iter()
        .map(|part| shape(&stock, part, false))
        .collect();
    Ok(Json(json!({ "data": data, "next_cursor": null })))
}

/// `GET /gateways/{id}/stock/{part}`
pub(super) async fn one(
    State(context): State<Context>,
    Reader(actor): Reader,
    Path((gateway, part)): Path<(String, String)>,
) -> Result<Json<StockView>, Problem> {
    let gateway = gateway_id(&gateway)?;
    context.store.gateway(actor.scope, gateway).await?;
    let stock = context.store.stock_of(actor.scope, gateway).await?;
    let listed = stock.bundle.as_ref().and_then(|bundle| bundle.part(&part));
    if listed.is_none() && stock.ledgers.iter().all(|ledger| ledger.part != part) {
        return Err(Problem::not_found("part"));
    }
    Ok(Json(shape(&stock, &part, true)))
}

fn shape(stock: &crate::store::StockOf, part: &str, whole: bool) -> StockView {
    let listed = stock.bundle.as_ref().and_then(|bundle| bundle.part(part));
    let ledger = stock.ledgers.iter().find(|ledger| ledger.part == part);
    view::stock(part, listed.map(Listed::of).as_ref(), ledger, whole)
}

fn gateway_id(text: &str) -> Result<GatewayId, Problem> {
    text.parse().map_err(|_| Problem::not_found("gateway"))
}

/// How many are there.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Count {
    quantity: f64,
    note: Option<String>,
}

/// `POST /gateways/{id}/stock/{part}/actions/count`
pub(super) async fn count(
    State(context): State<Context>,
    Writer(actor): Writer,
    Path((gateway, part)): Path<(String, String)>,
    Key(key): Key,
    Input(given): Input<Count>,
) -> Result<Json<StockView>, Problem> {
    let gateway = gateway_id(&gateway)?;
    let place = (gateway, part.clone());
    let counted = (given.quantity, given.note);
    service::move_stock(&context.store, &actor, place, key, counted).await?;
    let stock = context.store.stock_of(actor.scope, gateway).await?;
    Ok(Json(shape(&stock, &part, true)))
}

/// `GET /gateways/{id}/assets`: those that people made on the box.
pub(super) async fn assets(
    State(context): State<Context>,
    Reader(actor): Reader,
    Id(gateway): Id<GatewayId>,
) -> Result<Json<Value>, Problem> {
    context.store.gateway(actor.scope, gateway).await?;
    let assets = context
        .store
        .provisional_assets(actor.scope, gateway)
        .await?;
    let data: Vec<ProvisionalView> = assets.iter().map(view::provisional).collect();
    Ok(Json(json!({ "data": data, "next_cursor": null })))
}

/// `POST /gateways/{id}/assets/{tag}/actions/{accept|merge|refuse}`
pub(super) async fn decide(
    State(context): State<Context>,
    Writer(actor): Writer,
    Path((gateway, tag, action)): Path<(String, String, String)>,
    Key(key): Key,
    Input(body): Input<Value>,
) -> Result<Json<Value>, Problem> {
    let gateway = gateway_id(&gateway)?;
    let action: AssetAction = super::extract::action(&action, body)?;
    service::decide_asset(&context.store, &actor, (gateway, tag), key, action).await?;
    let assets = context
        .store
        .provisional_assets(actor.scope, gateway)
        .await?;
    let data: Vec<ProvisionalView> = assets.iter().map(view::provisional).collect();
    Ok(Json(json!({ "data": data, "next_cursor": null })))
}
