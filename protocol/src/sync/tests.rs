//! Both ends against each other over a link that is cut at random, with stores that forget
//! nothing: whatever happens, the hub ends with each fact once.

mod bundle;
mod contents;
mod down;

use super::*;
use crate::block;
use crate::event::{Actor, Body, Event, GatewayEvent, RecordKind, RecordRef};
use crate::id::{EventId, GatewayId, Origin, SiteId, StreamId};
use crate::limits::LANE_IN_FLIGHT_BYTES_MAX;
use crate::ranges::RangeSet;
use crate::reading::{Cell, Poll, Quality, Raw};
use crate::time::{ClockState, Hlc, Timestamp};
use crate::wire::v1::{
    AckV1, Chain, EventsV1, GapV1, HeldV1, HelloV1, Message, OwnEventsV1, ReceivedV1, ReferenceV1,
    WelcomeV1, WindowV1,
};
use crate::wire::{FrameReader, encode_event};
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use uuid::Uuid;

const GATEWAY: Uuid = Uuid::from_u128(7);

fn poll(n: u64) -> Poll {
    let value = Raw::Int(i64::try_from(n).unwrap());
    Poll {
        time: Timestamp(i64::try_from(n).unwrap() * 1_000_000),
        clock: ClockState::Synchronised,
        cells: vec![Cell::Value(value, Quality::Good)],
    }
}

fn event(seq: u64) -> Event {
    event_of(1, seq)
}

fn event_of(incarnation: u32, seq: u64) -> Event {
    Event {
        id: EventId(Uuid::from_u128(
            u128::from(incarnation) << 64 | u128::from(seq),
        )),
        origin: Origin::Gateway(GatewayId(GATEWAY)),
        incarnation,
        seq,
        hlc: Hlc {
            wall_ms: seq,
            counter: 0,
            node: 1,
        },
        based_on: Hlc::default(),
        time: Timestamp(0),
        clock: ClockState::Synchronised,
        actor: Actor::System("test".into()),
        record: RecordRef {
            kind: RecordKind::Gateway,
            id: GATEWAY,
        },
        body: Body::Gateway(GatewayEvent::Started {
            version: "1".into(),
        }),
    }
}

/// The box's store: all it committed. Its clone is a copy of its files.
#[derive(Clone, Default)]
struct Box_ {
    incarnation: u32,
    /// Polls and the incarnation that wrote them.
    polls: BTreeMap<StreamId, (u32, Vec<Poll>)>,
    gone: BTreeMap<StreamId, u64>,
    events: BTreeMap<u32, u64>,
    down: Vec<Event>,
    down_chain: Chain,
    acked: BTreeMap<StreamId, RangeSet>,
}

/// Streams of all incarnations.
type Streams<T> = BTreeMap<(u32, StreamId), T>;

/// The hub's store.
#[derive(Default)]
struct Hub {
    polls: Streams<BTreeMap<u64, Poll>>,
    received: Streams<RangeSet>,
    gaps: Streams<RangeSet>,
    events: BTreeMap<u32, Vec<Event>>,
    down: u64,
    down_acked: u64,
}

impl Box_ {
    /// The store is opened, as it is or as an older copy of it: a new incarnation begins.
    fn open(&mut self, incarnation: u32) {
        self.incarnation = incarnation;
    }

    /// The stream that is written now for a poll group.
    fn stream(&mut self, group: u32) -> StreamId {
        let stream = StreamId(self.incarnation * 10 + group);
        let incarnation = self.incarnation;
        self.polls.entry(stream).or_insert((incarnation, vec![]));
        stream
    }

    fn of_stream(&self, stream: StreamId) -> EdgeStream {
        let (incarnation, polls) = &self.polls[&stream];
        EdgeStream {
            incarnation: *incarnation,
            stream,
            last: polls.len() as u64,
            schema: Arc::from([1]),
        }
    }
}

fn down_event(n: u64) -> Vec<u8> {
    encode_event(&event(1_000 + n)).unwrap()
}

/// The chain over the first `n` events of the hub.
fn down_chain(n: u64) -> Chain {
    (1..=n).fold(Chain::default(), |chain, n| {
        crate::wire::chain(&chain, &down_event(n))
    })
}

struct Link {
    edge: EdgeSession,
    hub: HubSession,
    up: Wire,
    down: Wire,
}

