//! From findings to events, judged by the fold that every page and the hub use.

use super::*;
use crate::config::{Config, RuleConfig, RuleKind};
use proptest::prelude::*;
use protocol::alert::{self, AlertState};
use protocol::event::{Actor, Body, Event};
use protocol::id::{EventId, GatewayId, Origin, SensorId};
use protocol::time::{ClockState, Hlc};
use std::path::Path;
use uuid::Uuid;

const GATEWAY: GatewayId = GatewayId(Uuid::from_u128(1));

fn rules() -> Vec<RuleConfig> {
    let text = r#"
        [[port]]
        name = "p"
        protocol = "modbus"
        [[device]]
        name = "d"
        port = "p"
        asset = "P-1"
        [[device.sensor]]
        name = "t"
        unit_name = "degC"
        [[rule]]
        name = "hot"
        title = "Pump is hot"
        sensor = "d/t"
        high = 80.0
        low = 10.0
        severity = "high"
    "#;
    Config::parse(Path::new("e"), text).unwrap().rules
}

fn id(number: u128) -> AlertId {
    AlertId(Uuid::from_u128(number))
}

fn second(second: i64) -> Timestamp {
    Timestamp(second * 1_000_000)
}

fn finding(at: i64, change: Change) -> Finding {
    let sensor = SensorId::derive(GATEWAY, "d/t");
    Finding {
        rule: "hot".into(),
        sensor,
        time: second(at),
        clock: ClockState::Synchronised,
        change,
    }
}

fn raised(at: i64, value: f64) -> Finding {
    let change = Change::Raised {
        direction: Direction::High,
        limit: 80.0,
        value,
        peak: value,
        since: second(at - 5),
        detail: None,
    };
    finding(at, change)
}

fn cleared(at: i64, peak: f64) -> Finding {
    finding(at, Change::Cleared { value: 70.0, peak })
}

fn peaked(at: i64, value: f64) -> Finding {
    finding(at, Change::Peaked { value })
}

/// The steps as a store would write them.
fn written(steps: &[AlertStep]) -> Vec<Event> {
    let events = (1_u32..).zip(steps).map(|(seq, step)| Event {
        id: EventId(Uuid::from_u128(u128::from(seq))),
        origin: Origin::Gateway(GATEWAY),
        incarnation: 1,
        seq: u64::from(seq),
        hlc: Hlc {
            wall_ms: u64::from(seq),
            counter: 0,
            node: 1,
        },
        based_on: Hlc::default(),
        time: step.time,
        clock: step.clock,
        actor: Actor::System(step.rule.clone()),
        record: step.alert.into(),
        body: Body::Alert(step.event.clone()),
    });
    events.collect()
}

#[test]
fn an_episode_is_one_alert_with_its_peak() {
    let mut book = AlertBook::new(&rules());
    let mut steps = Vec::new();
    let mut apply = |finding: &Finding, new| steps.extend(book.apply(finding, id(new)));
    apply(&raised(10, 85.0), 1);
    for at in 11..=40 {
        let climb: f64 = f64::from(i32::try_from(at).unwrap()) + 75.0;
        apply(&peaked(at, climb), 99);
    }
    apply(&cleared(100, 115.0), 99);
    assert_eq!(
        steps.len(),
        3,
        "raised, the peak at the end, cleared: {steps:?}"
    );
    let alert = alert::fold(id(1), &written(&steps)).unwrap();
    assert_eq!(alert.state(), AlertState::Cleared);
    assert_eq!((alert.raised.value, alert.peak), (85.0, 115.0));
    assert_eq!(alert.raised.title, "Pump is hot");
    assert_eq!(alert.raised.unit, "Cel");
    assert_eq!(alert.raised.asset.as_deref(), Some("P-1"));
    assert_eq!(alert.raised_at, second(10));
    assert_eq!(alert.cleared, Some((second(100), Some(70.0))));
}

#[test]
fn a_slow_climb_is_told_once_a_minute() {
    let mut book = AlertBook::new(&rules());
    assert_eq!(book.apply(&raised(0, 81.0), id(1)).len(), 1);
    let told: Vec<i64> = (1..=300)
        .filter(|at| {
            let value = 81.0 + f64::from(i32::try_from(*at).unwrap());
            !book.apply(&peaked(*at, value), id(9)).is_empty()
        })
        .collect();
    assert_eq!(told, [60, 120, 180, 240, 300]);
}

