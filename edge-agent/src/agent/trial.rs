//! Whether a box is as well with a new configuration as it was before. Pure: pictures in, a verdict
//! in words out. Never judges a machine: a device that was silent before may stay so.

use crate::drivers::DeviceState;
use std::collections::BTreeMap;

/// How a device was at its best while it was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// The port it is on.
    pub port: String,
    /// `None` while nothing is known of it.
    pub state: Option<DeviceState>,
    /// What it said last.
    pub words: String,
}

/// How a box is, or was at its best during a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Picture {
    /// Every device of the configuration.
    pub devices: BTreeMap<String, Seen>,
    /// Whether the hub answers.
    pub connected: bool,
    /// Whether a reading was stored since the start.
    pub stored: bool,
    /// Commits that failed since the last that did not.
    pub failures: u64,
}

impl Picture {
    /// Takes in a later look at the same box.
    pub(super) fn add(&mut self, later: Self) {
        for (name, seen) in later.devices {
            let best = |state| match state {
                Some(DeviceState::Ok) => 3,
                Some(DeviceState::Error) => 2,
                Some(DeviceState::Silent) => 1,
                None => 0,
            };
            let known = self.devices.get(&name).map_or(0, |known| best(known.state));
            if best(seen.state) >= known {
                self.devices.insert(name, seen);
            }
        }
        self.connected |= later.connected;
        self.stored |= later.stored;
        self.failures = later.failures;
    }

    fn is_ok(&self, device: &str) -> bool {
        let seen = self.devices.get(device);
        seen.is_some_and(|seen| seen.state == Some(DeviceState::Ok))
    }

    /// The devices of each port, and whether one of them answered.
    fn ports(&self) -> BTreeMap<&str, bool> {
        let mut ports = BTreeMap::new();
        for seen in self.devices.values() {
            let answers = matches!(seen.state, Some(DeviceState::Ok | DeviceState::Error));
            *ports.entry(seen.port.as_str()).or_insert(false) |= answers;
        }
        ports
    }
}

/// Whether `now` is as good as `before`; else what is worse.
pub(super) fn verdict(before: &Picture, now: &Picture) -> Result<(), String> {
    let ports_before = before.ports();
    for (port, answers) in now.ports() {
        let was_silent = ports_before.get(port) == Some(&false);
        if !answers && !was_silent {
            let words = now.devices.values().find(|seen| seen.port == port);
            let words = words.map_or("", |seen| seen.words.as_str());
            return Err(format!("port \"{port}\": no device answered: {words}"));
        }
    }
    for (name, seen) in &now.devices {
        if before.is_ok(name) && seen.state != Some(DeviceState::Ok) {
            let words = &seen.words;
            return Err(format!(
                "device \"{name}\" answered before and does not now: {words}"
            ));
        }
    }
    if now.failures > 0 {
        return Err("readings cannot be written to disk".to_owned());
    }
    if !now.stored && now.devices.keys().any(|name| now.is_ok(name)) {
        return Err("devices answer and no reading was stored".to_owned());
    }
    if before.connected && !now.connected {
        return Err("the link to the hub stood before and did not come back".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(devices: &[(&str, &str, Option<DeviceState>)]) -> Picture {
        let seen = |(name, port, state): &(&str, &str, Option<DeviceState>)| {
            let seen = Seen {
                port: (*port).to_owned(),
                state: *state,
                words: format!("{name} says"),
            };
            ((*name).to_owned(), seen)
        };
        Picture {
            devices: devices.iter().map(seen).collect(),
            connected: true,
            stored: true,
            failures: 0,
        }
    }

    #[test]
    fn a_new_port_must_answer_and_an_old_silent_one_may_stay_silent() {
        let (ok, silent) = (Some(DeviceState::Ok), Some(DeviceState::Silent));
        let before = picture(&[("a", "one", ok), ("b", "dead", silent)]);
        let same = picture(&[("a", "one", ok), ("b", "dead", silent)]);
        assert_eq!(verdict(&before, &same), Ok(()));
        let new = picture(&[
            ("a", "one", ok),
            ("b", "dead", silent),
            ("c", "new", silent),
        ]);
        let words = verdict(&before, &new).unwrap_err();
        assert!(
            words.contains("port \"new\"") && words.contains("c says"),
            "{words}"
        );
        let unknown = picture(&[("a", "one", ok), ("c", "new", None)]);
        assert!(verdict(&before, &unknown).is_err());
        // A wrong unit on a port that answers is somebody's work in progress.
        let wrong = picture(&[("a", "one", ok), ("c", "one", silent)]);
        assert_eq!(verdict(&before, &wrong), Ok(()));
    }

    #[test]
    fn what_was_well_must_be_well() {
        let (ok, error) = (Some(DeviceState::Ok), Some(DeviceState::Error));
        let before = picture(&[("a", "one", ok), ("b", "one", ok)]);
        let worse = picture(&[("a", "one", ok), ("b", "one", error)]);
        assert!(
            verdict(&before, &worse)
                .unwrap_err()
                .contains("device \"b\"")
        );
        let fewer = picture(&[("a", "one", ok)]);
        assert_eq!(verdict(&before, &fewer), Ok(()));
        let changed = |change: fn(&mut Picture)| {
            let mut now = fewer.clone();
            change(&mut now);
            verdict(&before, &now)
        };
        assert!(changed(|now| now.connected = false).is_err());
        assert!(changed(|now| now.stored = false).is_err());
        assert!(changed(|now| now.failures = 1).is_err());
    }

    #[test]
    fn the_best_look_of_a_time_counts() {
        let (ok, silent) = (Some(DeviceState::Ok), Some(DeviceState::Silent));
        let mut seen = Picture::default();
        for state in [None, silent, ok, silent] {
            let mut look = picture(&[("a", "one", state)]);
            look.connected = state == ok;
            seen.add(look);
        }
        assert!(seen.is_ok("a") && seen.connected);
    }
}
