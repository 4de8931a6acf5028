//! Checking a PIN against its argon2id tag (RFC 9106). Takes 4 MiB with the parameters that the hub
//! chooses; never keeps or logs a PIN.

use argon2::{Algorithm, Argon2, Params, Version};
use protocol::bundle::PinHash;
use protocol::limits::{PIN_MEMORY_KIB_MAX, PIN_PASSES_MAX};

/// How many digits a PIN has.
pub const PIN_DIGITS: std::ops::RangeInclusive<usize> = 4..=12;
/// As the hub makes them: for a name that nobody has, so that it takes as long.
const USUAL: (u32, u32) = (4 << 10, 3);

/// Whether this can be a PIN at all.
pub fn is_pin(text: &str) -> bool {
    PIN_DIGITS.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether `pin` belongs to `kept`. Without one it takes as long and says no.
pub fn verify(pin: &str, kept: Option<&PinHash>) -> bool {
    let (memory_kib, passes) = kept.map_or(USUAL, |kept| (kept.memory_kib, kept.passes));
    if memory_kib > PIN_MEMORY_KIB_MAX || passes > PIN_PASSES_MAX || !is_pin(pin) {
        return false;
    }
    let salt = kept.map_or([0; 16], |kept| kept.salt);
    let mut tag = [0; 32];
    let hashed = Params::new(memory_kib, passes, 1, Some(tag.len())).and_then(|params| {
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon2.hash_password_into(pin.as_bytes(), &salt, &mut tag)
    });
    let right = kept.is_some_and(|kept| same(&kept.hash, &tag));
    hashed.is_ok() && right
}

/// In a time that does not depend on where they differ.
fn same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    let differences = one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b));
    differences == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::HEXLOWER;

    /// Made by another implementation (OpenSSL, through pyca/cryptography): `Argon2id(
    /// salt=bytes(range(16)), length=32, iterations=3, lanes=1, memory_cost=4096)`.
    const TAG: &str = "44a147744bc3fdfa8f5344e3bfb48115626d9d35854c8e832e767350306fc47a";

    fn kept() -> PinHash {
        let mut hash = [0; 32];
        hash.copy_from_slice(&HEXLOWER.decode(TAG.as_bytes()).unwrap());
        PinHash {
            memory_kib: 4_096,
            passes: 3,
            salt: std::array::from_fn(|at| u8::try_from(at).unwrap()),
            hash,
        }
    }

    #[test]
    fn the_right_pin_and_no_other_is_taken() {
        assert!(verify("271828", Some(&kept())));
        for wrong in ["271829", "27182", "2718281", "", "27 1828", "aaaaaa"] {
            assert!(!verify(wrong, Some(&kept())), "{wrong}");
        }
        assert!(!verify("271828", None));
    }

    #[test]
    fn parameters_that_would_take_the_boxs_memory_are_refused() {
        let mut greedy = kept();
        greedy.memory_kib = PIN_MEMORY_KIB_MAX + 1;
        assert!(!verify("271828", Some(&greedy)));
        let mut slow = kept();
        slow.passes = PIN_PASSES_MAX + 1;
        assert!(!verify("271828", Some(&slow)));
    }
}
