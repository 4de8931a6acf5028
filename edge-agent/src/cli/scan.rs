//! `scan`: who answers, on a serial line with settings that nobody knows, or in a network. Never writes
//! to a device; more than one host only when somebody says so.

use super::lists::{units, values};
use super::progress::Progress;
use super::read::duration;
use super::table::{many, table};
use super::{Output, block_on};
use crate::config::show_duration;
use crate::drivers::modbus::field::hosts::endpoints;
use crate::drivers::modbus::field::scan::{Found, Scanned, Setting, Step, scan};
use crate::drivers::modbus::field::sweep::sweep;
use crate::drivers::modbus::frame::Framing;
use crate::drivers::modbus::link::LinkSettings;
use crate::transport::{Address, Parity, SerialPlace, SerialSettings};
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

/// Endpoints for which lines of the configuration are shown.
const ADVICE_MAX: usize = 4;

#[derive(Debug, Subcommand)]
pub(super) enum Scan {
    /// Try settings and unit numbers on a serial line.
    Serial(Serial),
    /// Look for Modbus TCP devices, and units behind gateways, on a host or in a network.
    Tcp(Tcp),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Asks every unit with every setting for one register: settings x units x timeout at most. \
    Stop the agent first if it uses the line.\n\n\
    Example:\n  edge-agent scan serial /dev/ttyUSB0 --baud 9600,19200 --parity N,E --units 1-32"
)]
pub(super) struct Serial {
    /// The serial line, for example /dev/ttyUSB0.
    #[arg(value_name = "PORT")]
    port: PathBuf,
    /// Baud rates to try.
    #[arg(long, value_name = "LIST", default_value = "9600,19200")]
    baud: String,
    /// Parities to try: N, E, O.
    #[arg(long, value_name = "LIST", default_value = "N,E")]
    parity: String,
    /// Stop bits to try: 1, 2.
    #[arg(long, value_name = "LIST", default_value = "1")]
    stop: String,
    /// Data bits: 8, or 7 for some ASCII devices.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u8).range(7..=8))]
    data: u8,
    /// Unit numbers to ask.
    #[arg(long, value_name = "LIST", default_value = "1-32")]
    units: String,
    /// Longest wait for each answer.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "200ms")]
    timeout: Duration,
    /// Modbus ASCII instead of RTU.
    #[arg(long)]
    ascii: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Connects to each host, at most --rate new connections a second, then asks each unit on \
    those that accept. At most a /22. Ask whoever runs the network before.\n\n\
    Example:\n  edge-agent scan tcp 10.0.0.5 --units 1-32\n  edge-agent scan tcp 10.0.0.0/24 --yes"
)]
pub(super) struct Tcp {
    /// A host (HOST or HOST:PORT), or a network such as 10.0.0.0/24.
    #[arg(value_name = "HOSTS")]
    hosts: String,
    /// TCP port.
    #[arg(long, value_name = "N", default_value_t = 502, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Unit numbers to ask on each host.
    #[arg(long, value_name = "LIST", default_value = "1")]
    units: String,
    /// Longest wait for a connection and for each answer.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "500ms")]
    timeout: Duration,
    /// New connections a second.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    rate: u32,
    /// RTU over TCP (a serial server) instead of Modbus TCP.
    #[arg(long)]
    rtu: bool,
    /// Yes, look at more than one host.
    #[arg(long)]
    yes: bool,
}

impl Scan {
    pub(super) fn run(self, output: Output) -> anyhow::Result<()> {
        match self {
            Self::Serial(command) => command.run(output),
            Self::Tcp(command) => command.run(output),
        }
    }
}

impl Serial {
    fn run(self, output: Output) -> anyhow::Result<()> {
        let settings = self.settings().map_err(anyhow::Error::msg)?;
        let units = units(&self.units).map_err(anyhow::Error::msg)?;
        let scanned = block_on(async { Ok(run_scan(&settings, &units).await) })?;
        let hints = scanned.hints(true);
        let advice = self.advice(&scanned);
        let json = json_of(&scanned, &hints, advice.as_deref());
        let head = format!(
            "{}: {} x {}, at most {} for each.",
            self.port.display(),
            many(settings.len(), "setting"),
            many(units.len(), "unit"),
            show_duration(self.timeout),
        );
        output.answer(
            &json,
            &words(&head, "SETTING", &scanned, &hints, advice.as_deref()),
        )?;
        ended(&scanned)
    }

