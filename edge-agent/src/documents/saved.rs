//! The one small file that says which document counts. Never half written: it is replaced whole.
//! One that cannot be read is as none: the local file counts, and the hub sends its document again.

use super::{Name, Told};
use protocol::sync::DocumentState;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What is kept over a restart.
#[derive(Debug, Default)]
pub(super) struct Saved {
    /// Kept for good.
    pub current: Option<Name>,
    /// Counts now, and is not kept for good yet.
    pub trial: Option<Name>,
    /// What became of the document that came last.
    pub told: Option<Told>,
    /// Documents that were rejected or rolled back, newest last: they are not tried again.
    pub given_up: Vec<Told>,
}

/// Most documents that are remembered as given up; of more, the oldest are forgotten.
const GIVEN_UP_MAX: usize = 32;

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Shape {
    current: Option<NameShape>,
    trial: Option<NameShape>,
    told: Option<ToldShape>,
    given_up: Vec<ToldShape>,
}

#[derive(Debug, Serialize, Deserialize)]
struct NameShape {
    version: u64,
    hash: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct ToldShape {
    name: NameShape,
    state: String,
    words: String,
}

impl Saved {
    pub(super) fn read(path: &Path) -> Self {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Self::default(),
            Err(error) => {
                tracing::error!(%error, path = %path.display(), "which document of the hub counts \
                    could not be read: the local configuration file counts");
                return Self::default();
            }
        };
        let shape: Shape = serde_json::from_slice(&text).unwrap_or_else(|error| {
            tracing::error!(%error, path = %path.display(), "this file is damaged: the local \
                configuration file counts until the hub sends its document again");
            Shape::default()
        });
        let told = shape.told.as_ref().and_then(ToldShape::read);
        let mut saved = Self {
            current: shape.current.as_ref().and_then(NameShape::read),
            trial: shape.trial.as_ref().and_then(NameShape::read),
            told,
            given_up: shape.given_up.iter().filter_map(ToldShape::read).collect(),
        };
        // It came and was not judged before the agent ended: the hub sends it again.
        let unjudged = |told: &Told| told.state == DocumentState::Received;
        if saved.told.as_ref().is_some_and(unjudged) {
            saved.told = None;
        }
        saved
    }

    /// Takes note of what became of a document.
    pub(super) fn note(&mut self, told: Told) {
        self.given_up.retain(|known| known.name != told.name);
        if matches!(
            told.state,
            DocumentState::Rejected | DocumentState::RolledBack
        ) {
            self.given_up.push(told.clone());
            let excess = self.given_up.len().saturating_sub(GIVEN_UP_MAX);
            self.given_up.drain(..excess);
        }
        self.told = Some(told);
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let shape = Shape {
            current: self.current.map(NameShape::of),
            trial: self.trial.map(NameShape::of),
            told: self.told.as_ref().map(ToldShape::of),
            given_up: self.given_up.iter().map(ToldShape::of).collect(),
        };
        serde_json::to_vec_pretty(&shape).unwrap_or_default()
    }

    /// What the hub is told.
    pub(super) fn told(&self, accepts: bool) -> Told {
        if !accepts {
            return Told::nothing(false);
        }
        let counts = self.trial.or(self.current).map(|name| Told {
            name,
            state: DocumentState::Confirmed,
            words: String::new(),
        });
        let told = self.told.clone().or(counts);
        told.unwrap_or_else(|| Told::nothing(true))
    }
}

impl NameShape {
    fn of(name: Name) -> Self {
        Self {
            version: name.version,
            hash: data_encoding::HEXLOWER.encode(&name.hash),
        }
    }

    fn read(&self) -> Option<Name> {
        let hash = data_encoding::HEXLOWER.decode(self.hash.as_bytes()).ok()?;
        Some(Name {
            version: self.version,
            hash: hash.try_into().ok()?,
        })
    }
}

impl ToldShape {
    fn of(told: &Told) -> Self {
        Self {
            name: NameShape::of(told.name),
            state: told.state.word().to_owned(),
            words: told.words.clone(),
        }
    }

    fn read(&self) -> Option<Told> {
        Some(Told {
            name: self.name.read()?,
            state: DocumentState::from_word(&self.state)?,
            words: self.words.clone(),
        })
    }
}
