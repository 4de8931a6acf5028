//! Readings per second through pipeline and store, beside the usual way: one database row per reading
//! with an index on sensor and time. Both commit once per simulated second with `synchronous=FULL`,
//! the same readings on the same disk. Never measures the network.

use crate::report::Report;
use crate::signal::Signals;
use anyhow::{Context as _, Result, ensure};
use edge_agent::clock;
use edge_agent::config::{Deadband, Watch};
use edge_agent::pipeline::{GroupSpec, Pipeline, RawCell, RawPoll, SensorSpec, Words};
use edge_agent::storage::{Disk, Keep, PushError, Storage, StorageOptions};
use harness::Scratch;
use protocol::id::StreamId;
use protocol::reading::{Raw, RawKind};
use protocol::time::{ClockState, Timestamp};
use protocol::unit::Unit;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const GROUPS: usize = 10;
const SENSORS_PER_GROUP: usize = 100;
/// Simulated seconds; more than one block's worth, so that sealing is part of the figure.
const SECONDS: usize = 700;
/// Committed readings a second that one box must manage at least.
const READINGS_PER_S_MIN: f64 = 20_000.0;

/// What one way of storing cost.
pub(crate) struct Cost {
    pub(crate) wall_s: f64,
    pub(crate) processor_s: f64,
    /// Handed to `write`, all files together.
    pub(crate) written_bytes: f64,
    /// Length of the files at the end.
    pub(crate) disk_bytes: f64,
}

