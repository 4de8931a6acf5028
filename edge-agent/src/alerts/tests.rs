//! Tests of the life cycle: the plant of these tests plays readings through the real detectors, keeps
//! every event as a store would, and folds them as page and hub do.

mod flood;
mod people;
mod properties;
mod scenes;

use super::*;
use crate::analysis::Detectors;
use crate::config::{Config, InUse, priority};
use protocol::event::{Actor, AlertEvent, Body, Event, RecordRef, Severity};
use protocol::id::{EventId, Origin, SensorId};
use protocol::reading::Quality;
use protocol::time::Hlc;
use protocol::{alarm_point, alert};
use std::path::Path;
use uuid::Uuid;

const GATEWAY: GatewayId = GatewayId(Uuid::from_u128(1));

/// A box without machines: configuration, detectors, life cycle, and what was written and told.
#[derive(Clone)]
struct Plant {
    config: Config,
    detectors: Detectors,
    alarms: Alarms,
    /// Events by id: written twice is written once.
    events: BTreeMap<EventId, Event>,
    seq: u64,
    notices: Vec<Notice>,
    now: Timestamp,
}

fn second(second: i64) -> Timestamp {
    Timestamp(1_800_000_000_000_000 + second * 1_000_000)
}

/// Device `d` with the sensors named, and `rest` behind it.
fn config(sensors: &[&str], rest: &str) -> Config {
    let mut text = "[[port]]\nname = \"p\"\nprotocol = \"modbus\"\n\
                    [[device]]\nname = \"d\"\nport = \"p\"\nasset = \"P-1\"\n"
        .to_owned();
    for sensor in sensors {
        text = text + "[[device.sensor]]\nname = \"" + sensor + "\"\n";
    }
    Config::parse(Path::new("e"), &format!("{text}{rest}")).unwrap()
}

/// A rule `name` above 80 on `d/<sensor>`, with further keys.
fn rule(name: &str, sensor: &str, severity: &str, keys: &str) -> String {
    format!(
        "[[rule]]\nname = \"{name}\"\nsensor = \"d/{sensor}\"\nhigh = 80.0\n\
         severity = \"{severity}\"\n{keys}\n"
    )
}

impl Plant {
    fn new(config: Config) -> Self {
        Self {
            detectors: Detectors::new(&config.rules, GATEWAY),
            alarms: Alarms::new(&InUse::new(&config), GATEWAY),
            config,
            events: BTreeMap::new(),
            seq: 0,
            notices: Vec::new(),
            now: second(0),
        }
    }

    /// One rule `hot` on `d/t`.
    fn of_one(severity: &str, keys: &str) -> Self {
        Self::new(config(&["t"], &rule("hot", "t", severity, keys)))
    }

    /// Values of sensors of `d`, read together at `now`.
    fn read(&mut self, values: &[(&str, f64)]) {
        let mut findings = Vec::new();
        for (sensor, value) in values {
            let reading = Reading {
                sensor: SensorId::derive(GATEWAY, &format!("d/{sensor}")),
                time: self.now,
                value: Some(*value),
                quality: Quality::Good,
                clock: ClockState::Synchronised,
            };
            self.alarms.read(&reading);
            findings.extend(self.detectors.step(&reading));
        }
        self.alarms.sort(&mut findings);
        for finding in findings {
            let outcome = self.alarms.follow(&finding);
            self.carry_out(outcome);
        }
    }

    /// A finding as it comes from a detector that these tests do not have.
    fn find(&mut self, rule: &str, change: Change) {
        let sensor = self.alarms.book.rule(rule).unwrap().sensor.clone();
        let outcome = self.alarms.follow(&Finding {
            rule: rule.into(),
            sensor: SensorId::derive(GATEWAY, &sensor),
            time: self.now,
            clock: ClockState::Synchronised,
            change,
        });
        self.carry_out(outcome);
    }

