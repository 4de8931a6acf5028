//! Size and speed of the block codec on ten kinds of sensors, beside the usual ways to write the
//! same readings. Sizes are of real files where there is one; speeds are the best of many runs, so
//! that other work on the machine counts little.

use crate::gorilla;
use crate::report::Report;
use crate::suite::{self, KINDS, Suite};
use anyhow::{Context as _, Result, ensure};
use harness::Scratch;
use protocol::block::{self, ColumnReader};
use protocol::id::StreamId;
use protocol::reading::{Cell, Poll, Raw, RawKind, to_f64};
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

/// Two of each kind in one poll group.
const SENSORS: usize = 2 * KINDS;
/// Polls of a sealed block.
const POLLS: usize = 600;
const BLOCKS: usize = 50;
/// Repetitions of a measure of speed; the best one counts.
const RUNS: usize = 300;
/// The goals.
const DISK_BYTES_MAX: f64 = 0.90;
const ENCODE_NS_MAX: f64 = 100.0;
const DECODE_NS_MAX: f64 = 20.0;

/// A reading as a row.
type Row = (u32, i64, f64, u8);

/// Sizes first, then speeds.
pub(crate) fn run(report: &mut Report) -> Result<()> {
    let mut plant = Suite::new(SENSORS, 1);
    let groups: Vec<Vec<Poll>> = (0..BLOCKS)
        .map(|_| (0..POLLS).map(|_| plant.poll()).collect())
        .collect();
    let disk = sizes(report, &groups)?;
    let polls = groups.first().context("no polls")?;
    kinds(report, polls)?;
    let (encode, decode) = speeds(report, polls)?;
    let words = format!(
        "{disk:.3} B per reading in the file; encode {encode:.1} ns, decode {decode:.1} ns per reading"
    );
    let kept = disk <= DISK_BYTES_MAX && encode <= ENCODE_NS_MAX && decode <= DECODE_NS_MAX;
    report.promise(kept, words);
    Ok(())
}

/// Bytes per reading of all ways; ours is a database of blocks, as the box has one.
fn sizes(report: &mut Report, groups: &[Vec<Poll>]) -> Result<f64> {
    let scratch = Scratch::new("bench-codec")?;
    let rows: Vec<Vec<Row>> = groups.iter().map(|polls| rows(polls)).collect();
    let readings = count(rows.iter().map(Vec::len).sum())?;
    let mut blocks = Vec::new();
    for (number, polls) in (0_u64..).zip(groups) {
        let first = 1 + number * u64::try_from(POLLS)?;
        blocks.push((first, block::encode(StreamId(1), first, polls)?));
    }
    let alone = count(blocks.iter().map(|(_, block)| block.len()).sum())? / readings;
    let disk = block_file(&scratch.file("blocks.db"), &blocks)? / readings;
    let row_file = row_file(&scratch.file("rows.db"), &rows)? / readings;
    let postcard: Result<Vec<usize>, _> = rows
        .iter()
        .map(|rows| postcard::to_allocvec(rows).map(|bytes| bytes.len()))
        .collect();
    let postcard = count(postcard?.into_iter().sum())? / readings;
    let gorilla = count(groups.iter().flat_map(|polls| gorilla_bytes(polls)).sum())? / readings;
    let size = "bytes per reading";
    report.row(size, disk, "B", ("SQLite row + index", row_file));
    report.row(size, disk, "B", ("postcard rows", postcard));
    report.row(
        size,
        disk,
        "B",
        ("Gorilla, without quality, times in ms", gorilla),
    );
    report.row("  of which blocks alone", alone, "B", ("the file", disk));
    scratch.passed();
    Ok(disk)
}

/// What each kind of sensor takes, beside Gorilla.
fn kinds(report: &mut Report, polls: &[Poll]) -> Result<()> {
    let without = |column: usize| -> Result<f64> {
        let keep = |poll: &Poll| Poll {
            cells: vec![poll.cells.get(column).copied().unwrap_or(Cell::Skipped)],
            ..*poll
        };
        count(block::encode(StreamId(1), 1, &polls.iter().map(keep).collect::<Vec<_>>())?.len())
    };
    let readings = count(POLLS)?;
    let skipped = without(SENSORS)?;
    for sensor in 0..KINDS {
        let ours = (without(sensor)? - skipped) / readings;
        let theirs = count(gorilla::encode(series(polls, sensor)).len())? / readings;
        report.row(
            &format!("  {}", suite::kind(sensor)),
            ours,
            "B",
            ("Gorilla with its times", theirs),
        );
    }
    Ok(())
}