    fn settings(&self) -> Result<Vec<Setting>, String> {
        let bauds = values(
            &self.baud,
            |baud: &u32| (300..=4_000_000).contains(baud),
            "write 300 to 4000000",
        )?;
        let stops = values(
            &self.stop,
            |stop: &u8| (1..=2).contains(stop),
            "write 1 or 2",
        )?;
        let letters = values(
            &self.parity,
            |letter: &String| Parity::from_letter(letter).is_some(),
            "write N, E or O",
        )?;
        let mut settings = Vec::new();
        for baud in bauds {
            for parity in letters
                .iter()
                .filter_map(|letter| Parity::from_letter(letter))
            {
                for stop in &stops {
                    let serial = SerialSettings {
                        baud,
                        parity,
                        stop: *stop,
                        data: self.data,
                        ..SerialSettings::new(SerialPlace::Path(self.port.clone()))
                    };
                    let framing = if self.ascii {
                        Framing::Ascii
                    } else {
                        Framing::Rtu
                    };
                    settings.push(Setting {
                        words: serial.words(),
                        link: LinkSettings::new(Address::Serial(serial), framing)
                            .with_timeout(self.timeout),
                    });
                }
            }
        }
        Ok(settings)
    }

    /// The lines of a port for the setting with which most units answered.
    fn advice(&self, scanned: &Scanned) -> Option<String> {
        let count = |setting: &str| {
            scanned
                .found
                .iter()
                .filter(|found| found.setting == setting)
                .count()
        };
        let best = scanned
            .found
            .iter()
            .max_by_key(|found| count(&found.setting))?;
        let settings = self.settings().ok()?;
        let setting = settings
            .into_iter()
            .find(|setting| setting.words == best.setting)?;
        let Address::Serial(serial) = setting.link.address else {
            return None;
        };
        Some(format!(
            "[[port]]\nname = \"line-a\"\nprotocol = \"modbus\"\nkind = \"{}\"\npath = \"{}\"\nbaud = {}\n\
             data = {}\nparity = \"{}\"\nstop = {}\n",
            if self.ascii { "ascii" } else { "serial" },
            self.port.display(),
            serial.baud,
            serial.data,
            serial.parity,
            serial.stop,
        ))
    }
}

impl Tcp {
    fn run(self, output: Output) -> anyhow::Result<()> {
        let endpoints = endpoints(&self.hosts, self.port)?;
        let units = units(&self.units).map_err(anyhow::Error::msg)?;
        if endpoints.len() > 1 && !self.yes {
            bail!(
                "this would connect to {} on port {}; add --yes when whoever runs that network agrees",
                many(endpoints.len(), "host"),
                self.port
            );
        }
        let (open, scanned) = block_on(self.look(&endpoints, &units))?;
        let mut hints = scanned.hints(false);
        // Where units were found, who scans knows already how they are numbered.
        let found =
            |gateway: &&String| scanned.found.iter().any(|found| found.setting == **gateway);
        let gateways = scanned.gateways.iter().filter(|gateway| !found(gateway));
        let gateways: Vec<&str> = gateways.map(String::as_str).collect();
        if !gateways.is_empty() {
            hints.push(format!(
                "A gateway answers at {}: units behind it have other numbers, try --units 1-32.",
                gateways.join(", ")
            ));
        }
        let advice = self.advice(&scanned);
        let mut json = json_of(&scanned, &hints, advice.as_deref());
        if let Some(fields) = json.as_object_mut() {
            fields.insert("hosts".to_owned(), json!(endpoints.len()));
            fields.insert("accepting".to_owned(), json!(open));
        }
        let port = endpoints.first().and_then(|first| first.rsplit_once(':'));
        let head = format!(
            "{}: {}, {} on port {}; {} asked on each.",
            self.hosts,
            many(endpoints.len(), "host"),
            match open.len() {
                1 => "1 accepts".to_owned(),
                count => format!("{count} accept"),
            },
            port.map_or("-", |(_, port)| port),
            many(units.len(), "unit"),
        );
        let advice = advice.as_deref();
        output.answer(&json, &words(&head, "ADDRESS", &scanned, &hints, advice))?;
        ended(&scanned)
    }

