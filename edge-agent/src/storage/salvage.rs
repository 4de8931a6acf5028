//! What a damaged buffer still holds, copied into the new one: streams under their own names,
//! every sealed block and every piece of the journal whose checksum holds, statistics, states, what
//! the hub has. Never trusts a row that contradicts itself, never holds more than a few rows in
//! memory, and stops after a while, so that collection goes on within a minute.

mod page;

use super::blocks::{Loss, save_gone, save_loss};
use super::buffer::{ranges_from_bytes, ranges_to_bytes};
use super::database;
use super::error::{Doing as _, StorageError};
use super::{journal, rollups};
use protocol::block;
use protocol::event::GapCause;
use protocol::id::StreamId;
use protocol::limits::STREAMS_MAX;
use protocol::ranges::RangeSet;
use protocol::reading::{GroupSchema, Poll, RawKind};
use protocol::time::Timestamp;
use protocol::wire;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const DOING: &str = "copying out of a damaged buffer";
/// How long it may take; what is not copied by then is told as lost and stays in the old file.
const TIME_MAX: Duration = Duration::from_secs(40);
/// Rows copied in one transaction.
const BATCH: usize = 64;
/// Longest leap over rows that cannot be read: about as many as lie on a few pages.
const LEAP_MAX: i64 = 256;

/// A stream of the damaged buffer.
struct Old {
    schema: Arc<GroupSchema>,
    bytes: Arc<[u8]>,
    last_seq: u64,
    sealed_seq: u64,
    gone: RangeSet,
    acked: RangeSet,
}

/// Copies what can be read into an empty buffer, and notes what is lost: a loss of unknown size, of
/// no polls at `now`, when nothing can be read. The old file is only
/// changed where its first page is damaged: that page is then written anew.
pub(super) fn copy(aside: &Path, db: &mut Connection, now: Timestamp) -> Result<(), StorageError> {
    let until = Instant::now() + TIME_MAX;
    let old = page::open(aside, db);
    let mut streams = old.as_ref().map(streams).unwrap_or_default();
    let Some(old) = old.filter(|_| !streams.is_empty()) else {
        let (polls, cause) = (0, GapCause::StoreDamaged);
        let (from, to) = (now, now);
        return save_loss(
            db,
            &Loss {
                from,
                to,
                polls,
                cause,
            },
        );
    };
    journal_ends(&old, &mut streams);
    let tx = db.transaction().doing(DOING)?;
    for (id, stream) in &streams {
        put_stream(&tx, &old, *id, stream)?;
    }
    tx.commit().doing(DOING)?;
    small_tables(&old, db)?;
    // The journal comes last: it is added to the statistics of what was sealed.
    each_batch(&old, db, &ROLLUPS, until, |tx, row| {
        let (id, body): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
        if rollups::is_whole(id, &body) {
            tx.execute(
                "INSERT OR IGNORE INTO rollup (id, body) VALUES (?1, ?2)",
                (id, body),
            )?;
        }
        Ok(())
    })?;
    each_batch(&old, db, &BLOCKS, until, |tx, row| {
        copy_block(tx, row, &streams)
    })?;
    each_batch(&old, db, &JOURNAL, until, |tx, row| {
        copy_journal(tx, row, &streams)
    })?;
    let tx = db.transaction().doing(DOING)?;
    let bytes: u64 = tx
        .query_row(
            "SELECT coalesce(sum(length(body)), 0) FROM rollup",
            [],
            |row| row.get(0),
        )
        .doing(DOING)?;
    database::set_meta(&tx, rollups::BYTES, bytes)?;
    for (id, stream) in &streams {
        note_lost(&tx, *id, stream, now)?;
    }
    tx.commit().doing(DOING)
}

/// A table of the damaged buffer.
struct Table {
    name: &'static str,
    /// What is read of it, the key first.
    columns: &'static str,
    /// First and longest leap over keys that cannot be read.
    leaps: (i64, i64),
}

