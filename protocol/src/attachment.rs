//! Attachments of work orders: what names a content, what sort its bytes are, what a browser may
//! do with it. Never believes what a client calls a file.

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// SHA-256 of a content: its identity on the box, on the wire and at the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ContentHash(pub [u8; 32]);

/// A text that is no hash of a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the SHA-256 of a content: 64 digits from 0 to f")]
pub struct NoHash;

impl ContentHash {
    /// The hash of whole bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut digest = ContentDigest::default();
        digest.update(bytes);
        digest.finish()
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl FromStr for ContentHash {
    type Err = NoHash;

    fn from_str(text: &str) -> Result<Self, NoHash> {
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| NoHash)?;
        Ok(Self(bytes.try_into().map_err(|_| NoHash)?))
    }
}

/// Hashes a content that comes in parts.
#[derive(Clone)]
pub struct ContentDigest(ring::digest::Context);

impl Default for ContentDigest {
    fn default() -> Self {
        Self(ring::digest::Context::new(&ring::digest::SHA256))
    }
}

impl fmt::Debug for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContentDigest").finish_non_exhaustive()
    }
}

impl ContentDigest {
    /// The next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of all bytes.
    pub fn finish(self) -> ContentHash {
        let mut hash = [0; 32];
        for (to, from) in hash.iter_mut().zip(self.0.finish().as_ref()) {
            *to = *from;
        }
        ContentHash(hash)
    }
}

/// What nobody can tell apart from anything.
pub const MEDIA_TYPE_UNKNOWN: &str = "application/octet-stream";
/// How many bytes of the beginning [`media_type`] looks at.
pub const SNIFF_BYTES: usize = 512;

/// What sort of content begins with these bytes.
pub fn media_type(beginning: &[u8]) -> &'static str {
    let begins = |with: &[u8]| beginning.starts_with(with);
    let at = |from: usize, with: &[u8]| {
        let part = beginning.get(from..from + with.len());
        part == Some(with)
    };
    if begins(b"\xFF\xD8\xFF") {
        "image/jpeg"
    } else if begins(b"\x89PNG\r\n\x1A\n") {
        "image/png"
    } else if begins(b"GIF87a") || begins(b"GIF89a") {
        "image/gif"
    } else if begins(b"RIFF") && at(8, b"WEBP") {
        "image/webp"
    } else if at(4, b"ftypavif") {
        "image/avif"
    } else if at(4, b"ftypheic") || at(4, b"ftypheix") || at(4, b"ftypmif1") {
        "image/heic"
    } else if at(4, b"ftypqt") {
        "video/quicktime"
    } else if at(4, b"ftyp") {
        "video/mp4"
    } else if begins(b"%PDF-") {
        "application/pdf"
    } else if begins(b"PK\x03\x04") {
        "application/zip"
    } else if is_text(beginning) {
        "text/plain"
    } else {
        MEDIA_TYPE_UNKNOWN
    }
}

fn is_text(beginning: &[u8]) -> bool {
    let looked_at = beginning.get(..SNIFF_BYTES).unwrap_or(beginning);
    let text = match std::str::from_utf8(looked_at) {
        Ok(text) => text,
        // A letter may be cut at the end.
        Err(error) if error.error_len().is_none() => {
            let whole = looked_at.get(..error.valid_up_to()).unwrap_or_default();
            std::str::from_utf8(whole).unwrap_or_default()
        }
        Err(_) => return false,
    };
    let plain = |letter: char| !letter.is_control() || matches!(letter, '\n' | '\r' | '\t');
    !text.is_empty() && text.chars().all(plain)
}

/// Whether a browser may show it as a picture: pixels only, nothing that runs.
pub fn is_picture(media_type: &str) -> bool {
    matches!(
        media_type,
        "image/jpeg" | "image/png" | "image/gif" | "image/webp" | "image/avif"
    )
}

/// The file name without folders, control characters and what a header gives a meaning; never
/// empty, at most `limits::NAME_BYTES_MAX` bytes, with its ending.
pub fn clean_name(given: &str) -> String {
    const MAX: usize = crate::limits::NAME_BYTES_MAX;
    let last = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let kept: String = last
        .chars()
        .filter(|letter| !letter.is_control() && !matches!(letter, '"' | '<' | '>' | '\u{202E}'))
        .collect();
    let name = kept.trim().trim_start_matches('.');
    if name.is_empty() {
        return "attachment".to_owned();
    }
    let (stem, ending) = match name.rsplit_once('.') {
        Some((stem, ending)) if ending.len() <= 10 => (stem, format!(".{ending}")),
        _ => (name, String::new()),
    };
    let mut end = stem.len().min(MAX.saturating_sub(ending.len()));
    while !stem.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{ending}", stem.get(..end).unwrap_or_default())
}

