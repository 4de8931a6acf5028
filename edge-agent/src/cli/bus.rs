//! `bus stats`: how much the running agent's buses are used, and how each unit answers.
//! Never asks a device itself.

use super::client::Client;
use super::table::table;
use super::words::{items, text};
use super::{Output, told};
use crate::config::{Config, DeviceConfig, PortConfig};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::Path;

#[derive(Debug, Subcommand)]
pub(super) enum Bus {
    /// Show requests, errors, answer times and use of each port and unit.
    Stats(Stats),
}

#[derive(Debug, Args)]
#[command(
    after_help = "BUS % and REQ/S are those of the last minute, the counts those since the port started.\n\n\
    Example:\n  edge-agent bus stats\n  edge-agent bus stats line-a --json"
)]
pub(super) struct Stats {
    /// One port; else all.
    #[arg(value_name = "PORT")]
    port: Option<String>,
}

impl Bus {
    pub(super) fn run(self, file: &Path, output: Output) -> anyhow::Result<()> {
        let Self::Stats(Stats { port }) = self;
        let (config, _) = crate::agent::effective(file).map_err(told)?;
        let client = &mut Client::new(&config);
        let mut ports = match port {
            None => client.list("/bus")?,
            Some(port) => vec![client.get(&format!("/bus/{}", escaped(&port)))?],
        };
        name_devices(&config, &mut ports);
        let words = if ports.is_empty() {
            "The running agent has no port that counts.".to_owned()
        } else {
            ports.iter().map(words).collect::<Vec<_>>().join("\n")
        };
        output.answer(&json!({"data": ports, "next_cursor": null}), &words)
    }
}

/// Writes beside each unit which devices of the configuration are it.
fn name_devices(config: &Config, ports: &mut [Value]) {
    for port in ports {
        let named = text(port, "/port");
        let known = config.ports.iter().find(|known| known.name == named);
        let devices = known.map_or_else(Vec::new, |known| units(known, &config.devices));
        let all = port.get_mut("units").and_then(Value::as_array_mut);
        for unit in all.into_iter().flatten() {
            let number = unit.get("unit").and_then(Value::as_u64);
            let names = devices
                .iter()
                .filter(|(of, _)| number == Some((*of).into()));
            let names: Vec<&str> = names.map(|(_, name)| name.as_str()).collect();
            let names = json!(names);
            if let Some(fields) = unit.as_object_mut() {
                fields.insert("devices".to_owned(), names);
            }
        }
    }
}

#[cfg(feature = "driver-modbus")]
fn units(port: &PortConfig, devices: &[DeviceConfig]) -> Vec<(u8, String)> {
    if port.protocol != "modbus" {
        // Instruments have no numbers of their own: they are counted as they stand in the file.
        let on_it = devices.iter().filter(|device| device.port == port.name);
        return (1..=u8::MAX)
            .zip(on_it.map(|device| device.name.clone()))
            .collect();
    }
    let port = crate::drivers::modbus::config::read(port, devices);
    let devices = port.into_iter().flat_map(|port| port.devices);
    devices
        .filter_map(|device| Some((device.unit()?, device.name)))
        .collect()
}

#[cfg(not(feature = "driver-modbus"))]
const fn units(_port: &PortConfig, _devices: &[DeviceConfig]) -> Vec<(u8, String)> {
    Vec::new()
}

/// A name as part of an address.
pub(super) fn escaped(name: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    let parts = name.as_bytes().iter().map(|byte| {
        if plain(byte) {
            char::from(*byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    });
    parts.collect()
}

fn tenth(answer: &Value, pointer: &str) -> String {
    let number = answer.pointer(pointer).and_then(Value::as_f64);
    number.map_or_else(|| "-".to_owned(), |number| format!("{number:.1}"))
}

fn words(port: &Value) -> String {
    let head = format!(
        "Port {}: {} % used, {} requests a second, opened {} in {} s\n",
        text(port, "/port"),
        tenth(port, "/utilisation_percent"),
        tenth(port, "/requests_per_s"),
        match port.pointer("/connections").and_then(Value::as_u64) {
            Some(1) => "once".to_owned(),
            _ => format!("{} times", text(port, "/connections")),
        },
        port.pointer("/seconds")
            .and_then(Value::as_f64)
            .unwrap_or(0.0)
            .round(),
    );
    let row = |unit: &Value| {
        let devices = items(unit, "/devices").iter().filter_map(Value::as_str);
        let devices: Vec<&str> = devices.collect();
        let times = ["min", "mean", "max"].map(|key| tenth(unit, &format!("/turnaround_ms/{key}")));
        vec![
            text(unit, "/unit"),
            devices.join(", "),
            tenth(unit, "/utilisation_percent"),
            tenth(unit, "/requests_per_s"),
            text(unit, "/requests"),
            text(unit, "/timeouts"),
            text(unit, "/garbled"),
            text(unit, "/refusals"),
            text(unit, "/late"),
            times.join(" / "),
        ]
    };
    let rows: Vec<_> = items(port, "/units").iter().map(row).collect();
    let columns = [
        "UNIT",
        "DEVICE",
        "BUS %",
        "REQ/S",
        "REQUESTS",
        "TIMEOUTS",
        "GARBLED",
        "REFUSED",
        "LATE",
        "ANSWER MS (MIN / MEAN / MAX)",
    ];
    format!("{head}{}", table(&columns, &rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_told_with_its_units() {
        let port = json!({"port": "line-a", "utilisation_percent": 12.34, "requests_per_s": 2.0,
            "connections": 1, "seconds": 90.2, "units": [{"unit": 7, "devices": ["pump-7"],
            "utilisation_percent": 12.34, "requests_per_s": 2.0, "requests": 180, "timeouts": 3,
            "garbled": 0, "refusals": 1, "late": 0, "turnaround_ms": {"min": 4.0, "mean": 5.5, "max": 80.0}}]});
        let lines = words(&port);
        let lines: Vec<&str> = lines.lines().collect();
        assert_eq!(
            lines[0],
            "Port line-a: 12.3 % used, 2.0 requests a second, opened once in 90 s"
        );
        assert_eq!(
            lines[2],
            "7     pump-7  12.3   2.0    180       3         0        1        0     4.0 / 5.5 / 80.0"
        );
        assert_eq!(escaped("line a/1"), "line%20a%2F1");
    }
}
