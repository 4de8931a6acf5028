//! The local configuration that runs and the one that ran before it, kept under the data folder with
//! the templates they used: for `diff`, and for the way back. Each is written whole or not at all.
//! Never kept before it ran, and never a reason for the agent not to run.

use crate::config::{FILE_BYTES_MAX, LocalFile};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::{fs, io};
use thiserror::Error;

/// Largest file that is read: JSON may write a byte as six.
const BYTES_MAX: u64 = FILE_BYTES_MAX * 8;

/// Why a kept configuration could not be read or written.
#[derive(Debug, Error)]
#[error("{action} {path}")]
pub struct KeptError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// What is kept of one box.
#[derive(Clone, Debug)]
pub struct Kept {
    folder: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
struct Shape {
    text: String,
    templates: BTreeMap<String, String>,
}

impl Kept {
    /// Below the folder of everything that the box keeps.
    pub fn of(data_dir: &Path) -> Self {
        Self {
            folder: data_dir.join("configuration"),
        }
    }

    /// What runs, or ran last.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn running(&self) -> Result<Option<LocalFile>, KeptError> {
        read(&self.folder.join("running.json"))
    }

    /// What ran before it.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn previous(&self) -> Result<Option<LocalFile>, KeptError> {
        read(&self.folder.join("previous.json"))
    }

    /// Notes what runs now. The same once more changes nothing.
    ///
    /// # Errors
    /// When it cannot be written; what was kept is then still whole.
    pub fn runs(&self, local: &LocalFile) -> Result<(), KeptError> {
        // What cannot be read any more is worth less than what runs.
        let before = self.running().ok().flatten();
        if before.as_ref() == Some(local) {
            return Ok(());
        }
        fs::create_dir_all(&self.folder).map_err(|source| KeptError {
            action: "making",
            path: self.folder.clone(),
            source,
        })?;
        if let Some(before) = &before {
            write(&self.folder.join("previous.json"), before)?;
        }
        write(&self.folder.join("running.json"), local)
    }
}

fn read(path: &Path) -> Result<Option<LocalFile>, KeptError> {
    let failed = |source| KeptError {
        action: "reading the kept configuration",
        path: path.to_owned(),
        source,
    };
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut text = Vec::new();
    file.take(BYTES_MAX)
        .read_to_end(&mut text)
        .map_err(failed)?;
    let shape: Shape = serde_json::from_slice(&text).map_err(|error| failed(error.into()))?;
    Ok(Some(LocalFile {
        text: shape.text.into(),
        templates: shape.templates,
    }))
}

fn write(path: &Path, local: &LocalFile) -> Result<(), KeptError> {
    let shape = Shape {
        text: local.text.to_string(),
        templates: local.templates.clone(),
    };
    let temporary = path.with_extension("new");
    let written = serde_json::to_vec(&shape)
        .map_err(io::Error::from)
        .and_then(|bytes| {
            let mut file = fs::File::create(&temporary)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&temporary, path)?;
            fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
        });
    written.map_err(|source| KeptError {
        action: "keeping the configuration in",
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(text: &str) -> LocalFile {
        LocalFile {
            text: text.into(),
            templates: BTreeMap::from([("own".to_owned(), format!("# {text}"))]),
        }
    }

    #[test]
    fn what_ran_before_is_kept_and_the_same_twice_is_once() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::of(folder.path());
        assert_eq!(kept.running().unwrap(), None);
        for text in ["one", "two", "two"] {
            kept.runs(&local(text)).unwrap();
        }
        assert_eq!(kept.running().unwrap(), Some(local("two")));
        assert_eq!(kept.previous().unwrap(), Some(local("one")));
    }

    #[test]
    fn a_damaged_file_is_told_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::of(folder.path());
        kept.runs(&local("one")).unwrap();
        let file = folder.path().join("configuration/running.json");
        fs::write(&file, "{\"text\": \"on").unwrap();
        let words = kept.running().unwrap_err().to_string();
        assert!(words.contains("running.json"), "{words}");
        kept.runs(&local("two")).unwrap();
        assert_eq!(kept.running().unwrap(), Some(local("two")));
        assert_eq!(kept.previous().unwrap(), None);
    }
}
