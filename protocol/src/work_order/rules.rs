//! What each event does to an order, in the one order in which all replicas apply them.
//! Never decides by arrival: only by stamps and by what a writer had seen.

use super::{Assignee, Conflict, Field, Labour, PartUse, WorkOrder, WorkOrderState as State};
use crate::event::{Body, Event, FieldValue, WorkOrderEvent};
use crate::id::EventId;
use crate::record::{self, HistoryEntry, Note};

/// Events that later ones are compared with.
#[derive(Default)]
pub(super) struct Memory<'a> {
    /// The last event that ended the order (close, cancel, reject, duplicate).
    ended: Option<&'a Event>,
    /// The last reopen.
    reopened: Option<&'a Event>,
    /// Whether work began or was done at any time.
    worked: bool,
}

/// Applies one event.
pub(super) fn apply<'a>(
    order: &mut WorkOrder,
    memory: &mut Memory<'a>,
    event: &'a Event,
    created_by: EventId,
) {
    let mut line = HistoryEntry::of(event);
    match &event.body {
        Body::WorkOrder(body) => {
            if !fact(order, &mut line, event, body) && !field(order, &mut line, event, body) {
                status(order, memory, &mut line, event);
            }
            if matches!(body, WorkOrderEvent::Created(_)) {
                line.what = "created";
                line.text = Some(order.title.value.clone());
                if event.id != created_by {
                    line.refuse("created twice; the first one counts");
                }
            }
        }
        _ => line.unknown(),
    }
    order.history.push(line);
}

/// Facts append and are never lost. Returns whether `body` is one.
fn fact(
    order: &mut WorkOrder,
    line: &mut HistoryEntry,
    event: &Event,
    body: &WorkOrderEvent,
) -> bool {
    let (at, by) = (event.time, event.actor.name().to_owned());
    let late = order.state.is_ended();
    match body {
        WorkOrderEvent::Commented { text } => {
            line.what = "commented";
            line.text = Some(text.clone());
            order.comments.push(Note {
                late,
                ..Note::of(event, text.clone())
            });
        }
        WorkOrderEvent::LabourAdded { minutes, note } => {
            line.what = "labour";
            line.text = Some(format!("{minutes} min"));
            order.labour.push(Labour {
                at,
                by,
                minutes: *minutes,
                note: note.clone(),
            });
        }
        WorkOrderEvent::PartUsed { part, quantity } => {
            line.what = "part";
            line.text = Some(format!("{quantity} × {part}"));
            order.parts.push(PartUse {
                at,
                by,
                part: part.clone(),
                quantity: *quantity,
            });
        }
        WorkOrderEvent::SnapshotAdded(snapshot) => {
            line.what = "snapshot";
            line.text = Some(snapshot.sensor_path.clone());
            order.snapshots.push(snapshot.clone());
            return true; // Written by the box about the past: never late.
        }
        WorkOrderEvent::AlarmOccurred { alert } => {
            line.what = "alarm_occurred";
            if !order.alerts.contains(alert) {
                order.alerts.push(*alert);
            }
            return true;
        }
        WorkOrderEvent::AlarmCleared { .. } => {
            line.what = "alarm_cleared";
            return true;
        }
        WorkOrderEvent::Reviewed { note } => {
            line.what = "reviewed";
            line.text.clone_from(note);
            order.needs_review = false;
            return true;
        }
        _ => return false,
    }
    if late {
        line.note = Some("entered after the order had ended");
        order.needs_review |= matches!(line.what, "labour" | "part");
    }
    true
}

