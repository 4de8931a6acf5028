//! Tests of an alarm point: any order of arrival, who may write what, and that a shelf ends.

use super::*;
use crate::record::histories::{self, Writer, steps};
use proptest::prelude::*;
use uuid::Uuid;

const ID: AlarmPointId = AlarmPointId(Uuid::from_u128(78));

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(ms)
}

fn shelved(until: Timestamp) -> AlarmPointEvent {
    AlarmPointEvent::Shelved {
        rule: "pump hot".into(),
        sensor_path: "pump/temperature".into(),
        reason: "known".into(),
        until,
    }
}

fn out_of_service() -> AlarmPointEvent {
    AlarmPointEvent::OutOfService {
        rule: "pump hot".into(),
        sensor_path: "pump/temperature".into(),
        reason: "wire broken".into(),
    }
}

fn suppressed() -> AlarmPointEvent {
    AlarmPointEvent::Suppressed {
        rule: "pump hot".into(),
        sensor_path: "pump/temperature".into(),
        cause: SuppressionCause::Maintenance { of: "P-101".into() },
    }
}

fn body() -> impl Strategy<Value = AlarmPointEvent> {
    prop_oneof![
        2 => (0_i64..9_000).prop_map(|ms| shelved(at(ms))),
        2 => Just(AlarmPointEvent::Unshelved { note: None }),
        2 => Just(out_of_service()),
        2 => Just(AlarmPointEvent::InService { note: None }),
        2 => Just(suppressed()),
        2 => Just(AlarmPointEvent::Unsuppressed),
        1 => Just(AlarmPointEvent::Calmed),
        1 => Just(AlarmPointEvent::Withheld { value: 1.0, since: at(1) }),
    ]
}

proptest! {
    #[test]
    fn any_order_and_any_number_of_copies_give_the_same_point(
        steps in steps(3, body()),
        order in prop::collection::vec(any::<usize>(), 0..60),
    ) {
        let first = Body::AlarmPoint(shelved(at(5_000)));
        let history = histories::play(ID.into(), first, &[0, 0, 0], steps, Body::AlarmPoint);
        let point = fold(ID, &history.events).unwrap();
        prop_assert_eq!(fold(ID, &history.scrambled(&order)), Some(point.clone()));
        prop_assert_eq!(point.history.len(), history.events.len());
        let far = Timestamp(i64::MAX);
        prop_assert!(
            !matches!(point.holds(far), Some(Hold::Shelved(_))), "every shelf ends by itself"
        );
    }
}

/// One writer after the other: what the point is at last.
fn told(bodies: Vec<(bool, AlarmPointEvent)>) -> AlarmPoint {
    let (mut gateway, mut hub) = (Writer::gateway(1), Writer::hub());
    let mut ms = 1_000;
    let mut events = Vec::new();
    for (at_hub, body) in bodies {
        ms += 1_000;
        let writer = if at_hub { &mut hub } else { &mut gateway };
        events.push(writer.write(ms, ID.into(), Body::AlarmPoint(body)));
        gateway.learn(ms, &events);
        hub.learn(ms, &events);
    }
    fold(ID, &events).unwrap()
}

#[test]
fn a_shelf_ends_by_itself_and_the_strongest_reason_counts() {
    let point = told(vec![(false, shelved(at(9_000))), (false, suppressed())]);
    assert!(
        matches!(point.holds(at(8_999)), Some(Hold::Shelved(shelf)) if shelf.said.reason == "known")
    );
    assert!(matches!(point.holds(at(9_000)), Some(Hold::Suppressed(_))));
    let point = told(vec![(false, shelved(at(9_000))), (true, out_of_service())]);
    assert!(matches!(
        point.holds(at(8_999)),
        Some(Hold::OutOfService(_))
    ));
    assert_eq!(
        (point.rule.as_str(), point.sensor_path.as_str()),
        ("pump hot", "pump/temperature")
    );
}

#[test]
fn only_the_gateway_suppresses() {
    let point = told(vec![(false, shelved(at(3_000))), (true, suppressed())]);
    assert_eq!(point.suppressed, None);
    assert!(!point.history.last().unwrap().applied);
}

#[test]
fn what_was_withheld_goes_with_what_held_it() {
    let withheld = AlarmPointEvent::Withheld {
        value: 81.0,
        since: at(1),
    };
    let point = told(vec![(false, out_of_service()), (false, withheld.clone())]);
    assert_eq!(point.withheld, Some((81.0, at(1))));
    let back = AlarmPointEvent::InService { note: None };
    let point = told(vec![
        (false, out_of_service()),
        (false, withheld.clone()),
        (true, back),
    ]);
    assert_eq!((point.withheld, point.out_of_service), (None, None));
    let point = told(vec![(false, suppressed()), (false, withheld)]);
    assert_eq!(point.withheld, None, "suppressed says it already");
}

#[test]
fn a_maintenance_switch_is_a_record_of_its_own() {
    let began = AlarmPointEvent::MaintenanceBegan {
        of: Maintained::Device("pump".into()),
        reason: "seal".into(),
        until: None,
    };
    let point = told(vec![(false, began.clone())]);
    let maintenance = point.maintenance.unwrap();
    assert_eq!(
        (maintenance.of.name(), maintenance.said.reason.as_str()),
        ("pump", "seal")
    );
    let point = told(vec![
        (false, began),
        (true, AlarmPointEvent::MaintenanceEnded { note: None }),
    ]);
    assert_eq!(point.maintenance, None);
}
