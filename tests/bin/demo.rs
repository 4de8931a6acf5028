//! `make demo`: a simulated plant, a box and a hub on this machine, with an uplink that can be cut
//! and restored from the terminal. Never leaves anything behind: all is in a scratch folder.
#![expect(clippy::print_stdout, reason = "printing is what this program is for")]

use anyhow::{Context as _, Result, bail};
use harness::{Agent, Api, Hub, Program, Relay, Scratch, places, ports};
use serde_json::Value;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

const HELP: &str = "c cut the uplink · r restore it · s status · q quit";
const USAGE: &str =
    "usage: demo [--seconds N]   (N: how long it runs; without it until q or Ctrl-C)";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let until = match arguments.as_slice() {
        [] => None,
        [flag, seconds] if flag == "--seconds" => {
            Some(Instant::now() + Duration::from_secs(seconds.parse().context(USAGE)?))
        }
        _ => bail!(USAGE),
    };
    let scratch = Scratch::new("demo")?;
    println!(
        "Starting a plant, a hub and a box in {} …",
        scratch.path().display()
    );
    let demo = Demo::start(&scratch)?;
    demo.introduce()?;
    demo.serve(until)?;
    drop(demo);
    scratch.passed();
    Ok(())
}

/// What a person, a signal or the end of the time asks for.
enum Wish {
    Line(String),
    Quit,
}

struct Demo {
    // In this order they stop: the box before its hub and its plant.
    agent: Agent,
    _plant: Program,
    relay: Relay,
    hub: Hub,
    hub_api: Api,
}

impl Demo {
    fn start(scratch: &Scratch) -> Result<Self> {
        let hub = Hub::start(scratch)?;
        let hub_api = hub.sign_in()?;
        let relay = Relay::start(hub.quic())?;
        let (plant, plant_address) = start_plant(scratch)?;
        let web = ports::free()?;
        let text = std::fs::read_to_string(places::repository().join("configs/edge.demo.toml"))
            .context("reading configs/edge.demo.toml")?;
        let mut agent = Agent::prepare(scratch, "box", web, |_| {
            demo_config(&text, plant_address, relay.address(), web)
        })?;
        agent.enrol(&hub.claim("Demo plant", "Demo box", "B1")?)?;
        agent.start()?;
        Ok(Self {
            agent,
            _plant: plant,
            relay,
            hub,
            hub_api,
        })
    }

    fn introduce(&self) -> Result<()> {
        let (name, password) = self.hub.administrator()?;
        println!();
        println!(
            "  The box's page, for staff in the hall:   {}",
            self.agent.api().base()
        );
        println!(
            "  The hub, for the central team:           {}",
            self.hub_api.base()
        );
        println!("                    sign in as {name} with {password}");
        println!();
        println!("  {HELP}");
        println!(
            "  Cut the uplink, wait for an alert on the box's page (the pump runs hot every few"
        );
        println!("  minutes), work on its order there, restore, and see the hub catch up.");
        Ok(())
    }

    fn serve(&self, until: Option<Instant>) -> Result<()> {
        let (wishes_in, wishes) = mpsc::sync_channel(16);
        listen_to_signals(wishes_in.clone())?;
        listen_to_terminal(wishes_in)?;
        loop {
            prompt();
            let left = until.map_or(Duration::from_secs(86_400), |until| {
                until.saturating_duration_since(Instant::now())
            });
            match wishes.recv_timeout(left) {
                Ok(Wish::Line(line)) if line.trim() == "q" => return Ok(()),
                Ok(Wish::Line(line)) => self.obey(line.trim()),
                Ok(Wish::Quit) => return Ok(()),
                Err(_) if until.is_some_and(|until| until <= Instant::now()) => {
                    self.status();
                    return Ok(());
                }
                Err(_) => {}
            }
        }
    }

    fn obey(&self, word: &str) {
        match word {
            "c" => {
                self.relay.cut();
                println!("The uplink is cut. The box goes on by itself.");
            }
            "r" => {
                self.relay.restore();
                println!("The uplink is back. The box finds it within seconds.");
            }
            "s" => self.status(),
            "" => {}
            _ => println!("{HELP}"),
        }
    }

    fn status(&self) {
        let counters = self.relay.counters();
        let word = if self.relay.is_cut() { "cut" } else { "there" };
        println!(
            "uplink  {word}; {} bytes up, {} bytes down",
            counters.up.bytes, counters.down.bytes
        );
        match self.agent.api().get("/status") {
            Ok(status) => println!(
                "box     {} · waiting: {} events, {} readings · {} alerts · {} open orders",
                words(&status, "/link/words"),
                words(&status, "/link/waiting_events"),
                words(&status, "/link/waiting_readings"),
                words(&status, "/alerts_active"),
                words(&status, "/orders_open"),
            ),
            Err(error) => println!("box     does not answer: {error:#}"),
        }
        match self.hub_api.list("/gateways") {
            Ok(gateways) => {
                for gateway in gateways {
                    println!(
                        "hub     {} is {} · {} readings · {}",
                        words(&gateway, "/name"),
                        words(&gateway, "/state"),
                        words(&gateway, "/readings"),
                        words(&gateway, "/completeness/words"),
                    );
                }
            }
            Err(error) => println!("hub     does not answer: {error:#}"),
        }
    }
}

/// A value of an answer as a person reads it.
fn words(answer: &Value, pointer: &str) -> String {
    match answer.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => "?".into(),
    }
}

fn start_plant(scratch: &Scratch) -> Result<(Program, SocketAddr)> {
    let address = ports::free()?;
    let mut command = Command::new(places::program("edge-agent")?);
    command.args(["simulate", "--listen", &address.to_string()]);
    let mut plant = Program::start("plant", command, scratch.path())?;
    plant.wait_until("the simulated plant", Duration::from_secs(30), || {
        Ok(TcpStream::connect(address).is_ok().then_some(()))
    })?;
    Ok((plant, address))
}

/// The committed demo configuration, with the addresses of this run.
fn demo_config(text: &str, plant: SocketAddr, hub: SocketAddr, web: SocketAddr) -> String {
    let text = text.replace("127.0.0.1:5020", &plant.to_string());
    format!("{text}\n[hub]\naddress = \"{hub}\"\n\n[web]\nlisten = \"{web}\"\n")
}

fn listen_to_terminal(wishes: mpsc::SyncSender<Wish>) -> Result<()> {
    let read = move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if wishes.send(Wish::Line(line)).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new()
        .spawn(read)
        .map(drop)
        .context("listening to the terminal")
}

/// Ctrl-C and a polite end by the system: both stop the programs first.
fn listen_to_signals(wishes: mpsc::SyncSender<Wish>) -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let wait = move || {
        runtime.block_on(async {
            let ends = signal(SignalKind::terminate());
            if let Ok(mut ends) = ends {
                tokio::select! {
                    _ = tokio::signal::ctrl_c() => {}
                    _ = ends.recv() => {}
                }
            }
        });
        // When nobody listens any more, the demo is ending already.
        drop(wishes.send(Wish::Quit));
    };
    std::thread::Builder::new()
        .spawn(wait)
        .map(drop)
        .context("listening to signals")
}

fn prompt() {
    if std::io::stdin().is_terminal() {
        print!("demo> ");
        // A terminal that is gone is no reason to stop the plant.
        drop(std::io::stdout().flush());
    }
}
