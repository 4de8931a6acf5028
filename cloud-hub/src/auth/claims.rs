//! Claims: a central person allows one box to join, once, within 24 hours.
//! Never knows certificates: `ca` signs them once a claim was redeemed.

use super::{is_name, sha256};
use crate::clock::{self, NoRandom};
use crate::store::{self, ClaimInfo, RedeemError, Store, StoreError};
use crate::tenants::TenantScope;
use protocol::id::GatewayId;
use protocol::limits::NAME_BYTES_MAX;
use protocol::time::Timestamp;
use thiserror::Error;

const VALID_US: i64 = 24 * 3_600 * 1_000_000;
const CODE_LETTERS_MAX: usize = 8;
/// Begins the numbers of orders that are made at the hub.
const HUB_CODE: &str = "H";

/// What a box will be.
#[derive(Clone, Debug)]
pub struct NewClaim {
    /// Name of its site; made when there is none.
    pub site: String,
    /// Its name.
    pub gateway: String,
    /// Begins the numbers that are made on it: `B2`.
    pub code: String,
}

/// Why a claim could not be made.
#[derive(Debug, Error)]
pub enum ClaimError {
    /// A name cannot be used.
    #[error(
        "the name of the {what} has 1 to {NAME_BYTES_MAX} bytes, no line ends, and no blanks \
         around it"
    )]
    Name {
        /// `site` or `gateway`.
        what: &'static str,
    },
    /// The code cannot be used.
    #[error(
        "\"{code}\" cannot be a code: a code has 1 to {CODE_LETTERS_MAX} capital letters A to Z \
         and digits, and \"{HUB_CODE}\" is the hub's own"
    )]
    Code {
        /// The code.
        code: String,
    },
    /// No random numbers.
    #[error(transparent)]
    Random(#[from] NoRandom),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes a token with which one box can enrol until 24 hours after `now`. It is told once.
pub async fn new_claim(
    store: &Store,
    scope: TenantScope,
    claim: NewClaim,
    now: Timestamp,
) -> Result<[u8; 16], ClaimError> {
    for (what, name) in [("site", &claim.site), ("gateway", &claim.gateway)] {
        if !is_name(name) {
            return Err(ClaimError::Name { what });
        }
    }
    let letters_are_right = claim
        .code
        .bytes()
        .all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit());
    if !(1..=CODE_LETTERS_MAX).contains(&claim.code.len())
        || !letters_are_right
        || claim.code == HUB_CODE
    {
        return Err(ClaimError::Code { code: claim.code });
    }
    let token = clock::random()?;
    let row = store::NewClaim {
        token_sha256: sha256(&token),
        site: claim.site,
        gateway_name: claim.gateway,
        gateway_code: claim.code,
        expires: now.plus_micros(VALID_US),
    };
    store.add_claim(scope, row).await?;
    Ok(token)
}

/// Makes a token with which new hardware can take the place of `gateway` until 24 hours after `now`.
pub async fn new_replacement(
    store: &Store,
    scope: TenantScope,
    gateway: GatewayId,
    now: Timestamp,
) -> Result<[u8; 16], ClaimError> {
    let token = clock::random()?;
    let expires = now.plus_micros(VALID_US);
    store
        .add_replacement(scope, gateway, sha256(&token), expires)
        .await?;
    Ok(token)
}

/// Honours a token once, for the box with this id and this public key (its DER).
pub async fn redeem(
    store: &Store,
    token: &[u8],
    gateway: GatewayId,
    public_key: &[u8],
    now: Timestamp,
) -> Result<ClaimInfo, RedeemError> {
    store
        .redeem(sha256(token), gateway, sha256(public_key), now)
        .await
}
