//! The scene: a box that watches registers of pymodbus, with all channels and their receivers. Never
//! asserts anything.

use anyhow::{Context as _, Result};
use harness::{Agent, Api, Certificates, Mosquitto, Receiver, Scratch, ports, wait_for};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

/// Longest wait for anything; generous, for loaded machines.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);
/// Registers that are watched, each by a rule of its own: no rule is seen to chatter.
pub(super) const PUMPS: usize = 40;
/// The pump whose alert opens a work order.
pub(super) const WITH_ORDER: usize = 1;
/// Whom the messages go to.
pub(super) const ANNA: (&str, &str, &str) = ("Anna Berg", "+4915112345678", "anna@plant.lan");
pub(super) const BEN: (&str, &str) = ("Ben Roth", "+4915187654321");
const SECRET: &str = "a secret of the plant";
const PASSWORD: &str = "mail password";

/// How often the box polls and commits.
#[derive(Clone, Copy)]
pub(super) enum Pace {
    /// Every 100 ms.
    Fast,
    /// As a configuration that says nothing of it: every second.
    Shipped,
}

/// All that runs.
pub(super) struct Scene {
    pub(super) agent: Agent,
    pub(super) here: Api,
    pub(super) device: Receiver,
    pub(super) modem: Receiver,
    pub(super) mail: Receiver,
    pub(super) hook: Receiver,
    pub(super) listener: Receiver,
    pub(super) broker: Mosquitto,
    mode: PathBuf,
    sounds: PathBuf,
}

impl Scene {
    /// Starts the receivers and a box with these ladders, that polls and commits every 100 ms.
    pub(super) fn start(scratch: &Scratch, ladders: &str) -> Result<Self> {
        Self::start_with(scratch, ladders, Pace::Fast)
    }

    /// The same at another pace.
    pub(super) fn start_with(scratch: &Scratch, ladders: &str, pace: Pace) -> Result<Self> {
        let port = ports::free()?.port().to_string();
        let device = Receiver::start_with_orders(scratch, "alarm_device", &["--port", &port])?;
        let line = scratch.file("modem-line");
        let link = line.display().to_string();
        let modem =
            Receiver::start_with_orders(scratch, "gsm_modem", &["--link", &link, "--pin", "4711"])?;
        let certificates = Certificates::make(scratch, "mail")?;
        let mail_port = ports::free()?.port().to_string();
        let mail = mail_server(scratch, &certificates, &mail_port)?;
        let mode = scratch.write("hook.mode", "ok")?;
        let hook_port = ports::free()?.port().to_string();
        let mode_file = mode.display().to_string();
        let arguments = [
            "--port", &hook_port, "--mode", &mode_file, "--secret", SECRET,
        ];
        let hook = Receiver::start(scratch, "hook_server", &arguments)?;
        let broker = Mosquitto::start(scratch)?;
        let broker_port = broker.port().to_string();
        let listener =
            Receiver::start_with_orders(scratch, "mqtt_listener", &["--port", &broker_port])?;
        let sounds = scratch.file("sounds");
        std::fs::create_dir_all(&sounds)?;
        for (name, text) in [("pin", "4711"), ("password", PASSWORD), ("secret", SECRET)] {
            scratch.write(name, text)?;
        }
        let web = ports::free()?;
        let file = |name: &str| scratch.file(name).display().to_string();
        let channels = channels(&[
            ("LINE", link),
            ("PIN", file("pin")),
            ("MAIL", mail_port),
            ("CA", certificates.authority.display().to_string()),
            ("PASSWORD", file("password")),
            ("HOOK", hook_port),
            ("SECRET", file("secret")),
            ("BROKER", broker_port),
            ("SOUNDS", sounds.display().to_string()),
        ]);
        let config = format!(
            "{}{}{channels}{ladders}",
            head(web, pace),
            plant(&port, pace)
        );
        let mut agent = Agent::prepare(scratch, "box", web, |_| config)?;
        agent.start()?;
        let here = agent.api();
        let scene = Self {
            agent,
            here,
            device,
            modem,
            mail,
            hook,
            listener,
            broker,
            mode,
            sounds,
        };
        scene.wait_until_ready()?;
        Ok(scene)
    }