/// What happens next on a link.
enum Turn {
    OfBox(EdgeAction),
    OfHub(HubAction),
    /// A frame has come to the other side.
    Arrived,
}

impl Link {
    fn begin(start: EdgeStart) -> Self {
        Self {
            edge: EdgeSession::new(start, Timestamp(0)).unwrap(),
            hub: HubSession::new(GatewayId(GATEWAY)),
            up: Wire::default(),
            down: Wire::default(),
        }
    }

    /// Of a box that has no events and no readings.
    fn of_empty_box(features: u64) -> Self {
        let hello = HelloV1 {
            protocol: (1, 1),
            features,
            gateway: GATEWAY,
            build: "test".into(),
            time_us: 0,
            clock: 0,
            catalog_hash: 0,
            incarnation: 1,
            events: vec![],
            down: (0, Chain::default()),
        };
        Self::begin(EdgeStart {
            hello,
            streams: vec![],
            contents: vec![],
            catalog: vec![1],
        })
    }

    /// `None` when nothing is left to do.
    fn next(&mut self) -> Option<Turn> {
        if let Some(action) = self.edge.poll_action() {
            return Some(Turn::OfBox(action));
        }
        if let Some(action) = self.hub.poll_action() {
            return Some(Turn::OfHub(action));
        }
        if let Some((lane, bytes)) = self.up.pop() {
            let frame = deliver(&mut FrameReader::default(), &bytes);
            self.hub.handle_frame(lane, &frame).unwrap();
        } else {
            let (lane, bytes) = self.down.pop()?;
            let frame = deliver(&mut FrameReader::default(), &bytes);
            self.edge.handle_frame(lane, &frame, Timestamp(0)).unwrap();
        }
        Some(Turn::Arrived)
    }
}

/// Frames on the way: in order on each lane, lanes overtake each other.
#[derive(Default)]
struct Wire {
    lanes: BTreeMap<Lane, VecDeque<Vec<u8>>>,
    turn: usize,
}

impl Wire {
    fn push(&mut self, lane: Lane, bytes: Vec<u8>) {
        self.lanes.entry(lane).or_default().push_back(bytes);
    }

    fn pop(&mut self) -> Option<(Lane, Vec<u8>)> {
        self.lanes.retain(|_, frames| !frames.is_empty());
        self.turn = self
            .turn
            .wrapping_mul(6_364_136_223)
            .wrapping_add(1_442_695);
        let at = (self.turn >> 16).checked_rem(self.lanes.len())?;
        let (lane, frames) = self.lanes.iter_mut().nth(at)?;
        Some((*lane, frames.pop_front()?))
    }
}

fn connect(store: &Box_) -> Link {
    let hello = HelloV1 {
        protocol: (1, 1),
        features: 0,
        gateway: GATEWAY,
        build: "test".into(),
        time_us: 0,
        clock: 0,
        catalog_hash: 0,
        incarnation: store.incarnation,
        events: store.events.iter().map(|(i, last)| (*i, *last)).collect(),
        down: (store.down.len() as u64, store.down_chain),
    };
    let streams = store.polls.keys().rev();
    let start = EdgeStart {
        hello,
        streams: streams.map(|stream| store.of_stream(*stream)).collect(),
        catalog: vec![1],
        contents: vec![],
    };
    Link::begin(start)
}

fn deliver(reader: &mut FrameReader, bytes: &[u8]) -> crate::wire::Frame {
    reader.push(bytes);
    reader.next_frame().unwrap().unwrap()
}

/// One step of the link; `false` when nothing is left to do.
fn step(link: &mut Link, store: &mut Box_, hub: &mut Hub) -> bool {
    match link.next() {
        Some(Turn::OfBox(action)) => edge_does(link, store, action),
        Some(Turn::OfHub(action)) => hub_does(link, hub, action),
        Some(Turn::Arrived) => {}
        None => return false,
    }
    true
}

