//! The life of alerts on the box after ISA-18.2 / IEC 62682: from findings of the detectors, acts of
//! people and time to events and to what people are told. Pure: readings, records and the time come
//! in, events and notices go out. Never acknowledges, shelves or resets: people do, and the folds in
//! `protocol::{alert, alarm_point}` show it. The table of states is in README.md beside this file.
//!
//! What holds always, and is tested as properties: a rule never has two alerts that are not closed
//! that this code raised; an alert that is high or critical is told when it is raised; every shelf
//! ends; judging the same readings again tells the same with the same ids.

mod book;
mod conditions;
mod holds;
mod life;
mod notice;
mod plan;
mod point;
mod saved;
mod telling;
#[cfg(test)]
mod tests;
mod tick;
mod words;

pub use book::{AlertBook, AlertStep, PEAK_PERIOD_US, SavedAlert};
pub use notice::{Notice, NoticeKind};
pub use saved::SavedAlarms;

use crate::analysis::{Change, Finding};
use crate::config::InUse;
use conditions::Conditions;
use holds::Holds;
use plan::Plan;
use point::Point;
use protocol::alarm_point::AlarmPoint;
use protocol::alert::{Alert, AlertState};
use protocol::bundle::Bundle;
use protocol::event::{AlarmPointEvent, Maintained, SuppressionCause};
use protocol::id::{AlarmPointId, AlertId, GatewayId};
use protocol::reading::Reading;
use protocol::time::{ClockState, Correction, Timestamp};
use std::collections::BTreeMap;
use telling::Telling;

/// All alarm points of a gateway. Bounded by the rules: at most `config::RULES_MAX`.
#[derive(Clone, Debug)]
pub struct Alarms {
    plan: Plan,
    book: AlertBook,
    points: BTreeMap<String, Point>,
    holds: Holds,
    conditions: Conditions,
    telling: Telling,
    /// Outage rules that became normal a moment ago: what was down needs a moment too.
    released: BTreeMap<String, (AlertId, Timestamp)>,
}

/// What is to be written, in this order and in one transaction, and what is to be told then.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Events of alerts.
    pub alerts: Vec<AlertStep>,
    /// Events of alarm points.
    pub points: Vec<PointStep>,
    /// What people are told once that is on the disk.
    pub notices: Vec<Notice>,
}

/// One event of an alarm point.
#[derive(Clone, Debug, PartialEq)]
pub struct PointStep {
    /// The point.
    pub point: AlarmPointId,
    /// Who acts: the rule, or what maintenance ended on.
    pub actor: String,
    /// Name of the event on its point: the same event is written once.
    pub name: String,
    /// When.
    pub time: Timestamp,
    /// State of the clock that gave `time`.
    pub clock: ClockState,
    /// What happened.
    pub event: AlarmPointEvent,
}

impl Outcome {
    /// Whether there is nothing to write and nothing to tell.
    pub const fn is_empty(&self) -> bool {
        self.alerts.is_empty() && self.points.is_empty() && self.notices.is_empty()
    }
}

impl Alarms {
    /// For the rules as configured, with nothing abnormal.
    pub fn new(config: &InUse, gateway: GatewayId) -> Self {
        let book = AlertBook::new(&config.rules);
        Self {
            plan: Plan::new(config, None, gateway),
            conditions: Conditions::new(&book, gateway),
            book,
            points: BTreeMap::new(),
            holds: Holds::default(),
            telling: Telling::default(),
            released: BTreeMap::new(),
        }
    }

    /// Takes notice of a reading, for the conditions that name its sensor. Before the findings of
    /// the same polls.
    pub fn read(&mut self, reading: &Reading) {
        self.conditions.read(reading);
    }

    /// Puts what says that something is down before what follows from it, within one moment.
    pub fn sort(&self, findings: &mut [Finding]) {
        let is_outage = |rule: &str| self.plan.outages.iter().any(|(outage, _)| outage == rule);
        findings.sort_by_key(|finding| (finding.time, !is_outage(&finding.rule)));
    }

    /// What a finding means. A finding that does not fit (cleared though it was not raised) means
    /// nothing.
    pub fn follow(&mut self, finding: &Finding) -> Outcome {
        let mut outcome = Outcome::default();
        if self.book.rule(&finding.rule).is_none() {
            return outcome;
        }
        self.look_at_conditions(finding.time);
        match &finding.change {
            Change::Raised { .. } => self.became_abnormal(finding, &mut outcome),
            Change::Peaked { value } => self.went_further(finding, *value, &mut outcome),
            Change::Cleared { .. } => self.became_normal(finding, &mut outcome),
        }
        self.forget_idle(&finding.rule);
        outcome
    }

