//! The box's page without its box: starts a box whose pump runs hot and hands its address to
//! `tests/e2e/offline.mjs`, which drives two phones whose network is cut and says when the box is
//! to be killed. Never looks at a page itself.

use crate::browser::Script;
use anyhow::{Result, bail};
use harness::registers::Registers;
use harness::{Agent, Scratch, in_scratch, ports, wait_for};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(60);
/// Tenths of a degree.
const HOT: u16 = 910;

#[test]
fn offline_page() -> Result<()> {
    in_scratch("offline_page", |scratch| {
        let plant = Registers::start()?;
        plant.set(1, 0, HOT);
        let mut agent = box_of(scratch, &plant)?;
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

fn box_of(scratch: &Scratch, plant: &Registers) -> Result<Agent> {
    let (plant, web) = (plant.address(), ports::free()?);
    Agent::prepare(scratch, "box", web, |_| {
        format!(
            r#"
[gateway]
data_dir = "data"
name = "Press hall 2"

[storage]
commit_tick = "200ms"

[web]
listen = "{web}"

[[port]]
name = "line-a"
protocol = "modbus"
address = "{plant}"

[[device]]
name = "pump-7"
port = "line-a"
asset = "P-247"
unit = 1
poll = "500ms"

[[device.sensor]]
name = "bearing_temp"
address = "hr:0"
type = "i16"
scale = 0.1
unit_name = "degC"
range = [0.0, 150.0]

[[device.sensor]]
name = "motor_temp"
address = "hr:1"
type = "i16"
scale = 0.1
unit_name = "degC"

[[rule]]
name = "P-247 bearing"
sensor = "pump-7/bearing_temp"
high = 80.0
severity = "high"
title = "Bearing of pump 7 runs hot"

[rule.work_order]
title = "Check bearing and seal of pump 7"
"#
        )
    })
}
