//! Checks of what people typed, in plain words. Never changes more than the blanks around it.

use super::Refusal;
use crate::limits;
use crate::time::Timestamp;
use crate::view;

/// Longest title of a work order, in bytes.
const TITLE_BYTES_MAX: usize = 240;

/// A name: one line, not empty, at most `limits::NAME_BYTES_MAX` bytes.
pub fn line(field: &'static str, text: &str) -> Result<String, Refusal> {
    one_line(field, text, limits::NAME_BYTES_MAX)
}

/// A name that may be left out.
pub fn name(field: &'static str, text: Option<&str>) -> Result<Option<String>, Refusal> {
    match text.map(str::trim) {
        None | Some("") => Ok(None),
        Some(text) => line(field, text).map(Some),
    }
}

/// A title: one line, not empty, at most 240 bytes.
pub fn title(field: &'static str, text: &str) -> Result<String, Refusal> {
    one_line(field, text, TITLE_BYTES_MAX)
}

fn one_line(field: &'static str, text: &str, bytes_max: usize) -> Result<String, Refusal> {
    let text = text.trim();
    if text.is_empty() {
        return Err(invalid(field, "is empty; write a few words"));
    }
    fits(field, text, bytes_max)?;
    if text.chars().any(char::is_control) {
        return Err(invalid(
            field,
            "holds a line break or control character; write one line",
        ));
    }
    Ok(text.to_owned())
}

/// A text that may be left out: nothing when there is nothing in it.
pub fn note(field: &'static str, text: Option<&str>) -> Result<Option<String>, Refusal> {
    let text = text.unwrap_or_default().trim();
    fits(field, text, limits::TEXT_BYTES_MAX)?;
    let unwanted = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    if text.chars().any(unwanted) {
        return Err(invalid(field, "holds a control character; take it out"));
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// A text that must say something.
pub fn words(field: &'static str, text: &str) -> Result<String, Refusal> {
    note(field, Some(text))?.ok_or_else(|| invalid(field, "is empty; write a few words"))
}

fn fits(field: &'static str, text: &str, bytes_max: usize) -> Result<(), Refusal> {
    if text.len() <= bytes_max {
        return Ok(());
    }
    let words = format!(
        "is {} bytes long; at most {bytes_max} are taken",
        text.len()
    );
    Err(invalid(field, &words))
}

/// 1 (most urgent) to 5.
pub fn priority(priority: u8) -> Result<u8, Refusal> {
    if (1..=5).contains(&priority) {
        Ok(priority)
    } else {
        Err(invalid("priority", "goes from 1 (most urgent) to 5"))
    }
}

/// How many of something, not 0.
pub fn quantity(field: &'static str, quantity: f64) -> Result<f64, Refusal> {
    if quantity.is_finite() && quantity != 0.0 && quantity.abs() <= 1e9 {
        Ok(quantity)
    } else {
        let words = "is how many were taken, or with a minus given back; not 0";
        Err(invalid(field, words))
    }
}

/// A time in RFC 3339.
pub fn time(field: &'static str, text: &str) -> Result<Timestamp, Refusal> {
    view::parse_rfc3339(text).ok_or_else(|| {
        invalid(
            field,
            "is not a time; write it like 2026-11-21T14:00:00Z or with an offset, +01:00",
        )
    })
}

/// A refusal of `field`.
pub fn invalid(field: &'static str, words: &str) -> Refusal {
    Refusal::Invalid {
        field,
        words: words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_trimmed_and_bounded() {
        assert_eq!(line("title", "  Pump \n").unwrap(), "Pump");
        assert!(line("title", " ").is_err());
        assert!(line("title", "a\nb").is_err());
        assert!(line("title", &"x".repeat(limits::NAME_BYTES_MAX + 1)).is_err());
        assert_eq!(note("note", Some(" \n ")).unwrap(), None);
        assert_eq!(note("note", Some("a\nb")).unwrap(), Some("a\nb".to_owned()));
        assert!(note("note", Some("\u{7}")).is_err());
        assert!(note("note", Some(&"x".repeat(limits::TEXT_BYTES_MAX + 1))).is_err());
        assert!(words("text", "").is_err());
        assert!(priority(0).is_err() && priority(6).is_err() && priority(5).is_ok());
        assert!(quantity("quantity", f64::NAN).is_err() && quantity("quantity", -2.0).is_ok());
    }
}
