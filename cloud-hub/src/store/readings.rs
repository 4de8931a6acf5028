//! One sensor's readings, out of blocks and statistics, all in one state of the store. Never
//! chooses between the two: `telemetry` does.

use super::error::{Doing as _, StoreError};
use super::{Store, blocks};
use crate::tenants::TenantScope;
use protocol::id::SensorId;
use protocol::reading::Column;
use protocol::rollup::{COLUMNS_PER_ROW, Level, Rollup, RollupError, RollupRow};
use protocol::time::Timestamp;
use rusqlite::{Connection, params};

/// Blocks that are counted at the most before a span counts as long.
const BLOCKS_COUNTED_MAX: u64 = 1_000;

/// A span of time: `from <= time < to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Begin.
    pub from: Timestamp,
    /// End, not part of it.
    pub to: Timestamp,
}

/// A stream in which a sensor stands.
#[derive(Clone, Debug)]
pub struct StreamOfSensor {
    key: i64,
    longest_us: i64,
    /// Where the sensor stands in each poll.
    pub position: usize,
    /// What its raw values mean.
    pub column: Column,
    /// Time between polls, in microseconds.
    pub period_us: u64,
    /// From here on the readings are kept; before it only their statistics are.
    pub kept_from: Timestamp,
}

/// A block that holds readings of a sensor.
#[derive(Clone, Copy, Debug)]
pub struct BlockOfSensor<'a> {
    /// Time of its earliest poll.
    pub first_time: Timestamp,
    /// Time of its latest poll.
    pub last_time: Timestamp,
    /// The block.
    pub body: &'a [u8],
}

/// Which blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// All.
    All,
    /// Those whose readings are not in the statistics yet.
    Loose,
}

/// Reads one sensor.
#[derive(Debug)]
pub struct SensorReader<'a> {
    sql: &'a Connection,
    scope: TenantScope,
    streams: Vec<StreamOfSensor>,
}

impl Store {
    /// Runs `work` on one state of a sensor's readings.
    pub async fn read_sensor<T: Send + 'static>(
        &self,
        scope: TenantScope,
        sensor: SensorId,
        work: impl FnOnce(&SensorReader<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.engine
            .read(move |sql| {
                let mut streams = Vec::new();
                for (key, position) in blocks::streams_of(sql, scope, sensor)? {
                    streams.extend(stream(sql, scope, (key, position))?);
                }
                work(&SensorReader {
                    sql,
                    scope,
                    streams,
                })
            })
            .await
    }
}

