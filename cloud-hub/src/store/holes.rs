//! What is missing of a gateway's readings, in numbers and in time. Never judges: `telemetry` does.

use super::error::{Doing as _, StoreError};
use super::{Store, received, sql};
use crate::tenants::TenantScope;
use protocol::event::GapCause;
use protocol::id::{GatewayId, StreamId};
use protocol::ranges::RangeSet;
use protocol::time::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

/// Most holes and gaps that are told of one gateway: the newest.
const HOLES_MAX: usize = 500;

/// What is missing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Holes {
    /// Each stream of which something is known.
    pub streams: Vec<StreamHoles>,
    /// Spans of time that the box itself told, the newest last.
    pub gaps: Vec<GapSpan>,
}

/// What is missing of one stream.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamHoles {
    /// Incarnation of the readings.
    pub incarnation: u32,
    /// The box no longer holds this stream: what is missing will not come.
    pub gone: bool,
    /// The stream.
    pub stream: StreamId,
    /// Time of its first poll held.
    pub first_time: Option<Timestamp>,
    /// Time of its last poll held.
    pub last_time: Option<Timestamp>,
    /// Up to here nothing is missing; `None` when the first poll is.
    pub complete_to: Option<Timestamp>,
    /// Polls that the box has and the hub has not.
    pub missing: Vec<Hole>,
    /// Polls that the box gave up.
    pub lost: Vec<Hole>,
}

/// Neighbouring polls that are not held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    /// How many.
    pub polls: u64,
    /// Time of the poll before; `None` when there is none.
    pub from: Option<Timestamp>,
    /// Time of the poll after; `None` when there is none yet.
    pub to: Option<Timestamp>,
}

/// A span of time without readings, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GapSpan {
    /// Begin.
    pub from: Timestamp,
    /// End.
    pub to: Timestamp,
    /// Polls that are missing.
    pub polls: u64,
    /// Why.
    pub cause: GapCause,
}

const CAUSES: [(i64, GapCause); 5] = [
    (1, GapCause::QueueFull),
    (2, GapCause::BufferFull),
    (3, GapCause::StoreDamaged),
    (4, GapCause::AgentOff),
    (5, GapCause::Thinned),
];

/// The number of a cause in a column.
pub(super) fn cause_code(cause: GapCause) -> i64 {
    CAUSES
        .iter()
        .find(|(_, known)| *known == cause)
        .map_or(0, |(code, _)| *code)
}

impl Store {
    /// What is missing of a gateway: per stream, and the gaps that it told since `since`.
    pub async fn holes(
        &self,
        scope: TenantScope,
        gateway: GatewayId,
        since: Timestamp,
    ) -> Result<Holes, StoreError> {
        self.engine
            .read(move |sql| {
                let mut streams = Vec::new();
                let held = received::of_gateway(sql, scope, gateway)?;
                for (incarnation, stream, ranges) in held {
                    let name = (incarnation, stream);
                    streams.extend(stream_holes(sql, scope, gateway, (name, &ranges))?);
                }
                let gaps = gaps(sql, scope, gateway, since)?;
                Ok(Holes { streams, gaps })
            })
            .await
    }
}

