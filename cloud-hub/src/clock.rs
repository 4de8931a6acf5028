//! The one place of the hub that reads the clock and the system's source of randomness.
//! Never decides anything: rules get `now` and random bytes as arguments.

use protocol::id::uuid_v7;
use protocol::time::Timestamp;
use ring::rand::{SecureRandom as _, SystemRandom};
use std::time::{SystemTime, UNIX_EPOCH};
use thiserror::Error;
use uuid::Uuid;

/// The system's source of randomness did not answer.
#[derive(Debug, Error)]
#[error("the system gives no random numbers; nothing secret can be made without them")]
pub struct NoRandom;

/// The wall clock. Before 1970 it answers 1970.
pub fn now() -> Timestamp {
    let since_1970 = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(i64::try_from(since_1970.as_micros()).unwrap_or(i64::MAX))
}

/// Random bytes that nobody can guess.
pub fn random<const N: usize>() -> Result<[u8; N], NoRandom> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| NoRandom)?;
    Ok(bytes)
}

/// A new `UUIDv7` of this moment.
pub fn new_id() -> Result<Uuid, NoRandom> {
    let unix_ms = u64::try_from(now().millis()).unwrap_or(0);
    Ok(uuid_v7(unix_ms, random()?))
}
