//! A block: the one format in which the polls of one group are journalled, stored, sent and kept
//! at the hub, from a single live poll to a sealed column store of up to `BLOCK_POLLS_MAX` polls.
//! Never knows what a column means: sensors, scales and units stand in the group's schema.
//!
//! The bytes are described in PROTOCOL §3. Decoding never panics and allocates at most
//! `BLOCK_CELLS_MAX` cells (about 6.5 MB), whatever the bytes are.

mod bits;
mod bytes;
mod cells;
mod column;
mod columnar;
mod floats;
mod integers;
mod small;
mod statistics;
#[cfg(test)]
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "the simulated plant and the counts of the tests are small"
)]
mod tests;

use crate::id::StreamId;
use crate::limits::{BLOCK_BYTES_MAX, BLOCK_POLLS_MAX, BLOCK_SMALL_POLLS_MAX, GROUP_COLUMNS_MAX};
use crate::reading::{Cell, Poll};
use crate::time::{ClockState, Timestamp};
use bytes::{Reader, put_varint, put_zigzag};

pub use column::ColumnReader;
pub use statistics::ColumnStatistics;

/// The only format version there is so far: the first byte of a block.
const VERSION: u8 = 1;
/// Second byte of a block in the small layout.
const LAYOUT_SMALL: u8 = 0;
/// Second byte of a block in the columnar layout.
const LAYOUT_COLUMNAR: u8 = 1;
/// Up to this many polls the small layout is always the shorter one and is taken untried.
const SMALL_ONLY_POLLS: usize = 8;
/// Length of the checksum at the end.
const CHECKSUM_BYTES: usize = 4;

/// What a block holds, without its cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockHeader {
    /// The poll group.
    pub stream: StreamId,
    /// Sequence number of the first poll; the others follow without a hole.
    pub first_seq: u64,
    /// Number of polls, 1 to `BLOCK_POLLS_MAX`.
    pub count: u32,
    /// Cells per poll, 1 to `GROUP_COLUMNS_MAX`.
    pub columns: u32,
    /// Time of the first poll. After a step of the clock it may lie behind `last_time`'s.
    pub first_time: Timestamp,
    /// Time of the last poll.
    pub last_time: Timestamp,
}

impl BlockHeader {
    /// Sequence number of the last poll.
    pub fn last_seq(&self) -> u64 {
        self.first_seq
            .saturating_add(u64::from(self.count.saturating_sub(1)))
    }
}

/// A decoded block.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// What it holds.
    pub header: BlockHeader,
    /// The polls, `header.count` of them, each with `header.columns` cells.
    pub polls: Vec<Poll>,
}

