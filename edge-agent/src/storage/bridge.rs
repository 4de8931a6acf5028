//! What was stamped before the time was known, moved once it is. Never moves a stamp twice: each
//! poll and event says itself whether it was moved; never changes the order within a stream; never
//! touches what another store may have, for until it is moved nothing of such an opening leaves
//! the box (`Held`).
//!
//! Events are moved in one transaction, which also notes by how much. The readings follow block by
//! block, beside the daily work, and are finished at the next start if the program ends meanwhile.

use super::blocks;
use super::buffer::Buffer;
use super::database::{meta, set_meta};
use super::error::{Doing as _, StorageError};
use super::records::Core;
use super::rollups;
use super::writer::Writer;
use super::{RecordChange, Storage, folds};
use protocol::block;
use protocol::event::RecordRef;
use protocol::id::{EventId, StreamId};
use protocol::reading::{Poll, RawKind};
use protocol::time::{ClockState, Correction, Timestamp};
use protocol::wire;
use protocol::wire::v1::Chain;
use rusqlite::{OptionalExtension as _, TransactionBehavior};
use std::collections::{BTreeSet, VecDeque};
use tokio::sync::watch;

const DOING: &str = "moving readings to their true time";
const DOING_EVENTS: &str = "moving events to their true time";
/// Where core.db keeps what the clock knows of the boot.
const BOOT: &str = "boot";
/// Blocks moved in one transaction: a second's work at most.
const BLOCKS_MAX: usize = 16;

/// Openings of which something may not leave the box yet, because its times may still be moved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Of these no event.
    pub events: BTreeSet<u32>,
    /// Of these no reading.
    pub polls: BTreeSet<u32>,
}

/// What is being moved.
pub(super) struct Bridge {
    /// Blocks that are yet to be looked at, and by how much what is untrusted in them moves.
    todo: VecDeque<(i64, i64)>,
    held: watch::Sender<Held>,
    /// Untrusted polls of this opening that come late are moved as they come.
    shift_us: Option<i64>,
}

impl Bridge {
    pub(super) fn new() -> (Self, watch::Receiver<Held>) {
        let (held, seen) = watch::channel(Held::default());
        let bridge = Self {
            todo: VecDeque::new(),
            held,
            shift_us: None,
        };
        (bridge, seen)
    }

    /// Whether there is something to be moved.
    pub(super) fn is_busy(&self) -> bool {
        !self.todo.is_empty()
    }
}

/// The true time of a poll that was stamped before it was known.
pub(super) fn correct(poll: &mut Poll, shift_us: i64) -> bool {
    let is_untrusted = poll.clock == ClockState::Untrusted;
    if is_untrusted {
        poll.time = poll.time.plus_micros(shift_us);
        poll.clock = ClockState::Corrected;
    }
    is_untrusted
}

impl Storage {
    /// What the clock kept at the last start, and the newest time that this box wrote down.
    pub async fn saved_clock(&self) -> Result<(Option<Vec<u8>>, Timestamp), StorageError> {
        self.job(|writer| {
            let saved = meta(&writer.core.db, BOOT)?;
            let last = meta::<[u8; 16]>(&writer.core.db, "clock")?.map(folds::hlc_from_key);
            let last_ms = last.map_or(0, |last| i64::try_from(last.wall_ms).unwrap_or(i64::MAX));
            Ok((saved, Timestamp::from_millis(last_ms)))
        })
        .await
    }

    /// Keeps what the clock knows of this boot, and holds what this opening writes while the time
    /// is not known. What an earlier boot left untrusted stays so: its time will never be known.
    /// Says whether anything waits for the time.
    pub async fn hold(
        &self,
        boot: String,
        saved: Vec<u8>,
        is_known: bool,
    ) -> Result<bool, StorageError> {
        self.job(move |writer| {
            writer.core.hold(&boot, &saved, is_known)?;
            writer.tell_held()?;
            let held = writer.bridge.held.borrow();
            Ok(!held.events.is_empty())
        })
        .await
    }

    /// The time is known: moves what was stamped before in this boot. `state` is saved with it,
    /// under its key. Doing it twice changes nothing.
    pub async fn correct(
        &self,
        (boot, saved): (String, Vec<u8>),
        by: Correction,
        state: (String, Vec<u8>),
    ) -> Result<(), StorageError> {
        self.job(move |writer| {
            // First: judged again, readings that were moved would be other alerts.
            writer.buffer.save_state_now(&state)?;
            writer.pending.states.remove(&state.0);
            let changed = writer.core.correct(&boot, &saved, &by)?;
            writer.bridge.shift_us = Some(by.shift_us);
            for poll in writer.pending.polls.values_mut().flatten() {
                correct(poll, by.shift_us);
            }
            let (after, now) = (writer.seal_after, std::time::Instant::now());
            writer.buffer.seal(after, now, true)?;
            writer.find_blocks()?;
            writer.tell_held()?;
            for record in changed {
                let events = Vec::new();
                // Nobody listens: that is no error.
                drop(writer.core.changes.send(RecordChange { record, events }));
            }
            Ok(())
        })
        .await
    }

