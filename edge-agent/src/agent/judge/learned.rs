//! What detectors learned over days: larger than what they must not forget, and saved seldom, part by
//! part, so that it wears no flash. After a crash they have missed at most what came since.
//! Also what only time brings about: silence, and who still learns. Never judges a reading.

use super::Judge;
use crate::analysis::{CHUNK, DetectorState};
use crate::clock;
use crate::config::RULES_MAX;
use crate::health::Learner;
use crate::storage::{Storage, StorageError};
use protocol::alarm_point::AlarmPoint;
use protocol::id::SensorId;
use protocol::time::Timestamp;

/// Each part is saved once in this time.
const PERIOD_US: i64 = 900_000_000;
/// Who still learns is told this often.
const TELL_PERIOD_US: i64 = 10_000_000;
/// In front of the bytes: their version.
const VERSION: &[u8] = b"learned 1\n";

/// Where the saving stands.
#[derive(Debug, Default)]
pub(super) struct Learned {
    /// The part that is saved next, and when the one before was.
    next: usize,
    saved_at: Timestamp,
    told_at: Timestamp,
}

/// All that was saved.
pub(super) async fn load(storage: &Storage) -> Result<Vec<DetectorState>, StorageError> {
    let mut all = Vec::new();
    for chunk in 0..RULES_MAX.div_ceil(CHUNK) {
        let Some(bytes) = storage.load_state(key(chunk)).await? else {
            break;
        };
        // Of another version: it is learned again.
        let states = bytes.strip_prefix(VERSION);
        let states = states.and_then(|bytes| postcard::from_bytes(bytes).ok());
        all.extend::<Vec<DetectorState>>(states.unwrap_or_default());
    }
    Ok(all)
}

fn key(chunk: usize) -> String {
    format!("learned/{chunk}")
}

impl Judge {
    /// What the detectors remember and what they learned, for others that take their place.
    pub(super) fn remembered(&self) -> Vec<DetectorState> {
        let detectors = self.detectors.lock();
        let learned = (0..detectors.chunks()).flat_map(|chunk| detectors.save_learned(chunk));
        learned.chain(detectors.save()).collect()
    }

    /// Once a second: what time alone brings about.
    pub(super) async fn look_at_time(&mut self) {
        let now = clock::now();
        let mut found = self.detectors.lock().tick(now, clock::state());
        self.alarms.sort(&mut found);
        let any = !found.is_empty();
        for finding in found {
            let outcome = self.alarms.follow(&finding);
            self.carry_out(outcome).await;
        }
        if any {
            self.save(now).await;
        }
        if now.micros_since(self.learned.told_at).abs() >= TELL_PERIOD_US {
            self.learned.told_at = now;
            let learning = self.detectors.lock().learning(now).into_iter();
            let learners = learning.map(|(rule, learning)| Learner {
                rule,
                until: learning.until,
                readings_left: learning.readings_left,
            });
            self.health.learning(learners.collect());
        }
        self.save_learned(now).await;
    }

    /// Has a rule learn anew when a person says so. That is saved at once: a kill brings nothing back.
    pub(super) async fn learn_anew(&mut self, point: &AlarmPoint) {
        let Some(said) = &point.learns_anew else {
            return;
        };
        let sensor = SensorId::derive(self.storage.gateway_id(), &point.sensor_path);
        let chunk = (self.detectors.lock()).learn_anew(&point.rule, sensor, said.at);
        if let Some(chunk) = chunk {
            self.learned.told_at = Timestamp::default();
            self.save_chunk(chunk).await;
        }
    }

    /// Saves the next part when it is its turn.
    async fn save_learned(&mut self, now: Timestamp) {
        let chunks = self.detectors.lock().chunks();
        let each_us = PERIOD_US / i64::try_from(chunks.max(1)).unwrap_or(i64::MAX).max(1);
        if chunks == 0 || now.micros_since(self.learned.saved_at).abs() < each_us {
            return;
        }
        self.learned.saved_at = now;
        let chunk = self.learned.next % chunks;
        self.learned.next = chunk + 1;
        self.save_chunk(chunk).await;
    }

    /// Saves all parts: the agent ends, or the rules change.
    pub(super) async fn save_all_learned(&mut self) {
        let chunks = self.detectors.lock().chunks();
        for chunk in 0..chunks {
            self.save_chunk(chunk).await;
        }
    }

    async fn save_chunk(&self, chunk: usize) {
        let states = self.detectors.lock().save_learned(chunk);
        let Ok(bytes) = postcard::to_extend(&states, VERSION.to_vec()) else {
            return;
        };
        if let Err(error) = self.storage.save_state(key(chunk), bytes).await {
            // It is saved again in its turn; nothing but some learning would be lost.
            tracing::warn!(%error, "what rules learned could not be saved; it is tried again");
        }
    }
}
