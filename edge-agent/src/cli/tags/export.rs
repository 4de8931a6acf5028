//! From a configuration to CSV. Every row says all that its sensor needs, also what it has from its
//! device or a template, so that it can be read into another box. Never writes a default that nobody
//! wrote, but for `poll`.

use super::COLUMNS;
use super::rows::{is_text, looks_like_toml};
use crate::config::{Config, DeviceConfig, SensorConfig, Written, show_duration};
use anyhow::Context as _;
use std::collections::BTreeSet;

/// What the box does with every sensor.
const ACCESS: &str = "read";

/// The sensors of all devices, or of one.
pub(super) fn export(config: &Config, only: Option<&str>) -> anyhow::Result<String> {
    let devices = config.devices.iter();
    let devices: Vec<&DeviceConfig> = devices
        .filter(|device| only.is_none_or(|name| name == device.name))
        .collect();
    let sensors = devices.iter().flat_map(|device| &device.sensors);
    let keys = sensors.flat_map(|sensor| sensor.section.written());
    let further: BTreeSet<String> = keys
        .map(|(key, _)| key.to_owned())
        .filter(|key| key != "name" && !COLUMNS.contains(&key.as_str()))
        .collect();
    let head: Vec<&str> = COLUMNS
        .iter()
        .copied()
        .chain(further.iter().map(String::as_str))
        .collect();
    let mut csv = csv::WriterBuilder::new().from_writer(Vec::new());
    csv.write_record(&head)?;
    for device in devices {
        for sensor in &device.sensors {
            csv.write_record(head.iter().map(|column| cell(device, sensor, column)))?;
        }
    }
    let bytes = csv.into_inner().context("writing CSV")?;
    String::from_utf8(bytes).context("writing CSV")
}

fn cell(device: &DeviceConfig, sensor: &SensorConfig, column: &str) -> String {
    let own = |key: &str| sensor.section.written_at(key);
    let of_device = |key: &str| device.section.written_at(key);
    match column {
        "device" => device.name.clone(),
        "tag" => sensor.name.clone(),
        "port" => device.port.clone(),
        "poll" => show_duration(sensor.poll),
        "access" => ACCESS.to_owned(),
        "asset" => sensor.asset.clone().unwrap_or_default(),
        "unit" => shown(column, of_device("unit")),
        "order" => shown(column, own("order").or_else(|| of_device("order"))),
        key => shown(key, own(key)),
    }
}

fn shown(column: &str, value: Option<Written>) -> String {
    match value {
        None => String::new(),
        Some(Written::Text(text)) if column == "description" => text,
        Some(Written::Text(text)) if is_text(column) || column == "address" || column == "unit" => {
            text.trim().to_owned()
        }
        // So that it is read back as the text that it is.
        Some(Written::Text(text)) if text.is_empty() || looks_like_toml(&text) => {
            toml_edit::Value::from(text).to_string()
        }
        Some(Written::Text(text) | Written::Other(text)) => text,
    }
}
