//! What others may ask of a port while it runs: to write a value, what its bus is like, every byte that
//! goes over it. Never touches the line itself: the port's own task does, between two requests.

use super::bus::{BusReport, Captured, Monitor};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::{broadcast, mpsc, oneshot};

/// Values that wait to be written through one port; when it is full, a further one is refused.
const WRITES_MAX: usize = 16;
/// A value that could not be written for so long is not written any more: who asked for it has
/// gone on.
const WRITE_WAIT_MAX: Duration = Duration::from_secs(10);

/// A value that a person wants to have written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteRequest {
    /// Device as configured.
    pub device: String,
    /// Where.
    pub place: WritePlace,
    /// As written by a person: `21.5`, `0x1F4`, `on`. Of a sensor in its unit, of an address as it
    /// stands in the device.
    pub value: String,
}

/// Where a value goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WritePlace {
    /// A sensor of the device, by name: its type, order, scale and range hold.
    Sensor(String),
    /// An address in the words of the protocol, with type and order: `hr:100:f32:CDAB`.
    Address(String),
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Written {
    /// Device as configured.
    pub device: String,
    /// Where and as what, in the words of the protocol: `hr:100 f32 CDAB`.
    pub place: String,
    /// The value before, as it stood in the device; `None` when it could not be read.
    pub before: Option<String>,
    /// The value that was written, as it stands in the device.
    pub written: String,
    /// The value read back after.
    pub after: String,
    /// From the request to the end of reading back.
    pub milliseconds: f64,
}

/// Why a value was not written, or may not have been.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// No port that runs has such a device.
    #[error("there is no device \"{device}\" that can be written to")]
    NoDevice {
        /// As asked.
        device: String,
    },
    /// The device has no such sensor.
    #[error("device \"{device}\" has no sensor \"{sensor}\"")]
    NoSensor {
        /// The device.
        device: String,
        /// As asked.
        sensor: String,
    },
    /// Not an address of this protocol.
    #[error("\"{text}\" is not an address: {words}")]
    Address {
        /// As asked.
        text: String,
        /// What is wrong with it.
        words: String,
    },
    /// The configuration does not allow it.
    #[error("{place} of device \"{device}\" is not released for writing; {allowed}")]
    NotAllowed {
        /// The device.
        device: String,
        /// Where.
        place: String,
        /// What is, and how more is released.
        allowed: String,
    },
    /// The value does not fit.
    #[error("\"{value}\" cannot be written: {words}")]
    Value {
        /// As asked.
        value: String,
        /// Why.
        words: String,
    },
    /// Too many wait already.
    #[error("port \"{port}\" has {WRITES_MAX} values to write already; try again")]
    Full {
        /// The port.
        port: String,
    },
    /// It was not done in time, and will not be.
    #[error("the port did not come to it within 10 s; nothing was written. Try again")]
    TooLate,
    /// The unit is known to be silent.
    #[error("device \"{device}\" does not answer; nothing was written")]
    Silent {
        /// The device.
        device: String,
    },
    /// The device refused, or could not be reached: nothing was written.
    #[error("nothing was written: {words}")]
    Refused {
        /// Why, with what to do.
        words: String,
    },
    /// There was no answer to the write.
    #[error("nobody knows whether {place} was written: {words} Read it before trying again")]
    Unknown {
        /// Where.
        place: String,
        /// Why.
        words: String,
    },
    /// The device took it and has another value.
    #[error("{written} was written to {place}, and the device holds {after} now")]
    NotKept {
        /// Where.
        place: String,
        /// As it stood in the request.
        written: String,
        /// As read back.
        after: String,
    },
    /// The port was stopped meanwhile.
    #[error("the port was stopped before it said whether the value was written; read it")]
    Stopped,
}

/// One value on its way to the port's task.
#[derive(Debug)]
pub struct WriteJob {
    request: WriteRequest,
    begun: Instant,
    answer: oneshot::Sender<Result<Written, WriteError>>,
}

impl WriteJob {
    /// What is wanted; `None` when nobody waits for it any more: then it must not be done.
    pub fn request(&self) -> Option<&WriteRequest> {
        let is_late = self.begun.elapsed() > WRITE_WAIT_MAX;
        (!is_late && !self.answer.is_closed()).then_some(&self.request)
    }

    /// When it was asked for.
    pub const fn begun(&self) -> Instant {
        self.begun
    }

    /// Tells what came of it.
    pub fn end(self, result: Result<Written, WriteError>) {
        // Who asked may have gone: the port's log has it too.
        drop(self.answer.send(result));
    }
}

/// One port from outside.
#[derive(Clone, Debug)]
pub struct PortHandle {
    devices: Vec<String>,
    jobs: mpsc::Sender<WriteJob>,
    monitor: Monitor,
}

impl PortHandle {
    /// For a port with these devices; also the queue that its task serves.
    pub fn new(devices: Vec<String>, monitor: Monitor) -> (Self, mpsc::Receiver<WriteJob>) {
        let (jobs, queue) = mpsc::channel(WRITES_MAX);
        let handle = Self {
            devices,
            jobs,
            monitor,
        };
        (handle, queue)
    }

    async fn write(&self, port: &str, request: WriteRequest) -> Result<Written, WriteError> {
        let (answer, written) = oneshot::channel();
        let job = WriteJob {
            request,
            begun: Instant::now(),
            answer,
        };
        self.jobs.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => WriteError::Full {
                port: port.to_owned(),
            },
            mpsc::error::TrySendError::Closed(_) => WriteError::Stopped,
        })?;
        written.await.unwrap_or(Err(WriteError::Stopped))
    }
}

/// The ports that run, by name; a clone is the same.
#[derive(Clone, Debug, Default)]
pub struct PortHandles(Arc<RwLock<BTreeMap<String, PortHandle>>>);

impl PortHandles {
    /// A port runs, or runs anew.
    pub fn set(&self, port: &str, handle: PortHandle) {
        let mut ports = self.0.write().unwrap_or_else(PoisonError::into_inner);
        ports.insert(port.to_owned(), handle);
    }

    /// A port has ended.
    pub fn remove(&self, port: &str) {
        let mut ports = self.0.write().unwrap_or_else(PoisonError::into_inner);
        ports.remove(port);
    }

    /// Writes one value and reads it back.
    ///
    /// # Errors
    /// Why not, and whether it may have been written all the same.
    pub async fn write(&self, request: WriteRequest) -> Result<Written, WriteError> {
        let found = self
            .all()
            .into_iter()
            .find(|(_, handle)| handle.devices.contains(&request.device));
        match found {
            Some((port, handle)) => handle.write(&port, request).await,
            None => Err(WriteError::NoDevice {
                device: request.device,
            }),
        }
    }

    /// What the buses are like, by port.
    pub fn reports(&self) -> BTreeMap<String, BusReport> {
        let report = |(port, handle): (String, PortHandle)| (port, handle.monitor.report());
        self.all().into_iter().map(report).collect()
    }

    /// Everything that goes over a port from now on; `None` when no such port runs.
    pub fn listen(&self, port: &str) -> Option<broadcast::Receiver<Captured>> {
        let ports = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Some(ports.get(port)?.monitor.listen())
    }

    fn all(&self) -> BTreeMap<String, PortHandle> {
        let ports = self.0.read().unwrap_or_else(PoisonError::into_inner);
        ports.clone()
    }
}
