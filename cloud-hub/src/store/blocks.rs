//! Blocks of readings: those that are missing are stored, small neighbours are joined, and a
//! sensor's blocks are found again. A poll stands in exactly one block.

use super::error::{Doing as _, StoreError};
use super::{Store, received, sql};
use crate::tenants::TenantScope;
use protocol::block::{self, Block};
use protocol::id::{SensorId, StreamId};
use protocol::limits::{BLOCK_POLLS_MAX, BLOCK_POLLS_SEAL, RANGES_PER_STREAM_MAX};
use protocol::ranges::RangeSet;
use protocol::reading::{Cell, Column, GroupSchema, Poll};
use protocol::time::Timestamp;
use protocol::wire;
use rusqlite::{Connection, OptionalExtension as _, params};

/// Loose blocks that one transaction looks at when it joins.
const LOOSE_BLOCKS_MAX: i64 = 2_048;
/// Most blocks of one question for readings. A longer span is refused.
const BLOCKS_PER_QUESTION_MAX: usize = 50_000;

/// A span of time: `from <= time < to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Begin.
    pub from: Timestamp,
    /// End, not part of it.
    pub to: Timestamp,
}

/// A block that holds readings of a sensor.
#[derive(Clone, Debug)]
pub struct BlockOfSensor {
    /// Where the sensor stands in each poll.
    pub position: usize,
    /// What its raw values mean.
    pub column: Column,
    /// Time between polls, in microseconds.
    pub period_us: u64,
    /// Time of its earliest poll.
    pub first_time: Timestamp,
    /// Time of its latest poll.
    pub last_time: Timestamp,
    /// The block.
    pub body: Vec<u8>,
}

impl Store {
    /// Shows `each` the blocks with readings of a sensor in a span, stream by stream, in the
    /// order of their numbers; what `each` makes of them comes back.
    pub async fn blocks_of_sensor<S: Send + 'static>(
        &self,
        scope: TenantScope,
        sensor: SensorId,
        span: Span,
        (state, mut each): (S, impl FnMut(&mut S, &BlockOfSensor) + Send + 'static),
    ) -> Result<S, StoreError> {
        self.engine
            .read(move |sql| {
                let mut state = state;
                let mut room = BLOCKS_PER_QUESTION_MAX;
                for (stream_key, position) in streams_of(sql, scope, sensor)? {
                    let schema = schema_of(sql, scope, stream_key)?;
                    let Some(column) = schema.columns.get(position) else {
                        continue;
                    };
                    let mut query = sql
                        .prepare_cached(
                            "SELECT body, first_us, last_us FROM block
                            WHERE tenant_id = ?1 AND stream_key = ?2 AND last_us >= ?3 AND first_us < ?4 ORDER BY last_us",
                        )
                        .doing("read blocks")?;
                    let bodies = query
                        .query_map(
                            (scope.key(), stream_key, span.from.0, span.to.0),
                            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
                        )
                        .doing("read blocks")?;
                    for row in bodies {
                        let (body, first_us, last_us) = row.doing("read blocks")?;
                        room = room.checked_sub(1).ok_or(StoreError::OverLimit {
                            what: "the number of blocks in this span of time (ask for a shorter one)",
                            max: BLOCKS_PER_QUESTION_MAX,
                        })?;
                        let block = BlockOfSensor {
                            position,
                            column: column.clone(),
                            period_us: schema.period_us,
                            first_time: Timestamp(first_us),
                            last_time: Timestamp(last_us),
                            body,
                        };
                        each(&mut state, &block);
                    }
                }
                Ok(state)
            })
            .await
    }
}

