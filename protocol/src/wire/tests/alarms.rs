//! Golden bytes of what came with the alarm life cycle: later variants of an alert's events, and the
//! events of alarm points.

use super::*;
use crate::event::{
    AlarmPointEvent, AlertDescription, AlertKind, Criticality, Maintained, Notified,
    SuppressionCause,
};

fn alert_bodies() -> Vec<(&'static str, AlertEvent)> {
    let described = AlertDescription {
        kind: AlertKind::Trend,
        words: "reaches 80 °C in about 3 h".into(),
        expected: Some((40.0, 60.5)),
        score: Some(7.25),
        reaches_limit_in: Some((7_200.0, 10_800.0, 18_000.0)),
        first_out: true,
        criticality: Some(Criticality::B),
        rule_severity: Severity::Medium,
        latches: true,
    };
    let notified = Notified {
        channel: "modem".into(),
        to: "+49 151 23".into(),
        delivered: true,
        words: "text message accepted".into(),
    };
    vec![
        ("alert_described", AlertEvent::Described(described)),
        ("alert_notified", AlertEvent::Notified(notified)),
        (
            "alert_superseded",
            AlertEvent::Superseded { by: AlertId(A) },
        ),
        (
            "alert_reset",
            AlertEvent::Reset {
                note: Some("seen".into()),
            },
        ),
        ("alert_realarmed", AlertEvent::Realarmed),
    ]
}

fn suppressed(cause: SuppressionCause) -> AlarmPointEvent {
    AlarmPointEvent::Suppressed {
        rule: "pump hot".into(),
        sensor_path: "pump/temperature".into(),
        cause,
    }
}

fn point_bodies() -> Vec<(&'static str, AlarmPointEvent)> {
    use AlarmPointEvent as E;
    let (rule, sensor_path) = ("pump hot".to_owned(), "pump/temperature".to_owned());
    let named = || (rule.clone(), sensor_path.clone());
    let reason = || String::from("because");
    let note = || Some(String::from("well"));
    let until = Timestamp(1_800_000_000_000_000);
    let shelved = |(rule, sensor_path)| E::Shelved {
        rule,
        sensor_path,
        reason: reason(),
        until,
    };
    let out = |(rule, sensor_path)| E::OutOfService {
        rule,
        sensor_path,
        reason: reason(),
    };
    let chattering = |(rule, sensor_path)| E::Chattering {
        rule,
        sensor_path,
        activations: 3,
    };
    let of = || "P-101".to_owned();
    let mut bodies = vec![
        ("point_shelved", shelved(named())),
        ("point_unshelved", E::Unshelved { note: note() }),
        ("point_out_of_service", out(named())),
        ("point_in_service", E::InService { note: note() }),
        (
            "point_suppressed_outage",
            suppressed(SuppressionCause::Outage {
                alert: AlertId(A),
                of: of(),
            }),
        ),
        ("point_unsuppressed", E::Unsuppressed),
        ("point_chattering", chattering(named())),
        ("point_calmed", E::Calmed),
        (
            "point_withheld",
            E::Withheld {
                value: 81.5,
                since: Timestamp(1),
            },
        ),
        (
            "point_maintenance_began",
            E::MaintenanceBegan {
                of: Maintained::Asset(of()),
                reason: reason(),
                until: Some(until),
            },
        ),
        (
            "point_maintenance_ended",
            E::MaintenanceEnded { note: None },
        ),
    ];
    bodies.extend(suppressions());
    let anew = |(rule, sensor_path)| E::LearnsAnew {
        rule,
        sensor_path,
        reason: reason(),
    };
    bodies.push(("point_learns_anew", anew(named())));
    bodies
}

fn suppressions() -> [(&'static str, AlarmPointEvent); 3] {
    let of = || "P-101".to_owned();
    let words = || "pump/running < 1".to_owned();
    [
        (
            "point_suppressed_maintenance",
            suppressed(SuppressionCause::Maintenance { of: of() }),
        ),
        (
            "point_suppressed_condition",
            suppressed(SuppressionCause::Condition { words: words() }),
        ),
        (
            "point_suppressed_start_up",
            suppressed(SuppressionCause::StartUp { words: words() }),
        ),
    ]
}

#[test]
fn alarm_events_are_as_released() {
    let alerts = alert_bodies().into_iter();
    let alerts = alerts.map(|(name, body)| (name, event(Body::Alert(body))));
    let points = point_bodies().into_iter();
    let points = points.map(|(name, body)| (name, event(Body::AlarmPoint(body))));
    let values: Vec<_> = alerts.chain(points).collect();
    let built: Vec<_> = values
        .iter()
        .map(|(name, value)| (*name, encode_event(value).unwrap()))
        .collect();
    let golden = same_as_golden("alarms_v1.hex", &built);
    for ((name, value), bytes) in values.iter().zip(golden) {
        assert_eq!(decode_event(&bytes).as_ref(), Ok(value), "{name}");
    }
}

fn point_number(body: &AlarmPointEvent) -> u8 {
    use AlarmPointEvent as E;
    match body {
        E::Shelved { .. } => 0,
        E::Unshelved { .. } => 1,
        E::OutOfService { .. } => 2,
        E::InService { .. } => 3,
        E::Suppressed { .. } => 4,
        E::Unsuppressed => 5,
        E::Chattering { .. } => 6,
        E::Calmed => 7,
        E::Withheld { .. } => 8,
        E::MaintenanceBegan { .. } => 9,
        E::MaintenanceEnded { .. } => 10,
        E::LearnsAnew { .. } => 11,
    }
}

#[test]
fn the_numbers_of_alarm_variants_are_pinned() {
    let mut last = 0;
    for (name, body) in alert_bodies() {
        assert_eq!(first_byte(&body), alert_number(&body), "{name}");
        last = last.max(alert_number(&body));
    }
    assert_eq!(last, 9, "every variant has a golden event");
    let mut last = 0;
    for (name, body) in point_bodies() {
        assert_eq!(first_byte(&body), point_number(&body), "{name}");
        last = last.max(point_number(&body));
    }
    assert_eq!(last, 11, "every variant has a golden event");
    numbered_from_0(&[
        AlertKind::Threshold,
        AlertKind::Rate,
        AlertKind::Flat,
        AlertKind::Stale,
        AlertKind::State,
        AlertKind::Deviation,
        AlertKind::Trend,
        AlertKind::Pattern,
        AlertKind::Predictive,
    ]);
    numbered_from_0(&[
        Criticality::A,
        Criticality::B,
        Criticality::C,
        Criticality::D,
    ]);
    let of = String::new;
    numbered_from_0(&[
        SuppressionCause::Outage {
            alert: AlertId(A),
            of: of(),
        },
        SuppressionCause::Maintenance { of: of() },
        SuppressionCause::Condition { words: of() },
        SuppressionCause::StartUp { words: of() },
    ]);
    numbered_from_0(&[Maintained::Asset(of()), Maintained::Device(of())]);
}