fn edge_does(link: &mut Link, store: &mut Box_, action: EdgeAction) {
    match action {
        EdgeAction::Send(lane, bytes) => link.up.push(lane, bytes),
        EdgeAction::Fetch(Fetch::Events { incarnation, after }) => {
            let events = (after + 1..=store.events[&incarnation])
                .map(|n| (n, encode_event(&event_of(incarnation, n)).unwrap()))
                .take(3);
            let fetched = Fetched::Events(incarnation, events.collect());
            link.edge
                .handle_fetched(Lane::Events, fetched, Timestamp(0))
                .unwrap();
        }
        EdgeAction::Fetch(Fetch::Polls { lane, ranges, .. }) => {
            let fetched = ranges
                .into_iter()
                .map(|range| (range, read(store, range)))
                .collect();
            link.edge
                .handle_fetched(lane, Fetched::Polls(fetched), Timestamp(0))
                .unwrap();
        }
        EdgeAction::PollsAcked(stream, first, last) => {
            store.acked.entry(stream).or_default().insert(first, last);
        }
        EdgeAction::ResetDown => {
            store.down.clear();
            store.down_chain = Chain::default();
        }
        EdgeAction::ApplyDown(first, events) => {
            assert_eq!(first, store.down.len() as u64 + 1);
            for event in &events {
                let bytes = encode_event(event).unwrap();
                store.down_chain = crate::wire::chain(&store.down_chain, &bytes);
            }
            store.down.extend(events);
            link.edge
                .handle_down_committed(store.down.len() as u64)
                .unwrap();
        }
        EdgeAction::ApplyOwn(incarnation, first, events) => {
            let last = store.events.entry(incarnation).or_default();
            assert!(first <= *last + 1);
            *last = (*last).max(first + events.len() as u64 - 1);
            link.edge.handle_own_committed(incarnation, *last).unwrap();
        }
        _ => {}
    }
}

fn read(store: &Box_, range: FetchRange) -> Vec<Vec<u8>> {
    let gone = store.gone.get(&range.stream).copied().unwrap_or(0);
    let first = range.first.max(gone + 1);
    let polls: Vec<Poll> = (first..=range.last).map(poll).take(5).collect();
    if polls.is_empty() {
        vec![]
    } else {
        vec![block::encode(range.stream, first, &polls).unwrap()]
    }
}

fn hub_does(link: &mut Link, hub: &mut Hub, action: HubAction) {
    match action {
        HubAction::Send(lane, bytes) => link.down.push(lane, bytes),
        HubAction::Hello(hello) => {
            let answer = hello_answer(hub, &hello);
            link.hub.handle_hello_answer(answer).unwrap();
        }
        HubAction::Offer(offered, _) => {
            let held = offered.iter().map(|offered| {
                let name = (offered.incarnation, StreamId(offered.stream));
                let received = hub.received.get(&name);
                HeldV1 {
                    incarnation: offered.incarnation,
                    stream: offered.stream,
                    want_schema: received.is_none(),
                    ranges: received.map_or(vec![], |ranges| ranges.pairs().to_vec()),
                }
            });
            link.hub.handle_offer_answer(held.collect()).unwrap();
        }
        HubAction::FetchOwn { incarnation, after } => {
            let events = hub.events[&incarnation]
                .iter()
                .skip(usize::try_from(after).unwrap());
            let events = events.map(|event| (event.seq, encode_event(event).unwrap()));
            let events = events.take(2).collect();
            link.hub.handle_own(incarnation, events).unwrap();
        }
        HubAction::Commit(lane, commit) => {
            take(hub, commit);
            link.hub.handle_committed(lane, vec![]).unwrap();
        }
        HubAction::FetchDown { after } => {
            let events = (after + 1..=hub.down).map(|n| (n, down_event(n)));
            link.hub.handle_down(events.take(2).collect()).unwrap();
        }
        HubAction::StoreSchema(incarnation, stream, _) => {
            hub.received.entry((incarnation, stream)).or_default();
        }
        HubAction::DownAcked(seq) => hub.down_acked = hub.down_acked.max(seq),
        _ => {}
    }
}

