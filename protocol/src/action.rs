//! What a person asks of a work order or an alarm point, in the words of the JSON interface of both
//! programs, and the events that say it. Pure: never looks at a store or a clock, never asks who somebody is.

mod alarm;
mod complete;
mod events;
mod new_order;
mod tasks;
#[cfg(test)]
mod tests;
pub mod text;

pub use alarm::{AlarmAction, PointGround};
pub use events::Written;
pub use new_order::{NewOrder, follow_up};
pub use tasks::{Kind, NewTask, of_checklist};

use crate::attachment::ContentHash;
use crate::bundle::Bundle;
use crate::event::{FailureEffect, HoldReason, SignedBy, SignedFor};
use crate::id::{GatewayId, UserId, WorkOrderId};
use crate::work_order::{Action, WorkOrder};
use serde::{Deserialize, Deserializer};
use uuid::Uuid;

/// Why an action is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A value of the request cannot be taken.
    #[error("{field} {words}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// Why, and what would be right.
        words: String,
    },
    /// The order does not allow it.
    #[error("{words}")]
    NotNow {
        /// Why, and what to do.
        words: String,
    },
}

impl Refusal {
    pub(crate) fn not_now(words: impl Into<String>) -> Self {
        let words = words.into();
        Self::NotNow { words }
    }
}

/// An action on an order. What has no guard is a fact and may always be added.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum OrderAction {
    /// Say who does it: a user of the hub, or anybody by name.
    Assign {
        /// The user.
        user_id: Option<UserId>,
        /// The name; the caller takes it from the user when it is left out.
        name: Option<String>,
    },
    /// Nobody does it any more.
    Unassign {},
    /// Turn a request into an order.
    Approve {},
    /// Turn a request down.
    Reject {
        /// Why.
        reason: String,
    },
    /// Change fields.
    Edit(OrderChanges),
    /// Give it a time window.
    Schedule {
        /// RFC 3339.
        from: String,
        /// RFC 3339.
        until: Option<String>,
    },
    /// Work begins.
    Start {},
    /// Work waits.
    Hold {
        /// For what.
        reason: HoldReason,
        /// More about it.
        note: Option<String>,
    },
    /// Work goes on.
    Resume {},
    /// Work is done. A clock of this person stops.
    Complete {
        /// What was done.
        remedy: Option<String>,
        /// Minutes that it took.
        minutes: Option<u32>,
        /// Why tasks that must be done are left out; they are skipped with this reason.
        force: Option<String>,
    },
    /// A second person finds it good.
    Verify {
        /// What they say.
        note: Option<String>,
    },
    /// Looked at and put away.
    Close {
        /// A last word.
        note: Option<String>,
    },
    /// It is not to be done.
    Cancel {
        /// Why.
        reason: String,
    },
    /// It was not finished after all.
    Reopen {
        /// Why.
        reason: String,
    },
    /// It is the same as another order.
    Duplicate {
        /// That order. The caller looks whether it is there.
        of: WorkOrderId,
    },
    /// Say something.
    Comment {
        /// What.
        text: String,
    },
    /// Time was spent.
    Labour {
        /// Minutes.
        minutes: u32,
        /// On what.
        note: Option<String>,
    },
    /// The clock of this person starts; work begins with it.
    LabourStart {},
    /// The clock of this person stops.
    LabourStop {
        /// On what the time was spent.
        note: Option<String>,
    },
    /// A part was taken (positive) or given back (negative).
    Part {
        /// Its number in the stock, or a name.
        part: String,
        /// How many; one when left out.
        quantity: Option<f64>,
        /// Where it lay.
        place: Option<String>,
    },
    /// The result of a task.
    Task {
        /// The task.
        task: Uuid,
        /// The result, as its kind wants it.
        value: Option<GivenValue>,
        /// It was not done; the note says why.
        #[serde(default)]
        skip: bool,
        /// More about it.
        note: Option<String>,
    },
    /// The result of a task does not count.
    TaskClear {
        /// The task.
        task: Uuid,
        /// Why.
        reason: Option<String>,
    },
    /// One more task.
    TaskAdd(NewTask),
    /// The tasks of a checklist of the site.
    Checklist {
        /// Its name.
        checklist: String,
    },
    /// What failed and why.
    Failure(FailureGiven),
    /// Sign. How the person showed who they are is the caller's business.
    Sign {
        /// What it means.
        meaning: SignedFor,
        /// The task that it is the result of.
        task: Option<Uuid>,
        /// What they say.
        note: Option<String>,
    },
    /// Go on in a new order with what was found.
    FollowUp {
        /// The task that was found bad.
        task: Option<Uuid>,
        /// One line; from the task when left out.
        title: Option<String>,
        /// More about it; from the result when left out.
        description: Option<String>,
        /// 1 (most urgent) to 5; that of this order when left out.
        priority: Option<u8>,
    },
    /// What was flagged has been looked at.
    ReviewDone {
        /// What was decided.
        note: Option<String>,
    },
}

