//! What the life cycle remembers over a restart. What people hold back is not in it: the record has
//! that. Never reads or writes a file.

use super::Alarms;
use super::book::SavedAlert;
use super::conditions::Known;
use super::point::Point;
use super::telling::Telling;
use protocol::id::AlertId;
use protocol::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is to be stored together with what the detectors remember.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SavedAlarms {
    alerts: Vec<SavedAlert>,
    points: BTreeMap<String, Point>,
    known: Known,
    telling: Telling,
    released: BTreeMap<String, (AlertId, Timestamp)>,
}

impl SavedAlarms {
    /// What a build before the life cycle stored.
    pub fn of_alerts(alerts: Vec<SavedAlert>) -> Self {
        Self {
            alerts,
            ..Self::default()
        }
    }
}

impl Alarms {
    /// All that is to be remembered.
    pub fn save(&self) -> SavedAlarms {
        SavedAlarms {
            alerts: self.book.save(),
            points: self.points.clone(),
            known: self.conditions.known(),
            telling: self.telling.clone(),
            released: self.released.clone(),
        }
    }

    /// Takes up what was saved, so that the readings since then, judged again, mean the same as the
    /// first time. What is of a rule that is gone is passed over.
    pub fn restore(&mut self, saved: SavedAlarms) {
        self.book.restore(&saved.alerts);
        self.conditions.restore(saved.known);
        self.telling = saved.telling;
        let book = &self.book;
        let is_there = |rule: &String| book.rule(rule).is_some();
        self.points = saved.points;
        self.points.retain(|rule, _| is_there(rule));
        self.released = saved.released;
        self.released.retain(|rule, _| is_there(rule));
    }
}
