//! How long it takes from the change of a register until each receiver has it: with a poll and a
//! commit every 100 ms, and as shipped. Nothing else is set for speed.

use super::scene::{ANNA, PUMPS, Pace, Scene, time_of, title};
use anyhow::{Context as _, Result, ensure};
use harness::{Scratch, in_scratch, wait_for};
use protocol::view::parse_rfc3339;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// Alerts that are measured.
const ROUNDS: usize = 30;
const _: () = assert!(ROUNDS <= PUMPS);
/// From the change of the register to the first local notification, the slowest of all rounds.
const FIRST_US_MAX: i64 = 1_000_000;
/// From the reading that shows it to the first local notification, as shipped: less than waiting for
/// the commit of each second would take in half of all rounds.
const AFTER_READING_US_MAX: i64 = 500_000;
const DEADLINE: Duration = Duration::from_secs(30);

const LADDER: &str = r#"
[[ladder]]
name = "all"

[[ladder.step]]
channels = ["speaker", "modem", "mail", "andon", "broker", "lamp"]
to = ["Anna Berg"]
"#;

/// O-5.1
#[test]
fn channels() -> Result<()> {
    in_scratch("notify-channels", run)
}

/// O-5.7
#[test]
fn as_shipped() -> Result<()> {
    in_scratch("notify-shipped", |scratch| {
        let scene = Scene::start_with(scratch, LADDER, Pace::Shipped)?;
        let mut measured = measure(&scene)?;
        report("with a poll and a commit each second, ", &mut measured);
        let slowest = slowest(&measured.after_reading);
        ensure!(
            slowest < AFTER_READING_US_MAX,
            "the first notification came {slowest} µs after the reading"
        );
        scene_ends(scene)
    })
}

fn run(scratch: &Scratch) -> Result<()> {
    let scene = Scene::start(scratch, LADDER)?;
    let mut measured = measure(&scene)?;
    report("", &mut measured);
    contents(&scene)?;
    let slowest = slowest(&measured.first);
    ensure!(
        slowest < FIRST_US_MAX,
        "the first notification took {slowest} µs"
    );
    scene_ends(scene)
}

/// What was measured, in microseconds, one for each round.
struct Measured {
    /// By channel, from the register's change.
    took: BTreeMap<&'static str, Vec<i64>>,
    /// The soonest of all channels, from the register's change.
    first: Vec<i64>,
    /// The same from the reading that showed it.
    after_reading: Vec<i64>,
}

fn slowest(times: &[i64]) -> i64 {
    times.iter().max().copied().unwrap_or(i64::MAX)
}

fn measure(scene: &Scene) -> Result<Measured> {
    let mut took: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    let (mut first, mut after_reading) = (Vec::new(), Vec::new());
    for pump in 0..ROUNDS {
        let sounds = scene.sounds()?.len();
        scene.set(pump, true)?;
        let changed = scene.changed_at(pump)?;
        let heard = wait_for(
            &format!("all receivers to hear of pump {pump}"),
            DEADLINE,
            || told(scene, pump, sounds, changed),
        )?;
        let mut soonest = i64::MAX;
        for (channel, time) in heard {
            took.entry(channel).or_default().push(time - changed);
            soonest = soonest.min(time - changed);
        }
        first.push(soonest);
        let alert = scene.alert(pump)?;
        let read = alert["raised_at"].as_str().and_then(parse_rfc3339);
        let read = read.context("when the alert was raised")?;
        after_reading.push(soonest - (read.0 - changed));
        scene.acknowledge(pump)?;
        wait_for("the lamp to go off", DEADLINE, || {
            let coils = scene.device.heard()?;
            let last = coils.iter().rev().find(|line| line["what"] == "coil");
            Ok(last.filter(|line| line["on"] == false).map(|_| ()))
        })?;
        scene.set(pump, false)?;
    }
    Ok(Measured {
        took,
        first,
        after_reading,
    })
}

