//! `simulate`: the demonstration plant, recordings played back as machines, and faults to order.
//! Never a part of a running box.

use super::{Output, block_on};
use crate::drivers::modbus::frame::Framing;
use crate::simulate::{
    Order, Plant, REPLAY_UNIT, Replay, ReplayOptions, SerialLine, Setting, Shared, SimulateError,
    Speed, Station, register_map, serve, serve_tls, take_orders,
};
use anyhow::Context as _;
use clap::Args;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Where Modbus TCP is served when no other place is asked for.
const LISTEN: &str = "127.0.0.1:5020";
/// How the units of the cabinet are set: one is faster than the others, one has another parity.
const CABINET: [(u8, &str); 4] = [(1, "9600N"), (2, "9600N"), (3, "19200E"), (4, "9600E")];

#[derive(Debug, Args)]
pub(super) struct Simulate {
    /// Address to serve Modbus TCP at; 127.0.0.1:5020 when no other place is asked for.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Address to serve RTU over TCP at.
    #[arg(long, value_name = "ADDR")]
    rtu_over_tcp: Option<SocketAddr>,
    /// Address to serve ASCII over TCP at.
    #[arg(long, value_name = "ADDR")]
    ascii_over_tcp: Option<SocketAddr>,
    /// Address to serve Modbus over TLS at.
    #[arg(long, value_name = "ADDR", requires_all = ["certificate", "key"])]
    tls: Option<SocketAddr>,
    /// PEM file with the certificate for TLS.
    #[arg(long, value_name = "FILE", requires = "tls")]
    certificate: Option<PathBuf>,
    /// PEM file with its key.
    #[arg(long, value_name = "FILE", requires = "tls")]
    key: Option<PathBuf>,
    /// Name of a serial line to make and serve RTU on, for example /tmp/line-a.
    #[arg(long, value_name = "PATH")]
    serial: Option<PathBuf>,
    /// The same for ASCII.
    #[arg(long, value_name = "PATH")]
    serial_ascii: Option<PathBuf>,
    /// Four units, set like in a cabinet that grew: 9600N twice, 19200E, and 9600E.
    #[arg(long)]
    cabinet: bool,
    /// A unit answers only on a line that is set like this: UNIT=BAUD and N, E or O.
    #[arg(long, value_name = "3=19200E", value_parser = setting)]
    line: Vec<(u8, Setting)>,
    /// A fault from the start on, for example "2 dead" or "1 late 1500ms every 20".
    #[arg(long, value_name = "UNIT FAULT")]
    fault: Vec<Order>,
    /// Address to take more such orders at while it runs, one on each line; `list` shows them.
    #[arg(long, value_name = "ADDR")]
    control: Option<SocketAddr>,
    /// CSV file to play back as one more machine.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Its column with the values.
    #[arg(long, value_name = "NAME", default_value = "value", requires = "csv")]
    column: String,
    /// Samples per second, or 300x for three hundred times the recording's own time.
    #[arg(long, value_name = "N", default_value = "1", requires = "csv")]
    speed: Speed,
    /// Rows to play, counted from 0, for example 4000..5000.
    #[arg(long, value_name = "FROM..TO", value_parser = rows, requires = "csv")]
    rows: Option<Range<usize>>,
    /// Begin again at the end; otherwise the last sample stays.
    #[arg(long, requires = "csv")]
    repeat: bool,
    /// Unit on which the recording is served.
    #[arg(long, value_name = "N", default_value_t = REPLAY_UNIT, requires = "csv")]
    unit: u8,
    /// Another seed gives other noise.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Only print which registers are served.
    #[arg(long)]
    map: bool,
}

fn rows(text: &str) -> Result<Range<usize>, String> {
    let range = text.split_once("..").and_then(|(from, to)| {
        let (from, to) = (from.parse().ok()?, to.parse().ok()?);
        (from < to).then_some(from..to)
    });
    range.ok_or_else(|| "write for example 4000..5000".to_owned())
}

fn setting(text: &str) -> Result<(u8, Setting), String> {
    let (unit, setting) = text.split_once('=').ok_or("write for example 3=19200E")?;
    let unit = unit
        .parse()
        .map_err(|_| "a unit is a number from 1 to 247")?;
    Ok((unit, setting.parse()?))
}

impl Simulate {
    pub(super) fn run(self, output: Output) -> anyhow::Result<()> {
        let plant = self.plant()?;
        let map = register_map(&plant);
        if self.map {
            return output.answer(&json!({"map": map}), &map);
        }
        let station = Arc::new(Mutex::new(self.station(plant)));
        block_on(async {
            let mut places = Places::default();
            self.open(&station, &mut places).await?;
            places.words.push_str(&map);
            output.answer(&Value::Object(places.json), &places.words)?;
            // None of them ends but by an error.
            match places.servers.join_next().await {
                Some(ended) => Ok(ended.context("serving the plant")??),
                None => Ok(()),
            }
        })
    }

