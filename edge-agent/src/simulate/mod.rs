//! A demonstration plant served in every form of Modbus, so that a gateway can be tried and rehearsed
//! without hardware, with faults to order. Never used by `run`.

mod control;
mod conversation;
mod faults;
mod plant;
mod replay;
mod serial;
mod signal;
mod station;

pub use conversation::Shared;
pub use faults::{Fault, Often, Order, OrderError};
pub use plant::{Plant, REPLAY_UNIT, register_map};
pub use replay::{Replay, ReplayOptions, Speed};
pub use serial::SerialLine;
pub use station::{Setting, Station};

use crate::drivers::modbus::frame::Framing;
use conversation::converse;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Serves the plant to any number of clients over TCP, in any framing, until the listener fails.
///
/// # Errors
/// When no more connections can be accepted.
pub async fn serve(
    listener: TcpListener,
    framing: Framing,
    station: Shared,
) -> Result<(), SimulateError> {
    accept(listener, move |client| {
        let station = Shared::clone(&station);
        async move { converse(client, framing, &station, || None).await.map(drop) }
    })
    .await
}

/// The same over TLS, as Modbus/TCP Security has it.
///
/// # Errors
/// When no more connections can be accepted.
pub async fn serve_tls(
    listener: TcpListener,
    config: Arc<rustls::ServerConfig>,
    station: Shared,
) -> Result<(), SimulateError> {
    let acceptor = TlsAcceptor::from(config);
    accept(listener, move |client| {
        let (acceptor, station) = (acceptor.clone(), Shared::clone(&station));
        async move {
            let client = acceptor.accept(client).await?;
            let ended = converse(client, Framing::Mbap, &station, || None).await;
            ended.map(drop)
        }
    })
    .await
}

/// Takes orders for faults (see `control`) from any number of clients.
///
/// # Errors
/// When no more connections can be accepted.
pub async fn take_orders(listener: TcpListener, station: Shared) -> Result<(), SimulateError> {
    let ended = control::serve(listener, station).await;
    ended.map_err(|source| SimulateError::Accept { source })
}

