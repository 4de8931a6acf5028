//! What the box's end sends, how much of it may be on the way, and what was acknowledged.
//! Never has more events on the way than their window holds, nor more bulk data (live readings
//! and backlog together) than the measured link takes without a queue.

use super::super::pace::Pacer;
use super::super::stream::SendState;
use super::super::{Lane, SessionError};
use super::{ANSWER_WAIT_US, EdgeAction, EdgeSession, Fetch, FetchRange};
use crate::block;
use crate::id::StreamId;
use crate::limits::{
    BLOCKS_PER_FRAME_MAX, EVENTS_PER_FRAME_MAX, FRAME_BYTES_MAX, LANE_IN_FLIGHT_BYTES_MAX,
};
use crate::ranges::RangeSet;
use crate::time::Timestamp;
use crate::wire::v1::{AckV1, BlocksV1, EventsV1, GapV1, Message, PieceV1};
use std::collections::{BTreeMap, VecDeque};

/// Least that is read of the backlog at once: reading one block by one would cost more.
const BACKLOG_FETCH_BYTES: usize = 16 << 10;
/// Live readings may have nine times what the backlog has, and this much ahead.
const LIVE_AHEAD_BYTES: u64 = 32 << 10;
const LIVE_SHARE: u64 = 9;

/// What a frame holds, for the moment when it is acknowledged.
#[derive(Debug, Default)]
pub(super) struct Holds {
    polls: Vec<(StreamId, u64, u64)>,
    events_to: Option<(u32, u64)>,
}

#[derive(Debug)]
struct InFlight {
    bytes: u64,
    sent_at: Timestamp,
    holds: Holds,
}

/// Frames of one lane that the hub has not committed yet.
#[derive(Debug)]
pub(super) struct Window {
    frames: VecDeque<InFlight>,
    bytes: u64,
    acked: u64,
    pub(super) fetching: bool,
    pub(super) ceiling: u64,
}

impl Window {
    /// Nothing more may be on the way.
    pub(super) const fn is_full(&self) -> bool {
        self.bytes >= self.ceiling
    }
}

impl Default for Window {
    fn default() -> Self {
        Self {
            frames: VecDeque::new(),
            bytes: 0,
            acked: 0,
            fetching: false,
            ceiling: u64::try_from(LANE_IN_FLIGHT_BYTES_MAX).unwrap_or(u64::MAX),
        }
    }
}

/// What live readings and backlog share.
#[derive(Debug)]
pub(super) struct Bulk {
    pub(super) pacer: Pacer,
    /// Frames of the backlog that wait for room: at most what one fetch brought.
    waiting: VecDeque<(Vec<u8>, Holds)>,
    /// Live bytes that went ahead of the backlog's share.
    live_ahead: u64,
}

impl Bulk {
    pub(super) const fn new(pacer: Pacer) -> Self {
        Self {
            pacer,
            waiting: VecDeque::new(),
            live_ahead: 0,
        }
    }
}

impl EdgeSession {
    /// Sends what waits, asks for whatever may be sent next, sets the deadline for
    /// acknowledgements.
    pub(super) fn fill(&mut self, now: Timestamp) {
        if !self.connected {
            return;
        }
        self.bulk.pacer.tick(now);
        self.fill_events();
        if self.contents.is_due(self.bulk.pacer.piece_bytes()) {
            self.fill_contents();
        }
        let backlog_due = self.bulk.live_ahead > LIVE_AHEAD_BYTES && self.has_backlog();
        if !backlog_due {
            self.fill_live();
        }
        self.fill_backlog(now);
        if self.contents.is_waiting() && !self.live.fetching && !self.has_backlog() {
            self.fill_contents();
        }
        let windows = [
            &self.events,
            &self.live,
            &self.backlog,
            &self.contents.window,
        ];
        let waiting = windows.iter().any(|window| !window.frames.is_empty());
        if waiting {
            self.deadline.get_or_insert(now.plus_micros(ANSWER_WAIT_US));
        } else {
            self.deadline = None;
        }
    }

    fn fill_events(&mut self) {
        if self.events.fetching || self.events.bytes >= self.events.ceiling {
            return;
        }
        // One incarnation after the other: an older one never grows any more.
        let Some(next) = self.own.iter().find(|own| own.sent < own.last) else {
            return;
        };
        self.events.fetching = true;
        self.actions.push_back(EdgeAction::Fetch(Fetch::Events {
            incarnation: next.incarnation,
            after: next.sent,
        }));
    }

    fn fill_live(&mut self) {
        let room = self.bulk.pacer.room();
        if self.live.fetching || room == 0 {
            return;
        }
        let ranges = self.ranges(SendState::next_live);
        if !ranges.is_empty() {
            self.live.fetching = true;
            self.actions.push_back(EdgeAction::Fetch(Fetch::Polls {
                lane: Lane::Live,
                ranges,
                bytes_max: usize::try_from(room).unwrap_or(usize::MAX),
            }));
        }
    }

