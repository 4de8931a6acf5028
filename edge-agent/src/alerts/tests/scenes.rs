//! What an operator wants to see of a sawtooth, a chattering switch, a dead sensor, an outage with two
//! hundred children, a clock that is set; first-out, criticality, conditions, latch, re-alarm.

use super::*;
use NoticeKind::{Again, Chattering, Cleared, Raised};
use protocol::event::AlertKind;

#[test]
fn a_sawtooth_across_a_limit_is_one_line_in_the_list_and_is_told_once() {
    // Up and down every four minutes for two hours, and nobody looks.
    let mut plant = Plant::of_one("medium", "");
    plant.run(7_200, |at| {
        vec![("t", if at % 240 < 120 { 90.0 } else { 60.0 })]
    });
    let alerts = plant.alerts();
    assert_eq!(alerts.len(), 30, "each episode keeps its own times");
    assert_eq!(plant.open().len(), 1, "only the newest waits for somebody");
    for pair in alerts.windows(2) {
        assert_eq!(pair[0].superseded, Some(pair[1].id));
        assert_eq!(pair[0].state(), AlertState::Closed);
    }
    // Told, told again after ten minutes without an acknowledgement, never more than the hour has.
    let told = plant.told();
    assert!(told.len() <= 12, "two hours, six notices each: {told:?}");
    assert_eq!(told[0], (Raised, "hot"));

    // A person acknowledges: the next episode is news.
    let mut plant = Plant::of_one("medium", "");
    plant.run(1, |_| vec![("t", 90.0)]);
    plant.acknowledge(plant.alerts()[0].id);
    plant.run(10, |_| vec![("t", 60.0)]);
    assert_eq!(plant.open(), [], "normal again and seen");
    plant.run(1, |_| vec![("t", 90.0)]);
    assert_eq!(plant.told(), [(Raised, "hot"), (Raised, "hot")]);
}

#[test]
fn what_comes_again_soon_and_stays_is_told_after_ten_minutes() {
    let mut plant = Plant::of_one("medium", "");
    plant.run(120, |_| vec![("t", 90.0)]);
    plant.run(60, |_| vec![("t", 60.0)]);
    plant.run(400, |_| vec![("t", 90.0)]);
    assert_eq!(plant.told(), [(Raised, "hot")], "people know");
    plant.run(3_600, |_| vec![("t", 90.0)]);
    assert_eq!(
        plant.told(),
        [(Raised, "hot"), (Raised, "hot")],
        "once, for it stands"
    );
    let standing = plant.open()[0].id;
    assert_eq!(plant.notices.last().unwrap().alert, Some(standing));
}

#[test]
fn a_deadband_makes_one_alert_of_a_sawtooth_within_it() {
    let mut plant = Plant::of_one("medium", "deadband = 5.0");
    plant.run(3_600, |at| {
        vec![("t", if at % 2 == 0 { 82.0 } else { 78.0 })]
    });
    assert_eq!((plant.alerts().len(), plant.told().len()), (1, 1));
}

#[test]
fn a_chattering_switch_is_told_twice_and_stays_one_alert_until_it_is_calm() {
    let mut plant = Plant::of_one("medium", "");
    // On and off every five seconds for an hour: 360 times.
    plant.run(3_600, |at| {
        vec![("t", if at % 10 < 5 { 90.0 } else { 60.0 })]
    });
    assert_eq!(plant.alerts().len(), 3, "the third within a minute stays");
    assert_eq!(plant.told(), [(Raised, "hot"), (Chattering, "hot")]);
    assert!(plant.point("hot").chattering.is_some());
    assert_eq!(plant.open().len(), 1);
    assert_eq!(
        plant.open()[0].cleared,
        None,
        "though it is normal every five seconds"
    );
    let last = plant.now;
    plant.run(310, |_| vec![("t", 60.0)]);
    assert_eq!(plant.point("hot").chattering, None);
    let cleared = plant.open()[0].cleared.unwrap();
    assert!(
        cleared.0 <= last,
        "when it became normal, not when it was calm: {cleared:?}"
    );
    // Once calm it is as new.
    plant.acknowledge(plant.open()[0].id);
    plant.run(1, |_| vec![("t", 90.0)]);
    assert_eq!(plant.told().last(), Some(&(Raised, "hot")));
}

