//! Which alerts receivers outside (mail, Slack, Teams) were told of: the queue that survives a restart,
//! and the log. Never sends anything.

use super::error::{Doing as _, StoreError};
use super::{Store, sql};
use crate::tenants::TenantScope;
use protocol::id::AlertId;
use protocol::time::Timestamp;
use rusqlite::params;

/// Rows that are kept; the oldest that have ended make room.
pub const NOTIFICATIONS_MAX: usize = 20_000;

/// How telling one receiver of one alert ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToldHow {
    /// It failed and is tried again.
    Failed,
    /// The receiver took it.
    Delivered,
    /// It failed too often.
    GivenUp,
    /// Somebody acknowledged it before.
    NotNeeded,
}

impl ToldHow {
    const fn code(self) -> i64 {
        match self {
            Self::Failed => 0,
            Self::Delivered => 1,
            Self::GivenUp => 2,
            Self::NotNeeded => 3,
        }
    }

    /// The word of the JSON interface.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Failed => "waiting",
            Self::Delivered => "delivered",
            Self::GivenUp => "given_up",
            Self::NotNeeded => "not_needed",
        }
    }

    fn of_code(code: i64) -> Self {
        let all = [
            Self::Failed,
            Self::Delivered,
            Self::GivenUp,
            Self::NotNeeded,
        ];
        all.into_iter()
            .find(|how| how.code() == code)
            .unwrap_or(Self::GivenUp)
    }
}

/// Something that a receiver is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToTell {
    /// Whose it is.
    pub scope: TenantScope,
    /// The alert.
    pub alert: AlertId,
    /// Tries so far.
    pub attempts: u32,
}

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotificationRow {
    /// The alert.
    pub alert: AlertId,
    /// Name of the receiver.
    pub receiver: String,
    /// Tries.
    pub attempts: u32,
    /// How it ended, or that it waits.
    pub how: ToldHow,
    /// What the receiver said, or why not.
    pub words: String,
    /// Since when it is to be told.
    pub since: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
}

impl Store {
    /// Notes that a receiver is to be told of an alert; `false`: that was noted before.
    pub async fn to_tell(
        &self,
        scope: TenantScope,
        alert: AlertId,
        receiver: String,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.write(move |work| {
            let noted = work
                .sql
                .prepare_cached(
                    "INSERT OR IGNORE INTO notified (tenant_id, alert_id, receiver, since_us)
                    VALUES (?1, ?2, ?3, ?4)",
                )
                .and_then(|mut insert| {
                    insert.execute(params![scope.key(), alert.0.into_bytes(), receiver, now.0])
                })
                .doing("note who is to be told")?;
            work.sql
                .prepare_cached(
                    "DELETE FROM notified WHERE ended > 0 AND pos <= (
                        SELECT pos FROM notified ORDER BY pos DESC LIMIT 1 OFFSET ?1)",
                )
                .and_then(|mut delete| delete.execute([NOTIFICATIONS_MAX]))
                .doing("make room in the log of who was told")?;
            Ok(noted > 0)
        })
        .await
    }

    /// What a receiver is still to be told, oldest first, at most so many.
    pub async fn waiting_for(
        &self,
        receiver: String,
        most: usize,
    ) -> Result<Vec<ToTell>, StoreError> {
        self.engine
            .read(move |sql| {
                sql.prepare_cached(
                    "SELECT tenant_id, alert_id, attempts FROM notified
                    WHERE receiver = ?1 AND ended = 0 ORDER BY pos LIMIT ?2",
                )
                .and_then(|mut query| {
                    let row = |row: &rusqlite::Row<'_>| {
                        Ok(ToTell {
                            scope: TenantScope::of_key(row.get(0)?),
                            alert: AlertId(sql::id(row, 1)?),
                            attempts: row.get(2)?,
                        })
                    };
                    query.query_map(params![receiver, most], row)?.collect()
                })
                .doing("look for who is to be told")
            })
            .await
    }

    /// Notes how telling a receiver of these ended.
    pub async fn told(
        &self,
        receiver: String,
        told: Vec<ToTell>,
        (how, words): (ToldHow, String),
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(move |work| {
            for one in &told {
                let ended = (how != ToldHow::Failed).then_some(now.0);
                let tried = i64::from(how != ToldHow::NotNeeded);
                work.sql
                    .prepare_cached(
                        "UPDATE notified SET attempts = attempts + ?4, ended = ?5, words = ?6,
                            ended_us = ?7
                        WHERE tenant_id = ?1 AND alert_id = ?2 AND receiver = ?3",
                    )
                    .and_then(|mut update| {
                        update.execute(params![
                            one.scope.key(),
                            one.alert.0.into_bytes(),
                            receiver,
                            tried,
                            how.code(),
                            words,
                            ended
                        ])
                    })
                    .doing("note who was told")?;
            }
            Ok(())
        })
        .await
    }

    /// The log, newest first.
    pub async fn notifications(
        &self,
        scope: TenantScope,
        most: usize,
    ) -> Result<Vec<NotificationRow>, StoreError> {
        self.engine
            .read(move |sql| {
                sql.prepare_cached(
                    "SELECT alert_id, receiver, attempts, ended, words, since_us, ended_us
                    FROM notified WHERE tenant_id = ?1 ORDER BY pos DESC LIMIT ?2",
                )
                .and_then(|mut query| {
                    query
                        .query_map(params![scope.key(), most], notification)?
                        .collect()
                })
                .doing("read who was told")
            })
            .await
    }
}

fn notification(row: &rusqlite::Row<'_>) -> rusqlite::Result<NotificationRow> {
    let ended: Option<i64> = row.get(6)?;
    Ok(NotificationRow {
        alert: AlertId(sql::id(row, 0)?),
        receiver: row.get(1)?,
        attempts: row.get(2)?,
        how: ToldHow::of_code(row.get(3)?),
        words: row.get(4)?,
        since: Timestamp(row.get(5)?),
        ended: ended.map(Timestamp),
    })
}