    /// What follows from the time alone: shelves that end, calm after chatter, re-alarm, the end of
    /// a flood, causes of suppression that are over. About once a second.
    pub fn tick(&mut self, now: Timestamp, clock: ClockState) -> Outcome {
        let mut outcome = Outcome::default();
        self.look_at_conditions(now);
        self.end_holds(now, clock, &mut outcome);
        self.look_at_points(now, clock, &mut outcome);
        self.summarise(now, &mut outcome);
        self.points.retain(|_, point| !point.is_idle());
        outcome
    }

    /// Takes notice of what people did to an alert, as its events tell it now.
    pub fn alert_is(&mut self, alert: &Alert) {
        let Some(point) = self.points.get_mut(&alert.raised.rule) else {
            return;
        };
        let Some(standing) = point
            .standing
            .as_mut()
            .filter(|known| known.alert == alert.id)
        else {
            return;
        };
        standing.acknowledged = alert.acknowledged.as_ref().map(|(at, _)| *at);
        if alert.state() == AlertState::Closed {
            point.standing = None;
        }
        self.forget_idle(&alert.raised.rule);
    }

    /// Takes notice of what people did to an alarm point or a maintenance switch, and of what
    /// follows: what nobody holds back any more and is still abnormal is told.
    pub fn point_is(&mut self, point: &AlarmPoint, now: Timestamp, clock: ClockState) -> Outcome {
        self.learn(point, now);
        self.tick(now, clock)
    }

    /// Takes up an alarm point as its events tell it, when the agent starts.
    pub fn learn(&mut self, point: &AlarmPoint, now: Timestamp) {
        self.holds.learn(point, now);
        let rule = self.book.rule(&point.rule);
        if rule.is_none_or(|rule| rule.sensor != point.sensor_path) {
            return;
        }
        let known = self.points.entry(point.rule.clone()).or_default();
        if known.suppressed.is_none() {
            known.suppressed.clone_from(&point.suppressed);
        }
        if let (None, Some(since)) = (&known.chatter, point.chattering) {
            let (last, clear) = (since, None);
            known.chatter = Some(point::Chatter { since, last, clear });
        }
        self.forget_idle(&point.rule);
    }

    /// Takes up an alert of this box as its events tell it; one that is closed is passed over. To
    /// be called for all of them, the newest first, when the agent starts, once the readings since
    /// the last save are judged; then `retire`.
    pub fn take_up(&mut self, alert: &Alert) {
        self.book.take_up(alert);
        let name = &alert.raised.rule;
        let rule = self.book.rule(name);
        if alert.state() == AlertState::Closed
            || rule.is_none_or(|rule| rule.sensor != alert.raised.sensor_path)
        {
            return;
        }
        let known = self.points.get(name).and_then(|point| point.standing);
        let is_open = self.book.open_alert(name) == Some(alert.id);
        if known.is_some_and(|known| known.alert != alert.id && !is_open) {
            return;
        }
        let told = known.filter(|known| known.alert == alert.id);
        let standing = point::Standing {
            alert: alert.id,
            severity: alert.raised.severity,
            raised_at: alert.raised_at,
            acknowledged: alert.acknowledged.as_ref().map(|(at, _)| *at),
            cleared: alert.cleared.is_some(),
            told: told.map_or(Some(alert.raised_at), |known| known.told),
            has_notice: told.is_none_or(|known| known.has_notice),
        };
        let point = self.points.entry(name.clone()).or_default();
        point.standing = Some(standing);
        // What was saved may be older than the record: it was told since.
        if is_open {
            point.withheld = None;
        }
    }

    /// Ends what no rule stands behind any more.
    pub fn retire(&mut self, now: Timestamp, clock: ClockState) -> Outcome {
        let alerts = self.book.retire(now, clock);
        for step in &alerts {
            if let Some(point) = self.points.get_mut(&step.rule) {
                point.standing = point.standing.filter(|known| known.alert != step.alert);
            }
        }
        Outcome {
            alerts,
            ..Outcome::default()
        }
    }

