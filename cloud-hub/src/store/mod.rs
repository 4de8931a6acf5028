//! The hub's memory: the only room that names SQL. One file `hub.db`, one writer thread, short
//! readers; what is answered as done is on the disk.
//! Never decides what a record means: the folds of `protocol` do, and the store keeps their result.

mod alarm_points;
mod blocks;
mod bundles;
mod catalog;
mod changes;
mod check;
mod claims;
mod commands;
mod contents;
mod documents;
mod down;
mod engine;
mod error;
mod events;
mod gateways;
mod holders;
mod holes;
mod ingest;
mod latest;
mod lists;
mod migrations;
mod notified;
mod offers;
mod page;
mod prepared;
mod readings;
mod received;
mod records;
mod rollups;
mod site_records;
mod sql;
mod upkeep;
mod users;
mod words;
mod writer;

pub use alarm_points::{AlarmPointRow, HELD_POINTS_MAX, LOAD_ALERTS_MAX, LoadFilter, RaisedRow};
pub use bundles::{BundleRow, BundleTold};
pub use catalog::{SensorFilter, SensorRow};
pub use changes::{Change, Changed};
pub use check::{Checked, check, look, set_aside};
pub use claims::{CertificateRow, ClaimInfo, NewClaim, RedeemError, Revocations};
pub use commands::{CommandRow, OrdersMark};
pub use documents::{ConfigurationTold, DocumentRow};
pub use error::StoreError;
pub use gateways::{Connected, GatewayRow, LinkState, SiteRow};
pub use holders::Holder;
pub use holes::{GapSpan, Hole, Holes, StreamHoles};
pub use ingest::{Ingest, Ingested, LostPolls};
pub use lists::{AlertFilter, AlertRow, WorkOrderFilter, WorkOrderRow};
pub use notified::{NOTIFICATIONS_MAX, NotificationRow, ToTell, ToldHow};
pub use offers::Known;
pub(crate) use page::hex;
pub use page::{LIMIT_DEFAULT, LIMIT_MAX, Listed, Page};
pub use prepared::Refused;
pub use readings::{BlockOfSensor, SensorReader, Span, StreamOfSensor, Which};
pub use records::{NewEvent, Records};
pub use site_records::StockOf;
pub use upkeep::{Removed, Retention, Round};
pub use users::{NewUser, Role, SessionRow, UserRow};

use crate::tenants::TenantScope;
use changes::Bells;
use engine::Engine;
use ingest::Intake;
use latest::Latest;
use protocol::id::GatewayId;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::{broadcast, watch};

/// The hub's memory. Cheap to clone; the writer thread ends with the last clone.
#[derive(Clone, Debug)]
pub struct Store {
    engine: Arc<Engine>,
    latest: Arc<Latest>,
    intake: Arc<Intake>,
    changes: broadcast::Sender<Change>,
    bells: Arc<Bells>,
    /// Folder of the attachments.
    contents: Arc<Path>,
    default_tenant: TenantScope,
}

impl Store {
    /// Opens `hub.db` in `data_dir`, makes both where they are missing, and brings an older
    /// layout up to date.
    ///
    /// Blocks for the time of the migrations: call it before anything is served.
    pub fn open(data_dir: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(data_dir).map_err(|source| StoreError::Folder {
            path: data_dir.to_owned(),
            source,
        })?;
        let (engine, default_tenant) = Engine::open(&engine::file(data_dir))?;
        let (changes, _) = broadcast::channel(changes::WAITING_MAX);
        Ok(Self {
            engine: Arc::new(engine),
            latest: Arc::default(),
            intake: Arc::default(),
            changes,
            bells: Arc::default(),
            contents: contents::folder(data_dir).into(),
            default_tenant,
        })
    }

    /// The tenant that a new hub begins with.
    pub const fn default_tenant(&self) -> TenantScope {
        self.default_tenant
    }

    /// The tenant called `name`.
    pub async fn tenant(&self, name: &str) -> Result<TenantScope, StoreError> {
        let name = name.to_owned();
        self.engine
            .read(move |sql| {
                sql.query_row(
                    "SELECT tenant_id FROM tenant WHERE name = ?1",
                    [name],
                    |row| row.get(0).map(TenantScope::of_key),
                )
                .map_err(|error| match error {
                    rusqlite::Error::QueryReturnedNoRows => StoreError::NotFound { what: "tenant" },
                    source => StoreError::Sql {
                        what: "look up a tenant",
                        source,
                    },
                })
            })
            .await
    }

    /// What changes from now on. A listener that is too slow loses the oldest (`Lagged`) and
    /// must read the lists again.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    /// Tells each time that something is new for one gateway: an event of the hub, or about itself.
    pub fn news_for(&self, scope: TenantScope, gateway: GatewayId) -> watch::Receiver<()> {
        self.bells.listen(scope, gateway)
    }

    /// Runs `work` in one transaction on the writer thread, then tells the listeners.
    async fn write<T, E>(
        &self,
        work: impl FnOnce(&mut writer::Work<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (value, changes) = self.engine.write(work).await?;
        for change in changes {
            self.bells.ring(&change);
            // Nobody listening is not an error.
            drop(self.changes.send(change));
        }
        Ok(value)
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
