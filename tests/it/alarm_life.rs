//! The life of alerts in the running box: a line that goes down with two hundred sensors is one alert
//! with all of them under it, what is shelved stays so over a kill, a switch that chatters is one line,
//! and the command line tells the load.

use anyhow::{Context as _, Result, ensure};
use harness::{Agent, Api, Registers, Scratch, in_scratch, ports, wait_for};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(60);
const UNIT: u8 = 1;
/// Sensors below the line.
const CHILDREN: u16 = 200;
/// Register that says that the line is down, and those of a switch and of a temperature.
const LINE: u16 = 500;
const SWITCH: u16 = 501;
const HEAT: u16 = 502;

#[test]
fn alarm_life() -> Result<()> {
    in_scratch("alarm-life", run)
}

fn config(address: &str, web: &str) -> String {
    let mut text = format!(
        "[gateway]\ndata_dir = \"data\"\nclock_trusted = true\n\n[storage]\ncommit_tick = \"100ms\"\n\n\
         [web]\nlisten = \"{web}\"\n\n[alarms]\nchatter_calm = \"10s\"\nrelease_after = \"2s\"\n\n\
         [[asset]]\ntag = \"LINE\"\ncriticality = \"A\"\n\n[[port]]\nname = \"p\"\nprotocol = \"modbus\"\n\
         address = \"{address}\"\n"
    );
    let device = |name: &str, registers: &[(String, u16)]| {
        let mut text = format!(
            "\n[[device]]\nname = \"{name}\"\nport = \"p\"\nunit = {UNIT}\npoll = \"200ms\"\nasset = \"LINE\"\n"
        );
        for (sensor, register) in registers {
            write!(
                text,
                "\n[[device.sensor]]\nname = \"{sensor}\"\naddress = \"hr:{register}\"\ntype = \"u16\"\n"
            )
            .unwrap_or_default();
        }
        text
    };
    let mut children: Vec<(String, u16)> = (0..CHILDREN).map(|n| (format!("s{n}"), n)).collect();
    let rules: Vec<String> = children
        .iter()
        .map(|(name, _)| {
            format!("\n[[rule]]\nname = \"{name}\"\nsensor = \"line/{name}\"\nhigh = 9000.0\n")
        })
        .collect();
    children.push(("down".to_owned(), LINE));
    text.push_str(&device("line", &children));
    let others = [("switch".to_owned(), SWITCH), ("heat".to_owned(), HEAT)];
    text.push_str(&device("other", &others));
    text.push_str(&rules.concat());
    text.push_str(
        "\n[[rule]]\nname = \"line down\"\nsensor = \"line/down\"\nhigh = 9000.0\nseverity = \"high\"\n\
         outage = \"device\"\n\n[[rule]]\nname = \"switch\"\nsensor = \"other/switch\"\nhigh = 9000.0\n\n\
         [[rule]]\nname = \"heat\"\nsensor = \"other/heat\"\nhigh = 9000.0\nseverity = \"high\"\n",
    );
    text
}

fn run(scratch: &Scratch) -> Result<()> {
    let registers = Registers::start()?;
    for register in [LINE, SWITCH, HEAT] {
        registers.set(UNIT, register, 0);
    }
    for register in 0..CHILDREN {
        registers.set(UNIT, register, 0);
    }
    let web = ports::free()?;
    let address = registers.address().to_string();
    let mut agent = Agent::prepare(scratch, "box", web, |_| config(&address, &web.to_string()))?;
    agent.start()?;
    let api = agent.api();
    wait_for("readings", DEADLINE, || {
        let sensors = api.list("/sensors")?;
        Ok(sensors
            .iter()
            .all(|sensor| sensor["value"].is_number())
            .then_some(()))
    })?;
    outage(&api, &registers)?;
    shelved(&mut agent, &registers)?;
    chatter(&agent.api(), &registers)?;
    let load = agent.cli(&["alerts", "load", "--hours", "1"])?;
    let alerts = load["alerts"].as_u64().context("no count of alerts")?;
    let all = agent.api().list("/alerts?state=all")?;
    ensure!(alerts == u64::try_from(all.len())?, "{load}");
    crate::measured(&format!(
        "{alerts} alerts in all, one of them for {CHILDREN} sensors that failed with their line"
    ));
    agent.stop()
}

