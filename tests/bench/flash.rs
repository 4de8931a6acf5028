//! What reaches the flash: bytes that the process hands to `write` per reading, 1,000 sensors of ten
//! kinds at one reading a second through the real store, with commits every second and every ten
//! seconds; beside one database row per reading with an index, at the same commits.
//! Never `write_bytes` of the kernel: it counts whole page-cache folios and says far too much.

use crate::pipeline::{Cost, measure};
use crate::report::Report;
use crate::suite::{self, Suite};
use anyhow::{Context as _, Result};
use edge_agent::clock;
use edge_agent::storage::{Disk, Keep, Storage, StorageOptions};
use harness::Scratch;
use protocol::reading::{Cell, Poll, RawKind, to_f64};
use std::path::Path;
use std::time::Duration;

const GROUPS: usize = 10;
const SENSORS_PER_GROUP: usize = 100;
/// Simulated seconds; two blocks' worth, so that sealing has its share.
const SECONDS: usize = 1_200;
/// The rows take so long that they are written for a part of it; their cost does not depend on it.
const ROWS_SECONDS: usize = 120;
/// Seconds between two commits, and the goal of bytes written per reading.
const TICKS: [(usize, f64); 2] = [(1, 15.0), (10, 7.0)];

/// Both ticks, ours and the rows.
pub(crate) fn run(report: &mut Report) -> Result<()> {
    let scratch = Scratch::new("bench-flash")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let per_reading = |bytes: f64, seconds: usize| -> Result<f64> {
        Ok(bytes / f64::from(u32::try_from(GROUPS * SENSORS_PER_GROUP * seconds)?))
    };
    let mut kept = true;
    let mut words = Vec::new();
    for (tick_s, bytes_max) in TICKS {
        let folder = scratch.file(&format!("ours-{tick_s}"));
        let ours = measure(&folder, || runtime.block_on(store(&folder, tick_s)))?;
        let folder = scratch.file(&format!("rows-{tick_s}"));
        let rows = measure(&folder, || store_rows(&folder, tick_s))?;
        let written = |cost: &Cost, seconds| per_reading(cost.written_bytes, seconds);
        let (ours_written, rows_written) =
            (written(&ours, SECONDS)?, written(&rows, ROWS_SECONDS)?);
        let peer = "SQLite row + index per reading";
        report.row(
            &format!("bytes written per reading, {tick_s} s ticks"),
            ours_written,
            "B",
            (peer, rows_written),
        );
        report.row(
            &format!("bytes on disk per reading, {tick_s} s ticks"),
            per_reading(ours.disk_bytes, SECONDS)?,
            "B",
            (peer, per_reading(rows.disk_bytes, ROWS_SECONDS)?),
        );
        kept &= ours_written <= bytes_max;
        words.push(format!(
            "{ours_written:.1} B per reading written at {tick_s} s ticks"
        ));
    }
    scratch.passed();
    report.promise(kept, words.join(", "));
    Ok(())
}

fn plants() -> Vec<Suite> {
    // From now on: readings that are too old would be thrown away.
    let plant = |seed| Suite::new(SENSORS_PER_GROUP, seed).starting(clock::now());
    (1..).take(GROUPS).map(plant).collect()
}

async fn store(folder: &Path, tick_s: usize) -> Result<()> {
    let options = StorageOptions {
        folder: folder.to_owned(),
        // The commits are asked for below: simulated seconds pass faster than real ones.
        commit_tick: Duration::from_secs(3_600),
        seal_after: Duration::from_secs(3_600),
        buffer_bytes_max: 1 << 30,
        core_bytes_max: 1 << 30,
        ballast_bytes: 0,
        attachments_bytes_max: 0,
        keep: Keep::default(),
        disk: Disk::of,
        queue_polls_max: 4_096,
        now: clock::now,
        clock: clock::state,
    };
    let (committed_in, mut committed) = tokio::sync::mpsc::channel(1_024);
    let (storage, _) = Storage::open(options, committed_in)?;
    let taken = tokio::spawn(async move { while committed.recv().await.is_some() {} });
    let mut groups = Vec::new();
    for (number, plant) in plants().into_iter().enumerate() {
        let schema = suite::schema(&format!("device-{number} @ 1s"), SENSORS_PER_GROUP);
        groups.push((storage.register_group(schema).await?, plant));
    }
    for second in 1..=SECONDS {
        for (stream, plant) in &mut groups {
            storage
                .push(*stream, plant.poll())
                .context("handing a poll to the store")?;
        }
        if second.is_multiple_of(tick_s) {
            storage.flush().await?;
        }
    }
    storage.close().await?;
    drop(storage);
    taken.await?;
    Ok(())
}

/// The usual way: a table with an index.
fn store_rows(folder: &Path, tick_s: usize) -> Result<()> {
    let mut database = rusqlite::Connection::open(folder.join("rows.db"))?;
    database.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
         CREATE TABLE reading (sensor INTEGER, time INTEGER, value REAL, quality INTEGER);
         CREATE INDEX reading_by_sensor ON reading (sensor, time);",
    )?;
    let mut plants = plants();
    for _ in 0..ROWS_SECONDS / tick_s {
        let transaction = database.transaction()?;
        for _ in 0..tick_s {
            for (group, plant) in plants.iter_mut().enumerate() {
                insert(&transaction, group, &plant.poll())?;
            }
        }
        transaction.commit()?;
    }
    database.close().map_err(|(_, error)| error)?;
    Ok(())
}

fn insert(database: &rusqlite::Connection, group: usize, poll: &Poll) -> Result<()> {
    let mut insert = database.prepare_cached("INSERT INTO reading VALUES (?1, ?2, ?3, ?4)")?;
    for (at, cell) in poll.cells.iter().enumerate() {
        let sensor = i64::try_from(group * SENSORS_PER_GROUP + at)?;
        let (value, quality) = match *cell {
            Cell::Skipped => continue,
            Cell::Value(raw, quality) => (
                Some(to_f64(raw, RawKind::Int) * suite::scale(at)),
                quality.code(),
            ),
            Cell::Missing(cause) => (None, 0x80 | cause.code()),
        };
        insert.execute((sensor, poll.time.0, value, quality))?;
    }
    Ok(())
}
