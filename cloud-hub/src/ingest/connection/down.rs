//! The down lane between session and store (PROTOCOL §6.8). Never sends what a session did not ask
//! for; never has a result acknowledged before it is stored.

use super::super::IngestError;
use super::Gateway;
use protocol::wire::v1::{CommandResultV1, DocumentStateV1};

impl Gateway {
    /// Says what the gateway is to have by now.
    pub(super) async fn wanted(&mut self) -> Result<(), IngestError> {
        let document = self.store.document_wanted(self.scope, self.id).await?;
        let commands = self.store.commands_open(self.scope, self.id).await?;
        Ok(self.session.handle_wanted(document, commands)?)
    }

    pub(super) async fn document_state(
        &mut self,
        state: DocumentStateV1,
    ) -> Result<(), IngestError> {
        tracing::info!(
            gateway = %self.id, version = state.version, state = state.state, words = state.words,
            "a gateway tells of its configuration"
        );
        self.store.document_told(self.scope, self.id, state).await?;
        self.wanted().await
    }

    pub(super) async fn fetch_document(&mut self, version: u64) -> Result<(), IngestError> {
        let document = self.store.document(self.scope, self.id, version).await?;
        Ok(self.session.handle_document(document)?)
    }

    pub(super) async fn command_ended(
        &mut self,
        result: CommandResultV1,
    ) -> Result<(), IngestError> {
        let id = result.id;
        self.store
            .command_ended(self.scope, self.id, result)
            .await?;
        Ok(self.session.handle_result_stored(id)?)
    }
}
