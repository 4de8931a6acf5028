//! The life of a work order as a fold over its events, with the rules for what two sides did at
//! the same time. Pure: the same set of events gives the same order, in any order of arrival.
//!
//! The rules, in short: facts (comments, labour, parts, snapshots) are never lost, even late;
//! fields go to the later stamp and the loser is kept and shown; work done beats a cancel that
//! did not know of it; a reopen beats a close that did not know of it; what comes after the end
//! is kept, marked and put up for review.

mod facts;
mod failure;
mod fields;
mod guard;
mod labour;
mod rules;
mod signatures;
mod tasks;
#[cfg(test)]
mod tests;

pub use failure::Failure;
pub use guard::Action;
pub use labour::{Labour, RunningClock};
pub use signatures::{Signature, digest};
pub use tasks::{Task, TaskResult};

use crate::event::{
    Attached, Body, Event, FieldValue, HoldReason, Snapshot, WorkOrderCreated, WorkOrderEvent,
    WorkType,
};
use crate::id::{AlertId, EventId, Origin, UserId, WorkOrderId};
use crate::record::{self, HistoryEntry, Note};
use crate::time::{Hlc, Timestamp};
use serde::{Deserialize, Serialize};

/// Where an order is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkOrderState {
    /// Asked for, not yet approved.
    Requested,
    /// To be done.
    Open,
    /// To be done at a given time.
    Scheduled,
    /// Somebody works on it.
    InProgress,
    /// Work waits for something.
    OnHold,
    /// Work is done.
    Done,
    /// Looked at and put away.
    Closed,
    /// Turned down.
    Rejected,
    /// Not to be done.
    Cancelled,
    /// The same as another order.
    Duplicate,
}

impl WorkOrderState {
    /// Nothing more is to be done.
    pub const fn is_ended(self) -> bool {
        matches!(
            self,
            Self::Closed | Self::Rejected | Self::Cancelled | Self::Duplicate
        )
    }

    /// Still needs somebody: neither done nor ended. A new alarm joins such an order.
    pub const fn is_open(self) -> bool {
        !self.is_ended() && !matches!(self, Self::Done)
    }
}

/// A work order as its events tell it.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkOrder {
    /// Identity.
    pub id: WorkOrderId,
    /// Where it was made.
    pub origin: Origin,
    /// Number for people.
    pub number: String,
    /// What sort of work.
    pub work_type: WorkType,
    /// One line.
    pub title: Field<String>,
    /// More about it.
    pub description: Field<String>,
    /// 1 (most urgent) to 5.
    pub priority: Field<u8>,
    /// When it should be done.
    pub due: Field<Option<Timestamp>>,
    /// The asset's tag.
    pub asset: Field<Option<String>>,
    /// Who is to do it.
    pub assignee: Field<Option<Assignee>>,
    /// Planned time window.
    pub scheduled: Option<(Timestamp, Option<Timestamp>)>,
    /// Where it is in its life.
    pub state: WorkOrderState,
    /// What it waits for, while on hold.
    pub hold_reason: Option<HoldReason>,
    /// One open order per key.
    pub dedupe_key: Option<String>,
    /// The alerts behind it, first one first.
    pub alerts: Vec<AlertId>,
    /// The order that this one duplicates.
    pub duplicate_of: Option<WorkOrderId>,
    /// When and by whom it was made.
    pub created: (Timestamp, String),
    /// When work first began.
    pub started_at: Option<Timestamp>,
    /// When and by whom it was done (first completion).
    pub done: Option<(Timestamp, String)>,
    /// What was done.
    pub remedy: Option<String>,
    /// When and by whom what was done was found good.
    pub verified: Option<(Timestamp, String)>,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
    /// What is to be done one by one, in the order in which it was added.
    pub tasks: Vec<Task>,
    /// What failed and why.
    pub failure: Failure,
    /// Who works on it now.
    pub clocks: Vec<RunningClock>,
    /// Who signed.
    pub signatures: Vec<Signature>,
    /// The orders that go on with what was found here.
    pub follow_ups: Vec<FollowUp>,
    /// What people said.
    pub comments: Vec<Note>,
    /// Time spent.
    pub labour: Vec<Labour>,
    /// Parts taken and given back.
    pub parts: Vec<PartUse>,
    /// Readings around the alarm.
    pub snapshots: Vec<Snapshot>,
    /// Photos and documents.
    pub attachments: Vec<Attachment>,
    /// What two sides decided differently.
    pub conflicts: Vec<Conflict>,
    /// A planner should look at it.
    pub needs_review: bool,
    /// One line per event.
    pub history: Vec<HistoryEntry>,
    /// The highest stamp folded in.
    pub latest: Hlc,
}

