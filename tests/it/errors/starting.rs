//! Programs that cannot start: which file, line and key, which port, what to do. Never leaves the
//! one that runs already worse off.

use super::{DEADLINE, HEALTHY, case, goes_on, peer, prepare, refuses};
use anyhow::{Context as _, Result, ensure};
use harness::process::run_command;
use harness::{Hub, places, ports};
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::Command;

/// Five mistakes: two of the file's own keys, one of a rule, two of the protocol's.
const MISTAKES: &str = r#"
[gateway]
data_dir = "data"

[storage]
comit_tick = "1s"

[[port]]
name = "line"
protocol = "modbus"
address = "10.0.0.5:502"
timeout = "soon"

[[device]]
name = "pump"
port = "lime"
[[device.sensor]]
name = "value"
address = 40001

[[device]]
name = "fan"
port = "line"
[[device.sensor]]
name = "value"
adress = 40001

[[rule]]
name = "hot"
sensor = "pump/valve"
high = 80.0
"#;

#[test]
fn a_corrupt_configuration_is_told_mistake_by_mistake() -> Result<()> {
    case("config", |scratch| {
        let peer = peer(scratch)?;
        let mut agent = prepare(scratch, "box", &peer, |plan| plan)?;
        agent.start()?;
        let good = std::fs::read(agent.config()).context("reading the configuration")?;
        let file = agent.config().display().to_string();
        std::fs::write(agent.config(), MISTAKES).context("writing a wrong one")?;
        let place = |line: u32, column: u32| format!("{file}:{line}:{column}: ");
        let parts = [
            "so the agent does not run with it:".to_owned(),
            format!("{}[storage], key \"comit_tick\"", place(6, 1)),
            "did you mean \"commit_tick\"?".to_owned(),
            format!("{}port \"line\", key \"timeout\"", place(12, 1)),
            format!("{}device \"pump\", key \"port\"", place(16, 1)),
            "did you mean \"line\"?".to_owned(),
            format!(
                "{}device \"fan\", sensor \"value\", key \"adress\"",
                place(26, 1)
            ),
            "did you mean \"address\"?".to_owned(),
            "rule \"hot\", key \"sensor\"".to_owned(),
            "did you mean \"pump/value\"?".to_owned(),
        ];
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let said = refuses(&agent, &["check"], &parts)?;
        // The one that runs reads its configuration at the start only.
        goes_on(&agent.api(), HEALTHY)?;
        agent.stop()?;
        ensure!(
            refuses(&agent, &["run"], &parts)? == said,
            "`run` says something else"
        );

        std::fs::write(agent.config(), b"[gateway\n\xFF").context("writing no text")?;
        let parts = [&file, "2:1", "not UTF-8"];
        let parts = parts.map(AsRef::as_ref);
        refuses(&agent, &["run"], &parts)?;
        std::fs::write(agent.config(), "[gateway\n").context("writing no TOML")?;
        refuses(&agent, &["run"], &[&format!("{file}:1:"), "not TOML"])?;
        std::fs::remove_file(agent.config()).context("removing it")?;
        let parts = [
            "cannot read the configuration",
            &file,
            "check that the file is there",
            "No such file",
        ];
        refuses(&agent, &["run"], &parts)?;
        refuses(&agent, &["check"], &parts)?;

        std::fs::write(agent.config(), good).context("writing the good one again")?;
        agent.start()?;
        goes_on(&agent.api(), HEALTHY)?;
        agent.stop()
    })
}

#[test]
fn a_corrupt_configuration_of_the_hub_is_told_mistake_by_mistake() -> Result<()> {
    case("hub-config", |scratch| {
        let wrong = "data_dirr = \"data\"\n\n[quic]\nlisten = \"everywhere\"\n\n[web]\nlissen = \"127.0.0.1:1\"\n";
        let file = scratch.write("hub.toml", wrong)?;
        let name = file.display();
        let parts = [
            format!("{name}:1:1"),
            "did you mean \"data_dir\"?".to_owned(),
            format!("{name}:4:1"),
            "quic.listen".to_owned(),
            format!("{name}:7:1"),
            "did you mean \"listen\"?".to_owned(),
        ];
        hub_refuses(&file, &parts)?;
        let gone = scratch.file("gone.toml");
        hub_refuses(&gone, &["gone.toml".to_owned(), "No such file".to_owned()])
    })
}

#[test]
fn a_port_in_use_is_named() -> Result<()> {
    case("ports", |scratch| {
        let peer = peer(scratch)?;
        let taken = ports::free()?;
        let _tcp = TcpListener::bind(taken).context("taking a port")?;
        let _udp = UdpSocket::bind(taken).context("taking a port")?;
        let mut agent = prepare(scratch, "box", &peer, |plan| plan)?;
        agent.start()?;
        let other = harness::Agent::prepare(scratch, "other", taken, |_| {
            super::Plan::new(taken).port("line", peer.address()).text
        })?;
        let words = format!(
            "listening on {taken} for the page; is another program using it? ([web] listen)"
        );
        refuses(&other, &["run"], &[&words, "Address already in use"])?;
        // A second agent on the same data is kept out before it writes anything.
        let words = ["data/lock", "is in use by another agent; stop that one"];
        refuses(&agent, &["run"], &words)?;
        goes_on(&agent.api(), HEALTHY)?;
        agent.stop()?;

        let free = ports::free()?;
        let config = |quic, web| {
            let folder = scratch.file("hub-data");
            let text = format!(
                "data_dir = \"{}\"\n[quic]\nlisten = \"{quic}\"\n[web]\nlisten = \"{web}\"\n",
                folder.display()
            );
            scratch.write("hub.toml", &text)
        };
        let parts = [
            "the door for gateways ([quic] and [tcp] listen) could not be opened".to_owned(),
            format!("listening on UDP {taken}; is another program using it"),
        ];
        hub_refuses(&config(taken, free)?, &parts)?;
        let parts = [
            format!(
                "the address {taken} ([web] listen) could not be taken; does another program use it?"
            ),
            "Address already in use".to_owned(),
        ];
        hub_refuses(&config(free, taken)?, &parts)?;
        // Nothing of this keeps a hub from starting where there is room.
        Hub::start(scratch)?.stop()
    })
}

/// `cloud-hub run` must fail with all of `parts` in what it says.
fn hub_refuses(config: &Path, parts: &[String]) -> Result<()> {
    let mut command = Command::new(places::program("cloud-hub")?);
    command.args(["run", "--config"]).arg(config);
    let folder = config.parent().context("a file has a folder")?;
    let result = run_command(command, folder, DEADLINE)?;
    for part in parts {
        ensure!(
            result.code == Some(1) && result.stderr.contains(part),
            "cloud-hub gave {:?} and not {part:?}: {}",
            result.code,
            result.stderr
        );
    }
    Ok(())
}
