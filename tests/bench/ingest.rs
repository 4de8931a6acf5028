//! Readings per second that the hub's store decodes, checks, counts into statistics and commits:
//! sealed blocks of groups of 20 sensors from many gateways, as after a long outage of all of
//! them. Beside it the same readings as database rows with an index, and what the disk can write.
//! Never measures the network.

use crate::pipeline::{disk_bytes, processor_s, written_bytes};
use crate::report::Report;
use crate::signal::Signals;
use anyhow::{Context as _, Result, ensure};
use cloud_hub::store::{Ingest, NewClaim, Store};
use cloud_hub::tenants::TenantScope;
use harness::Scratch;
use protocol::block;
use protocol::id::{GatewayId, SensorId, StreamId};
use protocol::limits::BLOCK_POLLS_SEAL;
use protocol::reading::{Cell, Column, GroupSchema, Poll, Quality, Raw, RawKind};
use protocol::time::{ClockState, Timestamp};
use protocol::wire;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use uuid::Uuid;

const GATEWAYS: u32 = 100;
const SENSORS: u32 = 20;
/// Ten minutes each.
const BLOCKS: u32 = 36;
/// About what a gateway has on the way at a time.
const BLOCKS_PER_BATCH: usize = 18;
/// Of how many gateways the peer stores the readings: it is too slow for all.
const GATEWAYS_OF_PEER: u32 = 2;
pub(crate) const INCARNATION: u32 = 1;
pub(crate) const STREAM: StreamId = StreamId(1);
/// 2025-11-21, 04:40 UTC.
const START: Timestamp = Timestamp(1_763_700_000_000_000);
/// What the hub must manage at least.
const READINGS_PER_S_MIN: f64 = 5e6;

/// The hub's store first, then rows, then bare writing.
pub(crate) fn run(report: &mut Report) -> Result<()> {
    let scratch = Scratch::new("bench-ingest")?;
    let blocks = Arc::new(blocks()?);
    let polls = BLOCKS * u32::try_from(BLOCK_POLLS_SEAL)?;
    let per_gateway = f64::from(polls) * f64::from(SENSORS);
    let readings = per_gateway * f64::from(GATEWAYS);
    let bytes: usize = blocks.iter().map(Vec::len).sum();
    let bytes_per_reading = f64::from(u32::try_from(bytes)?) / per_gateway;

    let folder = scratch.file("hub");
    std::fs::create_dir_all(&folder)?;
    let (written, processor, started) = (written_bytes()?, processor_s(), Instant::now());
    let stored = store(&folder, &blocks)?;
    let wall_s = started.elapsed().as_secs_f64();
    let (written, processor) = (written_bytes()? - written, processor_s() - processor);
    ensure!(
        (stored - readings).abs() < 0.5,
        "{stored} of {readings} readings were stored"
    );

    let folder = scratch.file("rows");
    std::fs::create_dir_all(&folder)?;
    let (written_rows, processor_rows, started) = (written_bytes()?, processor_s(), Instant::now());
    store_rows(&folder, &blocks)?;
    let rows_s = started.elapsed().as_secs_f64();
    let rows = per_gateway * f64::from(GATEWAYS_OF_PEER);
    let (written_rows, processor_rows) = (
        written_bytes()? - written_rows,
        processor_s() - processor_rows,
    );
    let disk = disk_bytes_per_s(&scratch.file("bare"), &blocks)?;

    let peer = "SQLite row + index per reading";
    let per_second = readings / wall_s;
    report.row("readings a second", per_second, "/s", (peer, rows / rows_s));
    let limit = (
        "fsynced writing of the blocks alone",
        disk / bytes_per_reading,
    );
    report.row("readings a second", per_second, "/s", limit);
    let nanos = |seconds: f64, readings: f64| seconds / readings * 1e9;
    let pair = (nanos(processor, readings), nanos(processor_rows, rows));
    report.row("processor time per reading", pair.0, "ns", (peer, pair.1));
    let pair = (written / readings, written_rows / rows);
    report.row("bytes written per reading", pair.0, "B", (peer, pair.1));
    let on_disk = disk_bytes(&scratch.file("hub"))? / readings;
    let pair = (on_disk, disk_bytes(&folder)? / rows);
    report.row("bytes on disk per reading", pair.0, "B", (peer, pair.1));
    report.row(
        "bytes on disk per reading",
        on_disk,
        "B",
        ("the blocks alone", bytes_per_reading),
    );
    scratch.passed();
    let words = format!(
        "{:.1} million readings a second decoded, checked and committed with their statistics, \
         {on_disk:.2} B each on disk",
        per_second / 1e6
    );
    report.promise(per_second >= READINGS_PER_S_MIN, words);
    Ok(())
}

/// Six hours of one group.
fn blocks() -> Result<Vec<Vec<u8>>> {
    let mut signals = Signals::new(usize::try_from(SENSORS)?);
    let mut seq = 1;
    let mut blocks = Vec::new();
    for _ in 0..BLOCKS {
        let first = seq;
        let mut polls = Vec::with_capacity(BLOCK_POLLS_SEAL);
        for _ in 0..BLOCK_POLLS_SEAL {
            let jitter_us = i64::try_from(seq * 7_919 % 900)?;
            let value = |raw: &i64| Cell::Value(Raw::Int(*raw), Quality::Good);
            polls.push(Poll {
                time: START.plus_micros(i64::try_from(seq)? * 1_000_000 + jitter_us),
                clock: ClockState::Synchronised,
                cells: signals.step().iter().map(value).collect(),
            });
            seq += 1;
        }
        blocks.push(block::encode(STREAM, first, &polls)?);
    }
    Ok(blocks)
}

