//! Certificates that are another box's or withdrawn: the hub lets neither in, the box says why and
//! collects on, and enrolling again brings all that was kept.

use super::{
    HEALTHY, arrives, case, gateway_at_hub, goes_on, hub_logs, link_says, peer, prepare,
    readings_at_hub, refuses,
};
use anyhow::{Context as _, Result, ensure};
use harness::{Agent, Hub, wait_for};
use std::path::{Path, PathBuf};

#[test]
fn the_certificate_of_another_gateway_is_refused() -> Result<()> {
    case("other-certificate", |scratch| {
        let peer = peer(scratch)?;
        let mut hub = Hub::start(scratch)?;
        let api = hub.sign_in()?;
        let quic = hub.quic();
        let mut first = prepare(scratch, "first", &peer, |plan| plan.hub(quic))?;
        let mut second = prepare(scratch, "second", &peer, |plan| plan.hub(quic))?;
        first.enrol(&hub.claim("Plant", "First", "F1")?)?;
        second.enrol(&hub.claim("Plant", "Second", "S1")?)?;
        first.start()?;
        second.start()?;
        for code in ["F1", "S1"] {
            arrives(&api, code)?;
        }
        first.stop()?;
        let (own, others) = (identity(&first), identity(&second));
        copy(&others, &own)?;
        first.start()?;
        let words =
            "the certificate belongs to another gateway; enrol this box with a claim of its own";
        link_says(&first.api(), "refused", &[words])?;
        hub_logs(
            &mut hub,
            &["a gateway was refused", "belongs to another gateway"],
        )?;
        let held = readings_at_hub(&api, "F1")?;
        goes_on(&first.api(), HEALTHY)?;
        // The rightful owner is not shut out by it.
        link_says(&second.api(), "connected", &[])?;
        arrives(&api, "S1")?;
        ensure!(
            readings_at_hub(&api, "F1")? == held,
            "readings came in all the same"
        );
        // The remedy that the words name.
        let claim = hub.claim("Plant", "First", "F1")?;
        refuses(&first, &["enrol", &claim], &["--again"])?;
        first.cli(&["enrol", &claim, "--again"])?;
        link_says(&first.api(), "connected", &[])?;
        nothing_waits(&first)?;
        arrives(&api, "F1")?;
        first.stop()?;
        second.stop()?;
        hub.stop()
    })
}

#[test]
fn a_revoked_gateway_is_shut_out_while_it_is_connected() -> Result<()> {
    case("revoked", |scratch| {
        let peer = peer(scratch)?;
        let mut hub = Hub::start(scratch)?;
        let api = hub.sign_in()?;
        let quic = hub.quic();
        let mut agent = prepare(scratch, "box", &peer, |plan| plan.hub(quic))?;
        agent.enrol(&hub.claim("Plant", "Box", "B1")?)?;
        agent.start()?;
        arrives(&api, "B1")?;
        hub.cli(&["gateway", "revoke", "B1", "--json"])?;
        let words = [
            "this box was withdrawn at the hub",
            "enrol it with a new claim",
        ];
        link_says(&agent.api(), "refused", &words)?;
        hub_logs(&mut hub, &["a gateway was refused", words[0]])?;
        let gateway = gateway_at_hub(&api, "B1")?;
        ensure!(gateway["state"] == "revoked", "{gateway}");
        let held = readings_at_hub(&api, "B1")?;
        ensure!(held > 0, "what it brought is gone");
        goes_on(&agent.api(), HEALTHY)?;
        ensure!(
            readings_at_hub(&api, "B1")? == held,
            "readings came in all the same"
        );
        agent.cli(&["enrol", &hub.claim("Plant", "Box", "B1")?, "--again"])?;
        link_says(&agent.api(), "connected", &[])?;
        nothing_waits(&agent)?;
        arrives(&api, "B1")?;
        agent.stop()?;
        hub.stop()
    })
}

/// Waits until what was kept meanwhile is at the hub: little waits, for more comes all the time.
fn nothing_waits(agent: &Agent) -> Result<()> {
    wait_for(
        "the kept readings to reach the hub",
        super::DEADLINE,
        || {
            let status = agent.api().get("/status")?;
            let waiting = status.pointer("/link/waiting_readings");
            let waiting = waiting
                .and_then(serde_json::Value::as_u64)
                .context("no number")?;
            ensure!(waiting < 20, "{waiting} still wait");
            Ok(Some(()))
        },
    )
}

fn identity(agent: &Agent) -> PathBuf {
    agent.folder().join("data/identity")
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    for entry in std::fs::read_dir(from).context("reading an identity")? {
        let entry = entry.context("reading an identity")?;
        std::fs::copy(entry.path(), to.join(entry.file_name())).context("copying an identity")?;
    }
    Ok(())
}
