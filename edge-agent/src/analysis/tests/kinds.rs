//! Each kind of rule on its own trouble, and what must not raise it.

use super::super::*;
use crate::config::Config;
use proptest::prelude::*;
use protocol::event::{AlertKind, Direction};
use protocol::reading::{Cause, Quality};
use std::path::Path;
use uuid::Uuid;

const GATEWAY: GatewayId = GatewayId(Uuid::from_u128(1));
const CLOCK: ClockState = ClockState::Synchronised;

fn rules(rules: &str) -> Vec<RuleConfig> {
    let text = format!(
        r#"
        [[port]]
        name = "p"
        protocol = "modbus"
        [[device]]
        name = "d"
        port = "p"
        asset = "P-1"
        poll = "1s"
        [[device.sensor]]
        name = "t"
        [[device.sensor]]
        name = "u"
        {rules}
    "#
    );
    Config::parse(Path::new("e"), &text).unwrap().rules
}

fn detectors(text: &str) -> Detectors {
    Detectors::new(&rules(text), GATEWAY)
}

fn second(at: i64) -> Timestamp {
    Timestamp(at * 1_000_000)
}

fn of(sensor: &str, at: i64, value: f64) -> Reading {
    Reading {
        sensor: SensorId::derive(GATEWAY, sensor),
        time: second(at),
        value: Some(value),
        quality: Quality::Good,
        clock: CLOCK,
    }
}

fn reading(at: i64, value: f64) -> Reading {
    of("d/t", at, value)
}

fn bad(at: i64) -> Reading {
    Reading {
        value: None,
        quality: Quality::Bad(Cause::NoAnswer),
        ..reading(at, 0.0)
    }
}

/// What was found, in short: when, which rule, raised or cleared.
fn short(found: &[Finding]) -> Vec<(i64, &str, bool)> {
    let short = |finding: &'_ Finding| match finding.change {
        Change::Raised { .. } => Some(true),
        Change::Peaked { .. } => None,
        Change::Cleared { .. } => Some(false),
    };
    found
        .iter()
        .filter_map(|it| Some((it.time.0 / 1_000_000, &*it.rule, short(it)?)))
        .collect()
}

fn run(detectors: &mut Detectors, readings: impl IntoIterator<Item = Reading>) -> Vec<Finding> {
    readings
        .into_iter()
        .flat_map(|reading| detectors.step(&reading))
        .collect()
}

fn detail(found: &[Finding]) -> &Detail {
    let mut raised = found.iter().filter_map(|it| match &it.change {
        Change::Raised { detail, .. } => detail.as_deref(),
        _ => None,
    });
    raised.next().unwrap()
}

/// Noise of a normal distribution, about, the same in every run.
fn noise(at: i64) -> f64 {
    let mut state = u64::try_from(at)
        .unwrap()
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        | 1;
    let mut sum = 0.0;
    for _ in 0..12 {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        let unit = state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 40;
        sum += f64::from(u32::try_from(unit).unwrap()) / f64::from(1 << 24);
    }
    sum - 6.0
}

#[test]
fn a_state_is_told_after_its_delay_and_only_the_states_named() {
    let rule = "[[rule]]\nname = \"fault\"\nsensor = \"d/t\"\nstates = [3, 4]\non_delay = \"2s\"";
    let values = [1.0, 3.0, 1.0, 3.0, 4.0, 4.0, 3.5, 1.0];
    let values = (0..).zip(values).map(|(at, value)| reading(at, value));
    let found = run(&mut detectors(rule), values);
    assert_eq!(short(&found), [(5, "fault", true), (6, "fault", false)]);
    assert_eq!(detail(&found).kind, AlertKind::State);
    assert!(detail(&found).words.contains("3, 4"));
    let other = "[[rule]]\nname = \"off\"\nsensor = \"d/t\"\nnot_states = [1]";
    let found = run(
        &mut detectors(other),
        [reading(0, 1.0), reading(1, 2.0), reading(2, 1.0)],
    );
    assert_eq!(short(&found), [(1, "off", true), (2, "off", false)]);
}

