//! The site bundle: what a box must know of its site to work without the hub (PROTOCOL §9). People
//! with roles and PINs, assets, parts, checklists, failure codes. The hub makes and signs it as a
//! whole; the box never changes it. Never hashes or compares a PIN: that is the programs' business.

mod find;
mod role;

pub use find::Validity;
pub use role::{Criticality, Role};

use crate::id::{SiteId, UserId};
use crate::limits::{self, at_most};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Begins what the hub signs, so that no such signature can be taken for one of something else.
const SIGNED: &[u8] = b"cfe-bundle/1 ";

/// All that a box knows of its site, as one numbered whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bundle {
    /// The hub counts the bundles of each site from 1; a box takes only a higher one.
    pub number: u64,
    /// The site it is of; a box of another site refuses it.
    pub site: SiteId,
    /// When the hub made it.
    pub made: Timestamp,
    /// Until when it counts in full.
    pub valid_until: Timestamp,
    /// Days after that in which it still counts, with a warning. After them nobody is more than
    /// [`Role::Technician`].
    pub grace_days: u16,
    /// People of the site, in the order of their names.
    #[serde(deserialize_with = "at_most::<{ limits::PEOPLE_MAX }, _, _>")]
    pub people: Vec<Person>,
    /// Assets, in the order of their tags.
    #[serde(deserialize_with = "at_most::<{ limits::ASSETS_MAX }, _, _>")]
    pub assets: Vec<Asset>,
    /// Parts with the site's stock, in the order of their numbers.
    #[serde(deserialize_with = "at_most::<{ limits::PARTS_MAX }, _, _>")]
    pub parts: Vec<Part>,
    /// The newest version of each checklist, in the order of their names.
    #[serde(deserialize_with = "at_most::<{ limits::CHECKLISTS_MAX }, _, _>")]
    pub checklists: Vec<Checklist>,
    /// Failure codes, in the order of their codes.
    #[serde(deserialize_with = "at_most::<{ limits::FAILURE_CODES_MAX }, _, _>")]
    pub failure_codes: Vec<FailureCode>,
}

/// Somebody who works at the site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Who, for good.
    pub id: UserId,
    /// As shown; unique at the site.
    pub name: String,
    /// What they may do on the box.
    pub role: Role,
    /// How their PIN is checked; `None`: they cannot sign in on a box.
    pub pin: Option<PinHash>,
    /// International form (E.164), where somebody may call or write them.
    pub phone: Option<String>,
    /// Where somebody may write them.
    pub email: Option<String>,
    /// Language of messages to them (BCP 47).
    pub language: Option<String>,
    /// Whether they are told of alerts when it is their turn.
    pub on_call: bool,
}

/// A PIN as argon2id (RFC 9106, version 0x13, one lane) keeps it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinHash {
    /// Memory in KiB, at most `limits::PIN_MEMORY_KIB_MAX`.
    pub memory_kib: u32,
    /// Passes over it, at most `limits::PIN_PASSES_MAX`.
    pub passes: u32,
    /// At random for each PIN that is set.
    pub salt: [u8; 16],
    /// The tag.
    pub hash: [u8; 32],
}

impl std::fmt::Debug for PinHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PinHash").finish_non_exhaustive()
    }
}

/// A machine or a part of it that is maintained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asset {
    /// Its tag at the site; unique, names it everywhere.
    pub tag: String,
    /// As shown.
    pub name: String,
    /// Tag of what it is a part of. There is no circle.
    pub parent: Option<String>,
    /// How much hangs on it.
    pub criticality: Option<Criticality>,
    /// What sort it is (`pump`); selects failure codes and checklists.
    pub class: Option<String>,
    /// Where it stands, in words.
    pub location: Option<String>,
}

/// A spare part and how many of it the site has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Its number; unique.
    pub number: String,
    /// As shown.
    pub name: String,
    /// How many the site has, as the hub knew it when the bundle was made. Below zero: more were
    /// taken than were known.
    pub stock: f64,
    /// In what it is counted (`piece`, `m`, `l`).
    pub unit: String,
    /// Where it lies.
    pub place: Option<String>,
    /// Below this many somebody should order.
    pub minimum: Option<f64>,
}

/// Steps that are to be gone through. A change at the hub makes a new version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checklist {
    /// Its name at the site (`pump-monthly`); unique with the version.
    pub id: String,
    /// Counts from 1.
    pub version: u32,
    /// As shown.
    pub title: String,
    /// For assets of this class only; `None`: for all.
    pub class: Option<String>,
    /// In their order.
    #[serde(deserialize_with = "at_most::<{ limits::CHECKLIST_STEPS_MAX }, _, _>")]
    pub steps: Vec<Step>,
}

/// One step of a checklist.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// What is to be done or found out.
    pub title: String,
    /// Whether the list is complete without it.
    pub required: bool,
    /// What is to be written down.
    pub answer: Answer,
}

/// What a step asks for. On the wire: append only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// Done or in order: yes or no.
    Yes,
    /// A measured value.
    Number {
        /// UCUM code; empty: none.
        unit: String,
        /// Lowest value that is in order.
        low: Option<f64>,
        /// Highest value that is in order.
        high: Option<f64>,
    },
    /// Words.
    Text,
    /// One of these.
    Choice {
        /// The choices.
        #[serde(deserialize_with = "at_most::<{ limits::STEP_CHOICES_MAX }, _, _>")]
        choices: Vec<String>,
    },
    /// A photo.
    Photo,
    /// The signature of whoever is signed in.
    Signature,
}

/// A word of the failure report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureCode {
    /// Short (`SEAL-LEAK`); unique within its kind.
    pub code: String,
    /// What it answers.
    pub kind: FailureKind,
    /// As shown.
    pub title: String,
    /// For assets of this class only; `None`: for all.
    pub class: Option<String>,
    /// The code that must have been chosen before it (a cause of this problem); `None`: any.
    pub under: Option<String>,
}

/// The three questions of a failure report (ISO 14224: mode, cause, activity). On the wire: append
/// only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// What was seen.
    Problem,
    /// Why.
    Cause,
    /// What was done about it.
    Remedy,
}

impl FailureKind {
    /// The word of files and JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Problem => "problem",
            Self::Cause => "cause",
            Self::Remedy => "remedy",
        }
    }

    /// From the word of files and JSON.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Problem, Self::Cause, Self::Remedy]
            .into_iter()
            .find(|kind| kind.word() == word)
    }
}

/// What the hub's authority signs for a bundle whose bytes have this SHA-256.
pub fn to_sign(hash: &[u8; 32]) -> Vec<u8> {
    [SIGNED, hash].concat()
}

#[cfg(test)]
pub(crate) mod tests;
