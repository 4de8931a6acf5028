//! How much bulk data may be on the way: a window that follows the measured round trip, so that
//! an alert never waits behind a backlog in a modem's queue (PROTOCOL §6.6). Never looks at a
//! clock: times are arguments. Same idea as LEDBAT++ (RFC 6817): fill the link, not its queue.

use crate::time::Timestamp;

/// Delay that bulk data may add to the link's own, in microseconds.
const TARGET_DELAY_US: i64 = 150_000;
/// The window a connection begins with, and the smallest: two packets.
const WINDOW_BYTES_MIN: u64 = 2_400;
/// What the window grows by in a round trip without any queue.
const GROWTH_BYTES: u64 = 2_400;
/// Round trips of which the shortest counts as the present one.
const RECENT_SAMPLES: usize = 4;
/// How often the link is left alone for a moment, so that its own round trip shows again.
const REST_EVERY_US: i64 = 60_000_000;

/// The window over all lanes that carry bulk data.
#[derive(Debug)]
pub(super) struct Pacer {
    /// What may be on the way.
    window: u64,
    /// What the hub allows at most.
    ceiling: u64,
    in_flight: u64,
    /// Bytes acknowledged since `round_since`, and the best rate of late, in bytes per second.
    round_bytes: u64,
    round_since: Option<Timestamp>,
    rate: u64,
    /// Shortest round trip of this and of the last period between two rests.
    base_us: [Option<i64>; 2],
    recent_us: [i64; RECENT_SAMPLES],
    samples: usize,
    starting: bool,
    cut_at: Option<Timestamp>,
    rested_at: Option<Timestamp>,
    resting_until: Option<Timestamp>,
}

impl Pacer {
    pub(super) fn new(ceiling: u64) -> Self {
        Self {
            window: WINDOW_BYTES_MIN * 2,
            ceiling: ceiling.max(WINDOW_BYTES_MIN),
            in_flight: 0,
            round_bytes: 0,
            round_since: None,
            rate: 0,
            base_us: [None; 2],
            recent_us: [i64::MAX; RECENT_SAMPLES],
            samples: 0,
            starting: true,
            cut_at: None,
            rested_at: None,
            resting_until: None,
        }
    }

    /// What may be sent now.
    pub(super) fn room(&self) -> u64 {
        let window = if self.resting_until.is_some() {
            WINDOW_BYTES_MIN
        } else {
            self.window
        };
        window.saturating_sub(self.in_flight)
    }

    /// The length of a piece: small beside the window, so that the window can be kept.
    pub(super) fn piece_bytes(&self) -> usize {
        let piece = usize::try_from(self.window / 8).unwrap_or(usize::MAX);
        piece.clamp(1_100, crate::limits::PIECE_BYTES_MAX)
    }

    /// What the hub allows from now on.
    pub(super) fn set_ceiling(&mut self, ceiling: u64) {
        self.ceiling = ceiling.max(WINDOW_BYTES_MIN);
        self.window = self.window.min(self.ceiling);
    }

    /// These bytes were given to the network.
    pub(super) fn sent(&mut self, bytes: u64, now: Timestamp) {
        self.in_flight += bytes;
        self.round_since.get_or_insert(now);
        self.rested_at.get_or_insert(now);
    }

    /// These bytes, sent at `sent_at`, came back as acknowledged.
    pub(super) fn acked(&mut self, bytes: u64, sent_at: Timestamp, now: Timestamp) {
        let limited = self.in_flight.saturating_mul(2) >= self.window;
        self.in_flight = self.in_flight.saturating_sub(bytes);
        let round_trip = now.micros_since(sent_at).max(1);
        self.measure(bytes, round_trip, now);
        self.rest(now);
        let Some(base) = self.base() else { return };
        let delay = self.present().saturating_sub(base);
        if self.resting_until.is_some() {
            return;
        }
        if self.starting && delay < TARGET_DELAY_US / 2 {
            // A window that is not used up says nothing about the link.
            if limited {
                self.grow(bytes);
            }
        } else {
            self.starting = false;
            self.steer(bytes, delay, limited, now);
        }
        let least = WINDOW_BYTES_MIN.min(self.ceiling);
        self.window = self.window.clamp(least, self.ceiling);
    }

    /// Of an empty network nothing is on the way: after a lane was cut short.
    pub(super) const fn on_the_way(&self) -> u64 {
        self.in_flight
    }

    /// When the pause that shows the link's own round trip ends.
    pub(super) const fn wake_at(&self) -> Option<Timestamp> {
        self.resting_until
    }

    /// A pause may have ended.
    pub(super) fn tick(&mut self, now: Timestamp) {
        if self.resting_until.is_some_and(|until| now >= until) {
            self.resting_until = None;
        }
    }

