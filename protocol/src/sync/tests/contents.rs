//! Contents of attachments between both ends: whatever the cuts, the hub ends with each content as
//! it was, and what it held before a cut is not sent again.

use super::*;
use crate::attachment::ContentHash;
use crate::limits::PIECE_BYTES_MAX;
use crate::wire::v1::{ChunkV1, ContentEndV1, ContentsHeldV1, ContentsV1, HeldContentV1};
use std::collections::BTreeSet;

/// Both stores, and what went over lane 5.
#[derive(Default)]
struct World {
    contents: BTreeMap<ContentHash, Vec<u8>>,
    /// On the box: what the hub confirmed, and what it did not keep.
    confirmed: BTreeSet<ContentHash>,
    reported: Vec<(ContentHash, String)>,
    /// On the hub's disk.
    partial: BTreeMap<ContentHash, Vec<u8>>,
    kept: BTreeMap<ContentHash, Vec<u8>>,
    /// So many chunks lose a bit on their way to the hub's disk.
    damage: usize,
    sent_bytes: usize,
    /// Bytes on the way when the link was cut.
    cut_bytes: usize,
}

fn bytes_of(number: u64, length: usize) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}

impl World {
    /// A content becomes durable on the box.
    fn add(&mut self, bytes: Vec<u8>) -> EdgeContent {
        let content = EdgeContent {
            hash: ContentHash::of(&bytes),
            bytes: bytes.len() as u64,
        };
        self.contents.insert(content.hash, bytes);
        content
    }

    fn connect(&self, features: u64) -> Link {
        let mut link = connect(&Box_::default());
        let unconfirmed = |(hash, bytes): (&ContentHash, &Vec<u8>)| {
            (!self.confirmed.contains(hash)).then_some(EdgeContent {
                hash: *hash,
                bytes: bytes.len() as u64,
            })
        };
        let EdgeAction::Send(_, hello) = link.edge.poll_action().unwrap() else {
            panic!("a session begins with its hello")
        };
        let frame = deliver(&mut FrameReader::default(), &hello);
        let Message::Hello(mut hello) = Message::decode(&frame).unwrap() else {
            panic!("a session begins with its hello")
        };
        hello.features = features;
        let start = EdgeStart {
            hello,
            streams: vec![],
            catalog: vec![],
            contents: self.contents.iter().filter_map(unconfirmed).collect(),
        };
        link.edge = EdgeSession::new(start, Timestamp(0)).unwrap();
        link
    }

    /// One step; `false` when nothing is left to do.
    fn step(&mut self, link: &mut Link) -> bool {
        if let Some(action) = link.edge.poll_action() {
            self.edge_does(link, action);
        } else if let Some(action) = link.hub.poll_action() {
            self.hub_does(link, action);
        } else if let Some((lane, bytes)) = link.up.pop() {
            let frame = deliver(&mut FrameReader::default(), &bytes);
            link.hub.handle_frame(lane, &frame).unwrap();
        } else if let Some((lane, bytes)) = link.down.pop() {
            let frame = deliver(&mut FrameReader::default(), &bytes);
            link.edge.handle_frame(lane, &frame, Timestamp(0)).unwrap();
        } else {
            return false;
        }
        true
    }

    fn cut(&mut self, link: &Link) {
        self.cut_bytes += usize::try_from(link.edge.bulk_in_flight()).unwrap();
    }

    fn edge_does(&mut self, link: &mut Link, action: EdgeAction) {
        match action {
            EdgeAction::Send(lane, bytes) => {
                if lane == Lane::Attachment {
                    self.sent_bytes += bytes.len();
                }
                link.up.push(lane, bytes);
            }
            EdgeAction::Fetch(Fetch::Content {
                hash,
                offset,
                bytes_max,
            }) => {
                let from = usize::try_from(offset).unwrap();
                let bytes = self.contents.get(&hash).map_or(vec![], |content| {
                    content[from..].iter().copied().take(bytes_max).collect()
                });
                let fetched = Fetched::Content((hash, offset), bytes);
                link.edge
                    .handle_fetched(Lane::Attachment, fetched, Timestamp(0))
                    .unwrap();
            }
            EdgeAction::ContentKept(hash) => {
                assert!(
                    self.kept.contains_key(&hash),
                    "confirmed before it was kept"
                );
                self.confirmed.insert(hash);
            }
            EdgeAction::ContentNotKept(hash, words) => self.reported.push((hash, words)),
            _ => {}
        }
    }

