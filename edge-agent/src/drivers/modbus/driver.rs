//! The task of one Modbus port: one line, the groups of all its devices in turn.
//! Never ends because a device fails, never lets a dead unit take its neighbours' time.

use super::address::Address;
use super::breaker::{Breaker, ProbeBudget, patience};
use super::bus_device::BusGroup;
use super::config::{DeviceConfig, GroupConfig, Point, PortConfig, Source};
use super::frame::Framing;
use super::group::{Asking, Group, Known, Outcome};
use super::link::{Link, RequestError};
use super::plan::{Block, Item, plan};
use super::schedule::{Place, Schedule};
use super::write::Writes;
use crate::drivers::bus::Monitor;
use crate::drivers::{
    DeviceReport, DeviceState, PlannedRequest, PlannedSensor, PortDriver, PortHandle, Sink,
    WriteJob,
};
use crate::pipeline::{GroupSpec, RawCell, RawPoll};
use protocol::reading::Cause;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep_until;

/// A Modbus port that is ready to run.
#[derive(Debug)]
pub struct ModbusPort {
    config: PortConfig,
    handle: PortHandle,
    writes: mpsc::Receiver<WriteJob>,
    monitor: Monitor,
}

impl ModbusPort {
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

impl PortDriver for ModbusPort {
    fn groups(&self) -> Vec<GroupSpec> {
        let groups = self.config.devices.iter().flat_map(|device| &device.groups);
        groups.map(|group| group.spec.clone()).collect()
    }

    fn requests(&self) -> Vec<PlannedRequest> {
        let devices = self.config.devices.iter();
        let groups =
            devices.flat_map(|device| device.groups.iter().map(move |group| (device, group)));
        groups
            .flat_map(|(device, group)| requests(device, group, self.config.link.framing))
            .collect()
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
            let writes = Writes::new(self.writes, &self.config.devices);
            let mut worker = Worker::new(&self.config, sink, writes, self.monitor);
            tokio::select! {
                () = worker.serve() => {}
                // The sender being gone means the same: nobody wants readings any more.
                _ = stop.wait_for(|stop| *stop) => {}
            }
        })
    }
}

fn bus_devices(config: &PortConfig) -> Vec<String> {
    let devices = config.devices.iter();
    let buses = devices.filter(|device| device.source == Source::Bus);
    buses.map(|device| device.name.clone()).collect()
}

/// What one round of a group asks for.
fn requests(device: &DeviceConfig, group: &GroupConfig, framing: Framing) -> Vec<PlannedRequest> {
    let Some(unit) = device.unit() else {
        return Vec::new();
    };
    let items: Vec<Item> = group.points.iter().map(Point::item).collect();
    let request = |block: Block| {
        let sensor = |at: &usize| {
            Some(PlannedSensor {
                name: group.spec.sensors.get(*at)?.name.clone(),
                place: group.points.get(*at)?.to_string(),
            })
        };
        let first = Address {
            table: block.table,
            offset: block.start,
        };
        let many = if block.count == 1 { "" } else { "s" };
        PlannedRequest {
            device: device.name.clone(),
            period: group.spec.period,
            words: format!(
                "unit {unit}: {} {}{many} from {first}",
                block.count, block.table
            ),
            sensors: block.items.iter().filter_map(sensor).collect(),
            bytes: block.wire_bytes(framing),
        }
    };
    plan(&items, device.limits)
        .into_iter()
        .map(request)
        .collect()
}

#[derive(Debug)]
struct Worker {
    name: String,
    link: Link,
    writes: Writes,
    sink: Sink,
    timeout: Duration,
    retries: u32,
    units: BTreeMap<u8, Unit>,
    groups: Vec<Group>,
    /// Groups that are figures of the port itself.
    buses: BTreeMap<usize, BusGroup>,
    /// Names of the devices that they belong to.
    bus_devices: Vec<String>,
    schedule: Schedule,
    budget: ProbeBudget,
}

/// What is known of one unit on the port.
#[derive(Debug)]
struct Unit {
    breaker: Breaker,
    /// Whether it has ever answered.
    known: bool,
    /// The longest that an answer of it has taken to begin.
    slowest: Option<Duration>,
    /// Why its last poll brought nothing; `None` when it did.
    failure: Option<RequestError>,
    /// Those that are configured on it, mostly one.
    devices: Vec<Device>,
}

