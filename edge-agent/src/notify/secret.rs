//! A password, key or PIN from a file of its own, read when it is needed. Never shown, never kept in
//! the configuration.

use std::io;
use std::path::Path;

/// Longest secret, in bytes.
const BYTES_MAX: u64 = 4_096;

/// The first line of a file.
///
/// # Errors
/// In words that name the file.
pub(super) fn read(file: &Path) -> io::Result<String> {
    use std::io::Read as _;
    let failed = |words: String| io::Error::other(format!("{}: {words}", file.display()));
    let opened = std::fs::File::open(file).map_err(|error| failed(error.to_string()))?;
    let mut text = String::new();
    let read = opened.take(BYTES_MAX).read_to_string(&mut text);
    read.map_err(|error| failed(error.to_string()))?;
    match text.lines().next().map(str::trim) {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(failed("holds nothing".to_owned())),
    }
}