/// Why a block could not be made or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// Nothing to encode or to join.
    #[error("a block needs at least one poll and one column")]
    Empty,
    /// More polls than a block takes.
    #[error("{polls} polls do not fit one block, which takes {BLOCK_POLLS_MAX}; split them")]
    TooManyPolls {
        /// How many there were.
        polls: usize,
    },
    /// More columns than a group has.
    #[error(
        "{columns} columns do not fit one block, which takes {GROUP_COLUMNS_MAX}; split the poll group"
    )]
    TooManyColumns {
        /// How many there were.
        columns: usize,
    },
    /// Polls or blocks of different groups.
    #[error(
        "poll {seq} has {columns} cells where the block has {expected}; a changed poll group is a new stream"
    )]
    DifferentColumns {
        /// Sequence number of the poll that differs.
        seq: u64,
        /// Its number of cells.
        columns: usize,
        /// The number of cells of the first poll.
        expected: usize,
    },
    /// The sequence numbers do not fit 64 bits.
    #[error(
        "a block of {count} polls from sequence number {first_seq} passes the end of the numbers"
    )]
    SequenceEnd {
        /// Sequence number of the first poll.
        first_seq: u64,
        /// Number of polls.
        count: usize,
    },
    /// The encoded block is too long to be sent.
    #[error("a block of {bytes} bytes is longer than {BLOCK_BYTES_MAX}; make it of fewer polls")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Made by a newer program.
    #[error("block format version {version} is not known here; update this program")]
    UnknownVersion {
        /// First byte of the block.
        version: u8,
    },
    /// The bytes end too early.
    #[error("the block is cut off")]
    Truncated,
    /// The checksum does not fit: the bytes were changed on the way or on the disk.
    #[error("the block's checksum does not fit its bytes; it has to be read or sent again")]
    Checksum,
    /// The checksum fits but the contents make no sense: the writer is at fault.
    #[error("the block was written wrongly: {what}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
    },
    /// A column was asked for that is not there.
    #[error("the block has {columns} columns, so none with index {column}")]
    NoSuchColumn {
        /// Index asked for, from 0.
        column: usize,
        /// Number of columns.
        columns: u32,
    },
    /// None of the sequence numbers asked for are in the block.
    #[error("the block holds polls {first_seq} to {last_seq}, none of those asked for")]
    OutsideBlock {
        /// First sequence number held.
        first_seq: u64,
        /// Last sequence number held.
        last_seq: u64,
    },
    /// Blocks to join do not follow one another.
    #[error(
        "blocks do not join: poll {expected_seq} of stream {stream} should follow, poll {first_seq} of stream {other} does"
    )]
    NotAdjacent {
        /// Stream of the first block.
        stream: StreamId,
        /// Sequence number that should follow.
        expected_seq: u64,
        /// Stream that follows.
        other: StreamId,
        /// Sequence number that follows.
        first_seq: u64,
    },
}

/// Makes the shortest block of `polls`, whose sequence numbers are `first_seq`, `first_seq + 1`
/// and so on.
///
/// Refuses no polls, no columns, more polls or columns than the limits, polls of differing
/// width, sequence numbers beyond `u64::MAX` and a result longer than `BLOCK_BYTES_MAX`.
pub fn encode(stream: StreamId, first_seq: u64, polls: &[Poll]) -> Result<Vec<u8>, BlockError> {
    let header = describe(stream, first_seq, polls)?;
    let small = (polls.len() <= BLOCK_SMALL_POLLS_MAX)
        .then(|| finish(&header, LAYOUT_SMALL, &small::encode(&header, polls)));
    let columnar = (polls.len() > SMALL_ONLY_POLLS)
        .then(|| finish(&header, LAYOUT_COLUMNAR, &columnar::encode(&header, polls)));
    let shortest = [small, columnar].into_iter().flatten().min_by_key(Vec::len);
    let encoded = shortest.ok_or(BlockError::Empty)?;
    if encoded.len() > BLOCK_BYTES_MAX {
        return Err(BlockError::TooLong {
            bytes: encoded.len(),
        });
    }
    Ok(encoded)
}

/// Reads what a block holds, without its body. Checks the header against the limits, not the
/// checksum and not the cells.
pub fn header(bytes: &[u8]) -> Result<BlockHeader, BlockError> {
    let (header, _, _) = read_header(bytes)?;
    Ok(header)
}

/// Decodes all of a block. The block must fill `bytes` to the end and its checksum and statistics
/// must be right.
pub fn decode(bytes: &[u8]) -> Result<Block, BlockError> {
    let (header, layout, body) = open(bytes)?;
    let polls = match layout {
        Layout::Small => small::decode(&header, body)?,
        Layout::Columnar => columnar::decode(&header, body)?,
    };
    Ok(Block { header, polls })
}

/// Decodes the times and one column; the other columns are not looked at. For many blocks, keep a
/// [`ColumnReader`].
pub fn decode_column(
    bytes: &[u8],
    column: usize,
) -> Result<Vec<(Timestamp, ClockState, Cell)>, BlockError> {
    let mut reader = ColumnReader::default();
    reader.read(bytes, column)?;
    Ok(reader.cells().collect())
}

