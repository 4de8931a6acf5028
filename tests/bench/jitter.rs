//! How even polls are: the time stamps of 1,000 sensors that are polled every 100 ms, as they stand in
//! the box's store after a minute. Never asks the program what it thinks of itself.

use crate::plant::{Load, Plant};
use crate::report::Report;
use anyhow::{Context as _, Result, ensure};
use harness::{Scratch, wait_for};
use protocol::block;
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

const PERIOD_MS: u64 = 100;
const LOAD: Load = Load {
    devices: 10,
    sensors: 100,
    poll_ms: PERIOD_MS,
};
/// Goal: of a hundred polls, ninety-nine are off their time by less.
const JITTER_MS_MAX: f64 = 5.0;
/// Polls of a group after which its journal becomes a block.
const SEALED: usize = 600;
/// The first polls are those of a system that starts.
const SKIPPED: usize = 50;
const DEADLINE: Duration = Duration::from_secs(180);

/// The 99th percentile of how far a poll is from one period after the poll before it.
pub(crate) fn run(report: &mut Report) -> Result<()> {
    let scratch = Scratch::new("bench-jitter")?;
    let mut plant = Plant::start(&scratch, LOAD)?;
    let data = plant.agent.folder().join("data");
    wait_for("a sealed block of every group", DEADLINE, || {
        let stamps = stamps(&data)?;
        let sealed = stamps.len() == LOAD.devices && stamps.values().all(|at| at.len() >= SEALED);
        Ok(sealed.then_some(()))
    })?;
    plant.agent.stop()?;
    let mut off_ms = Vec::new();
    for times in stamps(&data)?.into_values() {
        for pair in times.get(SKIPPED..SEALED).context("few polls")?.windows(2) {
            let &[before, after] = pair else { continue };
            let period_us = i64::try_from(PERIOD_MS * 1_000)?;
            let off_us = u32::try_from((after - before).abs_diff(period_us))?;
            off_ms.push(f64::from(off_us) / 1_000.0);
        }
    }
    scratch.passed();
    ensure!(off_ms.len() > 5_000, "only {} intervals", off_ms.len());
    off_ms.sort_by(f64::total_cmp);
    let at = |share: usize| off_ms.get(off_ms.len() * share / 1_000).copied();
    let (median, high) = (at(500).context("none")?, at(990).context("none")?);
    let worst = off_ms.last().copied().unwrap_or_default();
    let bound = ("the bound", JITTER_MS_MAX);
    report.row("jitter of a 100 ms poll, p99", high, "ms", bound);
    report.row("the same, median", median, "ms", bound);
    let words = format!(
        "1,000 sensors polled every 100 ms: off by {median:.2} ms at the median, {high:.2} ms at p99, \
         {worst:.1} ms at the most"
    );
    report.promise(high < JITTER_MS_MAX, words);
    Ok(())
}

/// Times of all sealed polls, in microseconds, by stream.
fn stamps(data: &Path) -> Result<BTreeMap<u32, Vec<i64>>> {
    let db = Connection::open(data.join("buffer.db")).context("opening the box's buffer")?;
    let mut query = db.prepare("SELECT body FROM block ORDER BY id")?;
    let mut stamps: BTreeMap<u32, Vec<i64>> = BTreeMap::new();
    let bodies = query.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
    for body in bodies {
        let block = block::decode(&body?)?;
        let times = block.polls.iter().map(|poll| poll.time.0);
        stamps
            .entry(block.header.stream.0)
            .or_default()
            .extend(times);
    }
    Ok(stamps)
}