    /// `now` goes on second by second, each with `values` and a tick.
    fn run(&mut self, seconds: i64, mut values: impl FnMut(i64) -> Vec<(&'static str, f64)>) {
        for at in 0..seconds {
            self.now = self.now.plus_micros(1_000_000);
            let values = values(at);
            self.read(&values);
            self.tick();
        }
    }

    fn tick(&mut self) {
        let outcome = self.alarms.tick(self.now, ClockState::Synchronised);
        self.carry_out(outcome);
    }

    fn carry_out(&mut self, outcome: Outcome) {
        for step in outcome.alerts {
            let name = match &step.event {
                AlertEvent::Raised(_) => "raised".to_owned(),
                AlertEvent::Cleared { .. } => "cleared".to_owned(),
                AlertEvent::Superseded { .. } => "superseded".to_owned(),
                other => format!("{:?} {}", std::mem::discriminant(other), step.time.0),
            };
            let actor = Actor::System(step.rule.clone());
            let at = (step.time, step.alert.into());
            self.write(&name, at, actor.clone(), Body::Alert(step.event));
            if let Some(described) = step.described {
                self.write(
                    "described",
                    at,
                    actor,
                    Body::Alert(AlertEvent::Described(described)),
                );
            }
        }
        for step in outcome.points {
            let actor = Actor::System(step.actor.clone());
            let at = (step.time, step.point.into());
            self.write(&step.name, at, actor, Body::AlarmPoint(step.event));
        }
        self.notices.extend(outcome.notices);
    }

    fn write(
        &mut self,
        name: &str,
        (time, record): (Timestamp, RecordRef),
        actor: Actor,
        body: Body,
    ) {
        let id = EventId(Uuid::new_v5(&record.id, name.as_bytes()));
        if self.events.contains_key(&id) {
            return;
        }
        self.seq += 1;
        let event = Event {
            id,
            origin: Origin::Gateway(GATEWAY),
            incarnation: 1,
            seq: self.seq,
            hlc: Hlc {
                wall_ms: self.seq,
                counter: 0,
                node: 1,
            },
            based_on: Hlc::default(),
            time,
            clock: ClockState::Synchronised,
            actor,
            record,
            body,
        };
        self.events.insert(id, event);
    }

    /// A person acts on a record, and the life cycle hears of it.
    fn person(&mut self, record: RecordRef, body: Body) {
        let name = format!("person {}", self.seq);
        self.write(
            &name,
            (self.now, record),
            Actor::Person("Ana".into(), None),
            body,
        );
        self.hear(record);
    }

    fn hear(&mut self, record: RecordRef) {
        if record.kind == protocol::event::RecordKind::Alert {
            if let Some(alert) = alert::fold(AlertId(record.id), &self.all()) {
                self.alarms.alert_is(&alert);
            }
        } else {
            let id = AlarmPointId(record.id);
            if let Some(point) = alarm_point::fold(id, &self.all()) {
                let clock = ClockState::Synchronised;
                let outcome = self.alarms.point_is(&point, self.now, clock);
                self.carry_out(outcome);
            }
        }
    }

    fn acknowledge(&mut self, alert: AlertId) {
        self.person(
            alert.into(),
            Body::Alert(AlertEvent::Acknowledged { note: None }),
        );
    }

    fn point_id(&self, rule: &str) -> AlarmPointId {
        let sensor = &self.alarms.book.rule(rule).unwrap().sensor;
        AlarmPointId::derive(GATEWAY, rule, sensor)
    }

    fn shelve(&mut self, rule: &str, minutes: i64) {
        let sensor_path = self.alarms.book.rule(rule).unwrap().sensor.clone();
        let event = AlarmPointEvent::Shelved {
            rule: rule.into(),
            sensor_path,
            reason: "known".into(),
            until: self.now.plus_micros(minutes * 60_000_000),
        };
        self.person(self.point_id(rule).into(), Body::AlarmPoint(event));
    }

    fn on_point(&mut self, rule: &str, event: AlarmPointEvent) {
        self.person(self.point_id(rule).into(), Body::AlarmPoint(event));
    }

    fn maintain(&mut self, of: &Maintained, event: AlarmPointEvent) {
        let is_device = matches!(of, Maintained::Device(_));
        let id = AlarmPointId::maintenance(GATEWAY, of.name(), is_device);
        self.person(id.into(), Body::AlarmPoint(event));
    }

    /// Ends without a warning and starts with what was saved and the record.
    fn restart(&mut self, saved: SavedAlarms, detectors: &[crate::analysis::DetectorState]) {
        self.detectors = Detectors::new(&self.config.rules, GATEWAY);
        self.detectors.restore(detectors);
        self.alarms = Alarms::new(&InUse::new(&self.config), GATEWAY);
        self.alarms.restore(saved);
        self.take_up_points();
    }

    fn take_up_points(&mut self) {
        for point in self.points() {
            self.alarms.learn(&point, self.now);
        }
    }

    /// What an agent does once the readings since the last save are judged.
    fn settle(&mut self) {
        self.take_up_points();
        let mut alerts = self.alerts();
        alerts.sort_by_key(|alert| std::cmp::Reverse(alert.raised_at));
        for alert in alerts
            .iter()
            .filter(|alert| alert.state() != AlertState::Closed)
        {
            self.alarms.take_up(alert);
            self.detectors.stand_behind(alert);
        }
        let retired = self.alarms.retire(self.now, ClockState::Synchronised);
        self.carry_out(retired);
    }

    fn all(&self) -> Vec<Event> {
        self.events.values().cloned().collect()
    }

    /// All alerts, in the order in which they were raised.
    fn alerts(&self) -> Vec<Alert> {
        let events = self.all();
        let mut ids: Vec<(u64, AlertId)> = events
            .iter()
            .filter(|event| matches!(event.body, Body::Alert(AlertEvent::Raised(_))))
            .map(|event| (event.seq, AlertId(event.record.id)))
            .collect();
        ids.sort_unstable();
        ids.iter()
            .map(|(_, id)| alert::fold(*id, &events).unwrap())
            .collect()
    }

    fn points(&self) -> Vec<AlarmPoint> {
        let events = self.all();
        let ids = events
            .iter()
            .filter(|event| matches!(event.body, Body::AlarmPoint(_)));
        let ids: std::collections::BTreeSet<Uuid> = ids.map(|event| event.record.id).collect();
        ids.into_iter()
            .filter_map(|id| alarm_point::fold(AlarmPointId(id), &events))
            .collect()
    }

    fn point(&self, rule: &str) -> AlarmPoint {
        self.points()
            .into_iter()
            .find(|point| point.rule == rule)
            .unwrap()
    }

    fn open(&self) -> Vec<Alert> {
        let alerts = self.alerts().into_iter();
        alerts
            .filter(|alert| alert.state() != AlertState::Closed)
            .collect()
    }

    /// What people were told, but that something is over.
    fn told(&self) -> Vec<(NoticeKind, &str)> {
        let notices = self
            .notices
            .iter()
            .filter(|notice| notice.kind != NoticeKind::Cleared);
        notices
            .map(|notice| (notice.kind, notice.rule.as_deref().unwrap_or("-")))
            .collect()
    }
}

/// Something is abnormal from now on, as a detector without a limit says it.
fn stale(since: Timestamp) -> Change {
    Change::Raised {
        direction: protocol::event::Direction::High,
        limit: 60.0,
        value: 61.0,
        peak: 61.0,
        since,
        detail: Some(std::sync::Arc::new(crate::analysis::Detail {
            kind: protocol::event::AlertKind::Stale,
            words: "no reading for 61 s".into(),
            expected: None,
            score: None,
            reaches_limit_in: None,
        })),
    }
}

const FRESH: Change = Change::Cleared {
    value: 0.0,
    peak: 61.0,
};