impl Store {
    /// The streams in which a sensor stands: incarnation and number.
    pub async fn streams_of_sensor(
        &self,
        scope: TenantScope,
        sensor: SensorId,
    ) -> Result<Vec<(u32, StreamId)>, StoreError> {
        self.engine
            .read(move |sql| {
                sql.prepare_cached(
                    "SELECT s.incarnation, s.stream FROM stream_column AS c
                        JOIN stream AS s ON s.stream_key = c.stream_key
                    WHERE c.tenant_id = ?1 AND c.sensor_id = ?2",
                )
                .and_then(|mut query| {
                    query
                        .query_map((scope.key(), sensor.0.into_bytes()), |row| {
                            Ok((row.get(0)?, StreamId(row.get(1)?)))
                        })?
                        .collect()
                })
                .doing("look up a sensor's streams")
            })
            .await
    }
}

/// A stream as the writer needs it.
#[derive(Clone, Debug)]
pub(super) struct StreamRow {
    pub(super) key: i64,
    pub(super) schema: GroupSchema,
}

/// What a block brought.
#[derive(Clone, Debug, Default)]
pub(super) struct Stored {
    /// Polls that were not held before.
    pub(super) polls: u64,
    /// Their readings.
    pub(super) readings: u64,
    /// The range that the block's polls belong to now.
    pub(super) held: RangeSet,
}

/// The stream, if its schema is known.
pub(super) fn stream_row(
    sql: &Connection,
    scope: TenantScope,
    gateway: protocol::id::GatewayId,
    (incarnation, stream): (u32, StreamId),
) -> Result<Option<StreamRow>, StoreError> {
    let row: Option<(i64, Vec<u8>)> = sql
        .prepare_cached(
            "SELECT stream_key, schema FROM stream
            WHERE tenant_id = ?1 AND gateway_id = ?2 AND incarnation = ?3 AND stream = ?4",
        )
        .and_then(|mut query| {
            query
                .query_row(
                    params![scope.key(), gateway.0.into_bytes(), incarnation, stream.0],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .optional()
        })
        .doing("look up a stream")?;
    row.map(|(key, schema)| {
        let schema = wire::decode_schema(&schema).doing("a stored schema")?;
        Ok(StreamRow { key, schema })
    })
    .transpose()
}

/// Stores the polls of `block` that are not held yet. `None` when the stream has so many separate
/// ranges that no further one is taken: the sender tries again later.
pub(super) fn store(
    sql: &Connection,
    scope: TenantScope,
    stream: &StreamRow,
    block: &Block,
    body: &[u8],
) -> Result<Option<Stored>, StoreError> {
    let (first, last) = (block.header.first_seq, block.header.last_seq());
    let mut held = received::around(sql, scope, stream.key, first, last)?;
    if held.pairs().is_empty() && received::count(sql, scope, stream.key)? >= RANGES_PER_STREAM_MAX
    {
        return Ok(None);
    }
    let missing = held.missing(first, last);
    let mut stored = Stored::default();
    for (from, to) in &missing {
        let polls = polls_between(block, *from, *to);
        let sliced;
        let bytes = if (*from, *to) == (first, last) {
            body
        } else {
            sliced = block::encode(block.header.stream, *from, polls).map_err(|source| {
                StoreError::Block {
                    what: "written",
                    source,
                }
            })?;
            &sliced
        };
        let new = NewBlock {
            first_seq: *from,
            polls,
            body: bytes,
            sealed: polls.len() >= BLOCK_POLLS_SEAL,
        };
        new.insert(sql, scope, stream.key)?;
        stored.polls += to - from + 1;
        stored.readings += readings(polls);
    }
    if !missing.is_empty() {
        received::add(sql, scope, stream.key, &mut held, (first, last))?;
    }
    stored.held = held;
    Ok(Some(stored))
}

fn polls_between(block: &Block, from: u64, to: u64) -> &[Poll] {
    let at = |seq: u64| usize::try_from(seq.saturating_sub(block.header.first_seq)).ok();
    match (at(from), at(to)) {
        (Some(from), Some(to)) => block.polls.get(from..=to).unwrap_or_default(),
        _ => &[],
    }
}

fn readings(polls: &[Poll]) -> u64 {
    let count = polls
        .iter()
        .flat_map(|poll| &poll.cells)
        .filter(|cell| !matches!(cell, Cell::Skipped))
        .count();
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// A block for the table.
struct NewBlock<'a> {
    first_seq: u64,
    polls: &'a [Poll],
    body: &'a [u8],
    /// Never to be joined again.
    sealed: bool,
}

impl NewBlock<'_> {
    fn insert(
        &self,
        sql: &Connection,
        scope: TenantScope,
        stream_key: i64,
    ) -> Result<(), StoreError> {
        // Not the first and the last poll's: the box's clock may have been set in between.
        let times = || self.polls.iter().map(|poll| poll.time.0);
        let first_us = times().min().unwrap_or(0);
        let last_us = times().max().unwrap_or(0);
        let count = i64::try_from(self.polls.len()).unwrap_or(i64::MAX);
        let first_seq = sql::int(self.first_seq);
        sql.prepare_cached(
            "INSERT INTO block (tenant_id, stream_key, first_seq, last_seq, first_us, last_us,
                sealed, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )
        .and_then(|mut query| {
            query.execute(params![
                scope.key(),
                stream_key,
                first_seq,
                first_seq.saturating_add(count - 1),
                first_us,
                last_us,
                self.sealed,
                self.body
            ])
        })
        .doing("store a block")?;
        if !self.sealed {
            sql.prepare_cached(
                "UPDATE stream SET loose_polls = loose_polls + ?2 WHERE stream_key = ?1",
            )
            .and_then(|mut query| query.execute((stream_key, count)))
            .doing("count loose polls")?;
        }
        Ok(())
    }
}

