//! A peer that knows less than the one it talks to: what it does not know it passes over or keeps
//! as it came and passes on, byte for byte, and goes on with what it knows.
//! The older build is this one; the newer peer speaks the golden bytes of every message and event
//! under numbers that this build has never heard of, which is how a kind that was added later looks
//! to a build from before.

use protocol::event::{AlertEvent, Body, Event, RecordKind, WorkOrderEvent};
use protocol::id::{AlertId, GatewayId, WorkOrderId};
use protocol::limits::{EVENTS_PER_FRAME_MAX, LANE_IN_FLIGHT_BYTES_MAX};
use protocol::sync::{
    Commit, EdgeAction, EdgeSession, EdgeStart, FEATURES, Fetch, Fetched, HelloAnswer, HubAction,
    HubSession, Lane, OwnLost, PROTOCOL, Refusal, SessionError,
};
use protocol::time::Timestamp;
use protocol::wire::v1::{EventV1, EventsV1, HelloV1, Message, OwnEventsV1, ReferenceV1};
use protocol::wire::{Frame, FrameReader, decode_event, encode_event};
use protocol::{alert, work_order};
use std::path::Path;

const NOW: Timestamp = Timestamp(0);

/// Name and bytes of each line of a golden file.
fn golden(file: &str) -> Vec<(String, Vec<u8>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../protocol/golden")
        .join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let byte = |pair: &[u8]| {
        let pair = str::from_utf8(pair).unwrap();
        u8::from_str_radix(pair, 16).unwrap()
    };
    text.lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(name, hex)| {
            (
                name.to_owned(),
                hex.as_bytes().chunks(2).map(byte).collect(),
            )
        })
        .collect()
}

fn frame(bytes: &[u8]) -> Frame {
    let mut reader = FrameReader::default();
    reader.push(bytes);
    reader.next_frame().unwrap().unwrap()
}

/// Every golden message as a newer build might send it: another type, another version.
fn unknown_messages() -> Vec<Frame> {
    let mut frames = Vec::new();
    for (_, bytes) in golden("messages_v1.hex") {
        let known = frame(&bytes);
        frames.push(Frame {
            kind: known.kind + 1_000,
            ..known.clone()
        });
        frames.push(Frame {
            version: 2,
            ..known
        });
    }
    frames
}

/// All golden events, by as many as go into one frame four times.
fn golden_events() -> Vec<Vec<(String, Vec<u8>)>> {
    let files = ["events_v1.hex", "alarms_v1.hex"];
    let all: Vec<_> = files.into_iter().flat_map(golden).collect();
    all.chunks(EVENTS_PER_FRAME_MAX / 4)
        .map(<[_]>::to_vec)
        .collect()
}

/// Each of these golden events as it looks to a build that does not know its kind, its version, or the
/// record that it is about; dense from 1 in incarnation 1 of the gateway.
fn unknown_events(golden: &[(String, Vec<u8>)]) -> Vec<Vec<u8>> {
    let mut events = Vec::new();
    for (_, bytes) in golden {
        let known: EventV1 = postcard::from_bytes(&bytes[1..]).unwrap();
        for (kind, version, record) in [(1_000, 0, 0), (0, 1, 0), (0, 0, 100), (7, 7, 7)] {
            let mut newer = known.clone();
            newer.kind += kind;
            newer.version += version;
            newer.record_kind += record;
            newer.incarnation = 1;
            newer.seq = u64::try_from(events.len()).unwrap() + 1;
            newer.id = uuid::Uuid::from_u128(newer.seq.into());
            let mut bytes = vec![1];
            bytes.extend(postcard::to_allocvec(&newer).unwrap());
            events.push(bytes);
        }
    }
    events
}

fn gateway() -> GatewayId {
    GatewayId(uuid::Uuid::from_u128(7))
}

fn hello(protocol: (u16, u16), features: u64) -> HelloV1 {
    HelloV1 {
        protocol,
        features,
        gateway: gateway().0,
        build: "another".into(),
        time_us: 0,
        clock: 0,
        catalog_hash: 0,
        incarnation: 1,
        events: vec![(1, 1)],
        down: (0, [0; 16]),
    }
}

