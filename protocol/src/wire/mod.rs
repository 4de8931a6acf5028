//! Bytes and messages: frames, the (type, version) envelope, the frozen bodies (PROTOCOL §1, §2, §4).
//! Never reads a socket; never allocates more than a frame's limit plus what its bytes hold.

mod events;
mod frame;
#[cfg(test)]
mod tests;
pub mod v1;

pub(crate) use events::clock_from;
pub use events::{clock_code, decode_event, encode_body, encode_event};
pub use frame::{Frame, FrameReader};

use crate::bundle::Bundle;
use crate::catalog::Catalog;
use crate::limits::{BUNDLE_BYTES_MAX, PIN_MEMORY_KIB_MAX, PIN_PASSES_MAX};
use crate::reading::GroupSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// What went wrong with bytes from outside.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum WireError {
    /// A frame says that it is longer than allowed.
    #[error("a frame of {bytes} bytes is longer than the {max} allowed")]
    FrameTooLong {
        /// What it says.
        bytes: u64,
        /// `limits::FRAME_BYTES_MAX`.
        max: usize,
    },
    /// A frame is shorter than its own head.
    #[error("a frame of {bytes} bytes is too short to hold its type")]
    FrameTooShort {
        /// Its length.
        bytes: usize,
    },
    /// The length of a frame is not a number this protocol writes.
    #[error("the length of a frame is badly written")]
    BadLength,
    /// A body cannot be read as what its head says.
    #[error("the body of message type {kind} version {version} cannot be read")]
    BadBody {
        /// Type in the head.
        kind: u16,
        /// Version in the head.
        version: u8,
    },
    /// Something is longer than its limit.
    #[error("{what} is over its limit of {max}")]
    OverLimit {
        /// What.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// A value could not be written.
    #[error("{what} could not be encoded")]
    Encode {
        /// What.
        what: &'static str,
    },
}

/// Encodes a frozen body.
pub(crate) fn to_bytes<T: Serialize>(what: &'static str, value: &T) -> Result<Vec<u8>, WireError> {
    postcard::to_allocvec(value).map_err(|_| WireError::Encode { what })
}

/// Decodes a frozen body; all bytes must be used.
pub(crate) fn from_bytes<T: DeserializeOwned>(
    bytes: &[u8],
    kind: u16,
    version: u8,
) -> Result<T, WireError> {
    match postcard::take_from_bytes::<T>(bytes) {
        Ok((value, [])) => Ok(value),
        _ => Err(WireError::BadBody { kind, version }),
    }
}

const KIND_SCHEMA: u16 = 0x0200;
const KIND_CATALOG: u16 = 0x0201;
const KIND_BUNDLE: u16 = 0x0203;

/// A group's schema as stored and sent: version byte, then the body.
pub fn encode_schema(schema: &GroupSchema) -> Result<Vec<u8>, WireError> {
    let mut bytes = vec![1];
    bytes.extend(to_bytes("a group schema", schema)?);
    Ok(bytes)
}

/// The inverse of [`encode_schema`].
pub fn decode_schema(bytes: &[u8]) -> Result<GroupSchema, WireError> {
    let schema: GroupSchema = versioned(bytes, KIND_SCHEMA)?;
    let max = crate::limits::GROUP_COLUMNS_MAX;
    if schema.columns.is_empty() || schema.columns.len() > max {
        return Err(WireError::OverLimit {
            what: "the number of columns of a group",
            max,
        });
    }
    Ok(schema)
}

/// A catalog as stored and sent: version byte, then the body.
pub fn encode_catalog(catalog: &Catalog) -> Result<Vec<u8>, WireError> {
    let mut bytes = vec![1];
    bytes.extend(to_bytes("a catalog", catalog)?);
    Ok(bytes)
}

/// The inverse of [`encode_catalog`].
pub fn decode_catalog(bytes: &[u8]) -> Result<Catalog, WireError> {
    versioned(bytes, KIND_CATALOG)
}

/// A site bundle as signed, stored and sent: version byte, then the body. One that is too long is
/// not made.
pub fn encode_bundle(bundle: &Bundle) -> Result<Vec<u8>, WireError> {
    let mut bytes = vec![1];
    bytes.extend(to_bytes("a site bundle", bundle)?);
    bundle_fits(bytes.len())?;
    Ok(bytes)
}

/// The inverse of [`encode_bundle`].
pub fn decode_bundle(bytes: &[u8]) -> Result<Bundle, WireError> {
    bundle_fits(bytes.len())?;
    let bundle: Bundle = versioned(bytes, KIND_BUNDLE)?;
    let mut pins = bundle
        .people
        .iter()
        .filter_map(|person| person.pin.as_ref());
    if pins.any(|pin| pin.memory_kib > PIN_MEMORY_KIB_MAX || pin.passes > PIN_PASSES_MAX) {
        return Err(WireError::OverLimit {
            what: "the memory or passes of a PIN's check",
            max: usize::try_from(PIN_MEMORY_KIB_MAX).unwrap_or(usize::MAX),
        });
    }
    Ok(bundle)
}

fn bundle_fits(bytes: usize) -> Result<(), WireError> {
    if bytes > BUNDLE_BYTES_MAX {
        return Err(WireError::OverLimit {
            what: "the length of a site bundle",
            max: BUNDLE_BYTES_MAX,
        });
    }
    Ok(())
}

/// A short hash that tells whether two encoded documents are the same.
pub fn hash(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

/// The chain after one more event, from the chain before it (PROTOCOL §5.1).
pub fn chain(before: &v1::Chain, event: &[u8]) -> v1::Chain {
    let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
    digest.update(before);
    digest.update(event);
    let mut after = v1::Chain::default();
    for (to, from) in after.iter_mut().zip(digest.finish().as_ref()) {
        *to = *from;
    }
    after
}

/// What tells schemas apart in an offer: the first 8 bytes of the SHA-256 of an encoded schema.
pub fn schema_hash(schema: &[u8]) -> [u8; 8] {
    let mut hash = [0; 8];
    let digest = ring::digest::digest(&ring::digest::SHA256, schema);
    for (to, from) in hash.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    hash
}

fn versioned<T: DeserializeOwned>(bytes: &[u8], kind: u16) -> Result<T, WireError> {
    match bytes.split_first() {
        Some((1, body)) => from_bytes(body, kind, 1),
        Some((version, _)) => Err(WireError::BadBody {
            kind,
            version: *version,
        }),
        None => Err(WireError::FrameTooShort { bytes: 0 }),
    }
}
