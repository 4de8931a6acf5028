//! Connections, the writer thread and migrations. Never a fact's meaning.

use super::changes::Change;
use super::error::{Doing as _, StoreError};
use super::sql;
use crate::clock;
use crate::tenants::TenantScope;
use protocol::time::{Hlc, HlcClock, Timestamp};
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Jobs that wait for the writer. Who brings another one waits until there is room.
const WRITE_QUEUE_MAX: usize = 64;
/// Readers at the same time. A further one waits.
const READERS_MAX: usize = 4;
/// How long a connection waits for another process (a backup) that holds the file.
const BUSY_TIMEOUT_MS: i64 = 5_000;
/// Statements kept ready per connection.
const STATEMENTS_KEPT: usize = 128;
/// The layouts, oldest first; the number of the newest stands in the file as `user_version`.
const MIGRATIONS: [&str; 1] = [include_str!("migrations/0001_first.sql")];
/// The hub's tie-breaker in logical stamps. Boxes take other numbers.
const HLC_NODE: u32 = 0;

type Job = Box<dyn FnOnce(&mut Writer) + Send>;

/// The open file: a queue to the writer thread and a few readers.
#[derive(Debug)]
pub(super) struct Engine {
    jobs: mpsc::Sender<Job>,
    path: PathBuf,
    idle_readers: std::sync::Arc<Mutex<Vec<Connection>>>,
    reading: Semaphore,
}

struct Writer {
    connection: Connection,
    hlc: HlcClock,
    incarnation: u32,
}

/// One transaction of the writer.
pub(super) struct Work<'a> {
    pub(super) sql: &'a Transaction<'a>,
    /// The hub's logical clock.
    pub(super) hlc: &'a mut HlcClock,
    /// The hub's incarnation as a writer of events.
    pub(super) incarnation: u32,
    /// The wall clock when the transaction began.
    pub(super) now: Timestamp,
    /// What to tell the listeners once this is committed.
    pub(super) changes: Vec<Change>,
}

impl Engine {
    /// Opens the file and starts the writer thread.
    pub(super) fn open(path: &Path) -> Result<(Self, TenantScope), StoreError> {
        let mut connection = open_writer(path)?;
        let scope = begin(&mut connection)?;
        let writer = Writer::new(connection)?;
        let (jobs, mut waiting) = mpsc::channel::<Job>(WRITE_QUEUE_MAX);
        std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || {
                let mut writer = writer;
                while let Some(job) = waiting.blocking_recv() {
                    job(&mut writer);
                }
            })
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

    /// Runs `work` in one transaction; an error or a panic in it rolls everything back.
    pub(super) async fn write<T, E>(
        &self,
        work: impl FnOnce(&mut Work<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<(T, Vec<Change>), E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |writer| {
            // A panic drops the transaction (rolled back) and `reply` (the caller learns of it).
            let result = catch_unwind(AssertUnwindSafe(|| writer.run(work)));
            if let Ok(result) = result {
                drop(reply.send(result));
            }
        });
        self.jobs.send(job).await.map_err(|_| StoreError::Stopped)?;
        answer.await.map_err(|_| StoreError::Stopped)?
    }

    /// Runs `query` on a reader, which sees one state of the store throughout.
    pub(super) async fn read<T: Send + 'static>(
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
            let snapshot = connection.unchecked_transaction().doing("begin to read")?;
            let value = query(&connection);
            drop(snapshot);
            idle.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(connection);
            value
        });
        task.await.map_err(|_| StoreError::Stopped)?
    }
}

impl Writer {
    fn new(connection: Connection) -> Result<Self, StoreError> {
        let incarnation = connection
            .query_row("SELECT incarnation FROM hub", [], |row| row.get(0))
            .doing("read its incarnation")?;
        let hlc = HlcClock::new(highest_near(&connection, clock::now())?, HLC_NODE);
        Ok(Self {
            connection,
            hlc,
            incarnation,
        })
    }

    fn run<T, E: From<StoreError>>(
        &mut self,
        work: impl FnOnce(&mut Work<'_>) -> Result<T, E>,
    ) -> Result<(T, Vec<Change>), E> {
        let sql = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .doing("begin to write")?;
        let mut transaction = Work {
            sql: &sql,
            hlc: &mut self.hlc,
            incarnation: self.incarnation,
            now: clock::now(),
            changes: Vec::new(),
        };
        let value = work(&mut transaction)?;
        let changes = transaction.changes;
        sql.commit().doing("commit")?;
        Ok((value, changes))
    }
}

/// The highest stored stamp that is not further ahead than a clock follows.
fn highest_near(connection: &Connection, now: Timestamp) -> Result<Hlc, StoreError> {
    let now_ms = u64::try_from(now.millis()).unwrap_or(0);
    let bound = Hlc {
        wall_ms: now_ms.saturating_add(protocol::limits::HLC_AHEAD_MS_MAX),
        counter: u32::MAX,
        node: u32::MAX,
    };
    let bytes: Option<[u8; 16]> = connection
        .query_row(
            "SELECT max(hlc) FROM event WHERE hlc <= ?1",
            [sql::hlc_bytes(bound)],
            |row| row.get(0),
        )
        .doing("read the highest stamp")?;
    Ok(bytes.map(sql::hlc).unwrap_or_default())
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
    set_up(&connection).map_err(|source| StoreError::Open {
        path: path.to_owned(),
        source,
    })?;
    migrate(&mut connection, path)?;
    Ok(connection)
}

fn open_reader(path: &Path) -> Result<Connection, StoreError> {
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
    open().map_err(|source| StoreError::Open {
        path: path.to_owned(),
        source,
    })
}

/// Brings an older layout up to date, one layout per transaction.
fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let found: usize = connection
        .pragma_query_value(None, "user_version", |row| sql::count(row, 0))
        .doing("read its layout number")?;
    if found > MIGRATIONS.len() {
        return Err(StoreError::Newer {
            path: path.to_owned(),
            found,
            known: MIGRATIONS.len(),
        });
    }
    for (layout, script) in (1_i64..).zip(MIGRATIONS).skip(found) {
        let step = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .doing("begin a migration")?;
        step.execute_batch(script).doing("migrate")?;
        step.pragma_update(None, "user_version", layout)
            .doing("note its layout number")?;
        step.commit().doing("commit a migration")?;
    }
    Ok(())
}

/// What every opening makes sure of: the hub's own row and the first tenant.
fn begin(connection: &mut Connection) -> Result<TenantScope, StoreError> {
    let now = clock::now();
    // Seconds since 1970: a store that is made anew gets a higher number than the lost one, so
    // that boxes never take its events for those they hold already.
    let incarnation = now.0.div_euclid(1_000_000);
    let mut start = || -> rusqlite::Result<TenantScope> {
        let sql = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        sql.execute(
            "INSERT OR IGNORE INTO hub (one, incarnation, events_last) VALUES (1, ?1, 0)",
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
