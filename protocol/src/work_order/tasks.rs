//! The tasks of an order and their results: the last result counts, the earlier ones are kept.
//! Never closes or opens the order for them.

use super::{Conflict, WorkOrder};
use crate::event::{
    ChecklistRef, Event, Signed, TaskAnswer, TaskKind, TaskNew, TaskValue, TasksAdded,
};
use crate::id::Origin;
use crate::limits::TASKS_PER_ORDER_MAX;
use crate::record::HistoryEntry;
use crate::time::{Hlc, Timestamp};
use crate::unit::Unit;
use uuid::Uuid;

/// One thing to be done in an order.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// Identity.
    pub id: Uuid,
    /// What is to be done.
    pub title: String,
    /// What a result is, and when it is good.
    pub kind: TaskKind,
    /// Whether the order can be completed without it only with a reason.
    pub required: bool,
    /// The checklist that it is from.
    pub checklist: Option<ChecklistRef>,
    /// The result that counts.
    pub result: Option<TaskResult>,
    /// Results that do not count any more, oldest first.
    pub earlier: Vec<TaskResult>,
}

/// The result of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskResult {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// The result; `None`: a signature.
    pub value: Option<TaskValue>,
    /// More about it.
    pub note: Option<String>,
    /// Whether it is good; `None`: it was skipped.
    pub good: Option<bool>,
    /// Entered after the order had ended.
    pub late: bool,
    by_person: bool,
    origin: Origin,
    hlc: Hlc,
}

impl Task {
    fn of(new: &TaskNew, checklist: Option<&ChecklistRef>) -> Self {
        Self {
            id: new.id,
            title: new.title.clone(),
            kind: new.kind.clone(),
            required: new.required,
            checklist: checklist.cloned(),
            result: None,
            earlier: Vec::new(),
        }
    }

    /// Whether its result is not good: somebody should go on with it in another order.
    pub fn is_failed(&self) -> bool {
        let result = self.result.as_ref();
        result.is_some_and(|result| result.good == Some(false))
    }

    /// Title, result and limits in one line.
    pub fn words(&self) -> String {
        let Some(result) = &self.result else {
            return format!("{}: open", self.title);
        };
        let (title, found) = (&self.title, result.words());
        match &self.kind {
            TaskKind::Number { unit, low, high } => {
                let limit =
                    |limit: &Option<f64>| limit.map_or_else(String::new, |at| at.to_string());
                let (low, high) = (limit(low), limit(high));
                let unit = Unit::parse(unit);
                let unit = unit.symbol();
                format!("{title}: {found} {unit} (good: {low} to {high} {unit})")
            }
            _ => format!("{title}: {found}"),
        }
    }

    fn put(&mut self, result: TaskResult) {
        self.earlier.extend(self.result.replace(result));
    }
}

impl TaskResult {
    fn of(event: &Event, value: Option<&TaskValue>, late: bool) -> Self {
        Self {
            at: event.time,
            by: event.actor.name().to_owned(),
            value: value.cloned(),
            note: None,
            good: None,
            late,
            by_person: event.actor.is_person(),
            origin: event.origin,
            hlc: event.hlc,
        }
    }

    /// In words, for history and conflicts.
    fn words(&self) -> String {
        self.value
            .as_ref()
            .map_or_else(|| "signed".to_owned(), words)
    }
}

/// A result in words.
pub(super) fn words(value: &TaskValue) -> String {
    match value {
        TaskValue::Check(true) => "good".to_owned(),
        TaskValue::Check(false) => "not good".to_owned(),
        TaskValue::Number(number) => number.to_string(),
        TaskValue::Text(text) | TaskValue::Choice(text) => text.clone(),
        TaskValue::Photo(_) => "photo".to_owned(),
        TaskValue::Skipped => "skipped".to_owned(),
    }
}

impl WorkOrder {
    /// The tasks that must be done and have no result.
    pub fn open_tasks(&self) -> impl Iterator<Item = &Task> {
        let tasks = self.tasks.iter();
        tasks.filter(|task| task.required && task.result.is_none())
    }

    /// The task with this id.
    pub fn task(&self, id: Uuid) -> Option<&Task> {
        self.tasks.iter().find(|task| task.id == id)
    }

