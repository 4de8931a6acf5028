//! The whole driver against servers that are played by hand over a real socket, most of them
//! hostile. Nothing here waits for a fixed time: every wait is for a condition, with a deadline.

mod faults;
mod lines;
mod registers;
mod units;
mod writing;

use crate::clock;
use crate::config::Config;
use crate::drivers::{self, DeviceReport, DeviceState, FromDriver, Holes, PortHandles, Sink};
use crate::pipeline::{RawCell, RawPoll};
use protocol::reading::{Cause, Raw};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

const DEADLINE: Duration = Duration::from_secs(20);
const TIMEOUT: Duration = Duration::from_millis(150);

/// One request as the server saw it.
#[derive(Clone, Copy, Debug)]
struct Asked {
    connection: usize,
    id: u16,
    unit: u8,
    function: u8,
    start: u16,
    count: u16,
    at: Instant,
}

impl Asked {
    /// The register at offset n of unit u holds 1000 u + n.
    fn right(&self) -> Vec<u8> {
        let mut pdu = vec![self.function, u8::try_from(self.count * 2).unwrap()];
        for at in self.start..self.start + self.count {
            pdu.extend((u16::from(self.unit) * 1_000 + at).to_be_bytes());
        }
        frame(self.id, self.unit, &pdu)
    }

    fn refused(&self, code: u8) -> Vec<u8> {
        frame(self.id, self.unit, &[self.function | 0x80, code])
    }

    fn holds(&self, offset: u16) -> bool {
        (self.start..self.start + self.count).contains(&offset)
    }
}

fn frame(id: u16, unit: u8, pdu: &[u8]) -> Vec<u8> {
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend([0, 0]);
    bytes.extend(u16::try_from(pdu.len() + 1).unwrap().to_be_bytes());
    bytes.push(unit);
    bytes.extend(pdu);
    bytes
}

/// What the server does with a request.
enum Play {
    Send(Vec<u8>),
    SendLate(Duration, Vec<u8>),
    SendThenClose(Vec<u8>),
    Nothing,
}

#[derive(Clone)]
struct Server {
    endpoint: String,
    log: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    async fn start(play: impl Fn(&Asked) -> Play + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), play)
    }

    fn on(listener: TcpListener, play: impl Fn(&Asked) -> Play + Send + Sync + 'static) -> Self {
        let endpoint = listener.local_addr().unwrap().to_string();
        let log: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (server, play) = (
            Self {
                endpoint,
                log: Arc::clone(&log),
            },
            Arc::new(play),
        );
        tokio::spawn(async move {
            for connection in 0.. {
                let Ok((stream, _)) = listener.accept().await else {
                    return;
                };
                let (log, play) = (Arc::clone(&log), Arc::clone(&play));
                tokio::spawn(async move { talk(stream, connection, &log, &*play).await });
            }
        });
        server
    }

    fn log(&self) -> Vec<Asked> {
        self.log.lock().unwrap().clone()
    }
}

async fn talk(
    mut stream: TcpStream,
    connection: usize,
    log: &Mutex<Vec<Asked>>,
    play: &(dyn Fn(&Asked) -> Play + Send + Sync),
) -> Option<()> {
    loop {
        let mut b = [0; 12];
        stream.read_exact(&mut b).await.ok()?;
        let word = |at: usize| u16::from_be_bytes([b[at], b[at + 1]]);
        let asked = Asked {
            connection,
            id: word(0),
            unit: b[6],
            function: b[7],
            start: word(8),
            count: word(10),
            at: Instant::now(),
        };
        log.lock().unwrap().push(asked);
        match play(&asked) {
            Play::Send(bytes) => stream.write_all(&bytes).await.ok()?,
            Play::SendLate(wait, bytes) => {
                tokio::time::sleep(wait).await;
                stream.write_all(&bytes).await.ok()?;
            }
            Play::SendThenClose(bytes) => {
                stream.write_all(&bytes).await.ok()?;
                return None;
            }
            Play::Nothing => {}
        }
    }
}

