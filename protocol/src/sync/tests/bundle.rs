//! The site bundle under random cuts: it arrives whole and once, goes on where it stood, and no more
//! than a little is on its way.

use super::*;
use crate::limits::{BUNDLE_AHEAD_BYTES_MAX, BUNDLE_BYTES_MAX, BUNDLE_PIECE_BYTES_MAX};
use crate::sync::{BundleName, FEATURES};
use crate::wire::v1::{BundleHeadV1, BundlePieceV1, BundleStateV1};

/// What the box keeps over connections.
#[derive(Default)]
struct BoxSide {
    state: BundleStateV1,
    length: u64,
    bytes: Vec<u8>,
    taken: Vec<u64>,
    refuses: bool,
    bytes_heard: usize,
}

/// What the hub has.
#[derive(Default)]
struct HubSide {
    number: u64,
    length: u64,
    held: Option<BundleStateV1>,
    pieces: usize,
}

impl HubSide {
    fn newest(&self) -> Option<BundleName> {
        (self.number > 0).then(|| BundleName {
            number: self.number,
            hash: [u8::try_from(self.number % 251).unwrap(); 32],
            length: self.length,
        })
    }

    fn content(&self) -> Vec<u8> {
        let byte = |at: u64| u8::try_from((at / 7 + self.number) % 251).unwrap();
        (0..self.length).map(byte).collect()
    }
}

fn begin(side: &BoxSide, features: u64) -> Link {
    let mut link = Link::of_empty_box(features);
    link.edge.handle_bundle_state(side.state.clone()).unwrap();
    link
}

fn turn(link: &mut Link, side: &mut BoxSide, hub: &mut HubSide) -> bool {
    match link.next() {
        Some(Turn::OfBox(action)) => box_does(link, side, action),
        Some(Turn::OfHub(action)) => the_hub_does(link, hub, action),
        Some(Turn::Arrived) => {}
        None => return false,
    }
    true
}

fn box_does(link: &mut Link, side: &mut BoxSide, action: EdgeAction) {
    match action {
        EdgeAction::Send(lane, bytes) => link.up.push(lane, bytes),
        EdgeAction::BundleHead(head) => {
            if side.state.number != head.number || side.state.hash != head.hash {
                side.bytes.clear();
                side.state.bytes = 0;
            }
            side.length = head.length;
            side.state.number = head.number;
            side.state.hash = head.hash;
            side.state.refused = if side.refuses { "no" } else { "" }.to_owned();
        }
        EdgeAction::BundlePiece(piece) => {
            side.bytes_heard += piece.bytes.len();
            let here = u64::try_from(side.bytes.len()).unwrap();
            if side.refuses || piece.number != side.state.number || piece.offset != here {
                return;
            }
            side.bytes.extend(piece.bytes);
            side.state.bytes = u64::try_from(side.bytes.len()).unwrap();
            if side.state.bytes == side.length {
                side.taken.push(side.state.number);
                side.state.held = side.state.number;
                side.state.number = 0;
                side.state.bytes = 0;
            }
        }
        _ => return,
    }
    link.edge.handle_bundle_state(side.state.clone()).unwrap();
}

