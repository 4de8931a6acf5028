//! What is old is removed, in steps so small that nobody waits for them: readings first, their
//! statistics years later. Whatever is removed is in the statistics before. Never removes what says
//! that a poll was received, so that a box does not send it again.

use super::Store;
use super::blocks::{self, StreamRow};
use super::error::{Doing as _, StoreError};
use super::rollups::Rollups;
use super::writer::Work;
use crate::tenants::TenantScope;
use protocol::rollup::{COLUMNS_PER_ROW, Level};
use protocol::time::{EARLIEST, Timestamp};
use protocol::wire;
use rusqlite::{Connection, OptionalExtension as _, params};
use std::time::{Duration, Instant};

/// A step ends once it has taken this long; others may wait for one part of it more.
const STEP_MAX: Duration = Duration::from_millis(15);
/// Blocks, or rows of statistics, that one part of a step takes.
const PART_ROWS_MAX: i64 = 16;
/// Free pages that stay in the file for what comes next; more are given back to the disk.
const FREE_PAGES_KEPT: i64 = 4_096;
/// Pages that one step gives back.
const PAGES_PER_STEP: i64 = 256;
const DAY_US: i64 = 86_400_000_000;

/// How long readings and their statistics are kept, in days; `None` is for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Readings.
    pub readings_days: Option<u32>,
    /// Minutes.
    pub minutes_days: Option<u32>,
    /// Hours. Days are kept for ever.
    pub hours_days: Option<u32>,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            readings_days: Some(730),
            minutes_days: Some(1_825),
            hours_days: None,
        }
    }
}

/// Where a round over all streams stands; begin with the default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Round {
    after_stream: i64,
}

/// What one step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Blocks removed.
    pub blocks: usize,
    /// Rows of statistics removed.
    pub statistics: usize,
    /// Blocks that were put into the statistics.
    pub sealed: usize,
}

impl Store {
    /// One step of a round: what it did, and the round as it goes on; `None` when it is over.
    pub async fn remove_old(
        &self,
        retention: Retention,
        round: Round,
        now: Timestamp,
    ) -> Result<(Removed, Option<Round>), StoreError> {
        self.write(move |work| step(work, retention, round, now))
            .await
    }
}

/// A stream, its tenant, and what is too old.
struct Place {
    scope: TenantScope,
    stream: StreamRow,
    readings_to: Timestamp,
}

fn step(
    work: &Work<'_>,
    retention: Retention,
    mut round: Round,
    now: Timestamp,
) -> Result<(Removed, Option<Round>), StoreError> {
    let began = Instant::now();
    let mut removed = Removed::default();
    let back = |days: Option<u32>| {
        let us = i64::from(days?).saturating_mul(DAY_US);
        Some(now.plus_micros(us.saturating_neg()))
    };
    let readings_to = back(retention.readings_days).unwrap_or(Timestamp(i64::MIN));
    let levels = [
        (Level::Minute, back(retention.minutes_days)),
        (Level::Hour, back(retention.hours_days)),
    ];
    while began.elapsed() < STEP_MAX {
        let Some((scope, stream)) = next_stream(work.sql, round.after_stream)? else {
            let more = give_back(work.sql)?;
            return Ok((removed, more.then_some(round)));
        };
        let key = stream.key;
        let place = Place {
            scope,
            stream,
            readings_to,
        };
        let sealed = place.seal_old(work.sql)?;
        let blocks = place.remove_blocks(work.sql)?;
        let mut statistics = 0;
        for (level, to) in levels {
            if let Some(to) = to {
                statistics += place.remove_statistics(work.sql, level, to)?;
            }
        }
        removed.sealed += sealed;
        removed.blocks += blocks;
        removed.statistics += statistics;
        if sealed + blocks + statistics == 0 {
            round.after_stream = key;
        }
    }
    Ok((removed, Some(round)))
}

