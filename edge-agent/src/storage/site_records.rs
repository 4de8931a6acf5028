//! Stock and assets of the site as people on the spot told them: folded from their events when
//! somebody asks. Never the reference data of the hub: that is the bundle.

use super::error::Doing as _;
use super::{Storage, StorageError, folds};
use protocol::asset::Provisional;
use protocol::event::{RecordKind, RecordRef};
use protocol::id::WorkOrderId;
use protocol::stock::{self, Ledger};
use rusqlite::OptionalExtension as _;
use uuid::Uuid;

/// Most assets that were made on this box, and parts with moves that no list has; further ones
/// are kept and not listed.
const LISTED_MAX: usize = 1_000;

impl Storage {
    /// The moves of parts, in the order of `parts`.
    pub async fn ledgers(&self, parts: Vec<String>) -> Result<Vec<Option<Ledger>>, StorageError> {
        let gateway = self.gateway;
        self.core
            .read(move |db| {
                let of = |part: &String| folds::ledger(db, stock::record(gateway, part));
                parts.iter().map(of).collect()
            })
            .await
    }

    /// The parts that ever moved on this box, in the order of their numbers.
    pub async fn moved_parts(&self) -> Result<Vec<Ledger>, StorageError> {
        self.core
            .read(|db| {
                let records = folds::records_of(db, RecordKind::Stock, LISTED_MAX)?;
                let folded = records.into_iter().map(|record| folds::ledger(db, record));
                let mut all: Vec<_> = folded
                    .filter_map(Result::transpose)
                    .collect::<Result<_, _>>()?;
                all.sort_by(|a: &Ledger, b| a.part.cmp(&b.part));
                Ok(all)
            })
            .await
    }

    /// The work order whose id ends with these bytes: what a short code names.
    pub async fn order_ending_with(
        &self,
        end: [u8; 8],
    ) -> Result<Option<WorkOrderId>, StorageError> {
        self.core
            .read(move |db| {
                db.prepare_cached("SELECT id FROM work_order WHERE substr(id, 9) = ?1")
                    .and_then(|mut query| query.query_row([end], |row| row.get(0)).optional())
                    .doing("looking for the order of a short code")
                    .map(|id| id.map(|id| WorkOrderId(Uuid::from_bytes(id))))
            })
            .await
    }

    /// The assets that were made on this box, in the order of their tags.
    pub async fn provisional_assets(&self) -> Result<Vec<Provisional>, StorageError> {
        self.core
            .read(|db| {
                let records = folds::records_of(db, RecordKind::Asset, LISTED_MAX)?;
                let folded = records
                    .into_iter()
                    .map(|record| folds::provisional(db, record));
                let mut all: Vec<_> = folded
                    .filter_map(Result::transpose)
                    .collect::<Result<_, _>>()?;
                all.sort_by(|a: &Provisional, b| a.asset.tag.cmp(&b.asset.tag));
                Ok(all)
            })
            .await
    }

    /// One of the assets that were made on this box.
    pub async fn provisional_asset(
        &self,
        record: RecordRef,
    ) -> Result<Option<Provisional>, StorageError> {
        self.core
            .read(move |db| folds::provisional(db, record))
            .await
    }
}
