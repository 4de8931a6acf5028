//! Statistics per minute, hour and day, made in the transaction that seals a block, so that a poll
//! is in them once: as long as it stands in a loose block it is not. Never the only copy while the
//! readings are kept.

use super::blocks::StreamRow;
use super::error::{Doing as _, StoreError};
use crate::tenants::TenantScope;
use protocol::block;
use protocol::reading::RawKind;
use protocol::rollup::{self, Bucket, COLUMNS_PER_ROW, Level, RollupRow};
use rusqlite::{Connection, OptionalExtension as _, params};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Rows held until they are written; then they are written and forgotten.
const ROWS_HELD_MAX: usize = 512;

/// Which row: stream, level, part of the columns, number.
type Key = (i64, Level, usize, i64);

/// The rows that a transaction changes, each read and written once.
#[derive(Default)]
pub(super) struct Rollups {
    rows: BTreeMap<Key, RollupRow>,
}

impl Rollups {
    /// Adds the minutes of a block that is to be sealed and is not yet.
    pub(super) fn add(
        &mut self,
        sql: &Connection,
        scope: TenantScope,
        stream: &StreamRow,
        (minutes, body): (&[Bucket], &[u8]),
    ) -> Result<(), StoreError> {
        let mut buckets = as_they_are(stream, minutes, body)?;
        for level in Level::ALL {
            for bucket in buckets.iter() {
                self.merge(sql, scope, stream, (level, bucket))?;
            }
            buckets = Cow::Owned(rollup::coarser(&buckets, level));
        }
        if self.rows.len() > ROWS_HELD_MAX {
            self.write(sql, scope)?;
        }
        Ok(())
    }

    fn merge(
        &mut self,
        sql: &Connection,
        scope: TenantScope,
        stream: &StreamRow,
        (level, bucket): (Level, &Bucket),
    ) -> Result<(), StoreError> {
        let number = level.row_of(bucket.number);
        for (part, columns) in bucket.columns.chunks(COLUMNS_PER_ROW).enumerate() {
            let key = (stream.key, level, part, number);
            let row = match self.rows.entry(key) {
                Entry::Occupied(row) => row.into_mut(),
                Entry::Vacant(place) => {
                    let row = match read(sql, scope, (key, columns.len()))? {
                        Some(row) => row,
                        None => rebuild(sql, scope, stream, (key, columns.len()))?,
                    };
                    place.insert(row)
                }
            };
            for (column, entry) in columns.iter().enumerate() {
                if let Some(entry) = entry {
                    row.merge(column, bucket.number, entry);
                }
            }
        }
        Ok(())
    }

    /// Writes what was added. Without it nothing of it stays.
    pub(super) fn write(&mut self, sql: &Connection, scope: TenantScope) -> Result<(), StoreError> {
        let mut query = sql
            .prepare_cached(
                "INSERT INTO rollup (tenant_id, stream_key, level, part, number, body)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                ON CONFLICT (tenant_id, stream_key, level, part, number)
                DO UPDATE SET body = excluded.body",
            )
            .doing("write statistics")?;
        for ((stream_key, level, part, number), row) in std::mem::take(&mut self.rows) {
            let key = (scope.key(), stream_key, level.code(), part, number);
            let (tenant, stream, level, part, number) = key;
            let part = i64::try_from(part).unwrap_or(i64::MAX);
            query
                .execute(params![tenant, stream, level, part, number, row.encode()])
                .doing("write statistics")?;
        }
        Ok(())
    }
}

/// A column of unsigned 64 bit values beyond the signed ones has to be counted anew as what it is.
fn as_they_are<'a>(
    stream: &StreamRow,
    minutes: &'a [Bucket],
    body: &[u8],
) -> Result<Cow<'a, [Bucket]>, StoreError> {
    let kinds: Vec<RawKind> = stream.schema.columns.iter().map(|c| c.raw).collect();
    let is_beyond = |bucket: &Bucket| {
        let columns = bucket.columns.iter().zip(&kinds);
        columns
            .filter(|(_, kind)| **kind == RawKind::Uint64)
            .any(|(entry, _)| entry.is_some_and(|entry| entry.min < 0.0))
    };
    if !minutes.iter().any(is_beyond) {
        return Ok(Cow::Borrowed(minutes));
    }
    let block = block::decode(body).map_err(|source| StoreError::Block {
        what: "read",
        source,
    })?;
    Ok(Cow::Owned(rollup::minutes_of(&block.polls, &kinds)))
}

/// The row as it is stored, an empty one where there is none; `None` when it is damaged.
fn read(
    sql: &Connection,
    scope: TenantScope,
    ((stream_key, level, part, number), columns): (Key, usize),
) -> Result<Option<RollupRow>, StoreError> {
    let part = i64::try_from(part).unwrap_or(i64::MAX);
    let body: Option<Vec<u8>> = sql
        .prepare_cached(
            "SELECT body FROM rollup WHERE tenant_id = ?1 AND stream_key = ?2 AND level = ?3
                AND part = ?4 AND number = ?5",
        )
        .and_then(|mut query| {
            query
                .query_row(
                    params![scope.key(), stream_key, level.code(), part, number],
                    |row| row.get(0),
                )
                .optional()
        })
        .doing("read statistics")?;
    Ok(match body {
        None => Some(RollupRow::new(level, number, columns)),
        Some(body) => RollupRow::decode(level, number, &body).ok(),
    })
}

/// A row made anew from the readings that are sealed.
fn rebuild(
    sql: &Connection,
    scope: TenantScope,
    stream: &StreamRow,
    ((stream_key, level, part, number), columns): (Key, usize),
) -> Result<RollupRow, StoreError> {
    tracing::warn!(
        stream_key,
        ?level,
        number,
        "damaged statistics are made anew"
    );
    let first = number.saturating_mul(level.buckets_per_row());
    let end = level.start(first.saturating_add(level.buckets_per_row()));
    let bodies: Vec<Vec<u8>> = sql
        .prepare_cached(
            "SELECT body FROM block WHERE tenant_id = ?1 AND stream_key = ?2 AND sealed = 1
                AND last_us >= ?3 AND first_us < ?4",
        )
        .and_then(|mut query| {
            let span = (scope.key(), stream_key, level.start(first).0, end.0);
            query.query_map(span, |row| row.get(0))?.collect()
        })
        .doing("read blocks")?;
    let mut row = RollupRow::new(level, number, columns);
    let kinds: Vec<RawKind> = stream.schema.columns.iter().map(|c| c.raw).collect();
    for block in bodies.iter().filter_map(|body| block::decode(body).ok()) {
        let mut buckets = rollup::minutes_of(&block.polls, &kinds);
        for finer in Level::ALL.into_iter().take_while(|finer| *finer < level) {
            buckets = rollup::coarser(&buckets, finer);
        }
        for bucket in &buckets {
            let entries = bucket.columns.iter().skip(part * COLUMNS_PER_ROW);
            for (column, entry) in entries.take(columns).enumerate() {
                if let Some(entry) = entry {
                    row.merge(column, bucket.number, entry);
                }
            }
        }
    }
    Ok(row)
}
