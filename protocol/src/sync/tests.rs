//! Both ends against each other over a link that is cut at random, with stores that forget
//! nothing: whatever happens, the hub ends with each fact once.

use super::*;
use crate::block;
use crate::event::{Actor, Body, Event, GatewayEvent, RecordKind, RecordRef};
use crate::id::{EventId, GatewayId, Origin, SiteId, StreamId};
use crate::ranges::RangeSet;
use crate::reading::{Cell, Poll, Quality, Raw};
use crate::time::{ClockState, Hlc, Timestamp};
use crate::wire::v1::{HelloV1, ReferenceV1};
use crate::wire::{FrameReader, encode_event};
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};
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
    Event {
        id: EventId(Uuid::from_u128(u128::from(seq))),
        origin: Origin::Gateway(GatewayId(GATEWAY)),
        incarnation: 1,
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

/// The box's store: all it committed.
#[derive(Default)]
struct Box_ {
    polls: BTreeMap<StreamId, Vec<Poll>>,
    gone: BTreeMap<StreamId, u64>,
    events: u64,
    down: Vec<Event>,
    acked: BTreeMap<StreamId, RangeSet>,
}

/// The hub's store.
#[derive(Default)]
struct Hub {
    polls: BTreeMap<StreamId, BTreeMap<u64, Poll>>,
    received: BTreeMap<StreamId, RangeSet>,
    gaps: BTreeMap<StreamId, RangeSet>,
    events: Vec<Event>,
    down: u64,
    down_acked: u64,
}

struct Link {
    edge: EdgeSession,
    hub: HubSession,
    up: VecDeque<(Lane, Vec<u8>)>,
    down: VecDeque<(Lane, Vec<u8>)>,
}

fn connect(store: &Box_) -> Link {
    let streams = store
        .polls
        .iter()
        .map(|(s, p)| (s.0, p.len() as u64))
        .collect();
    let hello = HelloV1 {
        protocol: (1, 1),
        gateway: GATEWAY,
        build: "test".into(),
        core_incarnation: 1,
        buffer_incarnation: 1,
        events_last: store.events,
        down_mark: store.down.len() as u64,
        time_us: 0,
        clock: 0,
        catalog_hash: 0,
        streams,
    };
    let schemas = store
        .polls
        .keys()
        .map(|stream| (*stream, vec![1]))
        .collect();
    let start = EdgeStart {
        hello,
        schemas,
        catalog: vec![1],
    };
    Link {
        edge: EdgeSession::new(start, Timestamp(0)).unwrap(),
        hub: HubSession::new(GatewayId(GATEWAY)),
        up: VecDeque::new(),
        down: VecDeque::new(),
    }
}

fn deliver(reader: &mut FrameReader, bytes: &[u8]) -> crate::wire::Frame {
    reader.push(bytes);
    reader.next_frame().unwrap().unwrap()
}

/// One step of the link; `false` when nothing is left to do.
fn step(link: &mut Link, store: &mut Box_, hub: &mut Hub) -> bool {
    if let Some(action) = link.edge.poll_action() {
        edge_does(link, store, action);
    } else if let Some(action) = link.hub.poll_action() {
        hub_does(link, hub, action);
    } else if let Some((lane, bytes)) = link.up.pop_front() {
        link.hub
            .handle_frame(lane, &deliver(&mut FrameReader::default(), &bytes))
            .unwrap();
    } else if let Some((lane, bytes)) = link.down.pop_front() {
        let frame = deliver(&mut FrameReader::default(), &bytes);
        link.edge.handle_frame(lane, &frame, Timestamp(0)).unwrap();
    } else {
        return false;
    }
    true
}

fn edge_does(link: &mut Link, store: &mut Box_, action: EdgeAction) {
    match action {
        EdgeAction::Send(lane, bytes) => link.up.push_back((lane, bytes)),
        EdgeAction::Fetch(Fetch::Events { after }) => {
            let events = (after + 1..=store.events)
                .map(|n| (n, encode_event(&event(n)).unwrap()))
                .take(3);
            let fetched = Fetched::Events(events.collect());
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
        EdgeAction::ApplyDown(first, events) => {
            assert_eq!(first, store.down.len() as u64 + 1);
            store.down.extend(events);
            link.edge
                .handle_down_committed(store.down.len() as u64)
                .unwrap();
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
        HubAction::Send(lane, bytes) => link.down.push_back((lane, bytes)),
        HubAction::Hello(_) => {
            let received = hub
                .received
                .iter()
                .map(|(s, r)| (*s, r.pairs().to_vec()))
                .collect();
            let reference = ReferenceV1 {
                gateway_name: "g".into(),
                gateway_code: "G".into(),
                site: SiteId(GATEWAY).0,
                site_name: "s".into(),
                people: vec![],
            };
            let answer = HelloAnswer {
                now: Timestamp(0),
                events_mark: hub.events.len() as u64,
                down_last: hub.down,
                want_catalog: true,
                want_schemas: vec![],
                received,
                reference,
            };
            link.hub.handle_hello_answer(answer).unwrap();
        }
        HubAction::Commit(lane, commit) => {
            take(hub, commit);
            link.hub.handle_committed(lane, vec![]).unwrap();
        }
        HubAction::FetchDown { after } => {
            let events =
                (after + 1..=hub.down).map(|n| (n, encode_event(&event(1_000 + n)).unwrap()));
            link.hub.handle_down(events.take(2).collect()).unwrap();
        }
        HubAction::DownAcked(seq) => hub.down_acked = hub.down_acked.max(seq),
        _ => {}
    }
}

fn take(hub: &mut Hub, commit: Commit) {
    match commit {
        Commit::Events {
            first_seq, events, ..
        } => {
            for (at, event) in (first_seq..).zip(events) {
                if at == hub.events.len() as u64 + 1 {
                    hub.events.push(event);
                }
            }
        }
        Commit::Blocks { blocks, .. } => {
            for bytes in blocks {
                let block = block::decode(&bytes).unwrap();
                let received = hub.received.entry(block.header.stream).or_default();
                let polls = hub.polls.entry(block.header.stream).or_default();
                for (seq, poll) in (block.header.first_seq..).zip(block.polls) {
                    polls.insert(seq, poll);
                    received.insert(seq, seq);
                }
            }
        }
        Commit::Gap {
            stream,
            first_seq,
            last_seq,
            ..
        } => {
            hub.received
                .entry(stream)
                .or_default()
                .insert(first_seq, last_seq);
            hub.gaps
                .entry(stream)
                .or_default()
                .insert(first_seq, last_seq);
        }
    }
}

proptest! {
    #[test]
    fn each_fact_arrives_once_whatever_the_cuts(
        script in prop::collection::vec((0_u8..8, 1_usize..40), 1..40),
        gone in 0_u64..6,
    ) {
        let mut store = Box_::default();
        let mut hub = Hub::default();
        let mut link: Option<Link> = None;
        for (what, steps) in script {
            match what {
                0 | 1 => {
                    let stream = StreamId(1 + u32::from(what));
                    let polls = store.polls.entry(stream).or_default();
                    let new = !store.acked.contains_key(&stream) && polls.is_empty();
                    for _ in 0..steps {
                        polls.push(poll(polls.len() as u64 + 1));
                    }
                    let last = polls.len() as u64;
                    if let Some(link) = &mut link {
                        if new {
                            link.edge.handle_new_stream(stream, vec![1]).unwrap();
                        }
                        link.edge.handle_committed(stream, last, Timestamp(0));
                    }
                }
                2 => {
                    store.events += steps as u64;
                    if let Some(link) = &mut link {
                        link.edge.handle_events_committed(store.events, Timestamp(0));
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
                    store.gone.insert(StreamId(1), gone);
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
        for (stream, polls) in &store.polls {
            let held = hub.polls.get(stream).cloned().unwrap_or_default();
            let gaps = hub.gaps.get(stream).cloned().unwrap_or_default();
            for (seq, expected) in (1..).zip(polls) {
                prop_assert!(held.get(&seq) == Some(expected) || gaps.contains(seq), "{stream:?} {seq}");
                prop_assert!(!gaps.contains(seq) || seq <= gone);
            }
            prop_assert_eq!(hub.received[stream].contiguous_to(), polls.len() as u64);
        }
        let seqs: Vec<u64> = hub.events.iter().map(|event| event.seq).collect();
        prop_assert_eq!(seqs, (1..=store.events).collect::<Vec<_>>());
        prop_assert_eq!(store.down.len() as u64, hub.down);
        prop_assert_eq!(hub.down_acked, hub.down);
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
    assert_eq!(link.hub.poll_action(), Some(HubAction::Close));
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
