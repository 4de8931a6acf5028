//! Three units on one port, one of them dead: what that costs the two others, as pymodbus saw it.
//! The same over TCP and on a serial line as slow as a real one, at the same time.

use super::{Plan, Scene, column};
use anyhow::{Context as _, Result, ensure};
use harness::modbus_peer::{Serial, Served};
use harness::paced_pty::Pace;
use harness::{Form, ModbusPeer, PacedPty, PeerOptions, Scratch, in_scratch, wait};
use protocol::id::GatewayId;
use std::time::Duration;

/// As long as the peer was looked at: in 80 s it gave a healthy unit 8 reads, with a gap of 12 s.
const RUN: Duration = Duration::from_secs(80);
const POLL_S: f64 = 1.0;
const TIMEOUT_S: f64 = 3.0;
/// Largest gap of a healthy unit once the dead one is known.
const GAP_S_MAX: f64 = 1.2;
/// What the clock of a loaded machine may add to the one gap in which the dead unit was found.
const SLACK_S: f64 = 0.2;
/// Least share of the reads that a healthy unit must keep.
const KEPT_MIN: f64 = 0.95;
const DEAD: u8 = 2;
const HEALTHY: [u8; 2] = [1, 3];
/// Ten sensors of one device; pymodbus has seven registers.
const SENSORS: [(&str, &str, &str, &str); 10] = [
    ("temperature", "hr:0", "f32", "ABCD"),
    ("tenths", "hr:2", "i16", "ABCD"),
    ("row", "hr:3", "u32", "ABCD"),
    ("swapped", "hr:5", "f32", "CDAB"),
    ("word_0", "hr:0", "u16", "ABCD"),
    ("word_1", "hr:1", "u16", "ABCD"),
    ("word_2", "hr:2", "u16", "ABCD"),
    ("word_3", "hr:3", "u16", "ABCD"),
    ("word_4", "hr:4", "u16", "ABCD"),
    ("word_5", "hr:5", "u16", "ABCD"),
];

#[test]
fn dead_unit() -> Result<()> {
    in_scratch("modbus-dead-unit", run)
}

fn run(scratch: &Scratch) -> Result<()> {
    let options = |form| PeerOptions {
        units: HEALTHY.to_vec(),
        silent_units: vec![DEAD],
        start_again: true,
        form,
        ..PeerOptions::default()
    };
    let tcp = ModbusPeer::start(scratch, options(Form::Tcp))?;
    let pace = Pace {
        baud: 9_600,
        bits: 10,
    };
    let line = PacedPty::start(pace)?;
    let serial = Form::Rtu(Serial {
        path: line.far().to_path_buf(),
        baud: pace.baud,
        parity: 'N',
    });
    let rtu = ModbusPeer::start(scratch, options(serial))?;
    let mut plan = Plan::new();
    let tcp_words = format!(
        "kind = \"tcp\"\naddress = \"{}\"\ntimeout = \"3s\"",
        tcp.address()
    );
    let rtu_words = format!(
        "kind = \"serial\"\npath = \"{}\"\nbaud = 9600\nparity = \"N\"\ntimeout = \"3s\"",
        line.near().display()
    );
    for (port, words) in [("tcp", tcp_words), ("rtu", rtu_words)] {
        plan = plan.port(port, &words);
        for unit in [1, DEAD, 3] {
            let name = format!("{port}-{unit}");
            plan = plan.device((&name, port, unit), "poll = \"1s\"", &SENSORS);
        }
    }
    let scene = Scene::start(scratch, "box", &plan)?;
    // The time that passes is what is measured: nothing is waited for.
    wait::pause(RUN);
    let gateway = scene.gateway;
    let groups = scene.stored()?;
    let mut said = Vec::new();
    for (port, peer) in [("tcp", &tcp), ("rtu", &rtu)] {
        let served = peer.served()?;
        for unit in HEALTHY {
            let stored = column(&groups, gateway, &format!("{port}-{unit}/temperature"))?;
            let kept = stored.iter().flatten().count();
            said.push(judge(port, unit, &served, kept)?);
        }
        silent(&groups, gateway, port)?;
    }
    #[expect(clippy::print_stdout, reason = "the figures of docs/promises.md")]
    {
        println!(
            "measured: in {} s, unit {DEAD} dead: {} (the peer measured: 8 reads, largest gap 12 s)",
            RUN.as_secs(),
            said.join("; ")
        );
    }
    Ok(())
}

/// What a healthy unit was asked, and what of it was kept in the store.
fn judge(port: &str, unit: u8, served: &[Served], kept: usize) -> Result<String> {
    let times = served.iter().filter(|answer| answer.unit == unit);
    let times: Vec<f64> = times.map(|answer| seconds(answer.time_us)).collect();
    let mut gaps: Vec<f64> = times
        .windows(2)
        .filter_map(|pair| Some(pair.get(1)? - pair.first()?))
        .collect();
    gaps.sort_by(|one, other| other.total_cmp(one));
    let largest = *gaps.first().context("no two answers")?;
    let next = *gaps.get(1).context("no three answers")?;
    let expected = RUN.as_secs_f64() / POLL_S;
    let share = f64::from(u32::try_from(kept)?) / expected;
    let words = format!(
        "{port} unit {unit}: {kept} reads ({:.0} %), largest gap {largest:.2} s, then {next:.2} s",
        share * 100.0
    );
    ensure!(largest <= POLL_S + TIMEOUT_S + SLACK_S, "{words}");
    ensure!(next <= GAP_S_MAX, "{words}");
    ensure!(share >= KEPT_MIN, "{words}");
    Ok(words)
}

/// The dead unit has polls without a value, and no value.
fn silent(groups: &crate::readings::Groups, gateway: GatewayId, port: &str) -> Result<()> {
    let stored = column(groups, gateway, &format!("{port}-{DEAD}/temperature"))?;
    ensure!(
        !stored.is_empty(),
        "{port}: nothing is stored of the dead unit"
    );
    ensure!(
        stored.iter().all(Option::is_none),
        "{port}: the dead unit has values"
    );
    Ok(())
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "microseconds since 1970 have 51 bits"
)]
fn seconds(time_us: i64) -> f64 {
    time_us as f64 / 1e6
}
