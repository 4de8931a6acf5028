//! The hub's end of a connection (PROTOCOL §6.3). Never acknowledges before `handle_committed`
//! says that the store holds it; never trusts a name in a message over the certificate.

use super::{Lane, PROTOCOL, Refusal, SessionError};
use crate::event::Event;
use crate::id::{GatewayId, StreamId};
use crate::limits::LANE_IN_FLIGHT_BYTES_MAX;
use crate::time::{ClockState, Timestamp};
use crate::wire::v1::{AckV1, EventsV1, HelloV1, Message, ReferenceV1, RefuseV1, WelcomeV1};
use crate::wire::{Frame, decode_event};
use std::collections::VecDeque;

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
    /// Highest contiguous event number held of this incarnation.
    pub events_mark: u64,
    /// Highest number of the hub's events for this gateway.
    pub down_last: u64,
    /// Whether the catalog held has another hash.
    pub want_catalog: bool,
    /// Streams without a schema.
    pub want_schemas: Vec<StreamId>,
    /// What is held of each stream.
    pub received: Vec<(StreamId, Vec<(u64, u64)>)>,
    /// Names and people.
    pub reference: ReferenceV1,
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

/// What the shell is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum HubAction {
    /// Send these bytes on this lane.
    Send(Lane, Vec<u8>),
    /// Look the gateway up and answer with `handle_hello_answer`.
    Hello(HelloInfo),
    /// Store the meaning of a stream's columns before any later commit.
    StoreSchema(u32, StreamId, Vec<u8>),
    /// Store what the gateway measures.
    StoreCatalog(Vec<u8>),
    /// Commit this frame of this lane; afterwards call `handle_committed`. In order per lane.
    Commit(Lane, Commit),
    /// Read the hub's events for this gateway after this number; answer with `handle_down`.
    FetchDown {
        /// The last one that is not wanted.
        after: u64,
    },
    /// The gateway holds the hub's events up to this number.
    DownAcked(u64),
    /// Close the connection: the gateway was refused and has been told why, in these words.
    Close(String),
}

/// The hub's end of one connection.
#[derive(Debug)]
pub struct HubSession {
    gateway: GatewayId,
    hello: Option<HelloV1>,
    welcomed: bool,
    events_next: u64,
    frames: [u64; 3],
    down_last: u64,
    down_sent: u64,
    down_acked: u64,
    down_fetching: bool,
    actions: VecDeque<HubAction>,
}

