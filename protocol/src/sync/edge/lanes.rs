//! Which window counts for which lane, and what the hub says of them.
//! Never sends anything.

use super::super::{Lane, SessionError};
use super::send::Window;
use super::{EdgeSession, unexpected};
use crate::time::Timestamp;
use crate::wire::v1::{AckV1, WindowV1};

impl EdgeSession {
    /// The hub allows another number of bytes on the way.
    pub(super) fn window(&mut self, window: WindowV1) {
        let bytes = u64::from(window.bytes);
        match Lane::from_number(window.lane) {
            Some(Lane::Events) => self.events.ceiling = bytes,
            Some(Lane::Live | Lane::Backlog) => self.bulk.pacer.set_ceiling(bytes),
            Some(Lane::Attachment) => self.contents.window.ceiling = bytes,
            _ => {}
        }
    }

    pub(super) fn window_of(&mut self, lane: Lane) -> Option<&mut Window> {
        match lane {
            Lane::Events => Some(&mut self.events),
            Lane::Live => Some(&mut self.live),
            Lane::Backlog => Some(&mut self.backlog),
            Lane::Attachment => Some(&mut self.contents.window),
            Lane::Control | Lane::Reference => None,
        }
    }

    pub(super) fn acked(&mut self, ack: AckV1, now: Timestamp) -> Result<(), SessionError> {
        match Lane::from_number(ack.lane).filter(|lane| self.window_of(*lane).is_some()) {
            Some(lane) => self.acked_on(lane, ack, now),
            None => Err(unexpected("an Ack of this lane", Lane::Control)),
        }
    }
}
