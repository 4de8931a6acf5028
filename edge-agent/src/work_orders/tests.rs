//! Which alert opens an order and which joins one, judged by the fold that every page uses.

use super::*;
use protocol::event::{Actor, Body, Event, WorkType};
use protocol::id::{EventId, GatewayId, Origin, SensorId};
use protocol::time::{ClockState, Hlc};
use protocol::work_order::{self, WorkOrderState};
use std::time::Duration;
use uuid::Uuid;

const HOUR_US: i64 = 3_600 * 1_000_000;

fn rule(name: &str, failure_mode: &str, priority: u8) -> RuleConfig {
    let work_order = WorkOrderConfig {
        title: "Check the bearing".to_owned(),
        priority,
        failure_mode: failure_mode.to_owned(),
        work_type: WorkType::Inspection,
        before: Duration::from_secs(600),
        after: Duration::from_secs(120),
        cool_down: Duration::from_secs(86_400),
        per_day_max: 2,
    };
    RuleConfig {
        alarm: crate::config::AlarmConfig::default(),
        name: name.to_owned(),
        sensor: "d/t".to_owned(),
        unit: Unit::parse("degC"),
        asset: Some("P-1".to_owned()),
        kind: crate::config::RuleKind::Threshold(crate::config::Limits {
            high: Some(80.0),
            low: None,
            deadband: 0.0,
            on_delay: Duration::ZERO,
            off_delay: Duration::ZERO,
        }),
        severity: Severity::Medium,
        title: name.to_owned(),
        work_order: Some(work_order),
    }
}

fn policy() -> Policy {
    let mut quiet = rule("quiet", "x", 3);
    quiet.work_order = None;
    Policy::new(&[
        rule("warm", "overheating", 3),
        rule("hot", "overheating", 1),
        rule("shaking", "imbalance", 3),
        quiet,
    ])
}

fn raised(rule: &str, severity: Severity) -> AlertRaised {
    AlertRaised {
        rule: rule.to_owned(),
        sensor: SensorId(Uuid::from_u128(7)),
        sensor_path: "d/t".to_owned(),
        asset: Some("P-1".to_owned()),
        title: rule.to_owned(),
        severity,
        direction: Direction::High,
        limit: 80.0,
        value: 85.5,
        unit: "Cel".to_owned(),
        since: Timestamp(0),
    }
}

fn alert(number: u128) -> AlertId {
    AlertId(Uuid::from_u128(number))
}

fn order(number: u128) -> WorkOrderId {
    WorkOrderId(Uuid::from_u128(number))
}

fn new_order(id: u32) -> NewOrder {
    NewOrder {
        id: order(u128::from(id)),
        snapshots: Vec::new(),
    }
}

fn standing(number: u128, severity: Severity, ended_at: Option<Timestamp>) -> Standing {
    let dedupe_key = "P-1|overheating".to_owned();
    Standing {
        id: order(number),
        dedupe_key,
        ended_at,
        severity,
        priority: 3,
    }
}

fn decide(rule: &str, severity: Severity, now: Timestamp, standing: &[Standing]) -> Decision {
    let raised = raised(rule, severity);
    let alarm = Alarm {
        id: alert(9),
        raised: &raised,
        now,
    };
    policy().decide(alarm, standing, new_order(417))
}

/// Events of an order as a store would write them.
fn fold(id: WorkOrderId, bodies: &[WorkOrderEvent]) -> WorkOrder {
    let gateway = GatewayId(Uuid::from_u128(1));
    let events = (1_u32..).zip(bodies).map(|(seq, body)| Event {
        id: EventId(Uuid::from_u128(u128::from(seq))),
        origin: Origin::Gateway(gateway),
        incarnation: 1,
        seq: u64::from(seq),
        hlc: Hlc {
            wall_ms: u64::from(seq),
            counter: 0,
            node: 1,
        },
        based_on: Hlc::default(),
        time: Timestamp(i64::from(seq) * HOUR_US),
        clock: ClockState::Synchronised,
        actor: Actor::System("hot".to_owned()),
        record: id.into(),
        body: Body::WorkOrder(body.clone()),
    });
    work_order::fold(id, &events.collect::<Vec<_>>()).unwrap()
}