    /// What may not leave the box yet.
    pub fn held(&self) -> watch::Receiver<Held> {
        self.held.clone()
    }
}

impl Writer {
    /// Looks for what an opening left to be moved.
    pub(super) fn find_blocks(&mut self) -> Result<(), StorageError> {
        self.bridge.todo.clear();
        for (incarnation, shift_us) in self.core.untrusted()? {
            let Some(shift_us) = shift_us else { continue };
            let ids = self.buffer.blocks_of(incarnation)?;
            self.bridge
                .todo
                .extend(ids.into_iter().map(|id| (id, shift_us)));
        }
        Ok(())
    }

    /// What the program did not get through before it ended, before anybody reads.
    pub(super) fn finish_moving(&mut self) -> Result<(), StorageError> {
        self.find_blocks()?;
        while self.bridge.is_busy() {
            self.move_blocks()?;
        }
        self.tell_held()
    }

    /// Moves some readings. When all are moved, they may leave the box.
    pub(super) fn move_blocks(&mut self) -> Result<(), StorageError> {
        if !self.bridge.is_busy() {
            return Ok(());
        }
        let some: Vec<_> = self.bridge.todo.iter().copied().take(BLOCKS_MAX).collect();
        self.buffer.correct_blocks(&some)?;
        self.bridge.todo.drain(..some.len());
        if self.bridge.is_busy() {
            return Ok(());
        }
        self.tell_held()
    }

    /// Forgets openings that are through, and tells what is still held.
    pub(super) fn tell_held(&mut self) -> Result<(), StorageError> {
        if !self.bridge.is_busy() {
            self.core.forget_moved()?;
        }
        let mut held = Held::default();
        for (incarnation, shift_us) in self.core.untrusted()? {
            held.polls.insert(incarnation);
            if shift_us.is_none() {
                held.events.insert(incarnation);
            }
        }
        self.bridge.held.send_if_modified(|before| {
            let is_new = *before != held;
            *before = held;
            is_new
        });
        Ok(())
    }

    /// Polls of this opening that were stamped before the time was known and come after.
    pub(super) fn correct_late(&self, poll: &mut Poll) {
        if let Some(shift_us) = self.bridge.shift_us {
            correct(poll, shift_us);
        }
    }
}

impl Core {
    fn hold(&mut self, boot: &str, saved: &[u8], is_known: bool) -> Result<(), StorageError> {
        let doing = "noting that the time is not known";
        let incarnation = self.incarnation();
        let tx = self.db.transaction().doing(doing)?;
        set_meta(&tx, BOOT, saved)?;
        tx.execute(
            "DELETE FROM untrusted WHERE boot <> ?1 AND shift_us IS NULL",
            [boot],
        )
        .doing(doing)?;
        if !is_known {
            tx.execute(
                "INSERT OR IGNORE INTO untrusted (incarnation, boot) VALUES (?1, ?2)",
                (incarnation, boot),
            )
            .doing(doing)?;
        }
        tx.commit().doing(doing)
    }

    /// Openings whose stamps wait for the time or are being moved, and by how much.
    fn untrusted(&self) -> Result<Vec<(u32, Option<i64>)>, StorageError> {
        let mut query = self
            .db
            .prepare_cached("SELECT incarnation, shift_us FROM untrusted")
            .doing(DOING)?;
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        rows.and_then(Iterator::collect).doing(DOING)
    }

    fn forget_moved(&self) -> Result<(), StorageError> {
        self.db
            .execute("DELETE FROM untrusted WHERE shift_us IS NOT NULL", [])
            .doing(DOING)?;
        Ok(())
    }

    /// Moves the events of a boot's openings; the records that changed by it.
    fn correct(
        &mut self,
        boot: &str,
        saved: &[u8],
        by: &Correction,
    ) -> Result<BTreeSet<RecordRef>, StorageError> {
        let current = self.incarnation();
        let mut changed = BTreeSet::new();
        let mut end = None;
        let tx = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .doing(DOING_EVENTS)?;
        set_meta(&tx, BOOT, saved)?;
        let incarnations: Vec<u32> = tx
            .prepare("SELECT incarnation FROM untrusted WHERE boot = ?1 AND shift_us IS NULL")
            .and_then(|mut query| query.query_map([boot], |row| row.get(0))?.collect())
            .doing(DOING_EVENTS)?;
        for incarnation in &incarnations {
            let chain = correct_events(&tx, *incarnation, by, &mut changed)?;
            end = end.or(chain.filter(|_| *incarnation == current));
        }
        for record in &changed {
            folds::refresh(&tx, *record)?;
        }
        tx.execute(
            "UPDATE untrusted SET shift_us = ?2 WHERE boot = ?1 AND shift_us IS NULL",
            (boot, by.shift_us),
        )
        .doing(DOING_EVENTS)?;
        tx.commit().doing(DOING_EVENTS)?;
        self.corrected(end, *by);
        Ok(changed)
    }
}

