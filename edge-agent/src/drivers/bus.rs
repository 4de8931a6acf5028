//! What happens on a bus, counted per unit, and a tap for who wants to see every byte. Never grows:
//! at most 256 units, a window of one minute, a queue of `CAPTURE_MAX` pieces. Never slows the bus: a
//! listener who is too slow misses the oldest pieces and is told how many.

use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::broadcast;

/// Pieces that wait for a listener of the tap.
pub const CAPTURE_MAX: usize = 1_024;
/// Seconds over which the use of the bus is averaged.
const WINDOW_SECONDS: usize = 60;

/// Handle on what a port counts; a clone is the same.
#[derive(Clone, Debug)]
pub struct Monitor {
    counts: Arc<Mutex<Counts>>,
    tap: broadcast::Sender<Captured>,
}

/// One piece of what went over the line.
#[derive(Clone, Debug)]
pub struct Captured {
    /// When it was sent or had come.
    pub at: Instant,
    /// Which way.
    pub direction: Direction,
    /// As on the line.
    pub bytes: Arc<[u8]>,
}

/// Which way bytes went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// To the units.
    Sent,
    /// From the units.
    Received,
}

/// What was noticed on the line beside how a request ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Noticed {
    /// The units of answers that came too late, and were dropped; of very many, not all.
    pub late: Vec<u8>,
    /// Frames of units that were not asked.
    pub foreign: u64,
    /// Frames with a wrong checksum.
    pub checksum: u64,
}

/// How one request ended, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With its answer.
    Answered,
    /// With a refusal.
    Refused,
    /// With nothing.
    TimedOut,
    /// With something else.
    Garbled,
    /// With the connection.
    Lost,
}

/// What a request was, for counting.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The unit.
    pub unit: u8,
    /// When its first byte was sent.
    pub started: Instant,
    /// When its end was known.
    pub ended: Instant,
    /// From the end of the request to the first byte of the answer.
    pub turnaround: Option<Duration>,
    /// How it ended.
    pub how: Ended,
    /// Bytes that came.
    pub received: usize,
    /// Bytes that were sent.
    pub sent: usize,
    /// What else was noticed.
    pub noticed: Noticed,
}

#[derive(Debug)]
struct Counts {
    since: Instant,
    connections: u64,
    units: BTreeMap<u8, UnitCounts>,
    window: Window,
    /// The same by unit.
    windows: BTreeMap<u8, Window>,
}

/// What was counted of one unit since the port started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct UnitCounts {
    /// Requests sent.
    pub requests: u64,
    /// Requests that were answered, refusals not included.
    pub answers: u64,
    /// Requests that were refused.
    pub exceptions: u64,
    /// Requests that nobody answered in time.
    pub timeouts: u64,
    /// Requests that something wrong came in answer to.
    pub garbled: u64,
    /// Requests during which the connection broke.
    pub lost: u64,
    /// Frames with a wrong checksum while this unit was asked.
    pub checksum_errors: u64,
    /// Answers that came too late and were dropped.
    pub late: u64,
    /// Frames of other units while this one was asked.
    pub foreign: u64,
    /// Bytes sent to it.
    pub bytes_sent: u64,
    /// Bytes received while it was asked.
    pub bytes_received: u64,
    /// Shortest time from request to answer, in milliseconds; 0 when there was none.
    pub turnaround_min_ms: f64,
    /// Mean of it.
    pub turnaround_mean_ms: f64,
    /// Longest of it.
    pub turnaround_max_ms: f64,
    /// Share of the last minute in which a request to it was under way (0 to 1).
    pub utilisation: f64,
    /// Requests to it per second in the last minute.
    pub requests_per_second: f64,
}

/// What a port has counted, at one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BusReport {
    /// How long it has been counted, in seconds.
    pub seconds: f64,
    /// Share of the last minute in which a request was under way (0 to 1).
    pub utilisation: f64,
    /// Requests per second in the last minute.
    pub requests_per_second: f64,
    /// How often the port was opened.
    pub connections: u64,
    /// By unit.
    pub units: BTreeMap<u8, UnitCounts>,
}

impl Default for Monitor {
    fn default() -> Self {
        Self {
            counts: Arc::new(Mutex::new(Counts {
                since: Instant::now(),
                connections: 0,
                units: BTreeMap::new(),
                window: Window::default(),
                windows: BTreeMap::new(),
            })),
            tap: broadcast::Sender::new(CAPTURE_MAX),
        }
    }
}