    fn fill_backlog(&mut self, now: Timestamp) {
        while self.bulk.pacer.room() > 0 {
            let Some((bytes, holds)) = self.bulk.waiting.pop_front() else {
                break;
            };
            let sent = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            let share = sent.saturating_mul(LIVE_SHARE);
            self.bulk.live_ahead = self.bulk.live_ahead.saturating_sub(share);
            self.put(Lane::Backlog, bytes, holds, now);
        }
        let room = self.bulk.pacer.room();
        if self.backlog.fetching || !self.bulk.waiting.is_empty() || room == 0 {
            return;
        }
        let ranges = self.ranges(|state| state.next_backlog());
        if ranges.is_empty() {
            self.bulk.live_ahead = 0;
            return;
        }
        self.backlog.fetching = true;
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        self.actions.push_back(EdgeAction::Fetch(Fetch::Polls {
            lane: Lane::Backlog,
            ranges,
            bytes_max: room.max(BACKLOG_FETCH_BYTES),
        }));
    }

    fn ranges(&mut self, next: impl Fn(&mut SendState) -> Option<(u64, u64)>) -> Vec<FetchRange> {
        let wanted = self.streams.iter_mut().filter_map(|(stream, state)| {
            next(state).map(|(first, last)| FetchRange {
                stream: *stream,
                first,
                last,
            })
        });
        wanted.collect()
    }

    fn has_backlog(&self) -> bool {
        !self.bulk.waiting.is_empty()
            || self.backlog.fetching
            || self
                .streams
                .values()
                .any(|state| state.next_backlog().is_some())
    }

    pub(super) fn send_events(
        &mut self,
        incarnation: u32,
        events: Vec<(u64, Vec<u8>)>,
        now: Timestamp,
    ) -> Result<(), SessionError> {
        let own = self
            .own
            .iter_mut()
            .find(|own| own.incarnation == incarnation);
        let (Some((first_seq, _)), Some(own)) = (events.first(), own) else {
            return Ok(());
        };
        let first_seq = *first_seq;
        if first_seq != own.sent + 1 {
            return Err(SessionError::Hole {
                expected: own.sent + 1,
                got: first_seq,
            });
        }
        let mut batch = Vec::new();
        let mut bytes = 0;
        for (_, event) in events.into_iter().take(EVENTS_PER_FRAME_MAX) {
            bytes += event.len() + 8;
            if !batch.is_empty() && bytes > FRAME_BYTES_MAX / 2 {
                break;
            }
            batch.push(event);
        }
        let last = own.sent + u64::try_from(batch.len()).unwrap_or(0);
        own.sent = last;
        let message = Message::Events(EventsV1 {
            incarnation,
            first_seq,
            events: batch,
        });
        let holds = Holds {
            events_to: Some((incarnation, last)),
            ..Holds::default()
        };
        self.put(Lane::Events, message.encode()?, holds, now);
        Ok(())
    }

    pub(super) fn send_polls(
        &mut self,
        lane: Lane,
        ranges: Vec<(FetchRange, Vec<Vec<u8>>)>,
        now: Timestamp,
    ) -> Result<(), SessionError> {
        let mut batch = Batch::default();
        for (range, blocks) in ranges {
            let incarnation = self.offers.incarnation(range.stream);
            for (first_seq, last_seq) in gone(&range, &blocks) {
                let gap = GapV1 {
                    incarnation,
                    stream: range.stream.0,
                    first_seq,
                    last_seq,
                };
                self.mark_sent(range.stream, first_seq, last_seq);
                let polls = vec![(range.stream, first_seq, last_seq)];
                self.send_data(lane, &Message::Gap(gap), polls, now)?;
            }
            for bytes in blocks {
                let Ok(header) = block::header(&bytes) else {
                    continue;
                };
                if let Some(full) = batch.over(incarnation, bytes.len()) {
                    self.send_batch(lane, full, now)?;
                }
                self.mark_sent(range.stream, header.first_seq, header.last_seq());
                batch.add(
                    incarnation,
                    (range.stream, header.first_seq, header.last_seq()),
                    bytes,
                );
            }
        }
        self.send_batch(lane, batch, now)
    }

    fn send_batch(&mut self, lane: Lane, batch: Batch, now: Timestamp) -> Result<(), SessionError> {
        if batch.blocks.is_empty() {
            return Ok(());
        }
        let message = Message::Blocks(BlocksV1 {
            incarnation: batch.incarnation,
            blocks: batch.blocks,
        });
        self.send_data(lane, &message, batch.polls, now)
    }

    fn mark_sent(&mut self, stream: StreamId, first: u64, last: u64) {
        if let Some(state) = self.streams.get_mut(&stream) {
            state.mark_sent(first, last);
        }
    }

