//! The life of an alert (ISA-18.2, basic states) as a fold over its events.
//! Pure: the same set of events gives the same alert, whatever the order or number of copies.

#[cfg(test)]
mod tests;
mod words;

pub use words::words;

use crate::event::{AlertDescription, AlertEvent, AlertRaised, Body, Event, Notified};
use crate::id::{AlertId, EventId, Origin};
use crate::record::{self, HistoryEntry, Note};
use crate::time::{ClockState, Hlc, Timestamp};
use serde::{Deserialize, Serialize};

/// Where an alert is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// Abnormal, nobody took notice (ISA-18.2 state B).
    Active,
    /// Abnormal, somebody took notice (C).
    Acknowledged,
    /// Normal again, nobody took notice (D).
    Cleared,
    /// Normal again and noticed (A).
    Closed,
}

/// An alert as its events tell it.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Identity.
    pub id: AlertId,
    /// The gateway (or hub) that raised it.
    pub origin: Origin,
    /// How it began.
    pub raised: AlertRaised,
    /// When it was raised.
    pub raised_at: Timestamp,
    /// State of the clock that gave `raised_at`.
    pub clock: ClockState,
    /// The value furthest beyond the limit.
    pub peak: f64,
    /// When and by whom it was acknowledged first.
    pub acknowledged: Option<(Timestamp, String)>,
    /// When it cleared and at what value.
    pub cleared: Option<(Timestamp, Option<f64>)>,
    /// More about its beginning; alerts of older builds have none.
    pub described: Option<AlertDescription>,
    /// The alert that the same rule raised next, before anybody took notice of this one.
    pub superseded: Option<AlertId>,
    /// When and by whom it was reset, where it stays until then.
    pub reset: Option<(Timestamp, String)>,
    /// When it began to wait for a person again, the last time.
    pub realarmed: Option<Timestamp>,
    /// Who was told, and when.
    pub notified: Vec<(Timestamp, Notified)>,
    /// What people said.
    pub comments: Vec<Note>,
    /// One line per event.
    pub history: Vec<HistoryEntry>,
    /// The highest stamp folded in.
    pub latest: Hlc,
}

impl Alert {
    /// Where it is in its life.
    pub const fn state(&self) -> AlertState {
        let is_seen = self.acknowledged.is_some() || self.superseded.is_some();
        match (is_seen, self.cleared.is_some() && !self.is_latched()) {
            (false, false) => AlertState::Active,
            (true, false) => AlertState::Acknowledged,
            (false, true) => AlertState::Cleared,
            (true, true) => AlertState::Closed,
        }
    }

    /// Whether the value is back and the alert stays until a person resets it (ISA-18.2 states E
    /// and F): its state is then still active or acknowledged.
    pub const fn is_latched(&self) -> bool {
        let latches = matches!(&self.described, Some(described) if described.latches);
        let is_over = self.reset.is_some() || self.superseded.is_some();
        latches && self.cleared.is_some() && !is_over
    }
}

/// Folds the events of one alert. `None` until its `Raised` event is among them: the hub and
/// the box then keep the events and fold again when it comes.
pub fn fold(id: AlertId, events: &[Event]) -> Option<Alert> {
    let events = record::in_order(events, id.into());
    let (first, raised) = events.iter().find_map(|event| match &event.body {
        Body::Alert(AlertEvent::Raised(raised)) => Some((*event, raised.clone())),
        _ => None,
    })?;
    let mut alert = Alert {
        id,
        origin: first.origin,
        peak: raised.value,
        raised,
        raised_at: first.time,
        clock: first.clock,
        acknowledged: None,
        cleared: None,
        described: None,
        superseded: None,
        reset: None,
        realarmed: None,
        notified: Vec::new(),
        comments: Vec::new(),
        history: Vec::new(),
        latest: Hlc::default(),
    };
    for event in events {
        apply(&mut alert, event, first.id);
        alert.latest = alert.latest.max(event.hlc);
    }
    Some(alert)
}

fn apply(alert: &mut Alert, event: &Event, raised_by: EventId) {
    let mut line = HistoryEntry::of(event);
    match &event.body {
        Body::Alert(AlertEvent::Raised(raised)) => {
            line.what = "raised";
            line.text = Some(raised.title.clone());
            if event.id != raised_by {
                line.refuse("raised twice; the first one counts");
            }
        }
        Body::Alert(AlertEvent::Acknowledged { note }) => {
            line.what = "acknowledged";
            line.text.clone_from(note);
            if alert.acknowledged.is_none() {
                alert.acknowledged = Some((event.time, event.actor.name().to_owned()));
            } else {
                line.refuse("was acknowledged already");
            }
        }
        Body::Alert(AlertEvent::Cleared { value }) => {
            line.what = "cleared";
            if event.origin != alert.origin {
                line.refuse("only the gateway that measures may clear an alert");
            } else if alert.cleared.is_none() {
                alert.cleared = Some((event.time, *value));
            } else {
                line.refuse("was clear already");
            }
        }
        Body::Alert(AlertEvent::Commented { text }) => {
            line.what = "commented";
            line.text = Some(text.clone());
            alert.comments.push(Note::of(event, text.clone()));
        }
        Body::Alert(AlertEvent::Peaked { value }) => {
            alert.peak = further(alert, *value);
            return; // A peak is a figure, not a line of history.
        }
        body => {
            if !apply_later(alert, event, body, &mut line) {
                return;
            }
        }
    }
    alert.history.push(line);
}

/// What came with later builds. Answers whether it is a line of the history.
fn apply_later(alert: &mut Alert, event: &Event, body: &Body, line: &mut HistoryEntry) -> bool {
    let is_home = event.origin == alert.origin;
    match body {
        Body::Alert(AlertEvent::Described(described)) => {
            if is_home && alert.described.is_none() {
                alert.described = Some(described.clone());
            }
            return false; // A part of the beginning, not a line of history.
        }
        Body::Alert(AlertEvent::Notified(notified)) => {
            line.what = if notified.delivered {
                "told"
            } else {
                "not_told"
            };
            let Notified {
                channel, to, words, ..
            } = notified;
            line.text = Some(format!("{to} by {channel}: {words}"));
            alert.notified.push((event.time, notified.clone()));
        }
        Body::Alert(AlertEvent::Superseded { by }) => {
            line.what = "superseded";
            if !is_home {
                line.refuse("only the gateway that measures may write this");
            } else if alert.cleared.is_none() {
                line.refuse("is not clear");
            } else if alert.superseded.is_none() && alert.state() != AlertState::Closed {
                alert.superseded = Some(*by);
            } else {
                line.refuse("was closed already");
            }
        }
        Body::Alert(AlertEvent::Reset { note }) => {
            line.what = "reset";
            line.text.clone_from(note);
            if alert.is_latched() {
                let by = (event.time, event.actor.name().to_owned());
                alert.acknowledged.get_or_insert_with(|| by.clone());
                alert.reset = Some(by);
            } else {
                line.refuse("there is nothing to reset");
            }
        }
        Body::Alert(AlertEvent::Realarmed) => {
            line.what = "realarmed";
            if !is_home {
                line.refuse("only the gateway that measures may write this");
            } else if alert.state() == AlertState::Closed {
                line.refuse("was closed already");
            } else {
                alert.acknowledged = None;
                alert.realarmed = Some(event.time);
            }
        }
        _ => line.unknown(),
    }
    true
}

fn further(alert: &Alert, value: f64) -> f64 {
    match alert.raised.direction {
        crate::event::Direction::High => alert.peak.max(value),
        crate::event::Direction::Low => alert.peak.min(value),
    }
}
