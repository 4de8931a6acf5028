//! What follows from the time alone. Never looks at a reading.

use super::holds::Over;
use super::point::{Clear, Standing};
use super::telling::Summary;
use super::life::REPEAT_AFTER_US;
use super::{Alarms, AlertStep, HeldBack, Notice, Outcome, PointStep, words};
use crate::analysis::{Change, Finding};
use crate::config::RuleConfig;
use protocol::event::{AlarmPointEvent, AlertEvent, Maintained, Severity};
use protocol::id::{AlarmPointId, SensorId};
use protocol::time::{ClockState, Timestamp};

/// Titles that a summary lists; of more it says how many.
const LISTED_MAX: usize = 10;

impl Alarms {
    /// Ends shelves and maintenance whose time is over.
    pub(super) fn end_holds(&mut self, now: Timestamp, clock: ClockState, outcome: &mut Outcome) {
        let settings = &self.plan.settings;
        let (shelve_max, release) = (settings.shelve_max, settings.release_after);
        for over in self.holds.end(now, (shelve_max, release)) {
            let note = Some("the time was over".to_owned());
            match over {
                Over::Shelf(rule) => {
                    let event = AlarmPointEvent::Unshelved { note };
                    let name = format!("unshelved:{}", now.0);
                    outcome
                        .points
                        .extend(self.step(&rule, name, (now, clock), event));
                    self.tell_again(&rule, now, outcome);
                }
                Over::Maintenance(of) => {
                    let is_device = matches!(of, Maintained::Device(_));
                    let point = AlarmPointId::maintenance(self.plan.gateway, of.name(), is_device);
                    outcome.points.push(PointStep {
                        point,
                        actor: of.name().to_owned(),
                        name: format!("maintenance ended:{}", now.0),
                        time: now,
                        clock,
                        event: AlarmPointEvent::MaintenanceEnded { note },
                    });
                }
            }
        }
        self.released
            .retain(|_, (_, at)| super::holds::is_within(*at, now, release));
    }

    /// A shelf ended and the alert still stands: it is told, for nobody hears of it any more.
    fn tell_again(&mut self, rule: &str, now: Timestamp, outcome: &mut Outcome) {
        let standing = self.points.get(rule).and_then(|point| point.standing);
        let (Some(rule), Some(standing)) = (self.book.rule(rule), standing) else {
            return;
        };
        if standing.cleared || self.hold(&rule.name, now).is_some() {
            return;
        }
        let notice = words::unshelved(rule, &standing, now);
        let told = self
            .telling
            .may(standing.severity, now, &self.plan.settings);
        let name = rule.name.clone();
        outcome.notices.extend(told.then_some(notice));
        if let Some(known) = self.points.get_mut(&name).and_then(|p| p.standing.as_mut()) {
            known.told = told.then_some(now);
        }
    }

    /// Looks at each point that has something to remember.
    pub(super) fn look_at_points(
        &mut self,
        now: Timestamp,
        clock: ClockState,
        outcome: &mut Outcome,
    ) {
        let names: Vec<String> = self.points.keys().cloned().collect();
        for name in names {
            let Some(rule) = self.book.rule(&name).cloned() else {
                self.points.remove(&name);
                continue;
            };
            self.calm(&rule, now, clock, outcome);
            match self.hold(&name, now) {
                None => self.let_go(&rule, now, clock, outcome),
                Some(held) => self.keep_back(&rule, held, (now, clock), outcome),
            }
            if let Some(point) = self.points.get_mut(&name) {
                point.forget_activations(now, self.plan.settings.chatter_within);
            }
        }
    }

    /// Nothing holds it back: what was suppressed is so no more, what is still abnormal is told.
    fn let_go(
        &mut self,
        rule: &RuleConfig,
        now: Timestamp,
        clock: ClockState,
        outcome: &mut Outcome,
    ) {
        self.unsuppress(rule, (now, clock), outcome);
        let Some(point) = self.points.get_mut(&rule.name) else {
            return;
        };
        point.is_withheld_told = false;
        if let Some(withheld) = point.withheld.take() {
            let finding = withheld.told_at(&rule.name, now, clock);
            self.raise(&finding, outcome);
            return;
        }
        self.tell_late(rule, now, outcome);
        self.re_alarm(rule, now, clock, outcome);
    }

    /// What came again soon after it was told, and was not told again for that, and stays.
    fn tell_late(&mut self, rule: &RuleConfig, now: Timestamp, outcome: &mut Outcome) {
        let point = self.points.get(&rule.name);
        let Some(standing) = point.and_then(|point| point.standing).filter(|standing| {
            let knows = standing.told.map(|told| now.micros_since(told));
            let is_late = knows.is_some_and(|us| !(0..REPEAT_AFTER_US).contains(&us));
            is_late && !standing.has_notice && !standing.cleared && standing.acknowledged.is_none()
        }) else {
            return;
        };
        if !self.telling.may_again(standing.severity, now, &self.plan.settings) {
            return;
        }
        let notice = words::standing(rule, &standing);
        outcome.notices.push(Notice { time: now, ..notice });
        if let Some(known) = self.points.get_mut(&rule.name).and_then(|p| p.standing.as_mut()) {
            (known.told, known.has_notice) = (Some(now), true);
        }
    }

