//! One direction of a bad network as a value: delay, loss, rate and a bounded queue, with bytes and
//! `now` in and due bytes out. Never touches a socket or a clock, so that each effect is testable.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How a network behaves, the same in both directions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// One-way delay on top of the time that the rate takes.
    pub delay: Duration,
    /// Share of datagrams that get lost, 0 to 1.
    pub loss: f64,
    /// Bytes per second; `None` is as fast as it goes.
    pub rate_bytes_per_s: Option<u64>,
    /// What the queue in front of the rate holds; more is dropped, as a modem does.
    pub queue_bytes: usize,
    /// What each packet has around its payload on the slow part of the way, for instance 28 for
    /// IP and UDP: it takes time and room in the queue as well.
    pub header_bytes: usize,
}

impl Default for Shape {
    /// A perfect network.
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            loss: 0.0,
            rate_bytes_per_s: None,
            queue_bytes: 1 << 20,
            header_bytes: 0,
        }
    }
}

/// How long packets waited for the transmitter, in steps of [`Waits::STEP`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    counts: Vec<u64>,
}

impl Waits {
    /// How finely waits are told apart.
    pub const STEP: Duration = Duration::from_millis(5);

    fn add(&mut self, wait: Duration) {
        // A minute in a queue is as good as any longer wait.
        let step = wait.as_millis() / Self::STEP.as_millis();
        let step = usize::try_from(step).unwrap_or(usize::MAX).min(12_000);
        if self.counts.len() <= step {
            self.counts.resize(step + 1, 0);
        }
        if let Some(count) = self.counts.get_mut(step) {
            *count += 1;
        }
    }

    /// Takes over what `other` has counted.
    pub fn merge(&mut self, other: &mut Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (count, more) in self.counts.iter_mut().zip(other.counts.drain(..)) {
            *count += more;
        }
    }

    /// The wait that this share of the packets, in thousandths, did not exceed.
    pub fn at_most(&self, per_mille: u64) -> Duration {
        let all: u64 = self.counts.iter().sum();
        let wanted = (all * per_mille).div_ceil(1_000);
        let mut seen = 0;
        for (step, count) in (1_u32..).zip(&self.counts) {
            seen += count;
            if seen >= wanted {
                return Self::STEP * step;
            }
        }
        Duration::ZERO
    }
}

/// What became of what was sent into a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Datagrams that came out at the other end.
    pub datagrams: u64,
    /// Bytes of UDP payload that came out at the other end.
    pub bytes: u64,
    /// Datagrams dropped: loss, full queue, or a cut cable.
    pub dropped: u64,
}

impl Counted {
    /// What the transmitter sent for it, with `header_bytes` around each.
    pub fn wire_bytes(&self, header_bytes: usize) -> u64 {
        self.bytes + self.datagrams * u64::try_from(header_bytes).unwrap_or(0)
    }
}

/// A datagram on its way; `to` is whatever the owner needs to deliver it.
#[derive(Debug)]
struct Travelling<T> {
    due: Instant,
    to: T,
    bytes: Vec<u8>,
}

/// One direction.
#[derive(Debug)]
pub struct Link<T> {
    way: VecDeque<Travelling<T>>,
    /// When the transmitter has sent out all that was accepted.
    free_at: Option<Instant>,
    random: u64,
    /// What became of what was sent.
    pub counted: Counted,
    /// How long what was accepted waited for the transmitter.
    pub waits: Waits,
}