#[test]
fn a_critical_switch_that_chatters_is_told_at_once_each_time_until_it_is_known_to() {
    let mut plant = Plant::of_one("critical", "");
    plant.run(600, |at| vec![("t", if at % 10 < 5 { 90.0 } else { 60.0 })]);
    assert_eq!(
        plant.told(),
        [(Raised, "hot"), (Raised, "hot"), (Chattering, "hot")]
    );
    for alert in plant.alerts() {
        assert!(
            plant
                .notices
                .iter()
                .any(|n| n.alert == Some(alert.id) && n.time == alert.raised_at)
        );
    }
}

#[test]
fn a_dead_sensor_is_one_alert_with_its_words() {
    let mut plant = Plant::of_one("high", "");
    plant.find("hot", stale(plant.now));
    plant.run(3_600, |_| vec![]);
    let alert = plant.alerts().pop().unwrap();
    assert_eq!(alert.described.as_ref().unwrap().kind, AlertKind::Stale);
    assert_eq!(alert.words(), "no reading for 61 s");
    assert_eq!(plant.told(), [(Raised, "hot")]);
    assert!(plant.notices[0].words.contains("no reading for 61 s"));
    plant.find("hot", FRESH);
    assert_eq!(plant.alerts().len(), 1);
    assert_eq!(plant.notices.last().unwrap().kind, Cleared);
}

/// A line with two hundred sensors below it, each with a rule, and one rule that says it is down.
fn line_with_children() -> Plant {
    let names: Vec<String> = (0..200).map(|n| format!("s{n}")).collect();
    let mut sensors: Vec<&str> = names.iter().map(String::as_str).collect();
    sensors.push("line");
    let mut rest =
        String::from("[[asset]]\ntag = \"LINE\"\n[[asset]]\ntag = \"P-1\"\nparent = \"LINE\"\n");
    for name in &names {
        rest.push_str(&rule(name, name, "high", ""));
    }
    rest.push_str(&rule(
        "line down",
        "line",
        "critical",
        "outage = \"device\"",
    ));
    Plant::new(config(&sensors, &rest))
}