/// Joins a stream's small neighbouring blocks once there are enough polls in them: at most one
/// new block per call, so that no transaction grows long.
pub(super) fn seal(
    sql: &Connection,
    scope: TenantScope,
    stream_key: i64,
) -> Result<(), StoreError> {
    let loose: i64 = sql
        .prepare_cached("SELECT loose_polls FROM stream WHERE stream_key = ?1")
        .and_then(|mut query| query.query_row([stream_key], |row| row.get(0)))
        .doing("count loose polls")?;
    let enough = i64::try_from(BLOCK_POLLS_SEAL).unwrap_or(i64::MAX);
    if loose < enough {
        return Ok(());
    }
    let (ids, polls) = full_run(&loose_blocks(sql, scope, stream_key)?);
    // With no run long enough the count begins anew, so that the next look is as far away.
    let rest = if ids.is_empty() { 0 } else { loose - polls };
    sql.prepare_cached("UPDATE stream SET loose_polls = max(0, ?2) WHERE stream_key = ?1")
        .and_then(|mut query| query.execute((stream_key, rest)))
        .doing("count loose polls")?;
    if ids.is_empty() {
        return Ok(());
    }
    join(sql, scope, stream_key, &ids)
}

/// Row, first and last number of a loose block.
type Loose = (i64, i64, i64);

/// The newest loose blocks, ascending.
fn loose_blocks(
    sql: &Connection,
    scope: TenantScope,
    stream_key: i64,
) -> Result<Vec<Loose>, StoreError> {
    let mut blocks: Vec<Loose> = sql
        .prepare_cached(
            "SELECT rowid, first_seq, last_seq FROM block
            WHERE tenant_id = ?1 AND stream_key = ?2 AND sealed = 0
            ORDER BY first_seq DESC LIMIT ?3",
        )
        .and_then(|mut query| {
            query
                .query_map((scope.key(), stream_key, LOOSE_BLOCKS_MAX), |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                })?
                .collect()
        })
        .doing("look for loose blocks")?;
    blocks.reverse();
    Ok(blocks)
}

