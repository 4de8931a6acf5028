//! What the uplink needs of the store: how far each stream is, blocks and events to send, and
//! where to write down what the hub has. Also small saved things: states and documents.

use super::bridge::Held;
use super::buffer::{Buffer, StreamState};
use super::database;
use super::error::{Doing as _, StorageError};
use super::readings::{self, Wanted};
use super::records::{OwnEvents, chain_at};
use super::{Disk, REFERENCE_BYTES_MAX, STATE_BYTES_MAX, STATES_MAX, Storage};
use protocol::event::Event;
use protocol::id::StreamId;
use protocol::ranges::RangeSet;
use protocol::time::Timestamp;
use protocol::wire::v1::Chain;
use rusqlite::OptionalExtension as _;
use std::sync::Arc;
use std::time::Instant;

/// How far everything is that goes to the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncState {
    /// This opening of the store.
    pub incarnation: u32,
    /// This box's own events by opening, oldest first.
    pub events: Vec<OwnEvents>,
    /// The hub's events are held up to here, and the chain over them.
    pub down: (u64, Chain),
    /// All poll groups of which polls are held or may come: those of this opening first, then
    /// the oldest.
    pub streams: Vec<StreamSync>,
}

impl SyncState {
    /// Without what may not leave the box yet.
    pub fn leave_out(&mut self, held: &Held) {
        self.events
            .retain(|own| !held.events.contains(&own.incarnation));
        self.streams
            .retain(|known| !held.polls.contains(&known.incarnation));
    }
}

/// How far one stream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamSync {
    /// The opening of the store that writes or wrote it.
    pub incarnation: u32,
    /// The stream.
    pub stream: StreamId,
    /// Its schema, as `protocol::wire::encode_schema` wrote it.
    pub schema: Arc<[u8]>,
    /// Highest sequence number; 0 before the first poll.
    pub last_seq: u64,
    /// What the hub has.
    pub acked: RangeSet,
    /// What was given up before the hub had it.
    pub gone: RangeSet,
}

/// How the store is.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Stats {
    /// Bytes of `buffer.db` that hold something.
    pub buffer_bytes: u64,
    /// Its quota.
    pub buffer_bytes_max: u64,
    /// Rows of the journal (of 32 KiB) with polls that are not sealed yet.
    pub journal_rows: u64,
    /// Sealed blocks.
    pub blocks: u64,
    /// Time of the oldest poll that the hub has not acknowledged.
    pub oldest_unacked: Option<Timestamp>,
    /// Own events that the hub has not acknowledged.
    pub waiting_events: u64,
    /// Readings that the hub has not acknowledged: polls times columns, so an upper bound.
    pub waiting_readings: u64,
    /// Polls given up before the hub had them, since the process started.
    pub dropped_polls: u64,
    /// Commits that failed since the last good one; 0 when all is well.
    pub failures: u64,
    /// The disk, when the system tells.
    pub disk: Option<Disk>,
    /// The disk is full: only events are given new room.
    pub disk_full: bool,
    /// Bytes of `core.db`, and the most that it may have.
    pub core_bytes: (u64, u64),
}

impl Storage {
    /// How far everything is. Polls that are not committed yet do not count.
    pub async fn sync_state(&self) -> Result<SyncState, StorageError> {
        self.job(|writer| {
            let current = writer.core.incarnation();
            let mut shared = writer.buffer.shared.streams();
            shared.sort_by_key(|known| (known.incarnation != current, known.stream));
            let streams = shared.iter().filter_map(|registered| {
                let state = writer.buffer.streams.get(&registered.stream)?;
                Some(StreamSync {
                    incarnation: registered.incarnation,
                    stream: registered.stream,
                    schema: Arc::clone(&registered.bytes),
                    last_seq: state.last_seq,
                    acked: state.acked.clone(),
                    gone: state.gone.clone(),
                })
            });
            Ok(SyncState {
                incarnation: current,
                events: writer.core.own_events(),
                down: writer.core.down(),
                streams: streams.collect(),
            })
        })
        .await
    }

