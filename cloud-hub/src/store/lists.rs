//! Alerts and work orders as lists: found by the index tables, told by their events.

use super::error::{Doing as _, StoreError};
use super::page::{Keyed, Listed, Page};
use super::{Store, events, sql};
use crate::tenants::TenantScope;
use protocol::alarm_point::{self, AlarmPoint};
use protocol::alert::{self, Alert, AlertState};
use protocol::event::{RecordRef, Severity};
use protocol::id::{AlarmPointId, AlertId, GatewayId, WorkOrderId};
use protocol::view::{self, Home, Named, OrderLink};
use protocol::work_order::{self, WorkOrder, WorkOrderState};
use rusqlite::{Connection, OptionalExtension as _, params};
use uuid::Uuid;

/// Which alerts.
#[derive(Clone, Debug, Default)]
pub struct AlertFilter {
    /// Only those that are not closed.
    pub open: bool,
    /// Only those in this state.
    pub state: Option<AlertState>,
    /// Only those of this gateway.
    pub gateway: Option<GatewayId>,
    /// Only those of this urgency.
    pub severity: Option<Severity>,
}

/// Which work orders.
#[derive(Clone, Debug, Default)]
pub struct WorkOrderFilter {
    /// Only those that still need somebody.
    pub open: bool,
    /// Only those in this state.
    pub state: Option<WorkOrderState>,
    /// Only those of this gateway.
    pub gateway: Option<GatewayId>,
    /// Only those with this text in number, title, asset, assignee or description.
    pub text: Option<String>,
}

/// An alert, its order and where it lives.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertRow {
    /// The alert, as its events tell it.
    pub alert: Alert,
    /// The order behind it.
    pub order: Option<OrderLink>,
    /// Gateway and site.
    pub home: Home,
    /// Its alarm point, and what the events of that tell, when there are any.
    pub point: Option<(AlarmPointId, Option<AlarmPoint>)>,
}

/// A work order and where it lives.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkOrderRow {
    /// The order, as its events tell it.
    pub order: WorkOrder,
    /// Gateway and site.
    pub home: Home,
}

impl Keyed for AlertRow {
    fn key(&self) -> (String, Uuid) {
        (self.alert.raised_at.0.to_string(), self.alert.id.0)
    }
}

impl Keyed for WorkOrderRow {
    fn key(&self) -> (String, Uuid) {
        (self.order.created.0.0.to_string(), self.order.id.0)
    }
}

/// Before the first row of a list that is sorted by time, newest first.
const NEWEST: (i64, Uuid) = (i64::MAX, Uuid::max());

impl Store {
    /// The alerts, newest first.
    pub async fn alerts(
        &self,
        scope: TenantScope,
        filter: AlertFilter,
        page: Page,
    ) -> Result<Listed<AlertRow>, StoreError> {
        self.engine
            .read(move |sql| {
                let (time, id) = page.after_number()?.unwrap_or(NEWEST);
                let only_open = if filter.open { "AND open = 1" } else { "" };
                let query = format!(
                    "SELECT id FROM alert WHERE tenant_id = ?1 AND (raised_us, id) < (?2, ?3)
                    {only_open} AND (?4 IS NULL OR state = ?4)
                    AND (?5 IS NULL OR gateway_id = ?5) AND (?6 IS NULL OR severity = ?6)
                    ORDER BY raised_us DESC, id DESC LIMIT ?7"
                );
                let parameters = params![
                    scope.key(),
                    time,
                    id.into_bytes(),
                    filter.state.as_ref().map(events::state_word),
                    filter.gateway.map(|gateway| gateway.0.into_bytes()),
                    filter.severity.map(events::severity_code),
                    page.rows_to_read()
                ];
                let ids: Vec<AlertId> = sql
                    .prepare_cached(&query)
                    .and_then(|mut query| {
                        query
                            .query_map(parameters, |row| sql::id(row, 0))?
                            .collect()
                    })
                    .doing("list the alerts")?;
                let rows: Result<Vec<_>, _> = ids
                    .into_iter()
                    .map(|id| alert_row(sql, scope, id))
                    .collect();
                Ok(page.list(rows?))
            })
            .await
    }

    /// One alert.
    pub async fn alert(&self, scope: TenantScope, id: AlertId) -> Result<AlertRow, StoreError> {
        self.engine.read(move |sql| alert_row(sql, scope, id)).await
    }

