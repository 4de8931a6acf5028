//! From what a driver read to what is stored: range, quality, deadband with a longest silence.
//! Pure: never does I/O, never reads a clock.

use protocol::reading::{Cause, Raw, RawKind};
use protocol::time::Timestamp;
use protocol::unit::Unit;
use std::time::Duration;

/// What a driver got for one sensor in one poll.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RawCell {
    /// The register's content.
    Value(Raw),
    /// Why there is none.
    Missing(Cause),
}

/// One poll of one group, as a driver hands it on.
#[derive(Clone, Debug, PartialEq)]
pub struct RawPoll {
    /// Index into the list of groups that the driver announced, offset by the agent so that it is
    /// unique in the process.
    pub group: usize,
    /// When the answer came (or was given up).
    pub time: Timestamp,
    /// One cell per sensor of the group, in order.
    pub cells: Vec<RawCell>,
}

/// How changes of one sensor are thinned out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Deadband {
    /// Every reading is stored.
    Off,
    /// Stored when it moved by more than this, in engineering units.
    Absolute(f64),
    /// Stored when it moved by more than this share of the sensor's range (0.01 = 1 %).
    OfRange(f64),
}

/// One sensor as configured: what the driver and the pipeline need to know of it.
#[derive(Clone, Debug, PartialEq)]
pub struct SensorSpec {
    /// Name within the device.
    pub name: String,
    /// Machine or part it measures, by its tag at the site.
    pub asset: Option<String>,
    /// What its raw values are.
    pub raw: RawKind,
    /// Engineering value = raw × scale + offset.
    pub scale: f64,
    /// See `scale`.
    pub offset: f64,
    /// Unit of the engineering value.
    pub unit: Unit,
    /// Engineering values outside are stored as uncertain.
    pub range: Option<(f64, f64)>,
    /// Thinning.
    pub deadband: Deadband,
    /// A reading is stored at least this often even when nothing moves.
    pub max_silence: Duration,
}

/// Sensors of one device that are polled together and share their time stamps.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupSpec {
    /// Device as configured.
    pub device: String,
    /// Machine that the device belongs to, by its tag at the site.
    pub asset: Option<String>,
    /// Time between polls.
    pub period: Duration,
    /// At most `protocol::limits::GROUP_COLUMNS_MAX`.
    pub sensors: Vec<SensorSpec>,
}
