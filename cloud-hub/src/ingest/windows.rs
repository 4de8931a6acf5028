//! How much each gateway may have on the way: what the hub can hold, shared by those that are
//! connected. Never refuses anybody: that is admission's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that all gateways together may have on the way and not acknowledged.
const BYTES_MAX: usize = 128 << 20;
/// The share of one gateway is at least this: a frame of live readings.
const SHARE_MIN: u32 = 8 << 10;
/// And at most this.
const SHARE_MAX: u32 = 256 << 10;

/// The share of one gateway as it was told; dropped with its session.
#[derive(Debug)]
pub(super) struct Share {
    sessions: Arc<AtomicUsize>,
    told: u32,
}

impl Share {
    /// Counts a session.
    pub(super) fn enter(sessions: &Arc<AtomicUsize>) -> Self {
        let others = sessions.fetch_add(1, Ordering::Relaxed);
        Self {
            sessions: Arc::clone(sessions),
            told: share(others + 1),
        }
    }

    /// Bytes on lanes 1, 3, 4 and 5 as the gateway is told at the beginning. Events always have
    /// their whole window: there are few, and people wait for them.
    pub(super) const fn windows(&self) -> (u32, u32, u32, u32) {
        (SHARE_MAX, self.told, self.told, self.told)
    }

    /// The share when it is no longer nearly what the gateway was told.
    pub(super) fn changed(&mut self) -> Option<u32> {
        let now = share(self.sessions.load(Ordering::Relaxed));
        if now >= self.told.saturating_mul(2) || now <= self.told / 2 {
            self.told = now;
            return Some(now);
        }
        None
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.sessions.fetch_sub(1, Ordering::Relaxed);
    }
}

fn share(sessions: usize) -> u32 {
    let share = u32::try_from(BYTES_MAX / sessions.max(1)).unwrap_or(u32::MAX);
    share.clamp(SHARE_MIN, SHARE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_alone_has_its_whole_window_and_ten_thousand_share() {
        let sessions = Arc::new(AtomicUsize::new(0));
        let mut first = Share::enter(&sessions);
        assert_eq!(first.windows().2, SHARE_MAX);
        assert_eq!(first.changed(), None);
        let others: Vec<Share> = (1..10_000).map(|_| Share::enter(&sessions)).collect();
        let told = first.changed().unwrap();
        assert!(
            usize::try_from(told).unwrap() * 10_000 <= BYTES_MAX,
            "{told}"
        );
        assert_eq!(first.changed(), None, "told once");
        drop(others);
        assert_eq!(first.changed(), Some(SHARE_MAX));
    }
}
