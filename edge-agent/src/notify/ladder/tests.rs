//! The ladder as it is lived with: shifts, escalation, quiet hours, floods, crashes.

use super::*;
use crate::config::{Config, NotifyConfig};
use crate::notify::matter::Message;
use crate::notify::plan::{Wants, Way, zone};
use std::path::Path;

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
/// Monday 2026-11-30 10:00 UTC.
const MONDAY_10: i64 = 1_796_032_800 * SECOND;

const CONFIG: &str = r#"
[[person]]
name = "Anna"
phone = "+4915100000001"

[[person]]
name = "Ben"
phone = "+4915100000002"

[[person]]
name = "Cleo"
email = "cleo@plant.lan"

[[shift]]
name = "day"
days = ["mon", "tue", "wed", "thu", "fri"]
hours = "06:00-22:00"
people = ["Anna"]

[[shift]]
name = "night"
hours = "22:00-06:00"
days = ["mon", "tue", "wed", "thu", "fri"]
people = ["Ben"]

[[channel]]
name = "speaker"
kind = "speaker"
quiet = ["22:00-06:00"]

[[channel]]
name = "modem"
kind = "gsm"
severity = "medium"
attempts = 2

[[channel]]
name = "lamp"
kind = "lamp"
severity = "high"

[[ladder]]
name = "plant"
tell = ["raised", "again", "cleared", "flood"]

[[ladder.step]]
channels = ["speaker", "lamp"]
repeat = "5m"

[[ladder.step]]
after = "1m"
channels = ["modem"]
to = ["day", "night"]

[[ladder.step]]
after = "10m"
channels = ["modem"]
to = ["Ben", "Anna"]
call = true
"#;

fn config(text: &str) -> NotifyConfig {
    Config::parse(Path::new("edge.toml"), text).unwrap().notify
}

fn plan(text: &str) -> Plan {
    let config = config(text);
    let way = |channel: &crate::config::ChannelConfig| Way {
        wants: if channel.kind == "gsm" {
            Wants::Phone
        } else {
            Wants::Nobody
        },
        lamp: (channel.kind == "lamp").then_some(OffWhen::Acknowledged),
        severity: channel.severity,
        quiet: channel.quiet.clone(),
        per_minute: channel.per_minute.unwrap_or(6),
        attempts: channel.attempts,
        to: channel.to.clone(),
    };
    let ways = config
        .channels
        .iter()
        .map(|c| (c.name.clone(), way(c)))
        .collect();
    Plan::new(&config, ways, zone("UTC").unwrap())
}

fn at(time: i64) -> Now {
    Now {
        wall: Timestamp(MONDAY_10 + time),
        up: time,
    }
}

fn matter(number: u128, severity: Severity) -> Matter {
    Matter {
        id: Uuid::from_u128(number + 1_000_000),
        sort: Sort::Raised,
        alert: Some(AlertId(Uuid::from_u128(number))),
        severity,
        title: format!("bearing {number} is hot"),
        words: String::new(),
        asset: Some("P-7".to_owned()),
        rule: Some("hot".to_owned()),
        time: Timestamp(MONDAY_10),
    }
}

fn alert(number: u128) -> AlertId {
    AlertId(Uuid::from_u128(number))
}

fn sent(outputs: &[Output]) -> Vec<Message> {
    let message = |output: &Output| match output {
        Output::Send(message) => Some(message.clone()),
        _ => None,
    };
    outputs.iter().filter_map(message).collect()
}

/// `speaker`, `modem Anna`, `modem Ben call`
fn told(outputs: &[Output]) -> Vec<String> {
    let words = |message: &Message| {
        let to = message
            .to
            .as_ref()
            .map(|to| format!(" {}", to.name))
            .unwrap_or_default();
        format!(
            "{}{to}{}",
            message.channel,
            if message.call { " call" } else { "" }
        )
    };
    sent(outputs).iter().map(words).collect()
}

fn delivered() -> Outcome {
    Outcome::Delivered(String::new())
}

/// Polls and has everything that is sent delivered at once.
fn run(ladder: &mut Ladder, now: Now) -> Vec<Output> {
    let outputs = ladder.poll(now);
    for message in sent(&outputs) {
        ladder.ended(&message, &delivered(), now);
    }
    outputs
}

