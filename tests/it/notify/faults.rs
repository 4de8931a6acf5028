//! Channels that hang, refuse or are away delay no other, and deliver when they are back.

use super::scene::{DEADLINE, Scene, time_of, title};
use anyhow::{Result, ensure};
use harness::{Scratch, in_scratch, wait_for};
use serde_json::Value;

const LADDER: &str = r#"
[[ladder]]
name = "all"

[[ladder.step]]
channels = ["speaker", "modem", "mail", "andon", "broker", "lamp"]
to = ["Anna Berg"]
"#;

/// O-5.2
#[test]
fn a_channel_that_hangs_delays_no_other_and_delivers_later() -> Result<()> {
    in_scratch("notify-faults", run)
}

fn run(scratch: &Scratch) -> Result<()> {
    let mut scene = Scene::start(scratch, LADDER)?;
    scene.hook_mode("hang")?;
    scene.modem.order(r#"{"hang": true}"#)?;
    scene.broker.kill9()?;
    scene.set(1, true)?;
    let changed = scene.changed_at(1)?;
    let title = title(1);
    let mail = wait_for("the mail, which does not hang", DEADLINE, || {
        let mails = scene.mail.heard()?;
        let found = mails.iter().find(|mail| {
            mail["subject"]
                .as_str()
                .is_some_and(|text| text.contains(&title))
        });
        Ok(found.and_then(time_of))
    })?;
    let sound = wait_for("the speaker, which does not hang", DEADLINE, || {
        Ok(scene.sounds()?.first().map(|(time, _)| *time))
    })?;
    let slowest = (mail - changed).max(sound - changed);
    ensure!(
        slowest < 3_000_000,
        "{slowest} µs beside channels that hang"
    );
    wait_for("the hanging one to be told as failed", DEADLINE, || {
        let log = scene.deliveries()?;
        let failed = |line: &&Value| line["channel"] == "andon" && line["outcome"] == "failed";
        Ok(log.iter().find(failed).map(|_| ()))
    })?;
    // All come back.
    scene.hook_mode("ok")?;
    scene.modem.order(r#"{"hang": false}"#)?;
    scene.broker.start_again()?;
    wait_for("every channel to have delivered", DEADLINE * 3, || {
        let log = scene.deliveries()?;
        let all = ["speaker", "modem", "mail", "andon", "broker"]
            .iter()
            .all(|channel| {
                log.iter()
                    .any(|line| line["channel"] == *channel && line["outcome"] == "delivered")
            });
        Ok(all.then_some(()))
    })?;
    repeated_under_one_key(&scene)?;
    scene.agent.stop()
}

/// The tries of the webhook carry one key, so that the receiver can tell the repetition.
fn repeated_under_one_key(scene: &Scene) -> Result<()> {
    let hooks = scene.hook.heard()?;
    let of_pump: Vec<&Value> = hooks
        .iter()
        .filter(|hook| {
            hook["body"]["text"]
                .as_str()
                .is_some_and(|text| text.contains(&title(1)))
        })
        .collect();
    ensure!(of_pump.len() >= 2, "{hooks:?}");
    let keys: std::collections::BTreeSet<String> =
        of_pump.iter().map(|hook| hook["key"].to_string()).collect();
    ensure!(keys.len() == 1, "{keys:?}");
    Ok(())
}
