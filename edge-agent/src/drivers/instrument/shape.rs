//! The keys of a device that say how its frames are told apart: terminator or length, checksum.
//! Never looks at what stands in them.

use super::checksum::{Checksum, Form, SUMS};
use super::config::{noted_bytes, refused_beside};
use super::frame::{End, FRAME_BYTES_MAX, Shape};
use crate::config::Section;

/// Longest terminator, mark, prefix or separator.
const PIECE_BYTES_MAX: usize = 64;

/// Reads them; what frames begin with is not known yet.
pub(super) fn read(section: &mut Section) -> Shape {
    let most = i64::try_from(FRAME_BYTES_MAX).unwrap_or(i64::MAX);
    let terminator = piece(section, "terminator");
    let length = section.integer("length", 1..=most);
    refused_beside(section, "length", "terminator");
    let end = match length {
        Some(length) => End::Length(length),
        None => End::Terminator(terminator.unwrap_or_else(|| b"\r\n".to_vec())),
    };
    Shape {
        checksum: checksum(section, &end),
        end,
        starts: Vec::new(),
    }
}

fn checksum(section: &mut Section, end: &End) -> Option<Checksum> {
    let sum = section.choice("checksum", &SUMS).flatten();
    let forms = [
        ("hex", Form::Hex),
        ("high_first", Form::HighFirst),
        ("low_first", Form::LowFirst),
    ];
    let form = section.choice("checksum_form", &forms);
    let from = section.integer("checksum_from", 0..=64);
    let mark = piece(section, "checksum_mark");
    let behind = section.boolean("checksum_behind");
    let Some(sum) = sum else {
        let keys = [
            "checksum_form",
            "checksum_from",
            "checksum_mark",
            "checksum_behind",
        ];
        if !section.has("checksum") {
            for key in keys.into_iter().filter(|key| section.has(key)) {
                section.problem(
                    key,
                    "has no meaning without checksum; add it or leave this out",
                );
            }
        }
        return None;
    };
    let is_line = matches!(end, End::Terminator(_));
    if behind == Some(true) && !is_line {
        let words = "has no meaning with length: the checksum stands at the end; leave it out";
        section.problem("checksum_behind", words);
    }
    let checksum = Checksum {
        sum,
        form: form.unwrap_or(if is_line { Form::Hex } else { Form::HighFirst }),
        from: from.unwrap_or(0),
        mark: mark.unwrap_or_default(),
        behind: behind.unwrap_or(false) && is_line,
    };
    if let End::Length(length) = end
        && checksum.length() + checksum.mark.len() >= *length
    {
        section.problem(
            "length",
            "has no room for more than the checksum; write a larger one",
        );
    }
    if checksum.behind && !checksum.mark.is_empty() {
        section.problem(
            "checksum_mark",
            "has no meaning beside checksum_behind; leave it out",
        );
    }
    Some(checksum)
}

/// A few bytes, at least one.
pub(super) fn piece(section: &mut Section, key: &'static str) -> Option<Vec<u8>> {
    let bytes = noted_bytes(section, key)?;
    let wrong = if bytes.is_empty() {
        "is empty; leave it out or write at least one character"
    } else if bytes.len() > PIECE_BYTES_MAX {
        "is longer than 64 bytes; write a shorter one"
    } else {
        return Some(bytes);
    };
    section.problem(key, wrong);
    None
}
