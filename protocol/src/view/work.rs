//! The JSON shapes of what work on an order leaves behind (docs/api.md, shape `WorkOrder`).
//! Only written, never read back.

use super::{OrderLink, UnitView, rfc3339};
use crate::event::{FailureEffect, SignedBy, SignedFor, TaskKind, TaskValue};
use crate::id::{EventId, UserId, WorkOrderId};
use crate::unit::Unit;
use crate::work_order::{Task, TaskResult, WorkOrder};
use serde::Serialize;
use uuid::Uuid;

/// Time spent.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are described in docs/api.md")]
pub struct LabourView {
    pub at: String,
    pub by: String,
    pub minutes: u32,
    pub note: Option<String>,
    pub from: Option<String>,
    pub overlaps: bool,
    pub late: bool,
}

/// A part taken or given back.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are described in docs/api.md")]
pub struct PartView {
    pub at: String,
    pub by: String,
    pub part: String,
    pub quantity: f64,
    pub number: Option<String>,
    pub place: Option<String>,
    pub late: bool,
}

/// Somebody who works on the order now.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are described in docs/api.md")]
pub struct ClockView {
    pub by: String,
    pub since: String,
}

/// What failed and why.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are described in docs/api.md")]
pub struct FailureView {
    pub problem: Option<String>,
    pub cause: Option<String>,
    pub remedy: Option<String>,
    pub problem_code: Option<String>,
    pub cause_code: Option<String>,
    pub remedy_code: Option<String>,
    pub effect: Option<FailureEffect>,
    pub downtime_minutes: Option<u32>,
}

/// An order that goes on with what was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are described in docs/api.md")]
pub struct FollowUpView {
    pub id: WorkOrderId,
    pub number: String,
    pub task: Option<Uuid>,
}

/// One thing to be done.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are described in docs/api.md")]
pub struct TaskView {
    pub id: Uuid,
    pub title: String,
    pub kind: &'static str,
    pub required: bool,
    pub unit: Option<UnitView>,
    pub low: Option<f64>,
    pub high: Option<f64>,
    pub choices: Vec<ChoiceView>,
    pub checklist: Option<ChecklistView>,
    pub result: Option<TaskResultView>,
    pub earlier: Vec<TaskResultView>,
    pub failed: bool,
    pub follow_up: Option<OrderLink>,
}

/// One choice of a task.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are described in docs/api.md")]
pub struct ChoiceView {
    pub text: String,
    pub good: bool,
}

/// The checklist of a task.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are described in docs/api.md")]
pub struct ChecklistView {
    pub id: String,
    pub version: u32,
    pub title: String,
}

/// The result of a task.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are described in docs/api.md")]
pub struct TaskResultView {
    pub at: String,
    pub by: String,
    pub value: ValueView,
    pub skipped: bool,
    pub good: Option<bool>,
    pub note: Option<String>,
    pub late: bool,
}

/// A result as JSON has it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ValueView {
    /// Of a check.
    Check(bool),
    /// Of a number.
    Number(f64),
    /// Of a text or choice; the hash of a photo; who signed.
    Text(String),
    /// Skipped.
    None,
}

/// A signature.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are described in docs/api.md")]
pub struct SignatureView {
    pub id: EventId,
    pub at: String,
    pub by: String,
    pub user_id: Option<UserId>,
    pub meaning: SignedFor,
    pub method: SignedBy,
    pub note: Option<String>,
    pub task: Option<Uuid>,
    pub digest: String,
    pub holds: bool,
    pub changes_since: u32,
}

pub(super) fn labour(order: &WorkOrder) -> Vec<LabourView> {
    let view = |entry: &crate::work_order::Labour| LabourView {
        at: rfc3339(entry.at),
        by: entry.by.clone(),
        minutes: entry.minutes,
        note: entry.note.clone(),
        from: entry.from.map(rfc3339),
        overlaps: entry.overlaps,
        late: entry.late,
    };
    order.labour.iter().map(view).collect()
}

pub(super) fn parts(order: &WorkOrder) -> Vec<PartView> {
    let view = |entry: &crate::work_order::PartUse| PartView {
        at: rfc3339(entry.at),
        by: entry.by.clone(),
        part: entry.part.clone(),
        quantity: entry.quantity,
        number: entry.number.clone(),
        place: entry.place.clone(),
        late: entry.late,
    };
    order.parts.iter().map(view).collect()
}

