//! The box's end of a connection: its shell, as `edge-agent`'s uplink is.
//! Never tells the session of what is not committed, but where a planted bug does.

use super::{Connection, edge_stream};
use crate::box_store::Stored;
use crate::bugs::Bug;
use crate::log::Log;
use crate::network::Way;
use crate::plan::n;
use crate::world::{Happening, SECOND, World};
use protocol::block;
use protocol::event::Event;
use protocol::id::StreamId;
use protocol::ranges::RangeSet;
use protocol::sync::{
    EdgeAction, EdgeSession, Fetch, FetchRange, Fetched, Lane, Refusal, SessionError,
};
use protocol::time::Timestamp;
use protocol::wire::v1::Chain;
use std::rc::Rc;

/// Longest read of a box's store.
const FETCH_US: i64 = 50_000;

impl World {
    fn with_edge(
        &mut self,
        id: u32,
        tell: impl FnOnce(&mut EdgeSession, Timestamp) -> Result<(), SessionError>,
    ) {
        if let Some(mut connection) = self.connections.remove(&id) {
            let now = Timestamp(self.now);
            if let Some(Err(error)) = connection.edge.as_mut().map(|edge| tell(edge, now)) {
                self.edge_fails(id, &mut connection, &error);
            }
            self.edge_acts(id, &mut connection);
            self.keep(id, connection);
        }
    }

    /// Polls of a box were committed.
    pub(crate) fn tell_polls(&mut self, at: usize, name: (u32, u32), last: u64) {
        let Some(id) = self.boxes[at].connection else {
            return;
        };
        let new = edge_stream(name, last);
        self.with_edge(id, |edge, now| {
            // A stream that is known already stays as it is.
            edge.handle_new_stream(new)?;
            edge.handle_committed(StreamId(name.1), last, now);
            Ok(())
        });
    }

    /// Events of a box were committed.
    pub(crate) fn tell_events(&mut self, at: usize) {
        let incarnation = self.boxes[at].store.incarnation;
        let last = self.boxes[at].store.events_last(incarnation);
        if let Some(id) = self.boxes[at].connection {
            self.with_edge(id, |edge, now| {
                edge.handle_events_committed(incarnation, last, now);
                Ok(())
            });
        }
    }

    /// The store was read.
    pub(crate) fn fetched(&mut self, id: u32, lane: Lane, fetched: Fetched) {
        self.with_edge(id, |edge, now| edge.handle_fetched(lane, fetched, now));
    }

