//! Alarm points as core.db holds them, and what the load of alerts is counted from.
//! Never decides anything about a point.

use super::error::{Doing as _, StorageError};
use super::folds::{events, refresh};
use super::{RecordTx, Storage};
use protocol::alarm_load::Raised;
use protocol::alarm_point::{self, AlarmPoint};
use protocol::event::{RecordKind, RecordRef, Severity};
use protocol::id::AlarmPointId;
use protocol::time::Timestamp;
use rusqlite::{Connection, Row};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Most alerts from which a load is counted; of more the newest.
pub const LOAD_ALERTS_MAX: usize = 50_000;

/// What is known of a rule's alerts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleCounts {
    /// Raised since the time that was asked for.
    pub recent: u64,
    /// When it was raised last.
    pub last: Option<Timestamp>,
    /// Its newest alert, while that is not closed.
    pub open: Option<protocol::id::AlertId>,
}

impl Storage {
    /// An alarm point, or a maintenance switch.
    pub async fn alarm_point(&self, id: AlarmPointId) -> Result<Option<AlarmPoint>, StorageError> {
        self.core.read(move |db| point(db, id)).await
    }

    /// All points of which something is held back, and the switches that are on.
    pub async fn held_alarm_points(&self) -> Result<Vec<AlarmPoint>, StorageError> {
        self.core.read(|db| listed(db, "held = 1")).await
    }

    /// All points whose rule was told to learn anew. To be called when the agent starts.
    pub async fn relearned_alarm_points(&self) -> Result<Vec<AlarmPoint>, StorageError> {
        let points = self.core.read(|db| listed(db, "rule <> ''")).await?;
        let is_relearned = |point: &AlarmPoint| point.learns_anew.is_some();
        Ok(points.into_iter().filter(is_relearned).collect())
    }

    /// Alerts that were raised with `from <= time`, oldest first; at most [`LOAD_ALERTS_MAX`], and
    /// those that stood then.
    pub async fn raised_since(&self, from: Timestamp) -> Result<Vec<Raised>, StorageError> {
        self.core.read(move |db| raised_since(db, from)).await
    }

    /// What is known of the alerts of each rule, by name.
    pub async fn rule_counts(
        &self,
        from: Timestamp,
    ) -> Result<BTreeMap<String, RuleCounts>, StorageError> {
        self.core.read(move |db| rule_counts(db, from)).await
    }
}

impl RecordTx<'_> {
    /// An alarm point, or a maintenance switch.
    pub fn alarm_point(&self, id: AlarmPointId) -> Result<Option<AlarmPoint>, StorageError> {
        point(self.db(), id)
    }
}

fn point(db: &Connection, id: AlarmPointId) -> Result<Option<AlarmPoint>, StorageError> {
    Ok(alarm_point::fold(id, &events(db, id.into())?))
}

/// Folds a point again and writes its index.
pub(super) fn refresh_point(db: &Connection, id: AlarmPointId) -> Result<(), StorageError> {
    let Some(point) = point(db, id)? else {
        return Ok(());
    };
    let is_held = point.is_held();
    db.prepare_cached(
        "INSERT OR REPLACE INTO alarm_point (id, rule, sensor, held) VALUES (?1, ?2, ?3, ?4)",
    )
    .and_then(|mut insert| {
        insert.execute((id.0.as_bytes(), &point.rule, &point.sensor_path, is_held))
    })
    .doing("indexing an alarm point")?;
    Ok(())
}

fn listed(db: &Connection, which: &'static str) -> Result<Vec<AlarmPoint>, StorageError> {
    let doing = "listing alarm points";
    let ids: Vec<AlarmPointId> = db
        .prepare_cached(&format!(
            "SELECT id FROM alarm_point WHERE {which} ORDER BY rule, id"
        ))
        .and_then(|mut query| {
            query
                .query_map([], |row| Ok(AlarmPointId(id(row, 0)?)))?
                .collect()
        })
        .doing(doing)?;
    let points = ids.into_iter().map(|id| point(db, id));
    points.filter_map(Result::transpose).collect()
}

fn raised_since(db: &Connection, from: Timestamp) -> Result<Vec<Raised>, StorageError> {
    let raised = |row: &Row<'_>| {
        let severity: String = row.get(3)?;
        Ok(Raised {
            rule: row.get(0)?,
            sensor: row.get(1)?,
            raised_at: Timestamp(row.get(2)?),
            severity: severity_of(&severity),
            cleared_at: row.get::<_, Option<i64>>(4)?.map(Timestamp),
        })
    };
    let mut alerts: Vec<Raised> = db
        .prepare_cached(
            "SELECT rule, sensor, raised_at, severity, cleared_at FROM alert
             WHERE rule IS NOT NULL AND (raised_at >= ?1 OR (open = 1 AND cleared_at IS NULL))
             ORDER BY raised_at DESC LIMIT ?2",
        )
        .and_then(|mut query| {
            query
                .query_map((from.0, LOAD_ALERTS_MAX), raised)?
                .collect()
        })
        .doing("reading the alerts of a time")?;
    alerts.reverse();
    Ok(alerts)
}

fn rule_counts(
    db: &Connection,
    from: Timestamp,
) -> Result<BTreeMap<String, RuleCounts>, StorageError> {
    let doing = "counting the alerts of the rules";
    let counts = |row: &Row<'_>| {
        let counts = RuleCounts {
            recent: row.get(1)?,
            last: row.get::<_, Option<i64>>(2)?.map(Timestamp),
            open: None,
        };
        Ok((row.get(0)?, counts))
    };
    let mut rules: BTreeMap<String, RuleCounts> = db
        .prepare_cached(
            "SELECT rule, sum(raised_at >= ?1), max(raised_at) FROM alert
             WHERE rule IS NOT NULL GROUP BY rule",
        )
        .and_then(|mut query| query.query_map([from.0], counts)?.collect())
        .doing(doing)?;
    // Ascending: the newest stays.
    let open: Vec<(String, Uuid)> = db
        .prepare_cached(
            "SELECT rule, id FROM alert WHERE open = 1 AND rule IS NOT NULL ORDER BY raised_at",
        )
        .and_then(|mut query| {
            query
                .query_map([], |row| Ok((row.get(0)?, id(row, 1)?)))?
                .collect()
        })
        .doing(doing)?;
    for (rule, id) in open {
        rules.entry(rule).or_default().open = Some(protocol::id::AlertId(id));
    }
    Ok(rules)
}

/// Fills in what an earlier version did not write.
pub(super) fn complete(db: &Connection) -> Result<(), StorageError> {
    let lacking = [
        (RecordKind::Alert, "SELECT id FROM alert WHERE rule IS NULL"),
        (
            RecordKind::WorkOrder,
            "SELECT id FROM work_order WHERE clocks IS NULL",
        ),
    ];
    for (kind, query) in lacking {
        let ids: Vec<Uuid> = db
            .prepare(query)
            .and_then(|mut query| query.query_map([], |row| id(row, 0))?.collect())
            .doing("completing the index of alerts and orders")?;
        for id in ids {
            refresh(db, RecordRef { kind, id })?;
        }
    }
    Ok(())
}

fn id(row: &Row<'_>, at: usize) -> rusqlite::Result<Uuid> {
    row.get(at).map(Uuid::from_bytes)
}

fn severity_of(word: &str) -> Severity {
    match word {
        "critical" => Severity::Critical,
        "high" => Severity::High,
        "low" => Severity::Low,
        _ => Severity::Medium,
    }
}
