//! What goes on at the boxes and at the hub: polls, alarms, people, commits, crashes, restored
//! copies. Never talks to the other side: `sessions` does.

use crate::box_store::{BoxStore, Name};
use crate::bugs::Bug;
use crate::ledger::{Fate, Serial};
use crate::log::Log;
use crate::plan::n;
use crate::records::{self, Intent};
use crate::world::{BoxNode, Happening, MINUTE, World};
use protocol::event::{Actor, Body, Event, GapCause, GatewayEvent, RecordKind, RecordRef};
use protocol::id::{EventId, Origin};
use protocol::time::{ClockState, HlcClock};
use std::collections::BTreeSet;
use std::rc::Rc;

/// Most polls that wait for a commit; further ones are dropped and counted.
const WAITING_POLLS_MAX: usize = 60;
/// How long a commit of events takes.
const EVENT_COMMIT_US: i64 = 20_000;

impl World {
    pub(crate) fn new_stream(&mut self, at: usize) {
        self.boxes[at].groups += 1;
        let group = self.boxes[at].groups;
        let period = self.random.pick(&[1, 2, 5, 10]) * MINUTE;
        let first = self.random.between(0, period);
        self.after(first, Happening::Poll { at, group, period });
    }

    pub(crate) fn poll(&mut self, at: usize, group: u32, period: i64) {
        if self.settling {
            return;
        }
        self.after(period, Happening::Poll { at, group, period });
        let time = self.wall(at).0;
        let node = &mut self.boxes[at];
        if !node.up {
            return;
        }
        if node.waiting_polls.len() >= WAITING_POLLS_MAX {
            node.dropped += 1;
            return;
        }
        let stored = self.ledger.made(at, time, node.width);
        if node.waiting_polls.is_empty() {
            let (life, tick) = (node.life, node.commit_tick);
            self.after(tick, Happening::CommitPolls { at, life });
        }
        let node = &mut self.boxes[at];
        node.waiting_polls.push((group, stored));
        if self.bug == Some(Bug::SendBeforeCommit) {
            let name = node.store.name(group);
            let last = node.store.append(name, stored);
            self.tell_polls(at, name, last);
        }
    }

    pub(crate) fn commit_polls(&mut self, at: usize, life: u32) {
        let node = &mut self.boxes[at];
        if node.life != life {
            return;
        }
        if node.full {
            let tick = node.commit_tick;
            self.after(tick, Happening::CommitPolls { at, life });
            return;
        }
        let mut touched = BTreeSet::new();
        for (group, stored) in std::mem::take(&mut node.waiting_polls) {
            let name = node.store.name(group);
            let seq = if self.bug == Some(Bug::SendBeforeCommit) {
                let polls = &node.store.streams[&name].polls;
                let found = polls.iter().find(|(_, poll)| poll.serial == stored.serial);
                found.map_or(0, |(seq, _)| *seq)
            } else {
                node.store.append(name, stored)
            };
            self.ledger.committed(stored.serial, name, seq);
            touched.insert(name);
        }
        let dropped = std::mem::take(&mut node.dropped);
        for name in touched {
            let last = self.boxes[at].store.streams[&name].last;
            self.note(
                "box {}: stream {} committed up to {}",
                [n(at), name.1.into(), last, 0],
            );
            self.tell_polls(at, name, last);
        }
        if dropped > 0 {
            self.gap(at, dropped, GapCause::QueueFull);
        }
    }

    pub(crate) fn alarm(&mut self, at: usize) {
        if !self.boxes[at].up {
            return;
        }
        let since = self.wall(at).0;
        let alarm = records::alarm(&mut self.random, since);
        self.write(at, alarm);
    }

    pub(crate) fn person(&mut self, at: usize) {
        let node = &self.boxes[at];
        if let Some(record) = node
            .store
            .records
            .pick(&mut self.random)
            .filter(|_| node.up)
        {
            let edit = records::edit(&mut self.random, record, node.newer);
            self.write(at, [edit]);
        }
    }

    fn gap(&mut self, at: usize, polls: u64, cause: GapCause) {
        let record = RecordRef {
            kind: RecordKind::Gateway,
            id: self.boxes[at].id.0,
        };
        let (from, to) = (self.wall(at), self.wall(at));
        let gap = GatewayEvent::Gap {
            from,
            to,
            polls,
            cause,
        };
        let intent = Intent {
            record,
            actor: Actor::System("storage".into()),
            body: Body::Gateway(gap),
        };
        self.write(at, [intent]);
    }

    fn write(&mut self, at: usize, intents: impl IntoIterator<Item = Intent>) {
        let node = &mut self.boxes[at];
        node.waiting_intents.extend(intents);
        let life = node.life;
        self.after(EVENT_COMMIT_US, Happening::CommitEvents { at, life });
    }

