//! Alerts and work orders as core.db holds them: folded from their events, found by an index
//! that is written again with every event. Never decides anything about a record.

use super::error::{Doing as _, StorageError};
use super::points;
use protocol::alert::{self, Alert, AlertState};
use protocol::asset::{self, Provisional};
use protocol::event::{Event, RecordKind, RecordRef};
use protocol::id::{AlarmPointId, AlertId, WorkOrderId};
use protocol::limits::EVENTS_PER_RECORD_MAX;
use protocol::stock::{self, Ledger};
use protocol::time::{Hlc, Timestamp};
use protocol::wire;
use protocol::work_order::{self, WorkOrder};
use rusqlite::{Connection, OptionalExtension as _};
use serde::Serialize;
use uuid::Uuid;

/// How many records need somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counts {
    /// Alerts that nobody acknowledged.
    pub alerts_active: u64,
    /// Alerts that are not closed.
    pub alerts_open: u64,
    /// Work orders that are neither done nor ended.
    pub orders_open: u64,
}

/// Which records a list shows, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Only alerts that are not closed, or orders that are neither done nor ended.
    pub open_only: bool,
    /// At most so many.
    pub limit: usize,
    /// Those after this one in the list: time (raised, created) and id of the last one shown.
    pub after: Option<(Timestamp, Uuid)>,
}

/// An alert, folded.
pub(super) fn alert(db: &Connection, id: AlertId) -> Result<Option<Alert>, StorageError> {
    Ok(alert::fold(id, &events(db, id.into())?))
}

/// A work order, folded.
pub(super) fn work_order(
    db: &Connection,
    id: WorkOrderId,
) -> Result<Option<WorkOrder>, StorageError> {
    Ok(work_order::fold(id, &events(db, id.into())?))
}

/// How many of the orders made since then a rule opened.
pub(super) fn orders_opened_by(
    db: &Connection,
    rule: &str,
    since: Timestamp,
) -> Result<usize, StorageError> {
    let doing = "counting the orders of a rule";
    let mut query = db
        .prepare_cached(
            "SELECT id FROM work_order WHERE created_at > ?1 AND dedupe_key IS NOT NULL",
        )
        .doing(doing)?;
    let mut rows = query.query([since.0]).doing(doing)?;
    let mut count = 0;
    while let Some(row) = rows.next().doing(doing)? {
        let id = row.get(0).map(Uuid::from_bytes).doing(doing)?;
        let order = work_order(db, WorkOrderId(id))?;
        count += usize::from(order.is_some_and(|order| order.created.1 == rule));
    }
    Ok(count)
}

/// An asset that was made on this box, folded.
pub(super) fn provisional(
    db: &Connection,
    record: RecordRef,
) -> Result<Option<Provisional>, StorageError> {
    Ok(asset::fold(record, &events(db, record)?))
}

/// The moves of one part of the stock, folded.
pub(super) fn ledger(db: &Connection, record: RecordRef) -> Result<Option<Ledger>, StorageError> {
    Ok(stock::fold(record, &events(db, record)?))
}

/// The records of a kind that has no index of its own, at most `max`.
pub(super) fn records_of(
    db: &Connection,
    kind: RecordKind,
    max: usize,
) -> Result<Vec<RecordRef>, StorageError> {
    db.prepare_cached("SELECT DISTINCT record FROM event WHERE kind = ?1 LIMIT ?2")
        .and_then(|mut query| {
            query
                .query_map((kind_code(kind), max), |row| {
                    let id = row.get(0).map(Uuid::from_bytes)?;
                    Ok(RecordRef { kind, id })
                })?
                .collect()
        })
        .doing("listing the records of a kind")
}

/// Folds a record again and writes its index.
pub(super) fn refresh(db: &Connection, record: RecordRef) -> Result<(), StorageError> {
    match record.kind {
        RecordKind::Alert => match alert(db, AlertId(record.id))? {
            Some(alert) => index_alert(db, &alert),
            None => Ok(()),
        },
        RecordKind::WorkOrder => match work_order(db, WorkOrderId(record.id))? {
            Some(order) => index_order(db, &order),
            None => Ok(()),
        },
        RecordKind::AlarmPoint => points::refresh_point(db, AlarmPointId(record.id)),
        RecordKind::Gateway | RecordKind::Asset | RecordKind::Stock | RecordKind::Other(_) => {
            Ok(())
        }
    }
}