const BLOCKS: Table = Table {
    name: "block",
    columns: "id, stream, body",
    leaps: (1, LEAP_MAX),
};
const JOURNAL: Table = Table {
    name: "journal",
    columns: "id, body",
    leaps: (1, LEAP_MAX),
};
const ROLLUPS: Table = Table {
    name: "rollup",
    columns: "id, body",
    leaps: rollups::LEAPS,
};
const STREAMS: Table = Table {
    name: "stream",
    columns: "id, schema, sealed_seq, gone",
    leaps: (1, LEAP_MAX),
};

/// Calls `work` with every row that can be read; leaps over those that cannot.
fn each_row(
    db: &Connection,
    table: &Table,
    until: Instant,
    mut work: impl FnMut(&Row<'_>) -> rusqlite::Result<()>,
) {
    let (name, columns) = (table.name, table.columns);
    let sql = format!("SELECT {columns} FROM {name} WHERE id >= ?1 ORDER BY id LIMIT 1");
    let Ok(mut query) = db.prepare(&sql) else {
        return;
    };
    // Not more often than there are pages that may be damaged.
    let pages: rusqlite::Result<u64> = db.query_row("PRAGMA page_count", [], |row| row.get(0));
    let failed_max = pages.unwrap_or(0);
    let (first_leap, leap_max) = table.leaps;
    let end = end_id(db, name, "max").unwrap_or(i64::MAX);
    let mut id = end_id(db, name, "min").unwrap_or(0);
    let (mut leap, mut failed) = (first_leap, 0);
    while id <= end && failed <= failed_max && Instant::now() < until {
        let found = query.query_row([id], |row| {
            let found = row.get::<_, i64>(0)?;
            Ok((found, work(row).is_ok()))
        });
        match found {
            Ok((found, _)) => (id, leap) = (found.saturating_add(1), first_leap),
            Err(rusqlite::Error::QueryReturnedNoRows) => return,
            Err(_) => {
                id = id.saturating_add(leap);
                leap = leap.saturating_mul(2).min(leap_max);
                failed += 1;
            }
        }
    }
}

/// The first or last key of a table, as far as it can be read.
fn end_id(db: &Connection, table: &str, which: &str) -> Option<i64> {
    let sql = format!("SELECT {which}(id) FROM {table}");
    db.query_row(&sql, [], |row| row.get(0)).ok()?
}

/// Like `each_row`, with a transaction on the new buffer for some rows at a time.
fn each_batch(
    old: &Connection,
    db: &mut Connection,
    table: &Table,
    until: Instant,
    mut work: impl FnMut(&Transaction<'_>, &Row<'_>) -> rusqlite::Result<()>,
) -> Result<(), StorageError> {
    let mut result = Ok(());
    let mut open: Option<(Transaction<'_>, usize)> = None;
    let db: &Connection = db;
    each_row(old, table, until, |row| {
        if result.is_err() {
            return Ok(());
        }
        let (tx, count) = match open.take() {
            Some(open) => open,
            None => (db.unchecked_transaction()?, 0),
        };
        // A row that makes no sense is left out; one that cannot be written ends it.
        if let Err(error) = work(&tx, row)
            && matches!(error, rusqlite::Error::SqliteFailure(..))
        {
            result = Err(error);
            return Ok(());
        }
        if count + 1 < BATCH {
            open = Some((tx, count + 1));
        } else if let Err(error) = tx.commit() {
            result = Err(error);
        }
        Ok(())
    });
    if let Some((tx, _)) = open {
        result = result.and_then(|()| tx.commit());
    }
    match result.doing(DOING) {
        // The quota ends it too: what is not copied is told.
        Err(error) if error.is_full() => Ok(()),
        result => result,
    }
}

fn streams(old: &Connection) -> BTreeMap<StreamId, Old> {
    let mut streams = BTreeMap::new();
    let until = Instant::now() + TIME_MAX;
    each_row(old, &STREAMS, until, |row| {
        let id: u32 = row.get(0)?;
        let bytes: Vec<u8> = row.get(1)?;
        let sealed_seq = row.get(2)?;
        let Ok(schema) = wire::decode_schema(&bytes) else {
            return Ok(());
        };
        let acked = old
            .query_row("SELECT ranges FROM acked WHERE stream = ?1", [id], |row| {
                row.get(0)
            })
            .optional();
        if streams.len() < STREAMS_MAX {
            let stream = Old {
                schema: Arc::new(schema),
                bytes: bytes.into(),
                last_seq: sealed_seq,
                sealed_seq,
                gone: ranges_from_bytes(row.get(3)?),
                acked: ranges_from_bytes(acked.unwrap_or_default()),
            };
            streams.insert(StreamId(id), stream);
        }
        Ok(())
    });
    streams
}

/// How far the journal reaches.
fn journal_ends(old: &Connection, streams: &mut BTreeMap<StreamId, Old>) {
    each_row(old, &JOURNAL, Instant::now() + TIME_MAX, |row| {
        let body: Vec<u8> = row.get(1)?;
        for (header, piece) in journal::pieces(&body).1 {
            if let Some(stream) = streams.get_mut(&header.stream)
                && block::decode(piece).is_ok()
            {
                stream.last_seq = stream.last_seq.max(header.last_seq());
            }
        }
        Ok(())
    });
}

/// A stream under its own name. All its polls count as sealed: blocks are what is copied.
fn put_stream(
    tx: &Transaction<'_>,
    old: &Connection,
    id: StreamId,
    stream: &Old,
) -> Result<(), StorageError> {
    let incarnation: u32 = old
        .query_row(
            "SELECT incarnation FROM stream WHERE id = ?1",
            [id.0],
            |row| row.get(0),
        )
        .doing(DOING)?;
    tx.execute(
        "INSERT INTO stream (id, incarnation, schema, sealed_seq, gone) VALUES (?1, ?2, ?3, ?4, ?5)",
        (id.0, incarnation, &*stream.bytes, stream.last_seq, ranges_to_bytes(&stream.gone)),
    )
    .and_then(|_| {
        tx.execute(
            "INSERT INTO acked (stream, ranges) VALUES (?1, ?2)",
            (id.0, ranges_to_bytes(&stream.acked)),
        )
    })
    .doing(DOING)?;
    Ok(())
}

/// Tables of few rows, each as far as it can be read.
fn small_tables(old: &Connection, db: &mut Connection) -> Result<(), StorageError> {
    let tx = db.transaction().doing(DOING)?;
    for (read, write) in [
        (
            "SELECT id, schema FROM poll_group",
            "INSERT OR IGNORE INTO poll_group (id, schema) VALUES (?1, ?2)",
        ),
        (
            "SELECT key, value FROM state",
            "INSERT OR IGNORE INTO state (key, value) VALUES (?1, ?2)",
        ),
        (
            "SELECT hour, polls FROM thinned",
            "INSERT OR IGNORE INTO thinned (hour, polls) VALUES (?1, ?2)",
        ),
    ] {
        let Ok(mut query) = old.prepare(read) else {
            continue;
        };
        let Ok(mut rows) = query.query([]) else {
            continue;
        };
        while let Ok(Some(row)) = rows.next() {
            let pair = |at| row.get::<_, rusqlite::types::Value>(at);
            if let (Ok(first), Ok(second)) = (pair(0), pair(1)) {
                tx.execute(write, (first, second)).doing(DOING)?;
            }
        }
    }
    tx.commit().doing(DOING)
}

fn copy_block(
    tx: &Transaction<'_>,
    row: &Row<'_>,
    streams: &BTreeMap<StreamId, Old>,
) -> rusqlite::Result<()> {
    let (id, body): (u32, Vec<u8>) = (row.get(1)?, row.get(2)?);
    match block::decode(&body) {
        Ok(block) if block.header.stream.0 == id && streams.contains_key(&StreamId(id)) => {
            put_block(tx, &block, &body)
        }
        _ => Ok(()),
    }
}

fn put_block(tx: &Transaction<'_>, block: &block::Block, body: &[u8]) -> rusqlite::Result<()> {
    let header = &block.header;
    let times = || block.polls.iter().map(|poll| poll.time.0);
    let mut insert = tx.prepare_cached(
        "INSERT OR IGNORE INTO block (stream, first_seq, last_seq, time_min, time_max, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let (first, last) = (header.first_seq, header.last_seq());
    insert.execute((
        header.stream.0,
        first,
        last,
        times().min(),
        times().max(),
        body,
    ))?;
    Ok(())
}

/// The unsealed polls of a row of the journal, a block for each run of them, and into the
/// statistics: those of a sealed poll are in there.
fn copy_journal(
    tx: &Transaction<'_>,
    row: &Row<'_>,
    streams: &BTreeMap<StreamId, Old>,
) -> rusqlite::Result<()> {
    let body: Vec<u8> = row.get(1)?;
    let mut runs: BTreeMap<StreamId, (u64, Vec<Poll>)> = BTreeMap::new();
    for (header, piece) in journal::pieces(&body).1 {
        let Some(stream) = streams.get(&header.stream) else {
            continue;
        };
        let Ok(block) = block::decode(piece) else {
            continue;
        };
        if header.first_seq <= stream.sealed_seq {
            continue;
        }
        let run = runs
            .entry(header.stream)
            .or_insert((header.first_seq, Vec::new()));
        if run.0 + journal::count(&run.1) != header.first_seq {
            let done = std::mem::replace(run, (header.first_seq, Vec::new()));
            put_run(tx, header.stream, stream, done)?;
        }
        run.1.extend(block.polls);
    }
    for (id, run) in runs {
        if let Some(stream) = streams.get(&id) {
            put_run(tx, id, stream, run)?;
        }
    }
    Ok(())
}

fn put_run(
    tx: &Transaction<'_>,
    id: StreamId,
    stream: &Old,
    (first_seq, polls): (u64, Vec<Poll>),
) -> rusqlite::Result<()> {
    for body in journal::encode_pieces(id, first_seq, &polls).unwrap_or_default() {
        if let Ok(block) = block::decode(&body) {
            put_block(tx, &block, &body)?;
        }
    }
    let kinds: Vec<RawKind> = stream
        .schema
        .columns
        .iter()
        .map(|column| column.raw)
        .collect();
    // Statistics that cannot be written are only missing from charts from far away.
    if let Ok(groups) = rollups::groups(tx)
        && let Some(group) = groups.iter().find(|group| group.bytes == stream.bytes)
    {
        drop(rollups::add(tx, group.id, &kinds, &polls));
    }
    Ok(())
}

/// Tells what the hub does not have and what is not there any more.
fn note_lost(
    tx: &Transaction<'_>,
    id: StreamId,
    stream: &Old,
    now: Timestamp,
) -> Result<(), StorageError> {
    let mut known = RangeSet::from_pairs(
        stream
            .acked
            .pairs()
            .iter()
            .chain(stream.gone.pairs())
            .copied(),
    );
    {
        let mut query = tx
            .prepare_cached("SELECT first_seq, last_seq FROM block WHERE stream = ?1")
            .doing(DOING)?;
        let mut rows = query.query([id.0]).doing(DOING)?;
        while let Some(row) = rows.next().doing(DOING)? {
            known.insert(row.get(0).doing(DOING)?, row.get(1).doing(DOING)?);
        }
    }
    let lost = known.missing(1, stream.last_seq);
    let mut gone = stream.gone.clone();
    for (first, last) in &lost {
        gone.insert(*first, *last);
        let near = |sql| -> Result<Option<i64>, StorageError> {
            tx.query_row(sql, (id.0, first), |row| row.get(0))
                .doing(DOING)
        };
        let from = near("SELECT max(time_max) FROM block WHERE stream = ?1 AND last_seq < ?2")?;
        let to = near("SELECT min(time_min) FROM block WHERE stream = ?1 AND first_seq > ?2")?;
        let to = to.map_or(now, Timestamp);
        let loss = Loss {
            from: from.map_or(to, Timestamp),
            to,
            polls: last - first + 1,
            cause: GapCause::StoreDamaged,
        };
        save_loss(tx, &loss)?;
    }
    if lost.is_empty() {
        return Ok(());
    }
    save_gone(tx, id, &gone)
}
