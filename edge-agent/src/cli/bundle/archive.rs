//! The support file: texts with their names, packed as tar and gzip, no larger than its limit, for
//! nobody but its owner to read. Never holds a text that the redactor has not cleaned.

use super::redact::Redactor;
use crate::cli::status::rounded;
use anyhow::Context as _;
use flate2::Compression;
use flate2::write::GzEncoder;
use protocol::time::Timestamp;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Largest text; of a longer one the end is kept.
pub(super) const TEXT_BYTES_MAX: usize = 2 << 20;
/// Bytes of all texts together; what comes after is left out. Packed they are a tenth of it.
pub(super) const ALL_BYTES_MAX: usize = 8 << 20;

/// Texts that will go into the file.
pub(super) struct Archive {
    texts: Vec<(String, String)>,
    notes: Vec<String>,
    bytes: usize,
}

impl Archive {
    pub(super) const fn new() -> Self {
        Self {
            texts: Vec::new(),
            notes: Vec::new(),
            bytes: 0,
        }
    }

    /// A text under a name. What had to be left out or cut is noted.
    pub(super) fn add(&mut self, name: &str, redactor: &Redactor, text: &str) {
        let mut text = redactor.text(text);
        if redactor.holds_secret(&text) {
            self.note(format!(
                "{name} was left out: it held a secret that could not be taken out."
            ));
            return;
        }
        if text.len() > TEXT_BYTES_MAX {
            let from = text.len() - TEXT_BYTES_MAX;
            let from = (from..text.len()).find(|at| text.is_char_boundary(*at));
            text = text.split_off(from.unwrap_or(text.len()));
            let shown = rounded(u64::try_from(TEXT_BYTES_MAX).unwrap_or(u64::MAX));
            self.note(format!(
                "{name} was longer than {shown}: only its end is here."
            ));
        }
        if self.bytes + text.len() > ALL_BYTES_MAX {
            self.note(format!("{name} was left out: there was no room for it."));
            return;
        }
        self.bytes += text.len();
        self.texts.push((name.to_owned(), text));
    }

    /// Something to be told to whoever reads the file.
    pub(super) fn note(&mut self, words: String) {
        self.notes.push(words);
    }

    /// What is in it, for `README.txt`.
    pub(super) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The same, one in each line.
    pub(super) fn notes_in_lines(&self) -> String {
        let lines = self.notes.iter().map(|note| note.clone() + "\n");
        lines.collect()
    }

    /// Names and sizes.
    pub(super) fn list(&self) -> impl Iterator<Item = (&str, usize)> {
        self.texts
            .iter()
            .map(|(name, text)| (name.as_str(), text.len()))
    }

    /// Writes the file, whole or not at all; one that is there already is not touched.
    pub(super) fn write(&self, path: &Path, folder: &str, now: Timestamp) -> anyhow::Result<u64> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .with_context(|| format!("making {}; name another file with --out", path.display()))?;
        let packed = self.pack(file, folder, now);
        if packed.is_err() {
            drop(std::fs::remove_file(path));
        }
        packed.with_context(|| format!("writing {}", path.display()))
    }

    fn pack(&self, file: File, folder: &str, now: Timestamp) -> std::io::Result<u64> {
        let mut tar = tar::Builder::new(GzEncoder::new(file, Compression::default()));
        for (name, text) in &self.texts {
            let mut header = tar::Header::new_gnu();
            header.set_size(u64::try_from(text.len()).unwrap_or(u64::MAX));
            header.set_mode(0o600);
            header.set_mtime(u64::try_from(now.millis() / 1_000).unwrap_or(0));
            tar.append_data(&mut header, format!("{folder}/{name}"), text.as_bytes())?;
        }
        let mut file = tar.into_inner()?.finish()?;
        file.flush()?;
        file.sync_all()?;
        Ok(file.metadata()?.len())
    }
}
