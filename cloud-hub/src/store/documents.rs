//! Configuration documents of the boxes: every one that was made for a box, and what the box told
//! of it. Never changes the text of one: another text is another version.

use super::changes::{Change, Changed};
use super::error::{Doing as _, StoreError};
use super::records::Records;
use super::{Store, sql};
use crate::tenants::TenantScope;
use protocol::id::GatewayId;
use protocol::sync::DocumentState;
use protocol::time::Timestamp;
use protocol::wire::v1::{DocumentStateV1, DocumentV1};
use rusqlite::{OptionalExtension as _, params};

/// Documents kept of each box; of more, the oldest go.
const DOCUMENTS_KEPT: i64 = 50;

/// A document without its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentRow {
    /// Its number.
    pub version: u64,
    /// When it was made.
    pub made: Timestamp,
    /// Who made it.
    pub by: String,
    /// What the box told of it last.
    pub state: Option<DocumentState>,
    /// Why, in the box's words.
    pub words: String,
    /// When the box told that.
    pub state_at: Option<Timestamp>,
}

/// What a box told last of its configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigurationTold {
    /// Of which document; 0: the box has none.
    pub version: u64,
    /// What became of it.
    pub state: Option<DocumentState>,
    /// Why.
    pub words: String,
    /// When it was told.
    pub told: Timestamp,
}

impl Records<'_, '_> {
    /// Makes the next document of a gateway; answers its number.
    pub fn add_document(
        &mut self,
        gateway: GatewayId,
        (text, hash): (&str, [u8; 32]),
        by: &str,
    ) -> Result<u64, StoreError> {
        let (work, scope) = self.parts();
        let place = (scope.key(), gateway.0.into_bytes());
        let version: i64 = work
            .sql
            .query_row(
                "SELECT 1 + coalesce(max(version), 0) FROM document
                WHERE tenant_id = ?1 AND gateway_id = ?2",
                place,
                |row| row.get(0),
            )
            .doing("number a configuration document")?;
        work.sql
            .execute(
                "INSERT INTO document (tenant_id, gateway_id, version, hash, text, made_us, made_by)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![place.0, place.1, version, hash, text, work.now.0, by],
            )
            .doing("keep a configuration document")?;
        work.sql
            .execute(
                "DELETE FROM document WHERE tenant_id = ?1 AND gateway_id = ?2 AND version <= ?3",
                (place.0, place.1, version - DOCUMENTS_KEPT),
            )
            .doing("let go of an old configuration document")?;
        Ok(sql::uint(version))
    }
}

impl Store {
    /// Number and hash of the document that a gateway is to have.
    pub async fn document_wanted(
        &self,
        scope: TenantScope,
        gateway: GatewayId,
    ) -> Result<Option<(u64, [u8; 32])>, StoreError> {
        self.engine
            .read(move |sql| {
                sql.prepare_cached(
                    "SELECT version, hash FROM document WHERE tenant_id = ?1 AND gateway_id = ?2
                    ORDER BY version DESC LIMIT 1",
                )
                .and_then(|mut query| {
                    query
                        .query_row((scope.key(), gateway.0.into_bytes()), |row| {
                            Ok((sql::uint(row.get(0)?), row.get(1)?))
                        })
                        .optional()
                })
                .doing("look for a configuration document")
            })
            .await
    }

    /// A document with its text.
    pub async fn document(
        &self,
        scope: TenantScope,
        gateway: GatewayId,
        version: u64,
    ) -> Result<DocumentV1, StoreError> {
        self.engine
            .read(move |sql| {
                sql.query_row(
                    "SELECT hash, text FROM document
                    WHERE tenant_id = ?1 AND gateway_id = ?2 AND version = ?3",
                    (scope.key(), gateway.0.into_bytes(), sql::int(version)),
                    |row| {
                        Ok(DocumentV1 {
                            version,
                            hash: row.get(0)?,
                            text: row.get(1)?,
                        })
                    },
                )
                .optional()
                .doing("read a configuration document")?
                .ok_or(StoreError::NotFound { what: "document" })
            })
            .await
    }

    /// The documents of a gateway, newest first, and what the box told last.
    pub async fn documents(
        &self,
        scope: TenantScope,
        gateway: GatewayId,
    ) -> Result<(Vec<DocumentRow>, Option<ConfigurationTold>), StoreError> {
        self.engine
            .read(move |sql| {
                let place = (scope.key(), gateway.0.into_bytes());
                let rows = sql
                    .prepare_cached(
                        "SELECT version, made_us, made_by, state, words, state_us FROM document
                        WHERE tenant_id = ?1 AND gateway_id = ?2 ORDER BY version DESC",
                    )
                    .and_then(|mut query| {
                        let row = |row: &rusqlite::Row<'_>| {
                            Ok(DocumentRow {
                                version: sql::uint(row.get(0)?),
                                made: Timestamp(row.get(1)?),
                                by: row.get(2)?,
                                state: row
                                    .get::<_, Option<u8>>(3)?
                                    .and_then(DocumentState::from_code),
                                words: row.get(4)?,
                                state_at: row.get::<_, Option<i64>>(5)?.map(Timestamp),
                            })
                        };
                        query.query_map(place, row)?.collect()
                    })
                    .doing("list configuration documents")?;
                let told = sql
                    .query_row(
                        "SELECT version, state, words, told_us FROM configuration
                        WHERE tenant_id = ?1 AND gateway_id = ?2",
                        place,
                        |row| {
                            Ok(ConfigurationTold {
                                version: sql::uint(row.get(0)?),
                                state: DocumentState::from_code(row.get(1)?),
                                words: row.get(2)?,
                                told: Timestamp(row.get(3)?),
                            })
                        },
                    )
                    .optional()
                    .doing("read what a box told of its configuration")?;
                Ok((rows, told))
            })
            .await
    }

    /// A box told what it did with a document.
    pub async fn document_told(
        &self,
        scope: TenantScope,
        gateway: GatewayId,
        told: DocumentStateV1,
    ) -> Result<(), StoreError> {
        self.write(move |work| {
            let version = sql::int(told.version);
            let place = (scope.key(), gateway.0.into_bytes());
            work.sql
                .execute(
                    "INSERT INTO configuration (tenant_id, gateway_id, version, state, words, told_us)
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                    ON CONFLICT DO UPDATE SET version = excluded.version, state = excluded.state,
                        words = excluded.words, told_us = excluded.told_us",
                    params![place.0, place.1, version, told.state, told.words, work.now.0],
                )
                .doing("note what a box told of its configuration")?;
            // Told again on each connection: since when it is so stays.
            work.sql
                .execute(
                    "UPDATE document SET state = ?5, words = ?6, state_us = ?7
                    WHERE tenant_id = ?1 AND gateway_id = ?2 AND version = ?3 AND hash = ?4
                        AND (state IS NOT ?5 OR words <> ?6)",
                    params![
                        place.0, place.1, version, told.hash, told.state, told.words, work.now.0
                    ],
                )
                .doing("note what became of a configuration document")?;
            work.changes.push(Change {
                scope,
                what: Changed::Gateway(gateway),
            });
            Ok(())
        })
        .await
    }
}
