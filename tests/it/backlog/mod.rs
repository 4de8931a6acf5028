//! Alerts, live values and the backlog of a long outage share a slow link with a deep queue: an
//! alert must not wait behind the backlog, values must be fresh soon after the reconnect, and yet
//! the backlog must fill the link. Real programs; the backlog is really in the box's store.

mod measure;
mod scene;

use anyhow::{Context as _, Result, ensure};
use harness::in_scratch;
use measure::Measured;
use scene::{Scene, Way};
use std::str::FromStr;
use std::time::Duration;

/// 256 kbit/s.
const RATE_BYTES_PER_S: u64 = 32_000;
const DELAY: Duration = Duration::from_millis(50);
/// Eight seconds at that rate: a modem that never says no.
const QUEUE_BYTES: usize = 256_000;
/// IP and UDP around each datagram.
const HEADER_BYTES: usize = 28;
/// What is promised.
const ALERT_MAX: Duration = Duration::from_secs(1);
const FRESH_MAX: Duration = Duration::from_secs(5);
const TCP_MAX: Duration = Duration::from_secs(5);
const DRAIN_SHARE_MIN: f64 = 0.75;

#[test]
fn alerts_and_live_values_do_not_wait_behind_a_backlog() -> Result<()> {
    if !asked() {
        return Ok(());
    }
    in_scratch("backlog", |scratch| {
        judge(&Scene::start(scratch, Way::Udp)?.run()?, Way::Udp)
    })
}

#[test]
fn over_tcp_alerts_and_live_values_do_not_wait_either() -> Result<()> {
    if !asked() {
        return Ok(());
    }
    in_scratch("backlog-tcp", |scratch| {
        judge(&Scene::start(scratch, Way::Tcp)?.run()?, Way::Tcp)
    })
}

/// It is a measurement that needs the machine for itself: `make test-backlog` asks for it.
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
fn asked() -> bool {
    let asked = std::env::var_os(scene::MINUTES).is_some();
    if !asked {
        println!("skipped: `make test-backlog` measures it");
    }
    asked
}

fn judge(measured: &Measured, way: Way) -> Result<()> {
    measured.print(way)?;
    if way == Way::Tcp {
        ensure!(
            measured.connected <= TCP_MAX,
            "connected over TCP after {:?}",
            measured.connected
        );
    }
    ensure!(
        measured.fresh <= FRESH_MAX,
        "live values were fresh {:?} after the reconnect",
        measured.fresh
    );
    let p99 = measured.alert_at_most(990)?;
    ensure!(p99 <= ALERT_MAX, "alerts took {p99:?} at p99");
    ensure!(
        measured.drain_share()? >= DRAIN_SHARE_MIN,
        "the backlog drained at {:.0} % of the link",
        measured.drain_share()? * 100.0
    );
    Ok(())
}

/// A number of the environment, for the long run of the promise.
fn setting<T: FromStr>(name: &str, usual: T) -> Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name}={text}")),
        Err(_) => Ok(usual),
    }
}
