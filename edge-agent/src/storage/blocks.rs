//! Sealing the journal into blocks. Never loses a poll without a gap that says so.
//!
//! A seal moves whole streams, one after the other, so that memory holds the polls of one stream
//! only. A row of the journal is free once every stream in it is sealed: nothing is moved.

use super::buffer::{Buffer, Shared, ranges_to_bytes};
use super::database::set_meta;
use super::error::{Doing as _, StorageError};
use super::journal::{self, Slot};
use super::rollups::{self, Group};
use protocol::block;
use protocol::event::GapCause;
use protocol::id::StreamId;
use protocol::limits::{BLOCK_POLLS_MAX, BLOCK_POLLS_SEAL};
use protocol::ranges::RangeSet;
use protocol::reading::{Poll, RawKind};
use protocol::time::Timestamp;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::time::{Duration, Instant};

const DOING: &str = "sealing readings into blocks";
/// Share of the quota to which is made room for a seal that does not fit, in percent.
const SEAL_PERCENT: u64 = 60;

/// A loss that is to be told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loss {
    pub from: Timestamp,
    pub to: Timestamp,
    pub polls: u64,
    pub cause: GapCause,
}

/// What sealing one stream came to.
struct Sealed {
    stream: StreamId,
    through_seq: u64,
    blocks: u64,
    /// Bytes by which the rollups grew.
    grown: i64,
    /// Polls that could not be read back from the journal.
    lost: RangeSet,
}

impl Buffer {
    /// Whether a stream has enough polls, or old enough ones, for a block.
    pub(super) fn wants_seal(&self, seal_after: Duration, now: Instant) -> bool {
        let full = u64::try_from(BLOCK_POLLS_SEAL).unwrap_or(u64::MAX);
        self.streams.values().any(|state| state.unsealed() >= full)
            || self.seal_due(seal_after).is_some_and(|due| due <= now)
    }

    /// Seals the streams that want it, and those that are nearly there, so that groups of one
    /// period are sealed together. With `everything`, all streams.
    ///
    /// Where the quota has no room for what is sealed together, more than usual is given up first;
    /// where it has none for statistics beside the blocks even then, they are left out: what was
    /// polled comes first.
    pub(super) fn seal(
        &mut self,
        seal_after: Duration,
        now: Instant,
        everything: bool,
    ) -> Result<(), StorageError> {
        let due = (seal_after, now, everything);
        match self.seal_with(due, true) {
            Err(error) if error.is_full() => {}
            result => return result,
        }
        self.make_room_to(SEAL_PERCENT)?;
        match self.seal_with(due, true) {
            Err(error) if error.is_full() => self.seal_with(due, false),
            result => result,
        }
    }

    fn seal_with(
        &mut self,
        (seal_after, now, everything): (Duration, Instant, bool),
        with_rollups: bool,
    ) -> Result<(), StorageError> {
        let nearly_full = u64::try_from(BLOCK_POLLS_SEAL * 9 / 10).unwrap_or(u64::MAX);
        let is_old = |since: Instant| now.duration_since(since) >= seal_after;
        let due: Vec<(StreamId, u64, u64)> = self
            .streams
            .iter()
            .filter(|(_, state)| state.unsealed() > 0)
            .filter(|(_, state)| {
                everything
                    || state.unsealed() >= nearly_full
                    || state.unsealed_since.is_some_and(is_old)
            })
            .map(|(stream, state)| (*stream, state.sealed_seq + 1, state.last_seq))
            .collect();
        let tx = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .doing(DOING)?;
        let mut sealed = Vec::new();
        let mut groups = Groups::default();
        for (stream, first_seq, last_seq) in due {
            let slots = self.shared.slots_from(stream, first_seq);
            let group = if with_rollups {
                groups.of(&tx, &self.shared, stream)?
            } else {
                None
            };
            let done = seal_stream(&tx, (stream, group), (first_seq, last_seq), &slots)?;
            if done.lost.count() > 0 {
                self.gaps_waiting = true;
                let known = self.streams.get(&stream).map(|state| &state.gone);
                let gone = known
                    .into_iter()
                    .chain([&done.lost])
                    .flat_map(RangeSet::pairs);
                save_gone(&tx, stream, &RangeSet::from_pairs(gone.copied()))?;
            }
            sealed.push(done);
        }
        let grown: i64 = sealed.iter().map(|done| done.grown).sum();
        let rollup_bytes = self.rollup_bytes.saturating_add_signed(grown);
        set_meta(&tx, rollups::BYTES, rollup_bytes)?;
        tx.commit().doing(DOING)?;
        self.rollup_bytes = rollup_bytes;
        self.shared.add_groups(groups.new);
        let streams: Vec<StreamId> = sealed.iter().map(|done| done.stream).collect();
        self.shared.with_index(|index| index.sealed(&streams));
        for done in sealed {
            self.block_count += done.blocks;
            if let Some(state) = self.streams.get_mut(&done.stream) {
                state.sealed_seq = done.through_seq;
                state.unsealed_since = None;
                for (first, last) in done.lost.pairs() {
                    state.gone.insert(*first, *last);
                }
            }
        }
        Ok(())
    }
}

