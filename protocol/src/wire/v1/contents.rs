//! The frozen messages about contents of attachments (PROTOCOL §4, §6.7). Never what a content
//! means: that is in the events.

use crate::attachment::ContentHash;
use crate::limits::{self, at_most};
use serde::{Deserialize, Serialize};

/// Contents that the box holds and the hub has not confirmed, on lane 0; answered by
/// `ContentsHeld`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentsV1 {
    /// The contents.
    #[serde(deserialize_with = "at_most::<{ limits::CONTENTS_PER_OFFER_MAX }, _, _>")]
    pub contents: Vec<OfferedContentV1>,
}

/// One content that a box holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferedContentV1 {
    /// SHA-256 of its bytes.
    pub hash: ContentHash,
    /// How many bytes it has.
    pub bytes: u64,
}

/// What the hub holds of the contents in a `Contents`, in its order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentsHeldV1 {
    /// The contents.
    #[serde(deserialize_with = "at_most::<{ limits::CONTENTS_PER_OFFER_MAX }, _, _>")]
    pub contents: Vec<HeldContentV1>,
}

/// What the hub holds of one content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldContentV1 {
    /// SHA-256 of its bytes.
    pub hash: ContentHash,
    /// Bytes that are on its disk, from the beginning: the next chunk begins there.
    pub held: u64,
    /// See `sync::ContentState`.
    pub state: u8,
}

/// How the transfer of one content ended, on lane 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentEndV1 {
    /// SHA-256 of its bytes.
    pub hash: ContentHash,
    /// See `sync::ContentState`.
    pub state: u8,
    /// Why, where it is not kept.
    pub words: String,
}

/// The next bytes of a content, on lane 5.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkV1 {
    /// SHA-256 of the whole content.
    pub hash: ContentHash,
    /// Where these bytes begin.
    pub offset: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}