/// The headers with which a content is served: pictures and PDF are shown, everything else is
/// only ever a download, and nothing of it runs. A PDF has no sandbox: browsers refuse to show one
/// there, and run nothing of it themselves.
pub fn headers(name: &str, media_type: &str) -> [(&'static str, String); 5] {
    let pdf = media_type == "application/pdf";
    let shown = pdf || is_picture(media_type);
    let (place, shown_type) = if shown {
        ("inline", media_type)
    } else {
        ("attachment", MEDIA_TYPE_UNKNOWN)
    };
    let policy = if pdf {
        "default-src 'none'; style-src 'unsafe-inline'"
    } else {
        "default-src 'none'; sandbox"
    };
    let plain: String = name
        .chars()
        .map(|letter| match letter {
            ' '..='~' if !matches!(letter, '"' | '\\' | '%' | ';') => letter,
            _ => '_',
        })
        .collect();
    let disposition = format!(
        "{place}; filename=\"{plain}\"; filename*=UTF-8''{}",
        percent(name)
    );
    [
        ("content-type", shown_type.to_owned()),
        ("content-disposition", disposition),
        ("content-security-policy", policy.to_owned()),
        ("x-content-type-options", "nosniff".to_owned()),
        // The address holds the hash of the content: what is there never changes.
        (
            "cache-control",
            "private, max-age=31536000, immutable".to_owned(),
        ),
    ]
}

/// A text as it stands in an address or a header (RFC 8187).
pub fn percent(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'.' | b'-' | b'_' => {
                text.push(char::from(byte));
            }
            _ => {
                text.push('%');
                text.push_str(&data_encoding::HEXUPPER.encode(&[byte]));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_bytes_say_what_it_is_and_the_name_says_nothing() {
        for (bytes, expected) in [
            (&b"\xFF\xD8\xFF\xE0rest"[..], "image/jpeg"),
            (b"\x89PNG\r\n\x1A\nrest", "image/png"),
            (b"RIFF\x10\x00\x00\x00WEBPVP8 ", "image/webp"),
            (b"\x00\x00\x00\x18ftypheic\x00", "image/heic"),
            (b"\x00\x00\x00\x18ftypisom\x00", "video/mp4"),
            (b"%PDF-1.7", "application/pdf"),
            (b"PK\x03\x04", "application/zip"),
            (b"<html><script>alert(1)</script>", "text/plain"),
            (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "text/plain"),
            ("Pumpe läuft".as_bytes(), "text/plain"),
            (b"\x00\x01\x02", MEDIA_TYPE_UNKNOWN),
            (b"", MEDIA_TYPE_UNKNOWN),
        ] {
            assert_eq!(media_type(bytes), expected, "{bytes:?}");
        }
        // A letter that the look cuts in two.
        let long = format!("{}ä", "a".repeat(SNIFF_BYTES - 1));
        assert_eq!(media_type(long.as_bytes()), "text/plain");
    }

    #[test]
    fn only_pictures_and_pdf_are_shown_and_nothing_runs() {
        let of = |media_type| {
            let [kind, place, policy, sniff, _] = headers("a.b", media_type).map(|(_, v)| v);
            assert_eq!(sniff, "nosniff");
            assert!(policy.contains("default-src 'none'"));
            (kind, place.starts_with("inline"))
        };
        assert_eq!(of("image/png"), ("image/png".into(), true));
        assert_eq!(of("application/pdf"), ("application/pdf".into(), true));
        for never in [
            "text/html",
            "image/svg+xml",
            "text/plain",
            "video/mp4",
            "x\r\ny",
        ] {
            assert_eq!(of(never), (MEDIA_TYPE_UNKNOWN.into(), false), "{never}");
        }
    }

    #[test]
    fn a_name_is_a_file_name_and_nothing_else() {
        assert_eq!(clean_name("../../etc/passwd"), "passwd");
        assert_eq!(clean_name("C:\\photos\\Pumpe 3.jpg"), "Pumpe 3.jpg");
        assert_eq!(clean_name("a\r\nset-cookie: b.png"), "aset-cookie: b.png");
        assert_eq!(clean_name(" .. "), "attachment");
        let long = clean_name(&format!("{}.jpeg", "ä".repeat(300)));
        assert!(long.len() <= crate::limits::NAME_BYTES_MAX && long.ends_with("ä.jpeg"));
        let header = &headers("Öl \"1\";.txt", "text/plain")[1].1;
        assert_eq!(
            header,
            "attachment; filename=\"_l _1__.txt\"; filename*=UTF-8''%C3%96l%20%221%22%3B.txt"
        );
    }

    proptest! {
        #[test]
        fn any_name_makes_a_header_of_plain_letters(given in ".*") {
            let name = clean_name(&given);
            prop_assert!(!name.is_empty() && name.len() <= crate::limits::NAME_BYTES_MAX);
            for (_, value) in headers(&name, "image/png") {
                prop_assert!(value.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{}", value);
            }
        }

        #[test]
        fn a_hash_comes_back_from_its_text(bytes in any::<[u8; 32]>()) {
            prop_assert_eq!(ContentHash(bytes).to_string().parse(), Ok(ContentHash(bytes)));
        }
    }
}
