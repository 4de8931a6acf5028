//! The load of alerts on the people who follow them: the figures of ISA-18.2 / IEC 62682 and EEMUA 191,
//! each with what it should be. Pure: alerts in, figures out; both programs count alike.

use crate::event::Severity;
use crate::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

const MINUTE_US: i64 = 60_000_000;
const HOUR_US: i64 = 60 * MINUTE_US;
/// The time in which a load is peak, and a flood (ISA-18.2).
const TEN_MINUTES_US: i64 = 10 * MINUTE_US;
/// A flood begins above this many in ten minutes, and ends below the other.
const FLOOD: (usize, usize) = (10, 5);
/// So many activations within a minute are chattering.
const CHATTER: usize = 3;
/// Clear within this time: fleeting.
const FLEETING_US: i64 = MINUTE_US;
/// Standing longer than this: stale.
const STALE_US: i64 = 24 * HOUR_US;
/// Bad actors that are named.
const ACTORS_MAX: usize = 10;

/// An alert, as far as the load counts it.
#[derive(Clone, Debug, PartialEq)]
pub struct Raised {
    /// The rule's name.
    pub rule: String,
    /// `device/sensor`.
    pub sensor: String,
    /// When it was raised.
    pub raised_at: Timestamp,
    /// Its urgency.
    pub severity: Severity,
    /// When it cleared; none: it stands.
    pub cleared_at: Option<Timestamp>,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Period {
    /// Its begin.
    pub from: Timestamp,
    /// Its end.
    pub to: Timestamp,
    /// People who follow the alerts at the same time.
    pub operators: usize,
}

/// The figures.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// Alerts that were raised.
    pub alerts: usize,
    /// Per hour and operator.
    pub per_operator_hour: f64,
    /// Per ten minutes and operator, on average.
    pub per_ten_minutes: f64,
    /// The most in ten minutes.
    pub peak_ten_minutes: usize,
    /// Share of the time in a flood, 0 to 1.
    pub flood_share: f64,
    /// Points that came at least three times within a minute.
    pub chattering: usize,
    /// Alerts that were clear within a minute.
    pub fleeting: usize,
    /// Alerts that stand for more than a day.
    pub stale: usize,
    /// Share of the ten points with most alerts, 0 to 1.
    pub top_ten_share: f64,
    /// These points, the worst first.
    pub bad_actors: Vec<Actor>,
    /// Low, medium, high, critical.
    pub by_severity: [usize; 4],
}

/// A point with many alerts.
#[derive(Clone, Debug, PartialEq)]
pub struct Actor {
    /// The rule's name.
    pub rule: String,
    /// `device/sensor`.
    pub sensor: String,
    /// Its alerts.
    pub alerts: usize,
    /// Their share of all, 0 to 1.
    pub share: f64,
}

impl Load {
    /// Counts the alerts that were raised in `period`; those that stood before it only count as
    /// stale.
    pub fn of(alerts: &[Raised], period: Period) -> Self {
        let mut raised: Vec<&Raised> = alerts
            .iter()
            .filter(|alert| alert.raised_at >= period.from && alert.raised_at < period.to)
            .collect();
        raised.sort_by_key(|alert| alert.raised_at);
        let times: Vec<Timestamp> = raised.iter().map(|alert| alert.raised_at).collect();
        let span_us = period.to.micros_since(period.from).max(1);
        let operators = whole(period.operators.max(1));
        let hours = float(span_us) / float(HOUR_US);
        let per_operator_hour = whole(raised.len()) / hours / operators;
        let bad_actors = actors(&raised);
        let top: usize = bad_actors.iter().map(|actor| actor.alerts).sum();
        let stands = |alert: &&Raised| {
            let until = alert.cleared_at.unwrap_or(period.to);
            alert.cleared_at.is_none() && until.micros_since(alert.raised_at) > STALE_US
        };
        let is_fleeting = |alert: &&&Raised| {
            let cleared = alert.cleared_at.map(|at| at.micros_since(alert.raised_at));
            cleared.is_some_and(|stood_us| (0..FLEETING_US).contains(&stood_us))
        };
        let mut by_severity = [0; 4];
        for alert in &raised {
            let [low, medium, high, critical] = &mut by_severity;
            *match alert.severity {
                Severity::Low => low,
                Severity::Medium => medium,
                Severity::High => high,
                Severity::Critical => critical,
            } += 1;
        }
        Self {
            alerts: raised.len(),
            per_operator_hour,
            per_ten_minutes: per_operator_hour / 6.0,
            peak_ten_minutes: peak(&times),
            flood_share: float(flood_us(&times, period)) / float(span_us),
            chattering: chattering(&raised),
            fleeting: raised.iter().filter(is_fleeting).count(),
            stale: alerts.iter().filter(stands).count(),
            top_ten_share: whole(top) / whole(raised.len().max(1)),
            bad_actors,
            by_severity,
        }
    }
}

