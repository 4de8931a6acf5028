//! What of a configuration is looked at all the time while the box runs with it, and the texts to read
//! the rest of it again: for a comparison, or for a driver that failed. Whole, the configuration of a
//! thousand sensors takes more memory than all of their readings. Never judges a value.

use super::{
    AlarmsConfig, AssetConfig, Config, ConfigError, DeviceConfig, GatewayConfig, HubConfig,
    LocalFile, PortConfig, QueueConfig, RuleConfig, WebConfig,
};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

/// See the head of this file.
#[derive(Clone, Debug)]
pub struct InUse {
    /// The box itself.
    pub gateway: GatewayConfig,
    /// Where the hub is; none: the box works alone.
    pub hub: Option<HubConfig>,
    /// The queue between drivers and storage.
    pub queue: QueueConfig,
    /// The page for staff.
    pub web: WebConfig,
    /// Alert rules, in the order of the file.
    pub rules: Vec<RuleConfig>,
    /// What holds for the alerts of all rules.
    pub alarms: AlarmsConfig,
    /// Assets of which more is known than their tag.
    pub assets: Vec<AssetConfig>,
    /// Buses and endpoints, in the order of the file.
    pub ports: Vec<PortInUse>,
    /// Devices, in the order of the file.
    pub devices: Vec<DeviceInUse>,
    /// The file that the plant is from, or that stands around the document that it is from.
    pub local: Arc<LocalFile>,
    /// The file at the start: what holds from start to end of the agent is from it.
    begun: Arc<LocalFile>,
    source: Source,
}

/// A bus or an endpoint by its names.
#[derive(Clone, Debug)]
pub struct PortInUse {
    /// Its name.
    pub name: String,
    /// The word of its protocol.
    pub protocol: String,
}

/// A device by its names.
#[derive(Clone, Debug)]
pub struct DeviceInUse {
    /// Its name.
    pub name: String,
    /// Name of the port it is on.
    pub port: String,
    /// Tag of the machine that it measures.
    pub asset: Option<String>,
    /// Assets that it and its sensors name, each once.
    pub assets: Vec<String>,
}

/// Where a configuration was read from.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// The file, for relative paths and words.
    pub(super) file: PathBuf,
    /// What the hub's document is called and says, where the plant is from one.
    pub(super) document: Option<Arc<(String, String)>>,
}

impl InUse {
    /// Of the configuration that the agent starts with.
    pub fn new(config: &Config) -> Self {
        let local = Arc::new(config.local.clone());
        Self::with(config, Arc::clone(&local), local)
    }

    /// Of one that replaces this one without a restart.
    #[must_use]
    pub fn replaced_by(&self, next: &Config) -> Self {
        Self::with(next, Arc::new(next.local.clone()), Arc::clone(&self.begun))
    }

    fn with(config: &Config, local: Arc<LocalFile>, begun: Arc<LocalFile>) -> Self {
        Self {
            gateway: config.gateway.clone(),
            hub: config.hub.clone(),
            queue: config.queue.clone(),
            web: config.web.clone(),
            rules: config.rules.clone(),
            alarms: config.alarms.clone(),
            assets: config.assets.clone(),
            ports: config.ports.iter().map(port).collect(),
            devices: config.devices.iter().map(device).collect(),
            local,
            begun,
            source: config.source.clone(),
        }
    }

    /// All of it, read again from the kept texts.
    ///
    /// # Errors
    /// None that the first reading did not have.
    pub fn whole(&self) -> Result<Config, ConfigError> {
        let document = self.source.document.as_deref();
        let document = document.map(|(name, text)| (name.as_str(), text.as_str()));
        let plant = Config::draft_local(&self.source.file, &self.local, document)?;
        if Arc::ptr_eq(&self.local, &self.begun) {
            return Ok(plant);
        }
        let begun = Config::draft_local(&self.source.file, &self.begun, None)?;
        Ok(begun.with_plant_of(plant))
    }
}

fn port(port: &PortConfig) -> PortInUse {
    PortInUse {
        name: port.name.clone(),
        protocol: port.protocol.clone(),
    }
}

fn device(device: &DeviceConfig) -> DeviceInUse {
    let assets: BTreeSet<&str> = device.assets().collect();
    DeviceInUse {
        name: device.name.clone(),
        port: device.port.clone(),
        asset: device.asset.clone(),
        assets: assets.into_iter().map(str::to_owned).collect(),
    }
}
