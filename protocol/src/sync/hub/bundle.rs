//! The hub's end of the site bundle (PROTOCOL §9): sends the newest one to a box that holds an older
//! one, from where the box has it, a little ahead of what the box told. Never signs: the shell does.

use super::super::{Lane, SessionError, features};
use super::{FEATURES, HubAction, HubSession};
use crate::limits::{BUNDLE_AHEAD_BYTES_MAX, BUNDLE_PIECE_BYTES_MAX};
use crate::wire::v1::{BundleHeadV1, BundlePieceV1, BundleStateV1, Message};

/// Number, hash and length of a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BundleName {
    /// Its number.
    pub number: u64,
    /// SHA-256 of its bytes.
    pub hash: [u8; 32],
    /// How many bytes it has.
    pub length: u64,
}

/// What the box told, and what is on its way to it.
#[derive(Debug, Default)]
pub(super) struct Bundles {
    told: Option<BundleStateV1>,
    /// Its head was asked for on this connection.
    sending: Option<BundleName>,
    /// The head went out.
    headed: bool,
    /// Bytes asked for, from the beginning.
    asked: u64,
}

impl HubSession {
    /// The newest bundle of the gateway's site. To be called after `HubAction::BundleState` was
    /// stored and whenever there may be a newer one; before that it does nothing.
    pub fn handle_bundle_wanted(&mut self, newest: Option<BundleName>) {
        let (Some(told), Some(newest)) = (&self.bundles.told, newest) else {
            return;
        };
        let refused = !told.refused.is_empty() && told.number == newest.number;
        if newest.number <= told.held || refused || self.bundles.sending == Some(newest) {
            return;
        }
        let begun = told.number == newest.number && told.hash == newest.hash;
        self.bundles.asked = if begun { told.bytes } else { 0 };
        self.bundles.sending = Some(newest);
        self.bundles.headed = false;
        self.actions.push_back(HubAction::SignBundle(newest));
    }

    /// What `SignBundle` brought.
    pub fn handle_bundle_signed(&mut self, head: BundleHeadV1) -> Result<(), SessionError> {
        if self.bundles.sending.map(|name| name.number) != Some(head.number) {
            return Ok(());
        }
        let bytes = Message::BundleHead(head).encode()?;
        self.actions
            .push_back(HubAction::Send(Lane::Reference, bytes));
        self.bundles.headed = true;
        self.fill_bundle();
        Ok(())
    }

    /// What `FetchBundle` brought; nothing where a newer one took its place.
    pub fn handle_bundle_piece(&mut self, piece: BundlePieceV1) -> Result<(), SessionError> {
        if !piece.bytes.is_empty() {
            let bytes = Message::BundlePiece(piece).encode()?;
            self.actions
                .push_back(HubAction::Send(Lane::Reference, bytes));
        }
        Ok(())
    }

    /// A message of the gateway about bundles; any other comes back.
    pub(super) fn bundle_message(&mut self, message: Message) -> Option<Message> {
        let hello = self.hello.as_ref();
        let both = hello.map_or(0, |hello| hello.features) & FEATURES & features::BUNDLE != 0;
        let state = match message {
            Message::BundleState(state) if both => state,
            other => return Some(other),
        };
        self.bundles.told = Some(state.clone());
        if let Some(sending) = self.bundles.sending
            && (state.held >= sending.number || !state.refused.is_empty())
        {
            self.bundles.headed = false;
        }
        self.fill_bundle();
        self.actions.push_back(HubAction::BundleState(state));
        None
    }

    /// Asks for pieces as long as the box is not too far behind.
    fn fill_bundle(&mut self) {
        let (Some(name), Some(told)) = (self.bundles.sending, &self.bundles.told) else {
            return;
        };
        if !self.bundles.headed {
            return;
        }
        let there = if told.number == name.number && told.hash == name.hash {
            told.bytes
        } else {
            0
        };
        let ahead = u64::try_from(BUNDLE_AHEAD_BYTES_MAX).unwrap_or(0);
        let piece = u64::try_from(BUNDLE_PIECE_BYTES_MAX).unwrap_or(0);
        let until = name.length.min(there.saturating_add(ahead));
        while self.bundles.asked < until {
            let offset = self.bundles.asked;
            self.bundles.asked = name.length.min(offset.saturating_add(piece));
            self.actions.push_back(HubAction::FetchBundle {
                number: name.number,
                offset,
                bytes_max: BUNDLE_PIECE_BYTES_MAX,
            });
        }
    }
}
