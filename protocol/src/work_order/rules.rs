//! What each event does to an order, in the one order in which all replicas apply them.
//! Never decides by arrival: only by stamps and by what a writer had seen.

use super::facts::fact;
use super::fields::field;
use super::{WorkOrder, WorkOrderState as State, signatures, tasks};
use crate::event::{Body, Event, WorkOrderEvent};
use crate::id::{AlertId, EventId};
use crate::record::{self, HistoryEntry};

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
    /// Those that brought tasks which must be done.
    required: Vec<&'a Event>,
    /// All that came before, in the order of the fold.
    before: Vec<&'a Event>,
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
        Body::WorkOrder(WorkOrderEvent::TasksAdded(added)) => {
            if added.tasks.iter().any(|task| task.required) {
                memory.required.push(event);
            }
            flag = tasks::added(order, &mut line, event, added)
                // Who added them did not know that the order was done.
                || (!order.state.is_open() && memory.moved_unseen(event));
        }
        Body::WorkOrder(WorkOrderEvent::Signed(signed)) => {
            flag = signatures::signed(order, &mut line, (event, signed), &memory.before);
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
    signatures::changed_after(order, event, &line);
    memory.before.push(event);
    order.history.push(line);
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
        WorkOrderEvent::Verified { note } => {
            line.what = "verified";
            line.text.clone_from(note);
            verified(order, memory, line, event);
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
            let tasks = memory.required.iter().any(unseen) && order.open_tasks().next().is_some();
            if tasks {
                line.note = Some("done without knowing of a task that must be done");
            }
            tasks || memory.alarms.iter().any(unseen)
        }
    }
}

/// A second person found good what was done. That it was closed meanwhile is no matter.
fn verified(order: &mut WorkOrder, memory: &Memory<'_>, line: &mut HistoryEntry, event: &Event) {
    let closed = order.state == State::Closed && memory.moved_unseen(event);
    if order.verified.is_some() {
        line.refuse("it was verified already");
    } else if order.state == State::Done || closed {
        order.verified = Some((event.time, event.actor.name().to_owned()));
    } else {
        line.refuse("the order was not done");
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
    order.verified = None;
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
