//! What waited on a phone without network before the box heard of it: when it was done, and what came
//! after it, which it must not undo. Never trusts the time of a phone, only how long it waited.

use super::problem::Problem;
use protocol::alarm_point::AlarmPoint;
use protocol::alert::Alert;
use protocol::event::AlertEvent;
use protocol::time::Timestamp;
use serde::Deserialize;

/// How long ago a person may have done what a phone without network tells now: a month.
const AGO_S_MAX: u64 = 31 * 24 * 3_600;
const MINUTE_US: i64 = 60_000_000;
/// `ago_s` counts whole seconds: what is not further apart keeps the order in which it came.
const AGO_STEP_US: i64 = 1_000_000;

/// How many seconds ago something was done, by the clock of the phone on which it waited.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Ago(u64);

impl Ago {
    pub(super) fn check(self) -> Result<Self, Problem> {
        if self.0 > AGO_S_MAX {
            return Err(Problem::invalid(Some("ago_s"), "ago_s is at most a month"));
        }
        Ok(self)
    }

    /// When it was done.
    pub(super) fn time(self, now: Timestamp) -> Timestamp {
        let ago_us = i64::try_from(self.0.saturating_mul(1_000_000)).unwrap_or(0);
        now.plus_micros(-ago_us)
    }

    /// When it was done, where it waited. What is done just now follows nothing that could have
    /// come between, also when the clock was set back meanwhile.
    pub(super) fn waited_since(self, now: Timestamp) -> Option<Timestamp> {
        (self.0 > 0).then(|| self.time(now))
    }
}

/// Why the alert would not follow. What waited on a phone must not silence what came after it was
/// done: nobody has seen that.
pub(super) fn refused(
    alert: &Alert,
    event: &AlertEvent,
    waited_since: Option<Timestamp>,
) -> Option<&'static str> {
    let acknowledges = matches!(event, AlertEvent::Acknowledged { .. });
    let resets = matches!(event, AlertEvent::Reset { .. });
    let is_before = |other: Option<Timestamp>| waited_since.zip(other).is_some_and(|(a, b)| a < b);
    if acknowledges && alert.acknowledged.is_some() {
        return Some("Somebody acknowledged this alert already.");
    }
    if resets && !alert.is_latched() {
        return Some("There is nothing to reset: it does not latch, or the value is not back.");
    }
    if (acknowledges || resets) && is_before(alert.realarmed) {
        return Some("It was raised again after that was done: look at it anew, then decide.");
    }
    if resets && is_before(alert.cleared.map(|(at, _)| at)) {
        return Some("The value came back only after that was done: look why, then reset it.");
    }
    None
}

/// When what is held back for `minutes` ends; the time begins when it was said, not when a phone
/// could tell it. What is over would only be told again.
pub(super) fn end(minutes: i64, ago: Ago, now: Timestamp) -> Result<Timestamp, Problem> {
    let until = ago.time(now).plus_micros(minutes * MINUTE_US);
    if until <= now {
        return Err(Problem::not_now(
            "The time that was given ended before the box heard of it: nothing was held back. \
             Do it anew where it is still needed.",
        ));
    }
    Ok(until)
}

/// Refuses what waited on a phone when a person did something of the same kind after it.
pub(super) fn not_overtaken(
    point: Option<&AlarmPoint>,
    kind: [&str; 2],
    waited_since: Option<Timestamp>,
) -> Result<(), Problem> {
    let (Some(point), Some(since)) = (point, waited_since) else {
        return Ok(());
    };
    let mut lines = point.history.iter().rev();
    let last = lines.find(|line| line.by_person && line.applied && kind.contains(&line.what));
    match last {
        Some(last) if last.at.micros_since(since) > AGO_STEP_US => {
            let words = format!(
                "{} did something else after that ({}): look how it stands now, then decide.",
                last.by,
                last.what.replace('_', " ")
            );
            Err(Problem::not_now(words))
        }
        _ => Ok(()),
    }
}