/// The highest stamp stored for a record, and the highest of those that others wrote.
pub(super) fn latest(db: &Connection, record: RecordRef) -> Result<(Hlc, Hlc), StorageError> {
    let (all, others): (Option<[u8; 16]>, Option<[u8; 16]>) = db
        .prepare_cached(
            "SELECT max(hlc), max(CASE WHEN seq IS NULL THEN hlc END) FROM event
             WHERE kind = ?1 AND record = ?2",
        )
        .and_then(|mut query| {
            query.query_row((kind_code(record.kind), record.id.as_bytes()), |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
        })
        .doing("looking for the latest event of a record")?;
    let stamp = |key: Option<[u8; 16]>| key.map(hlc_from_key).unwrap_or_default();
    Ok((stamp(all), stamp(others)))
}

/// The newest order for a dedupe key.
pub(super) fn order_by_key(
    db: &Connection,
    key: &str,
    open: bool,
) -> Result<Option<WorkOrderId>, StorageError> {
    db.prepare_cached(
        "SELECT id FROM work_order WHERE dedupe_key = ?1 AND open >= ?2
         ORDER BY created_at DESC, id DESC LIMIT 1",
    )
    .and_then(|mut query| query.query_row((key, open), |row| row.get(0)).optional())
    .doing("looking for the order of a dedupe key")
    .map(|id: Option<[u8; 16]>| id.map(|id| WorkOrderId(Uuid::from_bytes(id))))
}

/// The orders on which somebody's clock runs, in the order of their ids.
pub(super) fn orders_with_clocks(db: &Connection) -> Result<Vec<WorkOrder>, StorageError> {
    let doing = "looking for the orders on which a clock runs";
    let ids: Vec<Uuid> = db
        .prepare_cached("SELECT id FROM work_order WHERE clocks > 0 ORDER BY id")
        .and_then(|mut query| {
            let ids = query.query_map([], |row| row.get(0).map(Uuid::from_bytes))?;
            ids.collect()
        })
        .doing(doing)?;
    let folded = ids.into_iter().map(|id| work_order(db, WorkOrderId(id)));
    folded.filter_map(Result::transpose).collect()
}

/// The newest order that an alert stands behind, and its number.
pub(super) fn order_of_alert(
    db: &Connection,
    alert: AlertId,
) -> Result<Option<(WorkOrderId, String)>, StorageError> {
    db.prepare_cached(
        "SELECT id, number FROM work_order_alert JOIN work_order ON id = work_order
         WHERE alert = ?1 ORDER BY created_at DESC, id DESC LIMIT 1",
    )
    .and_then(|mut query| {
        query
            .query_row([alert.0.as_bytes()], |row| {
                let id = WorkOrderId(Uuid::from_bytes(row.get(0)?));
                Ok((id, row.get(1)?))
            })
            .optional()
    })
    .doing("looking for the order of an alert")
}

/// A page of alerts.
pub(super) fn alerts(db: &Connection, page: &Page) -> Result<Vec<Alert>, StorageError> {
    let ids = ids(db, "alert", "raised_at", page)?;
    let folded = ids.into_iter().map(|id| alert(db, AlertId(id)));
    folded.filter_map(Result::transpose).collect()
}

/// A page of work orders.
pub(super) fn work_orders(db: &Connection, page: &Page) -> Result<Vec<WorkOrder>, StorageError> {
    let ids = ids(db, "work_order", "created_at", page)?;
    let folded = ids.into_iter().map(|id| work_order(db, WorkOrderId(id)));
    folded.filter_map(Result::transpose).collect()
}

/// How many records need somebody.
pub(super) fn counts(db: &Connection) -> Result<Counts, StorageError> {
    db.prepare_cached(
        "SELECT (SELECT count(*) FROM alert WHERE open = 1 AND state = 'active'),
                (SELECT count(*) FROM alert WHERE open = 1),
                (SELECT count(*) FROM work_order WHERE open = 1)",
    )
    .and_then(|mut query| {
        query.query_row([], |row| {
            Ok(Counts {
                alerts_active: row.get(0)?,
                alerts_open: row.get(1)?,
                orders_open: row.get(2)?,
            })
        })
    })
    .doing("counting records")
}

/// The number of a kind of record in the tables.
pub(super) const fn kind_code(kind: RecordKind) -> u8 {
    kind.code()
}

/// Bytes that sort like the stamp.
pub(super) fn hlc_key(hlc: Hlc) -> [u8; 16] {
    let key = u128::from(hlc.wall_ms) << 64 | u128::from(hlc.counter) << 32 | u128::from(hlc.node);
    key.to_be_bytes()
}

/// The inverse of [`hlc_key`].
pub(super) fn hlc_from_key(key: [u8; 16]) -> Hlc {
    let key = u128::from_be_bytes(key);
    // Each part is masked to its width, so that it fits.
    let part = |shift: u32| u32::try_from(key >> shift & u128::from(u32::MAX)).unwrap_or(u32::MAX);
    Hlc {
        wall_ms: u64::from(part(96)) << 32 | u64::from(part(64)),
        counter: part(32),
        node: part(0),
    }
}

pub(super) fn events(db: &Connection, record: RecordRef) -> Result<Vec<Event>, StorageError> {
    let doing = "reading the events of a record";
    let mut query = db
        .prepare_cached(
            "SELECT body FROM event WHERE kind = ?1 AND record = ?2 ORDER BY hlc, id LIMIT ?3",
        )
        .doing(doing)?;
    let mut rows = query
        .query((
            kind_code(record.kind),
            record.id.as_bytes(),
            EVENTS_PER_RECORD_MAX,
        ))
        .doing(doing)?;
    let mut events = Vec::new();
    while let Some(row) = rows.next().doing(doing)? {
        let body = row.get_ref(0).doing(doing)?.as_blob().unwrap_or_default();
        events.push(wire::decode_event(body).doing(doing)?);
    }
    Ok(events)
}

fn ids(
    db: &Connection,
    table: &'static str,
    time: &'static str,
    page: &Page,
) -> Result<Vec<Uuid>, StorageError> {
    let open = if page.open_only { "open = 1 AND" } else { "" };
    let (at, id) = page.after.unwrap_or((Timestamp(i64::MAX), Uuid::max()));
    db.prepare_cached(&format!(
        "SELECT id FROM {table} WHERE {open} ({time}, id) < (?1, ?2)
         ORDER BY {time} DESC, id DESC LIMIT ?3"
    ))
    .and_then(|mut query| {
        query
            .query_map((at.0, id.as_bytes(), page.limit), |row| {
                row.get(0).map(Uuid::from_bytes)
            })?
            .collect()
    })
    .doing("listing records")
}

fn index_alert(db: &Connection, alert: &Alert) -> Result<(), StorageError> {
    let state = alert.state();
    db.prepare_cached(
        "INSERT OR REPLACE INTO alert
             (id, state, open, severity, raised_at, rule, sensor, cleared_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )
    .and_then(|mut insert| {
        insert.execute((
            alert.id.0.as_bytes(),
            word(state),
            state != AlertState::Closed,
            word(alert.raised.severity),
            alert.raised_at.0,
            &alert.raised.rule,
            &alert.raised.sensor_path,
            alert.cleared.map(|(at, _)| at.0),
        ))
    })
    .doing("indexing an alert")?;
    Ok(())
}

fn index_order(db: &Connection, order: &WorkOrder) -> Result<(), StorageError> {
    let doing = "indexing a work order";
    db.prepare_cached(
        "INSERT INTO work_order (id, number, title, state, open, dedupe_key, created_at, clocks)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (id) DO UPDATE SET number = ?2, title = ?3, state = ?4, open = ?5,
             dedupe_key = ?6, created_at = ?7, clocks = ?8",
    )
    .and_then(|mut insert| {
        insert.execute((
            order.id.0.as_bytes(),
            &order.number,
            &order.title.value,
            word(order.state),
            order.state.is_open(),
            &order.dedupe_key,
            order.created.0.0,
            order.clocks.len(),
        ))
    })
    .doing(doing)?;
    for alert in &order.alerts {
        db.prepare_cached(
            "INSERT OR IGNORE INTO work_order_alert (alert, work_order) VALUES (?1, ?2)",
        )
        .and_then(|mut insert| insert.execute((alert.0.as_bytes(), order.id.0.as_bytes())))
        .doing(doing)?;
    }
    Ok(())
}

/// The one word that JSON has for a state: the tables use the same.
pub(super) fn word(value: impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_like_stamps_and_come_back() {
        let stamp = |wall_ms, counter, node| Hlc {
            wall_ms,
            counter,
            node,
        };
        let ascending = [
            stamp(0, 0, 7),
            stamp(1, 0, 3),
            stamp(1, 2, 0),
            stamp(1, u32::MAX, u32::MAX),
            stamp(1 << 40, 0, 0),
            stamp(u64::MAX, 5, 9),
        ];
        assert!(ascending.is_sorted_by_key(|stamp| hlc_key(*stamp)));
        for stamp in ascending {
            assert_eq!(hlc_from_key(hlc_key(stamp)), stamp);
        }
    }
}
