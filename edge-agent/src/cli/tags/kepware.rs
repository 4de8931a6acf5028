//! The columns of Kepware's tag files in our words: types, scan rate in milliseconds, addresses with a
//! bit or a length at the end, linear scaling. Never guesses: what has no counterpart is told.

use super::Wrong;
use super::rows::{Record, Row, access, number_or_text};
use crate::config::{quoted, show_duration};
use std::time::Duration;
use toml_edit::Value;

/// Keys that such a file says.
pub(super) const KEYS: [&str; 8] = [
    "address",
    "type",
    "poll",
    "scale",
    "offset",
    "clamp",
    "unit_name",
    "description",
];

/// Their types, in small letters, and ours.
const TYPES: &[(&str, &str)] = &[
    ("boolean", "bool"),
    ("char", "i8l"),
    ("byte", "u8l"),
    ("short", "i16"),
    ("word", "u16"),
    ("long", "i32"),
    ("dword", "u32"),
    ("llong", "i64"),
    ("qword", "u64"),
    ("float", "f32"),
    ("double", "f64"),
    ("bcd", "bcd16"),
    ("lbcd", "bcd32"),
];

/// Bits of a register.
const BITS: u8 = 16;

/// A row, and whether its tag may be written.
pub(super) fn row(record: &Record<'_>) -> Result<(Row, bool), Wrong> {
    let needed = |column: &str| {
        let empty = || record.wrong(column, "is empty; every row needs it".to_owned());
        record.get(column).ok_or_else(empty)
    };
    let mut row = Row {
        line: record.line,
        tag: needed("tag name")?.to_owned(),
        ..Row::default()
    };
    for (column, key) in [
        ("tag name", "name"),
        ("address", "address"),
        ("data type", "type"),
        ("scan rate", "poll"),
        ("scaled high", "scale"),
        ("scaled low", "offset"),
        ("clamp low", "clamp"),
        ("eng units", "unit_name"),
        ("description", "description"),
    ] {
        if let Some(place) = record.place(column) {
            row.places.insert(key.to_owned(), place);
        }
    }
    let (address, kind) = place_and_type(record, needed("address")?)?;
    row.cells.push(("address".to_owned(), address));
    row.cells
        .extend(kind.map(|kind| ("type".to_owned(), Value::from(kind))));
    if let Some(poll) = poll(record)? {
        row.cells.push(("poll".to_owned(), Value::from(poll)));
    }
    if let Some((scale, offset)) = scaling(record)? {
        row.cells.push(("scale".to_owned(), Value::from(scale)));
        row.cells.push(("offset".to_owned(), Value::from(offset)));
    }
    if let Some(clamp) = clamp(record) {
        row.cells.push(("clamp".to_owned(), clamp));
    }
    for (column, key) in [("eng units", "unit_name"), ("description", "description")] {
        if let Some(text) = record.get(column) {
            row.cells.push((key.to_owned(), Value::from(text)));
        }
    }
    let writable = access(record, "client access")?;
    Ok((row, writable))
}

/// `400001`, `400001.5` (a bit), `400001.20H` (a text of 20 bytes), and the type that goes with it.
/// A coil's type goes without saying.
fn place_and_type(record: &Record<'_>, address: &str) -> Result<(Value, Option<String>), Wrong> {
    let written = record.get("data type").unwrap_or("default").to_lowercase();
    let wrong = |words: &str| record.wrong("data type", format!("{} {words}", quoted(&written)));
    if written.contains("array") {
        return Err(wrong("is a list; write one row for each value"));
    }
    let address = address.trim_start_matches(['K', 'k']);
    let (place, end) = address
        .split_once('.')
        .map_or((address, None), |(p, e)| (p, Some(e)));
    let place = number_or_text(place);
    if written == "string" {
        let length = end.map(|end| end.trim_end_matches(['H', 'h', 'L', 'l']));
        let length = length.and_then(|length| length.parse::<u16>().ok());
        let length = length.ok_or_else(|| {
            let words = "needs the length of the text in bytes, for example 400001.20H".to_owned();
            record.wrong("address", words)
        })?;
        return Ok((place, Some(format!("str:{length}"))));
    }
    if let Some(bit) = end {
        let number = bit.parse::<u8>().ok().filter(|bit| *bit < BITS);
        let number = number.ok_or_else(|| {
            record.wrong(
                "address",
                format!("{} is not a bit; write 0 to 15", quoted(bit)),
            )
        })?;
        return Ok((place, Some(format!("bit:{number}"))));
    }
    let is_bit_table = address.starts_with('0') || address.starts_with('1');
    if written == "default" || (is_bit_table && written == "boolean") {
        return Ok((place, None));
    }
    let found = TYPES.iter().find(|(name, _)| *name == written);
    let names = || {
        let names: Vec<&str> = TYPES.iter().map(|(name, _)| *name).collect();
        format!(
            "is not known here; there are {} and string",
            names.join(", ")
        )
    };
    let (_, kind) = found.ok_or_else(|| wrong(&names()))?;
    Ok((place, Some((*kind).to_owned())))
}

fn poll(record: &Record<'_>) -> Result<Option<String>, Wrong> {
    let Some(rate) = record.get("scan rate") else {
        return Ok(None);
    };
    let ms: u64 = rate.parse().map_err(|_| {
        let words = format!(
            "{} is not a number of milliseconds; write for example 1000",
            quoted(rate)
        );
        record.wrong("scan rate", words)
    })?;
    // 0: as fast as it goes, which a box on a bus does not do.
    Ok((ms > 0).then(|| show_duration(Duration::from_millis(ms))))
}

/// Linear scaling as scale and offset.
fn scaling(record: &Record<'_>) -> Result<Option<(f64, f64)>, Wrong> {
    let kind = record.get("scaling").unwrap_or("none").to_lowercase();
    match kind.as_str() {
        "none" => return Ok(None),
        "linear" => {}
        _ => {
            let words = format!(
                "{} cannot be done here; only none and linear can",
                quoted(&kind)
            );
            return Err(record.wrong("scaling", words));
        }
    }
    let number = |column: &str| {
        let cell = record.get(column).unwrap_or_default();
        let number: Option<f64> = cell.parse().ok();
        number.filter(|number| number.is_finite()).ok_or_else(|| {
            let words = format!("{} is not a number; write for example 100.0", quoted(cell));
            record.wrong(column, words)
        })
    };
    let (raw_low, raw_high) = (number("raw low")?, number("raw high")?);
    let (low, high) = (number("scaled low")?, number("scaled high")?);
    let mut scale = (high - low) / (raw_high - raw_low);
    let mut offset = low - raw_low * scale;
    if !scale.is_finite() || scale == 0.0 {
        let words = "raw low and raw high, and scaled low and scaled high, must differ".to_owned();
        return Err(record.wrong("raw high", words));
    }
    if is_yes(record, "negate value") {
        (scale, offset) = (-scale, -offset);
    }
    Ok(Some((scale, offset)))
}

/// The scaled ends, where values beyond both are held there; one of them alone cannot be.
fn clamp(record: &Record<'_>) -> Option<Value> {
    if !is_yes(record, "clamp low") || !is_yes(record, "clamp high") {
        return None;
    }
    let number = |column: &str| record.get(column)?.parse::<f64>().ok();
    let ends = [number("scaled low")?, number("scaled high")?];
    Some(Value::from_iter(ends))
}

fn is_yes(record: &Record<'_>, column: &str) -> bool {
    let cell = record.get(column).unwrap_or_default().to_lowercase();
    matches!(cell.as_str(), "1" | "yes" | "true")
}
