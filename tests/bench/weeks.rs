//! False alarms in quiet weeks, and what becomes of planted faults: `make bench ONLY=quiet-weeks`. The
//! sensors are those of `plant.rs`, a reading a minute; the rules are the default set as an installer
//! writes it without keys of its own: silence, flat line, deviation with its week of learning. Never
//! tuned to a shape: all have the same rules, but a value in whole tenths has no flat-line rule.

mod plant;

use crate::report::Report;
use anyhow::{Context as _, Result};
use edge_agent::analysis::{Change, Detectors, Finding};
use edge_agent::config::{Config, RuleConfig};
use plant::{FAULTS, Fault, SHAPES, STEP_S, Sensor, Shape, WEEK};
use protocol::id::{GatewayId, SensorId};
use protocol::reading::{Quality, Reading};
use protocol::time::{ClockState, Timestamp};
use std::path::Path;
use uuid::Uuid;

/// Sensors of each shape, and the weeks of each after the one of learning.
const SENSORS: u64 = 10;
const WEEKS: usize = 10;
/// Sensors of each shape that a fault is planted into, and how long before it they are quiet.
const PLANTED: u64 = 10;
const BEFORE: usize = 3 * WEEK;
/// An alert so many readings after a fault's end is still its own.
const AFTER: usize = 30;
const FALSE_MAX: f64 = 0.1;
/// Of each planted fault at least so many must be found.
const FOUND_MIN: f64 = 0.9;
const GATEWAY: GatewayId = GatewayId(Uuid::from_u128(1));

/// False alarms, then faults.
pub(crate) fn run(report: &mut Report) -> Result<()> {
    let (mut alarms, mut weeks) = (0, 0);
    for (place, shape) in (0..).zip(SHAPES) {
        let mut of_shape = 0;
        for number in 0..SENSORS {
            let mut box_ = Watched::new(shape, place * 1_000 + number)?;
            let raised = (0..(WEEKS + 1) * WEEK)
                .flat_map(|_| box_.next(None))
                .count();
            of_shape += raised;
        }
        let of_weeks = usize::try_from(SENSORS)? * WEEKS;
        let rate = ratio(of_shape, of_weeks)?;
        report.row(
            &format!("false alarms a week, {shape:?}"),
            rate,
            "",
            ("at most", FALSE_MAX),
        );
        alarms += of_shape;
        weeks += of_weeks;
    }
    let (mut told, mut least) = (Vec::new(), 1.0_f64);
    for fault in FAULTS {
        let (found, all, delay_min) = planted(fault)?;
        let share = ratio(found, all)?;
        least = least.min(share);
        report.row(
            &format!("found, {fault:?}"),
            share,
            "",
            ("at least", FOUND_MIN),
        );
        report.row(
            "  delay, the middle one",
            delay_min,
            "min",
            ("the fault's length", length(fault)?),
        );
        told.push(format!(
            "{fault:?} {found} of {all} after {delay_min:.0} min"
        ));
    }
    let rate = ratio(alarms, weeks)?;
    let words = format!(
        "{rate:.3} false alarms per sensor and week ({alarms} in {weeks} quiet sensor weeks); found: {}",
        told.join(", ")
    );
    report.promise(rate <= FALSE_MAX && least >= FOUND_MIN, words);
    Ok(())
}

/// Found, planted, and the middle delay in minutes of those found.
fn planted(fault: Fault) -> Result<(usize, usize, f64)> {
    let (mut delays, mut all) = (Vec::new(), 0);
    for (place, shape) in (0..).zip(SHAPES).filter(|(_, shape)| fault.fits(*shape)) {
        for number in 0..PLANTED {
            let mut box_ = Watched::new(shape, 500_000 + place * 1_000 + number)?;
            // Not always at the same time of the day.
            let begin = BEFORE + usize::try_from(number)? * 137;
            let end = begin + fault.readings();
            let mut found = None;
            for at in 0..end + AFTER {
                let far = ratio(at.saturating_sub(begin), fault.readings())?;
                let now = (begin..end).contains(&at).then_some((fault, far));
                if !box_.next(now).is_empty() && at >= begin {
                    found = found.or(Some(at - begin));
                }
            }
            all += 1;
            delays.extend(found);
        }
    }
    delays.sort_unstable();
    let middle = delays.get(delays.len() / 2).copied().unwrap_or(0);
    Ok((
        delays.len(),
        all,
        ratio(middle * usize::try_from(STEP_S)?, 60)?,
    ))
}

/// One sensor with the default set of rules.
struct Watched {
    sensor: Sensor,
    detectors: Detectors,
}

impl Watched {
    fn new(shape: Shape, seed: u64) -> Result<Self> {
        let rules = default_rules(shape != Shape::Coarse)?;
        Ok(Self {
            sensor: Sensor::new(shape, seed),
            detectors: Detectors::new(&rules, GATEWAY),
        })
    }

    /// The next reading; what was raised.
    fn next(&mut self, fault: Option<(Fault, f64)>) -> Vec<Finding> {
        let (time_s, value) = self.sensor.next(fault);
        let reading = Reading {
            sensor: SensorId::derive(GATEWAY, "d/s"),
            time: Timestamp(time_s * 1_000_000),
            value: Some(value),
            quality: Quality::Good,
            clock: ClockState::Synchronised,
        };
        let mut found = self.detectors.step(&reading);
        found.retain(|finding| matches!(finding.change, Change::Raised { .. }));
        found
    }
}

/// The default set for the sensor `d/s`, read as the agent reads it.
pub(crate) fn default_rules(with_flat: bool) -> Result<Vec<RuleConfig>> {
    let head = r#"
        [[port]]
        name = "p"
        protocol = "modbus"
        [[device]]
        name = "d"
        port = "p"
        poll = "1m"
        [[device.sensor]]
        name = "s"
        [[rule]]
        name = "silent"
        sensor = "d/s"
        stale_after = "10m"
        [[rule]]
        name = "unusual"
        kind = "deviation"
        sensor = "d/s"
    "#;
    let flat = r#"
        [[rule]]
        name = "stuck"
        sensor = "d/s"
        flat_for = "30m"
    "#;
    let text = if with_flat {
        format!("{head}{flat}")
    } else {
        head.to_owned()
    };
    let config = Config::parse(Path::new("bench"), &text).context("the rules of the bench")?;
    Ok(config.rules)
}

fn length(fault: Fault) -> Result<f64> {
    ratio(fault.readings() * usize::try_from(STEP_S)?, 60)
}

fn ratio(part: usize, whole: usize) -> Result<f64> {
    Ok(f64::from(u32::try_from(part)?) / f64::from(u32::try_from(whole)?))
}
