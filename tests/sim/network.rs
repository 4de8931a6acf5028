//! A connection as the network sees it: one ordered stream of bytes per lane and way, through a
//! bottleneck with a queue, cut at any byte. Lanes overtake each other, bytes of a lane never.
//! Never looks into the bytes, never invents any.

use crate::random::Random;
use std::collections::{BTreeMap, VecDeque};

/// Most bytes of one packet.
const PACKET_BYTES_MAX: u64 = 1_200;
/// What a packet costs beyond its bytes.
const PACKET_HEAD_BYTES: u64 = 40;

/// From where to where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Up,
    Down,
}

/// How good the line of a box is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) bytes_per_s: u64,
    pub(crate) delay_us: i64,
    /// Each packet is late by up to this: so lanes overtake each other.
    pub(crate) jitter_us: i64,
    /// How much waits in the bottleneck before the sender is held back.
    pub(crate) queue_us: i64,
}

impl Line {
    pub(crate) fn random(random: &mut Random) -> Self {
        Self {
            bytes_per_s: random.pick(&[4_000, 32_000, 125_000, 12_500_000]),
            delay_us: random.pick(&[1_000, 25_000, 300_000]),
            jitter_us: random.pick(&[0, 5_000, 100_000, 400_000]),
            queue_us: random.pick(&[20_000, 200_000, 1_500_000]),
        }
    }
}

#[derive(Debug, Default)]
struct Lane {
    /// Not yet in the bottleneck.
    waiting: VecDeque<u8>,
    /// In the bottleneck or on the way, in order.
    flying: VecDeque<Vec<u8>>,
    arrives: i64,
}

#[derive(Debug, Default)]
struct Direction {
    lanes: BTreeMap<u8, Lane>,
    bottleneck_free: i64,
    pump_at: Option<i64>,
    /// Bytes that still arrive after a cut.
    left: Option<usize>,
}

/// What the network wants to be woken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// The bottleneck has room.
    Pump(Way),
    /// The next packet of a lane arrives.
    Arrival(Way, u8),
}

#[derive(Debug)]
pub(crate) struct Network {
    line: Line,
    up: Direction,
    down: Direction,
    /// Nothing arrives before.
    stalled_until: i64,
}

impl Network {
    pub(crate) fn new(line: Line) -> Self {
        Self {
            line,
            up: Direction::default(),
            down: Direction::default(),
            stalled_until: 0,
        }
    }

    const fn direction(&mut self, way: Way) -> &mut Direction {
        match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        }
    }

    /// The sender hands bytes over.
    pub(crate) fn send(&mut self, way: Way, lane: u8, bytes: &[u8]) {
        let lane = self.direction(way).lanes.entry(lane).or_default();
        lane.waiting.extend(bytes);
    }

    /// Fills the bottleneck, the lane with the lowest number first. Answers when to wake it.
    pub(crate) fn pump(&mut self, way: Way, now: i64, random: &mut Random) -> Vec<(i64, Wake)> {
        let (line, stalled) = (self.line, self.stalled_until);
        let direction = self.direction(way);
        if direction.pump_at.is_some_and(|at| at > now) {
            return Vec::new();
        }
        direction.pump_at = None;
        let mut wakes = Vec::new();
        loop {
            let mut lanes = direction.lanes.iter_mut();
            let Some((number, lane)) = lanes.find(|(_, lane)| !lane.waiting.is_empty()) else {
                return wakes;
            };
            let number = *number;
            if direction.bottleneck_free > now + line.queue_us {
                let at = direction.bottleneck_free - line.queue_us;
                direction.pump_at = Some(at);
                wakes.push((at, Wake::Pump(way)));
                return wakes;
            }
            let size = 1 + random.below(PACKET_BYTES_MAX);
            let size = usize::try_from(size)
                .unwrap()
                .max(lane.waiting.len().min(200));
            let packet: Vec<u8> = lane.waiting.drain(..size.min(lane.waiting.len())).collect();
            let bytes = u64::try_from(packet.len()).unwrap() + PACKET_HEAD_BYTES;
            let takes = (bytes * 1_000_000 / line.bytes_per_s).cast_signed();
            direction.bottleneck_free = direction.bottleneck_free.max(now) + takes;
            let late = random.between(0, line.jitter_us);
            let arrives = direction.bottleneck_free + line.delay_us + late;
            lane.arrives = lane.arrives.max(arrives).max(stalled);
            lane.flying.push_back(packet);
            wakes.push((lane.arrives, Wake::Arrival(way, number)));
        }
    }

    /// What arrives now on a lane; or when to look again.
    pub(crate) fn arrive(&mut self, way: Way, lane: u8, now: i64) -> Result<Vec<u8>, i64> {
        if now < self.stalled_until {
            return Err(self.stalled_until);
        }
        let direction = self.direction(way);
        let flying = direction.lanes.get_mut(&lane);
        let mut packet = flying
            .and_then(|lane| lane.flying.pop_front())
            .unwrap_or_default();
        if let Some(left) = &mut direction.left {
            packet.truncate(*left);
            *left -= packet.len();
        }
        Ok(packet)
    }

    /// Nothing arrives for a while; what is on the way arrives after it.
    pub(crate) fn stall(&mut self, until: i64) {
        self.stalled_until = self.stalled_until.max(until);
    }

    /// The connection is dead; some bytes that are on the way still arrive.
    pub(crate) fn cut(&mut self, random: &mut Random) {
        for direction in [&mut self.up, &mut self.down] {
            let left = usize::try_from(random.below(3_000)).unwrap();
            let left = if random.percent(50) { 0 } else { left };
            direction.left = Some(direction.left.map_or(left, |old| old.min(left)));
        }
    }

    pub(crate) const fn is_cut(&self) -> bool {
        self.up.left.is_some()
    }
}
