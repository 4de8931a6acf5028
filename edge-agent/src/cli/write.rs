//! `write`: one value to a device, through the running agent; to a device that nobody has configured
//! only when its person says so twice. Never writes twice, never without being asked.

use super::bus::escaped;
use super::client::{Client, person};
use super::read::duration;
use super::words::text;
use super::{Output, block_on, told};
use crate::config::Config;
use crate::drivers;
use crate::drivers::modbus::config::TIMEOUT_DEFAULT;
use crate::drivers::modbus::link::{LinkSettings, Target};
use crate::drivers::modbus::read::read_once;
use crate::drivers::modbus::write::write_once;
use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::{Value, json};
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::Path;
use std::time::Duration;

#[derive(Debug, Args)]
#[command(
    after_help = "DEVICE/SENSOR is written by the running agent: only what `write = [\"hr:100-110\"]` of the device \
    releases, in the unit of the sensor, with an event that says who wrote what. DEVICE and --point write an address.\n\
    A target (tcp://…, /dev/ttyUSB0) is written directly, with --point and --yes-write-to-device.\n\n\
    Example:\n  edge-agent write pump-7/setpoint 21.5\n  \
    edge-agent write pump-7 500 --point hr:100\n  \
    edge-agent write tcp://10.0.0.5 500 --point hr:100 --unit 3 --yes-write-to-device"
)]
pub(super) struct Write {
    /// DEVICE/SENSOR, DEVICE with --point, or a target as in `read --help`.
    #[arg(value_name = "WHERE")]
    place: String,
    /// The value: 21.5, -3, 0x1F4, true; of a sensor in its unit.
    #[arg(allow_hyphen_values = true)]
    value: String,
    /// Address, type and byte order, for example hr:100:f32:CDAB.
    #[arg(long, value_name = "POINT")]
    point: Option<String>,
    /// Who writes; else the name of the user who is signed in here.
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Do not ask whether it is meant.
    #[arg(long)]
    yes: bool,
    /// Number of the unit, for a target.
    #[arg(long, value_name = "N", default_value_t = 1)]
    unit: u8,
    /// Longest wait for an answer, for a target.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    timeout: Option<Duration>,
    /// Yes, write to a device that the running agent does not know.
    #[arg(long)]
    yes_write_to_device: bool,
}

impl Write {
    pub(super) fn run(self, file: &Path, output: Output) -> anyhow::Result<()> {
        if self.place.contains("://") || self.place.starts_with('/') {
            return self.directly(file, output);
        }
        if self.yes_write_to_device {
            bail!(
                "--yes-write-to-device is for a target such as tcp://10.0.0.5; the agent writes to its own devices"
            );
        }
        let (device, body) = match (self.place.split_once('/'), &self.point) {
            (Some((device, sensor)), None) => (device, json!({"sensor": sensor})),
            (None, Some(point)) => (self.place.as_str(), json!({"address": point})),
            _ => bail!("write DEVICE/SENSOR VALUE, or DEVICE VALUE --point hr:100"),
        };
        let by = person(self.by.clone())?;
        let mut body = body;
        if let Some(fields) = body.as_object_mut() {
            fields.insert("by".to_owned(), json!(by));
            fields.insert("value".to_owned(), json!(self.value));
        }
        let place = self
            .point
            .as_ref()
            .map_or_else(|| self.place.clone(), |point| format!("{device} {point}"));
        self.confirm(&format!("Write {} to {place} as {by}?", self.value))?;
        let config = Config::draft(file).map_err(told)?;
        let mut client = Client::new(&config);
        let answer = client
            .post(&format!("/devices/{}/write", escaped(device)), &body)
            .with_context(|| format!("writing to {place}"))?;
        output.answer(&answer, &words(&answer))
    }

    /// Without the agent: it must not know the device.
    fn directly(&self, file: &Path, output: Output) -> anyhow::Result<()> {
        let Some(point) = &self.point else {
            bail!(
                "say where in the device: --point hr:100, with type and order where they are needed"
            );
        };
        let timeout = self.timeout.unwrap_or(TIMEOUT_DEFAULT);
        let settings = Target::parse(&self.place)?.link.with_timeout(timeout);
        refuse_known(file, &settings)?;
        if !self.yes_write_to_device {
            bail!(
                "this would write {} to {point} of unit {} at {}, with nobody to release it and no record of it; \
                 add --yes-write-to-device if that is meant",
                self.value,
                self.unit,
                settings.place()
            );
        }
        let answer = block_on(async {
            let points = [point.clone()];
            let now = read_once(&self.place, self.unit, &points, timeout).await;
            let now = now
                .ok()
                .and_then(|answer| Some(answer.points.first()?.value.as_ref()?.to_string()));
            let now = now.unwrap_or_else(|| "cannot be read".to_owned());
            self.confirm(&format!(
                "Write {} to {point} of unit {} at {} (now: {now})?",
                self.value,
                self.unit,
                settings.place()
            ))?;
            Ok(write_once(settings, self.unit, point, &self.value).await?)
        })?;
        let json = serde_json::to_value(&answer).context("writing the answer as JSON")?;
        output.answer(&json, &words(&json))
    }

    /// Asks on a terminal; elsewhere `--yes` has to be there.
    fn confirm(&self, question: &str) -> anyhow::Result<()> {
        if self.yes {
            return Ok(());
        }
        if !std::io::stdin().is_terminal() {
            bail!("nobody can be asked here ({question}); add --yes if it is meant");
        }
        let mut stderr = std::io::stderr().lock();
        write!(stderr, "{question} [y/N] ")
            .and_then(|()| stderr.flush())
            .context("asking whether it is meant")?;
        let mut answer = String::new();
        let mut stdin = std::io::stdin().lock();
        stdin.read_line(&mut answer).context("reading the answer")?;
        if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
            return Ok(());
        }
        bail!("nothing was written");
    }
}

/// Two masters on one device would fight, and the agent's own record would miss the write.
fn refuse_known(file: &Path, settings: &LinkSettings) -> anyhow::Result<()> {
    // Without a configuration there is no port that could be meant.
    let Ok((config, _)) = crate::agent::effective(file) else {
        return Ok(());
    };
    for port in &config.ports {
        let known = drivers::build(port, &config.devices).and_then(|driver| driver.address());
        if known.is_some_and(|known| known.to_string() == settings.address.to_string()) {
            bail!(
                "port \"{}\" of the configuration is {}: write through the running agent (edge-agent write \
                 DEVICE/SENSOR VALUE)",
                port.name,
                settings.address
            );
        }
    }
    Ok(())
}

fn words(answer: &Value) -> String {
    format!(
        "{} {}: it was {}, {} was written, it is {} now.",
        text(answer, "/device"),
        text(answer, "/place"),
        text(answer, "/before"),
        text(answer, "/written"),
        text(answer, "/after")
    )
}
