//! The store of a box, in memory, by the contract of the real one (`edge-agent`, storage):
//! readings of a stream are dense, events of an incarnation are dense, what was given up is named,
//! nothing that is not acknowledged is deleted without being counted.
//! Never holds what is not committed.

use crate::ledger::Serial;
use crate::log::Log;
use crate::random::{Random, mix};
use crate::records::Records;
use protocol::block;
use protocol::event::Event;
use protocol::id::StreamId;
use protocol::ranges::RangeSet;
use protocol::reading::{Cell, Poll, Quality, Raw};
use protocol::time::{ClockState, Timestamp};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Incarnation and number of a stream of readings.
pub(crate) type Name = (u32, u32);

/// A poll as it is stored: who it is, and the wall clock of the box then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored {
    pub(crate) serial: Serial,
    pub(crate) time: i64,
    /// Sensors in it.
    pub(crate) width: u32,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct BoxStream {
    pub(crate) last: u64,
    pub(crate) polls: BTreeMap<u64, Stored>,
    pub(crate) acked: RangeSet,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct BoxStore {
    pub(crate) incarnation: u32,
    pub(crate) streams: BTreeMap<Name, BoxStream>,
    /// The stream that each poll group writes in this incarnation.
    pub(crate) groups: BTreeMap<u32, u32>,
    /// The highest number that a stream of this store has.
    pub(crate) streams_high: u32,
    /// Its own events by incarnation.
    pub(crate) own: BTreeMap<u32, Log>,
    /// The hub's events in their order.
    pub(crate) down: Log,
    pub(crate) records: Records,
}

impl BoxStore {
    pub(crate) fn serials(&self) -> impl Iterator<Item = Serial> {
        let polls = self
            .streams
            .values()
            .flat_map(|stream| stream.polls.values());
        polls.map(|stored| stored.serial)
    }

    pub(crate) fn polls(&self) -> usize {
        self.streams.values().map(|stream| stream.polls.len()).sum()
    }

    /// The stream that a poll group writes now; its number is its own in this store.
    pub(crate) fn name(&mut self, group: u32) -> Name {
        let high = &mut self.streams_high;
        let stream = self.groups.entry(group).or_insert_with(|| {
            *high += 1;
            *high
        });
        (self.incarnation, *stream)
    }

    /// The store is opened: from here on in another incarnation, and in streams of its own.
    /// Streams of which nothing is held and nothing is to be told are forgotten. Answers them.
    pub(crate) fn open(&mut self, incarnation: u32) -> Vec<Name> {
        self.incarnation = incarnation;
        self.groups.clear();
        let done = |stream: &BoxStream| {
            stream.polls.is_empty() && stream.acked.missing(1, stream.last).is_empty()
        };
        let done = self.streams.iter().filter(|(_, stream)| done(stream));
        let done: Vec<Name> = done.map(|(name, _)| *name).collect();
        for name in &done {
            self.streams.remove(name);
        }
        done
    }

    /// The name of the stream with this number.
    pub(crate) fn name_of(&self, stream: u32) -> Option<Name> {
        self.streams.keys().find(|name| name.1 == stream).copied()
    }

    pub(crate) fn append(&mut self, name: Name, stored: Stored) -> u64 {
        let stream = self.streams.entry(name).or_default();
        stream.last += 1;
        stream.polls.insert(stream.last, stored);
        stream.last
    }

    /// Number of own events in an incarnation.
    pub(crate) fn events_last(&self, incarnation: u32) -> u64 {
        self.own.get(&incarnation).map_or(0, Log::last)
    }

    pub(crate) fn add_own(&mut self, event: &Rc<Event>) {
        self.own.entry(event.incarnation).or_default().push(event);
        self.records.add(event);
    }

    /// Takes back own events that the hub still has. Answers up to where they are held.
    pub(crate) fn apply_own(&mut self, incarnation: u32, events: Vec<Event>) -> u64 {
        for event in events {
            if event.seq == self.events_last(incarnation) + 1 && incarnation != self.incarnation {
                self.add_own(&Rc::new(event));
            }
        }
        self.events_last(incarnation)
    }

    /// Blocks with the polls of a range, from its beginning, as many as fit, but one at least if
    /// there is any. What was given up is left out.
    pub(crate) fn blocks(
        &self,
        name: Name,
        (first, last): (u64, u64),
        bytes_max: usize,
        random: &mut Random,
    ) -> Vec<Vec<u8>> {
        let mut blocks = Vec::new();
        let Some(stream) = self.streams.get(&name) else {
            return blocks;
        };
        let mut bytes = 0;
        let mut run: Vec<Poll> = Vec::new();
        let mut run_first = first;
        let mut longest = random.spread(1, 300).unsigned_abs();
        for (seq, stored) in stream.polls.range(first..=last) {
            let length = u64::try_from(run.len()).unwrap();
            if !run.is_empty() && (*seq != run_first + length || length == longest) {
                bytes += push_block(&mut blocks, name, run_first, &run);
                run.clear();
                longest = random.spread(1, 300).unsigned_abs();
                if bytes >= bytes_max {
                    return blocks;
                }
            }
            if run.is_empty() {
                run_first = *seq;
            }
            run.push(poll_of(*stored));
        }
        if !run.is_empty() {
            push_block(&mut blocks, name, run_first, &run);
        }
        blocks
    }

    /// Gives up the oldest polls until no more than `most` are left: acknowledged ones first.
    /// Answers those that were not acknowledged.
    pub(crate) fn evict(&mut self, most: usize) -> Vec<Serial> {
        let mut given_up = Vec::new();
        for acknowledged in [true, false] {
            while self.polls() > most {
                let oldest = self.streams.iter().filter_map(|(name, stream)| {
                    let gone = |seq: &&u64| stream.acked.contains(**seq) == acknowledged;
                    let seq = stream.polls.keys().find(gone)?;
                    Some((stream.polls[seq].serial, *name, *seq))
                });
                let Some((serial, name, seq)) = oldest.min() else {
                    break;
                };
                self.streams.get_mut(&name).unwrap().polls.remove(&seq);
                if !acknowledged {
                    given_up.push(serial);
                }
            }
        }
        given_up
    }

    /// The file with the readings is damaged and set aside. Answers what is lost and was not
    /// acknowledged.
    pub(crate) fn lose_readings(&mut self) -> Vec<Serial> {
        let mut lost = Vec::new();
        self.streams_high = 0;
        for stream in std::mem::take(&mut self.streams).into_values() {
            let open = |(seq, _): &(&u64, &Stored)| !stream.acked.contains(**seq);
            let open = stream.polls.iter().filter(open);
            lost.extend(open.map(|(_, stored)| stored.serial));
        }
        lost
    }
}

fn push_block(blocks: &mut Vec<Vec<u8>>, name: Name, first: u64, polls: &[Poll]) -> usize {
    let bytes = block::encode(StreamId(name.1), first, polls).unwrap();
    let length = bytes.len();
    blocks.push(bytes);
    length
}

/// The poll with its serial number as the value of its first sensor; the others follow from it.
fn poll_of(stored: Stored) -> Poll {
    let cell = |column: u32| {
        let value = match column {
            0 => stored.serial,
            column => mix(stored.serial + u64::from(column)) >> 40,
        };
        Cell::Value(Raw::Int(value.cast_signed()), Quality::Good)
    };
    Poll {
        time: Timestamp(stored.time),
        clock: ClockState::Synchronised,
        cells: (0..stored.width).map(cell).collect(),
    }
}

/// The inverse, at the hub: no such poll when a cell is not what it was.
pub(crate) fn stored_of(poll: &Poll) -> Stored {
    let serial = match poll.cells.first() {
        Some(Cell::Value(Raw::Int(serial), Quality::Good)) => serial.cast_unsigned(),
        _ => Serial::MAX,
    };
    let stored = Stored {
        serial,
        time: poll.time.0,
        width: u32::try_from(poll.cells.len()).unwrap(),
    };
    let same = serial != Serial::MAX && poll_of(stored) == *poll;
    Stored {
        serial: if same { serial } else { Serial::MAX },
        ..stored
    }
}
