//! Identities that are withdrawn, copied, or more than the hub takes, while boxes are connected.

use super::{calm, link};
use crate::plant::{DEADLINE, Plant};
use anyhow::{Context as _, Result, ensure};
use harness::{Agent, in_scratch, ports, wait_for};
use std::path::Path;
use std::time::{Duration, Instant};

const WITHDRAWN_MAX: Duration = Duration::from_secs(2);

#[test]
fn a_withdrawn_gateway_is_out_within_two_seconds() -> Result<()> {
    in_scratch("withdrawn", |scratch| {
        let plant = Plant::start(scratch, calm())?;
        plant.hub.cli(&["gateway", "revoke", "HB", "--json"])?;
        let withdrawn = Instant::now();
        plant.wait_for_link("refused")?;
        let out = withdrawn.elapsed();
        ensure!(out <= WITHDRAWN_MAX, "out after {out:?}");
        let words = link(&plant)?["words"].to_string();
        ensure!(words.contains("enrol it with a new claim"), "{words}");
        println!(
            "measured: refused {} ms after the command that withdrew it",
            out.as_millis()
        );
        Ok(())
    })
}

#[test]
fn a_copied_card_is_told() -> Result<()> {
    in_scratch("copied-card", |scratch| {
        let mut plant = Plant::start(scratch, calm())?;
        plant.agent.stop()?;
        let text = std::fs::read_to_string(plant.agent.config())?;
        let old = text
            .lines()
            .find_map(|line| line.strip_prefix("listen = "))
            .context("the box's page")?
            .to_owned();
        let web = ports::free()?;
        let text = text.replace(&old, &format!("\"{web}\""));
        let mut copy = Agent::prepare(scratch, "copy", web, |_| text)?;
        copy_folder(&plant.box_store(), &copy.folder().join("data"))?;
        plant.agent.start()?;
        plant.wait_for_link("connected")?;
        copy.start()?;
        let parts = [
            "another box with the same identity",
            "127.0.0.1:",
            "claim of its own",
        ];
        wait_for("the older box to be told", DEADLINE, || {
            let link = link(&plant)?;
            let words = link["words"].to_string();
            let told = parts.iter().all(|part| words.contains(part));
            Ok((link["state"] == "refused" && told).then_some(()))
        })?;
        wait_for("the hub's warning", DEADLINE, || {
            let log = plant.hub.program()?.log()?;
            let line = log
                .lines()
                .find(|line| line.contains("two boxes use the identity"));
            Ok(line
                .filter(|line| line.contains("WARN") && line.matches("127.0.0.1:").count() == 2)
                .map(drop))
        })?;
        wait_for("the newer box to be connected", DEADLINE, || {
            let status = copy.api().get("/status")?;
            Ok((status["link"]["state"] == "connected").then_some(()))
        })?;
        let gateway = plant.at_the_hub()?;
        ensure!(
            gateway["state"] != "offline",
            "the hub lost the newer one: {gateway}"
        );
        copy.stop()?;
        println!("measured: the older of two boxes with one identity was told, the hub warned");
        Ok(())
    })
}

/// New hardware in the place of a box that broke: same gateway, same sensors, and the old one is out.
#[test]
fn a_replacement_goes_on_in_the_history() -> Result<()> {
    in_scratch("replacement", |scratch| {
        let mut plant = Plant::start(scratch, calm())?;
        let sensors = sensor_ids(&plant)?;
        let claim = plant
            .hub
            .cli(&["claim", "new", "--replace", "HB", "--json"])?;
        let claim = claim["claim"].as_str().context("a claim")?.to_owned();
        // Not by a box that holds facts of its own; and that costs nothing.
        let refused = plant.agent.try_cli(&["enrol", &claim, "--again"])?;
        ensure!(
            refused.stderr.contains("stop the agent"),
            "{}",
            refused.stderr
        );
        let text = std::fs::read_to_string(plant.agent.config())?;
        plant.agent.stop()?;
        let refused = plant.agent.try_cli(&["enrol", &claim, "--again"])?;
        ensure!(refused.stderr.contains("move "), "{}", refused.stderr);
        plant.agent.start()?;
        plant.wait_for_link("connected")?;

        let web = ports::free()?;
        let old = text.lines().find_map(|line| line.strip_prefix("listen = "));
        let text = text.replace(old.context("the box's page")?, &format!("\"{web}\""));
        let mut new = Agent::prepare(scratch, "new", web, |_| text)?;
        let enrolled = new.cli(&["enrol", &claim])?;
        ensure!(
            enrolled["gateway"]["id"] == plant.gateway.to_string().as_str(),
            "{enrolled}"
        );
        let parts = ["was withdrawn at the hub", "enrolled anew"];
        wait_for("the old box to be out", DEADLINE, || {
            let link = link(&plant)?;
            let words = link["words"].to_string();
            let told = parts.iter().all(|part| words.contains(part));
            Ok((link["state"] == "refused" && told).then_some(()))
        })?;
        plant.agent.stop()?;
        let before = plant.at_the_hub()?["readings"].as_u64();
        new.start()?;
        wait_for("readings of the new box", DEADLINE, || {
            Ok((plant.at_the_hub()?["readings"].as_u64() > before).then_some(()))
        })?;
        ensure!(sensor_ids(&plant)? == sensors, "the sensors are others");
        let gateway = plant.at_the_hub()?;
        ensure!(
            gateway["name"] == "Hall B" && gateway["code"] == "HB",
            "{gateway}"
        );
        ensure!(
            plant.there.list("/gateways")?.len() == 1,
            "a second gateway was made"
        );
        new.stop()?;
        println!("measured: new hardware went on as the same gateway, with the same sensors");
        Ok(())
    })
}

fn sensor_ids(plant: &Plant) -> Result<std::collections::BTreeSet<String>> {
    let sensors = plant.there.list("/sensors")?;
    Ok(sensors
        .iter()
        .map(|sensor| sensor["id"].to_string())
        .collect())
}

/// A hub with room for one tells the next to come again, which it does when there is room.
#[test]
fn a_full_hub_says_so_and_the_box_comes_again() -> Result<()> {
    in_scratch("full-hub", |scratch| {
        let mut plant = Plant::start(scratch, calm())?;
        plant.hub.stop()?;
        let text = std::fs::read_to_string(plant.hub.config())?;
        let full = text.replace("[quic]\n", "[quic]\nconnections_max = 1\n");
        std::fs::write(plant.hub.config(), full)?;
        plant.hub.start_again()?;
        plant.wait_for_link("connected")?;
        let web = ports::free()?;
        let config = format!(
            "[gateway]\ndata_dir = \"data\"\n[hub]\naddress = \"{}\"\n[web]\nlisten = \"{web}\"\n",
            plant.hub.quic()
        );
        let mut second = Agent::prepare(scratch, "second", web, |_| config)?;
        second.enrol(&plant.hub.claim("North works", "Hall C", "HC")?)?;
        second.start()?;
        wait_for("the second box to be told", DEADLINE, || {
            let link = second.api().get("/status")?["link"].clone();
            let words = link["words"].to_string();
            let told = words.contains("as many connections as it takes");
            Ok((link["state"] == "offline" && told).then_some(()))
        })?;
        plant.wait_for_link("connected")?;
        second.stop()
    })
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