#[test]
fn an_alert_opens_an_order_with_key_and_readings() {
    let alarm = raised("hot", Severity::Critical);
    let mut new = new_order(417);
    new.snapshots = vec![snapshot(&alarm, &[(Timestamp(1), 85.5)])];
    let alarm = Alarm {
        id: alert(9),
        raised: &alarm,
        now: Timestamp(0),
    };
    let decision = policy().decide(alarm, &[], new);
    let Decision::Opened(id, events) = decision else {
        panic!("{decision:?}")
    };
    let order = fold(id, &events);
    assert_eq!(order.dedupe_key.as_deref(), Some("P-1|overheating"));
    assert_eq!(
        (order.priority.value, order.work_type),
        (1, WorkType::Inspection)
    );
    assert_eq!(
        order.description.value,
        "d/t is at 85.5 °C, above its limit of 80 °C (rule \"hot\")."
    );
    assert_eq!(order.alerts, [alert(9)]);
    assert_eq!(order.snapshots[0].points, [(Timestamp(1), 85.5)]);
    assert_eq!(order.state, WorkOrderState::Open);
}

#[test]
fn values_are_shown_as_people_write_them() {
    let shown: Vec<String> = [80.0, 80.100_000_000_000_01, -0.5, 0.0, 1200.0, 0.000_25]
        .map(show)
        .into();
    assert_eq!(shown, ["80", "80.1", "-0.5", "0", "1200", "0.00025"]);
}

#[test]
fn a_rule_without_an_order_opens_none() {
    assert_eq!(
        decide("quiet", Severity::High, Timestamp(0), &[]),
        Decision::Nothing
    );
    assert_eq!(
        decide("gone", Severity::High, Timestamp(0), &[]),
        Decision::Nothing
    );
}

#[test]
fn without_an_asset_the_sensor_stands_in() {
    let mut alarm = raised("hot", Severity::High);
    alarm.asset = None;
    assert_eq!(
        policy().dedupe_key(&alarm).as_deref(),
        Some("d/t|overheating")
    );
}

#[test]
fn while_an_order_is_open_alarms_join_it() {
    let open = [
        standing(5, Severity::Medium, None),
        standing(3, Severity::Medium, None),
    ];
    let occurred = WorkOrderEvent::AlarmOccurred { alert: alert(9) };
    let joined = Decision::Joined(order(3), vec![occurred.clone()]);
    assert_eq!(
        decide("warm", Severity::Medium, Timestamp(0), &open),
        joined,
        "the older one"
    );
    let urgent = WorkOrderEvent::FieldSet(FieldValue::Priority(1));
    let joined = Decision::Joined(order(3), vec![occurred, urgent]);
    assert_eq!(
        decide("hot", Severity::Critical, Timestamp(0), &open),
        joined
    );
    assert!(matches!(
        decide("shaking", Severity::Low, Timestamp(0), &open),
        Decision::Opened(..)
    ));
}

#[test]
fn for_a_day_after_its_end_no_new_order_unless_it_is_worse() {
    let ended = [standing(3, Severity::High, Some(Timestamp(100 * HOUR_US)))];
    let at = |hours: i64, severity| decide("hot", severity, Timestamp(hours * HOUR_US), &ended);
    let occurred = vec![WorkOrderEvent::AlarmOccurred { alert: alert(9) }];
    for hours in [100, 110, 123] {
        assert_eq!(
            at(hours, Severity::High),
            Decision::CoolingDown(order(3), occurred.clone())
        );
    }
    assert!(matches!(at(124, Severity::High), Decision::Opened(..)));
    assert!(matches!(at(101, Severity::Critical), Decision::Opened(..)));
    assert!(
        matches!(at(10, Severity::High), Decision::Opened(..)),
        "its clock was wrong"
    );
}

