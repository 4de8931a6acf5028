//! What each event does to an order, in the one order in which all replicas apply them.
//! Never decides by arrival: only by stamps and by what a writer had seen.

use super::{
    Assignee, Attachment, Conflict, Field, Labour, PartUse, WorkOrder, WorkOrderState as State,
};
use crate::event::{Body, Event, FieldValue, WorkOrderEvent};
use crate::id::{AlertId, EventId};
use crate::record::{self, HistoryEntry, Note};

/// Events that later ones are compared with.
#[derive(Default)]
pub(super) struct Memory<'a> {
    /// The last event that changed the state.
    moved: Option<&'a Event>,
    /// The reopens.
    reopened: Vec<&'a Event>,
    /// The alarms that came.
    alarms: Vec<&'a Event>,
    /// What a planner is to look at and has not looked at yet.
    flagged: Vec<&'a Event>,
    /// Whether work began or was done at any time.
    worked: bool,
}

impl Memory<'_> {
    /// Whether the writer of `event` had not seen what brought the order into its state.
    fn moved_unseen(&self, event: &Event) -> bool {
        self.moved
            .is_some_and(|moved| record::concurrent(moved, event))
    }
}

/// Applies one event. What a rule returns says whether a planner is to look at it.
pub(super) fn apply<'a>(
    order: &mut WorkOrder,
    memory: &mut Memory<'a>,
    event: &'a Event,
    created_by: EventId,
) {
    let mut line = HistoryEntry::of(event);
    let before = order.state;
    let mut flag = false;
    match &event.body {
        Body::WorkOrder(WorkOrderEvent::Created(created)) => {
            line.what = "created";
            line.text = Some(created.title.clone());
            if event.id != created_by {
                line.refuse("created twice; the first one counts");
            }
        }
        Body::WorkOrder(WorkOrderEvent::Reviewed { note }) => {
            line.what = "reviewed";
            line.text.clone_from(note);
            // What the planner had not seen stays flagged.
            memory
                .flagged
                .retain(|flagged| record::concurrent(flagged, event));
        }
        Body::WorkOrder(WorkOrderEvent::AlarmOccurred { alert }) => {
            flag = alarm_occurred(order, memory, &mut line, event, *alert);
        }
        Body::WorkOrder(body) => {
            flag = fact(order, &mut line, event, body)
                .or_else(|| field(order, &mut line, event, body))
                .unwrap_or_else(|| status(order, memory, &mut line, event, body));
        }
        _ => line.unknown(),
    }
    // A page never offers what would not be followed: a refusal means that two sides acted at
    // once, and is for the planner.
    if flag || !line.applied {
        memory.flagged.push(event);
    }
    order.needs_review = !memory.flagged.is_empty();
    if order.state != before {
        memory.moved = Some(event);
    }
    if order.state != State::OnHold {
        order.hold_reason = None;
    }
    order.history.push(line);
}

/// Facts append and are never lost. `None` when `body` is no fact, else whether to flag it.
fn fact(
    order: &mut WorkOrder,
    line: &mut HistoryEntry,
    event: &Event,
    body: &WorkOrderEvent,
) -> Option<bool> {
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
        WorkOrderEvent::Attached(content) => {
            line.what = "attached";
            line.text = Some(content.name.clone());
            let attachment = Attachment::of(event, content, late);
            order.attachments.push(attachment);
        }
        WorkOrderEvent::SnapshotAdded(snapshot) => {
            line.what = "snapshot";
            line.text = Some(snapshot.sensor_path.clone());
            order.snapshots.push(snapshot.clone());
            return Some(false); // Written by the box about the past: never late.
        }
        WorkOrderEvent::AlarmCleared { .. } => {
            line.what = "alarm_cleared";
            return Some(false);
        }
        _ => return None,
    }
    if late {
        line.note = Some("entered after the order had ended");
    }
    Some(late && matches!(line.what, "labour" | "part"))
}

