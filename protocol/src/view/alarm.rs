//! The JSON shapes of what came with the alarm life cycle (docs/api.md), the same from the box and the
//! hub. Only written, never read back.

use super::{AlertView, Home, rfc3339};
use crate::alarm_load::{Actor, Load, Period};
use crate::alarm_point::{AlarmPoint, Hold, Maintenance, Said, Shelf};
use crate::alert::{Alert, AlertState};
use crate::event::{AlertKind, Criticality, Maintained, Severity, SuppressionCause};
use crate::id::{AlarmPointId, AlertId};
use crate::time::Timestamp;
use serde::Serialize;

/// What an alert has beside its basic state: a part of shape `Alert`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(
    missing_docs,
    reason = "the fields are described in docs/api.md, shape Alert"
)]
pub struct AlarmView {
    pub kind: AlertKind,
    pub words: String,
    pub expected: Option<(f64, f64)>,
    pub score: Option<f64>,
    pub reaches_limit_in: Option<(f64, f64, f64)>,
    pub first_out: bool,
    pub criticality: Option<Criticality>,
    pub priority: Severity,
    pub rule_severity: Severity,
    pub latched: bool,
    pub superseded_by: Option<AlertId>,
    pub realarmed_at: Option<String>,
    pub reset_at: Option<String>,
    pub reset_by: Option<String>,
    pub point: Option<AlarmPointId>,
    pub chattering: bool,
    pub shelved_until: Option<String>,
    pub shelved: Option<ShelfView>,
    pub out_of_service: Option<SaidView>,
    pub suppressed_by: Option<SuppressedView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learns_anew: Option<SaidView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told: Option<Vec<ToldView>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suppresses: Option<Vec<PointView>>,
}

/// What a person said.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are described in docs/api.md")]
pub struct SaidView {
    pub at: String,
    pub by: String,
    pub reason: String,
}

/// A shelf.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are described in docs/api.md")]
pub struct ShelfView {
    #[serde(flatten)]
    pub said: SaidView,
    pub until: String,
}

/// Why something is suppressed by design.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are described in docs/api.md")]
pub struct SuppressedView {
    pub words: String,
    pub alert: Option<AlertId>,
    pub since: String,
}

/// Who was told.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are described in docs/api.md")]
pub struct ToldView {
    pub at: String,
    pub channel: String,
    pub to: String,
    pub delivered: bool,
    pub words: String,
}

/// Docs: shape `Alarm`: what is held back of a point, without its rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(
    missing_docs,
    reason = "the fields are described in docs/api.md, shape Alarm"
)]
pub struct PointView {
    pub id: AlarmPointId,
    pub rule: String,
    pub sensor: String,
    pub shelved: Option<ShelfView>,
    pub out_of_service: Option<SaidView>,
    pub suppressed_by: Option<SuppressedView>,
    pub chattering_since: Option<String>,
    pub withheld: Option<WithheldView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learns_anew: Option<SaidView>,
}

/// Abnormal and not told.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are described in docs/api.md")]
pub struct WithheldView {
    pub value: f64,
    pub since: String,
}

/// Docs: shape `Maintenance`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(
    missing_docs,
    reason = "the fields are described in docs/api.md, shape Maintenance"
)]
pub struct MaintenanceView {
    pub id: AlarmPointId,
    pub asset: Option<String>,
    pub device: Option<String>,
    pub on: bool,
    pub said: Option<SaidView>,
    pub until: Option<String>,
}

/// Where an alarm point is in its life, with the letter of ISA-18.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PointState {
    /// A
    Normal,
    /// B
    Active,
    /// C
    Acknowledged,
    /// D
    Cleared,
    /// E
    LatchedActive,
    /// F
    LatchedAcknowledged,
    /// G
    Shelved,
    /// H
    Suppressed,
    /// I
    OutOfService,
}

impl PointState {
    /// From what is held back and the newest alert that is not closed.
    pub fn of(point: Option<&AlarmPoint>, alert: Option<&Alert>, now: Timestamp) -> Self {
        match point.and_then(|point| point.holds(now)) {
            Some(Hold::OutOfService(_)) => return Self::OutOfService,
            Some(Hold::Shelved(_)) => return Self::Shelved,
            Some(Hold::Suppressed(_)) => return Self::Suppressed,
            None => {}
        }
        match alert.map(|alert| (alert.state(), alert.is_latched())) {
            None | Some((AlertState::Closed, _)) => Self::Normal,
            Some((AlertState::Active, false)) => Self::Active,
            Some((AlertState::Acknowledged, false)) => Self::Acknowledged,
            Some((AlertState::Active, true)) => Self::LatchedActive,
            Some((AlertState::Acknowledged, true)) => Self::LatchedAcknowledged,
            Some((AlertState::Cleared, _)) => Self::Cleared,
        }
    }

