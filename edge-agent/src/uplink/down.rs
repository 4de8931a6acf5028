//! The down lane between session and box (PROTOCOL §6.8): documents are handed in, what became of
//! them is told. Never judges one.

use super::UplinkError;
use super::connection::Link;
use crate::documents::{Name, Request};
use protocol::wire::v1::{DocumentStateV1, DocumentV1};

impl Link<'_> {
    /// Tells the hub where the box stands.
    pub(super) fn tell_document(&mut self) -> Result<(), UplinkError> {
        let told = self.uplink.desk.told.borrow().clone();
        let state = DocumentStateV1 {
            version: told.name.version,
            hash: told.name.hash,
            state: told.state.code(),
            words: told.words,
        };
        Ok(self.session.handle_document_state(state)?)
    }

    /// Hands a document in; what becomes of it is told later.
    pub(super) async fn document(&self, document: DocumentV1) {
        let name = Name {
            version: document.version,
            hash: document.hash,
        };
        let request = Request::Document(name, document.text);
        if self.uplink.desk.requests.send(request).await.is_err() {
            tracing::debug!("the agent is ending: a document was not taken");
        }
    }
}
