//! The messages of the site bundle (PROTOCOL §9). As frozen as all of version 1.

use serde::{Deserialize, Serialize};

/// Which bundle is to come, and that the hub stands behind it. Down on lane 2, before its pieces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleHeadV1 {
    /// Its number.
    pub number: u64,
    /// SHA-256 of its bytes.
    pub hash: [u8; 32],
    /// How many bytes it has, at most `limits::BUNDLE_BYTES_MAX`.
    pub length: u64,
    /// Certificate (DER) of the authority that signed.
    pub certificate: Vec<u8>,
    /// ECDSA on P-256 with SHA-256, DER, over `bundle::to_sign`.
    pub signature: Vec<u8>,
}

/// The next bytes of the bundle of the last head. Down on lane 2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundlePieceV1 {
    /// Number of the bundle.
    pub number: u64,
    /// Where these bytes begin.
    pub offset: u64,
    /// The bytes, at most `limits::BUNDLE_PIECE_BYTES_MAX`.
    pub bytes: Vec<u8>,
}

/// Which bundle the box holds, and how far the next one has come, on lane 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleStateV1 {
    /// Number of the one that counts on the box; 0: it has none.
    pub held: u64,
    /// Number of the one that has come in part, or that it does not take; 0: none.
    pub number: u64,
    /// SHA-256 of that one.
    pub hash: [u8; 32],
    /// How many of its bytes are there, from the beginning.
    pub bytes: u64,
    /// Why the box does not take it, for people; empty where it does.
    pub refused: String,
}
