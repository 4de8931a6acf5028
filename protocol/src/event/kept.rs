//! What is kept with a work order beside words: readings around an alarm, photos and documents.
//! Never the bytes of a file.

use crate::attachment::ContentHash;
use crate::id::SensorId;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Readings of one sensor around an alarm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The sensor.
    pub sensor: SensorId,
    /// `device/sensor`.
    pub sensor_path: String,
    /// UCUM code.
    pub unit: String,
    /// The limit that was crossed.
    pub limit: Option<f64>,
    /// Time and value, oldest first, at most `limits::SNAPSHOT_POINTS_MAX`.
    pub points: Vec<(Timestamp, f64)>,
}

/// A photo or document that was added to an order. Its bytes travel by themselves, under its hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    /// SHA-256 of the bytes.
    pub hash: ContentHash,
    /// File name for people: `attachment::clean_name`.
    pub name: String,
    /// What the bytes are: `attachment::media_type`.
    pub media_type: String,
    /// How many bytes.
    pub bytes: u64,
    /// What the person said of it.
    pub note: Option<String>,
}