    fn task_mut(&mut self, id: Uuid) -> Option<&mut Task> {
        self.tasks.iter_mut().find(|task| task.id == id)
    }
}

/// Adds what is not there yet. Says whether a planner is to look at it.
pub(super) fn added(
    order: &mut WorkOrder,
    line: &mut HistoryEntry,
    event: &Event,
    added: &TasksAdded,
) -> bool {
    line.what = "tasks_added";
    let first = added.tasks.first();
    line.text = match &added.checklist {
        Some(checklist) => Some(checklist.title.clone()),
        None => first.map(|task| task.title.clone()),
    };
    let before = order.tasks.len();
    for new in &added.tasks {
        if order.tasks.len() == TASKS_PER_ORDER_MAX {
            line.refuse("the order has as many tasks as an order can have");
            return true;
        }
        if order.task(new.id).is_none() {
            order.tasks.push(Task::of(new, added.checklist.as_ref()));
        }
    }
    if order.tasks.len() == before {
        // Both sides added the same checklist: that is as good as once.
        line.note = Some("these tasks were there already");
        return false;
    }
    if order.state.is_ended() {
        line.note = Some("entered after the order had ended");
    }
    order.state.is_ended() && event.actor.is_person()
}

/// Sets the result of a task. Says whether a planner is to look at it.
pub(super) fn answered(
    order: &mut WorkOrder,
    line: &mut HistoryEntry,
    event: &Event,
    answer: &TaskAnswer,
) -> bool {
    line.what = "task";
    let late = order.state.is_ended();
    let Some(task) = order.task_mut(answer.task) else {
        line.refuse("the order has no such task");
        return false;
    };
    line.text = Some(format!("{}: {}", task.title, words(&answer.value)));
    if !task.kind.takes(&answer.value) {
        line.refuse("this is no result of such a task");
        return false;
    }
    let result = TaskResult {
        note: answer.note.clone(),
        good: task.kind.judge(&answer.value),
        ..TaskResult::of(event, Some(&answer.value), late)
    };
    let conflict = conflict(task, &result, event);
    task.put(result);
    told(order, line, conflict)
}

/// A signature is the result of its task.
pub(super) fn signed(order: &mut WorkOrder, event: &Event, signed: &Signed) {
    let late = order.state.is_ended();
    let task = signed.task.and_then(|id| order.task_mut(id));
    if let Some(task) = task.filter(|task| task.kind == TaskKind::Signature) {
        task.put(TaskResult {
            note: signed.note.clone(),
            good: Some(true),
            ..TaskResult::of(event, None, late)
        });
    }
}

/// Takes the result away; it is kept with the task. Says whether a planner is to look at it.
pub(super) fn cleared(
    order: &mut WorkOrder,
    line: &mut HistoryEntry,
    event: &Event,
    (id, reason): (Uuid, Option<&str>),
) -> bool {
    line.what = "task_cleared";
    let Some(task) = order.task_mut(id) else {
        line.refuse("the order has no such task");
        return false;
    };
    line.text = Some(match reason {
        Some(reason) => format!("{}: {reason}", task.title),
        None => task.title.clone(),
    });
    // Who clears a result must have seen it.
    let unseen = |result| is_unseen(result, event);
    if task.result.as_ref().is_some_and(unseen) {
        line.refuse("another result was entered at the same time; it stays");
        return false;
    }
    task.earlier.extend(task.result.take());
    false
}

fn is_unseen(result: &TaskResult, event: &Event) -> bool {
    result.hlc > event.based_on && result.origin != event.origin
}

fn conflict(task: &Task, new: &TaskResult, event: &Event) -> Option<Conflict> {
    let old = task.result.as_ref()?;
    let both_people = old.by_person && new.by_person;
    (is_unseen(old, event) && both_people && old.value != new.value).then(|| Conflict {
        field: "result of a task",
        kept: format!("{}: {}", task.title, new.words()),
        lost: format!("{}: {}", task.title, old.words()),
        kept_by: new.by.clone(),
        lost_by: old.by.clone(),
        at: event.time,
    })
}

fn told(order: &mut WorkOrder, line: &mut HistoryEntry, conflict: Option<Conflict>) -> bool {
    let Some(conflict) = conflict else {
        return false;
    };
    line.note = Some("another result was entered at the same time; the later one counts");
    order.conflicts.push(conflict);
    true
}