    /// The rules are others now. What is open for a rule that is gone, or that is for another
    /// sensor now, ends with the next `retire`.
    pub fn change_rules(&mut self, config: &InUse, of_hub: Option<&Bundle>) {
        let before: BTreeMap<String, String> = (self.book.rules())
            .map(|rule| (rule.name.clone(), rule.sensor.clone()))
            .collect();
        let known = self.conditions.known();
        self.book.change_rules(&config.rules);
        self.plan = Plan::new(config, of_hub, self.plan.gateway);
        self.conditions = Conditions::new(&self.book, self.plan.gateway);
        self.conditions.restore(known);
        let book = &self.book;
        let stays = |rule: &String| {
            let sensor = book.rule(rule).map(|rule| &rule.sensor);
            sensor.is_some() && sensor == before.get(rule)
        };
        self.points.retain(|rule, _| stays(rule));
        self.released.retain(|rule, _| stays(rule));
    }

    /// The hub's list of the site is another one now: urgency and outages of alerts from now on
    /// follow it where the configuration says nothing.
    pub fn know_assets(&mut self, of_hub: Option<&Bundle>) {
        self.plan.know_assets(of_hub);
    }

    /// Notices of alerts that wait for somebody, to be handed over again after a start: whoever
    /// tells people knows by their ids which of them were told.
    pub fn standing_notices(&self) -> Vec<Notice> {
        let waits = |(rule, point): (&String, &Point)| {
            let standing = point.standing.filter(|standing| {
                standing.acknowledged.is_none() && !standing.cleared && standing.has_notice
            })?;
            let rule = self.book.rule(rule)?;
            let is_held = self.hold(&rule.name, standing.raised_at).is_some();
            (!is_held).then(|| words::standing(rule, &standing))
        };
        self.points.iter().filter_map(waits).collect()
    }

    /// Moves the times that it remembers, now that the true time is known.
    pub fn correct(&mut self, by: &Correction) {
        self.book.correct(by);
        self.holds.correct(by);
        self.conditions.correct(by);
        self.telling.correct(by);
        self.points.values_mut().for_each(|point| point.correct(by));
        for (_, at) in self.released.values_mut() {
            *at = by.of(*at);
        }
    }

    /// Whether a rule is abnormal, told or not.
    fn is_abnormal(&self, rule: &str) -> bool {
        self.down(rule).is_some()
    }

    /// The alert of a rule that is abnormal, or that it would have if it were told.
    fn down(&self, rule: &str) -> Option<AlertId> {
        let withheld = || {
            let withheld = self.points.get(rule)?.withheld.as_ref()?;
            Some(self.plan.alert_id(rule, withheld.since))
        };
        self.book.open_alert(rule).or_else(withheld)
    }

    /// What holds a rule's alerts back now.
    fn hold(&self, rule: &str, now: Timestamp) -> Option<HeldBack> {
        if self.holds.has(rule) {
            return Some(HeldBack::ByPerson);
        }
        self.cause(rule, now).map(HeldBack::ByDesign)
    }

    /// Why a rule's alerts are suppressed by design now.
    fn cause(&self, name: &str, now: Timestamp) -> Option<SuppressionCause> {
        let rule = self.book.rule(name)?;
        let release = self.plan.settings.release_after;
        let of_outage = self.plan.outages.iter().find_map(|(outage, what)| {
            if outage == name || !self.plan.covers(what, rule) {
                return None;
            }
            let released = || {
                let (alert, at) = self.released.get(outage)?;
                holds::is_within(*at, now, release).then_some(*alert)
            };
            let alert = self.down(outage).or_else(released)?;
            let of = what.name().to_owned();
            Some(SuppressionCause::Outage { alert, of })
        });
        let of_work = || {
            let mut works = self.holds.maintained(now, release);
            let of = works
                .find(|of| self.plan.covers(of, rule))
                .map(Maintained::name)?;
            Some(SuppressionCause::Maintenance { of: of.to_owned() })
        };
        let is_abnormal = |rule: &str| self.is_abnormal(rule);
        of_outage
            .or_else(of_work)
            .or_else(|| self.conditions.cause(name, now, &is_abnormal))
    }

    fn look_at_conditions(&mut self, now: Timestamp) {
        let mut conditions = std::mem::take(&mut self.conditions);
        conditions.look(now, &|rule| self.is_abnormal(rule));
        self.conditions = conditions;
    }

    fn forget_idle(&mut self, rule: &str) {
        if self.points.get(rule).is_some_and(Point::is_idle) {
            self.points.remove(rule);
        }
    }
}

/// What holds an alert back.
#[derive(Clone, Debug, PartialEq)]
enum HeldBack {
    /// Shelved or out of service.
    ByPerson,
    /// Suppressed by design.
    ByDesign(SuppressionCause),
}
