//! Commands of the hub that this box took on: written down before anything is done, so that none is
//! ever done twice, and their results until the hub has them. Never does one.

use super::Storage;
use super::error::{Doing as _, StorageError};
use protocol::limits::COMMANDS_MAX;
use protocol::sync::Outcome;
use protocol::time::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use uuid::Uuid;

const DOING: &str = "keeping a command of the hub";

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandResult {
    /// The command.
    pub id: Uuid,
    /// How.
    pub outcome: Outcome,
    /// For people.
    pub words: String,
    /// When.
    pub time: Timestamp,
}

/// Whether a command may be done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TakenOn {
    /// It was not known; it is now.
    New,
    /// It was taken on before; its result, when there is one.
    Known(Option<CommandResult>),
    /// As many results as are kept wait for the hub already; the hub sends it again.
    Full,
}

impl Storage {
    /// Writes down that a command is taken on, or with `ended` that it is not done at all and why.
    /// On disk when it returns.
    pub async fn take_on(
        &self,
        id: Uuid,
        kind: u16,
        expires: Timestamp,
        ended: Option<(Outcome, String)>,
    ) -> Result<TakenOn, StorageError> {
        self.job(move |writer| {
            let now = (writer.now)();
            let db = &writer.core.db;
            if let Some(known) = find(db, id)? {
                return Ok(known);
            }
            if !room(db, now)? {
                return Ok(TakenOn::Full);
            }
            let (outcome, words) = ended.unzip();
            let time = outcome.map(|_| now.0);
            db.execute(
                "INSERT INTO command (id, kind, expires_us, outcome, words, time_us)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![
                    id.into_bytes(),
                    kind,
                    expires.0,
                    outcome.map(Outcome::code),
                    words.unwrap_or_default(),
                    time
                ],
            )
            .doing(DOING)?;
            Ok(TakenOn::New)
        })
        .await
    }

    /// A command that was taken on has ended so.
    pub async fn command_ended(
        &self,
        id: Uuid,
        outcome: Outcome,
        words: String,
    ) -> Result<(), StorageError> {
        self.job(move |writer| {
            let now = (writer.now)();
            writer
                .core
                .db
                .execute(
                    "UPDATE command SET outcome = ?2, words = ?3, time_us = ?4
                    WHERE id = ?1 AND outcome IS NULL",
                    params![id.into_bytes(), outcome.code(), words, now.0],
                )
                .map(|_| ())
                .doing(DOING)
        })
        .await
    }

    /// At the start: what was being done when the agent ended, nobody knows.
    pub async fn commands_cut_off(&self) -> Result<usize, StorageError> {
        const WORDS: &str = "the agent ended while it was done; it is not done again";
        self.job(move |writer| {
            let now = (writer.now)();
            writer
                .core
                .db
                .execute(
                    "UPDATE command SET outcome = ?1, words = ?2, time_us = ?3
                    WHERE outcome IS NULL",
                    params![Outcome::Unknown.code(), WORDS, now.0],
                )
                .doing(DOING)
        })
        .await
    }

    /// Results that the hub does not have yet, oldest first.
    pub async fn results_waiting(&self) -> Result<Vec<CommandResult>, StorageError> {
        self.core
            .read(|db| {
                db.prepare_cached(
                    "SELECT id, outcome, words, time_us FROM command
                    WHERE acked = 0 AND outcome IS NOT NULL ORDER BY pos",
                )
                .and_then(|mut query| query.query_map([], result)?.collect())
                .doing("reading the results of commands")
            })
            .await
    }

    /// The hub has stored the result of this command.
    pub async fn result_acked(&self, id: Uuid) -> Result<(), StorageError> {
        self.job(move |writer| {
            writer
                .core
                .db
                .execute(
                    "UPDATE command SET acked = 1 WHERE id = ?1",
                    [id.into_bytes()],
                )
                .map(|_| ())
                .doing(DOING)
        })
        .await
    }
}

/// A command that is known, with its result when there is one.
fn find(db: &Connection, id: Uuid) -> Result<Option<TakenOn>, StorageError> {
    db.query_row(
        "SELECT id, outcome, words, time_us FROM command WHERE id = ?1",
        [id.into_bytes()],
        |row| match row.get::<_, Option<u8>>(1)? {
            Some(_) => Ok(TakenOn::Known(Some(result(row)?))),
            None => Ok(TakenOn::Known(None)),
        },
    )
    .optional()
    .doing(DOING)
}

/// Makes room for one more: results that the hub has go, the oldest first, once their command could
/// not be done any more anyway.
fn room(db: &Connection, now: Timestamp) -> Result<bool, StorageError> {
    let most = i64::try_from(COMMANDS_MAX).unwrap_or(i64::MAX);
    db.execute(
        "DELETE FROM command WHERE acked = 1 AND expires_us < ?2 AND pos <= (
            SELECT pos FROM command ORDER BY pos DESC LIMIT 1 OFFSET ?1)",
        params![most - 1, now.0],
    )
    .doing(DOING)?;
    let waiting: i64 = db
        .query_row("SELECT count(*) FROM command WHERE acked = 0", [], |row| {
            row.get(0)
        })
        .doing(DOING)?;
    Ok(waiting < most)
}

fn result(row: &Row<'_>) -> rusqlite::Result<CommandResult> {
    Ok(CommandResult {
        id: Uuid::from_bytes(row.get(0)?),
        outcome: Outcome::from_code(row.get(1)?).unwrap_or(Outcome::Unknown),
        words: row.get(2)?,
        time: Timestamp(row.get(3)?),
    })
}
