//! What happens to a gateway itself, and why its readings have holes. Never what it measures.

use crate::bundle::Role;
use crate::id::SensorId;
use crate::limits::{WORDS_PER_EVENT_MAX, at_most};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What can happen to a gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum GatewayEvent {
    /// The agent started.
    Started {
        /// Version of the program.
        version: String,
    },
    /// Polls were lost, and why.
    Gap {
        /// When the hole begins.
        from: Timestamp,
        /// When it ends.
        to: Timestamp,
        /// Polls that are missing.
        polls: u64,
        /// Why.
        cause: GapCause,
    },
    /// The hub has a new configuration document for the box.
    Configured {
        /// Its number.
        version: u64,
    },
    /// Somebody at the hub gave the box a command.
    Commanded {
        /// The command.
        command: Uuid,
        /// What it asks for, in the word of its kind.
        task: String,
    },
    /// In which words values of a sensor are told: its texts by their codes, or its states. The
    /// newest of a number counts.
    Worded {
        /// The sensor.
        sensor: SensorId,
        /// Engineering value (a whole number) and its word; `None`: it has none any more.
        #[serde(deserialize_with = "at_most::<WORDS_PER_EVENT_MAX, _, _>")]
        words: Vec<(i64, Option<String>)>,
    },
    /// A value is about to be written to a device, or was, or could not be.
    Wrote {
        /// The device, as it is called in the configuration.
        device: String,
        /// Where in it: the name of a sensor, or an address in the words of its protocol.
        place: String,
        /// The value, as the person wrote it.
        value: String,
        /// What came of it, in words; `None`: it is about to be written.
        outcome: Option<String>,
    },
    /// Somebody signed in, or tried to, or other people count from now on.
    Access(Access),
}

/// What happens to who may act on a box. On the wire: append only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// The acting person signed in with their PIN.
    SignedIn {
        /// Number of the bundle that they were checked against.
        bundle: u64,
        /// What they may do, as lowered by the bundle's age.
        role: Role,
        /// The bundle is past its last day.
        overdue: bool,
    },
    /// The acting person signed out.
    SignedOut,
    /// Too many wrong PINs of the person who is named as acting.
    LockedOut {
        /// From this address.
        address: String,
    },
    /// The box holds this bundle now.
    BundleTaken {
        /// Its number.
        number: u64,
        /// Its last day.
        valid_until: Timestamp,
    },
}

/// Why readings are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapCause {
    /// The queue between driver and store was full.
    QueueFull,
    /// The store was full and had to give up its oldest readings.
    BufferFull,
    /// The store was damaged.
    StoreDamaged,
    /// The agent did not run.
    AgentOff,
    /// The store was full: of its oldest readings only statistics by minute are left on the box.
    Thinned,
}

impl GapCause {
    /// In plain words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::QueueFull => "the box could not store fast enough",
            Self::BufferFull => "the buffer of the box was full",
            Self::StoreDamaged => "the store of the box was damaged",
            Self::AgentOff => "the agent was off",
            Self::Thinned => {
                "the buffer of the box was full: only statistics by minute are left there"
            }
        }
    }
}
