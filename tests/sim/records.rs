//! Records as one side holds them: the events of each, and what people and rules do to them.
//! Never folds by itself: that is protocol's.

use crate::random::Random;
use protocol::event::{
    Actor, AlertEvent, AlertRaised, Body, Direction, Event, FieldValue, HoldReason, RecordKind,
    RecordRef, Severity, WorkOrderCreated, WorkOrderEvent, WorkType,
};
use protocol::id::{AlertId, EventId, Origin, SensorId, WorkOrderId};
use protocol::time::{Hlc, Timestamp};
use protocol::{alert, work_order};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// The events of all records of one gateway, each once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Records {
    by_record: BTreeMap<RecordRef, Vec<Rc<Event>>>,
    ids: BTreeSet<EventId>,
}

impl Records {
    /// Whether the event was new.
    pub(crate) fn add(&mut self, event: &Rc<Event>) -> bool {
        let new = self.ids.insert(event.id);
        if new {
            let events = self.by_record.entry(event.record).or_default();
            events.push(Rc::clone(event));
        }
        new
    }

    pub(crate) const fn ids(&self) -> &BTreeSet<EventId> {
        &self.ids
    }

    /// The highest stamp on a record, and the highest that others than `origin` gave.
    pub(crate) fn highest(&self, record: RecordRef, origin: Origin) -> (Hlc, Hlc) {
        let events = self.by_record.get(&record).map_or(&[][..], Vec::as_slice);
        let all = events.iter().map(|event| event.hlc).max();
        let others = events.iter().filter(|event| event.origin != origin);
        let others = others.map(|event| event.hlc).max();
        (all.unwrap_or_default(), others.unwrap_or_default())
    }

    /// The highest stamp that `origin` gave to anything.
    pub(crate) fn highest_of(&self, origin: Origin) -> Hlc {
        let events = self.by_record.values().flatten();
        let own = events.filter(|event| event.origin == origin);
        own.map(|event| event.hlc).max().unwrap_or_default()
    }

    pub(crate) fn pick(&self, random: &mut Random) -> Option<RecordRef> {
        let folded = |record: &&RecordRef| record.kind != RecordKind::Gateway;
        let records: Vec<RecordRef> = self.by_record.keys().filter(folded).copied().collect();
        (!records.is_empty()).then(|| random.pick(&records))
    }

    pub(crate) fn records(&self) -> impl Iterator<Item = RecordRef> {
        self.by_record.keys().copied()
    }

    /// The record as its fold shows it, without the events `left_out`, as text to compare.
    pub(crate) fn shown(&self, record: RecordRef, left_out: &BTreeSet<EventId>) -> String {
        let events: Vec<Event> = self
            .by_record
            .get(&record)
            .into_iter()
            .flatten()
            .filter(|event| !left_out.contains(&event.id))
            .map(|event| Event::clone(event))
            .collect();
        match record.kind {
            RecordKind::Alert => format!("{:?}", alert::fold(AlertId(record.id), &events)),
            RecordKind::WorkOrder => {
                format!("{:?}", work_order::fold(WorkOrderId(record.id), &events))
            }
            RecordKind::Gateway
            | RecordKind::AlarmPoint
            | RecordKind::Asset
            | RecordKind::Stock
            | RecordKind::Other(_) => {
                let ids: BTreeSet<_> = events.iter().map(|event| event.id).collect();
                format!("{ids:?}")
            }
        }
    }
}

/// What somebody wants to write; it becomes an event when it is committed.
#[derive(Clone, Debug)]
pub(crate) struct Intent {
    pub(crate) record: RecordRef,
    pub(crate) actor: Actor,
    pub(crate) body: Body,
}

/// A rule of a box raises an alert, and policy opens an order for it.
pub(crate) fn alarm(random: &mut Random, since: i64) -> [Intent; 2] {
    let alert = AlertId(random.uuid());
    let order = WorkOrderId(random.uuid());
    let raised = AlertRaised {
        rule: "limit".into(),
        sensor: SensorId(random.uuid()),
        sensor_path: "pump/temperature".into(),
        asset: Some("P-101".into()),
        title: "Pump too hot".into(),
        severity: Severity::High,
        direction: Direction::High,
        limit: 80.0,
        value: 81.5,
        unit: "Cel".into(),
        since: Timestamp(since),
    };
    let created = created(random, Some(alert));
    let actor = Actor::System("limit".into());
    let alert = Intent {
        record: alert.into(),
        actor: actor.clone(),
        body: Body::Alert(AlertEvent::Raised(raised)),
    };
    let order = Intent {
        record: order.into(),
        actor,
        body: Body::WorkOrder(WorkOrderEvent::Created(created)),
    };
    [alert, order]
}

