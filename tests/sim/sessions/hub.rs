//! The hub's end of a connection: its shell, as `cloud-hub`'s ingest is.
//! Never acknowledges before the commit, but where a planted bug does.

use super::{Connection, Pending, SCHEMA};
use crate::bugs::Bug;
use crate::hub_store::{Batch, HubGateway};
use crate::network::Way;
use crate::plan::n;
use crate::world::{Happening, SECOND, World};
use protocol::block;
use protocol::id::StreamId;
use protocol::limits::RANGES_PER_HELD_MAX;
use protocol::ranges::RangeSet;
use protocol::sync::{Commit, HelloAnswer, HelloInfo, HubAction, Lane, OwnLost, SessionError};
use protocol::time::Timestamp;
use protocol::wire::schema_hash;
use protocol::wire::v1::{HeldV1, OfferedV1, ReferenceV1};

/// Frames that the hub commits together.
const BATCH_FRAMES_MAX: usize = 64;

impl World {
    pub(crate) fn hub_hears(
        &mut self,
        id: u32,
        connection: &mut Connection,
        lane: u8,
        bytes: &[u8],
    ) {
        if connection.hub.is_none() || connection.hangs {
            return;
        }
        let reader = connection.hub_readers.entry(lane).or_default();
        reader.push(bytes);
        while let Some(frame) = reader.next_frame().unwrap() {
            connection
                .inbox
                .push_back((Lane::from_number(lane).unwrap(), frame));
        }
        self.hub_acts(id, connection);
    }

    /// Does what the hub's end wants, takes in what came meanwhile, commits.
    pub(crate) fn hub_acts(&mut self, id: u32, connection: &mut Connection) {
        while let Some(hub) = connection.hub.as_mut().filter(|_| !connection.committing) {
            let done = match hub.poll_action() {
                Some(HubAction::Close(_)) => {
                    // The box reads the last words and closes.
                    Ok(())
                }
                Some(action) => self.hub_does(id, connection, action),
                None if connection.frames.len() < BATCH_FRAMES_MAX => {
                    let Some((lane, frame)) = connection.inbox.pop_front() else {
                        break;
                    };
                    hub.handle_frame(lane, &frame)
                }
                None => break,
            };
            if let Err(error) = done {
                self.ledger
                    .fail(format!("connection {id}, the hub's end: {error:?}"));
            }
        }
        if connection.hub.is_some() && !connection.committing {
            self.begin_commit(id, connection);
        }
        self.pump(id, connection, Way::Down);
    }

    fn begin_commit(&mut self, id: u32, connection: &mut Connection) {
        let batch = std::mem::take(&mut connection.batch);
        let frames = std::mem::take(&mut connection.frames);
        if frames.is_empty() && batch.schemas.is_empty() {
            return;
        }
        connection.committing = true;
        let mut takes = self
            .random
            .between(self.hub.commit_us / 3, self.hub.commit_us);
        if self.bug == Some(Bug::EventsLate) && !batch.events.is_empty() {
            takes += 10 * SECOND;
        }
        let (at, life) = (connection.at, self.hub.life);
        let batch = Box::new(batch);
        self.after(
            takes,
            Happening::Commit {
                connection: id,
                at,
                life,
                batch,
                frames,
            },
        );
    }

