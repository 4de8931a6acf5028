//! The one thread that writes: commits what was pushed, seals, evicts, and runs the jobs it is
//! given, one after the other. Never blocks on anybody: a slow reader of committed batches makes
//! it stop taking polls, so that the queue fills and the loss is counted where it happens.

use super::blocks;
use super::bridge::Bridge;
use super::buffer::{Buffer, FILE, Pending};
use super::database;
use super::early::Early;
use super::error::StorageError;
use super::records::{Core, NewEvent};
use super::retention::Ages;
use super::room::Room;
use protocol::event::{Actor, Body, GatewayEvent, RecordKind, RecordRef};
use protocol::id::{EventId, StreamId};
use protocol::reading::Poll;
use protocol::time::{ClockState, Timestamp};
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// Polls that make a commit happen before its time; also the most that memory holds beside the
/// queue.
pub(super) const COMMIT_POLLS_MAX: usize = 1_024;
/// Acknowledgements are written at most this often. Losing one costs sending again, no reading.
const ACK_PERIOD: Duration = Duration::from_secs(10);
/// After a failed seal or eviction the next try waits this long.
const RETRY_PERIOD: Duration = Duration::from_secs(30);
/// How long the last batches may wait for their reader when the store closes.
const CLOSE_MAX: Duration = Duration::from_secs(5);
/// With less than this free, a failed commit is the disk's matter and not the quota's.
const DISK_LEAST_BYTES: u64 = 1 << 20;

/// Polls that are durable now.
#[derive(Clone, Debug, PartialEq)]
pub struct Committed {
    /// One per stream that had polls.
    pub batches: Vec<Batch>,
}

/// Polls of one stream that follow one another.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The stream.
    pub stream: StreamId,
    /// Sequence number of the first poll.
    pub first_seq: u64,
    /// The polls.
    pub polls: Arc<[Poll]>,
}

/// A poll on its way, and whether it is urgent.
pub(super) type Pushed = (StreamId, Poll, bool);
/// Something to be done by the writer's thread.
pub(super) type Job = Box<dyn FnOnce(&mut Writer) + Send>;
/// Told when everything pushed before is committed and handed on.
pub(super) type Waiter = oneshot::Sender<Result<(), StorageError>>;

/// What comes in.
pub(super) struct Inputs {
    pub polls: mpsc::Receiver<Pushed>,
    pub jobs: mpsc::Receiver<Job>,
}

/// The state of the writing thread.
pub(super) struct Writer {
    pub folder: PathBuf,
    /// Held as long as the writer lives, so that no second agent writes into the folder.
    pub lock: File,
    pub core: Core,
    pub buffer: Buffer,
    pub pending: Pending,
    pub commit_tick: Duration,
    pub seal_after: Duration,
    pub room: Room,
    /// The write-ahead logs are held short because the disk is full.
    pub short_logs: bool,
    pub ages: Ages,
    pub now: fn() -> Timestamp,
    pub clock: fn() -> ClockState,
    pub committed: mpsc::Sender<Committed>,
    /// Committed and not yet handed on.
    pub unpublished: Option<Committed>,
    pub due: Option<Instant>,
    /// How often that was before the tick.
    pub early: Early,
    pub retry_at: Option<Instant>,
    pub flushing: Vec<Waiter>,
    pub closing: Option<(Waiter, Instant)>,
    /// Commits that failed since the last that did not.
    pub failures: u64,
    /// The buffer is damaged: nothing can be written until it is opened again.
    pub damaged: bool,
    /// Readings that are moved to their true time.
    pub bridge: Bridge,
}