fn hello_answer(hub: &Hub, hello: &HelloInfo) -> HelloAnswer {
    let hello = &hello.hello;
    let mark = |incarnation| hub.events.get(incarnation).map_or(0, |e| e.len() as u64);
    let mut lost = Vec::new();
    for incarnation in hub.events.keys() {
        let known = hello.events.iter().find(|(known, _)| known == incarnation);
        let after = known.map_or(0, |(_, last)| *last);
        let last = mark(incarnation);
        if last > after {
            lost.push(OwnLost {
                incarnation: *incarnation,
                after,
                last,
            });
        }
    }
    let (down, chain) = hello.down;
    let same = down <= hub.down && chain == down_chain(down);
    HelloAnswer {
        now: Timestamp(0),
        events: hello
            .events
            .iter()
            .map(|(incarnation, _)| (*incarnation, mark(incarnation), Chain::default()))
            .collect(),
        lost,
        down_last: hub.down,
        down_after: if same { down } else { 0 },
        want_catalog: true,
        windows: (1 << 18, 1 << 18, 1 << 18, 0),
        reference: ReferenceV1 {
            gateway_name: "g".into(),
            gateway_code: "G".into(),
            site: SiteId(GATEWAY).0,
            site_name: "s".into(),
            people: vec![],
        },
    }
}