    /// The modem is in the network, the broker is reached, values are read.
    pub(super) fn wait_until_ready(&self) -> Result<()> {
        wait_for("modem and broker to be ready, and values", DEADLINE, || {
            let channels = self.here.get("/channels")?;
            let words = |name: &str| {
                let all = channels["data"].as_array().cloned().unwrap_or_default();
                let found = all.into_iter().find(|channel| channel["name"] == name);
                found
                    .map(|channel| channel["words"].to_string())
                    .unwrap_or_default()
            };
            let ready =
                words("modem").contains("in the network") && words("broker").contains("connected");
            let sensors = self.here.list("/sensors")?;
            let read = sensors.iter().all(|sensor| sensor["value"].is_number());
            Ok((ready && read && sensors.len() == PUMPS).then_some(()))
        })
    }

    /// Sets the register of a pump beyond its limit, or back.
    pub(super) fn set(&self, pump: usize, is_hot: bool) -> Result<()> {
        self.device
            .order(&format!("{pump} {}", if is_hot { 100 } else { 0 }))
    }

    /// When the register of a pump changed last, in microseconds.
    pub(super) fn changed_at(&self, pump: usize) -> Result<i64> {
        wait_for("the register to change", DEADLINE, || {
            let heard = self.device.heard()?;
            let mut of_pump = heard.iter().rev().filter(|line| line["register"] == pump);
            Ok(of_pump
                .find(|line| line["value"] == 100)
                .and_then(|line| line["time_us"].as_i64()))
        })
    }

    /// What the webhook's receiver does from now on.
    pub(super) fn hook_mode(&self, mode: &str) -> Result<()> {
        std::fs::write(&self.mode, mode).context("telling the receiver what to do")
    }

    /// The alert of a pump, as the box shows it; waits for it.
    pub(super) fn alert(&self, pump: usize) -> Result<Value> {
        wait_for(&format!("the alert of pump {pump}"), DEADLINE, || {
            let alerts = self.here.list("/alerts?state=all")?;
            let title = title(pump);
            Ok(alerts
                .into_iter()
                .find(|alert| alert["title"] == title.as_str()))
        })
    }

    /// Somebody acknowledges it on the page.
    pub(super) fn acknowledge(&self, pump: usize) -> Result<()> {
        let id = self.alert(pump)?["id"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let body = json!({"by": ANNA.0});
        self.here
            .post(&format!("/alerts/{id}/actions/acknowledge"), &body)?;
        Ok(())
    }

    /// Waits until the alert is acknowledged, and says by whom.
    pub(super) fn acknowledged_by(&self, pump: usize) -> Result<String> {
        wait_for("the alert to be acknowledged", DEADLINE, || {
            let alert = self.alert(pump)?;
            Ok(alert["acknowledged_by"].as_str().map(str::to_owned))
        })
    }

    /// Sounds that the speaker's player got, with their times in microseconds, oldest first.
    pub(super) fn sounds(&self) -> Result<Vec<(i64, PathBuf)>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.sounds)? {
            let path = entry?.path();
            let name = path
                .file_stem()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            if let (Ok(time_ns), Some("wav")) = (
                name.parse::<i64>(),
                path.extension().and_then(|end| end.to_str()),
            ) {
                found.push((time_ns / 1_000, path));
            }
        }
        found.sort();
        Ok(found)
    }

    /// The log of deliveries, newest first.
    pub(super) fn deliveries(&self) -> Result<Vec<Value>> {
        self.here.list("/deliveries")
    }
}

