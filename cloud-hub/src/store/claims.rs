//! Claims (one-time permissions for a box to join), and the certificates of boxes.
//! Never holds a token: only its SHA-256.

use super::changes::{Change, Changed};
use super::error::{Doing as _, StoreError};
use super::writer::Work;
use super::{Store, gateways, sql};
use crate::tenants::TenantScope;
use protocol::id::{GatewayId, SiteId};
use protocol::time::Timestamp;
use protocol::view::{Named, rfc3339};
use rusqlite::{Connection, OptionalExtension as _, params};
use thiserror::Error;

/// A permission to be given.
#[derive(Clone, Debug)]
pub struct NewClaim {
    /// SHA-256 of the token.
    pub token_sha256: [u8; 32],
    /// Name of the site; made when there is none.
    pub site: String,
    /// Name that the gateway will have.
    pub gateway_name: String,
    /// Prefix of the numbers that will be made on the box.
    pub gateway_code: String,
    /// Not valid from here on.
    pub expires: Timestamp,
}

/// What a redeemed claim makes of a box.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimInfo {
    /// The tenant that it belongs to now.
    pub scope: TenantScope,
    /// Its identity.
    pub gateway: Named<GatewayId>,
    /// Prefix of the numbers made on it.
    pub code: String,
    /// Its site.
    pub site: Named<SiteId>,
}

/// Why a claim was not honoured: the words go to the person at the box.
#[derive(Debug, Error)]
pub enum RedeemError {
    /// No such token.
    #[error(
        "this hub did not give this claim token; copy it again, whole, or ask for a new one (cloud-hub claim new)"
    )]
    Unknown,
    /// Another box was faster.
    #[error("this claim token was used by another box at {}; ask for a new one (cloud-hub claim new)", rfc3339(*.at))]
    Used {
        /// When.
        at: Timestamp,
    },
    /// Too late.
    #[error("this claim token was valid until {}; ask for a new one (cloud-hub claim new)", rfc3339(*.at))]
    Expired {
        /// Since when it is not valid.
        at: Timestamp,
    },
    /// Two boxes with one code would make the same work-order numbers.
    #[error(
        "the code \"{code}\" belongs to another gateway (\"{name}\"); make a claim with another code"
    )]
    CodeTaken {
        /// The code.
        code: String,
        /// The gateway that has it.
        name: String,
    },
    /// The box says an id that belongs to a gateway with another code.
    #[error(
        "this box was enrolled as \"{name}\" (code \"{code}\"); make the claim for that code, or clear the box's identity first"
    )]
    OtherGateway {
        /// The gateway's name.
        name: String,
        /// Its code.
        code: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A box's certificate, as the hub knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct CertificateRow {
    /// The tenant of its gateway.
    pub scope: TenantScope,
    /// Whose it is.
    pub gateway: GatewayId,
    /// SHA-256 of the certificate.
    pub fingerprint: [u8; 32],
    /// Its serial number.
    pub serial: Vec<u8>,
    /// Not valid after.
    pub not_after: Timestamp,
    /// Since when it is revoked.
    pub revoked: Option<Timestamp>,
    /// SHA-256 of the authority that signed it; none for those of before it was noted.
    pub authority: Option<[u8; 32]>,
}

/// What was withdrawn up to now, as a value that differs when that differs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Revocations([i64; 4]);

