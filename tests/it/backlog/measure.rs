//! What is measured from the moment at which the uplink returns, and how it is told. Judges
//! nothing.

use super::scene::{ALARM_UNIT, ALARMS, DEVICES, SENSORS, Scene, Way};
use super::{HEADER_BYTES, RATE_BYTES_PER_S, setting};
use crate::plant::{DEADLINE, now, time};
use anyhow::{Context as _, Result, ensure};
use harness::link::Waits;
use harness::wait::pause;
use harness::wait_for;
use protocol::time::Timestamp;
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Seconds over which the drain is measured, and the alarms raised.
const WINDOW_S: &str = "BACKLOG_WINDOW_S";
/// Set to anything: the whole backlog must get through as well.
const DRAIN: &str = "BACKLOG_DRAIN";
/// Longest time for that; a day behind 256 kbit/s takes three quarters of an hour.
const DRAIN_MAX: Duration = Duration::from_secs(5_400);
/// Time from the reconnect to the window: what was queued at the reconnect is through.
const SETTLE: Duration = Duration::from_secs(5);
/// Live readings that may wait for their turn; more is backlog.
const LIVE_WAITING_MAX: u64 = 30_000;
/// How often somebody looks for alarms at the hub.
const LOOK: Duration = Duration::from_millis(20);

/// The figures of one run.
#[derive(Debug)]
pub(super) struct Measured {
    minutes: u64,
    /// From the return of the uplink to the link being up.
    pub(super) connected: Duration,
    /// From the link being up to a value of each sensor at the hub that was read after the return.
    pub(super) fresh: Duration,
    /// From the register's change to the alert at the hub, sorted.
    alerts: Vec<Duration>,
    window: Duration,
    /// Stored bytes of backlog that the hub acknowledged in the window.
    drained_bytes: f64,
    /// Bytes with headers that the link carried up in the window.
    wire_bytes: u64,
    dropped: u64,
    up: Waits,
    down: Waits,
    /// Age of the oldest newest value at the hub, worst look in the window.
    stalest: Duration,
    drained_all: Option<Duration>,
}

impl Scene {
    /// The uplink returns; measures until the window is over.
    pub(super) fn run(self) -> Result<Measured> {
        let window = Duration::from_secs(setting(WINDOW_S, 20)?);
        let (returned, returned_at) = (now()?, Instant::now());
        self.relay.restore();
        wait_for("the link to be up", DEADLINE, || {
            Ok((self.link()?["state"] == "connected").then_some(()))
        })?;
        let connected = returned_at.elapsed();
        let up_at = Instant::now();
        wait_for("fresh values of all sensors at the hub", DEADLINE, || {
            Ok((self.oldest_at_hub()? > returned).then_some(()))
        })?;
        let fresh = up_at.elapsed();
        pause(SETTLE);
        drop(self.relay.take_waits());
        let (before, waiting) = (self.relay.counters(), self.waiting()?);
        let begun = Instant::now();
        let (alerts, stalest) = self.alarms(window)?;
        let window = begun.elapsed();
        let passed = self.relay.counters().since(&before);
        let drained = waiting.saturating_sub(self.waiting()?);
        let (up, down) = self.relay.take_waits();
        ensure!(
            self.waiting()? > LIVE_WAITING_MAX,
            "the backlog was gone before the window was over"
        );
        let drained_all = match std::env::var_os(DRAIN) {
            Some(_) => Some(self.drain(returned_at)?),
            None => None,
        };
        Ok(Measured {
            minutes: self.minutes,
            connected,
            fresh,
            alerts,
            window,
            drained_bytes: f64::from(u32::try_from(drained)?) * self.reading_bytes,
            wire_bytes: passed.up.wire_bytes(HEADER_BYTES),
            dropped: passed.up.dropped + passed.down.dropped,
            up,
            down,
            stalest,
            drained_all,
        })
    }