#[test]
fn a_rise_is_told_with_its_size_and_a_slow_one_is_not() {
    let rule =
        "[[rule]]\nname = \"fast\"\nsensor = \"d/t\"\nrises = 5.0\nfalls = 50.0\nwithin = \"80s\"";
    let slow = (0..2_000).map(|at| reading(at, f64::from(i32::try_from(at).unwrap()) * 0.05));
    assert!(run(&mut detectors(rule), slow).is_empty());
    let jump = (0..300).map(|at| reading(at, if at < 100 { 20.0 } else { 26.0 }));
    let found = run(&mut detectors(rule), jump);
    let told = short(&found);
    assert_eq!(told[0], (100, "fast", true));
    // It is over when the time before the jump is out of the window.
    assert!(
        told.len() == 2 && (170..200).contains(&told[1].0),
        "{told:?}"
    );
    let Change::Raised {
        direction, limit, ..
    } = found[0].change
    else {
        panic!("not raised")
    };
    assert_eq!((direction, limit), (Direction::High, 25.0));
    assert!(
        detail(&found).words.contains("rose by 6 within 80s"),
        "{}",
        detail(&found).words
    );
}

#[test]
fn a_stuck_value_is_told_and_a_pause_is_not() {
    let rule =
        "[[rule]]\nname = \"stuck\"\nsensor = \"d/t\"\nflat_for = \"60s\"\nflat_within = 0.1";
    let moving = (0..100).map(|at| reading(at, noise(at)));
    let stuck = (100..300).map(|at| reading(at, 5.0 + 0.05 * noise(at).signum()));
    let again = (300..310).map(|at| reading(at, noise(at)));
    let found = run(&mut detectors(rule), moving.chain(stuck).chain(again));
    assert_eq!(short(&found), [(160, "stuck", true), (300, "stuck", false)]);
    // The same value after an hour without readings is no line of an hour.
    let paused = [0, 1, 2, 3_600, 3_601, 3_602].map(|at| reading(at, 5.0));
    assert!(run(&mut detectors(rule), paused).is_empty());
    // Nor do bad readings make one.
    let gaps = (0..300).map(|at| {
        if at % 2 == 0 {
            bad(at)
        } else {
            reading(at, noise(at))
        }
    });
    assert!(run(&mut detectors(rule), gaps).is_empty());
}

#[test]
fn silence_is_told_by_ticks_and_neither_by_a_clock_step_nor_by_a_box_that_was_off() {
    let rule = "[[rule]]\nname = \"silent\"\nsensor = \"d/t\"\nstale_after = \"60s\"";
    let mut watched = detectors(rule);
    let mut found = Vec::new();
    let tick = |watched: &mut Detectors, at| watched.tick(second(at), CLOCK);
    for at in 0..100 {
        found.extend(tick(&mut watched, at));
        // From 20 on the device does not answer.
        found.extend(watched.step(&if at < 20 { reading(at, 7.0) } else { bad(at) }));
    }
    found.extend(watched.step(&reading(100, 8.0)));
    assert_eq!(
        short(&found),
        [(79, "silent", true), (100, "silent", false)]
    );
    assert_eq!(detail(&found).kind, AlertKind::Stale);
    // The clock jumps by an hour.
    assert!(tick(&mut watched, 3_700).is_empty());
    assert!(tick(&mut watched, 50).is_empty());
    // The box was off for a day.
    let saved = watched.save();
    let mut next = detectors(rule);
    next.restore(&saved);
    assert!(tick(&mut next, 90_000).is_empty());
    assert!(tick(&mut next, 90_001).is_empty());
}

/// Three weeks of a daily cycle with noise, a reading in ten minutes, then what `then` says.
fn weeks(then: impl Fn(i64, f64) -> f64) -> Vec<Reading> {
    let at = |step: i64| {
        let time = step * 600;
        let day = f64::from(i32::try_from(time % 86_400).unwrap()) / 86_400.0;
        let usual = 50.0 + 5.0 * (std::f64::consts::TAU * day).sin() + noise(step);
        let value = if step < 3_024 {
            usual
        } else {
            then(step - 3_024, usual)
        };
        reading(time, value)
    };
    (0..3_200).map(at).collect()
}

const DEVIATION: &str = "[[rule]]\nname = \"odd\"\nsensor = \"d/t\"\nkind = \"deviation\"";

