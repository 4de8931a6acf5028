//! Rows into a configuration: comments and everything else in the file stay as they are, and what a
//! driver does not take is told by the row it came from. Never writes a file.

use super::Wrong;
use super::rows::{self, Read, Row};
use crate::config::{Config, ConfigError, LocalFile, Problem, quoted, suggestion};
use crate::drivers;
use anyhow::{Context as _, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, Value};

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    pub device: Option<String>,
    pub port: Option<String>,
    pub unit: Option<u8>,
    pub order: Option<String>,
    pub skip: bool,
}

/// What came of a file.
#[derive(Clone, Debug, Default)]
pub(super) struct Imported {
    /// The configuration with the rows in it.
    pub text: String,
    pub sensors: usize,
    pub devices: usize,
    /// In the order of the file.
    pub wrong: Vec<Wrong>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// Makes sensors of a CSV file. With `skip`, wrong rows are left out; else one of them is enough that
/// the text is empty.
pub(super) fn import(
    file: &Path,
    config: &Config,
    csv: &[u8],
    options: &Options,
) -> anyhow::Result<Imported> {
    let Read {
        mut rows,
        mut wrong,
        is_kepware,
        writable,
        keys,
    } = rows::read(csv)?;
    if let Some(device) = &options.device {
        rows.iter_mut()
            .filter(|row| row.device.is_empty())
            .for_each(|row| row.device.clone_from(device));
    }
    wrong.extend(take_out(&mut rows, |rows| unusable(rows, config, options)));
    let mut imported = Imported::default();
    while !rows.is_empty() && (options.skip || wrong.is_empty()) {
        let text = merged(&config.local.text, &rows, (config, options, &keys))?;
        let problems = problems(file, &text)?;
        let refused = by_row(&rows, &problems);
        if refused.is_empty() {
            if let Some(problem) = problems.first() {
                bail!("the configuration itself has a problem, which comes first: {problem}");
            }
            imported.text = text;
            break;
        }
        wrong.extend(take_out(&mut rows, |_| refused));
    }
    wrong.sort_by_key(|wrong| wrong.line);
    imported.wrong = wrong;
    imported.sensors = rows.len();
    let devices: BTreeSet<&str> = rows.iter().map(|row| row.device.as_str()).collect();
    imported.devices = devices.len();
    if rows.is_empty() && imported.wrong.is_empty() {
        bail!("there is no row in it");
    }
    if imported.text.is_empty() {
        imported.text = config.local.text.to_string();
        imported.sensors = 0;
    }
    if writable > 0 {
        imported.notes.push(format!(
            "{writable} of the tags may be written where the file is from; here a device's key write releases \
             ranges of registers for that"
        ));
    }
    let long = |row: &&Row| {
        let kind = row.cells.iter().find(|(key, _)| key == "type");
        kind.and_then(|(_, kind)| kind.as_str())
            .is_some_and(|kind| kind.ends_with("32") || kind.ends_with("64"))
    };
    if is_kepware && rows.iter().any(|row| long(&row)) {
        imported.notes.push(
            "values of 32 and 64 bits: the file does not tell the byte order, which Kepware keeps with \
             the device and often is CDAB; try one with `edge-agent read` and set it with --order"
                .to_owned(),
        );
    }
    Ok(imported)
}

/// Takes the wrong rows out; answers what is wrong with them.
fn take_out(
    rows: &mut Vec<Row>,
    find: impl FnOnce(&[Row]) -> BTreeMap<u64, Vec<Wrong>>,
) -> Vec<Wrong> {
    let found = find(rows);
    rows.retain(|row| !found.contains_key(&row.line));
    found.into_values().flatten().collect()
}

/// Rows that cannot be put anywhere.
fn unusable(rows: &[Row], config: &Config, options: &Options) -> BTreeMap<u64, Vec<Wrong>> {
    let mut found: BTreeMap<u64, Vec<Wrong>> = BTreeMap::new();
    let mut seen: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for row in rows {
        let mut tell = |key: &str, words: String| {
            let column = row.places.get(key).cloned();
            let line = row.line;
            found.entry(line).or_default().push(Wrong {
                line,
                column,
                words,
            });
        };
        if row.device.is_empty() {
            tell(
                "device",
                "no device is named; fill the column device or write --device NAME".to_owned(),
            );
            continue;
        }
        if let Some(before) = seen.insert((&row.device, &row.tag), row.line) {
            let words = format!(
                "{} is in line {before} already; give each its own name",
                quoted(&row.tag)
            );
            tell("name", words);
            continue;
        }
        let known = config
            .devices
            .iter()
            .find(|device| device.name == row.device);
        let port = options.port.as_ref().or(row.port.as_ref());
        match (known, port) {
            (Some(device), _) => {
                if row.port.as_ref().is_some_and(|port| *port != device.port) {
                    let words = format!(
                        "device {} is on port {}; leave the cell empty or move the device first",
                        quoted(&row.device),
                        quoted(&device.port)
                    );
                    tell("port", words);
                }
            }
            (None, None) => {
                let words = format!(
                    "there is no device {} yet; to make it say its port: --port NAME, or a column port",
                    quoted(&row.device)
                );
                tell("device", words);
            }
            (None, Some(port)) => {
                let names = config.ports.iter().map(|port| port.name.as_str());
                if !names.clone().any(|name| name == port) {
                    let advice = suggestion(port, names);
                    tell(
                        "port",
                        format!(
                            "there is no [[port]] with the name {}; {advice}",
                            quoted(port)
                        ),
                    );
                }
            }
        }
    }
    found
}

/// The text with the rows in it.
fn merged(
    text: &str,
    rows: &[Row],
    (config, options, keys): (&Config, &Options, &[String]),
) -> anyhow::Result<String> {
    let mut document: DocumentMut = text.parse().context("reading the configuration")?;
    let devices = tables(document.as_table_mut(), "device")?;
    let mut at: BTreeMap<String, usize> = BTreeMap::new();
    for (index, device) in devices.iter().enumerate() {
        if let Some(name) = device.get("name").and_then(Item::as_str) {
            at.insert(name.to_owned(), index);
        }
    }
    // Where each sensor is: to look for it among thousands for every row takes minutes.
    let mut places: BTreeMap<(usize, String), usize> = BTreeMap::new();
    for (index, device) in devices.iter_mut().enumerate() {
        for (place, sensor) in tables(device, "sensor")?.iter().enumerate() {
            if let Some(name) = sensor.get("name").and_then(Item::as_str) {
                places.insert((index, name.to_owned()), place);
            }
        }
    }
    let counting = counting(config)?;
    for row in rows {
        let index = *at.entry(row.device.clone()).or_insert_with(|| {
            devices.push(new_device(row, options));
            devices.len() - 1
        });
        let device = devices
            .get_mut(index)
            .context("a device that was just found")?;
        let known = config.devices.iter().find(|known| known.name == row.device);
        let place = (index, row.tag.clone());
        let now = counting.get(&(row.device.clone(), row.tag.clone()));
        // What the sensor has from its device or a template is not written a second time.
        let is_new = |(key, value): &&(String, Value)| {
            now.is_none_or(|now| now.get(key) != Some(&value.to_string()))
        };
        let cells: Vec<_> = row.cells.iter().filter(is_new).collect();
        if now.is_some() && cells.is_empty() && !places.contains_key(&place) {
            continue;
        }
        let sensors = tables(device, "sensor")?;
        let place = *places.entry(place).or_insert_with(|| {
            let mut sensor = Table::new();
            sensor.insert("name", row.tag.as_str().into());
            sensors.push(sensor);
            sensors.len() - 1
        });
        let sensor = sensors
            .get_mut(place)
            .context("a sensor that was just found")?;
        for key in keys
            .iter()
            .filter(|key| known.is_some() && !row.cells.iter().any(|(k, _)| k == *key))
        {
            sensor.remove(key);
        }
        for (key, value) in cells {
            sensor.insert(key, Item::Value(value.clone()));
        }
    }
    for device in devices.iter_mut() {
        // A device that got nothing must not get an empty list either.
        if device
            .get("sensor")
            .and_then(Item::as_array_of_tables)
            .is_some_and(ArrayOfTables::is_empty)
        {
            device.remove("sensor");
        }
    }
    Ok(document.to_string())
}

/// The keys of a sensor with their values, by device and name.
type Counting = BTreeMap<(String, String), BTreeMap<String, String>>;

/// What an export of the configuration says of each sensor.
fn counting(config: &Config) -> anyhow::Result<Counting> {
    if config
        .devices
        .iter()
        .all(|device| device.sensors.is_empty())
    {
        return Ok(Counting::new());
    }
    let rows = rows::read(super::export::export(config, None)?.as_bytes())?.rows;
    let cells = |row: Row| {
        let cells = row.cells.into_iter();
        let cells = cells.map(|(key, value)| (key, value.to_string()));
        ((row.device, row.tag), cells.collect())
    };
    Ok(rows.into_iter().map(cells).collect())
}

fn new_device(row: &Row, options: &Options) -> Table {
    let mut device = Table::new();
    device.decor_mut().set_prefix("\n");
    device.insert("name", row.device.as_str().into());
    let port = options.port.as_ref().or(row.port.as_ref());
    device.insert("port", port.cloned().unwrap_or_default().into());
    let given = options.unit.map(|unit| Value::from(i64::from(unit)));
    if let Some(unit) = row.unit.clone().or(given) {
        device.insert("unit", Item::Value(unit));
    }
    if let Some(order) = &options.order {
        device.insert("order", order.as_str().into());
    }
    device
}

/// A list of tables, made when it is not there.
fn tables<'a>(table: &'a mut Table, key: &str) -> anyhow::Result<&'a mut ArrayOfTables> {
    let item = table
        .entry(key)
        .or_insert(Item::ArrayOfTables(ArrayOfTables::new()));
    if !item.is_array_of_tables() {
        match std::mem::take(item).into_array_of_tables() {
            Ok(list) => *item = Item::ArrayOfTables(list),
            Err(_) => {
                bail!("{key} is no list of tables in the configuration; run `edge-agent check`")
            }
        }
    }
    item.as_array_of_tables_mut().context("a list of tables")
}

