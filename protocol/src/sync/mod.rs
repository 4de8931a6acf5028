//! The two ends of a connection as values: `EdgeSession` and `HubSession` (PROTOCOL §6).
//! In quinn-proto's vocabulary: `handle_*(…, now)` takes what happened, `poll_*` gives what is to
//! be done. Never waits, never stores, never sends by itself. What is stored is the only truth:
//! a fact is sent after it is durable and forgotten only after the other side's commit.

mod down;
mod edge;
mod hub;
mod pace;
mod stream;
#[cfg(test)]
#[expect(clippy::as_conversions, reason = "small numbers of a test")]
mod tests;

pub use down::{DocumentState, Outcome, Task};
pub use edge::{
    EdgeAction, EdgeContent, EdgeSession, EdgeStart, EdgeStream, Fetch, FetchRange, Fetched,
};
pub use hub::{
    BundleName, ChunkStored, Commit, ContentChunk, HelloAnswer, HelloInfo, HubAction, HubSession,
    OwnLost, Refused,
};

use crate::wire::WireError;
use thiserror::Error;

/// The newest protocol number of this build.
pub const PROTOCOL: u16 = 1;
/// The oldest one that it still speaks.
pub const PROTOCOL_OLDEST: u16 = 1;
/// What this build can do beyond the protocol number: bits that hello and welcome compare. A peer's
/// unknown bits are left out of what both can do.
pub const FEATURES: u64 = features::CONTENTS | features::DOWN | features::BUNDLE;

/// The bits of [`FEATURES`]. On the wire: append only.
pub mod features {
    /// Contents of attachments: messages 12 to 14 and 40, lane 5.
    pub const CONTENTS: u64 = 1;
    /// Documents and commands: messages 19 to 23.
    pub const DOWN: u64 = 2;
    /// The site bundle: messages 24 to 26.
    pub const BUNDLE: u64 = 4;
}

/// TLS application protocol of a synchronising connection.
pub const ALPN_SYNC: &[u8] = b"cfe-sync/1";
/// TLS application protocol of enrolment.
pub const ALPN_ENROL: &[u8] = b"cfe-enrol/1";
/// TLS application protocol of the renewal of a certificate.
pub const ALPN_RENEW: &[u8] = b"cfe-renew/1";

/// One QUIC stream with its own priority and window (PROTOCOL §6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Hello, acknowledgements, refusals.
    Control,
    /// Alerts and record events, both ways.
    Events,
    /// Reference data, down.
    Reference,
    /// Newest readings.
    Live,
    /// Older readings, oldest first.
    Backlog,
    /// Contents of attachments.
    Attachment,
}

impl Lane {
    /// All lanes by number.
    pub const ALL: [Self; 6] = [
        Self::Control,
        Self::Events,
        Self::Reference,
        Self::Live,
        Self::Backlog,
        Self::Attachment,
    ];

    /// The number: first byte on the lane's stream.
    pub const fn number(self) -> u8 {
        match self {
            Self::Control => 0,
            Self::Events => 1,
            Self::Reference => 2,
            Self::Live => 3,
            Self::Backlog => 4,
            Self::Attachment => 5,
        }
    }

    /// From the number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|lane| lane.number() == number)
    }

    /// Higher goes first when the link is short.
    pub const fn priority(self) -> i32 {
        match self {
            Self::Control => 40,
            Self::Events => 30,
            Self::Reference => 20,
            Self::Live => 10,
            Self::Backlog => 0,
            Self::Attachment => -10,
        }
    }
}

/// How the hub stands to one content. On the wire: append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentState {
    /// It is to be sent from where the hub stands.
    Wanted,
    /// The hub holds all of it, and the hash is right.
    Kept,
    /// What came has another hash and was thrown away.
    Wrong,
    /// The hub cannot take it.
    Refused,
}

impl ContentState {
    /// The number on the wire.
    pub const fn code(self) -> u8 {
        match self {
            Self::Wanted => 0,
            Self::Kept => 1,
            Self::Wrong => 2,
            Self::Refused => 3,
        }
    }

    /// From the number on the wire; a state of a newer hub is none that would have it sent.
    pub const fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Wanted,
            1 => Self::Kept,
            2 => Self::Wrong,
            _ => Self::Refused,
        }
    }
}

/// Why one end turns the other away. On the wire: append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The certificate is of another gateway than the hello says.
    WrongGateway,
    /// The certificate was withdrawn.
    Revoked,
    /// No protocol number in common.
    Protocol,
    /// The hub has too much to do; come again.
    Busy,
    /// The claim token is unknown, used or too old.
    Claim,
    /// The other side broke the protocol.
    Violation,
    /// The certificate is past its last day; it may be renewed.
    Expired,
    /// A newer connection of the same identity took this one's place.
    Replaced,
}

impl Refusal {
    const ALL: [Self; 8] = [
        Self::WrongGateway,
        Self::Revoked,
        Self::Protocol,
        Self::Busy,
        Self::Claim,
        Self::Violation,
        Self::Expired,
        Self::Replaced,
    ];

    /// The number on the wire.
    pub const fn code(self) -> u16 {
        match self {
            Self::WrongGateway => 1,
            Self::Revoked => 2,
            Self::Protocol => 3,
            Self::Busy => 4,
            Self::Claim => 5,
            Self::Violation => 7,
            Self::Expired => 8,
            Self::Replaced => 9,
        }
    }

    /// From the number on the wire.
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|refusal| refusal.code() == code)
    }
}

/// Why a session cannot go on. The connection is closed; nothing durable is touched.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SessionError {
    /// Bytes that are no message.
    #[error("reading a message")]
    Wire(#[from] WireError),
    /// A message where it does not belong.
    #[error("{what} does not belong on lane {lane} at this point")]
    Unexpected {
        /// Which message.
        what: &'static str,
        /// On which lane.
        lane: u8,
    },
    /// Numbers that do not follow each other.
    #[error("events begin at {got}, {expected} was next")]
    Hole {
        /// What was next.
        expected: u64,
        /// What came.
        got: u64,
    },
    /// The other side said why it does not go on.
    #[error("the other side refused: {words}")]
    Refused {
        /// Why.
        refusal: Option<Refusal>,
        /// In words.
        words: String,
        /// When to come again.
        retry_after_s: Option<u32>,
    },
    /// No answer for too long.
    #[error("no {what} for {seconds} s")]
    Silent {
        /// What was awaited.
        what: &'static str,
        /// For how long.
        seconds: u64,
    },
}
