//! The hub's authority rolls over while one box is connected and another one is switched off; and a
//! box renews its certificate, as it does every eight months. Judged by what the hub's commands say.

use super::{arrives, calm, link};
use crate::plant::{DEADLINE, Plant};
use anyhow::{Result, ensure};
use harness::{Agent, Scratch, in_scratch, ports, wait_for};
use serde_json::Value;
use std::time::Duration;

/// A box spreads its change over 20 s; the rest is for loaded machines.
const CHANGE_MAX: Duration = Duration::from_secs(90);

#[test]
fn the_authority_rolls_over() -> Result<()> {
    in_scratch("authority", |scratch| {
        let mut plant = Plant::start(scratch, calm())?;
        let [mut away, mut lost] = ["HC", "HD"].map(|code| another(scratch, &plant, code));
        let (away, lost) = (as_mut(&mut away)?, as_mut(&mut lost)?);
        plant.hub.stop()?;
        let old = signing(&plant)?;
        plant.hub.cli(&["ca", "rotate", "--json"])?;
        ensure!(signing(&plant)? != old, "{:?}", shown(&plant)?);
        plant.hub.start_again()?;
        // The box knows the old one only, is served, and changes over by itself.
        plant.wait_for_link("connected")?;
        changed_over(&plant, "Hall B")?;
        arrives(&plant)?;

        plant.hub.stop()?;
        let refused = plant
            .hub
            .cli(&["ca", "retire"])
            .map_or_else(|e| e.to_string(), |_| String::new());
        let names = ["Hall HC", "Hall HD", "--force"];
        ensure!(
            names.iter().all(|name| refused.contains(name)) && !refused.contains("Hall B"),
            "{refused}"
        );
        plant.hub.start_again()?;
        away.start()?;
        changed_over(&plant, "Hall HC")?;
        away.stop()?;
        plant.hub.stop()?;
        let retired = plant.hub.cli(&["ca", "retire", "--force", "--json"])?;
        ensure!(
            retired["shut_out"] == serde_json::json!(["Hall HD"]),
            "{retired}"
        );
        plant.hub.start_again()?;
        plant.wait_for_link("connected")?;
        arrives(&plant)?;
        away.start()?;
        wait_for("the box that was away to be connected", DEADLINE, || {
            Ok((away.api().get("/status")?["link"]["state"] == "connected").then_some(()))
        })?;
        lost.start()?;
        wait_for("the box that missed it all to be told", DEADLINE, || {
            let link = lost.api().get("/status")?["link"].clone();
            let told = link["words"].to_string().contains("new claim");
            Ok((link["state"] == "refused" && told).then_some(()))
        })?;
        println!(
            "measured: two boxes changed over to the new authority, one that was off meanwhile; \
             retiring the old one was refused with names first; who missed it all is told"
        );
        for agent in [away, lost] {
            agent.stop()?;
        }
        Ok(())
    })
}

#[test]
fn a_box_renews_its_certificate() -> Result<()> {
    in_scratch("renewal", |scratch| {
        let mut plant = Plant::start(scratch, calm())?;
        let file = plant.box_store().join("identity/identity.pem");
        let before = std::fs::read_to_string(&file)?;
        plant.agent.stop()?;
        // 300 days later, as the box's clock says.
        let library = crate::clock::library()?;
        plant
            .agent
            .set_environment("LD_PRELOAD", &library.to_string_lossy());
        plant.agent.set_environment("FAKETIME", "+300d");
        plant
            .agent
            .set_environment("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        plant.agent.set_environment("NO_FAKE_STAT", "1");
        plant.agent.start()?;
        wait_for("a new certificate", DEADLINE, || {
            Ok((std::fs::read_to_string(&file)? != before).then_some(()))
        })?;
        arrives(&plant)?;
        // The next connection is with the new one, and the old one counts no more from then on.
        plant.agent.kill9()?;
        plant.agent.start()?;
        plant.wait_for_link("connected")?;
        arrives(&plant)?;
        plant.agent.stop()?;
        let renewed = std::fs::read_to_string(&file)?;
        std::fs::write(&file, &before)?;
        plant.agent.start()?;
        wait_for("the old certificate to be refused", DEADLINE, || {
            let link = link(&plant)?;
            let told = link["words"]
                .to_string()
                .contains("enrolled anew with another key");
            Ok((link["state"] == "refused" && told).then_some(()))
        })?;
        plant.agent.stop()?;
        std::fs::write(&file, renewed)?;
        plant.agent.start()?;
        plant.wait_for_link("connected")?;
        println!(
            "measured: a box whose certificate had 65 days left has a new one, the old one is refused"
        );
        Ok(())
    })
}

/// A box that is enrolled and does not run.
fn another(scratch: &Scratch, plant: &Plant, code: &str) -> Result<Agent> {
    let web = ports::free()?;
    let config = format!(
        "[gateway]\ndata_dir = \"data\"\n[hub]\naddress = \"{}\"\n[web]\nlisten = \"{web}\"\n",
        plant.hub.quic()
    );
    let agent = Agent::prepare(scratch, code, web, |_| config)?;
    agent.enrol(
        &plant
            .hub
            .claim("North works", &format!("Hall {code}"), code)?,
    )?;
    Ok(agent)
}

fn as_mut(agent: &mut Result<Agent>) -> Result<&mut Agent> {
    agent.as_mut().map_err(|error| anyhow::anyhow!("{error:#}"))
}

/// What `ca show` says, one document per line.
fn shown(plant: &Plant) -> Result<Vec<Value>> {
    let mut command = std::process::Command::new(harness::places::program("cloud-hub")?);
    command
        .args(["ca", "show", "--json", "--config"])
        .arg(plant.hub.config());
    let output = command.output()?;
    let lines = String::from_utf8(output.stdout)?;
    lines
        .lines()
        .map(|line| Ok(serde_json::from_str(line)?))
        .collect()
}

fn signing(plant: &Plant) -> Result<Value> {
    let all = shown(plant)?;
    let signs = all.iter().find(|one| one["signs"] == true);
    Ok(signs
        .map(|one| one["fingerprint"].clone())
        .unwrap_or_default())
}

/// Waits until a gateway holds a certificate of the new authority only.
pub(crate) fn changed_over(plant: &Plant, name: &str) -> Result<()> {
    wait_for(&format!("{name} to change over"), CHANGE_MAX, || {
        let all = shown(plant)?;
        let holds = |signs: bool| {
            let one = all.iter().find(|one| one["signs"] == signs);
            one.is_some_and(|one| one["names"].to_string().contains(name))
        };
        Ok((holds(true) && !holds(false)).then_some(()))
    })
}
