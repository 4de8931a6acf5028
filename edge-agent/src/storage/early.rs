//! How often a commit may come before its tick, because an alert follows from what waits. Never commits.

use std::time::{Duration, Instant};

/// Early commits are at least this far apart: a flood of alerts is no commit per reading.
pub(super) const EARLY_PERIOD: Duration = Duration::from_millis(100);
/// So many may follow one another.
pub(super) const EARLY_MAX: u32 = 60;
/// One of them comes back after so long: a switch that chatters for weeks wears no flash.
pub(super) const EARLY_RETURN: Duration = Duration::from_secs(30);

/// What was used up.
#[derive(Debug)]
pub(super) struct Early {
    /// Not earlier than this.
    next: Instant,
    /// All have come back then.
    whole: Instant,
}

impl Early {
    /// Nothing is used up.
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            next: now,
            whole: now,
        }
    }

    /// When something urgent is committed that is otherwise committed at `due`.
    pub(super) fn at(&mut self, now: Instant, due: Instant) -> Instant {
        let at = self.next.max(now);
        let used = self.whole.saturating_duration_since(now);
        if due <= at || used > EARLY_RETURN * (EARLY_MAX - 1) {
            return due;
        }
        self.whole = self.whole.max(now) + EARLY_RETURN;
        self.next = at + EARLY_PERIOD;
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_secs(1);

    /// Urgent polls at these times, a commit whenever it is due; the times of the commits.
    fn commits(times: impl Iterator<Item = Duration>) -> Vec<Duration> {
        let start = Instant::now();
        let mut early = Early::new(start);
        let (mut due, mut done) = (None::<Instant>, Vec::new());
        for time in times {
            let now = start + time;
            done.extend(due.take_if(|due| *due <= now));
            due = Some(early.at(now, due.unwrap_or(now + TICK)));
        }
        done.extend(due);
        done.into_iter().map(|at| at - start).collect()
    }

    #[test]
    fn one_alert_is_committed_at_once_and_a_flood_every_tenth_of_a_second_at_most() {
        let one = commits([TICK].into_iter());
        assert_eq!(one, [TICK]);
        // A thousand polls in a second.
        let flood = commits((0..1_000).map(Duration::from_millis));
        let expected: Vec<Duration> = (0..=10).map(|n| EARLY_PERIOD * n).collect();
        assert_eq!(flood, expected);
    }

    #[test]
    fn what_chatters_for_a_day_comes_with_the_tick_almost_always() {
        // It goes over the limit every two seconds: the tick is a second later.
        let times = (0..43_200).map(|n| Duration::from_secs(2 * n));
        let is_early = |at: &Duration| at.as_secs().is_multiple_of(2);
        let early = commits(times).iter().filter(|at| is_early(at)).count();
        // 60 at once, then one each 30 s of 86,400.
        assert!((2_930..=2_942).contains(&early), "{early}");
    }
}
