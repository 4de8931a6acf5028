//! The messages of documents and commands (PROTOCOL §6.8). As frozen as all of version 1.

use crate::limits::{self, at_most};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What the plant is, as a whole: the box's configuration without what reaches and keeps the box.
/// Down on lane 2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentV1 {
    /// The hub counts the documents of each box from 1.
    pub version: u64,
    /// SHA-256 of the text.
    pub hash: [u8; 32],
    /// TOML, at most `limits::DOCUMENT_BYTES_MAX`.
    pub text: String,
}

/// What the box did with the newest document that it knows of, on lane 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentStateV1 {
    /// Which document; 0: it has none.
    pub version: u64,
    /// SHA-256 of its text; zero when it has none.
    pub hash: [u8; 32],
    /// See `sync::DocumentState`.
    pub state: u8,
    /// Why, for people.
    pub words: String,
}

/// Something that the box is to do, once. Down on lane 2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandV1 {
    /// Identity: the box does each at most once.
    pub id: Uuid,
    /// See `sync::Task`.
    pub kind: u16,
    /// What the kind needs.
    #[serde(deserialize_with = "at_most::<{ limits::COMMAND_ARGUMENTS_MAX }, _, _>")]
    pub arguments: Vec<String>,
    /// When it was given, by the hub's clock.
    pub issued_us: i64,
    /// From when on it is not done any more.
    pub expires_us: i64,
    /// Who gave it.
    pub by: String,
}

/// How a command ended, on lane 0; said again on each connection until `ResultAck`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandResultV1 {
    /// The command.
    pub id: Uuid,
    /// See `sync::Outcome`.
    pub outcome: u8,
    /// For people.
    pub words: String,
    /// When, by the box's clock.
    pub time_us: i64,
}

/// The hub has stored the result of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultAckV1 {
    /// The command.
    pub id: Uuid,
}
