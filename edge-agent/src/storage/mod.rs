//! What the box keeps: readings in `buffer.db`, events and their folds in `core.db`. The only
//! room that names `SQLite`. Never decides what a reading or an event means.
//!
//! One thread writes, everybody else hands it jobs or reads beside it. A poll counts as stored
//! when it comes out of the channel of [`Committed`] batches: then it has survived a power cut.
//!
//! What is over the buffer's quota is given up oldest first, what the hub has before what it has
//! not; of the latter the statistics by minute stay, and each loss is an event. When the disk is
//! full, its end is the quota: a ballast file is let go so that events can be written, and readings
//! go on within the file. A commit that fails all the same keeps its polls in memory; the next try
//! comes a tick later, `Stats::failures` counts them, the queue fills and `push` says
//! [`PushError::Full`]. Nothing is ever half written.

mod adopt;
mod attachments;
mod blocks;
mod bridge;
mod buffer;
mod bundle;
mod checks;
mod commands;
mod database;
mod deliveries;
mod early;
mod error;
mod evict;
mod folds;
mod gaps;
mod holes;
mod inspect;
mod journal;
mod open;
mod points;
mod readers;
mod readings;
mod records;
mod retention;
mod rollups;
mod room;
mod salvage;
mod series;
mod site;
mod site_records;
mod source;
mod words;
mod writer;

#[cfg(test)]
mod tests;

pub use adopt::adopt;
pub use attachments::{AttachError, NewAttachment, Received};
pub use bridge::Held;
pub use commands::{CommandResult, TakenOn};
pub use deliveries::{DELIVERIES_MAX, Delivery, DeliveryEnd, TELLING_BYTES_MAX};
pub use error::{PushError, StorageError};
pub use folds::{Counts, Page};
pub use gaps::Gap;
pub use holes::StoredHole;
pub use inspect::{Found, Inspected, inspect, set_aside};
pub use points::{LOAD_ALERTS_MAX, RuleCounts};
pub use records::{ContentPlace, ContentSum, NewEvent, OwnEvents, RecordChange, RecordTx};
pub use retention::Keep;
pub use room::{DISK_WARNING_PERCENT, Disk};
pub use source::{Stats, StreamSync, SyncState};
pub use words::SensorWords;
pub use writer::{Batch, Committed};

use attachments::Attachments;
use buffer::Shared;
use folds::{alert, alerts, counts, order_of_alert, work_order, work_orders};
use protocol::alert::Alert;
use protocol::event::Event;
use protocol::id::{AlertId, GatewayId, SensorId, StreamId, WorkOrderId};
use protocol::limits::SNAPSHOT_POINTS_MAX;
use protocol::reading::{GroupSchema, Poll};
use protocol::series::Series;
use protocol::time::{ClockState, Timestamp};
use protocol::work_order::WorkOrder;
use readers::Readers;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use writer::{Job, Pushed, Writer};

/// Longest saved state: room for what `config::RULES_MAX` rules remember.
pub const STATE_BYTES_MAX: usize = 2 << 20;
/// Most states that are kept.
pub const STATES_MAX: usize = 10_000;
/// Longest document of the hub.
pub const REFERENCE_BYTES_MAX: usize = 1 << 20;
/// Most records on one page of a list.
pub const PAGE_MAX: usize = 200;

/// How the store is to be opened.
#[derive(Clone, Debug)]
pub struct StorageOptions {
    /// Where the databases are; made when it is not there.
    pub folder: PathBuf,
    /// A poll waits at most this long for its commit: what a power cut can cost. An urgent one does not
    /// wait for it.
    pub commit_tick: Duration,
    /// Polls that do not fill a block are sealed into one at this age.
    pub seal_after: Duration,
    /// Largest size of `buffer.db`; at least 1 MiB is taken. Its write-ahead log (4 MiB) is extra.
    pub buffer_bytes_max: u64,
    /// Largest size of `core.db`. Events are never given up: at this size writing one fails.
    pub core_bytes_max: u64,
    /// Room set aside on the disk, so that events can be written when it is full. At most a
    /// twentieth of the disk is taken; 0: none.
    pub ballast_bytes: u64,
    /// Room for photos and documents of work orders, beside the databases.
    pub attachments_bytes_max: u64,
    /// How long readings and their statistics are kept.
    pub keep: Keep,
    /// How much room the disk of a folder has; `Disk::of`, but for tests.
    pub disk: fn(&Path) -> Option<Disk>,
    /// Polls that may wait for the writer; further ones are refused with [`PushError::Full`].
    pub queue_polls_max: usize,
    /// The wall clock.
    pub now: fn() -> Timestamp,
    /// How far the wall clock may be trusted.
    pub clock: fn() -> ClockState,
}

