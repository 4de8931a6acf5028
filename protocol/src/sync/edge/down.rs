//! The box's end of the down lane (PROTOCOL §6.8): documents and commands are handed to the shell,
//! what became of them is told. Never takes a document or a command before the hub said that it
//! knows the lane; never does anything itself.

use super::super::{Lane, SessionError, features};
use super::{EdgeAction, EdgeSession, unexpected};
use crate::limits::{COMMANDS_MAX, DOCUMENT_BYTES_MAX};
use crate::wire::v1::{CommandResultV1, DocumentStateV1, EventsV1, Message, OwnEventsV1};
use crate::wire::{WireError, decode_event};
use std::collections::{BTreeSet, VecDeque};
use uuid::Uuid;

/// What is to be told and what was told on this connection.
#[derive(Debug, Default)]
pub(super) struct Down {
    /// The hub knows the down lane.
    both: bool,
    state: Option<DocumentStateV1>,
    told: Option<DocumentStateV1>,
    /// Results that came before the welcome; at most `COMMANDS_MAX`.
    waiting: VecDeque<CommandResultV1>,
    /// Results on the way.
    sent: BTreeSet<Uuid>,
}

impl EdgeSession {
    /// What the box did with the newest document that it knows of; version 0 when it has none. The
    /// hub sends neither documents nor commands before it heard this.
    pub fn handle_document_state(&mut self, state: DocumentStateV1) -> Result<(), SessionError> {
        self.down.state = Some(state);
        self.tell_down()
    }

    /// A command has this result, which is durable. Beyond `COMMANDS_MAX` on the way it is left
    /// for the next connection.
    pub fn handle_command_result(&mut self, result: CommandResultV1) -> Result<(), SessionError> {
        if self.down.sent.len() < COMMANDS_MAX && self.down.sent.insert(result.id) {
            self.down.waiting.push_back(result);
        }
        self.tell_down()
    }

    pub(super) fn down_welcome(&mut self, common: u64) -> Result<(), SessionError> {
        self.down.both = common & features::DOWN != 0;
        self.tell_down()
    }

    /// A document or a command on lane 2, or what the hub says of a result.
    pub(super) fn down_message(
        &mut self,
        lane: Lane,
        message: Message,
    ) -> Result<(), SessionError> {
        if !self.down.both {
            return Err(unexpected("a message of the down lane", lane));
        }
        let action = match (lane, message) {
            (Lane::Reference, Message::Document(document)) => {
                if document.text.len() > DOCUMENT_BYTES_MAX {
                    return Err(SessionError::Wire(WireError::OverLimit {
                        what: "a configuration document",
                        max: DOCUMENT_BYTES_MAX,
                    }));
                }
                EdgeAction::Document(document)
            }
            (Lane::Reference, Message::Command(command)) => EdgeAction::Command(command),
            (Lane::Control, Message::ResultAck(ack)) => {
                self.down.sent.remove(&ack.id);
                EdgeAction::ResultAcked(ack.id)
            }
            (lane, _) => return Err(unexpected("a message", lane)),
        };
        self.actions.push_back(action);
        Ok(())
    }

    /// Events of the hub, as far as they are new.
    pub(super) fn down(&mut self, events: &EventsV1) -> Result<(), SessionError> {
        let expected = self.down_mark + 1;
        if events.first_seq > expected {
            return Err(SessionError::Hole {
                expected,
                got: events.first_seq,
            });
        }
        let skip = usize::try_from(expected - events.first_seq).unwrap_or(usize::MAX);
        let mut fresh = Vec::new();
        for bytes in events.events.iter().skip(skip) {
            fresh.push(decode_event(bytes)?);
        }
        if !fresh.is_empty() {
            let first = self.down_mark + 1;
            self.down_mark += u64::try_from(fresh.len()).unwrap_or(0);
            self.actions.push_back(EdgeAction::ApplyDown(first, fresh));
        }
        Ok(())
    }

    /// Events that this box once wrote and lost.
    pub(super) fn own_events(&mut self, message: &OwnEventsV1) -> Result<(), SessionError> {
        let mut events = Vec::with_capacity(message.events.len());
        for bytes in &message.events {
            events.push(decode_event(bytes)?);
        }
        let action = EdgeAction::ApplyOwn(message.incarnation, message.first_seq, events);
        self.actions.push_back(action);
        Ok(())
    }

    fn tell_down(&mut self) -> Result<(), SessionError> {
        if !self.down.both {
            return Ok(());
        }
        if self.down.state != self.down.told {
            self.down.told = self.down.state.clone();
            if let Some(state) = self.down.told.clone() {
                self.say(&Message::DocumentState(state))?;
            }
        }
        while let Some(result) = self.down.waiting.pop_front() {
            self.say(&Message::CommandResult(result))?;
        }
        Ok(())
    }

    fn say(&mut self, message: &Message) -> Result<(), SessionError> {
        let action = EdgeAction::Send(Lane::Control, message.encode()?);
        self.actions.push_back(action);
        Ok(())
    }
}
