//! One folder per field protocol. A port (serial line, TCP endpoint, CAN interface, broker, CoAP
//! host) is an object with one owner task; its devices are polled or listened to by that task.
//! Never stores, never judges: a driver hands `RawPoll`s and device states into a bounded sink.

pub mod bus;
mod holes;
#[cfg(feature = "driver-modbus")]
pub mod modbus;
mod port_handle;

pub use holes::{HOLES_MAX, Hole, Holes};
pub use port_handle::{
    PortHandle, PortHandles, WriteError, WriteJob, WritePlace, WriteRequest, Written,
};

use crate::config::{DeviceConfig, PortConfig, suggestion};
use crate::pipeline::{GroupSpec, RawPoll};
use protocol::time::{ClockState, Timestamp};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// A port that is ready to run. Built from configuration by the protocol's own folder.
///
/// The shape fits protocols that ask (Modbus, serial instruments: the task keeps a schedule) and
/// those that are told (CAN, MQTT, CoAP observe: the task groups what comes in).
pub trait PortDriver: Send + 'static {
    /// The groups this port will deliver, in the order of `RawPoll::group`.
    fn groups(&self) -> Vec<GroupSpec>;

    /// The requests of one round of every group, for whoever wants to see what a configuration
    /// will do to a bus. Empty for a protocol that listens.
    fn requests(&self) -> Vec<PlannedRequest> {
        Vec::new()
    }

    /// Where its bytes go, for whoever looks whether that is there.
    fn address(&self) -> Option<crate::transport::Address> {
        None
    }

    /// How others reach the port while it runs; `None` when it has nothing to offer.
    fn handle(&self) -> Option<PortHandle> {
        None
    }

    /// Runs until `stop` turns true. A device that fails never ends this: it is reported.
    fn run(
        self: Box<Self>,
        sink: Sink,
        stop: watch::Receiver<bool>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// One request that a port will make again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedRequest {
    /// Device as configured.
    pub device: String,
    /// Time between two of them.
    pub period: Duration,
    /// What is asked for, in the words of the protocol.
    pub words: String,
    /// The sensors that it brings.
    pub sensors: Vec<PlannedSensor>,
    /// Bytes of request and answer together.
    pub bytes: usize,
}

/// A sensor of a planned request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedSensor {
    /// Name within its device.
    pub name: String,
    /// Where and how it is read, in the words of the protocol: `hr:0 f32 CDAB`.
    pub place: String,
}

/// The protocols of this build, as `protocol = "…"` names them.
pub const PROTOCOLS: &[&str] = &[
    #[cfg(feature = "driver-modbus")]
    "modbus",
];

/// Makes the driver of one port from its table and those of its devices (`devices` may be all of
/// the file). What is wrong is noted in the configuration's list of problems: whoever calls this
/// checks that list when all ports are made. `None` when nothing can be run.
#[cfg_attr(
    not(feature = "driver-modbus"),
    expect(unused_variables, reason = "a build without drivers reads no device")
)]
pub fn build(port: &PortConfig, devices: &[DeviceConfig]) -> Option<Box<dyn PortDriver>> {
    match port.protocol.as_str() {
        #[cfg(feature = "driver-modbus")]
        "modbus" => {
            let config = modbus::config::read(port, devices)?;
            Some(Box::new(modbus::driver::ModbusPort::new(config)))
        }
        other => {
            let advice = suggestion(other, PROTOCOLS.iter().copied());
            let words = format!("\"{other}\" is not a protocol of this build; {advice}");
            port.section.problem("protocol", &words);
            None
        }
    }
}

/// What a driver tells.
#[derive(Clone, Debug, PartialEq)]
pub enum FromDriver {
    /// One poll of one group.
    Poll(RawPoll),
    /// A device changed its state.
    Device(DeviceReport),
}

/// State of one device as its driver sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceReport {
    /// Device as configured.
    pub device: String,
    /// Since when.
    pub time: Timestamp,
    /// The state.
    pub state: DeviceState,
    /// In plain words, with what to do.
    pub words: String,
}

/// See `DeviceReport`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceState {
    /// Answers.
    Ok,
    /// Does not answer.
    Silent,
    /// Answers, but something is wrong (a register it does not have, a garbled frame).
    Error,
}

impl DeviceState {
    /// The word of the JSON interface.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Silent => "silent",
            Self::Error => "error",
        }
    }
}

/// Where a driver puts what it has. Bounded: when the queue is full the poll is dropped and
/// counted, so that a slow disk never delays the bus; the agent records the hole as a gap.
#[derive(Clone, Debug)]
pub struct Sink {
    queue: mpsc::Sender<FromDriver>,
    dropped: std::sync::Arc<std::sync::atomic::AtomicU64>,
    group_base: usize,
    stamp: fn() -> (Timestamp, ClockState),
    holes: Holes,
}

impl Sink {
    /// `group_base` is added to every `RawPoll::group`; `stamp` is the agent's clock.
    pub fn new(
        queue: mpsc::Sender<FromDriver>,
        dropped: std::sync::Arc<std::sync::atomic::AtomicU64>,
        group_base: usize,
        stamp: fn() -> (Timestamp, ClockState),
    ) -> Self {
        Self {
            queue,
            dropped,
            group_base,
            stamp,
            holes: Holes::default(),
        }
    }

    /// With what is known of registers that devices do not have.
    #[must_use]
    pub fn with_holes(mut self, holes: Holes) -> Self {
        self.holes = holes;
        self
    }

    /// What is known of registers that devices do not have, to read and to add to.
    pub const fn holes(&self) -> &Holes {
        &self.holes
    }

    /// The time to stamp a reading with, and the state of the clock that gave it.
    pub fn stamp(&self) -> (Timestamp, ClockState) {
        (self.stamp)()
    }

    /// Hands one poll on; `false` when the queue was full and it was dropped.
    pub fn poll(&self, mut poll: RawPoll) -> bool {
        poll.group += self.group_base;
        let sent = self.queue.try_send(FromDriver::Poll(poll)).is_ok();
        if !sent {
            self.dropped
                .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        sent
    }

    /// Tells a device's new state; waits for room, for a state must not be lost.
    pub async fn device(&self, report: DeviceReport) {
        if self.queue.send(FromDriver::Device(report)).await.is_err() {
            tracing::debug!("the agent is stopping: a device state was not taken");
        }
    }
}

#[cfg(test)]
mod tests;