impl Writer {
    /// Works until it is told to close, or until nobody can tell it anything any more.
    pub(super) async fn run(mut self, mut inputs: Inputs) {
        let mut incoming = Vec::new();
        loop {
            let room = COMMIT_POLLS_MAX.saturating_sub(self.pending.count);
            let wake = tokio::time::Instant::from_std(self.wake_at());
            let committed = self.committed.clone();
            tokio::select! {
                permit = committed.reserve(), if self.unpublished.is_some() => {
                    if let (Some(batches), Ok(permit)) = (self.unpublished.take(), permit) {
                        permit.send(batches);
                    }
                }
                job = inputs.jobs.recv() => match job {
                    Some(job) => self.work(job),
                    None => break,
                },
                count = inputs.polls.recv_many(&mut incoming, room),
                    if room > 0 && !(inputs.polls.is_closed() && inputs.polls.is_empty()) =>
                {
                    self.take(&mut incoming, count);
                }
                () = tokio::time::sleep_until(wake) => {}
            }
            if !self.flushing.is_empty() || self.closing.is_some() {
                self.drain(&mut inputs.polls);
            }
            self.housekeeping();
            if self.damaged || self.may_close() {
                break;
            }
        }
        self.finish(inputs);
    }

    /// Runs a job; one that panics does not take the store with it.
    fn work(&mut self, job: Job) {
        // A job may write an event: there is room for it as long as the ballast has not gone.
        self.room.look();
        self.hold_logs();
        if catch_unwind(AssertUnwindSafe(|| job(self))).is_err() {
            tracing::error!("a job given to the store panicked; nothing of it was written");
        }
    }

    /// Takes polls over from the queue.
    fn take(&mut self, incoming: &mut Vec<Pushed>, count: usize) {
        let mut any_urgent = false;
        for (stream, mut poll, is_urgent) in incoming.drain(..) {
            self.correct_late(&mut poll);
            self.pending.polls.entry(stream).or_default().push(poll);
            any_urgent |= is_urgent;
        }
        self.pending.count += count;
        if count > 0 {
            self.set_due();
        }
        if any_urgent && let Some(due) = self.due {
            self.due = Some(self.early.at(Instant::now(), due));
        }
    }

    /// The next commit comes at most a tick from now.
    pub(super) fn set_due(&mut self) {
        let tick = self.commit_tick;
        self.due.get_or_insert_with(|| Instant::now() + tick);
    }

    fn drain(&mut self, polls: &mut mpsc::Receiver<Pushed>) {
        while self.pending.count < COMMIT_POLLS_MAX
            && let Ok((stream, mut poll, _)) = polls.try_recv()
        {
            self.correct_late(&mut poll);
            self.pending.polls.entry(stream).or_default().push(poll);
            self.pending.count += 1;
        }
    }

    fn wake_at(&self) -> Instant {
        let now = Instant::now();
        let not_before = |due: Instant| due.max(self.retry_at.unwrap_or(due));
        let acks = self
            .buffer
            .acks_since
            .map(|since| not_before(since + ACK_PERIOD));
        let seal = self.buffer.seal_due(self.seal_after).map(not_before);
        // While batches wait for their reader, the next commit waits for them.
        let commit = self.due.filter(|_| self.unpublished.is_none());
        let ages = self.ages.due().map(not_before);
        let closing = self.closing.as_ref().map(|(_, at)| *at);
        let moving = self.bridge.is_busy().then(|| not_before(now));
        let earliest = [acks, seal, commit, ages, closing, moving];
        let earliest = earliest.into_iter().flatten().min();
        earliest.unwrap_or(now + Duration::from_secs(60))
    }

    fn housekeeping(&mut self) {
        let now = Instant::now();
        let urgent = !self.flushing.is_empty()
            || self.closing.is_some()
            || self.pending.count >= COMMIT_POLLS_MAX
            || self.due.is_some_and(|due| due <= now);
        if urgent && self.unpublished.is_none() && !self.pending.is_empty() {
            self.look_at_disk();
            self.commit(now);
        }
        if self.retry_at.is_none_or(|at| at <= now) {
            self.retry_at = None;
            let result = self.chores(now);
            self.settle("sealing or evicting readings", result);
            let result = self.notes(now);
            self.settle_core("noting what the hub has or what was lost", result);
        }
        if self.pending.count == 0 && self.unpublished.is_none() {
            for waiter in self.flushing.drain(..) {
                drop(waiter.send(Ok(()))); // Whoever waited may have gone.
            }
        }
    }

