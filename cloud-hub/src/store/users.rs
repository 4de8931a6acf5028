//! People, their sessions and their failed sign-ins. Never sees a password or a cookie: only
//! their hashes.

use super::error::{Doing as _, StoreError};
use super::page::{Keyed, Listed, Page};
use super::{Store, sql};
use crate::tenants::TenantScope;
use protocol::id::UserId;
use protocol::time::Timestamp;
use rusqlite::{OptionalExtension as _, Row, params};
use uuid::Uuid;

/// What a person may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// May look.
    Viewer,
    /// May change records.
    Planner,
    /// May do everything.
    Admin,
}

impl Role {
    /// All roles, the least first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Planner, Self::Admin];

    /// The word of the JSON interface.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Planner => "planner",
            Self::Admin => "admin",
        }
    }

    /// From its word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.word() == word)
    }

    const fn code(self) -> i64 {
        match self {
            Self::Viewer => 1,
            Self::Planner => 2,
            Self::Admin => 3,
        }
    }

    /// What the store does not know may only look.
    fn from_code(code: i64) -> Self {
        Self::ALL
            .into_iter()
            .find(|role| role.code() == code)
            .unwrap_or(Self::Viewer)
    }
}

/// A person to be added.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// Name to sign in with and to be shown.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// argon2id, PHC text.
    pub password_hash: String,
}

/// A person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRow {
    /// Identity.
    pub id: UserId,
    /// Name to sign in with and to be shown.
    pub name: String,
    /// What they may do.
    pub role: Role,
}

/// A session.
#[derive(Clone, Debug)]
pub struct SessionRow {
    /// Who signed in.
    pub user: UserRow,
    /// What a write must carry besides the cookie.
    pub csrf: String,
    /// When they signed in.
    pub created: Timestamp,
    /// When they last did something.
    pub last_used: Timestamp,
}

impl Keyed for UserRow {
    fn key(&self) -> (String, Uuid) {
        (self.name.to_lowercase(), self.id.0)
    }
}

