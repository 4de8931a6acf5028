//! Tests of what people ask: what is read, what is refused in which words, what is written.

use super::*;
use crate::bundle::{Answer, Checklist, Part, Step};
use crate::event::{Actor, Body, Event, TaskKind, TaskValue, WorkOrderEvent as E};
use crate::id::{EventId, Origin, SiteId};
use crate::time::{ClockState, Hlc, Timestamp};
use crate::work_order;
use serde_json::json;

const ID: WorkOrderId = WorkOrderId(Uuid::from_u128(7));

fn gateway() -> GatewayId {
    GatewayId(Uuid::from_u128(1))
}

fn bundle() -> Bundle {
    let step = |title: &str, required, answer| Step {
        title: title.into(),
        required,
        answer,
    };
    let pressure = Answer::Number {
        unit: "bar".into(),
        low: Some(2.0),
        high: Some(4.0),
    };
    Bundle {
        number: 1,
        site: SiteId(Uuid::from_u128(2)),
        made: Timestamp(0),
        valid_until: Timestamp(1),
        grace_days: 1,
        people: Vec::new(),
        assets: Vec::new(),
        parts: vec![Part {
            number: "SKF-6204".into(),
            name: "Bearing".into(),
            stock: 3.0,
            unit: "piece".into(),
            place: Some("A-3".into()),
            minimum: None,
        }],
        checklists: vec![Checklist {
            id: "pump-monthly".into(),
            version: 2,
            title: "Pump, monthly".into(),
            class: None,
            steps: vec![
                step("Oil level is right", true, Answer::Yes),
                step("Pressure", true, pressure),
                step("Photo", false, Answer::Photo),
            ],
        }],
        failure_codes: Vec::new(),
    }
}

/// An order and the acts on it, as a program takes them.
struct Desk {
    events: Vec<Event>,
    bundle: Bundle,
}

impl Desk {
    fn new() -> Self {
        let new: NewOrder = serde_json::from_value(json!({"title": "Pump is hot"})).unwrap();
        let created = E::Created(new.created("B2-0001".into()).unwrap());
        let mut desk = Self {
            events: Vec::new(),
            bundle: bundle(),
        };
        desk.write(Body::WorkOrder(created), "Anna");
        desk
    }

    fn write(&mut self, body: Body, by: &str) {
        let number = u64::try_from(self.events.len()).unwrap() + 1;
        self.events.push(Event {
            id: EventId(Uuid::from_u64_pair(8, number)),
            origin: Origin::Gateway(gateway()),
            incarnation: 1,
            seq: number,
            hlc: Hlc {
                wall_ms: number,
                ..Hlc::default()
            },
            based_on: Hlc::default(),
            time: Timestamp::from_millis(i64::try_from(number).unwrap() * 60_000),
            clock: ClockState::Synchronised,
            actor: Actor::Person(by.into(), None),
            record: ID.into(),
            body,
        });
    }

    fn order(&self) -> WorkOrder {
        work_order::fold(ID, &self.events).unwrap()
    }

    /// What `action` writes, which is written.
    fn take(&mut self, by: &str, action: serde_json::Value) -> Result<Written, Refusal> {
        let action: OrderAction = serde_json::from_value(action).unwrap();
        let order = self.order();
        if let Some(guard) = action.guard() {
            assert!(order.may(guard), "{action:?} in {:?}", order.state);
        }
        let ground = Ground {
            order: &order,
            gateway: gateway(),
            by,
            key: Uuid::from_u128(99),
            bundle: Some(&self.bundle),
            signed: Some((SignedBy::Pin, work_order::digest(ID, &self.events))),
            number: Some("B2-0002".into()),
        };
        let written = action.events(&ground)?;
        for (record, body) in &written {
            if *record == ID.into() {
                self.write(body.clone(), by);
            }
        }
        Ok(written)
    }

    fn refused(&mut self, by: &str, action: serde_json::Value) -> String {
        self.take(by, action).unwrap_err().to_string()
    }

    fn task(&self, title: &str) -> Uuid {
        let order = self.order();
        let task = order.tasks.iter().find(|task| task.title == title);
        task.unwrap().id
    }
}

