//! Readings of one sensor for a chart: raw while they are few, rollups when they are many or when
//! the raw ones are gone. Never writes; sees one consistent state of the buffer.
//!
//! The span is cut at whole buckets: what lies in between comes from the finest level whose
//! entries are not too many, the rest at both ends from the next finer one, down to the readings
//! themselves. Where a finer level holds less than a coarser one says there was, it was given up,
//! and the coarser one stands in for it; so nothing counts twice, whatever was evicted.

use super::buffer::Shared;
use super::error::{Doing as _, StorageError};
use super::journal::{Slot, each_piece};
use super::rollups::{self, GroupId};
use protocol::block::{self, ColumnReader};
use protocol::id::{SensorId, StreamId};
use protocol::reading::{Cell, Column, GroupSchema, Quality, Raw};
use protocol::rollup::{Level, Rollup};
use protocol::series::{Series, SeriesBuilder};
use protocol::time::{ClockState, Timestamp};
use rusqlite::Connection;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

const DOING: &str = "reading a series";
/// A level is taken when it has at most so many entries in the span (`entries_max`): 24 hours at one second are
/// read as they are.
pub(super) const ENTRIES_MAX: u64 = 100_000;

/// Where a sensor's readings are: a column of a poll group.
pub(super) struct Place {
    /// Where its rollups are, if it has any.
    group: Option<GroupId>,
    index: usize,
    column: Column,
    /// The streams of the group. The journal's rows with each, as the index said before the read
    /// began: what is sealed in between is then found in the blocks, and nothing is missed.
    streams: Vec<(StreamId, Vec<Slot>)>,
}

/// All columns that ever held a sensor.
pub(super) fn places(shared: &Shared, sensor: SensorId) -> Vec<Place> {
    let mut places: BTreeMap<(Arc<[u8]>, usize), Place> = BTreeMap::new();
    let mut add = |schema: &GroupSchema, bytes: &Arc<[u8]>, set: &mut dyn FnMut(&mut Place)| {
        for (index, column) in schema.columns.iter().enumerate() {
            if column.sensor == sensor {
                let place = places.entry((Arc::clone(bytes), index));
                set(place.or_insert_with(|| Place {
                    group: None,
                    index,
                    column: column.clone(),
                    streams: Vec::new(),
                }));
            }
        }
    };
    for registered in shared.streams() {
        let stream = registered.stream;
        add(&registered.schema, &registered.bytes, &mut |place| {
            place.streams.push((stream, shared.slots_from(stream, 0)));
        });
    }
    for group in shared.groups() {
        add(&group.schema, &group.bytes, &mut |place| {
            place.group = Some(group.id);
        });
    }
    places.into_values().collect()
}

/// Readings at these places with `from <= time < to`.
pub(super) fn series(
    db: &Connection,
    places: &[Place],
    span: (Timestamp, Timestamp),
    points_max: usize,
    entries_max: u64,
) -> Result<Series, StorageError> {
    let mut level = None;
    for place in places {
        level = level.max(base_level(db, place, span, entries_max)?);
    }
    let mut parts = Parts::default();
    let mut unsealed = Vec::new();
    for (number, place) in places.iter().enumerate() {
        let mut reader = Reader {
            db,
            place,
            number,
            parts: &mut parts,
        };
        reader.collect(level, span)?;
        unsealed.push(journal_cells(db, place)?);
    }
    let (from, to) = span;
    let unit_us = level.unwrap_or(Level::Minute).bucket_us();
    let mut builder = if parts.summaries.is_empty() {
        SeriesBuilder::new(from, to, points_max)
    } else {
        SeriesBuilder::stepped(from, to, points_max, unit_us)
    };
    for (number, start, bucket) in &parts.summaries {
        if let Some(place) = places.get(*number) {
            let values = bucket.scaled(&place.column);
            builder.push_rollup((*start).max(from), values, bucket.worst);
        }
    }
    for (number, cells) in parts
        .cells
        .iter()
        .chain(&(0..).zip(unsealed).collect::<Vec<_>>())
    {
        if let Some(place) = places.get(*number) {
            add_cells(&mut builder, &place.column, cells);
        }
    }
    Ok(builder.finish())
}

/// What a series is made of, with the number of the place it comes from.
#[derive(Default)]
struct Parts {
    cells: Vec<(usize, Cells)>,
    summaries: Vec<(usize, Timestamp, Rollup)>,
    /// Buckets in `summaries`: one that stands in for a finer one is met from both of its ends.
    taken: BTreeSet<(usize, Level, Timestamp)>,
}

type Cells = Vec<(Timestamp, ClockState, Cell)>;

/// What holds the readings of one bucket of the finest level looked at.
struct Held {
    /// Usable values.
    total: u64,
    /// `None`: they are there one by one.
    summary: Option<(Level, Rollup)>,
}

