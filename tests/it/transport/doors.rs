//! Many boxes at the hub's door at once: the hub lets in as many in a second as it was told, the rest
//! comes again by itself, each at its own moment; and whoever is told when to come again does.

use super::calm;
use crate::plant::{DEADLINE, Plant, now};
use anyhow::{Context as _, Result, ensure};
use harness::{Agent, Hub, Scratch, in_scratch, ports, wait_for};
use protocol::time::Timestamp;
use protocol::view::parse_rfc3339;
use std::time::{Duration, Instant};

const BOXES: usize = 8;
const PER_SECOND: usize = 2;
/// A hub that is full asks for this, and a box waits up to twice as long.
const RETRY_AFTER: Duration = Duration::from_secs(30);

#[test]
fn many_boxes_come_back_spread() -> Result<()> {
    in_scratch("doors", |scratch| {
        let mut hub = Hub::start(scratch)?;
        let mut boxes = Vec::new();
        for number in 0..BOXES {
            boxes.push(idle_box(scratch, &hub, &format!("B{number}"))?);
        }
        for one in &mut boxes {
            one.start()?;
        }
        all_connected(&boxes)?;
        hub.kill9()?;
        let text = std::fs::read_to_string(hub.config())?;
        let limited = format!("[quic]\nhandshakes_per_s = {PER_SECOND}\n");
        std::fs::write(hub.config(), text.replace("[quic]\n", &limited))?;
        let again = now()?;
        hub.start_again()?;
        all_back(&mut hub, again)?;
        let came = came_since(&hub.program()?.log()?, again);
        let within = |from: &Timestamp| {
            let second = from.0..from.0 + 1_000_000;
            came.iter().filter(|at| second.contains(&at.0)).count()
        };
        let most = came.iter().map(within).max().unwrap_or(0);
        // Two of the hub's seconds may touch.
        ensure!(
            most <= 2 * PER_SECOND,
            "{most} boxes came in one second: {came:?}"
        );
        let last = came.iter().max().context("a box came")?;
        println!(
            "measured: {BOXES} boxes back {:.1} s after a hub that takes {PER_SECOND} in a second was \
             killed and started, at most {most} in one second",
            f64::from(u32::try_from(last.micros_since(again) / 1_000)?) / 1_000.0
        );
        all_connected(&boxes)?;
        for one in &mut boxes {
            one.stop()?;
        }
        Ok(())
    })
}

#[test]
fn a_box_comes_again_when_it_was_told_to() -> Result<()> {
    in_scratch("retry-after", |scratch| {
        let mut plant = Plant::start(scratch, calm())?;
        plant.hub.stop()?;
        let text = std::fs::read_to_string(plant.hub.config())?;
        let full = text.replace("[quic]\n", "[quic]\nconnections_max = 1\n");
        std::fs::write(plant.hub.config(), full)?;
        plant.hub.start_again()?;
        plant.wait_for_link("connected")?;
        let mut second = idle_box(scratch, &plant.hub, "HC")?;
        second.start()?;
        let state = |second: &Agent| {
            second
                .api()
                .get("/status")
                .map(|status| status["link"].clone())
        };
        wait_for("the second box to be told", DEADLINE, || {
            let words = state(&second)?["words"].to_string();
            Ok(words
                .contains("as many connections as it takes")
                .then_some(()))
        })?;
        let told = Instant::now();
        // There is room from now on; the box does not know.
        plant.agent.stop()?;
        wait_for("the second box to come again", RETRY_AFTER * 3, || {
            Ok((state(&second)?["state"] == "connected").then_some(()))
        })?;
        let waited = told.elapsed();
        ensure!(
            waited + Duration::from_secs(2) >= RETRY_AFTER,
            "it came after {waited:?}"
        );
        println!(
            "measured: told to come again in {} s, it came after {:.1} s",
            RETRY_AFTER.as_secs(),
            waited.as_secs_f64()
        );
        second.stop()
    })
}

/// A box that is enrolled and reads nothing.
fn idle_box(scratch: &Scratch, hub: &Hub, code: &str) -> Result<Agent> {
    let web = ports::free()?;
    let config = format!(
        "[gateway]\ndata_dir = \"data\"\n[hub]\naddress = \"{}\"\nkeep_alive = \"1s\"\n\
         reconnect_max = \"5s\"\n[web]\nlisten = \"{web}\"\n",
        hub.quic()
    );
    let agent = Agent::prepare(scratch, code, web, |_| config)?;
    agent.enrol(&hub.claim("North works", &format!("Hall {code}"), code)?)?;
    Ok(agent)
}

fn all_connected(boxes: &[Agent]) -> Result<()> {
    for one in boxes {
        wait_for("a box to be connected", DEADLINE, || {
            let status = one.api().get("/status")?;
            Ok((status["link"]["state"] == "connected").then_some(()))
        })?;
    }
    Ok(())
}

/// Waits until as many connections as there are boxes stand in the hub's log.
fn all_back(hub: &mut Hub, since: Timestamp) -> Result<()> {
    wait_for("all boxes to be back", DEADLINE, || {
        let came = came_since(&hub.program()?.log()?, since);
        Ok((came.len() >= BOXES).then_some(()))
    })
}

/// When boxes connected.
fn came_since(log: &str, since: Timestamp) -> Vec<Timestamp> {
    let lines = log
        .lines()
        .filter(|line| line.contains("a gateway has connected"));
    let times = lines.filter_map(|line| parse_rfc3339(line.split(' ').next()?));
    times.filter(|at| *at >= since).collect()
}
