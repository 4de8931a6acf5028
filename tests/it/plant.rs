//! The scene of every test: a machine whose recorded temperature pymodbus serves, the box that
//! polls it, the hub, and the relay between them. Never asserts anything.

use crate::records::{self, Shown};
use anyhow::{Context as _, Result, bail};
use harness::{Agent, Api, Hub, ModbusPeer, PeerOptions, Relay, Scratch, places, ports, wait_for};
use protocol::id::GatewayId;
use protocol::time::Timestamp;
use protocol::view::parse_rfc3339;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Longest wait for anything; generous, for loaded machines.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
/// Units that pymodbus answers for; the rule watches the first.
pub(crate) const UNITS: [u8; 3] = [1, 2, 3];
/// Time between two polls of a unit.
pub(crate) const POLL: &str = "100ms";
/// The rule raises below this temperature, in °F.
pub(crate) const LOW: f64 = 40.0;
/// It clears from this temperature on.
pub(crate) const NORMAL: f64 = 45.0;
/// Who acts on the box, and who at the hub.
pub(crate) const ANNA: &str = "Anna Berg";
pub(crate) const PAULA: &str = "Paula Roth";

/// All that runs in one test.
pub(crate) struct Plant {
    // In this order they stop: the box before its hub and its plant.
    pub(crate) agent: Agent,
    pub(crate) peer: ModbusPeer,
    pub(crate) relay: Relay,
    pub(crate) hub: Hub,
    /// The box's interface.
    pub(crate) here: Api,
    /// The hub's interface, as a planner.
    pub(crate) there: Api,
    pub(crate) gateway: GatewayId,
}

impl Plant {
    /// Starts it all and waits until readings of the box are at the hub.
    pub(crate) fn start(scratch: &Scratch, options: PeerOptions) -> Result<Self> {
        Self::start_with(scratch, options, |_, _| Ok(String::new()))
    }

    /// The same with further lines in the box's `[hub]`; `uplink` may cut the relay before the box
    /// is there.
    pub(crate) fn start_with(
        scratch: &Scratch,
        options: PeerOptions,
        uplink: impl FnOnce(&Hub, &Relay) -> Result<String>,
    ) -> Result<Self> {
        let plant = Self::build(scratch, options, uplink, |_| ())?;
        wait_for("readings of the box at the hub", DEADLINE, || {
            Ok((plant.at_the_hub()?["readings"].as_u64() > Some(0)).then_some(()))
        })?;
        Ok(plant)
    }

    /// Enrols the box and cuts it off before it runs for the first time.
    pub(crate) fn start_apart(scratch: &Scratch, options: PeerOptions) -> Result<Self> {
        Self::build(scratch, options, |_, _| Ok(String::new()), Relay::cut)
    }

    fn build(
        scratch: &Scratch,
        options: PeerOptions,
        uplink: impl FnOnce(&Hub, &Relay) -> Result<String>,
        enrolled: impl FnOnce(&Relay),
    ) -> Result<Self> {
        let hub = Hub::start(scratch)?;
        hub.add_user(PAULA, "planner", "correct horse battery staple")?;
        let there = hub.api().sign_in(PAULA, "correct horse battery staple")?;
        let relay = Relay::start(hub.quic())?;
        let units = UNITS.to_vec();
        let peer = ModbusPeer::start(scratch, PeerOptions { units, ..options })?;
        let web = ports::free()?;
        let config = config(&peer, &relay, web).replace(
            "reconnect_max = \"1s\"\n",
            &format!("reconnect_max = \"1s\"\n{}", uplink(&hub, &relay)?),
        );
        let mut agent = Agent::prepare(scratch, "box", web, |_| config)?;
        agent.enrol(&hub.claim("North works", "Hall B", "HB")?)?;
        enrolled(&relay);
        agent.start()?;
        let here = agent.api();
        let gateway = text(&here.get("/status")?, "/gateway/id")?.parse()?;
        Ok(Self {
            agent,
            peer,
            relay,
            hub,
            here,
            there,
            gateway,
        })
    }

    /// The hub's view of the box.
    pub(crate) fn at_the_hub(&self) -> Result<Value> {
        self.there.get(&format!("/gateways/{}", self.gateway))
    }

    /// Waits until the box knows that its link is in this state.
    pub(crate) fn wait_for_link(&self, state: &str) -> Result<()> {
        wait_for(&format!("the link to be {state}"), DEADLINE, || {
            let status = self.here.get("/status")?;
            if text(&status, "/link/state")? == state {
                return Ok(Some(()));
            }
            bail!("the link is {}", status["link"])
        })
    }

