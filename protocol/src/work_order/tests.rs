//! Tests of the life of a work order: any order of arrival gives the same order, nothing is
//! lost, and one named test per rule for what two sides did at the same time.

mod work;

use super::*;
use crate::id::{EventId, SensorId};
use crate::record::histories::{self, Writer, steps};
use crate::time::ClockState;
use WorkOrderEvent as E;
use WorkOrderState as S;
use proptest::prelude::*;
use uuid::Uuid;

const ID: WorkOrderId = WorkOrderId(Uuid::from_u128(78));
const ALERT: AlertId = AlertId(Uuid::from_u128(79));

fn created(requested: bool) -> WorkOrderCreated {
    WorkOrderCreated {
        number: "B2-0417".into(),
        title: "Pump is hot".into(),
        description: String::new(),
        work_type: WorkType::Corrective,
        priority: 3,
        asset: Some("P-101".into()),
        alert: None,
        dedupe_key: Some("P-101|hot".into()),
        requested,
    }
}

fn text() -> impl Strategy<Value = String> {
    "[a-c]{1,2}"
}

fn field_value() -> impl Strategy<Value = FieldValue> {
    prop_oneof![
        text().prop_map(FieldValue::Title),
        text().prop_map(FieldValue::Description),
        any::<u8>().prop_map(FieldValue::Priority),
        prop::option::of(0_i64..9).prop_map(|due| FieldValue::Due(due.map(Timestamp))),
        prop::option::of(text()).prop_map(FieldValue::Asset),
    ]
}

fn status() -> impl Strategy<Value = WorkOrderEvent> {
    prop_oneof![
        Just(E::Approved),
        text().prop_map(|reason| E::Rejected { reason }),
        Just(E::Scheduled {
            start: Timestamp(5),
            end: None
        }),
        Just(E::Started),
        Just(E::Held {
            reason: HoldReason::Material,
            note: None
        }),
        Just(E::Resumed),
        prop::option::of(text()).prop_map(|remedy| E::Done { remedy }),
        Just(E::Closed { note: None }),
        text().prop_map(|reason| E::Reopened { reason }),
        text().prop_map(|reason| E::Cancelled { reason }),
        Just(E::MarkedDuplicate {
            of: WorkOrderId(Uuid::from_u128(80))
        }),
        Just(E::AlarmOccurred { alert: ALERT }),
    ]
}

fn body() -> impl Strategy<Value = WorkOrderEvent> {
    prop_oneof![
        12 => status(),
        3 => field_value().prop_map(E::FieldSet),
        1 => text().prop_map(|name| E::Assigned { name, user: None }),
        1 => Just(E::Unassigned),
        1 => text().prop_map(|text| E::Commented { text }),
        1 => (0_u32..90).prop_map(|minutes| E::LabourAdded { minutes, note: None }),
        1 => (-2.0..5.0_f64).prop_map(|quantity| E::PartUsed { part: "seal".into(), quantity }),
        1 => Just(E::AlarmCleared { alert: ALERT }),
        1 => Just(E::SnapshotAdded(snapshot())),
        1 => Just(E::Reviewed { note: None }),
        6 => work::body(),
        1 => any::<bool>().prop_map(|requested| E::Created(created(requested))),
    ]
}

fn snapshot() -> Snapshot {
    Snapshot {
        sensor: SensorId(Uuid::from_u128(5)),
        sensor_path: "pump/temperature".into(),
        unit: "Cel".into(),
        limit: Some(80.0),
        points: vec![(Timestamp(1), 81.0)],
    }
}

fn offsets() -> impl Strategy<Value = Vec<i64>> {
    // A quarter of an hour ahead is more than other clocks follow.
    prop::collection::vec(prop_oneof![Just(0), -9_000..9_000_i64, Just(900_000)], 3)
}

fn history(
    requested: bool,
    offsets_ms: &[i64],
    steps: Vec<histories::Step<WorkOrderEvent>>,
) -> histories::History {
    let first = Body::WorkOrder(E::Created(created(requested)));
    histories::play(ID.into(), first, offsets_ms, steps, Body::WorkOrder)
}

