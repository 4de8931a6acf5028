//! The scene: a box of 1,000 sensors whose store holds hours that the hub has not seen, a slow link,
//! and the hub. Never measures anything.

use super::{DELAY, HEADER_BYTES, QUEUE_BYTES, RATE_BYTES_PER_S, setting};
use crate::plant::DEADLINE;
use anyhow::{Context as _, Result, bail};
use edge_agent::agent::open_storage;
use edge_agent::config::Config;
use edge_agent::drivers;
use edge_agent::storage::{PushError, Storage};
use harness::link::Shape;
use harness::registers::{Registers, by_itself};
use harness::{Agent, Api, Hub, Relay, Scratch, ports, wait_for};
use protocol::id::StreamId;
use protocol::reading::{Cell, Poll, Quality, Raw};
use protocol::time::{ClockState, Timestamp};
use rusqlite::Connection;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;

pub(super) const DEVICES: u8 = 50;
pub(super) const SENSORS: u16 = 20;
/// The unit whose registers are the alarms.
pub(super) const ALARM_UNIT: u8 = 100;
pub(super) const ALARMS: u16 = 40;
/// A register above this is an alarm.
const ALARM_LIMIT: u16 = 5_000;
/// Minutes of the backlog; the promise is about a day of 1,440.
pub(super) const MINUTES: &str = "BACKLOG_MINUTES";
/// Polls that are handed to the store between two commits while it is filled.
const POLLS_PER_COMMIT: u64 = 2_000;

/// How box and hub reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// QUIC.
    Udp,
    /// UDP is blocked: TLS over TCP.
    Tcp,
}

pub(super) struct Scene {
    _agent: Agent,
    pub(super) relay: Relay,
    pub(super) hub: Hub,
    pub(super) here: Api,
    pub(super) there: Api,
    pub(super) registers: Registers,
    /// Bytes of a stored reading of the backlog.
    pub(super) reading_bytes: f64,
    pub(super) minutes: u64,
}

impl Scene {
    /// Everything runs, the uplink is cut, and the box knows it.
    pub(super) fn start(scratch: &Scratch, way: Way) -> Result<Self> {
        let hub = Hub::start(scratch)?;
        let there = hub.sign_in()?;
        let relay = Relay::start_with_tcp(hub.quic(), hub.tcp())?;
        relay.block_udp(way == Way::Tcp);
        let registers = Registers::start()?;
        for alarm in 0..ALARMS {
            registers.set(ALARM_UNIT, alarm, 0);
        }
        let web = ports::free()?;
        let text = config([registers.address(), relay.address(), web]);
        let mut agent = Agent::prepare(scratch, "box", web, |_| text)?;
        agent.enrol(&hub.claim("North works", "Hall B", "HB")?)?;
        // The hub knows the box and what it measures: it is a link that returns, not the first.
        agent.start()?;
        wait_for("a value of each sensor at the hub", DEADLINE, || {
            let all = usize::from(DEVICES) * usize::from(SENSORS) + usize::from(ALARMS);
            Ok((there.list("/sensors")?.iter())
                .filter(|sensor| sensor["quality"] == "good")
                .nth(all - 1)
                .map(|_| ()))
        })?;
        agent.stop()?;
        let minutes = setting(MINUTES, 45)?;
        let reading_bytes = fill(&agent.config(), minutes)?;
        relay.cut();
        agent.start()?;
        let here = agent.api();
        wait_for("a value of each sensor on the box", DEADLINE, || {
            let sensors = here.list("/sensors")?;
            Ok(sensors
                .iter()
                .all(|sensor| sensor["quality"] == "good")
                .then_some(()))
        })?;
        relay.shape(Shape {
            delay: DELAY,
            loss: 0.0,
            rate_bytes_per_s: Some(RATE_BYTES_PER_S),
            queue_bytes: QUEUE_BYTES,
            header_bytes: HEADER_BYTES,
        });
        Ok(Self {
            _agent: agent,
            relay,
            hub,
            here,
            there,
            registers,
            reading_bytes,
            minutes,
        })
    }

    /// Sets the register of an alarm beyond its limit.
    pub(super) fn raise(&self, alarm: u16) {
        self.registers.set(ALARM_UNIT, alarm, ALARM_LIMIT + 1);
    }

    /// The state of the box's link.
    pub(super) fn link(&self) -> Result<Value> {
        Ok(self.here.get("/status")?["link"].clone())
    }

