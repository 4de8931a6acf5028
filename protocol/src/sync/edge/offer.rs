//! Which streams the box holds, and what of them the hub holds: offered in parts, the streams
//! that are written now first. A stream is sent only after the hub said what it has of it.

use super::super::stream::SendState;
use super::super::{Lane, SessionError};
use super::{EdgeAction, EdgeSession, EdgeStream};
use crate::id::StreamId;
use crate::limits::STREAMS_PER_OFFER_MAX;
use crate::ranges::RangeSet;
use crate::wire;
use crate::wire::v1::{Message, OfferV1, OfferedV1, ReceivedV1, SchemaV1};
use std::collections::{BTreeMap, VecDeque};

/// Streams that the hub has not answered for yet.
#[derive(Debug)]
pub(super) struct Offers {
    waiting: VecDeque<EdgeStream>,
    /// The offer that is to be answered.
    asked: Vec<EdgeStream>,
    /// Incarnation of each stream that was offered.
    incarnations: BTreeMap<StreamId, u32>,
}

impl Offers {
    pub(super) fn new(streams: Vec<EdgeStream>) -> Self {
        Self {
            waiting: streams.into(),
            asked: Vec::new(),
            incarnations: BTreeMap::new(),
        }
    }

    /// Goes ahead of what waits: it is written now.
    pub(super) fn add(&mut self, stream: EdgeStream) {
        let known = self.incarnations.contains_key(&stream.stream)
            || self
                .waiting
                .iter()
                .any(|known| known.stream == stream.stream);
        if !known {
            self.waiting.push_front(stream);
        }
    }

    pub(super) fn committed(&mut self, stream: StreamId, last: u64) {
        let mut all = self.waiting.iter_mut().chain(&mut self.asked);
        if let Some(known) = all.find(|known| known.stream == stream) {
            known.last = known.last.max(last);
        }
    }

    pub(super) fn incarnation(&self, stream: StreamId) -> u32 {
        self.incarnations.get(&stream).copied().unwrap_or(0)
    }
}

impl EdgeSession {
    /// Offers the next streams, when none is to be answered.
    pub(super) fn offer(&mut self) -> Result<(), SessionError> {
        let offers = &mut self.offers;
        if !self.connected || !offers.asked.is_empty() || offers.waiting.is_empty() {
            return Ok(());
        }
        let count = offers.waiting.len().min(STREAMS_PER_OFFER_MAX);
        offers.asked = offers.waiting.drain(..count).collect();
        let mut streams = Vec::with_capacity(count);
        for known in &offers.asked {
            offers.incarnations.insert(known.stream, known.incarnation);
            streams.push(OfferedV1 {
                incarnation: known.incarnation,
                stream: known.stream.0,
                last: known.last,
                schema: wire::schema_hash(&known.schema),
            });
        }
        let last = offers.waiting.is_empty();
        let bytes = Message::Offer(OfferV1 { streams, last }).encode()?;
        self.actions
            .push_back(EdgeAction::Send(Lane::Control, bytes));
        Ok(())
    }

    /// What the hub holds of the streams that were offered.
    pub(super) fn received(&mut self, received: ReceivedV1) -> Result<(), SessionError> {
        let asked = std::mem::take(&mut self.offers.asked);
        let answered = received.streams.len() == asked.len();
        for (known, held) in asked.into_iter().zip(received.streams) {
            if !answered || (held.incarnation, held.stream) != (known.incarnation, known.stream.0) {
                return Err(SessionError::Unexpected {
                    what: "an answer to another offer",
                    lane: Lane::Control.number(),
                });
            }
            if held.want_schema {
                self.send_schema(&known)?;
            }
            let ranges = RangeSet::from_pairs(held.ranges);
            let action = EdgeAction::Received(known.stream, ranges.clone());
            self.actions.push_back(action);
            self.streams
                .insert(known.stream, SendState::new(known.last, ranges));
        }
        self.offer()
    }

    fn send_schema(&mut self, stream: &EdgeStream) -> Result<(), SessionError> {
        let message = Message::Schema(SchemaV1 {
            incarnation: stream.incarnation,
            stream: stream.stream.0,
            schema: stream.schema.to_vec(),
        });
        let bytes = message.encode()?;
        // Lanes overtake each other: so it goes on both that may bring the stream's first block.
        for lane in [Lane::Live, Lane::Backlog] {
            self.actions
                .push_back(EdgeAction::Send(lane, bytes.clone()));
        }
        Ok(())
    }
}
