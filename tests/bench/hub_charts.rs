//! How long a chart takes at the hub: 24 hours and one year of one sensor, through the store and the
//! planner as they ship, beside a plain row table with an index doing the same in one query. The
//! same seed as `charts`, which measures the box. Never measures HTTP and drawing.

use crate::charts::{
    DAY_MS_MAX, DAY_S, FAST_DAYS, POINTS, RAW_POINTS, RUNS, SLOW_DAYS, START_S, YEAR_MS_MAX, peers,
    seconds, seed_rows, sensor, value,
};
use crate::ingest::{INCARNATION, STREAM, enrol, gateway};
use crate::report::{Report, median};
use anyhow::{Result, ensure};
use cloud_hub::store::{Ingest, Span, Store};
use cloud_hub::telemetry;
use harness::Scratch;
use protocol::block;
use protocol::catalog::{Catalog, Sensor};
use protocol::id::DeviceId;
use protocol::limits::BLOCK_POLLS_SEAL;
use protocol::reading::{Cell, Column, GroupSchema, Poll, Quality, Raw, RawKind};
use protocol::time::ClockState;
use protocol::unit::Unit;
use protocol::wire;
use std::path::Path;
use std::time::Instant;
use uuid::Uuid;

const SENSORS: u32 = 20;
const BLOCKS_PER_BATCH: usize = 50;

/// Seeds both stores, then asks both the same.
pub(crate) fn run(report: &mut Report) -> Result<()> {
    let scratch = Scratch::new("bench-hub-charts")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let store = runtime.block_on(seed(&scratch.file("hub")))?;
    let rows = seed_rows(&scratch.file("rows.db"))?;
    let end = START_S + (SLOW_DAYS + FAST_DAYS) * DAY_S;
    // Neither begins nor ends with a minute.
    let day = (end - DAY_S - 17, end - 17);
    let year = (START_S + 17, end - 17);
    let ours = |span: (i64, i64), points: usize| -> Result<f64> {
        let span = Span {
            from: seconds(span.0),
            to: seconds(span.1),
        };
        let mut times = Vec::new();
        for _ in 0..RUNS {
            let started = Instant::now();
            let scope = store.default_tenant();
            let found = telemetry::readings(&store, scope, sensor(7), span, points);
            let found = runtime.block_on(found)?.series.points.len();
            times.push(started.elapsed().as_secs_f64() * 1e3);
            ensure!(found > points / 3, "{found} points");
        }
        median(times)
    };
    let peer = "SQLite row table with index";
    let mut figures = Vec::new();
    for (what, span, points, table) in [
        ("24 h at 1 s, 1,000 points", day, POINTS, "reading"),
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
    let [day_ms, raw_day_ms, year_ms] = figures.as_slice() else {
        anyhow::bail!("three figures were measured");
    };
    scratch.passed();
    let words = format!(
        "at the hub: 24 h raw chart {raw_day_ms:.1} ms, 24 h of {POINTS} points {day_ms:.1} ms, one \
         year {year_ms:.1} ms (p50 of {RUNS})"
    );
    let kept = day_ms.max(*raw_day_ms) <= DAY_MS_MAX && *year_ms <= YEAR_MS_MAX;
    report.promise(kept, words);
    Ok(())
}

async fn seed(folder: &Path) -> Result<Store> {
    let store = Store::open(folder)?;
    let scope = store.default_tenant();
    enrol(&store, scope, 0).await?;
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
    let measured = |number| Sensor {
        id: sensor(number),
        device: DeviceId(Uuid::nil()),
        path: format!("press/{number}"),
        asset: None,
        unit: Unit::default(),
        range: None,
        period_us: 1_000_000,
        limits: Vec::new(),
    };
    let catalog = Catalog {
        sensors: (0..SENSORS).map(measured).collect(),
        ..Catalog::default()
    };
    let stream = protocol::id::StreamId(STREAM.0 + 1);
    let mut batch = Ingest {
        schemas: vec![(INCARNATION, stream, wire::encode_schema(&schema)?)],
        catalog: Some(wire::encode_catalog(&catalog)?),
        ..Ingest::default()
    };
    let slow = (0..SLOW_DAYS * DAY_S).step_by(60);
    let fast = SLOW_DAYS * DAY_S..(SLOW_DAYS + FAST_DAYS) * DAY_S;
    let mut polls = Vec::new();
    let mut first = 1;
    for second in slow.chain(fast) {
        let cell = |number| Cell::Value(Raw::Int(value(number, second)), Quality::Good);
        polls.push(Poll {
            time: seconds(START_S + second),
            clock: ClockState::Synchronised,
            cells: (0..SENSORS).map(cell).collect(),
        });
        if polls.len() == BLOCK_POLLS_SEAL {
            let body = block::encode(stream, first, &polls)?;
            first += u64::try_from(polls.len())?;
            polls.clear();
            batch.blocks.push((INCARNATION, body));
        }
        if batch.blocks.len() == BLOCKS_PER_BATCH {
            let full = std::mem::take(&mut batch);
            store.ingest(scope, gateway(0), full).await?;
        }
    }
    if !polls.is_empty() {
        let body = block::encode(stream, first, &polls)?;
        batch.blocks.push((INCARNATION, body));
    }
    let done = store.ingest(scope, gateway(0), batch).await?;
    ensure!(done.refused.is_empty(), "refused: {:?}", done.refused);
    Ok(store)
}
