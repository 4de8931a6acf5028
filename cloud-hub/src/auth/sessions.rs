//! Sessions: kept at the hub, found by the hash of a random cookie, ended after 30 minutes without
//! use or 12 hours. Five wrong passwords for a name from an address lock that pair for a while.
//! Never says whether a name or a password was wrong.

use super::{Actor, password, sha256};
use crate::clock::{self, NoRandom};
use crate::store::{SessionRow, Store, StoreError, hex};
use crate::tenants::TenantScope;
use protocol::time::Timestamp;
use thiserror::Error;

const SECOND_US: i64 = 1_000_000;
const IDLE_MAX_US: i64 = 30 * 60 * SECOND_US;
const AGE_MAX_US: i64 = 12 * 3_600 * SECOND_US;
/// How often a session's last use is written down.
const TOUCH_US: i64 = 60 * SECOND_US;
const TRIES_MAX: usize = 5;
const TRIES_WINDOW_US: i64 = 15 * 60 * SECOND_US;
/// Length of a cookie value: 32 bytes in hexadecimal.
const COOKIE_LETTERS: usize = 64;

/// Somebody is signed in.
#[derive(Clone, Debug)]
pub struct Session {
    /// Who.
    pub actor: Actor,
    /// What every write must carry in `X-CSRF-Token`; compare with [`super::same`].
    pub csrf: String,
}

/// A new session.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// The value of the cookie: told once.
    pub cookie: String,
    /// The session.
    pub session: Session,
}

/// Why somebody was not signed in.
#[derive(Debug, Error)]
pub enum SignInError {
    /// Name or password is wrong; which one is not said.
    #[error("name or password is wrong")]
    BadCredentials,
    /// Too many wrong passwords.
    #[error("too many wrong passwords; try again in {} minutes", retry_after_s.div_ceil(60))]
    TooMany {
        /// When a try is looked at again.
        retry_after_s: u64,
    },
    /// The password could not be looked at.
    #[error(transparent)]
    Password(#[from] password::PasswordError),
    /// No random numbers.
    #[error(transparent)]
    Random(#[from] NoRandom),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Signs in who has the right password. `address` is where the request came from.
pub async fn sign_in(
    store: &Store,
    scope: TenantScope,
    (name, password): (&str, &str),
    address: &str,
    now: Timestamp,
) -> Result<SignedIn, SignInError> {
    let since = now.plus_micros(-TRIES_WINDOW_US);
    let locked = store
        .begin_sign_in(scope, (name, address), (now, since), TRIES_MAX)
        .await?;
    if let Some(oldest) = locked {
        let left_us = oldest.plus_micros(TRIES_WINDOW_US).micros_since(now);
        let retry_after_s = u64::try_from(left_us.div_euclid(SECOND_US) + 1).unwrap_or(1);
        return Err(SignInError::TooMany { retry_after_s });
    }
    let (user, hash) = store.user_called(scope, name).await?.unzip();
    let right = password::verify(password, hash).await?;
    let (Some(user), true) = (user, right) else {
        return Err(SignInError::BadCredentials);
    };
    store.forget_failed_sign_ins(scope, name, address).await?;
    let cookie = hex(&clock::random::<32>()?);
    let row = SessionRow {
        user: user.clone(),
        csrf: hex(&clock::random::<16>()?),
        created: now,
        last_used: now,
    };
    let csrf = row.csrf.clone();
    let forget_before = now.plus_micros(-AGE_MAX_US);
    store
        .add_session(scope, sha256(cookie.as_bytes()), row, forget_before)
        .await?;
    Ok(SignedIn {
        cookie,
        session: Session {
            actor: Actor::new(scope, user),
            csrf,
        },
    })
}

/// The session behind a cookie's value; `None` when there is none or it has ended.
pub async fn session(
    store: &Store,
    cookie: &str,
    now: Timestamp,
) -> Result<Option<Session>, StoreError> {
    if cookie.len() != COOKIE_LETTERS {
        return Ok(None);
    }
    let cookie_sha256 = sha256(cookie.as_bytes());
    let Some((scope, row)) = store.session(cookie_sha256).await? else {
        return Ok(None);
    };
    let idle_us = now.micros_since(row.last_used);
    if idle_us >= IDLE_MAX_US || now.micros_since(row.created) >= AGE_MAX_US {
        store.end_session(cookie_sha256).await?;
        return Ok(None);
    }
    if idle_us >= TOUCH_US {
        store.touch_session(cookie_sha256, now).await?;
    }
    Ok(Some(Session {
        actor: Actor::new(scope, row.user),
        csrf: row.csrf,
    }))
}

/// Ends the session behind a cookie's value.
pub async fn sign_out(store: &Store, cookie: &str) -> Result<(), StoreError> {
    store.end_session(sha256(cookie.as_bytes())).await
}
