//! When which group is due. Pure: `now` is an argument. Late polls are never piled up: a group
//! that missed its time is polled once and goes on in its old rhythm.

use std::time::{Duration, Instant};

/// Due times of a port's groups, by index.
#[derive(Debug)]
pub(super) struct Schedule {
    entries: Vec<Entry>,
    /// When the last turn ended that took time and brought nothing.
    wasted_at: Option<Instant>,
}

#[derive(Debug)]
struct Entry {
    due: Instant,
    period: Duration,
    served_at: Option<Instant>,
}

/// Place in the queue of those that are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// By due time, and before everybody else after each turn that was wasted: however many units
    /// fail, those that answer never wait for more than one of them.
    Normal,
    /// Its unit fails or was never heard: goes behind the others for one period, so that the time
    /// it costs falls where nobody waits, but not for longer, so that a full bus does not starve
    /// it. Among several such, the one that waits longest since `since` goes first.
    Behind {
        /// When it was to be tried again.
        since: Option<Instant>,
    },
}

impl Schedule {
    /// All due at `start`, then each in its period.
    pub(super) fn new(periods: impl Iterator<Item = Duration>, start: Instant) -> Self {
        let entry = |period| Entry {
            due: start,
            period,
            served_at: None,
        };
        Self {
            entries: periods.map(entry).collect(),
            wasted_at: None,
        }
    }

    /// The next moment at which something is due; `None` when there is nothing to poll.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        self.entries.iter().map(|entry| entry.due).min()
    }

    /// The next moment at which one of the groups that count is due.
    pub(super) fn next_due(&self, counts: impl Fn(usize) -> bool) -> Option<Instant> {
        let entries = self.entries.iter().enumerate();
        let counted = entries.filter(|(at, _)| counts(*at));
        counted.map(|(_, entry)| entry.due).min()
    }

    /// The group to poll now.
    pub(super) fn pick(&self, now: Instant, place: impl Fn(usize) -> Place) -> Option<usize> {
        let due = self
            .entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| entry.due <= now);
        due.min_by_key(|(at, entry)| match place(*at) {
            Place::Normal => {
                let waited_for_nothing =
                    self.wasted_at.is_some() && entry.served_at <= self.wasted_at;
                (!waited_for_nothing, entry.due, None, *at)
            }
            Place::Behind { since } => (true, entry.due + entry.period, since, *at),
        })
        .map(|(at, _)| at)
    }

    /// Group `at` was served: its next time is the first of its rhythm after `now`. `wasted`: it
    /// took time and brought nothing.
    pub(super) fn done(&mut self, at: usize, now: Instant, wasted: bool) {
        if wasted {
            self.wasted_at = Some(now);
        }
        if let Some(entry) = self.entries.get_mut(at) {
            entry.served_at = Some(now);
            let period = entry.period.max(Duration::from_millis(1));
            let missed = now.saturating_duration_since(entry.due).as_nanos() / period.as_nanos();
            let steps = u32::try_from(missed).unwrap_or(u32::MAX).saturating_add(1);
            entry.due += period.saturating_mul(steps);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn next_due_first_and_a_late_poll_keeps_its_rhythm() {
        let start = Instant::now();
        let mut schedule = Schedule::new([ms(100), ms(30)].into_iter(), start);
        let normal = |_| Place::Normal;
        assert_eq!(schedule.pick(start, normal), Some(0));
        schedule.done(0, start + ms(10), false);
        assert_eq!(schedule.pick(start + ms(10), normal), Some(1));
        // Served at 95: those of 30, 60 and 90 are not made up for, the next is at 120.
        schedule.done(1, start + ms(95), false);
        assert_eq!(schedule.pick(start + ms(99), normal), None);
        assert_eq!(schedule.wake_at(), Some(start + ms(100)));
        schedule.done(0, start + ms(101), false);
        assert_eq!(schedule.wake_at(), Some(start + ms(120)));
    }

    #[test]
    fn a_failing_unit_lets_the_others_go_first_for_one_period_only() {
        let start = Instant::now();
        let schedule = Schedule::new([ms(100), ms(100)].into_iter(), start);
        let place = |at| {
            if at == 0 {
                Place::Behind { since: None }
            } else {
                Place::Normal
            }
        };
        assert_eq!(schedule.pick(start, place), Some(1));
        // The healthy one is due again and again; after a period the failing one has its turn.
        let mut schedule = schedule;
        schedule.done(1, start + ms(100), false);
        assert_eq!(schedule.pick(start + ms(200), place), Some(0));
    }

    #[test]
    fn after_each_wasted_turn_those_that_answer_go_first() {
        let start = Instant::now();
        let mut schedule = Schedule::new([ms(50); 4].into_iter(), start);
        let place = |at| {
            if at < 3 {
                Place::Behind { since: None }
            } else {
                Place::Normal
            }
        };
        let (mut now, mut turns) = (start, Vec::new());
        while turns.len() < 9 {
            let at = schedule.pick(now, place).unwrap();
            turns.push(at);
            now += ms(if at < 3 { 150 } else { 1 });
            schedule.done(at, now, at < 3);
        }
        assert_eq!(turns, [3, 0, 3, 1, 3, 2, 3, 0, 3]);
    }

    #[test]
    fn of_two_failing_units_the_one_that_waits_longest_goes_first() {
        let start = Instant::now();
        let schedule = Schedule::new([ms(100), ms(100)].into_iter(), start);
        let place = |at| Place::Behind {
            since: Some(start + ms(if at == 0 { 9 } else { 5 })),
        };
        assert_eq!(schedule.pick(start, place), Some(1));
    }

    #[test]
    fn nothing_to_poll_never_wakes() {
        assert_eq!(
            Schedule::new(std::iter::empty(), Instant::now()).wake_at(),
            None
        );
    }
}
