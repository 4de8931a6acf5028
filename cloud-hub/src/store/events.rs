//! Events in the store: each once, in dense order per origin, and the lists folded from them.
//! Never changes an event.

use super::changes::{Change, Changed};
use super::error::{Doing as _, StoreError};
use super::writer::Work;
use super::{contents, sql, words};
use crate::tenants::TenantScope;
use protocol::alert::{self, Alert, AlertState};
use protocol::event::{Body, Event, GatewayEvent, RecordKind, RecordRef, Severity};
use protocol::id::{AlarmPointId, AlertId, GatewayId, Origin, WorkOrderId};
use protocol::limits;
use protocol::time::Hlc;
use protocol::wire;
use protocol::wire::v1::Chain;
use protocol::work_order::{self, WorkOrder};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::Serialize;

/// The number of a kind of record in a column.
pub(super) fn kind_code(kind: RecordKind) -> i64 {
    i64::from(kind.code())
}

/// The number of an urgency in a column: more urgent is higher.
pub(super) const fn severity_code(severity: Severity) -> i64 {
    match severity {
        Severity::Low => 1,
        Severity::Medium => 2,
        Severity::High => 3,
        Severity::Critical => 4,
    }
}

/// The word that a state has in the JSON interface, which is also what the column holds.
pub(super) fn state_word<S: Serialize>(state: &S) -> String {
    match serde_json::to_value(state) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

/// Up to here the events of a gateway's incarnation are held without a hole, and the chain over
/// them.
pub(super) fn mark(
    sql: &Connection,
    scope: TenantScope,
    gateway: GatewayId,
    incarnation: u32,
) -> Result<(u64, Chain), StoreError> {
    sql.prepare_cached(
        "SELECT seq, chain FROM event_mark
        WHERE tenant_id = ?1 AND gateway_id = ?2 AND incarnation = ?3",
    )
    .and_then(|mut query| {
        query
            .query_row((scope.key(), gateway.0.into_bytes(), incarnation), |row| {
                Ok((sql::uint(row.get(0)?), row.get(1)?))
            })
            .optional()
    })
    .map(Option::unwrap_or_default)
    .doing("read how far a gateway's events go")
}

/// Moves the mark.
pub(super) fn set_mark(
    sql: &Connection,
    scope: TenantScope,
    gateway: GatewayId,
    (incarnation, seq, chain): (u32, u64, Chain),
) -> Result<(), StoreError> {
    sql.prepare_cached(
        "INSERT INTO event_mark (tenant_id, gateway_id, incarnation, seq, chain)
        VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT DO UPDATE SET seq = excluded.seq, chain = excluded.chain",
    )
    .and_then(|mut query| {
        query.execute(params![
            scope.key(),
            gateway.0.into_bytes(),
            incarnation,
            sql::int(seq),
            chain
        ])
    })
    .map(|_| ())
    .doing("note how far a gateway's events go")
}

/// Stores an event; `false` when it is held already. One with `set_aside` is kept, but no fold
/// follows it.
pub(super) fn insert(
    work: &Work<'_>,
    scope: TenantScope,
    event: &Event,
    set_aside: Option<&str>,
) -> Result<bool, StoreError> {
    let body = wire::encode_event(event).doing("an event")?;
    work.sql
        .prepare_cached(
            "INSERT OR IGNORE INTO event (tenant_id, id, origin, incarnation, seq, hlc,
                record_kind, record_id, time_us, received_us, set_aside, body)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )
        .and_then(|mut query| {
            query.execute(params![
                scope.key(),
                event.id.0.into_bytes(),
                event.origin.key(),
                event.incarnation,
                sql::int(event.seq),
                sql::hlc_bytes(event.hlc),
                kind_code(event.record.kind),
                event.record.id.into_bytes(),
                event.time.0,
                work.now.0,
                set_aside,
                body
            ])
        })
        .map(|added| added == 1)
        .doing("store an event")
}

