//! Connections and the way to the writer thread. Never a fact's meaning.

use super::changes::Change;
use super::error::{Doing as _, StoreError};
use super::migrations;
use super::writer::{self, Job, Work, Writer};
use crate::clock;
use crate::tenants::TenantScope;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use tokio::sync::{Semaphore, mpsc};

/// Jobs that wait for the writer. Who brings another one waits until there is room.
const WRITE_QUEUE_MAX: usize = 64;
/// Readers at the same time. A further one waits.
const READERS_MAX: usize = 4;
/// How long a connection waits for another process (a backup) that holds the file.
const BUSY_TIMEOUT_MS: i64 = 5_000;
/// Statements kept ready per connection.
const STATEMENTS_KEPT: usize = 128;
/// The open file: a queue to the writer thread and a few readers.
#[derive(Debug)]
pub(super) struct Engine {
    jobs: mpsc::Sender<Box<dyn Job>>,
    path: PathBuf,
    idle_readers: std::sync::Arc<Mutex<Vec<Connection>>>,
    reading: Semaphore,
}

impl Engine {
    /// Opens the file and starts the writer thread.
    pub(super) fn open(path: &Path) -> Result<(Self, TenantScope), StoreError> {
        let mut connection = open_writer(path)?;
        let scope = begin(&mut connection)?;
        let writer = Writer::new(connection)?;
        let (jobs, waiting) = mpsc::channel(WRITE_QUEUE_MAX);
        std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.serve(waiting))
            .map_err(|source| StoreError::Folder {
                path: path.to_owned(),
                source,
            })?;
        let engine = Self {
            jobs,
            path: path.to_owned(),
            idle_readers: std::sync::Arc::default(),
            reading: Semaphore::new(READERS_MAX),
        };
        Ok((engine, scope))
    }

    /// Runs `work` in a transaction that it may share with others; an error or a panic in it takes
    /// back what it did, and nothing else. Answers after the commit.
    pub(super) async fn write<T, E>(
        &self,
        work: impl FnOnce(&mut Work<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<(T, Vec<Change>), E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (job, answer) = writer::job(work);
        self.jobs.send(job).await.map_err(|_| StoreError::Stopped)?;
        answer.await.map_err(|_| StoreError::Stopped)?
    }

    /// Runs `query` on a reader, which sees one state of the store throughout.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.apart(move |connection| {
            let snapshot = connection.unchecked_transaction().doing("begin to read")?;
            let value = query(connection);
            drop(snapshot);
            value
        })
        .await
    }

    /// Runs `query` on a reader, outside a transaction.
    pub(super) async fn apart<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let _permit = self
            .reading
            .acquire()
            .await
            .map_err(|_| StoreError::Stopped)?;
        let idle = std::sync::Arc::clone(&self.idle_readers);
        let path = self.path.clone();
        let task = tokio::task::spawn_blocking(move || {
            let kept = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = kept.map_or_else(|| open_reader(&path), Ok)?;
            let value = query(&connection);
            idle.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(connection);
            value
        });
        task.await.map_err(|_| StoreError::Stopped)?
    }
}

fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    let mut connection = connect(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
    )?;
    let set_up = |connection: &Connection| {
        // Before the first table: it cannot be changed later.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "journal_size_limit", 16_i64 << 20)
    };
    set_up(&connection).map_err(|source| StoreError::opening(path, source))?;
    migrations::migrate(&mut connection, path)?;
    Ok(connection)
}

/// The file of the store in a folder.
pub(super) fn file(data_dir: &Path) -> PathBuf {
    data_dir.join("hub.db")
}

pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    let open = || {
        let connection =
            Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.pragma_update(None, "busy_timeout", BUSY_TIMEOUT_MS)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        Ok(connection)
    };
    open().map_err(|source| StoreError::opening(path, source))
}

/// What every opening makes sure of: the hub's own row and the first tenant.
fn begin(connection: &mut Connection) -> Result<TenantScope, StoreError> {
    let now = clock::now();
    // Seconds since 1970, at every opening: a store that is made anew or put back from a copy
    // gets a number that the lost one never had, so that none ever names two events.
    let incarnation = now.0.div_euclid(1_000_000);
    let mut start = || -> rusqlite::Result<TenantScope> {
        let sql = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        sql.execute(
            "INSERT OR IGNORE INTO hub (one, incarnation, events_last) VALUES (1, ?1, 0)",
            [incarnation],
        )?;
        sql.execute(
            "UPDATE hub SET incarnation = max(incarnation + 1, ?1), events_last = 0",
            [incarnation],
        )?;
        sql.execute(
            "INSERT OR IGNORE INTO tenant (name, created_us) VALUES (?1, ?2)",
            (TenantScope::DEFAULT_NAME, now.0),
        )?;
        let key = sql.query_row(
            "SELECT tenant_id FROM tenant WHERE name = ?1",
            [TenantScope::DEFAULT_NAME],
            |row| row.get(0),
        )?;
        sql.commit()?;
        Ok(TenantScope::of_key(key))
    };
    start().doing("make its first rows")
}