    fn station(&self, plant: Plant) -> Station {
        let mut station = Station::new(plant, Instant::now());
        if self.cabinet {
            for (unit, text) in CABINET {
                if let Ok(setting) = text.parse() {
                    station.set(unit, setting);
                }
            }
        }
        for (unit, setting) in &self.line {
            station.set(*unit, *setting);
        }
        for order in &self.fault {
            station.order(*order);
        }
        station
    }

    async fn open(&self, station: &Shared, places: &mut Places) -> anyhow::Result<()> {
        let elsewhere = self.rtu_over_tcp.is_some()
            || self.ascii_over_tcp.is_some()
            || self.tls.is_some()
            || self.serial.is_some()
            || self.serial_ascii.is_some();
        let usual = if elsewhere { None } else { LISTEN.parse().ok() };
        let listen = self.listen.or(usual);
        let shared = || Shared::clone(station);
        for (key, words, address, framing) in [
            ("listening", "Modbus TCP", listen, Framing::Mbap),
            (
                "rtu_over_tcp",
                "RTU over TCP",
                self.rtu_over_tcp,
                Framing::Rtu,
            ),
            (
                "ascii_over_tcp",
                "ASCII over TCP",
                self.ascii_over_tcp,
                Framing::Ascii,
            ),
        ] {
            if let Some(listener) = places.listen((key, words), address).await? {
                places.servers.spawn(serve(listener, framing, shared()));
            }
        }
        if let Some(listener) = places.listen(("tls", "Modbus over TLS"), self.tls).await? {
            let config = Arc::new(self.tls_config()?);
            places.servers.spawn(serve_tls(listener, config, shared()));
        }
        for (key, words, link, framing) in [
            ("serial", "RTU", &self.serial, Framing::Rtu),
            ("serial_ascii", "ASCII", &self.serial_ascii, Framing::Ascii),
        ] {
            if let Some(link) = link {
                let line = SerialLine::make(link)?;
                places.note((key, words), &link.display().to_string());
                places.servers.spawn(line.serve(framing, shared()));
            }
        }
        if let Some(listener) = places.listen(("control", "orders"), self.control).await? {
            places.servers.spawn(take_orders(listener, shared()));
        }
        Ok(())
    }

    fn tls_config(&self) -> anyhow::Result<rustls::ServerConfig> {
        let file = |file: &Option<PathBuf>| file.clone().unwrap_or_default();
        let (certificate, key) = (file(&self.certificate), file(&self.key));
        let told = |path: &Path| format!("reading {}", path.display());
        let chain = CertificateDer::pem_file_iter(&certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .with_context(|| told(&certificate))?;
        let key = PrivateKeyDer::from_pem_file(&key).with_context(|| told(&key))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
        rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .context("the certificate and the key for TLS do not fit together")
    }

    fn plant(&self) -> Result<Plant, SimulateError> {
        let plant = if self.cabinet {
            Plant::cabinet(self.seed)
        } else {
            Plant::demo(self.seed)
        };
        let Some(csv) = &self.csv else {
            return Ok(plant);
        };
        let options = ReplayOptions {
            column: self.column.clone(),
            speed: self.speed,
            rows: self.rows.clone(),
            repeats: self.repeat,
        };
        Ok(plant.with_replay(self.unit, Replay::load(csv, &options)?))
    }
}

/// Where the plant is served, as it is told.
#[derive(Debug, Default)]
struct Places {
    words: String,
    json: Map<String, Value>,
    servers: JoinSet<Result<(), SimulateError>>,
}

impl Places {
    async fn listen(
        &mut self,
        name: (&'static str, &str),
        address: Option<SocketAddr>,
    ) -> anyhow::Result<Option<TcpListener>> {
        let Some(address) = address else {
            return Ok(None);
        };
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("listening on {address}; choose another one"))?;
        let address = listener
            .local_addr()
            .context("asking for the own address")?;
        self.note(name, &address.to_string());
        Ok(Some(listener))
    }

    fn note(&mut self, (key, words): (&'static str, &str), place: &str) {
        self.json.insert(key.to_owned(), place.into());
        // Writing to a text cannot fail.
        let line = writeln!(
            self.words,
            "The demonstration plant listens on {place} ({words})."
        );
        debug_assert!(line.is_ok(), "a text takes everything");
    }
}
