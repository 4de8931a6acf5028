//! The event: one immutable change to one record, with who, where and when.
//! Never interprets a record: the folds of `alert` and `work_order` do.

mod correct;
mod gateway;
mod kept;

pub use gateway::{Access, GapCause, GatewayEvent};
pub use kept::{Attached, Snapshot};

use crate::id::{AlertId, EventId, Origin, SensorId, UserId, WorkOrderId};
use crate::time::{ClockState, Hlc, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One fact about one record. Written once at its origin and carried unchanged.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Identity; the same event never counts twice.
    pub id: EventId,
    /// Who wrote it first.
    pub origin: Origin,
    /// Rises when the origin's store is new or restored.
    pub incarnation: u32,
    /// Dense number in the origin's event stream, from 1.
    pub seq: u64,
    /// Orders events of all origins. Above every stamp on this record that the writer had seen:
    /// see [`Hlc::after`].
    pub hlc: Hlc,
    /// The highest stamp on this record that the writer had seen from *other* origins (its own
    /// it knows anyway; counting them would hide what came in late). What other origins wrote
    /// above it and below `hlc` happened at the same time.
    pub based_on: Hlc,
    /// The writer's wall clock.
    pub time: Timestamp,
    /// How far `time` may be trusted.
    pub clock: ClockState,
    /// The person or program that acted.
    pub actor: Actor,
    /// The record that changed.
    pub record: RecordRef,
    /// What happened.
    pub body: Body,
}

/// The record that an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecordRef {
    /// Which kind.
    pub kind: RecordKind,
    /// Which one.
    pub id: Uuid,
}

/// Kinds of records. On the wire: append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RecordKind {
    /// An alert.
    Alert,
    /// A work order.
    WorkOrder,
    /// The gateway itself: what it lost, when it started.
    Gateway,
    /// A kind of a newer build, by its number: kept and passed on, never folded.
    Other(u8),
}

impl RecordKind {
    /// The number on the wire.
    pub const fn code(self) -> u8 {
        match self {
            Self::Alert => 1,
            Self::WorkOrder => 2,
            Self::Gateway => 3,
            Self::Other(code) => code,
        }
    }

    /// From the number on the wire.
    pub const fn from_code(code: u8) -> Self {
        match code {
            1 => Self::Alert,
            2 => Self::WorkOrder,
            3 => Self::Gateway,
            other => Self::Other(other),
        }
    }
}

impl From<AlertId> for RecordRef {
    fn from(id: AlertId) -> Self {
        Self {
            kind: RecordKind::Alert,
            id: id.0,
        }
    }
}

impl From<WorkOrderId> for RecordRef {
    fn from(id: WorkOrderId) -> Self {
        Self {
            kind: RecordKind::WorkOrder,
            id: id.0,
        }
    }
}

/// Who acted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Actor {
    /// A rule or the program itself; the name of the rule.
    System(String),
    /// A person: the name shown, and the hub's id where it is known.
    Person(String, Option<UserId>),
}

impl Actor {
    /// The name for people.
    pub fn name(&self) -> &str {
        match self {
            Self::System(name) | Self::Person(name, _) => name,
        }
    }

    /// Whether a person acted.
    pub const fn is_person(&self) -> bool {
        matches!(self, Self::Person(..))
    }
}

/// What happened: known to this build, or kept as bytes and relayed.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// Happened to an alert.
    Alert(AlertEvent),
    /// Happened to a work order.
    WorkOrder(WorkOrderEvent),
    /// Happened to the gateway.
    Gateway(GatewayEvent),
    /// Written by a newer build: type, version and bytes as they came.
    Unknown {
        /// Number of the type.
        kind: u16,
        /// Its version.
        version: u8,
        /// Its bytes.
        bytes: Vec<u8>,
    },
}

/// How urgent an alert is (ISA-18.2 priorities).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Look at it when there is time.
    Low,
    /// Act within the shift.
    #[default]
    Medium,
    /// Act soon.
    High,
    /// Act now.
    Critical,
}

/// To which side of a limit a value went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Above.
    High,
    /// Below.
    Low,
}

/// What can happen to an alert. Frozen once released: a change is a new version (PROTOCOL §5).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum AlertEvent {
    /// It began.
    Raised(AlertRaised),
    /// A person took notice.
    Acknowledged {
        /// What they said.
        note: Option<String>,
    },
    /// The value is back inside its limits. Only the gateway that measures writes this.
    Cleared {
        /// The value that cleared it, if there is one.
        value: Option<f64>,
    },
    /// A person said something.
    Commented {
        /// What they said.
        text: String,
    },
    /// The value went further beyond the limit than ever in this alert.
    Peaked {
        /// That value.
        value: f64,
    },
}

/// The beginning of an alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertRaised {
    /// The rule's name.
    pub rule: String,
    /// The sensor that went beyond its limit.
    pub sensor: SensorId,
    /// `device/sensor`.
    pub sensor_path: String,
    /// The asset's tag at the site.
    pub asset: Option<String>,
    /// One line for people.
    pub title: String,
    /// Urgency.
    pub severity: Severity,
    /// Side of the limit.
    pub direction: Direction,
    /// The limit.
    pub limit: f64,
    /// The value when it was raised.
    pub value: f64,
    /// UCUM code of value and limit.
    pub unit: String,
    /// When the value first went beyond the limit (before the on-delay).
    pub since: Timestamp,
}

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