/// When each receiver had the alert of this pump; `None` until all have it.
fn told(
    scene: &Scene,
    pump: usize,
    sounds: usize,
    changed: i64,
) -> Result<Option<Vec<(&'static str, i64)>>> {
    let title = title(pump);
    let naming = |lines: Vec<Value>, pointer: &str| -> Option<i64> {
        let line = lines.into_iter().find(|line| {
            let text = line.pointer(pointer).and_then(Value::as_str);
            text.is_some_and(|text| text.contains(&title))
        })?;
        time_of(&line)
    };
    let coils = scene.device.heard()?;
    let lamp = coils.iter().find(|line| {
        line["what"] == "coil"
            && line["on"] == true
            && time_of(line).is_some_and(|time| time > changed)
    });
    let all = [
        (
            "speaker",
            scene.sounds()?.get(sounds).map(|(time, _)| *time),
        ),
        ("modem", naming(scene.modem.heard()?, "/text")),
        ("mail", naming(scene.mail.heard()?, "/subject")),
        ("andon", naming(scene.hook.heard()?, "/body/text")),
        ("broker", naming(scene.listener.heard()?, "/body/text")),
        ("lamp", lamp.and_then(time_of)),
    ];
    Ok(all
        .into_iter()
        .map(|(channel, time)| Some((channel, time?)))
        .collect())
}

#[expect(clippy::print_stdout, reason = "the promise is this line")]
fn report(how: &str, measured: &mut Measured) {
    let percentile = |times: &[i64], percent: usize| {
        let mut sorted = times.to_vec();
        sorted.sort_unstable();
        let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
        sorted.get(at).copied().unwrap_or_default() / 1_000
    };
    let words: Vec<String> = (measured.took)
        .iter()
        .map(|(channel, times)| {
            format!(
                "{channel} {}/{} ms",
                percentile(times, 50),
                percentile(times, 99)
            )
        })
        .collect();
    println!(
        "measured: {how}register to receiver, p50/p99 of {ROUNDS}: {}; the first of them {}/{} ms, of which {}/{} ms after the reading",
        words.join(", "),
        percentile(&measured.first, 50),
        percentile(&measured.first, 99),
        percentile(&measured.after_reading, 50),
        percentile(&measured.after_reading, 99),
    );
}

/// What the receivers got is what was sent: to whom, signed, safe, with the way to answer.
fn contents(scene: &Scene) -> Result<()> {
    let mails = scene.mail.heard()?;
    ensure!(
        mails
            .iter()
            .all(|mail| mail["tls"] == true && mail["authenticated"] == true),
        "{mails:?}"
    );
    ensure!(
        mails
            .iter()
            .all(|mail| mail["to"] == serde_json::json!([ANNA.2])),
        "{mails:?}"
    );
    let modem = scene.modem.heard()?;
    let messages: Vec<&Value> = modem
        .iter()
        .filter(|line| line["what"] == "message")
        .collect();
    ensure!(
        messages.len() >= ROUNDS && messages.iter().all(|line| line["to"] == ANNA.1),
        "{modem:?}"
    );
    let first = messages
        .first()
        .and_then(|line| line["text"].as_str())
        .unwrap_or_default();
    ensure!(
        first.starts_with("High: P-00: Pump 00 is hot") && first.contains("Answer OK "),
        "{first}"
    );
    let hooks = scene.hook.heard()?;
    ensure!(hooks.iter().all(|hook| hook["signed"] == true), "{hooks:?}");
    let topics = scene.listener.heard()?;
    ensure!(
        topics.iter().any(|line| line["topic"] == "plant/high/P-00"),
        "{topics:?}"
    );
    let alert = scene.alert(0)?;
    let id = alert["id"].as_str().unwrap_or_default();
    let shown = scene.here.get(&format!("/alerts/{id}"))?;
    let history = shown["history"].as_array().cloned().unwrap_or_default();
    let told = history.iter().filter(|line| line["what"] == "told").count();
    ensure!(
        told == 5,
        "the history of an alert says who was told: {history:?}"
    );
    Ok(())
}

fn scene_ends(mut scene: Scene) -> Result<()> {
    scene.agent.stop()
}