async fn accept<F>(
    listener: TcpListener,
    talk: impl Fn(TcpStream) -> F,
) -> Result<(), SimulateError>
where
    F: Future<Output = std::io::Result<()>> + Send + 'static,
{
    loop {
        let accepted = listener.accept().await;
        let (client, _) = accepted.map_err(|source| SimulateError::Accept { source })?;
        let talk = client.set_nodelay(true).map(|()| talk(client));
        tokio::spawn(async move {
            let ended = match talk {
                Ok(talk) => talk.await,
                Err(error) => Err(error),
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a client of the demonstration plant is gone");
            }
        });
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
    /// A serial line could not be made, or failed.
    #[error("the serial line {} cannot be served", link.display())]
    Line {
        /// Its name.
        link: PathBuf,
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
    Row {
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
    use crate::drivers::modbus::frame::{Frame, Reader, Side, encode};
    use crate::drivers::modbus::pdu::{Request, Response, Span};
    use crate::drivers::modbus::read::{ReadValue, read_once};
    use crate::drivers::{self, FromDriver, Sink};
    use crate::pipeline::{GroupSpec, RawCell};
    use rustix::termios::{ControlModes, InputModes, OptionalActions, tcgetattr, tcsetattr};
    use std::collections::BTreeMap;
    use std::io::{Read as _, Write as _};
    use std::path::Path;
    use std::sync::Mutex;
    use std::time::{Duration, Instant};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::{mpsc, watch};
    use tokio::task::JoinHandle;

    const TIMEOUT: Duration = Duration::from_secs(5);

    fn shared(plant: Plant) -> Shared {
        Arc::new(Mutex::new(Station::new(plant, Instant::now())))
    }

    async fn start_as(framing: Framing, station: Shared) -> (String, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = listener.local_addr().unwrap().to_string();
        let task = tokio::spawn(async move { serve(listener, framing, station).await.unwrap() });
        (endpoint, task)
    }

    async fn start(plant: Plant) -> (String, JoinHandle<()>) {
        start_as(Framing::Mbap, shared(plant)).await
    }

    const COUNTER: Request = Request::ReadHoldingRegisters(Span {
        start: 98,
        count: 1,
    });

    fn frame(unit: u8) -> Frame {
        let pdu = COUNTER.encode();
        Frame { id: 0, unit, pdu }
    }

    fn answer(framing: Framing, bytes: &[u8]) -> Response {
        let mut reader = Reader::new(framing, Side::Answers);
        reader.push(bytes);
        Response::decode(&reader.next_frame().unwrap().unwrap().pdu).unwrap()
    }

    fn running() -> Response {
        Response::Registers {
            function: 3,
            words: vec![1],
        }
    }

    #[tokio::test]
    async fn rtu_and_ascii_over_tcp_are_answered_and_faults_come_and_go_by_order() {
        for (framing, bytes) in [(Framing::Rtu, 7), (Framing::Ascii, 15)] {
            let station = shared(Plant::demo(7));
            let (endpoint, _task) = start_as(framing, Shared::clone(&station)).await;
            let control = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let orders = control.local_addr().unwrap();
            let _control = tokio::spawn(take_orders(control, station));
            let mut orders = TcpStream::connect(orders).await.unwrap();
            let mut said = [0; 3];
            let mut client = TcpStream::connect(&endpoint).await.unwrap();
            let mut got = vec![0; bytes];
            client.write_all(&encode(framing, &frame(1))).await.unwrap();
            client.read_exact(&mut got).await.unwrap();
            assert_eq!(answer(framing, &got), running());
            orders.write_all(b"1 dead\n").await.unwrap();
            orders.read_exact(&mut said).await.unwrap();
            assert_eq!(&said, b"ok\n");
            // The second unit answers first: the first has not.
            for unit in [1, 2] {
                client
                    .write_all(&encode(framing, &frame(unit)))
                    .await
                    .unwrap();
            }
            client.read_exact(&mut got).await.unwrap();
            assert_eq!(answer(framing, &got), running());
            let unit = if framing == Framing::Rtu {
                &b"\x02"[..]
            } else {
                b":02"
            };
            assert!(got.starts_with(unit), "{got:?}");
            orders.write_all(b"list\n1 broken\n1 ok\n").await.unwrap();
            let mut lines = vec![0; 8 + "error: ".len()];
            orders.read_exact(&mut lines).await.unwrap();
            assert_eq!(String::from_utf8(lines).unwrap(), "1 dead\n\nerror: ");
        }
    }

    /// What a master does: it sets the line, asks, and reads what comes.
    fn by_serial(link: &Path, (baud, parity): (u32, char), bytes: usize) -> Option<Vec<u8>> {
        let mut options = std::fs::File::options();
        let mut line = options.read(true).write(true).open(link).unwrap();
        let mut settings = tcgetattr(&line).unwrap();
        settings.make_raw();
        settings.set_speed(baud).unwrap();
        settings.input_modes.set(InputModes::INPCK, parity != 'N');
        settings
            .control_modes
            .set(ControlModes::PARENB, parity != 'N');
        settings
            .control_modes
            .set(ControlModes::PARODD, parity == 'O');
        // At most half a second for the first byte.
        settings.special_codes[rustix::termios::SpecialCodeIndex::VMIN] = 0;
        settings.special_codes[rustix::termios::SpecialCodeIndex::VTIME] = 5;
        tcsetattr(&line, OptionalActions::Now, &settings).unwrap();
        line.write_all(&encode(Framing::Rtu, &frame(3))).unwrap();
        let mut got = Vec::new();
        while got.len() < bytes {
            let mut buffer = [0; 64];
            match line.read(&mut buffer) {
                // Nothing came, or the line is gone.
                Ok(0) | Err(_) => return None,
                Ok(length) => got.extend(&buffer[..length]),
            }
        }
        Some(got)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_serial_line_answers_only_with_the_units_settings_and_comes_back_when_it_was_pulled()
    {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("line-a");
        let mut station = Station::new(Plant::demo(7), Instant::now());
        station.set(3, "19200E".parse().unwrap());
        let station: Shared = Arc::new(Mutex::new(station));
        let line = SerialLine::make(&link).unwrap();
        let task = tokio::spawn(line.serve(Framing::Rtu, Shared::clone(&station)));
        let ask = |setting: (u32, char)| {
            let link = link.clone();
            async move {
                let asked = tokio::task::spawn_blocking(move || by_serial(&link, setting, 7));
                asked.await.unwrap()
            }
        };
        assert_eq!(ask((9_600, 'E')).await, None);
        assert_eq!(ask((19_200, 'N')).await, None);
        assert_eq!(ask((19_200, 'O')).await, None);
        let got = ask((19_200, 'E')).await.expect("the right setting");
        assert_eq!(answer(Framing::Rtu, &got), running());
        conversation::locked(&station).order("3 disconnect every 1".parse().unwrap());
        let before = std::fs::read_link(&link).unwrap();
        assert_eq!(ask((19_200, 'E')).await, None);
        assert!(!link.exists(), "{}", before.display());
        conversation::locked(&station).order("3 ok".parse().unwrap());
        let deadline = Instant::now() + TIMEOUT;
        while !link.exists() {
            assert!(Instant::now() < deadline, "the line did not come back");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(ask((19_200, 'E')).await.is_some());
        task.abort();
        drop(task.await);
        assert!(std::fs::symlink_metadata(&link).is_err(), "the link stays");
        std::fs::write(&link, "a file").unwrap();
        let error = SerialLine::make(&link).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("choose another name"), "{cause}");
    }

    #[tokio::test]
    async fn the_plant_is_read_over_the_wire_as_its_map_says() {
        let (endpoint, task) = start(Plant::demo(7)).await;
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
        task.abort();
        drop(task.await);
        assert!(read_once(&endpoint, 1, &points, TIMEOUT).await.is_err());
    }

    #[tokio::test]
    async fn what_is_not_there_is_refused_as_a_real_device_does() {
        let (endpoint, _task) = start(Plant::demo(7)).await;
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
        let (endpoint, _task) = start(Plant::demo(7)).await;
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