    fn hub_does(
        &mut self,
        id: u32,
        connection: &mut Connection,
        action: HubAction,
    ) -> Result<(), SessionError> {
        let at = connection.at;
        let Some(hub) = &mut connection.hub else {
            return Ok(());
        };
        let gateway = &mut self.hub.gateways[at];
        match action {
            HubAction::Send(lane, bytes) => self.send(connection, Way::Down, lane, &bytes),
            HubAction::Hello(info) => {
                let windows = self.hub.windows;
                return hub.handle_hello_answer(hello_answer(gateway, &info, windows));
            }
            HubAction::Offer(offered, _) => {
                let held = offered.iter().map(|offered| held(gateway, offered));
                return hub.handle_offer_answer(held.collect());
            }
            HubAction::StoreSchema(incarnation, stream, _) => {
                connection.batch.schemas.push((incarnation, stream.0));
            }
            HubAction::StoreCatalog(_) => gateway.catalog = true,
            HubAction::Commit(lane, commit) => {
                connection.frames.push(pending(lane, &commit));
                if self.bug == Some(Bug::AckBeforeCommit) {
                    hub.handle_committed(lane, vec![])?;
                }
                add(&mut connection.batch, commit);
            }
            HubAction::FetchDown { after } => {
                let most = 1 + self.random.index(20);
                return hub.handle_down(gateway.down.after(after, most));
            }
            HubAction::FetchOwn { incarnation, after } => {
                let most = 1 + self.random.index(20);
                let own = gateway.own.get(&incarnation);
                let events = own.map_or_else(Vec::new, |log| log.after(after, most));
                return hub.handle_own(incarnation, events);
            }
            HubAction::DownAcked(seq) => {
                gateway.down_acked = gateway.down_acked.max(seq);
                let held = self.boxes[at].down_high;
                let words = || format!("box {at} held {held} events of the hub, it says {seq}");
                self.ledger.require(seq <= held, words);
            }
            HubAction::Contents(_)
            | HubAction::StoreChunk(_)
            | HubAction::DocumentState(_)
            | HubAction::FetchDocument { .. }
            | HubAction::BundleState(_)
            | HubAction::SignBundle(_)
            | HubAction::FetchBundle { .. }
            | HubAction::CommandResult(_) => {}
            HubAction::Close(_) => self.note("connection {}: refused", [id.into(), 0, 0, 0]),
        }
        Ok(())
    }

    /// A transaction of the hub is through, or has failed.
    pub(crate) fn commit(&mut self, id: u32, at: usize, batch: Batch, frames: &[Pending]) {
        if self.hub.full {
            self.note("connection {}: the hub cannot commit", [id.into(), 0, 0, 0]);
            self.hub_leaves(id);
            return;
        }
        let refuses = !batch.blocks.is_empty() && std::mem::take(&mut self.hub.refuses);
        let taken = self.hub.gateways[at].take(batch, refuses, self.bug);
        let (polls, events) = (n(taken.polls.len()), n(taken.events.len()));
        self.note(
            "hub: {} polls and {} events of box {} committed",
            [polls, events, n(at), 0],
        );
        for stored in taken.polls {
            self.ledger.poll_at_hub(at, stored);
        }
        let wall = self.hub_wall();
        let slow = self.hub.commit_us > SECOND;
        let good_since = if slow {
            self.now
        } else {
            self.boxes[at].good_since
        };
        for event in taken.events {
            self.hub.clock.observe(event.hlc, wall);
            self.ledger.event_at_hub(event.id, good_since, self.now);
        }
        let Some(mut connection) = self.connections.remove(&id) else {
            return;
        };
        connection.committing = false;
        for frame in frames
            .iter()
            .filter(|_| self.bug != Some(Bug::AckBeforeCommit))
        {
            let refused = taken
                .refused
                .iter()
                .filter(|(name, first, _)| frame.blocks.contains(&(*name, *first)));
            let refused = refused.map(|(name, first, last)| {
                (
                    name.0,
                    StreamId(name.1),
                    *first,
                    *last,
                    "not now".to_owned(),
                )
            });
            if let Some(hub) = &mut connection.hub {
                hub.handle_committed(frame.lane, refused.collect()).unwrap();
            }
        }
        self.hub_acts(id, &mut connection);
        self.keep(id, connection);
    }

    /// The hub lets boxes have less or more on the way.
    pub(crate) fn set_window(&mut self, bytes: u32) {
        for (id, mut connection) in std::mem::take(&mut self.connections) {
            if let Some(hub) = connection.hub.as_mut().filter(|_| !connection.hangs) {
                for lane in [Lane::Events, Lane::Backlog] {
                    hub.handle_window(lane, bytes).unwrap();
                }
            }
            self.hub_acts(id, &mut connection);
            self.connections.insert(id, connection);
        }
    }

