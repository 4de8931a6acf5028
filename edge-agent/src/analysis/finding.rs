//! What a detector has to tell. Never an event: `alerts` makes those of it.

use protocol::event::{AlertKind, Direction};
use protocol::id::SensorId;
use protocol::time::{ClockState, Timestamp};
use std::sync::Arc;

/// What a detector has to tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Name of the rule.
    pub rule: Arc<str>,
    /// The sensor.
    pub sensor: SensorId,
    /// Time of the reading, or of the tick, that brought it about.
    pub time: Timestamp,
    /// State of the clock that gave `time`.
    pub clock: ClockState,
    /// What changed.
    pub change: Change,
}

/// What changed.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The value has become abnormal.
    Raised {
        /// To which side.
        direction: Direction,
        /// The limit; of a rule without one, the edge of what was expected.
        limit: f64,
        /// The value now.
        value: f64,
        /// The value furthest beyond the limit since `since`.
        peak: f64,
        /// When it first went beyond the limit.
        since: Timestamp,
        /// More about it; `None` when it is a value beyond a limit.
        detail: Option<Arc<Detail>>,
    },
    /// The value went further than ever since it was raised.
    Peaked {
        /// That value.
        value: f64,
    },
    /// The value has become normal.
    Cleared {
        /// The value now.
        value: f64,
        /// The value furthest beyond the limit while it was abnormal.
        peak: f64,
    },
}

/// What else is known of something abnormal.
#[derive(Clone, Debug, PartialEq)]
pub struct Detail {
    /// What sort of trouble.
    pub kind: AlertKind,
    /// In plain words, for people: what is abnormal, and by how much.
    pub words: String,
    /// What was expected, from and to, in the unit of the sensor.
    pub expected: Option<(f64, f64)>,
    /// How unusual it is: minus the logarithm to base 10 of the chance that such a value comes
    /// by itself.
    pub score: Option<f64>,
    /// When the limit would be reached, in seconds from `time`: soonest, likely, latest.
    pub reaches_limit_in: Option<(f64, f64, f64)>,
}