/// The alarm came (again). Who ended the order without knowing of it did not mean this alarm:
/// the order is open again. Returns whether to flag it.
fn alarm_occurred<'a>(
    order: &mut WorkOrder,
    memory: &mut Memory<'a>,
    line: &mut HistoryEntry,
    event: &'a Event,
    alert: AlertId,
) -> bool {
    line.what = "alarm_occurred";
    memory.alarms.push(event);
    if !order.alerts.contains(&alert) {
        order.alerts.push(alert);
    }
    let unseen = memory.moved_unseen(event);
    if unseen && order.state.is_ended() && order.state != State::Duplicate {
        line.note = Some("the order had ended without knowing of this alarm; it is open again");
        open_again(order);
        return true;
    }
    // Done, or it goes on in another order: a planner decides.
    unseen && !order.state.is_open()
}

/// Fields go to the later stamp; the loser is kept when two people wrote. `None` when `body`
/// sets no field, else whether to flag it.
fn field(
    order: &mut WorkOrder,
    line: &mut HistoryEntry,
    event: &Event,
    body: &WorkOrderEvent,
) -> Option<bool> {
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
        WorkOrderEvent::Unassigned => {
            line.what = "unassigned";
            if !late {
                conflict = set_assignee(order, event, None);
            }
        }
        _ => return None,
    }
    if late {
        line.refuse("came after the order had ended; kept for review");
    }
    let Some(conflict) = conflict else {
        return Some(false);
    };
    line.note = Some("another value was set at the same time; the later one counts");
    order.conflicts.push(conflict);
    Some(true)
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
            due.map_or_else(String::new, |at| at.to_string())
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

/// Moves the order through its states. Returns whether to flag the event.
fn status<'a>(
    order: &mut WorkOrder,
    memory: &mut Memory<'a>,
    line: &mut HistoryEntry,
    event: &'a Event,
    body: &WorkOrderEvent,
) -> bool {
    use State::{InProgress, OnHold, Open, Requested, Scheduled};
    match body {
        WorkOrderEvent::Approved => {
            line.what = "approved";
            step(order, line, &[Requested], Open);
        }
        WorkOrderEvent::Rejected { reason } => {
            line.what = "rejected";
            line.text = Some(reason.clone());
            step(order, line, &[Requested], State::Rejected);
        }
        WorkOrderEvent::Scheduled { start, end } => {
            line.what = "scheduled";
            step(order, line, &[Requested, Open, Scheduled], Scheduled);
            if line.applied {
                order.scheduled = Some((*start, *end));
            }
        }
        WorkOrderEvent::Held { reason, note } => {
            line.what = "held";
            line.text.clone_from(note);
            step(order, line, &[Open, Scheduled, InProgress, OnHold], OnHold);
            if line.applied {
                order.hold_reason = Some(*reason);
            }
        }
        WorkOrderEvent::Started => {
            line.what = "started";
            return work_begins(order, memory, line, event);
        }
        WorkOrderEvent::Resumed => {
            line.what = "resumed";
            return work_begins(order, memory, line, event);
        }
        WorkOrderEvent::Done { remedy } => {
            line.what = "done";
            line.text.clone_from(remedy);
            return work_done(order, memory, line, event, remedy.as_ref());
        }
        WorkOrderEvent::Reopened { reason } => {
            line.what = "reopened";
            line.text = Some(reason.clone());
            return reopened(order, memory, line, event);
        }
        _ => return ends(order, memory, line, event, body),
    }
    false
}

fn step(order: &mut WorkOrder, line: &mut HistoryEntry, from: &[State], to: State) {
    if from.contains(&order.state) {
        order.state = to;
    } else {
        line.refuse("the order had moved on");
    }
}

/// That somebody worked stays a fact even where the state does not follow.
fn work_begins(
    order: &mut WorkOrder,
    memory: &mut Memory<'_>,
    line: &mut HistoryEntry,
    event: &Event,
) -> bool {
    memory.worked = true;
    order.started_at.get_or_insert(event.time);
    match order.state {
        State::Requested | State::Open | State::Scheduled | State::OnHold => {
            order.state = State::InProgress;
            false
        }
        State::InProgress => {
            line.note = Some("work was going on already");
            false
        }
        State::Cancelled if memory.moved_unseen(event) => {
            order.state = State::InProgress;
            line.note = Some("work began without knowing of the cancel; the work counts");
            true
        }
        _ => {
            line.refuse("came after the order was done or had ended; kept for review");
            false
        }
    }
}

