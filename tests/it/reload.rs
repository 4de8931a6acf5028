//! Another configuration without a restart: one device changes on a running box, and the other port's
//! readings go on in their stream without a hole while active alerts stay what they are. A file with
//! a mistake changes nothing, and there is a way back. Judged by the box's interface and, poll by
//! poll, by what its store holds.

use crate::plant::{DEADLINE, text, time};
use crate::readings::of_box;
use anyhow::{Context as _, Result, ensure};
use harness::registers::Registers;
use harness::{Agent, Api, in_scratch, ports, wait_for};
use protocol::id::{GatewayId, SensorId};
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;

/// Longest time between two polls of the port that goes on: its period is 20 ms, and
/// two programs share two cores with other tests.
const STEP_MAX: Duration = Duration::from_secs(1);
/// The port that goes on is watched for so long at least, in microseconds.
const WATCHED_US: i64 = 3_000_000;
/// Polls that must have been made on the port that goes on.
const POLLS_MIN: usize = 30;

#[test]
fn reload() -> Result<()> {
    in_scratch("reload", |scratch| {
        let (steady, changing) = (Registers::start()?, Registers::start()?);
        // Both are above the limit of their rule from the first poll on.
        steady.set(1, 0, 5_000);
        changing.set(1, 0, 5_000);
        let web = ports::free()?;
        let first = plan(web, steady.address(), changing.address());
        let mut agent = Agent::prepare(scratch, "box", web, |_| first.clone())?;
        agent.start()?;
        let api = agent.api();
        let gateway: GatewayId = text(&api.get("/status")?, "/gateway/id")?.parse()?;
        let alerts = wait_for("both alerts", DEADLINE, || {
            let alerts = active(&api)?;
            Ok((alerts.len() == 2).then_some(alerts))
        })?;
        let started = text(&api.get("/status")?, "/started_at")?.to_owned();
        let second = one_device_changes(&agent, &first)?;
        ensure!(
            active(&api)? == alerts,
            "the alerts are {:?}",
            active(&api)?
        );
        a_mistake_changes_nothing(&agent, &second)?;
        there_and_back(&agent, &first, &second)?;
        ensure!(
            active(&api)? == alerts,
            "the alerts are {:?}",
            active(&api)?
        );
        a_rule_that_goes_takes_its_alert(&mut agent, &first, &alerts)?;
        ensure!(
            text(&api.get("/status")?, "/started_at")? == started,
            "it was started again"
        );
        wait_for("polls after the last change", DEADLINE, || {
            let since = time(&api.get("/status")?, "/started_at")?;
            let sensors = api.list("/sensors")?;
            let walk = sensors
                .iter()
                .find(|sensor| sensor["path"] == "steady-1/walk");
            let last = time(walk.context("no steady-1/walk")?, "/time")?;
            Ok((last.micros_since(since) > WATCHED_US).then_some(()))
        })?;
        agent.stop()?;
        let longest = without_a_hole(&agent, gateway)?;
        println!(
            "measured: longest time between two polls of a port that went on, over five reloads: {} ms",
            longest.as_millis()
        );
        Ok(())
    })
}

/// Two ports with a device and a rule each.
fn plan(web: SocketAddr, steady: SocketAddr, changing: SocketAddr) -> String {
    let port = |name: &str, address: SocketAddr| {
        format!(
            "[[port]]\nname = \"{name}\"\nprotocol = \"modbus\"\naddress = \"{address}\"\n\
             [[device]]\nname = \"{name}-1\"\nport = \"{name}\"\npoll = \"20ms\"\n\
             [[device.sensor]]\nname = \"level\"\naddress = \"hr:0\"\n\
             [[device.sensor]]\nname = \"walk\"\naddress = \"hr:1\"\n\
             [[rule]]\nname = \"{name} full\"\nsensor = \"{name}-1/level\"\nhigh = 4000.0\n"
        )
    };
    format!(
        "[gateway]\ndata_dir = \"data\"\nclock_trusted = true\n[storage]\ncommit_tick = \"100ms\"\n\
         [web]\nlisten = \"{web}\"\n{}{}",
        port("steady", steady),
        port("changing", changing)
    )
}

/// Ids of the alerts that are not cleared.
fn active(api: &Api) -> Result<Vec<String>> {
    let alerts = api.list("/alerts?state=all")?;
    let open = alerts.iter().filter(|alert| alert["cleared_at"].is_null());
    let mut ids = open
        .map(|alert| Ok(text(alert, "/id")?.to_owned()))
        .collect::<Result<Vec<_>>>()?;
    ids.sort();
    Ok(ids)
}

fn value(api: &Api, path: &str) -> Result<Option<f64>> {
    let sensors = api.list("/sensors")?;
    let sensor = sensors.iter().find(|sensor| sensor["path"] == path);
    Ok(sensor.and_then(|sensor| sensor["value"].as_f64()))
}

fn fates(difference: &Value) -> Vec<(&str, &str)> {
    let ports = difference["ports"].as_array().map(Vec::as_slice);
    let ports = ports.unwrap_or_default().iter();
    ports
        .filter_map(|port| Some((port["port"].as_str()?, port["fate"].as_str()?)))
        .collect()
}

