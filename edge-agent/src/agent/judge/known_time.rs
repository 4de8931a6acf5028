//! The moment at which the time becomes known: what the judge remembers on the clock that was not
//! set is moved, and the store is told to move what it holds. Never moves anything twice.

use super::{Judge, RETRY, STATE_KEY};
use crate::clock;
use crate::storage::StorageError;
use protocol::reading::Poll;
use protocol::time::{ClockState, Correction};
use std::borrow::Cow;

/// What there is to do about times that were stamped before the time was known.
#[derive(Debug)]
pub(super) struct KnownTime {
    boot: String,
    /// Something in the store waits for it.
    is_waiting: bool,
    /// What is remembered here is on the clock that was not set.
    is_untrusted: bool,
    /// What comes late is moved by this.
    correction: Option<Correction>,
}

impl KnownTime {
    /// `was_untrusted`: what was saved in an earlier run is on the clock of this boot.
    pub(super) fn new(begun: clock::Begun, is_waiting: bool, was_untrusted: bool) -> Self {
        Self {
            is_waiting,
            is_untrusted: !begun.is_known || was_untrusted,
            boot: begun.boot,
            correction: None,
        }
    }

    /// The boot on whose clock what is remembered is, when that was not set.
    pub(super) fn untrusted(&self) -> Option<String> {
        self.is_untrusted.then(|| self.boot.clone())
    }

    /// Polls that were on their way when the time became known are on the clock before it.
    pub(super) fn known<'a>(&self, polls: &'a [Poll]) -> Cow<'a, [Poll]> {
        let is_untrusted = |poll: &Poll| poll.clock == ClockState::Untrusted;
        let Some(by) = self.correction.filter(|_| polls.iter().any(is_untrusted)) else {
            return Cow::Borrowed(polls);
        };
        let mut polls = polls.to_vec();
        for poll in polls.iter_mut().filter(|poll| is_untrusted(poll)) {
            poll.time = poll.time.plus_micros(by.shift_us);
            poll.clock = ClockState::Corrected;
        }
        Cow::Owned(polls)
    }
}

impl Judge {
    /// Once the time is known: moves what is remembered, and has the store move what it holds.
    pub(super) async fn look_at_clock(&mut self) {
        let begun = clock::look();
        let Some(by) = begun.correction.filter(|_| self.time.is_waiting) else {
            return;
        };
        if self.time.is_untrusted {
            self.detectors.lock().correct(&by);
            self.alarms.correct(&by);
            self.snapshots.correct(&by);
            self.last_time = self.last_time.map(|time| by.of(time));
        }
        self.time.is_untrusted = false;
        self.time.is_waiting = false;
        self.time.correction = Some(by);
        tracing::info!(
            shift_s = by.shift_us / 1_000_000, now = %clock::now(),
            "the time is known: what was stamped before in this boot is moved"
        );
        while let Some(state) = self.saved() {
            let (boot, state) = (
                (begun.boot.clone(), begun.saved.clone()),
                (STATE_KEY.to_owned(), state),
            );
            match self.storage.correct(boot, by, state).await {
                Ok(()) | Err(StorageError::Stopped) => return,
                Err(error) => {
                    tracing::error!(%error, "stored times could not be moved; it is tried again");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }
}