fn line(order: &WorkOrder, event: &Event) -> HistoryEntry {
    let found = order.history.iter().find(|line| line.id == event.id);
    found.cloned().expect("every event has a line")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_order_and_any_number_of_copies_give_the_same_order(
        requested: bool,
        steps in steps(3, body()),
        offsets_ms in offsets(),
        order in prop::collection::vec(any::<usize>(), 0..60),
    ) {
        let history = history(requested, &offsets_ms, steps);
        let folded = fold(ID, &history.events).unwrap();
        prop_assert_eq!(fold(ID, &history.scrambled(&order)), Some(folded));
    }

    #[test]
    fn nothing_is_invisible(requested: bool, steps in steps(3, body()), offsets_ms in offsets()) {
        let history = history(requested, &offsets_ms, steps);
        let order = fold(ID, &history.events).unwrap();
        prop_assert_eq!(order.history.len(), history.events.len());
        prop_assert!(order.history.iter().all(|line| !line.what.is_empty()));
        prop_assert!(order.history.iter().all(|line| line.applied || line.note.is_some()));
        let count = |want: fn(&WorkOrderEvent) -> bool| {
            let is = |event: &&Event| matches!(&event.body, Body::WorkOrder(body) if want(body));
            history.events.iter().filter(is).count()
        };
        prop_assert_eq!(order.comments.len(), count(|b| matches!(b, E::Commented { .. })));
        let stopped = order.history.iter();
        let stopped = stopped.filter(|line| line.what == "labour_stopped" && line.applied).count();
        let added = count(|b| matches!(b, E::LabourAdded { .. }));
        prop_assert_eq!(order.labour.len(), added + stopped);
        let parts = count(|b| matches!(b, E::PartUsed { .. } | E::PartMoved(_)));
        prop_assert_eq!(order.parts.len(), parts);
        work::nothing_of_it_is_lost(&order, &history.events)?;
        prop_assert_eq!(order.snapshots.len(), count(|b| matches!(b, E::SnapshotAdded(_))));
        prop_assert_eq!(order.done.is_some(), count(|b| matches!(b, E::Done { .. })) > 0);
        prop_assert_eq!(order.hold_reason.is_some(), order.state == S::OnHold);
        prop_assert_eq!(order.closed_at.is_some(), order.state == S::Closed);
        prop_assert_eq!(order.duplicate_of.is_some(), order.state == S::Duplicate);
        let events_alerts = count(|b| matches!(b, E::AlarmOccurred { .. })) > 0;
        prop_assert_eq!(order.alerts.contains(&ALERT), events_alerts);
    }

    /// What its writer saw happen and what does not happen in the whole is put up for review,
    /// until somebody who saw it reviewed it.
    #[test]
    fn what_was_refused_for_being_concurrent_is_up_for_review(
        requested: bool, steps in steps(3, body()), offsets_ms in offsets(),
    ) {
        let history = history(requested, &offsets_ms, steps);
        let order = fold(ID, &history.events).unwrap();
        for event in &history.events {
            let Some(seen) = history.seen.get(&event.id) else { continue };
            let mut view = seen.clone();
            view.push(event.clone());
            let as_written = line(&fold(ID, &view).unwrap(), event);
            let reviewed = history.events.iter().any(|review| {
                matches!(&review.body, Body::WorkOrder(E::Reviewed { .. })) && review.hlc > event.hlc
                    && !record::concurrent(event, review)
            });
            if as_written.applied && !line(&order, event).applied && !reviewed {
                prop_assert!(order.needs_review, "{event:?}");
            }
        }
    }

    #[test]
    fn actions_offered_are_followed(
        requested: bool, steps in steps(3, body()), offsets_ms in offsets(), who in 0_usize..3,
    ) {
        let mut history = history(requested, &offsets_ms, steps);
        history.meet_all();
        let before = fold(ID, &history.events).unwrap();
        let later_ms = history.now_ms + 10_000;
        for action in Action::ALL {
            let writer = &mut history.writers[who];
            let event = writer.write(later_ms, ID.into(), Body::WorkOrder(event_of(action)));
            writer.seen.pop();
            let mut events = history.events.clone();
            events.push(event.clone());
            let after = fold(ID, &events).unwrap();
            let line = line(&after, &event);
            if before.may(action) {
                prop_assert!(line.applied, "{action:?} in {:?}: {line:?}", before.state);
                prop_assert_eq!(after.needs_review, before.needs_review);
            } else if line.applied {
                // That somebody works or worked is a fact in any state; so is another reason to
                // wait. Nothing else happens that was not offered.
                let harmless = match action {
                    Action::Start | Action::Resume => after.state == S::InProgress,
                    Action::Complete => after.done.is_some(),
                    Action::Hold => before.state == S::OnHold,
                    _ => false,
                };
                prop_assert!(harmless, "{action:?} in {:?}", before.state);
            } else {
                prop_assert_eq!(after.state, before.state);
            }
        }
    }
}

