//! `hub.toml`: read once, checked whole, every mistake told with its place and a way out.
//! Never reads anything but this file.

mod notify;
mod reader;

pub use notify::{By, Form, MailServer, MailTls, NotifyConfig, RECEIVERS_MAX, Receiver};

use reader::Reader;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Everything that can be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Folder for everything that the hub keeps.
    pub data_dir: PathBuf,
    /// Where gateways connect.
    pub quic: QuicConfig,
    /// Where gateways connect whose UDP is blocked.
    pub tcp: TcpConfig,
    /// Where people connect.
    pub web: WebConfig,
    /// How long readings are kept.
    pub retention: RetentionConfig,
    /// File that says who outside is told of alerts; none: nobody.
    pub notify_file: Option<PathBuf>,
    /// What it says.
    pub notify: NotifyConfig,
    /// How long the boxes of a site may work with what the hub told of it.
    pub bundle: BundleConfig,
}

/// How long the boxes of a site may work with what the hub told of it, in days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleConfig {
    /// In full.
    pub valid_days: usize,
    /// After that, with a warning.
    pub grace_days: usize,
}

/// How long readings and their statistics are kept, in days; 0 is for ever. Events, alerts, work
/// orders and the statistics of whole days are kept for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionConfig {
    /// Readings.
    pub readings_days: usize,
    /// Statistics per minute.
    pub minutes_days: usize,
    /// Statistics per hour.
    pub hours_days: usize,
}

/// Where gateways connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuicConfig {
    /// UDP address.
    pub listen: SocketAddr,
    /// Gateways at the same time, over UDP and TCP; a further one is told to come again later.
    pub connections_max: usize,
    /// Handshakes within one second, over UDP and TCP; a further one is turned away at once.
    pub handshakes_per_s: usize,
}

/// Where gateways connect whose UDP is blocked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TcpConfig {
    /// TCP address; none: there is no such door.
    pub listen: Option<SocketAddr>,
}

/// Where people connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebConfig {
    /// TCP address.
    pub listen: SocketAddr,
    /// The address that people type, when it is another one than `listen`'s.
    pub public_url: Option<String>,
    /// Connections at the same time; a further one waits.
    pub connections_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("/var/lib/cloud-hub"),
            quic: QuicConfig {
                listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 4433)),
                connections_max: 10_000,
                handshakes_per_s: 200,
            },
            tcp: TcpConfig::default(),
            web: WebConfig {
                listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8000)),
                public_url: None,
                connections_max: 512,
            },
            retention: RetentionConfig {
                readings_days: 730,
                minutes_days: 1_825,
                hours_days: 0,
            },
            notify_file: None,
            notify: NotifyConfig::default(),
            bundle: BundleConfig {
                valid_days: 90,
                grace_days: 30,
            },
        }
    }
}

/// Why a file was not taken.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// It could not be read.
    #[error("the configuration {path} could not be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It has mistakes.
    #[error("{}", lines(path, problems))]
    Wrong {
        /// The file.
        path: PathBuf,
        /// All of them, in the order of the file; at least one.
        problems: Vec<Problem>,
    },
}

/// A mistake in a file.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{line}:{column}: {words}")]
pub struct Problem {
    /// Line, from 1.
    pub line: usize,
    /// Character in the line, from 1.
    pub column: usize,
    /// What is wrong and what would be right.
    pub words: String,
}

const KEYS: &[&str] = &[
    "data_dir",
    "quic",
    "tcp",
    "web",
    "retention",
    "bundle",
    "notify",
];
const NOTIFY_KEYS: &[&str] = &["file"];
const QUIC_KEYS: &[&str] = &["listen", "connections_max", "handshakes_per_s"];
const TCP_KEYS: &[&str] = &["listen"];
const RETENTION_KEYS: &[&str] = &["readings_days", "minutes_days", "hours_days"];
const DAYS: (usize, usize) = (0, 36_500);
const BUNDLE_KEYS: &[&str] = &["valid_days", "grace_days"];
const BUNDLE_DAYS: (usize, usize) = (0, 3_650);
const WEB_KEYS: &[&str] = &["listen", "public_url", "connections_max"];
const CONNECTIONS: (usize, usize) = (1, 100_000);

impl Config {
    /// Reads a file. Its relative paths count from its folder.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        let mut config = Self::parse(&text).map_err(|problems| ConfigError::Wrong {
            path: path.to_owned(),
            problems,
        })?;
        if let Some(folder) = path.parent() {
            config.data_dir = folder.join(&config.data_dir);
            config.notify_file = config.notify_file.map(|file| folder.join(file));
        }
        if let Some(file) = &config.notify_file {
            config.notify = NotifyConfig::read(file)?;
        }
        Ok(config)
    }

    /// Takes the text of a file; what it leaves out has its default.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let mut reader = Reader::new(text)?;
        let mut config = Self::default();
        reader.keys("", KEYS);
        if let Some(folder) = reader.text("", "data_dir") {
            if folder.is_empty() {
                reader.wrong("", "data_dir", "must name a folder");
            }
            config.data_dir = PathBuf::from(folder);
        }
        let quic = &mut config.quic;
        reader.keys("quic", QUIC_KEYS);
        reader.address("quic", "listen", &mut quic.listen);
        reader.count(
            ("quic", "connections_max"),
            CONNECTIONS,
            &mut quic.connections_max,
        );
        reader.count(
            ("quic", "handshakes_per_s"),
            CONNECTIONS,
            &mut quic.handshakes_per_s,
        );
        reader.keys("tcp", TCP_KEYS);
        let mut address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        if reader.address("tcp", "listen", &mut address) {
            config.tcp.listen = Some(address);
        }
        let web = &mut config.web;
        reader.keys("web", WEB_KEYS);
        reader.address("web", "listen", &mut web.listen);
        reader.count(
            ("web", "connections_max"),
            CONNECTIONS,
            &mut web.connections_max,
        );
        let retention = &mut config.retention;
        reader.keys("retention", RETENTION_KEYS);
        let days = [
            ("readings_days", &mut retention.readings_days),
            ("minutes_days", &mut retention.minutes_days),
            ("hours_days", &mut retention.hours_days),
        ];
        for (key, days) in days {
            reader.count(("retention", key), DAYS, days);
        }
        reader.keys("notify", NOTIFY_KEYS);
        config.notify_file = reader.text("notify", "file").map(PathBuf::from);
        let bundle = &mut config.bundle;
        reader.keys("bundle", BUNDLE_KEYS);
        let days = [
            ("valid_days", &mut bundle.valid_days),
            ("grace_days", &mut bundle.grace_days),
        ];
        for (key, days) in days {
            reader.count(("bundle", key), BUNDLE_DAYS, days);
        }
        if let Some(url) = reader.text("web", "public_url") {
            if !is_web_address(&url) {
                let words = "must be the whole address that people type, like \
                             \"https://hub.example.org\"";
                reader.wrong("web", "public_url", words);
            }
            config.web.public_url = Some(url);
        }
        reader.finish(config)
    }
}

fn is_web_address(url: &str) -> bool {
    ["https://", "http://"]
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme))
        .is_some_and(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace))
}

fn lines(path: &Path, problems: &[Problem]) -> String {
    problems
        .iter()
        .map(|problem| format!("{}:{problem}", path.display()))
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests;
