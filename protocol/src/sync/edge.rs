//! The box's end of a connection (PROTOCOL §6.2). Never sends what the store has not committed,
//! never tells the store that a fact is safe before the hub committed it.

mod bundle;
mod contents;
mod down;
mod lanes;
mod offer;
mod send;

pub use contents::EdgeContent;

use super::pace::Pacer;
use super::stream::SendState;
use super::{Lane, Refusal, SessionError};
use crate::attachment::ContentHash;
use crate::event::Event;
use crate::id::StreamId;
use crate::limits::LANE_IN_FLIGHT_BYTES_MAX;
use crate::ranges::RangeSet;
use crate::time::Timestamp;
use crate::wire::Frame;
use crate::wire::v1::{
    BundleHeadV1, BundlePieceV1, CatalogV1, Chain, CommandV1, DocumentV1, DownAckV1, HelloV1,
    Message, OwnHeldV1, ReferenceV1, RefuseV1, WelcomeV1, WindowV1,
};
use bundle::Bundles;
use contents::Contents;
use down::Down;
use offer::Offers;
use send::{Bulk, Window};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use uuid::Uuid;

/// Longest wait for the hub's first answer and for an acknowledgement.
const ANSWER_WAIT_US: i64 = 20_000_000;
/// Messages of the hub that may come before its welcome: lanes overtake each other.
const EARLY_MESSAGES_MAX: usize = 8;

/// What the box holds when a connection begins.
#[derive(Clone, Debug)]
pub struct EdgeStart {
    /// First message.
    pub hello: HelloV1,
    /// All streams of which it holds polls, those it writes now first.
    pub streams: Vec<EdgeStream>,
    /// Encoded catalog.
    pub catalog: Vec<u8>,
    /// Contents of attachments that the hub has not confirmed.
    pub contents: Vec<EdgeContent>,
}

/// One stream of readings on the box. Its number is unique in the box's store.
#[derive(Clone, Debug)]
pub struct EdgeStream {
    /// Incarnation that writes or wrote it.
    pub incarnation: u32,
    /// Its number.
    pub stream: StreamId,
    /// Highest durable sequence number.
    pub last: u64,
    /// `wire::encode_schema`.
    pub schema: Arc<[u8]>,
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
    /// The hub holds the box's events of this incarnation up to this number, and this is its
    /// chain up to there: the store compares.
    EventsAt(u32, u64, Chain),
    /// The hub committed the box's events of this incarnation up to this number.
    EventsAcked(u32, u64),
    /// The hub could not take these polls; they stay and are sent again on another connection.
    PollsRefused(StreamId, u64, u64, String),
    /// The hub numbers its events for this box anew: what is held counts from 0 again.
    ResetDown,
    /// Store these events of the hub, then call `handle_down_committed`.
    ApplyDown(u64, Vec<Event>),
    /// Store these events that this box once wrote and no longer has, then call
    /// `handle_own_committed`: incarnation, number of the first, events.
    ApplyOwn(u32, u64, Vec<Event>),
    /// Store the names and people of the site.
    ApplyReference(ReferenceV1),
    /// The hub holds this content whole.
    ContentKept(ContentHash),
    /// The hub does not hold this content, for this reason; it is offered again, on another
    /// connection at the latest.
    ContentNotKept(ContentHash, String),
    /// Judge this configuration document; `handle_document_state` says what became of it.
    Document(DocumentV1),
    /// Do this, unless it was taken on before; `handle_command_result` says how it ended.
    Command(CommandV1),
    /// The hub has stored the result of this command.
    ResultAcked(Uuid),
    /// Check who signed this bundle and whether it is wanted; `handle_bundle_state` says so.
    BundleHead(BundleHeadV1),
    /// Put these bytes behind those of the bundle that are there; `handle_bundle_state` says how
    /// many that are.
    BundlePiece(BundlePieceV1),
}

