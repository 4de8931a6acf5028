//! Contents of attachments as they come in: each chunk where the one before it ended, kept when the
//! hash of the whole is right. Never acknowledges a chunk before it is on the disk.

use super::super::{ContentState, Lane, SessionError};
use super::receive::unexpected;
use super::{HubAction, HubSession};
use crate::attachment::ContentHash;
use crate::limits::CONTENTS_MAX;
use crate::wire::v1::{
    ChunkV1, ContentEndV1, ContentsHeldV1, ContentsV1, HeldContentV1, Message, OfferedContentV1,
};
use std::collections::BTreeMap;

/// Bytes of a content that follow what the store has of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentChunk {
    /// SHA-256 of the whole content.
    pub hash: ContentHash,
    /// Where the bytes begin; 0: what was there before does not count.
    pub offset: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The content is whole with them: its hash is to be compared.
    pub last: bool,
}

/// What became of a chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChunkStored {
    /// It is on the disk; the content goes on.
    Held,
    /// The content is whole and its hash is right.
    Kept,
    /// The content is whole and its hash is wrong: all of it was thrown away.
    Wrong,
    /// It cannot be stored, for this reason; what came before it stays.
    Refused(String),
}

/// A content that the gateway may send.
#[derive(Clone, Copy, Debug)]
struct Incoming {
    bytes: u64,
    /// Where the next chunk begins.
    next: u64,
    /// The store takes it.
    open: bool,
}

/// The contents of a connection.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) spoken: bool,
    offered: BTreeMap<ContentHash, u64>,
    incoming: BTreeMap<ContentHash, Incoming>,
}

impl HubSession {
    pub(super) fn contents(&mut self, message: ContentsV1) -> Result<(), SessionError> {
        let contents = &mut self.contents;
        for offered in &message.contents {
            contents.offered.insert(offered.hash, offered.bytes);
        }
        if !contents.spoken || contents.offered.len() > CONTENTS_MAX {
            return Err(unexpected(Lane::Control));
        }
        let action = HubAction::Contents(message.contents);
        self.actions.push_back(action);
        Ok(())
    }

    /// What is held of the contents of the last `HubAction::Contents`, in its order: bytes, state.
    pub fn handle_contents_answer(
        &mut self,
        offered: &[OfferedContentV1],
        held: &[(u64, ContentState)],
    ) -> Result<(), SessionError> {
        let mut contents = Vec::with_capacity(offered.len());
        for (offered, (held, state)) in offered.iter().zip(held) {
            if *state == ContentState::Wanted {
                let incoming = Incoming {
                    bytes: offered.bytes,
                    next: *held,
                    open: true,
                };
                self.contents.incoming.insert(offered.hash, incoming);
            }
            contents.push(HeldContentV1 {
                hash: offered.hash,
                held: *held,
                state: state.code(),
            });
        }
        self.control_word(&Message::ContentsHeld(ContentsHeldV1 { contents }))
    }

    pub(super) fn chunk(&mut self, chunk: ChunkV1) -> Result<(), SessionError> {
        let length = u64::try_from(chunk.bytes.len()).unwrap_or(u64::MAX);
        let lane = Lane::Attachment;
        let Some(incoming) = self.contents.incoming.get_mut(&chunk.hash) else {
            return Err(unexpected(lane));
        };
        let end = chunk.offset.saturating_add(length);
        if !incoming.open {
            // It was on the way when the gateway was told.
            return self.taken(lane);
        }
        if chunk.offset != incoming.next || length == 0 || end > incoming.bytes {
            return Err(SessionError::Unexpected {
                what: "a chunk that does not follow the one before",
                lane: lane.number(),
            });
        }
        incoming.next = end;
        let last = end == incoming.bytes;
        if let Some(state) = self.lane(lane) {
            state.committing();
        }
        self.actions.push_back(HubAction::StoreChunk(ContentChunk {
            hash: chunk.hash,
            offset: chunk.offset,
            bytes: chunk.bytes,
            last,
        }));
        Ok(())
    }

    /// What became of the oldest chunk that was given to the store.
    pub fn handle_chunk_stored(
        &mut self,
        hash: ContentHash,
        stored: ChunkStored,
    ) -> Result<(), SessionError> {
        self.handle_committed(Lane::Attachment, Vec::new())?;
        let Some(incoming) = self.contents.incoming.get_mut(&hash) else {
            return Ok(());
        };
        let (state, words) = match stored {
            ChunkStored::Held => return Ok(()),
            ChunkStored::Kept => {
                incoming.open = false;
                (ContentState::Kept, String::new())
            }
            ChunkStored::Wrong => {
                incoming.next = 0;
                let words = "the hub got other bytes than the hash says and threw them away";
                (ContentState::Wrong, words.to_owned())
            }
            // Chunks that were given to the store after it are refused like it; told once.
            ChunkStored::Refused(_) if !incoming.open => return Ok(()),
            ChunkStored::Refused(words) => {
                incoming.open = false;
                (ContentState::Refused, words)
            }
        };
        self.control_word(&Message::ContentEnd(ContentEndV1 {
            hash,
            state: state.code(),
            words,
        }))
    }

    fn control_word(&mut self, message: &Message) -> Result<(), SessionError> {
        let action = HubAction::Send(Lane::Control, message.encode()?);
        self.actions.push_back(action);
        Ok(())
    }
}
