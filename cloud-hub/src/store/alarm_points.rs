//! Alarm points of all boxes, found by where they live and told by their events, and what the load of
//! alerts is counted from. Never counts itself.

use super::error::{Doing as _, StoreError};
use super::{Store, events, lists, sql};
use crate::tenants::TenantScope;
use protocol::alarm_load::Raised;
use protocol::alarm_point::{self, AlarmPoint};
use protocol::alert;
use protocol::event::RecordKind;
use protocol::id::{AlarmPointId, AlertId, GatewayId, SiteId};
use protocol::time::Timestamp;
use protocol::view::{Home, Named};
use rusqlite::{Connection, params};

/// Most alarm points that are listed as held back; further ones are left out.
pub const HELD_POINTS_MAX: usize = 1_000;
/// Most alerts of which a load is counted.
pub const LOAD_ALERTS_MAX: usize = 20_000;
/// Alerts that are folded before other readers have their turn.
const FOLDED_AT_ONCE: usize = 500;

/// An alarm point, or a maintenance switch, and where it lives.
#[derive(Clone, Debug, PartialEq)]
pub struct AlarmPointRow {
    /// The point, as its events tell it.
    pub point: AlarmPoint,
    /// Gateway and site.
    pub home: Home,
}

/// Whose alerts are counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoadFilter {
    /// Only those of this site.
    pub site: Option<SiteId>,
    /// Only those of this gateway.
    pub gateway: Option<GatewayId>,
}

/// An alert as the load counts it, and where it was raised.
#[derive(Clone, Debug, PartialEq)]
pub struct RaisedRow {
    /// What is counted.
    pub raised: Raised,
    /// Gateway.
    pub gateway: Named<GatewayId>,
    /// Site.
    pub site: Named<SiteId>,
}

impl Store {
    /// Alarm points of which something is held back, and maintenance switches that are on; at most
    /// [`HELD_POINTS_MAX`].
    pub async fn held_alarm_points(
        &self,
        scope: TenantScope,
        gateway: Option<GatewayId>,
    ) -> Result<Vec<AlarmPointRow>, StoreError> {
        self.engine
            .read(move |sql| held_points(sql, scope, gateway))
            .await
    }

    /// One alarm point or maintenance switch.
    pub async fn alarm_point(
        &self,
        scope: TenantScope,
        id: AlarmPointId,
    ) -> Result<AlarmPointRow, StoreError> {
        self.engine
            .read(move |sql| {
                let events = events::of_record(sql, scope, id.into())?;
                let point = alarm_point::fold(id, &events);
                let point = point.ok_or(StoreError::NotFound { what: "alarm" })?;
                let home = lists::home(sql, scope, id.into())?;
                Ok(AlarmPointRow { point, home })
            })
            .await
    }

    /// The alerts that were raised since `from`, and those that stand from before it. `None` when there
    /// are more than [`LOAD_ALERTS_MAX`].
    pub async fn raised_since(
        &self,
        scope: TenantScope,
        filter: LoadFilter,
        from: Timestamp,
    ) -> Result<Option<Vec<RaisedRow>>, StoreError> {
        let found = self
            .engine
            .read(move |sql| raised_places(sql, scope, filter, from))
            .await?;
        if found.len() > LOAD_ALERTS_MAX {
            return Ok(None);
        }
        let mut rows = Vec::with_capacity(found.len());
        for part in found.chunks(FOLDED_AT_ONCE) {
            let part = part.to_vec();
            let read = self.engine.read(move |sql| {
                let read = part.into_iter().map(|place| raised_row(sql, scope, place));
                read.collect::<Result<Vec<_>, _>>()
            });
            rows.extend(read.await?.into_iter().flatten());
        }
        Ok(Some(rows))
    }
}

/// An alert, its gateway, its site.
type Place = (AlertId, Named<GatewayId>, Named<SiteId>);

fn raised_places(
    sql: &Connection,
    scope: TenantScope,
    filter: LoadFilter,
    from: Timestamp,
) -> Result<Vec<Place>, StoreError> {
    let parameters = params![
        scope.key(),
        from.0,
        filter.gateway.map(|gateway| gateway.0.into_bytes()),
        filter.site.map(|site| site.0.into_bytes()),
        LOAD_ALERTS_MAX + 1,
    ];
    sql.prepare_cached(
        "SELECT a.id, g.id, g.name, s.id, s.name FROM alert AS a
            JOIN gateway AS g ON g.tenant_id = a.tenant_id AND g.id = a.gateway_id
            JOIN site AS s ON s.tenant_id = g.tenant_id AND s.id = g.site_id
        WHERE a.tenant_id = ?1 AND (a.raised_us >= ?2 OR a.open = 1)
            AND (?3 IS NULL OR a.gateway_id = ?3) AND (?4 IS NULL OR g.site_id = ?4)
        ORDER BY a.raised_us LIMIT ?5",
    )
    .and_then(|mut query| {
        let row = |row: &rusqlite::Row<'_>| {
            let gateway = Named {
                id: sql::id(row, 1)?,
                name: row.get(2)?,
            };
            let site = Named {
                id: sql::id(row, 3)?,
                name: row.get(4)?,
            };
            Ok((sql::id(row, 0)?, gateway, site))
        };
        query.query_map(parameters, row)?.collect()
    })
    .doing("list the alerts of a time")
}

fn raised_row(
    sql: &Connection,
    scope: TenantScope,
    (id, gateway, site): Place,
) -> Result<Option<RaisedRow>, StoreError> {
    let events = events::of_record(sql, scope, id.into())?;
    Ok(alert::fold(id, &events).map(|alert| RaisedRow {
        raised: Raised {
            raised_at: alert.raised_at,
            cleared_at: alert.cleared.map(|(at, _)| at),
            severity: alert.raised.severity,
            rule: alert.raised.rule,
            sensor: alert.raised.sensor_path,
        },
        gateway,
        site,
    }))
}

fn held_points(
    sql: &Connection,
    scope: TenantScope,
    gateway: Option<GatewayId>,
) -> Result<Vec<AlarmPointRow>, StoreError> {
    let parameters = params![
        scope.key(),
        RecordKind::AlarmPoint.code(),
        gateway.map(|gateway| gateway.0.into_bytes()),
    ];
    let ids: Vec<AlarmPointId> = sql
        .prepare_cached(
            "SELECT record_id FROM record_home WHERE tenant_id = ?1 AND record_kind = ?2
            AND (?3 IS NULL OR gateway_id = ?3)",
        )
        .and_then(|mut query| {
            query
                .query_map(parameters, |row| sql::id(row, 0))?
                .collect()
        })
        .doing("list the alarm points")?;
    let mut rows = Vec::new();
    for id in ids {
        let events = events::of_record(sql, scope, id.into())?;
        let Some(point) = alarm_point::fold(id, &events).filter(AlarmPoint::is_held) else {
            continue;
        };
        let home = lists::home(sql, scope, id.into())?;
        rows.push(AlarmPointRow { point, home });
        if rows.len() == HELD_POINTS_MAX {
            break;
        }
    }
    Ok(rows)
}
