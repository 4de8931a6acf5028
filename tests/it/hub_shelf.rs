//! Alarms that are held back from the hub: the box tells nobody while a third-party receiver listens, and
//! shows who said it; what is shelved on the box with no uplink is at the hub afterwards, and both count the
//! same load.

use crate::plant::{DEADLINE, PAULA, text};
use anyhow::{Context as _, Result, ensure};
use harness::registers::Registers;
use harness::{Agent, Api, Hub, Receiver, Relay, Scratch, in_scratch, ports, wait_for};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::net::SocketAddr;

const UNIT: u8 = 1;
const HOT: u16 = 900;
const COLD: u16 = 200;
/// Registers of the machines; the rule of each is called after it.
const SHELVED: u16 = 0;
const OPEN: u16 = 1;
const BROKEN: u16 = 2;
const PASSWORD: &str = "correct horse battery staple";

#[test]
fn alarms_are_shelved_from_the_hub_and_on_the_box() -> Result<()> {
    in_scratch("hub-shelf", run)
}

struct Scene {
    agent: Agent,
    hub: Hub,
    relay: Relay,
    registers: Registers,
    hook: Receiver,
    here: Api,
    there: Api,
}

impl Scene {
    fn start(scratch: &Scratch) -> Result<Self> {
        let registers = Registers::start()?;
        for register in [SHELVED, OPEN, BROKEN] {
            registers.set(UNIT, register, COLD);
        }
        let hub = Hub::start(scratch)?;
        hub.add_user(PAULA, "planner", PASSWORD)?;
        let there = hub.api().sign_in(PAULA, PASSWORD)?;
        let relay = Relay::start(hub.quic())?;
        let port = ports::free()?.port().to_string();
        let mode = scratch.write("hook.mode", "ok")?.display().to_string();
        let arguments = ["--port", &port, "--mode", &mode, "--secret", "s"];
        let hook = Receiver::start(scratch, "hook_server", &arguments)?;
        scratch.write("secret", "s")?;
        let secret = scratch.file("secret").display().to_string();
        let web = ports::free()?;
        let config = config(web, relay.address(), registers.address(), (&port, &secret));
        let mut agent = Agent::prepare(scratch, "box", web, |_| config)?;
        agent.enrol(&hub.claim("North works", "Hall B", "HB")?)?;
        agent.start()?;
        let here = agent.api();
        Ok(Self {
            agent,
            hub,
            relay,
            registers,
            hook,
            here,
            there,
        })
    }

    /// Titles that the receiver heard of alerts that stand.
    fn heard(&self) -> Result<Vec<String>> {
        let heard = self.hook.heard()?;
        let matters = heard
            .iter()
            .filter_map(|line| line["body"]["matters"].as_array())
            .flatten();
        Ok(matters
            .filter_map(|matter| matter["title"].as_str().map(str::to_owned))
            .collect())
    }

    /// Waits until the receiver heard of a rule.
    fn hears(&self, rule: &str) -> Result<()> {
        wait_for(&format!("the receiver to hear of {rule}"), DEADLINE, || {
            Ok(self
                .heard()?
                .iter()
                .any(|title| title == rule)
                .then_some(()))
        })
    }
}

/// The open alert of a rule, as `side` shows it; waits for it.
fn alert(side: &Api, rule: &str) -> Result<Value> {
    wait_for(&format!("the alert of {rule}"), DEADLINE, || {
        let alerts = side.list("/alerts?state=open")?;
        Ok(alerts.into_iter().find(|alert| alert["rule"] == rule))
    })
}

/// The point of a rule among those that `side` holds back, once it is as it should be.
fn held(side: &Api, rule: &str, right: impl Fn(&Value) -> bool) -> Result<Value> {
    let path = "/alarms?state=held";
    wait_for(&format!("{rule} to be held back"), DEADLINE, || {
        let points = side.list(path)?;
        let point = points.into_iter().find(|point| point["rule"] == rule);
        Ok(point.filter(|point| right(point)))
    })
}

fn config(web: SocketAddr, hub: SocketAddr, plant: SocketAddr, hook: (&str, &str)) -> String {
    let (port, secret) = hook;
    let mut text = format!(
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

[[channel]]
name = "andon"
kind = "webhook"
url = "http://127.0.0.1:{port}/alerts"
secret_file = "{secret}"

[[ladder]]
name = "all"

[[ladder.step]]
channels = ["andon"]

[[port]]
name = "line"
protocol = "modbus"
address = "{plant}"

[[device]]
name = "machines"
port = "line"
unit = {UNIT}
poll = "200ms"
"#
    );
    for register in [SHELVED, OPEN, BROKEN] {
        write!(
            text,
            "\n[[device.sensor]]\nname = \"m{register}\"\naddress = \"hr:{register}\"\ntype = \"u16\"\n\n\
             [[rule]]\nname = \"hot {register}\"\nsensor = \"machines/m{register}\"\nhigh = 500.0\n\
             severity = \"high\"\ntitle = \"hot {register}\"\n"
        )
        .unwrap_or_default();
    }
    text
}