    fn send_data(
        &mut self,
        lane: Lane,
        message: &Message,
        polls: Vec<(StreamId, u64, u64)>,
        now: Timestamp,
    ) -> Result<(), SessionError> {
        let bytes = message.encode()?;
        let holds = Holds {
            polls,
            events_to: None,
        };
        if lane != Lane::Backlog {
            let sent = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            self.bulk.live_ahead = self.bulk.live_ahead.saturating_add(sent);
            self.put(lane, bytes, holds, now);
            return Ok(());
        }
        // In pieces, so that what is on the way can be kept small, whatever a block's size.
        let piece_bytes = self.bulk.pacer.piece_bytes();
        if bytes.len() <= piece_bytes * 2 {
            self.bulk.waiting.push_back((bytes, holds));
            return Ok(());
        }
        let mut pieces = bytes.chunks(piece_bytes).peekable();
        let mut holds = Some(holds);
        while let Some(piece) = pieces.next() {
            let last = pieces.peek().is_none();
            let message = Message::Piece(PieceV1 {
                last,
                bytes: piece.to_vec(),
            });
            let holds = if last { holds.take() } else { None };
            let entry = (message.encode()?, holds.unwrap_or_default());
            self.bulk.waiting.push_back(entry);
        }
        Ok(())
    }

    /// Gives a frame to the network.
    pub(super) fn put(&mut self, lane: Lane, bytes: Vec<u8>, holds: Holds, now: Timestamp) {
        let sent = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if lane != Lane::Events {
            self.bulk.pacer.sent(sent, now);
        }
        if matches!(lane, Lane::Live | Lane::Backlog) {
            self.contents.went_ahead(sent);
        }
        if let Some(window) = self.window_of(lane) {
            window.bytes += sent;
            window.frames.push_back(InFlight {
                bytes: sent,
                sent_at: now,
                holds,
            });
        }
        self.actions.push_back(EdgeAction::Send(lane, bytes));
    }

    /// Tells of what was committed, and of what was not: that never counts as acknowledged.
    pub(super) fn acked_on(
        &mut self,
        lane: Lane,
        ack: AckV1,
        now: Timestamp,
    ) -> Result<(), SessionError> {
        let mut refused: BTreeMap<StreamId, RangeSet> = BTreeMap::new();
        for (_, stream, first, last, words) in ack.refused {
            let stream = StreamId(stream);
            refused.entry(stream).or_default().insert(first, last);
            let action = EdgeAction::PollsRefused(stream, first, last, words);
            self.actions.push_back(action);
        }
        loop {
            let Some(window) = self.window_of(lane) else {
                return Ok(());
            };
            if window.acked >= ack.frames {
                return Ok(());
            }
            let Some(frame) = window.frames.pop_front() else {
                return Err(super::unexpected(
                    "an Ack of an unsent frame",
                    Lane::Control,
                ));
            };
            window.acked += 1;
            window.bytes -= frame.bytes;
            if lane != Lane::Events {
                self.bulk.pacer.acked(frame.bytes, frame.sent_at, now);
            }
            for (stream, first, last) in frame.holds.polls {
                let taken = match refused.get(&stream) {
                    Some(refused) => refused.missing(first, last),
                    None => vec![(first, last)],
                };
                for (first, last) in taken {
                    self.actions
                        .push_back(EdgeAction::PollsAcked(stream, first, last));
                }
            }
            if let Some((incarnation, to)) = frame.holds.events_to {
                self.actions
                    .push_back(EdgeAction::EventsAcked(incarnation, to));
            }
        }
    }
}

/// Blocks of one incarnation that go in one frame.
#[derive(Debug, Default)]
struct Batch {
    incarnation: u32,
    blocks: Vec<Vec<u8>>,
    polls: Vec<(StreamId, u64, u64)>,
    bytes: usize,
}

impl Batch {
    /// What has to go before a block of this incarnation and length fits.
    fn over(&mut self, incarnation: u32, bytes: usize) -> Option<Self> {
        let full = self.blocks.len() == BLOCKS_PER_FRAME_MAX
            || self.bytes + bytes > FRAME_BYTES_MAX / 2
            || self.incarnation != incarnation;
        (full && !self.blocks.is_empty()).then(|| std::mem::take(self))
    }

    fn add(&mut self, incarnation: u32, polls: (StreamId, u64, u64), block: Vec<u8>) {
        self.incarnation = incarnation;
        self.bytes += block.len();
        self.polls.push(polls);
        self.blocks.push(block);
    }
}

/// Polls that were asked for and that the store no longer has.
fn gone(range: &FetchRange, blocks: &[Vec<u8>]) -> Vec<(u64, u64)> {
    let mut held = RangeSet::new();
    for header in blocks.iter().filter_map(|bytes| block::header(bytes).ok()) {
        held.insert(header.first_seq, header.last_seq());
    }
    held.missing(
        range.first,
        held.last().map_or(range.last, |last| last.min(range.last)),
    )
}
