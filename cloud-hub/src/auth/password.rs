//! Passwords: argon2id with 19 MiB, two passes, one lane (OWASP's first choice), a few at a time
//! so that many sign-ins at once cannot take the machine's memory. Never logs or keeps one.

use crate::clock::{self, NoRandom};
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use std::sync::OnceLock;
use thiserror::Error;
use tokio::sync::Semaphore;

/// Shortest password that is taken.
pub const PASSWORD_BYTES_MIN: usize = 10;
/// Longest password that is taken.
const PASSWORD_BYTES_MAX: usize = 256;
/// Memory of one hash.
const MEMORY_KIB: u32 = 19 * 1_024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// Hashes at the same time; further ones wait.
static AT_ONCE: Semaphore = Semaphore::const_new(2);
/// 32 letters and digits, without those that are mistaken for one another (i l o 0).
const ALPHABET: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz123456789";

/// Why a password cannot be used.
#[derive(Debug, Error)]
pub enum PasswordError {
    /// Too short or too long.
    #[error("a password has {PASSWORD_BYTES_MIN} to {PASSWORD_BYTES_MAX} bytes")]
    Length,
    /// No salt could be made.
    #[error(transparent)]
    Random(#[from] NoRandom),
    /// The hash could not be made.
    #[error("the password could not be hashed; is there memory left on this machine?")]
    Hash,
}

/// A password that nobody can guess, in groups that can be read out: 80 bits.
pub fn generate_password() -> Result<String, NoRandom> {
    let letters: Vec<char> = clock::random::<16>()?
        .iter()
        .filter_map(|byte| ALPHABET.get(usize::from(byte % 32)))
        .map(|letter| char::from(*letter))
        .collect();
    let groups: Vec<String> = letters
        .chunks(4)
        .map(|group| group.iter().collect())
        .collect();
    Ok(groups.join("-"))
}

/// The PHC text of a password's hash.
pub(super) async fn hash(password: &str) -> Result<String, PasswordError> {
    if !(PASSWORD_BYTES_MIN..=PASSWORD_BYTES_MAX).contains(&password.len()) {
        return Err(PasswordError::Length);
    }
    let salt = clock::random::<16>()?;
    let password = password.to_owned();
    slow(move || hash_with(&password, &salt))
        .await
        .flatten()
        .ok_or(PasswordError::Hash)
}

/// Whether `password` belongs to `hash`. Without a hash it takes as long and says no, so that
/// nobody learns which names there are.
pub(super) async fn verify(password: &str, hash: Option<String>) -> Result<bool, PasswordError> {
    static NOBODY: OnceLock<Option<String>> = OnceLock::new();
    if password.len() > PASSWORD_BYTES_MAX {
        return Ok(false);
    }
    let password = password.to_owned();
    slow(move || {
        let known = hash.is_some();
        let nobody = || NOBODY.get_or_init(|| hash_with("nobody", &[0; 16])).clone();
        let text = hash.or_else(nobody)?;
        let parsed = PasswordHash::new(&text).ok()?;
        let right = argon2()?
            .verify_password(password.as_bytes(), &parsed)
            .is_ok();
        Some(right && known)
    })
    .await
    .flatten()
    .ok_or(PasswordError::Hash)
}

fn argon2() -> Option<Argon2<'static>> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).ok()?;
    Some(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash_with(password: &str, salt: &[u8]) -> Option<String> {
    let hash: PasswordHash = argon2()?
        .hash_password_with_salt(password.as_bytes(), salt)
        .ok()?;
    Some(hash.to_string())
}

pub(super) async fn slow<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let _permit = AT_ONCE.acquire().await.ok()?;
    tokio::task::spawn_blocking(work).await.ok()
}