    /// Those of `endpoints` that accept, and who answers there.
    async fn look(
        &self,
        endpoints: &[String],
        units: &[u8],
    ) -> anyhow::Result<(Vec<String>, Scanned)> {
        if let [endpoint] = endpoints {
            let known = tokio::net::lookup_host(endpoint).await;
            let words = "is a name that this network does not know; write its address";
            drop(known.with_context(|| format!("{} {words}", self.hosts))?);
        }
        let mut progress = Progress::new();
        let open = sweep(endpoints, self.timeout, self.rate, &mut |done, open| {
            progress.show(&format!(
                "{done} of {} hosts, {open} accept",
                endpoints.len()
            ));
        })
        .await;
        drop(progress);
        let framing = if self.rtu {
            Framing::Rtu
        } else {
            Framing::Mbap
        };
        let settings: Vec<Setting> = open
            .iter()
            .map(|endpoint| Setting {
                words: endpoint.clone(),
                link: LinkSettings::new(Address::Tcp(endpoint.clone()), framing)
                    .with_timeout(self.timeout),
            })
            .collect();
        let scanned = run_scan(&settings, units).await;
        Ok((open, scanned))
    }

    /// The lines of a port for each endpoint with units; more than a few are written by a script.
    fn advice(&self, scanned: &Scanned) -> Option<String> {
        let mut endpoints: Vec<&str> = Vec::new();
        for found in &scanned.found {
            if endpoints.last() != Some(&found.setting.as_str()) {
                endpoints.push(&found.setting);
            }
        }
        let kind = if self.rtu {
            "kind = \"rtu_over_tcp\"\n"
        } else {
            ""
        };
        let ports = (1_u32..).zip(endpoints.iter().take(ADVICE_MAX)).map(|(number, endpoint)| {
            format!(
                "[[port]]\nname = \"plc-{number}\"\nprotocol = \"modbus\"\n{kind}address = \"{endpoint}\"\n"
            )
        });
        let ports: Vec<String> = ports.collect();
        (!ports.is_empty()).then(|| ports.join("\n"))
    }
}

async fn run_scan(settings: &[Setting], units: &[u8]) -> Scanned {
    let mut progress = Progress::new();
    let mut show = |step: Step<'_>| {
        let (done, all) = step.done;
        progress.show(&format!(
            "{done} of {all}: unit {} with {}; {} found",
            step.unit, step.setting, step.found
        ));
    };
    scan(settings, units, &mut show).await
}

/// A scan that found nobody has failed, for scripts.
fn ended(scanned: &Scanned) -> anyhow::Result<()> {
    if scanned.found.is_empty() {
        bail!("no unit answered");
    }
    Ok(())
}

fn json_of(scanned: &Scanned, hints: &[String], advice: Option<&str>) -> Value {
    let mut json = serde_json::to_value(scanned).unwrap_or_default();
    if let Some(fields) = json.as_object_mut() {
        fields.insert("hints".to_owned(), json!(hints));
        fields.insert("configuration".to_owned(), json!(advice));
    }
    json
}

fn words(
    head: &str,
    place: &str,
    scanned: &Scanned,
    hints: &[String],
    advice: Option<&str>,
) -> String {
    let mut parts = vec![format!("{head}\n")];
    let row = |found: &Found| {
        let identity = Some(found.identity.words()).filter(|words| !words.is_empty());
        vec![
            found.setting.clone(),
            found.unit.to_string(),
            format!("{:.0} ms", found.milliseconds),
            identity.unwrap_or_else(|| "does not say what it is".to_owned()),
        ]
    };
    let mut rows: Vec<_> = scanned.found.iter().map(row).collect();
    rows.extend(scanned.rubbish.iter().map(|rubbish| {
        vec![
            rubbish.setting.clone(),
            rubbish.unit.to_string(),
            "garbled".to_owned(),
            rubbish.reason.clone(),
        ]
    }));
    if !rows.is_empty() {
        let columns = [place, "UNIT", "ANSWER", "WHAT IT SAYS"];
        parts.push(table(&columns, &rows));
    }
    let hints = hints.iter().chain(&scanned.unusable);
    parts.extend(hints.map(|hint| format!("{hint}\n")));
    if let Some(advice) = advice {
        parts.push(format!("For the configuration:\n\n{advice}"));
    }
    parts.join("\n")
}