/// A sensor more and another scale on one device; gives the file.
fn one_device_changes(agent: &Agent, first: &str) -> Result<String> {
    let api = agent.api();
    let same = agent.cli(&["diff"])?;
    ensure!(same["changes"] == serde_json::json!([]), "{same}");
    let at = first.rfind("[[rule]]").context("no rule")?;
    let (plant, rule) = first.split_at(at);
    let more = "[[device.sensor]]\nname = \"more\"\naddress = \"hr:2\"\nscale = 0.5\n";
    let second = format!("{plant}{more}{rule}");
    std::fs::write(agent.config(), &second)?;
    let shown = agent.cli(&["diff"])?;
    ensure!(fates(&shown) == [("changing", "starts_anew")], "{shown}");
    let changes = shown["changes"].as_array().context("no changes")?;
    ensure!(
        changes.len() == 1
            && changes[0]["name"] == "changing-1/more"
            && changes[0]["what"] == "added",
        "{shown}"
    );
    ensure!(
        agent.cli(&["reload"])? == shown,
        "diff and reload say the same"
    );
    wait_for("the new sensor's value", DEADLINE, || {
        value(&api, "changing-1/more")
    })?;
    wait_for("the old sensor's value", DEADLINE, || {
        value(&api, "changing-1/walk")
    })?;
    Ok(second)
}

/// What is wrong is told with line and key, and all goes on.
fn a_mistake_changes_nothing(agent: &Agent, second: &str) -> Result<()> {
    let wrong = second.replace("scale = 0.5", "scael = 0.5");
    let line = wrong
        .lines()
        .position(|line| line == "scael = 0.5")
        .context("no line")?
        + 1;
    std::fs::write(agent.config(), &wrong)?;
    for command in ["diff", "reload"] {
        let told = agent.try_cli(&[command])?;
        ensure!(
            told.code == Some(1)
                && told.stderr.contains(&format!("edge.toml:{line}:1: "))
                && told.stderr.contains("did you mean \"scale\""),
            "{told:?}"
        );
    }
    ensure!(
        value(&agent.api(), "changing-1/more")?.is_some(),
        "it goes on"
    );
    Ok(())
}

/// Back to what runs, back to what ran before, and told that the page's address needs a restart.
fn there_and_back(agent: &Agent, first: &str, second: &str) -> Result<()> {
    let api = agent.api();
    let written = || std::fs::read_to_string(agent.config()).context("reading the configuration");
    let back = agent.cli(&["rollback"])?;
    ensure!(back["taken_over"] == true && written()? == second, "{back}");
    agent.cli(&["rollback"])?;
    ensure!(written()? == first, "the file is the first again");
    let before = agent.config().with_file_name("edge.toml.before");
    ensure!(
        std::fs::read_to_string(before)? == second,
        "the second is beside it"
    );
    let sensors = api.list("/sensors")?;
    ensure!(sensors.len() == 4, "the sensor is gone: {sensors:?}");
    wait_for("the port that changed to go on", DEADLINE, || {
        value(&api, "changing-1/level")
    })?;
    let other = first.replace("commit_tick = \"100ms\"", "commit_tick = \"150ms\"");
    std::fs::write(agent.config(), &other)?;
    let told = agent.cli(&["reload"])?;
    let needs = &told["needs_restart"][0];
    ensure!(
        needs["key"] == "storage.commit_tick"
            && needs["after"] == "\"150ms\""
            && fates(&told).is_empty(),
        "{told}"
    );
    Ok(())
}

/// By a signal, as systemd does it: the alert of a rule that goes is cleared, the other stays.
fn a_rule_that_goes_takes_its_alert(
    agent: &mut Agent,
    first: &str,
    alerts: &[String],
) -> Result<()> {
    let at = first.rfind("[[rule]]").context("no rule")?;
    let (without, _) = first.split_at(at);
    std::fs::write(agent.config(), without)?;
    agent.program()?.signal(rustix::process::Signal::HUP)?;
    let api = agent.api();
    let left = wait_for("the alert without a rule to be cleared", DEADLINE, || {
        let left = active(&api)?;
        Ok((left.len() == 1).then_some(left))
    })?;
    ensure!(alerts.contains(&left[0]), "{left:?} is not of {alerts:?}");
    Ok(())
}

/// The port that went on has one stream, with every number and no long step; gives the longest.
fn without_a_hole(agent: &Agent, gateway: GatewayId) -> Result<Duration> {
    let groups = of_box(&agent.folder().join("data"))?;
    let of = |device: &str| {
        let sensor = SensorId::derive(gateway, &format!("{device}/level"));
        let has = move |columns: &[protocol::reading::Column]| {
            columns.iter().any(|column| column.sensor == sensor)
        };
        groups
            .values()
            .filter(move |group| has(&group.schema.columns))
            .collect::<Vec<_>>()
    };
    // The device that changed: with two sensors before and after, with three between.
    ensure!(
        of("changing-1").len() == 2,
        "streams of the changed device: {}",
        of("changing-1").len()
    );
    let steady = of("steady-1");
    let [group] = steady.as_slice() else {
        anyhow::bail!("the device that stayed has {} streams", steady.len());
    };
    let numbers: Vec<u64> = group.polls.keys().copied().collect();
    let last = u64::try_from(numbers.len())?;
    ensure!(
        numbers == (1..=last).collect::<Vec<_>>(),
        "holes: {numbers:?}"
    );
    ensure!(numbers.len() >= POLLS_MIN, "few polls: {}", numbers.len());
    let times: Vec<i64> = group.polls.values().map(|poll| poll.time.0).collect();
    let steps = times.windows(2).map(|pair| pair[1] - pair[0]);
    let longest = Duration::from_micros(steps.max().unwrap_or(0).unsigned_abs());
    ensure!(longest <= STEP_MAX, "a step of {longest:?}");
    Ok(longest)
}