/// The first neighbours that together hold enough polls, and how many; empty when there are none.
fn full_run(blocks: &[Loose]) -> (Vec<i64>, i64) {
    let enough = i64::try_from(BLOCK_POLLS_SEAL).unwrap_or(i64::MAX);
    let most = i64::try_from(BLOCK_POLLS_MAX).unwrap_or(i64::MAX);
    let (mut ids, mut polls, mut next) = (Vec::new(), 0, None);
    for (id, first, last) in blocks {
        let count = last - first + 1;
        if next != Some(*first) {
            ids.clear();
            polls = 0;
        } else if polls + count > most {
            return (ids, polls);
        }
        ids.push(*id);
        polls += count;
        next = Some(last + 1);
        if polls >= enough {
            return (ids, polls);
        }
    }
    (Vec::new(), 0)
}

fn join(
    sql: &Connection,
    scope: TenantScope,
    stream_key: i64,
    ids: &[i64],
) -> Result<(), StoreError> {
    let mut bodies = Vec::with_capacity(ids.len());
    for id in ids {
        let body: Vec<u8> = sql
            .prepare_cached("SELECT body FROM block WHERE rowid = ?1")
            .and_then(|mut query| query.query_row([id], |row| row.get(0)))
            .doing("read a loose block")?;
        bodies.push(body);
    }
    let joined = block::join(&bodies).and_then(|body| Ok((block::decode(&body)?, body)));
    let Ok((block, body)) = joined else {
        // Too long for one block: they stay as they are and are not looked at again.
        for id in ids {
            sql.prepare_cached("UPDATE block SET sealed = 1 WHERE rowid = ?1")
                .and_then(|mut query| query.execute([id]))
                .doing("leave a block loose")?;
        }
        return Ok(());
    };
    for id in ids {
        sql.prepare_cached("DELETE FROM block WHERE rowid = ?1")
            .and_then(|mut query| query.execute([id]))
            .doing("remove a joined block")?;
    }
    let new = NewBlock {
        first_seq: block.header.first_seq,
        polls: &block.polls,
        body: &body,
        sealed: true,
    };
    new.insert(sql, scope, stream_key)
}

/// The streams in which a sensor stands, and at which position.
pub(super) fn streams_of(
    sql: &Connection,
    scope: TenantScope,
    sensor: SensorId,
) -> Result<Vec<(i64, usize)>, StoreError> {
    sql.prepare_cached(
        "SELECT stream_key, position FROM stream_column
        WHERE tenant_id = ?1 AND sensor_id = ?2 ORDER BY stream_key",
    )
    .and_then(|mut query| {
        query
            .query_map((scope.key(), sensor.0.into_bytes()), |row| {
                Ok((row.get(0)?, sql::count(row, 1)?))
            })?
            .collect()
    })
    .doing("look up a sensor's streams")
}

/// What a stream's columns mean.
pub(super) fn schema_of(
    sql: &Connection,
    scope: TenantScope,
    stream_key: i64,
) -> Result<GroupSchema, StoreError> {
    let schema: Vec<u8> = sql
        .prepare_cached("SELECT schema FROM stream WHERE tenant_id = ?1 AND stream_key = ?2")
        .and_then(|mut query| query.query_row((scope.key(), stream_key), |row| row.get(0)))
        .doing("read a schema")?;
    wire::decode_schema(&schema).doing("a stored schema")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_joined_across_no_hole_and_not_beyond_a_block() {
        let small = |id: i64, first: i64, count: i64| (id, first, first + count - 1);
        assert_eq!(
            full_run(&[small(1, 1, 300), small(2, 301, 299)]),
            (vec![], 0)
        );
        assert_eq!(
            full_run(&[small(1, 1, 300), small(2, 301, 300)]),
            (vec![1, 2], 600)
        );
        let hole = [small(1, 1, 300), small(2, 302, 300), small(3, 602, 300)];
        assert_eq!(full_run(&hole), (vec![2, 3], 600));
        let too_long = [small(1, 1, 599), small(2, 600, 599)];
        assert_eq!(full_run(&too_long), (vec![1], 599));
    }
}
