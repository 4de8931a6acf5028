//! How long a written value takes while the same port polls 10,000 sensors every second: from the
//! request to the end of reading back, in a whole agent with its store. Never writes to a register
//! that moves by itself.

use crate::report::Report;
use anyhow::{Context as _, Result, ensure};
use edge_agent::agent::Supervisor;
use edge_agent::drivers::{PortHandles, WritePlace, WriteRequest};
use harness::{Libmodbus, Scratch, ports};
use std::fmt::Write as _;
use std::time::Duration;

const DEVICES: u16 = 100;
const SENSORS: u16 = 100;
const WRITES: u16 = 300;
/// From one write to the next: no multiple of the period of the polls.
const EVERY: Duration = Duration::from_millis(67);
/// Goal.
const P99_MS_MAX: f64 = 100.0;
/// What was measured of a leading peer, on average.
const PEER_MS: f64 = 523.0;
/// Share of the sensors that must be polled each second meanwhile.
const POLLED_MIN: f64 = 0.95;

/// The 99th percentile of all writes.
pub(crate) fn run(report: &mut Report) -> Result<()> {
    let scratch = Scratch::new("bench-write")?;
    let server = Libmodbus::tcp(&scratch, DEVICES * SENSORS)?;
    let mut text = format!(
        "[gateway]\ndata_dir = \"{}\"\nclock_trusted = true\n\n[web]\nlisten = \"{}\"\n\n[[port]]\n\
         name = \"line\"\nprotocol = \"modbus\"\naddress = \"{}\"\n",
        scratch.file("data").display(),
        ports::free()?,
        server.address()
    );
    for device in 0..DEVICES {
        let (unit, first) = (device + 1, device * SENSORS);
        let last = first + SENSORS - 1;
        write!(
            text,
            "\n[[device]]\nname = \"d{device}\"\nport = \"line\"\nunit = {unit}\npoll = \"1s\"\n\
             write = [\"hr:{first}-{last}\"]\n"
        )?;
        for register in first..=last {
            write!(
                text,
                "[[device.sensor]]\nname = \"r{register}\"\naddress = \"hr:{register}\"\n"
            )?;
        }
    }
    let file = scratch.write("edge.toml", &text)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let (mut took_ms, requests) = runtime.block_on(measure(&file))?;
    scratch.passed();
    took_ms.sort_by(f64::total_cmp);
    let at = |share: usize| took_ms.get(took_ms.len() * share / 100).copied();
    let (median, high) = (at(50).context("no write")?, at(99).context("no write")?);
    let peer = ("a leading peer, on average", PEER_MS);
    report.row("a write at 10,000 sensors x 1 s, p99", high, "ms", peer);
    report.row("the same, median", median, "ms", peer);
    let words = format!(
        "{WRITES} values written and read back at 10,000 sensors x 1 s: median {median:.1} ms, p99 \
         {high:.1} ms; {requests:.0} requests a second on the port meanwhile"
    );
    let polled = requests >= POLLED_MIN * f64::from(DEVICES);
    report.promise(high <= P99_MS_MAX && polled, words);
    Ok(())
}

/// Milliseconds of each write, and the port's requests per second.
async fn measure(file: &std::path::Path) -> Result<(Vec<f64>, f64)> {
    let mut supervisor = Supervisor::open(file)?;
    let agent = supervisor.start().await?;
    let handles = agent.ports();
    // The load must be there before it is measured.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    let rate = |handles: &PortHandles| {
        let reports = handles.reports();
        reports
            .get("line")
            .map_or(0.0, |line| line.requests_per_second)
    };
    while rate(&handles) < POLLED_MIN * f64::from(DEVICES) {
        ensure!(
            tokio::time::Instant::now() < deadline,
            "the polls do not start"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut took_ms = Vec::new();
    let mut clock = tokio::time::interval(EVERY);
    for number in 0..WRITES {
        clock.tick().await;
        let device = number * 37 % DEVICES;
        let register = device * SENSORS + number % SENSORS;
        let request = WriteRequest {
            device: format!("d{device}"),
            place: WritePlace::Address(format!("hr:{register}:u16")),
            value: number.to_string(),
        };
        let written = handles.write(request).await?;
        ensure!(written.after == number.to_string(), "{written:?}");
        took_ms.push(written.milliseconds);
    }
    let requests = rate(&handles);
    agent.stop().await?;
    Ok((took_ms, requests))
}