/// A result as JSON has it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum GivenValue {
    /// Of a check.
    Check(bool),
    /// Of a number.
    Number(f64),
    /// Of a text or choice; the hash of a photo that is attached.
    Text(String),
}

/// A failure report; what is left out stays as it is, an empty text takes away.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields of event::FailureReport")]
pub struct FailureGiven {
    pub problem: Option<String>,
    pub cause: Option<String>,
    pub remedy: Option<String>,
    pub problem_code: Option<String>,
    pub cause_code: Option<String>,
    pub remedy_code: Option<String>,
    pub effect: Option<FailureEffect>,
    pub downtime_minutes: Option<u32>,
}

/// New values of fields; what is left out stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OrderChanges {
    /// One line.
    pub title: Option<String>,
    /// More about it.
    pub description: Option<String>,
    /// 1 (most urgent) to 5.
    pub priority: Option<u8>,
    /// When it should be done (RFC 3339); `null` takes the date away.
    #[serde(deserialize_with = "given")]
    pub due: Option<Option<String>>,
    /// The asset's tag; `null` takes it away.
    #[serde(deserialize_with = "given")]
    pub asset: Option<Option<String>>,
}

/// Tells `null` from a field that was left out.
#[expect(
    clippy::option_option,
    reason = "null takes a value away, a field that is left out keeps it"
)]
fn given<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(input).map(Some)
}

/// On what an action stands.
#[derive(Clone, Debug)]
pub struct Ground<'a> {
    /// The order, as it is in the transaction.
    pub order: &'a WorkOrder,
    /// The gateway at which it lives: its stock is meant.
    pub gateway: GatewayId,
    /// Who acts.
    pub by: &'a str,
    /// The key of the act: new ids follow from it.
    pub key: Uuid,
    /// What is known of the site.
    pub bundle: Option<&'a Bundle>,
    /// For a signature: how the person showed who they are, and the digest of the order.
    pub signed: Option<(SignedBy, ContentHash)>,
    /// For a follow-up: its number.
    pub number: Option<String>,
}

impl OrderAction {
    /// What the order's state must allow; `None` for facts, which may always be added.
    pub const fn guard(&self) -> Option<Action> {
        Some(match self {
            Self::Assign { .. } | Self::Unassign {} => Action::Assign,
            Self::Approve {} => Action::Approve,
            Self::Reject { .. } => Action::Reject,
            Self::Edit(_) => Action::Edit,
            Self::Schedule { .. } => Action::Schedule,
            Self::Start {} => Action::Start,
            Self::Hold { .. } => Action::Hold,
            Self::Resume {} => Action::Resume,
            Self::Complete { .. } => Action::Complete,
            Self::Verify { .. } => Action::Verify,
            Self::Close { .. } => Action::Close,
            Self::Cancel { .. } => Action::Cancel,
            Self::Reopen { .. } => Action::Reopen,
            Self::Duplicate { .. } => Action::Duplicate,
            Self::Comment { .. }
            | Self::Labour { .. }
            | Self::LabourStart {}
            | Self::LabourStop { .. }
            | Self::Part { .. }
            | Self::Task { .. }
            | Self::TaskClear { .. }
            | Self::TaskAdd(_)
            | Self::Checklist { .. }
            | Self::Failure(_)
            | Self::Sign { .. }
            | Self::FollowUp { .. }
            | Self::ReviewDone { .. } => return None,
        })
    }
}
