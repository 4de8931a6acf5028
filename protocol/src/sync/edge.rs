//! The box's end of a connection (PROTOCOL §6.2). Never sends what the store has not committed,
//! never tells the store that a fact is safe before the hub committed it.

mod send;

use super::stream::SendState;
use super::{Lane, PROTOCOL, Refusal, SessionError};
use crate::id::StreamId;
use crate::ranges::RangeSet;
use crate::time::Timestamp;
use crate::wire::v1::{
    CatalogV1, DownAckV1, EventsV1, HelloV1, Message, ReferenceV1, RefuseV1, SchemaV1, WelcomeV1,
};
use crate::wire::{Frame, decode_event};
use send::{Window, window_of};
use std::collections::{BTreeMap, VecDeque};

/// Longest wait for the hub's first answer and for an acknowledgement.
const ANSWER_WAIT_US: i64 = 20_000_000;

/// What the box holds when a connection begins.
#[derive(Clone, Debug)]
pub struct EdgeStart {
    /// First message; its `streams` are the streams of `schemas`.
    pub hello: HelloV1,
    /// Encoded schema of each stream.
    pub schemas: BTreeMap<StreamId, Vec<u8>>,
    /// Encoded catalog.
    pub catalog: Vec<u8>,
}

/// What the shell is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum EdgeAction {
    /// Send these bytes on this lane.
    Send(Lane, Vec<u8>),
    /// Read from the store and answer with `handle_fetched`.
    Fetch(Fetch),
    /// The hub holds the session's state: the link is up.
    Connected {
        /// The hub's clock when it answered.
        hub_time: Timestamp,
    },
    /// What the hub holds of a stream, at the beginning of a connection.
    Received(StreamId, RangeSet),
    /// The hub committed these polls.
    PollsAcked(StreamId, u64, u64),
    /// The hub committed the box's events up to this number.
    EventsAcked(u64),
    /// The hub could not take these polls; they stay and are sent again on another connection.
    PollsRefused(StreamId, u64, u64, String),
    /// Store these events of the hub, then call `handle_down_committed`.
    ApplyDown(u64, Vec<crate::event::Event>),
    /// Store the names and people of the site.
    ApplyReference(ReferenceV1),
}

/// What the session wants to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetch {
    /// The box's own events after this number.
    Events {
        /// The last one that is not wanted.
        after: u64,
    },
    /// Polls, for the live or the backlog lane.
    Polls {
        /// Which lane asked.
        lane: Lane,
        /// What it wants, each from its beginning.
        ranges: Vec<FetchRange>,
        /// Roughly how much it can take.
        bytes_max: usize,
    },
}

/// A part of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchRange {
    /// The stream.
    pub stream: StreamId,
    /// First number.
    pub first: u64,
    /// Last number.
    pub last: u64,
}

/// What the store had.
#[derive(Clone, Debug)]
pub enum Fetched {
    /// Events in order with their numbers.
    Events(Vec<(u64, Vec<u8>)>),
    /// Per range asked for: its blocks in order. Polls of the range's beginning that no block
    /// holds are gone for good; polls after the last block are merely not read yet, unless there
    /// is no block at all.
    Polls(Vec<(FetchRange, Vec<Vec<u8>>)>),
}

/// The box's end of one connection.
#[derive(Debug)]
pub struct EdgeSession {
    hello: HelloV1,
    schemas: BTreeMap<StreamId, Vec<u8>>,
    catalog: Vec<u8>,
    streams: BTreeMap<StreamId, SendState>,
    events_last: u64,
    events_sent: u64,
    down_mark: u64,
    windows: [Window; 3],
    /// Streams that began after the hello was sent.
    late: Vec<StreamId>,
    connected: bool,
    deadline: Option<Timestamp>,
    actions: VecDeque<EdgeAction>,
}