    /// Commits what is pending and hands it on. What fails stays pending: the next try comes a
    /// tick later, and a queue that fills meanwhile refuses polls to their caller.
    fn commit(&mut self, now: Instant) {
        let mut result = self.buffer.commit(&self.pending, now);
        if result.as_ref().is_err_and(StorageError::is_full) {
            if self
                .room
                .disk
                .is_none_or(|disk| disk.free_bytes < DISK_LEAST_BYTES)
            {
                self.room.let_go();
                self.look_at_disk();
            }
            // The log may be what has no room: its pages in the file need none.
            let carried = database::carry_over(&self.buffer.db).is_ok();
            if self.buffer.make_room().is_ok_and(|went| went) || carried {
                result = self.buffer.commit(&self.pending, now);
            }
        }
        self.due = None;
        match result {
            Ok(firsts) => {
                self.failures = 0;
                let pending = std::mem::take(&mut self.pending);
                let batches = pending.polls.into_iter().filter_map(|(stream, polls)| {
                    Some(Batch {
                        stream,
                        first_seq: *firsts.get(&stream)?,
                        polls: polls.into(),
                    })
                });
                let batches: Vec<Batch> = batches.collect();
                if !batches.is_empty() && !self.committed.is_closed() {
                    self.unpublished = Some(Committed { batches });
                }
            }
            Err(error) => {
                self.failures += 1;
                self.set_due();
                for waiter in self.flushing.drain(..) {
                    drop(waiter.send(Err(StorageError::NotCommitted)));
                }
                self.settle(
                    "committing readings; they wait for the next try",
                    Err(error),
                );
            }
        }
    }

    /// Tells the buffer how far it may grow.
    fn look_at_disk(&mut self) {
        if let Some(bytes) = self.room.look() {
            let result = self.buffer.may_grow(bytes);
            self.settle("holding the buffer to the room on the disk", result);
        }
        self.hold_logs();
    }

    /// On a full disk the logs of both databases are carried over at once, while the room of the
    /// ballast is there, and stay short.
    fn hold_logs(&mut self) {
        if self.room.full == self.short_logs {
            return;
        }
        self.short_logs = self.room.full;
        for db in [&self.core.db, &self.buffer.db] {
            let result =
                database::log_length(db, self.short_logs).and_then(|()| database::carry_over(db));
            if let Err(error) = result {
                tracing::warn!(%error, "a write-ahead log could not be carried over; tried again with the next commit");
            }
        }
    }

    fn chores(&mut self, now: Instant) -> Result<(), StorageError> {
        let clocks = self.stamp();
        self.buffer.expire(&mut self.ages, now, clocks)?;
        if self.buffer.wants_room()? && !self.buffer.make_room()? {
            // Nothing is sealed yet, so nothing can be given up: seal early.
            self.buffer.seal(self.seal_after, now, true)?;
            self.buffer.make_room()?;
        }
        if self.buffer.wants_seal(self.seal_after, now) {
            self.buffer.seal(self.seal_after, now, false)?;
        }
        self.move_blocks()
    }

    /// The time and how far it may be trusted, both of one moment.
    pub(super) fn stamp(&self) -> (Timestamp, ClockState) {
        loop {
            let (clock, now) = ((self.clock)(), (self.now)());
            if (self.clock)() == clock {
                return (now, clock);
            }
        }
    }

    fn notes(&mut self, now: Instant) -> Result<(), StorageError> {
        let due = |since: Instant| since + ACK_PERIOD <= now;
        if self.buffer.acks_since.is_some_and(due) {
            self.save_acks()?;
        }
        if self.buffer.gaps_waiting {
            self.tell_gaps()?;
        }
        Ok(())
    }

