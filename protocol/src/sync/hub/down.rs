//! The hub's end of the down lane (PROTOCOL §6.8): sends the document that is wanted when the box
//! told of another one, and each open command once per connection. Never sends anything before the
//! box told where it stands; never acknowledges a result before it is stored.

use super::super::{DocumentState, Lane, SessionError, features};
use super::{FEATURES, HubAction, HubSession};
use crate::limits::COMMANDS_MAX;
use crate::wire::v1::{CommandV1, DocumentStateV1, DocumentV1, Message, ResultAckV1};
use std::collections::BTreeSet;
use uuid::Uuid;

/// Number and hash of a document.
type Name = (u64, [u8; 32]);

/// What the box told, and what was sent on this connection.
#[derive(Debug, Default)]
pub(super) struct Down {
    told: Option<Name>,
    /// The box takes no documents, whatever they are.
    refuses: bool,
    /// Asked of the store or sent.
    document: Option<Name>,
    /// Sent, and no result stored since; at most `COMMANDS_MAX`.
    commands: BTreeSet<Uuid>,
}

impl HubSession {
    /// What the gateway is to have: its document by number and hash, and all its commands that
    /// have no result. To be called after `HubAction::DocumentState` was stored and whenever
    /// something changed; before that it does nothing.
    pub fn handle_wanted(
        &mut self,
        document: Option<Name>,
        commands: Vec<CommandV1>,
    ) -> Result<(), SessionError> {
        let Some(told) = self.down.told else {
            return Ok(());
        };
        if let Some(name) = document
            && name != told
            && self.down.document != Some(name)
            && !self.down.refuses
        {
            self.down.document = Some(name);
            self.actions
                .push_back(HubAction::FetchDocument { version: name.0 });
        }
        for command in commands {
            if self.down.commands.len() >= COMMANDS_MAX {
                break;
            }
            if self.down.commands.insert(command.id) {
                let bytes = Message::Command(command).encode()?;
                self.actions
                    .push_back(HubAction::Send(Lane::Reference, bytes));
            }
        }
        Ok(())
    }

    /// What `FetchDocument` brought.
    pub fn handle_document(&mut self, document: DocumentV1) -> Result<(), SessionError> {
        let bytes = Message::Document(document).encode()?;
        self.actions
            .push_back(HubAction::Send(Lane::Reference, bytes));
        Ok(())
    }

    /// The store holds the result of this command.
    pub fn handle_result_stored(&mut self, id: Uuid) -> Result<(), SessionError> {
        self.down.commands.remove(&id);
        let bytes = Message::ResultAck(ResultAckV1 { id }).encode()?;
        self.actions
            .push_back(HubAction::Send(Lane::Control, bytes));
        Ok(())
    }

    /// A message of the gateway about the down lane; any other comes back.
    pub(super) fn down_message(&mut self, message: Message) -> Option<Message> {
        let hello = self.hello.as_ref();
        if hello.map_or(0, |hello| hello.features) & FEATURES & features::DOWN == 0 {
            return Some(message);
        }
        let action = match message {
            Message::DocumentState(state) => {
                self.document_state(&state);
                HubAction::DocumentState(state)
            }
            Message::CommandResult(result) => HubAction::CommandResult(result),
            other => return Some(other),
        };
        self.actions.push_back(action);
        None
    }

    fn document_state(&mut self, state: &DocumentStateV1) {
        let rejected = state.state == DocumentState::Rejected.code();
        self.down.refuses = state.version == 0 && rejected;
        self.down.told = Some((state.version, state.hash));
    }
}
