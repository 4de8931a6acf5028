//! Modbus round trips: our driver's request path against libmodbus' own client, both reading the
//! same registers of the same libmodbus server, over one connection and over ten. Never measures polling: a
//! schedule would hide the cost of a request.

use crate::report::{Report, median};
use anyhow::{Context as _, Result, bail};
use edge_agent::drivers::modbus::read::read_once;
use harness::{Libmodbus, Scratch, places};
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const READS: usize = 20_000;
const RUNS: usize = 5;
/// Registers per read: one 32-bit float.
const REGISTERS: u16 = 2;
/// Connections of the second figure.
const CONNECTIONS: usize = 10;
/// Least share of the peer's round trips over one connection.
const ONE_MIN: f64 = 0.9;
/// Over several, ours must be the faster.
const TEN_MIN: f64 = 1.0;

/// Runs of ours and the peer's take turns, so that a busy moment of the machine hits both.
pub(crate) fn run(report: &mut Report) -> Result<()> {
    let scratch = Scratch::new("bench-modbus")?;
    let server = Libmodbus::moving(&scratch, 1_000)?;
    let address = server.address();
    let peer = "libmodbus client (C)";
    let reads = f64::from(u32::try_from(READS)?);
    let mut ratio = |what: &str, ours: Vec<f64>, peers: Vec<f64>| -> Result<f64> {
        let (ours, peers) = (median(ours)?, median(peers)?);
        let (mine, other) = (reads / ours, reads / peers);
        let what = format!("round trips a second, {what}");
        report.row(&what, mine, "/s", (peer, other));
        Ok(peers / ours)
    };
    let (mut ours, mut peers) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        ours.push(our_seconds(address, 1)?);
        peers.push(their_seconds(address, &[])?);
    }
    let one = ratio("one connection", ours, peers)?;
    let (mut ours, mut turns, mut threads) = (Vec::new(), Vec::new(), Vec::new());
    let many = CONNECTIONS.to_string();
    for _ in 0..RUNS {
        ours.push(our_seconds(address, CONNECTIONS)?);
        turns.push(their_seconds(address, &[&many])?);
        threads.push(their_seconds(address, &[&many, "threads"])?);
    }
    ratio("ten connections, peer in turn", ours.clone(), turns)?;
    let ten = ratio("ten connections, peer in ten threads", ours, threads)?;
    scratch.passed();
    let words = format!(
        "Modbus round trips against libmodbus' C client on the same server: {one:.2} over one \
         connection, {ten:.2} over ten (the peer in ten threads)"
    );
    report.promise(one >= ONE_MIN && ten >= TEN_MIN, words);
    Ok(())
}

/// All reads, shared out among so many connections at once, in one thread.
fn our_seconds(server: SocketAddr, connections: usize) -> Result<f64> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let points = vec!["hr:0:f32".to_owned(); READS / connections];
    let target = format!("tcp://{server}");
    let started = Instant::now();
    let answered = runtime.block_on(async {
        let mut running = JoinSet::new();
        for _ in 0..connections {
            let (target, points) = (target.clone(), points.clone());
            running.spawn(async move {
                let answer = read_once(&target, 1, &points, Duration::from_secs(5)).await?;
                let points = answer.points.iter();
                let answered = points.filter(|point| point.value.is_some()).count();
                anyhow::Ok(answered)
            });
        }
        let mut answered = 0;
        while let Some(done) = running.join_next().await {
            answered += done.context("a reading task")??;
        }
        anyhow::Ok(answered)
    })?;
    let seconds = started.elapsed().as_secs_f64();
    if answered != READS {
        bail!("{answered} of {READS} reads were answered");
    }
    Ok(seconds)
}

fn their_seconds(server: SocketAddr, more: &[&str]) -> Result<f64> {
    let output = Command::new(built("modbus_client")?)
        .args([
            server.port().to_string(),
            READS.to_string(),
            REGISTERS.to_string(),
        ])
        .args(more)
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
