//! What people are to be told of alerts. Never tells anybody: `notify` does.

use protocol::event::Severity;
use protocol::id::AlertId;
use protocol::time::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One thing to tell people.
///
/// It may be handed over more than once, after a restart: `id` follows from what happened and is
/// then the same, so whoever tells people keeps the ids of what was told and tells it once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// Follows from what happened.
    pub id: Uuid,
    /// What sort of thing.
    pub kind: NoticeKind,
    /// The alert that it is about, if it is about one.
    pub alert: Option<AlertId>,
    /// How urgent.
    pub severity: Severity,
    /// One line.
    pub title: String,
    /// More about it, in plain sentences.
    pub words: String,
    /// Tag of the asset.
    pub asset: Option<String>,
    /// Name of the rule.
    pub rule: Option<String>,
    /// When it happened.
    pub time: Timestamp,
}

/// What sort of thing people are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// An alert began.
    Raised,
    /// It still stands, or nobody has acknowledged it (re-alarm).
    Again,
    /// It is over. Only of alerts that were told; for information, no sound.
    Cleared,
    /// More alerts than people can follow: low and medium ones are held back from now on.
    FloodBegan,
    /// They are told one by one again; with a list of what was held back and stands.
    FloodEnded,
    /// A rule comes and goes: it is told no more until it is calm.
    Chattering,
    /// A work order was opened for an alert. For information; the judge writes it, for it knows the
    /// order's number.
    OrderOpened,
}