#[test]
fn a_deviation_is_told_once_with_what_was_expected_and_usual_weeks_are_not() {
    assert_eq!(
        short(&run(&mut detectors(DEVIATION), weeks(|_, usual| usual))),
        []
    );
    let step = weeks(|_, usual| usual + 15.0);
    let found = run(&mut detectors(DEVIATION), step);
    let told = short(&found);
    // Once, at once; after a day what is new begins to be usual.
    let began = 3_024 * 600;
    assert!(
        matches!(told.as_slice(), [(_, "odd", true), (_, "odd", false)]),
        "{told:?}"
    );
    assert!(
        told[0].0 - began <= 1_200 && told[1].0 - told[0].0 > 86_400,
        "{told:?}"
    );
    let detail = detail(&found);
    assert_eq!(detail.kind, AlertKind::Deviation);
    let (low, high) = detail.expected.unwrap();
    assert!(
        low > 25.0 && high < 75.0 && detail.score.unwrap() >= 5.0,
        "{detail:?}"
    );
}

#[test]
fn nothing_is_told_while_it_learns_and_what_is_left_is_shown() {
    let mut watched = detectors(DEVIATION);
    let before = watched.learning(second(0));
    assert_eq!(
        before[0].1,
        Learning {
            until: None,
            readings_left: 200
        }
    );
    let early = (0..300).map(|at| reading(at * 600, if at == 250 { 500.0 } else { noise(at) }));
    assert_eq!(short(&run(&mut watched, early)), []);
    let left = watched.learning(second(300 * 600));
    let until = Some(second(7 * 86_400));
    assert_eq!(
        left[0].1,
        Learning {
            until,
            readings_left: 0
        }
    );
    assert_eq!(watched.learning(second(8 * 86_400)), []);
}

#[test]
fn uncertain_and_bad_readings_teach_nothing() {
    let mut watched = detectors(DEVIATION);
    let mut plain = detectors(DEVIATION);
    for good in weeks(|_, usual| usual) {
        let mut doubtful = good;
        doubtful.value = Some(9_000.0);
        doubtful.quality = Quality::Uncertain(Cause::OutOfRange);
        assert_eq!(watched.step(&doubtful), []);
        assert_eq!(watched.step(&bad(good.time.0 / 1_000_000)), []);
        assert_eq!(watched.step(&good), plain.step(&good));
    }
    assert_eq!(watched.save_learned(0), plain.save_learned(0));
}

#[test]
fn a_trend_tells_when_its_limit_is_reached_and_needs_a_filled_window() {
    let rule = "[[rule]]\nname = \"warmer\"\nsensor = \"d/t\"\nwindow = \"2d\"\nreaches = 80.0\nahead = \"3d\"";
    // 0.2 an hour from 50: at 80 after 150 h, told 72 h before.
    let hour = |at: i64| f64::from(i32::try_from(at).unwrap()) / 6.0;
    let rising = (0..900).map(|at| reading(at * 600, 50.0 + 0.2 * hour(at) + noise(at)));
    let mut watched = detectors(rule);
    let found = run(&mut watched, rising);
    let told = short(&found);
    assert_eq!(told.len(), 1, "{told:?}");
    let at_h = told[0].0 / 3_600;
    assert!((60..96).contains(&at_h), "{at_h}");
    let (soonest, likely, latest) = detail(&found).reaches_limit_in.unwrap();
    let left_h = 150.0 - f64::from(i32::try_from(at_h).unwrap());
    assert!(soonest < likely && likely < latest);
    assert!(
        (likely / 3_600.0 - left_h).abs() < 20.0,
        "{likely} {left_h}"
    );
    // Half of the window: nothing, and it is said that it still fills.
    let mut young = detectors(rule);
    let steep = (0..144).map(|at| reading(at * 600, 50.0 + hour(at)));
    assert_eq!(short(&run(&mut young, steep)), []);
    assert_eq!(young.learning(second(0)).len(), 1);
    // Noise alone has no trend.
    let level = (0..2_000).map(|at| reading(at * 600, 75.0 + noise(at)));
    assert_eq!(short(&run(&mut detectors(rule), level)), []);
}

