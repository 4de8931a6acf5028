//! Commands for the boxes and how they ended. Never takes a second result of the same command.

use super::changes::{Change, Changed};
use super::error::{Doing as _, StoreError};
use super::records::Records;
use super::{Store, sql};
use crate::tenants::TenantScope;
use protocol::id::GatewayId;
use protocol::sync::{Outcome, Task};
use protocol::time::Timestamp;
use protocol::wire::v1::{CommandResultV1, CommandV1};
use rusqlite::{Row, params};
use uuid::Uuid;

/// Commands shown of each box.
const COMMANDS_SHOWN: i64 = 50;
/// Commands with a result that are kept of each box; of more, the oldest go.
const COMMANDS_KEPT: i64 = 1_000;

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandRow {
    /// Identity.
    pub id: Uuid,
    /// What it asks for, in the word of its kind.
    pub task: &'static str,
    /// What its kind needs.
    pub arguments: Vec<String>,
    /// When it was given.
    pub issued: Timestamp,
    /// From when on it is not done any more.
    pub expires: Timestamp,
    /// Who gave it.
    pub by: String,
    /// How it ended; `None` while nobody here knows.
    pub outcome: Option<Outcome>,
    /// In the box's words.
    pub words: String,
    /// When it ended, by the box's clock.
    pub ended: Option<Timestamp>,
}

impl Records<'_, '_> {
    /// Gives a gateway a command.
    pub fn add_command(
        &mut self,
        gateway: GatewayId,
        id: Uuid,
        task: &Task,
        (expires, by): (Timestamp, &str),
    ) -> Result<(), StoreError> {
        let (work, scope) = self.parts();
        let (kind, arguments) = task.to_wire();
        let place = (scope.key(), gateway.0.into_bytes());
        work.sql
            .execute(
                "INSERT INTO command (tenant_id, gateway_id, id, kind, arguments, issued_us,
                    expires_us, made_by) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                params![
                    place.0,
                    place.1,
                    id.into_bytes(),
                    kind,
                    serde_json::Value::from(arguments).to_string(),
                    work.now.0,
                    expires.0,
                    by
                ],
            )
            .doing("keep a command")?;
        work.sql
            .execute(
                "DELETE FROM command WHERE seq IN (SELECT seq FROM command
                    WHERE tenant_id = ?1 AND gateway_id = ?2 AND outcome IS NOT NULL
                    ORDER BY seq DESC LIMIT -1 OFFSET ?3)",
                (place.0, place.1, COMMANDS_KEPT),
            )
            .map(|_| ())
            .doing("let go of old commands")
    }

    /// Commands of a gateway without a result.
    pub fn open_commands(&mut self, gateway: GatewayId) -> Result<usize, StoreError> {
        let (work, scope) = self.parts();
        work.sql
            .query_row(
                "SELECT count(*) FROM command
                WHERE tenant_id = ?1 AND gateway_id = ?2 AND outcome IS NULL",
                (scope.key(), gateway.0.into_bytes()),
                |row| sql::count(row, 0),
            )
            .doing("count the commands of a gateway")
    }
}