fn stream_holes(
    sql: &Connection,
    scope: TenantScope,
    gateway: GatewayId,
    ((incarnation, stream), held): ((u32, StreamId), &RangeSet),
) -> Result<Option<StreamHoles>, StoreError> {
    let (key, head, gone): (i64, i64, bool) = sql
        .prepare_cached(
            "SELECT stream_key, head_seq, gone FROM stream
            WHERE tenant_id = ?1 AND gateway_id = ?2 AND incarnation = ?3 AND stream = ?4",
        )
        .and_then(|mut query| {
            query.query_row(
                params![scope.key(), gateway.0.into_bytes(), incarnation, stream.0],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
        })
        .doing("look up a stream")?;
    let lost = lost(sql, scope, key)?;
    let mut accounted = held.clone();
    for (first, last) in lost.pairs() {
        accounted.insert(*first, *last);
    }
    let last = [held.last(), lost.last(), Some(sql::uint(head))]
        .into_iter()
        .flatten()
        .max()
        .unwrap_or(0);
    if last == 0 {
        return Ok(None);
    }
    let hole = |(first, last): (u64, u64)| -> Result<Hole, StoreError> {
        Ok(Hole {
            polls: last - first + 1,
            from: time_near(sql, scope, key, Near::Before(first))?,
            to: time_near(sql, scope, key, Near::After(last))?,
        })
    };
    let missing = accounted.missing(1, last);
    let newest = |holes: Vec<(u64, u64)>| {
        let skipped = holes.len().saturating_sub(HOLES_MAX);
        holes
            .into_iter()
            .skip(skipped)
            .map(hole)
            .collect::<Result<Vec<_>, _>>()
    };
    let given_up = lost
        .pairs()
        .iter()
        .flat_map(|(first, last)| held.missing(*first, *last))
        .collect();
    let complete_to = time_near(
        sql,
        scope,
        key,
        Near::Before(accounted.contiguous_to().saturating_add(1)),
    )?;
    Ok(Some(StreamHoles {
        incarnation,
        gone,
        stream,
        first_time: time_near(sql, scope, key, Near::After(0))?,
        last_time: time_near(sql, scope, key, Near::Before(u64::MAX))?,
        complete_to,
        missing: newest(missing)?,
        lost: newest(given_up)?,
    }))
}

/// Which poll's time is asked for.
#[derive(Clone, Copy)]
enum Near {
    /// The last one held before this number.
    Before(u64),
    /// The first one held after this number.
    After(u64),
}

fn time_near(
    sql: &Connection,
    scope: TenantScope,
    stream_key: i64,
    near: Near,
) -> Result<Option<Timestamp>, StoreError> {
    let (query, seq) = match near {
        Near::Before(seq) => (
            "SELECT last_us FROM block WHERE tenant_id = ?1 AND stream_key = ?2 AND first_seq < ?3
            ORDER BY first_seq DESC LIMIT 1",
            seq,
        ),
        Near::After(seq) => (
            "SELECT first_us FROM block WHERE tenant_id = ?1 AND stream_key = ?2 AND first_seq > ?3
            ORDER BY first_seq LIMIT 1",
            seq,
        ),
    };
    sql.prepare_cached(query)
        .and_then(|mut query| {
            query
                .query_row((scope.key(), stream_key, sql::int(seq)), |row| row.get(0))
                .optional()
        })
        .map(|us| us.map(Timestamp))
        .doing("look up the time of a poll")
}

pub(super) fn lost(
    sql: &Connection,
    scope: TenantScope,
    stream_key: i64,
) -> Result<RangeSet, StoreError> {
    let pairs = sql
        .prepare_cached(
            "SELECT first_seq, last_seq FROM lost WHERE tenant_id = ?1 AND stream_key = ?2",
        )
        .and_then(|mut query| {
            query
                .query_map((scope.key(), stream_key), |row| {
                    Ok((sql::uint(row.get(0)?), sql::uint(row.get(1)?)))
                })?
                .collect::<Result<Vec<_>, _>>()
        })
        .doing("read what was lost")?;
    Ok(RangeSet::from_pairs(pairs))
}

fn gaps(
    sql: &Connection,
    scope: TenantScope,
    gateway: GatewayId,
    since: Timestamp,
) -> Result<Vec<GapSpan>, StoreError> {
    let most = i64::try_from(HOLES_MAX).unwrap_or(i64::MAX);
    let rows = sql
        .prepare_cached(
            "SELECT from_us, to_us, polls, cause FROM gap
            WHERE tenant_id = ?1 AND gateway_id = ?2 AND to_us >= ?3
            ORDER BY to_us DESC LIMIT ?4",
        )
        .and_then(|mut query| {
            query
                .query_map(
                    (scope.key(), gateway.0.into_bytes(), since.0, most),
                    |row| {
                        let code: i64 = row.get(3)?;
                        let cause = CAUSES.iter().find(|(known, _)| *known == code);
                        Ok(cause.map(|(_, cause)| (row.get(0), row.get(1), row.get(2), *cause)))
                    },
                )?
                .filter_map(Result::transpose)
                .map(|row| {
                    let (from, to, polls, cause) = row?;
                    Ok(GapSpan {
                        from: Timestamp(from?),
                        to: Timestamp(to?),
                        polls: sql::uint(polls?),
                        cause,
                    })
                })
                .collect::<rusqlite::Result<Vec<_>>>()
        })
        .doing("read gaps")?;
    Ok(rows.into_iter().rev().collect())
}
