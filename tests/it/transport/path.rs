//! A hub that dies, and addresses that change while a session stands.

use super::{arrives, calm, carries_all, link, since};
use crate::plant::{DEADLINE, Plant};
use anyhow::{Result, ensure};
use harness::{in_scratch, wait_for};
use std::time::{Duration, Instant};

/// The keep-alive of these boxes: far longer than the tests' patience, so that nothing but the
/// mechanism under test can be what notices.
const KEEP_ALIVE: &str = "keep_alive = \"60s\"\n";
const NOTICED_MAX: Duration = Duration::from_secs(10);

/// A hub that was killed and runs again tells boxes at once that their connections are gone
/// (stateless reset); with `keep_alive` of a minute the idle time would be two and a half.
#[test]
fn a_box_notices_at_once_that_its_hub_was_killed_and_runs_again() -> Result<()> {
    in_scratch("hub-reset", |scratch| {
        let mut plant = Plant::start(scratch, calm())?;
        slow_keep_alive(&mut plant)?;
        let before = since(&plant)?;
        plant.hub.kill9()?;
        plant.hub.start_again()?;
        let back = Instant::now();
        wait_for("a new connection", DEADLINE, || {
            let link = link(&plant)?;
            let anew = link["state"] == "connected" && link["since"] != before.as_str();
            Ok(anew.then_some(()))
        })?;
        let noticed = back.elapsed();
        ensure!(noticed <= NOTICED_MAX, "noticed after {noticed:?}");
        carries_all(&mut plant)?;
        println!(
            "measured: {:.1} s from the restart of a killed hub to a new connection, with an \
             idle time of 150 s",
            noticed.as_secs_f64()
        );
        Ok(())
    })
}

/// A router forgets the box's address and gives it another, several times: the session goes on.
#[test]
fn an_address_that_changes_costs_nothing() -> Result<()> {
    in_scratch("rebind", |scratch| {
        let mut plant = Plant::start(scratch, calm())?;
        plant.wait_for_link("connected")?;
        let before = since(&plant)?;
        for _ in 0..5 {
            plant.relay.rebind();
            arrives(&plant)?;
        }
        ensure!(
            since(&plant)? == before,
            "the session was lost: {}",
            link(&plant)?
        );
        carries_all(&mut plant)?;
        println!("measured: 5 changes of address within one session, nothing lost");
        Ok(())
    })
}

/// A path that is silent for longer than the keep-alive explains: the box takes a new socket
/// before it gives the connection up.
#[test]
fn a_silent_path_is_tried_from_a_new_socket() -> Result<()> {
    in_scratch("silent-path", |scratch| {
        let mut plant = Plant::start_with(scratch, calm(), |_, _| Ok(String::new()))?;
        keep_alive(&mut plant, "keep_alive = \"4s\"\n")?;
        let before = since(&plant)?;
        plant.relay.cut();
        wait_for("a new socket", DEADLINE, || {
            let log = plant.agent.program()?.log()?;
            Ok(log.contains("takes a new socket").then_some(()))
        })?;
        plant.relay.restore();
        arrives(&plant)?;
        ensure!(
            since(&plant)? == before,
            "the session was lost: {}",
            link(&plant)?
        );
        carries_all(&mut plant)
    })
}

fn slow_keep_alive(plant: &mut Plant) -> Result<()> {
    keep_alive(plant, KEEP_ALIVE)
}

fn keep_alive(plant: &mut Plant, line: &str) -> Result<()> {
    let file = plant.agent.config();
    let text = std::fs::read_to_string(&file)?;
    std::fs::write(&file, text.replace("keep_alive = \"1s\"\n", line))?;
    plant.agent.stop()?;
    plant.agent.start()?;
    plant.wait_for_link("connected")?;
    arrives(plant)
}