#[test]
fn nobody_answers_and_the_next_one_is_told() {
    let mut ladder = Ladder::new(plan(CONFIG));
    ladder.tell(matter(1, Severity::High), at(0));
    let first = run(&mut ladder, at(0));
    assert_eq!(told(&first), ["speaker"]);
    assert!(first.contains(&Output::Lamp {
        channel: "lamp".into(),
        on: true
    }));
    assert_eq!(ladder.wake(), Some(MINUTE));
    // It is Monday 10:01: the day shift.
    assert_eq!(told(&run(&mut ladder, at(MINUTE))), ["modem Anna"]);
    assert_eq!(told(&run(&mut ladder, at(5 * MINUTE))), ["speaker"]);
    let mut called = told(&run(&mut ladder, at(10 * MINUTE)));
    called.sort();
    assert_eq!(called, ["modem Anna call", "modem Ben call", "speaker"]);
    let mut out = Vec::new();
    ladder.acknowledged(alert(1), &mut out);
    let after = ladder.poll(at(20 * MINUTE));
    assert_eq!(
        after,
        [Output::Lamp {
            channel: "lamp".into(),
            on: false
        }]
    );
    assert_eq!(ladder.wake(), None);
}

#[test]
fn the_shift_that_began_before_midnight_goes_on_after_it() {
    let plan = plan(CONFIG);
    let on = |hours: i64| {
        let names = ["day".to_owned(), "night".to_owned()];
        plan.on_duty(&names, Timestamp(MONDAY_10 + hours * 60 * MINUTE))
            .join(",")
    };
    assert_eq!(on(0), "Anna");
    assert_eq!(on(13), "Ben", "Monday 23:00");
    assert_eq!(on(19), "Ben", "Tuesday 05:00, the shift of Monday");
    assert_eq!(on(20), "Anna", "Tuesday 06:00");
    assert_eq!(
        on(4 * 24 + 19),
        "Ben",
        "Saturday 05:00, the shift of Friday"
    );
    assert_eq!(on(5 * 24), "", "Saturday 10:00");
    assert_eq!(on(5 * 24 + 13), "", "Saturday 23:00");
}

#[test]
fn nobody_on_duty_has_the_next_step_begin_at_once() {
    let mut ladder = Ladder::new(plan(CONFIG));
    let saturday = |time: i64| at(5 * 24 * 60 * MINUTE + time);
    ladder.tell(matter(1, Severity::High), saturday(0));
    run(&mut ladder, saturday(0));
    let outputs = run(&mut ladder, saturday(MINUTE));
    assert_eq!(told(&outputs).len(), 2, "{outputs:?}");
    assert!(outputs.iter().any(|output| matches!(
        output,
        Output::Unreachable(entry) if entry.words == "nobody of day, night is on duty"
    )));
}

#[test]
fn a_channel_that_fails_is_tried_again_and_then_the_next_step_begins() {
    let mut ladder = Ladder::new(plan(CONFIG));
    ladder.tell(matter(1, Severity::High), at(0));
    run(&mut ladder, at(0));
    let [message] = sent(&ladder.poll(at(MINUTE))).try_into().unwrap();
    let message: Message = message;
    let failed = Outcome::Failed("no network".to_owned());
    let verdict = ladder.ended(&message, &failed, at(MINUTE));
    assert_eq!((verdict.again, verdict.noted), (true, false));
    assert_eq!(told(&ladder.poll(at(MINUTE + 9 * SECOND))).len(), 0);
    let [second] = sent(&ladder.poll(at(MINUTE + 10 * SECOND)))
        .try_into()
        .unwrap();
    let second: Message = second;
    assert_eq!((second.id, second.attempt), (message.id, 2));
    let verdict = ladder.ended(&second, &failed, at(MINUTE + 11 * SECOND));
    assert_eq!((verdict.again, verdict.noted), (false, true));
    // Not after ten minutes: now.
    let next = told(&ladder.poll(at(MINUTE + 11 * SECOND)));
    assert_eq!(next.len(), 2, "{next:?}");
}

