//! The agent is killed in the middle of telling people: after the start nobody is told twice who was
//! told, and the ladder goes on where it stood.

use super::scene::{ANNA, BEN, DEADLINE, Scene, title};
use anyhow::{Result, ensure};
use harness::{Scratch, in_scratch, wait_for};

const LADDER: &str = r#"
[[ladder]]
name = "stairs"

[[ladder.step]]
channels = ["modem", "lamp"]
to = ["Anna Berg"]

[[ladder.step]]
after = "15s"
channels = ["modem"]
to = ["Ben Roth"]
"#;

/// O-5.4
#[test]
fn a_kill_tells_nobody_twice_and_forgets_nothing() -> Result<()> {
    in_scratch("notify-crash", run)
}

fn run(scratch: &Scratch) -> Result<()> {
    let mut scene = Scene::start(scratch, LADDER)?;
    scene.set(1, true)?;
    wait_for("the delivery to Anna to be written down", DEADLINE, || {
        let log = scene.deliveries()?;
        Ok(log
            .iter()
            .any(|line| line["outcome"] == "delivered")
            .then_some(()))
    })?;
    scene.agent.kill9()?;
    scene.agent.start()?;
    wait_for("the next step to be told", DEADLINE, || {
        Ok((told(&scene, BEN.1)? > 0).then_some(()))
    })?;
    ensure!(
        told(&scene, ANNA.1)? == 1,
        "Anna was told twice: {:?}",
        scene.modem.heard()?
    );
    ensure!(told(&scene, BEN.1)? == 1);
    // The lamp still waits for somebody, and goes off then.
    scene.acknowledge(1)?;
    wait_for("the lamp to go off", DEADLINE, || {
        let coils = scene.device.heard()?;
        let last = coils.iter().rev().find(|line| line["what"] == "coil");
        Ok(last.filter(|line| line["on"] == false).map(|_| ()))
    })?;
    scene.agent.stop()
}

fn told(scene: &Scene, number: &str) -> Result<usize> {
    let heard = scene.modem.heard()?;
    let about = |text: &str| text.contains(&title(1));
    Ok(heard
        .iter()
        .filter(|line| line["to"] == number && line["text"].as_str().is_some_and(about))
        .count())
}
