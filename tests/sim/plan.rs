//! What a seed makes happen in its day: machines polled, people at work, faults.
//! Never decides how the programs take it.

use crate::random::Random;
use crate::world::{DAY, HOUR, Happening, MINUTE, SECOND, World};

/// What a commit of a slow hub takes: a box gives up after 20 s and comes again meanwhile.
const SLOW_COMMIT_US: i64 = 45 * SECOND;

/// Something that goes wrong. A number is that of a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection breaks; each side notices in its own time.
    Cut(usize),
    /// Nothing arrives for a while.
    Stall(usize),
    /// The hub's end of a connection hangs; the transport goes on.
    Hang(usize),
    /// No connection can be made.
    CutOff(usize),
    BoxDies(usize),
    HubDies,
    /// The disk takes nothing.
    BoxFull(usize),
    HubFull,
    /// The file with the readings is damaged.
    Damage(usize),
    /// A copy of the store is made, and later put back.
    BackUpBox(usize),
    RestoreBox(usize),
    BackUpHub,
    RestoreHub,
    /// The wall clock jumps.
    BoxClock(usize),
    HubClock,
    /// The hub lets nobody in.
    Busy,
    /// The hub's commits are slow.
    Slow,
    /// The hub refuses what one frame brings.
    Refuse,
    /// A poll group is added.
    NewStream(usize),
    /// The box is short of room for readings.
    Pressure(usize),
}

impl Fault {
    /// One of each kind, for box `at`.
    const fn all(at: usize) -> [Self; 20] {
        [
            Self::Cut(at),
            Self::Stall(at),
            Self::Hang(at),
            Self::CutOff(at),
            Self::BoxDies(at),
            Self::HubDies,
            Self::BoxFull(at),
            Self::HubFull,
            Self::Damage(at),
            Self::BackUpBox(at),
            Self::RestoreBox(at),
            Self::BackUpHub,
            Self::RestoreHub,
            Self::BoxClock(at),
            Self::HubClock,
            Self::Busy,
            Self::Slow,
            Self::Refuse,
            Self::NewStream(at),
            Self::Pressure(at),
        ]
    }

    /// How often in a day at most, when it happens at all.
    const fn most(self) -> u64 {
        match self {
            Self::Cut(_) => 24,
            Self::Stall(_) | Self::Refuse => 8,
            Self::Hang(_) | Self::BoxDies(_) | Self::CutOff(_) => 5,
            Self::Damage(_) | Self::RestoreBox(_) | Self::RestoreHub => 1,
            _ => 3,
        }
    }

    /// How long it lasts; `None`: it is over at once.
    const fn lasts(self, random: &mut Random) -> Option<i64> {
        match self {
            Self::CutOff(_) => Some(random.spread(10 * SECOND, 10 * HOUR)),
            Self::BoxDies(_) | Self::HubDies => Some(random.spread(SECOND, HOUR)),
            Self::BoxFull(_) => Some(random.spread(MINUTE, 2 * HOUR)),
            Self::HubFull | Self::Busy => Some(random.spread(10 * SECOND, 10 * MINUTE)),
            Self::Slow => Some(random.between(MINUTE, 20 * MINUTE)),
            _ => None,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) boxes: usize,
}

impl Plan {
    pub(crate) fn new(random: &mut Random) -> Self {
        Self {
            boxes: random.pick(&[1, 1, 2, 3]),
        }
    }

    pub(crate) fn schedule(&self, world: &mut World) {
        for at in 0..self.boxes {
            let streams = world.random.between(1, 3);
            for _ in 0..streams {
                world.new_stream(at);
            }
            let life = world.boxes[at].life;
            world.after(0, Happening::Connect { at, life });
            some(world, 12, |_| Happening::Alarm { at });
            some(world, 16, |_| Happening::Person { at });
        }
        some(world, 24, |_| Happening::Planner);
        let kinds = u64::try_from(Fault::all(0).len()).unwrap();
        // Some seeds see a few kinds of faults often, others many.
        let share = world.random.between(10, 90).unsigned_abs();
        for kind in 0..kinds {
            let kind = usize::try_from(kind).unwrap();
            if world.random.percent(share) {
                let boxes = self.boxes;
                let most = Fault::all(0)[kind].most();
                some(world, most, |random| {
                    Happening::Fault(Fault::all(random.index(boxes))[kind])
                });
            }
        }
        world.at(DAY, Happening::Settle);
    }
}

/// Up to `most` of a happening, at any time of the day.
fn some(world: &mut World, most: u64, make: impl Fn(&mut Random) -> Happening) {
    for _ in 0..=world.random.below(most) {
        let time = world.random.between(0, DAY - MINUTE);
        let happening = make(&mut world.random);
        world.at(time, happening);
    }
}

impl World {
    /// A fault begins.
    pub(crate) fn fault(&mut self, fault: Fault) {
        if !self.strike(fault) {
            return;
        }
        self.counts.faults += 1;
        if let Some(lasts) = fault.lasts(&mut self.random) {
            self.after(lasts, Happening::Heal(fault));
        }
    }