fn actors(raised: &[&Raised]) -> Vec<Actor> {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for alert in raised {
        *counts.entry((&alert.rule, &alert.sensor)).or_default() += 1;
    }
    let all = whole(raised.len().max(1));
    let mut actors: Vec<Actor> = counts
        .into_iter()
        .map(|((rule, sensor), alerts)| Actor {
            rule: rule.to_owned(),
            sensor: sensor.to_owned(),
            alerts,
            share: whole(alerts) / all,
        })
        .collect();
    actors.sort_by(|one, two| {
        two.alerts
            .cmp(&one.alerts)
            .then_with(|| one.rule.cmp(&two.rule))
    });
    actors.truncate(ACTORS_MAX);
    actors
}

/// How many there are within ten minutes at each alert, itself included.
fn within(times: &[Timestamp]) -> impl Iterator<Item = (Timestamp, usize)> {
    let mut begin = 0;
    times.iter().enumerate().map(move |(at, time)| {
        let is_old = |old: &Timestamp| time.micros_since(*old) >= TEN_MINUTES_US;
        while times.get(begin).is_some_and(is_old) {
            begin += 1;
        }
        (*time, at + 1 - begin)
    })
}

fn peak(times: &[Timestamp]) -> usize {
    within(times).map(|(_, count)| count).max().unwrap_or(0)
}

/// How long there was a flood. It ends when so many have left the ten minutes that fewer than five
/// are in them.
fn flood_us(times: &[Timestamp], period: Period) -> i64 {
    let mut total_us = 0;
    let mut since = None;
    for (at, (time, count)) in within(times).enumerate() {
        if let Some(begin) = since
            && let Some(end) = ended(times, at, time)
        {
            total_us += end.micros_since(begin);
            since = None;
        }
        if since.is_none() && count > FLOOD.0 {
            since = Some(time);
        }
    }
    if let Some(begin) = since {
        let end = ended(times, times.len(), period.to).unwrap_or(period.to);
        total_us += end.micros_since(begin);
    }
    total_us
}

/// When the ten minutes held fewer than five of the alerts before `at`, if that was before `now`.
fn ended(times: &[Timestamp], at: usize, now: Timestamp) -> Option<Timestamp> {
    let fifth_last = times.get(at.checked_sub(FLOOD.1)?)?;
    let end = fifth_last.plus_micros(TEN_MINUTES_US);
    (end < now).then_some(end)
}

fn chattering(raised: &[&Raised]) -> usize {
    let mut by_point: BTreeMap<(&str, &str), Vec<Timestamp>> = BTreeMap::new();
    for alert in raised {
        by_point
            .entry((&alert.rule, &alert.sensor))
            .or_default()
            .push(alert.raised_at);
    }
    let chatters = |times: &Vec<Timestamp>| {
        let mut windows = times.windows(CHATTER);
        windows.any(|window| match (window.first(), window.last()) {
            (Some(first), Some(last)) => last.micros_since(*first) <= MINUTE_US,
            _ => false,
        })
    };
    let points: BTreeSet<_> = by_point
        .iter()
        .filter(|(_, times)| chatters(times))
        .collect();
    points.len()
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "counts and spans are far below 2^53"
)]
const fn float(value: i64) -> f64 {
    value as f64
}