/// All gateways bring their blocks at once; how many readings the hub then counts.
fn store(folder: &Path, blocks: &Arc<Vec<Vec<u8>>>) -> Result<f64> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let store = Store::open(folder)?;
        let scope = store.default_tenant();
        for number in 0..GATEWAYS {
            enrol(&store, scope, number).await?;
        }
        let mut gateways = tokio::task::JoinSet::new();
        for number in 0..GATEWAYS {
            let (store, blocks) = (store.clone(), Arc::clone(blocks));
            gateways.spawn(async move {
                for batch in blocks.chunks(BLOCKS_PER_BATCH) {
                    let batch = Ingest {
                        blocks: batch
                            .iter()
                            .map(|body| (INCARNATION, body.clone()))
                            .collect(),
                        ..Ingest::default()
                    };
                    let done = store.ingest(scope, gateway(number), batch).await?;
                    ensure!(done.refused.is_empty(), "refused: {:?}", done.refused);
                }
                Ok(())
            });
        }
        while let Some(done) = gateways.join_next().await {
            done??;
        }
        let mut readings = 0.0;
        for number in 0..GATEWAYS {
            let row = store.gateway(scope, gateway(number)).await?;
            readings += f64::from(u32::try_from(row.readings)?);
        }
        Ok(readings)
    })
}

pub(crate) fn gateway(number: u32) -> GatewayId {
    GatewayId(Uuid::from_u128(0x0B00_0000 + u128::from(number)))
}

/// Makes a gateway whose stream is known.
pub(crate) async fn enrol(store: &Store, scope: TenantScope, number: u32) -> Result<()> {
    let now = cloud_hub::clock::now();
    let mut token_sha256 = [0; 32];
    token_sha256
        .first_chunk_mut()
        .context("a token is that long")
        .map(|head: &mut [u8; 4]| *head = number.to_le_bytes())?;
    let claim = NewClaim {
        token_sha256,
        site: "Plant".to_owned(),
        gateway_name: format!("Box {number}"),
        gateway_code: format!("B{number}"),
        expires: now.plus_micros(60_000_000),
    };
    store.add_claim(scope, claim).await?;
    store
        .redeem(token_sha256, gateway(number), [9; 32], now)
        .await?;
    let column = |at: u32| Column {
        sensor: SensorId(Uuid::from_u128(u128::from(number) << 32 | u128::from(at))),
        raw: RawKind::Int,
        scale: 0.1,
        offset: 0.0,
    };
    let schema = GroupSchema {
        name: "press @ 1 s".to_owned(),
        period_us: 1_000_000,
        columns: (0..SENSORS).map(column).collect(),
    };
    let batch = Ingest {
        schemas: vec![(INCARNATION, STREAM, wire::encode_schema(&schema)?)],
        ..Ingest::default()
    };
    store.ingest(scope, gateway(number), batch).await?;
    Ok(())
}

/// The usual way: the same blocks, decoded into a row per reading, a transaction per batch.
fn store_rows(folder: &Path, blocks: &[Vec<u8>]) -> Result<()> {
    let mut database = rusqlite::Connection::open(folder.join("rows.db"))?;
    database.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
         CREATE TABLE reading (sensor INTEGER, time INTEGER, value REAL, quality INTEGER);
         CREATE INDEX reading_by_sensor ON reading (sensor, time);",
    )?;
    for gateway in 0..GATEWAYS_OF_PEER {
        for batch in blocks.chunks(BLOCKS_PER_BATCH) {
            let transaction = database.transaction()?;
            let mut insert =
                transaction.prepare_cached("INSERT INTO reading VALUES (?, ?, ?, 0)")?;
            for body in batch {
                for poll in block::decode(body)?.polls {
                    for (sensor, cell) in (gateway * SENSORS..).zip(&poll.cells) {
                        if let Cell::Value(Raw::Int(raw), _) = cell {
                            let value = f64::from(i32::try_from(*raw)?) * 0.1;
                            insert.execute((sensor, poll.time.0, value))?;
                        }
                    }
                }
            }
            drop(insert);
            transaction.commit()?;
        }
    }
    database.close().map_err(|(_, error)| error)?;
    Ok(())
}

/// Bytes a second that the disk takes of the same blocks, one batch and one fsync at a time.
fn disk_bytes_per_s(file: &Path, blocks: &[Vec<u8>]) -> Result<f64> {
    let mut file = std::fs::File::create(file).context("making a file for the bench")?;
    let started = Instant::now();
    let mut bytes = 0.0;
    for _ in 0..10 {
        for batch in blocks.chunks(BLOCKS_PER_BATCH) {
            let together = batch.concat();
            file.write_all(&together)?;
            file.sync_data()?;
            bytes += f64::from(u32::try_from(together.len())?);
        }
    }
    Ok(bytes / started.elapsed().as_secs_f64())
}
