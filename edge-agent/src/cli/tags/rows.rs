//! From CSV to rows of sensors: which column is which key, and what its cells mean. Tells everything
//! that is wrong with the text; whether a driver takes the values is not known here.

use super::{COLUMNS, Wrong, kepware};
use crate::config::{SENSORS_MAX, quoted, suggestion};
use anyhow::{Context as _, bail};
use std::collections::BTreeMap;
use toml_edit::Value;

/// Most columns of a file.
const COLUMNS_MAX: usize = 64;
/// Longest cell, in bytes.
const CELL_BYTES_MAX: usize = 4_096;

/// A file as read.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub rows: Vec<Row>,
    pub wrong: Vec<Wrong>,
    /// Whether the columns are those of Kepware.
    pub is_kepware: bool,
    /// Rows whose tag may be written where the file is from.
    pub writable: usize,
    /// Keys of sensors that the file has a column for.
    pub keys: Vec<String>,
}

/// One sensor.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    pub line: u64,
    /// Empty: the command line says it.
    pub device: String,
    pub tag: String,
    pub port: Option<String>,
    pub unit: Option<Value>,
    /// Keys of the sensor with their values.
    pub cells: Vec<(String, Value)>,
    /// Where each key stands: number and head of its column.
    pub places: BTreeMap<String, (usize, String)>,
}

/// A record with its columns by name.
#[derive(Debug)]
pub(super) struct Record<'a> {
    pub line: u64,
    heads: &'a [Head],
    cells: &'a csv::StringRecord,
}

/// One column.
#[derive(Clone, Debug)]
struct Head {
    /// As it is written.
    shown: String,
    /// In small letters.
    name: String,
}

impl Record<'_> {
    /// The cell of a column, without blanks around it; `None` when it is empty or not there.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let cell = self.raw(name)?.trim();
        (!cell.is_empty()).then_some(cell)
    }

    /// The same with its blanks.
    pub(super) fn raw(&self, name: &str) -> Option<&str> {
        let at = self.heads.iter().position(|head| head.name == name)?;
        self.cells.get(at)
    }

    /// Number and head of a column.
    pub(super) fn place(&self, name: &str) -> Option<(usize, String)> {
        let at = self.heads.iter().position(|head| head.name == name)?;
        Some((at + 1, self.heads.get(at)?.shown.clone()))
    }

    /// Something is wrong with a cell.
    pub(super) fn wrong(&self, name: &str, words: String) -> Wrong {
        Wrong {
            line: self.line,
            column: self.place(name),
            words,
        }
    }
}

/// Whether the cells of a column are texts, whatever they look like.
pub(super) fn is_text(column: &str) -> bool {
    matches!(
        column,
        "device"
            | "tag"
            | "type"
            | "order"
            | "unit_name"
            | "poll"
            | "access"
            | "description"
            | "table"
            | "asset"
            | "max_silence"
            | "port"
    )
}

/// Whether a text would be read as a number, a list or another value that is no text.
pub(super) fn looks_like_toml(text: &str) -> bool {
    text.trim() != text || text.parse::<Value>().is_ok()
}

/// Reads a file.
pub(super) fn read(bytes: &[u8]) -> anyhow::Result<Read> {
    let text = text(bytes)?;
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter(text))
        .flexible(true)
        .from_reader(text.as_bytes());
    let heads = heads(reader.headers().context("reading the head line")?)?;
    let mut found = Read {
        is_kepware: heads.iter().any(|head| head.name == "tag name"),
        ..Read::default()
    };
    if !found.is_kepware {
        let known = heads.iter().map(|head| head.name.clone());
        found.keys = known.filter(|name| is_of_sensor(name)).collect();
    }
    for (at, record) in reader.records().enumerate() {
        if at >= SENSORS_MAX {
            bail!("it has more than {SENSORS_MAX} rows, which is more than a box takes");
        }
        let record = record.context("reading a row")?;
        let line = record.position().map_or(0, csv::Position::line);
        if record.iter().all(|cell| cell.trim().is_empty()) {
            continue;
        }
        let cells = Record {
            line,
            heads: &heads,
            cells: &record,
        };
        let read = shape(&cells).and_then(|()| {
            if found.is_kepware {
                kepware::row(&cells)
            } else {
                row(&cells)
            }
        });
        match read {
            Ok((row, writable)) => {
                found.writable += usize::from(writable);
                found.rows.push(row);
            }
            Err(wrong) => found.wrong.push(wrong),
        }
    }
    if found.is_kepware {
        found.keys = kepware::KEYS.map(str::to_owned).to_vec();
    }
    Ok(found)
}

fn text(bytes: &[u8]) -> anyhow::Result<&str> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| {
        let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = good.split(|byte| *byte == b'\n').count();
        anyhow::anyhow!("line {line} is not UTF-8 text; save the file as \"CSV UTF-8\"")
    })
}

/// Spreadsheets of some countries write semicolons.
fn delimiter(text: &str) -> u8 {
    let head = text.lines().next().unwrap_or_default();
    let count = |c: char| head.matches(c).count();
    let (commas, semicolons, tabs) = (count(','), count(';'), count('\t'));
    if commas >= semicolons && commas >= tabs {
        b','
    } else if semicolons >= tabs {
        b';'
    } else {
        b'\t'
    }
}

