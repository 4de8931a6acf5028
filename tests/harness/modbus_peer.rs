//! A third-party Modbus server (pymodbus) that replays a recorded series, as a process, in every form
//! of Modbus, and its own record of what it served. Never our own code on both ends of the wire.

use crate::{Program, Scratch, places, ports};
use anyhow::{Context as _, Result};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// What the peer serves; see `peers/modbus_server.py` for its registers.
#[derive(Clone, Debug)]
pub struct PeerOptions {
    /// CSV file with a header line.
    pub csv: PathBuf,
    /// Column that is replayed.
    pub column: String,
    /// Rows per second.
    pub samples_per_s: f64,
    /// Row that is served first.
    pub first_row: usize,
    /// Row at which it waits for [`ModbusPeer::go_on`].
    pub hold_row: Option<usize>,
    /// Starts again at the end; else the last row stays.
    pub start_again: bool,
    /// Units that answer.
    pub units: Vec<u8>,
    /// Units that never answer.
    pub silent_units: Vec<u8>,
    /// How it is spoken with.
    pub form: Form,
}

/// A form of Modbus.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Modbus TCP.
    #[default]
    Tcp,
    /// Modbus/TCP Security.
    Tls {
        /// PEM file with the server's certificate.
        certificate: PathBuf,
        /// PEM file with its key.
        key: PathBuf,
        /// PEM file with the authority whose certificates clients must show.
        clients: Option<PathBuf>,
    },
    /// RTU frames over a TCP connection.
    RtuOverTcp,
    /// ASCII frames over a TCP connection.
    AsciiOverTcp,
    /// RTU on a serial line.
    Rtu(Serial),
    /// ASCII on a serial line.
    Ascii(Serial),
}

/// A serial line that a peer opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serial {
    /// Its device.
    pub path: PathBuf,
    /// Bits per second.
    pub baud: u32,
    /// `N`, `E` or `O`.
    pub parity: char,
}

impl Form {
    /// What the peer must be told.
    fn arguments(&self, address: SocketAddr) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["--form".into()];
        let (word, serial) = match self {
            Self::Tcp => ("tcp", None),
            Self::Tls { .. } => ("tls", None),
            Self::RtuOverTcp => ("rtu-over-tcp", None),
            Self::AsciiOverTcp => ("ascii-over-tcp", None),
            Self::Rtu(serial) => ("rtu", Some(serial)),
            Self::Ascii(serial) => ("ascii", Some(serial)),
        };
        arguments.push(word.into());
        match serial {
            Some(serial) => arguments.extend([
                "--path".into(),
                serial.path.clone().into(),
                "--baud".into(),
                serial.baud.to_string().into(),
                "--parity".into(),
                serial.parity.to_string().into(),
            ]),
            None => arguments.extend(["--port".into(), address.port().to_string().into()]),
        }
        if let Self::Tls {
            certificate,
            key,
            clients,
        } = self
        {
            let files = [("--certificate", Some(certificate)), ("--key", Some(key))];
            for (word, file) in files.into_iter().chain([("--ca", clients.as_ref())]) {
                let file = file.map(|file| [word.into(), file.clone().into()]);
                arguments.extend(file.into_iter().flatten());
            }
        }
        arguments
    }
}

impl Default for PeerOptions {
    /// The recorded machine temperature, ten rows per second, as unit 1.
    fn default() -> Self {
        Self {
            csv: places::data("machine_temperature.csv"),
            column: "value".into(),
            samples_per_s: 10.0,
            first_row: 0,
            hold_row: None,
            start_again: false,
            units: vec![1],
            silent_units: Vec::new(),
            form: Form::Tcp,
        }
    }
}

/// One answer that the peer gave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Served {
    /// When, in microseconds since 1970 by the clock of this machine.
    pub time_us: i64,
    /// Unit that was asked.
    pub unit: u8,
    /// First register.
    pub address: u16,
    /// Registers.
    pub count: u16,
    /// Row of the file that was served.
    pub row: usize,
    /// Its value, as it stands in the file.
    pub value: f64,
}

/// The running peer.
#[derive(Debug)]
pub struct ModbusPeer {
    program: Program,
    address: SocketAddr,
    record: PathBuf,
    options: PeerOptions,
    folder: PathBuf,
}

impl ModbusPeer {
    /// Starts it, on a free port unless it serves a serial line, and waits until it listens.
    pub fn start(scratch: &Scratch, options: PeerOptions) -> Result<Self> {
        let address = ports::free()?;
        let folder = scratch.file(&format!("modbus-{}", address.port()));
        std::fs::create_dir_all(&folder).context("making the peer's folder")?;
        let record = folder.join("served.csv");
        let program = run(&options, address, &folder)?;
        Ok(Self {
            program,
            address,
            record,
            options,
            folder,
        })
    }

    /// Where it listens; free and unused when it serves a serial line.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it: connections are closed, new ones refused.
    pub fn kill9(&mut self) -> Result<()> {
        self.program.kill9()
    }

    /// Starts it again on the same port, from the first row.
    pub fn start_again(&mut self) -> Result<()> {
        self.program = run(&self.options, self.address, &self.folder)?;
        Ok(())
    }

    /// Lets the replay go on from the row at which it waits.
    pub fn go_on(&self) -> Result<()> {
        self.program.signal(rustix::process::Signal::USR1)
    }

    /// All that it has served so far, oldest first.
    pub fn served(&self) -> Result<Vec<Served>> {
        let text = std::fs::read_to_string(&self.record)
            .with_context(|| format!("reading {}", self.record.display()))?;
        // The last line may be half written.
        let whole = text
            .rfind('\n')
            .and_then(|end| text.get(..end))
            .unwrap_or_default();
        whole.lines().map(parse).collect()
    }
}