impl Store {
    /// Keeps a permission. Claims that expired more than 30 days ago are forgotten.
    pub async fn add_claim(&self, scope: TenantScope, claim: NewClaim) -> Result<(), StoreError> {
        self.write(move |work| {
            let month_ago = work.now.plus_micros(-30 * 24 * 3_600 * 1_000_000);
            work.sql
                .execute(
                    "DELETE FROM claim WHERE tenant_id = ?1 AND expires_us < ?2",
                    (scope.key(), month_ago.0),
                )
                .doing("forget old claims")?;
            let site = gateways::site_called(work.sql, scope, &claim.site, work.now)?;
            work.sql
                .execute(
                    "INSERT INTO claim (tenant_id, token_sha256, site_id, gateway_name,
                        gateway_code, created_us, expires_us)
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                    params![
                        scope.key(),
                        claim.token_sha256,
                        site.0.into_bytes(),
                        claim.gateway_name,
                        claim.gateway_code,
                        work.now.0,
                        claim.expires.0
                    ],
                )
                .map(|_| ())
                .doing("keep a claim")
        })
        .await
    }

    /// Keeps a permission for new hardware to take the place of `gateway`: id, name, code and site
    /// stay what they are.
    pub async fn add_replacement(
        &self,
        scope: TenantScope,
        gateway: GatewayId,
        token_sha256: [u8; 32],
        expires: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(move |work| {
            let kept = work
                .sql
                .execute(
                    "INSERT INTO claim (tenant_id, token_sha256, site_id, gateway_name,
                        gateway_code, created_us, expires_us, replaces)
                    SELECT tenant_id, ?3, site_id, name, code, ?4, ?5, id FROM gateway
                    WHERE tenant_id = ?1 AND id = ?2",
                    params![
                        scope.key(),
                        gateway.0.into_bytes(),
                        token_sha256,
                        work.now.0,
                        expires.0
                    ],
                )
                .doing("keep a claim")?;
            if kept == 0 {
                return Err(StoreError::NotFound { what: "gateway" });
            }
            Ok(())
        })
        .await
    }

    /// Honours a permission once: the box with this id and this public key becomes a gateway.
    ///
    /// The same box with the same key may ask again until the claim expires, because the answer
    /// may have been lost on the way. A box that enrols anew loses its older certificates.
    pub async fn redeem(
        &self,
        token_sha256: [u8; 32],
        gateway: GatewayId,
        key_sha256: [u8; 32],
        now: Timestamp,
    ) -> Result<ClaimInfo, RedeemError> {
        self.write(move |work| {
            let claim = Claim::find(work.sql, &token_sha256)?.ok_or(RedeemError::Unknown)?;
            let gateway = claim.replaces.unwrap_or(gateway);
            if let Some((at, by, key)) = claim.used
                && (by, key) != (gateway, key_sha256)
            {
                return Err(RedeemError::Used { at });
            }
            if now >= claim.expires {
                return Err(RedeemError::Expired { at: claim.expires });
            }
            if claim.used.is_none() {
                claim.enrol(work, gateway, now)?;
                work.sql
                    .execute(
                        "UPDATE claim SET used_us = ?2, used_by = ?3, used_key_sha256 = ?4
                        WHERE token_sha256 = ?1",
                        params![token_sha256, now.0, gateway.0.into_bytes(), key_sha256],
                    )
                    .doing("mark a claim as used")?;
            }
            work.changes.push(Change {
                scope: claim.scope,
                what: Changed::Gateway(gateway),
            });
            Ok(claim.info(gateway))
        })
        .await
    }

    /// Keeps the certificate that a gateway was given.
    pub async fn add_certificate(&self, certificate: CertificateRow) -> Result<(), StoreError> {
        self.write(move |work| {
            work.sql
                .execute(
                    "INSERT OR IGNORE INTO certificate (tenant_id, gateway_id, fingerprint, serial,
                        not_after_us, authority) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    params![
                        certificate.scope.key(),
                        certificate.gateway.0.into_bytes(),
                        certificate.fingerprint,
                        certificate.serial,
                        certificate.not_after.0,
                        certificate.authority
                    ],
                )
                .map(|_| ())
                .doing("keep a certificate")
        })
        .await
    }

    /// The certificate with this SHA-256, if this hub gave it: the way from a connection to its
    /// gateway and tenant.
    pub async fn certificate(
        &self,
        fingerprint: [u8; 32],
    ) -> Result<Option<CertificateRow>, StoreError> {
        self.engine
            .read(move |sql| {
                sql.prepare_cached(
                    "SELECT c.tenant_id, c.gateway_id, c.serial, c.not_after_us,
                        coalesce(g.revoked_us, c.revoked_us), c.authority
                    FROM certificate AS c JOIN gateway AS g
                        ON g.tenant_id = c.tenant_id AND g.id = c.gateway_id
                    WHERE c.fingerprint = ?1",
                )
                .and_then(|mut query| {
                    query
                        .query_row([fingerprint], |row| {
                            Ok(CertificateRow {
                                scope: TenantScope::of_key(row.get(0)?),
                                gateway: sql::id(row, 1)?,
                                fingerprint,
                                serial: row.get(2)?,
                                not_after: Timestamp(row.get(3)?),
                                revoked: row.get::<_, Option<i64>>(4)?.map(Timestamp),
                                authority: row.get(5)?,
                            })
                        })
                        .optional()
                })
                .doing("look up a certificate")
            })
            .await
    }

    /// The gateway uses this certificate: the ones before it, which ran out earlier, count no more.
    pub async fn certificate_used(&self, fingerprint: [u8; 32]) -> Result<(), StoreError> {
        let older = "FROM certificate AS new WHERE new.fingerprint = ?1
            AND new.tenant_id = certificate.tenant_id AND new.gateway_id = certificate.gateway_id
            AND certificate.not_after_us < new.not_after_us AND certificate.revoked_us IS NULL";
        let any =
            format!("SELECT EXISTS (SELECT 1 FROM certificate WHERE EXISTS (SELECT 1 {older}))");
        // A connection with nothing to withdraw writes nothing.
        let any: bool = self
            .engine
            .read(move |sql| {
                sql.query_row(&any, [fingerprint], |row| row.get(0))
                    .doing("look for older certificates")
            })
            .await?;
        if !any {
            return Ok(());
        }
        let withdraw =
            format!("UPDATE certificate SET revoked_us = ?2 WHERE EXISTS (SELECT 1 {older})");
        self.write(move |work| {
            work.sql
                .execute(&withdraw, params![fingerprint, work.now.0])
                .map(|_| ())
                .doing("withdraw older certificates")
        })
        .await
    }

    /// Changes whenever a gateway or a certificate is withdrawn or taken up again, by any process.
    pub async fn revocations(&self) -> Result<Revocations, StoreError> {
        self.engine
            .read(|sql| {
                sql.prepare_cached(
                    "SELECT (SELECT count(revoked_us) FROM gateway),
                        (SELECT coalesce(max(revoked_us), 0) FROM gateway),
                        (SELECT count(revoked_us) FROM certificate),
                        (SELECT coalesce(max(revoked_us), 0) FROM certificate)",
                )
                .and_then(|mut query| {
                    query.query_row([], |row| {
                        Ok(Revocations([
                            row.get(0)?,
                            row.get(1)?,
                            row.get(2)?,
                            row.get(3)?,
                        ]))
                    })
                })
                .doing("look for withdrawn certificates")
            })
            .await
    }

    /// From now on the gateway may not connect. What it brought stays.
    pub async fn revoke_gateway(
        &self,
        scope: TenantScope,
        gateway: GatewayId,
    ) -> Result<(), StoreError> {
        self.write(move |work| {
            let changed = work
                .sql
                .execute(
                    "UPDATE gateway SET revoked_us = coalesce(revoked_us, ?3)
                    WHERE tenant_id = ?1 AND id = ?2",
                    (scope.key(), gateway.0.into_bytes(), work.now.0),
                )
                .doing("revoke a gateway")?;
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
}

struct Claim {
    scope: TenantScope,
    site: Named<SiteId>,
    name: String,
    code: String,
    expires: Timestamp,
    /// The gateway whose place the box takes.
    replaces: Option<GatewayId>,
    used: Option<(Timestamp, GatewayId, [u8; 32])>,
}

impl Claim {
    fn find(sql: &Connection, token_sha256: &[u8; 32]) -> Result<Option<Self>, StoreError> {
        sql.query_row(
            "SELECT c.tenant_id, c.site_id, s.name, c.gateway_name, c.gateway_code, c.expires_us,
                c.used_us, c.used_by, c.used_key_sha256, c.replaces
            FROM claim AS c JOIN site AS s ON s.tenant_id = c.tenant_id AND s.id = c.site_id
            WHERE c.token_sha256 = ?1",
            [token_sha256],
            |row| {
                let at: Option<i64> = row.get(6)?;
                let by: Option<GatewayId> = sql::id_or_none(row, 7)?;
                let key: Option<[u8; 32]> = row.get(8)?;
                Ok(Self {
                    scope: TenantScope::of_key(row.get(0)?),
                    site: Named {
                        id: sql::id(row, 1)?,
                        name: row.get(2)?,
                    },
                    name: row.get(3)?,
                    code: row.get(4)?,
                    expires: Timestamp(row.get(5)?),
                    replaces: sql::id_or_none(row, 9)?,
                    used: match (at, by, key) {
                        (Some(at), Some(by), Some(key)) => Some((Timestamp(at), by, key)),
                        _ => None,
                    },
                })
            },
        )
        .optional()
        .doing("look up a claim")
    }

    /// Makes the gateway, or takes up again the one that this box was.
    fn enrol(
        &self,
        work: &Work<'_>,
        gateway: GatewayId,
        now: Timestamp,
    ) -> Result<(), RedeemError> {
        let key = self.scope.key();
        let id = gateway.0.into_bytes();
        let others = work
            .sql
            .prepare_cached("SELECT id, name, code FROM gateway WHERE tenant_id = ?1 AND (id = ?2 OR code = ?3)")
            .and_then(|mut query| {
                query
                    .query_map((key, id, &self.code), |row| {
                        Ok((sql::id::<GatewayId>(row, 0)?, row.get(1)?, row.get(2)?))
                    })?
                    .collect::<Result<Vec<(GatewayId, String, String)>, _>>()
            })
            .doing("look up a gateway")?;
        for (other, name, code) in others {
            if other == gateway && code != self.code {
                return Err(RedeemError::OtherGateway { name, code });
            }
            if other != gateway {
                return Err(RedeemError::CodeTaken { code, name });
            }
        }
        work.sql
            .execute(
                "INSERT INTO gateway (tenant_id, id, site_id, name, code, created_us)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                ON CONFLICT (tenant_id, id) DO UPDATE SET site_id = excluded.site_id,
                    name = excluded.name, revoked_us = NULL",
                params![
                    key,
                    id,
                    self.site.id.0.into_bytes(),
                    self.name,
                    self.code,
                    now.0
                ],
            )
            .doing("make a gateway")?;
        work.sql
            .execute(
                "UPDATE certificate SET revoked_us = ?3
                WHERE tenant_id = ?1 AND gateway_id = ?2 AND revoked_us IS NULL",
                params![key, id, now.0],
            )
            .doing("revoke older certificates")?;
        Ok(())
    }

    fn info(self, gateway: GatewayId) -> ClaimInfo {
        ClaimInfo {
            scope: self.scope,
            gateway: Named {
                id: gateway,
                name: self.name,
            },
            code: self.code,
            site: self.site,
        }
    }
}