/// What the configuration's readers and drivers say of a text.
fn problems(file: &Path, text: &str) -> anyhow::Result<Vec<Problem>> {
    let local = LocalFile {
        text: text.into(),
        templates: BTreeMap::new(),
    };
    let checked = Config::draft_local(file, &local, None).and_then(|config| {
        for port in &config.ports {
            drop(drivers::build(port, &config.devices));
        }
        config.problems.check()
    });
    match checked {
        Ok(()) => Ok(Vec::new()),
        Err(ConfigError::Invalid(problems)) => Ok(problems),
        Err(error) => Err(error.into()),
    }
}

/// The problems that came from a row, with the column of their key.
fn by_row(rows: &[Row], problems: &[Problem]) -> BTreeMap<u64, Vec<Wrong>> {
    let mut by_place: BTreeMap<String, &Row> = BTreeMap::new();
    for row in rows {
        let device = format!("device {}", quoted(&row.device));
        by_place.insert(format!("{device}, sensor {}", quoted(&row.tag)), row);
        // What is wrong with a device is told once, with its first row.
        by_place.entry(device).or_insert(row);
    }
    let mut found: BTreeMap<u64, Vec<Wrong>> = BTreeMap::new();
    for problem in problems {
        if let Some(row) = by_place.get(&problem.place) {
            let column = row.places.get(&problem.key).cloned();
            let words = match (&column, problem.key.is_empty()) {
                (None, false) => format!("{}: {}", problem.key, problem.words),
                _ => problem.words.clone(),
            };
            let line = row.line;
            found.entry(line).or_default().push(Wrong {
                line,
                column,
                words,
            });
        }
    }
    found
}
