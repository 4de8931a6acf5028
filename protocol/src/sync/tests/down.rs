//! The down lane under random cuts: a command is taken on at most once and its result is stored
//! once, documents converge, and a side that does not know the lane hears nothing of it.

use super::*;
use crate::sync::{DocumentState, FEATURES, Outcome, Task};
use crate::wire::v1::{CommandResultV1, CommandV1, DocumentStateV1, DocumentV1};
use std::collections::BTreeSet;

/// What the box keeps of the lane.
#[derive(Default)]
struct BoxSide {
    takes_documents: bool,
    /// The newest document that it judged.
    state: Option<(u64, DocumentState)>,
    judged: Vec<u64>,
    /// Every command that it ever took on, and its result.
    taken: BTreeMap<Uuid, Option<Outcome>>,
    acked: BTreeSet<Uuid>,
    runs: Vec<Uuid>,
}

/// What the hub keeps of it.
#[derive(Default)]
struct HubSide {
    wanted: u64,
    told: Option<(u64, u8)>,
    commands: BTreeMap<Uuid, Option<u8>>,
    results: Vec<Uuid>,
}

fn hash(version: u64) -> [u8; 32] {
    [u8::try_from(version % 251).unwrap(); 32]
}

fn state_of(side: &BoxSide) -> DocumentStateV1 {
    let refused = (0, DocumentState::Rejected);
    let none = (0, DocumentState::Confirmed);
    let (version, state) = match side.state {
        _ if !side.takes_documents => refused,
        known => known.unwrap_or(none),
    };
    DocumentStateV1 {
        version,
        hash: hash(version),
        state: state.code(),
        words: String::new(),
    }
}

fn begin(side: &BoxSide, features: u64) -> Link {
    let mut link = Link::of_empty_box(features);
    link.edge.handle_document_state(state_of(side)).unwrap();
    for (id, outcome) in &side.taken {
        if let (Some(outcome), false) = (outcome, side.acked.contains(id)) {
            link.edge
                .handle_command_result(result(*id, *outcome))
                .unwrap();
        }
    }
    link
}

fn result(id: Uuid, outcome: Outcome) -> CommandResultV1 {
    CommandResultV1 {
        id,
        outcome: outcome.code(),
        words: String::new(),
        time_us: 1,
    }
}

fn wanted(link: &mut Link, hub: &HubSide) {
    let document = (hub.wanted > 0).then(|| (hub.wanted, hash(hub.wanted)));
    let open = hub.commands.iter().filter(|(_, outcome)| outcome.is_none());
    let (kind, arguments) = Task::Restart.to_wire();
    let open = open.map(|(id, _)| CommandV1 {
        id: *id,
        kind,
        arguments: arguments.clone(),
        issued_us: 0,
        expires_us: 1,
        by: "a person".into(),
    });
    link.hub.handle_wanted(document, open.collect()).unwrap();
}

/// One step; `false` when nothing is left to do.
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
        EdgeAction::Document(document) => {
            side.judged.push(document.version);
            // Every third one is no good.
            let state = match document.version % 3 {
                0 => DocumentState::Rejected,
                _ => DocumentState::Confirmed,
            };
            side.state = Some((document.version, state));
            link.edge.handle_document_state(state_of(side)).unwrap();
        }
        EdgeAction::Command(command) => {
            if let Some(known) = side.taken.get(&command.id) {
                if let Some(outcome) = known {
                    let told = result(command.id, *outcome);
                    link.edge.handle_command_result(told).unwrap();
                }
                return;
            }
            // Durable first: every other one is caught by a crash before its result is.
            side.taken.insert(command.id, None);
            side.runs.push(command.id);
            if command.id.as_u128() % 2 == 0 {
                side.taken.insert(command.id, Some(Outcome::Done));
                let told = result(command.id, Outcome::Done);
                link.edge.handle_command_result(told).unwrap();
            }
        }
        EdgeAction::ResultAcked(id) => drop(side.acked.insert(id)),
        _ => {}
    }
}

fn the_hub_does(link: &mut Link, hub: &mut HubSide, action: HubAction) {
    match action {
        HubAction::Send(lane, bytes) => link.down.push(lane, bytes),
        HubAction::Hello(hello) => {
            let answer = hello_answer(&Hub::default(), &hello);
            link.hub.handle_hello_answer(answer).unwrap();
        }
        HubAction::Offer(..) => link.hub.handle_offer_answer(vec![]).unwrap(),
        HubAction::DocumentState(state) => {
            hub.told = Some((state.version, state.state));
            wanted(link, hub);
        }
        HubAction::FetchDocument { version } => {
            let document = DocumentV1 {
                version,
                hash: hash(version),
                text: "text".into(),
            };
            link.hub.handle_document(document).unwrap();
        }
        HubAction::CommandResult(result) => {
            let stored = hub.commands.get_mut(&result.id).unwrap();
            if stored.replace(result.outcome).is_none() {
                hub.results.push(result.id);
            }
            link.hub.handle_result_stored(result.id).unwrap();
        }
        _ => {}
    }
}

