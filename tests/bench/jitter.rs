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
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const PERIOD_MS: u64 = 100;
const LOAD: Load = Load {
    devices: 10,
    sensors: 100,
    poll_ms: PERIOD_MS,
};
/// Goal: of a hundred polls, ninety-nine are off their time by less. A bare timer of the same machine
/// stands beside it, so that it is seen what the machine costs.
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
    let timer = BareTimer::start();
    wait_for("a sealed block of every group", DEADLINE, || {
        let stamps = stamps(&data)?;
        let sealed = stamps.len() == LOAD.devices && stamps.values().all(|at| at.len() >= SEALED);
        Ok(sealed.then_some(()))
    })?;
    let bare_ms = timer.stop()?;
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
    let (median, high, worst) = (at(&off_ms, 500)?, at(&off_ms, 990)?, at(&off_ms, 1_000)?);
    let (bare_median, bare) = (at(&bare_ms, 500)?, at(&bare_ms, 990)?);
    let timer = "a bare timer, same machine and run";
    report.row("jitter of a 100 ms poll, p99", high, "ms", (timer, bare));
    report.row("the same, median", median, "ms", (timer, bare_median));
    let words = format!(
        "1,000 sensors polled every 100 ms: off by {median:.2} ms at the median, {high:.2} ms at p99, \
         {worst:.1} ms at the most; a bare timer meanwhile {bare:.2} ms at p99"
    );
    report.promise(high < JITTER_MS_MAX, words);
    Ok(())
}

/// The value that this share, in thousandths, does not exceed.
fn at(values: &[f64], share: usize) -> Result<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values
        .get(last * share / 1_000)
        .copied()
        .context("no value")
}

/// A thread that does nothing but wake up every 100 ms: what the machine itself costs.
struct BareTimer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<f64>>,
}

impl BareTimer {
    fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let period = Duration::from_millis(PERIOD_MS);
            let (mut due, mut before) = (Instant::now(), None);
            let mut off_ms = Vec::new();
            while !stopped.load(Ordering::SeqCst) {
                due += period;
                harness::wait::pause(due.saturating_duration_since(Instant::now()));
                let now = Instant::now();
                let took = before.map(|before| now.saturating_duration_since(before));
                before = Some(now);
                off_ms.extend(took.map(|took| took.abs_diff(period).as_secs_f64() * 1e3));
            }
            off_ms
        });
        Self { stop, thread }
    }

    /// How far each waking was from one period after the one before.
    fn stop(self) -> Result<Vec<f64>> {
        self.stop.store(true, Ordering::SeqCst);
        let ended = self.thread.join();
        ended.map_err(|_| anyhow::anyhow!("the bare timer died"))
    }
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
