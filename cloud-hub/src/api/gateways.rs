//! `/gateways`: the boxes, when they were last heard of, and how complete the hub's record is.

use super::Context;
use super::extract::{Id, Params, Reader};
use super::page::{ListParams, Page};
use super::problem::Problem;
use crate::clock;
use crate::store::{GatewayRow, Listed, StoreError};
use crate::telemetry::{self, Completeness, CompletenessSpan};
use crate::tenants::TenantScope;
use axum::Json;
use axum::extract::State;
use protocol::id::{GatewayId, SiteId};
use protocol::time::ClockState;
use protocol::view::{Named, rfc3339};
use serde::Serialize;

/// A gateway.
#[derive(Debug, Serialize)]
pub(super) struct GatewayView {
    id: GatewayId,
    name: String,
    code: String,
    site: Named<SiteId>,
    state: &'static str,
    last_seen: Option<String>,
    since: Option<String>,
    clock: Option<ClockState>,
    version: Option<String>,
    readings: u64,
    events: u64,
    alerts_active: u64,
    completeness: CompletenessView,
}

/// How complete the hub's record of a gateway is.
#[derive(Debug, Serialize)]
struct CompletenessView {
    complete_to: Option<String>,
    missing: u64,
    words: String,
    from: String,
    spans: Vec<SpanView>,
}

#[derive(Debug, Serialize)]
struct SpanView {
    from: String,
    to: String,
    state: &'static str,
    cause: Option<&'static str>,
}

impl From<Completeness> for CompletenessView {
    fn from(judged: Completeness) -> Self {
        let span = |span: CompletenessSpan| SpanView {
            from: rfc3339(span.from),
            to: rfc3339(span.to),
            state: span.state.word(),
            cause: span.cause,
        };
        Self {
            complete_to: judged.complete_to.map(rfc3339),
            missing: judged.missing,
            words: judged.words,
            from: rfc3339(judged.from),
            spans: judged.spans.into_iter().map(span).collect(),
        }
    }
}

/// The gateway's row and a judgement of what is held of it.
async fn view(
    context: &Context,
    scope: TenantScope,
    row: GatewayRow,
) -> Result<GatewayView, StoreError> {
    let judged = telemetry::completeness(&context.store, scope, &row, clock::now()).await?;
    Ok(GatewayView {
        id: row.id,
        name: row.name,
        code: row.code,
        site: row.site,
        state: row.link.word(),
        last_seen: row.last_seen.map(rfc3339),
        since: row.since.map(rfc3339),
        clock: row.clock,
        version: row.version,
        readings: row.readings,
        events: row.events,
        alerts_active: row.alerts_active,
        completeness: judged.into(),
    })
}

/// `GET /gateways`
pub(super) async fn list(
    State(context): State<Context>,
    Reader(actor): Reader,
    Params(params): Params<ListParams>,
) -> Result<Json<Page<GatewayView>>, Problem> {
    let listed = context.store.gateways(actor.scope, params.page()?).await?;
    let mut rows = Vec::with_capacity(listed.rows.len());
    for row in listed.rows {
        rows.push(view(&context, actor.scope, row).await?);
    }
    let next_cursor = listed.next_cursor;
    Ok(Page::of(Listed { rows, next_cursor }, |view| view))
}

/// `GET /gateways/{id}`
pub(super) async fn one(
    State(context): State<Context>,
    Reader(actor): Reader,
    Id(id): Id<GatewayId>,
) -> Result<Json<GatewayView>, Problem> {
    Ok(Json(find(&context, actor.scope, id).await?))
}

/// The gateway with this id.
pub(super) async fn find(
    context: &Context,
    scope: TenantScope,
    id: GatewayId,
) -> Result<GatewayView, StoreError> {
    let row = context.store.gateway(scope, id).await?;
    view(context, scope, row).await
}
