//! What the configuration says of assets: who is part of what, how much depends on it, and what is
//! down while a rule is abnormal. Never remembers anything.

use crate::config::{AlarmsConfig, AssetConfig, Config, Outage, RuleConfig};
use protocol::event::{Criticality, Maintained, Severity};
use protocol::id::{AlarmPointId, AlertId, GatewayId};
use protocol::time::Timestamp;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Deepest chain of assets that is followed; the configuration has no deeper one.
const LEVELS_MAX: usize = 16;

/// What holds until the configuration changes.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub gateway: GatewayId,
    pub settings: AlarmsConfig,
    assets: BTreeMap<String, AssetConfig>,
    /// Rules that say that something is down, and what.
    pub outages: Vec<(String, Maintained)>,
}

impl Plan {
    pub(super) fn new(config: &Config, gateway: GatewayId) -> Self {
        let assets = config.assets.iter();
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
            assets: assets
                .map(|asset| (asset.tag.clone(), asset.clone()))
                .collect(),
            outages: outages.collect(),
        }
    }

    /// Whether a rule's sensor is of this asset or below it, or of this device.
    pub(super) fn covers(&self, what: &Maintained, rule: &RuleConfig) -> bool {
        match what {
            Maintained::Device(name) => device_of(rule) == name,
            Maintained::Asset(tag) => self.chain(rule.asset.as_deref()).any(|asset| asset == tag),
        }
    }

    /// An asset and all that it is a part of.
    fn chain<'a>(&'a self, asset: Option<&'a str>) -> impl Iterator<Item = &'a str> {
        let parent = |tag: &&'a str| self.assets.get(*tag)?.parent.as_deref();
        std::iter::successors(asset, parent).take(LEVELS_MAX)
    }

    /// How much depends on an asset: as it says itself, or the nearest one above it that does.
    pub(super) fn criticality(&self, asset: Option<&str>) -> Option<Criticality> {
        self.chain(asset)
            .find_map(|tag| self.assets.get(tag)?.criticality)
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

/// The urgency of an alert: that of its rule, one step up on an asset of criticality A, one step
/// down on one of D; unchanged on B, C and where nothing is known.
pub const fn priority(severity: Severity, criticality: Option<Criticality>) -> Severity {
    match (criticality, severity) {
        (Some(Criticality::A), Severity::Low) | (Some(Criticality::D), Severity::High) => {
            Severity::Medium
        }
        (Some(Criticality::A), Severity::Medium) | (Some(Criticality::D), Severity::Critical) => {
            Severity::High
        }
        (Some(Criticality::A), Severity::High) => Severity::Critical,
        (Some(Criticality::D), Severity::Medium) => Severity::Low,
        _ => severity,
    }
}

/// The device of a rule's sensor.
fn device_of(rule: &RuleConfig) -> &str {
    rule.sensor.split_once('/').map_or("", |(device, _)| device)
}
