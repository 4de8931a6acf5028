//! Modbus round trips: our driver's request path against libmodbus' own client, both reading the
//! same registers of the same libmodbus server one after the other. Never measures polling: a
//! schedule would hide the cost of a request.

use crate::report::{Report, median};
use anyhow::{Context as _, Result, bail};
use edge_agent::drivers::modbus::read::read_once;
use harness::{Libmodbus, Scratch, places};
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

const READS: usize = 20_000;
const RUNS: usize = 5;
/// Registers per read: one 32-bit float.
const REGISTERS: u16 = 2;
/// Least share of the peer's round trips: a request may cost what an async runtime costs, not more.
const RATIO_MIN: f64 = 0.67;

/// Runs of ours and the peer's take turns, so that a busy moment of the machine hits both.
pub(crate) fn run(report: &mut Report) -> Result<()> {
    let scratch = Scratch::new("bench-modbus")?;
    let server = Libmodbus::moving(&scratch, 1_000)?;
    let (mut ours, mut peers) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        ours.push(our_seconds(server.address())?);
        peers.push(their_seconds(server.address())?);
    }
    let reads = f64::from(u32::try_from(READS)?);
    let (ours, peers) = (median(ours)?, median(peers)?);
    let peer = "libmodbus client (C)";
    let per_second = |seconds: f64| reads / seconds;
    let micros = |seconds: f64| seconds / reads * 1e6;
    let what = "round trips a second, 2 registers";
    report.row(what, per_second(ours), "/s", (peer, per_second(peers)));
    report.row(
        "time of one round trip",
        micros(ours),
        "µs",
        (peer, micros(peers)),
    );
    scratch.passed();
    let words = format!(
        "{:.0} Modbus round trips a second, {:.2} of libmodbus' C client",
        per_second(ours),
        peers / ours
    );
    report.promise(peers / ours >= RATIO_MIN, words);
    Ok(())
}

fn our_seconds(server: SocketAddr) -> Result<f64> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let points = vec!["hr:0:f32".to_owned(); READS];
    let started = Instant::now();
    let target = format!("tcp://{server}");
    let answer = runtime.block_on(read_once(&target, 1, &points, Duration::from_secs(5)))?;
    let seconds = started.elapsed().as_secs_f64();
    let answered = answer
        .points
        .iter()
        .filter(|point| point.value.is_some())
        .count();
    if answered != READS {
        bail!("{answered} of {READS} reads were answered");
    }
    Ok(seconds)
}

fn their_seconds(server: SocketAddr) -> Result<f64> {
    let output = Command::new(built("modbus_client")?)
        .args([
            server.port().to_string(),
            READS.to_string(),
            REGISTERS.to_string(),
        ])
        .output()
        .context("running libmodbus' client")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!(
            "libmodbus' client failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let seconds = text
        .split_whitespace()
        .next()
        .and_then(|word| word.parse().ok());
    seconds.with_context(|| format!("libmodbus' client said {text:?}"))
}

fn built(name: &str) -> Result<std::path::PathBuf> {
    let path = places::repository().join("build/bench").join(name);
    if path.is_file() {
        Ok(path)
    } else {
        bail!("{} is missing: run `make bench`", path.display())
    }
}
