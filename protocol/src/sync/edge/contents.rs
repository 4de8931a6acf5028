//! Contents of attachments on their way to the hub: offered, sent one at a time from where the hub
//! stands, forgotten when the hub holds them whole. Never sends one to a hub that does not speak
//! of them, and of lanes 3 and 4 takes what they leave, but a tenth at least.

use super::super::{ContentState, Lane, SessionError, features};
use super::send::{Holds, Window};
use super::{EdgeAction, EdgeSession, Fetch};
use crate::attachment::ContentHash;
use crate::limits::{CONTENTS_MAX, CONTENTS_PER_OFFER_MAX};
use crate::time::Timestamp;
use crate::wire::v1::{
    ChunkV1, ContentEndV1, ContentsHeldV1, ContentsV1, Message, OfferedContentV1, WelcomeV1,
};
use std::collections::{BTreeSet, VecDeque};

/// What lanes 3 and 4 may have while a content waits: this many times its next chunk.
const SHARE: u64 = 9;
/// What the hub refused is offered again after this: its disk may have room by then.
const AGAIN_US: i64 = 600_000_000;
/// What a person is told of a content whose file is gone.
const GONE: &str = "its bytes are no longer on this box";

/// A content that the hub has not confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EdgeContent {
    /// SHA-256 of its bytes.
    pub hash: ContentHash,
    /// How many bytes it has.
    pub bytes: u64,
}

/// A content that the hub wants.
#[derive(Clone, Copy, Debug)]
struct Outgoing {
    content: EdgeContent,
    sent: u64,
    /// What was sent before arrived wrong.
    again: bool,
}

/// All contents of a connection.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// The hub speaks of contents.
    spoken: bool,
    /// Everything that was given to this session.
    known: BTreeSet<ContentHash>,
    waiting: VecDeque<EdgeContent>,
    /// The offer that is to be answered.
    asked: Vec<EdgeContent>,
    /// Wanted by the hub; the first is being sent.
    wanted: VecDeque<Outgoing>,
    pub(super) window: Window,
    /// Bytes of lanes 3 and 4 that went while a content waited, since its last chunk.
    behind: u64,
    /// What the hub refused, and when it is offered again.
    refused: Vec<EdgeContent>,
    again_at: Option<Timestamp>,
}

impl Contents {
    pub(super) fn new(contents: Vec<EdgeContent>) -> Self {
        let mut new = Self::default();
        for content in contents {
            new.add(content);
        }
        new
    }

    /// At most `CONTENTS_MAX` on a connection; further ones wait for the next.
    fn add(&mut self, content: EdgeContent) {
        if self.known.len() < CONTENTS_MAX && self.known.insert(content.hash) {
            self.waiting.push_back(content);
        }
    }

    pub(super) fn welcome(&mut self, welcome: &WelcomeV1) {
        self.spoken = welcome.features & features::CONTENTS != 0;
        self.window.ceiling = u64::from(welcome.windows.3);
    }

    /// When what was refused is to be offered again.
    pub(super) const fn again_at(&self) -> Option<Timestamp> {
        self.again_at
    }

    /// What is to be read next.
    fn next(&self) -> Option<Outgoing> {
        let first = self.wanted.front();
        first
            .filter(|first| first.sent < first.content.bytes)
            .copied()
    }

    /// There is something to send.
    pub(super) fn is_waiting(&self) -> bool {
        self.next().is_some()
    }

    /// Counts what lanes 3 and 4 sent.
    pub(super) fn went_ahead(&mut self, bytes: u64) {
        if self.is_waiting() {
            self.behind = self.behind.saturating_add(bytes);
        }
    }

    /// Lanes 3 and 4 had their share: it is the turn of a chunk, whatever they still have.
    pub(super) fn is_due(&self, chunk_bytes: usize) -> bool {
        let chunk_bytes = u64::try_from(chunk_bytes).unwrap_or(u64::MAX);
        self.behind >= chunk_bytes.saturating_mul(SHARE)
    }
}

impl EdgeSession {
    /// A content became durable while the connection stands.
    pub fn handle_new_content(&mut self, content: EdgeContent) -> Result<(), SessionError> {
        self.contents.add(content);
        self.offer_contents()
    }

    /// Offers the next contents, when none is to be answered.
    pub(super) fn offer_contents(&mut self) -> Result<(), SessionError> {
        let contents = &mut self.contents;
        let ready = self.connected && contents.spoken && contents.asked.is_empty();
        if !ready || contents.waiting.is_empty() {
            return Ok(());
        }
        let count = contents.waiting.len().min(CONTENTS_PER_OFFER_MAX);
        contents.asked = contents.waiting.drain(..count).collect();
        let offered = contents.asked.iter().map(|content| OfferedContentV1 {
            hash: content.hash,
            bytes: content.bytes,
        });
        let message = Message::Contents(ContentsV1 {
            contents: offered.collect(),
        });
        let action = EdgeAction::Send(Lane::Control, message.encode()?);
        self.actions.push_back(action);
        Ok(())
    }

