//! The box's end of the site bundle (PROTOCOL §9): says what it holds, hands on what comes. Never
//! judges a signature and never keeps a byte: the shell does, over connections.

use super::super::{Lane, SessionError, features};
use super::{EdgeAction, EdgeSession, unexpected};
use crate::limits::{BUNDLE_BYTES_MAX, BUNDLE_PIECE_BYTES_MAX};
use crate::wire::WireError;
use crate::wire::v1::{BundleStateV1, Message};

/// What is to be told and what was told on this connection.
#[derive(Debug, Default)]
pub(super) struct Bundles {
    /// The hub knows bundles.
    both: bool,
    state: Option<BundleStateV1>,
    told: Option<BundleStateV1>,
}

impl EdgeSession {
    /// What the box holds, and how far the next one has come. The hub sends none before it heard
    /// this, and no more than a little ahead of what was told.
    pub fn handle_bundle_state(&mut self, state: BundleStateV1) -> Result<(), SessionError> {
        self.bundles.state = Some(state);
        self.tell_bundle()
    }

    pub(super) fn bundle_welcome(&mut self, common: u64) -> Result<(), SessionError> {
        self.bundles.both = common & features::BUNDLE != 0;
        self.tell_bundle()
    }

    /// A message about the bundle on lane 2.
    pub(super) fn bundle_message(&mut self, message: Message) -> Result<(), SessionError> {
        if !self.bundles.both {
            return Err(unexpected("a site bundle", Lane::Reference));
        }
        let over = |what, max| Err(SessionError::Wire(WireError::OverLimit { what, max }));
        let most = u64::try_from(BUNDLE_BYTES_MAX).unwrap_or(u64::MAX);
        self.actions.push_back(match message {
            Message::BundleHead(head) if head.length > most => {
                return over("the length of a site bundle", BUNDLE_BYTES_MAX);
            }
            Message::BundleHead(head) => EdgeAction::BundleHead(head),
            Message::BundlePiece(piece) if piece.bytes.len() > BUNDLE_PIECE_BYTES_MAX => {
                return over("a piece of a site bundle", BUNDLE_PIECE_BYTES_MAX);
            }
            Message::BundlePiece(piece) => EdgeAction::BundlePiece(piece),
            _ => return Err(unexpected("a message", Lane::Reference)),
        });
        Ok(())
    }

    fn tell_bundle(&mut self) -> Result<(), SessionError> {
        if !self.bundles.both || self.bundles.state == self.bundles.told {
            return Ok(());
        }
        self.bundles.told.clone_from(&self.bundles.state);
        if let Some(state) = self.bundles.told.clone() {
            let bytes = Message::BundleState(state).encode()?;
            self.actions
                .push_back(EdgeAction::Send(Lane::Control, bytes));
        }
        Ok(())
    }
}