fn answer(lost: Vec<OwnLost>, down_last: u64) -> HelloAnswer {
    let window = u32::try_from(LANE_IN_FLIGHT_BYTES_MAX).unwrap();
    HelloAnswer {
        now: NOW,
        events: vec![(1, 0, [0; 16])],
        lost,
        down_last,
        down_after: 0,
        want_catalog: false,
        windows: (window, window, window, window),
        reference: ReferenceV1 {
            gateway_name: String::new(),
            gateway_code: String::new(),
            site: uuid::Uuid::nil(),
            site_name: String::new(),
            people: vec![],
        },
    }
}

fn edge(hello: HelloV1) -> EdgeSession {
    let start = EdgeStart {
        hello,
        streams: vec![],
        catalog: vec![],
        contents: vec![],
    };
    EdgeSession::new(start, NOW).unwrap()
}

/// What an end of a connection sends now, with its lane.
fn edge_sends(edge: &mut EdgeSession) -> (Vec<(Lane, Frame)>, Vec<EdgeAction>) {
    let (mut sent, mut rest) = (Vec::new(), Vec::new());
    while let Some(action) = edge.poll_action() {
        match action {
            EdgeAction::Send(lane, bytes) => sent.push((lane, frame(&bytes))),
            action => rest.push(action),
        }
    }
    (sent, rest)
}

fn hub_sends(hub: &mut HubSession) -> (Vec<(Lane, Frame)>, Vec<HubAction>) {
    let (mut sent, mut rest) = (Vec::new(), Vec::new());
    while let Some(action) = hub.poll_action() {
        match action {
            HubAction::Send(lane, bytes) => sent.push((lane, frame(&bytes))),
            action => rest.push(action),
        }
    }
    (sent, rest)
}

/// A hub that has welcomed a box, and what it answered.
fn welcomed(hello: HelloV1, answer: HelloAnswer) -> (HubSession, Vec<(Lane, Frame)>) {
    let mut hub = HubSession::new(gateway());
    let bytes = Message::Hello(hello).encode().unwrap();
    hub.handle_frame(Lane::Control, &frame(&bytes)).unwrap();
    hub.handle_hello_answer(answer).unwrap();
    let (sent, _) = hub_sends(&mut hub);
    (hub, sent)
}

#[test]
fn messages_of_a_newer_peer_are_passed_over_at_any_point_and_the_session_goes_on() {
    let unknown = unknown_messages();
    assert!(unknown.len() >= 40, "{}", unknown.len());
    let mut edge = edge(hello((1, 1), FEATURES));
    let mut hub = HubSession::new(gateway());
    let mut acknowledged = false;
    for _round in 0..6 {
        for unknown in &unknown {
            for lane in Lane::ALL {
                edge.handle_frame(lane, unknown, NOW).unwrap();
                hub.handle_frame(lane, unknown).unwrap();
            }
        }
        let (sent, actions) = edge_sends(&mut edge);
        for (lane, frame) in sent {
            hub.handle_frame(lane, &frame).unwrap();
        }
        for action in actions {
            if let EdgeAction::Fetch(Fetch::Events { incarnation, .. }) = action {
                let event = unknown_events(&golden("events_v1.hex")).swap_remove(0);
                let fetched = Fetched::Events(incarnation, vec![(1, event)]);
                edge.handle_fetched(Lane::Events, fetched, NOW).unwrap();
            } else if let EdgeAction::EventsAcked(incarnation, seq) = action {
                acknowledged |= (incarnation, seq) == (1, 1);
            }
        }
        let (sent, actions) = hub_sends(&mut hub);
        for (lane, frame) in sent {
            edge.handle_frame(lane, &frame, NOW).unwrap();
        }
        for action in actions {
            match action {
                HubAction::Hello(_) => hub.handle_hello_answer(answer(vec![], 0)).unwrap(),
                HubAction::Commit(lane, _) => hub.handle_committed(lane, vec![]).unwrap(),
                _ => {}
            }
        }
    }
    assert!(acknowledged, "the event never came through");
    println!(
        "measured: {} unknown messages on each lane at 6 points, passed over",
        unknown.len()
    );
}

#[test]
fn an_older_hub_keeps_events_that_it_does_not_know_and_gives_them_back_as_they_came() {
    for golden in golden_events() {
        through_an_older_hub(&golden);
    }
}

