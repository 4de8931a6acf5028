//! How long a chart takes on the box: 24 hours and one year of one sensor at one second, through the
//! store as it ships, beside a plain row table with an index doing the same in one query.
//! Never measures drawing. The year is 365 days of rollups and the newest days of readings, as a box
//! keeps them; the peer's year is a table of hours beside its readings, which is what people make.

use crate::report::{Report, median};
use anyhow::{Context as _, Result, ensure};
use edge_agent::storage::{Committed, Disk, Keep, Storage, StorageOptions};
use harness::Scratch;
use protocol::id::{SensorId, StreamId};
use protocol::reading::{Cell, Column, GroupSchema, Poll, Quality, Raw, RawKind};
use protocol::time::{ClockState, Timestamp};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Sensors of the poll group of which one is drawn.
const SENSORS: u32 = 50;
/// Days at one second, then days before them at one minute: a year in all.
pub(crate) const FAST_DAYS: i64 = 2;
pub(crate) const SLOW_DAYS: i64 = 363;
pub(crate) const DAY_S: i64 = 86_400;
pub(crate) const POINTS: usize = 1_000;
/// More points than a day has minutes: the chart is made of readings.
pub(crate) const RAW_POINTS: usize = 10_000;
pub(crate) const RUNS: usize = 15;
pub(crate) const DAY_MS_MAX: f64 = 20.0;
pub(crate) const YEAR_MS_MAX: f64 = 50.0;
/// 2026-01-01.
pub(crate) const START_S: i64 = 1_767_225_600;

/// Seeds both stores, then asks both the same.
pub(crate) fn run(report: &mut Report) -> Result<()> {
    let scratch = Scratch::new("bench-charts")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let folder = scratch.file("ours");
    let storage = runtime.block_on(seed_ours(&folder))?;
    let rows = seed_rows(&scratch.file("rows.db"))?;
    let end = START_S + (SLOW_DAYS + FAST_DAYS) * DAY_S;
    let day = (end - DAY_S, end);
    let year = (START_S, end);
    let ours = |span: (i64, i64), points: usize| -> Result<f64> {
        let mut times = Vec::new();
        for _ in 0..RUNS {
            let started = Instant::now();
            let (from, to) = (seconds(span.0), seconds(span.1));
            let series = runtime.block_on(storage.readings(sensor(7), from, to, points))?;
            times.push(started.elapsed().as_secs_f64() * 1e3);
            ensure!(
                series.points.len() > points / 3,
                "{} points",
                series.points.len()
            );
        }
        median(times)
    };
    let peer = "SQLite row table with index";
    let mut figures = Vec::new();
    for (what, span, points, table) in [
        (
            "24 h at 1 s, 1,000 points, from readings",
            day,
            POINTS,
            "reading",
        ),
        (
            "24 h at 1 s, 10,000 points, from readings",
            day,
            RAW_POINTS,
            "reading",
        ),
        ("one year, 1,000 points", year, POINTS, "hour"),
    ] {
        let (ours, theirs) = (ours(span, points)?, peers(&rows, table, span, points)?);
        report.row(what, ours, "ms", (peer, theirs));
        figures.push(ours);
    }
    let [day_ms, fine_day_ms, year_ms] = figures.as_slice() else {
        anyhow::bail!("three figures were measured");
    };
    let day_ms = day_ms.max(*fine_day_ms);
    runtime.block_on(storage.close())?;
    scratch.passed();
    let words = format!("24 h raw chart {day_ms:.1} ms, one year {year_ms:.1} ms (p50 of {RUNS})");
    report.promise(day_ms <= DAY_MS_MAX && *year_ms <= YEAR_MS_MAX, words);
    Ok(())
}

