//! The hub's end of a connection (PROTOCOL §6.3). Never acknowledges before `handle_committed`
//! says that the store holds it; never trusts a name in a message over the certificate.

mod bundle;
mod contents;
mod down;
mod lane;
mod receive;

pub use bundle::BundleName;
pub use contents::{ChunkStored, ContentChunk};

use super::{FEATURES, Lane, PROTOCOL, Refusal, SessionError, features};
use crate::event::Event;
use crate::id::{GatewayId, StreamId};
use crate::limits::{EVENTS_PER_FRAME_MAX, LANE_IN_FLIGHT_BYTES_MAX};
use crate::time::{ClockState, Timestamp};
use crate::wire::v1::{
    AckV1, BundleStateV1, Chain, CommandResultV1, DocumentStateV1, EventsV1, HeldV1, HelloV1,
    Message, OfferedContentV1, OfferedV1, OwnEventsV1, ReceivedV1, ReferenceV1, RefuseV1,
    WelcomeV1, WindowV1,
};

use bundle::Bundles;
use contents::Contents;
use down::Down;
use lane::LaneState;
use std::collections::{BTreeMap, VecDeque};

/// Lanes whose frames are counted and acknowledged.
const DATA_LANES: [Lane; 4] = [Lane::Events, Lane::Live, Lane::Backlog, Lane::Attachment];

/// What the gateway said first, as the store needs it.
#[derive(Clone, Debug, PartialEq)]
pub struct HelloInfo {
    /// The whole message.
    pub hello: HelloV1,
    /// State of the gateway's clock.
    pub clock: ClockState,
}

/// What the store knows of the gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct HelloAnswer {
    /// The hub's clock.
    pub now: Timestamp,
    /// Of each incarnation in the hello: highest contiguous event number held, and the chain.
    pub events: Vec<(u32, u64, Chain)>,
    /// Events of the gateway that are held here and not by it.
    pub lost: Vec<OwnLost>,
    /// Highest number of the hub's events for this gateway.
    pub down_last: u64,
    /// What the gateway holds of them: the number in its hello when its chain is the hub's, else 0.
    pub down_after: u64,
    /// Whether the catalog held has another hash.
    pub want_catalog: bool,
    /// Bytes that may be on the way on lanes 1, 3, 4 and 5.
    pub windows: (u32, u32, u32, u32),
    /// Names and people.
    pub reference: ReferenceV1,
}

/// Events of a gateway that its store no longer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnLost {
    /// Their incarnation.
    pub incarnation: u32,
    /// The last one that the gateway has.
    pub after: u64,
    /// The last one that the hub has.
    pub last: u64,
}

/// One data frame that the store is to commit.
#[derive(Clone, Debug, PartialEq)]
pub enum Commit {
    /// Events of the gateway, dense from the first number.
    Events {
        /// Incarnation of the events.
        incarnation: u32,
        /// Number of the first one.
        first_seq: u64,
        /// The events.
        events: Vec<Event>,
    },
    /// Blocks of readings.
    Blocks {
        /// Incarnation of the readings.
        incarnation: u32,
        /// Encoded blocks.
        blocks: Vec<Vec<u8>>,
    },
    /// Polls that the gateway no longer has.
    Gap {
        /// Incarnation of the readings.
        incarnation: u32,
        /// The stream.
        stream: StreamId,
        /// First number.
        first_seq: u64,
        /// Last number.
        last_seq: u64,
    },
}

/// Polls that could not be taken: incarnation, stream, first, last, why.
pub type Refused = (u32, StreamId, u64, u64, String);

