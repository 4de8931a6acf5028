//! What a finding means for its alarm point: raised, withheld, chattering, cleared. Never looks at
//! the time alone: `tick` does.

use super::point::{Chatter, Clear, Point, Standing, Withheld};
use super::{Alarms, AlertStep, HeldBack, Outcome, PointStep, words};
use crate::analysis::{Change, Detail, Finding};
use crate::config::{RuleConfig, priority};
use protocol::event::{
    AlarmPointEvent, AlertDescription, AlertEvent, AlertKind, AlertRaised, Severity,
    SuppressionCause,
};
use protocol::id::AlertId;
use protocol::time::{ClockState, Timestamp};

/// Low and medium alerts that come again within this time and were not acknowledged are not told
/// again until it is over: people know.
pub(super) const REPEAT_AFTER_US: i64 = 600_000_000;

impl Alarms {
    pub(super) fn became_abnormal(&mut self, finding: &Finding, outcome: &mut Outcome) {
        let rule = &*finding.rule;
        if self.book.open_alert(rule).is_some() {
            if let Some(chatter) = self.points.get_mut(rule).and_then(|p| p.chatter.as_mut()) {
                chatter.clear = None;
                chatter.last = finding.time;
            }
            // Told twice is told once; a new peak counts.
            outcome
                .alerts
                .extend(self.book.apply(finding, AlertId::from(uuid::Uuid::nil())));
            return;
        }
        match self.hold(rule, finding.time) {
            Some(held) => self.withhold(finding, held, outcome),
            None => self.raise(finding, outcome),
        }
    }

    pub(super) fn went_further(&mut self, finding: &Finding, value: f64, outcome: &mut Outcome) {
        if self.book.open_alert(&finding.rule).is_some() {
            outcome
                .alerts
                .extend(self.book.apply(finding, AlertId::from(uuid::Uuid::nil())));
        } else if let Some(withheld) = self
            .points
            .get_mut(&*finding.rule)
            .and_then(|point| point.withheld.as_mut())
        {
            withheld.peak = value;
        }
    }

    pub(super) fn became_normal(&mut self, finding: &Finding, outcome: &mut Outcome) {
        let Change::Cleared { value, peak } = finding.change else {
            return;
        };
        let name = &*finding.rule;
        if let Some(point) = self.points.get_mut(name) {
            if let Some(withheld) = point.withheld.take() {
                let alert = self.plan.alert_id(name, withheld.since);
                self.release(name, alert, finding.time);
                return;
            }
            if let Some(chatter) = &mut point.chatter {
                chatter.last = finding.time;
                let (time, clock) = (finding.time, finding.clock);
                chatter.clear = Some(Clear {
                    value,
                    peak,
                    time,
                    clock,
                });
                return;
            }
        }
        self.clear(finding, outcome);
    }

    /// The episode is over: the alert clears.
    pub(super) fn clear(&mut self, finding: &Finding, outcome: &mut Outcome) {
        let name = &*finding.rule;
        let Some(alert) = self.book.open_alert(name) else {
            return;
        };
        outcome.alerts.extend(self.book.apply(finding, alert));
        self.release(name, alert, finding.time);
        let is_held = self.hold(name, finding.time).is_some();
        let (Some(rule), Some(point)) = (self.book.rule(name), self.points.get_mut(name)) else {
            return;
        };
        let Some(standing) = &mut point.standing else {
            return;
        };
        standing.cleared = true;
        if standing.told.is_some() && !is_held {
            outcome
                .notices
                .push(words::cleared(rule, standing, finding.time));
        }
        if standing.is_closed(rule.alarm.latch) {
            point.standing = None;
        }
    }

    /// An outage that is over goes on for a moment.
    fn release(&mut self, rule: &str, alert: AlertId, now: Timestamp) {
        if self.plan.outages.iter().any(|(outage, _)| outage == rule) {
            self.released.insert(rule.to_owned(), (alert, now));
        }
    }

    fn withhold(&mut self, finding: &Finding, held: HeldBack, outcome: &mut Outcome) {
        let Some(withheld) = Withheld::of(finding) else {
            return;
        };
        let (time, clock) = (finding.time, finding.clock);
        match held {
            HeldBack::ByDesign(cause) => {
                self.suppress(&finding.rule, cause, (time, clock), outcome)
            }
            HeldBack::ByPerson => {
                let is_told = self
                    .points
                    .get(&*finding.rule)
                    .is_some_and(|p| p.is_withheld_told);
                if !is_told {
                    let (value, since) = (withheld.value, withheld.since);
                    let event = AlarmPointEvent::Withheld { value, since };
                    let name = format!("withheld:{}", since.0);
                    outcome
                        .points
                        .extend(self.step(&finding.rule, name, (time, clock), event));
                }
            }
        }
        let point = self.points.entry(finding.rule.to_string()).or_default();
        point.is_withheld_told = true;
        point.withheld = Some(withheld);
    }

    /// Notes that a point is suppressed by design, once.
    pub(super) fn suppress(
        &mut self,
        rule: &str,
        cause: SuppressionCause,
        (time, clock): (Timestamp, ClockState),
        outcome: &mut Outcome,
    ) {
        if self
            .points
            .get(rule)
            .is_some_and(|point| point.suppressed.is_some())
        {
            return;
        }
        let Some(sensor_path) = self.book.rule(rule).map(|rule| rule.sensor.clone()) else {
            return;
        };
        let event = AlarmPointEvent::Suppressed {
            rule: rule.to_owned(),
            sensor_path,
            cause: cause.clone(),
        };
        let name = format!("suppressed:{}", time.0);
        outcome
            .points
            .extend(self.step(rule, name, (time, clock), event));
        let point = self.points.entry(rule.to_owned()).or_default();
        point.suppressed = Some((cause, time));
    }

