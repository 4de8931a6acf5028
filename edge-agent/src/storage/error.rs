//! What can go wrong in the store, in words for the person who has to mend it.
//! Never logs: the caller decides.

use protocol::block::BlockError;
use protocol::wire::WireError;
use rusqlite::ErrorCode;
use std::path::PathBuf;

/// What went wrong in the store.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// A box that is to take another one's place has facts of its own.
    #[error(
        "{} holds records of this box under another identity; move it away before the box takes \
         another one's place",
        folder.display()
    )]
    NotEmpty {
        /// The data folder.
        folder: PathBuf,
    },
    /// The folder or a file in it.
    #[error(
        "{path} cannot be used as the agent's data folder; check that it exists, has room and belongs to the agent's user"
    )]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Another process has the folder.
    #[error("{path} is in use by another agent; stop that one, or give this one its own folder")]
    InUse {
        /// The file that is locked.
        path: PathBuf,
    },
    /// A database that cannot be opened.
    #[error(
        "{path} cannot be opened as a database; check its owner and that no other agent uses the folder"
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// A database of a newer program.
    #[error(
        "{path} was written by a newer agent (schema {found}, this one knows up to {known}); install that version again"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Schema version in the file.
        found: usize,
        /// Newest version known here.
        known: usize,
    },
    /// No room for the copy that is made before a schema is changed.
    #[error(
        "{path} has to be changed for this version, and a copy is made before: {bytes} bytes are needed and {free_bytes} are free on its disk; make room, or start the version before again"
    )]
    NoRoomForCopy {
        /// The file.
        path: PathBuf,
        /// Bytes needed.
        bytes: u64,
        /// Bytes free.
        free_bytes: u64,
    },
    /// The events are damaged. They are not replaced without being asked.
    #[error(
        "{path} is damaged ({what}); it holds the alerts and work orders, so it is not replaced by itself: restore it from a backup, or move it out of the folder to begin an empty record under a new identity"
    )]
    CoreDamaged {
        /// The file.
        path: PathBuf,
        /// What the check found.
        what: String,
    },
    /// A statement failed.
    #[error("the store failed while {doing}")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// Polls could not be made into a block, or a block not read.
    #[error("a block of stream {stream} failed while {doing}")]
    Block {
        /// The stream.
        stream: u32,
        /// What was being done.
        doing: &'static str,
        /// Why.
        #[source]
        source: BlockError,
    },
    /// An event or schema could not be written or read as bytes.
    #[error("the store failed while {doing}")]
    Wire {
        /// What was being done.
        doing: &'static str,
        /// Why.
        #[source]
        source: WireError,
    },
    /// Something is longer or more than allowed.
    #[error("{what} is over its limit: {found} where at most {max} is kept; shorten it")]
    OverLimit {
        /// What.
        what: &'static str,
        /// How much it is.
        found: usize,
        /// The limit.
        max: usize,
    },
    /// A body that does not belong to its record.
    #[error("an event of one kind cannot change a record of another kind")]
    WrongRecord,
    /// An id that another record's event has.
    #[error("event {id} exists already and belongs to another record; use a fresh id")]
    IdTaken {
        /// The id.
        id: protocol::id::EventId,
    },
    /// The hub's events do not follow what is stored.
    #[error(
        "the hub's events begin at {first_seq}, but only those up to {held} are stored; ask for those in between"
    )]
    DownHole {
        /// First number that came.
        first_seq: u64,
        /// Last number held.
        held: u64,
    },
    /// Own events that do not continue what is held.
    #[error(
        "the hub sent this box's own events of opening {incarnation} from {first_seq} on, but only those up to {held} are stored; ask for those in between"
    )]
    OwnHole {
        /// The opening of the store that wrote them.
        incarnation: u32,
        /// First number that came.
        first_seq: u64,
        /// Last number held.
        held: u64,
    },
    /// A stream that was never registered.
    #[error("stream {stream} is not known; register its poll group first")]
    UnknownStream {
        /// The stream.
        stream: u32,
    },
    /// No random bytes from the system.
    #[error("the system gave no random bytes")]
    Random,
    /// The thread could not be started.
    #[error("the store's thread could not be started")]
    Thread {
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A commit failed; the polls wait in memory for the next try.
    #[error("the readings could not be committed and wait in memory; the log says why")]
    NotCommitted,
    /// The store has ended, or the job given to it panicked.
    #[error("the store has stopped or gave up this job; the log says why")]
    Stopped,
}

impl StorageError {
    /// Neither the quota nor the disk has room.
    pub fn is_full(&self) -> bool {
        self.code() == Some(ErrorCode::DiskFull)
    }

    /// The file's contents contradict themselves.
    pub(super) fn is_damage(&self) -> bool {
        matches!(
            self.code(),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
        )
    }

    fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Database { source, .. } | Self::Open { source, .. } => source.sqlite_error_code(),
            _ => None,
        }
    }
}

/// Says what was being done when something failed.
pub(super) trait Doing<T> {
    /// `doing` completes the sentence "the store failed while ...".
    fn doing(self, doing: &'static str) -> Result<T, StorageError>;
}

impl<T> Doing<T> for rusqlite::Result<T> {
    fn doing(self, doing: &'static str) -> Result<T, StorageError> {
        self.map_err(|source| StorageError::Database { doing, source })
    }
}

impl<T> Doing<T> for Result<T, WireError> {
    fn doing(self, doing: &'static str) -> Result<T, StorageError> {
        self.map_err(|source| StorageError::Wire { doing, source })
    }
}

/// Why a poll was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// The queue is full: the store does not keep up. The caller counts the poll as lost.
    #[error("the store's queue is full")]
    Full,
    /// The store has ended.
    #[error("the store has stopped")]
    Stopped,
    /// The stream is not registered, or the poll has another number of cells than its schema.
    #[error("the poll does not fit its poll group")]
    WrongShape,
}