/// Reads one place.
struct Reader<'a> {
    db: &'a Connection,
    place: &'a Place,
    number: usize,
    parts: &'a mut Parts,
}

impl Reader<'_> {
    /// Collects what was sealed in `from..to`: at `level` (`None`: raw) what lies in whole buckets,
    /// finer at both ends.
    fn collect(
        &mut self,
        level: Option<Level>,
        (from, to): (Timestamp, Timestamp),
    ) -> Result<(), StorageError> {
        if from >= to {
            return Ok(());
        }
        let Some(level) = level else {
            return self.collect_raw((from, to));
        };
        let (inner_from, inner_to) = (ceil(from, level), floor(to, level));
        let finer = level.finer();
        if inner_from >= inner_to {
            return self.collect(finer, (from, to));
        }
        self.collect(finer, (from, inner_from))?;
        let held = self.held(level, (inner_from, inner_to), BTreeMap::new())?;
        self.take(held, (inner_from, inner_to));
        self.collect(finer, (inner_to, to))
    }

    fn collect_raw(&mut self, (from, to): (Timestamp, Timestamp)) -> Result<(), StorageError> {
        let whole = (floor(from, Level::Minute), ceil(to, Level::Minute));
        let mut cells = sealed_cells(self.db, self.place, whole)?;
        let mut counts: BTreeMap<Timestamp, u64> = BTreeMap::new();
        let by_minute = |(time, ..): &(Timestamp, ClockState, Cell)| floor(*time, Level::Minute);
        for minute in cells.chunk_by(|a, b| by_minute(a) == by_minute(b)) {
            let readings = minute.iter().filter(|(_, _, cell)| *cell != Cell::Skipped);
            let usable = readings.clone().filter(|(_, _, cell)| is_usable(*cell));
            if let Some(first) = readings.clone().next() {
                let count = u64::try_from(usable.count()).unwrap_or(u64::MAX);
                *counts.entry(by_minute(first)).or_default() += count;
            }
        }
        let held = self.held(Level::Minute, whole, counts)?;
        let mut last = (Timestamp(i64::MIN), false);
        cells.retain(|cell| {
            let (time, minute) = (cell.0, by_minute(cell));
            if last.0 != minute {
                let is_raw = held.get(&minute).is_some_and(|held| held.summary.is_none());
                last = (minute, is_raw);
            }
            last.1 && time >= from && time < to
        });
        self.parts.cells.push((self.number, cells));
        self.take(held, (from, to));
        Ok(())
    }

    /// Who holds each bucket of `level`: readings as counted, or else the finest rollup that has
    /// more than what is finer.
    fn held(
        &self,
        level: Level,
        (from, to): (Timestamp, Timestamp),
        counts: BTreeMap<Timestamp, u64>,
    ) -> Result<BTreeMap<Timestamp, Held>, StorageError> {
        let (wide_from, wide_to) = (floor(from, Level::Day), ceil(to, Level::Day));
        let mut held: BTreeMap<Timestamp, Held> = counts
            .into_iter()
            .map(|(start, total)| {
                (
                    start,
                    Held {
                        total,
                        summary: None,
                    },
                )
            })
            .collect();
        for coarser in Level::ALL.into_iter().filter(|coarser| *coarser >= level) {
            let Some(group) = self.place.group else { break };
            let (column, span) = ((group, self.place.index), (wide_from, wide_to));
            rollups::each_bucket(self.db, coarser, column, span, |start, bucket| {
                let end = start.plus_micros(coarser.bucket_us());
                let total = |span: Range<Timestamp>| -> u64 {
                    held.range(span).map(|(_, held)| held.total).sum()
                };
                // What lies beside the span may be there without having been counted.
                let whole = start >= from && end <= to;
                let part = start.max(from)..end.min(to).max(start.max(from));
                let nothing = |span| held.range(span).next().is_none();
                let count = u64::from(bucket.count);
                let more = count > total(start..end) || nothing(start..end);
                if more && (whole || nothing(part)) {
                    let inside: Vec<Timestamp> =
                        held.range(start..end).map(|(start, _)| *start).collect();
                    for start in inside {
                        held.remove(&start);
                    }
                    let summary = Some((coarser, bucket));
                    held.insert(
                        start,
                        Held {
                            total: count,
                            summary,
                        },
                    );
                }
            })?;
        }
        Ok(held)
    }

    /// Takes the summaries that touch the span.
    fn take(&mut self, held: BTreeMap<Timestamp, Held>, (from, to): (Timestamp, Timestamp)) {
        for (start, held) in held {
            let Some((level, bucket)) = held.summary else {
                continue;
            };
            let touches = start < to && start.plus_micros(level.bucket_us()) > from;
            if touches && self.parts.taken.insert((self.number, level, start)) {
                self.parts.summaries.push((self.number, start, bucket));
            }
        }
    }
}

