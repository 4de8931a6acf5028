//! Another configuration without a restart: only ports whose own table or devices differ stop and
//! start; the others poll on, and store, alerts and link stay. Whatever can fail is done before
//! anything is stopped. Never changes where the box keeps things, listens, or finds its hub.

use super::intake::{self, Groups};
use super::judge::Ask;
use super::ports::Built;
use super::{Agent, AgentError, settled};
use crate::clock;
use crate::config::{Config, Difference, InUse, PortFate, show_duration};
use crate::drivers;
use crate::health::LinkState;
use crate::notify;
use crate::pipeline::{GroupSpec, Watch};
use protocol::catalog::Catalog;
use protocol::id::{DeviceId, SensorId, StreamId};
use protocol::reading::GroupSchema;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Longest wait for what a stopped port read last to be stored and judged. A disk that does not
/// take it now takes it later; the ports do not wait for that.
const STORED_WAIT: Duration = Duration::from_secs(5);

/// All that a configuration leads to, before anything is changed.
struct Plan {
    /// Ports to start.
    built: Vec<Built>,
    groups: Groups,
    schemas: Vec<(StreamId, Arc<GroupSchema>)>,
    /// Of ports that go on.
    watches: Vec<(usize, Vec<Watch>)>,
    catalog: Catalog,
    encoded: Vec<u8>,
    telling: notify::Built,
}

impl Agent {
    /// Goes on with another configuration; answers what differs. What cannot change while it runs
    /// stays as it was and is among it. After an error nothing is changed.
    pub async fn reload(&mut self, next: Config) -> Result<Difference, AgentError> {
        let running = self.config.whole()?;
        let difference = Difference::between(&running, &next);
        let plan = self.plan(&next, &difference).await?;
        let next = Arc::new(self.config.replaced_by(&running.with_plant_of(next)));
        drop(running);
        let ended: Vec<&str> = (difference.ports.iter())
            .filter(|(_, fate)| **fate != PortFate::Starts)
            .map(|(name, _)| name.as_str())
            .collect();
        let removed = self.ports.stop(&ended).await;
        let devices = self.config.devices.iter();
        let silenced: Vec<&str> = devices
            .filter(|device| ended.contains(&device.port.as_str()))
            .map(|device| device.name.as_str())
            .collect();
        let (done, applied) = oneshot::channel();
        let change = intake::Change {
            removed,
            added: plan.groups,
            specs: (plan.built.iter())
                .flat_map(|port| port.groups.clone())
                .collect(),
            sensors: sensors(&plan.catalog),
            watches: plan.watches,
            done,
        };
        // Each of these tasks ends only with the agent: then there is nothing to go on with.
        if self.groups.send(change).await.is_ok() {
            drop(applied.await);
        }
        self.health.forget_devices(silenced.iter().copied());
        self.rules(&next, (plan.schemas, !ended.is_empty())).await;
        self.forget_readings(&silenced, &plan.catalog);
        self.tell(plan.catalog, plan.encoded, !plan.built.is_empty());
        self.telling.change(plan.telling).await;
        self.ports.set_config(Arc::clone(&next));
        for port in plan.built {
            self.ports.start(port);
        }
        self.running.send_replace(Arc::clone(&next));
        self.config = next;
        Ok(difference)
    }

    /// Builds, checks and registers everything that the next configuration needs.
    async fn plan(&mut self, next: &Config, difference: &Difference) -> Result<Plan, AgentError> {
        let drivers: Vec<_> = next
            .ports
            .iter()
            .filter_map(|port| Some((&port.name, drivers::build(port, &next.devices)?)))
            .collect();
        let telling = notify::build(&next.notify, &self.ports());
        next.problems.check()?;
        let (mut built, mut specs, mut watches) = (Vec::new(), Vec::new(), Vec::new());
        for (name, driver) in drivers {
            let groups = driver.groups();
            if !difference.ports.contains_key(name)
                && let Some((base, running)) = self.ports.groups(name)
            {
                watches.extend(watched(base, running, &groups));
            } else {
                built.push(self.ports.number(name, driver));
            }
            specs.extend(groups);
        }
        let catalog = super::catalog(&InUse::new(next), &specs, self.gateway);
        let encoded = protocol::wire::encode_catalog(&catalog)?;
        let (mut groups, mut schemas) = (Groups::new(), Vec::new());
        for port in &built {
            let registered = intake::register(port, self.gateway, &self.storage).await?;
            groups.extend(registered.0);
            schemas.extend(registered.1);
        }
        Ok(Plan {
            built,
            groups,
            schemas,
            watches,
            catalog,
            encoded,
            telling,
        })
    }

