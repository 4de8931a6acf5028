//! Reading back what was stored: for the hub as blocks, for charts as a series.
//! Never writes; each function sees one consistent state of the buffer.

use super::buffer::Shared;
use super::error::{Doing as _, StorageError};
use super::journal::{self, Slot, each_piece};
use protocol::block::{self, BlockError};
use protocol::id::{SensorId, StreamId};
use protocol::limits::BLOCK_POLLS_MAX;
use protocol::reading::{Cell, Column, Poll, Quality};
use protocol::series::{Series, SeriesBuilder};
use protocol::time::{ClockState, Timestamp};
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

/// Where a sensor's readings are: a column of a stream.
pub(super) struct Place {
    stream: StreamId,
    index: usize,
    column: Column,
    /// The journal's rows with this stream, as the index said before the read began: what is
    /// sealed in between is then found in the blocks, and nothing is missed.
    slots: Vec<Slot>,
}

/// All columns that ever held a sensor.
pub(super) fn places(shared: &Shared, sensor: SensorId) -> Vec<Place> {
    let mut places = Vec::new();
    for registered in shared.streams() {
        for (index, column) in registered.schema.columns.iter().enumerate() {
            if column.sensor == sensor {
                places.push(Place {
                    stream: registered.stream,
                    index,
                    column: column.clone(),
                    slots: shared.slots_from(registered.stream, 0),
                });
            }
        }
    }
    places
}

/// Readings at these places with `from <= time < to`.
pub(super) fn series(
    db: &Connection,
    places: &[Place],
    (from, to): (Timestamp, Timestamp),
    points_max: usize,
) -> Result<Series, StorageError> {
    let mut builder = SeriesBuilder::new(from, to, points_max);
    for place in places {
        let mut add = |cells: Vec<(Timestamp, ClockState, Cell)>| {
            add_cells(&mut builder, &place.column, &cells);
        };
        sealed_column(db, place, (from, to), &mut add)?;
        journal_column(db, place, &mut add)?;
    }
    Ok(builder.finish())
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

fn sealed_column(
    db: &Connection,
    place: &Place,
    (from, to): (Timestamp, Timestamp),
    add: &mut impl FnMut(Vec<(Timestamp, ClockState, Cell)>),
) -> Result<(), StorageError> {
    let mut query = db
        .prepare_cached(
            "SELECT body FROM block INDEXED BY block_range
             WHERE stream = ?1 AND time_max >= ?2 AND time_min < ?3 ORDER BY last_seq",
        )
        .doing(DOING)?;
    let mut rows = query.query((place.stream.0, from.0, to.0)).doing(DOING)?;
    while let Some(row) = rows.next().doing(DOING)? {
        let body = row.get_ref(0).doing(DOING)?.as_blob().unwrap_or_default();
        // A chart is shown without a block that cannot be read; sending it finds and tells it.
        if let Ok(cells) = block::decode_column(body, place.index) {
            add(cells);
        }
    }
    Ok(())
}

fn journal_column(
    db: &Connection,
    place: &Place,
    add: &mut impl FnMut(Vec<(Timestamp, ClockState, Cell)>),
) -> Result<(), StorageError> {
    let sealed_seq: u64 = db
        .prepare_cached("SELECT sealed_seq FROM stream WHERE id = ?1")
        .and_then(|mut query| query.query_row([place.stream.0], |row| row.get(0)))
        .doing(DOING)?;
    each_piece(db, &place.slots, place.stream, |header, piece| {
        if header.first_seq > sealed_seq
            && let Ok(cells) = block::decode_column(piece, place.index)
        {
            add(cells);
        }
        Ok(true)
    })
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