    /// The letter of the standard.
    pub const fn letter(self) -> &'static str {
        match self {
            Self::Normal => "A",
            Self::Active => "B",
            Self::Acknowledged => "C",
            Self::Cleared => "D",
            Self::LatchedActive => "E",
            Self::LatchedAcknowledged => "F",
            Self::Shelved => "G",
            Self::Suppressed => "H",
            Self::OutOfService => "I",
        }
    }
}

/// What an alert has beside its basic state; `whole` adds who was told.
pub(super) fn of_alert(alert: &Alert, whole: bool) -> AlarmView {
    let described = alert.described.as_ref();
    let severity = alert.raised.severity;
    let told = || {
        let told = alert.notified.iter().map(|(at, notified)| ToldView {
            at: rfc3339(*at),
            channel: notified.channel.clone(),
            to: notified.to.clone(),
            delivered: notified.delivered,
            words: notified.words.clone(),
        });
        told.collect()
    };
    AlarmView {
        kind: described
            .map(|described| described.kind)
            .unwrap_or_default(),
        words: alert.words(),
        expected: described.and_then(|described| described.expected),
        score: described.and_then(|described| described.score),
        reaches_limit_in: described.and_then(|described| described.reaches_limit_in),
        first_out: described.is_some_and(|described| described.first_out),
        criticality: described.and_then(|described| described.criticality),
        priority: severity,
        rule_severity: described.map_or(severity, |described| described.rule_severity),
        latched: alert.is_latched(),
        superseded_by: alert.superseded,
        realarmed_at: alert.realarmed.map(rfc3339),
        reset_at: alert.reset.as_ref().map(|(at, _)| rfc3339(*at)),
        reset_by: alert.reset.as_ref().map(|(_, by)| by.clone()),
        point: None,
        chattering: false,
        shelved_until: None,
        shelved: None,
        out_of_service: None,
        suppressed_by: None,
        learns_anew: None,
        told: whole.then(told),
        suppresses: None,
    }
}

impl AlertView {
    /// With what is held back of its point at `now`.
    #[must_use]
    pub fn with_point(
        mut self,
        id: AlarmPointId,
        point: Option<&AlarmPoint>,
        now: Timestamp,
    ) -> Self {
        self.alarm.point = Some(id);
        if let Some(point) = point.map(|known| self::point(known, now)) {
            self.alarm.chattering = point.chattering_since.is_some();
            self.alarm.shelved_until = point.shelved.as_ref().map(|shelf| shelf.until.clone());
            self.alarm.shelved = point.shelved;
            self.alarm.out_of_service = point.out_of_service;
            self.alarm.suppressed_by = point.suppressed_by;
            // Said of an earlier alert, it tells nothing of this one.
            let said = point.learns_anew;
            self.alarm.learns_anew = said.filter(|said| said.at >= self.raised_at);
        }
        self
    }
}

/// The id of the point of an alert.
pub fn point_of(alert: &Alert, home: &Home) -> Option<AlarmPointId> {
    let gateway = match alert.origin {
        crate::id::Origin::Gateway(gateway) => gateway,
        crate::id::Origin::Hub => home.gateway.as_ref()?.id,
    };
    let raised = &alert.raised;
    Some(AlarmPointId::derive(
        gateway,
        &raised.rule,
        &raised.sensor_path,
    ))
}

/// What is held back of a point at `now`.
pub fn point(point: &AlarmPoint, now: Timestamp) -> PointView {
    let shelf = point.shelved.as_ref().filter(|shelf| shelf.until > now);
    PointView {
        id: point.id,
        rule: point.rule.clone(),
        sensor: point.sensor_path.clone(),
        shelved: shelf.map(shelved),
        out_of_service: point.out_of_service.as_ref().map(said),
        suppressed_by: point.suppressed.as_ref().map(suppressed),
        chattering_since: point.chattering.map(rfc3339),
        withheld: point.withheld.map(|(value, since)| WithheldView {
            value,
            since: rfc3339(since),
        }),
        learns_anew: point.learns_anew.as_ref().map(said),
    }
}

