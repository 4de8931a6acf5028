//! Who is on duty, what is quiet, which channel wants what: the configuration as the ladder asks it.
//! A value. Never reads a clock: the time comes in.

use crate::config::{Hours, LadderConfig, NotifyConfig, ON_CALL, ShiftConfig, StepConfig};
use jiff::tz::TimeZone;
use protocol::bundle::Bundle;
use protocol::event::Severity;
use protocol::time::Timestamp;
use std::collections::BTreeMap;

/// What a channel needs to know of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wants {
    /// Nothing: whoever is there hears or sees it.
    Nobody,
    /// A telephone number.
    Phone,
    /// A mail address.
    Email,
}

/// A channel as the ladder sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Way {
    /// What it needs to know of a person.
    pub wants: Wants,
    /// Shows a state instead of telling something: on while an alert waits for somebody.
    pub lamp: Option<OffWhen>,
    /// What is less urgent does not go this way.
    pub severity: Severity,
    /// When only what is critical goes this way.
    pub quiet: Vec<Hours>,
    /// Messages in a minute.
    pub per_minute: u16,
    /// Tries of one message.
    pub attempts: u8,
    /// Who is told where a step names nobody.
    pub to: Vec<String>,
}

/// When a lamp goes off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OffWhen {
    /// Somebody acknowledged.
    Acknowledged,
    /// Somebody acknowledged, or all is normal again.
    Cleared,
}

/// How a person is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reach {
    /// Telephone number.
    pub phone: Option<String>,
    /// Mail address.
    pub email: Option<String>,
}

/// The configuration as the ladder asks it.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    zone: TimeZone,
    people: BTreeMap<String, Reach>,
    /// As the hub has them.
    known: BTreeMap<String, Reach>,
    on_call: Vec<String>,
    shifts: BTreeMap<String, ShiftConfig>,
    ways: BTreeMap<String, Way>,
    ladders: Vec<LadderConfig>,
}

impl Plan {
    /// From the configuration and what is known of its channels.
    pub(super) fn new(config: &NotifyConfig, ways: BTreeMap<String, Way>, zone: TimeZone) -> Self {
        let people = config.people.iter().map(|person| {
            let reach = Reach {
                phone: person.phone.clone(),
                email: person.email.clone(),
            };
            (person.name.clone(), reach)
        });
        let shifts = config.shifts.iter();
        Self {
            zone,
            people: people.collect(),
            known: BTreeMap::new(),
            on_call: Vec::new(),
            shifts: shifts
                .map(|shift| (shift.name.clone(), shift.clone()))
                .collect(),
            ways,
            ladders: config.ladders.clone(),
        }
    }

    /// Takes up whom the hub knows: who is on call, and how people are reached where the
    /// configuration does not say.
    pub(super) fn know(&mut self, bundle: &Bundle) {
        let reach = |person: &protocol::bundle::Person| {
            let reach = Reach {
                phone: person.phone.clone(),
                email: person.email.clone(),
            };
            (person.name.clone(), reach)
        };
        self.known = bundle.people.iter().map(reach).collect();
        let on_call = bundle.people.iter().filter(|person| person.on_call);
        self.on_call = on_call.map(|person| person.name.clone()).collect();
    }

    /// The channels.
    pub(super) const fn ways(&self) -> &BTreeMap<String, Way> {
        &self.ways
    }

    /// A channel.
    pub(super) fn way(&self, channel: &str) -> Option<&Way> {
        self.ways.get(channel)
    }

    /// The ladders.
    pub(super) fn ladders(&self) -> &[LadderConfig] {
        &self.ladders
    }

    /// A step of a ladder.
    pub(super) fn step(&self, ladder: &str, step: u16) -> Option<&StepConfig> {
        let ladder = self.ladders.iter().find(|known| known.name == ladder)?;
        ladder.steps.get(usize::from(step))
    }

