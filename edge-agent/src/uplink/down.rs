//! The down lane between session and box (PROTOCOL §6.8): documents are handed in, what became of
//! them is told. Never judges one.

use super::UplinkError;
use super::connection::Link;
use crate::documents::{Name, Request};
use protocol::wire::v1::{CommandResultV1, CommandV1, DocumentStateV1, DocumentV1};

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

    /// Tells the hub the results that it does not have yet.
    pub(super) async fn tell_results(&mut self) -> Result<(), UplinkError> {
        for result in self.uplink.storage.results_waiting().await? {
            self.session.handle_command_result(CommandResultV1 {
                id: result.id,
                outcome: result.outcome.code(),
                words: result.words,
                time_us: result.time.0,
            })?;
        }
        Ok(())
    }

    /// Hands a command in; how it ends is told later.
    pub(super) async fn command(&mut self, command: CommandV1) -> Result<(), UplinkError> {
        if self.uplink.commands.send(command).await.is_err() {
            tracing::debug!("the agent is ending: a command was not taken");
        }
        Ok(())
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