impl Monitor {
    /// What has been counted until now.
    pub fn report(&self) -> BusReport {
        let now = Instant::now();
        let mut counts = self.lock();
        let since = counts.since;
        let seconds = now.saturating_duration_since(since).as_secs_f64();
        counts.window.forward(since, now);
        let span = seconds.clamp(1.0, window_seconds());
        let mut units = counts.units.clone();
        for (unit, window) in &mut counts.windows {
            window.forward(since, now);
            if let Some(unit) = units.get_mut(unit) {
                unit.utilisation = window.utilisation(span);
                unit.requests_per_second = as_float(window.requests()) / span;
            }
        }
        BusReport {
            seconds,
            utilisation: counts.window.utilisation(span),
            requests_per_second: as_float(counts.window.requests()) / span,
            connections: counts.connections,
            units,
        }
    }

    /// Everything that goes over the line from now on.
    pub fn listen(&self) -> broadcast::Receiver<Captured> {
        self.tap.subscribe()
    }

    /// Takes note of an opened port.
    pub fn opened(&self) {
        let mut counts = self.lock();
        counts.connections = counts.connections.saturating_add(1);
    }

    /// Takes note of bytes; costs next to nothing while nobody listens.
    pub fn bytes(&self, direction: Direction, bytes: &[u8]) {
        if self.tap.receiver_count() > 0 {
            let piece = Captured {
                at: Instant::now(),
                direction,
                bytes: bytes.into(),
            };
            // The last listener may have gone this instant.
            drop(self.tap.send(piece));
        }
    }

    /// Takes note of a request that ended.
    pub fn ended(&self, exchange: &Exchange) {
        let mut counts = self.lock();
        let since = counts.since;
        counts.window.add(since, exchange.started, exchange.ended);
        let window = counts.windows.entry(exchange.unit).or_default();
        window.add(since, exchange.started, exchange.ended);
        counts.units.entry(exchange.unit).or_default().add(exchange);
        for unit in &exchange.noticed.late {
            counts.units.entry(*unit).or_default().late += 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // Counts are good whatever happened to whoever held them.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UnitCounts {
    fn add(&mut self, exchange: &Exchange) {
        self.requests += 1;
        *match exchange.how {
            Ended::Answered => &mut self.answers,
            Ended::Refused => &mut self.exceptions,
            Ended::TimedOut => &mut self.timeouts,
            Ended::Garbled => &mut self.garbled,
            Ended::Lost => &mut self.lost,
        } += 1;
        self.foreign += exchange.noticed.foreign;
        self.checksum_errors += exchange.noticed.checksum;
        self.bytes_sent += u64::try_from(exchange.sent).unwrap_or(0);
        self.bytes_received += u64::try_from(exchange.received).unwrap_or(0);
        let heard = matches!(exchange.how, Ended::Answered | Ended::Refused);
        if let Some(turnaround) = exchange.turnaround.filter(|_| heard) {
            let ms = turnaround.as_secs_f64() * 1_000.0;
            let count = as_float(self.answers + self.exceptions);
            self.turnaround_min_ms = if count <= 1.0 {
                ms
            } else {
                self.turnaround_min_ms.min(ms)
            };
            self.turnaround_max_ms = self.turnaround_max_ms.max(ms);
            self.turnaround_mean_ms += (ms - self.turnaround_mean_ms) / count;
        }
    }
}

/// Time spent and requests made in each of the last seconds.
#[derive(Debug)]
struct Window {
    slots: [(Duration, u64); WINDOW_SECONDS],
    /// Seconds since the beginning at which the newest slot begins.
    newest: u64,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            slots: [(Duration::ZERO, 0); WINDOW_SECONDS],
            newest: 0,
        }
    }
}

impl Window {
    /// Empties the slots of the seconds that have begun since.
    fn forward(&mut self, since: Instant, now: Instant) {
        let second = now.saturating_duration_since(since).as_secs();
        let passed = second.saturating_sub(self.newest);
        let passed = usize::try_from(passed).unwrap_or(WINDOW_SECONDS);
        for step in 1..=passed.min(WINDOW_SECONDS) {
            let step = u64::try_from(step).unwrap_or(0);
            let second = second.saturating_sub(u64::try_from(passed).unwrap_or(0)) + step;
            if let Some(slot) = self.slot(second) {
                *slot = (Duration::ZERO, 0);
            }
        }
        self.newest = self.newest.max(second);
    }

