//! The only room that speaks protocol's session API: carries the wishes of both ends' sessions
//! out and tells them what happened, as the shells of the two programs do.
//! Never decides what goes wrong.

mod edge;
mod hub;

use crate::box_store::Name;
use crate::hub_store::Batch;
use crate::network::{Network, Way};
use crate::world::World;
use protocol::id::StreamId;
use protocol::sync::{
    EdgeSession, EdgeStart, EdgeStream, FEATURES, HubSession, Lane, PROTOCOL, PROTOCOL_OLDEST,
    Refusal,
};
use protocol::time::Timestamp;
use protocol::wire::v1::HelloV1;
use protocol::wire::{Frame, FrameReader};
use std::collections::{BTreeMap, VecDeque};

/// One connection with both its ends.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) at: usize,
    pub(crate) edge: Option<EdgeSession>,
    pub(crate) hub: Option<HubSession>,
    pub(crate) network: Network,
    /// The hub's end does nothing.
    pub(crate) hangs: bool,
    edge_readers: BTreeMap<u8, FrameReader>,
    hub_readers: BTreeMap<u8, FrameReader>,
    /// What the hub has not looked at, because it is busy with a commit.
    inbox: VecDeque<(Lane, Frame)>,
    committing: bool,
    batch: Batch,
    frames: Vec<Pending>,
    timeout_at: Option<i64>,
    refused: bool,
}

/// A frame that is being committed, and where its blocks begin.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    lane: Lane,
    blocks: Vec<(Name, u64)>,
}

impl World {
    /// Both ends of a new connection of a box.
    pub(crate) fn open(&mut self, at: usize) -> Box<Connection> {
        let node = &self.boxes[at];
        let store = &node.store;
        let own = store
            .own
            .iter()
            .map(|(incarnation, log)| (*incarnation, log.last()));
        let down = store.down.last();
        let hello = HelloV1 {
            protocol: (
                PROTOCOL_OLDEST,
                if node.newer { PROTOCOL + 1 } else { PROTOCOL },
            ),
            features: FEATURES | if node.newer { 1 << 63 } else { 0 },
            gateway: node.id.0,
            build: "simulated".into(),
            time_us: self.wall(at).0,
            clock: 0,
            catalog_hash: 7,
            incarnation: store.incarnation,
            events: own.collect(),
            down: (down, store.down.chain_at(down).unwrap()),
        };
        // Those that are written now come first.
        let mut streams: Vec<EdgeStream> = store
            .streams
            .iter()
            .map(|(name, stream)| edge_stream(*name, stream.last))
            .collect();
        streams.sort_by_key(|stream| stream.incarnation != store.incarnation);
        let start = EdgeStart {
            hello,
            streams,
            catalog: vec![1],
            contents: vec![],
        };
        let mut hub = HubSession::new(node.id);
        if self.hub.busy {
            hub.refuse(Refusal::Busy, "too much to do", Some(20))
                .unwrap();
        }
        Box::new(Connection {
            at,
            edge: Some(EdgeSession::new(start, Timestamp(self.now)).unwrap()),
            hub: Some(hub),
            network: Network::new(node.line),
            hangs: false,
            edge_readers: BTreeMap::new(),
            hub_readers: BTreeMap::new(),
            inbox: VecDeque::new(),
            committing: false,
            batch: Batch::default(),
            frames: Vec::new(),
            timeout_at: None,
            refused: false,
        })
    }

    /// Bulk bytes that are on the way to the hub, as the box's end counts them.
    pub(crate) fn on_the_way(&self, at: usize) -> u64 {
        let id = self.boxes[at].connection;
        let connection = id.and_then(|id| self.connections.get(&id));
        let edge = connection.and_then(|connection| connection.edge.as_ref());
        edge.map_or(0, EdgeSession::bulk_in_flight)
    }

    /// Whether the hub refused polls of this connection: they are sent again on the next one.
    pub(crate) fn refused(&self, at: usize) -> bool {
        let id = self.boxes[at].connection;
        let connection = id.and_then(|id| self.connections.get(&id));
        connection.is_some_and(|connection| connection.refused)
    }

    fn send(&mut self, connection: &mut Connection, way: Way, lane: Lane, bytes: &[u8]) {
        self.counts.frames += 1;
        connection.network.send(way, lane.number(), bytes);
        let newer = match way {
            Way::Up => self.boxes[connection.at].newer,
            Way::Down => self.hub.newer,
        };
        if newer && self.random.percent(3) {
            let frame = Frame {
                kind: self.random.pick(&[900, 1, 32, 65_535]),
                version: 2,
                body: vec![7; self.random.index(100)],
            };
            connection
                .network
                .send(way, lane.number(), &frame.encode().unwrap());
        }
    }
}

/// The schema of every stream.
const SCHEMA: &[u8] = &[1];

fn edge_stream(name: Name, last: u64) -> EdgeStream {
    EdgeStream {
        incarnation: name.0,
        stream: StreamId(name.1),
        last,
        schema: SCHEMA.into(),
    }
}
