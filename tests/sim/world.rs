//! The simulated world of one seed: boxes, a hub, their lines, a virtual clock and what is still
//! to happen. Never looks at the machine's clock: a day passes as fast as it is computed.

use crate::box_store::{BoxStore, Stored};
use crate::bugs::Bug;
use crate::hub_store::{Batch, HubGateway};
use crate::ledger::Ledger;
use crate::network::{Line, Wake};
use crate::plan::{Fault, Plan};
use crate::random::Random;
use crate::records::Intent;
use crate::sessions::{Connection, Pending};
use crate::trace::Trace;
use protocol::id::GatewayId;
use protocol::sync::{Fetched, Lane};
use protocol::time::{Hlc, HlcClock, Timestamp};
use std::collections::BTreeMap;

pub(crate) const SECOND: i64 = 1_000_000;
pub(crate) const MINUTE: i64 = 60 * SECOND;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;
/// After the faults have stopped, everything is where it belongs within this.
pub(crate) const SETTLE_BOUND: i64 = 2 * HOUR;
/// 2026-01-01T00:00:00Z.
const EPOCH_US: i64 = 1_767_225_600_000_000;

/// Something that is going to happen. `life`: only if that node has not been restarted since.
#[derive(Debug)]
pub(crate) enum Happening {
    Poll {
        at: usize,
        group: u32,
        period: i64,
    },
    CommitPolls {
        at: usize,
        life: u32,
    },
    CommitEvents {
        at: usize,
        life: u32,
    },
    CommitHubEvents {
        life: u32,
    },
    Alarm {
        at: usize,
    },
    Person {
        at: usize,
    },
    Planner,
    Connect {
        at: usize,
        life: u32,
    },
    Wake {
        connection: u32,
        wake: Wake,
    },
    Fetched {
        connection: u32,
        lane: Lane,
        fetched: Box<Fetched>,
    },
    Timeout {
        connection: u32,
    },
    Commit {
        connection: u32,
        at: usize,
        life: u32,
        batch: Box<Batch>,
        frames: Vec<Pending>,
    },
    EdgeNotices {
        connection: u32,
    },
    HubNotices {
        connection: u32,
    },
    Fault(Fault),
    Heal(Fault),
    Settle,
}

/// A box and the people at it.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a trouble of its own; any of them may come together"
)]
#[derive(Debug)]
pub(crate) struct BoxNode {
    pub(crate) id: GatewayId,
    pub(crate) line: Line,
    pub(crate) life: u32,
    pub(crate) up: bool,
    pub(crate) store: BoxStore,
    pub(crate) backup: Option<BoxStore>,
    /// The highest incarnation that any store of it ever had.
    pub(crate) incarnation_high: u32,
    /// Sensors of a poll group.
    pub(crate) width: u32,
    /// How many poll groups there are.
    pub(crate) groups: u32,
    pub(crate) waiting_polls: Vec<(u32, Stored)>,
    pub(crate) waiting_intents: Vec<Intent>,
    pub(crate) dropped: u64,
    /// Tie-breaker of its stamps.
    pub(crate) node: u32,
    pub(crate) clock: HlcClock,
    pub(crate) wall_offset: i64,
    pub(crate) commit_tick: i64,
    /// An older copy of its store or of the hub's was put back.
    pub(crate) copies: bool,
    /// The most of the hub's events that any store of it ever held.
    pub(crate) down_high: u64,
    /// The disk takes no readings.
    pub(crate) full: bool,
    /// No way to the hub.
    pub(crate) cut_off: bool,
    /// It runs a newer build than this one.
    pub(crate) newer: bool,
    pub(crate) connection: Option<u32>,
    pub(crate) attempts: u32,
    /// Since when the link is up and the hub takes in what comes over it.
    pub(crate) good_since: i64,
}

#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a trouble of its own; any of them may come together"
)]
#[derive(Debug)]
pub(crate) struct HubNode {
    pub(crate) life: u32,
    pub(crate) up: bool,
    pub(crate) gateways: Vec<HubGateway>,
    pub(crate) backup: Option<Vec<HubGateway>>,
    pub(crate) waiting_intents: Vec<(usize, Intent)>,
    pub(crate) clock: HlcClock,
    pub(crate) wall_offset: i64,
    pub(crate) full: bool,
    pub(crate) busy: bool,
    /// A commit takes up to this.
    pub(crate) commit_us: i64,
    /// The next block is refused.
    pub(crate) refuses: bool,
    /// What may be on the way on lanes 1, 3, 4 and 5.
    pub(crate) windows: (u32, u32, u32, u32),
    pub(crate) newer: bool,
    pub(crate) written: u64,
}

/// What a run was about, for the report.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) faults: u64,
    pub(crate) connects: u64,
    pub(crate) frames: u64,
    pub(crate) settled_us: i64,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: i64,
    pub(crate) random: Random,
    queue: BTreeMap<(i64, u64), Happening>,
    next: u64,
    pub(crate) boxes: Vec<BoxNode>,
    pub(crate) hub: HubNode,
    pub(crate) connections: BTreeMap<u32, Box<Connection>>,
    pub(crate) next_connection: u32,
    pub(crate) ledger: Ledger,
    pub(crate) trace: Trace,
    pub(crate) counts: Counts,
    pub(crate) bug: Option<Bug>,
    pub(crate) settling: bool,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) failure: Option<String>,
    pub(crate) hash: u64,
    pub(crate) lines: u64,
    pub(crate) tail: String,
    pub(crate) polls: usize,
    pub(crate) events: usize,
    pub(crate) latencies: Vec<i64>,
    pub(crate) counts: Counts,
}

