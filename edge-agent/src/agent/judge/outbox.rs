//! The way of a notice from the judge to whoever tells people: a bounded channel, and what waits
//! beside it. Never decides what is told: `alerts` does.

use crate::alerts::Notice;
use protocol::event::Severity;
use std::collections::VecDeque;
use tokio::sync::mpsc;

/// Notices on their way from the judge to whoever tells people.
pub(in crate::agent) const NOTICES_MAX: usize = 64;
/// Notices that wait beside a full channel. At the limit the oldest low one goes, then the oldest
/// medium one, and is counted; high and critical ones are kept beyond it, for each is one of an
/// alarm point and these are limited.
const NOTICES_WAITING_MAX: usize = 256;

/// Notices that wait, and the channel to whoever tells people.
#[derive(Debug)]
pub(in crate::agent) struct Outbox {
    sender: mpsc::Sender<Notice>,
    waiting: VecDeque<Notice>,
    dropped: u64,
}

impl Outbox {
    /// With nothing waiting.
    pub(in crate::agent) const fn new(sender: mpsc::Sender<Notice>) -> Self {
        Self {
            sender,
            waiting: VecDeque::new(),
            dropped: 0,
        }
    }

    /// Hands notices on, in their order; what finds the channel full waits.
    pub(super) fn hand_on(&mut self, notices: impl IntoIterator<Item = Notice>) {
        for notice in notices {
            self.waiting.push_back(notice);
            self.pass_on();
            self.make_room();
        }
        self.pass_on();
    }

    fn pass_on(&mut self) {
        while let Some(notice) = self.waiting.pop_front() {
            match self.sender.try_send(notice) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(notice)) => {
                    self.waiting.push_front(notice);
                    return;
                }
                // Nobody tells people any more: the agent ends.
                Err(mpsc::error::TrySendError::Closed(_)) => self.waiting.clear(),
            }
        }
    }

    fn make_room(&mut self) {
        if self.waiting.len() <= NOTICES_WAITING_MAX {
            return;
        }
        for severity in [Severity::Low, Severity::Medium] {
            let oldest = (self.waiting.iter()).position(|notice| notice.severity == severity);
            if let Some(oldest) = oldest {
                self.waiting.remove(oldest);
                self.dropped = self.dropped.saturating_add(1);
                tracing::warn!(
                    dropped = self.dropped,
                    "nobody takes the notices; the oldest of low urgency was given up"
                );
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::NoticeKind;
    use protocol::time::Timestamp;
    use uuid::Uuid;

    fn notice(number: usize, severity: Severity) -> Notice {
        Notice {
            id: Uuid::from_u128(u128::try_from(number).unwrap()),
            kind: NoticeKind::Raised,
            alert: None,
            severity,
            title: String::new(),
            words: String::new(),
            asset: None,
            rule: None,
            time: Timestamp(0),
        }
    }

    #[test]
    fn what_nobody_takes_waits_and_only_low_and_medium_ones_are_given_up() {
        let (sender, mut taken) = mpsc::channel(NOTICES_MAX);
        let mut outbox = Outbox::new(sender);
        let count = NOTICES_MAX + NOTICES_WAITING_MAX;
        let severity = |at: usize| match at % 4 {
            0 => Severity::Low,
            1 => Severity::Medium,
            2 => Severity::High,
            _ => Severity::Critical,
        };
        let total = 3 * count;
        outbox.hand_on((0..total).map(|at| notice(at, severity(at))));
        let mut got = Vec::new();
        while let Ok(next) = taken.try_recv() {
            got.push(next);
            outbox.hand_on([]);
        }
        let urgent = |notices: &[Notice]| {
            let urgent = notices.iter().filter(|n| n.severity >= Severity::High);
            urgent.map(|notice| notice.id).collect::<Vec<_>>()
        };
        let all: Vec<_> = (0..total).map(|at| notice(at, severity(at))).collect();
        assert_eq!(urgent(&got), urgent(&all), "all of them, in their order");
        assert_eq!(
            u64::try_from(got.len()).unwrap() + outbox.dropped,
            u64::try_from(total).unwrap()
        );
        assert!(outbox.dropped > 0);
        let low = got.iter().filter(|n| n.severity == Severity::Low).count();
        assert_eq!(low, NOTICES_MAX / 4, "the low ones that waited went first");
    }
}