    fn hub_does(&mut self, link: &mut Link, action: HubAction) {
        match action {
            HubAction::Contents(offered) => {
                let held = offered.iter().map(|offered| {
                    if self.kept.contains_key(&offered.hash) {
                        return (offered.bytes, ContentState::Kept);
                    }
                    let held = self.partial.get(&offered.hash).map_or(0, Vec::len);
                    (held as u64, ContentState::Wanted)
                });
                let held: Vec<_> = held.collect();
                link.hub.handle_contents_answer(&offered, &held).unwrap();
            }
            HubAction::StoreChunk(ContentChunk {
                hash,
                offset,
                mut bytes,
                last,
            }) => {
                let held = self.partial.entry(hash).or_default();
                assert_eq!(held.len() as u64, offset, "a chunk at another place");
                if self.damage > 0 {
                    self.damage -= 1;
                    bytes[0] ^= 1;
                }
                held.append(&mut bytes);
                let stored = if !last {
                    ChunkStored::Held
                } else if ContentHash::of(held) == hash {
                    let whole = self.partial.remove(&hash).unwrap();
                    self.kept.insert(hash, whole);
                    ChunkStored::Kept
                } else {
                    self.partial.remove(&hash);
                    ChunkStored::Wrong
                };
                link.hub.handle_chunk_stored(hash, stored).unwrap();
            }
            HubAction::Hello(hello) => {
                let mut answer = hello_answer(&Hub::default(), &hello);
                answer.windows.3 = 1 << 18;
                link.hub.handle_hello_answer(answer).unwrap();
            }
            action => hub_does(link, &mut Hub::default(), action),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn each_content_arrives_as_it_was_and_goes_on_where_it_was_cut(
        script in prop::collection::vec((0_u8..8, 1_usize..120), 1..50),
    ) {
        let mut world = World::default();
        let mut link: Option<Link> = None;
        for (number, (what, steps)) in script.into_iter().enumerate() {
            match what {
                0 => {
                    let length = 1 + steps * steps * 17 % 90_000;
                    let content = world.add(bytes_of(number as u64, length));
                    if let Some(link) = &mut link {
                        link.edge.handle_new_content(content).unwrap();
                    }
                }
                1 => link.take().into_iter().for_each(|link| world.cut(&link)),
                _ => {
                    let link = link.get_or_insert_with(|| world.connect(FEATURES));
                    for _ in 0..steps {
                        world.step(link);
                    }
                }
            }
        }
        link.take().into_iter().for_each(|link| world.cut(&link));
        let mut link = world.connect(FEATURES);
        while world.step(&mut link) {}
        prop_assert_eq!(&world.kept, &world.contents);
        prop_assert_eq!(world.confirmed.len(), world.contents.len());
        prop_assert_eq!(&world.reported, &vec![]);
        // Twice went only what was on its way when the link was cut; a chunk's head is 46 bytes.
        let once: usize = world.contents.values().map(|bytes| bytes.len() + bytes.len() / 1_100 * 46 + 46).sum();
        prop_assert!(world.sent_bytes <= once + world.cut_bytes, "{} of {once} and {}", world.sent_bytes, world.cut_bytes);
    }
}

#[test]
fn what_arrives_wrong_is_sent_once_more_and_then_reported() {
    for (damage, reported) in [(1, 0), (2, 1)] {
        let mut world = World {
            damage,
            ..World::default()
        };
        let hash = world.add(bytes_of(1, 900)).hash;
        let other = world.add(bytes_of(2, 40_000)).hash;
        let mut link = world.connect(FEATURES);
        while world.step(&mut link) {}
        assert_eq!(world.reported.len(), reported, "{:?}", world.reported);
        // Whichever went first was hit; the other one does not suffer.
        assert_eq!(world.confirmed.len(), 2 - reported);
        for (_, words) in &world.reported {
            assert!(words.contains("other bytes"), "{words}");
        }
        // The next connection tries again.
        let mut link = world.connect(FEATURES);
        while world.step(&mut link) {}
        assert_eq!(world.confirmed, [hash, other].into());
    }
}

#[test]
fn an_older_side_never_hears_of_contents() {
    let mut world = World::default();
    world.add(bytes_of(1, 5_000));
    let mut link = world.connect(0);
    while world.step(&mut link) {}
    assert_eq!((world.sent_bytes, world.kept.len()), (0, 0));
    // And one that speaks of them all the same breaks the protocol.
    let mut hub = welcoming();
    let contents = Message::Contents(ContentsV1 { contents: vec![] });
    let frame = deliver(&mut FrameReader::default(), &contents.encode().unwrap());
    assert!(hub.handle_frame(Lane::Control, &frame).is_err());
}

/// A session with the backlog of `welcomed` and a content that the hub wants all of.
fn with_content(length: u64) -> (EdgeSession, ContentHash) {
    let mut edge = welcomed();
    let content = EdgeContent {
        hash: ContentHash::of(b"any"),
        bytes: length,
    };
    edge.handle_new_content(content).unwrap();
    let held = HeldContentV1 {
        hash: content.hash,
        held: 0,
        state: ContentState::Wanted.code(),
    };
    let contents = vec![held];
    let held = Message::ContentsHeld(ContentsHeldV1 { contents });
    give(&mut edge, Lane::Control, &held).unwrap();
    (edge, content.hash)
}

#[test]
fn contents_take_what_readings_leave_but_a_tenth_at_least() {
    let (mut edge, hash) = with_content(4 << 20);
    let polls: Vec<Poll> = (11..=96).map(poll).collect();
    let block = block::encode(StreamId(1), 11, &polls).unwrap();
    let mut on_the_way = VecDeque::new();
    let mut bytes = BTreeMap::<Lane, usize>::new();
    let mut frames = BTreeMap::<Lane, u64>::new();
    let mut last = 100;
    for round in 1..6_000 {
        let now = Timestamp(round * 5_000);
        // Readings never end in the first half.
        if round < 3_000 {
            last += 500;
            edge.handle_committed(StreamId(1), last, now);
        }
        for action in actions(&mut edge) {
            match action {
                EdgeAction::Send(lane, sent) if lane != Lane::Control && lane != Lane::Events => {
                    if round < 3_000 {
                        *bytes.entry(lane).or_default() += sent.len();
                    }
                    on_the_way.push_back(lane);
                }
                EdgeAction::Fetch(Fetch::Polls { lane, ranges, .. }) => {
                    let range = ranges[0];
                    let held = if round < 3_000 {
                        vec![block.clone(); 3]
                    } else {
                        vec![]
                    };
                    let fetched = Fetched::Polls(vec![(range, held)]);
                    edge.handle_fetched(lane, fetched, now).unwrap();
                }
                EdgeAction::Fetch(Fetch::Content {
                    offset, bytes_max, ..
                }) => {
                    assert!(bytes_max <= PIECE_BYTES_MAX);
                    let fetched = Fetched::Content((hash, offset), vec![7; bytes_max]);
                    edge.handle_fetched(Lane::Attachment, fetched, now).unwrap();
                }
                _ => {}
            }
        }
        if let Some(lane) = on_the_way.pop_front() {
            let count = frames.entry(lane).or_default();
            *count += 1;
            let bytes = ack(lane, *count).encode().unwrap();
            let frame = deliver(&mut FrameReader::default(), &bytes);
            edge.handle_frame(Lane::Control, &frame, now).unwrap();
        }
    }
    let of = |lane| bytes.get(&lane).copied().unwrap_or(0);
    let readings = of(Lane::Live) + of(Lane::Backlog);
    let share = of(Lane::Attachment) * 100 / (readings + of(Lane::Attachment));
    assert!((5..=20).contains(&share), "{share} % in {bytes:?}");
    // With the readings gone the content goes on.
    assert!(frames[&Lane::Attachment] > 50, "{frames:?}");
}

#[test]
fn a_chunk_that_does_not_follow_ends_the_session() {
    let mut world = World::default();
    let content = world.add(bytes_of(1, 5_000));
    for (offset, length) in [(1, 10), (0, 5_001), (0, 0)] {
        let offered = wire_contents(content);
        let frame = deliver(&mut FrameReader::default(), &offered.encode().unwrap());
        let mut hub = HubSession::new(GatewayId(GATEWAY));
        welcome_hub(&mut hub);
        hub.handle_frame(Lane::Control, &frame).unwrap();
        while let Some(action) = hub.poll_action() {
            if let HubAction::Contents(offered) = action {
                let held = [(0, ContentState::Wanted)];
                hub.handle_contents_answer(&offered, &held).unwrap();
            }
        }
        let chunk = Message::Chunk(ChunkV1 {
            hash: content.hash,
            offset,
            bytes: vec![0; length],
        });
        let frame = deliver(&mut FrameReader::default(), &chunk.encode().unwrap());
        assert!(hub.handle_frame(Lane::Attachment, &frame).is_err());
    }
}

fn wire_contents(content: EdgeContent) -> Message {
    let contents = vec![crate::wire::v1::OfferedContentV1 {
        hash: content.hash,
        bytes: content.bytes,
    }];
    Message::Contents(ContentsV1 { contents })
}

/// A hub that welcomed a box which speaks of contents.
fn welcome_hub(hub: &mut HubSession) {
    let mut link = World::default().connect(FEATURES);
    let Some(EdgeAction::Send(lane, bytes)) = link.edge.poll_action() else {
        panic!("a session begins with its hello")
    };
    let frame = deliver(&mut FrameReader::default(), &bytes);
    hub.handle_frame(lane, &frame).unwrap();
    while let Some(action) = hub.poll_action() {
        if let HubAction::Hello(hello) = action {
            hub.handle_hello_answer(hello_answer(&Hub::default(), &hello))
                .unwrap();
        }
    }
}

#[test]
fn the_end_of_a_content_that_is_not_sent_ends_the_session() {
    let (mut edge, _) = with_content(10);
    let end = ContentEndV1 {
        hash: ContentHash::of(b"another"),
        state: ContentState::Kept.code(),
        words: String::new(),
    };
    assert!(give(&mut edge, Lane::Control, &Message::ContentEnd(end)).is_err());
}

#[test]
fn what_the_hub_cannot_store_is_offered_again_after_a_while() {
    let (mut edge, hash) = with_content(10);
    actions(&mut edge);
    let end = ContentEndV1 {
        hash,
        state: ContentState::Refused.code(),
        words: "no room".into(),
    };
    give(&mut edge, Lane::Control, &Message::ContentEnd(end)).unwrap();
    let told = EdgeAction::ContentNotKept(hash, "no room".into());
    assert!(actions(&mut edge).contains(&told));
    let later = edge.poll_timeout().unwrap();
    edge.handle_timeout(later).unwrap();
    let offers = |action: &EdgeAction| match action {
        EdgeAction::Send(Lane::Control, bytes) => {
            let frame = deliver(&mut FrameReader::default(), bytes);
            matches!(Message::decode(&frame), Ok(Message::Contents(_)))
        }
        _ => false,
    };
    assert_eq!(
        actions(&mut edge)
            .iter()
            .filter(|action| offers(action))
            .count(),
        1
    );
}
