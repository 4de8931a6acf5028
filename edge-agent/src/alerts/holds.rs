//! What people hold back: shelved points, points out of service, maintenance of assets and devices.
//! Never decides what happens to an alert that is held back.
//!
//! Every shelf ends: at its time, after the longest time that is allowed, or at once when the clock
//! was set back to before it began, whichever comes first.

use protocol::alarm_point::AlarmPoint;
use protocol::event::Maintained;
use protocol::time::{Correction, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How far the clock of whoever shelved may be ahead of ours.
const AHEAD_US: i64 = 5 * 60 * 1_000_000;

/// What is held back. Bounded: at most one entry for each rule, asset and device.
#[derive(Clone, Debug, Default)]
pub(super) struct Holds {
    shelves: BTreeMap<String, Span>,
    out_of_service: BTreeSet<String>,
    maintenance: BTreeMap<Maintained, Work>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Span {
    from: Timestamp,
    until: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Work {
    from: Timestamp,
    until: Option<Timestamp>,
    /// When it ended: what stood still needs a moment.
    ended: Option<Timestamp>,
}

/// Something that is over by its time, to be told.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Over {
    Shelf(String),
    Maintenance(Maintained),
}

impl Holds {
    /// What the record says of a point.
    pub(super) fn learn(&mut self, point: &AlarmPoint, now: Timestamp) {
        if let Some(of) = &point.switch_of {
            match (&point.maintenance, self.maintenance.get_mut(of)) {
                (Some(work), _) => {
                    let work = Work {
                        from: work.said.at,
                        until: work.until,
                        ended: None,
                    };
                    self.maintenance.insert(of.clone(), work);
                }
                (None, Some(known)) => known.ended = known.ended.or(Some(now)),
                (None, None) => {}
            }
            return;
        }
        match &point.shelved {
            Some(shelf) => {
                let span = Span {
                    from: shelf.said.at,
                    until: shelf.until,
                };
                self.shelves.insert(point.rule.clone(), span);
            }
            None => {
                self.shelves.remove(&point.rule);
            }
        }
        if point.out_of_service.is_some() {
            self.out_of_service.insert(point.rule.clone());
        } else {
            self.out_of_service.remove(&point.rule);
        }
    }

    /// Whether a person holds the rule back.
    pub(super) fn has(&self, rule: &str) -> bool {
        self.out_of_service.contains(rule) || self.shelves.contains_key(rule)
    }

    /// On what somebody works, or ended to less than `release` ago.
    pub(super) fn maintained(
        &self,
        now: Timestamp,
        release: Duration,
    ) -> impl Iterator<Item = &Maintained> {
        let works = move |work: &Work| {
            work.ended
                .is_none_or(|ended| is_within(ended, now, release))
        };
        let all = self.maintenance.iter().filter(move |(_, work)| works(work));
        all.map(|(of, _)| of)
    }

    /// Takes away what is over.
    pub(super) fn end(
        &mut self,
        now: Timestamp,
        (shelve_max, release): (Duration, Duration),
    ) -> Vec<Over> {
        let mut over = Vec::new();
        self.shelves.retain(|rule, span| {
            let goes_on = now < span.until
                && is_within(span.from, now.plus_micros(AHEAD_US), shelve_max + ahead());
            if !goes_on {
                over.push(Over::Shelf(rule.clone()));
            }
            goes_on
        });
        self.maintenance.retain(|of, work| {
            if work.ended.is_none() && work.until.is_some_and(|until| now >= until) {
                work.ended = Some(now);
                over.push(Over::Maintenance(of.clone()));
            }
            work.ended
                .is_none_or(|ended| is_within(ended, now, release))
        });
        over
    }

    pub(super) fn correct(&mut self, by: &Correction) {
        for span in self.shelves.values_mut() {
            (span.from, span.until) = (by.of(span.from), by.of(span.until));
        }
        for work in self.maintenance.values_mut() {
            work.from = by.of(work.from);
            work.until = work.until.map(|until| by.of(until));
            work.ended = work.ended.map(|ended| by.of(ended));
        }
    }
}

const fn ahead() -> Duration {
    Duration::from_micros(AHEAD_US.unsigned_abs())
}

/// Whether less than `long` has gone since `from`; not when the clock was set back to before it.
pub(super) fn is_within(from: Timestamp, now: Timestamp, long: Duration) -> bool {
    let long_us = i64::try_from(long.as_micros()).unwrap_or(i64::MAX);
    (0..long_us).contains(&now.micros_since(from))
}
