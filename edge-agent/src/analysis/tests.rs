//! Recorded temperatures of a real machine that failed, through thinning and judging.

mod kinds;

use super::*;
use crate::config::Config;
use crate::pipeline::{GroupSpec, Pipeline, RawCell, RawPoll, SensorSpec};
use proptest::prelude::*;
use protocol::reading::{Cause, Raw, RawKind, readings};
use protocol::time::{ClockState, Timestamp};
use std::path::Path;
use uuid::Uuid;

const RECORDED: &str = include_str!("../../../tests/data/machine_temperature.csv");
const STEP_US: i64 = 300 * 1_000_000;

/// A value, or none where the device did not answer.
type Polled = Option<f64>;

fn recorded() -> Vec<Polled> {
    let lines = RECORDED.lines().skip(1);
    let values = lines.map(|line| line.split(',').nth(1).unwrap().parse().unwrap());
    values.map(Some).collect()
}

/// What was found, and how many readings were stored.
fn run(polled: &[Polled], deadband: f64, delays: (u32, u32)) -> (Vec<Finding>, usize) {
    let text = format!(
        r#"
        [[port]]
        name = "p"
        protocol = "modbus"
        [[device]]
        name = "d"
        port = "p"
        poll = "5m"
        [[device.sensor]]
        name = "t"
        deadband = {deadband}
        max_silence = "1d"
        range = [-50.0, 150.0]
        [[rule]]
        name = "hot"
        sensor = "d/t"
        high = 100.0
        deadband = 2.0
        on_delay = "{}m"
        off_delay = "{}m"
        [[rule]]
        name = "stopped"
        sensor = "d/t"
        low = 50.0
        deadband = 5.0
        on_delay = "10m"
    "#,
        delays.0, delays.1
    );
    let config = Config::parse(Path::new("e"), &text).unwrap();
    let gateway = GatewayId(Uuid::from_u128(1));
    let device = &config.devices[0];
    let mut group = GroupSpec::new(device, device.poll);
    group.sensors = vec![SensorSpec::new(&device.sensors[0], RawKind::Float)].into();
    let schema = group.schema(gateway);
    let mut pipeline = Pipeline::new(&group);
    let mut detectors = Detectors::new(&config.rules, gateway);
    let (mut findings, mut stored) = (Vec::new(), 0);
    for (at, value) in (0_i64..).zip(polled) {
        let cell = value.map_or(RawCell::Missing(Cause::NoAnswer), |value| {
            RawCell::Value(Raw::Float(value))
        });
        let raw = RawPoll {
            group: 0,
            time: Timestamp(at * STEP_US),
            clock: ClockState::Synchronised,
            cells: vec![cell],
        };
        let Some(poll) = pipeline.step(&raw, ClockState::Synchronised) else {
            continue;
        };
        stored += 1;
        let found = readings(&schema, &poll).flat_map(|reading| detectors.step(&reading));
        findings.extend(found.collect::<Vec<_>>());
    }
    (findings, stored)
}

fn raised(findings: &[Finding]) -> Vec<&Finding> {
    let raised = |finding: &&Finding| matches!(finding.change, Change::Raised { .. });
    findings.iter().filter(raised).collect()
}

#[test]
fn thinning_changes_nothing_about_the_alarms_of_a_real_failure() {
    let (plain, all) = run(&recorded(), 0.0, (15, 30));
    let (thinned, kept) = run(&recorded(), 3.0, (15, 30));
    println!(
        "{all} readings, {kept} kept, {} alarms",
        raised(&plain).len()
    );
    assert!(kept * 3 < all, "{kept} of {all} were kept");
    assert_eq!(thinned, plain);
    assert!(plain.iter().any(|finding| &*finding.rule == "hot"));
    assert!(plain.iter().any(|finding| &*finding.rule == "stopped"));
}

proptest! {
    /// Whatever comes, and however it is thinned, the rules find the same at the same time.
    #[test]
    fn thinning_changes_nothing_about_any_alarm(
        moves in proptest::collection::vec((-4.0_f64..4.0, 0_u8..20), 1..400),
        start in 40.0_f64..110.0, deadband in 0.1_f64..10.0, on in 0_u32..40, off in 0_u32..40
    ) {
        let mut value = start;
        let polled: Vec<Polled> = moves
            .into_iter()
            .map(|(change, luck)| {
                value = (value + change).clamp(30.0, 120.0);
                (luck > 0).then_some(value)
            })
            .collect();
        let (plain, _) = run(&polled, 0.0, (on, off));
        let (thinned, _) = run(&polled, deadband, (on, off));
        prop_assert_eq!(thinned, plain);
    }
}

#[test]
fn alarms_of_a_real_failure_begin_and_end_by_turns() {
    let (findings, _) = run(&recorded(), 0.0, (15, 30));
    for rule in ["hot", "stopped"] {
        let mut is_raised = false;
        for finding in findings.iter().filter(|finding| &*finding.rule == rule) {
            match finding.change {
                Change::Raised { since, .. } => {
                    assert!(!is_raised);
                    assert!(finding.time.micros_since(since) >= 2 * STEP_US);
                    is_raised = true;
                }
                Change::Peaked { .. } => assert!(is_raised),
                Change::Cleared { .. } => {
                    assert!(is_raised);
                    is_raised = false;
                }
            }
        }
    }
}