#[test]
fn a_pattern_is_one_finding_for_alerts_that_come_again_and_ends_by_itself() {
    let text = r#"
        [[rule]]
        name = "hot"
        sensor = "d/t"
        high = 80.0
        [[rule]]
        name = "shakes"
        sensor = "d/u"
        high = 7.0
        [[rule]]
        name = "again"
        of = ["hot"]
        times = 3
        within = "10m"
        [[rule]]
        name = "chain"
        of = ["shakes", "hot"]
        in_order = true
        within = "5m"
        [[rule]]
        name = "asset"
        of_asset = "P-1"
        times = 4
        within = "1h"
    "#;
    let mut watched = detectors(text);
    let mut found = Vec::new();
    for at in [0, 100, 200] {
        found.extend(watched.step(&reading(at, 90.0)));
        found.extend(watched.step(&reading(at + 10, 20.0)));
    }
    found.extend(watched.step(&of("d/u", 220, 9.0)));
    found.extend(watched.step(&reading(240, 90.0)));
    let patterns: Vec<_> = short(&found)
        .into_iter()
        .filter(|it| it.1 != "hot")
        .collect();
    let expected = [
        (200, "again", true),
        (220, "shakes", true),
        (220, "asset", true),
        (240, "chain", true),
    ];
    assert_eq!(patterns, expected);
    let mut ended = Vec::new();
    for at in (240..5_000).step_by(10) {
        ended.extend(watched.tick(second(at), CLOCK));
    }
    let ended = short(&ended);
    assert_eq!(ended.len(), 3);
    assert!(ended.iter().all(|it| !it.2), "{ended:?}");
}

const ALL: &str = r#"
    [[rule]]
    name = "hot"
    sensor = "d/t"
    high = 52.0
    deadband = 0.5
    on_delay = "3s"
    [[rule]]
    name = "stuck"
    sensor = "d/t"
    flat_for = "12s"
    flat_within = 0.5
    [[rule]]
    name = "state"
    sensor = "d/t"
    not_states = [1]
    [[rule]]
    name = "odd"
    sensor = "d/t"
    kind = "deviation"
    score = 1.0
    learn = "1h"
    quiet = "0s"
    [[rule]]
    name = "trend"
    sensor = "d/t"
    window = "10m"
    per_hour = 0.1
    [[rule]]
    name = "again"
    of = ["hot", "odd"]
    times = 2
    within = "1h"
"#;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// The same readings and ticks give the same findings, whether or not the detectors were saved,
    /// forgotten and taken up in between.
    #[test]
    fn a_restart_at_any_point_changes_nothing(
        moves in proptest::collection::vec((-1.0_f64..1.0, 1_i64..40, 0_u8..8), 1..300),
        restart in 0_usize..300
    ) {
        let (mut straight, mut restarted) = (detectors(ALL), detectors(ALL));
        let (mut value, mut at) = (50.0, 0);
        for (step, (change, wait, luck)) in moves.into_iter().enumerate() {
            if step == restart {
                let states = [restarted.save_learned(0), restarted.save()].concat();
                let bytes = postcard::to_allocvec(&states).unwrap();
                restarted = detectors(ALL);
                restarted.restore(&postcard::from_bytes::<Vec<DetectorState>>(&bytes).unwrap());
            }
            value += change;
            at += wait;
            let now = second(at);
            prop_assert_eq!(straight.tick(now, CLOCK), restarted.tick(now, CLOCK));
            let reading = if luck == 0 { bad(at) } else { reading(at, value) };
            prop_assert_eq!(straight.step(&reading), restarted.step(&reading));
        }
    }
}

#[test]
fn what_an_older_build_saved_is_taken_up() {
    #[derive(serde::Serialize)]
    struct Old {
        rule: String,
        sensor: SensorId,
        threshold: ThresholdState,
    }
    let rule = "[[rule]]\nname = \"hot\"\nsensor = \"d/t\"\nhigh = 80.0\non_delay = \"5s\"";
    let mut before = detectors(rule);
    assert_eq!(run(&mut before, [reading(0, 90.0)]), []);
    let Memory::Threshold(threshold) = before.save().remove(0).memory else {
        panic!("another memory")
    };
    let old = Old {
        rule: "hot".to_owned(),
        sensor: SensorId::derive(GATEWAY, "d/t"),
        threshold,
    };
    let bytes = postcard::to_allocvec(&old).unwrap();
    let old: DetectorStateV1 = postcard::from_bytes(&bytes).unwrap();
    let mut after = detectors(rule);
    after.restore(&[old.into()]);
    assert_eq!(
        short(&run(&mut after, [reading(5, 90.0)])),
        [(5, "hot", true)]
    );
}

