//! What the speaker says is understood: pocketsphinx, which knows the sentences that could be said
//! (a grammar of severities and assets), hears the one that was.

use anyhow::{Context as _, Result, ensure};
use harness::Receiver;
use harness::{Agent, Scratch, in_scratch, places, ports, run_command, wait_for};
use std::process::Command;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(60);
/// Title, severity, as a listener writes it down.
const SAID: [(&str, &str); 4] = [
    ("Fan three stopped", "critical"),
    ("Pump seven: bearing hot", "high"),
    ("Compressor: oil pressure low", "medium"),
    ("Tank level high", "high"),
];
/// What else could have been said.
const OTHERS: [&str; 5] = [
    "pump two bearing hot",
    "conveyor jammed",
    "boiler pressure low",
    "motor nine vibration high",
    "fan two stopped",
];

/// O-5.5
#[test]
fn what_the_speaker_says_is_understood() -> Result<()> {
    in_scratch("notify-speech", run)
}

fn run(scratch: &Scratch) -> Result<()> {
    let port = ports::free()?.port().to_string();
    let device = Receiver::start_with_orders(scratch, "alarm_device", &["--port", &port])?;
    let web = ports::free()?;
    let sounds = scratch.file("sounds");
    std::fs::create_dir_all(&sounds)?;
    let config = config(&port, web, &sounds.display().to_string());
    let mut agent = Agent::prepare(scratch, "box", web, |_| config)?;
    agent.start()?;
    for (at, (title, severity)) in SAID.iter().enumerate() {
        device.order(&format!("{at} 100"))?;
        let wav = wait_for("the sound", DEADLINE, || {
            let path = sounds.join(format!("{at}.wav"));
            // The player counts its sounds.
            Ok(path.is_file().then_some(path))
        })?;
        let heard = listen(scratch, &wav)?;
        let wanted = format!("attention {severity} {}", words(title));
        ensure!(heard == wanted, "said {wanted:?}, heard {heard:?}");
    }
    report();
    agent.stop()
}

#[expect(clippy::print_stdout, reason = "the promise is this line")]
fn report() {
    let others = OTHERS.len() + SAID.len();
    println!(
        "measured: {} of {} announcements understood, each among {others} titles and 4 severities",
        SAID.len(),
        SAID.len()
    );
}

fn words(title: &str) -> String {
    title.replace(':', "").to_lowercase()
}

fn listen(scratch: &Scratch, wav: &std::path::Path) -> Result<String> {
    let mut command = Command::new(places::python()?);
    command
        .arg(places::repository().join("tests/harness/peers/listen.py"))
        .arg(wav)
        .args(SAID.map(|(title, _)| words(title)))
        .args(OTHERS);
    let result = run_command(command, scratch.path(), DEADLINE)?;
    ensure!(result.code == Some(0), "pocketsphinx: {}", result.stderr);
    let last = result
        .stdout
        .lines()
        .last()
        .context("pocketsphinx said nothing")?;
    Ok(last.trim().to_owned())
}

fn config(port: &str, web: std::net::SocketAddr, sounds: &str) -> String {
    let sensor = |at: usize| {
        format!("\n[[device.sensor]]\nname = \"s{at}\"\naddress = \"hr:{at}\"\ntype = \"i16\"\n")
    };
    let sensors: String = (0..SAID.len()).map(sensor).collect();
    let mut text = format!(
        r#"[gateway]
data_dir = "data"
clock_trusted = true

[storage]
commit_tick = "100ms"

[web]
listen = "{web}"

[[port]]
name = "line"
protocol = "modbus"
address = "127.0.0.1:{port}"

[[device]]
name = "plant"
port = "line"
unit = 1
poll = "100ms"
{sensors}
[[channel]]
name = "speaker"
kind = "speaker"
voice = "en-us+f3"
words_per_minute = 140
times = 1
per_minute = 600
player = ["sh", "-c", "cat > '{sounds}/new' && mv '{sounds}/new' '{sounds}/'$(ls '{sounds}' | grep -c wav).wav"]

[[ladder]]
name = "hall"

[[ladder.step]]
channels = ["speaker"]
"#
    );
    text += &rules();
    text
}

fn rules() -> String {
    let rule = |(at, (title, severity)): (usize, &(&str, &str))| {
        format!(
            "\n[[rule]]\nname = \"r{at}\"\nsensor = \"plant/s{at}\"\nhigh = 50.0\nseverity = \"{severity}\"\ntitle = \"{title}\"\n"
        )
    };
    SAID.iter().enumerate().map(rule).collect()
}
