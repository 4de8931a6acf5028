//! The writer's half of buffer.db: streams, commits, what the hub has acknowledged.
//! Never publishes and never waits: the writer thread does.

mod load;

pub(super) use load::ranges_from_bytes;

use super::database::{self, PAGE_BYTES};
use super::error::{Doing as _, StorageError};
use super::journal::{self, JournalIndex, Piece, Slot};
use super::rollups::{self, Group};
use protocol::id::StreamId;
use protocol::limits::{RANGES_PER_STREAM_MAX, STREAMS_MAX};
use protocol::ranges::RangeSet;
use protocol::reading::{GroupSchema, Poll};
use protocol::wire;
use rusqlite::{Connection, TransactionBehavior};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// Names the file: the opening that made it.
pub(super) const FILE: &str = "file";

/// What the writer and the readers both know of buffer.db.
#[derive(Debug, Default)]
pub(super) struct Shared {
    streams: RwLock<Vec<Arc<Registered>>>,
    index: Mutex<JournalIndex>,
    groups: RwLock<Vec<Group>>,
}

/// A poll group that was registered once, in this opening of the store or an earlier one.
#[derive(Debug)]
pub(super) struct Registered {
    pub incarnation: u32,
    pub stream: StreamId,
    pub schema: Arc<GroupSchema>,
    pub bytes: Arc<[u8]>,
}

impl Shared {
    /// All groups ever registered.
    pub(super) fn streams(&self) -> Vec<Arc<Registered>> {
        self.streams
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Sensors of a stream.
    pub(super) fn columns(&self, stream: StreamId) -> Option<usize> {
        let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
        let found = streams.iter().find(|known| known.stream == stream)?;
        Some(found.schema.columns.len())
    }

    /// All groups that have rollups.
    pub(super) fn groups(&self) -> Vec<Group> {
        self.groups
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn add_groups(&self, groups: impl IntoIterator<Item = Group>) {
        self.groups
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(groups);
    }

    /// The journal's rows that have to be read for `stream` from `seq` on.
    pub(super) fn slots_from(&self, stream: StreamId, seq: u64) -> Vec<Slot> {
        self.with_index(|index| index.slots_from(stream, seq))
    }

    pub(super) fn with_index<T>(&self, work: impl FnOnce(&mut JournalIndex) -> T) -> T {
        work(&mut self.index.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn forget(&self, streams: &[StreamId]) {
        self.streams
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|known| !streams.contains(&known.stream));
    }

    fn add(&self, registered: Registered) {
        self.streams
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::new(registered));
    }
}

/// Polls and detector states that wait for the next commit.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub polls: BTreeMap<StreamId, Vec<Poll>>,
    /// Polls in `polls`.
    pub count: usize,
    pub states: BTreeMap<String, Vec<u8>>,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0 && self.states.is_empty()
    }
}

/// The open buffer and what is remembered of it.
pub(super) struct Buffer {
    pub db: Connection,
    /// This opening of the store.
    incarnation: u32,
    pub shared: Arc<Shared>,
    pub streams: BTreeMap<StreamId, StreamState>,
    pub bytes_max: u64,
    /// What the disk has room for, the file itself included.
    pub disk_bytes_max: u64,
    pub block_count: u64,
    /// Bytes of all rollups.
    pub rollup_bytes: u64,
    /// Polls given up before the hub had them, since the process started.
    pub dropped_polls: u64,
    /// An acknowledgement is not yet on disk since then. Losing it is harmless: the hub says at
    /// the next connection what it has.
    pub acks_since: Option<Instant>,
    /// Gaps are on disk that no event tells of yet.
    pub gaps_waiting: bool,
}

/// How far a stream is.
#[derive(Debug, Default)]
pub(super) struct StreamState {
    pub last_seq: u64,
    pub sealed_seq: u64,
    pub acked: RangeSet,
    pub gone: RangeSet,
    acks_dirty: bool,
    /// When the oldest unsealed poll was committed (or found at start).
    pub unsealed_since: Option<Instant>,
}

impl StreamState {
    /// Polls in the journal.
    pub(super) fn unsealed(&self) -> u64 {
        self.last_seq.saturating_sub(self.sealed_seq)
    }
}