/// Fields go to the later stamp; the loser is kept when two people wrote. Returns whether
/// `body` sets one.
fn field(
    order: &mut WorkOrder,
    line: &mut HistoryEntry,
    event: &Event,
    body: &WorkOrderEvent,
) -> bool {
    if !matches!(
        body,
        WorkOrderEvent::FieldSet(_) | WorkOrderEvent::Assigned { .. } | WorkOrderEvent::Unassigned
    ) {
        return false;
    }
    let late = order.state.is_ended();
    let mut conflict = None;
    match body {
        WorkOrderEvent::FieldSet(value) => {
            let (name, text) = super::field_text(value);
            line.what = "field_set";
            line.text = Some(format!("{name}: {text}"));
            if !late {
                conflict = set_field(order, event, value);
            }
        }
        WorkOrderEvent::Assigned { name, user } => {
            line.what = "assigned";
            line.text = Some(name.clone());
            if !late {
                let assignee = Some(Assignee {
                    name: name.clone(),
                    user: *user,
                });
                conflict = set_assignee(order, event, assignee);
            }
        }
        _ => {
            line.what = "unassigned";
            if !late {
                conflict = set_assignee(order, event, None);
            }
        }
    }
    if late {
        line.refuse("came after the order had ended; kept for review");
        order.needs_review = true;
    }
    if let Some(conflict) = conflict {
        line.note = Some("another value was set at the same time; the later one counts");
        order.conflicts.push(conflict);
        order.needs_review = true;
    }
    true
}

fn set_assignee(order: &mut WorkOrder, event: &Event, to: Option<Assignee>) -> Option<Conflict> {
    set(&mut order.assignee, event, to, "assignee", |assignee| {
        assignee
            .as_ref()
            .map_or_else(String::new, |assignee| assignee.name.clone())
    })
}

fn set_field(order: &mut WorkOrder, event: &Event, value: &FieldValue) -> Option<Conflict> {
    match value.clone() {
        FieldValue::Title(title) => set(&mut order.title, event, title, "title", Clone::clone),
        FieldValue::Description(text) => set(
            &mut order.description,
            event,
            text,
            "description",
            Clone::clone,
        ),
        FieldValue::Priority(priority) => set(
            &mut order.priority,
            event,
            priority.clamp(1, 5),
            "priority",
            u8::to_string,
        ),
        FieldValue::Due(due) => set(&mut order.due, event, due, "due", |due| {
            due.map_or_else(String::new, |at| at.0.to_string())
        }),
        FieldValue::Asset(asset) => set(&mut order.asset, event, asset, "asset", |asset| {
            asset.clone().unwrap_or_default()
        }),
    }
}

/// Sets `field` to `value`; tells of a conflict when the value it replaces was set by a person
/// elsewhere, unseen by this one.
fn set<T: PartialEq>(
    field: &mut Field<T>,
    event: &Event,
    value: T,
    name: &'static str,
    text: impl Fn(&T) -> String,
) -> Option<Conflict> {
    let unseen = field.hlc > event.based_on && field.origin != event.origin;
    let both_people = field.by_person && event.actor.is_person();
    let conflict = (unseen && both_people && field.value != value).then(|| Conflict {
        field: name,
        kept: text(&value),
        lost: text(&field.value),
        kept_by: event.actor.name().to_owned(),
        lost_by: field.by.clone(),
        at: event.time,
    });
    *field = Field::of(event, value);
    conflict
}

/// Moves the order through its states.
fn status<'a>(
    order: &mut WorkOrder,
    memory: &mut Memory<'a>,
    line: &mut HistoryEntry,
    event: &'a Event,
) {
    let Body::WorkOrder(body) = &event.body else {
        return;
    };
    match body {
        WorkOrderEvent::Approved => {
            line.what = "approved";
            step(order, line, &[State::Requested], State::Open);
        }
        WorkOrderEvent::Scheduled { start, end } => {
            line.what = "scheduled";
            step(
                order,
                line,
                &[State::Requested, State::Open, State::Scheduled],
                State::Scheduled,
            );
            if line.applied {
                order.scheduled = Some((*start, *end));
            }
        }
        WorkOrderEvent::Started | WorkOrderEvent::Resumed => {
            work_begins(order, memory, line, event);
        }
        WorkOrderEvent::Held { reason, note } => {
            line.what = "held";
            line.text.clone_from(note);
            let from = [
                State::Requested,
                State::Open,
                State::Scheduled,
                State::InProgress,
                State::OnHold,
            ];
            step(order, line, &from, State::OnHold);
            if line.applied {
                order.hold_reason = Some(*reason);
            }
        }
        WorkOrderEvent::Done { remedy } => {
            line.what = "done";
            line.text.clone_from(remedy);
            work_done(order, memory, line, event, remedy.as_ref());
        }
        WorkOrderEvent::Reopened { reason } => {
            line.what = "reopened";
            line.text = Some(reason.clone());
            memory.reopened = Some(event);
            if order.state.is_open() {
                line.refuse("was open already");
            } else {
                order.state = State::Open;
                order.closed_at = None;
            }
        }
        _ => ends(order, memory, line, event, body),
    }
    if order.state != State::OnHold {
        order.hold_reason = None;
    }
}

