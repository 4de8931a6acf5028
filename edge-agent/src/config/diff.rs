//! How two configurations differ: by port, device, sensor and rule, key by key, and what follows for
//! a box that runs with the one and is to run with the other. Pure. Compares what is written: a value
//! that is written in another way (`"1s"`, `"1000ms"`) counts as changed.

mod view;

pub use view::{DifferenceView, FateView, KeyView, PartView};

use super::tree::{Item, Table, Value, toml_key};
use super::{Config, DeviceConfig, FIXED};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What differs, from the one that runs to the one that is to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Keys that hold from start to end of the agent: only a restart takes them over.
    pub fixed: Vec<KeyChange>,
    /// Ports that do not go on as they are, by name.
    pub ports: BTreeMap<String, PortFate>,
    /// What was added, removed and changed: ports, devices, sensors, then rules.
    pub parts: Vec<PartChange>,
}

/// What becomes of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortFate {
    /// It is new.
    Starts,
    /// It is gone.
    Stops,
    /// It, or something on it, changed.
    StartsAnew,
}

/// Something that was added, removed or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartChange {
    /// What sort of thing.
    pub kind: Kind,
    /// Its name; a sensor's with that of its device in front.
    pub name: String,
    /// What became of it.
    pub what: What,
}

/// See `PartChange`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `[[port]]`
    Port,
    /// `[[device]]`
    Device,
    /// `[[device.sensor]]`
    Sensor,
    /// `[[rule]]`
    Rule,
    /// `[alarms]`
    Alarms,
    /// `[[asset]]`
    Asset,
    /// `[[person]]`
    Person,
    /// `[[shift]]`
    Shift,
    /// `[[channel]]`
    Channel,
    /// `[[ladder]]`
    Ladder,
}

/// What tells how people are told; always of the box's own file.
const TELLING: [(Kind, &str); 4] = [
    (Kind::Person, "person"),
    (Kind::Shift, "shift"),
    (Kind::Channel, "channel"),
    (Kind::Ladder, "ladder"),
];

/// See `PartChange`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It was not there.
    Added,
    /// It is not there any more.
    Removed,
    /// These keys differ; none: only the order does.
    Changed(Vec<KeyChange>),
}

/// One key before and after, as TOML writes its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyChange {
    /// The key; one in a table with the table's in front (`web.listen`).
    pub key: String,
    /// `None`: it was not written.
    pub before: Option<String>,
    /// `None`: it is not written any more.
    pub after: Option<String>,
}

impl Kind {
    /// The word that people and the JSON interface use.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Port => "port",
            Self::Device => "device",
            Self::Sensor => "sensor",
            Self::Rule => "rule",
            Self::Alarms => "alarms",
            Self::Asset => "asset",
            Self::Person => "person",
            Self::Shift => "shift",
            Self::Channel => "channel",
            Self::Ladder => "ladder",
        }
    }
}

impl PortFate {
    /// The word of the JSON interface.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Starts => "starts",
            Self::Stops => "stops",
            Self::StartsAnew => "starts_anew",
        }
    }
}

impl Difference {
    /// From the configuration that runs to the one that is to run.
    pub fn between(running: &Config, next: &Config) -> Self {
        let mut parts = Vec::new();
        let tables = |config: &Config| -> Vec<Arc<Table>> {
            let ports = config.ports.iter();
            ports.map(|port| Arc::clone(port.section.table())).collect()
        };
        named(Kind::Port, "", &tables(running), &tables(next), &mut parts);
        let tables = |config: &Config| -> Vec<Arc<Table>> {
            let devices = config.devices.iter();
            devices
                .map(|device| Arc::clone(device.section.table()))
                .collect()
        };
        named(
            Kind::Device,
            "",
            &tables(running),
            &tables(next),
            &mut parts,
        );
        sensors(running, next, &mut parts);
        let (before, after) = (
            list(&running.tables.plant, "rule"),
            list(&next.tables.plant, "rule"),
        );
        named(Kind::Rule, "", &before, &after, &mut parts);
        alarms(&running.tables.plant, &next.tables.plant, &mut parts);
        for (kind, key) in TELLING {
            let of = |config: &Config| list(&config.tables.telling, key);
            named(kind, "", &of(running), &of(next), &mut parts);
        }
        let fates = fates(running, next);
        tell_orders(&mut parts, &fates, [running, next]);
        Self {
            fixed: fixed(&running.tables.local, &next.tables.local),
            ports: fates,
            parts,
        }
    }