pub(super) fn clocks(order: &WorkOrder) -> Vec<ClockView> {
    let view = |clock: &crate::work_order::RunningClock| ClockView {
        by: clock.by.clone(),
        since: rfc3339(clock.since),
    };
    order.clocks.iter().map(view).collect()
}

pub(super) fn failure(order: &WorkOrder) -> Option<FailureView> {
    let failure = &order.failure;
    failure.is_told().then(|| FailureView {
        problem: failure.problem.value.clone(),
        cause: failure.cause.value.clone(),
        remedy: failure.remedy.value.clone(),
        problem_code: failure.problem_code.value.clone(),
        cause_code: failure.cause_code.value.clone(),
        remedy_code: failure.remedy_code.value.clone(),
        effect: failure.effect.value,
        downtime_minutes: failure.downtime_minutes.value,
    })
}

pub(super) fn follow_ups(order: &WorkOrder) -> Vec<FollowUpView> {
    let view = |next: &crate::work_order::FollowUp| FollowUpView {
        id: next.order,
        number: next.number.clone(),
        task: next.task,
    };
    order.follow_ups.iter().map(view).collect()
}

pub(super) fn tasks(order: &WorkOrder) -> Vec<TaskView> {
    order.tasks.iter().map(|task| one(order, task)).collect()
}

fn one(order: &WorkOrder, task: &Task) -> TaskView {
    let mut follow_ups = order.follow_ups.iter();
    let next = follow_ups.find(|next| next.task == Some(task.id));
    let mut view = TaskView {
        id: task.id,
        title: task.title.clone(),
        kind: "",
        required: task.required,
        unit: None,
        low: None,
        high: None,
        choices: Vec::new(),
        checklist: task.checklist.as_ref().map(|checklist| ChecklistView {
            id: checklist.id.clone(),
            version: checklist.version,
            title: checklist.title.clone(),
        }),
        result: task.result.as_ref().map(result),
        earlier: task.earlier.iter().map(result).collect(),
        failed: task.is_failed(),
        follow_up: next.map(|next| OrderLink {
            id: next.order,
            number: next.number.clone(),
        }),
    };
    view.kind = match &task.kind {
        TaskKind::Check => "check",
        TaskKind::Number { unit, low, high } => {
            view.unit = Some(UnitView::from(&Unit::parse(unit)));
            (view.low, view.high) = (*low, *high);
            "number"
        }
        TaskKind::Text => "text",
        TaskKind::Choice { choices } => {
            let choice = |choice: &crate::event::TaskChoice| ChoiceView {
                text: choice.text.clone(),
                good: choice.good,
            };
            view.choices = choices.iter().map(choice).collect();
            "choice"
        }
        TaskKind::Photo => "photo",
        TaskKind::Signature => "signature",
    };
    view
}

fn result(result: &TaskResult) -> TaskResultView {
    TaskResultView {
        at: rfc3339(result.at),
        by: result.by.clone(),
        value: match &result.value {
            None => ValueView::Text(result.by.clone()),
            Some(TaskValue::Check(good)) => ValueView::Check(*good),
            Some(TaskValue::Number(number)) => ValueView::Number(*number),
            Some(TaskValue::Text(text) | TaskValue::Choice(text)) => ValueView::Text(text.clone()),
            Some(TaskValue::Photo(hash)) => ValueView::Text(hash.to_string()),
            Some(TaskValue::Skipped) => ValueView::None,
        },
        skipped: result.value == Some(TaskValue::Skipped),
        good: result.good,
        note: result.note.clone(),
        late: result.late,
    }
}

pub(super) fn signatures(order: &WorkOrder) -> Vec<SignatureView> {
    let view = |signature: &crate::work_order::Signature| SignatureView {
        id: signature.id,
        at: rfc3339(signature.at),
        by: signature.by.clone(),
        user_id: signature.user,
        meaning: signature.meaning,
        method: signature.method,
        note: signature.note.clone(),
        task: signature.task,
        digest: signature.digest.to_string(),
        holds: signature.holds,
        changes_since: signature.changes_since,
    };
    order.signatures.iter().map(view).collect()
}