/// What the shell is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum HubAction {
    /// Send these bytes on this lane.
    Send(Lane, Vec<u8>),
    /// Look the gateway up and answer with `handle_hello_answer`.
    Hello(HelloInfo),
    /// Look these streams up and answer with `handle_offer_answer`, in their order. When true,
    /// the gateway has offered all it holds.
    Offer(Vec<OfferedV1>, bool),
    /// Store the meaning of a stream's columns before any later commit.
    StoreSchema(u32, StreamId, Vec<u8>),
    /// Store what the gateway measures.
    StoreCatalog(Vec<u8>),
    /// Look these contents up and answer with `handle_contents_answer`.
    Contents(Vec<OfferedContentV1>),
    /// Write these bytes of a content; when they are on the disk, call `handle_chunk_stored`. In
    /// order, and beside the commits of other lanes.
    StoreChunk(ContentChunk),
    /// Commit this frame of this lane; afterwards call `handle_committed`. In order per lane.
    Commit(Lane, Commit),
    /// Read the hub's events for this gateway after this number; answer with `handle_down`.
    FetchDown {
        /// The last one that is not wanted.
        after: u64,
    },
    /// Read the gateway's own events of this incarnation after this number; answer with
    /// `handle_own`.
    FetchOwn {
        /// The incarnation.
        incarnation: u32,
        /// The last one that is not wanted.
        after: u64,
    },
    /// The gateway holds the hub's events up to this number.
    DownAcked(u64),
    /// Store what the gateway did with a document; then tell `handle_wanted` what it is to have.
    DocumentState(DocumentStateV1),
    /// Read this document; answer with `handle_document`.
    FetchDocument {
        /// Its number.
        version: u64,
    },
    /// Store how a command ended, then call `handle_result_stored`.
    CommandResult(CommandResultV1),
    /// Store which bundle the gateway holds; then tell `handle_bundle_wanted` which is the newest.
    BundleState(BundleStateV1),
    /// Sign this bundle; answer with `handle_bundle_signed`.
    SignBundle(BundleName),
    /// Read a piece of this bundle; answer with `handle_bundle_piece`.
    FetchBundle {
        /// Its number.
        number: u64,
        /// Where the piece begins.
        offset: u64,
        /// How long it is at most.
        bytes_max: usize,
    },
    /// Close the connection: the gateway was refused and has been told why, in these words.
    Close(String),
}

/// The hub's end of one connection.
#[derive(Debug)]
pub struct HubSession {
    gateway: GatewayId,
    hello: Option<HelloV1>,
    welcomed: bool,
    /// Next event of each incarnation.
    events_next: BTreeMap<u32, u64>,
    lanes: [LaneState; DATA_LANES.len()],
    contents: Contents,
    down_last: u64,
    down_sent: u64,
    down_acked: u64,
    down_fetching: bool,
    /// Events that the gateway is to get back; the first are on the way.
    lost: VecDeque<OwnLost>,
    down: Down,
    bundles: Bundles,
    actions: VecDeque<HubAction>,
}

