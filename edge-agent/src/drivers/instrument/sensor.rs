//! The keys of one sensor of an instrument: what is asked for it, in which frame it stands, where and what
//! it is. What is not written there is the device's. Never reads a frame.

use super::config::{noted_bytes, refused_beside};
use super::frame::{BETWEEN, End, Shape};
use super::shape::piece;
use super::value::{Binary, Condition, Kind, Order, Place, Point, Separator};
use crate::config::{self as file, Section};
use crate::pipeline::Watch;

/// Longest request.
const REQUEST_BYTES_MAX: usize = 256;
/// Last byte of a frame that a place can name.
const COLUMN_MAX: i64 = 1_024;

/// What a device says for those of its sensors that do not say otherwise.
pub(super) struct Usual {
    pub(super) request: Option<Vec<u8>>,
    pub(super) prefix: Vec<u8>,
    pub(super) separator: Separator,
    pub(super) decimal_comma: bool,
    pub(super) order: Order,
}

/// What is asked for it and how it is read; `None` when it cannot be, which is noted.
pub(super) fn read(
    sensor: &file::SensorConfig,
    usual: &Usual,
    shape: &Shape,
) -> Option<(Option<Vec<u8>>, Point)> {
    let mut section = sensor.section.clone();
    let request = request(&mut section).or_else(|| usual.request.clone());
    let prefix = prefix(&mut section, shape).unwrap_or_else(|| usual.prefix.clone());
    let separator = piece(&mut section, "separator").map(Separator);
    let separator = separator.as_ref().unwrap_or(&usual.separator);
    let place = place(&mut section, separator).unwrap_or(Place::Rest);
    let place = match section.integer("at", 0..=COLUMN_MAX - 1) {
        Some(at) => Place::At(at),
        None => place,
    };
    refused_beside(&section, "at", "field");
    refused_beside(&section, "at", "columns");
    let kind = kind(&mut section, usual);
    let unit_text = section.text("unit_text");
    let nan = section.text_list("nan").unwrap_or_default();
    let condition = section
        .section("match")
        .map(|within| condition(within, separator));
    let point = kind.map(|kind| Point {
        prefix,
        place,
        kind,
        unit_text,
        nan,
        condition: condition.flatten(),
    });
    if let Some(point) = &point {
        check(&section, point, shape);
        if point.kind == Kind::Text {
            refuse_numbers(&section);
            if sensor.watch != Watch::default() {
                let words =
                    "is a text, and a rule has limits for it; remove the rule or read a number";
                section.problem("type", words);
            }
        }
    }
    section.finish();
    Some((request, point?))
}

fn kind(section: &mut Section, usual: &Usual) -> Option<Kind> {
    let decimal_comma = section
        .boolean("decimal_comma")
        .unwrap_or(usual.decimal_comma);
    let order = order(section).unwrap_or(usual.order);
    let Some(word) = section.text("type") else {
        if section.has("at") {
            section.missing("type", "type = \"u16\"");
            return None;
        }
        return Some(Kind::Number { decimal_comma });
    };
    let kind = match word.as_str() {
        "number" => Some(Kind::Number { decimal_comma }),
        "hex" => Some(Kind::Hex),
        "str" => Some(Kind::Text),
        word => Binary::parse(word).map(|binary| Kind::Binary(binary, order)),
    };
    let wrong = match kind {
        None => {
            "is not known here; there are number, hex and str, and for bytes (with at) u8 i8 u16 i16 u24 i24 u32 \
             i32 u64 i64 f32 f64 and bcd:1 to bcd:8"
        }
        Some(Kind::Binary(_, _)) if !section.has("at") => {
            "is a value of bytes; add where its first byte stands, for example at = 2"
        }
        Some(Kind::Number { .. } | Kind::Hex | Kind::Text) if section.has("at") => {
            "is written in letters; use columns = [first, last] in place of at"
        }
        Some(_) => return kind,
    };
    section.problem("type", &format!("\"{word}\" {wrong}"));
    None
}