    fn unsuppress(
        &mut self,
        rule: &RuleConfig,
        at: (Timestamp, ClockState),
        outcome: &mut Outcome,
    ) {
        let point = self.points.get_mut(&rule.name);
        let Some((_, since)) = point.and_then(|point| point.suppressed.take()) else {
            return;
        };
        let name = format!("unsuppressed:{}", since.0);
        let event = AlarmPointEvent::Unsuppressed;
        outcome
            .points
            .extend(self.step(&rule.name, name, at, event));
    }

    /// An alert that was told before what it follows from is shown under it.
    fn keep_back(
        &mut self,
        rule: &RuleConfig,
        held: HeldBack,
        at: (Timestamp, ClockState),
        outcome: &mut Outcome,
    ) {
        match held {
            HeldBack::ByPerson => self.unsuppress(rule, at, outcome),
            HeldBack::ByDesign(cause) if self.is_abnormal(&rule.name) => {
                self.suppress(&rule.name, cause, at, outcome);
            }
            HeldBack::ByDesign(_) => {}
        }
    }

    /// What chattered and was calm for long enough is calm; when it is normal, its alert clears.
    fn calm(
        &mut self,
        rule: &RuleConfig,
        now: Timestamp,
        clock: ClockState,
        outcome: &mut Outcome,
    ) {
        let calm = self.plan.settings.chatter_calm;
        let point = self.points.get_mut(&rule.name);
        let Some(point) = point.filter(|point| {
            let quiet_us = point
                .chatter
                .as_ref()
                .map(|c| now.micros_since(c.last).unsigned_abs());
            quiet_us.is_some_and(|quiet_us| u128::from(quiet_us) >= calm.as_micros())
        }) else {
            return;
        };
        let Some(chatter) = point.chatter.take() else {
            return;
        };
        point.activations.clear();
        let name = format!("calmed:{}", chatter.since.0);
        let event = AlarmPointEvent::Calmed;
        outcome
            .points
            .extend(self.step(&rule.name, name, (now, clock), event));
        if let Some(Clear {
            value,
            peak,
            time,
            clock,
        }) = chatter.clear
        {
            let finding = Finding {
                rule: rule.name.as_str().into(),
                sensor: SensorId::derive(self.plan.gateway, &rule.sensor),
                time,
                clock,
                change: Change::Cleared { value, peak },
            };
            self.clear(&finding, outcome);
        }
    }

    /// Tells again what nobody acknowledged, or what still stands.
    fn re_alarm(
        &mut self,
        rule: &RuleConfig,
        now: Timestamp,
        clock: ClockState,
        outcome: &mut Outcome,
    ) {
        let Some(period) = rule.alarm.re_alarm else {
            return;
        };
        let standing = self.points.get(&rule.name).and_then(|point| point.standing);
        let Some(standing) = standing.filter(|known| is_due(known, now, period)) else {
            return;
        };
        if !self
            .telling
            .may_again(standing.severity, now, &self.plan.settings)
        {
            return;
        }
        let long_us = i64::try_from(period.as_micros()).unwrap_or(i64::MAX).max(1);
        let times = now
            .micros_since(standing.raised_at)
            .checked_div(long_us)
            .unwrap_or(0);
        outcome
            .notices
            .push(words::again(rule, &standing, now, times));
        if standing.acknowledged.is_some() {
            outcome.alerts.push(AlertStep {
                alert: standing.alert,
                rule: rule.name.clone(),
                time: now,
                clock,
                event: AlertEvent::Realarmed,
                described: None,
            });
        }
        if let Some(known) = self
            .points
            .get_mut(&rule.name)
            .and_then(|p| p.standing.as_mut())
        {
            known.told = Some(now);
            known.acknowledged = None;
        }
    }

    /// The summary of a flood that is due.
    pub(super) fn summarise(&mut self, now: Timestamp, outcome: &mut Outcome) {
        let Some(summary) = self.telling.summary(now, &self.plan.settings) else {
            return;
        };
        let held: Vec<String> = (self.points.iter())
            .filter(|(rule, point)| {
                let is_untold = point
                    .standing
                    .is_some_and(|s| s.told.is_none() && !s.cleared);
                is_untold && self.hold(rule, now).is_none()
            })
            .map(|(rule, _)| rule.clone())
            .collect();
        let titles: Vec<&str> = (held.iter().take(LISTED_MAX))
            .filter_map(|rule| Some(self.book.rule(rule)?.title.as_str()))
            .collect();
        let mut severity = Severity::Low;
        for rule in &held {
            let standing = self.points.get(rule).and_then(|point| point.standing);
            severity = severity.max(standing.map_or(Severity::Low, |s| s.severity));
        }
        let list = (titles.as_slice(), held.len());
        let notice = words::summary(self.plan.gateway, summary, severity, list, now);
        outcome.notices.push(notice);
        if matches!(summary, Summary::Ended(..)) {
            for rule in held {
                if let Some(known) = self.points.get_mut(&rule).and_then(|p| p.standing.as_mut()) {
                    known.told = Some(now);
                }
            }
        }
    }
}

/// Whether an alert is to be told again: nobody has acknowledged it, or it still stands, for
/// `period` since people last heard of it or somebody took notice.
fn is_due(standing: &Standing, now: Timestamp, period: std::time::Duration) -> bool {
    let Some(told) = standing.told else {
        return false;
    };
    if standing.acknowledged.is_some() && standing.cleared {
        return false;
    }
    let last = standing.acknowledged.map_or(told, |at| at.max(told));
    u128::from(now.micros_since(last).unsigned_abs()) >= period.as_micros()
}
