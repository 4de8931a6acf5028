//! The ways between box and hub when the network is difficult: UDP blocked, a proxy that wants a
//! password, a hub that dies, an address that changes, more boxes than the hub takes. Real
//! processes and a third-party proxy; judged by what arrives and by what people are told.

pub(crate) mod authority;
mod doors;
mod identities;
mod path;
mod proxy;
mod udp_blocked;

use crate::plant::{DEADLINE, Plant, text};
use anyhow::{Result, ensure};
use harness::{PeerOptions, wait_for};
use serde_json::Value;
use std::time::Duration;

/// UDP blocked to connected over TCP.
const TCP_WAIT: Duration = Duration::from_secs(5);

/// A peer whose recorded series begins in the calm.
fn calm() -> PeerOptions {
    PeerOptions {
        start_again: true,
        ..PeerOptions::default()
    }
}

/// What the box shows of its link.
fn link(plant: &Plant) -> Result<Value> {
    Ok(plant.here.get("/status")?["link"].clone())
}

/// Since when the link is in its state.
fn since(plant: &Plant) -> Result<String> {
    Ok(text(&link(plant)?, "/since")?.to_owned())
}

/// Waits until the hub has got further readings.
fn arrives(plant: &Plant) -> Result<()> {
    let readings = || Ok::<_, anyhow::Error>(plant.at_the_hub()?["readings"].as_u64());
    let before = readings()?;
    wait_for("more readings at the hub", DEADLINE, || {
        Ok((readings()? > before).then_some(()))
    })
}

/// The connection carries all lanes both ways, and what was carried is the same on both sides.
fn carries_all(plant: &mut Plant) -> Result<()> {
    let order = plant.here.post(
        "/work-orders",
        &serde_json::json!({"by": crate::plant::ANNA, "title": "Belt slips", "asset": "M-2"}),
    )?;
    let path = format!("/work-orders/{}", text(&order, "/id")?);
    wait_for("the order at the hub", DEADLINE, || {
        Ok((plant.there.try_get(&path)?.status == 200).then_some(()))
    })?;
    let comment = serde_json::json!({"text": "Belt is on its way"});
    plant
        .there
        .post(&format!("{path}/actions/comment"), &comment)?;
    wait_for("the planner's comment on the box", DEADLINE, || {
        let order = plant.here.get(&path)?;
        Ok((order["comments"][0]["text"] == "Belt is on its way").then_some(()))
    })?;
    plant.come_to_rest()?;
    let (compared, _) = crate::readings::compare(plant, &crate::plant::recorded()?)?;
    ensure!(compared.readings > 0, "nothing was compared");
    Ok(())
}
