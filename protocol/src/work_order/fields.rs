//! Fields of an order: the later stamp counts, the loser is kept when two people wrote.
//! Never moves the order from one state to another.

use super::{Assignee, Conflict, Failure, Field, WorkOrder};
use crate::event::{Event, FailureEffect, FailureReport, FieldValue, WorkOrderEvent};
use crate::record::HistoryEntry;

/// Fields go to the later stamp; the loser is kept when two people wrote. `None` when `body`
/// sets no field, else whether to flag it.
pub(super) fn field(
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
pub(super) fn set<T: PartialEq>(
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

/// What the report tells, field by field. It is a fact: it counts after the end too.
pub(super) fn failure(
    order: &mut WorkOrder,
    line: &mut HistoryEntry,
    event: &Event,
    report: &FailureReport,
) -> bool {
    line.what = "failure";
    line.text.clone_from(&report.problem);
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let Failure {
        problem,
        cause,
        remedy,
        problem_code,
        cause_code,
        remedy_code,
        effect,
        downtime_minutes,
    } = &mut order.failure;
    let texts = [
        (problem, &report.problem, "problem"),
        (cause, &report.cause, "cause"),
        (remedy, &report.remedy, "remedy"),
        (problem_code, &report.problem_code, "code of the problem"),
        (cause_code, &report.cause_code, "code of the cause"),
        (remedy_code, &report.remedy_code, "code of the remedy"),
    ];
    let mut conflicts = Vec::new();
    for (field, value, name) in texts {
        if let Some(value) = value {
            let value = (!value.is_empty()).then(|| value.clone());
            conflicts.extend(set(field, event, value, name, text));
        }
    }
    if report.effect.is_some() {
        let words = |effect: &Option<FailureEffect>| {
            effect.map_or_else(String::new, |effect| effect.word().to_owned())
        };
        conflicts.extend(set(effect, event, report.effect, "effect", words));
    }
    if report.downtime_minutes.is_some() {
        let minutes = report.downtime_minutes;
        let words = |minutes: &Option<u32>| minutes.unwrap_or_default().to_string();
        conflicts.extend(set(downtime_minutes, event, minutes, "downtime", words));
    }
    if conflicts.is_empty() {
        return false;
    }
    line.note = Some("another value was set at the same time; the later one counts");
    order.conflicts.extend(conflicts);
    true
}
