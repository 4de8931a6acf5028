//! Histories of one record as two or three writers make them, for the tests of the folds.
//! Never knows a record's rules: bodies come from the tests.

use crate::event::{Actor, Body, Event, RecordRef};
use crate::id::{EventId, GatewayId, Origin};
use crate::time::{ClockState, Hlc, HlcClock, Timestamp};
use proptest::prelude::*;
use std::collections::BTreeMap;
use uuid::Uuid;

/// One writer of events: what it has seen and its logical clock.
pub(crate) struct Writer {
    pub(crate) origin: Origin,
    /// Whether it writes as a person or as the program.
    pub(crate) person: bool,
    /// How far its wall clock is off, in milliseconds.
    pub(crate) offset_ms: i64,
    pub(crate) seen: Vec<Event>,
    node: u32,
    seq: u64,
    clock: HlcClock,
}

impl Writer {
    pub(crate) fn gateway(number: u32) -> Self {
        let origin = Origin::Gateway(GatewayId(Uuid::from_u128(number.into())));
        Self::new(origin, number)
    }

    pub(crate) fn hub() -> Self {
        Self::new(Origin::Hub, 1_000)
    }

    fn new(origin: Origin, node: u32) -> Self {
        Self {
            origin,
            person: true,
            offset_ms: 0,
            seen: Vec::new(),
            node,
            seq: 0,
            clock: HlcClock::new(Hlc::default(), node),
        }
    }

    /// Writes an event at `ms` true time, as both programs do it.
    pub(crate) fn write(&mut self, ms: i64, record: RecordRef, body: Body) -> Event {
        let now = Timestamp::from_millis(ms + self.offset_ms);
        let others = self.seen.iter().filter(|seen| seen.origin != self.origin);
        let based_on = others.map(|seen| seen.hlc).max().unwrap_or_default();
        let latest = self.seen.iter().map(|seen| seen.hlc).max();
        let name = format!("{}", self.node);
        self.seq += 1;
        let event = Event {
            id: EventId(Uuid::from_u64_pair(self.node.into(), self.seq)),
            origin: self.origin,
            incarnation: 1,
            seq: self.seq,
            hlc: self.clock.tick(now).after(latest.unwrap_or_default()),
            based_on,
            time: now,
            clock: ClockState::Synchronised,
            actor: if self.person {
                Actor::Person(name, None)
            } else {
                Actor::System(name)
            },
            record,
            body,
        };
        self.seen.push(event.clone());
        event
    }

    /// Takes over what another writer holds.
    pub(crate) fn learn(&mut self, ms: i64, events: &[Event]) {
        for event in events {
            if self.seen.iter().all(|seen| seen.id != event.id) {
                let now = Timestamp::from_millis(ms + self.offset_ms);
                self.clock.observe(event.hlc, now);
                self.seen.push(event.clone());
            }
        }
    }
}

/// One step of a history.
#[derive(Clone, Debug)]
pub(crate) enum Step<B> {
    /// A writer does something, `ms` after the last step.
    Act {
        writer: usize,
        ms: i64,
        person: bool,
        body: B,
    },
    /// A gateway and the hub exchange the first `part` tenths of what they hold.
    Meet { gateway: usize, part: usize },
}

/// Steps of `writers` writers: the hub is writer 0, the others are gateways.
pub(crate) fn steps<B: std::fmt::Debug + Clone>(
    writers: usize,
    body: impl Strategy<Value = B>,
) -> impl Strategy<Value = Vec<Step<B>>> {
    // Often no time passes, so that stamps tie but for their node.
    let act = (
        0..writers,
        prop_oneof![Just(0_i64), 0_i64..5_000],
        prop::bool::weighted(0.8),
        body,
    )
        .prop_map(|(writer, ms, person, body)| Step::Act {
            writer,
            ms,
            person,
            body,
        });
    let meet = (1..writers, 5_usize..=10).prop_map(|(gateway, part)| Step::Meet { gateway, part });
    prop::collection::vec(prop_oneof![3 => act, 1 => meet], 0..30)
}

/// A whole history, with what each writer had seen when it wrote.
pub(crate) struct History {
    pub(crate) writers: Vec<Writer>,
    pub(crate) events: Vec<Event>,
    pub(crate) seen: BTreeMap<EventId, Vec<Event>>,
    pub(crate) now_ms: i64,
}

/// Plays `steps` after gateway 1 wrote `first` and everybody saw it.
pub(crate) fn play<B>(
    record: RecordRef,
    first: Body,
    offsets_ms: &[i64],
    steps: Vec<Step<B>>,
    body: impl Fn(B) -> Body,
) -> History {
    let mut now_ms = 1_000_000_000;
    let mut writers = vec![Writer::hub(), Writer::gateway(1), Writer::gateway(2_000)];
    for (writer, offset_ms) in writers.iter_mut().zip(offsets_ms) {
        writer.offset_ms = *offset_ms;
    }
    let created = writers[1].write(now_ms, record, first);
    let mut history = History {
        writers,
        events: vec![created],
        seen: BTreeMap::new(),
        now_ms,
    };
    history.meet_all();
    for step in steps {
        match step {
            Step::Act {
                writer,
                ms,
                person,
                body: what,
            } => {
                now_ms += ms;
                history.now_ms = now_ms;
                let writer = &mut history.writers[writer];
                writer.person = person;
                let seen = writer.seen.clone();
                let event = writer.write(now_ms, record, body(what));
                history.seen.insert(event.id, seen);
                history.events.push(event);
            }
            Step::Meet { gateway, part } => history.meet(gateway, part),
        }
    }
    history
}

impl History {
    fn meet(&mut self, gateway: usize, part: usize) {
        for (to, from) in [(0, gateway), (gateway, 0)] {
            // A prefix of each origin's events, as the sessions bring them.
            let own = self.writers[from].origin;
            let mut held: Vec<Event> = self.writers[from].seen.clone();
            held.sort_by_key(|event| (event.origin != own, event.seq));
            held.truncate((held.len() * part).div_ceil(10));
            self.writers[to].learn(self.now_ms, &held);
        }
    }

    /// Everybody sees everything.
    pub(crate) fn meet_all(&mut self) {
        let all = self.events.clone();
        for writer in &mut self.writers {
            writer.learn(self.now_ms, &all);
        }
    }

    /// The events shuffled, some of them twice.
    pub(crate) fn scrambled(&self, order: &[usize]) -> Vec<Event> {
        let mut events = self.events.clone();
        for (at, to) in order.iter().enumerate() {
            let len = events.len();
            events.swap(at % len, to % len);
            if to % 3 == 0 {
                events.push(events[to % len].clone());
            }
        }
        events
    }
}
