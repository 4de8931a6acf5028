//! How little a unit that does not answer may cost its neighbours: exponential back-off, and a
//! budget for the whole port. Pure: `now` is an argument. Never gives a unit up for good.

use std::time::{Duration, Instant};

/// Failed cycles after which a unit is only tried now and then.
pub(super) const FAILURES_MAX: u32 = 2;
const FIRST: Duration = Duration::from_secs(1);
/// Longest time between two tries of a silent unit.
const LONGEST: Duration = Duration::from_secs(60);
/// One part in so many of a port's time may go into units known to be silent.
const SHARE: u32 = 20;
/// Tries in quick succession before that share is enforced.
const BURST: u32 = 3;

/// Time to wait before try number `attempt` (from 0): 1 s, 2 s, 4 s … 60 s, less up to a quarter
/// that depends on `seed`, so that units which fell silent together are not tried together.
pub(super) fn backoff(attempt: u32, seed: u8) -> Duration {
    let full = FIRST.saturating_mul(1 << attempt.min(6)).min(LONGEST);
    let share = (u32::from(seed) * 37 + attempt * 13) % 25;
    full * (100 - share) / 100
}

/// How long a neighbour that is due may wait for a unit that has failed.
const GRACE: Duration = Duration::from_millis(50);
/// Shortest wait for any answer.
const PATIENCE_MIN: Duration = Duration::from_millis(50);
/// A unit that was never heard may be a slow one: one try of it in so many waits for all its time-out.
const FULL_EVERY: u32 = 16;

/// How long to wait for a unit that has failed, while others on the port answer: until the first of
/// them is due, so that no time-out is ever long enough to make them late, however long it is. A
/// unit that is known to take longer than that gets what it takes. `None`: all of its time-out.
pub(super) fn patience(
    failures: u32,
    slowest: Option<Duration>,
    until_due: Duration,
) -> Option<Duration> {
    if failures == 0 || (slowest.is_none() && failures.is_multiple_of(FULL_EVERY)) {
        return None;
    }
    let needs = slowest.map_or(PATIENCE_MIN, |slowest| slowest * 2);
    Some((until_due + GRACE).max(needs).max(PATIENCE_MIN))
}

/// Opens after `FAILURES_MAX` failures in a row; one answer closes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Breaker {
    failures: u32,
    until: Option<Instant>,
    seed: u8,
}

impl Breaker {
    /// Closed; `seed` spreads the tries.
    pub(super) const fn new(seed: u8) -> Self {
        Self {
            failures: 0,
            until: None,
            seed,
        }
    }

    /// Failures in a row.
    pub(super) const fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether it has opened; it may be tried all the same once `blocked` turns false.
    pub(super) const fn is_open(&self) -> bool {
        self.until.is_some()
    }

    /// When the next try is due; `None` while closed.
    pub(super) const fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Whether it must not be tried yet.
    pub(super) fn blocked(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// Takes note of an answer.
    pub(super) fn answered(&mut self) {
        self.failures = 0;
        self.until = None;
    }

    /// Takes note of a failure.
    pub(super) fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        if let Some(attempt) = self.failures.checked_sub(FAILURES_MAX) {
            self.until = Some(now + backoff(attempt, self.seed));
        }
    }
}

/// What trying silent units has cost a port, paid off as time goes by.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ProbeBudget {
    debt_until: Option<Instant>,
}

impl ProbeBudget {
    /// Whether one more try, which may cost `timeout`, is within the share.
    pub(super) fn allows(&self, now: Instant, timeout: Duration) -> bool {
        self.debt_until
            .is_none_or(|debt| debt < now + timeout * SHARE * BURST)
    }

    /// Takes note of a try that cost `cost` for nothing.
    pub(super) fn spend(&mut self, now: Instant, cost: Duration) {
        let from = self.debt_until.map_or(now, |debt| debt.max(now));
        self.debt_until = Some(from + cost * SHARE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn opens_at_the_second_failure_and_closes_at_the_first_answer() {
        let now = Instant::now();
        let mut breaker = Breaker::new(7);
        breaker.failed(now);
        assert!(!breaker.is_open() && !breaker.blocked(now));
        breaker.failed(now);
        assert!(breaker.is_open() && breaker.blocked(now));
        assert!(!breaker.blocked(now + FIRST));
        breaker.answered();
        assert!(!breaker.is_open() && breaker.failures() == 0);
    }

    #[test]
    fn a_unit_that_has_failed_is_waited_for_until_its_neighbours_are_due() {
        let ms = Duration::from_millis;
        assert_eq!(patience(0, None, ms(900)), None, "the first time");
        assert_eq!(patience(1, None, ms(900)), Some(ms(950)));
        assert_eq!(patience(7, Some(ms(20)), ms(900)), Some(ms(950)));
        assert_eq!(patience(7, Some(ms(20)), ms(0)), Some(ms(50)));
        assert_eq!(
            patience(7, Some(ms(800)), ms(900)),
            Some(ms(1_600)),
            "a slow one"
        );
        assert_eq!(
            patience(FULL_EVERY, None, ms(900)),
            None,
            "perhaps a slow one"
        );
        assert!(patience(FULL_EVERY, Some(ms(20)), ms(900)).is_some());
    }

    #[test]
    fn many_silent_units_together_stay_within_their_share_of_the_time() {
        let start = Instant::now();
        let timeout = Duration::from_secs(1);
        let mut units: Vec<Breaker> = (1..=40).map(Breaker::new).collect();
        let mut budget = ProbeBudget::default();
        let (mut now, mut spent) = (start, Duration::ZERO);
        for unit in &mut units {
            unit.failed(now);
            unit.failed(now);
        }
        while now < start + Duration::from_secs(3_600) {
            let ready = units.iter_mut().find(|unit| !unit.blocked(now));
            match ready.filter(|_| budget.allows(now, timeout)) {
                Some(unit) => {
                    now += timeout;
                    spent += timeout;
                    unit.failed(now);
                    budget.spend(now, timeout);
                }
                None => now += Duration::from_millis(100),
            }
        }
        assert!(
            spent <= Duration::from_secs(180 + 5),
            "{spent:?} of an hour"
        );
        assert!(spent >= Duration::from_secs(150), "{spent:?} of an hour");
    }

    proptest! {
        #[test]
        fn the_wait_grows_and_stays_within_its_bounds(attempt in 0_u32..1_000, seed: u8) {
            let wait = backoff(attempt, seed);
            prop_assert!(wait >= FIRST * 3 / 4 && wait <= LONGEST);
            prop_assert!(backoff(attempt + 2, seed) >= wait || wait >= LONGEST * 3 / 4);
        }
    }
}