fn run(scratch: &Scratch) -> Result<()> {
    let mut scene = Scene::start(scratch)?;
    from_the_hub(&scene)?;
    on_the_box(&scene)?;
    same_load(&scene)?;
    let notices = scene.hook.heard()?.len();
    crate::measured(&format!(
        "{notices} notices to the receiver, none of what was held back from either side"
    ));
    scene.agent.stop()?;
    scene.hub.stop()
}

/// A planner shelves an alarm that is over and takes one out of service: the box shows it in her name, and tells
/// nobody when it comes; when she gives it back, it is told.
fn from_the_hub(scene: &Scene) -> Result<()> {
    // The hub knows a rule from its first alert.
    for register in [SHELVED, BROKEN] {
        let rule = format!("hot {register}");
        scene.registers.set(UNIT, register, HOT);
        let raised = alert(&scene.there, &rule)?;
        scene.hears(&rule)?;
        let path = format!("/alerts/{}/actions", text(&raised, "/id")?);
        let (action, body) = match register {
            SHELVED => (
                "shelve",
                json!({"reason": "part is ordered", "minutes": 30}),
            ),
            _ => ("out-of-service", json!({"reason": "wire broken"})),
        };
        scene
            .there
            .post(&format!("{path}/acknowledge"), &json!({}))?;
        scene.there.post(&format!("{path}/{action}"), &body)?;
        let field = action.replace('-', "_").replace("shelve", "shelved");
        let held = held(&scene.here, &rule, |point| !point[field.as_str()].is_null())?;
        ensure!(held[field.as_str()]["by"] == PAULA, "{held}");
        scene.registers.set(UNIT, register, COLD);
        wait_for("the alert to be over", DEADLINE, || {
            let open = scene.here.list("/alerts?state=open")?;
            Ok(open
                .iter()
                .all(|alert| alert["rule"] != rule.as_str())
                .then_some(()))
        })?;
    }
    let before = scene.heard()?.len();
    for register in [SHELVED, BROKEN] {
        scene.registers.set(UNIT, register, HOT);
        let rule = format!("hot {register}");
        // Both sides say that it is beyond its limit and told to nobody.
        for side in [&scene.here, &scene.there] {
            held(side, &rule, |point| {
                point["withheld"]["value"] == json!(f64::from(HOT))
            })?;
        }
    }
    // What comes after it is told: the way to the receiver is open, and nothing of theirs went it.
    scene.registers.set(UNIT, OPEN, HOT);
    scene.hears("hot 1")?;
    let told = scene.heard()?.split_off(before);
    ensure!(told.iter().all(|title| title == "hot 1"), "{told:?}");
    let alerts = scene.here.list("/alerts?state=open")?;
    ensure!(alerts.len() == 1, "only what is not held back: {alerts:?}");
    for (register, action) in [(SHELVED, "unshelve"), (BROKEN, "in-service")] {
        let rule = format!("hot {register}");
        let point = held(&scene.there, &rule, |_| true)?;
        let path = format!("/alarms/{}/actions/{action}", text(&point, "/id")?);
        scene.there.post(&path, &json!({}))?;
        alert(&scene.here, &rule)?;
        wait_for(&format!("{rule} to be told again"), DEADLINE, || {
            let told = scene.heard()?.split_off(before);
            Ok(told.contains(&rule).then_some(()))
        })?;
    }
    Ok(())
}

/// Anna shelves on the box with no uplink; the hub hears of it later, and that it ended.
fn on_the_box(scene: &Scene) -> Result<()> {
    scene.relay.cut();
    wait_for("the link to be down", DEADLINE, || {
        let status = scene.here.get("/status")?;
        Ok((status["link"]["state"] == "offline").then_some(()))
    })?;
    let raised = alert(&scene.here, "hot 1")?;
    let path = format!("/alerts/{}/actions/shelve", text(&raised, "/id")?);
    let body = json!({"by": "Anna Berg", "reason": "seal is being changed", "minutes": 60});
    scene.here.post(&path, &body)?;
    ensure!(scene.relay.is_cut());
    let there = scene.there.list("/alarms")?;
    ensure!(
        there.iter().all(|point| point["shelved"].is_null()),
        "{there:?}"
    );
    scene.relay.restore();
    let point = held(&scene.there, "hot 1", |point| !point["shelved"].is_null())?;
    ensure!(point["shelved"]["by"] == "Anna Berg", "{point}");
    ensure!(
        point["shelved"]["reason"] == "seal is being changed",
        "{point}"
    );
    ensure!(point["gateway"]["name"] == "Hall B", "{point}");
    let here = held(&scene.here, "hot 1", |_| true)?;
    ensure!(here["shelved"] == point["shelved"], "{here} and {point}");
    let whole = alert(&scene.there, "hot 1")?;
    ensure!(whole["shelved"] == point["shelved"], "{whole}");
    Ok(())
}

/// Both sides count the same alerts.
fn same_load(scene: &Scene) -> Result<()> {
    let here = scene.here.get("/alarms/load?hours=24")?;
    wait_for("the hub to count what the box counts", DEADLINE, || {
        let there = scene.there.list("/alarms/load?hours=24")?;
        ensure!(there.len() == 2, "the site and its gateway: {there:?}");
        let of_box = there.get(1).context("no gateway")?;
        let same = |field: &str| of_box[field] == here[field];
        Ok((same("alerts") && same("bad_actors") && same("by_priority")).then_some(()))
    })
}
