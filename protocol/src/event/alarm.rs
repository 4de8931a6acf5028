//! What is said of an alert beside its beginning, and what happens to an alarm point: one rule on
//! one sensor, which can be shelved, suppressed or out of service without an alert being there.
//! Never decides anything: the box does, and the folds of `alert` and `alarm_point` show it.

use super::AlertKind;
use crate::id::AlertId;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

pub use crate::bundle::Criticality;

/// What belongs to an alert's beginning and was not in `AlertRaised` when that was released. Written
/// in the transaction of `Raised`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertDescription {
    /// What sort of judgement.
    pub kind: AlertKind,
    /// What was found, in a plain sentence; empty when limit and value say all.
    pub words: String,
    /// Between which values it was expected, in the unit of the alert.
    pub expected: Option<(f64, f64)>,
    /// How unusual: -log10 of the chance of a value like this one.
    pub score: Option<f64>,
    /// Seconds until a limit is reached: early, likely, late.
    pub reaches_limit_in: Option<(f64, f64, f64)>,
    /// It was the first of its group: what came after it may follow from it.
    pub first_out: bool,
    /// Of its asset, when it was raised.
    pub criticality: Option<Criticality>,
    /// Urgency as the rule says it; that of the alert is with the criticality of the asset.
    pub rule_severity: super::Severity,
    /// It stays until a person resets it, even when the value is back.
    pub latches: bool,
}

/// Somebody was told of an alert, or could not be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notified {
    /// Name of the channel.
    pub channel: String,
    /// Whom: a person, a number, an address.
    pub to: String,
    /// Whether it arrived as far as the channel can know.
    pub delivered: bool,
    /// How, or why not.
    pub words: String,
}

/// What can happen to an alarm point. Frozen once released: a change is a new version (PROTOCOL §5).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum AlarmPointEvent {
    /// A person does not want to hear of it for a while (ISA-18.2 state G).
    Shelved {
        /// The rule's name.
        rule: String,
        /// `device/sensor`.
        sensor_path: String,
        /// Why.
        reason: String,
        /// When it ends by itself.
        until: Timestamp,
    },
    /// It is heard of again: the time was over, or a person took it back.
    Unshelved {
        /// What they said, or why it ended.
        note: Option<String>,
    },
    /// A person took it out of service: it does not work and is repaired (state I).
    OutOfService {
        /// The rule's name.
        rule: String,
        /// `device/sensor`.
        sensor_path: String,
        /// Why.
        reason: String,
    },
    /// It works again.
    InService {
        /// What they said.
        note: Option<String>,
    },
    /// It became abnormal and was not told, by design (state H). Only the gateway that measures
    /// writes this.
    Suppressed {
        /// The rule's name.
        rule: String,
        /// `device/sensor`.
        sensor_path: String,
        /// Why.
        cause: SuppressionCause,
    },
    /// What suppressed it is over.
    Unsuppressed,
    /// It comes and goes: it stays on until it is calm. Only the gateway that measures writes this.
    Chattering {
        /// The rule's name.
        rule: String,
        /// `device/sensor`.
        sensor_path: String,
        /// How often it came within the time that the configuration gives.
        activations: u32,
    },
    /// It is calm again.
    Calmed,
    /// It became abnormal while it was shelved or out of service, and was not told. Only the
    /// gateway that measures writes this.
    Withheld {
        /// The value.
        value: f64,
        /// When the value first went beyond the limit.
        since: Timestamp,
    },
    /// A person works on an asset or a device: its alarms are not told. On a record of its own, one
    /// for each asset or device.
    MaintenanceBegan {
        /// On what.
        of: Maintained,
        /// Why.
        reason: String,
        /// When it ends by itself, if it does.
        until: Option<Timestamp>,
    },
    /// The work is over.
    MaintenanceEnded {
        /// What they said, or why it ended.
        note: Option<String>,
    },
    /// A person says that what a rule finds is normal now: what it learned is forgotten, and it learns
    /// anew from here on.
    LearnsAnew {
        /// The rule's name.
        rule: String,
        /// `device/sensor`.
        sensor_path: String,
        /// Why.
        reason: String,
    },
}

/// Why an alarm is suppressed by design.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SuppressionCause {
    /// What it is a part of is down: one alert says so.
    Outage {
        /// That alert.
        alert: AlertId,
        /// Tag of the asset, or name of the device, that is down.
        of: String,
    },
    /// Somebody works on the asset or device.
    Maintenance {
        /// Its tag or name.
        of: String,
    },
    /// The condition of its rule holds.
    Condition {
        /// The condition, as written in the configuration.
        words: String,
    },
    /// The condition of its rule ended a moment ago: the machine starts.
    StartUp {
        /// The condition, as written in the configuration.
        words: String,
    },
}

/// What a person works on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Maintained {
    /// An asset, by its tag, and all that is below it.
    Asset(String),
    /// A device, by its name.
    Device(String),
}

impl Maintained {
    /// Its tag or name.
    pub fn name(&self) -> &str {
        match self {
            Self::Asset(name) | Self::Device(name) => name,
        }
    }
}

impl SuppressionCause {
    /// In plain words, to go on after "not told:".
    pub fn words(&self) -> String {
        match self {
            Self::Outage { of, .. } => format!("{of} is down"),
            Self::Maintenance { of } => format!("somebody works on {of}"),
            Self::Condition { words } => format!("by its rule while {words}"),
            Self::StartUp { words } => format!("starting up, a moment ago {words}"),
        }
    }
}
