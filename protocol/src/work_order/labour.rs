//! Time spent on an order: entered in minutes, or measured by a clock that a person starts and
//! stops. The same time told twice is marked. Never a rate or a cost.

use super::WorkOrder;
use crate::event::{Event, WorkOrderEvent};
use crate::record::HistoryEntry;
use crate::time::Timestamp;

const MINUTE_US: i64 = 60 * 1_000_000;
/// A clock that ran longer was probably forgotten: for review.
const LONG_US: i64 = 16 * 60 * MINUTE_US;

/// Time spent on an order.
#[derive(Clone, Debug, PartialEq)]
pub struct Labour {
    /// When it was entered, or the clock stopped.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// Minutes.
    pub minutes: u32,
    /// On what.
    pub note: Option<String>,
    /// When the clock began; `None`: the minutes were entered.
    pub from: Option<Timestamp>,
    /// The same person's time is told twice.
    pub overlaps: bool,
    /// Entered after the order had ended.
    pub late: bool,
}

/// Somebody works on an order now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningClock {
    /// Who.
    pub by: String,
    /// Since when.
    pub since: Timestamp,
}

impl Labour {
    /// The time that it claims. Entered minutes end when they were entered.
    fn span(&self) -> (Timestamp, Timestamp) {
        let before = self
            .at
            .plus_micros(-i64::from(self.minutes).saturating_mul(MINUTE_US));
        (self.from.unwrap_or(before), self.at)
    }
}

/// Takes in what `event` tells of time; says whether a planner is to look at it.
pub(super) fn spent(
    order: &mut WorkOrder,
    line: &mut HistoryEntry,
    event: &Event,
    body: &WorkOrderEvent,
) -> bool {
    let by = event.actor.name();
    let running = order.clocks.iter().position(|clock| clock.by == by);
    match (body, running) {
        (WorkOrderEvent::LabourAdded { minutes, note }, _) => {
            line.what = "labour";
            line.text = Some(format!("{minutes} min"));
            enter(order, line, event, (None, *minutes, note.as_ref()))
        }
        (WorkOrderEvent::LabourStarted, None) => {
            line.what = "labour_started";
            order.clocks.push(RunningClock {
                by: by.to_owned(),
                since: event.time,
            });
            false
        }
        (WorkOrderEvent::LabourStarted, Some(_)) => {
            line.what = "labour_started";
            line.refuse("the clock of this person was running already");
            false
        }
        (WorkOrderEvent::LabourStopped { note }, Some(at)) => {
            line.what = "labour_stopped";
            let since = order.clocks.swap_remove(at).since;
            let ran_us = event.time.micros_since(since).max(0);
            // Begun minutes count: somebody was there.
            let minutes = ran_us.saturating_add(MINUTE_US - 1) / MINUTE_US;
            let minutes = u32::try_from(minutes).unwrap_or(u32::MAX);
            line.text = Some(format!("{minutes} min"));
            let twice = enter(order, line, event, (Some(since), minutes, note.as_ref()));
            let long = ran_us > LONG_US;
            if long {
                line.note = Some("the clock ran for more than 16 hours; was it forgotten?");
            }
            twice || long
        }
        (_, _) => {
            line.what = "labour_stopped";
            line.refuse("the clock of this person was not running");
            false
        }
    }
}

/// Says whether the time was told already: by the clock of the same person, or beside it.
/// Two entries in minutes do not tell when the time was, and may both be right.
fn enter(
    order: &mut WorkOrder,
    line: &mut HistoryEntry,
    event: &Event,
    (from, minutes, note): (Option<Timestamp>, u32, Option<&String>),
) -> bool {
    let mut entry = Labour {
        at: event.time,
        by: event.actor.name().to_owned(),
        minutes,
        note: note.cloned(),
        from,
        overlaps: false,
        late: order.state.is_ended(),
    };
    let (begin, end) = entry.span();
    let clocks = order.clocks.iter();
    let runs = clocks
        .filter(|clock| from.is_none() && clock.by == entry.by)
        .any(|clock| clock.since < end);
    let entries = order.labour.iter();
    let told = entries
        .filter(|other| other.by == entry.by && (other.from.is_some() || from.is_some()))
        .any(|other| {
            let (other_begin, other_end) = other.span();
            begin < other_end && other_begin < end
        });
    entry.overlaps = runs || told;
    if entry.overlaps {
        line.note = Some("this person's time is told twice; correct one of the entries");
    }
    order.labour.push(entry);
    runs || told
}
