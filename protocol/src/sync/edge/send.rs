//! What the box's end sends, how much of it may be on the way, and what was acknowledged.
//! Never sends more than a lane's window holds.

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
use crate::wire::v1::{AckV1, BlocksV1, EventsV1, GapV1, Message};
use std::collections::{BTreeMap, VecDeque};

#[derive(Debug)]
pub(super) struct InFlight {
    bytes: usize,
    polls: Vec<(StreamId, u64, u64)>,
    events_to: Option<u64>,
}

/// Frames of one lane that the hub has not committed yet.
#[derive(Debug, Default)]
pub(super) struct Window {
    pub(super) frames: VecDeque<InFlight>,
    pub(super) bytes: usize,
    acked: u64,
    pub(super) fetching: bool,
}

impl EdgeSession {
    /// Asks for whatever may be sent next and sets the deadline for acknowledgements.
    pub(super) fn fill(&mut self, now: Timestamp) {
        if !self.connected {
            return;
        }
        self.fill_events();
        self.fill_lane(Lane::Live, SendState::next_live);
        self.fill_lane(Lane::Backlog, |state| state.next_backlog());
        let waiting = self.windows.iter().any(|window| !window.frames.is_empty());
        if waiting {
            self.deadline.get_or_insert(now.plus_micros(ANSWER_WAIT_US));
        } else {
            self.deadline = None;
        }
    }

    fn fill_events(&mut self) {
        let [window, ..] = &mut self.windows;
        let room = window.bytes < LANE_IN_FLIGHT_BYTES_MAX;
        if self.events_sent < self.events_last && room && !window.fetching {
            window.fetching = true;
            self.actions.push_back(EdgeAction::Fetch(Fetch::Events {
                after: self.events_sent,
            }));
        }
    }

    fn fill_lane(&mut self, lane: Lane, next: impl Fn(&mut SendState) -> Option<(u64, u64)>) {
        let Some(window) = window_of(lane).and_then(|at| self.windows.get_mut(at)) else {
            return;
        };
        let room = LANE_IN_FLIGHT_BYTES_MAX.saturating_sub(window.bytes);
        if window.fetching || room == 0 {
            return;
        }
        let ranges: Vec<FetchRange> = self
            .streams
            .iter_mut()
            .filter_map(|(stream, state)| {
                next(state).map(|(first, last)| FetchRange {
                    stream: *stream,
                    first,
                    last,
                })
            })
            .collect();
        if !ranges.is_empty() {
            window.fetching = true;
            self.actions.push_back(EdgeAction::Fetch(Fetch::Polls {
                lane,
                ranges,
                bytes_max: room,
            }));
        }
    }

    pub(super) fn send_events(&mut self, events: Vec<(u64, Vec<u8>)>) -> Result<(), SessionError> {
        let Some((first_seq, _)) = events.first() else {
            return Ok(());
        };
        let first_seq = *first_seq;
        if first_seq != self.events_sent + 1 {
            return Err(SessionError::Hole {
                expected: self.events_sent + 1,
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
        let last = self.events_sent + u64::try_from(batch.len()).unwrap_or(0);
        self.events_sent = last;
        let message = Message::Events(EventsV1 {
            first_seq,
            events: batch,
        });
        self.send_data(Lane::Events, &message, Vec::new(), Some(last))
    }

    pub(super) fn send_polls(
        &mut self,
        lane: Lane,
        ranges: Vec<(FetchRange, Vec<Vec<u8>>)>,
    ) -> Result<(), SessionError> {
        let incarnation = self.hello.buffer_incarnation;
        let mut batch = Vec::new();
        let mut polls = Vec::new();
        let mut size = 0;
        for (range, blocks) in ranges {
            let gone = Self::gone(&range, &blocks);
            for (first, last) in gone {
                let stream = range.stream.0;
                let gap = GapV1 {
                    incarnation,
                    stream,
                    first_seq: first,
                    last_seq: last,
                };
                self.mark_sent(range.stream, first, last);
                self.send_data(
                    lane,
                    &Message::Gap(gap),
                    vec![(range.stream, first, last)],
                    None,
                )?;
            }
            for bytes in blocks {
                let Ok(header) = block::header(&bytes) else {
                    continue;
                };
                let full = batch.len() == BLOCKS_PER_FRAME_MAX;
                if full || (size > 0 && size + bytes.len() > FRAME_BYTES_MAX / 2) {
                    let blocks = std::mem::take(&mut batch);
                    let message = Message::Blocks(BlocksV1 {
                        incarnation,
                        blocks,
                    });
                    self.send_data(lane, &message, std::mem::take(&mut polls), None)?;
                    size = 0;
                }
                size += bytes.len();
                self.mark_sent(range.stream, header.first_seq, header.last_seq());
                polls.push((range.stream, header.first_seq, header.last_seq()));
                batch.push(bytes);
            }
        }
        if batch.is_empty() {
            return Ok(());
        }
        let message = Message::Blocks(BlocksV1 {
            incarnation,
            blocks: batch,
        });
        self.send_data(lane, &message, polls, None)
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
        events_to: Option<u64>,
    ) -> Result<(), SessionError> {
        let bytes = message.encode()?;
        if let Some(window) = window_of(lane).and_then(|at| self.windows.get_mut(at)) {
            window.bytes += bytes.len();
            window.frames.push_back(InFlight {
                bytes: bytes.len(),
                polls,
                events_to,
            });
        }
        self.actions.push_back(EdgeAction::Send(lane, bytes));
        Ok(())
    }

    /// Tells of what was committed, and of what was not: that never counts as acknowledged.
    pub(super) fn acked(&mut self, window: usize, ack: AckV1) -> Result<(), SessionError> {
        let mut refused: BTreeMap<StreamId, RangeSet> = BTreeMap::new();
        for (stream, first, last, words) in ack.refused {
            let stream = StreamId(stream);
            refused.entry(stream).or_default().insert(first, last);
            let action = EdgeAction::PollsRefused(stream, first, last, words);
            self.actions.push_back(action);
        }
        let Some(window) = self.windows.get_mut(window) else {
            return Ok(());
        };
        while window.acked < ack.frames {
            let Some(frame) = window.frames.pop_front() else {
                return Err(SessionError::Unexpected {
                    what: "an Ack of an unsent frame",
                    lane: 0,
                });
            };
            window.acked += 1;
            window.bytes -= frame.bytes;
            for (stream, first, last) in frame.polls {
                let taken = match refused.get(&stream) {
                    Some(refused) => refused.missing(first, last),
                    None => vec![(first, last)],
                };
                for (first, last) in taken {
                    self.actions
                        .push_back(EdgeAction::PollsAcked(stream, first, last));
                }
            }
            if let Some(to) = frame.events_to {
                self.actions.push_back(EdgeAction::EventsAcked(to));
            }
        }
        Ok(())
    }
}

/// The window of a lane that carries data up.
pub(super) const fn window_of(lane: Lane) -> Option<usize> {
    match lane {
        Lane::Events => Some(0),
        Lane::Live => Some(1),
        Lane::Backlog => Some(2),
        Lane::Control | Lane::Reference => None,
    }
}
