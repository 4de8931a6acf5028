//! What the folds of all records share: order, history, notes.
//! Never knows a single record's rules.

#[cfg(test)]
pub(crate) mod histories;

use crate::event::{Event, RecordRef};
use crate::id::{EventId, Origin};
use crate::limits;
use crate::time::{ClockState, Timestamp};
use std::collections::BTreeMap;

/// One line of a record's history: what one event did, or why it did nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryEntry {
    /// The event.
    pub id: EventId,
    /// The writer's wall clock.
    pub at: Timestamp,
    /// State of that clock.
    pub clock: ClockState,
    /// Who acted.
    pub by: String,
    /// Whether a person acted.
    pub by_person: bool,
    /// Where it was written.
    pub origin: Origin,
    /// One word.
    pub what: &'static str,
    /// The text that came with it.
    pub text: Option<String>,
    /// Whether it changed the record.
    pub applied: bool,
    /// Why not, or what is to be looked at.
    pub note: Option<&'static str>,
}

impl HistoryEntry {
    /// A line for `event` that so far says nothing.
    pub fn of(event: &Event) -> Self {
        Self {
            id: event.id,
            at: event.time,
            clock: event.clock,
            by: event.actor.name().to_owned(),
            by_person: event.actor.is_person(),
            origin: event.origin,
            what: "",
            text: None,
            applied: true,
            note: None,
        }
    }

    /// Kept and shown, but the record does not follow it.
    pub fn refuse(&mut self, why: &'static str) {
        self.applied = false;
        self.note = Some(why);
    }

    /// An event of a newer build.
    pub fn unknown(&mut self) {
        self.what = "unknown";
        self.refuse("written by a newer version; kept and passed on");
    }
}

/// What a person said, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// The event.
    pub id: EventId,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// What.
    pub text: String,
    /// Said after the record was closed or cancelled elsewhere.
    pub late: bool,
}

impl Note {
    /// The note that `event` carries.
    pub fn of(event: &Event, text: String) -> Self {
        Self {
            id: event.id,
            at: event.time,
            by: event.actor.name().to_owned(),
            text,
            late: false,
        }
    }
}

/// The events of `record`, each once, in the one order that every replica uses: by logical
/// stamp, then by id. At most `limits::EVENTS_PER_RECORD_MAX`, the earliest.
pub fn in_order(events: &[Event], record: RecordRef) -> Vec<&Event> {
    let unique: BTreeMap<_, _> = events
        .iter()
        .filter(|event| event.record == record)
        .map(|event| ((event.hlc, event.id), event))
        .collect();
    unique
        .into_values()
        .take(limits::EVENTS_PER_RECORD_MAX)
        .collect()
}

/// Whether the writer of `later` had not seen `earlier` when writing.
pub fn concurrent(earlier: &Event, later: &Event) -> bool {
    earlier.hlc > later.based_on && earlier.origin != later.origin
}