fn next_stream(
    sql: &Connection,
    after: i64,
) -> Result<Option<(TenantScope, StreamRow)>, StoreError> {
    let row: Option<(i64, i64, Vec<u8>)> = sql
        .prepare_cached(
            "SELECT tenant_id, stream_key, schema FROM stream WHERE stream_key > ?1
            ORDER BY stream_key LIMIT 1",
        )
        .and_then(|mut query| {
            query
                .query_row([after], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                .optional()
        })
        .doing("look for old readings")?;
    row.map(|(tenant, key, schema)| {
        let schema = wire::decode_schema(&schema).doing("a stored schema")?;
        Ok((TenantScope::of_key(tenant), StreamRow { key, schema }))
    })
    .transpose()
}

impl Place {
    /// Loose blocks that are long enough or about to be removed get into the statistics.
    fn seal_old(&self, sql: &Connection) -> Result<usize, StoreError> {
        let enough = protocol::limits::BLOCK_POLLS_SEAL;
        let found: Vec<(i64, Vec<u8>)> = sql
            .prepare_cached(
                "SELECT rowid, body FROM block INDEXED BY block_loose
                WHERE tenant_id = ?1 AND stream_key = ?2 AND sealed = 0
                    AND (last_seq - first_seq + 1 >= ?3 OR last_us < ?4) LIMIT ?5",
            )
            .and_then(|mut query| {
                let enough = i64::try_from(enough).unwrap_or(i64::MAX);
                let (tenant, to) = (self.scope.key(), self.readings_to.0);
                query
                    .query_map(
                        params![tenant, self.stream.key, enough, to, PART_ROWS_MAX],
                        |row| Ok((row.get(0)?, row.get(1)?)),
                    )?
                    .collect()
            })
            .doing("look for loose blocks")?;
        let (ids, bodies): (Vec<i64>, Vec<Vec<u8>>) = found.into_iter().unzip();
        let mut rollups = Rollups::default();
        blocks::leave(
            sql,
            self.scope,
            (&self.stream, &mut rollups),
            (&ids, &bodies),
        )?;
        rollups.write(sql, self.scope)?;
        Ok(ids.len())
    }

    fn remove_blocks(&self, sql: &Connection) -> Result<usize, StoreError> {
        let found: Vec<(i64, i64)> = sql
            .prepare_cached(
                "SELECT rowid, last_us FROM block INDEXED BY block_by_time
                WHERE tenant_id = ?1 AND stream_key = ?2 AND last_us < ?3 AND last_us >= ?5
                    AND sealed = 1
                ORDER BY last_us LIMIT ?4",
            )
            .and_then(|mut query| {
                let (tenant, to) = (self.scope.key(), self.readings_to.0);
                // What a box with a clock that was never set stamped has no age.
                let from = EARLIEST.0;
                query
                    .query_map((tenant, self.stream.key, to, PART_ROWS_MAX, from), |row| {
                        Ok((row.get(0)?, row.get(1)?))
                    })?
                    .collect()
            })
            .doing("look for old readings")?;
        let Some(latest) = found.iter().map(|(_, last_us)| *last_us).max() else {
            return Ok(0);
        };
        // Statistics are whole minutes: from the next one on readings are read again.
        let minute = Level::Minute.bucket_of(Timestamp(latest));
        let kept_from = Level::Minute.start(minute.saturating_add(1));
        sql.prepare_cached(
            "UPDATE stream SET kept_from_us = max(coalesce(kept_from_us, ?2), ?2)
            WHERE stream_key = ?1",
        )
        .and_then(|mut query| query.execute((self.stream.key, kept_from.0)))
        .doing("note from where readings are kept")?;
        for (id, _) in &found {
            sql.prepare_cached("DELETE FROM block WHERE rowid = ?1")
                .and_then(|mut query| query.execute([id]))
                .doing("remove old readings")?;
        }
        Ok(found.len())
    }

    fn remove_statistics(
        &self,
        sql: &Connection,
        level: Level,
        to: Timestamp,
    ) -> Result<usize, StoreError> {
        let before = level.row_of(level.bucket_of(to));
        let parts = self.stream.schema.columns.len().div_ceil(COLUMNS_PER_ROW);
        let mut removed = 0;
        for part in 0..i64::try_from(parts).unwrap_or(0) {
            removed += sql
                .prepare_cached(
                    "DELETE FROM rollup WHERE rowid IN (SELECT rowid FROM rollup
                        WHERE tenant_id = ?1 AND stream_key = ?2 AND level = ?3 AND part = ?4
                            AND number < ?5 LIMIT ?6)",
                )
                .and_then(|mut query| {
                    let (tenant, level) = (self.scope.key(), level.code());
                    query.execute(params![
                        tenant,
                        self.stream.key,
                        level,
                        part,
                        before,
                        PART_ROWS_MAX
                    ])
                })
                .doing("remove old statistics")?;
        }
        Ok(removed)
    }
}

/// Gives pages that nothing uses back to the disk; whether there are more of them.
fn give_back(sql: &Connection) -> Result<bool, StoreError> {
    let free = || -> Result<i64, StoreError> {
        sql.pragma_query_value(None, "freelist_count", |row| row.get(0))
            .doing("count free pages")
    };
    let before = free()?;
    let spare = before.saturating_sub(FREE_PAGES_KEPT);
    if spare <= 0 {
        return Ok(false);
    }
    let pages = spare.min(PAGES_PER_STEP);
    sql.execute_batch(&format!("PRAGMA incremental_vacuum({pages})"))
        .doing("give free pages back")?;
    let after = free()?;
    Ok(after > FREE_PAGES_KEPT && after < before)
}
