//! What the hub's end does with what comes: each message on its lane and in its time, data frames
//! to the store in order. Never acknowledges: that follows the commit.

use super::super::{Lane, PROTOCOL, PROTOCOL_OLDEST, Refusal, SessionError};
use super::lane::LaneState;
use super::{Commit, DATA_LANES, HelloInfo, HubAction, HubSession};
use crate::id::StreamId;
use crate::wire::v1::{EventsV1, HelloV1, Message, OwnHeldV1, PieceV1};
use crate::wire::{Frame, decode_event};

impl HubSession {
    /// A frame came.
    pub fn handle_frame(&mut self, lane: Lane, frame: &Frame) -> Result<(), SessionError> {
        match (lane, Message::decode(frame)?) {
            (Lane::Control, Message::Hello(hello)) if self.hello.is_none() => self.hello(hello),
            (Lane::Control, Message::Refuse(refuse)) => Err(SessionError::Refused {
                refusal: Refusal::from_code(refuse.code),
                words: refuse.words,
                retry_after_s: refuse.retry_after_s,
            }),
            (_, Message::Unknown { .. }) => Ok(()),
            (lane, message) if self.welcomed => match lane {
                Lane::Control => self.control(message),
                Lane::Events => match message {
                    Message::Events(events) => self.events(&events),
                    _ => Err(unexpected(lane)),
                },
                Lane::Live | Lane::Backlog => self.readings(lane, message),
                Lane::Attachment => match message {
                    Message::Chunk(chunk) => self.chunk(chunk),
                    _ => Err(unexpected(lane)),
                },
                Lane::Reference => Err(unexpected(lane)),
            },
            (lane, _) => Err(unexpected(lane)),
        }
    }

    fn control(&mut self, message: Message) -> Result<(), SessionError> {
        match message {
            Message::Offer(offer) => {
                self.actions
                    .push_back(HubAction::Offer(offer.streams, offer.last));
                Ok(())
            }
            Message::Catalog(catalog) => {
                self.actions
                    .push_back(HubAction::StoreCatalog(catalog.catalog));
                Ok(())
            }
            Message::DownAck(ack) => {
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
            Message::Contents(contents) => self.contents(contents),
            Message::OwnHeld(held) => {
                self.own_held(held);
                Ok(())
            }
            message => {
                let left = self.down_message(message);
                match left.and_then(|message| self.bundle_message(message)) {
                    None => Ok(()),
                    Some(_) => Err(unexpected(Lane::Control)),
                }
            }
        }
    }

    fn readings(&mut self, lane: Lane, message: Message) -> Result<(), SessionError> {
        let commit = match message {
            Message::Schema(schema) => {
                let stream = StreamId(schema.stream);
                let action = HubAction::StoreSchema(schema.incarnation, stream, schema.schema);
                self.actions.push_back(action);
                return Ok(());
            }
            Message::Piece(piece) => return self.piece(lane, &piece),
            Message::Blocks(blocks) => Commit::Blocks {
                incarnation: blocks.incarnation,
                blocks: blocks.blocks,
            },
            Message::Gap(gap) => Commit::Gap {
                incarnation: gap.incarnation,
                stream: StreamId(gap.stream),
                first_seq: gap.first_seq,
                last_seq: gap.last_seq,
            },
            _ => return Err(unexpected(lane)),
        };
        self.commit(lane, commit);
        Ok(())
    }

    fn piece(&mut self, lane: Lane, piece: &PieceV1) -> Result<(), SessionError> {
        let Some(state) = self.lane(lane) else {
            return Err(unexpected(lane));
        };
        match state.piece(piece)? {
            // A frame in pieces that holds pieces would have no end.
            Some(frame) => match Message::decode(&frame)? {
                // Counted like any frame: with its last piece.
                Message::Unknown { .. } => self.taken(lane),
                message @ (Message::Blocks(_) | Message::Gap(_)) => self.readings(lane, message),
                _ => Err(unexpected(lane)),
            },
            None => self.taken(lane),
        }
    }

    /// A frame that nothing is committed for: acknowledged in its turn.
    pub(super) fn taken(&mut self, lane: Lane) -> Result<(), SessionError> {
        let frames = self.lane(lane).and_then(LaneState::taken);
        frames.map_or(Ok(()), |frames| self.ack(lane, frames, Vec::new()))
    }

    fn commit(&mut self, lane: Lane, commit: Commit) {
        if let Some(state) = self.lane(lane) {
            state.committing();
        }
        self.actions.push_back(HubAction::Commit(lane, commit));
    }

    pub(super) fn lane(&mut self, lane: Lane) -> Option<&mut LaneState> {
        let at = DATA_LANES.iter().position(|known| *known == lane)?;
        self.lanes.get_mut(at)
    }

    /// One batch at a time, as for the hub's own events.
    fn own_held(&mut self, held: OwnHeldV1) {
        if let Some(lost) = self.lost.front_mut()
            && lost.incarnation == held.incarnation
        {
            lost.after = lost.after.max(held.seq);
            if lost.after >= lost.last {
                self.lost.pop_front();
            }
            self.fetch_own();
        }
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
        if oldest > PROTOCOL || newest < PROTOCOL_OLDEST {
            let words = format!(
                "this hub speaks protocol {PROTOCOL_OLDEST} to {PROTOCOL}, the box {oldest} to \
                {newest}: update the older side"
            );
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
        let incarnation = message.incarnation;
        let expected = self.events_next.get(&incarnation).copied().unwrap_or(1);
        if message.first_seq > expected {
            return Err(SessionError::Hole {
                expected,
                got: message.first_seq,
            });
        }
        let mut events = Vec::with_capacity(message.events.len());
        for bytes in &message.events {
            events.push(decode_event(bytes)?);
        }
        let count = u64::try_from(events.len()).unwrap_or(0);
        let next = expected.max(message.first_seq + count);
        self.events_next.insert(incarnation, next);
        let commit = Commit::Events {
            incarnation,
            first_seq: message.first_seq,
            events,
        };
        self.commit(Lane::Events, commit);
        Ok(())
    }
}

pub(super) const fn unexpected(lane: Lane) -> SessionError {
    SessionError::Unexpected {
        what: "a message",
        lane: lane.number(),
    }
}
