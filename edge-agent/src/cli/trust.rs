//! `trust`: the site's authority for HTTPS on this box: make one, carry it to another box, show what
//! phones need. Never prints its key but for `trust export`.

use super::Output;
use crate::clock;
use crate::config::Config;
use crate::trust::{Name, SiteAuthority, file, host_name, terminal};
use anyhow::{Context as _, bail};
use clap::Subcommand;
use serde_json::json;
use std::io::Write as _;
use std::net::{IpAddr, UdpSocket};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// An address of documentation (RFC 5737): asked which way the system would go, nothing is sent.
const ELSEWHERE: &str = "192.0.2.1:9";

/// The authority that phones trust, so that they open the page of the site's boxes by HTTPS.
#[derive(Debug, Subcommand)]
pub(super) enum Trust {
    /// Make one now; the agent makes one by itself when it serves HTTPS for the first time.
    Init {
        /// Further names or addresses for which it may vouch, beyond private ones.
        #[arg(long = "name", value_name = "NAME")]
        names: Vec<Name>,
        /// Replace the one that is there: every phone has to trust the new one.
        #[arg(long)]
        again: bool,
    },
    /// Show its fingerprint and how phones come to trust it, with a QR code.
    Show,
    /// Write its key and certificate into a new file, for the other boxes of the site. A secret.
    Export {
        /// The file.
        file: PathBuf,
    },
    /// Take the authority of another box of the site.
    Import {
        /// What `trust export` wrote there.
        file: PathBuf,
        /// Replace the one that is there.
        #[arg(long)]
        again: bool,
    },
}

impl Trust {
    pub(super) fn run(self, config: &Path, output: Output) -> anyhow::Result<()> {
        let config = Config::draft(config).map_err(super::told)?;
        let place = file(&config.gateway.data_dir);
        match self {
            Self::Init { names, again } => {
                let called = config.gateway.name.as_deref().unwrap_or("site");
                let now = clock::now();
                let made = SiteAuthority::make(&place, (called, &names), now, again)?;
                taken(&made, "was made", output)
            }
            Self::Import { file, again } => {
                let text = std::fs::read_to_string(&file)
                    .with_context(|| format!("reading {}", file.display()))?;
                let taken_over = SiteAuthority::take(&place, &text, again)?;
                taken(&taken_over, "is that of the other box now", output)
            }
            Self::Export { file } => {
                let authority = read(&place)?;
                let writing = || format!("writing {}", file.display());
                let mut options = std::fs::OpenOptions::new();
                let mut opened = options
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(&file)
                    .with_context(writing)?;
                let text = authority.secret_pem().as_bytes();
                opened.write_all(text).with_context(writing)?;
                output.answer(
                    &json!({"file": file.display().to_string(), "fingerprint": authority.fingerprint()}),
                    &format!(
                        "{} holds the key of the site's authority: carry it to the other box, \
                         `edge-agent trust import` it there, and delete it.",
                        file.display()
                    ),
                )
            }
            Self::Show => show(&config, &read(&place)?, output),
        }
    }
}

fn read(place: &Path) -> anyhow::Result<SiteAuthority> {
    match SiteAuthority::read(place)? {
        Some(authority) => Ok(authority),
        None => bail!(
            "this box has no site authority yet: `edge-agent trust init` makes one, or set \
             [web] https_listen and start the agent"
        ),
    }
}

fn taken(authority: &SiteAuthority, how: &str, output: Output) -> anyhow::Result<()> {
    let fingerprint = authority.fingerprint();
    output.answer(
        &json!({"fingerprint": fingerprint}),
        &format!(
            "The site's authority {how}. Its fingerprint:\n{fingerprint}\nStart the agent again: \
             systemctl restart edge-agent"
        ),
    )
}

fn show(config: &Config, authority: &SiteAuthority, output: Output) -> anyhow::Result<()> {
    let fingerprint = authority.fingerprint();
    let port = config.web.listen.port();
    let help = format!("http://{}/trust", joined(&host(config), port));
    let https = config
        .web
        .https_listen
        .map(|listen| format!("https://{}/", joined(&host(config), listen.port())));
    let mut words = format!("Fingerprint of the site's authority (SHA-256):\n{fingerprint}\n\n");
    match &https {
        None => words.push_str("The page is not served by HTTPS: set [web] https_listen.\n"),
        Some(https) => {
            let code = terminal(&help)?;
            words = format!(
                "{words}Open {help} on a phone (or scan this), follow its steps, compare the \
                 fingerprint; then open {https}\n\n{code}"
            );
        }
    }
    let json = json!({"fingerprint": fingerprint, "help": help, "https": https});
    output.answer(&json, &words)
}

/// How a phone reaches this box: by the address that is listened on, else by the one that this box
/// would send from.
fn host(config: &Config) -> String {
    let listen = config.web.listen.ip();
    if !listen.is_unspecified() {
        return listen.to_string();
    }
    let outward = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect(ELSEWHERE)?;
        Ok(socket.local_addr()?.ip())
    });
    match outward {
        Ok(address) if !address.is_unspecified() => address.to_string(),
        _ => host_name().unwrap_or_else(|| "localhost".to_owned()),
    }
}

fn joined(host: &str, port: u16) -> String {
    match host.parse() {
        Ok(IpAddr::V6(v6)) => format!("[{v6}]:{port}"),
        _ => format!("{host}:{port}"),
    }
}