fn step(order: &mut WorkOrder, line: &mut HistoryEntry, from: &[State], to: State) {
    if from.contains(&order.state) {
        order.state = to;
    } else {
        line.refuse("the order had moved on");
    }
}

fn work_begins<'a>(
    order: &mut WorkOrder,
    memory: &mut Memory<'a>,
    line: &mut HistoryEntry,
    event: &'a Event,
) {
    line.what = if matches!(&event.body, Body::WorkOrder(WorkOrderEvent::Started)) {
        "started"
    } else {
        "resumed"
    };
    memory.worked = true;
    order.started_at.get_or_insert(event.time);
    match order.state {
        State::Requested | State::Open | State::Scheduled | State::OnHold => {
            order.state = State::InProgress;
        }
        State::InProgress => line.note = Some("work was going on already"),
        State::Cancelled if unseen_end(memory, event) => {
            order.state = State::InProgress;
            order.needs_review = true;
            line.note = Some("work began without knowing of the cancel; the work counts");
        }
        _ => {
            line.refuse("came after the order had ended; kept for review");
            order.needs_review = true;
        }
    }
}

fn work_done<'a>(
    order: &mut WorkOrder,
    memory: &mut Memory<'a>,
    line: &mut HistoryEntry,
    event: &'a Event,
    remedy: Option<&String>,
) {
    memory.worked = true;
    let first = order.done.is_none();
    // A reopened order that is done again gets the new completion; the old one stays in history.
    let again = memory.reopened.is_some() && order.state.is_open();
    if first || again {
        order.done = Some((event.time, event.actor.name().to_owned()));
        order.remedy = remedy.cloned().or_else(|| order.remedy.take());
        order.started_at.get_or_insert(event.time);
    }
    match order.state {
        State::Done => {
            line.refuse("was done already; kept as work done twice");
            order.needs_review = true;
        }
        State::Cancelled | State::Rejected => {
            order.state = State::Done;
            order.needs_review = true;
            line.note = Some("done after it was cancelled; the work counts");
        }
        State::Closed | State::Duplicate => {
            order.needs_review = true;
            line.note = Some("done, but it had been closed meanwhile; kept with the order");
        }
        _ => order.state = State::Done,
    }
}

fn ends<'a>(
    order: &mut WorkOrder,
    memory: &mut Memory<'a>,
    line: &mut HistoryEntry,
    event: &'a Event,
    body: &WorkOrderEvent,
) {
    let (what, to, text) = match body {
        WorkOrderEvent::Closed { note } => ("closed", State::Closed, note.clone()),
        WorkOrderEvent::Rejected { reason } => ("rejected", State::Rejected, Some(reason.clone())),
        WorkOrderEvent::Cancelled { reason } => {
            ("cancelled", State::Cancelled, Some(reason.clone()))
        }
        WorkOrderEvent::MarkedDuplicate { .. } => ("marked_duplicate", State::Duplicate, None),
        _ => return,
    };
    line.what = what;
    line.text = text;
    if memory
        .reopened
        .is_some_and(|reopen| record::concurrent(reopen, event))
    {
        line.refuse("it was reopened at the same time; it stays open");
        order.needs_review = true;
        return;
    }
    if matches!(to, State::Cancelled | State::Rejected) && memory.worked && !order.state.is_ended()
    {
        line.refuse("work had been done already; the work counts");
        order.needs_review = true;
        return;
    }
    if order.state.is_ended() {
        line.refuse("the order had ended already");
        return;
    }
    memory.ended = Some(event);
    order.state = to;
    if to == State::Closed {
        order.closed_at = Some(event.time);
    }
    if let WorkOrderEvent::MarkedDuplicate { of } = body {
        order.duplicate_of = Some(*of);
    }
}

fn unseen_end(memory: &Memory<'_>, event: &Event) -> bool {
    memory
        .ended
        .is_some_and(|end| record::concurrent(end, event))
}
