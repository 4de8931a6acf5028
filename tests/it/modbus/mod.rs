//! The box on Modbus in all its forms, beside servers that we did not write, dead units, answers that
//! come too late and lines as slow as real ones. Judged by what stands in the store and by what the
//! peers say they served; never by what the box says of itself.

mod commissioning;
mod dead_unit;
mod efficiency;
mod faulty_line;
mod forms;
mod instruments;
mod late;
mod noisy_scan;
mod overheard;
mod rs485;
mod scale;
mod tokio_modbus;

use crate::readings::{self, Groups};
use anyhow::{Context as _, Result, bail};
use harness::{Agent, Api, Scratch, ports, wait_for};
use protocol::id::{GatewayId, SensorId};
use protocol::reading::{Cell, Poll, Quality, Raw};
use protocol::time::Timestamp;
use std::time::Duration;

/// Longest wait for anything that should come soon; generous, for loaded machines.
const DEADLINE: Duration = Duration::from_secs(60);

/// The configuration of a box in the making.
struct Plan {
    text: String,
}

impl Plan {
    fn new() -> Self {
        Self {
            text: String::new(),
        }
    }

    /// A port with these further lines (`kind`, `address`, …).
    fn port(mut self, name: &str, lines: &str) -> Self {
        let head = "\n[[port]]\nprotocol = \"modbus\"\nname = ";
        self.add(&format!("{head}\"{name}\"\n{lines}\n"));
        self
    }

    /// A device with these further lines, and its sensors as (name, address, type, order).
    fn device<S: AsRef<str>>(
        mut self,
        (name, port, unit): (&str, &str, u8),
        lines: &str,
        sensors: &[(S, S, &str, &str)],
    ) -> Self {
        let head = "\n[[device]]\nname = ";
        self.add(&format!(
            "{head}\"{name}\"\nport = \"{port}\"\nunit = {unit}\n{lines}\n"
        ));
        for (name, address, kind, order) in sensors {
            let (name, address) = (name.as_ref(), address.as_ref());
            self.add(&format!(
                "[[device.sensor]]\nname = \"{name}\"\naddress = \"{address}\"\n\
                 type = \"{kind}\"\norder = \"{order}\"\n"
            ));
        }
        self
    }

    fn add(&mut self, text: &str) {
        self.text.push_str(text);
    }
}

/// A running box without a hub.
struct Scene {
    agent: Agent,
    here: Api,
    gateway: GatewayId,
}

impl Scene {
    fn start(scratch: &Scratch, name: &str, plan: &Plan) -> Result<Self> {
        let web = ports::free()?;
        let head = format!(
            "[gateway]\ndata_dir = \"data\"\nname = \"Box\"\nclock_trusted = true\n\n\
             [storage]\ncommit_tick = \"200ms\"\n\n[web]\nlisten = \"{web}\"\n"
        );
        let config = head + &plan.text;
        let mut agent = Agent::prepare(scratch, name, web, |_| config)?;
        agent.start()?;
        let here = agent.api();
        let status = here.get("/status")?;
        let id = status["gateway"]["id"].as_str();
        let gateway = id.context("the box does not tell its id")?.parse()?;
        Ok(Self {
            agent,
            here,
            gateway,
        })
    }

    /// Waits until these sensors (`device/name`) show good values.
    fn wait_for_values(&self, paths: &[String]) -> Result<()> {
        wait_for("good values of every sensor", DEADLINE, || {
            let sensors = self.here.list("/sensors")?;
            let good = |path: &String| {
                sensors
                    .iter()
                    .any(|sensor| sensor["path"] == path.as_str() && sensor["quality"] == "good")
            };
            let missing: Vec<&String> = paths.iter().filter(|path| !good(path)).collect();
            if missing.is_empty() {
                return Ok(Some(()));
            }
            bail!(
                "no good values of {missing:?}; devices: {:?}",
                self.here.get("/status")
            )
        })
    }

    /// Stops the box and gives what its store holds.
    fn stored(mut self) -> Result<Groups> {
        self.agent.stop()?;
        readings::of_box(&self.agent.folder().join("data"))
    }
}

/// What a sensor (`device/name`) has in the store, in the order of its polls; `None` where it has
/// no good value.
fn column(groups: &Groups, gateway: GatewayId, path: &str) -> Result<Vec<Option<Raw>>> {
    let timed = timed_column(groups, gateway, path)?;
    Ok(timed.into_iter().map(|(_, raw)| raw).collect())
}

/// The same with the time of each poll.
fn timed_column(
    groups: &Groups,
    gateway: GatewayId,
    path: &str,
) -> Result<Vec<(Timestamp, Option<Raw>)>> {
    let sensor = SensorId::derive(gateway, path);
    let mut found = None;
    for group in groups.values() {
        let mut columns = group.schema.columns.iter();
        if let Some(place) = columns.position(|column| column.sensor == sensor) {
            let polls = group.polls.values();
            found = Some(polls.map(|poll| (poll.time, good(poll, place))).collect());
        }
    }
    found.with_context(|| format!("the store has nothing of {path}"))
}

fn good(poll: &Poll, place: usize) -> Option<Raw> {
    match poll.cells.get(place) {
        Some(Cell::Value(raw, Quality::Good)) => Some(*raw),
        _ => None,
    }
}