    /// The people of these names who are on duty, each once: a person always is, of a shift those
    /// whose hours it is.
    pub(super) fn on_duty(&self, names: &[String], now: Timestamp) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        for name in names {
            let one = std::slice::from_ref(name);
            let people = match self.shifts.get(name) {
                Some(shift) if self.is_on(shift, now) => shift.people.as_slice(),
                Some(_) => &[],
                None if name == ON_CALL => self.on_call.as_slice(),
                None => one,
            };
            for person in people {
                if !found.contains(person) {
                    found.push(person.clone());
                }
            }
        }
        found
    }

    /// Where a channel finds a person.
    pub(super) fn address(&self, person: &str, wants: Wants) -> Option<String> {
        let of = |people: &BTreeMap<String, Reach>| {
            let reach = people.get(person)?;
            match wants {
                Wants::Nobody => None,
                Wants::Phone => reach.phone.clone(),
                Wants::Email => reach.email.clone(),
            }
        };
        of(&self.people).or_else(|| of(&self.known))
    }

    /// Whose telephone number this is. Numbers are compared from their ends, for networks write
    /// the country's code or leave it out.
    pub(super) fn person_of(&self, phone: &str) -> Option<&str> {
        const DIGITS: usize = 8;
        let tail = |number: &str| -> Vec<char> {
            let digits = number.chars().rev().filter(char::is_ascii_digit);
            digits.take(DIGITS).collect()
        };
        let wanted = tail(phone);
        let mut people = self.people.iter().chain(&self.known);
        let (name, _) = people.find(|(_, reach)| {
            reach
                .phone
                .as_deref()
                .is_some_and(|known| tail(known) == wanted)
        })?;
        (wanted.len() >= 3).then_some(name)
    }

    /// Whether only what is critical goes this way now.
    pub(super) fn is_quiet(&self, way: &Way, now: Timestamp) -> bool {
        let (_, minute) = self.local(now);
        way.quiet.iter().any(|hours| {
            let from = minute >= hours.from;
            let until = minute < hours.until;
            if hours.is_over_midnight() {
                from || until
            } else {
                from && until
            }
        })
    }

    fn is_on(&self, shift: &ShiftConfig, now: Timestamp) -> bool {
        let (day, minute) = self.local(now);
        let on = |day: usize| shift.days.get(day % 7).copied().unwrap_or(false);
        let (from, until) = (minute >= shift.hours.from, minute < shift.hours.until);
        if shift.hours.is_over_midnight() {
            // After midnight it is the shift of the day before.
            (from && on(day)) || (until && on(day + 6))
        } else {
            from && until && on(day)
        }
    }

    /// Day of the week (Monday is 0) and minute of the day at the site.
    fn local(&self, now: Timestamp) -> (usize, u16) {
        let Ok(time) = jiff::Timestamp::from_microsecond(now.0) else {
            return (0, 0);
        };
        let local = time.to_zoned(self.zone.clone());
        let day = local.weekday().to_monday_zero_offset();
        let minute = i32::from(local.hour()) * 60 + i32::from(local.minute());
        (
            usize::try_from(day).unwrap_or(0),
            u16::try_from(minute).unwrap_or(0),
        )
    }
}

/// A time zone from `Europe/Berlin` (as the box's own zone files have it), `+01:00`, or a rule of
/// POSIX (`CET-1CEST,M3.5.0,M10.5.0/3`). `None` when it is none of these.
pub(super) fn zone(text: &str) -> Option<TimeZone> {
    if let Some(offset) = offset(text) {
        return Some(TimeZone::fixed(offset));
    }
    if text == "UTC" {
        return Some(TimeZone::UTC);
    }
    TimeZone::get(text)
        .ok()
        .or_else(|| TimeZone::posix(text).ok())
}

fn offset(text: &str) -> Option<jiff::tz::Offset> {
    let (sign, rest) = match text.strip_prefix('+') {
        Some(rest) => (1, rest),
        None => (-1, text.strip_prefix('-')?),
    };
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    if !(0..=14).contains(&hours) || !(0..60).contains(&minutes) {
        return None;
    }
    jiff::tz::Offset::from_seconds(sign * (hours * 3_600 + minutes * 60)).ok()
}
