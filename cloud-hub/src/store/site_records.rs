//! Stock and assets that people told on a box, folded from their events when somebody asks.
//! Never the reference data of the site: that is its bundle.

use super::error::{Doing as _, StoreError};
use super::records::Records;
use super::{Store, bundles, events, sql};
use crate::tenants::TenantScope;
use protocol::asset::{self, Provisional};
use protocol::bundle::Bundle;
use protocol::event::{RecordKind, RecordRef};
use protocol::id::GatewayId;
use protocol::stock::{self, Ledger};
use rusqlite::{Connection, params};

/// Most parts with moves, and assets made on a box, that are listed of one gateway.
const LISTED_MAX: i64 = 2_000;

/// What is known of a gateway's stock.
#[derive(Debug)]
pub struct StockOf {
    /// The bundle of its site.
    pub bundle: Option<Bundle>,
    /// The parts that ever moved there.
    pub ledgers: Vec<Ledger>,
}

impl Store {
    /// The stock of a gateway.
    pub async fn stock_of(
        &self,
        scope: TenantScope,
        gateway: GatewayId,
    ) -> Result<StockOf, StoreError> {
        self.engine
            .read(move |sql| {
                let bundle = bundles::of_gateway(sql, scope, gateway)?;
                let mut ledgers = Vec::new();
                for record in records_of(sql, scope, gateway, RecordKind::Stock)? {
                    let events = events::of_record(sql, scope, record)?;
                    ledgers.extend(stock::fold(record, &events));
                }
                ledgers.sort_by(|a, b| a.part.cmp(&b.part));
                Ok(StockOf { bundle, ledgers })
            })
            .await
    }

    /// The assets that people made on a box.
    pub async fn provisional_assets(
        &self,
        scope: TenantScope,
        gateway: GatewayId,
    ) -> Result<Vec<Provisional>, StoreError> {
        self.engine
            .read(move |sql| {
                let mut assets = Vec::new();
                for record in records_of(sql, scope, gateway, RecordKind::Asset)? {
                    let events = events::of_record(sql, scope, record)?;
                    assets.extend(asset::fold(record, &events));
                }
                assets.sort_by(|a, b| a.asset.tag.cmp(&b.asset.tag));
                Ok(assets)
            })
            .await
    }
}

impl Records<'_, '_> {
    /// An asset that people made on a box.
    pub fn provisional(&mut self, record: RecordRef) -> Result<Provisional, StoreError> {
        let (work, scope) = self.parts();
        let events = events::of_record(work.sql, scope, record)?;
        asset::fold(record, &events).ok_or(StoreError::NotFound { what: "asset" })
    }
}

fn records_of(
    sql: &Connection,
    scope: TenantScope,
    gateway: GatewayId,
    kind: RecordKind,
) -> Result<Vec<RecordRef>, StoreError> {
    sql.prepare_cached(
        "SELECT record_id FROM record_home
        WHERE tenant_id = ?1 AND record_kind = ?2 AND gateway_id = ?3 LIMIT ?4",
    )
    .and_then(|mut query| {
        let of = params![
            scope.key(),
            events::kind_code(kind),
            gateway.0.into_bytes(),
            LISTED_MAX
        ];
        query
            .query_map(of, |row| {
                Ok(RecordRef {
                    kind,
                    id: sql::id(row, 0)?,
                })
            })?
            .collect()
    })
    .doing("list what people told of a site")
}
