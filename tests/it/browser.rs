//! The slice in a real browser: starts a hub, a box and a plant that runs hot, and hands their
//! addresses to `tests/e2e/slice.mjs`, which drives Chromium and says what is to be stopped.
//! Never looks at a page itself.

use anyhow::{Context as _, Result, bail, ensure};
use harness::{Agent, Hub, ModbusPeer, PeerOptions, Scratch, in_scratch, places, ports, wait_for};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(60);

#[test]
fn browser() -> Result<()> {
    in_scratch("browser", |scratch| {
        let peer = ModbusPeer::start(
            scratch,
            PeerOptions {
                // The bearing warms up, and is beyond 70 °C some eight seconds later.
                first_row: 2_290,
                samples_per_s: 4.0,
                ..PeerOptions::default()
            },
        )?;
        let mut hub = Hub::start(scratch)?;
        let mut agent = PumpBox {
            name: "Hall B, box 2",
            plant: peer.address(),
            hub: Some(&hub),
            bearing: "type = \"f32\"",
            motor: 2,
            limit: 70.0,
        }
        .prepare(scratch)?;
        agent.enrol(&hub.claim("Demo plant", "Hall B, box 2", "B2")?)?;
        agent.start()?;
        let api = hub.sign_in()?;
        wait_for("the alert and its order at the hub", DEADLINE, || {
            let there = api.list("/alerts")?.len() + api.list("/work-orders")?.len();
            Ok((there == 2).then_some(()))
        })?;
        let (name, password) = hub.administrator()?;
        let script = Script::start(
            "slice.mjs",
            &[
                ("CHATTERFIX_HUB", hub.api().base().to_owned()),
                ("CHATTERFIX_BOX", agent.api().base().to_owned()),
                ("CHATTERFIX_NAME", name.to_owned()),
                ("CHATTERFIX_PASSWORD", password.to_owned()),
            ],
        )?;
        script.run(|wanted| match wanted {
            "stop-hub" => hub.stop(),
            "start-hub" => hub.start_again(),
            other => bail!("the script asks for {other}"),
        })?;
        agent.stop()?;
        hub.stop()
    })
}

/// The box of the browser tests: a pump whose bearing has a limit and opens an order, and whose motor
/// has none.
pub(crate) struct PumpBox<'a> {
    pub(crate) name: &'a str,
    /// Where its device is.
    pub(crate) plant: SocketAddr,
    pub(crate) hub: Option<&'a Hub>,
    /// How the bearing's temperature stands in the device.
    pub(crate) bearing: &'a str,
    /// Register of the motor's temperature.
    pub(crate) motor: u16,
    /// Above it the bearing is too hot, in degrees.
    pub(crate) limit: f64,
}

impl PumpBox<'_> {
    pub(crate) fn prepare(&self, scratch: &Scratch) -> Result<Agent> {
        let Self {
            name,
            plant,
            bearing,
            motor,
            limit,
            ..
        } = self;
        let hub = self.hub.map_or_else(String::new, |hub| {
            let address = hub.quic();
            format!("[hub]\naddress = \"{address}\"\nkeep_alive = \"2s\"\nreconnect_max = \"2s\"\n")
        });
        let web = ports::free()?;
        Agent::prepare(scratch, "box", web, |_| {
            format!(
                r#"
[gateway]
data_dir = "data"
name = "{name}"

[storage]
commit_tick = "200ms"

{hub}
[web]
listen = "{web}"

[[port]]
name = "line-a"
protocol = "modbus"
address = "{plant}"

[[device]]
name = "pump-7"
port = "line-a"
asset = "P-247"
unit = 1
poll = "500ms"

[[device.sensor]]
name = "bearing_temp"
address = "hr:0"
{bearing}
unit_name = "degC"
range = [0.0, 150.0]

[[device.sensor]]
name = "motor_temp"
address = "hr:{motor}"
type = "i16"
scale = 0.1
unit_name = "degC"
range = [0.0, 150.0]

[[rule]]
name = "P-247 bearing"
sensor = "pump-7/bearing_temp"
high = {limit:.1}
severity = "high"
title = "Bearing of pump 7 runs hot"

[rule.work_order]
title = "Check bearing and seal of pump 7"
"#
            )
        })
    }
}

/// A script in a browser, running.
pub(crate) struct Script {
    process: Child,
    questions: BufReader<ChildStdout>,
    answers: ChildStdin,
}

impl Script {
    /// Starts a script of `tests/e2e`; its pictures go to `build/e2e`.
    pub(crate) fn start(name: &str, environment: &[(&str, String)]) -> Result<Self> {
        let pictures = places::repository().join("build/e2e");
        std::fs::create_dir_all(&pictures).context("making the folder of the pictures")?;
        let mut process = Command::new(node())
            .arg(places::repository().join("tests/e2e").join(name))
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .env("CHATTERFIX_PICTURES", pictures)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting node; `make setup` brings it")?;
        let (stdin, stdout) = (process.stdin.take(), process.stdout.take());
        let (Some(answers), Some(stdout)) = (stdin, stdout) else {
            bail!("the script has no pipes");
        };
        Ok(Self {
            process,
            questions: BufReader::new(stdout),
            answers,
        })
    }

    /// Does what it asks for with `answer` until it ends, and fails when it found problems.
    pub(crate) fn run(mut self, mut answer: impl FnMut(&str) -> Result<()>) -> Result<()> {
        while let Some(line) = self.line()? {
            if let Some(wanted) = line.strip_prefix("ask: ") {
                answer(wanted)?;
                self.answer()?;
            } else {
                crate::told(&line);
            }
        }
        self.end()
    }

    /// The next line that it prints; `None` when it has ended.
    fn line(&mut self) -> Result<Option<String>> {
        let mut line = String::new();
        let length = self.questions.read_line(&mut line);
        if length.context("reading what the script says")? == 0 {
            return Ok(None);
        }
        Ok(Some(line.trim_end().to_owned()))
    }

    fn answer(&mut self) -> Result<()> {
        writeln!(self.answers, "done").context("answering the script")
    }

    fn end(&mut self) -> Result<()> {
        let status = self.process.wait().context("waiting for the script")?;
        ensure!(status.success(), "the script found problems: see above");
        Ok(())
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // A script that has ended already is what we want.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// The Node of `make setup` when it brought one, else that of the machine.
fn node() -> PathBuf {
    let brought = places::repository().join("build/node/bin/node");
    if brought.is_file() {
        brought
    } else {
        "node".into()
    }
}
