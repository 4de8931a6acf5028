//! Configuration documents of the hub on the box's disk: which one counts, which one is on trial,
//! what the hub is told of it. Each change is on the disk before anything follows from it, so that a
//! power cut at any moment leaves either the document that counted before or a trial that failed.
//! Never reads what a document says.

mod saved;

use crate::config::Difference;
use protocol::sync::DocumentState;
use saved::Saved;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

/// Most bytes of words that are kept of one document; longer ones are cut.
const WORDS_BYTES_MAX: usize = 4 << 10;
/// Requests that wait for the agent.
const REQUESTS_MAX: usize = 16;

/// What a box that takes no documents tells.
const TAKES_NONE: &str = "this box takes no configuration from the hub; to change that, write \
    accept_configuration = true under [hub] in its configuration file and start it again";
/// What a document is told that was on trial when the agent ended.
const ENDED: &str = "the agent ended during the trial (a crash, a power cut or a stop); \
    what counted before counts again";

/// Why documents could not be read or kept.
#[derive(Debug, Error)]
pub enum DocumentError {
    /// A file could not be read or written.
    #[error("{action} {path}")]
    File {
        /// What was being done.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// There is no document to go back from.
    #[error("the local file counts already; there is nothing to go back from")]
    LocalAlready,
}

/// Number and hash of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    /// The hub counts from 1.
    pub version: u64,
    /// SHA-256 of the text.
    pub hash: [u8; 32],
}

/// What the hub is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Which document; version 0: none.
    pub name: Name,
    /// What became of it.
    pub state: DocumentState,
    /// Why, for people.
    pub words: String,
}

/// What others ask of whoever runs the agent.
#[derive(Debug)]
pub enum Request {
    /// The hub sent a document.
    Document(Name, String),
    /// A person goes back to the local file.
    Rollback(oneshot::Sender<Result<Name, DocumentError>>),
    /// End the collection in order and begin it anew, for this command.
    Restart(Uuid),
    /// Read the local file again and change what differs. Answered with what changed, or in words with
    /// why nothing did.
    Reload(oneshot::Sender<Result<Difference, String>>),
}

/// Where requests are handed in, and what the hub is to be told now.
#[derive(Clone, Debug)]
pub struct Desk {
    /// To whoever runs the agent.
    pub requests: mpsc::Sender<Request>,
    /// What the hub is told.
    pub told: watch::Receiver<Told>,
    /// What counts now; none: the local file.
    pub counts: watch::Receiver<Option<Name>>,
    /// The command for which the agent was started again.
    pub restarted: Option<Uuid>,
}

/// The documents of one box.
#[derive(Debug)]
pub struct Documents {
    folder: PathBuf,
    accepts: bool,
    saved: Saved,
    told: watch::Sender<Told>,
    counting: watch::Sender<Option<Name>>,
}

impl Documents {
    /// Looks at what is there. `accepts`: the local file lets documents count at all.
    pub fn look(data_dir: &Path, accepts: bool) -> Self {
        let folder = data_dir.join("documents");
        let saved = Saved::read(&folder.join("state.json"));
        let told = watch::Sender::new(saved.told(accepts));
        let documents = Self {
            folder,
            accepts,
            saved,
            told,
            counting: watch::Sender::new(None),
        };
        documents.counting.send_replace(documents.counts());
        documents
    }

    /// The same for the agent that starts: a trial that is still noted was cut off, so it failed.
    pub fn open(data_dir: &Path, accepts: bool) -> Result<Self, DocumentError> {
        let mut documents = Self::look(data_dir, accepts);
        if documents.saved.trial.is_some() {
            documents.roll_back(ENDED)?;
        }
        Ok(documents)
    }

    /// A place for requests of at most [`REQUESTS_MAX`], and where they come out.
    pub fn desk(&self) -> (Desk, mpsc::Receiver<Request>) {
        let (requests, out) = mpsc::channel(REQUESTS_MAX);
        let desk = Desk {
            requests,
            told: self.told.subscribe(),
            counts: self.counting.subscribe(),
            restarted: None,
        };
        (desk, out)
    }

    /// The document that counts, on trial or for good; none: the local file counts.
    pub fn counts(&self) -> Option<Name> {
        let counts = self.saved.trial.or(self.saved.current);
        counts.filter(|_| self.accepts)
    }

    /// Whether the document that counts is on trial.
    pub const fn on_trial(&self) -> bool {
        self.saved.trial.is_some()
    }

    /// Whether the local file lets documents count.
    pub const fn accepts(&self) -> bool {
        self.accepts
    }

    /// What the hub is told.
    pub fn told(&self) -> Told {
        self.told.borrow().clone()
    }