    /// Waits until nothing is on its way: the hub has what the box has, and the other way round.
    pub(crate) fn wait_until_in_sync(&self) -> Result<()> {
        wait_for("both sides to hold the same", DEADLINE, || {
            let status = self.here.get("/status")?;
            for waiting in ["/link/waiting_events", "/link/waiting_readings"] {
                if status.pointer(waiting) != Some(&json!(0)) {
                    bail!("the box still has something to send: {}", status["link"]);
                }
            }
            let hub = self.at_the_hub()?;
            if hub.pointer("/completeness/missing") != Some(&json!(0)) {
                bail!("the hub still misses something: {}", hub["completeness"]);
            }
            records::same_shown(&self.here, &self.there)?;
            Ok(Some(()))
        })
    }

    /// Ends the stream of readings, so that all of them can be at the hub: the box is started
    /// again with a poll period of a day, catches up, and then both programs stop. Gives the alerts
    /// and the work orders that both sides showed last.
    pub(crate) fn come_to_rest(&mut self) -> Result<(Shown, Shown)> {
        self.agent.stop()?;
        let file = self.agent.config();
        let text = std::fs::read_to_string(&file).context("reading the box's configuration")?;
        let rare = text.replace(&format!("poll = \"{POLL}\""), "poll = \"1d\"");
        std::fs::write(&file, rare).context("writing the box's configuration")?;
        let stopped = now()?;
        self.agent.start()?;
        wait_for("the last poll of each unit", DEADLINE, || {
            let sensors = self.here.list("/sensors")?;
            for sensor in &sensors {
                if time(sensor, "/time")? < stopped {
                    bail!("nothing new of {sensor}");
                }
            }
            Ok((!sensors.is_empty()).then_some(()))
        })?;
        self.wait_until_in_sync()?;
        let shown = (records::alerts(&self.there)?, records::orders(&self.there)?);
        self.agent.stop()?;
        self.hub.stop()?;
        Ok(shown)
    }

    /// Folder of the box's store.
    pub(crate) fn box_store(&self) -> PathBuf {
        self.agent.folder().join("data")
    }

    /// File of the hub's store.
    pub(crate) fn hub_store(&self) -> PathBuf {
        self.hub.data().join("hub.db")
    }
}

/// The rows of the recorded temperature, as pymodbus reads them.
pub(crate) fn recorded() -> Result<Vec<f64>> {
    let text = std::fs::read_to_string(places::data("machine_temperature.csv"))
        .context("reading the recorded temperature")?;
    let value = |line: &str| line.split_once(',')?.1.trim().parse().ok();
    text.lines()
        .skip(1)
        .map(|line| value(line).with_context(|| format!("no value in {line}")))
        .collect()
}

/// A text of an answer.
pub(crate) fn text<'a>(answer: &'a Value, pointer: &str) -> Result<&'a str> {
    let found = answer.pointer(pointer).and_then(Value::as_str);
    found.with_context(|| format!("no text {pointer} in {answer}"))
}

/// A time of an answer.
pub(crate) fn time(answer: &Value, pointer: &str) -> Result<Timestamp> {
    let found = text(answer, pointer)?;
    parse_rfc3339(found).with_context(|| format!("{found} is no time"))
}

/// The clock of this machine, as both programs read it.
pub(crate) fn now() -> Result<Timestamp> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(Timestamp(i64::try_from(since.as_micros())?))
}

fn config(peer: &ModbusPeer, relay: &Relay, web: std::net::SocketAddr) -> String {
    let devices: String = UNITS.into_iter().map(device).collect();
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
commit_tick = "200ms"
seal_after = "10s"

[web]
listen = "{web}"

[[port]]
name = "line"
protocol = "modbus"
address = "{peer}"
{devices}
[[rule]]
name = "M-1 temperature"
sensor = "machine-1/temperature"
low = {LOW:.1}
deadband = {deadband:.1}
severity = "high"
title = "Machine M-1 runs cold"

[rule.work_order]
title = "Find out why M-1 runs cold"
failure_mode = "loss of load"
after = "1s"

# The recorded day is played fast: each of its alarms is to be an alert of its own.
[alarms]
chatter = 100
chatter_within = "10s"
"#,
        hub = relay.address(),
        peer = peer.address(),
        deadband = NORMAL - LOW,
    )
}

fn device(unit: u8) -> String {
    let sensor =
        |name: &str, keys: &str| format!("\n[[device.sensor]]\nname = \"{name}\"\n{keys}\n");
    format!(
        "\n[[device]]\nname = \"machine-{unit}\"\nport = \"line\"\nasset = \"M-{unit}\"\nunit = {unit}\npoll = \"{POLL}\"\n{}{}{}{}",
        sensor(
            "temperature",
            "address = \"hr:0\"\ntype = \"f32\"\nunit_name = \"degF\""
        ),
        sensor(
            "tenths",
            "address = \"hr:2\"\ntype = \"i16\"\nscale = 0.1\nunit_name = \"degF\""
        ),
        sensor("row", "address = \"hr:3\"\ntype = \"u32\""),
        sensor(
            "swapped",
            "address = \"hr:5\"\ntype = \"f32\"\norder = \"CDAB\"\nunit_name = \"degF\""
        ),
    )
}
