//! Readings of a sensor over a span of time, and how complete a gateway's record is and why not.
//! Never stores anything.

mod chart;
mod completeness;
mod readings;

pub use completeness::{Completeness, CompletenessSpan, SpanState, completeness};
pub use readings::{ReadingsGap, SensorReadings, readings};