fn work_done(
    order: &mut WorkOrder,
    memory: &mut Memory<'_>,
    line: &mut HistoryEntry,
    event: &Event,
    remedy: Option<&String>,
) -> bool {
    memory.worked = true;
    let unseen = |earlier: &&Event| record::concurrent(earlier, event);
    if order.done.is_some() && order.state.is_open() && memory.reopened.iter().any(unseen) {
        line.refuse("done without knowing that it was reopened; it stays open");
        return false;
    }
    // A reopened order that is done again gets the new completion; the old one stays in history.
    if order.done.is_none() || order.state.is_open() {
        order.done = Some((event.time, event.actor.name().to_owned()));
        order.remedy = remedy.cloned().or_else(|| order.remedy.take());
        order.started_at.get_or_insert(event.time);
    }
    match order.state {
        State::Done => {
            line.refuse("was done already; kept as work done twice");
            false
        }
        State::Cancelled | State::Rejected => {
            order.state = State::Done;
            line.note = Some("done after it was cancelled; the work counts");
            true
        }
        State::Closed | State::Duplicate => {
            line.note = Some("done, but it had been closed meanwhile; kept with the order");
            true
        }
        _ => {
            order.state = State::Done;
            memory.alarms.iter().any(unseen)
        }
    }
}

fn reopened<'a>(
    order: &mut WorkOrder,
    memory: &mut Memory<'a>,
    line: &mut HistoryEntry,
    event: &'a Event,
) -> bool {
    memory.reopened.push(event);
    if order.state.is_open() {
        line.refuse("was open already");
        return false;
    }
    open_again(order);
    let unseen = memory.moved_unseen(event);
    if unseen {
        line.note = Some("it was ended at the same time; it stays open");
    }
    unseen
}

fn open_again(order: &mut WorkOrder) {
    order.state = State::Open;
    order.closed_at = None;
    order.duplicate_of = None;
}

/// Close, cancel, duplicate. What the writer had not seen and would have kept it open, keeps it
/// open.
fn ends(
    order: &mut WorkOrder,
    memory: &Memory<'_>,
    line: &mut HistoryEntry,
    event: &Event,
    body: &WorkOrderEvent,
) -> bool {
    let to = match body {
        WorkOrderEvent::Closed { note } => {
            line.what = "closed";
            line.text.clone_from(note);
            State::Closed
        }
        WorkOrderEvent::Cancelled { reason } => {
            line.what = "cancelled";
            line.text = Some(reason.clone());
            State::Cancelled
        }
        WorkOrderEvent::MarkedDuplicate { of } => {
            line.what = "marked_duplicate";
            line.text = Some(of.to_string());
            State::Duplicate
        }
        // All other bodies are handled before.
        _ => return false,
    };
    let unseen = |earlier: &&Event| record::concurrent(earlier, event);
    if order.state.is_ended() {
        line.refuse("the order had ended already");
        return false;
    }
    if memory.reopened.iter().any(unseen) {
        line.refuse("it was reopened at the same time; it stays open");
        return false;
    }
    // A duplicate may end all the same: the alarm goes on in the other order.
    let alarm = memory.alarms.iter().any(unseen);
    if alarm && to != State::Duplicate {
        line.refuse("the alarm came at the same time; it stays open");
        return false;
    }
    if to == State::Cancelled && memory.worked {
        line.refuse("work had begun or was done already; the work counts");
        return false;
    }
    let moved = memory.moved_unseen(event) && (order.state, to) != (State::Done, State::Closed);
    if alarm || moved {
        line.note = Some("ended without knowing of what happened at the same time");
    }
    order.state = to;
    match body {
        WorkOrderEvent::Closed { .. } => order.closed_at = Some(event.time),
        WorkOrderEvent::MarkedDuplicate { of } => order.duplicate_of = Some(*of),
        _ => {}
    }
    alarm || moved
}