#[test]
fn actions_are_read_strictly() {
    let parse = serde_json::from_value::<OrderAction>;
    assert!(parse(json!({"hold": {"reason": "material"}})).is_ok());
    assert!(parse(json!({"hold": {"reason": "coffee"}})).is_err());
    assert!(parse(json!({"start": {"by": "Mallory"}})).is_err());
    assert!(parse(json!({"failure": {"cuase": "typo"}})).is_err());
    assert!(parse(json!({"explode": {}})).is_err());
    let edit: OrderAction = parse(json!({"edit": {"due": null}})).unwrap();
    let OrderAction::Edit(changes) = edit else {
        panic!("{edit:?}")
    };
    assert_eq!((changes.due, changes.asset), (Some(None), None));
}

#[test]
fn work_with_a_checklist_from_the_first_task_to_the_signature() {
    let mut desk = Desk::new();
    desk.take("Anna", json!({"checklist": {"checklist": "pump-monthly"}}))
        .unwrap();
    let again = desk.refused("Anna", json!({"checklist": {"checklist": "pump-monthly"}}));
    assert!(again.contains("on the order already"), "{again}");
    desk.take("Anna", json!({"labour_start": {}})).unwrap();
    assert_eq!(desk.order().state, work_order::WorkOrderState::InProgress);
    let words = desk.refused("Anna", json!({"complete": {"remedy": "done"}}));
    assert!(
        words.contains("Oil level is right; Pressure. ") && words.contains("force"),
        "{words}"
    );
    let (oil, pressure) = (desk.task("Oil level is right"), desk.task("Pressure"));
    desk.take("Anna", json!({"task": {"task": oil, "value": true}}))
        .unwrap();
    let words = desk.refused("Anna", json!({"task": {"task": pressure, "value": "high"}}));
    assert_eq!(words, "value is a number, in bar");
    desk.take("Anna", json!({"task": {"task": pressure, "value": 4.5}}))
        .unwrap();
    let made = desk
        .take("Anna", json!({"follow_up": {"task": pressure}}))
        .unwrap();
    let Body::WorkOrder(E::Created(next)) = &made[1].1 else {
        panic!("{made:?}")
    };
    assert_eq!(made[1].0, follow_up(Uuid::from_u128(99)).into());
    assert_eq!(
        next.description,
        "Found in B2-0001: Pressure: 4.5 bar (good: 2 to 4 bar)"
    );
    let written = desk
        .take("Anna", json!({"complete": {"remedy": "set it"}}))
        .unwrap();
    assert_eq!(written.len(), 2, "the clock stops, then it is done");
    let words = desk.refused("Anna", json!({"verify": {}}));
    assert!(words.contains("somebody else"), "{words}");
    desk.take("Tom", json!({"verify": {"note": "runs well"}}))
        .unwrap();
    desk.take("Tom", json!({"sign": {"meaning": "approved"}}))
        .unwrap();
    let order = desk.order();
    assert!(order.signatures[0].holds && order.verified.is_some());
    assert!(!order.needs_review);
    assert_eq!(order.labour[0].by, "Anna");
}

#[test]
fn without_its_tasks_an_order_is_only_completed_with_a_reason() {
    let mut desk = Desk::new();
    desk.take(
        "Anna",
        json!({"task_add": {"title": "Lock it", "required": true}}),
    )
    .unwrap();
    let done = json!({"complete": {"force": "the line runs again", "minutes": 20}});
    let written = desk.take("Anna", done).unwrap();
    assert_eq!(written.len(), 3);
    let order = desk.order();
    let skipped = order.tasks[0].result.as_ref().unwrap();
    assert_eq!(skipped.value, Some(TaskValue::Skipped));
    assert_eq!(skipped.note.as_deref(), Some("the line runs again"));
    assert_eq!((skipped.good, order.open_tasks().count()), (None, 0));
}

#[test]
fn minutes_beside_a_running_clock_are_refused() {
    let mut desk = Desk::new();
    let words = desk.refused("Anna", json!({"labour_stop": {}}));
    assert!(words.contains("No clock of Anna"), "{words}");
    desk.take("Anna", json!({"labour_start": {}})).unwrap();
    let words = desk.refused("Anna", json!({"labour_start": {}}));
    assert!(words.contains("already"), "{words}");
    let words = desk.refused("Anna", json!({"complete": {"minutes": 5}}));
    assert!(words.contains("leave the minutes out"), "{words}");
    // Somebody else's clock is no matter.
    desk.take("Tom", json!({"complete": {"minutes": 5}}))
        .unwrap();
    assert_eq!(desk.order().clocks.len(), 1);
}