#[test]
fn quiet_hours_hold_back_all_but_what_is_critical() {
    let mut ladder = Ladder::new(plan(CONFIG));
    let night = |time: i64| at(13 * 60 * MINUTE + time);
    ladder.tell(matter(1, Severity::High), night(0));
    ladder.tell(matter(2, Severity::Critical), night(0));
    let outputs = ladder.poll(night(0));
    let messages = sent(&outputs);
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].severity(), Severity::Critical);
    ladder.ended(&messages[0], &delivered(), night(0));
    // Somebody looks at the other one before the morning: nothing is spoken then.
    let mut out = Vec::new();
    ladder.acknowledged(alert(2), &mut out);
    let morning = ladder.poll(night(7 * 60 * MINUTE));
    assert!(
        told(&morning).contains(&"speaker".to_owned()),
        "{morning:?}"
    );
}

#[test]
fn a_flood_is_one_message() {
    let mut ladder = Ladder::new(plan(CONFIG));
    for number in 1..=40 {
        ladder.tell(matter(number, Severity::High), at(0));
    }
    ladder.tell(matter(99, Severity::Critical), at(0));
    let messages = sent(&ladder.poll(at(0)));
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert_eq!(
        messages[0].severity(),
        Severity::Critical,
        "by itself, and first"
    );
    assert_eq!(messages[1].parts.len(), 40);
    let words = messages[1].body(super::super::words::Language::English);
    assert!(
        words.contains("and 39 more") && words.lines().count() <= 8,
        "{words}"
    );
    for message in &messages {
        assert!(!ladder.ended(message, &delivered(), at(0)).again);
    }
    assert_eq!(told(&ladder.poll(at(SECOND))).len(), 0);
}

#[test]
fn no_more_messages_go_in_a_minute_than_allowed() {
    let mut ladder = Ladder::new(plan(CONFIG));
    let mut count = 0;
    // One alert every two seconds for ten minutes.
    for number in 0..300_u32 {
        let now = at(i64::from(number) * 2 * SECOND);
        ladder.tell(matter(u128::from(number) + 1, Severity::Medium), now);
        count += sent(&run(&mut ladder, now))
            .iter()
            .filter(|m| m.channel == "speaker")
            .count();
    }
    assert!((30..=66).contains(&count), "{count}");
}

#[test]
fn what_is_less_urgent_than_the_channel_does_not_go_there() {
    let mut ladder = Ladder::new(plan(CONFIG));
    ladder.tell(matter(1, Severity::Low), at(0));
    assert_eq!(
        run(&mut ladder, at(0)),
        [Output::Lamp {
            channel: "lamp".into(),
            on: false
        }],
        "below the ladder"
    );
    ladder.tell(matter(2, Severity::Medium), at(0));
    let outputs = run(&mut ladder, at(0));
    assert_eq!(told(&outputs), ["speaker"]);
    assert!(
        !outputs
            .iter()
            .any(|output| matches!(output, Output::Lamp { on: true, .. }))
    );
}

#[test]
fn an_alert_that_is_over_is_told_no_further_and_the_lamp_waits_for_somebody() {
    let mut ladder = Ladder::new(plan(CONFIG));
    ladder.tell(matter(1, Severity::High), at(0));
    run(&mut ladder, at(0));
    let over = Matter {
        id: Uuid::from_u128(7),
        sort: Sort::Cleared,
        ..matter(1, Severity::High)
    };
    ladder.tell(over, at(30 * SECOND));
    let outputs = run(&mut ladder, at(30 * SECOND));
    assert_eq!(told(&outputs), ["speaker"], "that it is over");
    assert!(
        !outputs
            .iter()
            .any(|output| matches!(output, Output::Lamp { .. }))
    );
    assert_eq!(told(&run(&mut ladder, at(20 * MINUTE))).len(), 0);
    let mut out = Vec::new();
    ladder.acknowledged(alert(1), &mut out);
    assert_eq!(
        ladder.poll(at(21 * MINUTE)),
        [Output::Lamp {
            channel: "lamp".into(),
            on: false
        }]
    );
}

