//! Whether something abnormal is told already: the small state that every detector without limits
//! shares. Never knows what is abnormal.

use protocol::event::Direction;
use protocol::time::{Correction, Timestamp};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Where a detector stands; survives a restart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Saved", into = "Saved")]
pub struct Standing(State);

/// Small: there may be ten thousand.
#[derive(Clone, Debug, Default, PartialEq)]
enum State {
    #[default]
    Normal,
    /// Abnormal since, not yet told.
    Pending(Timestamp),
    /// Told, not yet cleared. Boxed: of ten thousand detectors few have one.
    Raised(Box<Raised>),
}

/// As it is saved.
#[derive(Clone, Serialize, Deserialize)]
struct Saved {
    pending: Option<Timestamp>,
    raised: Option<Box<Raised>>,
}

impl From<Saved> for Standing {
    fn from(saved: Saved) -> Self {
        Self(match (saved.raised, saved.pending) {
            (Some(raised), _) => State::Raised(raised),
            (None, Some(since)) => State::Pending(since),
            (None, None) => State::Normal,
        })
    }
}

impl From<Standing> for Saved {
    fn from(Standing(state): Standing) -> Self {
        let (pending, raised) = match state {
            State::Normal => (None, None),
            State::Pending(since) => (Some(since), None),
            State::Raised(raised) => (None, Some(raised)),
        };
        Self { pending, raised }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Raised {
    at: Timestamp,
    direction: Direction,
    peak: f64,
    calm_since: Option<Timestamp>,
}

/// What a step changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Turn {
    /// Abnormal for long enough, since then.
    Raised {
        /// Since when.
        since: Timestamp,
    },
    /// Further than ever.
    Peaked,
    /// Normal for long enough.
    Cleared {
        /// The furthest value.
        peak: f64,
    },
}

/// One look at a value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// To which side it is abnormal; `None`: it is normal.
    pub(super) abnormal: Option<Direction>,
    /// The value.
    pub(super) value: f64,
    /// When.
    pub(super) time: Timestamp,
}

impl Standing {
    /// Takes a look in. Abnormal is told after `on` without a break, normal after `off`.
    pub(super) fn step(&mut self, look: Look, on: Duration, off: Duration) -> Option<Turn> {
        match std::mem::take(&mut self.0) {
            State::Normal => self.while_normal(None, look, on),
            State::Pending(since) => self.while_normal(Some(since), look, on),
            State::Raised(raised) => self.while_raised(raised, look, off),
        }
    }

    /// Whether an alert stands.
    pub const fn is_raised(&self) -> bool {
        matches!(self.0, State::Raised(_))
    }

    /// When the alert that stands was raised.
    pub fn raised_at(&self) -> Option<Timestamp> {
        match &self.0 {
            State::Raised(raised) => Some(raised.at),
            _ => None,
        }
    }

    /// Moves the times it remembers, now that the true time is known.
    pub fn correct(&mut self, by: &Correction) {
        match &mut self.0 {
            State::Normal => {}
            State::Pending(since) => *since = by.of(*since),
            State::Raised(raised) => {
                raised.at = by.of(raised.at);
                raised.calm_since = raised.calm_since.map(|since| by.of(since));
            }
        }
    }

    /// Makes sure that it knows of an alert that is open.
    pub fn stand_behind(&mut self, direction: Direction, peak: f64, at: Timestamp) {
        if !self.is_raised() {
            self.0 = State::Raised(Box::new(Raised {
                at,
                direction,
                peak,
                calm_since: None,
            }));
        }
    }

    fn while_normal(
        &mut self,
        pending: Option<Timestamp>,
        look: Look,
        on: Duration,
    ) -> Option<Turn> {
        let direction = look.abnormal?;
        let since = pending.map_or(look.time, |since| since.min(look.time));
        if !lasted(since, look.time, on) {
            self.0 = State::Pending(since);
            return None;
        }
        self.0 = State::Raised(Box::new(Raised {
            at: look.time,
            direction,
            peak: look.value,
            calm_since: None,
        }));
        Some(Turn::Raised { since })
    }

    fn while_raised(&mut self, mut raised: Box<Raised>, look: Look, off: Duration) -> Option<Turn> {
        let turn = if look.abnormal.is_some() {
            raised.calm_since = None;
            let is_further = match raised.direction {
                Direction::High => look.value > raised.peak,
                Direction::Low => look.value < raised.peak,
            };
            if is_further {
                raised.peak = look.value;
            }
            is_further.then_some(Turn::Peaked)
        } else {
            let since = raised
                .calm_since
                .map_or(look.time, |since| since.min(look.time));
            raised.calm_since = Some(since);
            let peak = raised.peak;
            lasted(since, look.time, off).then_some(Turn::Cleared { peak })
        };
        if !matches!(turn, Some(Turn::Cleared { .. })) {
            self.0 = State::Raised(raised);
        }
        turn
    }
}

/// Whether `delay` has passed. A clock that stepped back has passed nothing.
pub(super) fn lasted(since: Timestamp, time: Timestamp, delay: Duration) -> bool {
    u128::try_from(time.micros_since(since)).is_ok_and(|lasted| lasted >= delay.as_micros())
}