#[test]
fn abnormal_again_before_anybody_looked_is_a_new_alert() {
    let mut book = AlertBook::new(&rules());
    let mut steps = book.apply(&raised(10, 85.0), id(1));
    steps.extend(book.apply(&cleared(20, 85.0), id(2)));
    steps.extend(book.apply(&raised(30, 90.0), id(3)));
    assert_eq!(book.open_alert("hot"), Some(id(3)));
    let events = written(&steps);
    assert_eq!(
        alert::fold(id(1), &events).unwrap().state(),
        AlertState::Cleared
    );
    assert_eq!(
        alert::fold(id(3), &events).unwrap().state(),
        AlertState::Active
    );
    assert!(alert::fold(id(2), &events).is_none());
}

#[test]
fn what_does_not_fit_changes_nothing() {
    let mut book = AlertBook::new(&rules());
    assert_eq!(book.apply(&cleared(1, 85.0), id(1)), []);
    assert_eq!(book.apply(&peaked(1, 85.0), id(1)), []);
    assert_eq!(book.apply(&raised(10, 85.0), id(1)).len(), 1);
    assert_eq!(book.apply(&raised(11, 85.0), id(2)), []);
    assert_eq!(book.open_alert("hot"), Some(id(1)));
    let mut unknown = raised(1, 85.0);
    unknown.rule = "gone".into();
    assert_eq!(book.apply(&unknown, id(3)), []);
}

#[test]
fn a_restart_takes_up_what_is_open_and_ends_what_has_no_rule() {
    let mut book = AlertBook::new(&rules());
    let steps = book.apply(&raised(10, 85.0), id(1));
    let open = alert::fold(id(1), &written(&steps)).unwrap();
    let mut next = AlertBook::new(&rules());
    next.take_up(&open);
    assert_eq!(next.retire(second(50), ClockState::Holdover), []);
    assert_eq!(next.apply(&raised(60, 85.0), id(2)), []);
    let told = next.apply(&cleared(70, 95.0), id(2));
    assert_eq!(
        told.len(),
        2,
        "the peak was not told before the restart: {told:?}"
    );
    assert!(told.iter().all(|step| step.alert == id(1)));

    let mut without = AlertBook::new(&[]);
    without.take_up(&open);
    let [step] = without
        .retire(second(50), ClockState::Holdover)
        .try_into()
        .unwrap();
    assert_eq!(
        (step.alert, step.event),
        (id(1), AlertEvent::Cleared { value: None })
    );
    assert_eq!(without.retire(second(51), ClockState::Holdover), []);

    let mut twice = AlertBook::new(&rules());
    twice.take_up(&open);
    twice.take_up(&Alert { id: id(2), ..open });
    let ended: Vec<AlertId> = twice
        .retire(second(50), ClockState::Holdover)
        .iter()
        .map(|step| step.alert)
        .collect();
    assert_eq!((ended, twice.open_alert("hot")), (vec![id(1)], Some(id(2))));
}