    /// The text of a document that is kept.
    pub fn text(&self, name: Name) -> Result<String, DocumentError> {
        let path = self.file(name);
        fs::read_to_string(&path).map_err(|source| DocumentError::File {
            action: "reading the configuration document",
            path,
            source,
        })
    }

    /// Keeps a document that came. Answers whether it is a new one: one that was given up before is
    /// not tried again, it gets another number for that.
    pub fn receive(&mut self, name: Name, text: &str) -> Result<bool, DocumentError> {
        if !self.accepts || self.told().name == name {
            return Ok(false);
        }
        let mut given_up = self.saved.given_up.iter();
        if let Some(known) = given_up.find(|known| known.name == name).cloned() {
            self.tell(name, known.state, &known.words)?;
            return Ok(false);
        }
        fs::create_dir_all(&self.folder).map_err(|source| DocumentError::File {
            action: "making",
            path: self.folder.clone(),
            source,
        })?;
        write(&self.file(name), text.as_bytes())?;
        self.tell(name, DocumentState::Received, "")?;
        Ok(true)
    }

    /// The document that came last cannot be taken.
    pub fn reject(&mut self, words: &str) -> Result<(), DocumentError> {
        let name = self.told().name;
        self.tell(name, DocumentState::Rejected, words)?;
        self.tidy();
        Ok(())
    }

    /// The document that came last counts from now on, on trial.
    pub fn begin_trial(&mut self) -> Result<(), DocumentError> {
        let name = self.told().name;
        self.saved.trial = Some(name);
        self.tell(name, DocumentState::Applied, "on trial")
    }

    /// The trial was passed.
    pub fn confirm(&mut self) -> Result<(), DocumentError> {
        if let Some(name) = self.saved.trial.take() {
            self.saved.current = Some(name);
            self.tell(name, DocumentState::Confirmed, "")?;
            self.tidy();
        }
        Ok(())
    }

    /// The trial was not passed: what counted before counts again.
    pub fn roll_back(&mut self, words: &str) -> Result<(), DocumentError> {
        if let Some(name) = self.saved.trial.take() {
            self.tell(name, DocumentState::RolledBack, words)?;
            self.tidy();
        }
        Ok(())
    }

    /// A person goes back to the local file. Answers which document counted until now.
    pub fn to_local(&mut self) -> Result<Name, DocumentError> {
        let name = self.counts().ok_or(DocumentError::LocalAlready)?;
        self.saved.trial = None;
        self.saved.current = None;
        let words = "a person at the box went back to its local file";
        self.tell(name, DocumentState::RolledBack, words)?;
        self.tidy();
        Ok(name)
    }

    /// Writes the state down, then tells it.
    fn tell(&mut self, name: Name, state: DocumentState, words: &str) -> Result<(), DocumentError> {
        let mut end = words.len().min(WORDS_BYTES_MAX);
        while !words.is_char_boundary(end) {
            end -= 1;
        }
        self.saved.note(Told {
            name,
            state,
            words: words.get(..end).unwrap_or_default().to_owned(),
        });
        write(&self.folder.join("state.json"), &self.saved.to_bytes())?;
        self.counting.send_replace(self.counts());
        self.told.send_replace(self.saved.told(self.accepts));
        Ok(())
    }

    fn file(&self, name: Name) -> PathBuf {
        let hash = data_encoding::HEXLOWER.encode(name.hash.get(..4).unwrap_or_default());
        self.folder.join(format!("{}-{hash}.toml", name.version))
    }

    /// Removes the texts that nothing refers to any more.
    fn tidy(&self) {
        let kept = [self.saved.current, self.saved.trial];
        let kept: Vec<_> = kept.into_iter().flatten().map(|n| self.file(n)).collect();
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let text = path.extension().is_some_and(|end| end == "toml");
            // One that stays costs a little room, and goes the next time.
            if text && !kept.contains(&path) && fs::remove_file(&path).is_err() {
                tracing::debug!(path = %path.display(), "an old document could not be removed");
            }
        }
    }
}

/// Writes whole or not at all, and on the disk when it returns.
fn write(path: &Path, content: &[u8]) -> Result<(), DocumentError> {
    let temporary = path.with_extension("new");
    let written = fs::File::create(&temporary).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    });
    written.map_err(|source| DocumentError::File {
        action: "writing",
        path: path.to_owned(),
        source,
    })
}

impl Told {
    /// No document, or none taken at all.
    fn nothing(accepts: bool) -> Self {
        let (state, words) = if accepts {
            (DocumentState::Confirmed, "")
        } else {
            (DocumentState::Rejected, TAKES_NONE)
        };
        Self {
            name: Name {
                version: 0,
                hash: [0; 32],
            },
            state,
            words: words.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
