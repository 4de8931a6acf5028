//! A demonstration plant served over Modbus TCP, so that a gateway can be tried and rehearsed
//! without hardware. Never used by `run`; never imitates faults of a wire.

mod plant;
mod replay;
mod signal;

pub use plant::{Plant, REPLAY_UNIT, register_map};
pub use replay::{Replay, ReplayOptions, Speed};

use plant::Refusal;
use std::future::{Ready, ready};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_modbus::server::Service;
use tokio_modbus::server::tcp::{Server, accept_tcp_connection};
use tokio_modbus::{ExceptionCode, Request, Response, SlaveRequest};

/// Serves `plant` to any number of clients until `stop` turns true. The plant's time starts now.
///
/// # Errors
/// When no more connections can be accepted.
pub async fn serve(
    listener: TcpListener,
    plant: Plant,
    mut stop: watch::Receiver<bool>,
) -> Result<(), SimulateError> {
    let service = Arc::new(PlantService {
        plant,
        start: Instant::now(),
    });
    let on_connected = |stream: tokio::net::TcpStream, from| {
        let service = Arc::clone(&service);
        async move {
            stream.set_nodelay(true)?;
            accept_tcp_connection(stream, from, |_| Ok(Some(Arc::clone(&service))))
        }
    };
    let on_error = |error| tracing::debug!(%error, "a client of the demonstration plant is gone");
    let server = Server::new(listener);
    tokio::select! {
        ended = server.serve(&on_connected, on_error) => {
            ended.map_err(|source| SimulateError::Accept { source })
        }
        _ = stop.wait_for(|stop| *stop) => Ok(()),
    }
}

/// What the Modbus server asks for each request.
struct PlantService {
    plant: Plant,
    start: Instant,
}

impl Service for PlantService {
    type Request = SlaveRequest<'static>;
    type Response = Response;
    type Exception = ExceptionCode;
    type Future = Ready<Result<Response, ExceptionCode>>;

    fn call(&self, request: Self::Request) -> Self::Future {
        let (unit, at) = (request.slave, self.start.elapsed());
        let words = |start, count| self.plant.words(unit, start, count, at);
        let bits = |start, count| self.plant.bits(unit, start, count, at);
        ready(
            match request.request {
                Request::ReadHoldingRegisters(start, count) => {
                    words(start, count).map(Response::ReadHoldingRegisters)
                }
                Request::ReadInputRegisters(start, count) => {
                    words(start, count).map(Response::ReadInputRegisters)
                }
                Request::ReadCoils(start, count) => bits(start, count).map(Response::ReadCoils),
                Request::ReadDiscreteInputs(start, count) => {
                    bits(start, count).map(Response::ReadDiscreteInputs)
                }
                _ => Err(Refusal::Function),
            }
            .map_err(|refusal| match refusal {
                Refusal::Function => ExceptionCode::IllegalFunction,
                Refusal::Address => ExceptionCode::IllegalDataAddress,
                Refusal::Count => ExceptionCode::IllegalDataValue,
                Refusal::Unit => ExceptionCode::GatewayTargetDevice,
            }),
        )
    }
}

