//! A few short-lived read transactions at a time, beside the writer. Never writes.

use super::database::{self, Kind};
use super::error::{Doing as _, StorageError};
use rusqlite::{Connection, TransactionBehavior};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;

/// Connections kept open between two reads, and reads at the same time.
const READERS_MAX: usize = 3;

/// Read-only connections to one database.
pub(super) struct Readers {
    folder: PathBuf,
    kind: Kind,
    idle: Mutex<Vec<Connection>>,
    turns: Semaphore,
}

impl Readers {
    pub(super) fn new(folder: PathBuf, kind: Kind) -> Arc<Self> {
        Arc::new(Self {
            folder,
            kind,
            idle: Mutex::default(),
            turns: Semaphore::new(READERS_MAX),
        })
    }

    /// Runs `work` on one consistent state of the database, off the async threads. Waits for its
    /// turn when enough others read.
    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Connection) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let _turn = self
            .turns
            .acquire()
            .await
            .map_err(|_| StorageError::Stopped)?;
        let readers = Arc::clone(self);
        tokio::task::spawn_blocking(move || readers.read_now(work))
            .await
            .map_err(|_| StorageError::Stopped)?
    }

    /// No more reads; lets go of the file.
    pub(super) fn close(&self) {
        self.turns.close();
        self.lock().clear();
    }

    fn read_now<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let kept = self.lock().pop();
        let mut db = match kept {
            Some(db) => db,
            None => database::open_reader(&self.folder, self.kind)?,
        };
        let tx = db
            .transaction_with_behavior(TransactionBehavior::Deferred)
            .doing("beginning to read")?;
        let result = work(&tx);
        drop(tx);
        let mut idle = self.lock();
        if !self.turns.is_closed() && idle.len() < READERS_MAX {
            idle.push(db);
        }
        result
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
