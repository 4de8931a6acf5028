//! In which words values of sensors are told: of each number what the newest event about it says.
//! Written in the transaction of the event. Never makes up a word.

use super::error::{Doing as _, StorageError};
use super::{Storage, folds};
use protocol::event::{Body, Event, GatewayEvent};
use protocol::id::SensorId;
use protocol::limits::GATEWAY_WORDS_MAX;
use rusqlite::{Connection, params};
use std::collections::{BTreeMap, HashMap};

/// The words of a sensor, by the value that they stand for.
pub type SensorWords = BTreeMap<i64, String>;

impl Storage {
    /// The words of these sensors, as far as `GATEWAY_WORDS_MAX` goes; those without any are left
    /// out.
    pub async fn words(
        &self,
        sensors: Vec<SensorId>,
    ) -> Result<HashMap<SensorId, SensorWords>, StorageError> {
        self.core.read(move |db| words(db, &sensors)).await
    }
}

fn words(
    db: &Connection,
    sensors: &[SensorId],
) -> Result<HashMap<SensorId, SensorWords>, StorageError> {
    let doing = "reading the words of sensors";
    let mut query = db
        .prepare_cached(
            "SELECT number, text FROM word WHERE sensor = ?1 AND text IS NOT NULL LIMIT ?2",
        )
        .doing(doing)?;
    let mut found = HashMap::new();
    let mut room = GATEWAY_WORDS_MAX;
    for sensor in sensors {
        let most = i64::try_from(room).unwrap_or(i64::MAX);
        let rows = query.query_map(params![sensor.0.as_bytes(), most], |row| {
            Ok((row.get(0)?, row.get(1)?))
        });
        let words: SensorWords = rows
            .and_then(Iterator::collect::<Result<_, _>>)
            .doing(doing)?;
        room = room.saturating_sub(words.len());
        if !words.is_empty() {
            found.insert(*sensor, words);
        }
    }
    Ok(found)
}

/// Takes over what an event of this box says of words. One that comes back from the hub after newer
/// ones changes nothing.
pub(super) fn note(db: &Connection, event: &Event) -> Result<(), StorageError> {
    let Body::Gateway(GatewayEvent::Worded { sensor, words }) = &event.body else {
        return Ok(());
    };
    for (number, text) in words {
        db.prepare_cached(
            "INSERT INTO word (sensor, number, text, hlc) VALUES (?1, ?2, ?3, ?4)
            ON CONFLICT DO UPDATE SET text = excluded.text, hlc = excluded.hlc
            WHERE excluded.hlc >= word.hlc",
        )
        .and_then(|mut insert| {
            let hlc = folds::hlc_key(event.hlc);
            insert.execute(params![sensor.0.as_bytes(), number, text, hlc])
        })
        .doing("writing a word of a sensor")?;
    }
    Ok(())
}
