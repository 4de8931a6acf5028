//! What the configuration says of assets: who is part of what, how much depends on it, and what is
//! down while a rule is abnormal. Never remembers anything.

use crate::config::{AlarmsConfig, AssetConfig, Assets, InUse, Outage, RuleConfig};
use protocol::bundle::Bundle;
use protocol::event::{Criticality, Maintained};
use protocol::id::{AlarmPointId, AlertId, GatewayId};
use protocol::time::Timestamp;
use uuid::Uuid;

/// What holds until the configuration changes.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub gateway: GatewayId,
    pub settings: AlarmsConfig,
    /// As the configuration has them.
    own: Vec<AssetConfig>,
    assets: Assets,
    /// Rules that say that something is down, and what.
    pub outages: Vec<(String, Maintained)>,
}

impl Plan {
    pub(super) fn new(config: &InUse, of_hub: Option<&Bundle>, gateway: GatewayId) -> Self {
        let outages = config.rules.iter().filter_map(|rule| {
            let what = match rule.alarm.outage? {
                Outage::Asset => Maintained::Asset(rule.asset.clone()?),
                Outage::Device => Maintained::Device(device_of(rule).to_owned()),
            };
            Some((rule.name.clone(), what))
        });
        Self {
            gateway,
            settings: config.alarms.clone(),
            assets: Assets::new(&config.assets, of_hub),
            own: config.assets.clone(),
            outages: outages.collect(),
        }
    }

    /// The hub's list of the site is another one now.
    pub(super) fn know_assets(&mut self, of_hub: Option<&Bundle>) {
        self.assets = Assets::new(&self.own, of_hub);
    }

    /// Whether a rule's sensor is of this asset or below it, or of this device.
    pub(super) fn covers(&self, what: &Maintained, rule: &RuleConfig) -> bool {
        match what {
            Maintained::Device(name) => device_of(rule) == name,
            Maintained::Asset(tag) => self
                .assets
                .chain(rule.asset.as_deref())
                .any(|asset| asset == tag),
        }
    }

    /// How much depends on an asset.
    pub(super) fn criticality(&self, asset: Option<&str>) -> Option<Criticality> {
        self.assets.criticality(asset)
    }

    /// The id of the alert of a rule that became abnormal at `since`: the same however often the
    /// readings are judged.
    pub(super) fn alert_id(&self, rule: &str, since: Timestamp) -> AlertId {
        let name = format!("alert:{rule}:{}", since.0);
        AlertId(Uuid::new_v5(&self.gateway.0, name.as_bytes()))
    }

    pub(super) fn point_id(&self, rule: &RuleConfig) -> AlarmPointId {
        AlarmPointId::derive(self.gateway, &rule.name, &rule.sensor)
    }
}

/// The device of a rule's sensor.
fn device_of(rule: &RuleConfig) -> &str {
    rule.sensor.split_once('/').map_or("", |(device, _)| device)
}