fn take(hub: &mut Hub, commit: Commit) {
    match commit {
        Commit::Events {
            incarnation,
            first_seq,
            events,
        } => {
            let held = hub.events.entry(incarnation).or_default();
            for (at, event) in (first_seq..).zip(events) {
                if at == held.len() as u64 + 1 {
                    held.push(event);
                }
            }
        }
        Commit::Blocks {
            incarnation,
            blocks,
        } => {
            for bytes in blocks {
                let block = block::decode(&bytes).unwrap();
                let name = (incarnation, block.header.stream);
                let received = hub.received.get_mut(&name);
                let received = received.expect("a block came before its schema");
                let polls = hub.polls.entry(name).or_default();
                for (seq, poll) in (block.header.first_seq..).zip(block.polls) {
                    polls.insert(seq, poll);
                    received.insert(seq, seq);
                }
            }
        }
        Commit::Gap {
            incarnation,
            stream,
            first_seq,
            last_seq,
        } => {
            let name = (incarnation, stream);
            for sets in [&mut hub.received, &mut hub.gaps] {
                sets.entry(name).or_default().insert(first_seq, last_seq);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn each_fact_arrives_once_whatever_the_cuts(
        script in prop::collection::vec((0_u8..11, 1_usize..40), 1..40),
        gone in 0_u64..6,
    ) {
        let mut store = Box_::default();
        let mut hub = Hub::default();
        let mut link: Option<Link> = None;
        let mut incarnation = 1;
        store.open(incarnation);
        let mut copy = store.clone();
        for (what, steps) in script {
            match what {
                0 | 1 => commit(&mut store, &mut link, u32::from(what), steps),
                2 => {
                    let last = store.events.entry(store.incarnation).or_default();
                    *last += steps as u64;
                    if let Some(link) = &mut link {
                        link.edge.handle_events_committed(store.incarnation, *last, Timestamp(0));
                    }
                }
                3 => {
                    hub.down += steps as u64;
                    if let Some(link) = &mut link {
                        link.hub.handle_down_available(hub.down);
                    }
                }
                4 => link = None,
                5 => {
                    let stream = store.stream(1);
                    store.gone.insert(stream, gone);
                }
                6 => copy = store.clone(),
                7 | 8 => {
                    // Opened again, as it is or as an older copy.
                    link = None;
                    incarnation += 1;
                    if what == 8 {
                        store = copy.clone();
                    }
                    store.open(incarnation);
                }
                _ => {
                    let link = link.get_or_insert_with(|| connect(&store));
                    for _ in 0..steps {
                        step(link, &mut store, &mut hub);
                    }
                }
            }
        }
        let mut link = connect(&store);
        while step(&mut link, &mut store, &mut hub) {}
        for (stream, (incarnation, polls)) in &store.polls {
            let name = (*incarnation, *stream);
            let held = hub.polls.get(&name).cloned().unwrap_or_default();
            let gaps = hub.gaps.get(&name).cloned().unwrap_or_default();
            for (seq, expected) in (1..).zip(polls) {
                prop_assert!(held.get(&seq) == Some(expected) || gaps.contains(seq), "{stream:?} {seq}");
                prop_assert!(!gaps.contains(seq) || seq <= gone);
            }
            prop_assert!(hub.received[&name].contiguous_to() >= polls.len() as u64);
        }
        // The hub has all events of the box, and a box that was restored has its own back.
        let held = |events: &Vec<Event>| events.len() as u64;
        let at_hub: BTreeMap<u32, u64> = hub.events.iter().map(|(i, e)| (*i, held(e))).collect();
        prop_assert_eq!(&at_hub, &store.events);
        for events in hub.events.values() {
            let seqs: Vec<u64> = events.iter().map(|event| event.seq).collect();
            prop_assert_eq!(seqs, (1..=held(events)).collect::<Vec<_>>());
        }
        prop_assert_eq!(store.down.len() as u64, hub.down);
        prop_assert_eq!(store.down_chain, down_chain(hub.down));
        prop_assert_eq!(hub.down_acked, hub.down);
    }
}

/// The box commits polls of a group.
fn commit(store: &mut Box_, link: &mut Option<Link>, group: u32, count: usize) {
    let stream = store.stream(group);
    let polls = &mut store.polls.get_mut(&stream).unwrap().1;
    let new = polls.is_empty();
    for _ in 0..count {
        polls.push(poll(polls.len() as u64 + 1));
    }
    let last = polls.len() as u64;
    if let Some(link) = link {
        if new {
            link.edge
                .handle_new_stream(store.of_stream(stream))
                .unwrap();
        }
        link.edge.handle_committed(stream, last, Timestamp(0));
    }
}

#[test]
fn another_gateways_certificate_is_refused_with_words() {
    let store = Box_::default();
    let mut link = connect(&store);
    link.hub = HubSession::new(GatewayId(Uuid::from_u128(8)));
    let EdgeAction::Send(lane, bytes) = link.edge.poll_action().unwrap() else {
        panic!()
    };
    link.hub
        .handle_frame(lane, &deliver(&mut FrameReader::default(), &bytes))
        .unwrap();
    let HubAction::Send(lane, bytes) = link.hub.poll_action().unwrap() else {
        panic!()
    };
    assert!(matches!(link.hub.poll_action(), Some(HubAction::Close(_))));
    let frame = deliver(&mut FrameReader::default(), &bytes);
    let error = link
        .edge
        .handle_frame(lane, &frame, Timestamp(0))
        .unwrap_err();
    assert!(
        error.to_string().contains("belongs to another gateway"),
        "{error}"
    );
}

#[test]
fn silence_ends_the_session() {
    let store = Box_::default();
    let mut link = connect(&store);
    let deadline = link.edge.poll_timeout().unwrap();
    assert!(link.edge.handle_timeout(Timestamp(deadline.0 - 1)).is_ok());
    assert!(matches!(
        link.edge.handle_timeout(deadline),
        Err(SessionError::Silent { .. })
    ));
}

/// A session that the hub has welcomed, with 5 events and 100 polls of stream 1, of which the
/// hub holds 10.
fn welcomed() -> EdgeSession {
    let mut store = Box_ {
        events: [(1, 5)].into(),
        incarnation: 1,
        ..Box_::default()
    };
    let polls = (1..=100).map(poll).collect();
    store.polls.insert(StreamId(1), (1, polls));
    let mut edge = connect(&store).edge;
    give(&mut edge, Lane::Control, &welcome(0)).unwrap();
    let held = HeldV1 {
        incarnation: 1,
        stream: 1,
        want_schema: false,
        ranges: vec![(1, 10)],
    };
    let received = Message::Received(ReceivedV1 {
        streams: vec![held],
    });
    give(&mut edge, Lane::Control, &received).unwrap();
    edge
}

fn welcome(events_mark: u64) -> Message {
    Message::Welcome(WelcomeV1 {
        protocol: PROTOCOL,
        features: FEATURES,
        time_us: 0,
        events: vec![(1, events_mark, Chain::default())],
        down_after: 0,
        want_catalog: false,
        windows: (1 << 18, 1 << 18, 1 << 18, 1 << 18),
    })
}

fn give(edge: &mut EdgeSession, lane: Lane, message: &Message) -> Result<(), SessionError> {
    let bytes = message.encode().unwrap();
    let frame = deliver(&mut FrameReader::default(), &bytes);
    edge.handle_frame(lane, &frame, Timestamp(0))
}

fn ack(lane: Lane, frames: u64) -> Message {
    Message::Ack(AckV1 {
        lane: lane.number(),
        frames,
        refused: vec![],
    })
}

fn actions(edge: &mut EdgeSession) -> Vec<EdgeAction> {
    std::iter::from_fn(|| edge.poll_action()).collect()
}

fn fetches(edge: &mut EdgeSession) -> Vec<Fetch> {
    let only = |action| match action {
        EdgeAction::Fetch(fetch) => Some(fetch),
        _ => None,
    };
    actions(edge).into_iter().filter_map(only).collect()
}

fn bring(edge: &mut EdgeSession, lane: Lane, range: (u64, u64), held: (u64, u64)) {
    let stream = StreamId(1);
    let polls: Vec<Poll> = (held.0..=held.1).map(poll).collect();
    let block = block::encode(stream, held.0, &polls).unwrap();
    let range = FetchRange {
        stream,
        first: range.0,
        last: range.1,
    };
    let fetched = Fetched::Polls(vec![(range, vec![block])]);
    edge.handle_fetched(lane, fetched, Timestamp(0)).unwrap();
}

#[test]
fn events_go_first_then_the_newest_polls_then_the_oldest() {
    let fetches = fetches(&mut welcomed());
    let [
        Fetch::Events {
            incarnation: 1,
            after: 0,
        },
        Fetch::Polls {
            lane: Lane::Live,
            ranges: live,
            ..
        },
        Fetch::Polls {
            lane: Lane::Backlog,
            ranges: old,
            ..
        },
    ] = fetches.as_slice()
    else {
        panic!("{fetches:?}")
    };
    assert_eq!((live[0].first, live[0].last), (97, 100));
    assert_eq!((old[0].first, old[0].last), (11, 96));
}

#[test]
fn an_acknowledgement_of_what_was_not_sent_ends_the_session() {
    for (lane, frames) in [(Lane::Live, 1), (Lane::Events, 9), (Lane::Control, 1)] {
        let error = give(&mut welcomed(), Lane::Control, &ack(lane, frames)).unwrap_err();
        assert!(matches!(error, SessionError::Unexpected { .. }), "{error}");
    }
}

#[test]
fn an_acknowledgement_counts_once_and_an_older_one_changes_nothing() {
    let mut edge = welcomed();
    bring(&mut edge, Lane::Live, (97, 100), (97, 100));
    actions(&mut edge);
    give(&mut edge, Lane::Control, &ack(Lane::Live, 1)).unwrap();
    let acked = EdgeAction::PollsAcked(StreamId(1), 97, 100);
    assert_eq!(actions(&mut edge), [acked]);
    for frames in [1, 0] {
        give(&mut edge, Lane::Control, &ack(Lane::Live, frames)).unwrap();
        assert_eq!(actions(&mut edge), []);
    }
}

#[test]
fn refused_polls_are_reported_and_never_count_as_acknowledged() {
    let mut edge = welcomed();
    bring(&mut edge, Lane::Live, (97, 100), (97, 100));
    actions(&mut edge);
    let message = Message::Ack(AckV1 {
        lane: Lane::Live.number(),
        frames: 1,
        refused: vec![(1, 1, 98, 99, "damaged".into())],
    });
    give(&mut edge, Lane::Control, &message).unwrap();
    let stream = StreamId(1);
    let expected = [
        EdgeAction::PollsRefused(stream, 98, 99, "damaged".into()),
        EdgeAction::PollsAcked(stream, 97, 97),
        EdgeAction::PollsAcked(stream, 100, 100),
    ];
    assert_eq!(actions(&mut edge), expected);
}

#[test]
fn a_full_window_stops_reading_and_an_acknowledgement_goes_on() {
    let mut edge = welcomed();
    actions(&mut edge);
    let large = vec![0; LANE_IN_FLIGHT_BYTES_MAX];
    let fetched = Fetched::Events(1, vec![(1, large)]);
    edge.handle_fetched(Lane::Events, fetched, Timestamp(0))
        .unwrap();
    edge.handle_events_committed(1, 6, Timestamp(0));
    assert_eq!(fetches(&mut edge), []);
    give(&mut edge, Lane::Control, &ack(Lane::Events, 1)).unwrap();
    assert_eq!(
        fetches(&mut edge),
        [Fetch::Events {
            incarnation: 1,
            after: 1
        }]
    );
}

#[test]
fn one_read_of_the_store_at_a_time_per_lane() {
    let mut edge = welcomed();
    actions(&mut edge);
    edge.handle_events_committed(1, 9, Timestamp(0));
    edge.handle_committed(StreamId(1), 101, Timestamp(0));
    assert_eq!(fetches(&mut edge), []);
}

#[test]
fn polls_that_the_store_no_longer_has_are_said_in_a_gap() {
    let mut edge = welcomed();
    actions(&mut edge);
    bring(&mut edge, Lane::Backlog, (11, 96), (50, 96));
    let mut sent = Vec::new();
    for action in actions(&mut edge) {
        if let EdgeAction::Send(Lane::Backlog, bytes) = action {
            let frame = deliver(&mut FrameReader::default(), &bytes);
            sent.push(Message::decode(&frame).unwrap());
        }
    }
    let [Message::Gap(gap), Message::Blocks(_)] = sent.as_slice() else {
        panic!("{sent:?}")
    };
    assert_eq!((gap.stream, gap.first_seq, gap.last_seq), (1, 11, 49));
}

fn down(first_seq: u64, count: u64) -> Message {
    Message::Events(EventsV1 {
        incarnation: 0,
        first_seq,
        events: (first_seq..first_seq + count)
            .map(|n| encode_event(&event(n)).unwrap())
            .collect(),
    })
}

#[test]
fn a_hole_in_events_ends_the_session() {
    let mut edge = welcomed();
    let hole = Err(SessionError::Hole {
        expected: 1,
        got: 2,
    });
    assert_eq!(give(&mut edge, Lane::Events, &down(2, 1)), hole);
    let skipped = Fetched::Events(1, vec![(2, vec![])]);
    let error = edge.handle_fetched(Lane::Events, skipped, Timestamp(0));
    assert_eq!(error, hole);
}

#[test]
fn events_of_the_hub_that_are_held_already_are_passed_over() {
    let mut edge = welcomed();
    for message in [down(1, 2), down(1, 3), down(1, 3), down(3, 1)] {
        give(&mut edge, Lane::Events, &message).unwrap();
    }
    let mut applied = Vec::new();
    for action in actions(&mut edge) {
        if let EdgeAction::ApplyDown(first, events) = action {
            applied.push((first, events.len()));
        }
    }
    assert_eq!(applied, [(1, 2), (3, 1)]);
}

#[test]
fn messages_of_a_newer_build_are_skipped() {
    let mut edge = welcomed();
    actions(&mut edge);
    let mut hub = HubSession::new(GatewayId(GATEWAY));
    for (kind, version) in [(900, 1), (1, 2)] {
        let frame = crate::wire::Frame {
            kind,
            version,
            body: vec![1, 2, 3],
        };
        for lane in Lane::ALL {
            edge.handle_frame(lane, &frame, Timestamp(0)).unwrap();
            hub.handle_frame(lane, &frame).unwrap();
        }
    }
    assert_eq!(actions(&mut edge), []);
    assert_eq!(hub.poll_action(), None);
}

#[test]
fn a_message_on_a_wrong_lane_or_too_early_ends_the_session() {
    let error = give(&mut welcomed(), Lane::Live, &ack(Lane::Live, 0)).unwrap_err();
    assert!(matches!(error, SessionError::Unexpected { lane: 3, .. }));
    let mut hub = HubSession::new(GatewayId(GATEWAY));
    let gap = Message::Gap(GapV1 {
        incarnation: 1,
        stream: 1,
        first_seq: 1,
        last_seq: 1,
    });
    let frame = deliver(&mut FrameReader::default(), &gap.encode().unwrap());
    let error = hub.handle_frame(Lane::Live, &frame).unwrap_err();
    assert!(matches!(error, SessionError::Unexpected { .. }));
}

#[test]
fn a_missing_acknowledgement_ends_the_session_and_one_in_time_does_not() {
    let mut edge = welcomed();
    bring(&mut edge, Lane::Live, (97, 100), (97, 100));
    let deadline = edge.poll_timeout().unwrap();
    assert!(matches!(
        edge.handle_timeout(deadline),
        Err(SessionError::Silent {
            what: "acknowledgement",
            ..
        })
    ));
    give(&mut edge, Lane::Control, &ack(Lane::Live, 1)).unwrap();
    assert_eq!(edge.poll_timeout(), None);
    assert_eq!(edge.handle_timeout(deadline), Ok(()));
}

#[test]
fn a_box_whose_store_is_an_older_copy_gets_its_events_back() {
    let mut edge = welcomed();
    actions(&mut edge);
    let events = (6..=7).map(|n| encode_event(&event(n)).unwrap()).collect();
    let message = Message::OwnEvents(OwnEventsV1 {
        incarnation: 1,
        first_seq: 6,
        events,
    });
    give(&mut edge, Lane::Events, &message).unwrap();
    let applied = EdgeAction::ApplyOwn(1, 6, vec![event(6), event(7)]);
    assert_eq!(actions(&mut edge), [applied]);
}

/// A hub that has welcomed a box without anything.
fn welcoming() -> HubSession {
    let mut hub = HubSession::new(GatewayId(GATEWAY));
    let EdgeAction::Send(_, hello) = connect(&Box_::default()).edge.poll_action().unwrap() else {
        panic!()
    };
    hub.handle_frame(Lane::Control, &deliver(&mut FrameReader::default(), &hello))
        .unwrap();
    let Some(HubAction::Hello(info)) = hub.poll_action() else {
        panic!()
    };
    hub.handle_hello_answer(hello_answer(&Hub::default(), &info))
        .unwrap();
    hub
}

#[test]
fn a_long_frame_of_the_backlog_goes_in_pieces_and_arrives_whole() {
    let mut edge = welcomed();
    actions(&mut edge);
    let noise = |n: u64| Poll {
        cells: vec![Cell::Value(
            Raw::Int(
                i64::try_from(n)
                    .unwrap()
                    .wrapping_mul(0x1234_5678_9ABC_DEF1)
                    .rotate_left(u32::try_from(n).unwrap()),
            ),
            Quality::Good,
        )],
        ..poll(n)
    };
    let polls: Vec<Poll> = (11..=96).cycle().take(1_000).map(noise).collect();
    let range = FetchRange {
        stream: StreamId(1),
        first: 11,
        last: 96,
    };
    let block = block::encode(StreamId(1), 11, &polls).unwrap();
    let fetched = Fetched::Polls(vec![(range, vec![block.clone()])]);
    edge.handle_fetched(Lane::Backlog, fetched, Timestamp(0))
        .unwrap();
    let mut hub = welcoming();
    let mut taken = Vec::new();
    let (mut pieces, mut first) = (0, 0);
    for round in 1..1_000 {
        for action in actions(&mut edge) {
            if let EdgeAction::Send(Lane::Backlog, bytes) = action {
                pieces += 1;
                if round == 1 {
                    first = edge.bulk_in_flight();
                }
                let frame = deliver(&mut FrameReader::default(), &bytes);
                hub.handle_frame(Lane::Backlog, &frame).unwrap();
            }
        }
        let now = Timestamp(round * 100_000);
        while let Some(action) = hub.poll_action() {
            match action {
                HubAction::Commit(lane, Commit::Blocks { blocks, .. }) => {
                    taken.extend(blocks);
                    hub.handle_committed(lane, vec![]).unwrap();
                }
                HubAction::Send(Lane::Control, bytes) => {
                    let frame = deliver(&mut FrameReader::default(), &bytes);
                    if matches!(Message::decode(&frame), Ok(Message::Ack(_))) {
                        edge.handle_frame(Lane::Control, &frame, now).unwrap();
                    }
                }
                _ => {}
            }
        }
    }
    assert_eq!(taken, [block]);
    assert!(pieces > 5, "{pieces} pieces");
    assert!(
        first < 6_500,
        "{first} bytes on the way before anything came back"
    );
}

#[test]
fn the_hub_lowers_what_may_be_on_the_way() {
    let mut edge = welcomed();
    actions(&mut edge);
    let window = WindowV1 { lane: 1, bytes: 1 };
    give(&mut edge, Lane::Control, &Message::Window(window)).unwrap();
    let events = Fetched::Events(1, vec![(1, vec![0; 10])]);
    edge.handle_fetched(Lane::Events, events, Timestamp(0))
        .unwrap();
    assert_eq!(fetches(&mut edge), []);
    give(&mut edge, Lane::Control, &ack(Lane::Events, 1)).unwrap();
    let next = Fetch::Events {
        incarnation: 1,
        after: 1,
    };
    assert_eq!(fetches(&mut edge), [next]);
}
