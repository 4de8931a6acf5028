//! The store of the hub, in memory, by the contract of the real one (`cloud-hub`, `store::ingest`):
//! what was received moves together with the data, what repeats changes nothing, events are taken
//! densely. Never acknowledges: what it answers is committed.

use crate::box_store::{Name, Stored, stored_of};
use crate::bugs::Bug;
use crate::log::Log;
use crate::records::Records;
use protocol::block::{self, Block, BlockHeader};
use protocol::event::{Body, Event};
use protocol::ranges::RangeSet;
use std::collections::BTreeMap;
use std::rc::Rc;

/// What one transaction brings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batch {
    pub(crate) schemas: Vec<Name>,
    pub(crate) blocks: Vec<(u32, Vec<u8>)>,
    pub(crate) lost: Vec<(Name, u64, u64)>,
    pub(crate) events: Vec<Event>,
}

/// What became of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Taken {
    pub(crate) polls: Vec<Stored>,
    pub(crate) events: Vec<Rc<Event>>,
    /// Incarnation, stream, first, last.
    pub(crate) refused: Vec<(Name, u64, u64)>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct HubStream {
    pub(crate) received: RangeSet,
    /// Rows as they were written: number and poll. A second row with a number is a second copy.
    pub(crate) rows: Vec<(u64, Stored)>,
    pub(crate) lost: RangeSet,
}

/// What the hub holds of one box.
#[derive(Clone, Debug, Default)]
pub(crate) struct HubGateway {
    pub(crate) streams: BTreeMap<Name, HubStream>,
    pub(crate) catalog: bool,
    /// The box's events by incarnation, dense.
    pub(crate) own: BTreeMap<u32, Log>,
    /// The hub's events for the box, numbered from 1.
    pub(crate) down: Log,
    pub(crate) down_acked: u64,
    pub(crate) records: Records,
}

impl Taken {
    fn refuse(&mut self, incarnation: u32, header: &BlockHeader) {
        let name = (incarnation, header.stream.0);
        self.refused
            .push((name, header.first_seq, header.last_seq()));
    }
}

impl HubGateway {
    pub(crate) fn events_mark(&self, incarnation: u32) -> u64 {
        self.own.get(&incarnation).map_or(0, Log::last)
    }

    pub(crate) fn take(&mut self, batch: Batch, refuse: bool, bug: Option<Bug>) -> Taken {
        let mut taken = Taken::default();
        for name in batch.schemas {
            self.streams.entry(name).or_default();
        }
        for (incarnation, bytes) in batch.blocks {
            let block = block::decode(&bytes).unwrap();
            if refuse {
                taken.refuse(incarnation, &block.header);
            } else {
                self.take_block(incarnation, &block, bug, &mut taken);
            }
        }
        for (name, first, last) in batch.lost {
            match self.streams.get_mut(&name) {
                Some(stream) => stream.lost.insert(first, last),
                None => taken.refused.push((name, first, last)),
            }
        }
        for event in batch.events {
            self.take_event(event, bug, &mut taken);
        }
        taken
    }

    fn take_block(&mut self, incarnation: u32, block: &Block, bug: Option<Bug>, taken: &mut Taken) {
        let (first, last) = (block.header.first_seq, block.header.last_seq());
        let name = (incarnation, block.header.stream.0);
        let Some(stream) = self.streams.get_mut(&name) else {
            return taken.refuse(incarnation, &block.header);
        };
        let mut missing = stream.received.missing(first, last);
        if bug == Some(Bug::DedupeByFirstPoll) && stream.received.contains(first) {
            missing.clear();
        }
        for (from, to) in missing {
            for (seq, poll) in (first..).zip(&block.polls) {
                let dropped = bug == Some(Bug::LastPollDropped) && first < last && seq == last;
                if (from..=to).contains(&seq) && !dropped {
                    let stored = stored_of(poll);
                    stream.rows.push((seq, stored));
                    taken.polls.push(stored);
                }
            }
        }
        stream.received.insert(first, last);
    }

    fn take_event(&mut self, mut event: Event, bug: Option<Bug>, taken: &mut Taken) {
        let mark = self.events_mark(event.incarnation);
        if event.seq != mark + 1 {
            return;
        }
        let unknown = matches!(event.body, Body::Unknown { .. });
        if bug == Some(Bug::Restamped) {
            event.hlc.wall_ms = event.hlc.wall_ms.saturating_sub(60_000);
        }
        let event = Rc::new(event);
        self.own.entry(event.incarnation).or_default().push(&event);
        if bug == Some(Bug::UnknownDropped) && unknown {
            return;
        }
        self.records.add(&event);
        taken.events.push(event);
    }

    /// Serial numbers at the hub, each as often as it stands there.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (Name, u64, Stored)> {
        self.streams.iter().flat_map(|(name, stream)| {
            stream
                .rows
                .iter()
                .map(|(seq, stored)| (*name, *seq, *stored))
        })
    }

    /// What a hub that forgets what it received believes after a restart.
    pub(crate) fn forget_received(&mut self) {
        for stream in self.streams.values_mut() {
            stream.received = RangeSet::new();
        }
    }
}
