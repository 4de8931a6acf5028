//! The writer thread: what waits when it is free goes into one commit, each job by itself, so that
//! a bad one takes back only its own. Never answers before the commit is on the disk.

use super::changes::Change;
use super::error::{Doing as _, StoreError};
use super::sql;
use crate::clock;
use protocol::time::{Hlc, HlcClock, Timestamp};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// A commit that has taken this long takes no further job in, so that nobody waits long for it.
const GROUP_MAX: Duration = Duration::from_millis(40);
/// Most jobs of one commit.
const GROUP_JOBS_MAX: usize = 256;
/// The hub's tie-breaker in logical stamps. Boxes take other numbers.
const HLC_NODE: u32 = 0;

/// One transaction of the writer, as a job sees it.
pub(super) struct Work<'a> {
    pub(super) sql: &'a Transaction<'a>,
    /// The hub's logical clock.
    pub(super) hlc: &'a mut HlcClock,
    /// The wall clock when the job began.
    pub(super) now: Timestamp,
    /// What to tell the listeners once this is committed.
    pub(super) changes: Vec<Change>,
}

/// Work that waits for the writer.
pub(super) trait Job: Send {
    /// Does it; whether what it did is to be kept.
    fn run(&mut self, work: &mut Work<'_>) -> bool;
    /// Tells who waits how it ended.
    fn answer(self: Box<Self>, committed: Result<(), &StoreError>);
}

/// What a job makes, and what is to be told to listeners.
type Made<T, E> = Result<(T, Vec<Change>), E>;

/// A closure as a job.
struct Task<F, T, E> {
    work: Option<F>,
    made: Option<Made<T, E>>,
    reply: oneshot::Sender<Made<T, E>>,
}

/// Makes a job of `work`; its end comes through the receiver, which learns of a panic by getting
/// nothing.
pub(super) fn job<F, T, E>(work: F) -> (Box<dyn Job>, oneshot::Receiver<Made<T, E>>)
where
    F: FnOnce(&mut Work<'_>) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    let task = Task {
        work: Some(work),
        made: None,
        reply,
    };
    (Box::new(task), answer)
}

impl<F, T, E> Job for Task<F, T, E>
where
    F: FnOnce(&mut Work<'_>) -> Result<T, E> + Send,
    T: Send,
    E: From<StoreError> + Send,
{
    fn run(&mut self, work: &mut Work<'_>) -> bool {
        let Some(task) = self.work.take() else {
            return false;
        };
        work.changes.clear();
        work.now = clock::now();
        // A panic takes back its own part and leaves nothing to answer: the caller learns of it.
        let result = catch_unwind(AssertUnwindSafe(|| task(work)));
        let changes = std::mem::take(&mut work.changes);
        self.made = result.ok().map(|made| made.map(|value| (value, changes)));
        matches!(self.made, Some(Ok(_)))
    }

    fn answer(self: Box<Self>, committed: Result<(), &StoreError>) {
        let made = match (self.made, committed) {
            (Some(Err(error)), _) => Err(error),
            // Also when it was not its turn any more.
            (_, Err(error)) => Err(error.again().into()),
            (Some(made), Ok(())) => made,
            (None, Ok(())) => return,
        };
        drop(self.reply.send(made));
    }
}

/// The connection that writes.
pub(super) struct Writer {
    connection: Connection,
    hlc: HlcClock,
}

impl Writer {
    pub(super) fn new(connection: Connection) -> Result<Self, StoreError> {
        let hlc = HlcClock::new(highest_near(&connection, clock::now())?, HLC_NODE);
        Ok(Self { connection, hlc })
    }

    /// Works until nobody can bring anything any more.
    pub(super) fn serve(mut self, mut waiting: mpsc::Receiver<Box<dyn Job>>) {
        while let Some(job) = waiting.blocking_recv() {
            let mut jobs = vec![job];
            let committed = self.commit_together(&mut jobs, &mut waiting);
            for job in jobs {
                job.answer(committed.as_ref().copied());
            }
        }
    }

    /// Runs the first job and those that wait in one transaction.
    fn commit_together(
        &mut self,
        jobs: &mut Vec<Box<dyn Job>>,
        waiting: &mut mpsc::Receiver<Box<dyn Job>>,
    ) -> Result<(), StoreError> {
        let began = Instant::now();
        let sql = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .doing("begin to write")?;
        let mut work = Work {
            sql: &sql,
            hlc: &mut self.hlc,
            now: Timestamp::default(),
            changes: Vec::new(),
        };
        let mut next = 0;
        while let Some(job) = jobs.get_mut(next) {
            run_apart(job.as_mut(), &mut work)?;
            next += 1;
            if next < GROUP_JOBS_MAX && began.elapsed() < GROUP_MAX {
                jobs.extend(waiting.try_recv().ok());
            }
        }
        sql.commit().doing("commit")
    }
}

/// Runs one job so that nothing of it stays when it fails.
fn run_apart(job: &mut dyn Job, work: &mut Work<'_>) -> Result<(), StoreError> {
    let sql = work.sql;
    let statement = |text: &str| {
        sql.prepare_cached(text)
            .and_then(|mut query| query.execute([]))
            .map(|_| ())
            .doing("keep what is written together apart")
    };
    statement("SAVEPOINT job")?;
    if !job.run(work) {
        // Fails when the database took the whole transaction back (a full disk, a broken file):
        // then nothing of the group is kept.
        statement("ROLLBACK TO job")?;
    }
    statement("RELEASE job")
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
