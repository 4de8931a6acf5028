//! What the judge remembers over a restart, as bytes. Never reads or writes a file.

use super::Judge;
use crate::alerts::{SavedAlarms, SavedAlert};
use crate::analysis::{DetectorState, DetectorStateV1};
use protocol::id::StreamId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// In front of the bytes of version 2. Version 1 had nothing in front and began with the number of
/// its streams, which is never so large.
const VERSION_2: &[u8] = b"\xff\xff\xff\xff\x0fjudge 2";

/// What survives a restart.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Saved {
    pub marks: BTreeMap<StreamId, u64>,
    pub last_time: i64,
    pub detectors: Vec<DetectorState>,
    pub alarms: SavedAlarms,
    /// The boot on whose clock the times are that could not be moved yet.
    pub untrusted: Option<String>,
}

/// Version 1.
#[derive(Debug, Deserialize)]
struct SavedV1 {
    marks: BTreeMap<StreamId, u64>,
    last_time: i64,
    detectors: Vec<DetectorStateV1>,
    alerts: Vec<SavedAlert>,
    untrusted: Option<String>,
}

impl Saved {
    /// `None` for bytes of which nothing is known: the record and the readings then tell again.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        if let Some(bytes) = bytes.strip_prefix(VERSION_2) {
            return postcard::from_bytes(bytes).ok();
        }
        let saved: SavedV1 = postcard::from_bytes(bytes).ok()?;
        Some(Self {
            marks: saved.marks,
            last_time: saved.last_time,
            detectors: saved.detectors.into_iter().map(Into::into).collect(),
            alarms: SavedAlarms::of_alerts(saved.alerts),
            untrusted: saved.untrusted,
        })
    }

    fn encode(&self) -> Option<Vec<u8>> {
        postcard::to_extend(self, VERSION_2.to_vec()).ok()
    }
}

impl Judge {
    /// What survives a restart, as bytes.
    pub(super) fn saved(&self) -> Option<Vec<u8>> {
        let saved = Saved {
            marks: self.marks.clone(),
            last_time: self.last_time.map_or(0, |time| time.0),
            detectors: self.detectors.lock().save(),
            alarms: self.alarms.save(),
            untrusted: self.time.untrusted(),
        };
        saved.encode()
    }
}
