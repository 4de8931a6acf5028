//! Tests of the life of an alert: any order of arrival, and who may do what from where.

use super::*;
use crate::event::{Direction, GatewayEvent, Severity};
use crate::id::SensorId;
use crate::record::histories::{self, Writer, steps};
use proptest::prelude::*;
use uuid::Uuid;

const ID: AlertId = AlertId(Uuid::from_u128(77));

fn raised() -> AlertRaised {
    AlertRaised {
        rule: "pump hot".into(),
        sensor: SensorId(Uuid::from_u128(5)),
        sensor_path: "pump/temperature".into(),
        asset: Some("P-101".into()),
        title: "Pump P-101 is hot".into(),
        severity: Severity::High,
        direction: Direction::High,
        limit: 80.0,
        value: 81.0,
        unit: "Cel".into(),
        since: Timestamp(0),
    }
}

fn body() -> impl Strategy<Value = AlertEvent> {
    prop_oneof![
        1 => Just(AlertEvent::Raised(AlertRaised { value: 200.0, ..raised() })),
        3 => prop::option::of("[a-z]{1,6}").prop_map(|note| AlertEvent::Acknowledged { note }),
        3 => prop::option::of(0.0..80.0_f64).prop_map(|value| AlertEvent::Cleared { value }),
        3 => "[a-z]{1,6}".prop_map(|text| AlertEvent::Commented { text }),
        3 => (60.0..120.0_f64).prop_map(|value| AlertEvent::Peaked { value }),
    ]
}

proptest! {
    #[test]
    fn any_order_and_any_number_of_copies_give_the_same_alert(
        steps in steps(3, body()),
        offsets_ms in prop::collection::vec(prop_oneof![Just(0_i64), -9_000..9_000_i64, Just(900_000)], 3),
        order in prop::collection::vec(any::<usize>(), 0..60),
    ) {
        let first = Body::Alert(AlertEvent::Raised(raised()));
        let history = histories::play(ID.into(), first, &offsets_ms, steps, Body::Alert);
        let alert = fold(ID, &history.events).unwrap();
        prop_assert_eq!(fold(ID, &history.scrambled(&order)), Some(alert.clone()));
        let is = |event: &Event, want: fn(&AlertEvent) -> bool| match &event.body {
            Body::Alert(body) => want(body),
            _ => false,
        };
        let count = |want| history.events.iter().filter(|event| is(event, want)).count();
        prop_assert_eq!(alert.history.len(), count(|body| !matches!(body, AlertEvent::Peaked { .. })));
        prop_assert_eq!(alert.comments.len(), count(|body| matches!(body, AlertEvent::Commented { .. })));
        let acknowledged = count(|body| matches!(body, AlertEvent::Acknowledged { .. }));
        prop_assert_eq!(alert.acknowledged.is_some(), acknowledged > 0);
        let cleared_at_home = history.events.iter().any(|event| {
            event.origin == alert.origin && is(event, |body| matches!(body, AlertEvent::Cleared { .. }))
        });
        prop_assert_eq!(alert.cleared.is_some(), cleared_at_home);
    }
}

struct Scene {
    gateway: Writer,
    hub: Writer,
    ms: i64,
}

impl Scene {
    fn new() -> Self {
        let mut gateway = Writer::gateway(1);
        let mut hub = Writer::hub();
        let first = gateway.write(1_000, ID.into(), Body::Alert(AlertEvent::Raised(raised())));
        hub.learn(1_000, &[first]);
        Self {
            gateway,
            hub,
            ms: 1_000,
        }
    }

    fn gateway(&mut self, body: AlertEvent) {
        self.ms += 1_000;
        self.gateway.write(self.ms, ID.into(), Body::Alert(body));
    }

    fn hub(&mut self, body: AlertEvent) {
        self.ms += 1_000;
        self.hub.write(self.ms, ID.into(), Body::Alert(body));
    }

    /// The alert that both sides see once they exchanged everything.
    fn merged(&self) -> Alert {
        let mut events = self.gateway.seen.clone();
        events.extend(self.hub.seen.clone());
        fold(ID, &events).unwrap()
    }
}

fn acknowledged() -> AlertEvent {
    AlertEvent::Acknowledged { note: None }
}

#[test]
fn acknowledge_anywhere() {
    let mut scene = Scene::new();
    scene.hub(acknowledged());
    assert_eq!(scene.merged().state(), AlertState::Acknowledged);
    scene.gateway(acknowledged());
    let alert = scene.merged();
    let (at, by) = alert.acknowledged.unwrap();
    assert_eq!(
        (at, by.as_str()),
        (Timestamp::from_millis(2_000), "1000"),
        "the first one counts, with the time of the person's own clock"
    );
    assert_eq!(
        alert.history.last().unwrap().note,
        Some("was acknowledged already")
    );
}

#[test]
fn only_the_measuring_gateway_clears() {
    let mut scene = Scene::new();
    scene.hub(AlertEvent::Cleared { value: None });
    let alert = scene.merged();
    assert_eq!(alert.state(), AlertState::Active);
    assert!(!alert.history.last().unwrap().applied);
    scene.gateway(AlertEvent::Cleared { value: Some(70.0) });
    assert_eq!(scene.merged().state(), AlertState::Cleared);
    scene.hub(acknowledged());
    assert_eq!(scene.merged().state(), AlertState::Closed);
}

#[test]
fn the_peak_is_the_furthest_value_on_the_side_of_the_limit() {
    let mut scene = Scene::new();
    for value in [95.0, 90.0, 70.0] {
        scene.gateway(AlertEvent::Peaked { value });
    }
    let alert = scene.merged();
    assert_eq!(alert.peak.to_bits(), 95.0_f64.to_bits());
    assert_eq!(alert.history.len(), 1, "a peak is no line of history");
}

#[test]
fn events_before_the_raised_one_wait_for_it() {
    let mut scene = Scene::new();
    scene.hub(acknowledged());
    let later: Vec<Event> = scene.hub.seen.iter().skip(1).cloned().collect();
    assert_eq!(fold(ID, &later), None);
    assert_eq!(scene.merged().state(), AlertState::Acknowledged);
}

#[test]
fn an_event_of_a_newer_build_is_shown_and_changes_nothing() {
    let mut scene = Scene::new();
    let strange = [
        Body::Unknown {
            kind: 99,
            version: 1,
            bytes: vec![1],
        },
        Body::Gateway(GatewayEvent::Started {
            version: "1".into(),
        }),
    ];
    for body in strange {
        scene.gateway.write(5_000, ID.into(), body);
    }
    let alert = scene.merged();
    assert_eq!(alert.state(), AlertState::Active);
    let lines: Vec<_> = alert.history.iter().map(|l| (l.what, l.applied)).collect();
    let expected = [("raised", true), ("unknown", false), ("unknown", false)];
    assert_eq!(lines, expected);
}