/// The finest level with few enough entries in the span; `None`: the readings themselves.
fn base_level(
    db: &Connection,
    place: &Place,
    (from, to): (Timestamp, Timestamp),
    entries_max: u64,
) -> Result<Option<Level>, StorageError> {
    let (mut polls, mut first, mut last) = (0, None, None);
    for (stream, _) in &place.streams {
        let held: (u64, Option<i64>, Option<i64>) = db
            .prepare_cached(
                "SELECT coalesce(sum(last_seq - first_seq + 1), 0), min(time_min), max(time_max)
                 FROM block INDEXED BY block_range
                 WHERE stream = ?1 AND time_max >= ?2 AND time_min < ?3",
            )
            .and_then(|mut query| {
                query.query_row((stream.0, from.0, to.0), |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                })
            })
            .doing(DOING)?;
        polls += held.0;
        first = [first, held.1.map(Timestamp)].into_iter().flatten().min();
        last = last.max(held.2.map(Timestamp));
    }
    // What was given up counts too, as far as any group's days reach.
    if let Some((begin, end)) = rollups::extent(db, Level::Day)? {
        first = Some(first.map_or(begin, |first| first.min(begin)));
        last = Some(last.map_or(end, |last| last.max(end)));
    }
    let (Some(first), Some(last)) = (first, last) else {
        return Ok(None);
    };
    let span_us = last.min(to).micros_since(first.max(from)).max(0);
    let entries = |level: Level| (span_us / level.bucket_us()).unsigned_abs();
    if polls <= entries_max && entries(Level::Minute) <= entries_max {
        return Ok(None);
    }
    let level = Level::ALL
        .into_iter()
        .find(|level| entries(*level) <= entries_max);
    Ok(Some(level.unwrap_or(Level::Day)))
}

const fn floor(time: Timestamp, level: Level) -> Timestamp {
    Timestamp(time.0.saturating_sub(time.0.rem_euclid(level.bucket_us())))
}

const fn ceil(time: Timestamp, level: Level) -> Timestamp {
    let start = floor(time, level);
    if start.0 == time.0 {
        time
    } else {
        start.plus_micros(level.bucket_us())
    }
}

fn sealed_cells(
    db: &Connection,
    place: &Place,
    (from, to): (Timestamp, Timestamp),
) -> Result<Cells, StorageError> {
    let mut query = db
        .prepare_cached(
            "SELECT body FROM block INDEXED BY block_range
             WHERE stream = ?1 AND time_max >= ?2 AND time_min < ?3 ORDER BY last_seq",
        )
        .doing(DOING)?;
    let mut column = ColumnReader::default();
    let mut all = Cells::new();
    for (stream, _) in &place.streams {
        let mut rows = query.query((stream.0, from.0, to.0)).doing(DOING)?;
        while let Some(row) = rows.next().doing(DOING)? {
            let body = row.get_ref(0).doing(DOING)?.as_blob().unwrap_or_default();
            // A chart is shown without a block that cannot be read; sending it finds and tells it.
            if column.read(body, place.index).is_ok() {
                let inside = |(time, ..): &(Timestamp, ClockState, Cell)| (from..to).contains(time);
                all.extend(column.cells().filter(inside));
            }
        }
    }
    Ok(all)
}

fn journal_cells(db: &Connection, place: &Place) -> Result<Cells, StorageError> {
    let mut all = Cells::new();
    for (stream, slots) in &place.streams {
        let sealed_seq: u64 = db
            .prepare_cached("SELECT sealed_seq FROM stream WHERE id = ?1")
            .and_then(|mut query| query.query_row([stream.0], |row| row.get(0)))
            .doing(DOING)?;
        each_piece(db, slots, *stream, |header, piece| {
            if header.first_seq > sealed_seq
                && let Ok(cells) = block::decode_column(piece, place.index)
            {
                all.extend(cells);
            }
            Ok(true)
        })?;
    }
    Ok(all)
}

/// Whether a chart draws it, as `Rollup` counts it.
fn is_usable(cell: Cell) -> bool {
    match cell {
        Cell::Skipped | Cell::Missing(_) | Cell::Value(_, Quality::Bad(_)) => false,
        Cell::Value(Raw::Int(_), _) => true,
        Cell::Value(Raw::Float(value), _) => value.is_finite(),
    }
}

fn add_cells(builder: &mut SeriesBuilder, column: &Column, cells: &Cells) {
    for (time, _, cell) in cells {
        match *cell {
            Cell::Skipped => {}
            Cell::Value(raw, quality) => builder.push(*time, Some(column.value(raw)), quality),
            Cell::Missing(cause) => builder.push(*time, None, Quality::Bad(cause)),
        }
    }
}