    /// The hub wrote an event for a box.
    pub(crate) fn tell_down(&mut self, at: usize) {
        let last = self.hub.gateways[at].down.last();
        let ids: Vec<u32> = self
            .connections
            .iter()
            .filter(|(_, c)| c.at == at)
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            let Some(mut connection) = self.connections.remove(&id) else {
                continue;
            };
            if let Some(hub) = connection.hub.as_mut().filter(|_| !connection.hangs) {
                hub.handle_down_available(last);
            }
            self.hub_acts(id, &mut connection);
            self.keep(id, connection);
        }
    }
}
/// What the hub's store knows of a box that said hello.
fn hello_answer(
    gateway: &HubGateway,
    info: &HelloInfo,
    windows: (u32, u32, u32, u32),
) -> HelloAnswer {
    let hello = &info.hello;
    let events = hello.events.iter().map(|(incarnation, _)| {
        let mark = gateway.events_mark(*incarnation);
        let log = gateway.own.get(incarnation);
        let chain = log.and_then(|log| log.chain_at(mark)).unwrap_or_default();
        (*incarnation, mark, chain)
    });
    let held_by_box = |incarnation: u32| {
        let mut own = hello.events.iter();
        own.find(|own| own.0 == incarnation).map_or(0, |own| own.1)
    };
    let lost = gateway.own.iter().map(|(incarnation, log)| OwnLost {
        incarnation: *incarnation,
        after: held_by_box(*incarnation),
        last: log.last(),
    });
    let (down, chain) = hello.down;
    let same = gateway.down.chain_at(down) == Some(chain);
    HelloAnswer {
        now: Timestamp(0),
        events: events.collect(),
        lost: lost.filter(|lost| lost.after < lost.last).collect(),
        down_last: gateway.down.last(),
        down_after: if same { down } else { 0 },
        want_catalog: !gateway.catalog,
        windows,
        reference: reference(),
    }
}

/// What the hub's store holds of a stream, or knows to be given up.
fn held(gateway: &HubGateway, offered: &OfferedV1) -> HeldV1 {
    debug_assert_eq!(offered.schema, schema_hash(SCHEMA));
    let known = gateway.streams.get(&(offered.incarnation, offered.stream));
    let mut ranges = known.map_or_else(RangeSet::new, |stream| stream.received.clone());
    for (first, last) in known.iter().flat_map(|stream| stream.lost.pairs()) {
        ranges.insert(*first, *last);
    }
    HeldV1 {
        incarnation: offered.incarnation,
        stream: offered.stream,
        want_schema: known.is_none(),
        ranges: ranges
            .pairs()
            .iter()
            .take(RANGES_PER_HELD_MAX)
            .copied()
            .collect(),
    }
}

fn pending(lane: Lane, commit: &Commit) -> Pending {
    let blocks = match commit {
        Commit::Blocks {
            incarnation,
            blocks,
        } => blocks
            .iter()
            .map(|bytes| block::header(bytes).unwrap())
            .map(|header| ((*incarnation, header.stream.0), header.first_seq))
            .collect(),
        _ => Vec::new(),
    };
    Pending { lane, blocks }
}

fn add(batch: &mut Batch, commit: Commit) {
    match commit {
        Commit::Events { events, .. } => batch.events.extend(events),
        Commit::Blocks {
            incarnation,
            blocks,
        } => {
            batch
                .blocks
                .extend(blocks.into_iter().map(|bytes| (incarnation, bytes)));
        }
        Commit::Gap {
            incarnation,
            stream,
            first_seq,
            last_seq,
        } => {
            batch
                .lost
                .push(((incarnation, stream.0), first_seq, last_seq));
        }
    }
}

fn reference() -> ReferenceV1 {
    ReferenceV1 {
        gateway_name: "Boiler house".into(),
        gateway_code: "B".into(),
        site: uuid::Uuid::nil(),
        site_name: "Linz".into(),
        people: vec![],
    }
}
