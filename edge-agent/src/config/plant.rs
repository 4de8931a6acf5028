//! The tables that say what the plant is, in the file or in a document of the hub. Never says how the
//! box is reached and kept.

use super::section::Section;
use super::{
    AlarmsConfig, AssetConfig, DeviceConfig, PortConfig, RuleConfig, Templates, alarm, device, rule,
};

/// What they say.
pub(super) struct Plant {
    pub ports: Vec<PortConfig>,
    pub devices: Vec<DeviceConfig>,
    pub rules: Vec<RuleConfig>,
    pub alarms: AlarmsConfig,
    pub assets: Vec<AssetConfig>,
}

/// Reads them.
pub(super) fn read(top: &mut Section, templates: &mut Templates) -> Plant {
    let ports = device::ports(top);
    let mut devices = device::devices(top, &ports, templates);
    let rules = rule::rules(top, &mut devices);
    let alarms = alarm::alarms(top.section_or_empty("alarms"));
    let assets = alarm::assets(top);
    Plant {
        ports,
        devices,
        rules,
        alarms,
        assets,
    }
}
