//! Third-party receivers of messages to people, as processes: what each heard stands in a log with the
//! time, and some take orders from a file. Never our own code on both ends.

use crate::{Program, Scratch, places, ports};
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A Python program of `peers/` that is at work.
#[derive(Debug)]
pub struct Receiver {
    program: Program,
    log: PathBuf,
    orders: PathBuf,
}

impl Receiver {
    /// Starts `peers/{script}.py` and waits until it is ready. It gets `--log` with the file of what it
    /// heard.
    pub fn start(scratch: &Scratch, script: &str, arguments: &[&str]) -> Result<Self> {
        Self::run(scratch, script, arguments, false)
    }

    /// The same for one that takes orders: it gets `--orders` too.
    pub fn start_with_orders(scratch: &Scratch, script: &str, arguments: &[&str]) -> Result<Self> {
        Self::run(scratch, script, arguments, true)
    }

    fn run(scratch: &Scratch, script: &str, arguments: &[&str], orders: bool) -> Result<Self> {
        let log = scratch.file(&format!("{script}.jsonl"));
        let file = scratch.file(&format!("{script}.orders"));
        let mut command = Command::new(places::python()?);
        command
            .arg(places::repository().join(format!("tests/harness/peers/{script}.py")))
            .args(arguments)
            .arg("--log")
            .arg(&log);
        if orders {
            command.arg("--orders").arg(&file);
        }
        let mut program = Program::start(script, command, scratch.path())?;
        let output = scratch.file(&format!("{script}.out"));
        let before = usize::try_from(program.output_start()).unwrap_or(0);
        let what = format!("{script} to be ready");
        program.wait_until(&what, Duration::from_secs(60), || {
            let text = std::fs::read_to_string(&output)?;
            let fresh = text.get(before.min(text.len())..).unwrap_or_default();
            Ok(fresh.contains("ready").then_some(()))
        })?;
        Ok(Self {
            program,
            log,
            orders: file,
        })
    }

    /// Tells it something.
    pub fn order(&self, line: &str) -> Result<()> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&self.orders);
        let mut file = file.context("opening the orders of a receiver")?;
        writeln!(file, "{line}").context("writing an order")
    }

    /// All that it heard, oldest first; a line that is half written is left out.
    pub fn heard(&self) -> Result<Vec<Value>> {
        let text = match std::fs::read_to_string(&self.log) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).context("reading what a receiver heard"),
        };
        let whole = text
            .rfind('\n')
            .and_then(|end| text.get(..end))
            .unwrap_or_default();
        let line =
            |line: &str| serde_json::from_str(line).with_context(|| format!("no JSON: {line}"));
        whole.lines().map(line).collect()
    }

    /// Ends it.
    pub fn kill9(&mut self) -> Result<()> {
        self.program.kill9()
    }
}

/// The broker mosquitto on a free port.
#[derive(Debug)]
pub struct Mosquitto {
    program: Program,
    port: u16,
    folder: PathBuf,
}

impl Mosquitto {
    /// Starts it and waits until it takes connections.
    pub fn start(scratch: &Scratch) -> Result<Self> {
        let port = ports::free()?.port();
        let config =
            format!("listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n");
        scratch.write("mosquitto.conf", &config)?;
        Ok(Self {
            program: broker(scratch.path(), port)?,
            port,
            folder: scratch.path().to_owned(),
        })
    }

    /// Its port on the loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kills it.
    pub fn kill9(&mut self) -> Result<()> {
        self.program.kill9()
    }

    /// Starts it again on the same port.
    pub fn start_again(&mut self) -> Result<()> {
        self.program = broker(&self.folder, self.port)?;
        Ok(())
    }
}

fn broker(folder: &Path, port: u16) -> Result<Program> {
    // Debian puts it where users' paths do not lead.
    let places = [
        "/usr/sbin/mosquitto",
        "/usr/bin/mosquitto",
        "/usr/local/sbin/mosquitto",
    ];
    let Some(path) = places.iter().find(|path| Path::new(path).is_file()) else {
        bail!("mosquitto is missing: run `make setup`");
    };
    let mut command = Command::new(path);
    command.arg("-c").arg(folder.join("mosquitto.conf"));
    let mut program = Program::start("mosquitto", command, folder)?;
    program.wait_until("mosquitto to listen", Duration::from_secs(30), || {
        let connected = std::net::TcpStream::connect(("127.0.0.1", port));
        Ok(connected.is_ok().then_some(()))
    })?;
    Ok(program)
}
