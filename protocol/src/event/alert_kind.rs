//! What sort of trouble an alert tells of. Never says how it was found: the rule does.

use serde::{Deserialize, Serialize};

/// The sort of rule that raised an alert. On the wire: append only.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum AlertKind {
    /// A value beyond a limit.
    #[default]
    Threshold,
    /// A value that changed too much in a given time.
    Rate,
    /// A value that does not move although it should.
    Flat,
    /// No usable reading for too long.
    Stale,
    /// A device in a state in which it should not be.
    State,
    /// A value unlike what the sensor usually shows.
    Deviation,
    /// A value that goes towards a limit.
    Trend,
    /// The same alerts again and again, or one after another.
    Pattern,
    /// A failure that a model foresees.
    Predictive,
}