/// What the session wants to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetch {
    /// The box's own events after this number.
    Events {
        /// Of this incarnation.
        incarnation: u32,
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
    /// The next bytes of a content.
    Content {
        /// SHA-256 of all of it.
        hash: ContentHash,
        /// Where they begin.
        offset: u64,
        /// How many at most.
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
    /// Events of an incarnation, in order with their numbers.
    Events(u32, Vec<(u64, Vec<u8>)>),
    /// Per range asked for: its blocks in order. Polls of the range's beginning that no block
    /// holds are gone for good; polls after the last block are merely not read yet, unless there
    /// is no block at all.
    Polls(Vec<(FetchRange, Vec<Vec<u8>>)>),
    /// Bytes of a content from a place on; none when it is no longer there.
    Content((ContentHash, u64), Vec<u8>),
}

/// Events of one incarnation on their way to the hub.
#[derive(Clone, Copy, Debug)]
struct OwnEvents {
    incarnation: u32,
    last: u64,
    sent: u64,
}

/// The box's end of one connection.
#[derive(Debug)]
pub struct EdgeSession {
    hello: HelloV1,
    catalog: Vec<u8>,
    offers: Offers,
    streams: BTreeMap<StreamId, SendState>,
    own: Vec<OwnEvents>,
    down_mark: u64,
    events: Window,
    live: Window,
    backlog: Window,
    bulk: Bulk,
    contents: Contents,
    /// What came before the welcome.
    early: Vec<Message>,
    down: Down,
    bundles: Bundles,
    connected: bool,
    deadline: Option<Timestamp>,
    actions: VecDeque<EdgeAction>,
}

impl EdgeSession {
    /// Begins: the first action sends the hello.
    pub fn new(start: EdgeStart, now: Timestamp) -> Result<Self, SessionError> {
        let hello = Message::Hello(start.hello.clone()).encode()?;
        let own = start
            .hello
            .events
            .iter()
            .map(|(incarnation, last)| OwnEvents {
                incarnation: *incarnation,
                last: *last,
                sent: *last,
            });
        Ok(Self {
            own: own.collect(),
            down_mark: start.hello.down.0,
            hello: start.hello,
            catalog: start.catalog,
            offers: Offers::new(start.streams),
            streams: BTreeMap::new(),
            events: Window::default(),
            live: Window::default(),
            backlog: Window::default(),
            bulk: Bulk::new(Pacer::new(
                u64::try_from(LANE_IN_FLIGHT_BYTES_MAX).unwrap_or(u64::MAX),
            )),
            contents: Contents::new(start.contents),
            early: Vec::new(),
            down: Down::default(),
            bundles: Bundles::default(),
            connected: false,
            deadline: Some(now.plus_micros(ANSWER_WAIT_US)),
            actions: VecDeque::from([EdgeAction::Send(Lane::Control, hello)]),
        })
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<EdgeAction> {
        self.actions.pop_front()
    }

    /// When `handle_timeout` wants to be called.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let wakes = [self.bulk.pacer.wake_at(), self.contents.again_at()];
        wakes.into_iter().chain([self.deadline]).flatten().min()
    }

    /// An answer did not come in time, or a pause is over.
    pub fn handle_timeout(&mut self, now: Timestamp) -> Result<(), SessionError> {
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            return Err(SessionError::Silent {
                what: if self.connected {
                    "acknowledgement"
                } else {
                    "answer to the hello"
                },
                seconds: ANSWER_WAIT_US.unsigned_abs() / 1_000_000,
            });
        }
        self.contents_again(now)?;
        self.fill(now);
        Ok(())
    }

    /// A frame came.
    pub fn handle_frame(
        &mut self,
        lane: Lane,
        frame: &Frame,
        now: Timestamp,
    ) -> Result<(), SessionError> {
        let message = Message::decode(frame)?;
        if matches!(message, Message::Unknown { .. }) {
            return Ok(());
        }
        if !self.connected && !matches!(lane, Lane::Control | Lane::Reference) {
            // Lanes overtake each other: the hub's events may be here before its welcome.
            if self.early.len() >= EARLY_MESSAGES_MAX {
                return Err(unexpected("events before the Welcome", lane));
            }
            self.early.push(message);
            return Ok(());
        }
        match (lane, message) {
            (Lane::Control, message) => self.control(message, now)?,
            (Lane::Events, message) => self.down_lane(message)?,
            (Lane::Reference, Message::Reference(reference)) => {
                self.actions
                    .push_back(EdgeAction::ApplyReference(reference));
            }
            (Lane::Reference, message @ (Message::BundleHead(_) | Message::BundlePiece(_))) => {
                self.bundle_message(message)?;
            }
            (Lane::Reference, message) => self.down_message(lane, message)?,
            (lane, _) => return Err(unexpected("a message", lane)),
        }
        self.fill(now);
        Ok(())
    }

    fn control(&mut self, message: Message, now: Timestamp) -> Result<(), SessionError> {
        match message {
            Message::Welcome(welcome) if !self.connected => self.welcome(welcome),
            Message::Refuse(refuse) => Err(refused(refuse)),
            Message::Ack(ack) => {
                self.acked(ack, now)?;
                self.deadline = None;
                Ok(())
            }
            Message::Received(received) if self.connected => self.received(received),
            Message::ContentsHeld(held) if self.connected => self.contents_held(held),
            Message::ContentEnd(end) if self.connected => self.content_end(end, now),
            Message::Window(window) if self.connected => {
                self.window(window);
                Ok(())
            }
            message => self.down_message(Lane::Control, message),
        }
    }

    fn down_lane(&mut self, message: Message) -> Result<(), SessionError> {
        match message {
            Message::Events(events) => self.down(&events),
            Message::OwnEvents(events) => self.own_events(&events),
            _ => Err(unexpected("a message", Lane::Events)),
        }
    }

    /// Polls became durable up to `last`.
    pub fn handle_committed(&mut self, stream: StreamId, last: u64, now: Timestamp) {
        match self.streams.get_mut(&stream) {
            Some(state) => state.committed(last),
            None => self.offers.committed(stream, last),
        }
        self.fill(now);
    }

    /// A new stream of readings began while the connection stands.
    pub fn handle_new_stream(&mut self, stream: EdgeStream) -> Result<(), SessionError> {
        self.offers.add(stream);
        self.offer()
    }

    /// The box's own events of an incarnation became durable up to `last`.
    pub fn handle_events_committed(&mut self, incarnation: u32, last: u64, now: Timestamp) {
        match self
            .own
            .iter_mut()
            .find(|own| own.incarnation == incarnation)
        {
            Some(own) => own.last = own.last.max(last),
            None => self.own.push(OwnEvents {
                incarnation,
                last,
                sent: 0,
            }),
        }
        self.fill(now);
    }

    /// The hub's events up to `seq` are durable on the box.
    pub fn handle_down_committed(&mut self, seq: u64) -> Result<(), SessionError> {
        let bytes = Message::DownAck(DownAckV1 { seq }).encode()?;
        self.actions
            .push_back(EdgeAction::Send(Lane::Control, bytes));
        Ok(())
    }

    /// The box's own events of this incarnation are durable again up to `seq`.
    pub fn handle_own_committed(&mut self, incarnation: u32, seq: u64) -> Result<(), SessionError> {
        let bytes = Message::OwnHeld(OwnHeldV1 { incarnation, seq }).encode()?;
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
            Fetched::Events(incarnation, events) => self.send_events(incarnation, events, now)?,
            Fetched::Polls(ranges) => self.send_polls(lane, ranges, now)?,
            Fetched::Content(place, bytes) => self.send_chunk(place, bytes, now)?,
        }
        if let Some(window) = self.window_of(lane) {
            window.fetching = false;
        }
        self.fill(now);
        Ok(())
    }

    /// Bulk bytes on the way that the hub has not acknowledged.
    pub const fn bulk_in_flight(&self) -> u64 {
        self.bulk.pacer.on_the_way()
    }

    fn welcome(&mut self, welcome: WelcomeV1) -> Result<(), SessionError> {
        let (oldest, newest) = self.hello.protocol;
        if !(oldest..=newest).contains(&welcome.protocol) {
            return Err(SessionError::Refused {
                refusal: Some(Refusal::Protocol),
                words: format!(
                    "the hub speaks protocol {}, this box {oldest} to {newest}: update the older side",
                    welcome.protocol
                ),
                retry_after_s: None,
            });
        }
        self.contents.welcome(&welcome);
        if welcome.want_catalog {
            let catalog = std::mem::take(&mut self.catalog);
            let message = Message::Catalog(CatalogV1 { catalog });
            self.actions
                .push_back(EdgeAction::Send(Lane::Control, message.encode()?));
        }
        for own in &mut self.own {
            own.sent = 0;
        }
        for (incarnation, mark, chain) in welcome.events {
            let Some(own) = self
                .own
                .iter_mut()
                .find(|own| own.incarnation == incarnation)
            else {
                continue;
            };
            // More than the box holds: its store is an older copy. The hub sends it what it lost.
            own.sent = mark;
            own.last = own.last.max(mark);
            let action = EdgeAction::EventsAt(incarnation, mark, chain);
            self.actions.push_back(action);
        }
        if welcome.down_after != self.down_mark {
            self.down_mark = 0;
            self.actions.push_back(EdgeAction::ResetDown);
        }
        let (events, live, backlog, _) = welcome.windows;
        self.window(WindowV1 {
            lane: 1,
            bytes: events,
        });
        self.window(WindowV1 {
            lane: 4,
            bytes: live.min(backlog),
        });
        self.connected = true;
        self.deadline = None;
        self.actions.push_back(EdgeAction::Connected {
            hub_time: Timestamp(welcome.time_us),
        });
        self.offer()?;
        self.offer_contents()?;
        self.down_welcome(welcome.features)?;
        self.bundle_welcome(welcome.features)?;
        for message in std::mem::take(&mut self.early) {
            self.down_lane(message)?;
        }
        Ok(())
    }
}

const fn unexpected(what: &'static str, lane: Lane) -> SessionError {
    SessionError::Unexpected {
        what,
        lane: lane.number(),
    }
}

fn refused(refuse: RefuseV1) -> SessionError {
    SessionError::Refused {
        refusal: Refusal::from_code(refuse.code),
        words: refuse.words,
        retry_after_s: refuse.retry_after_s,
    }
}