#[test]
fn what_was_saved_is_taken_up_and_told_neither_twice_nor_never() {
    let mut ladder = Ladder::new(plan(CONFIG));
    ladder.tell(matter(1, Severity::High), at(0));
    run(&mut ladder, at(0));
    ladder.tell(matter(2, Severity::High), at(30 * SECOND));
    let in_flight = sent(&ladder.poll(at(30 * SECOND)));
    let saved = postcard::to_allocvec(&ladder.save(at(31 * SECOND))).unwrap();
    // The power is off for a minute; the other clock begins anew.
    let now = |time: i64| Now {
        wall: Timestamp(MONDAY_10 + 91 * SECOND + time),
        up: time,
    };
    let saved: Saved = postcard::from_bytes(&saved).unwrap();
    let mut ladder = Ladder::restore(plan(CONFIG), saved, now(0));
    // The judge tells both again.
    ladder.tell(matter(1, Severity::High), now(0));
    ladder.tell(matter(2, Severity::High), now(0));
    let outputs = run(&mut ladder, now(0));
    let messages = sent(&outputs);
    assert_eq!(told(&outputs).len(), 3, "{:?}", told(&outputs));
    // What was on its way goes again under its old id; the step of the first alert was due meanwhile.
    assert!(messages.iter().any(|message| message.id == in_flight[0].id));
    let to_anna = messages.iter().filter(|message| message.channel == "modem");
    assert_eq!(to_anna.count(), 2);
    assert!(
        outputs.contains(&Output::Lamp {
            channel: "lamp".into(),
            on: true
        }),
        "{outputs:?}"
    );
}

#[test]
fn a_clock_that_is_set_escalates_nothing() {
    let mut ladder = Ladder::new(plan(CONFIG));
    ladder.tell(matter(1, Severity::High), at(0));
    run(&mut ladder, at(0));
    for years in [-10_i64, 10] {
        let now = Now {
            wall: Timestamp(MONDAY_10 + years * 365 * 24 * 60 * MINUTE),
            up: 10 * SECOND,
        };
        assert_eq!(told(&run(&mut ladder, now)).len(), 0);
    }
}

#[test]
fn an_answer_acknowledges_what_the_person_was_told() {
    let mut ladder = Ladder::new(plan(CONFIG));
    ladder.tell(matter(1, Severity::High), at(0));
    run(&mut ladder, at(0));
    let first = sent(&run(&mut ladder, at(MINUTE)));
    let code = first.iter().find(|m| m.channel == "modem").unwrap().parts[0].code;
    ladder.tell(matter(2, Severity::High), at(2 * MINUTE));
    run(&mut ladder, at(2 * MINUTE));
    run(&mut ladder, at(3 * MINUTE));
    assert_eq!(ladder.answer("Anna", "ok"), [alert(2)], "the last one");
    assert_eq!(ladder.answer("Anna", &format!("OK {code}")), [alert(1)]);
    assert_eq!(ladder.answer("Anna", "ok all").len(), 2);
    assert_eq!(ladder.answer("Ben", "ok"), [], "was told nothing");
    assert_eq!(ladder.answer("Anna", "what is this?"), []);
    assert_eq!(ladder.answer("Anna", "OK 998"), []);
    assert_eq!(ladder.plan().person_of("015100000001"), Some("Anna"));
    assert_eq!(ladder.plan().person_of("+4915100000009"), None);
}

#[test]
fn too_many_cases_drop_the_least_urgent() {
    let mut ladder = Ladder::new(plan(CONFIG));
    ladder.tell(matter(1, Severity::Critical), at(0));
    for number in 0..2 * CASES_MAX {
        let number = u128::try_from(number).unwrap() + 10;
        ladder.tell(matter(number, Severity::Medium), at(1));
    }
    assert_eq!(ladder.waiting().len(), CASES_MAX);
    assert!(ladder.waiting().contains(&alert(1)));
    assert!(ladder.dropped() > 0);
    let state = postcard::to_allocvec(&ladder.save(at(2))).unwrap();
    assert!(
        state.len() < crate::storage::TELLING_BYTES_MAX,
        "{}",
        state.len()
    );
}

#[test]
fn time_zones_are_read_as_people_write_them() {
    let summer = Timestamp(1_782_900_000 * SECOND); // 2026-07-01 10:00 UTC
    for (text, hour) in [
        ("UTC", 10),
        ("+05:30", 15),
        ("-03:00", 7),
        ("CET-1CEST,M3.5.0,M10.5.0/3", 12),
    ] {
        let zone = zone(text).unwrap();
        let local = jiff::Timestamp::from_microsecond(summer.0)
            .unwrap()
            .to_zoned(zone);
        assert_eq!(local.hour(), hour, "{text}");
    }
    for wrong in ["", "Mars/Olympus", "+25:00", "1"] {
        assert!(zone(wrong).is_none(), "{wrong}");
    }
}