    /// The work orders, newest first.
    pub async fn work_orders(
        &self,
        scope: TenantScope,
        filter: WorkOrderFilter,
        page: Page,
    ) -> Result<Listed<WorkOrderRow>, StoreError> {
        self.engine
            .read(move |sql| {
                let (time, id) = page.after_number()?.unwrap_or(NEWEST);
                let only_open = if filter.open { "AND open = 1" } else { "" };
                let query = format!(
                    "SELECT id FROM work_order
                    WHERE tenant_id = ?1 AND (created_us, id) < (?2, ?3)
                    {only_open} AND (?4 IS NULL OR state = ?4)
                    AND (?5 IS NULL OR gateway_id = ?5)
                    AND (?6 IS NULL OR search LIKE ?6 ESCAPE '\\')
                    ORDER BY created_us DESC, id DESC LIMIT ?7"
                );
                let parameters = params![
                    scope.key(),
                    time,
                    id.into_bytes(),
                    filter.state.as_ref().map(events::state_word),
                    filter.gateway.map(|gateway| gateway.0.into_bytes()),
                    filter.text.map(|text| like(&text.to_lowercase())),
                    page.rows_to_read()
                ];
                let ids: Vec<WorkOrderId> = sql
                    .prepare_cached(&query)
                    .and_then(|mut query| {
                        query
                            .query_map(parameters, |row| sql::id(row, 0))?
                            .collect()
                    })
                    .doing("list the work orders")?;
                let rows: Result<Vec<_>, _> = ids
                    .into_iter()
                    .map(|id| work_order_row(sql, scope, id))
                    .collect();
                Ok(page.list(rows?))
            })
            .await
    }

    /// One work order.
    pub async fn work_order(
        &self,
        scope: TenantScope,
        id: WorkOrderId,
    ) -> Result<WorkOrderRow, StoreError> {
        self.engine
            .read(move |sql| work_order_row(sql, scope, id))
            .await
    }

    /// Gateway and site of a record; empty when the record is not known.
    pub async fn home(&self, scope: TenantScope, record: RecordRef) -> Result<Home, StoreError> {
        self.engine.read(move |sql| home(sql, scope, record)).await
    }
}

/// A pattern that finds `text` anywhere; signs that have a meaning in patterns lose it.
pub(super) fn like(text: &str) -> String {
    let mut pattern = String::from("%");
    for letter in text.chars() {
        if matches!(letter, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}

fn alert_row(sql: &Connection, scope: TenantScope, id: AlertId) -> Result<AlertRow, StoreError> {
    let events = events::of_record(sql, scope, id.into())?;
    let alert = alert::fold(id, &events).ok_or(StoreError::NotFound { what: "alert" })?;
    let order = sql
        .prepare_cached(
            "SELECT o.id, o.number FROM work_order_alert AS link JOIN work_order AS o
                ON o.tenant_id = link.tenant_id AND o.id = link.work_order_id
            WHERE link.tenant_id = ?1 AND link.alert_id = ?2
            ORDER BY o.open DESC, o.created_us DESC LIMIT 1",
        )
        .and_then(|mut query| {
            query
                .query_row((scope.key(), id.0.into_bytes()), |row| {
                    Ok(OrderLink {
                        id: sql::id(row, 0)?,
                        number: row.get(1)?,
                    })
                })
                .optional()
        })
        .doing("look up an alert's work order")?;
    let home = home(sql, scope, id.into())?;
    let point = match view::point_of(&alert, &home) {
        Some(id) => {
            let events = events::of_record(sql, scope, id.into())?;
            Some((id, alarm_point::fold(id, &events)))
        }
        None => None,
    };
    Ok(AlertRow {
        alert,
        order,
        home,
        point,
    })
}

fn work_order_row(
    sql: &Connection,
    scope: TenantScope,
    id: WorkOrderId,
) -> Result<WorkOrderRow, StoreError> {
    let events = events::of_record(sql, scope, id.into())?;
    let order = work_order::fold(id, &events).ok_or(StoreError::NotFound { what: "work order" })?;
    Ok(WorkOrderRow {
        order,
        home: home(sql, scope, id.into())?,
    })
}

pub(super) fn home(
    sql: &Connection,
    scope: TenantScope,
    record: RecordRef,
) -> Result<Home, StoreError> {
    sql.prepare_cached(
        "SELECT g.id, g.name, s.id, s.name FROM record_home AS h
            JOIN gateway AS g ON g.tenant_id = h.tenant_id AND g.id = h.gateway_id
            JOIN site AS s ON s.tenant_id = g.tenant_id AND s.id = g.site_id
        WHERE h.tenant_id = ?1 AND h.record_kind = ?2 AND h.record_id = ?3",
    )
    .and_then(|mut query| {
        query
            .query_row(
                (
                    scope.key(),
                    events::kind_code(record.kind),
                    record.id.into_bytes(),
                ),
                |row| {
                    Ok(Home {
                        gateway: Some(Named {
                            id: sql::id(row, 0)?,
                            name: row.get(1)?,
                        }),
                        site: Some(Named {
                            id: sql::id(row, 2)?,
                            name: row.get(3)?,
                        }),
                    })
                },
            )
            .optional()
    })
    .map(Option::unwrap_or_default)
    .doing("look up where a record lives")
}