impl HubSession {
    /// Begins for the gateway that the certificate names.
    pub const fn new(gateway: GatewayId) -> Self {
        Self {
            gateway,
            hello: None,
            welcomed: false,
            events_next: 1,
            frames: [0; 3],
            down_last: 0,
            down_sent: 0,
            down_acked: 0,
            down_fetching: false,
            actions: VecDeque::new(),
        }
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<HubAction> {
        self.actions.pop_front()
    }

    /// A frame came.
    pub fn handle_frame(&mut self, lane: Lane, frame: &Frame) -> Result<(), SessionError> {
        match (lane, Message::decode(frame)?) {
            (Lane::Control, Message::Hello(hello)) if self.hello.is_none() => self.hello(hello),
            (Lane::Live | Lane::Backlog, Message::Schema(schema)) if self.welcomed => {
                let stream = StreamId(schema.stream);
                let action = HubAction::StoreSchema(schema.incarnation, stream, schema.schema);
                self.actions.push_back(action);
                Ok(())
            }
            (Lane::Control, Message::Catalog(catalog)) if self.welcomed => {
                self.actions
                    .push_back(HubAction::StoreCatalog(catalog.catalog));
                Ok(())
            }
            (Lane::Control, Message::DownAck(ack)) if self.welcomed => {
                if ack.seq > self.down_sent {
                    return Err(SessionError::Hole {
                        expected: self.down_sent,
                        got: ack.seq,
                    });
                }
                self.down_acked = self.down_acked.max(ack.seq);
                self.actions.push_back(HubAction::DownAcked(ack.seq));
                self.fill_down();
                Ok(())
            }
            (Lane::Control, Message::Refuse(refuse)) => Err(SessionError::Refused {
                refusal: Refusal::from_code(refuse.code),
                words: refuse.words,
                retry_after_s: refuse.retry_after_s,
            }),
            (Lane::Events, Message::Events(events)) if self.welcomed => self.events(&events),
            (Lane::Live | Lane::Backlog, Message::Blocks(blocks)) if self.welcomed => {
                let incarnation = blocks.incarnation;
                let commit = Commit::Blocks {
                    incarnation,
                    blocks: blocks.blocks,
                };
                self.actions.push_back(HubAction::Commit(lane, commit));
                Ok(())
            }
            (Lane::Live | Lane::Backlog, Message::Gap(gap)) if self.welcomed => {
                let commit = Commit::Gap {
                    incarnation: gap.incarnation,
                    stream: StreamId(gap.stream),
                    first_seq: gap.first_seq,
                    last_seq: gap.last_seq,
                };
                self.actions.push_back(HubAction::Commit(lane, commit));
                Ok(())
            }
            (_, Message::Unknown { .. }) => Ok(()),
            (lane, _) => Err(SessionError::Unexpected {
                what: "a message",
                lane: lane.number(),
            }),
        }
    }

    /// What the store knows of the gateway that said hello.
    pub fn handle_hello_answer(&mut self, answer: HelloAnswer) -> Result<(), SessionError> {
        let welcome = Message::Welcome(WelcomeV1 {
            protocol: PROTOCOL,
            time_us: answer.now.0,
            events_mark: answer.events_mark,
            down_last: answer.down_last,
            want_catalog: answer.want_catalog,
            want_schemas: answer.want_schemas.iter().map(|stream| stream.0).collect(),
            received: answer
                .received
                .into_iter()
                .map(|(stream, r)| (stream.0, r))
                .collect(),
        });
        self.actions
            .push_back(HubAction::Send(Lane::Control, welcome.encode()?));
        let reference = Message::Reference(answer.reference).encode()?;
        self.actions
            .push_back(HubAction::Send(Lane::Reference, reference));
        self.events_next = answer.events_mark + 1;
        self.down_last = answer.down_last;
        let mark = self.hello.as_ref().map_or(0, |hello| hello.down_mark);
        self.down_sent = mark;
        self.down_acked = mark;
        // An acknowledgement lost with the last connection comes again with the hello.
        self.actions.push_back(HubAction::DownAcked(mark));
        self.welcomed = true;
        self.fill_down();
        Ok(())
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
        refused: Vec<(StreamId, u64, u64, String)>,
    ) -> Result<(), SessionError> {
        let count = match lane {
            Lane::Events => self.frames.get_mut(0),
            Lane::Live => self.frames.get_mut(1),
            _ => self.frames.get_mut(2),
        };
        let Some(count) = count else { return Ok(()) };
        *count += 1;
        let ack = AckV1 {
            lane: lane.number(),
            frames: *count,
            refused: refused
                .into_iter()
                .map(|(s, first, last, why)| (s.0, first, last, why))
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
        let mut batch = Vec::new();
        let mut bytes = 0;
        for (_, event) in events.into_iter().take(crate::limits::EVENTS_PER_FRAME_MAX) {
            bytes += event.len();
            if !batch.is_empty() && bytes > LANE_IN_FLIGHT_BYTES_MAX {
                break;
            }
            batch.push(event);
        }
        self.down_sent += u64::try_from(batch.len()).unwrap_or(0);
        let message = Message::Events(EventsV1 {
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

    fn hello(&mut self, hello: HelloV1) -> Result<(), SessionError> {
        if hello.gateway != self.gateway.0 {
            return self.refuse(
                Refusal::WrongGateway,
                "the certificate belongs to another gateway; enrol this box with a claim of its own",
                None,
            );
        }
        let (oldest, newest) = hello.protocol;
        if oldest > PROTOCOL || newest < PROTOCOL {
            let words =
                format!("this hub speaks protocol {PROTOCOL}, the box {oldest} to {newest}");
            return self.refuse(Refusal::Protocol, &words, None);
        }
        let clock = crate::wire::clock_from(hello.clock).unwrap_or_default();
        self.actions.push_back(HubAction::Hello(HelloInfo {
            hello: hello.clone(),
            clock,
        }));
        self.hello = Some(hello);
        Ok(())
    }

    fn events(&mut self, message: &EventsV1) -> Result<(), SessionError> {
        if message.first_seq > self.events_next {
            return Err(SessionError::Hole {
                expected: self.events_next,
                got: message.first_seq,
            });
        }
        let mut events = Vec::with_capacity(message.events.len());
        for bytes in &message.events {
            events.push(decode_event(bytes)?);
        }
        let count = u64::try_from(events.len()).unwrap_or(0);
        self.events_next = self.events_next.max(message.first_seq + count);
        let incarnation = self
            .hello
            .as_ref()
            .map_or(0, |hello| hello.core_incarnation);
        let commit = Commit::Events {
            incarnation,
            first_seq: message.first_seq,
            events,
        };
        self.actions
            .push_back(HubAction::Commit(Lane::Events, commit));
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
