//! Sites and gateways: their rows, what is known of them when they connect, and their link.

use super::changes::{Change, Changed};
use super::error::{Doing as _, StoreError};
use super::page::{Keyed, Listed, Page};
use super::{Store, sql};
use crate::tenants::TenantScope;
use protocol::id::{GatewayId, SiteId};
use protocol::time::{ClockState, Timestamp};
use protocol::view::Named;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use uuid::Uuid;

/// A site and what needs attention there.
#[derive(Clone, Debug, PartialEq)]
pub struct SiteRow {
    /// Identity.
    pub id: SiteId,
    /// Name for people.
    pub name: String,
    /// Its gateways.
    pub gateways: u64,
    /// Those that were connected once and are not now.
    pub away: u64,
    /// Alerts that are not closed.
    pub alerts_active: u64,
    /// Work orders that still need somebody.
    pub orders_open: u64,
}

/// Whether a gateway is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// Enrolled, not yet connected.
    NeverSeen,
    /// Connected.
    Online,
    /// Was connected.
    Away,
    /// May not connect any more.
    Revoked,
}

impl LinkState {
    /// The word of the JSON interface.
    pub const fn word(self) -> &'static str {
        match self {
            Self::NeverSeen => "never_seen",
            Self::Online => "online",
            Self::Away => "away",
            Self::Revoked => "revoked",
        }
    }
}

/// A gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct GatewayRow {
    /// Identity.
    pub id: GatewayId,
    /// Name for people.
    pub name: String,
    /// Prefix of the numbers that are made on the box.
    pub code: String,
    /// Where it stands.
    pub site: Named<SiteId>,
    /// Whether it is connected.
    pub link: LinkState,
    /// When the hub heard of it last.
    pub last_seen: Option<Timestamp>,
    /// Since when `link` is what it is.
    pub since: Option<Timestamp>,
    /// State of its clock when it connected last.
    pub clock: Option<ClockState>,
    /// Version of its program.
    pub version: Option<String>,
    /// Readings held from it.
    pub readings: u64,
    /// Events held from it.
    pub events: u64,
    /// Its alerts that are not closed.
    pub alerts_active: u64,
}

/// What a gateway says of itself when it connects.
#[derive(Clone, Debug)]
pub struct Connected {
    /// Version of its program.
    pub version: String,
    /// State of its clock.
    pub clock: ClockState,
}

impl Keyed for SiteRow {
    fn key(&self) -> (String, Uuid) {
        (self.name.clone(), self.id.0)
    }
}

impl Keyed for GatewayRow {
    fn key(&self) -> (String, Uuid) {
        (self.name.clone(), self.id.0)
    }
}

const GATEWAY_COLUMNS: &str = "
    SELECT gateway.id, gateway.name, gateway.code, site.id, site.name, gateway.online,
        gateway.last_seen_us, gateway.link_since_us, gateway.revoked_us, gateway.clock,
        gateway.version, gateway.readings, gateway.events,
        (SELECT count(*) FROM alert
            WHERE alert.tenant_id = gateway.tenant_id AND alert.gateway_id = gateway.id
            AND alert.open = 1)
    FROM gateway JOIN site ON site.tenant_id = gateway.tenant_id AND site.id = gateway.site_id
    WHERE gateway.tenant_id = ?1";