/// Count, extremes, sum, first and last of one column's values; `None` when it has no value.
///
/// Read, not computed, in the columnar layout.
pub fn column_statistics(
    bytes: &[u8],
    column: usize,
) -> Result<Option<ColumnStatistics>, BlockError> {
    let (header, layout, body) = open(bytes)?;
    match layout {
        Layout::Small => {
            let cells = decode_column(bytes, column)?;
            Ok(ColumnStatistics::of(
                cells.into_iter().map(|(_, _, cell)| cell),
            ))
        }
        Layout::Columnar => columnar::statistics(&header, body, column),
    }
}

/// The polls of a block from `first_seq` to `last_seq`, as a block; what of that range the block
/// does not hold is left out. The same bytes when the range covers the block.
pub fn slice(bytes: &[u8], first_seq: u64, last_seq: u64) -> Result<Vec<u8>, BlockError> {
    let Block { header, polls } = decode(bytes)?;
    let first = first_seq.max(header.first_seq);
    let last = last_seq.min(header.last_seq());
    if first > last {
        return Err(BlockError::OutsideBlock {
            first_seq: header.first_seq,
            last_seq: header.last_seq(),
        });
    }
    if first == header.first_seq && last == header.last_seq() {
        return Ok(bytes.to_vec());
    }
    let seqs = header.first_seq..=header.last_seq();
    let kept = polls
        .into_iter()
        .zip(seqs)
        .filter(|(_, seq)| (first..=last).contains(seq));
    encode(
        header.stream,
        first,
        &kept.map(|(poll, _)| poll).collect::<Vec<_>>(),
    )
}

/// One block of several that follow one another: same stream, same columns, no hole, in order.
///
/// At most `BLOCK_POLLS_MAX` polls in all.
pub fn join(blocks: &[Vec<u8>]) -> Result<Vec<u8>, BlockError> {
    let mut start: Option<BlockHeader> = None;
    let mut polls: Vec<Poll> = Vec::new();
    for bytes in blocks {
        let next = decode(bytes)?;
        let first = *start.get_or_insert(next.header);
        let held = u64::try_from(polls.len()).unwrap_or(u64::MAX);
        let expected_seq = first.first_seq.saturating_add(held);
        if next.header.stream != first.stream || next.header.first_seq != expected_seq {
            return Err(BlockError::NotAdjacent {
                stream: first.stream,
                expected_seq,
                other: next.header.stream,
                first_seq: next.header.first_seq,
            });
        }
        polls.extend(next.polls);
        if polls.len() > BLOCK_POLLS_MAX {
            return Err(BlockError::TooManyPolls { polls: polls.len() });
        }
    }
    let first = start.ok_or(BlockError::Empty)?;
    encode(first.stream, first.first_seq, &polls)
}

/// How the body of a block is laid out.
#[derive(Clone, Copy, Debug)]
enum Layout {
    Small,
    Columnar,
}

fn malformed(what: &'static str) -> BlockError {
    BlockError::Malformed { what }
}

fn no_such_column(header: &BlockHeader, column: usize) -> BlockError {
    BlockError::NoSuchColumn {
        column,
        columns: header.columns,
    }
}

