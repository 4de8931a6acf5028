//! The task of one port of instruments that are asked: one line, the groups of all its devices in
//! turn. Never ends because a device fails, never lets a dead one take its neighbours' time. A device
//! that speaks by itself is `listener`'s.

use super::ask_error::AskError;
use super::config::{DeviceConfig, Exchange, GroupConfig, PortConfig};
use super::escape::shown;
use super::frame::{End, Framer, Shape};
use super::link::{Asking, Link};
use super::listener::Listener;
use super::teller::Teller;
use super::value::Point;
use crate::drivers::breaker::{Breaker, ProbeBudget, patience};
use crate::drivers::bus::Monitor;
use crate::drivers::schedule::{Place, Schedule};
use crate::drivers::{
    PlannedRequest, PlannedSensor, PortDriver, PortHandle, Sink, WriteError, WriteJob,
};
use crate::pipeline::{GroupSpec, RawCell, RawPoll};
use protocol::reading::Cause;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep_until;

/// A port of instruments that is ready to run.
#[derive(Debug)]
pub struct InstrumentPort {
    config: PortConfig,
    handle: PortHandle,
    writes: mpsc::Receiver<WriteJob>,
    monitor: Monitor,
}

impl InstrumentPort {
    /// From what `config` read.
    pub fn new(config: PortConfig) -> Self {
        let devices = config.devices.iter().map(|device| device.name.clone());
        let monitor = Monitor::default();
        let (handle, writes) = PortHandle::new(devices.collect(), monitor.clone());
        Self {
            config,
            handle,
            writes,
            monitor,
        }
    }
}

impl PortDriver for InstrumentPort {
    fn groups(&self) -> Vec<GroupSpec> {
        let groups = self.config.devices.iter().flat_map(|device| &device.groups);
        groups.map(|group| group.spec.clone()).collect()
    }

    fn requests(&self) -> Vec<PlannedRequest> {
        let asked = self.config.devices.iter().filter(|device| !device.speaks);
        asked.flat_map(planned).collect()
    }

    fn address(&self) -> Option<crate::transport::Address> {
        Some(self.config.link.address.clone())
    }

    fn handle(&self) -> Option<PortHandle> {
        Some(self.handle.clone())
    }

    fn run(
        self: Box<Self>,
        sink: Sink,
        mut stop: watch::Receiver<bool>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let mut writes = self.writes;
            tokio::select! {
                () = serve(self.config, sink, self.monitor) => {}
                () = refuse(&mut writes) => {}
                // The sender being gone means the same: nobody wants readings any more.
                _ = stop.wait_for(|stop| *stop) => {}
            }
        })
    }
}

async fn serve(config: PortConfig, sink: Sink, monitor: Monitor) {
    if let [device] = config.devices.as_slice()
        && device.speaks
    {
        let link = Link::new(config.link.clone(), monitor.clone());
        return Listener::new(device, link, sink, monitor).serve().await;
    }
    Worker::new(&config, sink, monitor).serve().await;
}

/// Answers whoever wants to write; never ends.
async fn refuse(writes: &mut mpsc::Receiver<WriteJob>) {
    while let Some(job) = writes.recv().await {
        let words = "an instrument with a line protocol of its own is only read.".to_owned();
        job.end(Err(WriteError::Refused { words }));
    }
    std::future::pending::<()>().await;
}

/// What one round of each group asks for.
fn planned(device: &DeviceConfig) -> Vec<PlannedRequest> {
    let mut planned = Vec::new();
    for group in &device.groups {
        for exchange in &group.exchanges {
            let sensors = exchange.kinds.iter().flat_map(|kind| &kind.sensors);
            let sensor = |at: &usize| {
                Some(PlannedSensor {
                    name: group.spec.sensors.get(*at)?.name.clone(),
                    place: group.points.get(*at)?.to_string(),
                })
            };
            planned.push(PlannedRequest {
                device: device.name.clone(),
                period: group.spec.period,
                words: words(&device.shape, exchange),
                sensors: sensors.filter_map(sensor).collect(),
                bytes: exchange.request.len() + answer_min(&device.shape, exchange, &group.points),
            });
        }
    }
    planned
}

fn words(shape: &Shape, exchange: &Exchange) -> String {
    let many = match exchange.kinds.len() {
        1 => String::new(),
        count => format!("{count} frames, each "),
    };
    let end = match &shape.end {
        End::Terminator(terminator) => format!("up to {}", shown(terminator)),
        End::Length(length) => format!("{length} bytes"),
    };
    format!("{}, answer {many}{end}", shown(&exchange.request))
}

