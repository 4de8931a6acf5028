//! A text in registers and the word of a state, from the device to the hub's interface: shown as they
//! are, over a cut uplink and a killed box, and the same text always under the same number.

use crate::plant::DEADLINE;
use anyhow::{Context as _, Result, ensure};
use harness::registers::Registers;
use harness::{Agent, Api, Hub, Relay, in_scratch, ports, wait_for};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// The unit that has a batch number in registers 0 to 3 and a state in register 10.
const UNIT: u8 = 7;
const BATCH: &str = "press/batch";
const STATE: &str = "press/state";

#[test]
fn texts_and_states_are_shown_in_words_on_both_sides() -> Result<()> {
    in_scratch("texts", run)
}

fn run(scratch: &harness::Scratch) -> Result<()> {
    let hub = Hub::start(scratch)?;
    let there = hub.sign_in()?;
    let relay = Relay::start(hub.quic())?;
    let registers = Registers::start()?;
    for (register, pair) in [(0, *b"LO"), (1, *b"T-"), (2, *b"00"), (3, *b"17")] {
        registers.set(UNIT, register, u16::from_be_bytes(pair));
    }
    registers.set(UNIT, 10, 1);
    let web = ports::free()?;
    let text = config([registers.address(), relay.address(), web]);
    let mut agent = Agent::prepare(scratch, "box", web, |_| text)?;
    agent.enrol(&hub.claim("North works", "Hall B", "HB")?)?;
    agent.start()?;
    let here = agent.api();
    let first = shows(&here, BATCH, "LOT-0017")?;
    ensure!(
        shows(&there, BATCH, "LOT-0017")? == first,
        "box and hub have different numbers for one text"
    );
    ensure!(
        shows(&here, STATE, "running")? == json!(1.0),
        "the number is there too"
    );
    shows(&there, STATE, "running")?;

    // A new text that the hub cannot hear of, and a box that dies of it.
    relay.cut();
    registers.set(UNIT, 3, u16::from_be_bytes(*b"18"));
    registers.set(UNIT, 10, 2);
    let second = shows(&here, BATCH, "LOT-0018")?;
    ensure!(second != first, "two texts have one number");
    agent.kill9()?;
    agent.start()?;
    ensure!(
        shows(&here, BATCH, "LOT-0018")? == second,
        "a text got another number after the box was killed"
    );
    relay.restore();
    ensure!(
        shows(&there, BATCH, "LOT-0018")? == second,
        "box and hub have different numbers for one text"
    );
    // 2 has no word: then there is the number alone.
    wait_for("the state without a word at the hub", DEADLINE, || {
        let state = sensor(&there, STATE)?;
        Ok((state["value"] == 2.0 && state["text"] == Value::Null).then_some(()))
    })?;
    registers.set(UNIT, 3, u16::from_be_bytes(*b"17"));
    ensure!(
        shows(&there, BATCH, "LOT-0017")? == first,
        "a text that came again got another number"
    );
    #[expect(clippy::print_stdout, reason = "the figures of docs/promises.md")]
    {
        println!("measured: 2 texts with the numbers {first} and {second} on both sides");
    }
    Ok(())
}

fn sensor(api: &Api, path: &str) -> Result<Value> {
    let sensors = api.list("/sensors")?;
    let found = sensors.into_iter().find(|sensor| sensor["path"] == path);
    found.with_context(|| format!("no sensor {path}"))
}

/// Waits until a sensor is shown with this text and a good value; gives the value.
fn shows(api: &Api, path: &str, text: &str) -> Result<Value> {
    wait_for(&format!("{path} to be {text}"), DEADLINE, || {
        let sensor = sensor(api, path)?;
        let is_shown = sensor["text"] == text && sensor["quality"] == "good";
        Ok(is_shown.then(|| sensor["value"].clone()))
    })
}

fn config([registers, hub, web]: [SocketAddr; 3]) -> String {
    format!(
        r#"[gateway]
data_dir = "data"
name = "Hall B"
clock_trusted = true

[hub]
address = "{hub}"
keep_alive = "1s"
reconnect_max = "1s"
live_every = "1s"

[storage]
commit_tick = "100ms"

[web]
listen = "{web}"

[[port]]
name = "line"
protocol = "modbus"
address = "{registers}"

[[device]]
name = "press"
port = "line"
unit = {UNIT}
poll = "100ms"

[[device.sensor]]
name = "batch"
address = "hr:0"
type = "str:8"

[[device.sensor]]
name = "state"
address = "hr:10"
enum = {{ 0 = "stopped", 1 = "running" }}
"#
    )
}
