//! `doctor`: what is wrong with this box, in words, with what to do, worst first. Works with and
//! without a running agent; never changes anything.

mod agent;
mod files;
mod finding;
mod system;

pub(super) use finding::{Findings, Rank};

use super::Output;
use super::client::Client;
use crate::clock;
use crate::config::{Config, parse_duration};
use anyhow::bail;
use clap::Args;
use files::{access_code, configuration, data, identity, serial_lines};
use protocol::time::Timestamp;
use protocol::time::{ClockState, EARLIEST};
use serde_json::Value;
use std::net::ToSocketAddrs as _;
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::time::Duration;
use system::System;

/// Longest time for checking one database, unless told otherwise.
const CHECK_TIME_DEFAULT: Duration = Duration::from_secs(30);
/// Longest wait for the hub's name to be looked up.
const NAME_WAIT: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
#[command(
    after_help = "Looks at configuration, disk, databases, clock, serial ports, identity, the \
    running agent and its devices. Changes nothing.\n\
    Exit code 0: nothing is wrong (some things may need attention); 1: something is wrong.\n\n\
    Example:\n  edge-agent doctor\n  edge-agent doctor --json | jq '.findings[] | select(.rank == \"wrong\")'"
)]
pub(super) struct Doctor {
    /// Longest time for checking one database.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "30s")]
    check_time: Duration,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "write for example 30s or 5m".to_owned())
}

impl Doctor {
    pub(super) fn run(self, file: &Path, output: Output) -> anyhow::Result<()> {
        let found = examine(file, self.check_time).findings;
        output.answer(&found.json(), &found.words())?;
        match found.count(Rank::Wrong) {
            0 => Ok(()),
            _ => bail!("{}", found.sum()),
        }
    }
}

/// What was found, and what the running agent answered meanwhile.
#[derive(Debug, Default)]
pub(super) struct Examined {
    /// All findings.
    pub(super) findings: Findings,
    /// The configuration as far as it could be read.
    pub(super) config: Option<Config>,
    /// The status of the running agent, if one answers.
    pub(super) status: Option<Value>,
}

/// Looks at everything with the usual time for databases.
pub(super) fn examine_all(file: &Path) -> Examined {
    examine(file, CHECK_TIME_DEFAULT)
}

fn examine(file: &Path, longest: Duration) -> Examined {
    let mut found = Findings::default();
    let config = configuration(file, &mut found);
    let system = System::new("/");
    let mut status = None;
    if let Some(config) = &config {
        for (port, line) in serial_lines(config) {
            match line {
                Ok(path) => system.serial(&port, &path, &mut found),
                Err(error) => found.wrong(
                    &format!("port {port}"),
                    format!("{error}."),
                    "Plug the adapter in, or name another one in `match` or `path`.",
                ),
            }
        }
        access_code(config, &mut found);
        data(&config.gateway.data_dir, longest, &mut found);
        let enrolled = identity(config, clock::now(), &mut found);
        status = running(config, &mut found);
        if let Some(status) = &status {
            agent::examine_status(status, enrolled, &mut found);
        } else {
            away(config, enrolled, &mut found);
        }
    }
    time(config.as_ref(), status.as_ref(), &mut found);
    system.examine(status.is_some(), &mut found);
    Examined {
        findings: found,
        config,
        status,
    }
}

/// The status of the running agent, if one answers.
fn running(config: &Config, found: &mut Findings) -> Option<Value> {
    match Client::new(config).get("/status") {
        Ok(status) => Some(status),
        Err(error) if error.downcast_ref::<ureq::Error>().is_some() => {
            found.wrong(
                "agent",
                format!(
                    "It does not answer at http://{}: nothing is collected.",
                    config.web.listen
                ),
                "Start it: systemctl start edge-agent. Why it ended: journalctl --unit edge-agent",
            );
            None
        }
        Err(error) => {
            found.attention(
                "agent",
                format!("It runs, but does not tell how it is: {error:#}"),
                "Run this as a user who may read the access code.",
            );
            None
        }
    }
}

