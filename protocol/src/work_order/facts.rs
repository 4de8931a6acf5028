//! Facts of an order: they append and are never lost, in any state. What comes after the end is
//! kept and marked. Never moves the order from one state to another.

use super::{Attachment, FollowUp, PartUse, WorkOrder, fields, labour, tasks};
use crate::event::{Event, WorkOrderEvent};
use crate::record::{HistoryEntry, Note};

/// Facts append and are never lost. `None` when `body` is no fact, else whether to flag it.
pub(super) fn fact(
    order: &mut WorkOrder,
    line: &mut HistoryEntry,
    event: &Event,
    body: &WorkOrderEvent,
) -> Option<bool> {
    let late = order.state.is_ended();
    let flag = match body {
        WorkOrderEvent::Commented { text } => {
            line.what = "commented";
            line.text = Some(text.clone());
            order.comments.push(Note {
                late,
                ..Note::of(event, text.clone())
            });
            false
        }
        WorkOrderEvent::LabourAdded { .. }
        | WorkOrderEvent::LabourStarted
        | WorkOrderEvent::LabourStopped { .. } => labour::spent(order, line, event, body) || late,
        WorkOrderEvent::PartUsed { .. } | WorkOrderEvent::PartMoved(_) => {
            part(order, line, event, body);
            late
        }
        WorkOrderEvent::Attached(content) => {
            line.what = "attached";
            line.text = Some(content.name.clone());
            let attachment = Attachment::of(event, content, late);
            order.attachments.push(attachment);
            false
        }
        WorkOrderEvent::TaskAnswered(answer) => tasks::answered(order, line, event, answer) || late,
        WorkOrderEvent::TaskCleared { task, reason } => {
            tasks::cleared(order, line, event, (*task, reason.as_deref())) || late
        }
        WorkOrderEvent::FailureReported(report) => {
            fields::failure(order, line, event, report) || late
        }
        WorkOrderEvent::FollowedUp {
            order: id,
            number,
            task,
        } => {
            line.what = "followed_up";
            line.text = Some(number.clone());
            order.follow_ups.push(FollowUp {
                order: *id,
                number: number.clone(),
                task: *task,
            });
            return Some(false); // To go on elsewhere is what one does after the end.
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
    };
    if late && line.applied && line.note.is_none() {
        line.note = Some("entered after the order had ended");
    }
    Some(flag)
}

fn part(order: &mut WorkOrder, line: &mut HistoryEntry, event: &Event, body: &WorkOrderEvent) {
    line.what = "part";
    let (at, by) = (event.time, event.actor.name().to_owned());
    let late = order.state.is_ended();
    let part = match body {
        WorkOrderEvent::PartUsed { part, quantity } => PartUse {
            at,
            by,
            part: part.clone(),
            quantity: *quantity,
            number: None,
            place: None,
            late,
        },
        WorkOrderEvent::PartMoved(moved) => PartUse {
            at,
            by,
            part: moved.name.clone(),
            quantity: moved.quantity,
            number: Some(moved.part.clone()),
            place: moved.place.clone(),
            late,
        },
        _ => return,
    };
    line.text = Some(format!("{} × {}", part.quantity, part.part));
    order.parts.push(part);
}
