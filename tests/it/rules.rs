//! Rules in the running box: what `rules test` finds in what the box recorded is what it raised at the
//! time; and a rule that a person has learn anew still does after a kill.

use crate::plant::{now, time};
use anyhow::{Context as _, Result, ensure};
use harness::{Agent, Api, Registers, Scratch, in_scratch, ports, wait_for};
use protocol::time::Timestamp;
use protocol::view::rfc3339;
use serde_json::{Value, json};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(60);
const UNIT: u8 = 1;
const PRESSURE: u16 = 10;
const MODE: u16 = 11;

#[test]
fn rules() -> Result<()> {
    in_scratch("rules", run)
}

fn config(address: &str, web: &str) -> String {
    format!(
        r#"
[gateway]
data_dir = "data"
clock_trusted = true
[storage]
commit_tick = "100ms"
[web]
listen = "{web}"
[[port]]
name = "p"
protocol = "modbus"
address = "{address}"
[[device]]
name = "pump"
port = "p"
unit = {UNIT}
poll = "100ms"
[[device.sensor]]
name = "pressure"
address = "hr:{PRESSURE}"
type = "u16"
[[device.sensor]]
name = "mode"
address = "hr:{MODE}"
type = "u16"
[[rule]]
name = "high"
sensor = "pump/pressure"
high = 800.0
deadband = 50.0
on_delay = "450ms"
[[rule]]
name = "fast"
sensor = "pump/pressure"
rises = 500.0
within = "10s"
[[rule]]
name = "fault"
sensor = "pump/mode"
states = [3]
[[rule]]
name = "odd"
kind = "deviation"
sensor = "pump/pressure"
"#
    )
}

fn run(scratch: &Scratch) -> Result<()> {
    let registers = Registers::start()?;
    registers.set(UNIT, PRESSURE, 100);
    registers.set(UNIT, MODE, 1);
    let web = ports::free()?;
    let address = registers.address().to_string();
    let mut agent = Agent::prepare(scratch, "box", web, |_| config(&address, &web.to_string()))?;
    let from = now()?;
    agent.start()?;
    replayed(&agent, &registers, from)?;
    learns_anew(&mut agent)?;
    agent.stop()
}

/// A threshold, a rate and a state come and go; the recorded readings tell the same again.
fn replayed(agent: &Agent, registers: &Registers, from: Timestamp) -> Result<()> {
    let api = agent.api();
    let raised = |rule: &str, over: bool| {
        wait_for(&format!("{rule}, over: {over}"), DEADLINE, || {
            let alerts = api.list("/alerts?state=all")?;
            let found = alerts.into_iter().find(|alert| alert["rule"] == rule);
            Ok(found.filter(|alert| !over || !alert["cleared_at"].is_null()))
        })
    };
    wait_for("readings", DEADLINE, || {
        let sensors = api.list("/sensors")?;
        let is_read = |sensor: &Value| sensor["value"].is_number();
        Ok((sensors.len() == 2 && sensors.iter().all(is_read)).then_some(()))
    })?;
    registers.set(UNIT, PRESSURE, 900);
    raised("high", false)?;
    raised("fast", false)?;
    registers.set(UNIT, MODE, 3);
    raised("fault", false)?;
    registers.set(UNIT, PRESSURE, 100);
    registers.set(UNIT, MODE, 1);
    for rule in ["high", "fast", "fault"] {
        raised(rule, true)?;
    }
    let until = rfc3339(now()?);
    let tested = agent.cli(&["rules", "test", "--from", &rfc3339(from), "--to", &until])?;
    let live = shown(&api.list("/alerts?state=all")?)?;
    let again = shown(tested["alerts"].as_array().context("no alerts")?)?;
    ensure!(live.len() == 3, "{live:?}");
    ensure!(again == live, "tested {again:?}, raised {live:?}");
    let readings = tested["readings"].as_u64().context("no count")?;
    crate::measured(&format!(
        "{} alerts found again in {readings} recorded readings, to the millisecond",
        live.len()
    ));
    Ok(())
}

/// Rule, value, begin and end in milliseconds: readings are shown so.
fn shown(alerts: &[Value]) -> Result<Vec<(String, String, i64, i64)>> {
    let ms = |alert: &Value, at: &str| Ok::<_, anyhow::Error>(time(alert, at)?.0 / 1_000);
    let mut all = Vec::new();
    for alert in alerts {
        let rule = alert["rule"].as_str().context("no rule")?.to_owned();
        let value = alert["value"].to_string();
        let (begin, end) = (ms(alert, "/raised_at")?, ms(alert, "/cleared_at")?);
        all.push((rule, value, begin, end));
    }
    all.sort();
    Ok(all)
}

/// What the box shows of the rule that learns: until when.
fn until(api: &Api) -> Result<Option<Timestamp>> {
    let status = api.get("/status")?;
    let learning = status["learning"].as_array().context("no learning")?;
    let odd = learning.iter().find(|learner| learner["rule"] == "odd");
    odd.map(|odd| time(odd, "/until")).transpose()
}

fn learns_anew(agent: &mut Agent) -> Result<()> {
    let began = wait_for("it to learn", DEADLINE, || until(&agent.api()))?;
    let refused = agent.try_cli(&[
        "alerts", "relearn", "high", "--reason", "new pump", "--by", "Ana",
    ])?;
    ensure!(refused.code != Some(0), "a limit has learned nothing");
    let alarm = agent.cli(&[
        "alerts", "relearn", "odd", "--reason", "new pump", "--by", "Ana",
    ])?;
    let said = &alarm["learns_anew"];
    ensure!(
        (&said["by"], &said["reason"]) == (&json!("Ana"), &json!("new pump")),
        "{alarm}"
    );
    let anew = wait_for("it to learn anew", DEADLINE, || {
        Ok(until(&agent.api())?.filter(|until| *until > began))
    })?;
    agent.kill9()?;
    agent.start()?;
    let after = wait_for("it to learn on", DEADLINE, || until(&agent.api()))?;
    ensure!(
        after == anew,
        "until {after:?} after the kill, {anew:?} before"
    );
    Ok(())
}
