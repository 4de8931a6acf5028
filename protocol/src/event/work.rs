//! What work on an order leaves behind: tasks and their results, the failure report, parts of the
//! stock, signatures. The shapes that are on the wire; frozen once released (PROTOCOL §5), enums
//! append only.

use crate::attachment::ContentHash;
use crate::limits::{TASK_CHOICES_MAX, TASKS_PER_EVENT_MAX, at_most};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Tasks that are to be done in an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TasksAdded {
    /// The checklist that they are from.
    pub checklist: Option<ChecklistRef>,
    /// The tasks, in their order.
    #[serde(deserialize_with = "at_most::<TASKS_PER_EVENT_MAX, _, _>")]
    pub tasks: Vec<TaskNew>,
}

/// Which version of which checklist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChecklistRef {
    /// Its name at the site.
    pub id: String,
    /// Its version.
    pub version: u32,
    /// Its title then.
    pub title: String,
}

/// One thing to be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskNew {
    /// Identity. Of a task from a checklist: follows from order, checklist, version and step, so
    /// that two sides which add the same checklist add it once.
    pub id: Uuid,
    /// What is to be done, in one line.
    pub title: String,
    /// What a result is, and when it is good.
    pub kind: TaskKind,
    /// Whether the order can be completed without it only with a reason.
    pub required: bool,
}

/// What the result of a task is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum TaskKind {
    /// Good or not good.
    Check,
    /// A number, good from `low` to `high`, both included.
    Number {
        /// UCUM code.
        unit: String,
        /// Least good value.
        low: Option<f64>,
        /// Greatest good value.
        high: Option<f64>,
    },
    /// Words.
    Text,
    /// One of these.
    Choice {
        /// What can be chosen.
        #[serde(deserialize_with = "at_most::<TASK_CHOICES_MAX, _, _>")]
        choices: Vec<TaskChoice>,
    },
    /// A photo, which is an attachment of the order.
    Photo,
    /// A signature.
    Signature,
}

impl TaskKind {
    /// Whether `value` is a good result; `None` when it is no result of this kind, or the task was
    /// skipped.
    pub fn judge(&self, value: &TaskValue) -> Option<bool> {
        match (self, value) {
            (Self::Check, TaskValue::Check(good)) => Some(*good),
            (Self::Number { low, high, .. }, TaskValue::Number(number)) => {
                let enough = low.is_none_or(|low| *number >= low);
                Some(enough && high.is_none_or(|high| *number <= high))
            }
            (Self::Text, TaskValue::Text(_)) | (Self::Photo, TaskValue::Photo(_)) => Some(true),
            (Self::Choice { choices }, TaskValue::Choice(text)) => choices
                .iter()
                .find(|choice| choice.text == *text)
                .map(|choice| choice.good),
            _ => None,
        }
    }

    /// Whether `value` may be a result of this kind.
    pub fn takes(&self, value: &TaskValue) -> bool {
        matches!(value, TaskValue::Skipped) || self.judge(value).is_some()
    }
}

/// One choice of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskChoice {
    /// The words.
    pub text: String,
    /// Whether it is good.
    pub good: bool,
}

/// The result of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskAnswer {
    /// The task.
    pub task: Uuid,
    /// The result.
    pub value: TaskValue,
    /// More about it; the reason where the task was skipped.
    pub note: Option<String>,
}

/// The result of a task, by its kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum TaskValue {
    /// Of a check: whether it is good.
    Check(bool),
    /// Of a number, in the unit of its task.
    Number(f64),
    /// Of a text.
    Text(String),
    /// Of a choice: its words.
    Choice(String),
    /// Of a photo: the content that is attached.
    Photo(ContentHash),
    /// It was not done, and the note says why.
    Skipped,
}

/// What failed, why, and what was done about it. What is `None` stays as it was told before; an
/// empty text takes it away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureReport {
    /// What was found.
    pub problem: Option<String>,
    /// Why it came to that.
    pub cause: Option<String>,
    /// What was done about it.
    pub remedy: Option<String>,
    /// The site's code for the problem (ISO 14224: failure mode).
    pub problem_code: Option<String>,
    /// The site's code for the cause (ISO 14224: failure cause).
    pub cause_code: Option<String>,
    /// The site's code for what was done (ISO 14224: maintenance activity).
    pub remedy_code: Option<String>,
    /// What it did to the plant.
    pub effect: Option<FailureEffect>,
    /// How long the asset did not do its work, in minutes.
    pub downtime_minutes: Option<u32>,
}

/// What a failure did to the plant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureEffect {
    /// Nothing.
    None,
    /// It ran with less.
    Reduced,
    /// It stood still.
    Stopped,
    /// The product was not as it must be.
    Quality,
    /// People were in danger.
    Safety,
    /// Something got out.
    Environment,
}

impl FailureEffect {
    /// The word of the JSON interface.
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Reduced => "reduced",
            Self::Stopped => "stopped",
            Self::Quality => "quality",
            Self::Safety => "safety",
            Self::Environment => "environment",
        }
    }
}

/// A part of the stock that was taken or given back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartMoved {
    /// Its number.
    pub part: String,
    /// Its name then.
    pub name: String,
    /// How many were taken; given back: below zero.
    pub quantity: f64,
    /// From which place.
    pub place: Option<String>,
}

/// A signature: who signs is the actor of the event, when is its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// What it means (21 CFR 11.50).
    pub meaning: SignedFor,
    /// How the person showed at this moment who they are.
    pub method: SignedBy,
    /// What was signed: `work_order::digest` over the events of the order that were there.
    pub digest: ContentHash,
    /// The task that it is the result of.
    pub task: Option<Uuid>,
    /// What they said.
    pub note: Option<String>,
}

/// What a signature means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignedFor {
    /// I did this work.
    Performed,
    /// I looked at it and it is right.
    Verified,
    /// I take it on me that it is done so.
    Approved,
    /// The asset may run again.
    Released,
    /// I was there.
    Witnessed,
}

impl SignedFor {
    /// All meanings, in the order in which a page offers them.
    pub const ALL: [Self; 5] = [
        Self::Performed,
        Self::Verified,
        Self::Approved,
        Self::Released,
        Self::Witnessed,
    ];

    /// The word of the JSON interface.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Performed => "performed",
            Self::Verified => "verified",
            Self::Approved => "approved",
            Self::Released => "released",
            Self::Witnessed => "witnessed",
        }
    }
}

/// How a person showed who they are when signing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignedBy {
    /// By the PIN that the hub knows of them.
    Pin,
    /// By the password of the hub.
    Password,
    /// Not at all: the box knows no PINs. The name is what somebody typed.
    Name,
}