/// A count that was checked against a limit, for an allocation or a loop.
fn size(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// Checks what is to be encoded and describes it.
fn describe(stream: StreamId, first_seq: u64, polls: &[Poll]) -> Result<BlockHeader, BlockError> {
    let (Some(first), Some(last)) = (polls.first(), polls.last()) else {
        return Err(BlockError::Empty);
    };
    let expected = first.cells.len();
    if expected == 0 {
        return Err(BlockError::Empty);
    }
    if polls.len() > BLOCK_POLLS_MAX {
        return Err(BlockError::TooManyPolls { polls: polls.len() });
    }
    if expected > GROUP_COLUMNS_MAX {
        return Err(BlockError::TooManyColumns { columns: expected });
    }
    let count = u32::try_from(polls.len()).unwrap_or(u32::MAX);
    let Some(last_seq) = first_seq.checked_add(u64::from(count - 1)) else {
        return Err(BlockError::SequenceEnd {
            first_seq,
            count: polls.len(),
        });
    };
    for (seq, poll) in (first_seq..=last_seq).zip(polls) {
        if poll.cells.len() != expected {
            let columns = poll.cells.len();
            return Err(BlockError::DifferentColumns {
                seq,
                columns,
                expected,
            });
        }
    }
    Ok(BlockHeader {
        stream,
        first_seq,
        count,
        columns: u32::try_from(expected).unwrap_or(u32::MAX),
        first_time: first.time,
        last_time: last.time,
    })
}

/// Header, body and checksum in one piece.
fn finish(header: &BlockHeader, layout: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![VERSION, layout];
    put_varint(&mut out, u64::from(header.stream.0));
    put_varint(&mut out, header.first_seq);
    put_varint(&mut out, u64::from(header.count));
    put_varint(&mut out, u64::from(header.columns));
    put_zigzag(&mut out, header.first_time.0);
    if header.count > 1 {
        put_zigzag(
            &mut out,
            header.last_time.0.wrapping_sub(header.first_time.0),
        );
    }
    out.extend_from_slice(body);
    let checksum = crc32c::crc32c(&out);
    out.extend_from_slice(&checksum.to_le_bytes());
    out
}

/// Checks the checksum, then gives header, layout and body.
fn open(bytes: &[u8]) -> Result<(BlockHeader, Layout, Reader<'_>), BlockError> {
    let (header, layout, body) = read_header(bytes)?;
    let (checked, stored) = bytes
        .split_last_chunk::<CHECKSUM_BYTES>()
        .ok_or(BlockError::Truncated)?;
    if crc32c::crc32c(checked) != u32::from_le_bytes(*stored) {
        return Err(BlockError::Checksum);
    }
    Ok((header, layout, body))
}

/// The header, checked against every limit before anything is allocated by it.
fn read_header(bytes: &[u8]) -> Result<(BlockHeader, Layout, Reader<'_>), BlockError> {
    if bytes.len() > BLOCK_BYTES_MAX {
        return Err(BlockError::TooLong { bytes: bytes.len() });
    }
    let (checked, _) = bytes
        .split_last_chunk::<CHECKSUM_BYTES>()
        .ok_or(BlockError::Truncated)?;
    let mut reader = Reader::new(checked);
    let version = reader.byte()?;
    if version != VERSION {
        return Err(BlockError::UnknownVersion { version });
    }
    let layout = match reader.byte()? {
        LAYOUT_SMALL => Layout::Small,
        LAYOUT_COLUMNAR => Layout::Columnar,
        _ => return Err(malformed("unknown layout")),
    };
    let polls_max = match layout {
        Layout::Small => BLOCK_SMALL_POLLS_MAX,
        Layout::Columnar => BLOCK_POLLS_MAX,
    };
    let stream = reader.number()?;
    let first_seq = reader.varint()?;
    let count = reader.number()?;
    let columns = reader.number()?;
    if count == 0 || size(count) > polls_max {
        return Err(malformed("number of polls outside the limits"));
    }
    if columns == 0 || size(columns) > GROUP_COLUMNS_MAX {
        return Err(malformed("number of columns outside the limits"));
    }
    if first_seq.checked_add(u64::from(count - 1)).is_none() {
        return Err(malformed("sequence numbers beyond their end"));
    }
    let first_time = reader.zigzag()?;
    let lasted = if count > 1 { reader.zigzag()? } else { 0 };
    let header = BlockHeader {
        stream: StreamId(stream),
        first_seq,
        count,
        columns,
        first_time: Timestamp(first_time),
        last_time: Timestamp(first_time.wrapping_add(lasted)),
    };
    Ok((header, layout, reader))
}