    /// Readings that the hub has not acknowledged yet.
    pub(super) fn waiting(&self) -> Result<u64> {
        self.link()?["waiting_readings"]
            .as_u64()
            .context("no waiting_readings")
    }
}

/// Puts hours of readings into the store of a box that does not run, as its own drivers and its
/// own store would have, and gives the bytes of a stored reading.
fn fill(file: &Path, minutes: u64) -> Result<f64> {
    let config = Config::load(file)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (committed_in, mut committed) = tokio::sync::mpsc::channel(64);
        let (storage, opened) = open_storage(&config, committed_in)?;
        let taken = tokio::spawn(async move { while committed.recv().await.is_some() {} });
        let mut streams = Vec::new();
        for port in &config.ports {
            let driver = drivers::build(port, &config.devices).context("no such driver")?;
            for group in driver.groups() {
                // The alarms' device was put in after the outage.
                if group.sensors.len() == usize::from(SENSORS) {
                    let schema = group.schema(opened.gateway);
                    streams.push(storage.register_group(schema).await?);
                }
            }
        }
        write(&storage, &streams, minutes * 60).await?;
        storage.close().await?;
        drop(storage);
        taken.await?;
        Ok::<_, anyhow::Error>(())
    })?;
    let db = Connection::open(config.gateway.data_dir.join("buffer.db"))?;
    let bytes: u32 = db.query_row("SELECT SUM(LENGTH(body)) FROM block", [], |row| row.get(0))?;
    let readings = u32::try_from(minutes * 60)? * u32::from(DEVICES) * u32::from(SENSORS);
    Ok(f64::from(bytes) / f64::from(readings))
}

async fn write(storage: &Storage, streams: &[StreamId], seconds: u64) -> Result<()> {
    let now = edge_agent::clock::now();
    let begin = now.plus_micros(-i64::try_from(seconds)? * 1_000_000);
    let mut pushed = 0;
    for second in 0..seconds {
        let time = Timestamp(begin.0 + i64::try_from(second)? * 1_000_000);
        for (unit, stream) in (1..).zip(streams) {
            let cells = (0..SENSORS).map(|register| {
                let value = by_itself(unit, register, u64::try_from(time.0)? / 1_000_000);
                Ok(Cell::Value(Raw::Int(i64::from(value)), Quality::Good))
            });
            let poll = Poll {
                time,
                clock: ClockState::Synchronised,
                cells: cells.collect::<Result<_>>()?,
            };
            pushed += 1;
            if pushed % POLLS_PER_COMMIT == 0 {
                storage.flush().await?;
            }
            match storage.push(*stream, poll.clone()) {
                Ok(()) => {}
                Err(PushError::Full) => {
                    storage.flush().await?;
                    storage.push(*stream, poll)?;
                }
                Err(error) => bail!("the store refused a poll: {error}"),
            }
        }
    }
    Ok(storage.flush().await?)
}

fn config([registers, hub, web]: [SocketAddr; 3]) -> String {
    let devices = (1..=DEVICES).map(|unit| device(unit, "1s", SENSORS));
    let alarms = device(ALARM_UNIT, "100ms", ALARMS);
    let rules = (0..ALARMS).map(|alarm| {
        format!(
            "\n[[rule]]\nname = \"alarm {alarm}\"\nsensor = \"device-{ALARM_UNIT}/r{alarm}\"\n\
             high = {ALARM_LIMIT}.0\nseverity = \"high\"\ntitle = \"Alarm {alarm}\"\n"
        )
    });
    let parts: String = devices.chain([alarms]).chain(rules).collect();
    format!(
        r#"[gateway]
data_dir = "data"
name = "Hall B"
clock_trusted = true

[hub]
address = "{hub}"
tcp_port = {tcp_port}
reconnect_max = "1s"

[storage]
commit_tick = "200ms"

[web]
listen = "{web}"

[[port]]
name = "line"
protocol = "modbus"
address = "{registers}"
{parts}"#,
        tcp_port = hub.port(),
    )
}

fn device(unit: u8, poll: &str, sensors: u16) -> String {
    let sensors: Vec<String> = (0..sensors)
        .map(|at| {
            format!(
                "\n[[device.sensor]]\nname = \"r{at}\"\naddress = \"hr:{at}\"\ntype = \"u16\"\n"
            )
        })
        .collect();
    let sensors = sensors.concat();
    format!(
        "\n[[device]]\nname = \"device-{unit}\"\nport = \"line\"\nunit = {unit}\npoll = \"{poll}\"\n{sensors}"
    )
}