    /// The same for a box that does not run yet: all is new.
    pub fn from_nothing(next: &Config) -> Self {
        let mut nothing = next.clone();
        nothing.ports.clear();
        nothing.devices.clear();
        nothing.tables.plant = Arc::default();
        nothing.tables.telling = Arc::default();
        Self::between(&nothing, next)
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.fixed.is_empty() && self.ports.is_empty() && self.parts.is_empty()
    }
}

/// Which ports do not go on: those whose own table, or the devices on them, differ. The order of
/// devices and sensors counts, for it is that of the polls and of what is stored.
fn fates(running: &Config, next: &Config) -> BTreeMap<String, PortFate> {
    let by_name = |config: &Config| -> BTreeMap<String, Vec<Arc<Table>>> {
        let ports = config.ports.iter().map(|port| {
            let on = |device: &&DeviceConfig| device.port == port.name;
            let devices = config.devices.iter().filter(on);
            let tables = devices.map(|device| Arc::clone(device.section.table()));
            let own = std::iter::once(Arc::clone(port.section.table()));
            (port.name.clone(), own.chain(tables).collect())
        });
        ports.collect()
    };
    let (before, after) = (by_name(running), by_name(next));
    let mut fates = BTreeMap::new();
    for name in before.keys().chain(after.keys()) {
        let fate = match (before.get(name), after.get(name)) {
            (None, _) => PortFate::Starts,
            (_, None) => PortFate::Stops,
            (Some(one), Some(two)) => {
                let mut pairs = one.iter().zip(two);
                if one.len() == two.len() && pairs.all(|(one, two)| one.same(two)) {
                    continue;
                }
                PortFate::StartsAnew
            }
        };
        fates.insert(name.clone(), fate);
    }
    fates
}

/// A port that starts anew though neither it nor anything on it is told as changed: the order is
/// another one.
fn tell_orders(
    parts: &mut Vec<PartChange>,
    fates: &BTreeMap<String, PortFate>,
    both: [&Config; 2],
) {
    let mut told: BTreeSet<String> = BTreeSet::new();
    let of_a_port =
        |part: &&PartChange| matches!(part.kind, Kind::Port | Kind::Device | Kind::Sensor);
    for part in parts.iter().filter(of_a_port) {
        if part.kind == Kind::Port {
            told.insert(part.name.clone());
            continue;
        }
        let device = part.name.split('/').next().unwrap_or_default();
        let devices = both.iter().flat_map(|config| &config.devices);
        let on = devices.filter(|known| known.name == device);
        told.extend(on.map(|known| known.port.clone()));
    }
    let anew = fates
        .iter()
        .filter(|(_, fate)| **fate == PortFate::StartsAnew);
    let orders = anew
        .filter(|(name, _)| !told.contains(*name))
        .map(|(name, _)| PartChange {
            kind: Kind::Port,
            name: name.clone(),
            what: What::Changed(Vec::new()),
        });
    parts.extend(orders.collect::<Vec<_>>());
}

fn sensors(running: &Config, next: &Config, parts: &mut Vec<PartChange>) {
    let by_name = |config: &Config| -> BTreeMap<String, Arc<Table>> {
        let devices = config.devices.iter();
        let table =
            |device: &DeviceConfig| (device.name.clone(), Arc::clone(device.section.table()));
        devices.map(table).collect()
    };
    let (before, after) = (by_name(running), by_name(next));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for name in names {
        let of = |tables: &BTreeMap<String, Arc<Table>>| {
            let table = tables.get(name);
            table.map(|table| list(table, "sensor")).unwrap_or_default()
        };
        let prefix = format!("{name}/");
        named(Kind::Sensor, &prefix, &of(&before), &of(&after), parts);
    }
}