impl Buffer {
    /// Reads what has to be remembered of an open database.
    pub(super) fn load(
        db: Connection,
        incarnation: u32,
        bytes_max: u64,
    ) -> Result<Self, StorageError> {
        if database::meta::<u32>(&db, FILE)?.is_none() {
            database::set_meta(&db, FILE, incarnation)?;
        }
        let mut buffer = Self {
            incarnation,
            shared: Arc::default(),
            streams: BTreeMap::new(),
            bytes_max,
            disk_bytes_max: u64::MAX,
            block_count: 0,
            rollup_bytes: database::meta(&db, rollups::BYTES)?.unwrap_or(0),
            dropped_polls: 0,
            acks_since: None,
            gaps_waiting: true,
            db,
        };
        buffer.load_streams()?;
        buffer.load_journal()?;
        buffer.forget_done_streams()?;
        buffer.shared.add_groups(rollups::groups(&buffer.db)?);
        buffer.block_count = buffer
            .db
            .query_row("SELECT count(*) FROM block", [], |row| row.get(0))
            .doing("counting blocks")?;
        buffer.limit_pages()?;
        Ok(buffer)
    }

    /// The stream of a poll group: the same schema has the same stream while the store is open.
    pub(super) fn register(&mut self, schema: GroupSchema) -> Result<StreamId, StorageError> {
        let bytes = wire::encode_schema(&schema).doing("encoding a group's schema")?;
        wire::decode_schema(&bytes).doing("checking a group's schema")?;
        let streams = self.shared.streams();
        let current = || {
            streams
                .iter()
                .filter(|known| known.incarnation == self.incarnation)
        };
        if let Some(known) = current().find(|known| *known.bytes == *bytes) {
            return Ok(known.stream);
        }
        let found = current().count() + 1;
        if found > STREAMS_MAX {
            return Err(StorageError::OverLimit {
                what: "the number of poll groups",
                found,
                max: STREAMS_MAX,
            });
        }
        // Groups seldom change: the columns are kept once, however often the store was opened.
        let same = streams.iter().find(|known| *known.bytes == *bytes);
        let (schema, bytes) = match same {
            Some(known) => (Arc::clone(&known.schema), Arc::clone(&known.bytes)),
            None => (Arc::new(schema), bytes.into()),
        };
        let last = streams.iter().map(|known| known.stream.0).max();
        let stream = StreamId(last.unwrap_or(0) + 1);
        self.db
            .execute(
                "INSERT INTO stream (id, incarnation, schema) VALUES (?1, ?2, ?3)",
                (stream.0, self.incarnation, &*bytes),
            )
            .doing("registering a poll group")?;
        self.streams.insert(stream, StreamState::default());
        self.shared.add(Registered {
            incarnation: self.incarnation,
            stream,
            schema,
            bytes,
        });
        Ok(stream)
    }

    /// Makes `pending` durable in one transaction. Gives the first sequence number that each
    /// stream's polls got.
    pub(super) fn commit(
        &mut self,
        pending: &Pending,
        now: Instant,
    ) -> Result<BTreeMap<StreamId, u64>, StorageError> {
        let doing = "committing readings";
        let mut pieces = Vec::new();
        let mut firsts = BTreeMap::new();
        for (stream, polls) in &pending.polls {
            let first_seq = self.known(*stream)?.last_seq + 1;
            pieces.extend(encode(*stream, first_seq, polls)?);
            firsts.insert(*stream, first_seq);
        }
        let mut writes = self.shared.with_index(|index| index.plan(pieces));
        let tx = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .doing(doing)?;
        journal::write(&tx, &mut writes).doing(doing)?;
        for (key, value) in &pending.states {
            tx.prepare_cached("INSERT OR REPLACE INTO state (key, value) VALUES (?1, ?2)")
                .and_then(|mut insert| insert.execute((key, value)))
                .doing(doing)?;
        }
        tx.commit().doing(doing)?;
        self.shared.with_index(|index| index.written(writes));
        for (stream, polls) in &pending.polls {
            if let Some(state) = self.streams.get_mut(stream) {
                state.last_seq += journal::count(polls);
                state.unsealed_since.get_or_insert(now);
            }
        }
        Ok(firsts)
    }

