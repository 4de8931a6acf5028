//! What people may do on a box, and how much hangs on an asset. Never who somebody is.

use serde::{Deserialize, Serialize};

/// What somebody may do on a box; each may all that the ones before it may. On the wire: append
/// only.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Look.
    #[default]
    Viewer,
    /// Acknowledge, work on orders, comment.
    Technician,
    /// Approve, assign, close and cancel orders; shelve an alarm.
    Planner,
    /// Write to devices, take an alarm out of service, reload and roll back the configuration.
    Engineer,
}

impl Role {
    /// All, the least first.
    pub const ALL: [Self; 4] = [
        Self::Viewer,
        Self::Technician,
        Self::Planner,
        Self::Engineer,
    ];

    /// The word of files and JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Technician => "technician",
            Self::Planner => "planner",
            Self::Engineer => "engineer",
        }
    }

    /// From the word of files and JSON.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.word() == word)
    }
}

/// How much hangs on an asset. On the wire: append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Criticality {
    /// The plant stands, or people are in danger.
    A,
    /// Production suffers.
    B,
    /// There is another one, or time.
    C,
    /// Nothing hangs on it.
    D,
}

impl Criticality {
    /// The letter of files and JSON.
    pub const fn letter(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
            Self::D => "D",
        }
    }

    /// From the letter of files and JSON.
    pub fn from_letter(letter: &str) -> Option<Self> {
        [Self::A, Self::B, Self::C, Self::D]
            .into_iter()
            .find(|known| known.letter() == letter)
    }
}
