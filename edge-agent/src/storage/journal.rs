//! The journal: rows of fixed size into which each commit appends, for each stream, one block.
//! Knows where a stream's unsealed polls begin; never decodes a cell.
//!
//! A row is written again once all its polls are sealed, so that a commit changes one or two
//! pages of the file and nothing is allocated: a row per commit would write twice as much. A row
//! begins with its order number (u64); then come blocks, each behind its length (u32, both big
//! endian), up to a length of 0 or the end. What a row holds from its earlier use is sealed, and
//! told from what is not by its sequence numbers.

use super::error::{Doing as _, StorageError};
use protocol::block::{self, BlockError, BlockHeader};
use protocol::id::StreamId;
use protocol::limits::BLOCK_POLLS_MAX;
use protocol::reading::Poll;
use rusqlite::Connection;
use std::collections::{BTreeMap, VecDeque};

/// Size of a row, unless one block needs more.
const SLOT_BYTES: usize = 64 << 10;
pub(super) const ORDER_BYTES: usize = 8;
pub(super) const LENGTH_BYTES: usize = 4;

/// A row of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    /// Its key in the table.
    pub id: i64,
    /// Rises with every use of a row.
    pub order: u64,
    /// Length of its body.
    pub size: usize,
}

/// A block that is to be appended.
#[derive(Debug)]
pub(super) struct Piece {
    pub stream: StreamId,
    pub first_seq: u64,
    pub bytes: Vec<u8>,
}

/// Bytes that go into one row.
#[derive(Debug)]
pub(super) struct Write {
    /// `None` for a row that is yet to be made.
    id: Option<i64>,
    order: u64,
    size: usize,
    at: usize,
    bytes: Vec<u8>,
    firsts: Vec<(StreamId, u64)>,
}

/// The order number of a row's body and the blocks in it; ends at the first thing that makes no
/// sense.
pub(super) fn pieces(body: &[u8]) -> (u64, impl Iterator<Item = (BlockHeader, &[u8])>) {
    let (order, mut rest) = match body.split_first_chunk::<ORDER_BYTES>() {
        Some((order, rest)) => (u64::from_be_bytes(*order), rest),
        None => (0, body),
    };
    let pieces = std::iter::from_fn(move || {
        let (length, after) = rest.split_first_chunk::<LENGTH_BYTES>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (piece, after) = after.split_at_checked(length).filter(|_| length > 0)?;
        rest = after;
        Some((block::header(piece).ok()?, piece))
    });
    (order, pieces)
}

