//! What can go wrong in the store, in words for the person who has to put it right.
//! Never shows SQL.

use crate::clock::NoRandom;
use protocol::block::BlockError;
use protocol::wire::WireError;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why the store did not do what it was asked.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The file could not be opened.
    #[error(
        "the hub's store {path} could not be opened; check that its folder exists and that this user may write there"
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: rusqlite::Error,
    },
    /// The file's folder could not be made.
    #[error(
        "the folder {path} could not be made; make it, or set data_dir to one that may be written"
    )]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A newer hub wrote the file.
    #[error(
        "the store {path} has layout {found}, this hub knows up to {known}: it was written by a newer hub, start that one"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Layout in the file.
        found: usize,
        /// Newest layout of this build.
        known: usize,
    },
    /// The file is not what was written: bytes of it were changed or lost.
    #[error(
        "the hub's store is damaged: it could not {what}. Stop the hub, see with `cloud-hub check` what \
         is left, and put the newest backup in its place; boxes send what the backup lacks as long as \
         they still hold it"
    )]
    Damaged {
        /// What it was doing.
        what: &'static str,
        /// What the database said.
        #[source]
        source: rusqlite::Error,
    },
    /// A copy of the file could not be made.
    #[error("the copy {path} could not be made; is there room on the disk?")]
    Copy {
        /// The copy.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file of an attachment.
    #[error("the store could not {what} {path}; is there room on the disk?")]
    Content {
        /// What it was doing.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The database refused.
    #[error("the store could not {what}")]
    Sql {
        /// What it was doing.
        what: &'static str,
        /// What the database said.
        #[source]
        source: rusqlite::Error,
    },
    /// Stored bytes, or bytes to be stored, do not follow the protocol.
    #[error("{what} does not follow the protocol")]
    Wire {
        /// What.
        what: &'static str,
        /// Why.
        #[source]
        source: WireError,
    },
    /// A block of readings could not be made or read.
    #[error("a block of readings could not be {what}")]
    Block {
        /// `read` or `written`.
        what: &'static str,
        /// Why.
        #[source]
        source: BlockError,
    },
    /// There is no such thing.
    #[error("there is no such {what}")]
    NotFound {
        /// What was looked for.
        what: &'static str,
    },
    /// A name is taken.
    #[error("the {what} \"{name}\" is taken; choose another one")]
    Taken {
        /// What has the name.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// Too long or too many.
    #[error("{what} is over the limit of {max}")]
    OverLimit {
        /// What.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// A list was continued with a text that this hub did not give.
    #[error("the cursor is not one that this hub gave; begin the list again without it")]
    BadCursor,
    /// Two different facts under one id.
    #[error("another event has this id already; use a new Idempotency-Key for a new action")]
    EventIdReused,
    /// No random numbers.
    #[error(transparent)]
    Random(#[from] NoRandom),
    /// The writer has ended: the program is stopping.
    #[error("the store is stopped")]
    Stopped,
}

impl StoreError {
    /// The same failure for another one whom it befell: several share a commit.
    pub(super) fn again(&self) -> Self {
        let copy = |source: &rusqlite::Error| match source {
            rusqlite::Error::SqliteFailure(code, words) => {
                rusqlite::Error::SqliteFailure(*code, words.clone())
            }
            other => rusqlite::Error::ToSqlConversionFailure(other.to_string().into()),
        };
        match self {
            Self::Sql { what, source } => Self::Sql {
                what,
                source: copy(source),
            },
            Self::Damaged { what, source } => Self::Damaged {
                what,
                source: copy(source),
            },
            _ => Self::Stopped,
        }
    }

    /// The file could not be opened, or it could and is no store.
    pub(super) fn opening(path: &Path, source: rusqlite::Error) -> Self {
        if is_damage(&source) {
            return Self::Damaged {
                what: "be opened",
                source,
            };
        }
        Self::Open {
            path: path.to_owned(),
            source,
        }
    }
}

fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(
        error.sqlite_error_code(),
        Some(DatabaseCorrupt | NotADatabase)
    )
}

/// Says what was being done when the database refused.
pub(super) trait Doing<T> {
    /// `what` completes "the store could not …".
    fn doing(self, what: &'static str) -> Result<T, StoreError>;
}

impl<T> Doing<T> for Result<T, rusqlite::Error> {
    fn doing(self, what: &'static str) -> Result<T, StoreError> {
        self.map_err(|source| {
            if is_damage(&source) {
                StoreError::Damaged { what, source }
            } else {
                StoreError::Sql { what, source }
            }
        })
    }
}

impl<T> Doing<T> for Result<T, WireError> {
    fn doing(self, what: &'static str) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::Wire { what, source })
    }
}
