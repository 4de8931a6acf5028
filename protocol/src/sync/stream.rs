//! What the sending end knows of one stream of readings: which polls are with the hub or on the
//! way, and which to send next. Never touches a store.

use crate::ranges::RangeSet;

/// Polls at the end of a stream that count as live when a connection begins.
const LIVE_TAIL_POLLS: u64 = 4;
/// A live lane that falls further behind hands the older polls to the backlog.
const LIVE_BEHIND_POLLS_MAX: u64 = 64;
/// Most polls asked for at once.
const FETCH_POLLS_MAX: u64 = 4_096;

/// One stream as the sender sees it.
#[derive(Debug)]
pub(super) struct SendState {
    /// Highest durable number.
    last: u64,
    /// From here on the live lane sends, before it the backlog.
    live_from: u64,
    /// With the hub, or sent on this connection.
    sent: RangeSet,
}

impl SendState {
    pub(super) fn new(last: u64, received: RangeSet) -> Self {
        let live_from = last
            .saturating_sub(LIVE_TAIL_POLLS)
            .saturating_add(1)
            .max(1);
        Self {
            last,
            live_from,
            sent: received,
        }
    }

    pub(super) fn committed(&mut self, last: u64) {
        self.last = self.last.max(last);
    }

    pub(super) fn mark_sent(&mut self, first: u64, last: u64) {
        self.sent.insert(first, last);
    }

    /// The newest polls that are not sent yet.
    pub(super) fn next_live(&mut self) -> Option<(u64, u64)> {
        let holes = self.sent.missing(self.live_from, self.last);
        let (first, last) = *holes.last()?;
        if last - first >= LIVE_BEHIND_POLLS_MAX || holes.len() > 1 {
            self.live_from = last
                .saturating_sub(LIVE_TAIL_POLLS)
                .saturating_add(1)
                .max(first);
        }
        Some((first.max(self.live_from), last))
    }

    /// The oldest polls that are not sent yet and that the live lane has given up.
    pub(super) fn next_backlog(&self) -> Option<(u64, u64)> {
        let before_live = self.live_from.checked_sub(1)?;
        let (first, last) = *self.sent.missing(1, before_live.min(self.last)).first()?;
        Some((first, last.min(first.saturating_add(FETCH_POLLS_MAX - 1))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_takes_the_end_and_backlog_the_beginning() {
        let mut stream = SendState::new(100, RangeSet::from_pairs([(1, 10)]));
        assert_eq!(stream.next_live(), Some((97, 100)));
        stream.mark_sent(97, 100);
        assert_eq!(stream.next_live(), None);
        assert_eq!(stream.next_backlog(), Some((11, 96)));
        stream.mark_sent(11, 96);
        assert_eq!(stream.next_backlog(), None);
        stream.committed(101);
        assert_eq!(stream.next_live(), Some((101, 101)));
    }

    #[test]
    fn a_live_lane_far_behind_hands_over() {
        let mut stream = SendState::new(0, RangeSet::new());
        stream.committed(1_000);
        assert_eq!(stream.next_live(), Some((997, 1_000)));
        stream.mark_sent(997, 1_000);
        assert_eq!(stream.next_live(), None);
        assert_eq!(stream.next_backlog(), Some((1, 996)));
    }
}