impl Store {
    /// The sites, by name.
    pub async fn sites(
        &self,
        scope: TenantScope,
        page: Page,
    ) -> Result<Listed<SiteRow>, StoreError> {
        self.engine
            .read(move |sql| {
                let (name, id) = page.after()?.unwrap_or_default();
                let mut query = sql
                    .prepare_cached(
                        "SELECT id, name,
                            (SELECT count(*) FROM gateway AS g
                                WHERE g.tenant_id = site.tenant_id AND g.site_id = site.id),
                            (SELECT count(*) FROM gateway AS g
                                WHERE g.tenant_id = site.tenant_id AND g.site_id = site.id
                                AND g.online = 0 AND g.last_seen_us IS NOT NULL AND g.revoked_us IS NULL),
                            (SELECT count(*) FROM alert JOIN gateway AS g
                                ON g.tenant_id = alert.tenant_id AND g.id = alert.gateway_id
                                WHERE alert.tenant_id = site.tenant_id AND g.site_id = site.id
                                AND alert.open = 1),
                            (SELECT count(*) FROM work_order AS o JOIN gateway AS g
                                ON g.tenant_id = o.tenant_id AND g.id = o.gateway_id
                                WHERE o.tenant_id = site.tenant_id AND g.site_id = site.id
                                AND o.open = 1)
                        FROM site WHERE tenant_id = ?1 AND (name, id) > (?2, ?3)
                        ORDER BY name, id LIMIT ?4",
                    )
                    .doing("list the sites")?;
                let parameters = params![scope.key(), name, id.into_bytes(), page.rows_to_read()];
                let rows = query
                    .query_map(parameters, site_row)
                    .and_then(Iterator::collect)
                    .doing("list the sites")?;
                Ok(page.list(rows))
            })
            .await
    }

    /// The gateways, by name.
    pub async fn gateways(
        &self,
        scope: TenantScope,
        page: Page,
    ) -> Result<Listed<GatewayRow>, StoreError> {
        self.engine
            .read(move |sql| {
                let (name, id) = page.after()?.unwrap_or_default();
                let text = format!(
                    "{GATEWAY_COLUMNS} AND (gateway.name, gateway.id) > (?2, ?3)
                    ORDER BY gateway.name, gateway.id LIMIT ?4"
                );
                let parameters = params![scope.key(), name, id.into_bytes(), page.rows_to_read()];
                let rows = sql
                    .prepare_cached(&text)
                    .and_then(|mut query| query.query_map(parameters, gateway_row)?.collect())
                    .doing("list the gateways")?;
                Ok(page.list(rows))
            })
            .await
    }

    /// One gateway.
    pub async fn gateway(
        &self,
        scope: TenantScope,
        gateway: GatewayId,
    ) -> Result<GatewayRow, StoreError> {
        self.engine
            .read(move |sql| {
                sql.prepare_cached(&format!("{GATEWAY_COLUMNS} AND gateway.id = ?2"))
                    .and_then(|mut query| {
                        query
                            .query_row((scope.key(), gateway.0.into_bytes()), gateway_row)
                            .optional()
                    })
                    .doing("read a gateway")?
                    .ok_or(StoreError::NotFound { what: "gateway" })
            })
            .await
    }

    /// Nobody is connected: what a hub that starts to serve says first. A command beside a
    /// running hub must not.
    pub async fn nobody_connected(&self) -> Result<(), StoreError> {
        self.write(|work| {
            work.sql
                .execute(
                    "UPDATE gateway SET online = 0, link_since_us = last_seen_us WHERE online = 1",
                    [],
                )
                .map(|_| ())
                .doing("note that nobody is connected")
        })
        .await
    }

    /// A gateway has connected and said what it has.
    pub async fn connected(
        &self,
        scope: TenantScope,
        gateway: GatewayId,
        hello: Connected,
    ) -> Result<(), StoreError> {
        self.write(move |work| {
            let changed = work
                .sql
                .execute(
                    "UPDATE gateway SET online = 1, last_seen_us = ?3, version = ?4, clock = ?5,
                        offers_since_us = ?3,
                        link_since_us = CASE online WHEN 1 THEN link_since_us ELSE ?3 END
                    WHERE tenant_id = ?1 AND id = ?2",
                    params![
                        scope.key(),
                        gateway.0.into_bytes(),
                        work.now.0,
                        hello.version,
                        sql::clock_code(hello.clock)
                    ],
                )
                .doing("note that a gateway connected")?;
            if changed == 0 {
                return Err(StoreError::NotFound { what: "gateway" });
            }
            work.changes.push(Change {
                scope,
                what: Changed::Gateway(gateway),
            });
            Ok(())
        })
        .await
    }