#[test]
fn an_outage_with_two_hundred_children_is_one_alert_and_the_children_stand_under_it() {
    let mut plant = line_with_children();
    let all = |value: f64| {
        let mut values: Vec<(&'static str, f64)> = (0..200)
            .map(|n| (&*Box::leak(format!("s{n}").into_boxed_str()), value))
            .collect();
        // Last in the poll: what says that all is down still comes first.
        values.push(("line", value));
        values
    };
    let (down, up) = (all(90.0), all(60.0));
    plant.run(1, |_| down.clone());
    assert_eq!(plant.alerts().len(), 1);
    assert_eq!(plant.told(), [(Raised, "line down")]);
    let parent = plant.alerts()[0].id;
    let of = "d".to_owned();
    let cause = SuppressionCause::Outage { alert: parent, of };
    let under = |plant: &Plant| {
        let points = plant.points();
        points
            .iter()
            .filter(|p| p.suppressed.as_ref().is_some_and(|(c, _)| *c == cause))
            .count()
    };
    assert_eq!(under(&plant), 200);
    plant.run(600, |_| down.clone());
    assert_eq!(
        (plant.alerts().len(), under(&plant), plant.told().len()),
        (1, 200, 1)
    );
    // It is back; the children need a moment to follow. One of them does not.
    plant.run(1, |_| vec![("line", 60.0)]);
    plant.run(10, |_| vec![]);
    plant.run(1, |_| {
        up.iter()
            .copied()
            .filter(|(name, _)| *name != "s7")
            .collect()
    });
    plant.run(60, |_| vec![]);
    let open: Vec<String> = plant
        .open()
        .into_iter()
        .map(|alert| alert.raised.rule)
        .collect();
    assert_eq!(open, ["line down", "s7"]);
    assert_eq!(plant.told(), [(Raised, "line down"), (Raised, "s7")]);
    assert_eq!(under(&plant), 0);
}

#[test]
fn what_an_asset_is_part_of_holds_its_alerts_back_and_an_alert_told_before_is_shown_under_it() {
    let text = "[[asset]]\ntag = \"LINE\"\n[[asset]]\ntag = \"P-1\"\nparent = \"LINE\"\n\
                [[device]]\nname = \"plc\"\nport = \"p\"\nasset = \"LINE\"\n\
                [[device.sensor]]\nname = \"down\"\n\
                [[rule]]\nname = \"down\"\nsensor = \"plc/down\"\nhigh = 0.5\noutage = \"asset\"\n";
    let text = format!("{text}{}", rule("hot", "t", "medium", ""));
    let mut plant = Plant::new(config(&["t"], &text));
    plant.run(1, |_| vec![("t", 90.0)]);
    plant.find("down", stale(plant.now));
    plant.run(5, |_| vec![]);
    assert_eq!(plant.told(), [(Raised, "hot"), (Raised, "down")]);
    let (cause, _) = plant.point("hot").suppressed.unwrap();
    assert!(matches!(cause, SuppressionCause::Outage { of, .. } if of == "LINE"));
    plant.find("down", FRESH);
    plant.run(60, |_| vec![]);
    assert_eq!(plant.point("hot").suppressed, None);
}

#[test]
fn a_clock_that_is_set_raises_nothing_twice_and_loses_nothing() {
    for step_s in [-86_400, -3_600, 3_600, 10 * 365 * 86_400] {
        let mut plant = Plant::of_one("medium", "re_alarm = \"10m\"");
        plant.run(60, |_| vec![("t", 90.0)]);
        plant.now = plant.now.plus_micros(step_s * 1_000_000);
        plant.run(60, |_| vec![("t", 90.0)]);
        assert_eq!(plant.alerts().len(), 1, "a step of {step_s} s");
        let told = plant.told();
        assert!(told.len() <= 2, "a step of {step_s} s: {told:?}");
        plant.run(5, |_| vec![("t", 60.0)]);
        assert!(plant.alerts()[0].cleared.is_some());
        plant.acknowledge(plant.alerts()[0].id);
        plant.run(1, |_| vec![("t", 90.0)]);
        assert_eq!(
            plant.told().last(),
            Some(&(Raised, "hot")),
            "a step of {step_s} s"
        );
    }
}

#[test]
fn the_first_of_a_group_is_marked() {
    let keys = "first_out = \"trip\"";
    let rest = rule("a", "a", "medium", keys) + &rule("b", "b", "medium", keys);
    let mut plant = Plant::new(config(&["a", "b"], &rest));
    plant.run(1, |_| vec![("b", 90.0)]);
    plant.run(1, |_| vec![("a", 90.0)]);
    let first: Vec<(String, bool)> = plant
        .alerts()
        .into_iter()
        .map(|alert| (alert.raised.rule, alert.described.unwrap().first_out))
        .collect();
    assert_eq!(first, [("b".to_owned(), true), ("a".to_owned(), false)]);
    assert!(plant.notices[0].words.contains("first of its group"));
    plant.run(1, |_| vec![("a", 60.0), ("b", 60.0)]);
    plant.run(1, |_| vec![("a", 90.0)]);
    let last = plant.alerts().pop().unwrap();
    assert!(
        last.described.unwrap().first_out,
        "all were normal in between"
    );
}

#[test]
fn urgency_follows_from_rule_and_asset() {
    use Severity::{Critical, High, Low, Medium};
    use protocol::event::Criticality::{A, B, C, D};
    let table = [
        (Critical, [Critical, Critical, Critical, High]),
        (High, [Critical, High, High, Medium]),
        (Medium, [High, Medium, Medium, Low]),
        (Low, [Medium, Low, Low, Low]),
    ];
    for (severity, expected) in table {
        let found = [A, B, C, D].map(|criticality| priority(severity, Some(criticality)));
        assert_eq!(found, expected);
        assert_eq!(priority(severity, None), severity);
    }
    let rest = "[[asset]]\ntag = \"LINE\"\ncriticality = \"A\"\n\
                [[asset]]\ntag = \"P-1\"\nparent = \"LINE\"\n";
    let rest = format!("{rest}{}", rule("hot", "t", "medium", ""));
    let mut plant = Plant::new(config(&["t"], &rest));
    plant.run(1, |_| vec![("t", 90.0)]);
    let alert = plant.alerts().pop().unwrap();
    assert_eq!(
        alert.raised.severity, High,
        "P-1 is as critical as what it is part of"
    );
    let described = alert.described.unwrap();
    assert_eq!(
        (described.rule_severity, described.criticality),
        (Medium, Some(A))
    );
}

#[test]
fn what_the_configuration_leaves_open_of_an_asset_the_hubs_list_says() {
    use protocol::bundle::{Asset, Bundle};
    use protocol::event::Criticality::{self, A, D};
    let asset = |tag: &str, parent: Option<&str>, criticality: Option<Criticality>| Asset {
        tag: tag.to_owned(),
        name: tag.to_owned(),
        parent: parent.map(str::to_owned),
        criticality,
        class: None,
        location: None,
    };
    let bundle = |assets: Vec<Asset>| Bundle {
        number: 1,
        site: protocol::id::SiteId(Uuid::from_u128(9)),
        made: second(0),
        valid_until: second(1),
        grace_days: 0,
        people: vec![],
        assets,
        parts: vec![],
        checklists: vec![],
        failure_codes: vec![],
    };
    let urgency = |own: &str, assets: Vec<Asset>| {
        let rest = format!("{own}{}", rule("hot", "t", "medium", ""));
        let mut plant = Plant::new(config(&["t"], &rest));
        plant.alarms.know_assets(Some(&bundle(assets)));
        plant.run(1, |_| vec![("t", 90.0)]);
        plant.alerts().pop().unwrap().raised.severity
    };
    let of_hub = vec![
        asset("LINE", None, Some(A)),
        asset("P-1", Some("LINE"), None),
    ];
    assert_eq!(urgency("", of_hub.clone()), Severity::High);
    let own = "[[asset]]\ntag = \"P-1\"\ncriticality = \"D\"\n";
    assert_eq!(
        urgency(own, of_hub),
        Severity::Low,
        "the box's own word counts"
    );
    // Both together may say that each is a part of the other: that ends too.
    let own = "[[asset]]\ntag = \"P-1\"\nparent = \"LINE\"\n";
    let circle = vec![
        asset("LINE", Some("P-1"), None),
        asset("P-1", None, Some(D)),
    ];
    assert_eq!(urgency(own, circle), Severity::Low);
}

#[test]
fn a_condition_suppresses_and_the_start_has_its_time() {
    let keys = "suppress_while = \"d/running < 1\"\nstart_up = \"3m\"";
    let mut plant = Plant::new(config(&["t", "running"], &rule("hot", "t", "high", keys)));
    plant.run(60, |_| vec![("t", 90.0), ("running", 0.0)]);
    assert_eq!(plant.alerts(), []);
    let (cause, _) = plant.point("hot").suppressed.unwrap();
    assert_eq!(cause.words(), "by its rule while d/running < 1");
    // It starts and is still too hot after three minutes: then it counts.
    plant.run(170, |_| vec![("t", 90.0), ("running", 1.0)]);
    assert_eq!(plant.alerts(), []);
    plant.run(20, |_| vec![("t", 90.0), ("running", 1.0)]);
    assert_eq!(plant.told(), [(Raised, "hot")]);
    let alert = plant.alerts().pop().unwrap();
    assert_eq!(alert.raised.since, second(1), "since when it was so");
    assert_eq!(plant.point("hot").suppressed, None);

    // Nothing is known of the condition: it does not suppress.
    let mut plant = Plant::new(config(&["t", "running"], &rule("hot", "t", "high", keys)));
    plant.run(1, |_| vec![("t", 90.0)]);
    assert_eq!(plant.told(), [(Raised, "hot")]);
}

#[test]
fn a_condition_over_another_rule() {
    let rest = rule("pressure", "p", "medium", "")
        + &rule(
            "flow",
            "f",
            "medium",
            "suppress_while = \"alert pressure and not alert trip\"",
        )
        + &rule("trip", "x", "medium", "");
    let mut plant = Plant::new(config(&["p", "f", "x"], &rest));
    plant.run(1, |_| vec![("p", 90.0), ("f", 90.0)]);
    assert_eq!(plant.told(), [(Raised, "pressure")]);
    plant.run(2, |_| vec![("x", 90.0)]);
    assert_eq!(
        plant.told(),
        [(Raised, "pressure"), (Raised, "trip"), (Raised, "flow")]
    );
}

#[test]
fn a_latch_waits_for_a_person() {
    let mut plant = Plant::of_one("high", "latch = true");
    plant.run(1, |_| vec![("t", 90.0)]);
    plant.run(1, |_| vec![("t", 60.0)]);
    let alert = plant.alerts().pop().unwrap();
    assert!(alert.is_latched());
    assert_eq!(
        alert.state(),
        AlertState::Active,
        "though the value is back"
    );
    plant.acknowledge(alert.id);
    assert_eq!(plant.open()[0].state(), AlertState::Acknowledged);
    plant.person(
        alert.id.into(),
        Body::Alert(AlertEvent::Reset { note: None }),
    );
    assert_eq!(plant.open(), []);
    plant.run(1, |_| vec![("t", 90.0)]);
    assert_eq!(plant.open().len(), 1);
    // A reset while the value is still beyond the limit does nothing.
    let id = plant.open()[0].id;
    plant.person(id.into(), Body::Alert(AlertEvent::Reset { note: None }));
    assert_eq!(plant.open()[0].state(), AlertState::Active);
}

#[test]
fn re_alarm_until_somebody_acknowledges_and_again_while_it_stands() {
    let mut plant = Plant::of_one("high", "re_alarm = \"10m\"");
    plant.run(1_805, |_| vec![("t", 90.0)]);
    assert_eq!(
        plant.told(),
        [
            (Raised, "hot"),
            (Again, "hot"),
            (Again, "hot"),
            (Again, "hot")
        ]
    );
    let ids: std::collections::BTreeSet<Uuid> = plant.notices.iter().map(|n| n.id).collect();
    assert_eq!(
        ids.len(),
        plant.notices.len(),
        "each notice has an id of its own"
    );
    plant.acknowledge(plant.alerts()[0].id);
    plant.run(500, |_| vec![("t", 90.0)]);
    assert_eq!(plant.alerts()[0].state(), AlertState::Acknowledged);
    plant.run(150, |_| vec![("t", 90.0)]);
    assert_eq!(
        plant.alerts()[0].state(),
        AlertState::Active,
        "it waits for a person again"
    );
    assert!(
        plant
            .notices
            .last()
            .unwrap()
            .words
            .contains("it still stands")
    );
    plant.acknowledge(plant.alerts()[0].id);
    plant.run(2, |_| vec![("t", 60.0)]);
    let told = plant.told().len();
    plant.run(3_600, |_| vec![("t", 60.0)]);
    assert_eq!(plant.told().len(), told, "closed");
}
