//! What a box with a configuration measures, as its page and the hub are told. Pure.

use crate::config::{Config, InUse};
use crate::drivers;
use crate::pipeline::GroupSpec;
use protocol::catalog::{Catalog, Device, Limit, Port, Sensor};
use protocol::event::Direction;
use protocol::id::{DeviceId, GatewayId, SensorId};
use protocol::wire::WireError;

/// What a box with this configuration measures, as the hub gets it.
pub fn encoded_catalog(config: &Config, gateway: GatewayId) -> Result<Vec<u8>, WireError> {
    let built = config.ports.iter();
    let built = built.filter_map(|port| drivers::build(port, &config.devices));
    let groups: Vec<_> = built.flat_map(|driver| driver.groups()).collect();
    protocol::wire::encode_catalog(&catalog(&InUse::new(config), &groups, gateway))
}

/// What this box measures, for its page and for the hub.
pub(super) fn catalog(config: &InUse, groups: &[GroupSpec], gateway: GatewayId) -> Catalog {
    let ports = config
        .ports
        .iter()
        .map(|port| Port {
            name: port.name.clone(),
            protocol: port.protocol.clone(),
        })
        .collect();
    let devices: Vec<Device> = config
        .devices
        .iter()
        .map(|device| Device {
            id: DeviceId::derive(gateway, &device.name),
            name: device.name.clone(),
            port: device.port.clone(),
            asset: device.asset.clone(),
        })
        .collect();
    let mut sensors = Vec::with_capacity(groups.iter().map(|group| group.sensors.len()).sum());
    for group in groups {
        for sensor in group.sensors.iter() {
            let path = group.path(sensor);
            sensors.push(Sensor {
                id: SensorId::derive(gateway, &path),
                device: DeviceId::derive(gateway, &group.device),
                asset: sensor.asset.clone().or_else(|| group.asset.clone()),
                unit: sensor.unit.clone(),
                range: sensor.range,
                period_us: u64::try_from(group.period.as_micros()).unwrap_or(u64::MAX),
                limits: limits(config, &path),
                path,
            });
        }
    }
    let mut assets: Vec<String> = sensors
        .iter()
        .filter_map(|sensor: &Sensor| sensor.asset.clone())
        .collect();
    assets.sort_unstable();
    assets.dedup();
    Catalog {
        ports,
        devices,
        sensors,
        assets,
    }
}

fn limits(config: &InUse, path: &str) -> Vec<Limit> {
    let rules = config.rules.iter().filter(|rule| rule.sensor == path);
    let rules = rules.filter_map(|rule| Some((rule, rule.kind.limits()?)));
    rules
        .flat_map(|(rule, limits)| {
            let limit = |value: Option<f64>, direction| {
                value.map(|value| Limit {
                    name: rule.title.clone(),
                    value,
                    direction,
                    severity: rule.severity,
                })
            };
            [
                limit(limits.high, Direction::High),
                limit(limits.low, Direction::Low),
            ]
        })
        .flatten()
        .collect()
}