/// `field` or `columns`.
fn place(section: &mut Section, separator: &Separator) -> Option<Place> {
    let text = section.text_or_integer("field");
    let columns = section.integer_list("columns");
    refused_beside(section, "columns", "field");
    if let Some(text) = text {
        let number = text
            .parse()
            .ok()
            .filter(|number| (1..=256).contains(number));
        if number.is_none() {
            section.problem(
                "field",
                "is not the number of a field; the first is 1, the last 256",
            );
        }
        return Some(Place::Field(number?, separator.clone()));
    }
    let columns = columns?;
    let good = match columns.as_slice() {
        [first] => Some((*first, None)),
        [first, last] if last >= first => Some((*first, Some(*last))),
        _ => None,
    };
    let good = good.filter(|(first, last)| {
        let range = 1..=COLUMN_MAX;
        range.contains(first) && last.is_none_or(|last| range.contains(&last))
    });
    let size = |column: i64| usize::try_from(column).unwrap_or(usize::MAX);
    if good.is_none() {
        let words = "is not the first and the last column, counted from 1; write for example [4, 12], or [4] for \
                     all that follows";
        section.problem("columns", words);
    }
    good.map(|(first, last)| Place::Columns(size(first), last.map(size)))
}

/// `match = { field = 1, text = "ST" }`.
fn condition(mut section: Section, separator: &Separator) -> Option<Condition> {
    let place = place(&mut section, separator);
    if !section.has("field") && !section.has("columns") {
        section.missing("field", "field = 1");
    }
    let text = section.required_text("text");
    section.finish();
    Some(Condition {
        place: place?,
        text: text?,
    })
}

/// What a frame of the configured length has no room for.
fn check(section: &Section, point: &Point, shape: &Shape) {
    if let End::Length(length) = shape.end {
        let checksum = shape.checksum.as_ref();
        let room = length
            - checksum
                .map_or(0, |sum| sum.length() + sum.mark.len())
                .min(length);
        if point.frame_min() > room {
            let key = if section.has("at") { "at" } else { "columns" };
            let words =
                format!("ends behind the {room} bytes that a frame has without its checksum");
            section.problem(key, &words);
        }
    }
    let is_number = matches!(point.kind, Kind::Number { .. });
    for key in ["unit_text", "decimal_comma"] {
        if section.has(key) && !is_number {
            section.problem(
                key,
                "has a meaning for type = \"number\" only; leave it out",
            );
        }
    }
}

/// Notes the keys of a number that a text sensor has.
fn refuse_numbers(section: &Section) {
    let keys = ["scale", "offset", "range", "clamp", "enum"];
    for key in keys.into_iter().filter(|key| section.has(key)) {
        section.problem(key, "has no meaning for a text; leave it out");
    }
}

pub(super) fn order(section: &mut Section) -> Option<Order> {
    let orders = [
        ("ABCD", Order::Abcd),
        ("CDAB", Order::Cdab),
        ("BADC", Order::Badc),
        ("DCBA", Order::Dcba),
    ];
    section.choice("order", &orders)
}

pub(super) fn request(section: &mut Section) -> Option<Vec<u8>> {
    let bytes = noted_bytes(section, "request")?;
    if bytes.is_empty() || bytes.len() > REQUEST_BYTES_MAX {
        let words = "has no byte or more than 256; leave it out for a device that speaks by itself";
        section.problem("request", words);
        return None;
    }
    Some(bytes)
}

pub(super) fn prefix(section: &mut Section, shape: &Shape) -> Option<Vec<u8>> {
    let prefix = piece(section, "prefix")?;
    let is_line = matches!(shape.end, End::Terminator(_));
    if is_line && prefix.first().is_some_and(|byte| BETWEEN.contains(byte)) {
        let words = "begins with \\r, \\n or \\0, which are left out before a frame; leave them out here too";
        section.problem("prefix", words);
    }
    if let End::Terminator(terminator) = &shape.end
        && prefix
            .windows(terminator.len())
            .any(|part| part == terminator)
    {
        section.problem("prefix", "has the terminator in it: no frame can begin so");
    }
    Some(prefix)
}
