//! An alarm point (one rule on one sensor) or the maintenance switch of an asset or device, as a fold
//! over its events: what is held back, by whom, until when (ISA-18.2 states G, H and I).
//! Pure: the same set of events gives the same point, whatever the order or number of copies.

#[cfg(test)]
mod tests;

use crate::event::{AlarmPointEvent, Body, Event, Maintained, SuppressionCause};
use crate::id::{AlarmPointId, Origin};
use crate::record::{self, HistoryEntry};
use crate::time::{Hlc, Timestamp};

/// A point as its events tell it. All that is in it may also be over: see [`AlarmPoint::holds`].
#[derive(Clone, Debug, PartialEq)]
pub struct AlarmPoint {
    /// Identity.
    pub id: AlarmPointId,
    /// The rule's name; empty on a maintenance switch.
    pub rule: String,
    /// `device/sensor`; empty on a maintenance switch.
    pub sensor_path: String,
    /// Shelved by whom, why, since when and until when.
    pub shelved: Option<Shelf>,
    /// Out of service.
    pub out_of_service: Option<Said>,
    /// Suppressed by design: why and since when.
    pub suppressed: Option<(SuppressionCause, Timestamp)>,
    /// It comes and goes, since then.
    pub chattering: Option<Timestamp>,
    /// Became abnormal while shelved or out of service and was not told: value and since when.
    pub withheld: Option<(f64, Timestamp)>,
    /// Of which asset or device it is the maintenance switch, if it is one.
    pub switch_of: Option<Maintained>,
    /// Somebody works on this asset or device.
    pub maintenance: Option<Maintenance>,
    /// What its rule learned was forgotten: who said last that it is normal now, when and why.
    pub learns_anew: Option<Said>,
    /// One line per event.
    pub history: Vec<HistoryEntry>,
    /// The highest stamp folded in.
    pub latest: Hlc,
}

/// What a person said, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// A shelf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shelf {
    /// Who, when and why.
    pub said: Said,
    /// When it ends by itself.
    pub until: Timestamp,
}

/// Somebody works on something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maintenance {
    /// On what.
    pub of: Maintained,
    /// Who, when and why.
    pub said: Said,
    /// When it ends by itself, if it does.
    pub until: Option<Timestamp>,
}