impl SensorReader<'_> {
    /// The streams in which the sensor stands: one for each incarnation and make-up of its group.
    pub fn streams(&self) -> &[StreamOfSensor] {
        &self.streams
    }

    /// About how many polls a span holds; beyond a thousand blocks it is no longer counted, and
    /// `None` says so.
    pub fn polls(&self, stream: &StreamOfSensor, span: Span) -> Result<Option<u64>, StoreError> {
        let (blocks, polls): (u64, u64) = self
            .sql
            .prepare_cached(
                "SELECT count(*), coalesce(sum(last_seq - first_seq + 1), 0) FROM
                    (SELECT first_seq, last_seq FROM block
                    WHERE tenant_id = ?1 AND stream_key = ?2 AND last_us >= ?3 AND last_us <= ?5
                        AND first_us < ?4 LIMIT ?6)",
            )
            .and_then(|mut query| {
                let (from, to, latest) = bounds(stream, span);
                query.query_row(
                    params![
                        self.scope.key(),
                        stream.key,
                        from,
                        to,
                        latest,
                        BLOCKS_COUNTED_MAX
                    ],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
            })
            .doing("count the polls of a span")?;
        Ok((blocks < BLOCKS_COUNTED_MAX).then_some(polls))
    }

    /// Shows `each` the blocks of a span, by the time of their latest poll.
    pub fn blocks(
        &self,
        stream: &StreamOfSensor,
        (span, which): (Span, Which),
        mut each: impl FnMut(BlockOfSensor<'_>),
    ) -> Result<(), StoreError> {
        let text = match which {
            Which::All => {
                "SELECT body, first_us, last_us FROM block
                WHERE tenant_id = ?1 AND stream_key = ?2 AND last_us >= ?3 AND last_us <= ?5
                    AND first_us < ?4 ORDER BY last_us"
            }
            Which::Loose => {
                "SELECT body, first_us, last_us FROM block INDEXED BY block_loose
                WHERE tenant_id = ?1 AND stream_key = ?2 AND sealed = 0 AND last_us >= ?3
                    AND last_us <= ?5 AND first_us < ?4"
            }
        };
        let mut read = || -> rusqlite::Result<()> {
            let (from, to, latest) = bounds(stream, span);
            let mut query = self.sql.prepare_cached(text)?;
            let mut rows = query.query((self.scope.key(), stream.key, from, to, latest))?;
            while let Some(row) = rows.next()? {
                each(BlockOfSensor {
                    first_time: Timestamp(row.get(1)?),
                    last_time: Timestamp(row.get(2)?),
                    body: row.get_ref(0)?.as_blob()?,
                });
            }
            Ok(())
        };
        read().doing("read blocks")
    }

    /// Shows `each` the statistics of the buckets whose numbers lie in `first..end`, ascending, and
    /// the first bucket of each row that is damaged.
    pub fn rollups(
        &self,
        stream: &StreamOfSensor,
        (level, first, end): (Level, i64, i64),
        mut each: impl FnMut(i64, Result<&Rollup, RollupError>),
    ) -> Result<(), StoreError> {
        let part = i64::try_from(stream.position / COLUMNS_PER_ROW).unwrap_or(i64::MAX);
        let column = stream.position % COLUMNS_PER_ROW;
        let numbers = (level.row_of(first), level.row_of(end.saturating_sub(1)));
        let mut read = || -> rusqlite::Result<()> {
            let mut query = self.sql.prepare_cached(
                "SELECT number, body FROM rollup WHERE tenant_id = ?1 AND stream_key = ?2
                    AND level = ?3 AND part = ?4 AND number BETWEEN ?5 AND ?6 ORDER BY number",
            )?;
            let mut rows = query.query(params![
                self.scope.key(),
                stream.key,
                level.code(),
                part,
                numbers.0,
                numbers.1
            ])?;
            while let Some(row) = rows.next()? {
                let number = row.get(0)?;
                let body = row.get_ref(1)?.as_blob()?;
                match RollupRow::decode_column((level, number), body, column) {
                    Ok(entries) => entries
                        .iter()
                        .filter(|(bucket, _)| (first..end).contains(bucket))
                        .for_each(|(bucket, entry)| each(*bucket, Ok(entry))),
                    Err(error) => {
                        let begin = number.saturating_mul(level.buckets_per_row());
                        each(begin.max(first), Err(error));
                    }
                }
            }
            Ok(())
        };
        read().doing("read statistics")
    }
}

/// Begin and end of the span, and where the latest poll of a block lies at the latest that has one
/// in it: without it everything newer than the span would be looked at.
const fn bounds(stream: &StreamOfSensor, span: Span) -> (i64, i64, i64) {
    let latest = span.to.0.saturating_add(stream.longest_us);
    (span.from.0, span.to.0, latest)
}

fn stream(
    sql: &Connection,
    scope: TenantScope,
    (key, position): (i64, usize),
) -> Result<Option<StreamOfSensor>, StoreError> {
    let schema = blocks::schema_of(sql, scope, key)?;
    let (longest_us, kept_from_us): (i64, Option<i64>) = sql
        .prepare_cached(
            "SELECT longest_us, kept_from_us FROM stream WHERE tenant_id = ?1 AND stream_key = ?2",
        )
        .and_then(|mut query| {
            query.query_row((scope.key(), key), |row| Ok((row.get(0)?, row.get(1)?)))
        })
        .doing("look up a stream")?;
    let column = schema.columns.get(position).cloned();
    Ok(column.map(|column| StreamOfSensor {
        key,
        longest_us,
        position,
        column,
        period_us: schema.period_us,
        kept_from: Timestamp(kept_from_us.unwrap_or(i64::MIN)),
    }))
}