fn event_of(action: Action) -> WorkOrderEvent {
    let reason = String::from("because");
    match action {
        Action::Approve => E::Approved,
        Action::Reject => E::Rejected { reason },
        Action::Start => E::Started,
        Action::Hold => E::Held {
            reason: HoldReason::Plant,
            note: None,
        },
        Action::Resume => E::Resumed,
        Action::Complete => E::Done { remedy: None },
        Action::Schedule => E::Scheduled {
            start: Timestamp(9),
            end: None,
        },
        Action::Verify => E::Verified { note: None },
        Action::Duplicate => E::MarkedDuplicate {
            of: WorkOrderId(Uuid::from_u128(81)),
        },
        Action::Close => E::Closed { note: None },
        Action::Reopen => E::Reopened { reason },
        Action::Cancel => E::Cancelled { reason },
        Action::Assign => E::Assigned {
            name: "Ana".into(),
            user: None,
        },
        Action::Edit => E::FieldSet(FieldValue::Title("new".into())),
    }
}

/// A box and the hub with one order that both have seen.
struct Scene {
    gateway: Writer,
    hub: Writer,
    ms: i64,
}

impl Scene {
    fn new() -> Self {
        let mut gateway = Writer::gateway(1);
        let mut hub = Writer::hub();
        let first = Body::WorkOrder(E::Created(created(false)));
        let first = gateway.write(1_000, ID.into(), first);
        hub.learn(1_000, &[first]);
        Self {
            gateway,
            hub,
            ms: 1_000,
        }
    }

    fn gateway(&mut self, body: WorkOrderEvent) -> Event {
        self.ms += 1_000;
        self.gateway
            .write(self.ms, ID.into(), Body::WorkOrder(body))
    }

    fn hub(&mut self, body: WorkOrderEvent) -> Event {
        self.ms += 1_000;
        self.hub.write(self.ms, ID.into(), Body::WorkOrder(body))
    }

    fn meet(&mut self) {
        let (up, down) = (self.gateway.seen.clone(), self.hub.seen.clone());
        self.hub.learn(self.ms, &up);
        self.gateway.learn(self.ms, &down);
    }

    /// The order that both sides see once they exchanged everything.
    fn merged(&mut self) -> WorkOrder {
        self.meet();
        let order = fold(ID, &self.gateway.seen).unwrap();
        assert_eq!(fold(ID, &self.hub.seen).as_ref(), Some(&order));
        order
    }
}

/// What comes out when the box does `gateway` and the hub does `hub` without knowing of each
/// other, with the box's stamp below the hub's and the other way round.
fn both_ways(before: &[E], gateway: &[E], hub: &[E]) -> [WorkOrder; 2] {
    [true, false].map(|gateway_first| {
        let mut scene = Scene::new();
        for body in before {
            scene.gateway(body.clone());
        }
        scene.meet();
        for gateways_turn in [gateway_first, !gateway_first] {
            if gateways_turn {
                for body in gateway {
                    scene.gateway(body.clone());
                }
            } else {
                for body in hub {
                    scene.hub(body.clone());
                }
            }
        }
        scene.merged()
    })
}

fn cancel() -> E {
    E::Cancelled {
        reason: "not needed".into(),
    }
}

fn close() -> E {
    E::Closed { note: None }
}

fn done(remedy: &str) -> E {
    E::Done {
        remedy: Some(remedy.into()),
    }
}

fn title(text: &str) -> E {
    E::FieldSet(FieldValue::Title(text.into()))
}

// Rule numbers: the merge rules of PROTOCOL.md, section 5.5.

#[test]
fn rule_1_changes_of_different_fields_are_both_kept() {
    let due = E::FieldSet(FieldValue::Due(Some(Timestamp(9))));
    for order in both_ways(&[], &[title("Seal leaks")], &[due]) {
        assert_eq!(order.title.value, "Seal leaks");
        assert_eq!(order.due.value, Some(Timestamp(9)));
        assert!(order.conflicts.is_empty() && !order.needs_review);
    }
}