/// A field that the later writer wins.
#[derive(Clone, Debug, PartialEq)]
pub struct Field<T> {
    /// The value.
    pub value: T,
    /// Who set it.
    pub by: String,
    by_person: bool,
    origin: Origin,
    hlc: Hlc,
}

/// Who is to do an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignee {
    /// Name shown.
    pub name: String,
    /// The hub's id where it is known.
    pub user: Option<UserId>,
}

/// A part taken (positive) or given back (negative).
#[derive(Clone, Debug, PartialEq)]
pub struct PartUse {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// Its name, or what the person called it.
    pub part: String,
    /// How many.
    pub quantity: f64,
    /// Its number in the stock; `None`: it was not from the stock.
    pub number: Option<String>,
    /// The place where it lay.
    pub place: Option<String>,
    /// Entered after the order had ended.
    pub late: bool,
}

/// Another order that goes on with what was found in this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowUp {
    /// That order.
    pub order: WorkOrderId,
    /// Its number.
    pub number: String,
    /// The task that was found bad.
    pub task: Option<uuid::Uuid>,
}

/// A photo or document of an order.
#[derive(Clone, Debug, PartialEq)]
pub struct Attachment {
    /// The event that added it.
    pub id: EventId,
    /// When it was added.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// Added after the order had ended.
    pub late: bool,
    /// What it is.
    pub content: Attached,
}

impl Attachment {
    fn of(event: &Event, content: &Attached, late: bool) -> Self {
        Self {
            id: event.id,
            at: event.time,
            by: event.actor.name().to_owned(),
            late,
            content: content.clone(),
        }
    }
}

/// Two people set the same field without knowing of each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Conflict {
    /// The field.
    pub field: &'static str,
    /// The value that counts.
    pub kept: String,
    /// The value that does not.
    pub lost: String,
    /// Who set the one that counts.
    pub kept_by: String,
    /// Who set the one that does not.
    pub lost_by: String,
    /// When it was decided.
    pub at: Timestamp,
}

/// Folds the events of one work order. `None` until its `Created` event is among them.
pub fn fold(id: WorkOrderId, events: &[Event]) -> Option<WorkOrder> {
    let events = record::in_order(events, id.into());
    let (first, created) = events.iter().find_map(|event| match &event.body {
        Body::WorkOrder(WorkOrderEvent::Created(created)) => Some((*event, created)),
        _ => None,
    })?;
    let mut order = WorkOrder::new(id, first, created);
    let mut memory = rules::Memory::default();
    for event in &events {
        rules::apply(&mut order, &mut memory, event, first.id);
        order.latest = order.latest.max(event.hlc);
    }
    Some(order)
}

impl WorkOrder {
    fn new(id: WorkOrderId, event: &Event, created: &WorkOrderCreated) -> Self {
        let by = event.actor.name().to_owned();
        Self {
            id,
            origin: event.origin,
            number: created.number.clone(),
            work_type: created.work_type,
            title: Field::of(event, created.title.clone()),
            description: Field::of(event, created.description.clone()),
            priority: Field::of(event, created.priority.clamp(1, 5)),
            due: Field::of(event, None),
            asset: Field::of(event, created.asset.clone()),
            assignee: Field::of(event, None),
            scheduled: None,
            state: if created.requested {
                WorkOrderState::Requested
            } else {
                WorkOrderState::Open
            },
            hold_reason: None,
            dedupe_key: created.dedupe_key.clone(),
            alerts: created.alert.into_iter().collect(),
            duplicate_of: None,
            created: (event.time, by),
            started_at: None,
            done: None,
            remedy: None,
            verified: None,
            closed_at: None,
            tasks: Vec::new(),
            failure: Failure::of(event),
            clocks: Vec::new(),
            signatures: Vec::new(),
            follow_ups: Vec::new(),
            comments: Vec::new(),
            labour: Vec::new(),
            parts: Vec::new(),
            snapshots: Vec::new(),
            attachments: Vec::new(),
            conflicts: Vec::new(),
            needs_review: false,
            history: Vec::new(),
            latest: Hlc::default(),
        }
    }
}

impl<T> Field<T> {
    fn of(event: &Event, value: T) -> Self {
        Self {
            value,
            by: event.actor.name().to_owned(),
            by_person: event.actor.is_person(),
            origin: event.origin,
            hlc: event.hlc,
        }
    }
}

/// The name of a field and its value as text, for history and conflicts.
pub fn field_text(field: &FieldValue) -> (&'static str, String) {
    match field {
        FieldValue::Title(text) => ("title", text.clone()),
        FieldValue::Description(text) => ("description", text.clone()),
        FieldValue::Priority(priority) => ("priority", priority.to_string()),
        FieldValue::Due(due) => ("due", due.map_or_else(String::new, |at| at.to_string())),
        FieldValue::Asset(asset) => ("asset", asset.clone().unwrap_or_default()),
    }
}