    fn steer(&mut self, bytes: u64, delay: i64, limited: bool, now: Timestamp) {
        let share = |whole: u64, part: i64| {
            let part = u64::try_from(part.clamp(0, TARGET_DELAY_US)).unwrap_or(0);
            whole.saturating_mul(part) / TARGET_DELAY_US.unsigned_abs()
        };
        let per_round = |window: u64| GROWTH_BYTES.saturating_mul(bytes) / window.max(1);
        if delay <= TARGET_DELAY_US {
            if limited {
                self.grow(share(per_round(self.window), TARGET_DELAY_US - delay));
            }
            return;
        }
        self.window = self
            .window
            .saturating_sub(share(per_round(self.window), delay - TARGET_DELAY_US));
        let round = self.present();
        let cut_long_ago = self
            .cut_at
            .is_none_or(|at| now.micros_since(at) > round.saturating_mul(2));
        if delay > 2 * TARGET_DELAY_US && cut_long_ago {
            // Far over: what the link delivers in the time it should take, and a bit less.
            self.window = self.fair().min(self.window * 7 / 10);
            self.cut_at = Some(now);
        }
    }

    /// Grows, but never beyond twice what the measured rate fills the link and the target with.
    fn grow(&mut self, bytes: u64) {
        let bound = if self.rate == 0 {
            u64::MAX
        } else {
            self.fair().saturating_mul(2).max(WINDOW_BYTES_MIN * 4)
        };
        self.window = self
            .window
            .saturating_add(bytes)
            .min(bound.max(self.window));
    }

    /// Four fifths of what the link delivers within its own round trip and the target.
    fn fair(&self) -> u64 {
        let time = self.base().unwrap_or(0).saturating_add(TARGET_DELAY_US);
        let bytes = u128::from(self.rate) * u128::from(time.unsigned_abs()) / 1_000_000;
        u64::try_from(bytes).unwrap_or(u64::MAX) / 5 * 4
    }

    fn measure(&mut self, bytes: u64, round_trip: i64, now: Timestamp) {
        let at = self.samples % RECENT_SAMPLES;
        if let Some(slot) = self.recent_us.get_mut(at) {
            *slot = round_trip;
        }
        self.samples = self.samples.wrapping_add(1);
        let [current, _] = &mut self.base_us;
        *current = Some(current.map_or(round_trip, |base| base.min(round_trip)));
        self.round_bytes = self.round_bytes.saturating_add(bytes);
        let Some(since) = self.round_since else {
            return;
        };
        let took = now.micros_since(since);
        if took >= round_trip.max(200_000) {
            let rate = u128::from(self.round_bytes) * 1_000_000 / u128::from(took.unsigned_abs());
            let rate = u64::try_from(rate).unwrap_or(u64::MAX);
            // The best of late: it forgets an eighth a round.
            self.rate = rate.max(self.rate - self.rate / 8);
            self.round_bytes = 0;
            self.round_since = (self.in_flight > 0).then_some(now);
        }
    }

    fn rest(&mut self, now: Timestamp) {
        let due = self
            .rested_at
            .is_some_and(|at| now.micros_since(at) >= REST_EVERY_US);
        if due {
            let round = self.present().clamp(20_000, 2_000_000);
            self.resting_until = Some(now.plus_micros(round.saturating_mul(2)));
            self.rested_at = Some(now);
            let [current, last] = &mut self.base_us;
            *last = current.take();
        }
    }

    fn present(&self) -> i64 {
        self.recent_us.iter().copied().min().unwrap_or(i64::MAX)
    }

    fn base(&self) -> Option<i64> {
        self.base_us.iter().flatten().copied().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// A link of a rate, a delay each way and a deep queue, filled as the pacer allows; answers
    /// the share of the link that was used and the longest time in the queue after the start.
    fn run(rate: i64, delay_us: i64, seconds: i64) -> (f64, i64) {
        let mut pacer = Pacer::new(1 << 20);
        let mut way: VecDeque<(Timestamp, Timestamp, u64)> = VecDeque::new();
        let mut free_at = Timestamp(0);
        let (mut delivered, mut longest) = (0_u64, 0);
        for millis in 0..seconds * 1_000 {
            let now = Timestamp(millis * 1_000);
            pacer.tick(now);
            while let Some((back, sent_at, bytes)) = way.front().copied() {
                if back > now {
                    break;
                }
                way.pop_front();
                delivered += bytes;
                pacer.acked(bytes, sent_at, now);
            }
            while pacer.room() > 0 {
                let bytes = u64::try_from(pacer.piece_bytes()).unwrap();
                pacer.sent(bytes, now);
                let begin = free_at.max(now);
                let took = i64::try_from(bytes).unwrap() * 1_000_000 / rate;
                free_at = begin.plus_micros(took);
                if millis > 5_000 {
                    longest = longest.max(begin.micros_since(now));
                }
                way.push_back((free_at.plus_micros(2 * delay_us), now, bytes));
            }
        }
        #[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "a test")]
        let used = delivered as f64 / (rate * seconds) as f64;
        (used, longest)
    }

    #[test]
    fn a_slow_link_is_filled_and_its_queue_is_not() {
        let (used, longest) = run(32_000, 50_000, 300);
        assert!(used > 0.9, "used {used}");
        assert!(longest < 300_000, "{longest} us in the queue");
    }

    #[test]
    fn a_fast_link_is_filled_too() {
        let (used, longest) = run(2_500_000, 20_000, 60);
        assert!(used > 0.8, "used {used}");
        assert!(longest < 300_000, "{longest} us in the queue");
    }

    #[test]
    fn a_very_slow_link_still_moves() {
        let (used, longest) = run(1_200, 300_000, 300);
        assert!(used > 0.8, "used {used}");
        assert!(longest < 6_000_000, "{longest} us in the queue");
    }
}
