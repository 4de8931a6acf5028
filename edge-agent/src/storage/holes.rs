//! Registers that devices refused, as one small document in `core.db`. Never the only place: a driver
//! that lost them finds them again on the bus.

use super::error::Doing as _;
use super::{Storage, StorageError};
use protocol::time::Timestamp;
use protocol::wire::WireError;

const KIND: &str = "holes";
/// The form of the document.
const VERSION: u64 = 1;

/// Device, place, and when it is tried again.
pub type StoredHole = (String, String, Timestamp);

impl Storage {
    /// Keeps the list in place of the one before.
    pub async fn set_holes(&self, holes: Vec<StoredHole>) -> Result<(), StorageError> {
        let rows: Vec<(String, String, i64)> = holes
            .into_iter()
            .map(|(device, place, again)| (device, place, again.0))
            .collect();
        let bytes = postcard::to_allocvec(&rows)
            .map_err(|_| WireError::Encode { what: KIND })
            .doing("writing down refused registers")?;
        self.set_reference(KIND.to_owned(), VERSION, bytes).await
    }

    /// The list that was kept last; empty when there is none, or in a form of a later build.
    pub async fn holes(&self) -> Result<Vec<StoredHole>, StorageError> {
        let Some((VERSION, bytes)) = self.reference(KIND.to_owned()).await? else {
            return Ok(Vec::new());
        };
        let rows: Vec<(String, String, i64)> = postcard::from_bytes(&bytes)
            .map_err(|_| WireError::BadLength)
            .doing("reading refused registers")?;
        let hole = |(device, place, again)| (device, place, Timestamp(again));
        Ok(rows.into_iter().map(hole).collect())
    }
}