#[derive(Debug)]
struct Device {
    name: String,
    groups: Range<usize>,
    told: Option<(DeviceState, Cow<'static, str>)>,
}

impl Worker {
    fn new(config: &PortConfig, sink: Sink, writes: Writes, monitor: Monitor) -> Self {
        let mut groups = Vec::new();
        let mut units = BTreeMap::new();
        let mut buses = BTreeMap::new();
        let known = Known::of(&sink);
        for device in &config.devices {
            let first = groups.len();
            groups.extend(
                device
                    .groups
                    .iter()
                    .map(|group| Group::new(device, group, known)),
            );
            let Some(number) = device.unit() else {
                let figures = device.groups.iter().map(|group| group.measures.clone());
                buses.extend((first..).zip(figures.map(BusGroup::new)));
                continue;
            };
            let unit = units.entry(number).or_insert_with(|| Unit::new(number));
            let (name, groups) = (device.name.clone(), first..groups.len());
            unit.devices.push(Device {
                name,
                groups,
                told: None,
            });
        }
        let configured = config.devices.iter().flat_map(|device| &device.groups);
        let periods = configured.map(|group| group.spec.period);
        Self {
            name: config.name.clone(),
            link: Link::new(config.link.clone()).with_monitor(monitor),
            buses,
            bus_devices: bus_devices(config),
            writes,
            sink,
            timeout: config.link.timeout,
            retries: config.retries,
            units,
            groups,
            schedule: Schedule::new(periods, Instant::now()),
            budget: ProbeBudget::default(),
        }
    }

    async fn serve(&mut self) {
        for device in std::mem::take(&mut self.bus_devices) {
            let report = DeviceReport {
                device,
                time: self.sink.stamp().0,
                state: DeviceState::Ok,
                words: "It counts what happens on the port.".to_owned(),
            };
            self.sink.device(report).await;
        }
        while let Some(wake_at) = self.schedule.wake_at() {
            tokio::select! {
                () = sleep_until(wake_at.into()) => {}
                job = self.writes.wait() => {
                    self.writes.handle(job, &mut self.link).await;
                    continue;
                }
            }
            self.writes.serve(&mut self.link).await;
            let Some(at) = self.schedule.pick(Instant::now(), |at| self.place(at)) else {
                continue;
            };
            let wasted = self.turn(at).await;
            self.schedule.done(at, Instant::now(), wasted);
        }
        tracing::warn!(port = %self.name, "no sensors are configured on this port: it is not polled");
        loop {
            let job = self.writes.wait().await;
            self.writes.handle(job, &mut self.link).await;
        }
    }

    fn place(&self, group: usize) -> Place {
        if self.buses.contains_key(&group) {
            return Place::Normal;
        }
        match self
            .groups
            .get(group)
            .and_then(|group| self.units.get(&group.unit()))
        {
            Some(unit) if !unit.is_live() => Place::Behind {
                since: unit.breaker.until(),
            },
            _ => Place::Normal,
        }
    }

    /// Serves one group that is due: asks, or says at once what it knows. Answers whether time was
    /// taken and nothing heard.
    async fn turn(&mut self, at: usize) -> bool {
        if self.figures(at) {
            return false;
        }
        let Some(group) = self.groups.get(at) else {
            return false;
        };
        let number = group.unit();
        let now = Instant::now();
        let neighbour_due = self.neighbour_due(number);
        let (Some(group), Some(unit)) = (self.groups.get_mut(at), self.units.get_mut(&number))
        else {
            return false;
        };
        let patience = neighbour_due.and_then(|due| {
            let left = due.saturating_duration_since(now);
            patience(unit.breaker.failures(), unit.slowest, left)
        });
        let patience = patience.filter(|patience| *patience < self.timeout);
        let was_open = unit.breaker.is_open();
        let resting = self.link.resting(number).is_some_and(|until| now < until);
        if unit.breaker.blocked(now)
            || resting
            || (was_open
                && neighbour_due.is_some()
                && !self.budget.allows(now, patience.unwrap_or(self.timeout)))
        {
            let cells = group.missing(unit.cause());
            self.hand_on(at, cells);
            return false;
        }
        let unit_alive = unit.is_live();
        let retries = if unit.breaker.failures() == 0 {
            self.retries
        } else {
            0
        };
        self.link.be_patient(patience);
        let outcome = group
            .poll(Asking {
                link: &mut self.link,
                writes: &mut self.writes,
                known: Known::of(&self.sink),
                retries,
                unit_alive,
            })
            .await;
        let Outcome {
            cells,
            heard,
            failure,
        } = outcome;
        let after = Instant::now();
        unit.note(heard, failure, after);
        self.writes.note(number, unit.breaker.is_open());
        if heard {
            unit.slowest = unit.slowest.max(self.link.turnaround());
        }
        if was_open && unit.breaker.is_open() {
            let cost = after.saturating_duration_since(now);
            self.budget.spend(after, cost);
        }
        self.hand_on(at, cells);
        self.report(number).await;
        !heard
    }