/// Moves the events of one opening; the chain over all of them, if there are any.
fn correct_events(
    db: &rusqlite::Connection,
    incarnation: u32,
    by: &Correction,
    changed: &mut BTreeSet<RecordRef>,
) -> Result<Option<Chain>, StorageError> {
    let mut query = db
        .prepare(
            "SELECT id, body FROM event WHERE incarnation = ?1 AND seq IS NOT NULL ORDER BY seq",
        )
        .doing(DOING_EVENTS)?;
    let mut rows = query.query([incarnation]).doing(DOING_EVENTS)?;
    let mut chain = None;
    let mut moved: Vec<(EventId, Chain, Vec<u8>)> = Vec::new();
    while let Some(row) = rows.next().doing(DOING_EVENTS)? {
        let body: Vec<u8> = row.get(1).doing(DOING_EVENTS)?;
        let mut event = wire::decode_event(&body).doing(DOING_EVENTS)?;
        if event.clock == ClockState::Untrusted {
            changed.insert(event.record);
        }
        event.correct(by);
        let body = wire::encode_event(&event).doing(DOING_EVENTS)?;
        let so_far = wire::chain(&chain.unwrap_or_default(), &body);
        chain = Some(so_far);
        moved.push((event.id, so_far, body));
    }
    for (id, chain, body) in moved {
        db.prepare_cached("UPDATE event SET chain = ?2, body = ?3 WHERE id = ?1")
            .and_then(|mut update| update.execute((id.0.as_bytes().as_slice(), chain, body)))
            .doing(DOING_EVENTS)?;
    }
    Ok(chain)
}

impl Buffer {
    /// Saves a state at once, not with the next commit.
    fn save_state_now(&self, (key, bytes): &(String, Vec<u8>)) -> Result<(), StorageError> {
        self.db
            .execute(
                "INSERT OR REPLACE INTO state (key, value) VALUES (?1, ?2)",
                (key, bytes),
            )
            .doing("saving a state")?;
        Ok(())
    }

    /// The blocks of an opening, in the order in which they were sealed.
    fn blocks_of(&self, incarnation: u32) -> Result<Vec<i64>, StorageError> {
        self.db
            .prepare(
                "SELECT block.id FROM block INDEXED BY block_range
                 WHERE stream IN (SELECT id FROM stream WHERE incarnation = ?1) ORDER BY block.id",
            )
            .and_then(|mut query| query.query_map([incarnation], |row| row.get(0))?.collect())
            .doing(DOING)
    }

    /// Moves what is untrusted in these blocks, and counts it in the rollups from now on. Blocks
    /// that are gone or cannot be read are passed over: sending finds and tells these.
    fn correct_blocks(&mut self, some: &[(i64, i64)]) -> Result<(), StorageError> {
        let tx = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .doing(DOING)?;
        let mut groups = blocks::Groups::default();
        let (mut grown, mut added) = (0, 0);
        for (id, shift_us) in some {
            let found: Option<(u32, Vec<u8>)> = tx
                .prepare_cached("SELECT stream, body FROM block WHERE id = ?1")
                .and_then(|mut query| {
                    let row = query.query_row([id], |row| Ok((row.get(0)?, row.get(1)?)));
                    row.optional()
                })
                .doing(DOING)?;
            let Some((stream, body)) = found else {
                continue;
            };
            let Ok(mut decoded) = block::decode(&body) else {
                continue;
            };
            let mut moved = Vec::new();
            for poll in &mut decoded.polls {
                if correct(poll, *shift_us) {
                    moved.push(poll.clone());
                }
            }
            if moved.is_empty() {
                continue;
            }
            let stream = StreamId(stream);
            if let Some(group) = groups.of(&tx, &self.shared, stream)? {
                let columns = group.schema.columns.iter();
                let kinds: Vec<RawKind> = columns.map(|column| column.raw).collect();
                grown += rollups::add(&tx, group.id, &kinds, &moved)?;
            }
            tx.execute("DELETE FROM block WHERE id = ?1", [id])
                .doing(DOING)?;
            added += blocks::insert(&tx, stream, decoded.header.first_seq, &decoded.polls)?;
            added -= 1;
        }
        let rollup_bytes = self.rollup_bytes.saturating_add_signed(grown);
        set_meta(&tx, rollups::BYTES, rollup_bytes)?;
        tx.commit().doing(DOING)?;
        self.rollup_bytes = rollup_bytes;
        self.block_count = self.block_count.saturating_add_signed(added);
        self.shared.add_groups(groups.new);
        Ok(())
    }
}
