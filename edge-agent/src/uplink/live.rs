//! How often new polls are told to the session: several together take fewer bytes on the wire than
//! each alone. Never holds an event back, and none of the polls: they stay in the store.

use protocol::time::Timestamp;
use std::time::Duration;

/// When the session hears of new polls.
#[derive(Debug)]
pub(super) struct LivePace {
    every_us: i64,
    /// From here on it may hear of polls.
    due: Timestamp,
    waiting: bool,
}

impl LivePace {
    /// The first polls go at once, later ones once in `every`.
    pub(super) fn new(every: Duration, now: Timestamp) -> Self {
        Self {
            every_us: i64::try_from(every.as_micros()).unwrap_or(i64::MAX),
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
        self.due = now.plus_micros(self.every_us);
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
        for ms in [2_000, 3_000, 5_900] {
            pace.committed();
            assert!(!pace.take(at(ms)));
            assert_eq!(pace.deadline(), Some(at(6_000)));
        }
        assert!(pace.take(at(6_000)));
        assert_eq!(pace.deadline(), None);
        // After a silence again at once.
        pace.committed();
        assert!(pace.take(at(60_000)));
    }
}