/// A running driver and everything it told.
struct Run {
    queue: mpsc::Receiver<FromDriver>,
    polls: Vec<(Instant, RawPoll)>,
    reports: Vec<DeviceReport>,
    handles: PortHandles,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// One port and its devices, as a file.
fn file(port: &str, devices: &[(&str, u8, &[u16])], keys: &str) -> String {
    let mut text = format!(
        "[[port]]\nname = \"p\"\nprotocol = \"modbus\"\ntimeout = \"{}ms\"\n{port}\n",
        TIMEOUT.as_millis()
    );
    for (name, unit, offsets) in devices {
        write!(
            text,
            "[[device]]\nname = \"{name}\"\nport = \"p\"\nunit = {unit}\npoll = \"50ms\"\n{keys}\n"
        )
        .unwrap();
        for offset in *offsets {
            writeln!(
                text,
                "[[device.sensor]]\nname = \"r{offset}\"\naddress = \"hr:{offset}\""
            )
            .unwrap();
        }
    }
    text
}

impl Run {
    /// `devices`: name, unit, sensors as offsets of holding registers.
    fn start(endpoint: &str, devices: &[(&str, u8, &[u16])]) -> Self {
        Self::start_with(endpoint, "", devices)
    }

    fn start_with(endpoint: &str, port: &str, devices: &[(&str, u8, &[u16])]) -> Self {
        Self::on_port(&format!("address = \"{endpoint}\"\n{port}"), devices)
    }

    /// `port`: its keys, but for name, protocol and timeout.
    fn on_port(port: &str, devices: &[(&str, u8, &[u16])]) -> Self {
        Self::on_port_releasing(port, devices, "")
    }

    /// `keys`: further ones of each device.
    fn on_port_releasing(port: &str, devices: &[(&str, u8, &[u16])], keys: &str) -> Self {
        Self::configured(&file(port, devices, keys), devices.len())
    }

    /// With what was learnt before.
    fn with_holes(port: &str, devices: &[(&str, u8, &[u16])], holes: &Holes) -> Self {
        Self::started(&file(port, devices, ""), devices.len(), holes)
    }

    /// From a whole file with one port and so many groups.
    fn configured(text: &str, groups: usize) -> Self {
        Self::started(text, groups, &Holes::default())
    }

    fn started(text: &str, groups: usize, holes: &Holes) -> Self {
        let config = Config::parse(Path::new("edge.toml"), text).unwrap();
        let driver = drivers::build(&config.ports[0], &config.devices);
        config.problems.check().unwrap();
        let driver = driver.unwrap();
        assert_eq!(driver.groups().len(), groups);
        let handles = PortHandles::default();
        handles.set("p", driver.handle().unwrap());
        let (sender, queue) = mpsc::channel(10_000);
        let (stop, stopped) = watch::channel(false);
        let sink = Sink::new(sender, Arc::new(AtomicU64::new(0)), 0, clock::stamp)
            .with_holes(holes.clone());
        let task = tokio::spawn(driver.run(sink, stopped));
        Self {
            queue,
            polls: Vec::new(),
            reports: Vec::new(),
            handles,
            stop,
            task,
        }
    }

    /// Takes what comes until `enough`.
    async fn until(&mut self, what: &str, enough: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !enough(self) {
            let left = deadline.saturating_duration_since(Instant::now());
            let told = tokio::time::timeout(left, self.queue.recv()).await;
            match told.ok() {
                Some(Some(FromDriver::Poll(poll))) => self.polls.push((Instant::now(), poll)),
                Some(Some(FromDriver::Device(report))) => self.reports.push(report),
                Some(None) => panic!("the driver ended while waiting for: {what}"),
                None => panic!(
                    "not seen in time: {what}\nlast polls {:?}\nreports {:?}",
                    self.polls.iter().rev().take(5).collect::<Vec<_>>(),
                    self.reports
                ),
            }
        }
    }

    fn of(&self, group: usize) -> impl Iterator<Item = &RawPoll> {
        self.polls
            .iter()
            .map(|(_, poll)| poll)
            .filter(move |poll| poll.group == group)
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "a cell that is made where it is compared"
    )]
    fn count(&self, group: usize, cell: RawCell) -> usize {
        self.of(group).filter(|poll| poll.cells[0] == cell).count()
    }

    fn told(&self, device: &str, state: DeviceState) -> Option<&DeviceReport> {
        self.reports
            .iter()
            .find(|report| report.device == device && report.state == state)
    }

    fn last_state(&self, device: &str) -> Option<DeviceState> {
        self.reports
            .iter()
            .rev()
            .find(|report| report.device == device)
            .map(|report| report.state)
    }

    async fn end(self) {
        self.stop.send(true).unwrap();
        tokio::time::timeout(DEADLINE, self.task)
            .await
            .expect("ends when told")
            .unwrap();
    }
}

const fn value(value: i64) -> RawCell {
    RawCell::Value(Raw::Int(value))
}

const fn missing(cause: Cause) -> RawCell {
    RawCell::Missing(cause)
}
