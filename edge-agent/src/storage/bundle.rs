//! The site bundle that counts on this box: one document in `core.db`, and decoded in memory for
//! whoever reads it. Never judges who signed it: that was done before it comes here.

use super::error::{Doing as _, StorageError};
use super::{NewEvent, Storage, records::Core};
use protocol::bundle::Bundle;
use protocol::event::{Access, Actor, Body, GatewayEvent, RecordKind, RecordRef};
use protocol::wire::{decode_bundle, encode_bundle};
use rusqlite::{Connection, OptionalExtension as _};
use std::sync::Arc;
use tokio::sync::watch;

const KIND: &str = "bundle";
const DOING: &str = "keeping the site bundle";

/// The bundle in memory: none before the hub sent one.
pub(super) type Shown = watch::Sender<Option<Arc<Bundle>>>;

impl Storage {
    /// People, assets, parts, checklists and failure codes of the site; `None` when the hub sent
    /// none so far. Costs nothing: it is in memory.
    pub fn bundle(&self) -> Option<Arc<Bundle>> {
        self.bundle.borrow().clone()
    }

    /// Tells of each bundle that takes the place of the one before.
    pub fn bundle_changes(&self) -> watch::Receiver<Option<Arc<Bundle>>> {
        self.bundle.subscribe()
    }

    /// Keeps a bundle in place of an older one, and shows it once it is on the disk. Whether it
    /// was newer than what is held; one that is not changes nothing.
    pub async fn keep_bundle(&self, bundle: Bundle) -> Result<bool, StorageError> {
        let bytes = encode_bundle(&bundle).doing(DOING)?;
        let shown = Arc::clone(&self.bundle);
        let taken = Access::BundleTaken {
            number: bundle.number,
            valid_until: bundle.valid_until,
        };
        let is_kept: Result<bool, StorageError> = self
            .job(move |writer| {
                // A box that was given to another site begins anew.
                let held = shown.borrow().clone();
                let held = held.filter(|held| held.site == bundle.site);
                if held.is_some_and(|held| bundle.number <= held.number) {
                    return Ok(false);
                }
                keep(&writer.core, bundle.number, &bytes)?;
                shown.send_replace(Some(Arc::new(bundle)));
                Ok(true)
            })
            .await;
        let is_kept = is_kept?;
        if is_kept {
            self.note(taken).await?;
        }
        Ok(is_kept)
    }

    /// Number of the bundle that is held of the box's site; 0: none.
    pub async fn held_bundle(&self) -> Result<u64, StorageError> {
        let Some(held) = self.bundle() else {
            return Ok(0);
        };
        let site = self.site().await?;
        let is_of_site = site.is_some_and(|site| site.site == held.site.0);
        Ok(if is_of_site { held.number } else { 0 })
    }

    async fn note(&self, access: Access) -> Result<(), StorageError> {
        let event = NewEvent {
            id: None,
            actor: Actor::System("edge-agent".to_owned()),
            record: RecordRef {
                kind: RecordKind::Gateway,
                id: self.gateway.0,
            },
            body: Body::Gateway(GatewayEvent::Access(access)),
        };
        self.records(move |tx| tx.append(event).map(drop)).await
    }
}

fn keep(core: &Core, number: u64, bytes: &[u8]) -> Result<(), StorageError> {
    core.db
        .execute(
            "INSERT OR REPLACE INTO reference (kind, version, body) VALUES (?1, ?2, ?3)",
            (KIND, number, bytes),
        )
        .map(|_| ())
        .doing(DOING)
}

/// The bundle that is held. One of a newer program's format is left where it is and does not
/// count; the hub sends one that this program can read.
pub(super) fn load(db: &Connection) -> Result<Option<Arc<Bundle>>, StorageError> {
    let bytes: Option<Vec<u8>> = db
        .query_row(
            "SELECT body FROM reference WHERE kind = ?1",
            [KIND],
            |row| row.get(0),
        )
        .optional()
        .doing("reading the site bundle")?;
    let decoded = bytes.map(|bytes| decode_bundle(&bytes)).transpose();
    Ok(decoded.map_or_else(
        |error| {
            tracing::warn!(%error, "the site bundle cannot be read and does not count");
            None
        },
        |bundle| bundle.map(Arc::new),
    ))
}