/// A deviation rule, ten days of a reading a minute, and what it finds in the 12 hours after it.
fn after_ten_days(value: impl Fn(f64, bool) -> f64, hours: i64) -> (Detectors, Vec<Finding>) {
    let rule = "[[rule]]\nname = \"odd\"\nkind = \"deviation\"\nsensor = \"d/t\"";
    let mut detectors = detectors(rule);
    let at = |minute: i64, odd: bool| {
        let value = value(f64::from(i32::try_from(minute).unwrap()), odd);
        reading(minute * 60, value + noise(minute))
    };
    let quiet = 10 * 24 * 60;
    let before = run(&mut detectors, (0..quiet).map(|minute| at(minute, false)));
    assert!(before.is_empty(), "{before:?}");
    let odd = (quiet..quiet + hours * 60).map(|minute| at(minute, true));
    let found = run(&mut detectors, odd);
    (detectors, found)
}

#[test]
fn a_slow_drift_is_told_with_what_is_usual() {
    // A quarter of the noise an hour, upwards from the tenth day on.
    let drift = |minute: f64, odd: bool| {
        40.0 + if odd {
            (minute - 14_400.0) / 240.0
        } else {
            0.0
        }
    };
    let (_, found) = after_ten_days(drift, 30);
    let told = short(&found);
    assert_eq!(told.len(), 1, "{told:?}");
    let words = &detail(&found).words;
    assert!(words.starts_with("has drifted: about 4"), "{words}");
    let (low, high) = detail(&found).expected.unwrap();
    assert!((38.0..40.0).contains(&low) && (40.0..42.0).contains(&high));
    let Change::Raised { direction, .. } = found[0].change else {
        panic!("{found:?}");
    };
    assert_eq!(direction, Direction::High);
}

#[test]
fn swings_faster_or_slower_than_usual_are_told_with_how_fast() {
    let wave = |period: f64| {
        move |minute: f64, odd: bool| {
            let period = if odd { period } else { 30.0 };
            50.0 + 10.0 * (std::f64::consts::TAU * minute / period).sin()
        }
    };
    let (_, found) = after_ten_days(wave(30.0), 12);
    assert!(found.is_empty(), "{found:?}");
    let (_, found) = after_ten_days(wave(12.0), 12);
    let words = &detail(&found).words;
    assert_eq!(short(&found)[0].1, "odd");
    assert!(
        words.starts_with("swings faster than usual: 4.2 times an hour, normally 1.5 to 2.6 "),
        "{words}"
    );
    let (_, found) = after_ten_days(wave(180.0), 12);
    let words = &detail(&found).words;
    assert!(words.starts_with("swings slower than usual: "), "{words}");
}

#[test]
fn what_shows_over_hours_survives_a_restart_in_any_order_of_what_was_saved() {
    let (before, _) = after_ten_days(|_, _| 40.0, 1);
    let mut saved = before.save_learned(0);
    assert_eq!(saved.len(), 2);
    saved.reverse();
    let rule = "[[rule]]\nname = \"odd\"\nkind = \"deviation\"\nsensor = \"d/t\"";
    let bytes = postcard::to_allocvec(&saved).unwrap();
    let saved: Vec<DetectorState> = postcard::from_bytes(&bytes).unwrap();
    let mut after = detectors(rule);
    after.restore(&saved);
    let mut learned = after.save_learned(0);
    learned.reverse();
    assert_eq!(postcard::to_allocvec(&learned).unwrap(), bytes);
}