/// Shortest answer, in bytes: how long one of text is nobody knows before.
fn answer_min(shape: &Shape, exchange: &Exchange, points: &[Point]) -> usize {
    let checksum = shape.checksum.as_ref();
    let around = checksum.map_or(0, |sum| sum.length() + sum.mark.len());
    let frame = |sensors: &[usize]| match &shape.end {
        End::Length(length) => *length,
        End::Terminator(terminator) => {
            let points = sensors.iter().filter_map(|at| points.get(*at));
            points.map(Point::frame_min).max().unwrap_or(0) + terminator.len() + around
        }
    };
    exchange.kinds.iter().map(|kind| frame(&kind.sensors)).sum()
}

#[derive(Debug)]
struct Worker {
    name: String,
    link: Link,
    sink: Sink,
    devices: Vec<Device>,
    /// All groups, with the number of their device.
    groups: Vec<(usize, GroupConfig)>,
    schedule: Schedule,
    budget: ProbeBudget,
}

/// What is known of one device.
#[derive(Debug)]
struct Device {
    timeout: Duration,
    framer: Framer,
    breaker: Breaker,
    /// The longest that an answer of it has taken to begin.
    slowest: Option<Duration>,
    /// Whether it has ever answered.
    known: bool,
    /// Why its last poll brought nothing; `None` when it did.
    failure: Option<AskError>,
    teller: Teller,
}

impl Worker {
    fn new(config: &PortConfig, sink: Sink, monitor: Monitor) -> Self {
        let numbered = config.devices.iter().enumerate();
        let groups = numbered.clone().flat_map(|(number, device)| {
            let groups = device.groups.iter().cloned();
            groups.map(move |group| (number, group))
        });
        let groups: Vec<(usize, GroupConfig)> = groups.collect();
        let device = |(number, device): (usize, &DeviceConfig)| Device {
            timeout: device.timeout,
            framer: Framer::new(device.shape.clone()),
            breaker: Breaker::new(super::link::unit(number)),
            slowest: None,
            known: false,
            failure: None,
            teller: Teller::new(device.name.clone()),
        };
        let periods = groups.iter().map(|(_, group)| group.spec.period);
        Self {
            name: config.name.clone(),
            link: Link::new(config.link.clone(), monitor),
            sink,
            devices: numbered.map(device).collect(),
            schedule: Schedule::new(periods, Instant::now()),
            groups,
            budget: ProbeBudget::default(),
        }
    }

    async fn serve(&mut self) {
        while let Some(wake_at) = self.schedule.wake_at() {
            sleep_until(wake_at.into()).await;
            let Some(at) = self.schedule.pick(Instant::now(), |at| self.place(at)) else {
                continue;
            };
            let wasted = self.turn(at).await;
            self.schedule.done(at, Instant::now(), wasted);
        }
        tracing::warn!(port = %self.name, "no sensors are configured on this port: it is not polled");
        std::future::pending::<()>().await;
    }

    fn place(&self, group: usize) -> Place {
        let device = self
            .groups
            .get(group)
            .and_then(|(device, _)| self.devices.get(*device));
        match device {
            Some(device) if !device.is_live() => Place::Behind {
                since: device.breaker.until(),
            },
            _ => Place::Normal,
        }
    }

    /// Serves one group that is due: asks, or says at once what it knows. Answers whether time was
    /// taken and nothing heard.
    async fn turn(&mut self, at: usize) -> bool {
        let Some((number, _)) = self.groups.get(at) else {
            return false;
        };
        let number = *number;
        let now = Instant::now();
        let neighbour_due = self.neighbour_due(number);
        let (Some((_, group)), Some(device)) = (self.groups.get(at), self.devices.get_mut(number))
        else {
            return false;
        };
        let patience = neighbour_due.and_then(|due| {
            let left = due.saturating_duration_since(now);
            patience(device.breaker.failures(), device.slowest, left)
        });
        let patience = patience.filter(|patience| *patience < device.timeout);
        let was_open = device.breaker.is_open();
        let cost = patience.unwrap_or(device.timeout);
        if device.breaker.blocked(now)
            || (was_open && neighbour_due.is_some() && !self.budget.allows(now, cost))
        {
            let failure = device.failure.as_ref();
            let cause = failure.map_or(Cause::NoAnswer, AskError::cause);
            let cells = vec![RawCell::Missing(cause); group.points.len()];
            self.hand_on(at, cells);
            return false;
        }
        let cells = device.poll(&mut self.link, (number, group), patience).await;
        let after = Instant::now();
        if was_open && device.breaker.is_open() {
            let cost = after.saturating_duration_since(now);
            self.budget.spend(after, cost);
        }
        let heard = device.failure.is_none();
        let report = device.report(&self.sink);
        self.hand_on(at, cells);
        if let Some(report) = report {
            self.sink.device(report).await;
        }
        !heard
    }