fn seal_stream(
    tx: &Transaction<'_>,
    (stream, group): (StreamId, Option<Group>),
    (first_seq, last_seq): (u64, u64),
    slots: &[Slot],
) -> Result<Sealed, StorageError> {
    let mut sealed = Sealed {
        stream,
        through_seq: last_seq,
        blocks: 0,
        grown: 0,
        lost: RangeSet::new(),
    };
    let mut run = Run {
        first_seq,
        polls: Vec::new(),
        group,
    };
    journal::each_piece(tx, slots, stream, |header, piece| {
        let next_seq = run.next_seq();
        // What cannot be read shows as a hole before the next piece, or at the end.
        if header.first_seq >= next_seq
            && let Ok(decoded) = block::decode(piece)
        {
            let too_many = run.polls.len() + decoded.polls.len() > BLOCK_POLLS_MAX;
            if too_many || header.first_seq > next_seq {
                run.write(tx, &mut sealed)?;
                sealed.lost.insert(next_seq, header.first_seq - 1);
                run.first_seq = header.first_seq;
            }
            run.polls.extend(decoded.polls);
        }
        Ok(true)
    })?;
    sealed.lost.insert(run.next_seq(), last_seq);
    run.write(tx, &mut sealed)?;
    if sealed.lost.count() > 0 {
        tell_unreadable(tx, stream, sealed.lost.count())?;
    }
    tx.prepare_cached("UPDATE stream SET sealed_seq = ?2 WHERE id = ?1")
        .and_then(|mut update| update.execute((stream.0, last_seq)))
        .doing(DOING)?;
    Ok(sealed)
}

/// The groups of the streams that are sealed together; new ones count when it is committed.
#[derive(Default)]
pub(super) struct Groups {
    pub new: Vec<Group>,
}

impl Groups {
    /// The group of a stream, made when it is the first of its kind.
    pub(super) fn of(
        &mut self,
        tx: &Transaction<'_>,
        shared: &Shared,
        stream: StreamId,
    ) -> Result<Option<Group>, StorageError> {
        let streams = shared.streams();
        let Some(registered) = streams.iter().find(|known| known.stream == stream) else {
            return Ok(None);
        };
        let mut known = shared.groups();
        known.extend(self.new.iter().cloned());
        if let Some(group) = known.iter().find(|group| group.bytes == registered.bytes) {
            return Ok(Some(group.clone()));
        }
        let group = rollups::new_group(tx, &known, &registered.schema, &registered.bytes)?;
        self.new.extend(group.clone());
        Ok(group)
    }
}

/// Polls of one stream that follow one another.
struct Run {
    first_seq: u64,
    polls: Vec<Poll>,
    /// Where its rollups are; `None`: it has none.
    group: Option<Group>,
}

impl Run {
    fn next_seq(&self) -> u64 {
        self.first_seq.saturating_add(journal::count(&self.polls))
    }

    /// Writes the polls as blocks and into the rollups, and is empty afterwards.
    fn write(&mut self, tx: &Transaction<'_>, sealed: &mut Sealed) -> Result<(), StorageError> {
        let stream = sealed.stream;
        if let Some(group) = &self.group {
            let columns = group.schema.columns.iter();
            let kinds: Vec<RawKind> = columns.map(|column| column.raw).collect();
            sealed.grown += rollups::add(tx, group.id, &kinds, &self.polls)?;
        }
        let blocks = insert(tx, stream, self.first_seq, &self.polls)?;
        sealed.blocks += blocks.unsigned_abs();
        self.first_seq = self.next_seq();
        self.polls.clear();
        Ok(())
    }
}