    /// An event of a rule's point.
    pub(super) fn step(
        &self,
        rule: &str,
        name: String,
        (time, clock): (Timestamp, ClockState),
        event: AlarmPointEvent,
    ) -> Option<PointStep> {
        let point = self.plan.point_id(self.book.rule(rule)?);
        Some(PointStep {
            point,
            actor: rule.to_owned(),
            name,
            time,
            clock,
            event,
        })
    }

    /// The alert begins.
    pub(super) fn raise(&mut self, finding: &Finding, outcome: &mut Outcome) {
        let Change::Raised { since, detail, .. } = &finding.change else {
            return;
        };
        let name = &*finding.rule;
        let id = self.plan.alert_id(name, *since);
        let Some(rule) = self.book.rule(name).cloned() else {
            return;
        };
        let is_first = self.is_first_out(&rule);
        let mut steps = self.book.apply(finding, id);
        let Some(AlertEvent::Raised(raised)) = steps.first_mut().map(|step| &mut step.event) else {
            return;
        };
        let described = self.describe(&rule, detail.as_deref(), is_first);
        raised.severity = priority(rule.severity, described.criticality);
        let raised = raised.clone();
        if let Some(step) = steps.first_mut() {
            step.described = Some(described.clone());
        }
        outcome.alerts.extend(steps);
        self.telling.raised(finding.time, &self.plan.settings);
        self.settle_before(&rule, id, finding, outcome);
        let is_chatter = self.notice_chatter(&rule, finding, outcome);
        self.stand(finding, id, (&raised, &described), is_chatter, outcome);
    }

    fn describe(
        &self,
        rule: &RuleConfig,
        detail: Option<&Detail>,
        first_out: bool,
    ) -> AlertDescription {
        AlertDescription {
            kind: detail.map_or(AlertKind::Threshold, |detail| detail.kind),
            words: detail
                .map(|detail| detail.words.clone())
                .unwrap_or_default(),
            expected: detail.and_then(|detail| detail.expected),
            score: detail.and_then(|detail| detail.score),
            reaches_limit_in: detail.and_then(|detail| detail.reaches_limit_in),
            first_out,
            criticality: self.plan.criticality(rule.asset.as_deref()),
            rule_severity: rule.severity,
            latches: rule.alarm.latch,
        }
    }

    /// Whether no other rule of the group is abnormal.
    fn is_first_out(&self, rule: &RuleConfig) -> bool {
        let Some(group) = &rule.alarm.first_out else {
            return false;
        };
        let mut others = self.book.rules().filter(|other| {
            other.alarm.first_out.as_ref() == Some(group) && other.name != rule.name
        });
        !others.any(|other| self.is_abnormal(&other.name))
    }

    /// The alert before it, which cleared and nobody acknowledged, gives way.
    fn settle_before(
        &self,
        rule: &RuleConfig,
        by: AlertId,
        finding: &Finding,
        outcome: &mut Outcome,
    ) {
        let before = self.points.get(&rule.name).and_then(|point| point.standing);
        let Some(before) = before.filter(|before| before.cleared && before.alert != by) else {
            return;
        };
        outcome.alerts.push(AlertStep {
            alert: before.alert,
            rule: rule.name.clone(),
            time: finding.time,
            clock: finding.clock,
            event: AlertEvent::Superseded { by },
            described: None,
        });
    }

    /// Counts how often it came; answers whether it chatters from now on.
    fn notice_chatter(
        &mut self,
        rule: &RuleConfig,
        finding: &Finding,
        outcome: &mut Outcome,
    ) -> bool {
        let settings = &self.plan.settings;
        let point = self.points.entry(rule.name.clone()).or_default();
        let count = point.activate(finding.time, settings.chatter_within, settings.chatter);
        if count < settings.chatter {
            return false;
        }
        let (since, last, clear) = (finding.time, finding.time, None);
        point.chatter = Some(Chatter { since, last, clear });
        let event = AlarmPointEvent::Chattering {
            rule: rule.name.clone(),
            sensor_path: rule.sensor.clone(),
            activations: u32::try_from(count).unwrap_or(u32::MAX),
        };
        let name = format!("chattering:{}", since.0);
        let at = (finding.time, finding.clock);
        outcome
            .points
            .extend(self.step(&rule.name, name, at, event));
        true
    }

    /// The alert stands; people are told, unless they know or it is held back.
    fn stand(
        &mut self,
        finding: &Finding,
        alert: AlertId,
        (raised, described): (&AlertRaised, &AlertDescription),
        is_chatter: bool,
        outcome: &mut Outcome,
    ) {
        let now = finding.time;
        let severity = raised.severity;
        let before = self
            .points
            .get(&raised.rule)
            .and_then(|point| point.standing);
        let known = before
            .filter(|before| before.acknowledged.is_none() && severity < Severity::High)
            .and_then(|before| before.told)
            .filter(|told| (0..REPEAT_AFTER_US).contains(&now.micros_since(*told)));
        let told = if let (Some(told), false) = (known, is_chatter) {
            Some(told)
        } else if self.telling.may(severity, now, &self.plan.settings) {
            let notice = if is_chatter {
                words::chattering(raised, alert, now, &self.plan.settings)
            } else {
                words::raised(raised, described, alert, now)
            };
            outcome.notices.push(notice);
            Some(now)
        } else {
            None
        };
        let point: &mut Point = self.points.entry(raised.rule.clone()).or_default();
        point.standing = Some(Standing {
            alert,
            severity,
            raised_at: now,
            acknowledged: None,
            cleared: false,
            told,
            has_notice: told == Some(now),
        });
    }
}