    /// Its effect; `false` when there is nothing that it could befall.
    fn strike(&mut self, fault: Fault) -> bool {
        match fault {
            Fault::Cut(at) => self.cut(at),
            Fault::Stall(at) => self.stall(at),
            Fault::Hang(at) => self.hang(at),
            Fault::CutOff(at) => {
                self.note("box {}: no way to the hub", [n(at), 0, 0, 0]);
                self.boxes[at].cut_off = true;
                self.cut(at);
                true
            }
            Fault::BoxDies(at) => self.box_dies(at),
            Fault::HubDies => self.hub_dies(),
            Fault::BoxFull(at) => {
                self.note("box {}: disk full", [n(at), 0, 0, 0]);
                !std::mem::replace(&mut self.boxes[at].full, true)
            }
            Fault::HubFull => {
                self.note("hub: disk full", [0; 4]);
                !std::mem::replace(&mut self.hub.full, true)
            }
            Fault::Damage(at) => self.damage(at),
            Fault::BackUpBox(at) => {
                self.note("box {}: backup", [n(at), 0, 0, 0]);
                self.boxes[at].backup = Some(self.boxes[at].store.clone());
                true
            }
            Fault::RestoreBox(at) => self.restore_box(at),
            Fault::BackUpHub => {
                self.note("hub: backup", [0; 4]);
                self.hub.backup = Some(self.hub.gateways.clone());
                true
            }
            Fault::RestoreHub => self.restore_hub(),
            Fault::BoxClock(at) => {
                self.boxes[at].wall_offset = jump(&mut self.random);
                let offset = self.boxes[at].wall_offset.cast_unsigned();
                self.note("box {}: clock off by {} us", [n(at), offset, 0, 0]);
                true
            }
            Fault::HubClock => {
                self.hub.wall_offset = jump(&mut self.random);
                let offset = self.hub.wall_offset.cast_unsigned();
                self.note("hub: clock off by {} us", [offset, 0, 0, 0]);
                true
            }
            Fault::Busy => !std::mem::replace(&mut self.hub.busy, true),
            Fault::Slow => {
                self.hub.commit_us = SLOW_COMMIT_US;
                self.set_window(2_400);
                true
            }
            Fault::Refuse => !std::mem::replace(&mut self.hub.refuses, true),
            Fault::NewStream(at) => {
                self.new_stream(at);
                true
            }
            Fault::Pressure(at) => self.pressure(at),
        }
    }

    /// A fault ends.
    pub(crate) fn heal(&mut self, fault: Fault) {
        match fault {
            Fault::CutOff(at) => self.boxes[at].cut_off = false,
            Fault::BoxDies(at) => self.box_starts(at),
            Fault::HubDies => self.hub_starts(),
            Fault::BoxFull(at) => self.boxes[at].full = false,
            Fault::HubFull => self.hub.full = false,
            Fault::Busy => self.hub.busy = false,
            Fault::Slow => {
                self.hub.commit_us = 50_000;
                self.set_window(262_144);
                // What waits for the last slow commit is late through no fault of the link.
                let soon = self.now + SLOW_COMMIT_US + SECOND;
                for node in &mut self.boxes {
                    node.good_since = node.good_since.max(soon);
                }
            }
            _ => {}
        }
    }

    /// The day is over: nothing fails any more, nobody adds anything, but one last word of
    /// everybody, on which a side that still believes in a dead connection finds out.
    pub(crate) fn settle(&mut self) {
        self.note("faults stop", [0; 4]);
        self.settling = true;
        self.forget_faults();
        self.hub.refuses = false;
        self.heal(Fault::HubDies);
        self.heal(Fault::HubFull);
        self.heal(Fault::Busy);
        if self.hub.commit_us > SECOND {
            self.heal(Fault::Slow);
        }
        for at in 0..self.boxes.len() {
            self.heal(Fault::CutOff(at));
            self.heal(Fault::BoxDies(at));
            self.heal(Fault::BoxFull(at));
            self.after(MINUTE, Happening::Alarm { at });
            if self.refused(at) {
                self.cut(at);
            }
            if self.boxes[at].copies {
                // What an old connection still brought while a copy was put back is only found
                // by the next one.
                self.after(10 * MINUTE, Happening::Fault(Fault::Cut(at)));
            }
        }
        self.after(MINUTE, Happening::Planner);
    }
}

/// Of ten years, of a minute, or back to the right time.
fn jump(random: &mut Random) -> i64 {
    let years = 3_652 * DAY;
    random.pick(&[years, -years, MINUTE, -MINUTE, 0])
}

/// A number for the trace.
pub(crate) fn n(at: usize) -> u64 {
    u64::try_from(at).unwrap()
}