    pub(crate) fn timeout(&mut self, id: u32) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.timeout_at = None;
        }
        if self.bug != Some(Bug::NoTimeout) {
            self.with_edge(id, EdgeSession::handle_timeout);
        }
    }

    pub(crate) fn edge_hears(
        &mut self,
        id: u32,
        connection: &mut Connection,
        lane: u8,
        bytes: &[u8],
    ) {
        let reader = connection.edge_readers.entry(lane).or_default();
        reader.push(bytes);
        while let Some(edge) = &mut connection.edge {
            let reader = connection.edge_readers.entry(lane).or_default();
            let Some(frame) = reader.next_frame().unwrap() else {
                break;
            };
            let lane = Lane::from_number(lane).unwrap();
            if let Err(error) = edge.handle_frame(lane, &frame, Timestamp(self.now)) {
                self.edge_fails(id, connection, &error);
            }
        }
        self.edge_acts(id, connection);
    }

    fn edge_fails(&mut self, id: u32, connection: &mut Connection, error: &SessionError) {
        let wait = match error {
            SessionError::Silent { .. } => {
                self.note("connection {}: silence", [id.into(), 0, 0, 0]);
                None
            }
            SessionError::Refused {
                refusal: Some(Refusal::Busy),
                retry_after_s,
                ..
            } => {
                let wait = retry_after_s.map(|wait| i64::from(wait) * SECOND);
                Some(wait.unwrap_or(300 * SECOND))
            }
            error => {
                self.ledger
                    .fail(format!("connection {id}, the box's end: {error:?}"));
                None
            }
        };
        self.edge_ends(id, connection, wait);
    }

    /// Does what the box's end wants.
    pub(crate) fn edge_acts(&mut self, id: u32, connection: &mut Connection) {
        let at = connection.at;
        while let Some(edge) = &mut connection.edge {
            let Some(action) = edge.poll_action() else {
                break;
            };
            match action {
                EdgeAction::Send(lane, bytes) => self.send(connection, Way::Up, lane, &bytes),
                EdgeAction::Fetch(fetch) => self.fetch(id, at, fetch),
                EdgeAction::Connected { .. } => {
                    self.note("connection {}: the link is up", [id.into(), 0, 0, 0]);
                    let node = &mut self.boxes[at];
                    node.attempts = 0;
                    node.good_since = node.good_since.max(self.now);
                }
                EdgeAction::Received(stream, ranges) => self.received(at, stream.0, ranges),
                EdgeAction::PollsAcked(stream, first, last) => {
                    self.polls_acked(at, stream.0, (first, last));
                }
                EdgeAction::EventsAt(incarnation, seq, chain) => {
                    self.compare(at, incarnation, seq, chain);
                }
                EdgeAction::EventsAcked(incarnation, seq) => {
                    self.events_acked(at, incarnation, seq);
                }
                EdgeAction::PollsRefused(..) => connection.refused = true,
                EdgeAction::ResetDown => {
                    self.note(
                        "box {}: the hub's events count from 0 again",
                        [n(at), 0, 0, 0],
                    );
                    self.boxes[at].store.down = Log::default();
                }
                EdgeAction::ApplyDown(first, events) => {
                    let last = first + n(events.len()) - 1;
                    self.apply_down(at, first, events);
                    if let Err(error) = edge.handle_down_committed(last) {
                        self.edge_fails(id, connection, &error);
                    }
                }
                EdgeAction::ApplyOwn(incarnation, first, events) => {
                    self.note(
                        "box {}: own events of {} from {} on come back",
                        [n(at), incarnation.into(), first, 0],
                    );
                    let held = self.boxes[at].store.apply_own(incarnation, events);
                    if let Err(error) = edge.handle_own_committed(incarnation, held) {
                        self.edge_fails(id, connection, &error);
                    }
                }
                // No box of the simulation has attachments; documents and commands have their own test.
                EdgeAction::ApplyReference(_)
                | EdgeAction::ContentKept(_)
                | EdgeAction::ContentNotKept(..)
                | EdgeAction::Document(_)
                | EdgeAction::Command(_)
                | EdgeAction::ResultAcked(_)
                | EdgeAction::BundleHead(_)
                | EdgeAction::BundlePiece(_) => {}
            }
        }
        self.pump(id, connection, Way::Up);
        self.watch(id, connection);
    }

    /// Wakes the box's end when it wants to be woken.
    fn watch(&mut self, id: u32, connection: &mut Connection) {
        let wanted = connection.edge.as_ref().and_then(EdgeSession::poll_timeout);
        if let Some(Timestamp(at)) = wanted
            && connection.timeout_at.is_none_or(|known| at < known)
        {
            connection.timeout_at = Some(at);
            self.at(at, Happening::Timeout { connection: id });
        }
    }

    fn fetch(&mut self, id: u32, at: usize, fetch: Fetch) {
        let store = &self.boxes[at].store;
        let (lane, fetched) = match fetch {
            Fetch::Content { hash, offset, .. } => {
                (Lane::Attachment, Fetched::Content((hash, offset), vec![]))
            }
            Fetch::Events { incarnation, after } => {
                let most = 1 + self.random.index(40);
                let own = store.own.get(&incarnation);
                let events = own.map_or_else(Vec::new, |log| log.after(after, most));
                (Lane::Events, Fetched::Events(incarnation, events))
            }
            Fetch::Polls {
                lane,
                ranges,
                bytes_max,
            } => {
                let mut room = bytes_max;
                let mut read = Vec::new();
                for range in ranges {
                    if room == 0 {
                        break;
                    }
                    let span = (range.first, range.last);
                    let blocks = store.name_of(range.stream.0).map_or_else(Vec::new, |name| {
                        store.blocks(name, span, room, &mut self.random)
                    });
                    room = room.saturating_sub(blocks.iter().map(Vec::len).sum());
                    read.push((range, blocks));
                }
                self.deleted_when_sent(at, &read);
                (lane, Fetched::Polls(read))
            }
        };
        let fetched = Box::new(fetched);
        let wait = self.random.between(0, FETCH_US);
        self.after(
            wait,
            Happening::Fetched {
                connection: id,
                lane,
                fetched,
            },
        );
    }

    fn deleted_when_sent(&mut self, at: usize, read: &[(FetchRange, Vec<Vec<u8>>)]) {
        if self.bug != Some(Bug::DeletedWhenSent) {
            return;
        }
        let store = &mut self.boxes[at].store;
        for (range, blocks) in read {
            let name = store.name_of(range.stream.0);
            let Some(stream) = name.and_then(|name| store.streams.get_mut(&name)) else {
                continue;
            };
            for header in blocks.iter().map(|bytes| block::header(bytes).unwrap()) {
                stream.acked.insert(header.first_seq, header.last_seq());
            }
        }
    }

    /// What the hub holds of a stream, at the beginning of a connection.
    fn received(&mut self, at: usize, stream: u32, ranges: RangeSet) {
        for (first, last) in ranges.pairs() {
            self.polls_acked(at, stream, (*first, *last));
        }
        let store = &mut self.boxes[at].store;
        if let Some(name) = store.name_of(stream) {
            store.streams.get_mut(&name).unwrap().acked = ranges;
        }
    }

    fn polls_acked(&mut self, at: usize, stream: u32, (first, last): (u64, u64)) {
        let store = &mut self.boxes[at].store;
        if let Some(name) = store.name_of(stream) {
            let stream = store.streams.get_mut(&name).unwrap();
            stream.acked.insert(first, last);
            let polls: Vec<Stored> = stream.polls.range(first..=last).map(|(_, p)| *p).collect();
            self.ledger.acknowledged(polls);
        }
    }

    fn events_acked(&mut self, at: usize, incarnation: u32, seq: u64) {
        let own = self.boxes[at].store.own.get(&incarnation);
        let own = own.into_iter().flat_map(Log::events);
        for event in own.take(usize::try_from(seq).unwrap()) {
            self.ledger.event_acknowledged(event.id);
        }
    }

    /// The events at the hub must be those of the box, as far as the box still has them.
    fn compare(&mut self, at: usize, incarnation: u32, seq: u64, hub: Chain) {
        let own = self.boxes[at].store.own.get(&incarnation);
        let own = own.and_then(|log| log.chain_at(seq));
        let words = || format!("the hub has other events of box {at}, {incarnation} up to {seq}");
        self.ledger.require(own.is_none_or(|own| own == hub), words);
        self.events_acked(at, incarnation, seq);
    }

    fn apply_down(&mut self, at: usize, first: u64, events: Vec<Event>) {
        let wall = self.wall(at);
        let bug = self.bug == Some(Bug::DownAckBeforeCommit) && self.random.percent(50);
        let node = &mut self.boxes[at];
        let expected = node.store.down.last() + 1;
        self.ledger.require(first == expected, || {
            "the hub's events come out of order".into()
        });
        if bug {
            return;
        }
        for event in events {
            node.clock.observe(event.hlc, wall);
            let event = Rc::new(event);
            let new = node.store.records.add(&event);
            self.ledger.require(new || node.copies, || {
                "an event of the hub came twice".into()
            });
            node.store.down.push(&event);
        }
        let last = node.store.down.last();
        node.down_high = node.down_high.max(last);
        self.note(
            "box {}: holds the hub's events up to {}",
            [n(at), last, 0, 0],
        );
    }
}
