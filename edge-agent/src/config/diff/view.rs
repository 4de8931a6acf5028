//! A difference as the box's interface and `--json` show it. Never anything but shapes.

use super::{Difference, KeyChange, What};
use serde::{Deserialize, Serialize};

/// See `Difference`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DifferenceView {
    /// Keys that only a restart takes over.
    pub needs_restart: Vec<KeyView>,
    /// Ports that do not go on as they are.
    pub ports: Vec<FateView>,
    /// Ports, devices, sensors, rules, people, shifts, channels and ladders that were added, removed or changed.
    pub changes: Vec<PartView>,
}

/// What becomes of a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FateView {
    /// Its name.
    pub port: String,
    /// `starts`, `stops` or `starts_anew`.
    pub fate: String,
}

/// See `PartChange`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartView {
    /// `port`, `device`, `sensor`, `rule`, `person`, `shift`, `channel` or `ladder`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// `added`, `removed` or `changed`.
    pub what: String,
    /// Which keys changed; none of a change: the order did.
    pub keys: Vec<KeyView>,
}

/// See `KeyChange`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyView {
    /// The key.
    pub key: String,
    /// As TOML writes it; null when it was not written.
    pub before: Option<String>,
    /// As TOML writes it; null when it is not written any more.
    pub after: Option<String>,
}

impl From<&KeyChange> for KeyView {
    fn from(change: &KeyChange) -> Self {
        Self {
            key: change.key.clone(),
            before: change.before.clone(),
            after: change.after.clone(),
        }
    }
}

impl From<&Difference> for DifferenceView {
    fn from(difference: &Difference) -> Self {
        let ports = difference.ports.iter().map(|(port, fate)| FateView {
            port: port.clone(),
            fate: fate.word().to_owned(),
        });
        let parts = difference.parts.iter().map(|part| {
            let (what, keys) = match &part.what {
                What::Added => ("added", Vec::new()),
                What::Removed => ("removed", Vec::new()),
                What::Changed(keys) => ("changed", keys.iter().map(KeyView::from).collect()),
            };
            PartView {
                kind: part.kind.word().to_owned(),
                name: part.name.clone(),
                what: what.to_owned(),
                keys,
            }
        });
        Self {
            needs_restart: difference.fixed.iter().map(KeyView::from).collect(),
            ports: ports.collect(),
            changes: parts.collect(),
        }
    }
}
