//! Somebody takes notice, by whatever way: nobody is told any more, the lamp goes off.

use super::scene::{ANNA, BEN, DEADLINE, Scene, WITH_ORDER, title};
use anyhow::{Context as _, Result, ensure};
use harness::{Scratch, in_scratch, wait_for};
use serde_json::{Value, json};
use std::time::Duration;

const LADDER: &str = r#"
[[ladder]]
name = "stairs"

[[ladder.step]]
channels = ["modem", "andon", "broker", "lamp"]
to = ["Anna Berg"]
repeat = "10s"

[[ladder.step]]
after = "8s"
channels = ["modem"]
to = ["Ben Roth"]
call = true

[[ladder]]
name = "planning"
tell = ["order"]

[[ladder.step]]
channels = ["andon"]
"#;

/// O-5.3
#[test]
fn an_answer_by_any_way_ends_it() -> Result<()> {
    in_scratch("notify-answers", run)
}

fn run(scratch: &Scratch) -> Result<()> {
    let mut scene = Scene::start(scratch, LADDER)?;
    // By SMS: the code that the message named.
    scene.set(WITH_ORDER, true)?;
    let text = message_to(&scene, ANNA.1, 1)?;
    let code = text
        .rsplit(' ')
        .next()
        .context("no code in the message")?
        .to_owned();
    scene
        .modem
        .order(&json!({"deliver": {"from": ANNA.1, "text": format!("ok {code}")}}).to_string())?;
    ensure!(scene.acknowledged_by(1)? == ANNA.0);
    lamp_is(&scene, false)?;
    the_order_is_told(&scene)?;
    // By MQTT.
    scene.set(2, true)?;
    lamp_is(&scene, true)?;
    let alert = scene.alert(2)?["id"].clone();
    scene.listener.order(&format!(
        "plant/acknowledge {}",
        json!({"alert": alert, "by": BEN.0})
    ))?;
    ensure!(scene.acknowledged_by(2)? == BEN.0);
    lamp_is(&scene, false)?;
    // By the answer of the webhook.
    scene.hook_mode("acknowledge Cleo Ott")?;
    scene.set(3, true)?;
    ensure!(scene.acknowledged_by(3)? == "Cleo Ott");
    scene.hook_mode("ok")?;
    // A number that nobody has is not followed; nobody answers, so the next one is told, and called.
    scene.set(4, true)?;
    message_to(&scene, ANNA.1, 4)?;
    scene
        .modem
        .order(&json!({"deliver": {"from": "+49170999", "text": "OK ALL"}}).to_string())?;
    message_to(&scene, BEN.1, 4)?;
    wait_for("the telephone to ring and to be hung up", DEADLINE, || {
        let heard = scene.modem.heard()?;
        let called = heard
            .iter()
            .any(|line| line["what"] == "call" && line["to"] == BEN.1);
        Ok((called && heard.iter().any(|line| line["what"] == "hung up")).then_some(()))
    })?;
    ensure!(scene.alert(4)?["acknowledged_by"].is_null());
    scene.acknowledge(4)?;
    nobody_else(&scene)?;
    scene.agent.stop()
}

/// Who asked for orders hears of the order, by its number, and of nothing else.
fn the_order_is_told(scene: &Scene) -> Result<()> {
    let order = scene.here.list("/work-orders?state=all")?;
    ensure!(order.len() == 1, "one order for one pump: {order:#?}");
    let number = order[0]["number"].as_str().context("no number")?.to_owned();
    wait_for("the order to be told", DEADLINE, || {
        let heard = scene.hook.heard()?;
        let all = heard
            .iter()
            .filter_map(|line| line["body"]["matters"].as_array())
            .flatten();
        let told: Vec<&Value> = all.filter(|matter| matter["kind"] == "order").collect();
        ensure!(told.len() <= 1, "told twice: {told:?}");
        let title = told.first().and_then(|matter| matter["title"].as_str());
        Ok(title.filter(|title| title.contains(&number)).map(|_| ()))
    })
}

/// The text of the message about a pump to a number.
fn message_to(scene: &Scene, number: &str, pump: usize) -> Result<String> {
    let title = title(pump);
    wait_for(
        &format!("a message about pump {pump} to {number}"),
        DEADLINE,
        || {
            let heard = scene.modem.heard()?;
            let found = heard.iter().find(|line| {
                line["to"] == number
                    && line["text"]
                        .as_str()
                        .is_some_and(|text| text.contains(&title))
            });
            Ok(found
                .and_then(|line| line["text"].as_str())
                .map(str::to_owned))
        },
    )
}

fn lamp_is(scene: &Scene, on: bool) -> Result<()> {
    wait_for(&format!("the lamp to be on: {on}"), DEADLINE, || {
        let coils = scene.device.heard()?;
        let last = coils.iter().rev().find(|line| line["what"] == "coil");
        Ok(last.filter(|line| line["on"] == on).map(|_| ()))
    })
}

/// Of the alerts that were acknowledged in time Ben never heard, and nobody heard again.
fn nobody_else(scene: &Scene) -> Result<()> {
    let heard = scene.modem.heard()?;
    let about = |line: &&Value, pump: usize| {
        line["text"]
            .as_str()
            .is_some_and(|text| text.contains(&title(pump)))
    };
    for pump in [1, 2, 3] {
        let told: Vec<&Value> = heard.iter().filter(|line| about(line, pump)).collect();
        ensure!(told.len() == 1, "pump {pump}: {told:?}");
    }
    let log = scene.deliveries()?;
    ensure!(
        log.iter().all(|line| line["latency_ms"].is_i64()),
        "{log:?}"
    );
    // The times of further steps pass: still nobody.
    let before = scene.modem.heard()?.len();
    let quiet = wait_for(
        "something that must not come",
        Duration::from_secs(12),
        || Ok((scene.modem.heard()?.len() > before).then_some(())),
    );
    ensure!(
        quiet.is_err(),
        "somebody was told after all was acknowledged"
    );
    Ok(())
}