#[test]
fn rule_2_the_later_value_wins_and_the_loser_is_kept_and_shown() {
    let [hub_last, box_last] = both_ways(&[], &[title("box")], &[title("hub")]);
    assert_eq!(hub_last.title.value, "hub");
    assert_eq!(box_last.title.value, "box");
    for order in [hub_last, box_last] {
        let [conflict] = order.conflicts.as_slice() else {
            panic!("one conflict: {:?}", order.conflicts)
        };
        assert_eq!(conflict.kept, order.title.value);
        assert_ne!(conflict.lost, conflict.kept);
        assert!(order.needs_review);
        assert!(order.history.iter().all(|line| line.applied));
    }
}

#[test]
fn rule_2_a_comment_in_between_does_not_hide_a_conflict() {
    let chat = E::Commented {
        text: "looking".into(),
    };
    let mut scene = Scene::new();
    scene.gateway(title("box"));
    scene.hub(chat);
    scene.hub(title("hub"));
    assert_eq!(scene.merged().conflicts.len(), 1);
}

#[test]
fn rule_2_a_rule_of_the_program_makes_no_conflict() {
    let mut scene = Scene::new();
    scene.gateway(title("box"));
    scene.hub.person = false;
    scene.hub(title("hub"));
    let order = scene.merged();
    assert_eq!(order.title.value, "hub");
    assert!(order.conflicts.is_empty());
}

#[test]
fn rule_3_labour_after_close_is_kept() {
    let labour = E::LabourAdded {
        minutes: 40,
        note: None,
    };
    let part = E::PartUsed {
        part: "seal".into(),
        quantity: 1.0,
    };
    let comment = E::Commented {
        text: "was easy".into(),
    };
    let facts = [labour, part, comment];
    for end in [close(), cancel()] {
        let [early, late] = both_ways(&[], &facts, std::slice::from_ref(&end));
        for order in [&early, &late] {
            assert_eq!((order.labour.len(), order.parts.len()), (1, 1));
            assert_eq!(order.comments.len(), 1);
            assert!(order.state.is_ended());
        }
        assert!(!early.comments[0].late);
        // The box wrote after the hub's end, without knowing of it.
        assert!(late.comments[0].late && late.needs_review);
    }
}

#[test]
fn rule_4_work_done_beats_a_concurrent_cancel() {
    for order in both_ways(&[], &[E::Started, done("new seal")], &[cancel()]) {
        assert_eq!(order.state, S::Done);
        assert!(order.needs_review);
        assert_eq!(order.remedy.as_deref(), Some("new seal"));
    }
}

#[test]
fn rule_4_work_begun_beats_a_concurrent_cancel() {
    for order in both_ways(&[], &[E::Started], &[cancel()]) {
        assert_eq!(order.state, S::InProgress);
        assert!(order.needs_review);
    }
}

#[test]
fn rule_4_a_close_over_work_that_goes_on_is_put_up_for_review() {
    for order in both_ways(&[], &[E::Started], &[close()]) {
        assert_eq!(order.state, S::Closed);
        assert!(order.needs_review && order.started_at.is_some());
    }
}

#[test]
fn rule_5_two_done_the_first_counts_and_the_planner_is_told() {
    let [box_first, hub_first] = both_ways(&[E::Started], &[done("box")], &[done("hub")]);
    assert_eq!(box_first.remedy.as_deref(), Some("box"));
    assert_eq!(hub_first.remedy.as_deref(), Some("hub"));
    for order in [box_first, hub_first] {
        assert_eq!(order.state, S::Done);
        assert!(order.needs_review);
        let last = order.history.last().unwrap();
        assert_eq!(last.note, Some("was done already; kept as work done twice"));
    }
}

#[test]
fn rule_6_hub_close_then_late_field_set_is_kept_for_review() {
    let mut scene = Scene::new();
    scene.hub(close());
    let late = scene.gateway(title("late"));
    let order = scene.merged();
    assert_eq!(order.title.value, "Pump is hot");
    assert!(order.needs_review);
    let line = line(&order, &late);
    assert!(!line.applied);
    assert_eq!(line.text.as_deref(), Some("title: late"));
}

#[test]
fn rule_7_times_are_the_actors_and_not_those_of_arrival() {
    let mut scene = Scene::new();
    scene.gateway(E::Started);
    scene.gateway(done("new seal"));
    scene.ms += 14 * 24 * 3_600_000;
    scene.hub(E::Commented {
        text: "any news?".into(),
    });
    let order = scene.merged();
    assert_eq!(order.started_at, Some(Timestamp::from_millis(2_000)));
    assert_eq!(order.done.unwrap().0, Timestamp::from_millis(3_000));
    let clocks: Vec<_> = order.history.iter().map(|line| line.clock).collect();
    assert_eq!(clocks, [ClockState::Synchronised; 4]);
}

