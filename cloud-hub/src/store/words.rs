//! In which words values of sensors are told (PROTOCOL §5.6): of each number what the newest event of
//! its gateway says. Never takes a word for another gateway's sensor.

use super::error::{Doing as _, StoreError};
use super::{Store, sql};
use crate::tenants::TenantScope;
use protocol::event::Event;
use protocol::id::{GatewayId, SensorId};
use protocol::limits::SENSOR_TEXT_BYTES_MAX;
use protocol::reading::{Reading, whole};
use rusqlite::{Connection, OptionalExtension as _, params};
use std::collections::HashMap;

impl Store {
    /// The words of readings, by sensor; those that have none are left out.
    pub async fn words(
        &self,
        scope: TenantScope,
        readings: Vec<Reading>,
    ) -> Result<HashMap<SensorId, String>, StoreError> {
        self.engine
            .read(move |sql| {
                let mut words = HashMap::new();
                if !any(sql, scope)? {
                    return Ok(words);
                }
                for reading in readings {
                    if let Some(word) = of(sql, scope, &reading)? {
                        words.insert(reading.sensor, word);
                    }
                }
                Ok(words)
            })
            .await
    }
}

/// Whether any value has a word: most plants have none, and a stream asks twice a second.
fn any(sql: &Connection, scope: TenantScope) -> Result<bool, StoreError> {
    sql.prepare_cached("SELECT EXISTS (SELECT 1 FROM word WHERE tenant_id = ?1)")
        .and_then(|mut query| query.query_row([scope.key()], |row| row.get(0)))
        .doing("look for words")
}

/// The word of a reading.
pub(super) fn of(
    sql: &Connection,
    scope: TenantScope,
    reading: &Reading,
) -> Result<Option<String>, StoreError> {
    let Some(number) = reading.value.and_then(whole) else {
        return Ok(None);
    };
    sql.prepare_cached(
        "SELECT w.text FROM sensor AS s JOIN word AS w ON w.tenant_id = s.tenant_id
            AND w.gateway_id = s.gateway_id AND w.sensor_id = s.id
        WHERE s.tenant_id = ?1 AND s.id = ?2 AND w.number = ?3",
    )
    .and_then(|mut query| {
        query
            .query_row(
                params![scope.key(), reading.sensor.0.into_bytes(), number],
                |row| row.get(0),
            )
            .optional()
    })
    .map(Option::flatten)
    .doing("read the word of a value")
}

/// Keeps what an event of a gateway says of words. What is longer than a word may be is left out.
pub(super) fn note(
    sql: &Connection,
    scope: TenantScope,
    gateway: GatewayId,
    (event, sensor, words): (&Event, SensorId, &[(i64, Option<String>)]),
) -> Result<(), StoreError> {
    for (number, text) in words {
        if text
            .as_ref()
            .is_some_and(|text| text.len() > SENSOR_TEXT_BYTES_MAX)
        {
            continue;
        }
        sql.prepare_cached(
            "INSERT INTO word (tenant_id, gateway_id, sensor_id, number, text, hlc)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6)
            ON CONFLICT DO UPDATE SET text = excluded.text, hlc = excluded.hlc
            WHERE excluded.hlc >= word.hlc",
        )
        .and_then(|mut query| {
            query.execute(params![
                scope.key(),
                gateway.0.into_bytes(),
                sensor.0.into_bytes(),
                number,
                text,
                sql::hlc_bytes(event.hlc)
            ])
        })
        .doing("keep a word of a sensor")?;
    }
    Ok(())
}
