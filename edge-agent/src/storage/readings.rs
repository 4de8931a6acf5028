//! Reading back what was stored as blocks, for the hub.
//! Never writes; each function sees one consistent state of the buffer.

use super::error::{Doing as _, StorageError};
use super::journal::{self, Slot, each_piece};
use protocol::block::{self, BlockError};
use protocol::id::StreamId;
use protocol::limits::BLOCK_POLLS_MAX;
use protocol::reading::Poll;
use protocol::time::Timestamp;
use rusqlite::{Connection, OptionalExtension as _};

const DOING: &str = "reading polls back";

/// Polls of one stream that are wanted.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub stream: StreamId,
    pub first_seq: u64,
    pub last_seq: u64,
    pub bytes_max: usize,
    /// The journal's rows to search, as the index said before this read began.
    pub slots: Vec<Slot>,
}

/// Blocks with the beginning of what is wanted, in order; at least one if there is any.
pub(super) fn blocks(db: &Connection, wanted: &Wanted) -> Result<Found, StorageError> {
    let mut found = Found {
        bytes_max: wanted.bytes_max,
        ..Found::default()
    };
    if sealed(db, wanted, &mut found)? {
        from_journal(db, wanted, &mut found)?;
    }
    Ok(found)
}

/// The time of the first poll of a stream that comes at or after `seq`.
pub(super) fn time_of(
    db: &Connection,
    stream: StreamId,
    seq: u64,
    slots: &[Slot],
) -> Result<Option<Timestamp>, StorageError> {
    let sealed: Option<i64> = db
        .prepare_cached(
            "SELECT time_min FROM block WHERE stream = ?1 AND last_seq >= ?2
             ORDER BY last_seq LIMIT 1",
        )
        .and_then(|mut query| {
            query
                .query_row((stream.0, seq), |row| row.get(0))
                .optional()
        })
        .doing(DOING)?;
    if let Some(time) = sealed {
        return Ok(Some(Timestamp(time)));
    }
    let mut first = None;
    each_piece(db, slots, stream, |header, _| {
        if header.last_seq() >= seq {
            first = Some(header.first_time);
        }
        Ok(first.is_none())
    })?;
    Ok(first)
}

/// What was found so far, and how much may still come.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub blocks: Vec<Vec<u8>>,
    /// First and last number of sealed blocks that cannot be read.
    pub unreadable: Vec<(u64, u64)>,
    bytes: usize,
    bytes_max: usize,
}

impl Found {
    /// Takes a block when there is room for it; `false` when there is none.
    fn take(&mut self, block: Vec<u8>) -> bool {
        if !self.blocks.is_empty() && self.bytes + block.len() > self.bytes_max {
            return false;
        }
        self.bytes += block.len();
        self.blocks.push(block);
        self.bytes < self.bytes_max
    }
}

/// `false` when there is no more room.
fn sealed(db: &Connection, wanted: &Wanted, found: &mut Found) -> Result<bool, StorageError> {
    let mut query = db
        .prepare_cached(
            "SELECT first_seq, last_seq, body FROM block INDEXED BY block_range
             WHERE stream = ?1 AND last_seq >= ?2 AND first_seq <= ?3 ORDER BY last_seq",
        )
        .doing(DOING)?;
    let mut rows = query
        .query((wanted.stream.0, wanted.first_seq, wanted.last_seq))
        .doing(DOING)?;
    while let Some(row) = rows.next().doing(DOING)? {
        let body = row.get_ref(2).doing(DOING)?.as_blob().unwrap_or_default();
        match block::slice(body, wanted.first_seq, wanted.last_seq) {
            Ok(slice) => {
                if !found.take(slice) {
                    return Ok(false);
                }
            }
            Err(_) => found
                .unreadable
                .push((row.get(0).doing(DOING)?, row.get(1).doing(DOING)?)),
        }
    }
    Ok(true)
}

fn from_journal(db: &Connection, wanted: &Wanted, found: &mut Found) -> Result<(), StorageError> {
    let stream = wanted.stream;
    let sealed_seq: u64 = db
        .prepare_cached("SELECT sealed_seq FROM stream WHERE id = ?1")
        .and_then(|mut query| query.query_row([stream.0], |row| row.get(0)))
        .doing(DOING)?;
    let low = wanted.first_seq.max(sealed_seq + 1);
    let mut run: Option<(u64, Vec<Poll>)> = None;
    let mut run_bytes = 0;
    let mut room = true;
    each_piece(db, &wanted.slots, stream, |header, piece| {
        if header.last_seq() < low {
            return Ok(true);
        }
        if header.first_seq > wanted.last_seq {
            return Ok(false);
        }
        let Ok(decoded) = block::decode(piece) else {
            return Ok(true); // Sealing finds it and tells it.
        };
        let next_seq = run
            .as_ref()
            .map(|(first, polls)| first + journal::count(polls));
        let too_much = run.as_ref().is_some_and(|(_, polls)| {
            polls.len() + decoded.polls.len() > BLOCK_POLLS_MAX
                || found.bytes + run_bytes + piece.len() > found.bytes_max
        });
        if too_much || next_seq.is_some_and(|next_seq| next_seq != header.first_seq.max(low)) {
            room = take_run(stream, run.take(), found)?;
            run_bytes = 0;
        }
        let seqs = header.first_seq..=header.last_seq();
        let kept = seqs
            .zip(decoded.polls)
            .filter(|(seq, _)| (low..=wanted.last_seq).contains(seq))
            .map(|(_, poll)| poll);
        run.get_or_insert_with(|| (header.first_seq.max(low), Vec::new()))
            .1
            .extend(kept);
        run_bytes += piece.len();
        Ok(room)
    })?;
    if room || found.blocks.is_empty() {
        take_run(stream, run, found)?;
    }
    Ok(())
}

fn take_run(
    stream: StreamId,
    run: Option<(u64, Vec<Poll>)>,
    found: &mut Found,
) -> Result<bool, StorageError> {
    let Some((first_seq, polls)) = run else {
        return Ok(true);
    };
    let encoded = journal::encode_pieces(stream, first_seq, &polls)
        .map_err(|source| block_error(stream, source))?;
    Ok(encoded.into_iter().all(|block| found.take(block)))
}

fn block_error(stream: StreamId, source: BlockError) -> StorageError {
    StorageError::Block {
        stream: stream.0,
        doing: DOING,
        source,
    }
}
