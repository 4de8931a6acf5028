//! What a gateway tells the hub about itself: sensors, devices, assets, limits.
//! A whole document with a hash: the hub takes it over as it is. Never holds readings.

use crate::event::{Direction, Severity};
use crate::id::{DeviceId, SensorId};
use crate::limits::{CATALOG_LIST_MAX, at_most};
use crate::unit::Unit;
use serde::{Deserialize, Serialize};

/// Everything a gateway measures, as its configuration says.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct Catalog {
    /// Buses and endpoints.
    #[serde(deserialize_with = "at_most::<CATALOG_LIST_MAX, _, _>")]
    pub ports: Vec<Port>,
    /// Units on the ports.
    #[serde(deserialize_with = "at_most::<CATALOG_LIST_MAX, _, _>")]
    pub devices: Vec<Device>,
    /// Measured quantities.
    pub sensors: Vec<Sensor>,
    /// Machines, by tag.
    #[serde(deserialize_with = "at_most::<CATALOG_LIST_MAX, _, _>")]
    pub assets: Vec<String>,
}

/// A bus or endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Name in the configuration.
    pub name: String,
    /// The driver's word: `modbus`.
    pub protocol: String,
}

/// A unit on a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Identity.
    pub id: DeviceId,
    /// Name in the configuration.
    pub name: String,
    /// Its port.
    pub port: String,
    /// The machine it belongs to.
    pub asset: Option<String>,
}

/// A measured quantity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sensor {
    /// Identity.
    pub id: SensorId,
    /// Its device.
    pub device: DeviceId,
    /// `device/sensor`.
    pub path: String,
    /// The machine or part it measures.
    pub asset: Option<String>,
    /// Unit of its values.
    pub unit: Unit,
    /// Range of its values.
    pub range: Option<(f64, f64)>,
    /// Time between polls, in microseconds.
    pub period_us: u64,
    /// Limits that raise alerts.
    #[serde(deserialize_with = "at_most::<CATALOG_LIST_MAX, _, _>")]
    pub limits: Vec<Limit>,
}

/// A limit on a sensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    /// The rule's name.
    pub name: String,
    /// Its value.
    pub value: f64,
    /// Side.
    pub direction: Direction,
    /// Urgency.
    pub severity: Severity,
}