pub(crate) fn whole(value: usize) -> f64 {
    float(i64::try_from(value).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp(second * 1_000_000)
    }

    fn raised(rule: &str, second: i64, cleared: Option<i64>) -> Raised {
        Raised {
            rule: rule.into(),
            sensor: "d/t".into(),
            raised_at: at(second),
            severity: Severity::Low,
            cleared_at: cleared.map(at),
        }
    }

    fn day(operators: usize) -> Period {
        Period {
            from: at(0),
            to: at(86_400),
            operators,
        }
    }

    #[test]
    fn a_quiet_day_has_quiet_figures() {
        let alerts: Vec<Raised> = (0..24)
            .map(|hour| raised("r", hour * 3_600, Some(hour * 3_600 + 300)))
            .collect();
        let load = Load::of(&alerts, day(1));
        assert_eq!((load.alerts, load.peak_ten_minutes), (24, 1));
        assert!((load.per_operator_hour - 1.0).abs() < 1e-9);
        assert!((Load::of(&alerts, day(2)).per_operator_hour - 0.5).abs() < 1e-9);
        assert_eq!((load.chattering, load.fleeting, load.stale), (0, 0, 0));
        assert!(load.flood_share.abs() < 1e-9);
        assert_eq!(load.by_severity, [24, 0, 0, 0]);
    }

    #[test]
    fn a_flood_lasts_from_the_eleventh_until_fewer_than_five_are_left() {
        // One a minute for an hour is a flood from the 11th within ten minutes: never, for the
        // ten minutes hold ten. Two a minute is.
        let calm: Vec<Raised> = (0..60)
            .map(|minute| raised("r", minute * 60, None))
            .collect();
        assert!(Load::of(&calm, day(1)).flood_share.abs() < 1e-9);
        let busy: Vec<Raised> = (0..120).map(|half| raised("r", half * 30, None)).collect();
        let load = Load::of(&busy, day(1));
        assert_eq!(load.peak_ten_minutes, 20);
        // From second 300 (the 11th); the fifth last is at 115 * 30 and leaves 600 s later.
        let expected = f64::from(115 * 30 + 600 - 300) / 86_400.0;
        assert!(
            (load.flood_share - expected).abs() < 1e-9,
            "{}",
            load.flood_share
        );
    }

    #[test]
    fn two_floods_are_not_one() {
        let burst = |begin: i64| (0..20).map(move |n| raised("r", begin + n, None));
        let alerts: Vec<Raised> = burst(0).chain(burst(40_000)).collect();
        let load = Load::of(&alerts, day(1));
        // Each from its 11th (second 10) until its 16th (second 15) has left.
        let expected = f64::from(2 * (15 + 600 - 10)) / 86_400.0;
        assert!(
            (load.flood_share - expected).abs() < 1e-9,
            "{}",
            load.flood_share
        );
    }

    #[test]
    fn bad_actors_chatter_and_what_stands() {
        let mut alerts: Vec<Raised> = (0..30)
            .map(|n| raised("bad", n * 20, Some(n * 20 + 10)))
            .collect();
        alerts.push(raised("stands", -2 * 86_400, None));
        alerts.push(raised("once", 500, Some(50_000)));
        let load = Load::of(&alerts, day(1));
        assert_eq!(
            (load.alerts, load.chattering, load.fleeting, load.stale),
            (31, 1, 30, 1)
        );
        let first = &load.bad_actors[0];
        assert_eq!((first.rule.as_str(), first.alerts), ("bad", 30));
        assert!((load.top_ten_share - 1.0).abs() < 1e-9);
        let none = Load::of(&[], day(1));
        assert_eq!((none.alerts, none.bad_actors.len()), (0, 0));
        assert!(none.top_ten_share.abs() < 1e-9);
    }
}
