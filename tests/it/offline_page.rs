//! The box's page without its box: starts a box whose pump runs hot and hands its address to
//! `tests/e2e/offline.mjs`, which drives two phones whose network is cut and says when the box is
//! to be killed. Never looks at a page itself.

use crate::browser::{PumpBox, Script};
use anyhow::{Result, bail};
use harness::registers::Registers;
use harness::{in_scratch, wait_for};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(60);
/// Tenths of a degree.
const HOT: u16 = 910;

#[test]
fn offline_page() -> Result<()> {
    in_scratch("offline_page", |scratch| {
        let plant = Registers::start()?;
        plant.set(1, 0, HOT);
        let mut agent = PumpBox {
            name: "Press hall 2",
            plant: plant.address(),
            hub: None,
            bearing: "type = \"i16\"\nscale = 0.1",
            motor: 1,
            limit: 80.0,
        }
        .prepare(scratch)?;
        agent.start()?;
        wait_for("the alert and its order", DEADLINE, || {
            let there =
                agent.api().list("/alerts")?.len() + agent.api().list("/work-orders")?.len();
            Ok((there == 2).then_some(()))
        })?;
        let address = agent.api().base().to_owned();
        let script = Script::start("offline.mjs", &[("CHATTERFIX_BOX", address)])?;
        script.run(|wanted| match wanted {
            "kill-box" => agent.kill9(),
            "start-box" => agent.start(),
            other => bail!("the script asks for {other}"),
        })?;
        agent.stop()
    })
}