    /// Offers again what was refused, when it is time.
    pub(super) fn contents_again(&mut self, now: Timestamp) -> Result<(), SessionError> {
        if self.contents.again_at.is_none_or(|at| now < at) {
            return Ok(());
        }
        self.contents.again_at = None;
        let refused = std::mem::take(&mut self.contents.refused);
        self.contents.waiting.extend(refused);
        self.offer_contents()
    }

    /// What the hub holds of the contents that were offered.
    pub(super) fn contents_held(&mut self, message: ContentsHeldV1) -> Result<(), SessionError> {
        let asked = std::mem::take(&mut self.contents.asked);
        let answered = asked.len() == message.contents.len();
        for (content, held) in asked.into_iter().zip(message.contents) {
            if !answered || held.hash != content.hash || held.held > content.bytes {
                return Err(super::unexpected(
                    "an answer to other contents",
                    Lane::Control,
                ));
            }
            match ContentState::from_code(held.state) {
                ContentState::Wanted => self.contents.wanted.push_back(Outgoing {
                    content,
                    sent: held.held,
                    again: false,
                }),
                ContentState::Kept => self.kept(content.hash),
                ContentState::Wrong | ContentState::Refused => {
                    let words = "the hub does not take contents of this size".to_owned();
                    self.not_kept(content.hash, words);
                }
            }
        }
        self.offer_contents()
    }

    /// The transfer of a content ended.
    pub(super) fn content_end(
        &mut self,
        end: ContentEndV1,
        now: Timestamp,
    ) -> Result<(), SessionError> {
        let ours = |outgoing: &&mut Outgoing| outgoing.content.hash == end.hash;
        let Some(outgoing) = self.contents.wanted.front_mut().filter(ours) else {
            return Err(super::unexpected(
                "the end of another content",
                Lane::Control,
            ));
        };
        match ContentState::from_code(end.state) {
            ContentState::Wanted => return Ok(()),
            ContentState::Wrong if !outgoing.again => {
                outgoing.again = true;
                outgoing.sent = 0;
                return Ok(());
            }
            ContentState::Kept => self.kept(end.hash),
            ContentState::Wrong => self.not_kept(end.hash, end.words),
            ContentState::Refused => {
                let content = outgoing.content;
                self.contents.refused.push(content);
                let at = now.plus_micros(AGAIN_US);
                self.contents.again_at.get_or_insert(at);
                self.not_kept(end.hash, end.words);
            }
        }
        self.contents.wanted.pop_front();
        self.contents.behind = 0;
        Ok(())
    }

    fn kept(&mut self, hash: ContentHash) {
        self.actions.push_back(EdgeAction::ContentKept(hash));
    }

    fn not_kept(&mut self, hash: ContentHash, words: String) {
        let action = EdgeAction::ContentNotKept(hash, words);
        self.actions.push_back(action);
    }

    /// Asks for the next chunk; the one before it is on its way.
    pub(super) fn fill_contents(&mut self) {
        let contents = &mut self.contents;
        let window = &contents.window;
        if window.fetching || window.is_full() || self.bulk.pacer.room() == 0 {
            return;
        }
        let Some(next) = contents.next() else { return };
        contents.window.fetching = true;
        self.actions.push_back(EdgeAction::Fetch(Fetch::Content {
            hash: next.content.hash,
            offset: next.sent,
            bytes_max: self.bulk.pacer.piece_bytes(),
        }));
    }

    /// Sends what was read. What the hub ended meanwhile is passed over.
    pub(super) fn send_chunk(
        &mut self,
        (hash, offset): (ContentHash, u64),
        bytes: Vec<u8>,
        now: Timestamp,
    ) -> Result<(), SessionError> {
        let asked = self.contents.next();
        let asked = asked.filter(|next| (next.content.hash, next.sent) == (hash, offset));
        let Some(next) = asked else { return Ok(()) };
        let count = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if count == 0 || count > next.content.bytes - next.sent {
            self.not_kept(hash, GONE.to_owned());
            self.contents.wanted.pop_front();
            return Ok(());
        }
        let chunk = Message::Chunk(ChunkV1 {
            hash,
            offset,
            bytes,
        });
        if let Some(front) = self.contents.wanted.front_mut() {
            front.sent += count;
        }
        self.contents.behind = 0;
        self.put(Lane::Attachment, chunk.encode()?, Holds::default(), now);
        Ok(())
    }
}