    /// When the first poll is due of the other devices that answer; `None` when there is none.
    fn neighbour_due(&self, number: usize) -> Option<Instant> {
        let is_live = |device: usize| self.devices.get(device).is_some_and(Device::is_live);
        self.schedule.next_due(|at| {
            let device = self.groups.get(at).map(|(device, _)| *device);
            device.is_some_and(|device| device != number && is_live(device))
        })
    }

    fn hand_on(&self, group: usize, cells: Vec<RawCell>) {
        // A full queue is counted by the sink and told by the agent.
        let (time, clock) = self.sink.stamp();
        self.sink.poll(RawPoll {
            group,
            time,
            clock,
            cells,
        });
    }
}

impl Device {
    /// Asks for all that a group needs; after the first request that brings nothing no further one.
    async fn poll(
        &mut self,
        link: &mut Link,
        (number, group): (usize, &GroupConfig),
        patience: Option<Duration>,
    ) -> Vec<RawCell> {
        let mut cells = vec![RawCell::Missing(Cause::NoAnswer); group.points.len()];
        self.failure = None;
        let mut trouble = None;
        for exchange in &group.exchanges {
            let asking = Asking {
                device: number,
                exchange,
                framer: &mut self.framer,
                timeout: self.timeout,
                patience,
            };
            let heard = match link.ask(asking).await {
                Ok(heard) => heard,
                Err(error) => {
                    let sensors = exchange.kinds.iter().flat_map(|kind| &kind.sensors);
                    fill(&mut cells, sensors, error.cause());
                    self.failure = Some(error);
                    break;
                }
            };
            self.slowest = self.slowest.max(Some(heard.turnaround));
            for (kind, frame) in exchange.kinds.iter().zip(heard.frames) {
                let Some(frame) = frame else {
                    let prefix = shown(&kind.prefix);
                    trouble.get_or_insert(format!(
                        "No frame that begins with {prefix} came in answer to {}; check prefix and request in \
                         its manual.",
                        shown(&exchange.request)
                    ));
                    continue;
                };
                let wrong = read(&mut cells, group, (&kind.sensors, &frame));
                trouble = trouble.or(wrong);
            }
        }
        self.note(trouble);
        cells
    }

    /// Takes note of how a poll ended.
    fn note(&mut self, trouble: Option<String>) {
        if let Some(failure) = &self.failure {
            if matches!(failure, AskError::Misfit { .. }) {
                self.teller.misfit(failure.words());
            }
            // Without a connection nothing is known about the device; the link has its own back-off.
            if !matches!(failure, AskError::NoConnection { .. }) {
                self.breaker.failed(Instant::now());
            }
            return;
        }
        self.known = true;
        self.breaker.answered();
        match trouble {
            Some(words) => self.teller.misfit(words),
            None => self.teller.good(),
        }
    }

    /// What is to be told of it. One failure alone, with a connection, may be an accident.
    fn report(&mut self, sink: &Sink) -> Option<crate::drivers::DeviceReport> {
        match &self.failure {
            None => self.teller.living("It answers."),
            Some(failure) => {
                let no_connection = matches!(failure, AskError::NoConnection { .. });
                if self.breaker.is_open() || no_connection {
                    self.teller.failing(failure.state(), failure.words());
                } else {
                    return None;
                }
            }
        }
        self.teller.report(sink.stamp().0)
    }

    /// Whether it answered when it was last asked.
    const fn is_live(&self) -> bool {
        self.known && self.failure.is_none()
    }
}

/// Reads the sensors of one frame; what does not fit is told in words.
pub(super) fn read(
    cells: &mut [RawCell],
    group: &GroupConfig,
    (sensors, frame): (&[usize], &[u8]),
) -> Option<String> {
    let mut trouble = None;
    for at in sensors {
        let (Some(cell), Some(point)) = (cells.get_mut(*at), group.points.get(*at)) else {
            continue;
        };
        *cell = point.cell(frame).unwrap_or_else(|error| {
            let name = group
                .spec
                .sensors
                .get(*at)
                .map_or("", |sensor| &sensor.name);
            trouble.get_or_insert(format!(
                "Sensor \"{name}\": {error}; check its place and type in the manual."
            ));
            RawCell::Missing(Cause::BadAnswer)
        });
    }
    trouble
}

fn fill<'a>(cells: &mut [RawCell], sensors: impl Iterator<Item = &'a usize>, cause: Cause) {
    for at in sensors {
        if let Some(cell) = cells.get_mut(*at) {
            *cell = RawCell::Missing(cause);
        }
    }
}
