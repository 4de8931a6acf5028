//! What is true: every poll and event that was ever made, what became of it, and whether the
//! programs behave as promised. Sees everything, tells the programs nothing.

use crate::box_store::{BoxStore, Name, Stored};
use crate::hub_store::HubGateway;
use crate::log::Log;
use protocol::event::{Body, Event, GatewayEvent};
use protocol::id::EventId;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

/// Number of a poll among all of a run.
pub(crate) type Serial = u64;

/// Longest way of an event from its commit on the box to its commit at the hub, while the link
/// is up and the hub takes things in, backlog or not.
pub(crate) const EVENT_BOUND_US: i64 = 5_000_000;

/// What became of a poll on its box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Made, not committed.
    Made,
    /// Committed: it has to reach the hub.
    Committed,
    /// Given up with a gap.
    GivenUp,
    /// Lost with a damaged store, counted.
    Damaged,
    /// Lost because an older copy of the store was put back: nobody can know.
    Rewound,
    /// Acknowledged, deleted, and the box no longer knows that there was such a poll.
    Forgotten,
}

#[derive(Clone, Copy, Debug)]
struct PollFact {
    gateway: usize,
    place: Option<(Name, u64)>,
    time: i64,
    fate: Fate,
    was_at_hub: bool,
    /// It was given up once: when a copy brings it back, the hub has written it off.
    was_given_up: bool,
    /// Given up, and the box no longer knows of its stream: the gap was told and acknowledged.
    gap_forgotten: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    polls: Vec<PollFact>,
    /// Events that a store lost because an older copy was put back.
    pub(crate) lost_events: BTreeSet<EventId>,
    /// When an event was committed on its box.
    events: BTreeMap<EventId, i64>,
    events_at_hub: BTreeSet<EventId>,
    pub(crate) latencies: Vec<i64>,
    /// An older copy of the hub's store was put back: what no box holds any more is gone.
    pub(crate) hub_restored: bool,
    failure: Option<String>,
}

impl Ledger {
    pub(crate) fn fail(&mut self, words: impl Display) {
        self.failure.get_or_insert_with(|| words.to_string());
    }

    pub(crate) fn require(&mut self, holds: bool, words: impl FnOnce() -> String) {
        if !holds {
            self.fail(words());
        }
    }

    pub(crate) const fn failure(&self) -> Option<&String> {
        self.failure.as_ref()
    }

    /// A poll came from a machine.
    pub(crate) fn made(&mut self, gateway: usize, time: i64, width: u32) -> Stored {
        let serial = u64::try_from(self.polls.len()).unwrap();
        self.polls.push(PollFact {
            gateway,
            place: None,
            time,
            fate: Fate::Made,
            was_at_hub: false,
            was_given_up: false,
            gap_forgotten: false,
        });
        Stored {
            serial,
            time,
            width,
        }
    }

    pub(crate) fn committed(&mut self, serial: Serial, name: Name, seq: u64) {
        let poll = &mut self.polls[usize::try_from(serial).unwrap()];
        poll.place = Some((name, seq));
        poll.fate = Fate::Committed;
    }

    pub(crate) fn fate(&mut self, serial: Serial, fate: Fate) {
        let poll = &mut self.polls[usize::try_from(serial).unwrap()];
        poll.fate = fate;
        poll.was_given_up |= fate == Fate::GivenUp;
    }

    /// The box no longer knows of polls that it once had acknowledged and deleted, nor of gaps
    /// that were acknowledged.
    pub(crate) fn forgotten(&mut self, gateway: usize, knows: impl Fn(Name, u64) -> bool) {
        for poll in self.polls.iter_mut().filter(|poll| poll.gateway == gateway) {
            let known = poll.place.is_some_and(|(name, seq)| knows(name, seq));
            if !known && poll.fate == Fate::Committed {
                poll.fate = Fate::Forgotten;
            }
            poll.gap_forgotten |= !known && poll.fate == Fate::GivenUp;
        }
    }

    /// What was one fate of polls of a box is another now.
    pub(crate) fn become_of(&mut self, gateway: usize, from: Fate, to: Fate) {
        let mine = self.polls.iter_mut().filter(|poll| poll.gateway == gateway);
        for poll in mine.filter(|poll| poll.fate == from) {
            poll.fate = to;
        }
    }

    pub(crate) fn polls_committed(&self) -> usize {
        let committed = |poll: &&PollFact| poll.fate != Fate::Made;
        self.polls.iter().filter(committed).count()
    }

    pub(crate) fn events_committed(&self) -> usize {
        self.events.len()
    }

    /// The hub committed a poll.
    pub(crate) fn poll_at_hub(&mut self, gateway: usize, stored: Stored) {
        let found = usize::try_from(stored.serial)
            .ok()
            .and_then(|at| self.polls.get_mut(at));
        let Some(poll) = found else {
            return self.fail(format!("the hub holds a poll that nobody made: {stored:?}"));
        };
        poll.was_at_hub = true;
        let poll = *poll;
        let sound = poll.gateway == gateway && poll.time == stored.time && poll.fate != Fate::Made;
        let words = || {
            format!(
                "the hub holds poll {} otherwise than committed: {poll:?}",
                stored.serial
            )
        };
        self.require(sound, words);
    }