impl Store {
    /// Adds a person. Names differ in more than upper and lower case.
    pub async fn add_user(&self, scope: TenantScope, user: NewUser) -> Result<UserRow, StoreError> {
        self.write(move |work| {
            let id = UserId(crate::clock::new_id()?);
            let added = work
                .sql
                .execute(
                    "INSERT OR IGNORE INTO user (tenant_id, id, name, name_key, role, password_hash,
                        created_us) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                    params![
                        scope.key(),
                        id.0.into_bytes(),
                        user.name,
                        user.name.to_lowercase(),
                        user.role.code(),
                        user.password_hash,
                        work.now.0
                    ],
                )
                .doing("add a person")?;
            if added == 0 {
                return Err(StoreError::Taken {
                    what: "name",
                    name: user.name,
                });
            }
            Ok(UserRow {
                id,
                name: user.name,
                role: user.role,
            })
        })
        .await
    }

    /// Gives a person a new password and ends their sessions.
    pub async fn set_password(
        &self,
        scope: TenantScope,
        user: UserId,
        password_hash: String,
    ) -> Result<(), StoreError> {
        self.write(move |work| {
            let id = user.0.into_bytes();
            let changed = work
                .sql
                .execute(
                    "UPDATE user SET password_hash = ?3 WHERE tenant_id = ?1 AND id = ?2",
                    params![scope.key(), id, password_hash],
                )
                .doing("change a password")?;
            if changed == 0 {
                return Err(StoreError::NotFound { what: "person" });
            }
            work.sql
                .execute(
                    "DELETE FROM session WHERE tenant_id = ?1 AND user_id = ?2",
                    (scope.key(), id),
                )
                .map(|_| ())
                .doing("end a person's sessions")
        })
        .await
    }

    /// The people, by name.
    pub async fn users(
        &self,
        scope: TenantScope,
        page: Page,
    ) -> Result<Listed<UserRow>, StoreError> {
        self.engine
            .read(move |sql| {
                let (name, id) = page.after()?.unwrap_or_default();
                let rows = sql
                    .prepare_cached(
                        "SELECT id, name, role FROM user
                        WHERE tenant_id = ?1 AND (name_key, id) > (?2, ?3)
                        ORDER BY name_key, id LIMIT ?4",
                    )
                    .and_then(|mut query| {
                        query
                            .query_map(
                                params![scope.key(), name, id.into_bytes(), page.rows_to_read()],
                                user_row,
                            )?
                            .collect()
                    })
                    .doing("list the people")?;
                Ok(page.list(rows))
            })
            .await
    }

    /// One person.
    pub async fn user(&self, scope: TenantScope, user: UserId) -> Result<UserRow, StoreError> {
        self.engine
            .read(move |sql| {
                sql.query_row(
                    "SELECT id, name, role FROM user WHERE tenant_id = ?1 AND id = ?2",
                    (scope.key(), user.0.into_bytes()),
                    user_row,
                )
                .optional()
                .doing("look up a person")?
                .ok_or(StoreError::NotFound { what: "person" })
            })
            .await
    }

    /// A person and their password hash, by name, whatever the case of its letters.
    pub(crate) async fn user_called(
        &self,
        scope: TenantScope,
        name: &str,
    ) -> Result<Option<(UserRow, String)>, StoreError> {
        let name_key = name.to_lowercase();
        self.engine
            .read(move |sql| {
                sql.query_row(
                    "SELECT id, name, role, password_hash FROM user
                    WHERE tenant_id = ?1 AND name_key = ?2",
                    (scope.key(), name_key),
                    |row| Ok((user_row(row)?, row.get(3)?)),
                )
                .optional()
                .doing("look up a person")
            })
            .await
    }

    /// Begins a session and forgets those that were last used before `forget_before`.
    pub(crate) async fn add_session(
        &self,
        scope: TenantScope,
        cookie_sha256: [u8; 32],
        session: SessionRow,
        forget_before: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(move |work| {
            work.sql
                .execute(
                    "DELETE FROM session WHERE tenant_id = ?1 AND last_used_us < ?2",
                    (scope.key(), forget_before.0),
                )
                .doing("forget old sessions")?;
            work.sql
                .execute(
                    "INSERT INTO session (tenant_id, cookie_sha256, user_id, csrf, created_us,
                        last_used_us) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    params![
                        scope.key(),
                        cookie_sha256,
                        session.user.id.0.into_bytes(),
                        session.csrf,
                        session.created.0,
                        session.last_used.0
                    ],
                )
                .map(|_| ())
                .doing("begin a session")
        })
        .await
    }

    /// The session behind a cookie, and whose tenant it is.
    pub(crate) async fn session(
        &self,
        cookie_sha256: [u8; 32],
    ) -> Result<Option<(TenantScope, SessionRow)>, StoreError> {
        self.engine
            .read(move |sql| {
                sql.prepare_cached(
                    "SELECT u.id, u.name, u.role, s.csrf, s.created_us, s.last_used_us, s.tenant_id
                    FROM session AS s JOIN user AS u
                        ON u.tenant_id = s.tenant_id AND u.id = s.user_id
                    WHERE s.cookie_sha256 = ?1",
                )
                .and_then(|mut query| {
                    query
                        .query_row([cookie_sha256], |row| {
                            let session = SessionRow {
                                user: user_row(row)?,
                                csrf: row.get(3)?,
                                created: Timestamp(row.get(4)?),
                                last_used: Timestamp(row.get(5)?),
                            };
                            Ok((TenantScope::of_key(row.get(6)?), session))
                        })
                        .optional()
                })
                .doing("look up a session")
            })
            .await
    }

    /// The session was used at `now`.
    pub(crate) async fn touch_session(
        &self,
        cookie_sha256: [u8; 32],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(move |work| {
            work.sql
                .execute(
                    "UPDATE session SET last_used_us = max(last_used_us, ?2)
                    WHERE cookie_sha256 = ?1",
                    (cookie_sha256, now.0),
                )
                .map(|_| ())
                .doing("note that a session was used")
        })
        .await
    }

    /// Ends a session; nothing happens when there is none.
    pub(crate) async fn end_session(&self, cookie_sha256: [u8; 32]) -> Result<(), StoreError> {
        self.write(move |work| {
            work.sql
                .execute(
                    "DELETE FROM session WHERE cookie_sha256 = ?1",
                    [cookie_sha256],
                )
                .map(|_| ())
                .doing("end a session")
        })
        .await
    }

    /// Notes a try to sign in, before its password is looked at, so that tries at the same time
    /// are all counted. When there were `tries_max` since `since` it notes nothing and gives the
    /// time of the oldest of the last `tries_max`.
    pub(crate) async fn begin_sign_in(
        &self,
        scope: TenantScope,
        (name, address): (&str, &str),
        (now, since): (Timestamp, Timestamp),
        tries_max: usize,
    ) -> Result<Option<Timestamp>, StoreError> {
        let (name_key, address) = (name.to_lowercase(), address.to_owned());
        self.write(move |work| {
            work.sql
                .execute("DELETE FROM failed_sign_in WHERE at_us <= ?1", [since.0])
                .doing("forget old failed sign-ins")?;
            let oldest_that_counts: Option<i64> = work
                .sql
                .query_row(
                    "SELECT at_us FROM failed_sign_in
                    WHERE tenant_id = ?1 AND name_key = ?2 AND address = ?3
                    ORDER BY at_us DESC LIMIT 1 OFFSET ?4",
                    params![
                        scope.key(),
                        name_key,
                        address,
                        i64::try_from(tries_max).unwrap_or(i64::MAX) - 1
                    ],
                    |row| row.get(0),
                )
                .optional()
                .doing("look up failed sign-ins")?;
            if oldest_that_counts.is_some() {
                return Ok(oldest_that_counts.map(Timestamp));
            }
            work.sql
                .execute(
                    "INSERT INTO failed_sign_in (tenant_id, name_key, address, at_us)
                    VALUES (?1, ?2, ?3, ?4)",
                    params![scope.key(), name_key, address, now.0],
                )
                .doing("note a try to sign in")?;
            Ok(None)
        })
        .await
    }

    /// Forgets the failed sign-ins of somebody who has now signed in.
    pub(crate) async fn forget_failed_sign_ins(
        &self,
        scope: TenantScope,
        name: &str,
        address: &str,
    ) -> Result<(), StoreError> {
        let (name_key, address) = (name.to_lowercase(), address.to_owned());
        self.write(move |work| {
            work.sql
                .execute(
                    "DELETE FROM failed_sign_in
                    WHERE tenant_id = ?1 AND name_key = ?2 AND address = ?3",
                    params![scope.key(), name_key, address],
                )
                .map(|_| ())
                .doing("forget failed sign-ins")
        })
        .await
    }
}

fn user_row(row: &Row<'_>) -> rusqlite::Result<UserRow> {
    Ok(UserRow {
        id: sql::id(row, 0)?,
        name: row.get(1)?,
        role: Role::from_code(row.get(2)?),
    })
}