    /// The hub has committed these polls.
    pub(super) fn mark_acked(
        &mut self,
        stream: StreamId,
        first: u64,
        last: u64,
    ) -> Result<(), StorageError> {
        let state = self.known_mut(stream)?;
        state.acked.insert(first, last);
        let pairs = state.acked.pairs();
        if let Some(kept) = pairs.get(..RANGES_PER_STREAM_MAX)
            && pairs.len() > kept.len()
        {
            // A forgotten acknowledgement costs sending the range once more, nothing else.
            state.acked = RangeSet::from_pairs(kept.to_vec());
        }
        state.acks_dirty = true;
        self.acks_since.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// The hub has exactly these polls.
    pub(super) fn reset_acked(
        &mut self,
        stream: StreamId,
        ranges: RangeSet,
    ) -> Result<(), StorageError> {
        let state = self.known_mut(stream)?;
        state.acked = ranges;
        state.acks_dirty = true;
        self.acks_since.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// Writes the acknowledgements that are not yet on disk.
    pub(super) fn save_acks(&mut self) -> Result<(), StorageError> {
        let doing = "noting what the hub has";
        let tx = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .doing(doing)?;
        for (stream, state) in self.streams.iter().filter(|(_, state)| state.acks_dirty) {
            tx.prepare_cached("INSERT OR REPLACE INTO acked (stream, ranges) VALUES (?1, ?2)")
                .and_then(|mut insert| insert.execute((stream.0, ranges_to_bytes(&state.acked))))
                .doing(doing)?;
        }
        tx.commit().doing(doing)?;
        for state in self.streams.values_mut() {
            state.acks_dirty = false;
        }
        self.acks_since = None;
        Ok(())
    }

    /// Rows of the journal that hold something unsealed.
    pub(super) fn journal_rows(&self) -> u64 {
        let rows = self.shared.with_index(|index| index.used_count());
        u64::try_from(rows).unwrap_or(u64::MAX)
    }

    /// Bytes of the file that hold something.
    pub(super) fn bytes_used(&self) -> Result<u64, StorageError> {
        let pages = self.pragma("page_count")?;
        Ok(pages.saturating_sub(self.pragma("freelist_count")?) * PAGE_BYTES)
    }

    /// Takes note of how much more than now the disk has room for.
    pub(super) fn may_grow(&mut self, bytes: u64) -> Result<(), StorageError> {
        let file_bytes = self.pragma("page_count")? * PAGE_BYTES;
        let before = self.quota_bytes();
        self.disk_bytes_max = file_bytes.saturating_add(bytes);
        if self.quota_bytes() == before {
            return Ok(());
        }
        self.limit_pages()
    }

    /// The quota, or less when the disk has less.
    pub(super) fn quota_bytes(&self) -> u64 {
        self.bytes_max.min(self.disk_bytes_max)
    }

    /// Gives free pages back to the disk when the file is larger than its quota (the quota was
    /// lowered), and tells `SQLite` the quota.
    pub(super) fn limit_pages(&mut self) -> Result<(), StorageError> {
        let doing = "holding the buffer to its size";
        let pages_max = self.quota_bytes() / PAGE_BYTES;
        let pages = self.pragma("page_count")?;
        if pages > self.bytes_max / PAGE_BYTES {
            let surplus = pages - self.bytes_max / PAGE_BYTES;
            // One page is given back per step of the statement.
            let sql = format!("PRAGMA incremental_vacuum({surplus})");
            let mut vacuum = self.db.prepare(&sql).doing(doing)?;
            let mut steps = vacuum.query([]).doing(doing)?;
            while steps.next().doing(doing)?.is_some() {}
        }
        database::limit(&self.db, pages_max * PAGE_BYTES)
    }

    /// The age at which something unsealed has to be sealed, as the next point in time.
    pub(super) fn seal_due(&self, seal_after: Duration) -> Option<Instant> {
        let oldest = self.streams.values().filter_map(|s| s.unsealed_since).min();
        oldest.and_then(|since| since.checked_add(seal_after))
    }

    pub(super) fn known(&self, stream: StreamId) -> Result<&StreamState, StorageError> {
        self.streams
            .get(&stream)
            .ok_or(StorageError::UnknownStream { stream: stream.0 })
    }

    fn known_mut(&mut self, stream: StreamId) -> Result<&mut StreamState, StorageError> {
        self.streams
            .get_mut(&stream)
            .ok_or(StorageError::UnknownStream { stream: stream.0 })
    }

    fn pragma(&self, name: &str) -> Result<u64, StorageError> {
        self.db
            .pragma_query_value(None, name, |row| row.get(0))
            .doing("asking the buffer for its size")
    }
}

fn encode(stream: StreamId, first_seq: u64, polls: &[Poll]) -> Result<Vec<Piece>, StorageError> {
    let block_error = |source| StorageError::Block {
        stream: stream.0,
        doing: "committing readings",
        source,
    };
    let encoded = journal::encode_pieces(stream, first_seq, polls).map_err(block_error)?;
    let mut pieces = Vec::with_capacity(encoded.len());
    for bytes in encoded {
        let header = protocol::block::header(&bytes).map_err(block_error)?;
        pieces.push(Piece {
            stream,
            first_seq: header.first_seq,
            bytes,
        });
    }
    Ok(pieces)
}

pub(super) fn ranges_to_bytes(ranges: &RangeSet) -> Vec<u8> {
    postcard::to_allocvec(ranges).unwrap_or_default()
}