/// The events of a record that its fold follows.
pub(super) fn of_record(
    sql: &Connection,
    scope: TenantScope,
    record: RecordRef,
) -> Result<Vec<Event>, StoreError> {
    let most = i64::try_from(limits::EVENTS_PER_RECORD_MAX).unwrap_or(i64::MAX);
    let bodies = sql
        .prepare_cached(
            "SELECT body FROM event WHERE tenant_id = ?1 AND record_kind = ?2 AND record_id = ?3
            AND set_aside IS NULL ORDER BY hlc, id LIMIT ?4",
        )
        .and_then(|mut query| {
            query
                .query_map(
                    params![
                        scope.key(),
                        kind_code(record.kind),
                        record.id.into_bytes(),
                        most
                    ],
                    |row| row.get::<_, Vec<u8>>(0),
                )?
                .collect::<Result<Vec<_>, _>>()
        })
        .doing("read the events of a record")?;
    bodies
        .iter()
        .map(|body| wire::decode_event(body).doing("a stored event"))
        .collect()
}

/// The highest stamp on a record, and the highest that another origin than the hub gave.
pub(super) fn highest_stamps(
    sql: &Connection,
    scope: TenantScope,
    record: RecordRef,
) -> Result<(Hlc, Hlc), StoreError> {
    let (all, others): (Option<[u8; 16]>, Option<[u8; 16]>) = sql
        .prepare_cached(
            "SELECT max(hlc), max(CASE WHEN origin <> ?4 THEN hlc END) FROM event
            WHERE tenant_id = ?1 AND record_kind = ?2 AND record_id = ?3",
        )
        .and_then(|mut query| {
            query.query_row(
                (
                    scope.key(),
                    kind_code(record.kind),
                    record.id.into_bytes(),
                    Origin::Hub.key(),
                ),
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
        })
        .doing("read the highest stamps of a record")?;
    let stamp = |bytes: Option<[u8; 16]>| bytes.map(sql::hlc).unwrap_or_default();
    Ok((stamp(all), stamp(others)))
}

/// The gateway at which a record lives; `gateway` when it has no home yet.
pub(super) fn settle_home(
    sql: &Connection,
    scope: TenantScope,
    record: RecordRef,
    gateway: GatewayId,
) -> Result<GatewayId, StoreError> {
    if let Some(home) = home(sql, scope, record)? {
        return Ok(home);
    }
    sql.prepare_cached(
        "INSERT INTO record_home (tenant_id, record_kind, record_id, gateway_id)
        VALUES (?1, ?2, ?3, ?4)",
    )
    .and_then(|mut query| {
        query.execute((
            scope.key(),
            kind_code(record.kind),
            record.id.into_bytes(),
            gateway.0.into_bytes(),
        ))
    })
    .doing("note where a record lives")?;
    Ok(gateway)
}

/// The gateway at which a record lives.
pub(super) fn home(
    sql: &Connection,
    scope: TenantScope,
    record: RecordRef,
) -> Result<Option<GatewayId>, StoreError> {
    sql.prepare_cached(
        "SELECT gateway_id FROM record_home
        WHERE tenant_id = ?1 AND record_kind = ?2 AND record_id = ?3",
    )
    .and_then(|mut query| {
        query
            .query_row(
                (scope.key(), kind_code(record.kind), record.id.into_bytes()),
                |row| sql::id(row, 0),
            )
            .optional()
    })
    .doing("look up where a record lives")
}

/// Brings the lists up to date with a record's events and tells of the change.
pub(super) fn refold(
    work: &mut Work<'_>,
    scope: TenantScope,
    record: RecordRef,
) -> Result<(), StoreError> {
    if record.kind == RecordKind::Gateway {
        let what = Changed::Gateway(GatewayId(record.id));
        work.changes.push(Change { scope, what });
        return Ok(());
    }
    let Some(home) = home(work.sql, scope, record)? else {
        return Ok(());
    };
    let what = match record.kind {
        RecordKind::Alert => {
            let id = AlertId(record.id);
            let events = of_record(work.sql, scope, record)?;
            if let Some(alert) = alert::fold(id, &events) {
                index_alert(work.sql, scope, home, &alert)?;
            }
            Changed::Alert(id)
        }
        RecordKind::WorkOrder => {
            let id = WorkOrderId(record.id);
            let events = of_record(work.sql, scope, record)?;
            if let Some(order) = work_order::fold(id, &events) {
                index_work_order(work.sql, scope, home, &order)?;
            }
            Changed::WorkOrder(id)
        }
        RecordKind::AlarmPoint => Changed::AlarmPoint(AlarmPointId(record.id)),
        RecordKind::Gateway | RecordKind::Asset | RecordKind::Stock | RecordKind::Other(_) => {
            Changed::Gateway(home)
        }
    };
    work.changes.push(Change { scope, what });
    Ok(())
}

/// Keeps what a gateway says about itself.
pub(super) fn note_gateway_event(
    sql: &Connection,
    scope: TenantScope,
    gateway: GatewayId,
    event: &Event,
) -> Result<(), StoreError> {
    match &event.body {
        Body::Gateway(GatewayEvent::Gap { from, to, polls, cause }) => sql
            .prepare_cached(
                "INSERT OR IGNORE INTO gap (tenant_id, gateway_id, event_id, from_us, to_us, polls, cause)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )
            .and_then(|mut query| {
                query.execute(params![
                    scope.key(),
                    gateway.0.into_bytes(),
                    event.id.0.into_bytes(),
                    from.0,
                    to.0,
                    sql::int(*polls),
                    super::holes::cause_code(*cause)
                ])
            })
            .map(|_| ())
            .doing("note a gap"),
        Body::Gateway(GatewayEvent::Started { version }) => sql
            .prepare_cached("UPDATE gateway SET version = ?3 WHERE tenant_id = ?1 AND id = ?2")
            .and_then(|mut query| {
                query.execute((scope.key(), gateway.0.into_bytes(), version))
            })
            .map(|_| ())
            .doing("note a gateway's version"),
        Body::Gateway(GatewayEvent::Worded { sensor, words }) => {
            words::note(sql, scope, gateway, (event, *sensor, words))
        }
        _ => Ok(()),
    }
}

fn index_alert(
    sql: &Connection,
    scope: TenantScope,
    home: GatewayId,
    alert: &Alert,
) -> Result<(), StoreError> {
    let state = alert.state();
    sql.prepare_cached(
        "INSERT INTO alert (tenant_id, id, gateway_id, state, open, severity, raised_us)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
        ON CONFLICT DO UPDATE SET state = excluded.state, open = excluded.open,
            severity = excluded.severity, raised_us = excluded.raised_us",
    )
    .and_then(|mut query| {
        query.execute(params![
            scope.key(),
            alert.id.0.into_bytes(),
            home.0.into_bytes(),
            state_word(&state),
            state != AlertState::Closed,
            severity_code(alert.raised.severity),
            alert.raised_at.0
        ])
    })
    .map(|_| ())
    .doing("keep the list of alerts")
}

fn index_work_order(
    sql: &Connection,
    scope: TenantScope,
    home: GatewayId,
    order: &WorkOrder,
) -> Result<(), StoreError> {
    let id = order.id.0.into_bytes();
    sql.prepare_cached(
        "INSERT INTO work_order (tenant_id, id, gateway_id, number, state, open, dedupe_key,
            needs_review, created_us, search)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
        ON CONFLICT DO UPDATE SET number = excluded.number, state = excluded.state,
            open = excluded.open, dedupe_key = excluded.dedupe_key,
            needs_review = excluded.needs_review, created_us = excluded.created_us,
            search = excluded.search",
    )
    .and_then(|mut query| {
        query.execute(params![
            scope.key(),
            id,
            home.0.into_bytes(),
            order.number,
            state_word(&order.state),
            order.state.is_open(),
            order.dedupe_key,
            order.needs_review,
            order.created.0.0,
            search_text(order)
        ])
    })
    .doing("keep the list of work orders")?;
    for alert in &order.alerts {
        sql.prepare_cached(
            "INSERT OR IGNORE INTO work_order_alert (tenant_id, alert_id, work_order_id)
            VALUES (?1, ?2, ?3)",
        )
        .and_then(|mut query| query.execute((scope.key(), alert.0.into_bytes(), id)))
        .doing("keep the list of work orders")?;
    }
    for attachment in &order.attachments {
        contents::belongs_to(sql, scope, attachment.content.hash, order.id)?;
    }
    Ok(())
}

fn search_text(order: &WorkOrder) -> String {
    let assignee = order.assignee.value.as_ref();
    [
        Some(order.number.as_str()),
        Some(order.title.value.as_str()),
        order.asset.value.as_deref(),
        assignee.map(|assignee| assignee.name.as_str()),
        Some(order.description.value.as_str()),
    ]
    .into_iter()
    .flatten()
    .collect::<Vec<_>>()
    .join("\n")
    .to_lowercase()
}
