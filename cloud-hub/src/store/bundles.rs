//! The bundles of the sites: the newest of each is its reference data, older ones are its history;
//! and what each box told of them. Never changes one: a change is another number.

use super::error::{Doing as _, StoreError};
use super::records::Records;
use super::{Store, sql};
use crate::tenants::TenantScope;
use protocol::bundle::Bundle;
use protocol::id::{GatewayId, SiteId, UserId};
use protocol::sync::BundleName;
use protocol::time::Timestamp;
use protocol::wire::v1::{BundlePieceV1, BundleStateV1};
use protocol::wire::{decode_bundle, encode_bundle};
use ring::digest::{SHA256, digest};
use rusqlite::{OptionalExtension as _, params};

/// Bundles kept of each site; of more, the oldest go.
const BUNDLES_KEPT: i64 = 20;
/// How far above the newest number a box may be before the hub no longer follows it: a hub that was
/// put back from a copy goes on above what its boxes hold.
const AHEAD_MAX: u64 = 100_000;

/// A bundle without what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleRow {
    /// Its number.
    pub number: u64,
    /// When it was made.
    pub made: Timestamp,
    /// Its last day.
    pub valid_until: Timestamp,
    /// Who made it.
    pub by: String,
    /// What changed.
    pub words: String,
    /// How long it is.
    pub bytes: u64,
}

/// What a box told last of bundles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleTold {
    /// The box.
    pub gateway: GatewayId,
    /// Its name.
    pub name: String,
    /// Number of the one that it holds; `None`: it told nothing yet.
    pub held: Option<u64>,
    /// Why it does not take the newest; empty where it does.
    pub refused: String,
    /// When it told.
    pub told: Option<Timestamp>,
}

impl Records<'_, '_> {
    /// The newest bundle of a site; `None` before its first change.
    pub fn bundle(&mut self, site: SiteId) -> Result<Option<Bundle>, StoreError> {
        let (work, scope) = self.parts();
        newest(work.sql, scope, site)
    }

    /// The sites that have a bundle.
    pub fn bundle_sites(&mut self) -> Result<Vec<SiteId>, StoreError> {
        let (work, scope) = self.parts();
        work.sql
            .prepare_cached("SELECT DISTINCT site_id FROM bundle WHERE tenant_id = ?1")
            .and_then(|mut query| {
                query
                    .query_map([scope.key()], |row| sql::id(row, 0))?
                    .collect()
            })
            .doing("list the sites that have reference data")
    }

    /// Whether there is such a site.
    pub fn is_site(&mut self, site: SiteId) -> Result<bool, StoreError> {
        let (work, scope) = self.parts();
        work.sql
            .query_row(
                "SELECT 1 FROM site WHERE tenant_id = ?1 AND id = ?2",
                (scope.key(), site.0.into_bytes()),
                |_| Ok(()),
            )
            .optional()
            .map(|found| found.is_some())
            .doing("look up a site")
    }

    /// The person who signs in at the hub under this name, whatever the case of its letters.
    pub fn user_id(&mut self, name: &str) -> Result<Option<UserId>, StoreError> {
        let (work, scope) = self.parts();
        work.sql
            .query_row(
                "SELECT id FROM user WHERE tenant_id = ?1 AND name_key = ?2",
                (scope.key(), name.to_lowercase()),
                |row| sql::id(row, 0),
            )
            .optional()
            .doing("look up a person")
    }

    /// An id for somebody who has none yet.
    pub fn new_person(&self) -> Result<UserId, StoreError> {
        Ok(UserId(crate::clock::new_id()?))
    }

