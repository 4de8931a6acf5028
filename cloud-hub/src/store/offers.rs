//! What a box says it holds, and what the hub holds of it: events by opening of the box's store,
//! streams of readings as they are offered. Never decides what is sent.

use super::error::{Doing as _, StoreError};
use super::writer::Work;
use super::{Store, blocks, catalog, holes, received, sql};
use crate::tenants::TenantScope;
use protocol::id::{GatewayId, Origin, StreamId};
use protocol::limits::{EVENTS_PER_FRAME_MAX, INCARNATIONS_MAX, RANGES_PER_HELD_MAX};
use protocol::sync::OwnLost;
use protocol::wire::v1::{Chain, HeldV1, OfferedV1};
use rusqlite::{Connection, OptionalExtension as _, params};
use std::collections::BTreeMap;

/// What the hub holds of a gateway: the answer to its hello.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Known {
    /// Of each incarnation asked for: up to where its events are held without a hole, and the
    /// chain over them.
    pub events: Vec<(u32, u64, Chain)>,
    /// Events of the gateway that it no longer has.
    pub lost: Vec<OwnLost>,
    /// Highest number of the hub's events for it.
    pub down_last: u64,
    /// What it holds of them; 0 when they are others than these.
    pub down_after: u64,
    /// Highest number of the hub's events that it said it holds.
    pub down_acked: u64,
    /// Its catalog as it sent it (`wire::encode_catalog`).
    pub catalog: Option<Vec<u8>>,
}

impl Store {
    /// What the hub holds of a gateway, for the answer to its hello: `events` is what the gateway
    /// has of its own by incarnation, `down` what it has of the hub's.
    pub async fn known(
        &self,
        scope: TenantScope,
        gateway: GatewayId,
        events: Vec<(u32, u64)>,
        down: (u64, Chain),
    ) -> Result<Known, StoreError> {
        self.engine
            .read(move |sql| {
                let (down_last, down_acked, catalog) = sql
                    .query_row(
                        "SELECT down_last, down_acked, catalog FROM gateway
                        WHERE tenant_id = ?1 AND id = ?2",
                        (scope.key(), gateway.0.into_bytes()),
                        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
                    )
                    .optional()
                    .doing("read a gateway")?
                    .ok_or(StoreError::NotFound { what: "gateway" })?;
                let marks = marks(sql, scope, gateway)?;
                let held = |incarnation| marks.get(incarnation).copied().unwrap_or_default();
                Ok(Known {
                    events: events
                        .iter()
                        .map(|(incarnation, _)| {
                            let (mark, chain) = held(incarnation);
                            (*incarnation, mark, chain)
                        })
                        .collect(),
                    lost: lost(&marks, &events),
                    down_last: sql::uint(down_last),
                    down_after: down_after(sql, scope, gateway, down)?,
                    down_acked: sql::uint(down_acked),
                    catalog,
                })
            })
            .await
    }

    /// A gateway holds these streams: what the hub holds of each, in their order. With `last`
    /// these and those before them on this connection are all it holds.
    pub async fn offered(
        &self,
        scope: TenantScope,
        gateway: GatewayId,
        offered: Vec<OfferedV1>,
        last: bool,
    ) -> Result<Vec<HeldV1>, StoreError> {
        self.write(move |work| {
            let mut held = Vec::with_capacity(offered.len());
            for stream in &offered {
                held.push(take_offer(work, scope, gateway, stream)?);
            }
            if last {
                work.sql
                    .execute(
                        "UPDATE stream SET gone = offered_us < (SELECT offers_since_us FROM gateway
                                WHERE gateway.tenant_id = ?1 AND gateway.id = ?2)
                        WHERE tenant_id = ?1 AND gateway_id = ?2",
                        (scope.key(), gateway.0.into_bytes()),
                    )
                    .doing("note which streams a gateway holds")?;
            }
            Ok(held)
        })
        .await
    }

    /// A gateway's own events of an incarnation after `seq`, in order, until `bytes_max` is
    /// reached; at least one when there is one.
    pub async fn own_after(
        &self,
        scope: TenantScope,
        gateway: GatewayId,
        (incarnation, seq): (u32, u64),
        bytes_max: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        self.engine
            .read(move |sql| {
                let doing = "read a gateway's own events";
                let most = i64::try_from(EVENTS_PER_FRAME_MAX).unwrap_or(i64::MAX);
                let mut query = sql
                    .prepare_cached(
                        "SELECT seq, body FROM event
                        WHERE tenant_id = ?1 AND origin = ?2 AND incarnation = ?3 AND seq > ?4
                        ORDER BY seq LIMIT ?5",
                    )
                    .doing(doing)?;
                let origin = Origin::Gateway(gateway).key();
                let rows = query
                    .query_map(
                        params![scope.key(), origin, incarnation, sql::int(seq), most],
                        |row| Ok((sql::uint(row.get(0)?), row.get::<_, Vec<u8>>(1)?)),
                    )
                    .doing(doing)?;
                let mut events: Vec<(u64, Vec<u8>)> = Vec::new();
                let mut bytes: usize = 0;
                for row in rows {
                    let (seq, body) = row.doing(doing)?;
                    bytes = bytes.saturating_add(body.len());
                    if bytes > bytes_max && !events.is_empty() {
                        break;
                    }
                    events.push((seq, body));
                }
                Ok(events)
            })
            .await
    }
}