/// Ours first, then the rows.
pub(crate) fn run(report: &mut Report) -> Result<()> {
    let scratch = Scratch::new("bench-pipeline")?;
    let readings = GROUPS * SENSORS_PER_GROUP * SECONDS;
    let readings = f64::from(u32::try_from(readings)?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let folder = scratch.file("ours");
    let ours = measure(&folder, || runtime.block_on(store_ours(&folder)))?;
    let folder = scratch.file("rows");
    let rows = measure(&folder, || store_rows(&folder))?;
    let peer = "SQLite row + index per reading";
    report.row(
        "readings a second",
        readings / ours.wall_s,
        "/s",
        (peer, readings / rows.wall_s),
    );
    let micros = |cost: &Cost| cost.processor_s / readings * 1e6;
    report.row(
        "processor time per reading",
        micros(&ours),
        "µs",
        (peer, micros(&rows)),
    );
    let written = |cost: &Cost| cost.written_bytes / readings;
    report.row(
        "bytes written per reading",
        written(&ours),
        "B",
        (peer, written(&rows)),
    );
    let disk = |cost: &Cost| cost.disk_bytes / readings;
    report.row(
        "bytes on disk per reading",
        disk(&ours),
        "B",
        (peer, disk(&rows)),
    );
    scratch.passed();
    let per_second = readings / ours.wall_s;
    let words = format!(
        "{per_second:.0} readings a second committed (one fsync per 1,000), {:.1} B written each",
        written(&ours)
    );
    report.promise(per_second >= READINGS_PER_S_MIN, words);
    Ok(())
}

/// Runs `store`, which writes into `folder`.
pub(crate) fn measure(folder: &Path, store: impl FnOnce() -> Result<()>) -> Result<Cost> {
    std::fs::create_dir_all(folder).context("making a folder for the bench")?;
    let (written, processor, started) = (written_bytes()?, processor_s(), Instant::now());
    store()?;
    let wall_s = started.elapsed().as_secs_f64();
    let (processor_s, written_bytes) = (processor_s() - processor, written_bytes()? - written);
    Ok(Cost {
        wall_s,
        processor_s,
        written_bytes,
        disk_bytes: disk_bytes(folder)?,
    })
}

async fn store_ours(folder: &Path) -> Result<()> {
    let options = StorageOptions {
        folder: folder.to_owned(),
        commit_tick: Duration::from_secs(1),
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
    let (storage, opened) = Storage::open(options, committed_in)?;
    let taken = tokio::spawn(async move { while committed.recv().await.is_some() {} });
    let mut groups: Vec<(StreamId, Pipeline)> = Vec::new();
    for number in 0..GROUPS {
        let spec = group(number)?;
        let stream = storage.register_group(spec.schema(opened.gateway)).await?;
        groups.push((stream, Pipeline::new(&spec)));
    }
    let mut signals = Signals::new(GROUPS * SENSORS_PER_GROUP);
    let start = clock::now();
    for second in 0..SECONDS {
        let registers = signals.step();
        let time = at(start, second)?;
        for (number, (stream, pipeline)) in groups.iter_mut().enumerate() {
            let cells = registers
                .chunks(SENSORS_PER_GROUP)
                .nth(number)
                .unwrap_or_default();
            let cells = cells
                .iter()
                .map(|value| RawCell::Value(Raw::Int(*value)))
                .collect();
            let raw = RawPoll {
                group: number,
                time,
                clock: ClockState::Synchronised,
                cells,
            };
            let poll = pipeline
                .step(&raw, ClockState::Synchronised)
                .context("a poll was thinned")?;
            let pushed: Result<(), PushError> = storage.push(*stream, poll);
            pushed.context("handing a poll to the store")?;
        }
        storage.flush().await?;
    }
    storage.close().await?;
    drop(storage);
    taken.await?;
    Ok(())
}

fn group(number: usize) -> Result<GroupSpec> {
    let sensor = |at: usize| -> Result<SensorSpec> {
        Ok(SensorSpec {
            name: format!("sensor_{at}"),
            asset: None,
            raw: RawKind::Int,
            scale: 0.1,
            offset: 0.0,
            unit: Unit::default(),
            range: None,
            clamp: None,
            words: Words::default(),
            deadband: Deadband::Off,
            max_silence: Duration::from_secs(60),
            watch: Watch::default(),
        })
    };
    Ok(GroupSpec {
        device: format!("device-{number}"),
        asset: None,
        period: Duration::from_secs(1),
        sensors: Arc::new((0..SENSORS_PER_GROUP).map(sensor).collect::<Result<_>>()?),
    })
}

fn at(start: Timestamp, second: usize) -> Result<Timestamp> {
    Ok(start.plus_micros(i64::try_from(second)? * 1_000_000))
}

/// The usual way: a table with an index, one transaction per second.
fn store_rows(folder: &Path) -> Result<()> {
    let mut database = rusqlite::Connection::open(folder.join("rows.db"))?;
    database.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
         CREATE TABLE reading (sensor INTEGER, time INTEGER, value REAL, quality INTEGER);
         CREATE INDEX reading_by_sensor ON reading (sensor, time);",
    )?;
    let mut signals = Signals::new(GROUPS * SENSORS_PER_GROUP);
    let start = clock::now();
    for second in 0..SECONDS {
        let registers = signals.step();
        let time = at(start, second)?;
        let transaction = database.transaction()?;
        {
            let mut insert =
                transaction.prepare_cached("INSERT INTO reading VALUES (?, ?, ?, 0)")?;
            for (sensor, register) in registers.iter().enumerate() {
                let value = f64::from(i32::try_from(*register)?) * 0.1;
                insert.execute((i64::try_from(sensor)?, time.0, value))?;
            }
        }
        transaction.commit()?;
    }
    database.close().map_err(|(_, error)| error)?;
    Ok(())
}

/// Processor seconds of this process so far.
pub(crate) fn processor_s() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanos).as_secs_f64()
}

/// Bytes that this process has handed to `write` so far.
pub(crate) fn written_bytes() -> Result<f64> {
    let io = std::fs::read_to_string("/proc/self/io").context("reading /proc/self/io")?;
    let bytes = io
        .lines()
        .find_map(|line| line.strip_prefix("wchar: ")?.parse().ok());
    bytes.context("no wchar in /proc/self/io")
}

/// Bytes of the files in a folder.
pub(crate) fn disk_bytes(folder: &Path) -> Result<f64> {
    let mut sum = 0.0;
    for entry in std::fs::read_dir(folder)? {
        let length: u64 = entry?.metadata()?.len();
        sum += f64::from(u32::try_from(length)?);
    }
    ensure!(sum > 0.0, "nothing was stored");
    Ok(sum)
}