/// Calls `work` with each block of `stream` in these rows until it says `false`. A row that was
/// taken for something else since the index was asked is left out: what it held is sealed.
pub(super) fn each_piece(
    db: &Connection,
    slots: &[Slot],
    stream: StreamId,
    mut work: impl FnMut(BlockHeader, &[u8]) -> Result<bool, StorageError>,
) -> Result<(), StorageError> {
    let doing = "reading the journal";
    let mut query = db
        .prepare_cached("SELECT body FROM journal WHERE id = ?1")
        .doing(doing)?;
    for slot in slots {
        let mut rows = query.query([slot.id]).doing(doing)?;
        let Some(row) = rows.next().doing(doing)? else {
            continue;
        };
        let body = row.get_ref(0).doing(doing)?.as_blob().unwrap_or_default();
        let (order, found) = pieces(body);
        if order != slot.order {
            continue;
        }
        for (header, piece) in found.filter(|(header, _)| header.stream == stream) {
            if !work(header, piece)? {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Carries out what was planned; new rows get their key.
pub(super) fn write(db: &Connection, writes: &mut [Write]) -> rusqlite::Result<()> {
    for write in writes {
        let id = if let Some(id) = write.id {
            id
        } else {
            db.prepare_cached("INSERT INTO journal (body) VALUES (zeroblob(?1))")?
                .execute([write.size])?;
            db.last_insert_rowid()
        };
        write.id = Some(id);
        let mut body = db.blob_open("main", "journal", "body", id, false)?;
        body.write_at(&write.bytes, write.at)?;
        // Ends the row before what it holds from an earlier use.
        if write.end() + LENGTH_BYTES <= write.size {
            body.write_at(&[0; LENGTH_BYTES], write.end())?;
        }
    }
    Ok(())
}

/// Polls as as few blocks as the limits of a block allow.
pub(super) fn encode_pieces(
    stream: StreamId,
    first_seq: u64,
    polls: &[Poll],
) -> Result<Vec<Vec<u8>>, BlockError> {
    let mut encoded = Vec::new();
    let mut next_seq = first_seq;
    for chunk in polls.chunks(BLOCK_POLLS_MAX) {
        encode_chunk(stream, next_seq, chunk, &mut encoded)?;
        next_seq = next_seq.saturating_add(count(chunk));
    }
    Ok(encoded)
}

fn encode_chunk(
    stream: StreamId,
    first_seq: u64,
    polls: &[Poll],
    encoded: &mut Vec<Vec<u8>>,
) -> Result<(), BlockError> {
    match block::encode(stream, first_seq, polls) {
        Err(BlockError::TooLong { .. }) if polls.len() > 1 => {
            let (early, late) = polls.split_at(polls.len() / 2);
            encode_chunk(stream, first_seq, early, encoded)?;
            encode_chunk(
                stream,
                first_seq.saturating_add(count(early)),
                late,
                encoded,
            )
        }
        other => {
            encoded.push(other?);
            Ok(())
        }
    }
}

/// How many polls, as a sequence number counts them.
pub(super) fn count(polls: &[Poll]) -> u64 {
    u64::try_from(polls.len()).unwrap_or(u64::MAX)
}

/// Where in the journal each stream's unsealed polls are.
#[derive(Debug, Default)]
pub(super) struct JournalIndex {
    /// Per stream, ascending: its first sequence number in a row, and the row's order number.
    marks: BTreeMap<StreamId, VecDeque<(u64, u64)>>,
    /// Rows that hold something unsealed, or did when they were written, by order number.
    used: VecDeque<Slot>,
    /// Rows that may be written again.
    free: Vec<Slot>,
    /// Where the next block goes in the last used row.
    end: usize,
}

impl JournalIndex {
    /// Takes note of a row found at the start, in order of `slot.order`. `unsealed` are the first
    /// numbers of the blocks that are not sealed; `end` is where its last block ends.
    pub(super) fn found(&mut self, slot: Slot, unsealed: &[(StreamId, u64)], end: usize) {
        if unsealed.is_empty() {
            self.free.push(slot);
            return;
        }
        self.used.push_back(slot);
        self.end = end;
        for (stream, first_seq) in unsealed {
            self.mark(*stream, *first_seq, slot.order);
        }
    }

    /// Which bytes go where to append these blocks.
    pub(super) fn plan(&self, pieces: Vec<Piece>) -> Vec<Write> {
        let mut free = self.free.clone();
        let known = self.used.iter().chain(&self.free);
        let mut last_order = known.map(|slot| slot.order).max().unwrap_or(0);
        let mut writes: Vec<Write> = Vec::new();
        let mut current = self.used.back().map(|slot| Write {
            id: Some(slot.id),
            order: slot.order,
            size: slot.size,
            at: self.end,
            bytes: Vec::new(),
            firsts: Vec::new(),
        });
        for piece in pieces {
            let needed = LENGTH_BYTES + piece.bytes.len();
            let mut write = match current.take() {
                Some(write) if write.end() + needed <= write.size => write,
                full => {
                    writes.extend(full);
                    last_order += 1;
                    Write::fresh(&mut free, last_order, ORDER_BYTES + needed)
                }
            };
            write.put(&piece);
            current = Some(write);
        }
        writes.extend(current);
        writes.retain(|write| !write.bytes.is_empty());
        writes
    }

    /// Takes note of what was planned and is committed now.
    pub(super) fn written(&mut self, writes: Vec<Write>) {
        for write in writes {
            let Some(id) = write.id else { continue };
            for (stream, first_seq) in &write.firsts {
                self.mark(*stream, *first_seq, write.order);
            }
            if self
                .used
                .back()
                .is_none_or(|slot| slot.order != write.order)
            {
                self.free.retain(|slot| slot.id != id);
                self.used.push_back(Slot {
                    id,
                    order: write.order,
                    size: write.size,
                });
            }
            self.end = write.end();
        }
    }

    /// The rows that have to be read for the polls of `stream` from `seq` on.
    pub(super) fn slots_from(&self, stream: StreamId, seq: u64) -> Vec<Slot> {
        let Some(marks) = self.marks.get(&stream) else {
            return Vec::new();
        };
        let after = marks.partition_point(|(first_seq, _)| *first_seq <= seq);
        let first = marks.get(after.saturating_sub(1)).map_or(0, |mark| mark.1);
        let used = self.used.iter().filter(|slot| slot.order >= first);
        used.copied().collect()
    }

    /// All polls of these streams stand in blocks now: rows that hold nothing else become free.
    pub(super) fn sealed(&mut self, streams: &[StreamId]) {
        self.marks.retain(|stream, _| !streams.contains(stream));
        let fronts = self.marks.values().filter_map(VecDeque::front);
        let first = fronts.map(|(_, order)| *order).min().unwrap_or(u64::MAX);
        while self.used.front().is_some_and(|slot| slot.order < first) {
            self.free.extend(self.used.pop_front());
        }
    }

    /// Rows that hold something unsealed.
    pub(super) fn used_count(&self) -> usize {
        self.used.len()
    }

    /// The rows that may be written again.
    pub(super) fn free(&self) -> &[Slot] {
        &self.free
    }

    /// The free rows were deleted.
    pub(super) fn forget_free(&mut self) {
        self.free.clear();
    }

    fn mark(&mut self, stream: StreamId, first_seq: u64, order: u64) {
        let marks = self.marks.entry(stream).or_default();
        if marks.back().is_none_or(|(_, last)| *last != order) {
            marks.push_back((first_seq, order));
        }
    }
}

impl Write {
    /// The beginning of a row's next use: a free one, or one that is to be made.
    fn fresh(free: &mut Vec<Slot>, order: u64, needed: usize) -> Self {
        let at = free.iter().position(|slot| slot.size >= needed);
        let slot = at.map(|at| free.swap_remove(at));
        Self {
            id: slot.map(|slot| slot.id),
            order,
            size: slot.map_or(SLOT_BYTES.max(needed), |slot| slot.size),
            at: 0,
            bytes: order.to_be_bytes().to_vec(),
            firsts: Vec::new(),
        }
    }

    fn put(&mut self, piece: &Piece) {
        // A block is at most BLOCK_BYTES_MAX, far below u32::MAX; the codec refuses longer ones.
        let length = u32::try_from(piece.bytes.len()).unwrap_or(u32::MAX);
        self.bytes.extend(length.to_be_bytes());
        self.bytes.extend(&piece.bytes);
        self.firsts.push((piece.stream, piece.first_seq));
    }

    /// Where its blocks end.
    fn end(&self) -> usize {
        self.at + self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(stream: u32, first_seq: u64, bytes: usize) -> Piece {
        Piece {
            stream: StreamId(stream),
            first_seq,
            bytes: vec![7; bytes],
        }
    }

    /// Plans, gives new rows keys as a table would, and takes note.
    fn append(
        index: &mut JournalIndex,
        pieces: Vec<Piece>,
        next_id: &mut i64,
    ) -> Vec<(u64, usize)> {
        let mut writes = index.plan(pieces);
        for write in &mut writes {
            if write.id.is_none() {
                *next_id += 1;
                write.id = Some(*next_id);
            }
        }
        let places = writes.iter().map(|write| (write.order, write.at)).collect();
        index.written(writes);
        places
    }

    #[test]
    fn a_row_is_filled_then_another_begun_and_a_sealed_one_used_again() {
        let mut index = JournalIndex::default();
        let mut made = 0;
        let third = SLOT_BYTES / 3 - 8;
        for seq in 1..=6 {
            append(&mut index, vec![piece(1, seq, third)], &mut made);
        }
        assert_eq!((made, index.used_count()), (2, 2));
        append(&mut index, vec![piece(2, 1, 10)], &mut made);
        let orders = |slots: Vec<Slot>| slots.iter().map(|slot| slot.order).collect::<Vec<_>>();
        assert_eq!(orders(index.slots_from(StreamId(1), 1)), [1, 2, 3]);
        assert_eq!(orders(index.slots_from(StreamId(1), 4)), [2, 3]);
        assert_eq!(orders(index.slots_from(StreamId(2), 1)), [3]);
        assert_eq!(orders(index.slots_from(StreamId(9), 1)), [0; 0]);
        index.sealed(&[StreamId(1)]);
        assert_eq!((index.used_count(), index.free().len()), (1, 2));
        let places = append(&mut index, vec![piece(1, 7, SLOT_BYTES - 20)], &mut made);
        assert_eq!(places, [(4, 0)]);
        assert_eq!((made, index.free().len()), (3, 1));
    }

    #[test]
    fn a_block_larger_than_a_row_gets_a_row_of_its_size() {
        let mut index = JournalIndex::default();
        let pieces = vec![
            piece(1, 1, 100),
            piece(2, 1, 5 * SLOT_BYTES),
            piece(3, 1, 100),
        ];
        let places = append(&mut index, pieces, &mut 0);
        assert_eq!(places, [(1, 0), (2, 0), (3, 0)]);
        assert_eq!(
            index.slots_from(StreamId(2), 1)[0].size,
            5 * SLOT_BYTES + 12
        );
    }

    #[test]
    fn a_body_that_makes_no_sense_gives_nothing() {
        let mut body = 7_u64.to_be_bytes().to_vec();
        body.extend(40_u32.to_be_bytes());
        body.extend([9; 40]);
        assert_eq!(pieces(&body).0, 7);
        assert_eq!(pieces(&body).1.count(), 0, "not a block");
        assert_eq!(pieces(&body[..20]).1.count(), 0);
        assert_eq!(pieces(&[]).1.count(), 0);
    }
}