    /// Raises all alarms one after the other over the window; gives how long each took to the hub,
    /// and how old values were there meanwhile.
    fn alarms(&self, window: Duration) -> Result<(Vec<Duration>, Duration)> {
        let seen: Mutex<BTreeMap<String, Instant>> = Mutex::default();
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let look = scope.spawn(|| self.watch(&seen, &over));
            let ages = scope.spawn(|| self.ages(&over));
            let mut raised = Vec::new();
            let done = self.raise_all(window, &seen, &mut raised);
            over.store(true, Ordering::SeqCst);
            look.join()
                .map_err(|_| anyhow::anyhow!("the watch panicked"))??;
            let stalest = ages
                .join()
                .map_err(|_| anyhow::anyhow!("the watch panicked"))??;
            done?;
            let seen = seen
                .lock()
                .map_err(|_| anyhow::anyhow!("a watch panicked"))?;
            let took = raised.iter().map(|(title, at)| {
                let there = seen.get(title).with_context(|| format!("no {title}"))?;
                Ok(there.duration_since(*at))
            });
            let mut took: Vec<Duration> = took.collect::<Result<_>>()?;
            took.sort_unstable();
            Ok((took, stalest))
        })
    }

    /// Raises one alarm after the other and waits until the hub has them all.
    fn raise_all(
        &self,
        window: Duration,
        seen: &Mutex<BTreeMap<String, Instant>>,
        raised: &mut Vec<(String, Instant)>,
    ) -> Result<()> {
        for alarm in 0..ALARMS {
            raised.push((format!("Alarm {alarm}"), Instant::now()));
            self.raise(alarm);
            pause(window / u32::from(ALARMS));
        }
        wait_for("all alarms at the hub", DEADLINE, || {
            let seen = seen
                .lock()
                .map_err(|_| anyhow::anyhow!("a watch panicked"))?;
            Ok((seen.len() == raised.len()).then_some(()))
        })
    }

    /// Notes when each alarm is at the hub first.
    fn watch(&self, seen: &Mutex<BTreeMap<String, Instant>>, over: &AtomicBool) -> Result<()> {
        while !over.load(Ordering::SeqCst) {
            let alerts = self.there.get("/alerts?state=all&limit=200")?;
            let at = Instant::now();
            let mut seen = seen
                .lock()
                .map_err(|_| anyhow::anyhow!("a test panicked"))?;
            for alert in alerts["data"].as_array().into_iter().flatten() {
                let title = alert["title"].as_str().unwrap_or_default();
                seen.entry(title.to_owned()).or_insert(at);
            }
            drop(seen);
            pause(LOOK);
        }
        Ok(())
    }

    /// The worst age of a newest value at the hub.
    fn ages(&self, over: &AtomicBool) -> Result<Duration> {
        let mut worst = 0;
        while !over.load(Ordering::SeqCst) {
            let oldest = self.oldest_at_hub()?;
            worst = worst.max(now()?.micros_since(oldest));
            pause(Duration::from_secs(2));
        }
        Ok(Duration::from_micros(u64::try_from(worst)?))
    }

    /// Of the newest values of the 1,000 sensors at the hub the oldest.
    fn oldest_at_hub(&self) -> Result<Timestamp> {
        let mut oldest = now()?;
        let mut count = 0;
        let alarms = format!("device-{ALARM_UNIT}");
        for sensor in self.there.list("/sensors")? {
            if sensor["device"] != alarms.as_str() {
                oldest = oldest.min(time(&sensor, "/time")?);
                count += 1;
            }
        }
        let all = u16::from(DEVICES) * SENSORS;
        ensure!(count == all, "the hub knows {count} of {all} sensors");
        Ok(oldest)
    }

    /// Waits until the hub misses nothing of the backlog.
    fn drain(&self, since: Instant) -> Result<Duration> {
        wait_for("the end of the backlog", DRAIN_MAX, || {
            let open = self.waiting()? > 5_000;
            if open {
                pause(Duration::from_secs(1));
            }
            Ok((!open).then_some(()))
        })?;
        let took = since.elapsed();
        let db = Connection::open(self.hub.data().join("hub.db"))?;
        let holes: u32 = db.query_row(
            "SELECT COUNT(*) FROM received WHERE first_seq > 1",
            [],
            |row| row.get(0),
        )?;
        ensure!(holes == 0, "{holes} streams have holes at the hub");
        Ok(took)
    }
}

impl Measured {
    /// The latency that so many thousandths of the alarms did not exceed.
    pub(super) fn alert_at_most(&self, per_mille: usize) -> Result<Duration> {
        let at = (self.alerts.len() * per_mille).div_ceil(1_000).max(1) - 1;
        self.alerts.get(at).copied().context("no alarms")
    }

    /// Part of the link's bytes that was backlog.
    pub(super) fn drain_share(&self) -> Result<f64> {
        Ok(self.drained_bytes / self.capacity()?)
    }

    fn capacity(&self) -> Result<f64> {
        Ok(f64::from(u32::try_from(RATE_BYTES_PER_S)?) * self.window.as_secs_f64())
    }

    #[expect(clippy::print_stdout, reason = "the figures of docs/promises.md")]
    pub(super) fn print(&self, way: Way) -> Result<()> {
        let ms = |time: Duration| format!("{} ms", time.as_millis());
        let waits = |waits: &Waits| {
            [500, 990, 1_000]
                .map(|share| ms(waits.at_most(share)))
                .join(" / ")
        };
        let alerts = [500, 990, 1_000].map(|share| self.alert_at_most(share).map(ms));
        let [p50, p99, max] = alerts;
        let alerts = format!("{} / {} / {}", p50?, p99?, max?);
        let used = f64::from(u32::try_from(self.wire_bytes)?) / self.capacity()?;
        let rows = [
            ("link up after the return of the uplink", ms(self.connected)),
            (
                "all live values fresh after the link was up",
                ms(self.fresh),
            ),
            ("alert, register to hub: p50 / p99 / max", alerts.clone()),
            ("wait in the queue up: p50 / p99 / max", waits(&self.up)),
            ("wait in the queue down: p50 / p99 / max", waits(&self.down)),
            (
                "link used up, with headers",
                format!("{:.0} %", used * 100.0),
            ),
            (
                "backlog of it",
                format!("{:.0} %", self.drain_share()? * 100.0),
            ),
            ("packets dropped", self.dropped.to_string()),
            ("oldest newest value at the hub", ms(self.stalest)),
        ];
        println!(
            "{way:?}, {} min of 1,000 sensors, {:?}:",
            self.minutes, self.window
        );
        for (what, value) in &rows {
            println!("  {what:<46} {value}");
        }
        let drained = self.drained_all.map_or_else(String::new, |time| {
            format!(
                "; all of it at the hub {:.0} s after the return",
                time.as_secs_f64()
            )
        });
        println!(
            "measured: {way:?}, {} min backlog at 256 kbit/s: {} alerts at the hub after {alerts} \
             (p50 / p99 / max), live values fresh after {:.1} s, backlog drains at {:.0} % of the link{drained}",
            self.minutes,
            self.alerts.len(),
            self.fresh.as_secs_f64(),
            self.drain_share()? * 100.0,
        );
        Ok(())
    }
}