impl HubSession {
    /// Begins for the gateway that the certificate names.
    pub fn new(gateway: GatewayId) -> Self {
        Self {
            gateway,
            hello: None,
            welcomed: false,
            events_next: BTreeMap::new(),
            lanes: Default::default(),
            contents: Contents::default(),
            down_last: 0,
            down_sent: 0,
            down_acked: 0,
            down_fetching: false,
            lost: VecDeque::new(),
            down: Down::default(),
            bundles: Bundles::default(),
            actions: VecDeque::new(),
        }
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<HubAction> {
        self.actions.pop_front()
    }

    /// What the store knows of the gateway that said hello.
    pub fn handle_hello_answer(&mut self, answer: HelloAnswer) -> Result<(), SessionError> {
        let hello = self.hello.as_ref();
        let both = hello.map_or(0, |hello| hello.features) & FEATURES;
        self.contents.spoken = both & features::CONTENTS != 0;
        let welcome = Message::Welcome(WelcomeV1 {
            protocol: hello.map_or(PROTOCOL, |hello| hello.protocol.1.min(PROTOCOL)),
            features: both,
            time_us: answer.now.0,
            events: answer.events.clone(),
            down_after: answer.down_after,
            want_catalog: answer.want_catalog,
            windows: answer.windows,
        });
        self.actions
            .push_back(HubAction::Send(Lane::Control, welcome.encode()?));
        let reference = Message::Reference(answer.reference).encode()?;
        self.actions
            .push_back(HubAction::Send(Lane::Reference, reference));
        self.events_next = answer
            .events
            .iter()
            .map(|(incarnation, mark, _)| (*incarnation, mark + 1))
            .collect();
        self.down_last = answer.down_last;
        self.down_sent = answer.down_after;
        self.down_acked = answer.down_after;
        // An acknowledgement lost with the last connection comes again with the hello.
        self.actions
            .push_back(HubAction::DownAcked(answer.down_after));
        self.lost = answer.lost.into();
        self.welcomed = true;
        self.fill_down();
        self.fetch_own();
        Ok(())
    }

    /// What is held of the streams of the last offer, in its order.
    pub fn handle_offer_answer(&mut self, streams: Vec<HeldV1>) -> Result<(), SessionError> {
        let bytes = Message::Received(ReceivedV1 { streams }).encode()?;
        self.actions
            .push_back(HubAction::Send(Lane::Control, bytes));
        Ok(())
    }

    /// How much may be on the way on a lane from now on.
    pub fn handle_window(&mut self, lane: Lane, bytes: u32) -> Result<(), SessionError> {
        if !self.welcomed {
            return Ok(());
        }
        let lane = lane.number();
        let bytes = Message::Window(WindowV1 { lane, bytes }).encode()?;
        self.actions
            .push_back(HubAction::Send(Lane::Control, bytes));
        Ok(())
    }

    /// What `FetchOwn` brought: events with their numbers, dense.
    pub fn handle_own(
        &mut self,
        incarnation: u32,
        events: Vec<(u64, Vec<u8>)>,
    ) -> Result<(), SessionError> {
        let Some((first_seq, _)) = events.first() else {
            return Ok(());
        };
        let message = OwnEventsV1 {
            incarnation,
            first_seq: *first_seq,
            events: batch(events),
        };
        let bytes = Message::OwnEvents(message).encode()?;
        self.actions.push_back(HubAction::Send(Lane::Events, bytes));
        Ok(())
    }

    fn fetch_own(&mut self) {
        if let Some(lost) = self.lost.front() {
            self.actions.push_back(HubAction::FetchOwn {
                incarnation: lost.incarnation,
                after: lost.after,
            });
        }
    }

    /// The gateway is not let in.
    pub fn refuse(
        &mut self,
        refusal: Refusal,
        words: &str,
        retry_after_s: Option<u32>,
    ) -> Result<(), SessionError> {
        let message = RefuseV1 {
            code: refusal.code(),
            words: words.to_owned(),
            retry_after_s,
        };
        let bytes = Message::Refuse(message).encode()?;
        self.actions
            .push_back(HubAction::Send(Lane::Control, bytes));
        self.actions.push_back(HubAction::Close(words.to_owned()));
        Ok(())
    }

    /// The store holds the next frame of this lane; `refused` is what of it could not be taken.
    pub fn handle_committed(
        &mut self,
        lane: Lane,
        refused: Vec<Refused>,
    ) -> Result<(), SessionError> {
        let frames = self.lane(lane).map(LaneState::committed);
        frames.map_or(Ok(()), |frames| self.ack(lane, frames, refused))
    }

    fn ack(&mut self, lane: Lane, frames: u64, refused: Vec<Refused>) -> Result<(), SessionError> {
        let ack = AckV1 {
            lane: lane.number(),
            frames,
            refused: refused
                .into_iter()
                .map(|(incarnation, s, first, last, why)| (incarnation, s.0, first, last, why))
                .collect(),
        };
        let bytes = Message::Ack(ack).encode()?;
        self.actions
            .push_back(HubAction::Send(Lane::Control, bytes));
        Ok(())
    }

    /// The store holds events for this gateway up to this number.
    pub fn handle_down_available(&mut self, last: u64) {
        self.down_last = self.down_last.max(last);
        self.fill_down();
    }

    /// What `FetchDown` brought: events with their numbers, dense.
    pub fn handle_down(&mut self, events: Vec<(u64, Vec<u8>)>) -> Result<(), SessionError> {
        self.down_fetching = false;
        let Some((first, _)) = events.first() else {
            return Ok(());
        };
        let first_seq = *first;
        if first_seq != self.down_sent + 1 {
            return Err(SessionError::Hole {
                expected: self.down_sent + 1,
                got: first_seq,
            });
        }
        let batch = batch(events);
        self.down_sent += u64::try_from(batch.len()).unwrap_or(0);
        let message = Message::Events(EventsV1 {
            incarnation: 0,
            first_seq,
            events: batch,
        });
        self.actions
            .push_back(HubAction::Send(Lane::Events, message.encode()?));
        Ok(())
    }

    /// The names or people of the site changed.
    pub fn handle_reference(&mut self, reference: ReferenceV1) -> Result<(), SessionError> {
        let bytes = Message::Reference(reference).encode()?;
        self.actions
            .push_back(HubAction::Send(Lane::Reference, bytes));
        Ok(())
    }

    /// One batch at a time: the next goes after the gateway stored the last.
    fn fill_down(&mut self) {
        let idle = self.down_acked == self.down_sent && !self.down_fetching;
        if self.welcomed && idle && self.down_sent < self.down_last {
            self.down_fetching = true;
            self.actions.push_back(HubAction::FetchDown {
                after: self.down_sent,
            });
        }
    }
}

/// As many events as go in one frame.
fn batch(events: Vec<(u64, Vec<u8>)>) -> Vec<Vec<u8>> {
    let mut batch = Vec::new();
    let mut bytes = 0;
    for (_, event) in events.into_iter().take(EVENTS_PER_FRAME_MAX) {
        bytes += event.len();
        if !batch.is_empty() && bytes > LANE_IN_FLIGHT_BYTES_MAX {
            break;
        }
        batch.push(event);
    }
    batch
}