fn created(random: &mut Random, alert: Option<AlertId>) -> WorkOrderCreated {
    WorkOrderCreated {
        number: format!("B-{}", random.below(10_000)),
        title: "Look at the pump".into(),
        description: "x".repeat(random.index(200)),
        work_type: WorkType::Corrective,
        priority: 3,
        asset: Some("P-101".into()),
        alert,
        dedupe_key: None,
        requested: random.percent(30),
    }
}

/// A planner writes an order for a box.
pub(crate) fn new_order(random: &mut Random) -> Intent {
    Intent {
        record: WorkOrderId(random.uuid()).into(),
        actor: person(random),
        body: Body::WorkOrder(WorkOrderEvent::Created(created(random, None))),
    }
}

/// Somebody does something to a record, whatever its state: the folds have to agree on anything.
/// A newer build also writes what this one does not know.
pub(crate) fn edit(random: &mut Random, record: RecordRef, newer: bool) -> Intent {
    let actor = person(random);
    if newer && random.percent(25) {
        return unknown(random, record, actor);
    }
    let body = match record.kind {
        RecordKind::Alert => Body::Alert(alert_edit(random)),
        RecordKind::WorkOrder => Body::WorkOrder(order_edit(random)),
        RecordKind::Gateway
        | RecordKind::AlarmPoint
        | RecordKind::Asset
        | RecordKind::Stock
        | RecordKind::Other(_) => {
            return unknown(random, record, actor);
        }
    };
    Intent {
        record,
        actor,
        body,
    }
}

fn person(random: &mut Random) -> Actor {
    Actor::Person(random.pick(&["Ana", "Bo", "Cem"]).into(), None)
}

/// A body kind, a body version or a record kind that this build has never heard of.
fn unknown(random: &mut Random, record: RecordRef, actor: Actor) -> Intent {
    let bytes = (0..random.below(40))
        .map(|_| random.next().to_le_bytes()[0])
        .collect();
    let (kind, version) = random.pick(&[(900, 1), (1, 2), (2, 9), (2, 1)]);
    // Kind 2 version 1 is known: its first byte then is a variant that is not.
    let bytes = if (kind, version) == (2, 1) {
        vec![200]
    } else {
        bytes
    };
    let kind_of_record = if random.percent(30) {
        RecordKind::Other(9)
    } else {
        record.kind
    };
    let id = if kind_of_record == record.kind {
        record.id
    } else {
        random.uuid()
    };
    Intent {
        record: RecordRef {
            kind: kind_of_record,
            id,
        },
        actor,
        body: Body::Unknown {
            kind,
            version,
            bytes,
        },
    }
}

fn alert_edit(random: &mut Random) -> AlertEvent {
    match random.below(4) {
        0 => AlertEvent::Acknowledged {
            note: Some("seen".into()),
        },
        1 => AlertEvent::Cleared { value: Some(70.0) },
        2 => AlertEvent::Peaked { value: 90.0 },
        _ => AlertEvent::Commented {
            text: "noise?".into(),
        },
    }
}

fn order_edit(random: &mut Random) -> WorkOrderEvent {
    use WorkOrderEvent as E;
    match random.below(18) {
        0 => E::FieldSet(FieldValue::Title(format!("Title {}", random.below(9)))),
        1 => E::FieldSet(FieldValue::Priority(random.pick(&[1, 2, 3, 4, 5]))),
        2 => E::FieldSet(FieldValue::Due(None)),
        3 => E::Assigned {
            name: "Bo".into(),
            user: None,
        },
        4 => E::Unassigned,
        5 => E::Approved,
        6 => E::Rejected {
            reason: "no".into(),
        },
        7 => E::Started,
        8 => E::Held {
            reason: HoldReason::Material,
            note: None,
        },
        9 => E::Resumed,
        10 => E::Done {
            remedy: Some("cleaned".into()),
        },
        11 => E::Closed { note: None },
        12 => E::Reopened {
            reason: "again".into(),
        },
        13 => E::Cancelled {
            reason: "not needed".into(),
        },
        14 => E::Commented {
            text: "x".repeat(random.index(2_000)),
        },
        15 => E::LabourAdded {
            minutes: 30,
            note: None,
        },
        16 => E::PartUsed {
            part: "Seal".into(),
            quantity: 1.0,
        },
        _ => E::Reviewed { note: None },
    }
}