/// How the store was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The identity of this box, made at the first start and kept in `core.db`.
    pub gateway: GatewayId,
    /// This opening of the store, at random: sequence numbers count within it, so that a store
    /// that is put back from a copy never uses one twice.
    pub incarnation: u32,
    /// The agent did not close the store the last time.
    pub unclean: bool,
    /// Where the damaged buffer is now, if it was replaced at this start.
    pub damaged: Option<PathBuf>,
}

/// The store. Clones share it; the last clone that goes closes it.
#[derive(Clone)]
pub struct Storage {
    polls: mpsc::Sender<Pushed>,
    jobs: mpsc::Sender<Job>,
    shared: Arc<Shared>,
    core: Arc<Readers>,
    buffer: Arc<Readers>,
    changes: broadcast::Sender<RecordChange>,
    held: watch::Receiver<Held>,
    attachments: Arc<Attachments>,
    bundle: Arc<bundle::Shown>,
    gateway: GatewayId,
}

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Storage")
            .field("gateway", &self.gateway)
            .finish_non_exhaustive()
    }
}

impl Storage {
    /// Opens or makes the store and starts its thread. Blocks while it checks the files: seconds
    /// after an unclean stop with a large buffer.
    ///
    /// What is committed goes to `committed`. When its reader is slow, nothing is lost: the store
    /// stops committing, its queue fills and `push` refuses. When it ends (channel closed), the
    /// store has stopped: closed, or its buffer is damaged and is replaced at the next open.
    ///
    /// Refuses a damaged or newer `core.db`, a newer `buffer.db`, and a folder in use.
    pub fn open(
        options: StorageOptions,
        committed: mpsc::Sender<Committed>,
    ) -> Result<(Self, Opened), StorageError> {
        open::open(options, committed)
    }

    /// The identity of this box.
    pub const fn gateway_id(&self) -> GatewayId {
        self.gateway
    }

    /// The stream of a poll group in this opening of the store: the same schema, the same stream.
    pub async fn register_group(&self, schema: GroupSchema) -> Result<StreamId, StorageError> {
        self.job(|writer| writer.buffer.register(schema)).await
    }

    /// Hands a poll over for the next commit. Never waits.
    pub fn push(&self, stream: StreamId, poll: Poll) -> Result<(), PushError> {
        self.push_with(stream, poll, false)
    }