/// Nanoseconds per reading to encode and to decode a block.
fn speeds(report: &mut Report, polls: &[Poll]) -> Result<(f64, f64)> {
    let rows = rows(polls);
    let readings = count(rows.len())?;
    let per_reading = |work: &mut dyn FnMut()| best_ns(work) / readings;
    let bytes = block::encode(StreamId(1), 1, polls)?;
    let encode = per_reading(&mut || drop(black_box(block::encode(StreamId(1), 1, polls))));
    let decode = per_reading(&mut || drop(black_box(block::decode(&bytes))));
    let mut reader = ColumnReader::default();
    let column = per_reading(&mut || {
        for sensor in 0..SENSORS {
            drop(black_box(reader.read(&bytes, sensor)));
        }
    });
    let rows_bytes = postcard::to_allocvec(&rows)?;
    let mut buffer = Vec::with_capacity(rows_bytes.len());
    let copy = per_reading(&mut || {
        buffer.clear();
        buffer.extend_from_slice(black_box(&rows_bytes));
    });
    let row_encode = per_reading(&mut || drop(black_box(postcard::to_allocvec(&rows))));
    let row_decode =
        per_reading(&mut || drop(black_box(postcard::from_bytes::<Vec<Row>>(&rows_bytes))));
    let all: Vec<Vec<(i64, f64)>> = (0..SENSORS).map(|sensor| series(polls, sensor)).collect();
    let gorilla_encode = per_reading(&mut || {
        for series in &all {
            drop(black_box(gorilla::encode(series.iter().copied())));
        }
    });
    let encoded: Vec<(Vec<u8>, usize)> = all
        .iter()
        .map(|series| (gorilla::encode(series.iter().copied()), series.len()))
        .collect();
    let gorilla_decode = per_reading(&mut || {
        for (bytes, count) in &encoded {
            drop(black_box(gorilla::decode(bytes, *count)));
        }
    });
    for (what, ours, peers) in [
        ("encode a block", encode, [copy, row_encode, gorilla_encode]),
        ("decode a block", decode, [copy, row_decode, gorilla_decode]),
        (
            "decode column after column",
            column,
            [copy, row_decode, gorilla_decode],
        ),
    ] {
        for (peer, theirs) in ["copying postcard rows", "postcard rows", "Gorilla"]
            .into_iter()
            .zip(peers)
        {
            report.row(what, ours, "ns", (peer, theirs));
        }
    }
    ensure!(
        block::decode(&bytes)?.polls == polls,
        "the block is not what went in"
    );
    Ok((encode, decode))
}

fn best_ns(work: &mut dyn FnMut()) -> f64 {
    let run = |_| {
        let started = Instant::now();
        work();
        started.elapsed().as_secs_f64() * 1e9
    };
    (0..RUNS).map(run).fold(f64::MAX, f64::min)
}

/// The readings of polls, sensor after sensor within each poll, in engineering units.
fn rows(polls: &[Poll]) -> Vec<Row> {
    let of_poll = |poll: &Poll| {
        let time = poll.time.0;
        let cells = poll.cells.clone().into_iter().enumerate();
        cells.filter_map(move |(sensor, cell)| {
            let number = u32::try_from(sensor).unwrap_or(0);
            match cell {
                Cell::Skipped => None,
                Cell::Value(raw, quality) => {
                    Some((number, time, value(sensor, raw), quality.code()))
                }
                Cell::Missing(cause) => Some((number, time, 0.0, 0x80 | cause.code())),
            }
        })
    };
    polls.iter().flat_map(of_poll).collect()
}

/// One sensor's values with their times in milliseconds.
fn series(polls: &[Poll], sensor: usize) -> Vec<(i64, f64)> {
    let one = |poll: &Poll| match poll.cells.get(sensor) {
        Some(Cell::Value(raw, _)) => Some((poll.time.0 / 1_000, value(sensor, *raw))),
        _ => None,
    };
    polls.iter().filter_map(one).collect()
}

fn value(sensor: usize, raw: Raw) -> f64 {
    to_f64(raw, RawKind::Int) * suite::scale(sensor)
}

fn gorilla_bytes(polls: &[Poll]) -> Vec<usize> {
    (0..SENSORS)
        .map(|sensor| gorilla::encode(series(polls, sensor)).len())
        .collect()
}

fn block_file(path: &Path, blocks: &[(u64, Vec<u8>)]) -> Result<f64> {
    let database = rusqlite::Connection::open(path)?;
    database.execute_batch(
        "CREATE TABLE block (stream INTEGER NOT NULL, first_seq INTEGER NOT NULL, body BLOB NOT NULL);
         CREATE INDEX block_range ON block (stream, first_seq); BEGIN;",
    )?;
    for (first, block) in blocks {
        database.execute("INSERT INTO block VALUES (1, ?1, ?2)", (first, block))?;
    }
    database.execute_batch("COMMIT")?;
    database.close().map_err(|(_, error)| error)?;
    file_bytes(path)
}

fn row_file(path: &Path, groups: &[Vec<Row>]) -> Result<f64> {
    let database = rusqlite::Connection::open(path)?;
    database.execute_batch(
        "CREATE TABLE reading (sensor INTEGER, time INTEGER, value REAL, quality INTEGER);
         CREATE INDEX reading_by_sensor ON reading (sensor, time); BEGIN;",
    )?;
    {
        let mut insert = database.prepare("INSERT INTO reading VALUES (?1, ?2, ?3, ?4)")?;
        for row in groups.iter().flatten() {
            insert.execute(*row)?;
        }
    }
    database.execute_batch("COMMIT")?;
    database.close().map_err(|(_, error)| error)?;
    file_bytes(path)
}

fn file_bytes(path: &Path) -> Result<f64> {
    count(usize::try_from(
        std::fs::metadata(path).context("looking at a file")?.len(),
    )?)
}

fn count(number: usize) -> Result<f64> {
    Ok(f64::from(u32::try_from(number)?))
}
