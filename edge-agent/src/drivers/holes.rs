//! Registers that a device does not have, as learnt on the bus: what a driver found out by halving its
//! requests holds beyond a restart of the box. Never for ever: each is tried again when its time comes.

use protocol::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Holes that are remembered; of more, the one that is tried again first is forgotten.
pub const HOLES_MAX: usize = 2_000;

/// A place that a device refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hole {
    /// Device as configured.
    pub device: String,
    /// Where, in the words of the protocol.
    pub place: String,
    /// When it is tried again.
    pub again: Timestamp,
}

/// All holes of the box; a clone is the same.
#[derive(Clone, Debug)]
pub struct Holes {
    list: Arc<Mutex<BTreeMap<(String, String), Timestamp>>>,
    changes: watch::Sender<u64>,
}

impl Default for Holes {
    fn default() -> Self {
        Self {
            list: Arc::default(),
            changes: watch::Sender::new(0),
        }
    }
}

impl Holes {
    /// With those that were written down before.
    pub fn new(known: Vec<Hole>) -> Self {
        let holes = Self::default();
        let known = known.into_iter().take(HOLES_MAX);
        let entries = known.map(|hole| ((hole.device, hole.place), hole.again));
        holes.lock().extend(entries);
        holes
    }

    /// When a place is to be tried again; `None` when it is not known to be a hole.
    pub fn again(&self, device: &str, place: &str) -> Option<Timestamp> {
        let key = (device.to_owned(), place.to_owned());
        self.lock().get(&key).copied()
    }

    /// A place was refused.
    pub fn note(&self, hole: Hole) {
        let mut list = self.lock();
        list.insert((hole.device, hole.place), hole.again);
        if list.len() > HOLES_MAX {
            let soonest = list.iter().min_by_key(|(_, again)| **again);
            if let Some(key) = soonest.map(|(key, _)| key.clone()) {
                list.remove(&key);
            }
        }
        drop(list);
        self.changed();
    }

    /// A place was read after all.
    pub fn forget(&self, device: &str, place: &str) {
        let key = (device.to_owned(), place.to_owned());
        if self.lock().remove(&key).is_some() {
            self.changed();
        }
    }

    /// All of them, to be written down.
    pub fn all(&self) -> Vec<Hole> {
        let hole = |((device, place), again): (&(String, String), &Timestamp)| Hole {
            device: device.clone(),
            place: place.clone(),
            again: *again,
        };
        self.lock().iter().map(hole).collect()
    }

    /// Told of every change.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn changed(&self) {
        self.changes
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, String), Timestamp>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hole(at: i64) -> Hole {
        Hole {
            device: "pump".to_owned(),
            place: format!("hr:{at}"),
            again: Timestamp::from_millis(at),
        }
    }

    #[test]
    fn holes_are_remembered_forgotten_and_never_too_many() {
        let holes = Holes::new(vec![hole(5)]);
        let changes = holes.subscribe();
        assert_eq!(holes.again("pump", "hr:5"), Some(Timestamp::from_millis(5)));
        assert_eq!(holes.again("fan", "hr:5"), None);
        holes.forget("pump", "hr:6");
        assert!(!changes.has_changed().unwrap());
        holes.forget("pump", "hr:5");
        assert!(changes.has_changed().unwrap());
        assert_eq!(holes.all(), []);
        for at in 0..i64::try_from(HOLES_MAX).unwrap() + 10 {
            holes.note(hole(at));
        }
        assert_eq!(holes.all().len(), HOLES_MAX);
        assert_eq!(holes.again("pump", "hr:9"), None, "the soonest went");
        assert!(holes.again("pump", "hr:10").is_some());
    }
}
