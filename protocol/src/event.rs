//! The event: one immutable change to one record, with who, where and when.
//! Never interprets a record: the folds of `alert` and `work_order` do.

mod alarm;
mod alert_kind;
mod asset;
mod correct;
mod gateway;
mod kept;
mod order;
mod stock;
mod work;

pub use alarm::{
    AlarmPointEvent, AlertDescription, Criticality, Maintained, Notified, SuppressionCause,
};
pub use alert_kind::AlertKind;
pub use asset::{AssetEvent, AssetProposed};
pub use gateway::{Access, GapCause, GatewayEvent};
pub use kept::{Attached, Snapshot};
pub use order::{FieldValue, HoldReason, WorkOrderCreated, WorkOrderEvent, WorkType};
pub use stock::{StockEvent, StockMove};
pub use work::{
    ChecklistRef, FailureEffect, FailureReport, PartMoved, Signed, SignedBy, SignedFor, TaskAnswer,
    TaskChoice, TaskKind, TaskNew, TaskValue, TasksAdded,
};

use crate::id::{AlarmPointId, AlertId, EventId, Origin, SensorId, UserId, WorkOrderId};
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
    /// An alarm point, or the maintenance switch of an asset or device.
    AlarmPoint,
    /// An asset that somebody made on a box and the hub has not taken over yet.
    Asset,
    /// The moves of one part in the stock of a gateway.
    Stock,
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
            Self::AlarmPoint => 4,
            Self::Asset => 5,
            Self::Stock => 6,
            Self::Other(code) => code,
        }
    }

    /// From the number on the wire.
    pub const fn from_code(code: u8) -> Self {
        match code {
            1 => Self::Alert,
            2 => Self::WorkOrder,
            3 => Self::Gateway,
            4 => Self::AlarmPoint,
            5 => Self::Asset,
            6 => Self::Stock,
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

impl From<AlarmPointId> for RecordRef {
    fn from(id: AlarmPointId) -> Self {
        Self {
            kind: RecordKind::AlarmPoint,
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
    /// Happened to an alarm point.
    AlarmPoint(AlarmPointEvent),
    /// Happened to an asset that was made on a box.
    Asset(AssetEvent),
    /// Happened to a part of the stock.
    Stock(StockEvent),
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
    /// More about its beginning.
    Described(AlertDescription),
    /// Somebody was told, or could not be.
    Notified(Notified),
    /// The same rule raised the next alert before anybody took notice of this one: that one counts.
    /// Only the gateway that measures writes this.
    Superseded {
        /// The next alert.
        by: AlertId,
    },
    /// A person put back an alert that stays until then (latch).
    Reset {
        /// What they said.
        note: Option<String>,
    },
    /// It still stands: it waits for a person again (re-alarm). Only the gateway that measures
    /// writes this.
    Realarmed,
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