/// A maintenance switch; `None` when the record is none.
pub fn maintenance(point: &AlarmPoint, now: Timestamp) -> Option<MaintenanceView> {
    let of = point.switch_of.as_ref()?;
    let is_on = |work: &&Maintenance| work.until.is_none_or(|until| until > now);
    let work = point.maintenance.as_ref().filter(is_on);
    let (asset, device) = match of {
        Maintained::Asset(tag) => (Some(tag.clone()), None),
        Maintained::Device(name) => (None, Some(name.clone())),
    };
    Some(MaintenanceView {
        id: point.id,
        asset,
        device,
        on: work.is_some(),
        said: work.map(|work| said(&work.said)),
        until: work.and_then(|work| work.until).map(rfc3339),
    })
}

fn said(said: &Said) -> SaidView {
    SaidView {
        at: rfc3339(said.at),
        by: said.by.clone(),
        reason: said.reason.clone(),
    }
}

fn shelved(shelf: &Shelf) -> ShelfView {
    ShelfView {
        said: said(&shelf.said),
        until: rfc3339(shelf.until),
    }
}

fn suppressed((cause, since): &(SuppressionCause, Timestamp)) -> SuppressedView {
    let alert = match cause {
        SuppressionCause::Outage { alert, .. } => Some(*alert),
        _ => None,
    };
    SuppressedView {
        words: cause.words(),
        alert,
        since: rfc3339(*since),
    }
}

/// Docs: shape `AlarmLoad`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(
    missing_docs,
    reason = "the fields are described in docs/api.md, shape AlarmLoad"
)]
pub struct LoadView {
    pub from: String,
    pub to: String,
    pub operators: usize,
    pub alerts: usize,
    pub figures: Vec<FigureView>,
    pub bad_actors: Vec<ActorView>,
    pub by_priority: Vec<PriorityView>,
}

/// A figure of the load and what it should be at most.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are described in docs/api.md")]
pub struct FigureView {
    pub name: &'static str,
    pub words: &'static str,
    pub value: f64,
    pub target: f64,
    pub ok: bool,
}

/// A point with many alerts.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are described in docs/api.md")]
pub struct ActorView {
    pub rule: String,
    pub sensor: String,
    pub alerts: usize,
    pub share: f64,
}

/// How many alerts are of an urgency.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are described in docs/api.md")]
pub struct PriorityView {
    pub severity: Severity,
    pub alerts: usize,
    pub share: f64,
    pub target_share: f64,
}

/// Name, words and target of the figures (ISA-18.2, IEC 62682, EEMUA 191), in the order of `values`.
const FIGURES: [(&str, &str, f64); 8] = [
    ("per_operator_hour", "alerts per hour and person", 6.0),
    ("per_ten_minutes", "alerts per ten minutes and person", 1.0),
    ("peak_ten_minutes", "most alerts in ten minutes", 10.0),
    ("flood_share", "share of the time in a flood", 0.01),
    ("chattering", "rules that chatter", 0.0),
    ("fleeting", "alerts that were over within a minute", 0.0),
    ("stale", "alerts that stand for more than a day", 4.0),
    (
        "top_ten_share",
        "share of the ten rules with most alerts",
        0.05,
    ),
];

/// How many alerts should be of each urgency, of all.
const SHARES: [(Severity, f64); 4] = [
    (Severity::Low, 0.80),
    (Severity::Medium, 0.15),
    (Severity::High, 0.04),
    (Severity::Critical, 0.01),
];

fn values(load: &Load) -> [f64; 8] {
    let count = crate::alarm_load::whole;
    [
        load.per_operator_hour,
        load.per_ten_minutes,
        count(load.peak_ten_minutes),
        load.flood_share,
        count(load.chattering),
        count(load.fleeting),
        count(load.stale),
        load.top_ten_share,
    ]
}

/// The figures with their targets.
pub fn load(load: &Load, period: Period) -> LoadView {
    let count = crate::alarm_load::whole;
    let figures = FIGURES.iter().zip(values(load));
    let figures = figures.map(|((name, words, target), value)| FigureView {
        name,
        words,
        value,
        target: *target,
        ok: value <= *target,
    });
    let actors = load.bad_actors.iter().map(|actor: &Actor| ActorView {
        rule: actor.rule.clone(),
        sensor: actor.sensor.clone(),
        alerts: actor.alerts,
        share: actor.share,
    });
    let all = count(load.alerts.max(1));
    let by_priority = SHARES.iter().zip(load.by_severity);
    let by_priority = by_priority.map(|((severity, target_share), alerts)| PriorityView {
        severity: *severity,
        alerts,
        share: count(alerts) / all,
        target_share: *target_share,
    });
    LoadView {
        from: rfc3339(period.from),
        to: rfc3339(period.to),
        operators: period.operators,
        alerts: load.alerts,
        figures: figures.collect(),
        bad_actors: actors.collect(),
        by_priority: by_priority.collect(),
    }
}