    /// A request that took from `started` to `ended`, each second given its part.
    fn add(&mut self, since: Instant, started: Instant, ended: Instant) {
        self.forward(since, ended);
        let mut from = started.saturating_duration_since(since);
        let to = ended.saturating_duration_since(since);
        if let Some((_, requests)) = self.slot(to.as_secs()) {
            *requests += 1;
        }
        let window = Duration::from_secs(WINDOW_SECONDS.try_into().unwrap_or(1));
        from = from.max((to + Duration::from_secs(1)).saturating_sub(window));
        while from < to {
            let end = Duration::from_secs(from.as_secs() + 1).min(to);
            if let Some((busy, _)) = self.slot(from.as_secs()) {
                *busy += end.saturating_sub(from);
            }
            from = end;
        }
    }

    fn slot(&mut self, second: u64) -> Option<&mut (Duration, u64)> {
        let count = u64::try_from(WINDOW_SECONDS).unwrap_or(1);
        let at = usize::try_from(second % count).unwrap_or(0);
        self.slots.get_mut(at)
    }

    fn busy(&self) -> Duration {
        self.slots.iter().map(|(busy, _)| *busy).sum()
    }

    /// Share of the last `span` seconds in which a request was under way.
    fn utilisation(&self, span: f64) -> f64 {
        (self.busy().as_secs_f64() / span).min(1.0)
    }

    fn requests(&self) -> u64 {
        self.slots.iter().map(|(_, requests)| *requests).sum()
    }
}

fn window_seconds() -> f64 {
    as_float(u64::try_from(WINDOW_SECONDS).unwrap_or(1))
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "counts for people: beyond 2^53 the nearest float is good enough"
)]
const fn as_float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(at: Instant, ms: u64, how: Ended) -> Exchange {
        Exchange {
            unit: 7,
            started: at,
            ended: at + Duration::from_millis(ms),
            turnaround: Some(Duration::from_millis(ms / 2)),
            how,
            received: 10,
            sent: 8,
            noticed: Noticed {
                late: vec![7],
                foreign: 0,
                checksum: 2,
            },
        }
    }

    #[test]
    fn each_unit_has_its_counts_and_its_turnaround() {
        let monitor = Monitor::default();
        let at = Instant::now();
        monitor.ended(&exchange(at, 20, Ended::Answered));
        monitor.ended(&exchange(at, 60, Ended::Refused));
        monitor.ended(&exchange(at, 500, Ended::TimedOut));
        let report = monitor.report();
        let unit = report.units[&7];
        assert_eq!((unit.requests, unit.answers, unit.exceptions), (3, 1, 1));
        assert_eq!((unit.timeouts, unit.late, unit.checksum_errors), (1, 3, 6));
        assert_eq!((unit.bytes_sent, unit.bytes_received), (24, 30));
        assert_eq!(
            (unit.turnaround_min_ms, unit.turnaround_max_ms),
            (10.0, 30.0)
        );
        assert!((unit.turnaround_mean_ms - 20.0).abs() < 1e-9);
        assert!(unit.utilisation > 0.4 && unit.utilisation <= report.utilisation);
        assert!((unit.requests_per_second - report.requests_per_second).abs() < 1e-9);
    }

    #[test]
    fn the_window_forgets_and_gives_each_second_its_part() {
        let since = Instant::now();
        let second = |s: f64| since + Duration::from_secs_f64(s);
        let mut window = Window::default();
        window.add(since, second(0.5), second(2.5));
        assert_eq!(window.busy(), Duration::from_secs(2));
        window.add(since, second(30.0), second(31.0));
        assert_eq!(
            (window.busy(), window.requests()),
            (Duration::from_secs(3), 2)
        );
        // At 61.2 the seconds 0 and 1 are over.
        window.forward(since, second(61.2));
        assert_eq!(window.busy(), Duration::from_millis(1_500));
        window.forward(since, second(10_000.0));
        assert_eq!((window.busy(), window.requests()), (Duration::ZERO, 0));
        // Longer than the window: no more than the window.
        window.add(since, second(10_000.0), second(10_100.0));
        assert!(
            window.busy() <= Duration::from_secs(60),
            "{:?}",
            window.busy()
        );
    }

    #[tokio::test]
    async fn a_listener_gets_what_goes_over_the_line_and_is_told_what_it_missed() {
        let monitor = Monitor::default();
        monitor.bytes(Direction::Sent, b"nobody listens");
        let mut listener = monitor.listen();
        monitor.bytes(Direction::Received, b"abc");
        let piece = listener.recv().await.unwrap();
        assert_eq!(
            (piece.direction, &*piece.bytes),
            (Direction::Received, &b"abc"[..])
        );
        for _ in 0..CAPTURE_MAX + 5 {
            monitor.bytes(Direction::Sent, b"x");
        }
        let missed = broadcast::error::RecvError::Lagged(5);
        assert_eq!(listener.recv().await.unwrap_err(), missed);
    }
}