#[test]
fn an_order_stands_as_its_events_tell() {
    let Decision::Opened(id, mut events) = decide("hot", Severity::High, Timestamp(0), &[]) else {
        panic!("opened")
    };
    let severity = |_| Some(Severity::High);
    let open = Standing::of(&fold(id, &events), severity).unwrap();
    assert_eq!((open.ended_at, open.severity), (None, Severity::High));
    events.push(WorkOrderEvent::Done { remedy: None });
    let done = Standing::of(&fold(id, &events), severity).unwrap();
    assert_eq!(done.ended_at, Some(Timestamp(2 * HOUR_US)));
    events.push(WorkOrderEvent::AlarmOccurred { alert: alert(10) });
    events.push(WorkOrderEvent::Closed { note: None });
    let closed = Standing::of(&fold(id, &events), severity).unwrap();
    assert_eq!(closed.ended_at, Some(Timestamp(4 * HOUR_US)));
    events.push(WorkOrderEvent::Reopened {
        reason: "leaks again".to_owned(),
    });
    assert_eq!(
        Standing::of(&fold(id, &events), severity).unwrap().ended_at,
        None
    );
}

proptest::proptest! {
    /// However alarms come, and whenever people finish an order, a key has never more than one
    /// order that needs somebody, and every alarm is in an order.
    #[test]
    fn one_open_order_per_key_and_no_alarm_lost(
        steps in proptest::collection::vec((0_u8..4, 0_i64..40), 1..40)
    ) {
        let policy = policy();
        let mut orders: Vec<(WorkOrderId, Vec<WorkOrderEvent>)> = Vec::new();
        let mut alarms = Vec::new();
        for (count, (kind, hours)) in (0_u32..).zip(steps) {
            let now = Timestamp(hours * HOUR_US);
            if kind == 0 {
                if let Some((_, events)) = orders.last_mut() {
                    events.push(WorkOrderEvent::Done { remedy: None });
                }
                continue;
            }
            let alarm = alert(1_000 + u128::from(count));
            alarms.push(alarm);
            let severity = if kind == 3 { Severity::Critical } else { Severity::Low };
            let standing: Vec<Standing> = orders
                .iter()
                .filter_map(|(id, events)| Standing::of(&fold(*id, events), |_| Some(Severity::Low)))
                .collect();
            let raised = raised("hot", severity);
            match policy.decide(Alarm { id: alarm, raised: &raised, now }, &standing, new_order(count)) {
                Decision::Opened(id, events) => orders.push((id, events)),
                Decision::Joined(id, more) | Decision::CoolingDown(id, more) => {
                    let (_, events) = orders.iter_mut().find(|(other, _)| *other == id).unwrap();
                    events.extend(more);
                }
                Decision::Nothing => proptest::prop_assert!(false, "the rule opens orders"),
            }
            let folded: Vec<WorkOrder> = orders.iter().map(|(id, events)| fold(*id, events)).collect();
            proptest::prop_assert!(folded.iter().filter(|order| order.state.is_open()).count() <= 1);
            let known: Vec<AlertId> = folded.iter().flat_map(|order| order.alerts.clone()).collect();
            proptest::prop_assert!(alarms.iter().all(|alarm| known.contains(alarm)));
        }
    }
}

#[test]
fn a_rule_opens_so_many_orders_a_day_and_says_when_it_does_not() {
    let policy = policy();
    assert_eq!(policy.capped("hot", 1), None);
    let words = policy.capped("hot", 2).unwrap();
    assert!(words.contains("\"hot\" has opened 2") && words.contains("per_day_max = 2"));
    assert_eq!(policy.capped("quiet", 99), None, "it opens none anyway");
}

#[test]
fn the_cool_down_is_the_rules_own() {
    let mut short = rule("hot", "overheating", 1);
    if let Some(order) = &mut short.work_order {
        order.cool_down = Duration::ZERO;
    }
    let ended = Timestamp(50 * HOUR_US);
    let standing = [Standing {
        id: WorkOrderId(Uuid::from_u128(3)),
        dedupe_key: "P-1|overheating".to_owned(),
        ended_at: Some(ended),
        severity: Severity::Critical,
        priority: 1,
    }];
    for (rules, opens) in [(short, true), (rule("hot", "overheating", 1), false)] {
        let raised = raised("hot", Severity::Medium);
        let alarm = Alarm {
            id: AlertId(Uuid::from_u128(4)),
            raised: &raised,
            now: ended.plus_micros(1_000_000),
        };
        let new = NewOrder {
            id: WorkOrderId(Uuid::from_u128(5)),
            snapshots: Vec::new(),
        };
        let decision = Policy::new(&[rules]).decide(alarm, &standing, new);
        assert_eq!(
            matches!(decision, Decision::Opened(..)),
            opens,
            "{decision:?}"
        );
    }
}
