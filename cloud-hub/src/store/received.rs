//! Which polls of a stream are held, kept in the same transaction as the polls themselves.
//! This is what makes repeated sending harmless.

use super::error::{Doing as _, StoreError};
use super::{Store, sql};
use crate::tenants::TenantScope;
use protocol::id::{GatewayId, StreamId};
use protocol::ranges::RangeSet;
use rusqlite::{Connection, params};

/// A stream of a gateway's incarnation and what is held of it.
type Held = (u32, StreamId, RangeSet);

impl Store {
    /// What is held of each stream of a gateway, all incarnations.
    pub async fn received(
        &self,
        scope: TenantScope,
        gateway: GatewayId,
    ) -> Result<Vec<Held>, StoreError> {
        self.engine
            .read(move |sql| of_gateway(sql, scope, gateway))
            .await
    }
}

/// What is held of each stream whose schema is known; a stream without polls has no ranges.
pub(super) fn of_gateway(
    sql: &Connection,
    scope: TenantScope,
    gateway: GatewayId,
) -> Result<Vec<Held>, StoreError> {
    let mut query = sql
        .prepare_cached(
            "SELECT s.incarnation, s.stream, r.first_seq, r.last_seq
            FROM stream AS s LEFT JOIN received AS r
                ON r.tenant_id = s.tenant_id AND r.stream_key = s.stream_key
            WHERE s.tenant_id = ?1 AND s.gateway_id = ?2
            ORDER BY s.incarnation, s.stream, r.last_seq",
        )
        .doing("read what was received")?;
    let rows = query
        .query_map((scope.key(), gateway.0.into_bytes()), |row| {
            let first: Option<i64> = row.get(2)?;
            let last: Option<i64> = row.get(3)?;
            Ok((row.get(0)?, StreamId(row.get(1)?), first.zip(last)))
        })
        .doing("read what was received")?;
    let mut held: Vec<Held> = Vec::new();
    for row in rows {
        let (incarnation, stream, range) = row.doing("read what was received")?;
        if held
            .last()
            .is_none_or(|(i, s, _)| (*i, *s) != (incarnation, stream))
        {
            held.push((incarnation, stream, RangeSet::new()));
        }
        if let (Some((_, _, ranges)), Some((first, last))) = (held.last_mut(), range) {
            ranges.insert(sql::uint(first), sql::uint(last));
        }
    }
    Ok(held)
}

/// What is held of a stream.
pub(super) fn of_stream(
    sql: &Connection,
    scope: TenantScope,
    stream_key: i64,
) -> Result<RangeSet, StoreError> {
    around(sql, scope, stream_key, 0, u64::MAX)
}

/// The ranges of a stream that touch `first..=last` or lie in it.
pub(super) fn around(
    sql: &Connection,
    scope: TenantScope,
    stream_key: i64,
    first: u64,
    last: u64,
) -> Result<RangeSet, StoreError> {
    let below = sql::int(first.saturating_sub(1));
    let above = sql::int(last.saturating_add(1));
    let pairs = sql
        .prepare_cached(
            "SELECT first_seq, last_seq FROM received
            WHERE tenant_id = ?1 AND stream_key = ?2 AND last_seq >= ?3 AND first_seq <= ?4",
        )
        .and_then(|mut query| {
            query
                .query_map((scope.key(), stream_key, below, above), |row| {
                    Ok((sql::uint(row.get(0)?), sql::uint(row.get(1)?)))
                })?
                .collect::<Result<Vec<_>, _>>()
        })
        .doing("read what was received")?;
    Ok(RangeSet::from_pairs(pairs))
}

/// Adds `first..=last`, given the ranges [`around`] it.
pub(super) fn add(
    sql: &Connection,
    scope: TenantScope,
    stream_key: i64,
    around: &mut RangeSet,
    (first, last): (u64, u64),
) -> Result<(), StoreError> {
    let remove = "DELETE FROM received WHERE tenant_id = ?1 AND stream_key = ?2 AND last_seq = ?3";
    for (_, end) in around.pairs() {
        sql.prepare_cached(remove)
            .and_then(|mut query| query.execute((scope.key(), stream_key, sql::int(*end))))
            .doing("note what was received")?;
    }
    around.insert(first, last);
    for (begin, end) in around.pairs() {
        sql.prepare_cached(
            "INSERT INTO received (tenant_id, stream_key, first_seq, last_seq)
            VALUES (?1, ?2, ?3, ?4)",
        )
        .and_then(|mut query| {
            query.execute(params![
                scope.key(),
                stream_key,
                sql::int(*begin),
                sql::int(*end)
            ])
        })
        .doing("note what was received")?;
    }
    Ok(())
}

/// How many separate ranges a stream has.
pub(super) fn count(
    sql: &Connection,
    scope: TenantScope,
    stream_key: i64,
) -> Result<usize, StoreError> {
    sql.prepare_cached("SELECT count(*) FROM received WHERE tenant_id = ?1 AND stream_key = ?2")
        .and_then(|mut query| query.query_row((scope.key(), stream_key), |row| sql::count(row, 0)))
        .doing("count what was received")
}
