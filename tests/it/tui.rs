//! `edge-agent tui` on a pseudo terminal of 80 x 24 characters, beside a running box: a dead unit, an alert
//! that is acknowledged, a box that went away. What a person sees is judged, not what was sent.

use crate::plant::DEADLINE;
use anyhow::{Context as _, Result, ensure};
use harness::pty::Pty;
use harness::{Agent, Program, Scratch, in_scratch, places, ports, wait_for};
use std::net::TcpStream;
use std::process::{Child, Command};
use std::time::Duration;

const SIZE: (u16, u16) = (80, 24);
/// One look at what came from the program.
const LOOK: Duration = Duration::from_millis(50);
const LEAVES_THE_SCREEN: &str = "\u{1b}[?1049l";
const RULE: &str = "\n[[rule]]\nname = \"it runs\"\nsensor = \"pump-7/speed\"\nhigh = 10.0\nseverity = \"high\"\n\
                    title = \"The pump runs where it should stand\"\n";

#[test]
fn the_live_screen() -> Result<()> {
    in_scratch("tui", run)
}

fn run(scratch: &Scratch) -> Result<()> {
    let (_plant, mut agent) = start(scratch)?;
    let mut window = Window::open(&agent)?;
    window.shows(&["1 of 3 devices in trouble", "1475", "Works alone, no hub"])?;
    window.press("s")?;
    window.shows(&["fan-12/bearing_temp is bad: the device does not answer."])?;
    window.press("2jj")?;
    window.shows(&["check its address", "Neighbours on the same port"])?;
    window.press("3")?;
    window.shows(&["high      active", "The pump runs where it should"])?;
    window.press("a")?;
    window.shows(&["Your name: Eva_"])?;
    window.press("\r")?;
    window.shows(&["high      acknowledged"])?;
    let alerts = agent.api().list("/alerts?state=all")?;
    let by = alerts.first().map(|alert| alert["acknowledged_by"].clone());
    ensure!(by == Some("Eva".into()), "{alerts:?}");
    window.press("4")?;
    window.shows(&["The box works alone.", "Work orders"])?;
    agent.stop()?;
    window.shows(&["OLD DATA"])?;
    window.press("q")?;
    window.ends()
}

/// A simulated plant whose third unit is dead, and a box that watches it as the demo does.
fn start(scratch: &Scratch) -> Result<(Program, Agent)> {
    let address = ports::free()?;
    let mut command = Command::new(places::program("edge-agent")?);
    let listen = address.to_string();
    command.args(["simulate", "--listen", &listen, "--fault", "3 dead"]);
    let mut plant = Program::start("plant", command, scratch.path())?;
    plant.wait_until("the simulated plant", DEADLINE, || {
        Ok(TcpStream::connect(address).is_ok().then_some(()))
    })?;
    let text = std::fs::read_to_string(places::repository().join("configs/edge.demo.toml"))?;
    let web = ports::free()?;
    let config =
        text.replace("127.0.0.1:5020", &listen) + RULE + &format!("\n[web]\nlisten = \"{web}\"\n");
    let mut agent = Agent::prepare(scratch, "box", web, |_| config)?;
    agent.start()?;
    wait_for("the alert", DEADLINE, || {
        let alerts = agent.api().list("/alerts")?;
        Ok((!alerts.is_empty()).then_some(()))
    })?;
    Ok((plant, agent))
}

/// A terminal with the program in it.
struct Window {
    pty: Pty,
    program: Child,
    came: String,
}

impl Window {
    fn open(agent: &Agent) -> Result<Self> {
        let pty = Pty::open()?;
        pty.resize(SIZE)?;
        // In a session of its own: this terminal is the only one that it can ask.
        let mut command = Command::new("setsid");
        command
            .arg("--wait")
            .arg(places::program("edge-agent")?)
            .arg("--config")
            .arg(agent.config())
            .args(["tui", "--by", "Eva"])
            .env("TERM", "xterm-256color")
            .env("LANG", "C.UTF-8");
        let line = || pty.near_end();
        let (stdin, stdout, stderr) = (line()?, line()?, line()?);
        let program = command.stdin(stdin).stdout(stdout).stderr(stderr).spawn();
        Ok(Self {
            program: program.context("starting setsid, which util-linux brings")?,
            pty,
            came: String::new(),
        })
    }

    fn press(&self, keys: &str) -> Result<()> {
        self.pty.write(keys.as_bytes())
    }

    /// Waits until all of these are on the screen.
    fn shows(&mut self, words: &[&str]) -> Result<()> {
        let mut last = String::new();
        let shown = wait_for(&format!("{words:?}"), DEADLINE, || {
            self.take()?;
            last = screen(&self.came, SIZE);
            Ok(words.iter().all(|word| last.contains(word)).then_some(()))
        });
        shown.with_context(|| format!("the screen is\n{last}"))
    }

    fn take(&mut self) -> Result<()> {
        let bytes = self.pty.read(LOOK)?;
        self.came.push_str(&String::from_utf8_lossy(&bytes));
        Ok(())
    }

    /// It ended well and gave the terminal back.
    fn ends(mut self) -> Result<()> {
        let status = wait_for("the end of the program", DEADLINE, || {
            self.take()?;
            Ok(self.program.try_wait()?)
        })?;
        self.take()?;
        ensure!(status.success(), "it ended with {status}");
        ensure!(
            self.came.contains(LEAVES_THE_SCREEN),
            "the terminal is as it was"
        );
        Ok(())
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        // Nothing to do when it has ended.
        drop(self.program.kill());
        drop(self.program.wait());
    }
}

/// What a terminal shows of all that came: places, clearing and characters, the rest is looks.
fn screen(came: &str, (width, height): (u16, u16)) -> String {
    let mut cells = vec![vec![' '; usize::from(width)]; usize::from(height)];
    let (mut row, mut column) = (0, 0);
    let mut rest = came.chars();
    while let Some(letter) = rest.next() {
        match letter {
            '\u{1b}' => {
                if rest.next() != Some('[') {
                    continue;
                }
                let is_part = |letter: &char| !letter.is_ascii_alphabetic();
                let parameters: String = rest.clone().take_while(is_part).collect();
                let kind = rest.nth(parameters.chars().count());
                match kind {
                    Some('H') => {
                        let mut numbers = parameters.split(';').map(|n| n.parse().unwrap_or(1));
                        row = numbers.next().unwrap_or(1_usize).saturating_sub(1);
                        column = numbers.next().unwrap_or(1_usize).saturating_sub(1);
                    }
                    Some('J') => cells.iter_mut().flatten().for_each(|cell| *cell = ' '),
                    _ => {}
                }
            }
            '\r' => column = 0,
            '\n' => row += 1,
            letter => {
                if let Some(cell) = cells.get_mut(row).and_then(|row| row.get_mut(column)) {
                    *cell = letter;
                }
                column += 1;
            }
        }
    }
    let lines = cells.iter().map(|line| line.iter().collect::<String>());
    lines.collect::<Vec<_>>().join("\n")
}