impl World {
    pub(crate) fn new(seed: u64, bug: Option<Bug>, lines: usize) -> Self {
        let mut random = Random::new(seed);
        let plan = Plan::new(&mut random);
        let boxes = (0..plan.boxes).map(|_| BoxNode::new(&mut random)).collect();
        let mut world = Self {
            now: 0,
            hub: HubNode::new(&mut random, plan.boxes),
            random,
            queue: BTreeMap::new(),
            next: 0,
            boxes,
            connections: BTreeMap::new(),
            next_connection: 0,
            ledger: Ledger::default(),
            trace: Trace::new(lines),
            counts: Counts::default(),
            bug,
            settling: false,
        };
        plan.schedule(&mut world);
        world
    }

    /// Runs the day and what comes after it.
    pub(crate) fn run(mut self) -> Ended {
        while let Some(((now, _), happening)) = self.queue.pop_first() {
            self.now = now;
            if now > DAY + SETTLE_BOUND {
                self.ledger
                    .fail("the programs found no rest after the faults had stopped");
            }
            self.happen(happening);
            if self.ledger.failure().is_some() {
                break;
            }
        }
        if self.ledger.failure().is_none() {
            self.counts.settled_us = self.now - DAY;
            for (at, node) in self.boxes.iter().enumerate() {
                let left = self.on_the_way(at);
                self.ledger
                    .require(left == 0, || format!("{left} bytes are still on the way"));
                self.ledger.settled(at, &node.store, &self.hub.gateways[at]);
            }
        }
        Ended {
            failure: self.ledger.failure().cloned(),
            hash: self.trace.hash(),
            lines: self.trace.lines(),
            tail: self.trace.tail(),
            polls: self.ledger.polls_committed(),
            events: self.ledger.events_committed(),
            latencies: std::mem::take(&mut self.ledger.latencies),
            counts: self.counts,
        }
    }

    pub(crate) fn after(&mut self, delay: i64, happening: Happening) {
        self.at(self.now + delay, happening);
    }

    pub(crate) fn at(&mut self, time: i64, happening: Happening) {
        self.next += 1;
        self.queue
            .insert((time.max(self.now), self.next), happening);
    }

    /// What was still to go wrong or to get better is over.
    pub(crate) fn forget_faults(&mut self) {
        self.queue
            .retain(|_, happening| !matches!(happening, Happening::Fault(_) | Happening::Heal(_)));
    }

    pub(crate) fn note(&mut self, what: &'static str, details: [u64; 4]) {
        self.trace.note(self.now, what, details);
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Poll { at, group, period } => self.poll(at, group, period),
            Happening::CommitPolls { at, life } => self.commit_polls(at, life),
            Happening::CommitEvents { at, life } => self.commit_events(at, life),
            Happening::CommitHubEvents { life } => self.commit_hub_events(life),
            Happening::Alarm { at } => self.alarm(at),
            Happening::Person { at } => self.person(at),
            Happening::Planner => self.planner(),
            Happening::Connect { at, life } => self.connect(at, life),
            Happening::Wake { connection, wake } => self.wake(connection, wake),
            Happening::Fetched {
                connection,
                lane,
                fetched,
            } => {
                self.fetched(connection, lane, *fetched);
            }
            Happening::Timeout { connection } => self.timeout(connection),
            Happening::Commit {
                connection,
                at,
                life,
                batch,
                frames,
            } => {
                if self.hub.life == life {
                    self.commit(connection, at, *batch, &frames);
                }
            }
            Happening::EdgeNotices { connection } => self.edge_leaves(connection),
            Happening::HubNotices { connection } => self.hub_leaves(connection),
            Happening::Fault(fault) => self.fault(fault),
            Happening::Heal(fault) => self.heal(fault),
            Happening::Settle => self.settle(),
        }
    }

    /// The clock on a box's wall.
    pub(crate) fn wall(&self, at: usize) -> Timestamp {
        Timestamp(EPOCH_US + self.now + self.boxes[at].wall_offset)
    }

    pub(crate) fn hub_wall(&self) -> Timestamp {
        Timestamp(EPOCH_US + self.now + self.hub.wall_offset)
    }
}

impl BoxNode {
    fn new(random: &mut Random) -> Self {
        let node = random.next().to_le_bytes()[0].into();
        Self {
            id: GatewayId(random.uuid()),
            line: Line::random(random),
            life: 0,
            up: true,
            store: BoxStore {
                incarnation: 1,
                ..BoxStore::default()
            },
            backup: None,
            incarnation_high: 1,
            groups: 0,
            width: random.pick(&[1, 1, 2, 12]),
            waiting_polls: Vec::new(),
            waiting_intents: Vec::new(),
            dropped: 0,
            node,
            clock: HlcClock::new(Hlc::default(), node),
            copies: false,
            down_high: 0,
            wall_offset: 0,
            commit_tick: random.pick(&[SECOND, 10 * SECOND]),
            full: false,
            cut_off: false,
            newer: random.percent(30),
            connection: None,
            attempts: 0,
            good_since: 0,
        }
    }
}

impl HubNode {
    fn new(random: &mut Random, boxes: usize) -> Self {
        Self {
            life: 0,
            up: true,
            gateways: vec![HubGateway::default(); boxes],
            backup: None,
            waiting_intents: Vec::new(),
            clock: HlcClock::new(Hlc::default(), 1_000),
            wall_offset: 0,
            full: false,
            busy: false,
            commit_us: random.pick(&[2_000, 50_000, 400_000]),
            refuses: false,
            windows: random.pick(&[
                (262_144, 262_144, 262_144, 262_144),
                (4_096, 8_192, 2_400, 1),
            ]),
            newer: random.percent(30),
            written: 0,
        }
    }
}