    /// Keeps the next bundle of a site. Its boxes are told.
    pub fn add_bundle(
        &mut self,
        bundle: &Bundle,
        (by, words): (&str, &str),
    ) -> Result<(), StoreError> {
        let body = encode_bundle(bundle).doing("the reference data of a site")?;
        let (work, scope) = self.parts();
        let place = (scope.key(), bundle.site.0.into_bytes());
        work.sql
            .execute(
                "INSERT INTO bundle (tenant_id, site_id, number, hash, body, made_us,
                    valid_until_us, made_by, words) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                params![
                    place.0,
                    place.1,
                    sql::int(bundle.number),
                    digest(&SHA256, &body).as_ref(),
                    body,
                    bundle.made.0,
                    bundle.valid_until.0,
                    by,
                    words
                ],
            )
            .doing("keep a site bundle")?;
        work.sql
            .execute(
                "DELETE FROM bundle WHERE tenant_id = ?1 AND site_id = ?2 AND number <= (
                    SELECT number FROM bundle WHERE tenant_id = ?1 AND site_id = ?2
                    ORDER BY number DESC LIMIT 1 OFFSET ?3)",
                (place.0, place.1, BUNDLES_KEPT),
            )
            .map(|_| ())
            .doing("let go of an old site bundle")
    }

    /// The highest number that a box of the site told, as far as the hub follows it.
    pub fn highest_told(&mut self, site: SiteId, newest: u64) -> Result<u64, StoreError> {
        let (work, scope) = self.parts();
        work.sql
            .query_row(
                "SELECT coalesce(max(held), 0) FROM bundle_told AS t JOIN gateway AS g
                    ON g.tenant_id = t.tenant_id AND g.id = t.gateway_id
                WHERE t.tenant_id = ?1 AND g.site_id = ?2 AND held <= ?3",
                (
                    scope.key(),
                    site.0.into_bytes(),
                    sql::int(newest.saturating_add(AHEAD_MAX)),
                ),
                |row| row.get(0).map(sql::uint),
            )
            .doing("look up what the boxes of a site hold")
    }
}

impl Store {
    /// The newest bundle of a gateway's site by name.
    pub async fn bundle_wanted(
        &self,
        scope: TenantScope,
        gateway: GatewayId,
    ) -> Result<Option<BundleName>, StoreError> {
        self.engine
            .read(move |sql| {
                sql.prepare_cached(
                    "SELECT number, hash, length(body) FROM bundle
                    WHERE tenant_id = ?1 AND site_id = (
                        SELECT site_id FROM gateway WHERE tenant_id = ?1 AND id = ?2)
                    ORDER BY number DESC LIMIT 1",
                )
                .and_then(|mut query| {
                    query
                        .query_row((scope.key(), gateway.0.into_bytes()), |row| {
                            Ok(BundleName {
                                number: sql::uint(row.get(0)?),
                                hash: row.get(1)?,
                                length: sql::uint(row.get(2)?),
                            })
                        })
                        .optional()
                })
                .doing("look for a site bundle")
            })
            .await
    }

    /// Bytes of a bundle of a gateway's site from a place on; none where it is no longer kept.
    pub async fn bundle_piece(
        &self,
        scope: TenantScope,
        gateway: GatewayId,
        (number, offset): (u64, u64),
        bytes_max: usize,
    ) -> Result<BundlePieceV1, StoreError> {
        let most = i64::try_from(bytes_max).unwrap_or(i64::MAX);
        let bytes: Option<Vec<u8>> = self
            .engine
            .read(move |sql| {
                sql.prepare_cached(
                    "SELECT substr(body, ?4 + 1, ?5) FROM bundle
                    WHERE tenant_id = ?1 AND number = ?3 AND site_id = (
                        SELECT site_id FROM gateway WHERE tenant_id = ?1 AND id = ?2)",
                )
                .and_then(|mut query| {
                    let place = (scope.key(), gateway.0.into_bytes());
                    let wanted = (sql::int(number), sql::int(offset));
                    query
                        .query_row((place.0, place.1, wanted.0, wanted.1, most), |row| {
                            row.get(0)
                        })
                        .optional()
                })
                .doing("read a site bundle")
            })
            .await?;
        Ok(BundlePieceV1 {
            number,
            offset,
            bytes: bytes.unwrap_or_default(),
        })
    }

    /// A box told which bundle it holds.
    pub async fn bundle_told(
        &self,
        scope: TenantScope,
        gateway: GatewayId,
        told: BundleStateV1,
    ) -> Result<(), StoreError> {
        self.write(move |work| {
            // Each piece is told; only what changes is written.
            work.sql
                .execute(
                    "INSERT INTO bundle_told (tenant_id, gateway_id, held, refused, told_us)
                    VALUES (?1, ?2, ?3, ?4, ?5)
                    ON CONFLICT DO UPDATE SET held = excluded.held, refused = excluded.refused,
                        told_us = excluded.told_us
                    WHERE held <> excluded.held OR refused <> excluded.refused",
                    params![
                        scope.key(),
                        gateway.0.into_bytes(),
                        sql::int(told.held),
                        told.refused,
                        work.now.0
                    ],
                )
                .map(|_| ())
                .doing("note which bundle a box holds")
        })
        .await
    }