impl Store {
    /// The commands of a gateway without a result, oldest first.
    pub async fn commands_open(
        &self,
        scope: TenantScope,
        gateway: GatewayId,
    ) -> Result<Vec<CommandV1>, StoreError> {
        self.engine
            .read(move |sql| {
                sql.prepare_cached(
                    "SELECT id, kind, arguments, issued_us, expires_us, made_by FROM command
                    WHERE tenant_id = ?1 AND gateway_id = ?2 AND outcome IS NULL ORDER BY seq",
                )
                .and_then(|mut query| {
                    let row = |row: &Row<'_>| {
                        Ok(CommandV1 {
                            id: sql::id(row, 0)?,
                            kind: row.get(1)?,
                            arguments: arguments(row, 2)?,
                            issued_us: row.get(3)?,
                            expires_us: row.get(4)?,
                            by: row.get(5)?,
                        })
                    };
                    let place = (scope.key(), gateway.0.into_bytes());
                    query.query_map(place, row)?.collect()
                })
                .doing("look for commands")
            })
            .await
    }

    /// The newest commands of a gateway, newest first.
    pub async fn commands(
        &self,
        scope: TenantScope,
        gateway: GatewayId,
    ) -> Result<Vec<CommandRow>, StoreError> {
        self.engine
            .read(move |sql| {
                sql.prepare_cached(
                    "SELECT id, kind, arguments, issued_us, expires_us, made_by, outcome, words,
                        time_us
                    FROM command WHERE tenant_id = ?1 AND gateway_id = ?2
                    ORDER BY seq DESC LIMIT ?3",
                )
                .and_then(|mut query| {
                    let place = (scope.key(), gateway.0.into_bytes(), COMMANDS_SHOWN);
                    query.query_map(place, command_row)?.collect()
                })
                .doing("list commands")
            })
            .await
    }

    /// A box told how a command ended. The first result counts.
    pub async fn command_ended(
        &self,
        scope: TenantScope,
        gateway: GatewayId,
        result: CommandResultV1,
    ) -> Result<(), StoreError> {
        self.write(move |work| {
            work.sql
                .execute(
                    "UPDATE command SET outcome = ?4, words = ?5, time_us = ?6, result_us = ?7
                    WHERE tenant_id = ?1 AND gateway_id = ?2 AND id = ?3 AND outcome IS NULL",
                    params![
                        scope.key(),
                        gateway.0.into_bytes(),
                        result.id.into_bytes(),
                        result.outcome,
                        result.words,
                        result.time_us,
                        work.now.0
                    ],
                )
                .doing("keep the result of a command")?;
            work.changes.push(Change {
                scope,
                what: Changed::Gateway(gateway),
            });
            Ok(())
        })
        .await
    }

    /// Rings for every gateway that got a document, a command or a bundle after `mark`, from whatever
    /// process; gives the mark for the next time.
    pub async fn ring_for_orders(&self, mark: OrdersMark) -> Result<OrdersMark, StoreError> {
        let (now, rung) = self
            .engine
            .read(move |sql| {
                sql.prepare_cached(
                    "SELECT 0, seq, tenant_id, gateway_id FROM document WHERE seq > ?1
                    UNION ALL
                    SELECT 1, seq, tenant_id, gateway_id FROM command WHERE seq > ?2
                    UNION ALL
                    SELECT 2, b.seq, b.tenant_id, g.id FROM bundle AS b JOIN gateway AS g
                        ON g.tenant_id = b.tenant_id AND g.site_id = b.site_id
                    WHERE b.seq > ?3",
                )
                .and_then(|mut query| {
                    let mut now = mark;
                    let mut rung = Vec::new();
                    let mut rows = query.query([mark.documents, mark.commands, mark.bundles])?;
                    while let Some(row) = rows.next()? {
                        let seq: i64 = row.get(1)?;
                        match row.get::<_, i64>(0)? {
                            0 => now.documents = now.documents.max(seq),
                            1 => now.commands = now.commands.max(seq),
                            _ => now.bundles = now.bundles.max(seq),
                        }
                        rung.push((TenantScope::of_key(row.get(2)?), sql::id(row, 3)?));
                    }
                    Ok((now, rung))
                })
                .doing("look for documents and commands")
            })
            .await?;
        for (scope, gateway) in rung {
            self.bells.ring(&Change {
                scope,
                what: Changed::Down(gateway),
            });
        }
        Ok(now)
    }
}

/// Up to where documents, commands and bundles were noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrdersMark {
    documents: i64,
    commands: i64,
    bundles: i64,
}

fn command_row(row: &Row<'_>) -> rusqlite::Result<CommandRow> {
    let arguments = arguments(row, 2)?;
    let task = Task::from_wire(row.get(1)?, &arguments);
    Ok(CommandRow {
        id: sql::id(row, 0)?,
        task: task.map_or("unknown", |task| task.word()),
        arguments,
        issued: Timestamp(row.get(3)?),
        expires: Timestamp(row.get(4)?),
        by: row.get(5)?,
        // One that this build does not know: a newer box wrote it.
        outcome: row
            .get::<_, Option<u8>>(6)?
            .map(|code| Outcome::from_code(code).unwrap_or(Outcome::Unknown)),
        words: row.get(7)?,
        ended: row.get::<_, Option<i64>>(8)?.map(Timestamp),
    })
}

fn arguments(row: &Row<'_>, at: usize) -> rusqlite::Result<Vec<String>> {
    let text: String = row.get(at)?;
    serde_json::from_str(&text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(at, rusqlite::types::Type::Text, error.into())
    })
}
