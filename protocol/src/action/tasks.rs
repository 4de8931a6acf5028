//! Tasks as people add and answer them. Never judges a result: `TaskKind::judge` does.

use super::{GivenValue, Ground, OrderAction, Refusal, text};
use crate::attachment::ContentHash;
use crate::bundle::{Answer, Checklist, Step};
use crate::event::{
    ChecklistRef, TaskAnswer, TaskChoice, TaskKind, TaskNew, TaskValue, TasksAdded,
    WorkOrderEvent as E,
};
use crate::id::WorkOrderId;
use crate::limits::{TASK_CHOICES_MAX, TASKS_PER_EVENT_MAX};
use crate::work_order::Task;
use serde::Deserialize;
use uuid::Uuid;

/// A task that a person adds.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewTask {
    /// What is to be done.
    pub title: String,
    /// What a result is; a check when left out.
    #[serde(default)]
    pub kind: Kind,
    /// Whether the order can be completed without it only with a reason.
    #[serde(default)]
    pub required: bool,
    /// Of a number: UCUM code.
    pub unit: Option<String>,
    /// Of a number: least good value.
    pub low: Option<f64>,
    /// Of a number: greatest good value.
    pub high: Option<f64>,
    /// Of a choice: what can be chosen.
    #[serde(default)]
    pub choices: Vec<String>,
    /// Of a choice: those of the choices that are not good.
    #[serde(default)]
    pub bad_choices: Vec<String>,
}

/// The kind of a task that a person adds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the kinds of event::TaskKind")]
pub enum Kind {
    #[default]
    Check,
    Number,
    Text,
    Choice,
    Photo,
    Signature,
}

impl OrderAction {
    /// What is asked of tasks.
    pub(super) fn task(&self, ground: &Ground<'_>) -> Result<E, Refusal> {
        match self {
            Self::TaskAdd(new) => new.event(ground),
            Self::Checklist { checklist } => added(ground, checklist),
            Self::TaskClear { task, reason } => {
                if task_of(ground, *task)?.result.is_none() {
                    return Err(Refusal::not_now("This task has no result."));
                }
                Ok(E::TaskCleared {
                    task: *task,
                    reason: text::note("reason", reason.as_deref())?,
                })
            }
            Self::Task {
                task,
                value,
                skip,
                note,
            } => {
                let known = task_of(ground, *task)?;
                let note = text::note("note", note.as_deref())?;
                let value = match (value, skip) {
                    (Some(value), false) => given(ground, known, value)?,
                    (None, true) if note.is_some() => TaskValue::Skipped,
                    (None, true) => {
                        return Err(text::invalid("note", "must say why the task is skipped"));
                    }
                    _ => {
                        return Err(text::invalid(
                            "value",
                            "is missing, or skip is true; not both",
                        ));
                    }
                };
                Ok(E::TaskAnswered(TaskAnswer {
                    task: *task,
                    value,
                    note,
                }))
            }
            _ => Err(Refusal::not_now("This is no action on an order.")),
        }
    }
}

fn task_of<'a>(ground: &Ground<'a>, id: Uuid) -> Result<&'a Task, Refusal> {
    let task = ground.order.task(id);
    task.ok_or_else(|| text::invalid("task", "names no task of this order"))
}

/// A result of a task's kind, or the words what one would be.
fn given(ground: &Ground<'_>, task: &Task, value: &GivenValue) -> Result<TaskValue, Refusal> {
    let wrong = |words: &str| Err(text::invalid("value", words));
    match (&task.kind, value) {
        (TaskKind::Check, GivenValue::Check(good)) => Ok(TaskValue::Check(*good)),
        (TaskKind::Check, _) => wrong("is true (good) or false (not good)"),
        (TaskKind::Number { .. }, GivenValue::Number(number)) if number.is_finite() => {
            Ok(TaskValue::Number(*number))
        }
        (TaskKind::Number { unit, .. }, _) => wrong(&format!("is a number, in {unit}")),
        (TaskKind::Text, GivenValue::Text(text)) => text::words("value", text).map(TaskValue::Text),
        (TaskKind::Text, _) => wrong("is a text"),
        (TaskKind::Choice { choices }, GivenValue::Text(text))
            if choices.iter().any(|choice| choice.text == *text) =>
        {
            Ok(TaskValue::Choice(text.clone()))
        }
        (TaskKind::Choice { choices }, _) => {
            let choices: Vec<_> = choices.iter().map(|choice| choice.text.as_str()).collect();
            wrong(&format!("is one of: {}", choices.join(", ")))
        }
        (TaskKind::Photo, GivenValue::Text(text)) => {
            let hash: Option<ContentHash> = text.parse().ok();
            let attached = |hash: &ContentHash| {
                let mut attachments = ground.order.attachments.iter();
                attachments.any(|known| known.content.hash == *hash)
            };
            match hash.filter(attached) {
                Some(hash) => Ok(TaskValue::Photo(hash)),
                None => wrong("is the hash of a photo that is attached to this order"),
            }
        }
        (TaskKind::Photo, _) => wrong("is the hash of a photo that is attached to this order"),
        (TaskKind::Signature, _) => wrong("is a signature: take the action sign with this task"),
    }
}