    /// The bundles of a site that are kept, newest first, and what each of its boxes holds.
    pub async fn bundles(
        &self,
        scope: TenantScope,
        site: SiteId,
    ) -> Result<(Vec<BundleRow>, Vec<BundleTold>), StoreError> {
        self.engine
            .read(move |sql| {
                let place = (scope.key(), site.0.into_bytes());
                let rows = sql
                    .prepare_cached(
                        "SELECT number, made_us, valid_until_us, made_by, words, length(body)
                        FROM bundle WHERE tenant_id = ?1 AND site_id = ?2 ORDER BY number DESC",
                    )
                    .and_then(|mut query| query.query_map(place, bundle_row)?.collect())
                    .doing("list the bundles of a site")?;
                let told = sql
                    .prepare_cached(
                        "SELECT g.id, g.name, t.held, coalesce(t.refused, ''), t.told_us
                        FROM gateway AS g LEFT JOIN bundle_told AS t
                            ON t.tenant_id = g.tenant_id AND t.gateway_id = g.id
                        WHERE g.tenant_id = ?1 AND g.site_id = ?2 AND g.revoked_us IS NULL
                        ORDER BY g.name, g.id",
                    )
                    .and_then(|mut query| query.query_map(place, told_row)?.collect())
                    .doing("list what the boxes of a site hold")?;
                Ok((rows, told))
            })
            .await
    }

    /// The site called `wanted`, by name or id.
    pub async fn site_called(
        &self,
        scope: TenantScope,
        wanted: &str,
    ) -> Result<SiteId, StoreError> {
        let wanted = wanted.to_owned();
        self.engine
            .read(move |sql| {
                let id = wanted.parse::<SiteId>().map(|id| id.0.into_bytes());
                sql.query_row(
                    "SELECT id FROM site WHERE tenant_id = ?1 AND (name = ?2 OR id = ?3)",
                    params![scope.key(), wanted, id.ok()],
                    |row| sql::id(row, 0),
                )
                .optional()
                .doing("look up a site")?
                .ok_or(StoreError::NotFound { what: "site" })
            })
            .await
    }
}

/// The newest bundle of the site at which a gateway stands.
pub(super) fn of_gateway(
    sql: &rusqlite::Connection,
    scope: TenantScope,
    gateway: GatewayId,
) -> Result<Option<Bundle>, StoreError> {
    let site: Option<SiteId> = sql
        .prepare_cached("SELECT site_id FROM gateway WHERE tenant_id = ?1 AND id = ?2")
        .and_then(|mut query| {
            query
                .query_row((scope.key(), gateway.0.into_bytes()), |row| sql::id(row, 0))
                .optional()
        })
        .doing("look up the site of a gateway")?;
    site.map_or(Ok(None), |site| newest(sql, scope, site))
}

fn newest(
    sql: &rusqlite::Connection,
    scope: TenantScope,
    site: SiteId,
) -> Result<Option<Bundle>, StoreError> {
    let body: Option<Vec<u8>> = sql
        .prepare_cached(
            "SELECT body FROM bundle WHERE tenant_id = ?1 AND site_id = ?2
            ORDER BY number DESC LIMIT 1",
        )
        .and_then(|mut query| {
            query
                .query_row((scope.key(), site.0.into_bytes()), |row| row.get(0))
                .optional()
        })
        .doing("read the reference data of a site")?;
    body.map(|body| decode_bundle(&body).doing("a stored site bundle"))
        .transpose()
}

fn bundle_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<BundleRow> {
    Ok(BundleRow {
        number: sql::uint(row.get(0)?),
        made: Timestamp(row.get(1)?),
        valid_until: Timestamp(row.get(2)?),
        by: row.get(3)?,
        words: row.get(4)?,
        bytes: sql::uint(row.get(5)?),
    })
}

fn told_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<BundleTold> {
    Ok(BundleTold {
        gateway: sql::id(row, 0)?,
        name: row.get(1)?,
        held: row.get::<_, Option<i64>>(2)?.map(sql::uint),
        refused: row.get(3)?,
        told: row.get::<_, Option<i64>>(4)?.map(Timestamp),
    })
}
