//! Checks of what people typed, in plain words. Never changes more than the blanks around it.

use super::ServiceError;
use protocol::limits;

/// Longest title of a work order, in bytes.
const TITLE_BYTES_MAX: usize = 240;

/// A name: one line, not empty, at most `limits::NAME_BYTES_MAX` bytes.
pub(super) fn line(field: &'static str, text: &str) -> Result<String, ServiceError> {
    one_line(field, text, limits::NAME_BYTES_MAX)
}

/// A title: one line, not empty, at most `TITLE_BYTES_MAX` bytes.
pub(super) fn title(field: &'static str, text: &str) -> Result<String, ServiceError> {
    one_line(field, text, TITLE_BYTES_MAX)
}

fn one_line(field: &'static str, text: &str, bytes_max: usize) -> Result<String, ServiceError> {
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
pub(super) fn note(
    field: &'static str,
    text: Option<&str>,
) -> Result<Option<String>, ServiceError> {
    let text = text.unwrap_or_default().trim();
    fits(field, text, limits::TEXT_BYTES_MAX)?;
    let unwanted = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    if text.chars().any(unwanted) {
        return Err(invalid(field, "holds a control character; take it out"));
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// A text that must say something.
pub(super) fn words(field: &'static str, text: &str) -> Result<String, ServiceError> {
    note(field, Some(text))?.ok_or_else(|| invalid(field, "is empty; write a few words"))
}

fn fits(field: &'static str, text: &str, bytes_max: usize) -> Result<(), ServiceError> {
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
pub(super) fn priority(priority: u8) -> Result<u8, ServiceError> {
    if (1..=5).contains(&priority) {
        Ok(priority)
    } else {
        Err(invalid("priority", "goes from 1 (most urgent) to 5"))
    }
}

/// A refusal of `field`.
pub(super) fn invalid(field: &'static str, words: &str) -> ServiceError {
    ServiceError::Invalid {
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
    }
}
