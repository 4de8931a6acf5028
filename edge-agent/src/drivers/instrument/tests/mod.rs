//! The driver against instruments that are played by hand over pseudo terminals and sockets. Nothing here
//! waits for a fixed time: every wait is for a condition, with a deadline.

mod asked;
mod configured;
mod frames;
mod speaking;

use crate::clock;
use crate::config::Config;
use crate::drivers::{self, DeviceReport, DeviceState, FromDriver, PortHandles, Sink};
use crate::pipeline::{RawCell, RawPoll};
use protocol::reading::{Cause, Raw};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_serial::{SerialPort as _, SerialStream};

const DEADLINE: Duration = Duration::from_secs(20);

/// A serial line that is a pair of pseudo terminals; the far end is the test's.
struct Line {
    folder: tempfile::TempDir,
    /// Held open, so that the other end is not told of an end that is none.
    near: Option<SerialStream>,
}

impl Line {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            near: None,
        }
    }

    /// The device file by a name that stays while the terminal behind it changes.
    fn path(&self) -> PathBuf {
        self.folder.path().join("ttyUSB0")
    }

    fn plug(&mut self) -> SerialStream {
        let (far, near) = SerialStream::pair().unwrap();
        std::os::unix::fs::symlink(near.name().unwrap(), self.path()).unwrap();
        self.near = Some(near);
        far
    }

    fn unplug(&mut self, far: SerialStream) {
        std::fs::remove_file(self.path()).unwrap();
        self.near = None;
        drop(far);
    }

    /// A file with this one port.
    fn file(&self, devices: &str) -> String {
        let path = self.path().display().to_string();
        format!("[[port]]\nname = \"p\"\nprotocol = \"instrument\"\npath = \"{path}\"\n{devices}")
    }
}

/// Answers each request that ends in CR LF with what `play` says, until the line ends.
fn answers(
    mut far: SerialStream,
    mut play: impl FnMut(&str, usize) -> Vec<u8> + Send + 'static,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let (mut asked, mut buffer, mut count) = (Vec::new(), [0; 256], 0);
        while let Ok(read @ 1..) = far.read(&mut buffer).await {
            asked.extend(&buffer[..read]);
            while let Some(end) = asked.windows(2).position(|pair| pair == b"\r\n") {
                let request: Vec<u8> = asked.drain(..end + 2).collect();
                let answer = play(std::str::from_utf8(&request[..end]).unwrap(), count);
                count += 1;
                if far.write_all(&answer).await.is_err() {
                    return;
                }
            }
        }
    })
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

impl Run {
    fn start(text: &str) -> Self {
        let config = Config::parse(Path::new("edge.toml"), text).unwrap();
        let driver = drivers::build(&config.ports[0], &config.devices);
        config.problems.check().unwrap();
        let driver = driver.unwrap();
        let handles = PortHandles::default();
        handles.set("p", driver.handle().unwrap());
        let (sender, queue) = mpsc::channel(10_000);
        let (stop, stopped) = watch::channel(false);
        let sink = Sink::new(sender, Arc::new(AtomicU64::new(0)), 0, clock::stamp);
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

    fn cells(&self, group: usize) -> Vec<Vec<RawCell>> {
        let of = self.polls.iter().filter(|(_, poll)| poll.group == group);
        of.map(|(_, poll)| poll.cells.clone()).collect()
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "a cell that is made where it is compared"
    )]
    fn count(&self, group: usize, cell: RawCell) -> usize {
        self.cells(group)
            .iter()
            .filter(|cells| cells[0] == cell)
            .count()
    }

    fn told(&self, device: &str, state: DeviceState) -> Vec<&str> {
        let of = self
            .reports
            .iter()
            .filter(|report| report.device == device && report.state == state);
        of.map(|report| report.words.as_str()).collect()
    }

    fn last_state(&self, device: &str) -> Option<DeviceState> {
        let mut reports = self.reports.iter().rev();
        reports
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

const fn float(value: f64) -> RawCell {
    RawCell::Value(Raw::Float(value))
}

fn text(text: &str) -> RawCell {
    RawCell::Text(text.into())
}

const fn missing(cause: Cause) -> RawCell {
    RawCell::Missing(cause)
}
