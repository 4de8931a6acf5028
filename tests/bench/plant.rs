//! A whole system for the benches: a libmodbus server, the real agent, the relay and the real hub.
//! Never simulates a part: what is measured is what ships.

use anyhow::{Context as _, Result};
use harness::{Agent, Api, Hub, Libmodbus, Relay, Scratch, ports, wait_for};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// Longest wait for the system to do what is waited for.
const DEADLINE: Duration = Duration::from_secs(120);

/// The running system; the agent ends first.
#[derive(Debug)]
pub(crate) struct Plant {
    /// The box.
    pub(crate) agent: Agent,
    /// The uplink.
    pub(crate) relay: Relay,
    /// The hub, signed in.
    pub(crate) hub_api: Api,
    _hub: Hub,
    _server: Libmodbus,
}

/// How much is polled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Devices (units) on one port.
    pub(crate) devices: usize,
    /// Sensors of each, 16-bit registers next to each other.
    pub(crate) sensors: usize,
    /// Time between polls.
    pub(crate) poll_ms: u64,
}

impl Plant {
    /// Starts everything and waits until readings reach the hub.
    pub(crate) fn start(scratch: &Scratch, load: Load) -> Result<Self> {
        let server = Libmodbus::moving(scratch, u16::try_from(load.devices * load.sensors)?)?;
        let hub = Hub::start(scratch)?;
        let hub_api = hub.sign_in()?;
        let relay = Relay::start(hub.quic())?;
        let web = ports::free()?;
        let mut agent = Agent::prepare(scratch, "box", web, |folder| {
            config(folder, load, [server.address(), relay.address(), web])
        })?;
        agent.enrol(&hub.claim("Bench", "Box", "B1")?)?;
        agent.start()?;
        let plant = Self {
            agent,
            relay,
            hub_api,
            _hub: hub,
            _server: server,
        };
        wait_for("the first readings at the hub", DEADLINE, || {
            Ok((plant.hub_readings()? > 0).then_some(()))
        })?;
        Ok(plant)
    }

    /// Readings that the hub holds.
    pub(crate) fn hub_readings(&self) -> Result<u64> {
        let gateways = self.hub_api.list("/gateways")?;
        let readings = gateways
            .first()
            .and_then(|gateway| gateway.get("readings")?.as_u64());
        readings.context("the hub does not say how many readings it has")
    }

    /// Waits until the hub has everything that the box has.
    pub(crate) fn wait_until_synchronised(&self) -> Result<()> {
        wait_for("the box to have nothing left to send", DEADLINE, || {
            let status = self.agent.api().get("/status")?;
            let waiting = status
                .pointer("/link/waiting_readings")
                .and_then(Value::as_u64);
            Ok((waiting.context("no waiting_readings")? < 1_000).then_some(()))
        })
    }
}

fn config(folder: &Path, load: Load, [server, hub, web]: [SocketAddr; 3]) -> String {
    let data = folder.join("data");
    let head = format!(
        "[gateway]\ndata_dir = \"{}\"\n\n[hub]\naddress = \"{hub}\"\n\n[web]\nlisten = \"{web}\"\n\n\
         [[port]]\nname = \"line\"\nprotocol = \"modbus\"\naddress = \"{server}\"\n",
        data.display()
    );
    let devices = (0..load.devices).map(|device| device_config(device, load));
    std::iter::once(head)
        .chain(devices)
        .collect::<Vec<String>>()
        .concat()
}

fn device_config(device: usize, load: Load) -> String {
    let head = format!(
        "\n[[device]]\nname = \"device-{device}\"\nport = \"line\"\nunit = {}\npoll = \"{}ms\"\n",
        device + 1,
        load.poll_ms
    );
    let sensors = (0..load.sensors).map(|sensor| {
        let register = device * load.sensors + sensor;
        format!("\n[[device.sensor]]\nname = \"sensor_{sensor}\"\naddress = \"hr:{register}\"\nscale = 0.1\n")
    });
    std::iter::once(head)
        .chain(sensors)
        .collect::<Vec<String>>()
        .concat()
}
