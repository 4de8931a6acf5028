//! The central team's pages in a real browser: three people work a whole order, shelve an alarm and hear of
//! another on a box whose hub is gone; then the hub is back, and `tests/e2e/hub.mjs` looks at what its pages
//! show of it and acts as a planner. Never looks at a page itself.

use crate::browser::{PumpBox, Script};
use crate::page_life::{HOT, PINS, SITE, know_the_site};
use crate::plant::{DEADLINE, text};
use anyhow::{Context as _, Result, bail, ensure};
use harness::registers::Registers;
use harness::{Agent, Api, Hub, Receiver, Scratch, in_scratch, ports, wait_for};
use serde_json::{Value, json};
use std::io::Write as _;

const MOTOR: u16 = 1;
const MOTOR_RULE: &str = "P-247 motor";
const BEARING_RULE: &str = "P-247 bearing";
/// A picture of one pixel.
const PICTURE: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\rIDATx\x9cc\xf8\xcf\xc0\xf0\x1f\0\x05\0\x01\xff\x89\x99=\x1d\0\0\0\0IEND\xaeB`\x82";

#[test]
fn hub_pages() -> Result<()> {
    in_scratch("hub_pages", |scratch| {
        let registers = Registers::start()?;
        registers.set(1, 0, HOT);
        registers.set(1, MOTOR, 200);
        let mut hub = Hub::start(scratch)?;
        let (mut agent, hook) = start(scratch, &registers, &hub)?;
        hub.stop()?;
        let order = work(scratch, &agent, &registers)?;
        let (told, here) = (hook.heard()?.len(), eva(&agent)?);
        ensure!(told > 0, "the receiver heard nothing");
        hub.start_again()?;
        let there = hub.sign_in()?;
        wait_for("all of it at the hub", DEADLINE, || {
            let known = there.get(&format!("/work-orders/{order}"))?;
            let held = there.list("/alarms")?;
            let alert = alert_of(&there, MOTOR_RULE)?;
            let here = known["state"] == "done" && held.len() == 1 && alert.is_some();
            Ok((here && known["attachments"][0]["place"] == "hub").then_some(()))
        })?;
        let (name, password) = hub.administrator()?;
        let script = Script::start(
            "hub.mjs",
            &[
                ("CHATTERFIX_HUB", hub.api().base().to_owned()),
                ("CHATTERFIX_NAME", name.to_owned()),
                ("CHATTERFIX_PASSWORD", password.to_owned()),
                ("CHATTERFIX_ORDER", order),
            ],
        )?;
        script.run(|wanted| match wanted {
            "is-shelved-on-the-box" => is_shelved(&here, name),
            "release-on-the-box" => release(&here),
            other => bail!("the script asks for {other}"),
        })?;
        agent.stop()?;
        hub.stop()
    })
}

/// The hub with its site, and the box that has it and has told of a first alert.
fn start(scratch: &Scratch, registers: &Registers, hub: &Hub) -> Result<(Agent, Receiver)> {
    let port = ports::free()?.port().to_string();
    let mode = scratch.write("hook.mode", "ok")?.display().to_string();
    let arguments = ["--port", &port, "--mode", &mode, "--secret", "s"];
    let hook = Receiver::start(scratch, "hook_server", &arguments)?;
    let secret = scratch.write("secret", "s")?.display().to_string();
    let mut agent = PumpBox {
        name: "Press hall 2",
        plant: registers.address(),
        hub: Some(hub),
        bearing: "type = \"i16\"\nscale = 0.1",
        motor: MOTOR,
        limit: 80.0,
    }
    .prepare(scratch)?;
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .open(agent.config())
        .context("opening the box's configuration")?;
    write!(
        file,
        r#"
[[rule]]
name = "{MOTOR_RULE}"
sensor = "pump-7/motor_temp"
rises = 10.0
within = "10m"
title = "Motor of pump 7 heats fast"
first_out = "P-247 trip"

[[channel]]
name = "andon"
kind = "webhook"
url = "http://127.0.0.1:{port}/alerts"
secret_file = "{secret}"

[[ladder]]
name = "all"

[[ladder.step]]
channels = ["andon"]
"#
    )?;
    agent.enrol(&hub.claim(SITE, "Press hall 2", "B2")?)?;
    agent.start()?;
    know_the_site(hub, scratch)?;
    wait_for("the site and the alert on the box", DEADLINE, || {
        let api = agent.api();
        let people = api.get("/session")?["people"].as_array().map(Vec::len);
        let lists = api.get("/checklists")?["data"].as_array().map(Vec::len);
        let codes = api.get("/failure-codes")?["data"].as_array().map(Vec::len);
        let orders = api.list("/work-orders")?.len();
        let known = (people, lists, codes) == (Some(3), Some(1), Some(3));
        Ok((known && orders == 1).then_some(()))
    })?;
    // The last of the PINs is the last that comes.
    wait_for("the PINs on the box", DEADLINE, || {
        agent.api().sign_in_pin(PINS[2].0, PINS[2].1).map(Some)
    })?;
    Ok((agent, hook))
}

fn eva(agent: &Agent) -> Result<Api> {
    agent.api().sign_in_pin(PINS[0].0, PINS[0].1)
}

fn alert_of(side: &Api, rule: &str) -> Result<Option<Value>> {
    let alerts = side.list("/alerts?state=open")?;
    Ok(alerts.into_iter().find(|alert| alert["rule"] == rule))
}

/// All that is done on the box while nobody answers at the hub; gives the order's id.
fn work(scratch: &Scratch, agent: &Agent, registers: &Registers) -> Result<String> {
    let (eva, jo) = (eva(agent)?, agent.api().sign_in_pin(PINS[1].0, PINS[1].1)?);
    let bearing = alert_of(&eva, BEARING_RULE)?.context("no alert of the bearing")?;
    let alert = format!("/alerts/{}/actions", text(&bearing, "/id")?);
    eva.post(&format!("{alert}/acknowledge"), &json!({}))?;
    let shelf = json!({"reason": "Known, a part is on order", "minutes": 120});
    eva.post(&format!("{alert}/shelve"), &shelf)?;
    let order = eva.list("/work-orders")?;
    let order = order.first().context("no order")?.clone();
    let id = text(&order, "/id")?.to_owned();
    let act = |who: &Api, action: &str, body: Value| {
        who.post(&format!("/work-orders/{id}/actions/{action}"), &body)
    };
    act(&eva, "labour_start", json!({"ago_s": 1_800}))?;
    let listed = act(&eva, "checklist", json!({"checklist": "pump-monthly"}))?;
    let task = |index: usize| listed["tasks"][index]["id"].clone();
    act(&eva, "task", json!({"task": task(0), "value": true}))?;
    act(&eva, "task", json!({"task": task(1), "value": 69.5}))?;
    act(
        &eva,
        "task",
        json!({"task": task(1), "value": 96.5, "note": "measured at the housing"}),
    )?;
    act(&eva, "task", json!({"task": task(2), "value": "weeps"}))?;
    act(
        &eva,
        "task",
        json!({"task": task(3), "skip": true, "note": "too dark"}),
    )?;
    act(&eva, "part", json!({"part": "4711", "quantity": 1}))?;
    act(
        &eva,
        "failure",
        json!({"problem_code": "OHE", "cause_code": "LUB", "remedy_code": "GRE",
            "remedy": "Two strokes of grease", "effect": "reduced", "downtime_minutes": 40}),
    )?;
    act(
        &jo,
        "labour",
        json!({"minutes": 20, "note": "held the lamp"}),
    )?;
    act(
        &eva,
        "comment",
        json!({"text": "The grease gun is empty now"}),
    )?;
    let picture = scratch.file("seal.png");
    std::fs::write(&picture, PICTURE)?;
    let file = picture.display().to_string();
    let number = text(&order, "/number")?;
    agent.cli(&["wo", "attach", number, &file, "--by", PINS[0].0])?;
    act(
        &eva,
        "follow_up",
        json!({"task": task(1), "title": "Replace the bearing of pump 7"}),
    )?;
    act(
        &eva,
        "sign",
        json!({"meaning": "performed", "pin": PINS[0].1}),
    )?;
    act(&eva, "complete", json!({"remedy": "Greased"}))?;
    motor_heats(&eva, registers)?;
    Ok(id)
}

/// The motor heats fast, and the receiver is told.
fn motor_heats(eva: &Api, registers: &Registers) -> Result<()> {
    registers.set(1, MOTOR, 500);
    wait_for("the alert of the motor, told", DEADLINE, || {
        let Some(alert) = alert_of(eva, MOTOR_RULE)? else {
            return Ok(None);
        };
        let alert = eva.get(&format!("/alerts/{}", text(&alert, "/id")?))?;
        let told = alert["told"].as_array().map_or(0, Vec::len);
        Ok((told > 0).then_some(()))
    })?;
    Ok(())
}

/// The box shows what was shelved at the hub, in the name of who did it.
fn is_shelved(here: &Api, name: &str) -> Result<()> {
    wait_for(
        "the motor's alarm to be shelved on the box",
        DEADLINE,
        || {
            let held = here.list("/alarms?state=held")?;
            let motor = held.into_iter().find(|point| point["rule"] == MOTOR_RULE);
            Ok(motor
                .filter(|point| point["shelved"]["by"] == name)
                .map(|_| ()))
        },
    )
}

/// Eva has the bearing's alarm told again.
fn release(here: &Api) -> Result<()> {
    let held = here.list("/alarms?state=held")?;
    let bearing = held.iter().find(|point| point["rule"] == BEARING_RULE);
    let id = text(bearing.context("the bearing is not shelved")?, "/id")?;
    here.post(&format!("/alarms/{id}/actions/unshelve"), &json!({}))?;
    Ok(())
}