/// aiosmtpd, which takes mail over STARTTLS from who knows the password.
fn mail_server(scratch: &Scratch, certificates: &Certificates, port: &str) -> Result<Receiver> {
    let (certificate, key) = &certificates.server;
    let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
    let files = ["--certificate", &certificate, "--key", &key];
    let login = ["--user", "box", "--password", PASSWORD];
    let arguments = [&["--port", port], &files[..], &login[..]].concat();
    Receiver::start(scratch, "mail_server", &arguments)
}

/// What the rule of a pump says.
pub(super) fn title(pump: usize) -> String {
    format!("Pump {pump:02} is hot")
}

/// When a line of a receiver was written, in microseconds.
pub(super) fn time_of(line: &Value) -> Option<i64> {
    line["time_us"].as_i64()
}

fn head(web: std::net::SocketAddr, pace: Pace) -> String {
    let storage = match pace {
        Pace::Fast => "[storage]\ncommit_tick = \"100ms\"\n",
        Pace::Shipped => "",
    };
    format!(
        r#"[gateway]
data_dir = "data"
name = "Hall B"
clock_trusted = true

{storage}
[web]
listen = "{web}"

[notify]
time_zone = "Europe/Berlin"
language = "en"
"#
    )
}

fn plant(port: &str, pace: Pace) -> String {
    let poll = match pace {
        Pace::Fast => "poll = \"100ms\"\n",
        Pace::Shipped => "",
    };
    let text = format!(
        r#"
[[port]]
name = "line"
protocol = "modbus"
address = "127.0.0.1:{port}"

[[device]]
name = "pumps"
port = "line"
unit = 1
{poll}write = ["co:0-3"]
"#
    );
    let sensor = |pump: usize| {
        format!(
            "\n[[device.sensor]]\nname = \"p{pump}\"\naddress = \"hr:{pump}\"\ntype = \"i16\"\nasset = \"P-{pump:02}\"\n"
        )
    };
    let rule = |pump: usize| {
        format!(
            "\n[[rule]]\nname = \"hot {pump}\"\nsensor = \"pumps/p{pump}\"\nhigh = 50.0\nseverity = \"high\"\ntitle = \"{}\"\n{}",
            title(pump),
            if pump == WITH_ORDER {
                "[rule.work_order]\n"
            } else {
                ""
            }
        )
    };
    let plant = (0..PUMPS).map(sensor).chain((0..PUMPS).map(rule));
    text + &plant.collect::<String>()
}

/// All channels; words in capitals are places of this test.
fn channels(places: &[(&str, String)]) -> String {
    let mut text = format!(
        r#"
[[person]]
name = "{}"
phone = "{}"
email = "{}"

[[person]]
name = "{}"
phone = "{}"

[[channel]]
name = "speaker"
kind = "speaker"
voice = "en-us+f3"
words_per_minute = 140
times = 1
per_minute = 600
player = ["sh", "-c", "cat > '<SOUNDS>/'$$ && mv '<SOUNDS>/'$$ '<SOUNDS>/'$(date +%s%N).wav"]

[[channel]]
name = "modem"
kind = "gsm"
path = "<LINE>"
pin_file = "<PIN>"
ring = "5s"
per_minute = 600

[[channel]]
name = "mail"
kind = "smtp"
address = "127.0.0.1:<MAIL>"
from = "box@plant.lan"
tls = "starttls"
ca_file = "<CA>"
user = "box"
password_file = "<PASSWORD>"
per_minute = 600

[[channel]]
name = "andon"
kind = "webhook"
url = "http://127.0.0.1:<HOOK>/alerts"
secret_file = "<SECRET>"
timeout = "2s"

[[channel]]
name = "broker"
kind = "mqtt"
address = "127.0.0.1:<BROKER>"
topic = "plant/{{severity}}/{{asset}}"
acknowledge_topic = "plant/acknowledge"
timeout = "5s"

[[channel]]
name = "lamp"
kind = "lamp"
device = "pumps"
address = "co:2"
"#,
        ANNA.0, ANNA.1, ANNA.2, BEN.0, BEN.1
    );
    for (word, place) in places {
        text = text.replace(&format!("<{word}>"), place);
    }
    text
}