    /// The box was told that the hub has these polls, or knows that they were given up.
    pub(crate) fn acknowledged(&mut self, polls: impl IntoIterator<Item = Stored>) {
        for stored in polls {
            let poll = self.polls[usize::try_from(stored.serial).unwrap()];
            let words = || format!("acknowledged, but never committed at the hub: {poll:?}");
            self.require(poll.was_at_hub || poll.was_given_up, words);
        }
    }

    pub(crate) fn event_committed(&mut self, id: EventId, now: i64) {
        self.events.insert(id, now);
    }

    /// The hub committed an event of a box whose link is good since `good_since`.
    pub(crate) fn event_at_hub(&mut self, id: EventId, good_since: i64, now: i64) {
        let Some(committed) = self.events.get(&id) else {
            return self.fail(format!(
                "the hub holds an event that no box committed: {id}"
            ));
        };
        let took = now - good_since.max(*committed);
        if self.events_at_hub.insert(id) {
            self.latencies.push(took);
        }
        let words = || format!("event {id} took {took} us while the link was up");
        self.require(took <= EVENT_BOUND_US, words);
    }

    pub(crate) fn event_acknowledged(&mut self, id: EventId) {
        let there = self.events_at_hub.contains(&id);
        self.require(there, || {
            format!("event {id} acknowledged, but never at the hub")
        });
    }

    /// At the end of a run, after everything had its time.
    pub(crate) fn settled(&mut self, gateway: usize, store: &BoxStore, hub: &HubGateway) {
        self.polls_settled(gateway, hub);
        self.damage_counted(gateway, hub);
        self.events_settled(gateway, store, hub);
    }

    fn polls_settled(&mut self, gateway: usize, hub: &HubGateway) {
        let mut copies = vec![0_u32; self.polls.len()];
        let mut newest: BTreeMap<Name, BTreeMap<u64, Serial>> = BTreeMap::new();
        for (name, seq, stored) in hub.rows() {
            copies[usize::try_from(stored.serial).unwrap()] += 1;
            let place = self.polls[usize::try_from(stored.serial).unwrap()].place;
            if place != Some((name, seq)) {
                self.fail(format!(
                    "poll {stored:?} of {place:?} stands at {name:?} {seq}"
                ));
            }
            newest.entry(name).or_default().insert(seq, stored.serial);
        }
        for (name, polls) in newest {
            let ordered = polls
                .values()
                .zip(polls.values().skip(1))
                .all(|(a, b)| a < b);
            self.require(ordered, || {
                format!("stream {name:?} is out of order at the hub")
            });
        }
        for (serial, copies) in copies.into_iter().enumerate() {
            let poll = self.polls[serial];
            if poll.gateway != gateway {
                continue;
            }
            let gap = poll.place.is_some_and(|(name, seq)| {
                let stream = hub.streams.get(&name);
                stream.is_some_and(|stream| stream.lost.contains(seq))
            });
            let held = match poll.fate {
                Fate::Made => copies == 0,
                Fate::Committed => {
                    let excused = gap && (self.hub_restored || poll.was_given_up);
                    copies == 1 || (copies == 0 && excused)
                }
                // A hub that is put back from a copy has lost what it was told since; the event of
                // the box that names the hole comes again, the numbers of polls do not.
                Fate::GivenUp => {
                    let lost = self.hub_restored && poll.gap_forgotten;
                    copies == 1 || (copies == 0 && (gap || lost))
                }
                Fate::Forgotten => copies == 1 || (copies == 0 && self.hub_restored),
                Fate::Damaged | Fate::Rewound => copies <= 1,
            };
            let words =
                || format!("poll {serial} stands {copies} times at the hub: {poll:?}, gap: {gap}");
            self.require(held, words);
        }
    }

    /// What a damaged store lost and the hub has not is told in the box's events.
    fn damage_counted(&mut self, gateway: usize, hub: &HubGateway) {
        let held: BTreeSet<Serial> = hub.rows().map(|(_, _, stored)| stored.serial).collect();
        let missing = (0..).zip(&self.polls).filter(|(serial, poll)| {
            poll.gateway == gateway && poll.fate == Fate::Damaged && !held.contains(serial)
        });
        let missing = u64::try_from(missing.count()).unwrap();
        let told: u64 = hub
            .own
            .values()
            .flat_map(Log::events)
            .map(|event| counted(event))
            .sum();
        self.require(told >= missing, || {
            format!("{missing} polls were lost, {told} told")
        });
    }

    fn events_settled(&mut self, gateway: usize, store: &BoxStore, hub: &HubGateway) {
        let lost = self.lost_events.clone();
        for (side, one, other) in [
            ("the hub lacks", store.records.ids(), hub.records.ids()),
            ("the box lacks", hub.records.ids(), store.records.ids()),
        ] {
            let lacking = one.difference(other).find(|id| !lost.contains(id));
            if let Some(id) = lacking {
                self.fail(format!("{side} event {id} of box {gateway}"));
            }
        }
        let records: BTreeSet<_> = store
            .records
            .records()
            .chain(hub.records.records())
            .collect();
        for record in records {
            let here = store.records.shown(record, &lost);
            let there = hub.records.shown(record, &lost);
            let words = || format!("{record:?} differs\nbox: {here}\nhub: {there}");
            self.require(here == there, words);
        }
    }
}

/// The polls that an event says are lost.
fn counted(event: &Event) -> u64 {
    match event.body {
        Body::Gateway(GatewayEvent::Gap { polls, .. }) => polls,
        _ => 0,
    }
}