impl EdgeSession {
    /// Begins: the first action sends the hello.
    pub fn new(start: EdgeStart, now: Timestamp) -> Result<Self, SessionError> {
        let hello = Message::Hello(start.hello.clone()).encode()?;
        let mut session = Self {
            events_last: start.hello.events_last,
            down_mark: start.hello.down_mark,
            hello: start.hello,
            schemas: start.schemas,
            catalog: start.catalog,
            streams: BTreeMap::new(),
            events_sent: 0,
            windows: Default::default(),
            late: Vec::new(),
            connected: false,
            deadline: Some(now.plus_micros(ANSWER_WAIT_US)),
            actions: VecDeque::new(),
        };
        session
            .actions
            .push_back(EdgeAction::Send(Lane::Control, hello));
        Ok(session)
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<EdgeAction> {
        self.actions.pop_front()
    }

    /// When `handle_timeout` wants to be called.
    pub const fn poll_timeout(&self) -> Option<Timestamp> {
        self.deadline
    }

    /// An answer did not come in time.
    pub fn handle_timeout(&mut self, now: Timestamp) -> Result<(), SessionError> {
        match self.deadline {
            Some(deadline) if now >= deadline => Err(SessionError::Silent {
                what: if self.connected {
                    "acknowledgement"
                } else {
                    "answer to the hello"
                },
                seconds: ANSWER_WAIT_US.unsigned_abs() / 1_000_000,
            }),
            _ => Ok(()),
        }
    }

    /// A frame came.
    pub fn handle_frame(
        &mut self,
        lane: Lane,
        frame: &Frame,
        now: Timestamp,
    ) -> Result<(), SessionError> {
        match (lane, Message::decode(frame)?) {
            (Lane::Control, Message::Welcome(welcome)) if !self.connected => {
                self.welcome(welcome)?;
            }
            (Lane::Control, Message::Refuse(refuse)) => return Err(refused(refuse)),
            (Lane::Control, Message::Ack(ack)) => {
                let lane = Lane::from_number(ack.lane).and_then(window_of);
                let Some(window) = lane else {
                    return Err(SessionError::Unexpected {
                        what: "Ack",
                        lane: ack.lane,
                    });
                };
                self.acked(window, ack)?;
                self.deadline = None;
            }
            // Lanes overtake each other: the hub's events may be here before its welcome.
            (Lane::Events, Message::Events(events)) => self.down(&events)?,
            (Lane::Reference, Message::Reference(reference)) => {
                self.actions
                    .push_back(EdgeAction::ApplyReference(reference));
            }
            (_, Message::Unknown { .. }) => {}
            (lane, _) => {
                return Err(SessionError::Unexpected {
                    what: "a message",
                    lane: lane.number(),
                });
            }
        }
        self.fill(now);
        Ok(())
    }

    /// Polls became durable up to `last`.
    pub fn handle_committed(&mut self, stream: StreamId, last: u64, now: Timestamp) {
        if let Some(state) = self.streams.get_mut(&stream) {
            state.committed(last);
        } else if let Some((_, known)) = self
            .hello
            .streams
            .iter_mut()
            .find(|(number, _)| *number == stream.0)
        {
            *known = last.max(*known);
        }
        self.fill(now);
    }

    /// A new stream of readings began while the connection stands.
    pub fn handle_new_stream(
        &mut self,
        stream: StreamId,
        schema: Vec<u8>,
    ) -> Result<(), SessionError> {
        if self.connected {
            self.send_schema(stream, schema)?;
            self.streams
                .entry(stream)
                .or_insert_with(|| SendState::new(0, RangeSet::new()));
        } else {
            self.hello.streams.push((stream.0, 0));
            self.late.push(stream);
            self.schemas.insert(stream, schema);
        }
        Ok(())
    }

    /// The box's own events became durable up to `last`.
    pub fn handle_events_committed(&mut self, last: u64, now: Timestamp) {
        self.events_last = self.events_last.max(last);
        self.fill(now);
    }

    /// The hub's events up to `seq` are durable on the box.
    pub fn handle_down_committed(&mut self, seq: u64) -> Result<(), SessionError> {
        let bytes = Message::DownAck(DownAckV1 { seq }).encode()?;
        self.actions
            .push_back(EdgeAction::Send(Lane::Control, bytes));
        Ok(())
    }

    /// What a `Fetch` brought.
    pub fn handle_fetched(
        &mut self,
        lane: Lane,
        fetched: Fetched,
        now: Timestamp,
    ) -> Result<(), SessionError> {
        match fetched {
            Fetched::Events(events) => self.send_events(events)?,
            Fetched::Polls(ranges) => self.send_polls(lane, ranges)?,
        }
        if let Some(window) = window_of(lane).and_then(|at| self.windows.get_mut(at)) {
            window.fetching = false;
        }
        self.fill(now);
        Ok(())
    }

    fn welcome(&mut self, welcome: WelcomeV1) -> Result<(), SessionError> {
        if welcome.protocol != PROTOCOL {
            return Err(violation(
                Refusal::Protocol,
                "the hub speaks another protocol number",
            ));
        }
        let known: BTreeMap<u32, u64> = self.hello.streams.iter().copied().collect();
        let rewound = welcome.events_mark > self.events_last
            || welcome.received.iter().any(|(stream, ranges)| {
                let last = ranges.iter().map(|(_, last)| *last).max().unwrap_or(0);
                known.get(stream).is_some_and(|known| last > *known)
            });
        if rewound {
            return Err(violation(
                Refusal::StoreRewound,
                "the hub holds more than this box: the store on the box is an older copy",
            ));
        }
        if welcome.want_catalog {
            let message = Message::Catalog(CatalogV1 {
                catalog: self.catalog.clone(),
            });
            self.actions
                .push_back(EdgeAction::Send(Lane::Control, message.encode()?));
        }
        let wanted: Vec<u32> = welcome.want_schemas;
        for (stream, schema) in std::mem::take(&mut self.schemas) {
            if wanted.contains(&stream.0) || self.late.contains(&stream) {
                self.send_schema(stream, schema)?;
            }
        }
        let mut received: BTreeMap<u32, RangeSet> = welcome
            .received
            .into_iter()
            .map(|(stream, ranges)| (stream, RangeSet::from_pairs(ranges)))
            .collect();
        for (stream, last) in &self.hello.streams {
            let ranges = received.remove(stream).unwrap_or_default();
            let stream = StreamId(*stream);
            self.actions
                .push_back(EdgeAction::Received(stream, ranges.clone()));
            self.streams.insert(stream, SendState::new(*last, ranges));
        }
        self.events_sent = welcome.events_mark;
        self.actions
            .push_back(EdgeAction::EventsAcked(welcome.events_mark));
        self.connected = true;
        self.deadline = None;
        self.actions.push_back(EdgeAction::Connected {
            hub_time: Timestamp(welcome.time_us),
        });
        Ok(())
    }

    fn send_schema(&mut self, stream: StreamId, schema: Vec<u8>) -> Result<(), SessionError> {
        let incarnation = self.hello.buffer_incarnation;
        let message = Message::Schema(SchemaV1 {
            incarnation,
            stream: stream.0,
            schema,
        });
        let bytes = message.encode()?;
        // Lanes overtake each other: so it goes on both that may bring the stream's first block.
        for lane in [Lane::Live, Lane::Backlog] {
            self.actions
                .push_back(EdgeAction::Send(lane, bytes.clone()));
        }
        Ok(())
    }

    fn down(&mut self, events: &EventsV1) -> Result<(), SessionError> {
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
}

fn refused(refuse: RefuseV1) -> SessionError {
    SessionError::Refused {
        refusal: Refusal::from_code(refuse.code),
        words: refuse.words,
        retry_after_s: refuse.retry_after_s,
    }
}

fn violation(refusal: Refusal, words: &str) -> SessionError {
    SessionError::Refused {
        refusal: Some(refusal),
        words: words.to_owned(),
        retry_after_s: None,
    }
}
