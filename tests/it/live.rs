//! With the uplink there: an alarm is at the hub, and a planner's word on the box, within seconds.

use crate::plant::{ANNA, DEADLINE, LOW, Plant, now, text};
use anyhow::{Context as _, Result, ensure};
use harness::{PeerOptions, in_scratch, wait_for};
use serde_json::json;
use std::time::{Duration, Instant};

/// Longest way of an alarm from the register to the hub, and of a comment from the hub to the box.
/// Generous: two programs, a server and other tests share two cores.
const WAY_MAX: Duration = Duration::from_secs(10);
const CALM_ROW: usize = 19_380;

#[test]
fn live() -> Result<()> {
    in_scratch("live", |scratch| {
        let options = PeerOptions {
            samples_per_s: 40.0,
            first_row: CALM_ROW,
            hold_row: Some(CALM_ROW),
            ..PeerOptions::default()
        };
        run(&Plant::start(scratch, options)?)
    })
}

fn run(plant: &Plant) -> Result<()> {
    plant.wait_for_link("connected")?;
    plant.peer.go_on()?;
    let (alert, seen) = wait_for("the alarm at the hub", DEADLINE, || {
        let alert = plant.there.list("/alerts?state=open")?.into_iter().next();
        alert.map(|alert| Ok((alert, now()?))).transpose()
    })?;
    let changed = plant
        .peer
        .served()?
        .into_iter()
        .find(|answer| answer.value < LOW);
    let changed = changed.context("pymodbus served no low temperature")?;
    let up = Duration::from_micros(u64::try_from(seen.0 - changed.time_us)?);
    ensure!(
        up <= WAY_MAX,
        "the alarm took {up:?} from the register to the hub"
    );

    let order = text(&alert, "/work_order/id")?.to_owned();
    let said = Instant::now();
    plant.there.post(
        &format!("/work-orders/{order}/actions/comment"),
        &json!({"text": "The spare is on its way"}),
    )?;
    wait_for("the planner's comment on the box", WAY_MAX, || {
        let order = plant.here.get(&format!("/work-orders/{order}"))?;
        Ok((order["comments"][0]["text"] == "The spare is on its way").then_some(()))
    })?;
    let down = said.elapsed();
    acknowledged_everywhere(plant, text(&alert, "/id")?)?;
    #[expect(clippy::print_stdout, reason = "the figures of docs/promises.md")]
    {
        println!(
            "measured: register to alert at the hub {} ms, comment at the hub to the box {} ms",
            up.as_millis(),
            down.as_millis()
        );
    }
    Ok(())
}

/// Acknowledge anywhere is acknowledge everywhere.
fn acknowledged_everywhere(plant: &Plant, alert: &str) -> Result<()> {
    let action = format!("/alerts/{alert}/actions/acknowledge");
    plant.here.post(&action, &json!({"by": ANNA}))?;
    wait_for("the acknowledgement at the hub", WAY_MAX, || {
        let alert = plant.there.get(&format!("/alerts/{alert}"))?;
        Ok((alert["acknowledged_by"] == ANNA).then_some(()))
    })
}