/// What can be told of the uplink without an agent that says how it is.
fn away(config: &Config, enrolled: bool, found: &mut Findings) {
    let Some(hub) = &config.hub else {
        found.fine("hub", "None is configured: the box works alone.");
        return;
    };
    if !enrolled {
        found.attention(
            "hub",
            "The box is not enrolled.",
            "Get a claim (`cloud-hub claim new`) and enrol the box: edge-agent enrol",
        );
    }
    let (told, answer) = sync_channel(1);
    let address = (hub.host.clone(), hub.port);
    // A look-up that hangs ends with this program.
    std::thread::spawn(move || {
        told.send(
            address
                .to_socket_addrs()
                .is_ok_and(|mut all| all.next().is_some()),
        )
    });
    if answer.recv_timeout(NAME_WAIT) == Ok(true) {
        found.fine(
            "hub",
            format!("The name of {hub} is known to this network."),
        );
    } else {
        found.attention(
            "hub",
            format!("The name of {hub} cannot be looked up from here."),
            "Check [hub] address, the network cable and the DNS server of this box.",
        );
    }
}

/// The clock, as the running agent sees it, else as this program does.
fn time(config: Option<&Config>, status: Option<&Value>, found: &mut Findings) {
    clock::set_trusted(config.is_some_and(|config| config.gateway.clock_trusted));
    let (now, own) = clock::stamp();
    let shown = second(now);
    let told = status.and_then(|status| status.pointer("/clock")?.as_str());
    let untrusted = told.map_or(own == ClockState::Untrusted, |word| word == "untrusted");
    if now < EARLIEST {
        found.wrong(
            "clock",
            format!("It says {shown}, which cannot be."),
            "Set it (timedatectl set-time), or let a time service set it; readings wait for that.",
        );
    } else if untrusted {
        found.attention(
            "clock",
            format!("It says {shown}; nothing has set it since the box was switched on."),
            "Start a time service (systemd-timesyncd, chrony), or set it; the hub tells the time too.",
        );
    } else {
        let alone = told.map_or(own == ClockState::Holdover, |word| word == "holdover");
        let word = if alone {
            "was set and runs on its own"
        } else {
            "is kept right"
        };
        found.fine("clock", format!("It says {shown} and {word}."));
    }
}

/// A time to the second.
fn second(at: Timestamp) -> String {
    let text = at.to_string().replace('T', " ");
    format!("{}Z", text.get(..19).unwrap_or(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_without_a_running_agent_is_told_so_and_what_else_there_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("edge.toml");
        // Port 1 of this machine: nobody answers there.
        let text = "[gateway]\ndata_dir = \"data\"\n[web]\nlisten = \"127.0.0.1:1\"\n\
                    [hub]\naddress = \"127.0.0.1:7443\"\n\
                    [[port]]\nname = \"line-a\"\nprotocol = \"modbus\"\nkind = \"serial\"\npath = \"/dev/gone\"\n";
        std::fs::write(&file, text).unwrap();
        let before = std::fs::read_dir(folder.path()).unwrap().count();
        let examined = examine_all(&file);
        let words = examined.findings.words();
        assert!(examined.status.is_none() && examined.config.is_some());
        assert!(
            words.contains("WRONG  agent: It does not answer at http://127.0.0.1:1"),
            "{words}"
        );
        assert!(
            words.contains("LOOK   hub: The box is not enrolled."),
            "{words}"
        );
        assert!(words.contains("fine   configuration:"), "{words}");
        assert!(words.contains(" clock: It says 20"), "{words}");
        let doctor = Doctor {
            check_time: Duration::from_secs(5),
        };
        let error = doctor
            .run(&file, Output { json: true })
            .unwrap_err()
            .to_string();
        assert!(error.contains("wrong"), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), before);
    }
}
