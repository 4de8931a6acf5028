//! Memory of the agent that polls 1,000 or 10,000 sensors every second, stores, judges and sends them.
//! Never measures an idle program: the hub is connected and readings flow.

use crate::plant::{Load, Plant};
use crate::report::Report;
use anyhow::{Result, bail};
use harness::Scratch;
use std::time::{Duration, Instant};

const MIB: f64 = 1_024.0 * 1_024.0;
/// How long it runs while memory is looked at.
const RUN: Duration = Duration::from_secs(60);
/// Least share of the readings that must reach the hub.
const READINGS_MIN: f64 = 0.95;

/// The highest resident set of a minute at 1,000 sensors, beside the bound.
pub(crate) fn run(report: &mut Report) -> Result<()> {
    measure(report, 10, 16.0)
}

/// The same at 10,000 sensors.
pub(crate) fn run_large(report: &mut Report) -> Result<()> {
    measure(report, 100, 64.0)
}

/// `devices` of 100 sensors each.
fn measure(report: &mut Report, devices: usize, mib_max: f64) -> Result<()> {
    let scratch = Scratch::new("bench-memory")?;
    let load = Load {
        devices,
        sensors: 100,
        poll_ms: 1_000,
    };
    let polled = f64::from(u32::try_from(load.devices * load.sensors)?);
    let mut plant = Plant::start(&scratch, load)?;
    let before = plant.hub_readings()?;
    let sent = plant.relay.counters();
    let started = Instant::now();
    // Readings come to the hub in pieces of some seconds: from one arrival to another is whole.
    let mut arrivals = vec![(started, before)];
    let mut highest = 0;
    while started.elapsed() < RUN {
        highest = highest.max(plant.agent.program()?.resident_bytes()?);
        harness::wait::pause(Duration::from_millis(500));
        let now = plant.hub_readings()?;
        if arrivals.last().is_none_or(|(_, last)| *last < now) {
            arrivals.push((Instant::now(), now));
        }
    }
    let readings = plant.hub_readings()? - before;
    let sent = plant.relay.counters().since(&sent);
    let wire = f64::from(u32::try_from(sent.up.bytes + sent.down.bytes)?);
    let wire = wire / f64::from(u32::try_from(readings.max(1))?);
    let (Some((first_at, first)), Some((last_at, last))) = (arrivals.get(1), arrivals.last())
    else {
        bail!("nothing came to the hub in {RUN:?}");
    };
    let between = last_at.saturating_duration_since(*first_at).as_secs_f64();
    let per_second = f64::from(u32::try_from(last - first)?) / between.max(0.001);
    drop(plant);
    scratch.passed();
    let mib = f64::from(u32::try_from(highest)?) / MIB;
    let what = format!("memory at {polled} sensors x 1 s");
    report.row(&what, mib, "MiB", ("the bound", mib_max));
    report.row(
        "readings a second at the hub",
        per_second,
        "/s",
        ("polled", polled),
    );
    let words = format!(
        "{mib:.1} MiB resident at {polled} sensors x 1 s, connected, {per_second:.0} readings a second \
         at the hub; {wire:.2} B per reading on the wire"
    );
    let kept = mib <= mib_max && per_second >= READINGS_MIN * polled;
    report.promise(kept, words);
    Ok(())
}
