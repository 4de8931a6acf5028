//! The journal: one row per commit with, for each stream of that instant, one block.
//! Knows where in the journal a stream's unsealed polls begin; never decodes a cell.

use protocol::block::{self, BlockError, BlockHeader};
use protocol::id::StreamId;
use protocol::limits::BLOCK_POLLS_MAX;
use protocol::reading::Poll;
use std::collections::{BTreeMap, VecDeque};

/// Commits of a stream between two marks: a search reads at most this many rows in vain.
const MARK_ROWS: i64 = 8;

/// Appends a block to a row's body.
pub(super) fn put_piece(body: &mut Vec<u8>, piece: &[u8]) {
    // A block is at most BLOCK_BYTES_MAX, far below u32::MAX; the codec refuses longer ones.
    let length = u32::try_from(piece.len()).unwrap_or(u32::MAX);
    body.extend(length.to_le_bytes());
    body.extend(piece);
}

/// The blocks of a row's body; ends at the first thing that makes no sense.
pub(super) fn pieces(mut body: &[u8]) -> impl Iterator<Item = (BlockHeader, &[u8])> {
    std::iter::from_fn(move || {
        let (length, rest) = body.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (piece, rest) = rest.split_at_checked(length)?;
        body = rest;
        Some((block::header(piece).ok()?, piece))
    })
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

/// Where in the journal each stream's unsealed polls are. One mark per stream and `MARK_ROWS`.
#[derive(Debug, Default)]
pub(super) struct JournalIndex {
    /// Per stream, ascending: the first sequence number in a row, and the row.
    marks: BTreeMap<StreamId, VecDeque<(u64, i64)>>,
}

impl JournalIndex {
    /// A row holds polls of `stream` from `first_seq` on.
    pub(super) fn note(&mut self, stream: StreamId, first_seq: u64, row: i64) {
        let marks = self.marks.entry(stream).or_default();
        if marks.back().is_none_or(|(_, last)| row - last >= MARK_ROWS) {
            marks.push_back((first_seq, row));
        }
    }

    /// A row at or before the one that holds `seq`; `None` when the stream has nothing here.
    pub(super) fn start_row(&self, stream: StreamId, seq: u64) -> Option<i64> {
        let marks = self.marks.get(&stream)?;
        let after = marks.partition_point(|(first_seq, _)| *first_seq <= seq);
        marks
            .get(after.saturating_sub(1))
            .map(|(_, first_row)| *first_row)
    }

    /// All polls of `stream` stand in blocks now.
    pub(super) fn forget(&mut self, stream: StreamId) {
        self.marks.remove(&stream);
    }

    /// Rows before this one hold nothing unsealed once `sealed` are; `None` when no row does.
    pub(super) fn first_row(&self, sealed: &[StreamId]) -> Option<i64> {
        self.marks
            .iter()
            .filter(|(stream, _)| !sealed.contains(stream))
            .filter_map(|(_, marks)| marks.front())
            .map(|(_, row)| *row)
            .min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_begins_at_or_before_the_row_and_not_far_before() {
        let mut index = JournalIndex::default();
        for row in 1..=100_i64 {
            index.note(StreamId(1), u64::try_from(row).unwrap() * 2 - 1, row);
        }
        for seq in 1..=200_u64 {
            let row = i64::try_from(seq.div_ceil(2)).unwrap();
            let start = index.start_row(StreamId(1), seq).unwrap();
            assert!(start <= row && row - start < MARK_ROWS, "{seq}");
        }
        index.note(StreamId(2), 1, 50);
        assert_eq!(index.first_row(&[]), Some(1));
        assert_eq!(index.first_row(&[StreamId(1)]), Some(50));
        index.forget(StreamId(1));
        assert_eq!(index.first_row(&[StreamId(2)]), None);
        assert_eq!(index.start_row(StreamId(1), 5), None);
    }

    #[test]
    fn a_body_that_is_cut_off_gives_its_whole_pieces() {
        let mut body = Vec::new();
        put_piece(&mut body, &[9; 40]);
        assert_eq!(pieces(&body).count(), 0, "not a block");
        assert_eq!(pieces(&body[..20]).count(), 0);
    }
}
