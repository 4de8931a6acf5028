//! Blocks of readings: those that are missing are stored, small neighbours are joined, and a
//! sensor's blocks are found again. A poll stands in exactly one block.

use super::error::{Doing as _, StoreError};
use super::prepared::{Figures, Sound};
use super::rollups::Rollups;
use super::{Store, received, sql};
use crate::tenants::TenantScope;
use protocol::block;
use protocol::id::{SensorId, StreamId};
use protocol::limits::{BLOCK_POLLS_MAX, BLOCK_POLLS_SEAL, RANGES_PER_STREAM_MAX};
use protocol::ranges::RangeSet;
use protocol::reading::GroupSchema;
use protocol::rollup;
use protocol::wire;
use rusqlite::{Connection, OptionalExtension as _, params};

/// Loose blocks that one transaction looks at when it joins.
const LOOSE_BLOCKS_MAX: i64 = 2_048;

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

/// Stores the polls of `sound` that are not held yet. `None` when the stream has so many separate
/// ranges that no further one is taken: the sender tries again later.
pub(super) fn store(
    sql: &Connection,
    scope: TenantScope,
    (stream, rollups): (&StreamRow, &mut Rollups),
    sound: &Sound,
) -> Result<Option<Stored>, StoreError> {
    let (first, last) = (sound.header.first_seq, sound.header.last_seq());
    let mut held = received::around(sql, scope, stream.key, first, last)?;
    if held.pairs().is_empty() && received::count(sql, scope, stream.key)? >= RANGES_PER_STREAM_MAX
    {
        return Ok(None);
    }
    let missing = held.missing(first, last);
    let mut stored = Stored::default();
    for (from, to) in &missing {
        let part;
        let (body, figures) = if (*from, *to) == (first, last) {
            (&sound.body, &sound.figures)
        } else {
            part = slice(&sound.body, *from, *to)?;
            (&part.0, &part.1)
        };
        let new = NewBlock {
            seqs: (*from, *to),
            body,
            figures,
        };
        new.insert(sql, scope, (stream, &mut *rollups))?;
        stored.polls += to - from + 1;
        stored.readings += figures.readings;
    }
    if !missing.is_empty() {
        received::add(sql, scope, stream.key, &mut held, (first, last))?;
    }
    stored.held = held;
    Ok(Some(stored))
}

fn slice(body: &[u8], from: u64, to: u64) -> Result<(Vec<u8>, Figures), StoreError> {
    let sliced = block::slice(body, from, to).and_then(|body| Ok((block::decode(&body)?, body)));
    let (block, body) = sliced.map_err(|source| StoreError::Block {
        what: "cut",
        source,
    })?;
    Ok((body, Figures::of(&block.polls)))
}

/// A block for the table. It is never joined again, and stands in the rollups, once it is long
/// enough; until then whoever asks for readings decodes it.
struct NewBlock<'a> {
    seqs: (u64, u64),
    body: &'a [u8],
    figures: &'a Figures,
}

impl NewBlock<'_> {
    fn insert(
        &self,
        sql: &Connection,
        scope: TenantScope,
        (stream, rollups): (&StreamRow, &mut Rollups),
    ) -> Result<(), StoreError> {
        let (first_seq, last_seq) = (sql::int(self.seqs.0), sql::int(self.seqs.1));
        let sealed = self.figures.minutes.is_some();
        // Before the block is there: statistics that are made anew from what is sealed must not
        // count it twice.
        if let Some(minutes) = &self.figures.minutes {
            rollups.add(sql, scope, stream, (minutes, self.body))?;
        }
        sql.prepare_cached(
            "INSERT INTO block (tenant_id, stream_key, first_seq, last_seq, first_us, last_us,
                sealed, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )
        .and_then(|mut query| {
            query.execute(params![
                scope.key(),
                stream.key,
                first_seq,
                last_seq,
                self.figures.first_us,
                self.figures.last_us,
                sealed,
                self.body
            ])
        })
        .doing("store a block")?;
        let long_us = self.figures.last_us.saturating_sub(self.figures.first_us);
        sql.prepare_cached(
            "UPDATE stream SET longest_us = ?2 WHERE stream_key = ?1 AND longest_us < ?2",
        )
        .and_then(|mut query| query.execute((stream.key, long_us)))
        .doing("note how long a block is")?;
        if sealed {
            return Ok(());
        }
        let count = last_seq.saturating_sub(first_seq).saturating_add(1);
        sql.prepare_cached("UPDATE stream SET loose_polls = loose_polls + ?2 WHERE stream_key = ?1")
            .and_then(|mut query| query.execute((stream.key, count)))
            .map(|_| ())
            .doing("count loose polls")
    }
}

/// Joins a stream's small neighbouring blocks once there are enough polls in them: at most one
/// new block per call, so that no transaction grows long.
pub(super) fn seal(
    sql: &Connection,
    scope: TenantScope,
    stream: &StreamRow,
    rollups: &mut Rollups,
) -> Result<(), StoreError> {
    let stream_key = stream.key;
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
    join(sql, scope, (stream, rollups), &ids)
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
    (stream, rollups): (&StreamRow, &mut Rollups),
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
        return leave(sql, scope, (stream, rollups), (ids, &bodies));
    };
    for id in ids {
        sql.prepare_cached("DELETE FROM block WHERE rowid = ?1")
            .and_then(|mut query| query.execute([id]))
            .doing("remove a joined block")?;
    }
    let new = NewBlock {
        seqs: (block.header.first_seq, block.header.last_seq()),
        body: &body,
        figures: &Figures::sealed(&block.polls),
    };
    new.insert(sql, scope, (stream, rollups))
}

/// Loose blocks stay as they are, get into the statistics and are not looked at again.
pub(super) fn leave(
    sql: &Connection,
    scope: TenantScope,
    (stream, rollups): (&StreamRow, &mut Rollups),
    (ids, bodies): (&[i64], &[Vec<u8>]),
) -> Result<(), StoreError> {
    for (id, body) in ids.iter().zip(bodies) {
        // What cannot be read has no statistics either: charts say that it is damaged.
        if let Ok(block) = block::decode(body) {
            let minutes = rollup::minutes_of(&block.polls, &[]);
            rollups.add(sql, scope, stream, (&minutes, body))?;
        }
        sql.prepare_cached("UPDATE block SET sealed = 1 WHERE rowid = ?1")
            .and_then(|mut query| query.execute([id]))
            .doing("leave a block as it is")?;
    }
    Ok(())
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