proptest! {
    /// Whatever the detectors tell, a rule never has two alerts that are not cleared, and every
    /// event has its effect.
    #[test]
    fn a_rule_has_at_most_one_alert_that_is_not_cleared(
        told in proptest::collection::vec((0_u8..3, 70.0_f64..120.0), 0..60)
    ) {
        let mut book = AlertBook::new(&rules());
        let mut steps = Vec::new();
        for (at, (kind, value)) in (0_i64..).zip(told) {
            let finding = match kind {
                0 => raised(at * 30, value),
                1 => peaked(at * 30, value),
                _ => cleared(at * 30, value),
            };
            steps.extend(book.apply(&finding, id(u128::try_from(at).unwrap() + 1)));
            let events = written(&steps);
            let alerts = (1..=60).filter_map(|number| alert::fold(id(number), &events));
            let alerts: Vec<Alert> = alerts.collect();
            let open: Vec<AlertId> =
                alerts.iter().filter(|alert| alert.cleared.is_none()).map(|alert| alert.id).collect();
            prop_assert!(open.len() <= 1);
            prop_assert_eq!(open.first().copied(), book.open_alert("hot"));
            prop_assert!(alerts.iter().flat_map(|alert| &alert.history).all(|line| line.applied));
        }
    }

    /// Killed at any moment, and with what was saved as old as it may be: the readings judged
    /// again tell the same alerts at the same times, no more, no less, none cleared too early.
    #[test]
    fn a_kill_at_any_moment_changes_no_alert(
        values in proptest::collection::vec(60.0_f64..100.0, 1..60), save in 0_usize..60, kill in 0_usize..60
    ) {
        let kill = kill.min(values.len());
        let save = save.min(kill);
        let mut straight = Judged::default();
        straight.judge(&values, 0..values.len());
        let mut judged = Judged::default();
        judged.judge(&values, 0..save);
        let saved = (judged.detectors.save(), judged.book.save());
        judged.judge(&values, save..kill);
        let mut next = Judged { told: judged.told, ..Judged::default() };
        next.detectors.restore(&saved.0);
        next.book.restore(&saved.1);
        let record = next.told.values().cloned().collect::<Vec<_>>();
        next.judge(&values, save..kill);
        let mut ids: Vec<AlertId> = record.iter().map(|step| step.alert).collect();
        ids.dedup();
        for id in ids {
            let alert = alert::fold(id, &written(&record)).unwrap();
            next.book.take_up(&alert);
            next.detectors.stand_behind(&alert);
        }
        prop_assert_eq!(next.book.retire(second(0), ClockState::Holdover), []);
        next.judge(&values, kill..values.len());
        prop_assert_eq!(next.told, straight.told);
    }
}

/// Detectors and book at work on one reading a second. What is told stands behind the name of its
/// event, as in the store: told twice is told once.
struct Judged {
    detectors: crate::analysis::Detectors,
    book: AlertBook,
    told: BTreeMap<(i64, String), AlertStep>,
}

impl Default for Judged {
    fn default() -> Self {
        Self {
            detectors: crate::analysis::Detectors::new(&rules(), GATEWAY),
            book: AlertBook::new(&rules()),
            told: BTreeMap::new(),
        }
    }
}

impl Judged {
    fn judge(&mut self, values: &[f64], range: std::ops::Range<usize>) {
        for at in range {
            let time = second(i64::try_from(at).unwrap() * 40);
            let reading = protocol::reading::Reading {
                sensor: SensorId::derive(GATEWAY, "d/t"),
                time,
                value: Some(values[at]),
                quality: protocol::reading::Quality::Good,
                clock: ClockState::Synchronised,
            };
            for finding in self.detectors.step(&reading) {
                for step in self
                    .book
                    .apply(&finding, id(u128::try_from(at).unwrap() + 1))
                {
                    let kind = format!("{:?}", std::mem::discriminant(&step.event));
                    let name = format!("{:?} {kind}", step.alert);
                    self.told.entry((step.time.0, name)).or_insert(step);
                }
            }
        }
    }
}

#[test]
fn other_rules_keep_the_alert_of_a_rule_that_stays_for_its_sensor() {
    let open = || {
        let mut book = AlertBook::new(&rules());
        assert_eq!(book.apply(&raised(10, 90.0), id(1)).len(), 1);
        book
    };
    let changed = |change: fn(&mut RuleConfig)| {
        let mut rules = rules();
        change(&mut rules[0]);
        let mut book = open();
        book.change_rules(&rules);
        let retired = book.retire(second(20), ClockState::Synchronised);
        (book.open_alert("hot"), retired.len())
    };
    assert_eq!(
        changed(|rule| {
            if let RuleKind::Threshold(limits) = &mut rule.kind {
                limits.high = Some(85.0);
            }
        }),
        (Some(id(1)), 0)
    );
    assert_eq!(changed(|rule| rule.sensor = "d/u".to_owned()), (None, 1));
    assert_eq!(changed(|rule| rule.name = "warm".to_owned()), (None, 1));
    let mut book = open();
    book.change_rules(&[]);
    let retired = book.retire(second(20), ClockState::Synchronised);
    assert_eq!(retired[0].event, AlertEvent::Cleared { value: None });
    assert_eq!((retired[0].alert, retired[0].time), (id(1), second(20)));
}
