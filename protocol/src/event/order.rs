//! What can happen to a work order, in the shapes that are on the wire. Never what follows from it:
//! `work_order` folds.

use super::kept::{Attached, Snapshot};
use super::work::{FailureReport, PartMoved, Signed, TaskAnswer, TasksAdded};
use crate::id::{AlertId, UserId, WorkOrderId};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What can happen to a work order. Frozen once released (PROTOCOL §5).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum WorkOrderEvent {
    /// It came to be.
    Created(WorkOrderCreated),
    /// A field got a new value.
    FieldSet(FieldValue),
    /// Somebody is to do it.
    Assigned {
        /// Name shown.
        name: String,
        /// The hub's id where it is known.
        user: Option<UserId>,
    },
    /// Nobody is to do it any more.
    Unassigned,
    /// A request became an order.
    Approved,
    /// A request was turned down.
    Rejected {
        /// Why.
        reason: String,
    },
    /// It got its time window.
    Scheduled {
        /// Begin of the window.
        start: Timestamp,
        /// End of the window.
        end: Option<Timestamp>,
    },
    /// Work began.
    Started,
    /// Work waits.
    Held {
        /// For what.
        reason: HoldReason,
        /// More about it.
        note: Option<String>,
    },
    /// Work goes on.
    Resumed,
    /// Work is done.
    Done {
        /// What was done.
        remedy: Option<String>,
    },
    /// Looked at and put away.
    Closed {
        /// A last word.
        note: Option<String>,
    },
    /// It was not finished after all.
    Reopened {
        /// Why.
        reason: String,
    },
    /// It is not to be done.
    Cancelled {
        /// Why.
        reason: String,
    },
    /// It is the same as another order.
    MarkedDuplicate {
        /// That order.
        of: WorkOrderId,
    },
    /// A person said something.
    Commented {
        /// What they said.
        text: String,
    },
    /// Time was spent.
    LabourAdded {
        /// Minutes.
        minutes: u32,
        /// On what.
        note: Option<String>,
    },
    /// A part was taken (positive) or given back (negative).
    PartUsed {
        /// Part number or name.
        part: String,
        /// How many.
        quantity: f64,
    },
    /// The alarm behind it came (again).
    AlarmOccurred {
        /// The alert.
        alert: AlertId,
    },
    /// The alarm behind it went.
    AlarmCleared {
        /// The alert.
        alert: AlertId,
    },
    /// Readings around the alarm, kept with the order.
    SnapshotAdded(Snapshot),
    /// A planner looked at what was flagged.
    Reviewed {
        /// What they decided.
        note: Option<String>,
    },
    /// A photo or document was added.
    Attached(Attached),
    /// Tasks are to be done: those of a checklist, or one by itself.
    TasksAdded(TasksAdded),
    /// A task got its result.
    TaskAnswered(TaskAnswer),
    /// The result of a task does not count; the task is open again.
    TaskCleared {
        /// The task.
        task: Uuid,
        /// Why.
        reason: Option<String>,
    },
    /// What failed and why. What is left out stays as it was told before.
    FailureReported(FailureReport),
    /// The person who acts began to work: their clock runs.
    LabourStarted,
    /// The clock of the person who acts stops.
    LabourStopped {
        /// On what the time was spent.
        note: Option<String>,
    },
    /// A part of the stock was taken (positive) or given back (negative).
    PartMoved(PartMoved),
    /// A person signed.
    Signed(Signed),
    /// A second person looked at what was done and found it good.
    Verified {
        /// What they said.
        note: Option<String>,
    },
    /// Another order goes on with what was found in this one.
    FollowedUp {
        /// That order.
        order: WorkOrderId,
        /// Its number.
        number: String,
        /// The task that was found bad.
        task: Option<Uuid>,
    },
}

/// The beginning of a work order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkOrderCreated {
    /// The number for people, made where the order was made: `B2-0417`.
    pub number: String,
    /// One line.
    pub title: String,
    /// More about it.
    pub description: String,
    /// What sort of work.
    pub work_type: WorkType,
    /// 1 (most urgent) to 5.
    pub priority: u8,
    /// The asset's tag at the site.
    pub asset: Option<String>,
    /// The alert that opened it.
    pub alert: Option<AlertId>,
    /// `asset|failure-mode`: one open order per key.
    pub dedupe_key: Option<String>,
    /// A request that still needs approval.
    pub requested: bool,
}

/// A field and its new value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FieldValue {
    /// One line.
    Title(String),
    /// More about it.
    Description(String),
    /// 1 to 5.
    Priority(u8),
    /// When it should be done.
    Due(Option<Timestamp>),
    /// The asset's tag.
    Asset(Option<String>),
}

/// What sort of work an order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum WorkType {
    /// Something is broken.
    #[default]
    Corrective,
    /// By plan.
    Preventive,
    /// By forecast.
    Predictive,
    /// To look.
    Inspection,
    /// To adjust an instrument.
    Calibration,
    /// To make it better.
    Improvement,
    /// For the safety of people.
    Safety,
    /// At once.
    Emergency,
}

/// What work waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldReason {
    /// A part.
    Material,
    /// The plant must stop first.
    Plant,
    /// Somebody must open a door.
    Access,
    /// A permit to work.
    Permit,
    /// An outside firm.
    Vendor,
    /// Something else.
    Other,
}
