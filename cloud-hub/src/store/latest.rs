//! The newest reading of each sensor, in memory: at most one per sensor. After a start it is
//! found again in the newest blocks when somebody asks. Never stored.

use super::blocks;
use super::error::{Doing as _, StoreError};
use crate::clock;
use crate::tenants::TenantScope;
use protocol::block;
use protocol::id::SensorId;
use protocol::reading::{Cell, Column, Quality, Reading};
use protocol::time::Timestamp;
use rusqlite::Connection;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Blocks that are looked at for a sensor whose newest polls brought nothing new.
const BLOCKS_BACK_MAX: i64 = 3;
/// How far ahead of the hub's clock a box's may be.
const AHEAD_MAX_US: i64 = 5 * 60 * 1_000_000;

/// The newest readings.
#[derive(Debug, Default)]
pub(super) struct Latest {
    readings: Mutex<HashMap<(TenantScope, SensorId), Reading>>,
}

impl Latest {
    /// Takes over those that are newer than what is known and returns them.
    pub(super) fn update(
        &self,
        scope: TenantScope,
        candidates: Vec<Reading>,
        now: Timestamp,
    ) -> Vec<Reading> {
        // A clock that was set years ahead must not leave its reading the newest for years.
        let believed_to = now.plus_micros(AHEAD_MAX_US);
        let rank = |reading: &Reading| (reading.time <= believed_to, reading.time);
        let mut known = self.readings.lock().unwrap_or_else(PoisonError::into_inner);
        let newer = |reading: &Reading| match known.get(&(scope, reading.sensor)) {
            Some(before) if rank(before) >= rank(reading) => false,
            _ => {
                known.insert((scope, reading.sensor), *reading);
                true
            }
        };
        candidates.into_iter().filter(newer).collect()
    }

    fn get(&self, scope: TenantScope, sensor: SensorId) -> Option<Reading> {
        let known = self.readings.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&(scope, sensor)).copied()
    }
}

/// The newest reading of a sensor, from memory or from its newest blocks.
pub(super) fn of(
    latest: &Latest,
    sql: &Connection,
    scope: TenantScope,
    sensor: SensorId,
) -> Result<Option<Reading>, StoreError> {
    if let Some(reading) = latest.get(scope, sensor) {
        return Ok(Some(reading));
    }
    let now = clock::now();
    let believed_to = now.plus_micros(AHEAD_MAX_US);
    let mut newest: Option<Reading> = None;
    for (stream_key, position) in blocks::streams_of(sql, scope, sensor)? {
        let schema = blocks::schema_of(sql, scope, stream_key)?;
        let Some(column) = schema.columns.get(position) else {
            continue;
        };
        let bodies: Vec<Vec<u8>> = sql
            .prepare_cached(
                "SELECT body FROM block WHERE tenant_id = ?1 AND stream_key = ?2
                AND last_us <= ?4 ORDER BY last_us DESC LIMIT ?3",
            )
            .and_then(|mut query| {
                query
                    .query_map(
                        (scope.key(), stream_key, BLOCKS_BACK_MAX, believed_to.0),
                        |row| row.get(0),
                    )?
                    .collect()
            })
            .doing("read the newest blocks")?;
        let found = bodies
            .iter()
            .find_map(|body| last_in(body, position, column));
        newest = newest
            .into_iter()
            .chain(found)
            .max_by_key(|reading| reading.time);
    }
    if let Some(reading) = newest {
        latest.update(scope, vec![reading], now);
    }
    Ok(newest)
}

fn last_in(body: &[u8], position: usize, column: &Column) -> Option<Reading> {
    let cells = block::decode_column(body, position).ok()?;
    cells.into_iter().rev().find_map(|(time, clock, cell)| {
        let (value, quality) = match cell {
            Cell::Skipped => return None,
            Cell::Value(raw, quality) => (Some(column.value(raw)), quality),
            Cell::Missing(cause) => (None, Quality::Bad(cause)),
        };
        Some(Reading {
            sensor: column.sensor,
            time,
            value,
            quality,
            clock,
        })
    })
}
