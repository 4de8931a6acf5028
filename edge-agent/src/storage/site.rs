//! The site's names and people as the hub told them last: one document in `core.db`.

use super::error::Doing as _;
use super::{Storage, StorageError};
use protocol::wire::v1::{Message, ReferenceV1};
use protocol::wire::{FrameReader, WireError};

const KIND: &str = "site";
const READING: &str = "reading the names of the site";

impl Storage {
    /// Keeps what the hub tells of the site in place of what it told before.
    pub async fn set_site(&self, reference: ReferenceV1) -> Result<(), StorageError> {
        // As the frame in which it came: its version is in there.
        let bytes = Message::Reference(reference)
            .encode()
            .doing("keeping the names of the site")?;
        self.set_reference(KIND.to_owned(), 1, bytes).await
    }

    /// What the hub told last; `None` before the box was enrolled.
    pub async fn site(&self) -> Result<Option<ReferenceV1>, StorageError> {
        let Some((_, bytes)) = self.reference(KIND.to_owned()).await? else {
            return Ok(None);
        };
        let mut reader = FrameReader::default();
        reader.push(&bytes);
        let frame = reader.next_frame().doing(READING)?;
        let message = frame.map(|frame| Message::decode(&frame)).transpose();
        match message.doing(READING)? {
            Some(Message::Reference(reference)) => Ok(Some(reference)),
            _ => Err(WireError::BadLength).doing(READING),
        }
    }
}