/// Writes polls as blocks, and says how many these are.
pub(super) fn insert(
    tx: &Transaction<'_>,
    stream: StreamId,
    first_seq: u64,
    polls: &[Poll],
) -> Result<i64, StorageError> {
    let failed = |source| StorageError::Block {
        stream: stream.0,
        doing: DOING,
        source,
    };
    let mut inserted = 0;
    let mut polls_left = polls;
    for body in journal::encode_pieces(stream, first_seq, polls).map_err(failed)? {
        let header = block::header(&body).map_err(failed)?;
        let count = usize::try_from(header.count).unwrap_or(usize::MAX);
        let (these, rest) = polls_left
            .split_at_checked(count)
            .unwrap_or((polls_left, &[]));
        polls_left = rest;
        let times = || these.iter().map(|poll| poll.time.0);
        tx.prepare_cached(
            "INSERT INTO block (stream, first_seq, last_seq, time_min, time_max, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )
        .and_then(|mut insert| {
            let (first, last) = (header.first_seq, header.last_seq());
            insert.execute((stream.0, first, last, times().min(), times().max(), &body))
        })
        .doing(DOING)?;
        inserted += 1;
    }
    Ok(inserted)
}

/// Writes down that polls in the journal could not be read back.
fn tell_unreadable(tx: &Transaction<'_>, stream: StreamId, polls: u64) -> Result<(), StorageError> {
    let (from, to) = tx
        .query_row(
            "SELECT coalesce(min(time_min), 0), coalesce(max(time_max), 0)
             FROM block WHERE id = (SELECT max(id) FROM block WHERE stream = ?1)",
            [stream.0],
            |row| Ok((Timestamp(row.get(0)?), Timestamp(row.get(1)?))),
        )
        .doing(DOING)?;
    let cause = GapCause::StoreDamaged;
    save_loss(
        tx,
        &Loss {
            from,
            to,
            polls,
            cause,
        },
    )
}

/// Remembers a loss until an event in core.db tells of it.
pub(super) fn save_loss(db: &Connection, loss: &Loss) -> Result<(), StorageError> {
    let cause: u8 = match loss.cause {
        GapCause::QueueFull => 1,
        GapCause::BufferFull => 2,
        GapCause::StoreDamaged => 3,
        GapCause::AgentOff => 4,
        GapCause::Thinned => 5,
    };
    db.execute(
        "INSERT INTO gap (time_from, time_to, polls, cause) VALUES (?1, ?2, ?3, ?4)",
        (loss.from.0, loss.to.0, loss.polls, cause),
    )
    .doing("noting a gap")?;
    Ok(())
}

/// The losses that no event tells of yet, with their numbers.
pub(super) fn losses(db: &Connection) -> Result<Vec<(i64, Loss)>, StorageError> {
    let doing = "reading the gaps";
    let mut query = db
        .prepare("SELECT id, time_from, time_to, polls, cause FROM gap ORDER BY id LIMIT 64")
        .doing(doing)?;
    let rows = query.query_map([], |row| {
        let cause = match row.get::<_, u8>(4)? {
            1 => GapCause::QueueFull,
            2 => GapCause::BufferFull,
            4 => GapCause::AgentOff,
            5 => GapCause::Thinned,
            _ => GapCause::StoreDamaged,
        };
        let loss = Loss {
            from: Timestamp(row.get(1)?),
            to: Timestamp(row.get(2)?),
            polls: row.get(3)?,
            cause,
        };
        Ok((row.get(0)?, loss))
    });
    rows.and_then(Iterator::collect).doing(doing)
}

/// An event tells of this loss now.
pub(super) fn forget_loss(db: &Connection, number: i64) -> Result<(), StorageError> {
    db.execute("DELETE FROM gap WHERE id = ?1", [number])
        .doing("noting that a gap is told")?;
    Ok(())
}

/// Writes the ranges of a stream that were given up.
pub(super) fn save_gone(
    db: &Connection,
    stream: StreamId,
    gone: &RangeSet,
) -> Result<(), StorageError> {
    db.execute(
        "UPDATE stream SET gone = ?2 WHERE id = ?1",
        (stream.0, ranges_to_bytes(gone)),
    )
    .doing("noting polls that were given up")?;
    Ok(())
}