fn through_an_older_hub(golden: &[(String, Vec<u8>)]) {
    let events = unknown_events(golden);
    let lost = OwnLost {
        incarnation: 1,
        after: 0,
        last: u64::try_from(events.len()).unwrap(),
    };
    let (mut hub, _) = welcomed(hello((1, 1), 0), answer(vec![lost], 0));
    let message = EventsV1 {
        incarnation: 1,
        first_seq: 1,
        events: events.clone(),
    };
    let bytes = Message::Events(message).encode().unwrap();
    hub.handle_frame(Lane::Events, &frame(&bytes)).unwrap();
    let (_, actions) = hub_sends(&mut hub);
    let [HubAction::Commit(Lane::Events, Commit::Events { events: taken, .. })] =
        actions.as_slice()
    else {
        panic!("{actions:?}")
    };
    let stored: Vec<Vec<u8>> = taken
        .iter()
        .map(|event| encode_event(event).unwrap())
        .collect();
    assert_eq!(stored, events, "what the hub stores differs from what came");
    hub.handle_committed(Lane::Events, vec![]).unwrap();
    // To a box of a newer build that lost its store.
    hub.handle_own(1, (1..).zip(stored).collect()).unwrap();
    let (sent, _) = hub_sends(&mut hub);
    let back = sent
        .iter()
        .find_map(|(_, frame)| match Message::decode(frame) {
            Ok(Message::OwnEvents(OwnEventsV1 { events, .. })) => Some(events),
            _ => None,
        });
    assert_eq!(
        back.as_ref(),
        Some(&events),
        "what the hub gives back differs from what came"
    );
    println!(
        "measured: {} unknown events came through an older hub as they were",
        events.len()
    );
    known_again(golden, back.unwrap());
}

/// The newer build reads what went through the older one: nothing of it is lost.
fn known_again(golden: &[(String, Vec<u8>)], relayed: Vec<Vec<u8>>) {
    let mut golden = golden.iter().flat_map(|line| vec![line; 4]);
    for bytes in relayed {
        let (name, original) = golden.next().unwrap();
        let original: EventV1 = postcard::from_bytes(&original[1..]).unwrap();
        let mut event: EventV1 = postcard::from_bytes(&bytes[1..]).unwrap();
        event.kind = original.kind;
        event.version = original.version;
        event.record_kind = original.record_kind;
        event.incarnation = original.incarnation;
        event.seq = original.seq;
        event.id = original.id;
        assert_eq!(event, original, "{name}");
    }
}

#[test]
fn an_older_box_keeps_events_of_a_newer_hub_as_they_came_and_its_folds_go_on() {
    for golden in golden_events() {
        through_an_older_box(&golden);
    }
}

fn through_an_older_box(golden: &[(String, Vec<u8>)]) {
    let events = unknown_events(golden);
    let count = u64::try_from(events.len()).unwrap();
    let mut edge = edge(hello((1, 1), 0));
    let (mut hub, sent) = welcomed(hello((1, 1), 0), answer(vec![], count));
    for (lane, frame) in sent {
        edge.handle_frame(lane, &frame, NOW).unwrap();
    }
    hub.handle_down((1..).zip(events.clone()).collect())
        .unwrap();
    let (sent, _) = hub_sends(&mut hub);
    for (lane, frame) in sent {
        edge.handle_frame(lane, &frame, NOW).unwrap();
    }
    let (_, actions) = edge_sends(&mut edge);
    let applied = actions.into_iter().find_map(|action| match action {
        EdgeAction::ApplyDown(1, events) => Some(events),
        _ => None,
    });
    let applied = applied.unwrap();
    let others = applied
        .iter()
        .filter(|event| matches!(event.record.kind, RecordKind::Other(_)));
    assert!(
        others.count() >= 2 * golden.len(),
        "records of unknown kinds are kept too"
    );
    let stored: Vec<Vec<u8>> = applied
        .iter()
        .map(|event| encode_event(event).unwrap())
        .collect();
    assert_eq!(stored, events);
    edge.handle_down_committed(count).unwrap();
    let (sent, _) = edge_sends(&mut edge);
    for (lane, frame) in sent {
        hub.handle_frame(lane, &frame).unwrap();
    }
    let (_, actions) = hub_sends(&mut hub);
    assert!(
        actions.contains(&HubAction::DownAcked(count)),
        "{actions:?}"
    );
    folds_go_on(&applied);
}

