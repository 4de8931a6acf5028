//! Typed identifiers. Never generates one by itself: time and random bytes are arguments.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// Makes a `UUIDv7` (RFC 9562, section 5.7) from a wall clock in milliseconds and ten random bytes.
pub fn uuid_v7(unix_ms: u64, random: [u8; 10]) -> Uuid {
    uuid::Builder::from_unix_timestamp_millis(unix_ms, &random).into_uuid()
}

macro_rules! typed_id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { self.0.fmt(f) }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, uuid::Error> { Uuid::parse_str(text).map(Self) }
        }
        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self { Self(id) }
        }
    )*};
}

typed_id! {
    /// A plant or hall: the scope in which people work and gateways synchronise.
    SiteId;
    /// One box on the shop floor.
    GatewayId;
    /// A unit on a port that answers requests.
    DeviceId;
    /// One measured quantity.
    SensorId;
    /// One machine or part of it that is maintained.
    AssetId;
    /// One alarm point: one rule on one sensor; or the maintenance switch of an asset or device.
    AlarmPointId;
    /// One alert: one abnormal episode of one rule.
    AlertId;
    /// One work order.
    WorkOrderId;
    /// One immutable fact about a record.
    EventId;
    /// One person.
    UserId;
}

impl DeviceId {
    /// The id of the device that a gateway's configuration calls `name`: the same in every run.
    pub fn derive(gateway: GatewayId, name: &str) -> Self {
        Self(Uuid::new_v5(
            &gateway.0,
            format!("device:{name}").as_bytes(),
        ))
    }
}

impl SensorId {
    /// The id of the sensor that a gateway's configuration calls `device/sensor`.
    pub fn derive(gateway: GatewayId, path: &str) -> Self {
        Self(Uuid::new_v5(
            &gateway.0,
            format!("sensor:{path}").as_bytes(),
        ))
    }
}

impl AlarmPointId {
    /// The point of a gateway's rule on its sensor `device/sensor`: the same in every run.
    pub fn derive(gateway: GatewayId, rule: &str, sensor_path: &str) -> Self {
        Self(Uuid::new_v5(
            &gateway.0,
            format!("alarm:{rule}:{sensor_path}").as_bytes(),
        ))
    }

    /// The maintenance switch of a gateway's device (`of_device`) or asset.
    pub fn maintenance(gateway: GatewayId, name: &str, of_device: bool) -> Self {
        let what = if of_device { "device" } else { "asset" };
        Self(Uuid::new_v5(
            &gateway.0,
            format!("maintenance:{what}:{name}").as_bytes(),
        ))
    }
}

impl AssetId {
    /// The id of the asset that a site calls `tag`: all boxes of a site agree on it.
    pub fn derive(site: SiteId, tag: &str) -> Self {
        Self(Uuid::new_v5(&site.0, format!("asset:{tag}").as_bytes()))
    }
}

/// Where a fact was written first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Origin {
    /// A gateway.
    Gateway(GatewayId),
    /// The hub.
    Hub,
}

/// Number of a stream of one origin: 0 is the record events, 1 and up are poll groups.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct StreamId(pub u32);

impl StreamId {
    /// The stream of record events.
    pub const EVENTS: Self = Self(0);
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
