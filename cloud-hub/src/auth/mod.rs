//! Who acts: passwords, sessions and claims. An [`Actor`] comes from here alone, so that a
//! handler without one does not compile. Never keeps a password, a cookie or a token: the store
//! gets their hashes.

mod claims;
mod password;
mod pin;
mod sessions;

pub use crate::store::Role;
pub use claims::{ClaimError, NewClaim, new_claim, new_replacement, redeem};
pub use password::{PASSWORD_BYTES_MIN, PasswordError, generate_password};
pub use pin::{PinError, generate_pin, pin_hash};
pub use sessions::{Session, SignInError, SignedIn, session, sign_in, sign_out};

use crate::store::{NewUser, Store, StoreError, UserRow};
use crate::tenants::TenantScope;
use protocol::id::UserId;
use protocol::limits::NAME_BYTES_MAX;
use ring::digest;
use thiserror::Error;

/// Who acts, and for whom. Only this room makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::manual_non_exhaustive,
    reason = "non_exhaustive would let the other rooms of this program make one"
)]
pub struct Actor {
    /// Whose data they work with.
    pub scope: TenantScope,
    /// Who they are.
    pub user: UserId,
    /// Their name.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Keeps the literal out of reach of the rooms above.
    made_here: (),
}

impl Actor {
    fn new(scope: TenantScope, user: UserRow) -> Self {
        Self {
            scope,
            user: user.id,
            name: user.name,
            role: user.role,
            made_here: (),
        }
    }
}

/// Why a person could not be added or given a password.
#[derive(Debug, Error)]
pub enum UserError {
    /// The name cannot be used.
    #[error("a name has 1 to {NAME_BYTES_MAX} bytes, no line ends, and no blanks around it")]
    Name,
    /// The password cannot be used.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Adds a person who may sign in with `password`.
pub async fn add_user(
    store: &Store,
    scope: TenantScope,
    name: &str,
    role: Role,
    password: &str,
) -> Result<UserRow, UserError> {
    if !is_name(name) {
        return Err(UserError::Name);
    }
    let user = NewUser {
        name: name.to_owned(),
        role,
        password_hash: password::hash(password).await?,
    };
    Ok(store.add_user(scope, user).await?)
}

/// Gives a person a new password and ends their sessions.
pub async fn set_password(
    store: &Store,
    scope: TenantScope,
    user: UserId,
    password: &str,
) -> Result<(), UserError> {
    let hash = password::hash(password).await?;
    Ok(store.set_password(scope, user, hash).await?)
}

/// Whether two secret texts are the same, in a time that says nothing about where they differ.
pub fn same(shown: &str, expected: &str) -> bool {
    let differences = sha256(shown.as_bytes())
        .iter()
        .zip(sha256(expected.as_bytes()))
        .fold(0, |all, (left, right)| all | (left ^ right));
    differences == 0
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && name.trim() == name
        && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests;
