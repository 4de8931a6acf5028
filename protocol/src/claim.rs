//! The claim: one line of text that a central person makes and an installer enters once on the
//! box. It holds a one-time secret and pins the hub's certificate authority. Never stored by the
//! hub as it is: only the hash of the secret.

use data_encoding::BASE32_NOPAD;
use std::fmt;
use thiserror::Error;

const PREFIX: &str = "cfe1-";
/// Of a claim that lets new hardware take a gateway's place.
const REPLACE_PREFIX: &str = "cfe1r-";
const TOKEN_BYTES: usize = 16;
const AUTHORITY_BYTES: usize = 32;

/// What a claim text holds.
#[derive(Clone, PartialEq, Eq)]
pub struct Claim {
    /// One-time secret.
    pub token: [u8; TOKEN_BYTES],
    /// SHA-256 of the hub's CA certificate (DER).
    pub authority: [u8; AUTHORITY_BYTES],
    /// The box takes the place of a gateway that is there already. The text says so, because a
    /// box that holds facts of its own must know before it spends the claim.
    pub replaces: bool,
}

/// Why a text is no claim.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ClaimError {
    /// It does not begin as one.
    #[error(
        "a claim begins with \"{PREFIX}\"; copy the whole line that `cloud-hub claim new` printed"
    )]
    NoClaim,
    /// It has a wrong character or length.
    #[error("the claim is not whole or has a wrong character; copy the whole line again")]
    Garbled,
    /// Its checksum is wrong.
    #[error("the claim has a typing error (its checksum is wrong); copy the line again")]
    Checksum,
}

impl Claim {
    /// Reads the text; blanks and line ends are passed over, case does not matter.
    pub fn parse(text: &str) -> Result<Self, ClaimError> {
        let text: String = text
            .chars()
            .filter(|c| !c.is_whitespace())
            .collect::<String>()
            .to_ascii_lowercase();
        let (replaces, body) = match text.strip_prefix(REPLACE_PREFIX) {
            Some(body) => (true, body),
            None => (false, text.strip_prefix(PREFIX).ok_or(ClaimError::NoClaim)?),
        };
        let body = body.to_ascii_uppercase();
        let bytes = BASE32_NOPAD
            .decode(body.as_bytes())
            .map_err(|_| ClaimError::Garbled)?;
        let (content, sum) = bytes.split_last_chunk::<4>().ok_or(ClaimError::Garbled)?;
        let (token, authority) = content
            .split_first_chunk::<TOKEN_BYTES>()
            .ok_or(ClaimError::Garbled)?;
        let authority: [u8; AUTHORITY_BYTES] =
            authority.try_into().map_err(|_| ClaimError::Garbled)?;
        if crc32c::crc32c(content).to_le_bytes() != *sum {
            return Err(ClaimError::Checksum);
        }
        Ok(Self {
            token: *token,
            authority,
            replaces,
        })
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.token.to_vec();
        bytes.extend(self.authority);
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        let prefix = if self.replaces {
            REPLACE_PREFIX
        } else {
            PREFIX
        };
        write!(
            f,
            "{prefix}{}",
            BASE32_NOPAD.encode(&bytes).to_ascii_lowercase()
        )
    }
}

/// Never shows the secret.
impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Claim(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_survives_copying_and_a_typing_error_is_named() {
        let claim = Claim {
            token: [7; 16],
            authority: [9; 32],
            replaces: false,
        };
        let replacing = Claim {
            replaces: true,
            ..claim.clone()
        };
        assert_eq!(Claim::parse(&replacing.to_string()), Ok(replacing));
        let text = claim.to_string();
        let (head, tail) = text.split_at(20);
        let spaced = format!(" {}\n{tail} ", head.to_uppercase());
        assert_eq!(Claim::parse(&spaced), Ok(claim));
        let typo = text.replacen('a', "b", 1);
        assert_ne!(typo, text);
        assert_eq!(Claim::parse(&typo), Err(ClaimError::Checksum));
        assert_eq!(Claim::parse(head), Err(ClaimError::Garbled));
        assert_eq!(Claim::parse("hello"), Err(ClaimError::NoClaim));
    }
}