fn heads(record: &csv::StringRecord) -> anyhow::Result<Vec<Head>> {
    if record.len() > COLUMNS_MAX {
        bail!(
            "it has {} columns; at most {COLUMNS_MAX} are possible",
            record.len()
        );
    }
    let head = |cell: &str| {
        let shown = cell.trim().to_owned();
        let name = match shown.to_lowercase().as_str() {
            "sensor" | "name" => "tag".to_owned(),
            "slave_id" | "unit_id" => "unit".to_owned(),
            name => name.to_owned(),
        };
        Head { shown, name }
    };
    let heads: Vec<Head> = record.iter().map(head).collect();
    for (at, head) in heads.iter().enumerate() {
        if heads.iter().take(at).any(|other| other.name == head.name) && !head.name.is_empty() {
            bail!(
                "the column {} is there twice; remove one",
                quoted(&head.shown)
            );
        }
    }
    let has = |name: &str| heads.iter().any(|head| head.name == name);
    if !has("address") || !(has("tag") || has("tag name")) {
        bail!(
            "the head line must name the columns, at least tag and address (as `edge-agent tags \
             export` writes them), or Tag Name and Address (as Kepware does); it is: {}",
            quoted(&record.iter().collect::<Vec<_>>().join(","))
        );
    }
    let known = || COLUMNS.iter().copied();
    for head in heads.iter().filter(|_| !has("tag name")) {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if head.name.is_empty() || !head.name.chars().all(good) {
            let advice = suggestion(&head.name, known());
            bail!("the column {} is not known; {advice}", quoted(&head.shown));
        }
    }
    Ok(heads)
}

fn is_of_sensor(column: &str) -> bool {
    !matches!(column, "device" | "tag" | "port" | "unit" | "access")
}

/// As many cells as columns, none of them endless.
fn shape(record: &Record<'_>) -> Result<(), Wrong> {
    let whole = |words: String| Wrong {
        line: record.line,
        column: None,
        words,
    };
    let (cells, columns) = (record.cells.len(), record.heads.len());
    if cells != columns {
        return Err(whole(format!(
            "has {cells} cells and the head line {columns}; a text with a comma in it must stand in quotes"
        )));
    }
    if record.cells.iter().any(|cell| cell.len() > CELL_BYTES_MAX) {
        return Err(whole(format!(
            "has a cell longer than {CELL_BYTES_MAX} bytes"
        )));
    }
    Ok(())
}

/// A row of our own columns, and whether its tag may be written.
fn row(record: &Record<'_>) -> Result<(Row, bool), Wrong> {
    let tag = record.get("tag");
    let mut row = Row {
        line: record.line,
        device: record.get("device").unwrap_or_default().to_owned(),
        tag: tag
            .ok_or_else(|| record.wrong("tag", "is empty; every row needs a name".to_owned()))?
            .to_owned(),
        port: record.get("port").map(str::to_owned),
        unit: record.get("unit").map(number_or_text),
        ..Row::default()
    };
    for head in record.heads {
        let name = head.name.as_str();
        let Some(place) = record.place(name) else {
            continue;
        };
        if name == "tag" {
            row.places.insert("name".to_owned(), place);
            continue;
        }
        row.places.insert(name.to_owned(), place);
        if !is_of_sensor(name) {
            continue;
        }
        if name == "description" {
            let text = record.raw(name).filter(|text| !text.is_empty());
            row.cells
                .extend(text.map(|text| (name.to_owned(), Value::from(text))));
            continue;
        }
        let Some(cell) = record.get(name) else {
            continue;
        };
        let value = match name {
            "address" => number_or_text(cell),
            "scale" | "offset" => number(cell).map_err(|words| record.wrong(name, words))?,
            _ if is_text(name) => Value::from(cell),
            _ => cell.parse().unwrap_or_else(|_| Value::from(cell)),
        };
        row.cells.push((name.to_owned(), value));
    }
    let writable = access(record, "access")?;
    Ok((row, writable))
}

/// Whether a tag may be written where the file is from.
pub(super) fn access(record: &Record<'_>, column: &str) -> Result<bool, Wrong> {
    let cell = record.get(column).unwrap_or("read").to_lowercase();
    match cell.as_str() {
        "read" | "r" | "ro" | "read only" | "read-only" => Ok(false),
        "r/w" | "rw" | "read/write" | "read write" => Ok(true),
        _ => {
            let words = format!("{} is not known; write read", quoted(&cell));
            Err(record.wrong(column, words))
        }
    }
}

/// A whole number as it is usually written, else a text: `00001` is an address.
pub(super) fn number_or_text(cell: &str) -> Value {
    let number: Option<i64> = cell.parse().ok();
    let number = number.filter(|number| number.to_string() == cell);
    number.map_or_else(|| Value::from(cell), Value::from)
}

/// A number with a point, or why it is none.
pub(super) fn number(cell: &str) -> Result<Value, String> {
    if let Ok(whole) = cell.parse::<i64>() {
        return Ok(Value::from(whole));
    }
    let number = cell.parse::<f64>().ok().filter(|number| number.is_finite());
    number.map(Value::from).ok_or_else(|| {
        let advice = if cell.contains(',') {
            "write it with a point, for example 0.1"
        } else {
            "write for example 0.1"
        };
        format!("{} is not a number; {advice}", quoted(cell))
    })
}