    /// A poll of figures of the port itself; `false` when the group is none.
    fn figures(&mut self, at: usize) -> bool {
        let Some(bus) = self.buses.get_mut(&at) else {
            return false;
        };
        let cells = bus.poll(self.link.monitor().report());
        self.hand_on(at, cells);
        true
    }

    /// When the first poll is due of the other units that answer; `None` when there is none.
    fn neighbour_due(&self, number: u8) -> Option<Instant> {
        let unit = |group: usize| Some(self.groups.get(group)?.unit());
        let is_live = |number: u8| self.units.get(&number).is_some_and(Unit::is_live);
        self.schedule
            .next_due(|at| unit(at).is_some_and(|other| other != number && is_live(other)))
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

    /// Tells the state of every device of a unit where it differs from what was told last.
    async fn report(&mut self, number: u8) {
        let Some(unit) = self.units.get_mut(&number) else {
            return;
        };
        let (failure, sure) = (unit.failure.as_ref(), unit.is_sure());
        for device in &mut unit.devices {
            let state = match failure {
                Some(failure) if sure => silence(failure),
                Some(_) => continue,
                None => health(self.groups.get(device.groups.clone()).unwrap_or_default()),
            };
            if device.told.as_ref() == Some(&state) {
                continue;
            }
            let report = DeviceReport {
                device: device.name.clone(),
                time: self.sink.stamp().0,
                state: state.0,
                words: state.1.clone().into_owned(),
            };
            device.told = Some(state);
            self.sink.device(report).await;
        }
    }
}

impl Unit {
    const fn new(number: u8) -> Self {
        Self {
            breaker: Breaker::new(number),
            known: false,
            slowest: None,
            failure: None,
            devices: Vec::new(),
        }
    }

    fn note(&mut self, heard: bool, failure: Option<RequestError>, now: Instant) {
        if heard {
            self.known = true;
            self.breaker.answered();
            self.failure = None;
            return;
        }
        // Without a connection nothing is known about the unit; the link has its own back-off.
        if !matches!(failure, Some(RequestError::NoConnection { .. }) | None) {
            self.breaker.failed(now);
        }
        if failure.is_some() {
            self.failure = failure;
        }
    }

    /// What the cells of a poll say in which it was not asked.
    fn cause(&self) -> Cause {
        let failure = self.failure.as_ref();
        failure.map_or(Cause::NoAnswer, RequestError::cause)
    }

    /// Whether it answered when it was last asked.
    const fn is_live(&self) -> bool {
        self.known && self.failure.is_none()
    }

    /// Whether its failure is told: one alone, with a connection, may be an accident.
    fn is_sure(&self) -> bool {
        let no_connection = matches!(self.failure, Some(RequestError::NoConnection { .. }));
        self.breaker.is_open() || no_connection
    }
}

/// The state of a device whose unit brings nothing.
fn silence(failure: &RequestError) -> (DeviceState, Cow<'static, str>) {
    let state = match failure {
        RequestError::Garbled { .. } | RequestError::WrongLength { .. } => DeviceState::Error,
        _ => DeviceState::Silent,
    };
    (state, failure.words().into())
}

/// The state of a device whose unit answers.
fn health(groups: &[Group]) -> (DeviceState, Cow<'static, str>) {
    let troubles: Vec<String> = groups.iter().filter_map(Group::trouble).collect();
    if troubles.is_empty() {
        (DeviceState::Ok, "It answers.".into())
    } else {
        (DeviceState::Error, troubles.join(" ").into())
    }
}
