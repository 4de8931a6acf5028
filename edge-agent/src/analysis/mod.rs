//! Detectors: from committed readings to findings. Pure: readings in, findings out; time is the
//! time of the readings, never a clock.

use std::time::Duration;

/// When a value is abnormal. At least one of `high` and `low` is there.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Abnormal above this.
    pub high: Option<f64>,
    /// Abnormal below this.
    pub low: Option<f64>,
    /// Normal again only this far inside the limit; never negative.
    pub deadband: f64,
    /// Abnormal without a break for this long before it is told.
    pub on_delay: Duration,
    /// Normal without a break for this long before it is told.
    pub off_delay: Duration,
}