/// Why the demonstration plant could not be served.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// The listener failed.
    #[error("no more connections can be accepted for the demonstration plant")]
    Accept {
        /// What the operating system says.
        #[source]
        source: std::io::Error,
    },
    /// The recording could not be read.
    #[error("cannot read the recording {}; check that it is there and is text", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        source: std::io::Error,
    },
    /// The recording has no such column.
    #[error("{}: there is no column \"{column}\"; there is: {known}", path.display())]
    Column {
        /// The file.
        path: PathBuf,
        /// As asked for.
        column: String,
        /// The header.
        known: String,
    },
    /// A line of the recording is not understood.
    #[error("{}:{line}: \"{text}\" is not {wanted}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What stands there.
        text: String,
        /// What should.
        wanted: &'static str,
    },
    /// The recording has no samples, or the range asked for leaves none.
    #[error("{}: there are no samples in the rows asked for", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The recording is larger than is read into memory.
    #[error("{}: there are more than {max} samples; choose a range of rows", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The limit.
        max: usize,
    },
    /// Not a speed.
    #[error(
        "\"{text}\" is not a speed; write a number of samples per second, for example 10, or a \
         factor of the recording's own time, for example 300x"
    )]
    Speed {
        /// As given.
        text: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::drivers::modbus::read::{ReadValue, read_once};
    use crate::drivers::{self, FromDriver, Sink};
    use crate::pipeline::{GroupSpec, RawCell};
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::time::Duration;
    use tokio::sync::mpsc;

    const TIMEOUT: Duration = Duration::from_secs(5);

    async fn start(plant: Plant) -> (String, watch::Sender<bool>, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = listener.local_addr().unwrap().to_string();
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(async move { serve(listener, plant, stopped).await.unwrap() });
        (endpoint, stop, task)
    }

    #[tokio::test]
    async fn the_plant_is_read_over_the_wire_as_its_map_says_and_stops_when_told() {
        let (endpoint, stop, task) = start(Plant::demo(7)).await;
        let points = ["40001:f32", "30001:f32", "40101:i16", "10001"].map(str::to_owned);
        let answer = read_once(&endpoint, 1, &points, TIMEOUT).await.unwrap();
        let Some(ReadValue::Float(temperature)) = answer.points[0].value else {
            panic!()
        };
        let Some(ReadValue::Integer(hundredths)) = answer.points[2].value else {
            panic!()
        };
        assert!((50.0..75.0).contains(&temperature), "{temperature}");
        assert!((5_000..7_500).contains(&hundredths), "{hundredths}");
        assert_eq!(answer.points[3].value, Some(ReadValue::Integer(1)));
        stop.send(true).unwrap();
        tokio::time::timeout(TIMEOUT, task).await.unwrap().unwrap();
        assert!(read_once(&endpoint, 1, &points, TIMEOUT).await.is_err());
    }

    #[tokio::test]
    async fn what_is_not_there_is_refused_as_a_real_device_does() {
        let (endpoint, _stop, _task) = start(Plant::demo(7)).await;
        let answer = read_once(&endpoint, 1, &["hr:50".to_owned()], TIMEOUT)
            .await
            .unwrap();
        let words = answer.points[0].error.clone().unwrap();
        assert!(words.contains("Modbus exception 2"), "{words}");
        let error = read_once(&endpoint, 77, &["hr:0".to_owned()], TIMEOUT)
            .await
            .unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("Modbus exception 11"), "{cause}");
    }

    /// Every sensor of the demonstration's configuration is served, and within its range.
    #[tokio::test]
    async fn the_configuration_of_the_demonstration_fits_the_plant() {
        let (endpoint, _stop, _task) = start(Plant::demo(7)).await;
        let text = include_str!("../../../configs/edge.demo.toml");
        let (text, fast) = (
            text.replace("127.0.0.1:5020", &endpoint),
            r#"poll = "50ms""#,
        );
        let text = [r#"poll = "1s""#, r#"poll = "2s""#, r#"poll = "10s""#]
            .iter()
            .fold(text, |text, poll| text.replace(poll, fast));
        let config = Config::parse(Path::new("edge.demo.toml"), &text).unwrap();
        let driver = drivers::build(&config.ports[0], &config.devices).unwrap();
        config.problems.check().unwrap();
        let mut waiting: BTreeMap<usize, GroupSpec> =
            driver.groups().into_iter().enumerate().collect();
        let (queue, mut told) = mpsc::channel(1_000);
        let (_stop_driver, stopped) = watch::channel(false);
        let sink = Sink::new(queue, Arc::default(), 0, crate::clock::stamp);
        let task = tokio::spawn(driver.run(sink, stopped));
        while !waiting.is_empty() {
            let next = tokio::time::timeout(TIMEOUT, told.recv())
                .await
                .expect("in time");
            let Some(FromDriver::Poll(poll)) = next else {
                continue;
            };
            let Some(group) = waiting.remove(&poll.group) else {
                continue;
            };
            for (sensor, cell) in group.sensors.iter().zip(poll.cells) {
                let path = format!("{}/{}", group.device, sensor.name);
                let RawCell::Value(raw) = cell else {
                    panic!("{path}: {cell:?}")
                };
                let (low, high) = sensor.range.unwrap_or((0.0, 1e6));
                let value = sensor.value(raw);
                assert!((low..=high).contains(&value), "{path}: {value}");
            }
        }
        task.abort();
    }
}
