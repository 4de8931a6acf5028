//! Reading back what was stored: for the hub as blocks, for charts as a series.
//! Never writes; each function sees one consistent state of the buffer.

use super::buffer::Shared;
use super::error::{Doing as _, StorageError};
use super::journal;
use protocol::block::{self, BlockError};
use protocol::id::{SensorId, StreamId};
use protocol::limits::BLOCK_POLLS_MAX;
use protocol::reading::{Cell, Column, Poll, Quality};
use protocol::series::{Series, SeriesBuilder};
use protocol::time::{ClockState, Timestamp};
use rusqlite::{Connection, OptionalExtension as _};

const DOING: &str = "reading polls back";

/// Polls of one stream that are wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub stream: StreamId,
    pub first_seq: u64,
    pub last_seq: u64,
    pub bytes_max: usize,
    /// Where the journal has to be searched from, as the index said before this read began.
    pub start_row: Option<i64>,
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

/// Readings of one sensor with `from <= time < to`.
pub(super) fn series(
    db: &Connection,
    shared: &Shared,
    sensor: SensorId,
    (from, to): (Timestamp, Timestamp),
    points_max: usize,
) -> Result<Series, StorageError> {
    let mut builder = SeriesBuilder::new(from, to, points_max);
    for registered in shared.streams() {
        let columns = registered.schema.columns.iter().enumerate();
        for (index, column) in columns.filter(|(_, column)| column.sensor == sensor) {
            let stream = registered.stream;
            let mut add = |cells: Vec<(Timestamp, ClockState, Cell)>| {
                add_cells(&mut builder, column, &cells);
            };
            sealed_column(db, stream, index, (from, to), &mut add)?;
            journal_column(db, shared, stream, index, &mut add)?;
        }
    }
    Ok(builder.finish())
}

/// The time of the first poll of a stream that comes at or after `seq`.
pub(super) fn time_of(
    db: &Connection,
    stream: StreamId,
    seq: u64,
    start_row: Option<i64>,
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
    if let Some(start_row) = start_row {
        each_piece(db, stream, start_row, |header, _| {
            if header.last_seq() >= seq {
                first = Some(header.first_time);
            }
            Ok(first.is_none())
        })?;
    }
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
    let Some(start_row) = wanted.start_row else {
        return Ok(());
    };
    let stream = wanted.stream;
    let sealed_seq: u64 = db
        .prepare_cached("SELECT sealed_seq FROM stream WHERE id = ?1")
        .and_then(|mut query| query.query_row([stream.0], |row| row.get(0)))
        .doing(DOING)?;
    let low = wanted.first_seq.max(sealed_seq + 1);
    let mut run: Option<(u64, Vec<Poll>)> = None;
    let mut run_bytes = 0;
    let mut room = true;
    each_piece(db, stream, start_row, |header, piece| {
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

fn sealed_column(
    db: &Connection,
    stream: StreamId,
    column: usize,
    (from, to): (Timestamp, Timestamp),
    add: &mut impl FnMut(Vec<(Timestamp, ClockState, Cell)>),
) -> Result<(), StorageError> {
    let mut query = db
        .prepare_cached(
            "SELECT body FROM block INDEXED BY block_range
             WHERE stream = ?1 AND time_max >= ?2 AND time_min < ?3 ORDER BY last_seq",
        )
        .doing(DOING)?;
    let mut rows = query.query((stream.0, from.0, to.0)).doing(DOING)?;
    while let Some(row) = rows.next().doing(DOING)? {
        let body = row.get_ref(0).doing(DOING)?.as_blob().unwrap_or_default();
        // A chart is shown without a block that cannot be read; sending it finds and tells it.
        if let Ok(cells) = block::decode_column(body, column) {
            add(cells);
        }
    }
    Ok(())
}

fn journal_column(
    db: &Connection,
    shared: &Shared,
    stream: StreamId,
    column: usize,
    add: &mut impl FnMut(Vec<(Timestamp, ClockState, Cell)>),
) -> Result<(), StorageError> {
    let Some(start_row) = shared.start_row(stream, 0) else {
        return Ok(());
    };
    let sealed_seq: u64 = db
        .prepare_cached("SELECT sealed_seq FROM stream WHERE id = ?1")
        .and_then(|mut query| query.query_row([stream.0], |row| row.get(0)))
        .doing(DOING)?;
    each_piece(db, stream, start_row, |header, piece| {
        if header.first_seq > sealed_seq
            && let Ok(cells) = block::decode_column(piece, column)
        {
            add(cells);
        }
        Ok(true)
    })
}

/// Calls `work` with each piece of a stream until it says `false`.
fn each_piece(
    db: &Connection,
    stream: StreamId,
    start_row: i64,
    mut work: impl FnMut(block::BlockHeader, &[u8]) -> Result<bool, StorageError>,
) -> Result<(), StorageError> {
    let mut query = db
        .prepare_cached("SELECT body FROM journal WHERE id >= ?1 ORDER BY id")
        .doing(DOING)?;
    let mut rows = query.query([start_row]).doing(DOING)?;
    while let Some(row) = rows.next().doing(DOING)? {
        let body = row.get_ref(0).doing(DOING)?.as_blob().unwrap_or_default();
        for (header, piece) in journal::pieces(body) {
            if header.stream == stream && !work(header, piece)? {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn add_cells(
    builder: &mut SeriesBuilder,
    column: &Column,
    cells: &[(Timestamp, ClockState, Cell)],
) {
    for (time, _, cell) in cells {
        match *cell {
            Cell::Skipped => {}
            Cell::Value(raw, quality) => builder.push(*time, Some(column.value(raw)), quality),
            Cell::Missing(cause) => builder.push(*time, None, Quality::Bad(cause)),
        }
    }
}

fn block_error(stream: StreamId, source: BlockError) -> StorageError {
    StorageError::Block {
        stream: stream.0,
        doing: DOING,
        source,
    }
}