/// `[alarms]`, of which there is one, and `[[asset]]`, which has a tag for a name.
fn alarms(before: &Table, after: &Table, parts: &mut Vec<PartChange>) {
    let (one, two) = (table(before, "alarms"), table(after, "alarms"));
    let mut changes = Vec::new();
    keys("", &one, &two, &mut changes);
    if !changes.is_empty() {
        parts.push(PartChange {
            kind: Kind::Alarms,
            name: "alarms".to_owned(),
            what: What::Changed(changes),
        });
    }
    let (before, after) = (list(before, "asset"), list(after, "asset"));
    by_key("tag", (Kind::Asset, ""), (&before, &after), parts);
}

/// Compares two lists of tables by their names.
fn named(
    kind: Kind,
    prefix: &str,
    before: &[Arc<Table>],
    after: &[Arc<Table>],
    parts: &mut Vec<PartChange>,
) {
    by_key("name", (kind, prefix), (before, after), parts);
}

/// Compares two lists of tables by what stands under `key`.
fn by_key(
    key: &str,
    (kind, prefix): (Kind, &str),
    (before, after): (&[Arc<Table>], &[Arc<Table>]),
    parts: &mut Vec<PartChange>,
) {
    let by_name = |tables: &[Arc<Table>]| -> BTreeMap<String, Arc<Table>> {
        let tables = tables.iter().filter_map(|table| {
            let Value::Text(name) = &table.get(key)?.item.value else {
                return None;
            };
            Some((name.clone(), Arc::clone(table)))
        });
        tables.collect()
    };
    let (before, after) = (by_name(before), by_name(after));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for name in names {
        let what = match (before.get(name), after.get(name)) {
            (None, _) => What::Added,
            (_, None) => What::Removed,
            (Some(one), Some(two)) => {
                let mut changes = Vec::new();
                keys("", one, two, &mut changes);
                // Sensors are told one by one.
                changes.retain(|change| change.key != "sensor");
                if changes.is_empty() {
                    continue;
                }
                What::Changed(changes)
            }
        };
        let name = format!("{prefix}{name}");
        parts.push(PartChange { kind, name, what });
    }
}

/// Keys of which one table says something else than the other, those of tables within too.
fn keys(prefix: &str, before: &Table, after: &Table, changes: &mut Vec<KeyChange>) {
    let entries = before.entries.iter().chain(&after.entries);
    let names: BTreeSet<&str> = entries.map(|entry| entry.key.as_str()).collect();
    for name in names {
        let value = |table: &Table| table.get(name).map(|entry| entry.item.value.clone());
        let key = format!("{prefix}{}", toml_key(name));
        match (value(before), value(after)) {
            (Some(Value::Table(one)), Some(Value::Table(two))) => {
                keys(&format!("{key}."), &one, &two, changes);
            }
            (Some(one), Some(two)) if one.same(&two) => {}
            (before, after) => changes.push(KeyChange {
                key,
                before: before.map(|value| value.to_string()),
                after: after.map(|value| value.to_string()),
            }),
        }
    }
}

fn fixed(before: &Table, after: &Table) -> Vec<KeyChange> {
    let mut changes = Vec::new();
    for name in FIXED {
        let there = |of: &Table| of.get(name).map(|_| table(of, name));
        let (one, two) = (there(before), there(after));
        if name == "hub" && one.is_some() != two.is_some() {
            let shown =
                |table: Option<Arc<Table>>| table.map(|table| Value::Table(table).to_string());
            changes.push(KeyChange {
                key: name.to_owned(),
                before: shown(one),
                after: shown(two),
            });
            continue;
        }
        // A table that is not there is as an empty one: its defaults hold.
        let (one, two) = (one.unwrap_or_default(), two.unwrap_or_default());
        keys(&format!("{name}."), &one, &two, &mut changes);
    }
    changes
}

/// A table within another one; an empty one when it is not there.
fn table(of: &Table, key: &str) -> Arc<Table> {
    match of.get(key).map(|entry| &entry.item.value) {
        Some(Value::Table(table)) => Arc::clone(table),
        _ => Arc::default(),
    }
}

/// The tables of a list.
fn list(table: &Table, key: &str) -> Vec<Arc<Table>> {
    let items: &[Item] = match table.get(key).map(|entry| &entry.item.value) {
        Some(Value::List(items)) => items,
        _ => &[],
    };
    let table = |item: &Item| match &item.value {
        Value::Table(table) => Some(Arc::clone(table)),
        _ => None,
    };
    items.iter().filter_map(table).collect()
}

#[cfg(test)]
mod tests;
