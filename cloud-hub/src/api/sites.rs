//! `/sites`: where the plants are and what needs attention there.

use super::Context;
use super::extract::{Params, Reader};
use super::page::{ListParams, Page};
use super::problem::Problem;
use crate::store::SiteRow;
use axum::Json;
use axum::extract::State;
use protocol::id::SiteId;
use serde::Serialize;

/// A site.
#[derive(Debug, Serialize)]
pub(super) struct SiteView {
    id: SiteId,
    name: String,
    gateways: u64,
    away: u64,
    alerts_active: u64,
    orders_open: u64,
}

impl From<SiteRow> for SiteView {
    fn from(row: SiteRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            gateways: row.gateways,
            away: row.away,
            alerts_active: row.alerts_active,
            orders_open: row.orders_open,
        }
    }
}

/// `GET /sites`
pub(super) async fn list(
    State(context): State<Context>,
    Reader(actor): Reader,
    Params(params): Params<ListParams>,
) -> Result<Json<Page<SiteView>>, Problem> {
    let rows = context.store.sites(actor.scope, params.page()?).await?;
    Ok(Page::of(rows, SiteView::from))
}
