//! Through tinyproxy with a password, where nothing else gets out.

use super::{calm, carries_all, link};
use crate::plant::{DEADLINE, Plant};
use anyhow::{Context as _, Result, ensure};
use harness::{Program, Scratch, in_scratch, ports, wait_for};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

/// As it is written in the file; the password is `s3cret`.
const CREDENTIALS: &str = "plant:%733cret";
const PASSWORD: &str = "s3cret";

#[test]
fn proxy() -> Result<()> {
    in_scratch("proxy", |scratch| {
        let mut running = None;
        let mut plant = Plant::start_with(scratch, calm(), |hub, relay| {
            relay.cut();
            let (address, program) = start(scratch, hub.tcp().port())?;
            running = Some(program);
            // The hub's own name need not be known on the box: the proxy finds it.
            Ok(format!(
                "tcp_port = {}\nproxy = \"http://{CREDENTIALS}@{address}\"\n",
                hub.tcp().port()
            ))
        })?;
        let words = link(&plant)?;
        ensure!(words["state"] == "connected", "{words}");
        let mut tinyproxy = running.context("tinyproxy runs")?;
        ensure!(tinyproxy.output()?.contains("CONNECT") || tinyproxy.log()?.contains("CONNECT"));

        let file = plant.agent.config();
        let right = std::fs::read_to_string(&file)?;
        plant.agent.stop()?;
        std::fs::write(&file, right.replace(CREDENTIALS, "plant:wr0ng"))?;
        plant.agent.start()?;
        let parts = ["the proxy ", "check user and password in [hub] proxy"];
        wait_for("the proxy's refusal on the box", DEADLINE, || {
            let words = link(&plant)?["words"].to_string();
            Ok(parts.iter().all(|part| words.contains(part)).then_some(()))
        })?;
        plant.agent.stop()?;
        std::fs::write(&file, &right)?;
        plant.agent.start()?;
        plant.wait_for_link("connected")?;
        carries_all(&mut plant)?;
        let log = std::fs::read_to_string(plant.agent.folder().join("box.log"))?;
        for secret in [PASSWORD, "%733cret", "wr0ng", "cGxhbnQ6"] {
            ensure!(!log.contains(secret), "the log shows {secret}");
        }
        drop(tinyproxy.kill9());
        println!(
            "measured: enrolled and synchronised through tinyproxy with a password, which \
             stands in no log; a wrong one is told with its remedy"
        );
        Ok(())
    })
}

fn start(scratch: &Scratch, hub_port: u16) -> Result<(SocketAddr, Program)> {
    let address = ports::free()?;
    let text = format!(
        "Port {}\nListen {}\nTimeout 600\nAllow 127.0.0.1\nBasicAuth plant {PASSWORD}\n\
         ConnectPort {hub_port}\nLogLevel Connect\n",
        address.port(),
        address.ip()
    );
    scratch.write("tinyproxy/tinyproxy.conf", &text)?;
    let mut command = Command::new("tinyproxy");
    command
        .arg("-d")
        .arg("-c")
        .arg(scratch.file("tinyproxy/tinyproxy.conf"));
    let program = Program::start("tinyproxy", command, &scratch.file("tinyproxy"))
        .context("tinyproxy is missing: run `make setup`")?;
    wait_for("tinyproxy", DEADLINE, || {
        Ok(TcpStream::connect(address).ok())
    })?;
    Ok((address, program))
}
