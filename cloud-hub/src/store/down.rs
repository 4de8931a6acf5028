//! The hub's events on their way to a box: numbered densely per gateway, kept so that a box that
//! lost its store can have them again.

use super::error::{Doing as _, StoreError};
use super::{Store, sql};
use crate::tenants::TenantScope;
use protocol::id::{EventId, GatewayId};
use protocol::limits::EVENTS_PER_FRAME_MAX;
use protocol::wire;
use protocol::wire::v1::Chain;
use rusqlite::{Connection, OptionalExtension as _};

impl Store {
    /// The events after `seq`, in order, until `bytes_max` is reached; always at least one when
    /// there is one. Each with its number and its bytes (`wire::encode_event`).
    pub async fn down_after(
        &self,
        scope: TenantScope,
        gateway: GatewayId,
        seq: u64,
        bytes_max: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        self.engine
            .read(move |sql| {
                let most = i64::try_from(EVENTS_PER_FRAME_MAX).unwrap_or(i64::MAX);
                let mut query = sql
                    .prepare_cached(
                        "SELECT down.seq, event.body FROM down
                        JOIN event ON event.tenant_id = down.tenant_id AND event.id = down.event_id
                        WHERE down.tenant_id = ?1 AND down.gateway_id = ?2 AND down.seq > ?3
                        ORDER BY down.seq LIMIT ?4",
                    )
                    .doing("read events for a gateway")?;
                let rows = query
                    .query_map(
                        (scope.key(), gateway.0.into_bytes(), sql::int(seq), most),
                        |row| Ok((sql::uint(row.get(0)?), row.get::<_, Vec<u8>>(1)?)),
                    )
                    .doing("read events for a gateway")?;
                let mut events = Vec::new();
                let mut bytes: usize = 0;
                for row in rows {
                    let (seq, body) = row.doing("read events for a gateway")?;
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

    /// Highest number of the hub's events for a gateway.
    pub async fn down_last(
        &self,
        scope: TenantScope,
        gateway: GatewayId,
    ) -> Result<u64, StoreError> {
        self.engine
            .read(move |sql| {
                sql.query_row(
                    "SELECT down_last FROM gateway WHERE tenant_id = ?1 AND id = ?2",
                    (scope.key(), gateway.0.into_bytes()),
                    |row| row.get(0).map(sql::uint),
                )
                .optional()
                .doing("read how far a gateway's events go")?
                .ok_or(StoreError::NotFound { what: "gateway" })
            })
            .await
    }

    /// The box holds the hub's events up to `seq`.
    pub async fn mark_down_acked(
        &self,
        scope: TenantScope,
        gateway: GatewayId,
        seq: u64,
    ) -> Result<(), StoreError> {
        self.write(move |work| {
            work.sql
                .execute(
                    "UPDATE gateway SET down_acked = min(down_last, max(down_acked, ?3)),
                        last_seen_us = ?4
                    WHERE tenant_id = ?1 AND id = ?2",
                    (
                        scope.key(),
                        gateway.0.into_bytes(),
                        sql::int(seq),
                        work.now.0,
                    ),
                )
                .map(|_| ())
                .doing("note what a gateway holds")
        })
        .await
    }
}

/// Gives an event the next number for a gateway.
pub(super) fn push(
    sql: &Connection,
    scope: TenantScope,
    gateway: GatewayId,
    event: EventId,
) -> Result<(), StoreError> {
    let seq: i64 = sql
        .prepare_cached(
            "UPDATE gateway SET down_last = down_last + 1
            WHERE tenant_id = ?1 AND id = ?2 RETURNING down_last",
        )
        .and_then(|mut query| {
            query
                .query_row((scope.key(), gateway.0.into_bytes()), |row| row.get(0))
                .optional()
        })
        .doing("number an event for a gateway")?
        .ok_or(StoreError::NotFound { what: "gateway" })?;
    let before: Option<Chain> = sql
        .prepare_cached(
            "SELECT chain FROM down WHERE tenant_id = ?1 AND gateway_id = ?2 AND seq = ?3",
        )
        .and_then(|mut query| {
            query
                .query_row((scope.key(), gateway.0.into_bytes(), seq - 1), |row| {
                    row.get(0)
                })
                .optional()
        })
        .doing("read the chain of a gateway's events")?;
    let body: Vec<u8> = sql
        .prepare_cached("SELECT body FROM event WHERE tenant_id = ?1 AND id = ?2")
        .and_then(|mut query| {
            query.query_row((scope.key(), event.0.into_bytes()), |row| row.get(0))
        })
        .doing("read an event for a gateway")?;
    let chain = wire::chain(&before.unwrap_or_default(), &body);
    sql.prepare_cached(
        "INSERT INTO down (tenant_id, gateway_id, seq, event_id, chain)
        VALUES (?1, ?2, ?3, ?4, ?5)",
    )
    .and_then(|mut query| {
        query.execute((
            scope.key(),
            gateway.0.into_bytes(),
            seq,
            event.0.into_bytes(),
            chain,
        ))
    })
    .map(|_| ())
    .doing("put an event on its way to a gateway")
}