#[test]
fn rule_8_stock_is_a_list_of_moves_that_may_go_below_zero() {
    let mut scene = Scene::new();
    for quantity in [1.0, -4.0] {
        scene.gateway(E::PartUsed {
            part: "seal".into(),
            quantity,
        });
    }
    let used: f64 = scene.merged().parts.iter().map(|part| part.quantity).sum();
    assert!((used + 3.0).abs() < f64::EPSILON);
}

#[test]
fn a_reopen_beats_a_concurrent_close() {
    let reopen = E::Reopened {
        reason: "leaks again".into(),
    };
    for order in both_ways(&[done("new seal")], &[reopen], &[close()]) {
        assert_eq!(order.state, S::Open);
        assert!(order.needs_review);
        assert_eq!(order.closed_at, None);
        assert!(order.done.is_some(), "the old completion is kept");
    }
}

#[test]
fn a_reopen_beats_a_close_even_when_the_hub_reopened_too() {
    let reopen = || E::Reopened {
        reason: "leaks".into(),
    };
    let mut scene = Scene::new();
    scene.hub(close());
    scene.meet();
    scene.gateway(reopen());
    scene.hub(reopen());
    scene.hub(close());
    let order = scene.merged();
    assert_eq!(order.state, S::Open);
    assert!(order.needs_review);
}

#[test]
fn a_new_alarm_beats_a_concurrent_close() {
    let alarm = E::AlarmOccurred { alert: ALERT };
    for end in [close(), cancel()] {
        for order in both_ways(
            &[],
            std::slice::from_ref(&alarm),
            std::slice::from_ref(&end),
        ) {
            assert_eq!(order.state, S::Open, "nobody would look at the alarm");
            assert!(order.needs_review);
            assert_eq!(order.alerts, [ALERT]);
        }
    }
    let duplicate = E::MarkedDuplicate {
        of: WorkOrderId(Uuid::from_u128(80)),
    };
    for order in both_ways(&[], &[alarm], &[duplicate]) {
        assert_eq!(order.state, S::Duplicate, "the other order goes on");
        assert!(order.needs_review);
    }
}

#[test]
fn a_reopened_order_that_is_done_again_has_the_new_completion() {
    let mut scene = Scene::new();
    scene.gateway(done("first"));
    scene.gateway(E::Reopened {
        reason: "leaks".into(),
    });
    scene.gateway(done("second"));
    let order = scene.merged();
    assert_eq!(order.remedy.as_deref(), Some("second"));
    assert_eq!(order.done.unwrap().0, Timestamp::from_millis(4_000));
    assert!(!order.needs_review);
}

#[test]
fn a_review_does_not_put_away_what_its_writer_had_not_seen() {
    let mut scene = Scene::new();
    scene.hub(close());
    scene.gateway(title("late"));
    scene.hub(E::Reviewed { note: None });
    assert!(scene.merged().needs_review);
    scene.hub(E::Reviewed { note: None });
    assert!(!scene.merged().needs_review);
}

#[test]
fn a_box_with_a_clock_a_year_ahead_does_not_win_for_ever() {
    let mut scene = Scene::new();
    scene.gateway.offset_ms = 365 * 24 * 3_600_000;
    scene.gateway(title("box"));
    scene.meet();
    scene.hub(title("hub"));
    let order = scene.merged();
    assert_eq!(order.title.value, "hub");
    assert!(order.conflicts.is_empty());
    scene.hub(close());
    assert_eq!(scene.merged().state, S::Closed);
}

#[test]
fn rule_14_events_before_the_created_one_wait_for_it() {
    let mut scene = Scene::new();
    scene.hub(E::Started);
    let later: Vec<Event> = scene.hub.seen.iter().skip(1).cloned().collect();
    assert_eq!(fold(ID, &later), None);
    assert_eq!(scene.merged().state, S::InProgress);
}

#[test]
fn a_fold_takes_a_bounded_number_of_events() {
    let mut scene = Scene::new();
    let one = scene.gateway(E::Commented { text: "x".into() });
    let max = crate::limits::EVENTS_PER_RECORD_MAX;
    for n in 0..max {
        let mut copy = one.clone();
        copy.id = EventId(Uuid::from_u64_pair(9, u64::try_from(n).unwrap()));
        scene.gateway.seen.push(copy);
    }
    let order = fold(ID, &scene.gateway.seen).unwrap();
    assert_eq!(order.history.len(), max);
}
