//! Memory of the agent that polls 1,000 sensors every second, stores, judges and sends them.
//! Never measures an idle program: the hub is connected and readings flow.

use crate::plant::{Load, Plant};
use crate::report::Report;
use anyhow::Result;
use harness::Scratch;
use std::time::{Duration, Instant};

const LOAD: Load = Load {
    devices: 10,
    sensors: 100,
    poll_ms: 1_000,
};
/// How long it runs before and while memory is looked at.
const RUN: Duration = Duration::from_secs(60);
/// The goal.
const BYTES_MAX: f64 = 16.0 * 1024.0 * 1024.0;

/// The highest resident set of a minute, beside the bound.
pub(crate) fn run(report: &mut Report) -> Result<()> {
    let scratch = Scratch::new("bench-memory")?;
    let mut plant = Plant::start(&scratch, LOAD)?;
    let before = plant.hub_readings()?;
    let sent = plant.relay.counters();
    let started = Instant::now();
    let mut highest = 0;
    while started.elapsed() < RUN {
        highest = highest.max(plant.agent.program()?.resident_bytes()?);
        harness::wait::pause(Duration::from_millis(500));
    }
    let readings = plant.hub_readings()? - before;
    let sent = plant.relay.counters().since(&sent);
    let wire = f64::from(u32::try_from(sent.up.bytes + sent.down.bytes)?);
    let wire = wire / f64::from(u32::try_from(readings.max(1))?);
    let per_second = f64::from(u32::try_from(readings)?) / started.elapsed().as_secs_f64();
    drop(plant);
    scratch.passed();
    let bytes = f64::from(u32::try_from(highest)?);
    let mib = |bytes: f64| bytes / (1024.0 * 1024.0);
    report.row(
        "memory at 1,000 sensors x 1 s",
        mib(bytes),
        "MiB",
        ("the bound", mib(BYTES_MAX)),
    );
    report.row(
        "readings a second at the hub",
        per_second,
        "/s",
        ("polled", 1_000.0),
    );
    let words = format!(
        "{:.1} MiB resident at 1,000 sensors x 1 s, connected; {wire:.2} B per reading on the wire",
        mib(bytes)
    );
    report.promise(bytes <= BYTES_MAX && per_second >= 950.0, words);
    Ok(())
}
