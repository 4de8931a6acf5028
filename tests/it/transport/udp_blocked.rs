//! Where UDP does not get through, the box enrols and synchronises over TCP.

use super::{TCP_WAIT, calm, carries_all, link};
use crate::plant::{DEADLINE, Plant};
use anyhow::{Result, ensure};
use harness::{in_scratch, wait_for};
use std::time::Instant;

#[test]
fn udp_blocked() -> Result<()> {
    in_scratch("udp-blocked", |scratch| {
        let mut plant = Plant::start_with(scratch, calm(), |hub, relay| {
            relay.cut();
            Ok(format!("tcp_port = {}\n", hub.tcp().port()))
        })?;
        let words = link(&plant)?;
        ensure!(
            words["words"] == "connected over TCP, because UDP does not get through",
            "{words}"
        );
        plant.agent.stop()?;
        let started = Instant::now();
        plant.agent.start()?;
        plant.wait_for_link("connected")?;
        let connected = started.elapsed();
        ensure!(connected <= TCP_WAIT, "connected after {connected:?}");

        // The winner is remembered: the next connection does not wait for UDP first.
        plant.hub.kill9()?;
        plant.wait_for_link("offline")?;
        plant.hub.start_again()?;
        let back = Instant::now();
        plant.wait_for_link("connected")?;
        let again = back.elapsed();
        let log = std::fs::read_to_string(plant.agent.folder().join("box.log"))?;
        ensure!(log.contains("TCP first"), "it did not try TCP first");

        // UDP gets through again: the box moves back between two sessions, when it tries again.
        plant.relay.restore();
        plant.agent.stop()?;
        plant.agent.start()?;
        wait_for("a link by QUIC", DEADLINE, || {
            Ok((link(&plant)?["words"] == "connected").then_some(()))
        })?;
        plant.relay.cut();
        plant.agent.stop()?;
        plant.agent.start()?;
        plant.wait_for_link("connected")?;
        carries_all(&mut plant)?;
        println!(
            "measured: with UDP blocked enrolled over TCP, connected {:.1} s after the start \
             and {:.1} s after a restart of the hub; all lanes carried, nothing lost",
            connected.as_secs_f64(),
            again.as_secs_f64()
        );
        Ok(())
    })
}