impl<T> Link<T> {
    /// A link whose losses follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            way: VecDeque::new(),
            free_at: None,
            random: seed,
            counted: Counted::default(),
            waits: Waits::default(),
        }
    }

    /// A datagram enters at `now`.
    pub fn send(&mut self, now: Instant, shape: &Shape, to: T, bytes: Vec<u8>) {
        let lost = shape.loss > 0.0 && self.chance() < shape.loss;
        let started = self.free_at.filter(|free| *free > now).unwrap_or(now);
        if lost || !self.has_room(now, shape, bytes.len()) {
            self.counted.dropped += 1;
            return;
        }
        self.waits.add(started.duration_since(now));
        let wire_bytes = bytes.len() + shape.header_bytes;
        let sent = started + time_of(wire_bytes, shape.rate_bytes_per_s);
        self.free_at = Some(sent);
        // A shorter delay set meanwhile does not let datagrams overtake: a cable keeps the order.
        let earliest = self.way.back().map_or(sent, |last| last.due);
        let due = (sent + shape.delay).max(earliest);
        self.way.push_back(Travelling { due, to, bytes });
    }

    /// Whether a packet with so much payload would find room in the queue.
    pub fn has_room(&self, now: Instant, shape: &Shape, payload_bytes: usize) -> bool {
        let busy = self.free_at.map(|free| free.saturating_duration_since(now));
        let waiting_bytes = bytes_in(busy.unwrap_or_default(), shape.rate_bytes_per_s);
        let needed = payload_bytes.saturating_add(shape.header_bytes);
        waiting_bytes.saturating_add(needed) <= shape.queue_bytes
    }

    /// The next datagram that has arrived by `now`.
    pub fn receive(&mut self, now: Instant) -> Option<(T, Vec<u8>)> {
        if self.way.front()?.due > now {
            return None;
        }
        let arrived = self.way.pop_front()?;
        self.counted.datagrams += 1;
        self.counted.bytes += u64::try_from(arrived.bytes.len()).unwrap_or(u64::MAX);
        Some((arrived.to, arrived.bytes))
    }

    /// When the next one arrives.
    pub fn next_due(&self) -> Option<Instant> {
        self.way.front().map(|travelling| travelling.due)
    }

    /// The cable is cut: all that is on its way is lost.
    pub fn lose_all(&mut self) {
        self.counted.dropped += u64::try_from(self.way.len()).unwrap_or(u64::MAX);
        self.way.clear();
        self.free_at = None;
    }

    /// One datagram was lost before it entered.
    pub fn lose_one(&mut self) {
        self.counted.dropped += 1;
    }

    /// The next number of the seeded generator, from 0 up to 1 (`SplitMix64`).
    #[expect(
        clippy::cast_precision_loss,
        clippy::as_conversions,
        reason = "53 bits fit an f64"
    )]
    fn chance(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn time_of(bytes: usize, rate: Option<u64>) -> Duration {
    let Some(rate) = rate.filter(|rate| *rate > 0) else {
        return Duration::ZERO;
    };
    let nanos = u128::try_from(bytes).unwrap_or(0) * 1_000_000_000 / u128::from(rate);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

fn bytes_in(time: Duration, rate: Option<u64>) -> usize {
    let bytes = time.as_nanos() * u128::from(rate.unwrap_or(0)) / 1_000_000_000;
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn delay_and_rate_add_up_and_the_order_is_kept() {
        let start = Instant::now();
        let mut link = Link::new(1);
        let shape = Shape {
            delay: ms(50),
            rate_bytes_per_s: Some(1_000),
            ..Shape::default()
        };
        link.send(start, &shape, "a", vec![0; 100]);
        link.send(start, &shape, "b", vec![0; 100]);
        assert_eq!(link.next_due(), Some(start + ms(150)));
        assert!(link.receive(start + ms(149)).is_none());
        assert_eq!(link.receive(start + ms(150)).unwrap().0, "a");
        assert!(link.receive(start + ms(249)).is_none());
        // A shorter delay set meanwhile does not overtake.
        link.send(start + ms(200), &Shape::default(), "c", vec![0; 1]);
        assert_eq!(link.receive(start + ms(250)).unwrap().0, "b");
        assert_eq!(link.receive(start + ms(250)).unwrap().0, "c");
        assert_eq!(
            link.counted,
            Counted {
                datagrams: 3,
                bytes: 201,
                dropped: 0
            }
        );
    }

    #[test]
    fn headers_take_time_and_waits_are_counted() {
        let start = Instant::now();
        let mut link = Link::new(1);
        let shape = Shape {
            rate_bytes_per_s: Some(1_000),
            header_bytes: 28,
            queue_bytes: 300,
            ..Shape::default()
        };
        for _ in 0..2 {
            link.send(start, &shape, (), vec![0; 72]);
        }
        assert_eq!(link.next_due(), Some(start + ms(100)));
        assert!(link.has_room(start, &shape, 72) && !link.has_room(start, &shape, 73));
        assert!(link.has_room(start + ms(1), &shape, 73));
        assert_eq!(link.waits.at_most(500), Waits::STEP);
        assert_eq!(link.waits.at_most(1_000), ms(100) + Waits::STEP);
        while link.receive(start + ms(200)).is_some() {}
        assert_eq!(link.counted.wire_bytes(28), 200);
    }

    #[test]
    fn a_full_queue_drops() {
        let start = Instant::now();
        let mut link = Link::new(1);
        let shape = Shape {
            rate_bytes_per_s: Some(1_000),
            queue_bytes: 250,
            ..Shape::default()
        };
        for _ in 0..5 {
            link.send(start, &shape, (), vec![0; 100]);
        }
        assert_eq!(link.counted.dropped, 3);
        link.send(start + ms(200), &shape, (), vec![0; 100]);
        assert_eq!(link.counted.dropped, 3);
    }

    #[test]
    fn losses_follow_from_the_seed_and_meet_their_share() {
        let run = |seed| {
            let mut link = Link::new(seed);
            let shape = Shape {
                loss: 0.3,
                ..Shape::default()
            };
            let start = Instant::now();
            (0..1_000)
                .map(|_| {
                    let before = link.counted.dropped;
                    link.send(start, &shape, (), vec![0]);
                    link.counted.dropped > before
                })
                .collect::<Vec<bool>>()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
        let lost = run(7).iter().filter(|lost| **lost).count();
        assert!((250..350).contains(&lost), "{lost} of 1000 lost at 30 %");
    }

    #[test]
    fn a_cut_loses_what_is_on_its_way() {
        let start = Instant::now();
        let mut link = Link::new(1);
        link.send(start, &Shape::default(), (), vec![0; 10]);
        link.lose_all();
        assert!(link.receive(start).is_none());
        assert_eq!(
            link.counted,
            Counted {
                datagrams: 0,
                bytes: 0,
                dropped: 1
            }
        );
    }
}
