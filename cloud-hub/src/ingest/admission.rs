//! Who may come in, by number only: handshakes per second and connections at the same time, over
//! QUIC and TCP together. Never looks at who it is.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Connections above the limit that are still let in, to be told when to come again. Beyond them a
/// gateway is turned away without words and comes again by its own waits.
const TOLD_MAX: usize = 64;

/// What may come in at the same time and within a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Gateways at the same time; a further one is told to come again later.
    pub connections_max: usize,
    /// Handshakes within one second; a further one is turned away before any cryptography.
    pub handshakes_per_s: usize,
}

/// What to do with somebody who knocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Go on.
    Welcome,
    /// Only if its address is proven: many come at once, and some may be made up.
    ProveAddress,
    /// Turn it away.
    TooMany,
}

/// Counts.
#[derive(Clone, Debug)]
pub(super) struct Admission {
    limits: Limits,
    inside: Arc<AtomicUsize>,
    second: Arc<Mutex<(Instant, usize)>>,
}

/// One that is inside, until it is dropped.
#[derive(Debug)]
pub(super) struct Inside {
    inside: Arc<AtomicUsize>,
    /// It is above the limit: to be told so.
    pub(super) full: bool,
}

impl Admission {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            inside: Arc::default(),
            second: Arc::new(Mutex::new((Instant::now(), 0))),
        }
    }

    /// Counts a handshake that is asked for.
    pub(super) fn knock(&self, now: Instant) -> Verdict {
        let mut second = self.second.lock().unwrap_or_else(PoisonError::into_inner);
        if now.duration_since(second.0) >= Duration::from_secs(1) {
            *second = (now, 0);
        }
        let room = self.limits.connections_max.saturating_add(TOLD_MAX);
        if second.1 >= self.limits.handshakes_per_s || self.inside.load(Ordering::Relaxed) >= room {
            return Verdict::TooMany;
        }
        second.1 += 1;
        if second.1 * 2 > self.limits.handshakes_per_s {
            return Verdict::ProveAddress;
        }
        Verdict::Welcome
    }

    /// Counts one in.
    pub(super) fn enter(&self) -> Inside {
        let before = self.inside.fetch_add(1, Ordering::Relaxed);
        Inside {
            inside: Arc::clone(&self.inside),
            full: before >= self.limits.connections_max,
        }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.inside.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handshakes_are_limited_per_second() {
        let admission = Admission::new(Limits {
            connections_max: 100,
            handshakes_per_s: 4,
        });
        let now = Instant::now();
        let verdicts: Vec<Verdict> = (0..6).map(|_| admission.knock(now)).collect();
        assert_eq!(verdicts[..2], [Verdict::Welcome; 2]);
        assert_eq!(verdicts[2..4], [Verdict::ProveAddress; 2]);
        assert_eq!(verdicts[4..], [Verdict::TooMany; 2]);
        let later = now + Duration::from_secs(1);
        assert_eq!(admission.knock(later), Verdict::Welcome);
    }

    #[test]
    fn who_is_above_the_limit_is_told_and_far_above_it_turned_away() {
        let admission = Admission::new(Limits {
            connections_max: 2,
            handshakes_per_s: 1_000,
        });
        let mut inside: Vec<Inside> = (0..2 + TOLD_MAX).map(|_| admission.enter()).collect();
        assert_eq!(inside.iter().filter(|one| one.full).count(), TOLD_MAX);
        assert_eq!(admission.knock(Instant::now()), Verdict::TooMany);
        inside.truncate(1);
        assert_eq!(admission.knock(Instant::now()), Verdict::Welcome);
        assert!(!admission.enter().full);
    }
}