/// Why an alarm is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold<'a> {
    /// Out of service (ISA-18.2 state I).
    OutOfService(&'a Said),
    /// Shelved (G).
    Shelved(&'a Shelf),
    /// Suppressed by design (H).
    Suppressed(&'a SuppressionCause),
}

impl AlarmPoint {
    /// Whether there is anything that holds it back, has it chatter or switches maintenance on,
    /// whether or not its time is over.
    pub const fn is_held(&self) -> bool {
        self.shelved.is_some()
            || self.out_of_service.is_some()
            || self.suppressed.is_some()
            || self.chattering.is_some()
            || self.maintenance.is_some()
    }

    /// The strongest reason why it is not told at `now`; a shelf whose time is over is none, whether
    /// or not its end has been written.
    pub fn holds(&self, now: Timestamp) -> Option<Hold<'_>> {
        let shelf = self.shelved.as_ref().filter(|shelf| shelf.until > now);
        let suppressed = self.suppressed.as_ref().map(|(cause, _)| cause);
        (self.out_of_service.as_ref().map(Hold::OutOfService))
            .or_else(|| shelf.map(Hold::Shelved))
            .or_else(|| suppressed.map(Hold::Suppressed))
    }
}

/// Folds the events of one point. `None` until one of them says which it is.
pub fn fold(id: AlarmPointId, events: &[Event]) -> Option<AlarmPoint> {
    let events = record::in_order(events, id.into());
    let home = events.iter().find_map(|event| match event.origin {
        Origin::Gateway(_) => Some(event.origin),
        Origin::Hub => None,
    });
    let mut point = AlarmPoint {
        id,
        rule: String::new(),
        sensor_path: String::new(),
        shelved: None,
        out_of_service: None,
        suppressed: None,
        chattering: None,
        withheld: None,
        switch_of: None,
        maintenance: None,
        learns_anew: None,
        history: Vec::new(),
        latest: Hlc::default(),
    };
    let mut known = false;
    for event in events {
        known |= apply(&mut point, event, home);
        point.latest = point.latest.max(event.hlc);
    }
    known.then_some(point)
}

/// Answers whether the event says which point it is.
fn apply(point: &mut AlarmPoint, event: &Event, home: Option<Origin>) -> bool {
    let mut line = HistoryEntry::of(event);
    let mut known = false;
    if let Body::AlarmPoint(body) = &event.body {
        if measures(body) && home.is_some_and(|home| home != event.origin) {
            line.what = "unknown";
            line.refuse("only the gateway that measures may write this");
        } else {
            known = of_person(point, event, body, &mut line)
                || of_gateway(point, event, body, &mut line);
        }
    } else {
        line.unknown();
    }
    point.history.push(line);
    known
}

/// Whether only the side that measures may write it.
const fn measures(body: &AlarmPointEvent) -> bool {
    matches!(
        body,
        AlarmPointEvent::Suppressed { .. }
            | AlarmPointEvent::Unsuppressed
            | AlarmPointEvent::Chattering { .. }
            | AlarmPointEvent::Calmed
            | AlarmPointEvent::Withheld { .. }
    )
}

fn name(point: &mut AlarmPoint, rule: &str, sensor_path: &str) {
    rule.clone_into(&mut point.rule);
    sensor_path.clone_into(&mut point.sensor_path);
}

/// What people do. Answers whether it says which point it is.
fn of_person(
    point: &mut AlarmPoint,
    event: &Event,
    body: &AlarmPointEvent,
    line: &mut HistoryEntry,
) -> bool {
    let said = |reason: &String| Said {
        at: event.time,
        by: event.actor.name().to_owned(),
        reason: reason.clone(),
    };
    match body {
        AlarmPointEvent::Shelved {
            rule,
            sensor_path,
            reason,
            until,
        } => {
            (line.what, line.text) = ("shelved", Some(reason.clone()));
            let said = said(reason);
            point.shelved = Some(Shelf {
                said,
                until: *until,
            });
            name(point, rule, sensor_path);
            return true;
        }
        AlarmPointEvent::Unshelved { note } => {
            (line.what, line.text) = ("unshelved", note.clone());
            ended(point.shelved.take().is_some(), "was not shelved", line);
            point.withheld = point.withheld.filter(|_| point.out_of_service.is_some());
        }
        AlarmPointEvent::OutOfService {
            rule,
            sensor_path,
            reason,
        } => {
            (line.what, line.text) = ("out_of_service", Some(reason.clone()));
            point.out_of_service = Some(said(reason));
            name(point, rule, sensor_path);
            return true;
        }
        AlarmPointEvent::InService { note } => {
            (line.what, line.text) = ("in_service", note.clone());
            let was = point.out_of_service.take().is_some();
            ended(was, "was in service", line);
            point.withheld = point.withheld.filter(|_| point.shelved.is_some());
        }
        AlarmPointEvent::LearnsAnew {
            rule,
            sensor_path,
            reason,
        } => {
            (line.what, line.text) = ("learns_anew", Some(reason.clone()));
            point.learns_anew = Some(said(reason));
            name(point, rule, sensor_path);
            return true;
        }
        AlarmPointEvent::MaintenanceBegan { of, reason, until } => {
            (line.what, line.text) = ("maintenance_began", Some(reason.clone()));
            point.switch_of = Some(of.clone());
            point.maintenance = Some(Maintenance {
                of: of.clone(),
                said: said(reason),
                until: *until,
            });
            return true;
        }
        AlarmPointEvent::MaintenanceEnded { note } => {
            (line.what, line.text) = ("maintenance_ended", note.clone());
            let was = point.maintenance.take().is_some();
            ended(was, "nobody worked on it", line);
        }
        _ => {}
    }
    false
}

/// What the box finds. Answers whether it says which point it is.
fn of_gateway(
    point: &mut AlarmPoint,
    event: &Event,
    body: &AlarmPointEvent,
    line: &mut HistoryEntry,
) -> bool {
    match body {
        AlarmPointEvent::Suppressed {
            rule,
            sensor_path,
            cause,
        } => {
            (line.what, line.text) = ("suppressed", Some(cause.words()));
            point.suppressed = Some((cause.clone(), event.time));
            name(point, rule, sensor_path);
            return true;
        }
        AlarmPointEvent::Unsuppressed => {
            line.what = "unsuppressed";
            let was = point.suppressed.take().is_some();
            ended(was, "was not suppressed", line);
        }
        AlarmPointEvent::Chattering {
            rule,
            sensor_path,
            activations,
        } => {
            (line.what, line.text) = ("chattering", Some(format!("{activations} times")));
            point.chattering = Some(event.time);
            name(point, rule, sensor_path);
            return true;
        }
        AlarmPointEvent::Calmed => {
            line.what = "calmed";
            let was = point.chattering.take().is_some();
            ended(was, "was calm", line);
        }
        AlarmPointEvent::Withheld { value, since } => {
            line.what = "withheld";
            let held = point.shelved.is_some() || point.out_of_service.is_some();
            ended(held, "was neither shelved nor out of service", line);
            point.withheld = held.then_some((*value, *since));
        }
        _ => {}
    }
    false
}

fn ended(was: bool, why_not: &'static str, line: &mut HistoryEntry) {
    if !was {
        line.refuse(why_not);
    }
}