/// The box starts again: what it had taken on and not finished, nobody knows.
fn crash(side: &mut BoxSide) {
    for outcome in side.taken.values_mut() {
        outcome.get_or_insert(Outcome::Unknown);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn commands_run_once_and_documents_converge_whatever_the_cuts(
        script in prop::collection::vec((0_u8..6, 1_usize..25), 1..60),
    ) {
        let mut side = BoxSide { takes_documents: true, ..BoxSide::default() };
        let mut hub = HubSide::default();
        let mut link: Option<Link> = None;
        for (what, steps) in script {
            match what {
                0 => link = None,
                1 => {
                    crash(&mut side);
                    link = None;
                }
                2 => {
                    hub.wanted += 1;
                    if let Some(link) = &mut link {
                        wanted(link, &hub);
                    }
                }
                3 => {
                    let id = Uuid::from_u128(hub.commands.len() as u128 + 1);
                    hub.commands.insert(id, None);
                    if let Some(link) = &mut link {
                        wanted(link, &hub);
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
        // In the end the link stays: first what is left comes over, then a last start settles
        // what a crash left open.
        for _ in 0..2 {
            let mut last = begin(&side, FEATURES);
            while turn(&mut last, &mut side, &mut hub) {}
            crash(&mut side);
        }
        let mut last = begin(&side, FEATURES);
        while turn(&mut last, &mut side, &mut hub) {}
        let runs: BTreeSet<_> = side.runs.iter().collect();
        prop_assert_eq!(runs.len(), side.runs.len(), "a command was taken on twice");
        let results: BTreeSet<_> = hub.results.iter().collect();
        prop_assert_eq!(results.len(), hub.results.len());
        prop_assert_eq!(hub.results.len(), hub.commands.len(), "every command has its result");
        prop_assert_eq!(side.acked.len(), hub.commands.len(), "and the box may forget it");
        prop_assert_eq!(hub.told.map(|told| told.0), Some(hub.wanted));
        let twice = side.judged.windows(2).filter(|pair| pair[0] == pair[1]).count();
        prop_assert_eq!(twice, 0, "a document is judged once");
    }
}

#[test]
fn a_box_that_takes_no_documents_gets_none_and_still_its_commands() {
    let mut side = BoxSide::default();
    let mut hub = HubSide {
        wanted: 2,
        commands: BTreeMap::from([(Uuid::from_u128(4), None)]),
        ..HubSide::default()
    };
    let mut link = begin(&side, FEATURES);
    while turn(&mut link, &mut side, &mut hub) {}
    assert_eq!(hub.told, Some((0, DocumentState::Rejected.code())));
    assert!(side.judged.is_empty());
    assert_eq!(hub.results, [Uuid::from_u128(4)]);
    side.takes_documents = true;
    let mut link = begin(&side, FEATURES);
    while turn(&mut link, &mut side, &mut hub) {}
    assert_eq!(side.judged, [2]);
}

#[test]
fn a_side_that_does_not_know_the_lane_hears_nothing_of_it() {
    let mut side = BoxSide {
        takes_documents: true,
        ..BoxSide::default()
    };
    let mut hub = HubSide {
        wanted: 1,
        commands: BTreeMap::from([(Uuid::from_u128(4), None)]),
        ..HubSide::default()
    };
    let mut link = begin(&side, FEATURES & !features::DOWN);
    while turn(&mut link, &mut side, &mut hub) {}
    wanted(&mut link, &hub);
    while turn(&mut link, &mut side, &mut hub) {}
    assert_eq!(hub.told, None);
    assert!(side.judged.is_empty() && side.taken.is_empty());
    // And a hub that sends all the same is not heard.
    let document = DocumentV1 {
        version: 1,
        hash: hash(1),
        text: String::new(),
    };
    let bytes = Message::Document(document).encode().unwrap();
    let frame = deliver(&mut FrameReader::default(), &bytes);
    let heard = link
        .edge
        .handle_frame(Lane::Reference, &frame, Timestamp(0));
    assert!(matches!(heard, Err(SessionError::Unexpected { .. })));
}

#[test]
fn a_document_over_its_limit_ends_the_connection() {
    let mut side = BoxSide::default();
    let mut hub = HubSide::default();
    let mut link = begin(&side, FEATURES);
    while turn(&mut link, &mut side, &mut hub) {}
    let document = DocumentV1 {
        version: 1,
        hash: hash(1),
        text: "#".repeat(crate::limits::DOCUMENT_BYTES_MAX + 1),
    };
    let bytes = Message::Document(document).encode().unwrap();
    let frame = deliver(&mut FrameReader::default(), &bytes);
    let heard = link
        .edge
        .handle_frame(Lane::Reference, &frame, Timestamp(0));
    assert!(matches!(heard, Err(SessionError::Wire(_))), "{heard:?}");
}