/// Between the known events of a record, unknown ones are lines of its history and nothing else.
fn folds_go_on(unknown: &[Event]) {
    for (_, bytes) in golden("events_v1.hex") {
        let known = decode_event(&bytes).unwrap();
        let begins = matches!(
            known.body,
            Body::Alert(AlertEvent::Raised(_)) | Body::WorkOrder(WorkOrderEvent::Created(_))
        );
        if !begins {
            continue;
        }
        let mut events = vec![known.clone()];
        for event in unknown
            .iter()
            .filter(|event| matches!(event.body, Body::Unknown { .. }))
        {
            events.push(Event {
                record: known.record,
                ..event.clone()
            });
        }
        let id = known.record.id;
        let lines = if matches!(known.body, Body::Alert(_)) {
            let (alone, with) = (&events[..1], &events[..]);
            let (one, other) = (
                alert::fold(AlertId(id), alone),
                alert::fold(AlertId(id), with),
            );
            let (one, other) = (one.unwrap(), other.unwrap());
            assert_eq!((one.state(), one.peak), (other.state(), other.peak));
            other.history.len()
        } else {
            let (alone, with) = (&events[..1], &events[..]);
            let id = WorkOrderId(id);
            let (one, other) = (work_order::fold(id, alone), work_order::fold(id, with));
            let (one, other) = (one.unwrap(), other.unwrap());
            assert_eq!((one.state, &one.title), (other.state, &other.title));
            other.history.len()
        };
        assert!(lines > unknown.len() / 2, "{lines} lines");
        assert_eq!(lines, events.len());
    }
}

#[test]
fn an_event_in_another_envelope_ends_the_connection_and_says_so() {
    let mut newer = unknown_events(&golden("events_v1.hex")).swap_remove(0);
    newer[0] = 2;
    let message = EventsV1 {
        incarnation: 1,
        first_seq: 1,
        events: vec![newer],
    };
    let bytes = Message::Events(message).encode().unwrap();
    let (mut hub, _) = welcomed(hello((1, 1), 0), answer(vec![], 0));
    let error = hub.handle_frame(Lane::Events, &frame(&bytes)).unwrap_err();
    assert!(matches!(error, SessionError::Wire(_)), "{error:?}");
    assert_eq!(hub.poll_action(), None, "nothing of it is stored");
}

#[test]
fn both_sides_settle_on_the_newest_number_that_they_have_in_common() {
    for (range, common) in [
        ((PROTOCOL, PROTOCOL), PROTOCOL),
        ((PROTOCOL, PROTOCOL + 1), PROTOCOL),
        ((0, PROTOCOL + 9), PROTOCOL),
    ] {
        let (_, sent) = welcomed(hello(range, u64::MAX), answer(vec![], 0));
        let (lane, welcome) = &sent[0];
        let Ok(Message::Welcome(message)) = Message::decode(welcome) else {
            panic!("{welcome:?}")
        };
        assert_eq!(
            (message.protocol, message.features),
            (common, FEATURES),
            "{range:?}"
        );
        edge(hello(range, u64::MAX))
            .handle_frame(*lane, welcome, NOW)
            .unwrap();
    }
}

#[test]
fn without_a_common_number_both_sides_say_what_to_do() {
    for range in [(PROTOCOL + 1, PROTOCOL + 2), (0, 0)] {
        let mut hub = HubSession::new(gateway());
        let mut edge = edge(hello(range, 0));
        let (sent, _) = edge_sends(&mut edge);
        for (lane, frame) in sent {
            hub.handle_frame(lane, &frame).unwrap();
        }
        let (sent, _) = hub_sends(&mut hub);
        let (lane, refuse) = &sent[0];
        let error = edge.handle_frame(*lane, refuse, NOW).unwrap_err();
        refused_for_protocol(&error);
    }
    // A newer hub that no longer speaks this box's number and does not say so.
    let (_, sent) = welcomed(hello((PROTOCOL, PROTOCOL), 0), answer(vec![], 0));
    let Ok(Message::Welcome(mut welcome)) = Message::decode(&sent[0].1) else {
        panic!("{sent:?}")
    };
    welcome.protocol = PROTOCOL + 1;
    let bytes = Message::Welcome(welcome).encode().unwrap();
    let mut edge = edge(hello((PROTOCOL, PROTOCOL), 0));
    refused_for_protocol(
        &edge
            .handle_frame(Lane::Control, &frame(&bytes), NOW)
            .unwrap_err(),
    );
}

fn refused_for_protocol(error: &SessionError) {
    let SessionError::Refused {
        refusal: Some(Refusal::Protocol),
        words,
        ..
    } = error
    else {
        panic!("{error:?}")
    };
    assert!(words.contains("update the older side"), "{words}");
}
