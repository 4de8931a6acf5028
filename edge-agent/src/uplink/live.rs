//! How often new polls are told to the session: several together take fewer bytes on the wire than
//! each alone. Never holds an event back, and none of the polls: they stay in the store.

use protocol::time::Timestamp;
use std::time::Duration;

/// The wait after the first polls of a connection: who waited for the link looks now.
const FIRST_WAIT_US: i64 = 1_000_000;

/// When the session hears of new polls.
#[derive(Debug)]
pub(super) struct LivePace {
    every_us: i64,
    /// The wait after the next ones: it doubles until it is `every_us`.
    wait_us: i64,
    /// From here on it may hear of polls.
    due: Timestamp,
    waiting: bool,
}

impl LivePace {
    /// The first polls go at once, the next after a second, then two, at last once in `every`.
    pub(super) fn new(every: Duration, now: Timestamp) -> Self {
        let every_us = i64::try_from(every.as_micros()).unwrap_or(i64::MAX);
        Self {
            every_us,
            wait_us: every_us.min(FIRST_WAIT_US),
            due: now,
            waiting: false,
        }
    }

    /// There are new polls.
    pub(super) fn committed(&mut self) {
        self.waiting = true;
    }

    /// When `take` will say that it is time; `None` while there is nothing new.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.waiting.then_some(self.due)
    }

    /// Whether the session is to hear of new polls now.
    pub(super) fn take(&mut self, now: Timestamp) -> bool {
        if !self.waiting || now < self.due {
            return false;
        }
        self.waiting = false;
        self.due = now.plus_micros(self.wait_us);
        self.wait_us = self.wait_us.saturating_mul(2).min(self.every_us);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_goes_at_once_and_what_follows_goes_together() {
        let at = |ms: i64| Timestamp(ms * 1_000);
        let mut pace = LivePace::new(Duration::from_secs(5), at(0));
        assert!(!pace.take(at(1)), "there is nothing yet");
        pace.committed();
        assert!(pace.take(at(1_000)));
        for due in [2_000, 4_000, 8_000, 13_000, 18_000] {
            pace.committed();
            assert!(!pace.take(at(due - 1)));
            assert_eq!(pace.deadline(), Some(at(due)));
            assert!(pace.take(at(due)));
        }
        assert_eq!(pace.deadline(), None);
        // After a silence again at once.
        pace.committed();
        assert!(pace.take(at(60_000)));
    }
}
