//! From what a driver read to what is stored: range, quality, deadband with a longest silence.
//! Pure: never does I/O, never reads a clock.

mod step;

pub use crate::config::{Deadband, Watch};
pub use step::Pipeline;

use crate::config::{DeviceConfig, SensorConfig};
use protocol::id::{GatewayId, SensorId};
use protocol::reading::{Cause, Column, GroupSchema, Raw, RawKind};
use protocol::time::{ClockState, Timestamp};
use protocol::unit::Unit;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// What a driver got for one sensor in one poll.
#[derive(Clone, Debug, PartialEq)]
pub enum RawCell {
    /// The register's content.
    Value(Raw),
    /// A text; the agent keeps it by its code before the pipeline sees it.
    Text(Box<str>),
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
    /// State of the clock that gave `time`.
    pub clock: ClockState,
    /// One cell per sensor of the group, in order.
    pub cells: Vec<RawCell>,
}

/// In which words a sensor's values are told beside the number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Words {
    /// The word of some values, as configured; mostly none.
    Fixed(BTreeMap<i64, String>),
    /// Its values are texts, and the numbers are their codes.
    Texts,
}

impl Default for Words {
    fn default() -> Self {
        Self::Fixed(BTreeMap::new())
    }
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
    /// Engineering values beyond are held at the limit and stored as uncertain.
    pub clamp: Option<(f64, f64)>,
    /// What its values mean.
    pub words: Words,
    /// Thinning.
    pub deadband: Deadband,
    /// A reading is stored at least this often even when nothing moves.
    pub max_silence: Duration,
    /// When nothing is thinned.
    pub watch: Watch,
}

impl SensorSpec {
    /// As configured; `raw` is what the driver will deliver.
    pub fn new(config: &SensorConfig, raw: RawKind) -> Self {
        Self {
            name: config.name.clone(),
            asset: config.asset.clone(),
            raw,
            scale: config.scale,
            offset: config.offset,
            unit: config.unit.clone(),
            range: config.range,
            clamp: config.clamp,
            words: Words::Fixed(config.words.clone()),
            deadband: config.deadband,
            max_silence: config.max_silence,
            watch: config.watch,
        }
    }

    /// The engineering value of a raw one.
    pub fn value(&self, raw: Raw) -> f64 {
        protocol::reading::to_f64(raw, self.raw) * self.scale + self.offset
    }
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
    /// At most `protocol::limits::GROUP_COLUMNS_MAX`. Shared: driver, port and intake each keep the
    /// group.
    pub sensors: Arc<Vec<SensorSpec>>,
}

impl GroupSpec {
    /// A group of `device` without sensors yet.
    pub fn new(device: &DeviceConfig, period: Duration) -> Self {
        Self {
            device: device.name.clone(),
            asset: device.asset.clone(),
            period,
            sensors: Arc::default(),
        }
    }

    /// `device/sensor`: what rules and people call a sensor of this group.
    pub fn path(&self, sensor: &SensorSpec) -> String {
        format!("{}/{}", self.device, sensor.name)
    }

    /// What the group's polls mean, for storage and the hub.
    pub fn schema(&self, gateway: GatewayId) -> GroupSchema {
        let columns = self.sensors.iter().map(|sensor| Column {
            sensor: SensorId::derive(gateway, &self.path(sensor)),
            raw: sensor.raw,
            scale: sensor.scale,
            offset: sensor.offset,
        });
        let period = crate::config::show_duration(self.period);
        GroupSchema {
            name: format!("{} @ {period}", self.device),
            period_us: u64::try_from(self.period.as_micros()).unwrap_or(u64::MAX),
            columns: columns.collect(),
        }
    }
}