    pub(crate) fn commit_events(&mut self, at: usize, life: u32) {
        let wall = self.wall(at);
        let node = &mut self.boxes[at];
        if node.life != life {
            return;
        }
        for intent in std::mem::take(&mut node.waiting_intents) {
            let origin = Origin::Gateway(node.id);
            let (all, others) = node.store.records.highest(intent.record, origin);
            let stamp = node.clock.tick(wall).after(all);
            let event = Rc::new(Event {
                id: EventId(self.random.uuid()),
                origin,
                incarnation: node.store.incarnation,
                seq: node.store.events_last(node.store.incarnation) + 1,
                hlc: stamp,
                based_on: others,
                time: wall,
                clock: ClockState::Synchronised,
                actor: intent.actor,
                record: intent.record,
                body: intent.body,
            });
            node.store.add_own(&event);
            self.ledger.event_committed(event.id, self.now);
            self.trace.note(
                self.now,
                "box {}: event {} committed",
                [n(at), event.seq, 0, 0],
            );
        }
        self.tell_events(at);
    }

    pub(crate) fn planner(&mut self) {
        if !self.hub.up {
            return;
        }
        let at = self.random.index(self.boxes.len());
        let record = self.hub.gateways[at].records.pick(&mut self.random);
        let intent = match record.filter(|_| self.random.percent(80)) {
            Some(record) => records::edit(&mut self.random, record, self.hub.newer),
            None => records::new_order(&mut self.random),
        };
        self.hub.waiting_intents.push((at, intent));
        let life = self.hub.life;
        self.after(EVENT_COMMIT_US, Happening::CommitHubEvents { life });
    }

    pub(crate) fn commit_hub_events(&mut self, life: u32) {
        if self.hub.life != life {
            return;
        }
        if self.hub.full {
            // The planner is told that it cannot be saved.
            self.hub.waiting_intents.clear();
            return;
        }
        let wall = self.hub_wall();
        for (at, intent) in std::mem::take(&mut self.hub.waiting_intents) {
            let gateway = &mut self.hub.gateways[at];
            let (all, others) = gateway.records.highest(intent.record, Origin::Hub);
            self.hub.written += 1;
            let event = Rc::new(Event {
                id: EventId(self.random.uuid()),
                origin: Origin::Hub,
                incarnation: 1,
                seq: self.hub.written,
                hlc: self.hub.clock.tick(wall).after(all),
                based_on: others,
                time: wall,
                clock: ClockState::Synchronised,
                actor: intent.actor,
                record: intent.record,
                body: intent.body,
            });
            gateway.records.add(&event);
            gateway.down.push(&event);
            let last = gateway.down.last();
            self.note("hub: event {} for box {}", [last, n(at), 0, 0]);
            self.tell_down(at);
        }
    }

    pub(crate) fn box_dies(&mut self, at: usize) -> bool {
        if !self.boxes[at].up {
            return false;
        }
        self.note("box {}: dies", [n(at), 0, 0, 0]);
        let bug = self.bug;
        let node = &mut self.boxes[at];
        node.up = false;
        node.life += 1;
        node.waiting_intents.clear();
        for (group, stored) in std::mem::take(&mut node.waiting_polls) {
            if bug == Some(Bug::SendBeforeCommit) {
                let name = node.store.name(group);
                let stream = node.store.streams.get_mut(&name).unwrap();
                stream.polls.retain(|_, poll| poll.serial != stored.serial);
                stream.last = stream.polls.keys().next_back().copied().unwrap_or(0);
            }
        }
        self.box_hangs_up(at);
        true
    }

    pub(crate) fn box_starts(&mut self, at: usize) {
        if self.boxes[at].up {
            return;
        }
        let node = &mut self.boxes[at];
        node.up = true;
        let forgotten = node.reopen();
        self.ledger
            .forgotten(at, |name, _| !forgotten.contains(&name));
        let node = &self.boxes[at];
        let (life, incarnation) = (node.life, node.store.incarnation);
        self.note(
            "box {}: starts, incarnation {}",
            [n(at), incarnation.into(), 0, 0],
        );
        self.after(0, Happening::Connect { at, life });
    }

    pub(crate) fn hub_dies(&mut self) -> bool {
        if !self.hub.up {
            return false;
        }
        self.note("hub: dies", [0; 4]);
        self.hub.up = false;
        self.hub.life += 1;
        self.hub.waiting_intents.clear();
        self.hub_hangs_up();
        true
    }

    pub(crate) fn hub_starts(&mut self) {
        if self.hub.up {
            return;
        }
        self.note("hub: starts", [0; 4]);
        self.hub.up = true;
        let mut highest = self.hub.gateways.iter();
        let mut highest = highest
            .by_ref()
            .map(|gateway| gateway.records.highest_of(Origin::Hub));
        let first = highest.next().unwrap_or_default();
        self.hub.clock = HlcClock::new(highest.fold(first, Ord::max), 1_000);
        if self.bug == Some(Bug::ReceivedForgotten) {
            for gateway in &mut self.hub.gateways {
                gateway.forget_received();
            }
        }
    }