fn take_offer(
    work: &Work<'_>,
    scope: TenantScope,
    gateway: GatewayId,
    offered: &OfferedV1,
) -> Result<HeldV1, StoreError> {
    let name = (offered.incarnation, StreamId(offered.stream));
    let mut row = blocks::stream_row(work.sql, scope, gateway, name)?;
    if row.is_none() && catalog::add_stream_like(work.sql, scope, gateway, (name, offered.schema))?
    {
        row = blocks::stream_row(work.sql, scope, gateway, name)?;
    }
    let mut held = HeldV1 {
        incarnation: offered.incarnation,
        stream: offered.stream,
        want_schema: row.is_none(),
        ranges: Vec::new(),
    };
    let Some(row) = row else { return Ok(held) };
    work.sql
        .prepare_cached(
            "UPDATE stream SET head_seq = max(head_seq, ?3), offered_us = ?4, gone = 0
            WHERE tenant_id = ?1 AND stream_key = ?2",
        )
        .and_then(|mut query| {
            let head = sql::int(offered.last);
            query.execute(params![scope.key(), row.key, head, work.now.0])
        })
        .doing("note how far a stream goes")?;
    let mut ranges = received::of_stream(work.sql, scope, row.key)?;
    // What the box gave up is not asked for again.
    for (first, last) in holes::lost(work.sql, scope, row.key)?.pairs() {
        ranges.insert(*first, *last);
    }
    let pairs = ranges.pairs();
    // The first ranges are the long ones; what is left out is only sent again.
    let kept = pairs.get(..RANGES_PER_HELD_MAX).unwrap_or(pairs);
    held.ranges = kept.to_vec();
    Ok(held)
}

fn marks(
    sql: &Connection,
    scope: TenantScope,
    gateway: GatewayId,
) -> Result<BTreeMap<u32, (u64, Chain)>, StoreError> {
    sql.prepare_cached(
        "SELECT incarnation, seq, chain FROM event_mark WHERE tenant_id = ?1 AND gateway_id = ?2",
    )
    .and_then(|mut query| {
        query
            .query_map((scope.key(), gateway.0.into_bytes()), |row| {
                Ok((row.get(0)?, (sql::uint(row.get(1)?), row.get(2)?)))
            })?
            .collect()
    })
    .doing("read how far a gateway's events go")
}

/// What the hub has and the gateway has not: its store was replaced, or put back from a copy.
fn lost(marks: &BTreeMap<u32, (u64, Chain)>, has: &[(u32, u64)]) -> Vec<OwnLost> {
    // With a full list the oldest were left out: nothing can be said of them.
    if has.len() >= INCARNATIONS_MAX {
        return Vec::new();
    }
    let has: BTreeMap<u32, u64> = has.iter().copied().collect();
    let mut lost = Vec::new();
    for (incarnation, (last, _)) in marks {
        let after = has.get(incarnation).copied().unwrap_or(0);
        if *last > after {
            lost.push(OwnLost {
                incarnation: *incarnation,
                after,
                last: *last,
            });
        }
    }
    lost
}

/// What the gateway holds of the hub's events, when they are the hub's.
fn down_after(
    sql: &Connection,
    scope: TenantScope,
    gateway: GatewayId,
    (seq, chain): (u64, Chain),
) -> Result<u64, StoreError> {
    let known: Option<Chain> = sql
        .prepare_cached(
            "SELECT chain FROM down WHERE tenant_id = ?1 AND gateway_id = ?2 AND seq = ?3",
        )
        .and_then(|mut query| {
            query
                .query_row(
                    (scope.key(), gateway.0.into_bytes(), sql::int(seq)),
                    |row| row.get(0),
                )
                .optional()
        })
        .doing("read the chain of a gateway's events")?;
    Ok(if known == Some(chain) { seq } else { 0 })
}
