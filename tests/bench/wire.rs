//! Bytes on the wire per reading: what the agent sends as it ships, live at 1,000 sensors x 1 s and
//! catching up after a cut, beside the same readings as JSON over MQTT through a real broker. Counts
//! the payload of UDP and TCP in both directions, so acknowledgements are in and the headers of IP,
//! UDP and TCP are out.

use crate::plant::{Load, Plant};
use crate::report::Report;
use anyhow::{Context as _, Result, bail};
use harness::tcp_relay::TcpRelay;
use harness::{Program, Scratch, places, ports, wait_for};
use serde_json::Value;
use std::fmt::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const LIVE_LOAD: Load = Load {
    devices: 10,
    sensors: 100,
    poll_ms: 1_000,
};
/// Ten polls a second, so that some minutes without uplink fill blocks.
const CATCH_UP_LOAD: Load = Load {
    devices: 1,
    sensors: 100,
    poll_ms: 100,
};
const LIVE: Duration = Duration::from_secs(60);
const CUT: Duration = Duration::from_secs(150);
/// Longest wait for the next readings at the hub.
const NEXT_WAIT: Duration = Duration::from_secs(30);
/// A reading must cost no more than this, live and catching up.
const BYTES_MAX: f64 = 1.0;

/// The agent first; what it sent is then sent again as JSON.
pub(crate) fn run(report: &mut Report) -> Result<()> {
    let scratch = Scratch::new("bench-wire")?;
    let plant = Plant::start(&scratch, LIVE_LOAD)?;
    let live = bytes_per_reading(&plant, || {
        harness::wait::pause(LIVE);
        Ok(())
    })?;
    drop(plant);
    scratch.passed();
    let scratch = Scratch::new("bench-wire-catch-up")?;
    let plant = Plant::start(&scratch, CATCH_UP_LOAD)?;
    let catch_up = bytes_per_reading(&plant, || {
        plant.relay.cut();
        harness::wait::pause(CUT);
        plant.relay.restore();
        plant.wait_until_synchronised()
    })?;
    let rows = readings_of(&plant)?;
    drop(plant);
    let broker = Broker::start(&scratch)?;
    let single = broker.bytes_per_reading(&rows, &[])?;
    let per_poll = broker.bytes_per_reading(&rows, &["--per-poll"])?;
    drop(broker);
    scratch.passed();
    let one = "MQTT, JSON, a message per reading";
    let all = "MQTT, JSON, a message per poll";
    report.row("live, bytes per reading", live, "B", (one, single));
    report.row("live, bytes per reading", live, "B", (all, per_poll));
    report.row(
        "catching up, bytes per reading",
        catch_up,
        "B",
        (one, single),
    );
    report.row(
        "catching up, bytes per reading",
        catch_up,
        "B",
        (all, per_poll),
    );
    let words = format!(
        "{live:.2} B per reading live, {catch_up:.2} catching up; MQTT with JSON {single:.0} (per poll {per_poll:.1})"
    );
    let kept = catch_up <= BYTES_MAX && live <= BYTES_MAX && live < per_poll;
    report.promise(kept, words);
    Ok(())
}

/// Bytes through the relay, both ways, for each reading that the hub got meanwhile. Begins and ends
/// when readings have just come: several polls come together.
fn bytes_per_reading(plant: &Plant, period: impl FnOnce() -> Result<()>) -> Result<f64> {
    next_readings(plant)?;
    let (counters, readings) = (plant.relay.counters(), plant.hub_readings()?);
    period()?;
    next_readings(plant)?;
    let passed = plant.relay.counters().since(&counters);
    let readings = plant.hub_readings()? - readings;
    let bytes = passed.up.bytes + passed.down.bytes;
    Ok(f64::from(u32::try_from(bytes)?) / f64::from(u32::try_from(readings.max(1))?))
}

fn next_readings(plant: &Plant) -> Result<()> {
    let before = plant.hub_readings()?;
    wait_for("the next readings at the hub", NEXT_WAIT, || {
        Ok((plant.hub_readings()? > before).then_some(()))
    })
}

/// Lines `time_ms,sensor,value` of one minute, as the publisher wants them, and their number.
struct Rows {
    text: String,
    count: u32,
}

fn readings_of(plant: &Plant) -> Result<Rows> {
    let mut rows: Vec<(i64, String, f64)> = Vec::new();
    for sensor in plant.hub_api.list("/sensors")? {
        let text = |key: &str| {
            sensor
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let answer = plant
            .hub_api
            .get(&format!("/sensors/{}/readings?points=10000", text("id")))?;
        for point in answer
            .get("points")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .take(600)
        {
            let time = point
                .get(0)
                .and_then(Value::as_i64)
                .context("a point without a time")?;
            if let Some(value) = point.get(1).and_then(Value::as_f64) {
                rows.push((time, text("name"), value));
            }
        }
    }
    rows.sort_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
    let mut text = String::new();
    for (time, sensor, value) in &rows {
        // Registers are tenths: what JSON shows is what a gateway would write.
        writeln!(text, "{time},{sensor},{value:.1}")?;
    }
    let count = u32::try_from(rows.len())?;
    if count == 0 {
        bail!("the hub gave no readings to send by MQTT");
    }
    Ok(Rows { text, count })
}

struct Broker {
    relay: TcpRelay,
    _program: Program,
}

impl Broker {
    fn start(scratch: &Scratch) -> Result<Self> {
        let address: SocketAddr = ports::free()?;
        let config = format!(
            "listener {} 127.0.0.1\nallow_anonymous true\n",
            address.port()
        );
        let config = scratch.write("mosquitto.conf", &config)?;
        let installed = ["/usr/sbin/mosquitto", "/usr/bin/mosquitto"];
        let path = installed
            .iter()
            .find(|path| std::path::Path::new(path).is_file());
        let mut command = Command::new(path.context("mosquitto is missing: run `make bench`")?);
        command.arg("-c").arg(config);
        let mut program = Program::start("mosquitto", command, scratch.path())?;
        program.wait_until("the MQTT broker", Duration::from_secs(10), || {
            Ok(TcpStream::connect(address).is_ok().then_some(()))
        })?;
        Ok(Self {
            relay: TcpRelay::start(address)?,
            _program: program,
        })
    }

    fn bytes_per_reading(&self, rows: &Rows, arguments: &[&str]) -> Result<f64> {
        let before = self.relay.bytes();
        let mut child = Command::new(places::python()?)
            .arg(places::repository().join("tests/bench/mqtt_publisher.py"))
            .args(["--port", &self.relay.address().port().to_string()])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .context("starting the MQTT publisher")?;
        let mut input = child.stdin.take().context("no way to the publisher")?;
        std::io::Write::write_all(&mut input, rows.text.as_bytes()).context("feeding it")?;
        drop(input);
        let started = Instant::now();
        let status = wait_for("the MQTT publisher", Duration::from_secs(300), || {
            Ok(child.try_wait()?)
        })?;
        if !status.success() {
            bail!("the MQTT publisher failed after {:?}", started.elapsed());
        }
        let after = self.relay.bytes();
        let bytes = (after.0 - before.0) + (after.1 - before.1);
        Ok(f64::from(u32::try_from(bytes)?) / f64::from(rows.count))
    }
}