    pub(crate) fn pressure(&mut self, at: usize) -> bool {
        let node = &mut self.boxes[at];
        let most = node.store.polls() * self.random.index(100) / 100;
        let given_up = node.store.evict(most);
        self.note(
            "box {}: {} polls given up unsent",
            [n(at), n(given_up.len()), 0, 0],
        );
        let (up, count) = (self.boxes[at].up, n(given_up.len()));
        for serial in given_up {
            self.ledger.fate(serial, Fate::GivenUp);
        }
        if up && count > 0 {
            self.gap(at, count, GapCause::BufferFull);
        }
        true
    }

    /// The buffer is damaged: the store goes on with a new one.
    pub(crate) fn damage(&mut self, at: usize) -> bool {
        if !self.boxes[at].up {
            return false;
        }
        self.box_dies(at);
        self.ledger.forgotten(at, |_, _| false);
        // Which polls were given up is forgotten too; how many, is told already.
        self.ledger.become_of(at, Fate::GivenUp, Fate::Damaged);
        let lost = self.boxes[at].store.lose_readings();
        self.note(
            "box {}: readings damaged, {} lost",
            [n(at), n(lost.len()), 0, 0],
        );
        let count = n(lost.len());
        for serial in lost {
            self.ledger.fate(serial, Fate::Damaged);
        }
        let kept = self.boxes[at].store.incarnation;
        self.box_starts(at);
        if self.bug == Some(Bug::IncarnationKept) {
            self.boxes[at].store.incarnation = kept;
        }
        self.gap(at, count, GapCause::StoreDamaged);
        let life = self.boxes[at].life;
        // A box that counted its loss but died before it wrote that down counts again.
        self.commit_events(at, life);
        true
    }

    /// What the store that is put away had and the one put back has not.
    fn forget_rewound(&mut self, at: usize, old: &BoxStore) {
        // What was told of losses may be lost itself.
        self.ledger.become_of(at, Fate::Damaged, Fate::Rewound);
        self.ledger.become_of(at, Fate::GivenUp, Fate::Rewound);
        let streams = &self.boxes[at].store.streams;
        self.ledger.forgotten(at, |name, seq| {
            streams.get(&name).is_some_and(|stream| seq <= stream.last)
        });
        let held: BTreeSet<Serial> = self.boxes[at].store.serials().collect();
        for serial in old.serials().filter(|serial| !held.contains(serial)) {
            self.ledger.fate(serial, Fate::Rewound);
        }
        // What was given up since the copy was made is there again.
        for serial in held {
            self.ledger.fate(serial, Fate::Committed);
        }
        // What the hub has comes back.
        let known = [
            &self.boxes[at].store.records,
            &self.hub.gateways[at].records,
        ];
        let known = |id: &&EventId| known.iter().any(|records| records.ids().contains(*id));
        let lost = old.records.ids().iter().filter(|id| !known(id));
        self.ledger.lost_events.extend(lost);
        self.boxes[at].copies = true;
    }

    pub(crate) fn restore_hub(&mut self) -> bool {
        if !self.hub.up {
            return false;
        }
        let Some(copy) = self.hub.backup.clone() else {
            return false;
        };
        self.hub_dies();
        self.note("hub: an older copy of its store is put back", [0; 4]);
        self.ledger.hub_restored = true;
        for ((old, new), node) in self.hub.gateways.iter().zip(&copy).zip(&mut self.boxes) {
            // What a box wrote and still has comes again.
            let own = node.store.own.values().flat_map(Log::events);
            let own: BTreeSet<EventId> = own.map(|event| event.id).collect();
            let lost = old.records.ids().difference(new.records.ids());
            self.ledger
                .lost_events
                .extend(lost.filter(|id| !own.contains(id)));
            node.copies = true;
        }
        self.hub.gateways = copy;
        self.hub_starts();
        true
    }

    /// An older copy of the store is put back.
    pub(crate) fn restore_box(&mut self, at: usize) -> bool {
        let Some(copy) = self.boxes[at].backup.clone() else {
            return false;
        };
        if !self.boxes[at].up {
            return false;
        }
        self.box_dies(at);
        self.note(
            "box {}: an older copy of its store is put back",
            [n(at), 0, 0, 0],
        );
        let old = std::mem::replace(&mut self.boxes[at].store, copy);
        self.forget_rewound(at, &old);
        self.box_starts(at);
        true
    }
}

impl BoxNode {
    /// The store is opened again. Answers streams that it forgot.
    fn reopen(&mut self) -> Vec<Name> {
        let origin = Origin::Gateway(self.id);
        let highest = self.store.records.highest_of(origin);
        self.clock = HlcClock::new(highest, self.node);
        // The real one takes a number at random: what counts is that it never comes again.
        self.incarnation_high += 1;
        self.store.open(self.incarnation_high)
    }
}
