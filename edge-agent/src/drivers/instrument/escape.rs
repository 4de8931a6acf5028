//! Bytes as people write and read them: `\r`, `\n`, `\t`, `\0`, `\\`, `\x02`. Pure. Never shows more
//! than `SHOWN_MAX` bytes of a frame in a message.

/// Bytes that are shown of a frame; what is longer ends in dots.
pub const SHOWN_MAX: usize = 48;

/// Why a text does not say which bytes it means.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{found} is no escape; there are \\r \\n \\t \\0 \\\\ and \\x with two hexadecimal digits (\\x02)"
)]
pub struct EscapeError {
    found: String,
}

/// The bytes that a text means. What is no escape stands for itself, as UTF-8.
///
/// # Errors
/// When a backslash begins none of the escapes.
pub fn bytes(text: &str) -> Result<Vec<u8>, EscapeError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(letter) = rest.next() {
        if letter != '\\' {
            bytes.extend(letter.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let (byte, found) = match rest.next() {
            Some('r') => (Some(b'\r'), String::new()),
            Some('n') => (Some(b'\n'), String::new()),
            Some('t') => (Some(b'\t'), String::new()),
            Some('0') => (Some(0), String::new()),
            Some('\\') => (Some(b'\\'), String::new()),
            Some('x') => {
                let digits: String = rest.by_ref().take(2).collect();
                let good = digits.len() == 2 && digits.bytes().all(|c| c.is_ascii_hexdigit());
                let byte = u8::from_str_radix(&digits, 16).ok().filter(|_| good);
                (byte, format!("\\x{digits}"))
            }
            other => (
                None,
                format!("\\{}", other.map_or(String::new(), String::from)),
            ),
        };
        bytes.push(byte.ok_or(EscapeError { found })?);
    }
    Ok(bytes)
}

/// Bytes for people, in quotes, the beginning only when there are many.
pub fn shown(bytes: &[u8]) -> String {
    let begin = all(bytes.get(..SHOWN_MAX).unwrap_or(bytes));
    let dots = if bytes.len() > SHOWN_MAX { "…" } else { "" };
    format!("\"{begin}{dots}\"")
}

/// Bytes for people, all of them, without quotes.
pub fn all(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        match byte {
            b'\r' => text.push_str("\\r"),
            b'\n' => text.push_str("\\n"),
            b'\t' => text.push_str("\\t"),
            0 => text.push_str("\\0"),
            b'\\' => text.push_str("\\\\"),
            0x20..=0x7E => text.push(char::from(*byte)),
            _ => text.extend(format!("\\x{byte:02X}").chars()),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes_are_bytes_and_what_is_none_is_told() {
        assert_eq!(
            bytes(r"P\r\n\t\0\\\x02\xfF").unwrap(),
            b"P\r\n\t\0\\\x02\xFF"
        );
        assert_eq!(bytes("°").unwrap(), "°".as_bytes());
        for wrong in [r"\q", r"a\", r"\x", r"\x2", r"\xZZ", r"\x+1", r"\x°°"] {
            let told = bytes(wrong).unwrap_err().to_string();
            assert!(told.starts_with('\\') && told.contains(r"\x02"), "{told}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_means_the_same_bytes(all in prop::collection::vec(any::<u8>(), 0..SHOWN_MAX)) {
            let shown = shown(&all);
            let inner = shown.strip_prefix('"').and_then(|shown| shown.strip_suffix('"')).unwrap();
            prop_assert_eq!(bytes(inner).unwrap(), all);
        }
    }
}
