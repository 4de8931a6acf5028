//! The box's page by HTTPS in a real browser that was given the site's authority: starts a box with HTTPS
//! and hands its addresses to `tests/e2e/trusted.mjs`. Never looks at a page itself.

use crate::browser::{PumpBox, Script};
use anyhow::{Result, bail, ensure};
use harness::registers::Registers;
use harness::{in_scratch, ports, wait_for};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(60);
/// Tenths of a degree.
const HOT: u16 = 910;

#[test]
fn trusted_page() -> Result<()> {
    in_scratch("trusted_page", |scratch| {
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
        let https = ports::free()?;
        let config = std::fs::read_to_string(agent.config())?;
        let with =
            format!("[web]\nhttps_listen = \"{https}\"\nhttps_names = [\"press-hall.local\"]\n");
        ensure!(config.contains("[web]\n"), "{config}");
        std::fs::write(agent.config(), config.replacen("[web]\n", &with, 1))?;
        agent.start()?;
        wait_for("the order of the alert", DEADLINE, || {
            let there = agent.api().list("/work-orders")?.len();
            Ok((there == 1).then_some(()))
        })?;
        let script = Script::start(
            "trusted.mjs",
            &[
                ("CHATTERFIX_BOX", agent.api().base().to_owned()),
                ("CHATTERFIX_BOX_HTTPS", format!("https://{https}")),
            ],
        )?;
        script.run(|wanted| match wanted {
            "kill-box" => agent.kill9(),
            "start-box" => agent.start(),
            other => bail!("the script asks for {other}"),
        })?;
        agent.stop()
    })
}
