//! A flood: what people are told of a thousand crossings an hour, and that nothing urgent waits.

use super::*;
use NoticeKind::{FloodBegan, FloodEnded, Raised};

/// Numbers that look random and are the same in every run.
fn noise(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

/// Forty sensors of which some chatter and some drift across their limit, and ten with urgent
/// rules of which one goes wrong now and then; for `hours`.
fn busy_plant(hours: i64, seed: u64) -> (Plant, usize, usize) {
    let names: Vec<&'static str> = (0..50)
        .map(|n| &*Box::leak(format!("s{n}").into_boxed_str()))
        .collect();
    let mut rest = String::new();
    for (at, name) in names.iter().enumerate() {
        let severity = match at {
            40.. => "critical",
            20..40 => "medium",
            _ => "low",
        };
        rest.push_str(&rule(name, name, severity, ""));
    }
    let mut plant = Plant::new(config(&names, &rest));
    let mut random = noise(seed);
    let mut beyond = vec![false; names.len()];
    let (mut crossings, mut urgent) = (0, 0);
    for at in 0..hours * 3_600 {
        let mut values = Vec::new();
        for (n, is_beyond) in beyond.iter_mut().enumerate() {
            let flips = match n {
                // Chatter in bursts of a few minutes.
                0..5 => (at / 300) % 4 == i64::try_from(n).unwrap() % 4 && at % 2 == 0,
                5..40 => random().is_multiple_of(450),
                // About one in two hours, back after a few minutes.
                _ if *is_beyond => random().is_multiple_of(300),
                _ => random().is_multiple_of(72_000),
            };
            if flips {
                *is_beyond = !*is_beyond;
                crossings += usize::from(*is_beyond);
                urgent += usize::from(*is_beyond && n >= 40);
                values.push((names[n], if *is_beyond { 90.0 } else { 60.0 }));
            }
        }
        plant.run(1, |_| values.clone());
    }
    (plant, crossings, urgent)
}

#[test]
fn a_thousand_crossings_an_hour_are_six_notices_and_nothing_urgent_waits() {
    let hours = 4;
    for seed in [3, 17, 2_026] {
        let (plant, crossings, urgent) = busy_plant(hours, seed);
        let per_hour = crossings / usize::try_from(hours).unwrap();
        assert!(per_hour >= 1_000, "{per_hour} raw crossings an hour");
        assert!(urgent > 0);
        let told: Vec<&Notice> = plant
            .notices
            .iter()
            .filter(|n| n.kind != NoticeKind::Cleared)
            .collect();
        let within = |from: Timestamp| {
            let hour = 3_600_000_000;
            told.iter()
                .filter(|n| (0..hour).contains(&n.time.micros_since(from)))
                .count()
        };
        let most = told.iter().map(|notice| within(notice.time)).max().unwrap();
        let mean = told.len() / usize::try_from(hours).unwrap();
        println!(
            "O-2: {per_hour} crossings an hour, {urgent} urgent in {hours} h: {} notices, at most \
             {most} in any hour, {mean} on average (seed {seed})",
            told.len()
        );
        assert!(most <= 6, "at most {most} notices in an hour");
        let critical = plant.alerts();
        let critical: Vec<&Alert> = critical
            .iter()
            .filter(|a| a.raised.severity == Severity::Critical)
            .collect();
        assert_eq!(critical.len(), urgent, "none is lost");
        for alert in critical {
            let at_once = told
                .iter()
                .any(|notice| notice.alert == Some(alert.id) && notice.time == alert.raised_at);
            assert!(at_once, "{alert:?} is late");
        }
        assert!(
            plant.open().len() <= 50,
            "a line for each rule: the page can be read"
        );
    }
}

#[test]
fn a_flood_has_one_summary_and_ends_with_a_list_of_what_stands() {
    let names: Vec<&'static str> = (0..20)
        .map(|n| &*Box::leak(format!("s{n}").into_boxed_str()))
        .collect();
    let mut rest: String = names
        .iter()
        .map(|name| rule(name, name, "medium", ""))
        .collect();
    rest.push_str(&rule("fire", "fire", "critical", ""));
    let mut sensors = names.clone();
    sensors.push("fire");
    let mut plant = Plant::new(config(&sensors, &rest));
    plant.run(1, |_| names.iter().map(|name| (*name, 90.0)).collect());
    let told = plant.told();
    assert_eq!(
        told.len(),
        4,
        "two of six are kept for what is urgent: {told:?}"
    );
    assert_eq!(told[3], (FloodBegan, "-"));
    assert_eq!(plant.alerts().len(), 20, "the list has all");
    plant.run(1, |_| vec![("fire", 90.0)]);
    assert_eq!(plant.told()[4], (Raised, "fire"), "at once");
    // All but two of those that were held back are normal again.
    let calm: Vec<(&'static str, f64)> = names[..18].iter().map(|name| (*name, 60.0)).collect();
    plant.run(1, |_| calm.clone());
    plant.run(3_700, |_| vec![]);
    assert_eq!(plant.told().len(), 6);
    let last = plant.notices.last().unwrap();
    assert_eq!(last.kind, FloodEnded);
    assert!(last.words.contains("s18; s19"), "{}", last.words);
    plant.run(1, |_| vec![("s0", 90.0)]);
    assert_eq!(
        plant.told().last(),
        Some(&(Raised, "s0")),
        "one by one again"
    );
}