fn run(options: &PeerOptions, address: SocketAddr, folder: &std::path::Path) -> Result<Program> {
    let list = |units: &[u8]| {
        units
            .iter()
            .map(u8::to_string)
            .collect::<Vec<_>>()
            .join(",")
    };
    let mut command = Command::new(places::python()?);
    command
        .arg(places::repository().join("tests/harness/peers/modbus_server.py"))
        .args(options.form.arguments(address))
        .args(["--column", &options.column])
        .arg("--csv")
        .arg(&options.csv)
        .args(["--samples-per-second", &options.samples_per_s.to_string()])
        .args(["--first-row", &options.first_row.to_string()])
        .args(["--units", &list(&options.units)])
        .args(["--silent-units", &list(&options.silent_units)])
        .arg("--log")
        .arg(folder.join("served.csv"));
    if let Some(row) = options.hold_row {
        command.args(["--hold-row", &row.to_string()]);
    }
    if options.start_again {
        command.arg("--loop");
    }
    let mut program = Program::start("pymodbus", command, folder)?;
    let output = folder.join("pymodbus.out");
    let before = program.output_start();
    program.wait_until("the Modbus peer to listen", Duration::from_secs(60), || {
        let text = std::fs::read(&output).context("reading the peer's output")?;
        let from = usize::try_from(before)
            .unwrap_or(usize::MAX)
            .min(text.len());
        let fresh = text.get(from..).unwrap_or_default();
        Ok(fresh.starts_with(b"ready").then_some(()))
    })?;
    Ok(program)
}

fn parse(line: &str) -> Result<Served> {
    let mut fields = line.split(',');
    let mut next = || {
        fields
            .next()
            .with_context(|| format!("a short line of the peer: {line}"))
    };
    Ok(Served {
        time_us: next()?.parse()?,
        unit: next()?.parse()?,
        address: next()?.parse()?,
        count: next()?.parse()?,
        row: next()?.parse()?,
        value: next()?.parse()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

    fn ask(address: SocketAddr, unit: u8, first: u16, count: u16) -> Vec<u8> {
        let mut stream = TcpStream::connect(address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let [high, low] = first.to_be_bytes();
        let [count_high, count_low] = count.to_be_bytes();
        stream
            .write_all(&[0, 1, 0, 0, 0, 6, unit, 3, high, low, count_high, count_low])
            .unwrap();
        let mut answer = [0; 300];
        let length = stream.read(&mut answer).unwrap();
        answer[7..length].to_vec()
    }

    #[test]
    fn serves_the_recorded_rows_and_tells_which() {
        let scratch = Scratch::new("modbus-peer").unwrap();
        let options = PeerOptions {
            samples_per_s: 0.001,
            first_row: 70_000 - 65_536,
            units: vec![1, 7],
            silent_units: vec![9],
            ..PeerOptions::default()
        };
        let mut peer = ModbusPeer::start(&scratch, options).unwrap();
        let answer = ask(peer.address(), 7, 0, 7);
        assert_eq!(answer[..2], [3, 14]);
        let word =
            |index: usize| u16::from_be_bytes([answer[2 + 2 * index], answer[3 + 2 * index]]);
        let float = |high, low| f32::from_bits(u32::from(word(high)) << 16 | u32::from(word(low)));
        let served = peer.served().unwrap();
        let [one] = served.as_slice() else {
            panic!("{served:?}")
        };
        assert_eq!(
            (one.unit, one.address, one.count, one.row),
            (7, 0, 7, 4_464)
        );
        assert!((f64::from(float(0, 1)) - one.value).abs() < 1e-4);
        assert!((f64::from(float(6, 5)) - f64::from(float(0, 1))).abs() < f64::EPSILON);
        assert!((f64::from(word(2)) - one.value * 10.0).abs() <= 0.5);
        assert_eq!((word(3), word(4)), (0, 4_464));
        assert_eq!(
            ask(peer.address(), 1, 100, 1),
            [0x83, 2],
            "no such register"
        );
        assert_eq!(ask(peer.address(), 5, 0, 2), [0x83, 11], "no such unit");
        peer.go_on().unwrap();
        assert_eq!(
            ask(peer.address(), 1, 3, 2),
            [3, 4, 0, 0, 0x11, 0x70],
            "nothing held it"
        );
        peer.kill9().unwrap();
        assert!(TcpStream::connect(peer.address()).is_err());
        peer.start_again().unwrap();
        assert_eq!(ask(peer.address(), 1, 3, 2), [3, 4, 0, 0, 0x11, 0x70]);
        scratch.passed();
    }

    #[test]
    fn waits_at_its_row_until_it_may_go_on() {
        let scratch = Scratch::new("modbus-hold").unwrap();
        let options = PeerOptions {
            samples_per_s: 1_000.0,
            first_row: 10,
            hold_row: Some(12),
            ..PeerOptions::default()
        };
        let peer = ModbusPeer::start(&scratch, options).unwrap();
        let row = || {
            let answer = ask(peer.address(), 1, 4, 1);
            u16::from_be_bytes([answer[2], answer[3]])
        };
        let deadline = Duration::from_secs(30);
        crate::wait_for("the row to wait at", deadline, || {
            Ok((row() == 12).then_some(()))
        })
        .unwrap();
        crate::wait::pause(Duration::from_millis(50));
        assert_eq!(row(), 12);
        peer.go_on().unwrap();
        crate::wait_for("a later row", deadline, || Ok((row() > 12).then_some(()))).unwrap();
        scratch.passed();
    }
}