#[test]
fn what_a_person_calls_normal_is_learned_anew_once_and_a_restart_knows_it() {
    let with = |upto: i64| {
        let mut watched = detectors(DEVIATION);
        let found = run(&mut watched, weeks(|_, usual| usual + 15.0));
        let told = short(&found)[0].0;
        let mut watched = detectors(DEVIATION);
        let mut readings = weeks(|_, usual| usual + 15.0).into_iter();
        let before = readings
            .by_ref()
            .take_while(|it| it.time.0 <= told * 1_000_000);
        let mut found = run(&mut watched, before);
        let said = second(told + 700);
        let sensor = SensorId::derive(GATEWAY, "d/t");
        assert_eq!(watched.learn_anew("another", sensor, said), None);
        assert_eq!(watched.learn_anew("odd", sensor, said), Some(0));
        assert_eq!(watched.learn_anew("odd", sensor, said), None);
        // Killed at once: it neither has what it had learned, nor forgets again.
        let mut saved = watched.save_learned(0);
        saved.extend(watched.save());
        let mut watched = detectors(DEVIATION);
        watched.restore(&saved);
        let left = watched.learning(said);
        assert_eq!((left[0].0.as_str(), left[0].1.readings_left), ("odd", 200));
        assert_eq!(left[0].1.until, Some(second(told + 700 + 7 * 86_400)));
        assert_eq!(watched.learn_anew("odd", sensor, said), None);
        found.extend(run(&mut watched, readings));
        // Eight days on as it is now, then as it was.
        let later = |step: i64| {
            let back = if step < 1_200 { 15.0 } else { 0.0 };
            reading(3_200 * 600 + step * 600, 50.0 + back + noise(step))
        };
        found.extend(run(&mut watched, (0..upto).map(later)));
        (told, found)
    };
    let (told, found) = with(1_210);
    let all = short(&found);
    assert_eq!(all[0], (told, "odd", true));
    assert!(
        !all[1].2 && all[1].0 <= told + 1_200,
        "cleared at once: {all:?}"
    );
    assert!(all[2].2 && all[2].0 >= (3_200 + 1_200) * 600, "{all:?}");
    assert_eq!(all.len(), 3, "{all:?}");
    assert_eq!(with(1_210).1, found, "the same again");
}

#[test]
fn a_trend_that_is_normal_now_is_looked_at_anew() {
    let rule = "[[rule]]\nname = \"climbs\"\nsensor = \"d/t\"\nwindow = \"64m\"\nper_hour = 1.0";
    let climb = |minute: i64| {
        reading(
            minute * 60,
            f64::from(i32::try_from(minute).unwrap()) * 0.05,
        )
    };
    let mut watched = detectors(rule);
    let found = run(&mut watched, (0..70).map(climb));
    assert!(short(&found)[0].2 && found.len() < 20, "{found:?}");
    let sensor = SensorId::derive(GATEWAY, "d/t");
    assert_eq!(
        watched.learn_anew("climbs", sensor, second(70 * 60)),
        Some(0)
    );
    assert_eq!(watched.learn_anew("climbs", sensor, second(70 * 60)), None);
    assert_eq!(watched.learning(second(70 * 60))[0].1.readings_left, 52);
    let found = run(&mut watched, (70..100).map(climb));
    assert_eq!(short(&found), [(70 * 60, "climbs", false)]);
    assert_eq!(watched.learn_anew("climbs", sensor, second(70 * 60)), None);
}

proptest! {
    /// What is foreseen of a reading is what its judging brings, and looking changes nothing.
    #[test]
    fn a_reading_that_raises_is_foreseen(
        values in proptest::collection::vec(0_u8..8, 1..80), on_s in 0_u8..3,
    ) {
        let text = format!(
            r#"
            [[rule]]
            name = "high"
            sensor = "d/t"
            high = 5
            on_delay = "{on_s}s"
            [[rule]]
            name = "state"
            sensor = "d/t"
            kind = "state"
            states = [2]
            [[rule]]
            name = "rate"
            sensor = "d/t"
            kind = "rate"
            rises = 4
            within = "8s"
            "#
        );
        let (mut foreseen, mut plain) = (detectors(&text), detectors(&text));
        for (at, value) in (0..).zip(values) {
            let reading = reading(at, f64::from(value));
            let told = foreseen.foresees(&reading);
            let found = foreseen.step(&reading);
            let raises = found.iter().any(|it| matches!(it.change, Change::Raised { .. }));
            prop_assert_eq!(told, raises);
            prop_assert_eq!(found, plain.step(&reading));
        }
    }
}