impl NewTask {
    fn event(&self, ground: &Ground<'_>) -> Result<E, Refusal> {
        let task = TaskNew {
            id: Uuid::new_v5(&ground.key, b"task"),
            title: text::title("title", &self.title)?,
            kind: self.kind()?,
            required: self.required,
        };
        Ok(E::TasksAdded(TasksAdded {
            checklist: None,
            tasks: vec![task],
        }))
    }

    fn kind(&self) -> Result<TaskKind, Refusal> {
        Ok(match self.kind {
            Kind::Check => TaskKind::Check,
            Kind::Number => {
                let limits = [self.low, self.high].into_iter().flatten();
                if limits.into_iter().any(|limit| !limit.is_finite())
                    || self.low > self.high.or(self.low)
                {
                    return Err(text::invalid("high", "must not be below low"));
                }
                TaskKind::Number {
                    unit: text::name("unit", self.unit.as_deref())?.unwrap_or_default(),
                    low: self.low,
                    high: self.high,
                }
            }
            Kind::Text => TaskKind::Text,
            Kind::Choice => TaskKind::Choice {
                choices: self.choices()?,
            },
            Kind::Photo => TaskKind::Photo,
            Kind::Signature => TaskKind::Signature,
        })
    }

    fn choices(&self) -> Result<Vec<TaskChoice>, Refusal> {
        if self.choices.len() < 2 || self.choices.len() > TASK_CHOICES_MAX {
            let words = format!("must be 2 to {TASK_CHOICES_MAX}");
            return Err(text::invalid("choices", &words));
        }
        if let Some(stray) = self
            .bad_choices
            .iter()
            .find(|bad| !self.choices.contains(bad))
        {
            let words = format!("has \"{stray}\", which is none of the choices");
            return Err(text::invalid("bad_choices", &words));
        }
        let choice = |choice: &String| {
            Ok(TaskChoice {
                text: text::line("choices", choice)?,
                good: !self.bad_choices.contains(choice),
            })
        };
        self.choices.iter().map(choice).collect()
    }
}

/// The tasks of a checklist that the site has.
fn added(ground: &Ground<'_>, name: &str) -> Result<E, Refusal> {
    let Some(checklist) = ground.bundle.and_then(|bundle| bundle.checklist(name)) else {
        return Err(text::invalid(
            "checklist",
            "names no checklist of this site; the hub sends them",
        ));
    };
    let event = of_checklist(ground.order.id, checklist);
    let is_there = |task: &TaskNew| ground.order.task(task.id).is_some();
    if event.tasks.iter().all(is_there) {
        return Err(Refusal::not_now("This checklist is on the order already."));
    }
    Ok(E::TasksAdded(event))
}

/// The tasks of one version of a checklist in an order: the same on every side that adds them.
pub fn of_checklist(order: WorkOrderId, checklist: &Checklist) -> TasksAdded {
    let task = |(number, step): (u32, &Step)| TaskNew {
        id: Uuid::new_v5(
            &order.0,
            format!("task:{}:{}:{number}", checklist.id, checklist.version).as_bytes(),
        ),
        title: step.title.clone(),
        kind: kind_of(&step.answer),
        required: step.required,
    };
    let steps = (0_u32..).zip(&checklist.steps);
    TasksAdded {
        checklist: Some(ChecklistRef {
            id: checklist.id.clone(),
            version: checklist.version,
            title: checklist.title.clone(),
        }),
        tasks: steps.take(TASKS_PER_EVENT_MAX).map(task).collect(),
    }
}

fn kind_of(answer: &Answer) -> TaskKind {
    match answer {
        Answer::Yes => TaskKind::Check,
        Answer::Number { unit, low, high } => TaskKind::Number {
            unit: unit.clone(),
            low: *low,
            high: *high,
        },
        Answer::Text => TaskKind::Text,
        Answer::Choice { choices } => {
            let choice = |text: &String| TaskChoice {
                text: text.clone(),
                good: true,
            };
            TaskKind::Choice {
                choices: choices.iter().map(choice).collect(),
            }
        }
        Answer::Photo => TaskKind::Photo,
        Answer::Signature => TaskKind::Signature,
    }
}