fn the_hub_does(link: &mut Link, hub: &mut HubSide, action: HubAction) {
    match action {
        HubAction::Send(lane, bytes) => link.down.push(lane, bytes),
        HubAction::Hello(hello) => {
            let answer = hello_answer(&Hub::default(), &hello);
            link.hub.handle_hello_answer(answer).unwrap();
        }
        HubAction::Offer(..) => link.hub.handle_offer_answer(vec![]).unwrap(),
        HubAction::BundleState(state) => {
            hub.held = Some(state);
            link.hub.handle_bundle_wanted(hub.newest());
        }
        HubAction::SignBundle(name) => {
            let head = BundleHeadV1 {
                number: name.number,
                hash: name.hash,
                length: name.length,
                certificate: vec![],
                signature: vec![],
            };
            link.hub.handle_bundle_signed(head).unwrap();
        }
        HubAction::FetchBundle {
            number,
            offset,
            bytes_max,
        } => {
            hub.pieces += 1;
            let content = hub.content();
            let from = usize::try_from(offset).unwrap().min(content.len());
            let to = (from + bytes_max).min(content.len());
            let bytes = if number == hub.number {
                content[from..to].to_vec()
            } else {
                vec![]
            };
            let piece = BundlePieceV1 {
                number,
                offset,
                bytes,
            };
            link.hub.handle_bundle_piece(piece).unwrap();
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_newest_bundle_arrives_once_and_whole_whatever_the_cuts(
        script in prop::collection::vec((0_u8..5, 1_usize..30, 1_u64..400_000), 1..30),
    ) {
        let (mut side, mut hub) = (BoxSide::default(), HubSide::default());
        let mut link: Option<Link> = None;
        for (what, steps, length) in script {
            match what {
                0 => link = None,
                1 => {
                    hub.number += 1;
                    hub.length = length;
                    if let Some(link) = &mut link {
                        link.hub.handle_bundle_wanted(hub.newest());
                    }
                }
                _ => {
                    let link = link.get_or_insert_with(|| begin(&side, FEATURES));
                    for _ in 0..steps {
                        turn(link, &mut side, &mut hub);
                    }
                }
            }
        }
        let mut last = begin(&side, FEATURES);
        while turn(&mut last, &mut side, &mut hub) {}
        prop_assert_eq!(side.state.held, hub.number);
        if let Some(held) = hub.held.clone().filter(|_| hub.number > 0) {
            prop_assert_eq!(held.held, hub.number);
            prop_assert_eq!(side.bytes, hub.content());
        }
        let twice = side.taken.windows(2).filter(|pair| pair[0] >= pair[1]).count();
        prop_assert_eq!(twice, 0);
    }
}

fn long() -> HubSide {
    HubSide {
        number: 3,
        length: 1_000_000,
        ..HubSide::default()
    }
}

#[test]
fn a_transfer_goes_on_where_the_last_connection_ended() {
    let (mut side, mut hub) = (BoxSide::default(), long());
    let mut link = begin(&side, FEATURES);
    while side.bytes.len() < 500_000 {
        assert!(turn(&mut link, &mut side, &mut hub));
    }
    let mut link = begin(&side, FEATURES);
    while turn(&mut link, &mut side, &mut hub) {}
    assert_eq!(side.taken, [3]);
    // What was on its way when it was cut is sent again, nothing else.
    let most = 1_000_000 + BUNDLE_AHEAD_BYTES_MAX;
    assert!(side.bytes_heard <= most, "{}", side.bytes_heard);
}

#[test]
fn a_box_that_does_not_take_it_is_told_once_and_gets_little() {
    let (mut side, mut hub) = (BoxSide::default(), long());
    side.refuses = true;
    let mut link = begin(&side, FEATURES);
    while turn(&mut link, &mut side, &mut hub) {}
    assert_eq!(hub.held.as_ref().unwrap().refused, "no");
    assert!(side.bytes_heard <= BUNDLE_AHEAD_BYTES_MAX);
    let heard = side.bytes_heard;
    link.hub.handle_bundle_wanted(hub.newest());
    while turn(&mut link, &mut side, &mut hub) {}
    assert_eq!(side.bytes_heard, heard);
}

#[test]
fn an_older_side_hears_nothing_of_bundles() {
    let (mut side, mut hub) = (BoxSide::default(), long());
    let mut link = begin(&side, FEATURES & !features::BUNDLE);
    while turn(&mut link, &mut side, &mut hub) {}
    link.hub.handle_bundle_wanted(hub.newest());
    while turn(&mut link, &mut side, &mut hub) {}
    assert_eq!((hub.held, side.bytes_heard), (None, 0));
}

#[test]
fn a_head_or_a_piece_over_its_limit_ends_the_connection() {
    let (mut side, mut hub) = (BoxSide::default(), HubSide::default());
    let head = BundleHeadV1 {
        number: 1,
        hash: [0; 32],
        length: u64::try_from(BUNDLE_BYTES_MAX).unwrap() + 1,
        certificate: vec![],
        signature: vec![],
    };
    let piece = BundlePieceV1 {
        number: 1,
        offset: 0,
        bytes: vec![0; BUNDLE_PIECE_BYTES_MAX + 1],
    };
    for message in [Message::BundleHead(head), Message::BundlePiece(piece)] {
        let mut link = begin(&side, FEATURES);
        while turn(&mut link, &mut side, &mut hub) {}
        let bytes = message.encode().unwrap();
        let frame = deliver(&mut FrameReader::default(), &bytes);
        let heard = link
            .edge
            .handle_frame(Lane::Reference, &frame, Timestamp(0));
        assert!(matches!(heard, Err(SessionError::Wire(_))), "{heard:?}");
    }
}
