//! An asset that was made on a box because the hub's list does not have it. Never an asset of the
//! hub: those come down as reference data.

use serde::{Deserialize, Serialize};

/// What can happen to an asset that was made on a box. Frozen once released (PROTOCOL §5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AssetEvent {
    /// Somebody stood before it and gave it a tag.
    Proposed(AssetProposed),
    /// The hub's list has it now, under this tag.
    Accepted {
        /// Its tag in the list.
        tag: String,
    },
    /// It was in the list already, under this tag.
    Merged {
        /// The tag of that one.
        into: String,
    },
    /// It is no asset.
    Refused {
        /// Why.
        reason: String,
    },
}

/// An asset as the person on the spot describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssetProposed {
    /// Its tag.
    pub tag: String,
    /// What it is called.
    pub name: String,
    /// The tag of what it is part of.
    pub parent: Option<String>,
    /// What is on its nameplate, or where it stands.
    pub note: Option<String>,
}
