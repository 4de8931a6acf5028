//! What has to be remembered of buffer.db, read when it is opened: streams of all openings, and
//! what the journal's rows hold. Never changes a poll.

use super::super::error::{Doing as _, StorageError};
use super::super::journal::{self, Slot};
use super::{Buffer, Registered, Shared, StreamState};
use protocol::id::StreamId;
use protocol::ranges::RangeSet;
use protocol::wire;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

impl Buffer {
    pub(super) fn load_streams(&mut self) -> Result<(), StorageError> {
        let doing = "reading the poll groups";
        let mut query = self
            .db
            .prepare(
                "SELECT id, schema, sealed_seq, gone, ranges, incarnation
                 FROM stream LEFT JOIN acked ON acked.stream = stream.id ORDER BY id",
            )
            .doing(doing)?;
        let mut rows = query.query([]).doing(doing)?;
        while let Some(row) = rows.next().doing(doing)? {
            let stream = StreamId(row.get(0).doing(doing)?);
            let bytes: Vec<u8> = row.get(1).doing(doing)?;
            let sealed_seq: u64 = row.get(2).doing(doing)?;
            let state = StreamState {
                last_seq: sealed_seq,
                sealed_seq,
                gone: ranges_from_bytes(row.get(3).doing(doing)?),
                acked: ranges_from_bytes(row.get(4).doing(doing)?),
                ..StreamState::default()
            };
            self.streams.insert(stream, state);
            let streams = self.shared.streams();
            let same = streams.iter().find(|known| *known.bytes == *bytes);
            let (schema, bytes) = if let Some(known) = same {
                (Arc::clone(&known.schema), Arc::clone(&known.bytes))
            } else {
                let schema = wire::decode_schema(&bytes).doing(doing)?;
                (Arc::new(schema), bytes.into())
            };
            self.shared.add(Registered {
                incarnation: row.get(5).doing(doing)?,
                stream,
                schema,
                bytes,
            });
        }
        Ok(())
    }

    /// Drops streams of earlier openings of which nothing is held and nothing is to be told.
    pub(super) fn forget_done_streams(&mut self) -> Result<(), StorageError> {
        let doing = "forgetting streams without polls";
        let mut done = Vec::new();
        for (stream, state) in &self.streams {
            let told = state.acked.missing(1, state.last_seq).is_empty();
            if told && state.unsealed() == 0 && !self.has_blocks(*stream)? {
                done.push(*stream);
            }
        }
        let tx = self.db.transaction().doing(doing)?;
        for stream in &done {
            tx.execute("DELETE FROM acked WHERE stream = ?1", [stream.0])
                .doing(doing)?;
            tx.execute("DELETE FROM stream WHERE id = ?1", [stream.0])
                .doing(doing)?;
        }
        tx.commit().doing(doing)?;
        for stream in &done {
            self.streams.remove(stream);
        }
        self.shared.forget(&done);
        Ok(())
    }

    fn has_blocks(&self, stream: StreamId) -> Result<bool, StorageError> {
        self.db
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM block WHERE stream = ?1)")
            .and_then(|mut query| query.query_row([stream.0], |row| row.get(0)))
            .doing("looking for blocks of a stream")
    }

    pub(super) fn load_journal(&mut self) -> Result<(), StorageError> {
        let doing = "reading the journal";
        let mut query = self
            .db
            .prepare("SELECT id FROM journal ORDER BY substr(body, 1, 8)")
            .doing(doing)?;
        let ids = query.query_map([], |row| row.get(0));
        let ids: Vec<i64> = ids.and_then(Iterator::collect).doing(doing)?;
        let mut query = self
            .db
            .prepare("SELECT body FROM journal WHERE id = ?1")
            .doing(doing)?;
        for id in ids {
            let mut rows = query.query([id]).doing(doing)?;
            if let Some(row) = rows.next().doing(doing)? {
                let body = row.get_ref(0).doing(doing)?.as_blob().unwrap_or_default();
                load_slot(&mut self.streams, &self.shared, id, body);
            }
        }
        Ok(())
    }
}

/// Takes note of what a row of the journal holds.
fn load_slot(streams: &mut BTreeMap<StreamId, StreamState>, shared: &Shared, id: i64, body: &[u8]) {
    let (order, pieces) = journal::pieces(body);
    let slot = Slot {
        id,
        order,
        size: body.len(),
    };
    let mut unsealed = Vec::new();
    let mut end = journal::ORDER_BYTES;
    for (header, piece) in pieces {
        end += journal::LENGTH_BYTES + piece.len();
        let Some(state) = streams.get_mut(&header.stream) else {
            continue;
        };
        if header.last_seq() > state.sealed_seq {
            state.last_seq = state.last_seq.max(header.last_seq());
            state.unsealed_since.get_or_insert_with(Instant::now);
            unsealed.push((header.stream, header.first_seq));
        }
    }
    shared.with_index(|index| index.found(slot, &unsealed, end));
}

/// Unreadable ranges count as none: what the hub has is asked of the hub anyway.
pub(in crate::storage) fn ranges_from_bytes(bytes: Option<Vec<u8>>) -> RangeSet {
    bytes
        .and_then(|bytes| postcard::from_bytes(&bytes).ok())
        .unwrap_or_default()
}
