//! What goes wrong in a plant, each with the clear words that its person sees, while the rest of
//! the plant goes on. Real processes and third-party peers; never a look inside the programs.

mod claims;
mod devices;
mod identities;
mod starting;
mod stores;

use anyhow::{Context as _, Result, ensure};
use harness::{Agent, Api, Hub, ModbusPeer, PeerOptions, Scratch, in_scratch, ports, wait_for};
use serde_json::Value;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Longest wait for anything; generous, for loaded machines.
const DEADLINE: Duration = Duration::from_secs(60);

/// Runs one case in its own folder and says how long its fault was shown and lived with.
#[expect(clippy::print_stdout, reason = "the promises runner reads it")]
fn case(name: &str, run: impl FnOnce(&Scratch) -> Result<()>) -> Result<()> {
    let started = Instant::now();
    in_scratch(name, run)?;
    println!("measured: {name} {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// A box's configuration in the making.
struct Plan {
    text: String,
}

impl Plan {
    /// A box with its page on `web`, which stores often so that tests see soon what it reads.
    fn new(web: SocketAddr) -> Self {
        let text = format!(
            "[gateway]\ndata_dir = \"data\"\nname = \"Box\"\n\n\
             [storage]\ncommit_tick = \"100ms\"\n\n[web]\nlisten = \"{web}\"\n"
        );
        Self { text }
    }

    /// It synchronises with the hub at `address`.
    fn hub(mut self, address: SocketAddr) -> Self {
        self.add(&format!(
            "[hub]\naddress = \"{address}\"\nkeep_alive = \"2s\"\nreconnect_max = \"2s\""
        ));
        self
    }

    /// Further lines, as they are.
    fn with(mut self, text: &str) -> Self {
        self.add(text);
        self
    }

    /// A Modbus port.
    fn port(mut self, name: &str, address: SocketAddr) -> Self {
        self.add(&format!(
            "[[port]]\nname = \"{name}\"\nprotocol = \"modbus\"\naddress = \"{address}\"\n\
             timeout = \"300ms\""
        ));
        self
    }

    /// A device that is polled five times a second; sensors as (name, address, type).
    fn device(mut self, name: &str, port: &str, unit: u8, sensors: &[(&str, &str, &str)]) -> Self {
        self.add(&format!(
            "[[device]]\nname = \"{name}\"\nport = \"{port}\"\nunit = {unit}\npoll = \"200ms\""
        ));
        for (name, address, kind) in sensors {
            self.add(&format!(
                "[[device.sensor]]\nname = \"{name}\"\naddress = \"{address}\"\ntype = \"{kind}\"\n\
                 unit_name = \"degC\""
            ));
        }
        self
    }

    fn add(&mut self, text: &str) {
        self.text.push('\n');
        self.text.push_str(text);
        self.text.push('\n');
    }
}

/// The one sensor that most boxes here have; its path is `HEALTHY` on the device "healthy".
const VALUE: (&str, &str, &str) = ("value", "hr:0", "f32");
const HEALTHY: &str = "healthy/value";

/// A peer that serves the recorded series for as long as a test may take.
fn peer(scratch: &Scratch) -> Result<ModbusPeer> {
    let options = PeerOptions {
        start_again: true,
        ..PeerOptions::default()
    };
    ModbusPeer::start(scratch, options)
}

/// A box called `name` with one healthy device on the peer and `more` in its plan, not started.
fn prepare(
    scratch: &Scratch,
    name: &str,
    peer: &ModbusPeer,
    more: impl FnOnce(Plan) -> Plan,
) -> Result<Agent> {
    let web = ports::free()?;
    let plan = Plan::new(web)
        .port("line", peer.address())
        .device("healthy", "line", 1, &[VALUE]);
    Agent::prepare(scratch, name, web, |_| more(plan).text)
}

/// The sensor with this path.
fn sensor(api: &Api, path: &str) -> Result<Value> {
    let sensors = api.list("/sensors")?;
    let found = sensors
        .into_iter()
        .find(|sensor| text(sensor, "/path") == path);
    found.with_context(|| format!("there is no sensor {path}"))
}

/// Waits until the sensor has no value, because of `words`.
fn is_bad(api: &Api, path: &str, words: &str) -> Result<()> {
    wait_for(&format!("{path} to be bad: {words}"), DEADLINE, || {
        let now = sensor(api, path)?;
        let bad = now["quality"] == "bad" && now["value"].is_null();
        ensure!(bad && now["quality_words"] == words, "{now}");
        Ok(Some(()))
    })
}

/// Waits until the sensor's readings move on: three new ones, all good.
fn goes_on(api: &Api, path: &str) -> Result<()> {
    for _ in 0..3 {
        let before = sensor(api, path)?;
        wait_for(&format!("a new good reading of {path}"), DEADLINE, || {
            let now = sensor(api, path)?;
            ensure!(now["quality"] == "good", "it is {now}");
            Ok((now["time"] != before["time"]).then_some(()))
        })?;
    }
    Ok(())
}

/// Waits until a device of the box is in `state` with all of `parts` in its words.
fn device_says(api: &Api, name: &str, state: &str, parts: &[&str]) -> Result<String> {
    wait_for(
        &format!("{name} to be {state} with {parts:?}"),
        DEADLINE,
        || {
            let status = api.get("/status")?;
            let devices = status["devices"].as_array().context("no devices")?;
            let device = devices.iter().find(|device| device["name"] == name);
            let device = device.context("no such device")?;
            let words = text(device, "/words");
            ensure!(device["state"] == state && holds(&words, parts), "{device}");
            Ok(Some(words))
        },
    )
}

/// Waits until the link of the box is in `state` with all of `parts` in its words.
fn link_says(api: &Api, state: &str, parts: &[&str]) -> Result<String> {
    let deadline = DEADLINE;
    wait_for(
        &format!("the link to be {state} with {parts:?}"),
        deadline,
        || {
            let status = api.get("/status")?;
            let words = text(&status, "/link/words");
            let right = status.pointer("/link/state").is_some_and(|is| is == state);
            ensure!(right && holds(&words, parts), "{}", status["link"]);
            Ok(Some(words))
        },
    )
}

/// Readings that the hub holds of the gateway with this code.
fn readings_at_hub(hub: &Api, code: &str) -> Result<u64> {
    let gateway = gateway_at_hub(hub, code)?;
    gateway["readings"]
        .as_u64()
        .context("no number of readings")
}

fn gateway_at_hub(hub: &Api, code: &str) -> Result<Value> {
    let gateways = hub.list("/gateways")?;
    let found = gateways.into_iter().find(|gateway| gateway["code"] == code);
    found.with_context(|| format!("the hub has no gateway {code}"))
}

/// Waits until the hub gets further readings of the gateway with this code.
fn arrives(hub: &Api, code: &str) -> Result<()> {
    let before = readings_at_hub(hub, code)?;
    wait_for(
        &format!("more readings of {code} at the hub"),
        DEADLINE,
        || Ok((readings_at_hub(hub, code)? > before).then_some(())),
    )
}

/// Waits until the log of the hub has all of `parts`.
fn hub_logs(hub: &mut Hub, parts: &[&str]) -> Result<()> {
    wait_for(&format!("the hub to log {parts:?}"), DEADLINE, || {
        Ok(holds(&hub.program()?.log()?, parts).then_some(()))
    })
}

/// A command of the box that must fail with all of `parts` in what it says.
fn refuses(agent: &Agent, args: &[&str], parts: &[&str]) -> Result<String> {
    let result = agent.try_cli(args)?;
    let said = result.stderr;
    ensure!(
        result.code == Some(1) && holds(&said, parts),
        "edge-agent {args:?} gave {:?} and not {parts:?}: {said}",
        result.code
    );
    Ok(said)
}

fn holds(text: &str, parts: &[&str]) -> bool {
    parts.iter().all(|part| text.contains(part))
}

fn text(value: &Value, pointer: &str) -> String {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default().to_owned()
}