/// The line is down: one alert, and all that failed with it stands under it.
fn outage(api: &Api, registers: &Registers) -> Result<()> {
    registers.set(UNIT, LINE, 10_000);
    for register in 0..CHILDREN {
        registers.set(UNIT, register, 10_000);
    }
    let parent = wait_for(
        "the line's alert with all sensors under it",
        DEADLINE,
        || {
            let alerts = api.list("/alerts?state=all")?;
            let Some(parent) = alerts.iter().find(|alert| alert["rule"] == "line down") else {
                return Ok(None);
            };
            let parent = api.get(&format!("/alerts/{}", text(parent, "id")?))?;
            let under = parent["suppresses"].as_array().map_or(0, Vec::len);
            Ok((under == usize::from(CHILDREN)).then_some(parent))
        },
    )?;
    ensure!(
        parent["severity"] == "critical",
        "high on an asset of criticality A: {parent}"
    );
    let alerts = api.list("/alerts?state=all")?;
    ensure!(
        alerts.len() == 1,
        "one alert, not {}: {alerts:?}",
        alerts.len()
    );
    let child = api.list("/alarms?state=held")?;
    ensure!(child.iter().all(|alarm| alarm["isa"] == "H"), "{child:?}");
    registers.set(UNIT, LINE, 0);
    for register in 0..CHILDREN {
        registers.set(UNIT, register, 0);
    }
    wait_for("nothing to be held back any more", DEADLINE, || {
        Ok(api.list("/alarms?state=held")?.is_empty().then_some(()))
    })?;
    let alerts = api.list("/alerts?state=all")?;
    ensure!(
        alerts.len() == 1,
        "nothing follows when the line is back: {alerts:?}"
    );
    Ok(())
}

/// What is shelved is not told, over a kill; and is when a person takes it back.
fn shelved(agent: &mut Agent, registers: &Registers) -> Result<()> {
    let shelve = [
        "alerts", "shelve", "heat", "--for", "1h", "--reason", "known", "--by", "Ana",
    ];
    let alarm = agent.cli(&shelve)?;
    ensure!(
        alarm["isa"] == "G" && alarm["shelved"]["by"] == "Ana",
        "{alarm}"
    );
    registers.set(UNIT, HEAT, 10_000);
    let is_withheld = |api: &Api| -> Result<Option<Value>> {
        let held = api.list("/alarms?state=held")?;
        let heat = held.into_iter().find(|alarm| alarm["rule"] == "heat");
        Ok(heat.filter(|alarm| alarm["withheld"]["value"] == json!(10_000.0)))
    };
    wait_for("it to be abnormal and not told", DEADLINE, || {
        is_withheld(&agent.api())
    })?;
    agent.kill9()?;
    agent.start()?;
    let api = agent.api();
    wait_for("it still to be held back", DEADLINE, || is_withheld(&api))?;
    let raised = |api: &Api| -> Result<Option<Value>> {
        let alerts = api.list("/alerts?state=all")?;
        Ok(alerts.into_iter().find(|alert| alert["rule"] == "heat"))
    };
    ensure!(raised(&api)?.is_none(), "it was told though it is shelved");
    let alarm = agent.cli(&["alerts", "unshelve", "heat", "--by", "Ben"])?;
    ensure!(alarm["shelved"].is_null(), "{alarm}");
    let alert = wait_for("its alert", DEADLINE, || raised(&api))?;
    ensure!(alert["severity"] == "critical", "{alert}");
    Ok(())
}

/// A switch that goes on and off is one line that stays until it is calm.
fn chatter(api: &Api, registers: &Registers) -> Result<()> {
    let switch = |api: &Api| -> Result<Value> {
        let alarms = api.list("/alarms")?;
        let found = alarms.into_iter().find(|alarm| alarm["rule"] == "switch");
        found.context("no rule switch")
    };
    let sensor = |api: &Api| -> Result<Value> {
        let sensors = api.list("/sensors")?;
        let found = sensors
            .into_iter()
            .find(|sensor| sensor["name"] == "switch");
        found.context("no sensor switch")
    };
    for turn in 0..8 {
        let value = if turn % 2 == 0 { 10_000 } else { 0 };
        registers.set(UNIT, SWITCH, value);
        wait_for("the switch to be read", DEADLINE, || {
            Ok((sensor(api)?["value"] == json!(f64::from(value))).then_some(()))
        })?;
    }
    ensure!(
        !switch(api)?["chattering_since"].is_null(),
        "{}",
        switch(api)?
    );
    let alerts = api.list("/alerts?state=all")?;
    let of_switch: Vec<&Value> = alerts
        .iter()
        .filter(|alert| alert["rule"] == "switch")
        .collect();
    ensure!(of_switch.len() == 3, "the third stays: {of_switch:?}");
    let open = of_switch.iter().filter(|alert| alert["state"] != "closed");
    ensure!(open.count() == 1, "one line: {of_switch:?}");
    wait_for("it to be calm and over", DEADLINE, || {
        let alarm = switch(api)?;
        Ok((alarm["chattering_since"].is_null() && alarm["state"] == "cleared").then_some(()))
    })?;
    Ok(())
}

fn text<'a>(shape: &'a Value, field: &str) -> Result<&'a str> {
    shape[field]
        .as_str()
        .with_context(|| format!("no {field} in {shape}"))
}
