//! How long to wait before the next attempt: doubling, with full jitter, so that a thousand boxes
//! that lost the hub together do not come back together. Never waits by itself.

use ring::rand::{SecureRandom as _, SystemRandom};
use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
/// No attempt comes sooner after the last.
const LEAST: Duration = Duration::from_millis(100);

/// The waits between attempts.
#[derive(Debug)]
pub struct Backoff {
    longest: Duration,
    next: Duration,
}

impl Backoff {
    /// Waits of one second at first and `longest` at last.
    pub fn new(longest: Duration) -> Self {
        Self {
            longest,
            next: FIRST.min(longest),
        }
    }

    /// The next wait: anything up to the present bound, which then doubles.
    pub fn next_wait(&mut self) -> Duration {
        let bound = self.next;
        self.next = bound.saturating_mul(2).min(self.longest);
        part_of(bound).max(LEAST)
    }

    /// The link is up: the next failure begins with the shortest wait.
    pub fn reset(&mut self) {
        self.next = FIRST.min(self.longest);
    }
}

/// Any time up to `whole`, each as likely as the other.
pub(super) fn part_of(whole: Duration) -> Duration {
    let mut random = [0; 4];
    // Without random bytes the whole is waited: slower, never wrong.
    let share = match SystemRandom::new().fill(&mut random) {
        Ok(()) => f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX),
        Err(_) => 1.0,
    };
    whole.mul_f64(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_longest_and_begin_anew() {
        let longest = Duration::from_secs(8);
        let mut backoff = Backoff::new(longest);
        for bound in [1, 2, 4, 8, 8] {
            let wait = backoff.next_wait();
            assert!(
                wait >= LEAST && wait <= Duration::from_secs(bound),
                "{wait:?}"
            );
        }
        backoff.reset();
        assert!(backoff.next_wait() <= FIRST);
    }
}