#[test]
fn a_part_of_the_list_is_moved_in_the_stock_and_any_other_is_noted() {
    let mut desk = Desk::new();
    let written = desk
        .take("Anna", json!({"part": {"part": "skf-6204", "quantity": 2}}))
        .unwrap();
    let [
        (_, Body::WorkOrder(E::PartMoved(moved))),
        (record, Body::Stock(_)),
    ] = written.as_slice()
    else {
        panic!("{written:?}")
    };
    assert_eq!((moved.part.as_str(), moved.quantity), ("SKF-6204", 2.0));
    assert_eq!(moved.place.as_deref(), Some("A-3"));
    assert_eq!(*record, crate::stock::record(gateway(), "SKF-6204"));
    let other = desk.take("Anna", json!({"part": {"part": "rag"}})).unwrap();
    assert_eq!(other.len(), 1);
    for quantity in [json!(0), json!(1e12)] {
        let words = desk.refused("Anna", json!({"part": {"part": "x", "quantity": quantity}}));
        assert!(words.starts_with("quantity"), "{words}");
    }
}

#[test]
fn tasks_of_every_kind_take_their_results_and_nothing_else() {
    let mut desk = Desk::new();
    let choice = json!({"title": "Belt", "kind": "choice", "choices": ["tight", "loose"],
        "bad_choices": ["loose"]});
    desk.take("Anna", json!({"task_add": choice})).unwrap();
    let belt = desk.task("Belt");
    assert!(matches!(
        desk.order().tasks[0].kind,
        TaskKind::Choice { .. }
    ));
    let words = desk.refused("Anna", json!({"task": {"task": belt, "value": "gone"}}));
    assert_eq!(words, "value is one of: tight, loose");
    desk.take("Anna", json!({"task": {"task": belt, "value": "loose"}}))
        .unwrap();
    assert!(desk.order().tasks[0].is_failed());
    let words = desk.refused("Anna", json!({"task": {"task": belt, "skip": true}}));
    assert!(words.starts_with("note"), "{words}");
    let words = desk.refused(
        "Anna",
        json!({"sign": {"meaning": "performed", "task": belt}}),
    );
    assert!(words.starts_with("task"), "{words}");
    desk.take(
        "Anna",
        json!({"task_clear": {"task": belt, "reason": "other belt"}}),
    )
    .unwrap();
    assert_eq!(desk.order().tasks[0].result, None);
    let bad = json!({"title": "Temperature", "kind": "number", "low": 5, "high": 1});
    assert!(
        desk.refused("Anna", json!({"task_add": bad}))
            .starts_with("high")
    );
}

#[test]
fn a_failure_report_must_say_something_and_empty_text_takes_away() {
    let mut desk = Desk::new();
    let words = desk.refused("Anna", json!({"failure": {}}));
    assert!(words.contains("at least one"), "{words}");
    desk.take(
        "Anna",
        json!({"failure": {"cause": "ran dry", "effect": "stopped"}}),
    )
    .unwrap();
    desk.take("Anna", json!({"failure": {"cause": ""}}))
        .unwrap();
    let failure = desk.order().failure;
    assert_eq!(failure.cause.value, None);
    assert_eq!(failure.effect.value, Some(FailureEffect::Stopped));
}

#[test]
fn times_and_others_are_refused_by_field() {
    let mut desk = Desk::new();
    let words = desk.refused("Anna", json!({"schedule": {"from": "tomorrow"}}));
    assert!(words.starts_with("from is not a time"), "{words}");
    let back = json!({"from": "2026-12-01T08:00:00Z", "until": "2026-12-01T07:00:00Z"});
    let words = desk.refused("Anna", json!({"schedule": back}));
    assert!(words.starts_with("until"), "{words}");
    let words = desk.refused("Anna", json!({"duplicate": {"of": ID}}));
    assert!(words.starts_with("of"), "{words}");
}