    /// A gateway's connection has ended.
    pub async fn disconnected(
        &self,
        scope: TenantScope,
        gateway: GatewayId,
    ) -> Result<(), StoreError> {
        self.write(move |work| {
            work.sql
                .execute(
                    "UPDATE gateway SET online = 0, last_seen_us = ?3, link_since_us = ?3
                    WHERE tenant_id = ?1 AND id = ?2 AND online = 1",
                    params![scope.key(), gateway.0.into_bytes(), work.now.0],
                )
                .doing("note that a gateway left")?;
            work.changes.push(Change {
                scope,
                what: Changed::Gateway(gateway),
            });
            Ok(())
        })
        .await
    }

    /// A gateway gave a sign of life without bringing anything. Call it at most once a minute.
    pub async fn seen(&self, scope: TenantScope, gateway: GatewayId) -> Result<(), StoreError> {
        self.write(move |work| touch(work.sql, scope, gateway, work.now).map(|_| ()))
            .await
    }
}

/// Notes that the gateway was heard of; whether there is such a gateway.
pub(super) fn touch(
    sql: &Connection,
    scope: TenantScope,
    gateway: GatewayId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    sql.prepare_cached("UPDATE gateway SET last_seen_us = ?3 WHERE tenant_id = ?1 AND id = ?2")
        .and_then(|mut query| query.execute((scope.key(), gateway.0.into_bytes(), now.0)))
        .map(|changed| changed == 1)
        .doing("note that a gateway was heard of")
}

/// The site called `name`, made when there is none.
pub(super) fn site_called(
    sql: &Connection,
    scope: TenantScope,
    name: &str,
    now: Timestamp,
) -> Result<SiteId, StoreError> {
    let known = sql
        .query_row(
            "SELECT id FROM site WHERE tenant_id = ?1 AND name = ?2",
            (scope.key(), name),
            |row| sql::id(row, 0),
        )
        .optional()
        .doing("look up a site")?;
    if let Some(id) = known {
        return Ok(id);
    }
    let id = SiteId(crate::clock::new_id()?);
    sql.execute(
        "INSERT INTO site (tenant_id, id, name, created_us) VALUES (?1, ?2, ?3, ?4)",
        (scope.key(), id.0.into_bytes(), name, now.0),
    )
    .doing("make a site")?;
    Ok(id)
}

fn site_row(row: &Row<'_>) -> rusqlite::Result<SiteRow> {
    let count = |at| row.get(at).map(sql::uint);
    Ok(SiteRow {
        id: sql::id(row, 0)?,
        name: row.get(1)?,
        gateways: count(2)?,
        away: count(3)?,
        alerts_active: count(4)?,
        orders_open: count(5)?,
    })
}

fn gateway_row(row: &Row<'_>) -> rusqlite::Result<GatewayRow> {
    let time = |at| row.get::<_, Option<i64>>(at).map(|us| us.map(Timestamp));
    let online: bool = row.get(5)?;
    let last_seen = time(6)?;
    let revoked = time(8)?;
    let link = match (revoked, online, last_seen) {
        (Some(_), _, _) => LinkState::Revoked,
        (None, true, _) => LinkState::Online,
        (None, false, Some(_)) => LinkState::Away,
        (None, false, None) => LinkState::NeverSeen,
    };
    Ok(GatewayRow {
        id: sql::id(row, 0)?,
        name: row.get(1)?,
        code: row.get(2)?,
        site: Named {
            id: sql::id(row, 3)?,
            name: row.get(4)?,
        },
        link,
        last_seen,
        since: revoked.or(time(7)?),
        clock: row.get::<_, Option<i64>>(9)?.map(sql::clock_state),
        version: row.get(10)?,
        readings: sql::uint(row.get(11)?),
        events: sql::uint(row.get(12)?),
        alerts_active: sql::uint(row.get(13)?),
    })
}
