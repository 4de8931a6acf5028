//! What the default set of rules costs: `make bench ONLY=detectors`. Ten thousand sensors, each with the
//! default set (silence, flat line, deviation), each read in turn, so that caches are cold as on a box.
//! Time is that of the processor, the best round of many; memory is what the process takes more. Never counts what the readings themselves take.

use crate::report::Report;
use crate::weeks::default_rules;
use anyhow::{Context as _, Result};
use edge_agent::analysis::Detectors;
use edge_agent::config::RuleConfig;
use protocol::id::{GatewayId, SensorId};
use protocol::reading::{Quality, Reading};
use protocol::time::{ClockState, Timestamp};
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::time::Duration;
use uuid::Uuid;

const SENSORS: usize = 10_000;
/// Readings of each sensor before and while it is measured.
const FIRST: i64 = 60;
const ROUNDS: i64 = 40;
const NANOSECONDS_MAX: f64 = 1_000.0;
const BYTES_MAX: f64 = 1_024.0;
const GATEWAY: GatewayId = GatewayId(Uuid::from_u128(1));

/// Time and memory.
pub(crate) fn run(report: &mut Report) -> Result<()> {
    let (ns, bytes) = measure(report, &default_rules(true)?)?;
    let kept = ns <= NANOSECONDS_MAX && bytes <= BYTES_MAX;
    let words = format!(
        "{ns:.0} ns per reading and {bytes:.0} B of memory per sensor for silence, flat line and \
         deviation at {SENSORS} sensors"
    );
    report.promise(kept, words);
    Ok(())
}

/// Nanoseconds per reading and bytes per sensor of a set of rules.
fn measure(report: &mut Report, set: &[RuleConfig]) -> Result<(f64, f64)> {
    let rules = of_all(set);
    let ids: Vec<SensorId> = (0..SENSORS)
        .map(|at| SensorId::derive(GATEWAY, &path(at)))
        .collect();
    let before = resident_bytes()?;
    let mut detectors = Detectors::new(&rules, GATEWAY);
    let round = |detectors: &mut Detectors, number: i64| {
        let started = processor_ns();
        for (sensor, phase) in ids.iter().zip(0_u32..) {
            black_box(detectors.step(&black_box(reading(*sensor, number, phase))));
        }
        processor_ns() - started
    };
    for number in 0..FIRST {
        round(&mut detectors, number);
    }
    let after = resident_bytes()?;
    let rounds = (FIRST..FIRST + ROUNDS).map(|number| round(&mut detectors, number));
    let sensors = f64::from(u32::try_from(SENSORS)?);
    let ns = rounds.fold(f64::MAX, f64::min) / sensors;
    let bytes = (after - before) / sensors;
    let started = processor_ns();
    detectors.tick(Timestamp(FIRST * 1_000_000), ClockState::Synchronised);
    let tick_ms = (processor_ns() - started) / 1e6;
    report.row("a reading", ns, "ns", ("at most", NANOSECONDS_MAX));
    report.row("a sensor", bytes, "B", ("at most", BYTES_MAX));
    report.row("a tick", tick_ms, "ms", ("a second", 1_000.0));
    Ok((ns, bytes))
}

/// The set for each sensor.
fn of_all(set: &[RuleConfig]) -> Vec<RuleConfig> {
    let of_sensor = |sensor: usize| {
        let mut rules = set.to_vec();
        for rule in &mut rules {
            rule.name = format!("{} {sensor}", rule.name);
            rule.sensor = path(sensor);
        }
        rules
    };
    (0..SENSORS).flat_map(of_sensor).collect()
}

fn path(sensor: usize) -> String {
    format!("d/s{sensor}")
}

/// A value that swings and trembles, the same in every run.
fn reading(sensor: SensorId, number: i64, phase: u32) -> Reading {
    let at = u32::try_from(number).unwrap_or(0);
    let tremble = f64::from((at.wrapping_mul(2_654_435_761) ^ phase) % 1_000) / 1_000.0;
    Reading {
        sensor,
        time: Timestamp(number * 1_000_000),
        value: Some(50.0 + 5.0 * (f64::from(at + phase % 60) / 10.0).sin() + tremble),
        quality: Quality::Good,
        clock: ClockState::Synchronised,
    }
}

/// Memory of this process that is in use.
fn resident_bytes() -> Result<f64> {
    let status =
        std::fs::read_to_string("/proc/self/status").context("reading /proc/self/status")?;
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .context("no VmRSS")?;
    let kib = line
        .split_whitespace()
        .nth(1)
        .context("VmRSS without a figure")?;
    Ok(kib.parse::<f64>().context("VmRSS")? * 1_024.0)
}

/// Processor time of this thread.
fn processor_ns() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    );
    seconds.as_secs_f64() * 1e9
}