    fn save_acks(&mut self) -> Result<(), StorageError> {
        self.buffer.save_acks()?;
        if self.core.acked_dirty {
            self.core.save_acked()?;
        }
        Ok(())
    }

    /// Writes an event for each gap of the buffer. Its id follows from the gap, so that a crash
    /// between the two databases does not tell it twice.
    pub(super) fn tell_gaps(&mut self) -> Result<(), StorageError> {
        let gateway = self.core.gateway();
        let file = database::meta::<u32>(&self.buffer.db, FILE)?.unwrap_or(0);
        let losses = blocks::losses(&self.buffer.db)?;
        for (number, loss) in losses {
            let name = format!("gap:{file}:{number}");
            let event = NewEvent {
                id: Some(EventId(uuid::Uuid::new_v5(&gateway.0, name.as_bytes()))),
                actor: Actor::System("storage".to_owned()),
                record: RecordRef {
                    kind: RecordKind::Gateway,
                    id: gateway.0,
                },
                body: Body::Gateway(GatewayEvent::Gap {
                    from: loss.from,
                    to: loss.to,
                    polls: loss.polls,
                    cause: loss.cause,
                }),
            };
            let (now, clock) = self.stamp();
            self.core.records(now, clock, |tx| tx.append(event))?;
            blocks::forget_loss(&self.buffer.db, number)?;
        }
        self.buffer.gaps_waiting = !blocks::losses(&self.buffer.db)?.is_empty();
        Ok(())
    }

    /// Logs a failure of the buffer; stops when it is damaged.
    fn settle(&mut self, doing: &'static str, result: Result<(), StorageError>) {
        if result.as_ref().is_err_and(StorageError::is_damage) {
            self.stop_damaged();
        }
        self.settle_core(doing, result);
    }

    /// Logs a failure; the next try waits a while.
    fn settle_core(&mut self, doing: &'static str, result: Result<(), StorageError>) {
        if let Err(error) = result {
            self.retry_at = Some(Instant::now() + RETRY_PERIOD);
            let source = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(%error, source, doing, "the store could not do its work");
        }
    }

    /// Ends the writer: the next start sets the buffer aside and begins a new one.
    pub(super) fn stop_damaged(&mut self) {
        tracing::error!("buffer.db is damaged; it is replaced when the agent starts again");
        self.damaged = true;
        if let Err(error) = database::mark_suspect(&self.folder) {
            tracing::error!(%error, "the damaged buffer could not be marked");
        }
    }

    fn may_close(&self) -> bool {
        self.closing.as_ref().is_some_and(|(_, deadline)| {
            let done = self.pending.is_empty() && self.unpublished.is_none();
            done || *deadline <= Instant::now()
        })
    }

    /// The last commit, the last notes, an empty log.
    fn finish(mut self, mut inputs: Inputs) {
        inputs.jobs.close();
        inputs.polls.close();
        let mut result = Ok(());
        if !self.damaged {
            result = self.last_commit(&mut inputs.polls);
            result = result.and_then(|()| self.save_acks());
        }
        let Self {
            core,
            buffer,
            closing,
            lock,
            ..
        } = self;
        for db in [core.db, buffer.db] {
            // A reader that is still at work may hold it up; the next start finishes it.
            if let Err(error) = db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)") {
                tracing::warn!(%error, "the write-ahead log could not be emptied at the end");
            }
        }
        drop(lock);
        if let Some((waiter, _)) = closing {
            drop(waiter.send(result));
        }
    }

    fn last_commit(&mut self, polls: &mut mpsc::Receiver<Pushed>) -> Result<(), StorageError> {
        loop {
            self.drain(polls);
            if self.pending.is_empty() {
                return Ok(());
            }
            self.buffer.commit(&self.pending, Instant::now())?;
            self.pending = Pending::default();
        }
    }
}

/// A closer for `close`: its answer comes when the files are let go.
pub(super) fn closing(waiter: Waiter) -> (Waiter, Instant) {
    (waiter, Instant::now() + CLOSE_MAX)
}