    /// Has the judge know new streams and go on with other rules, when what was read before is
    /// judged by the old ones.
    async fn rules(
        &self,
        next: &Arc<InUse>,
        (schemas, waits): (Vec<(StreamId, Arc<GroupSchema>)>, bool),
    ) {
        let before = async {
            if self.storage.flush().await.is_ok() {
                settled(&self.ask).await;
            }
        };
        if waits && timeout(STORED_WAIT, before).await.is_err() {
            tracing::warn!(
                "what stopped ports read last is not stored after {}; they go on without waiting for it",
                show_duration(STORED_WAIT)
            );
        }
        let (ask, next) = (self.ask.clone(), Arc::clone(next));
        // A judge that waits for room on the disk is asked all the same, once it has it.
        let asked = tokio::spawn(async move {
            let (answer, through) = oneshot::channel();
            for wanted in [Ask::Know(schemas), Ask::Rules(next, answer)] {
                if ask.send(wanted).await.is_err() {
                    return;
                }
            }
            drop(through.await);
        });
        if timeout(STORED_WAIT, asked).await.is_err() {
            tracing::warn!("alerts wait for the disk; the rules change when it has taken them");
        }
    }

    /// Of devices that start again nothing was read yet, and what is gone has no reading.
    fn forget_readings(&self, silenced: &[&str], catalog: &Catalog) {
        let name = |name: &&str| DeviceId::derive(self.gateway, name);
        let devices: HashSet<DeviceId> = silenced.iter().map(name).collect();
        let before = Arc::clone(&self.catalog.borrow());
        let sensors = before.sensors.iter();
        let sensors = sensors.filter(|sensor| devices.contains(&sensor.device));
        let sensors: HashSet<SensorId> = sensors.map(|sensor| sensor.id).collect();
        self.health.forget_readings(&sensors);
        self.health.keep_sensors(&self::sensors(catalog));
    }

    /// Tells page and hub what is measured now, when it is anything else.
    fn tell(&self, catalog: Catalog, encoded: Vec<u8>, has_new_streams: bool) {
        let same = **self.encoded.borrow() == encoded;
        self.catalog.send_replace(Arc::new(catalog));
        if same && !has_new_streams {
            return;
        }
        // Before the link is told: it says itself when it is back.
        if self.health.link().state == LinkState::Connected {
            let words = "telling the hub what this box measures now";
            self.health
                .set_link(LinkState::Connecting, words, clock::now());
        }
        self.encoded.send_replace(Arc::new(encoded));
    }
}

fn sensors(catalog: &Catalog) -> HashSet<SensorId> {
    catalog.sensors.iter().map(|sensor| sensor.id).collect()
}

/// What the rules watch in the groups of a port that goes on, found by the names of its sensors.
fn watched(base: usize, running: &[GroupSpec], next: &[GroupSpec]) -> Vec<(usize, Vec<Watch>)> {
    let sensors = next.iter().flat_map(|group| {
        let path = |sensor| group.path(sensor);
        group
            .sensors
            .iter()
            .map(move |sensor| (path(sensor), sensor.watch))
    });
    let by_path: BTreeMap<String, Watch> = sensors.collect();
    let of = |group: &GroupSpec| {
        let sensors = group.sensors.iter();
        let watch = |sensor| {
            by_path
                .get(&group.path(sensor))
                .copied()
                .unwrap_or_default()
        };
        sensors.map(watch).collect()
    };
    (base..).zip(running.iter().map(of)).collect()
}
