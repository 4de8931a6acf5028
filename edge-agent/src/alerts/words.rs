//! Notices in plain words, with ids that follow from what happened. Never decides what is told.

use super::point::Standing;
use super::telling::Summary;
use super::{Notice, NoticeKind};
use crate::config::{AlarmsConfig, RuleConfig, show_duration};
use protocol::alert;
use protocol::event::{AlertDescription, AlertRaised, Severity};
use protocol::id::{AlertId, GatewayId};
use protocol::time::Timestamp;
use std::time::Duration;
use uuid::Uuid;

fn id(alert: AlertId, what: &str) -> Uuid {
    Uuid::new_v5(&alert.0, format!("notice:{what}").as_bytes())
}

/// An alert began.
pub(super) fn raised(
    raised: &AlertRaised,
    described: &AlertDescription,
    alert: AlertId,
    now: Timestamp,
) -> Notice {
    let found = alert::words(raised, Some(described));
    let first = if described.first_out {
        " It was the first of its group."
    } else {
        ""
    };
    Notice {
        id: id(alert, "raised"),
        kind: NoticeKind::Raised,
        alert: Some(alert),
        severity: raised.severity,
        title: raised.title.clone(),
        words: format!("{}: {found}.{first}", raised.sensor_path),
        asset: raised.asset.clone(),
        rule: Some(raised.rule.clone()),
        time: now,
    }
}

/// It comes and goes.
pub(super) fn chattering(
    raised: &AlertRaised,
    alert: AlertId,
    now: Timestamp,
    settings: &AlarmsConfig,
) -> Notice {
    let words = format!(
        "{} crossed its limit {} times in {}. It is told no more until it is calm for {}.",
        raised.sensor_path,
        settings.chatter,
        show_duration(settings.chatter_within),
        show_duration(settings.chatter_calm),
    );
    Notice {
        id: id(alert, "raised"),
        kind: NoticeKind::Chattering,
        alert: Some(alert),
        severity: raised.severity,
        title: format!("{} (comes and goes)", raised.title),
        words,
        asset: raised.asset.clone(),
        rule: Some(raised.rule.clone()),
        time: now,
    }
}

fn of(rule: &RuleConfig, standing: &Standing, kind: NoticeKind, what: &str) -> Notice {
    Notice {
        id: id(standing.alert, what),
        kind,
        alert: Some(standing.alert),
        severity: standing.severity,
        title: rule.title.clone(),
        words: String::new(),
        asset: rule.asset.clone(),
        rule: Some(rule.name.clone()),
        time: standing.raised_at,
    }
}

/// The notice of an alert that stands, after a start of the agent.
pub(super) fn standing(rule: &RuleConfig, standing: &Standing) -> Notice {
    Notice {
        words: format!("{}: it stands since {}.", rule.sensor, standing.raised_at),
        ..of(rule, standing, NoticeKind::Raised, "raised")
    }
}

/// It is over.
pub(super) fn cleared(rule: &RuleConfig, standing: &Standing, now: Timestamp) -> Notice {
    let reset = if rule.alarm.latch {
        " It waits to be reset."
    } else {
        ""
    };
    Notice {
        words: format!("{} is back within its limits.{reset}", rule.sensor),
        time: now,
        ..of(rule, standing, NoticeKind::Cleared, "cleared")
    }
}

/// It is not shelved any more and still stands.
pub(super) fn unshelved(rule: &RuleConfig, standing: &Standing, now: Timestamp) -> Notice {
    Notice {
        words: format!("{}: the shelf is over and it still stands.", rule.sensor),
        time: now,
        ..of(
            rule,
            standing,
            NoticeKind::Again,
            &format!("unshelved:{}", now.0),
        )
    }
}

/// It still stands, or nobody acknowledged it.
pub(super) fn again(rule: &RuleConfig, standing: &Standing, now: Timestamp, times: i64) -> Notice {
    let age_us = now.micros_since(standing.raised_at).unsigned_abs();
    let age = show_duration(Duration::from_secs(age_us / 1_000_000));
    let what = match (standing.acknowledged.is_some(), standing.cleared) {
        (true, _) => "it still stands",
        (false, true) => "it is over, and nobody has acknowledged it",
        (false, false) => "nobody has acknowledged it",
    };
    Notice {
        words: format!("{}: {what}, raised {age} ago.", rule.sensor),
        time: now,
        ..of(rule, standing, NoticeKind::Again, &format!("again:{times}"))
    }
}

/// A flood begins or ends, with titles of what is held back and how many these are.
pub(super) fn summary(
    gateway: GatewayId,
    summary: Summary,
    severity: Severity,
    (titles, count): (&[&str], usize),
    now: Timestamp,
) -> Notice {
    let list = if titles.is_empty() {
        String::new()
    } else {
        let more = count.saturating_sub(titles.len());
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        format!(": {}{more}", titles.join("; "))
    };
    let (kind, what, since, title, words) = match summary {
        Summary::Began(since, alerts) => (
            NoticeKind::FloodBegan,
            "began",
            since,
            "Many alerts: low and medium ones are held back".to_owned(),
            format!(
                "{alerts} alerts in ten minutes. High and critical ones are told as ever; the \
                 others are in the list. Held back now, {count}{list}."
            ),
        ),
        Summary::Ended(since, held_back) => (
            NoticeKind::FloodEnded,
            "ended",
            since,
            format!("{held_back} alerts were held back, {count} of them stand"),
            format!("Alerts are told one by one again. Still standing, {count}{list}."),
        ),
    };
    Notice {
        id: Uuid::new_v5(
            &gateway.0,
            format!("notice:flood {what}:{}", since.0).as_bytes(),
        ),
        kind,
        alert: None,
        severity,
        title,
        words,
        asset: None,
        rule: None,
        time: now,
    }
}