    /// Blocks with the polls of a range, from its beginning, in order, cut to it: as many as fit
    /// `bytes_max`, but one at least if there is any. What was given up is left out.
    pub async fn blocks(
        &self,
        stream: StreamId,
        first_seq: u64,
        last_seq: u64,
        bytes_max: usize,
    ) -> Result<Vec<Vec<u8>>, StorageError> {
        let wanted = Wanted {
            stream,
            first_seq,
            last_seq,
            bytes_max,
            slots: self.shared.slots_from(stream, first_seq),
        };
        let found = self
            .read_buffer(move |db| readings::blocks(db, &wanted))
            .await?;
        for (first, last) in found.unreadable {
            // Otherwise the hub would be asked to wait for it for ever.
            self.job(move |writer| writer.buffer.give_up_damaged(stream, first, last))
                .await?;
        }
        Ok(found.blocks)
    }

    /// Own events of an opening after `seq`, in order, with their numbers: as many as fit `bytes_max`, but one
    /// at least if there is any.
    pub async fn events_after(
        &self,
        incarnation: u32,
        seq: u64,
        bytes_max: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, StorageError> {
        let doing = "reading events to send";
        self.core
            .read(move |db| {
                let mut query = db
                    .prepare_cached(
                        "SELECT seq, body FROM event
                        WHERE incarnation = ?1 AND seq > ?2 AND seq IS NOT NULL ORDER BY seq",
                    )
                    .doing(doing)?;
                let mut rows = query.query((incarnation, seq)).doing(doing)?;
                let mut events: Vec<(u64, Vec<u8>)> = Vec::new();
                let mut bytes = 0;
                while let Some(row) = rows.next().doing(doing)? {
                    let body: Vec<u8> = row.get(1).doing(doing)?;
                    bytes += body.len();
                    if bytes > bytes_max && !events.is_empty() {
                        break;
                    }
                    events.push((row.get(0).doing(doing)?, body));
                }
                Ok(events)
            })
            .await
    }

    /// The hub has committed these polls. Written down within 10 s; lost by a crash before, they
    /// are sent once more.
    pub async fn mark_acked(
        &self,
        stream: StreamId,
        first_seq: u64,
        last_seq: u64,
    ) -> Result<(), StorageError> {
        self.job(move |writer| writer.buffer.mark_acked(stream, first_seq, last_seq))
            .await
    }

    /// The hub has exactly these polls, as it said when it was connected.
    pub async fn reset_acked(
        &self,
        stream: StreamId,
        ranges: RangeSet,
    ) -> Result<(), StorageError> {
        self.job(move |writer| writer.buffer.reset_acked(stream, ranges))
            .await
    }

    /// The chain over an opening's events up to `seq`; `None` when there is no such event.
    pub async fn chain_at(
        &self,
        incarnation: u32,
        seq: u64,
    ) -> Result<Option<Chain>, StorageError> {
        self.core
            .read(move |db| chain_at(db, incarnation, seq))
            .await
    }

    /// Takes back events that this box once wrote and that its store no longer has. Says up to
    /// where the events of that opening are held now.
    pub async fn apply_own(
        &self,
        incarnation: u32,
        first_seq: u64,
        events: Vec<Event>,
    ) -> Result<u64, StorageError> {
        self.job(move |writer| {
            let now = (writer.now)();
            writer.core.apply_own(incarnation, first_seq, events, now)
        })
        .await
    }

    /// The hub numbers its events for this box anew: what is held counts from 0 again.
    pub async fn reset_down(&self) -> Result<(), StorageError> {
        self.job(|writer| writer.core.reset_down()).await
    }

    /// The hub has this box's events of an opening up to `seq`, whatever it said before.
    pub async fn mark_events_acked(&self, incarnation: u32, seq: u64) -> Result<(), StorageError> {
        self.job(move |writer| {
            writer.core.mark_acked(incarnation, seq);
            writer.buffer.acks_since.get_or_insert_with(Instant::now);
            Ok(())
        })
        .await
    }

    /// Up to here the hub had this box's events of an opening when it last said so.
    pub async fn events_acked(&self, incarnation: u32) -> Result<u64, StorageError> {
        self.job(move |writer| {
            let own = writer.core.own_events();
            let own = own.iter().find(|own| own.incarnation == incarnation);
            Ok(own.map_or(0, |own| own.acked))
        })
        .await
    }

    /// Saves what a detector has learned, together with the next commit.
    pub async fn save_state(&self, key: String, bytes: Vec<u8>) -> Result<(), StorageError> {
        limit("a detector's state", bytes.len(), STATE_BYTES_MAX)?;
        limit(
            "the key of a state",
            key.len(),
            protocol::limits::TEXT_BYTES_MAX,
        )?;
        self.job(move |writer| {
            let stored: usize = writer
                .buffer
                .db
                .query_row(
                    "SELECT count(*) FROM state WHERE key <> ?1",
                    [&key],
                    |row| row.get(0),
                )
                .doing("counting states")?;
            let states = stored + writer.pending.states.len() + 1;
            limit("the number of states", states, 2 * STATES_MAX)?;
            writer.pending.states.insert(key, bytes);
            writer.set_due();
            Ok(())
        })
        .await
    }

    /// What was saved last under `key`.
    pub async fn load_state(&self, key: String) -> Result<Option<Vec<u8>>, StorageError> {
        self.job(move |writer| {
            if let Some(bytes) = writer.pending.states.get(&key) {
                return Ok(Some(bytes.clone()));
            }
            writer
                .buffer
                .db
                .query_row("SELECT value FROM state WHERE key = ?1", [&key], |row| {
                    row.get(0)
                })
                .optional()
                .doing("reading a state")
        })
        .await
    }

    /// Keeps a whole document of the hub (people, site) in place of its earlier version.
    pub async fn set_reference(
        &self,
        kind: String,
        version: u64,
        bytes: Vec<u8>,
    ) -> Result<(), StorageError> {
        limit("a document of the hub", bytes.len(), REFERENCE_BYTES_MAX)?;
        self.job(move |writer| {
            writer
                .core
                .db
                .execute(
                    "INSERT OR REPLACE INTO reference (kind, version, body) VALUES (?1, ?2, ?3)",
                    (kind, version, bytes),
                )
                .doing("keeping a document of the hub")?;
            Ok(())
        })
        .await
    }

    /// Version and bytes of a document of the hub.
    pub async fn reference(&self, kind: String) -> Result<Option<(u64, Vec<u8>)>, StorageError> {
        self.core
            .read(move |db| {
                db.query_row(
                    "SELECT version, body FROM reference WHERE kind = ?1",
                    [kind],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .optional()
                .doing("reading a document of the hub")
            })
            .await
    }

    /// How the store is.
    pub async fn stats(&self) -> Result<Stats, StorageError> {
        self.job(|writer| {
            let buffer = &writer.buffer;
            let core = &writer.core;
            Ok(Stats {
                buffer_bytes: buffer.bytes_used()?,
                buffer_bytes_max: buffer.bytes_max,
                journal_rows: buffer.journal_rows(),
                blocks: buffer.block_count,
                oldest_unacked: oldest_unacked(buffer)?,
                waiting_events: waiting_events(&core.own_events()),
                waiting_readings: waiting_readings(buffer),
                dropped_polls: buffer.dropped_polls,
                failures: writer.failures,
                disk: writer.room.disk,
                disk_full: writer.room.full,
                core_bytes: database::size(&core.db)?,
            })
        })
        .await
    }
}

fn oldest_unacked(buffer: &Buffer) -> Result<Option<Timestamp>, StorageError> {
    let mut oldest: Option<Timestamp> = None;
    for (stream, state) in &buffer.streams {
        let Some((seq, _)) = waiting(state).next() else {
            continue;
        };
        let slots = buffer.shared.slots_from(*stream, seq);
        let time = readings::time_of(&buffer.db, *stream, seq, &slots)?;
        oldest = match (oldest, time) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
    Ok(oldest)
}

fn waiting_events(own: &[OwnEvents]) -> u64 {
    own.iter()
        .map(|own| own.last.saturating_sub(own.acked))
        .sum()
}

fn waiting_readings(buffer: &Buffer) -> u64 {
    let of_stream = |(stream, state): (&StreamId, &StreamState)| {
        let polls: u64 = waiting(state).map(|(first, last)| last - first + 1).sum();
        let columns = buffer.shared.columns(*stream).unwrap_or(0);
        polls.saturating_mul(u64::try_from(columns).unwrap_or(u64::MAX))
    };
    buffer.streams.iter().map(of_stream).sum()
}

/// Ranges that the hub does not have and may still get.
fn waiting(state: &StreamState) -> impl Iterator<Item = (u64, u64)> {
    let unacked = state.acked.missing(1, state.last_seq);
    let held = unacked
        .into_iter()
        .flat_map(|(first, last)| state.gone.missing(first, last));
    held.collect::<Vec<_>>().into_iter()
}

pub(super) fn limit(what: &'static str, found: usize, max: usize) -> Result<(), StorageError> {
    if found > max {
        return Err(StorageError::OverLimit { what, found, max });
    }
    Ok(())
}
