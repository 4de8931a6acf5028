//! PINs for the boxes: argon2id with 4 MiB and three passes, so that a small board checks one in a
//! tenth of a second and without much memory. That stops whoever guesses at the box; a PIN of few
//! digits does not stop whoever has the box's disk. Never logs or keeps one.

use super::password::{self, PasswordError};
use crate::clock::{self, NoRandom};
use argon2::{Algorithm, Argon2, Params, Version};
use protocol::bundle::PinHash;
use thiserror::Error;

/// How many digits a PIN has.
const DIGITS: std::ops::RangeInclusive<usize> = 4..=12;
/// How many one has that the hub makes.
const DIGITS_MADE: usize = 6;
const MEMORY_KIB: u32 = 4 << 10;
const PASSES: u32 = 3;

/// Why a PIN cannot be used.
#[derive(Debug, Error)]
pub enum PinError {
    /// Its form.
    #[error("a PIN has 4 to 12 digits and nothing else")]
    Form,
    /// One that everybody tries first.
    #[error("this PIN is one of the first that anybody would try; choose another one")]
    Easy,
    /// No salt could be made.
    #[error(transparent)]
    Random(#[from] NoRandom),
    /// The hash could not be made.
    #[error(transparent)]
    Hash(#[from] PasswordError),
}

/// A PIN that nobody can guess in the tries that a box allows.
pub fn generate_pin() -> Result<String, NoRandom> {
    loop {
        let number = u64::from_be_bytes(clock::random::<8>()?) % 1_000_000;
        let pin = format!("{number:0DIGITS_MADE$}");
        if !is_easy(&pin) {
            return Ok(pin);
        }
    }
}

/// What a box needs to check a PIN.
pub async fn pin_hash(pin: &str) -> Result<PinHash, PinError> {
    if !DIGITS.contains(&pin.len()) || !pin.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(PinError::Form);
    }
    if is_easy(pin) {
        return Err(PinError::Easy);
    }
    let salt = clock::random::<16>()?;
    let pin = pin.to_owned();
    let hash = password::slow(move || {
        let mut tag = [0; 32];
        let params = Params::new(MEMORY_KIB, PASSES, 1, Some(tag.len())).ok()?;
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(pin.as_bytes(), &salt, &mut tag)
            .ok()?;
        Some(tag)
    });
    Ok(PinHash {
        memory_kib: MEMORY_KIB,
        passes: PASSES,
        salt,
        hash: hash.await.flatten().ok_or(PasswordError::Hash)?,
    })
}

/// The same digit throughout, or digits that count up or down.
fn is_easy(pin: &str) -> bool {
    let digits = pin.bytes().zip(pin.bytes().skip(1));
    let steps: std::collections::BTreeSet<i16> =
        digits.map(|(a, b)| i16::from(b) - i16::from(a)).collect();
    steps.len() == 1 && steps.iter().all(|step| (-1..=1).contains(step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pins_that_anybody_would_try_and_other_texts_are_refused() {
        for easy in ["1111", "123456", "987654", "0000000"] {
            assert!(
                matches!(pin_hash(easy).await, Err(PinError::Easy)),
                "{easy}"
            );
        }
        for form in ["", "123", "12345678901234", "12a4", "１２３４"] {
            assert!(
                matches!(pin_hash(form).await, Err(PinError::Form)),
                "{form}"
            );
        }
        let made = generate_pin().unwrap();
        assert_eq!(made.len(), DIGITS_MADE);
        let (one, other) = (
            pin_hash(&made).await.unwrap(),
            pin_hash(&made).await.unwrap(),
        );
        assert_ne!(one.salt, other.salt);
        assert_ne!(one.hash, other.hash);
    }
}