async fn seed_ours(folder: &Path) -> Result<Storage> {
    let options = StorageOptions {
        folder: folder.to_owned(),
        commit_tick: Duration::from_secs(60),
        seal_after: Duration::from_secs(3_600),
        buffer_bytes_max: 4 << 30,
        core_bytes_max: 1 << 30,
        ballast_bytes: 0,
        attachments_bytes_max: 0,
        keep: Keep::default(),
        disk: Disk::of,
        queue_polls_max: 4_096,
        now: edge_agent::clock::now,
        clock: edge_agent::clock::state,
    };
    let (committed_in, mut committed) = mpsc::channel::<Committed>(64);
    let (storage, _) = Storage::open(options, committed_in)?;
    tokio::spawn(async move { while committed.recv().await.is_some() {} });
    let column = |number| Column {
        sensor: sensor(number),
        raw: RawKind::Int,
        scale: 0.1,
        offset: 0.0,
    };
    let schema = GroupSchema {
        name: "bench".to_owned(),
        period_us: 1_000_000,
        columns: (0..SENSORS).map(column).collect(),
    };
    let stream = storage.register_group(schema).await?;
    let slow = (0..SLOW_DAYS * DAY_S).step_by(60);
    let fast = SLOW_DAYS * DAY_S..(SLOW_DAYS + FAST_DAYS) * DAY_S;
    let mut waiting = 0;
    for second in slow.chain(fast) {
        push(&storage, stream, second)?;
        waiting += 1;
        if waiting == 1_000 {
            storage.flush().await?;
            waiting = 0;
        }
    }
    storage.flush().await?;
    Ok(storage)
}

fn push(storage: &Storage, stream: StreamId, second: i64) -> Result<()> {
    let cell = |number| Cell::Value(Raw::Int(value(number, second)), Quality::Good);
    let poll = Poll {
        time: seconds(START_S + second),
        clock: ClockState::Synchronised,
        cells: (0..SENSORS).map(cell).collect(),
    };
    storage
        .push(stream, poll)
        .context("handing a poll to the store")
}

/// The same readings of one sensor in four as rows (a year of all would take hours), and the table
/// of hours that such a system keeps for long spans.
pub(crate) fn seed_rows(path: &Path) -> Result<rusqlite::Connection> {
    let mut database = rusqlite::Connection::open(path)?;
    database.execute_batch(
        "PRAGMA journal_mode=WAL;
         CREATE TABLE reading (sensor INTEGER, time INTEGER, value REAL);
         CREATE TABLE hour (sensor INTEGER, time INTEGER, value REAL);",
    )?;
    let transaction = database.transaction()?;
    for second in SLOW_DAYS * DAY_S..(SLOW_DAYS + FAST_DAYS) * DAY_S {
        insert(&transaction, "reading", second)?;
    }
    for second in (0..(SLOW_DAYS + FAST_DAYS) * DAY_S).step_by(3_600) {
        insert(&transaction, "hour", second)?;
    }
    transaction.execute_batch(
        "CREATE INDEX reading_by_sensor ON reading (sensor, time);
         CREATE INDEX hour_by_sensor ON hour (sensor, time);",
    )?;
    transaction.commit()?;
    Ok(database)
}

fn insert(db: &rusqlite::Connection, table: &str, second: i64) -> Result<()> {
    let mut insert = db.prepare_cached(&format!("INSERT INTO {table} VALUES (?, ?, ?)"))?;
    for sensor in (0..SENSORS).filter(|sensor| sensor % 4 == 3) {
        let value = f64::from(i32::try_from(value(sensor, second))?) * 0.1;
        insert.execute((sensor, START_S + second, value))?;
    }
    Ok(())
}

pub(crate) fn peers(
    db: &rusqlite::Connection,
    table: &str,
    (from, to): (i64, i64),
    points: usize,
) -> Result<f64> {
    let width = (to - from) / i64::try_from(points)?;
    let sql = format!(
        "SELECT (time - ?2) / ?4, avg(value), min(value), max(value) FROM {table}
         WHERE sensor = ?1 AND time >= ?2 AND time < ?3 GROUP BY 1"
    );
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let started = Instant::now();
        let mut query = db.prepare_cached(&sql)?;
        let rows = query.query_map((7, from, to, width.max(1)), |row| row.get::<_, f64>(1))?;
        let values = rows.collect::<Result<Vec<_>, _>>()?;
        times.push(started.elapsed().as_secs_f64() * 1e3);
        ensure!(
            values.len() > points / 3,
            "the peer gave {} points",
            values.len()
        );
    }
    median(times)
}

/// A slow wave with noise, like a temperature in tenths.
pub(crate) fn value(sensor: u32, second: i64) -> i64 {
    let phase = (second / 60 + i64::from(sensor) * 131) % 1_440;
    let wave = (phase - 720).abs();
    let noise = (second * 7_919 + i64::from(sensor) * 104_729) % 23 - 11;
    200 + wave + noise
}

pub(crate) fn sensor(number: u32) -> SensorId {
    SensorId(uuid::Uuid::from_u128(u128::from(number) + 1))
}

pub(crate) const fn seconds(seconds: i64) -> Timestamp {
    Timestamp(seconds * 1_000_000)
}