    /// The same. What is urgent, because somebody is to be told, is committed at once with all that
    /// waits: at most every 100 ms, 60 times in a row and then once in 30 s; else with the tick.
    pub fn push_with(
        &self,
        stream: StreamId,
        poll: Poll,
        is_urgent: bool,
    ) -> Result<(), PushError> {
        if self.shared.columns(stream) != Some(poll.cells.len()) {
            return Err(PushError::WrongShape);
        }
        self.polls
            .try_send((stream, poll, is_urgent))
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => PushError::Full,
                mpsc::error::TrySendError::Closed(_) => PushError::Stopped,
            })
    }

    /// Polls that wait for the writer.
    pub fn queue_depth(&self) -> usize {
        self.polls.max_capacity() - self.polls.capacity()
    }

    /// Waits until everything pushed before is committed and handed on.
    pub async fn flush(&self) -> Result<(), StorageError> {
        let (answer, wait) = oneshot::channel();
        let job: Job = Box::new(|writer| writer.flushing.push(answer));
        self.send(job).await?;
        wait.await.map_err(|_| StorageError::Stopped)?
    }

    /// Commits what waits, empties the logs and lets go of the files. Later calls fail with
    /// [`StorageError::Stopped`]. Batches that nobody takes within 5 s are committed all the same.
    pub async fn close(&self) -> Result<(), StorageError> {
        self.core.close();
        self.buffer.close();
        let (answer, wait) = oneshot::channel();
        let job: Job = Box::new(|writer| writer.closing = Some(writer::closing(answer)));
        self.send(job).await?;
        wait.await.map_err(|_| StorageError::Stopped)?
    }

    /// Returns when the store has stopped: closed, or damaged.
    pub async fn stopped(&self) {
        self.jobs.closed().await;
    }

    /// Runs `work` as one transaction on the records. Its events are on disk when this returns
    /// `Ok`; when it returns an error, nothing was written.
    pub async fn records<T, E>(
        &self,
        work: impl FnOnce(&mut RecordTx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StorageError> + Send + 'static,
    {
        self.job(|writer| {
            let (now, clock) = writer.stamp();
            writer.core.records(now, clock, work)
        })
        .await
    }

    /// Every change of a record from now on. A listener that lags misses the oldest ones and is
    /// told so; it then reads the records again.
    pub fn changes(&self) -> broadcast::Receiver<RecordChange> {
        self.changes.subscribe()
    }

    /// An alert.
    pub async fn alert(&self, id: AlertId) -> Result<Option<Alert>, StorageError> {
        self.core.read(move |db| alert(db, id)).await
    }

    /// Alerts, newest first; at most [`PAGE_MAX`].
    pub async fn alerts(&self, page: Page) -> Result<Vec<Alert>, StorageError> {
        self.core.read(move |db| alerts(db, &page)).await
    }

    /// A work order.
    pub async fn work_order(&self, id: WorkOrderId) -> Result<Option<WorkOrder>, StorageError> {
        self.core.read(move |db| work_order(db, id)).await
    }

    /// Work orders, newest first; at most [`PAGE_MAX`].
    pub async fn work_orders(&self, page: Page) -> Result<Vec<WorkOrder>, StorageError> {
        self.core.read(move |db| work_orders(db, &page)).await
    }

    /// Id and number of the newest order that an alert stands behind.
    pub async fn order_of_alert(
        &self,
        alert: AlertId,
    ) -> Result<Option<(WorkOrderId, String)>, StorageError> {
        self.core.read(move |db| order_of_alert(db, alert)).await
    }

    /// How many records need somebody.
    pub async fn counts(&self) -> Result<Counts, StorageError> {
        self.core.read(counts).await
    }

    /// Readings of a sensor with `from <= time < to`, thinned to at most `points`. Sees what is
    /// committed. Taken from minutes, hours or days where there are very many, or where the
    /// readings themselves were given up.
    pub async fn readings(
        &self,
        sensor: SensorId,
        from: Timestamp,
        to: Timestamp,
        points: usize,
    ) -> Result<Series, StorageError> {
        let places = series::places(&self.shared, sensor);
        self.read_buffer(move |db| {
            series::series(db, &places, (from, to), points, series::ENTRIES_MAX)
        })
        .await
    }

    /// Values of a sensor for a work order: at most `points_max` (and never more than the limit
    /// of a snapshot), means of equal times when there are more readings.
    pub async fn snapshot(
        &self,
        sensor: SensorId,
        from: Timestamp,
        to: Timestamp,
        points_max: usize,
    ) -> Result<Vec<(Timestamp, f64)>, StorageError> {
        let points_max = points_max.min(SNAPSHOT_POINTS_MAX);
        let series = self.readings(sensor, from, to, points_max).await?;
        let points = series.points.into_iter();
        Ok(points.filter_map(|p| Some((p.time, p.mean?))).collect())
    }

    /// Takes over events of the hub, numbered from `first_seq` on in its stream for this box.
    /// Those that are there already are left out. Says up to where the hub's events are held.
    pub async fn apply_down(
        &self,
        first_seq: u64,
        events: Vec<Event>,
    ) -> Result<u64, StorageError> {
        self.job(move |writer| {
            let now = (writer.now)();
            writer.core.apply_down(first_seq, events, now)
        })
        .await
    }

    /// Reads beside the writer; damage that shows makes the store stop, so that the next start
    /// replaces the buffer.
    async fn read_buffer<T: Send + 'static>(
        &self,
        work: impl FnOnce(&rusqlite::Connection) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let result = self.buffer.read(work).await;
        if result.as_ref().is_err_and(StorageError::is_damage) {
            self.send(Box::new(Writer::stop_damaged)).await?;
        }
        result
    }

    /// Gives the writer something to do and waits for what it says.
    async fn job<T, E>(
        &self,
        work: impl FnOnce(&mut Writer) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StorageError> + Send + 'static,
    {
        let (answer, wait) = oneshot::channel();
        let job: Job = Box::new(|writer| {
            // Whoever waited may have gone; the work is done all the same.
            drop(answer.send(work(writer)));
        });
        self.send(job).await?;
        wait.await.map_err(|_| StorageError::Stopped)?
    }

    async fn send(&self, job: Job) -> Result<(), StorageError> {
        let sent = self.jobs.send(job).await;
        sent.map_err(|_| StorageError::Stopped)
    }
}
