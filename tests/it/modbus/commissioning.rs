//! A new user before a cabinet that grew: four units, two baud rates, one with another parity. The real
//! commands are run as `docs/commissioning.md` tells them, and what they print is that page. Set
//! `COMMISSIONING=write` to write it anew. Never looks inside the programs.

use anyhow::{Context as _, Result, bail, ensure};
use harness::process::run_command;
use harness::{Agent, Program, Scratch, in_scratch, places, ports, wait_for};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// Longest wait for anything that should come soon; generous, for loaded machines.
const DEADLINE: Duration = Duration::from_secs(120);
/// The line as the page calls it.
const LINE: &str = "/dev/ttyUSB0";
/// Says that the page is to be written, not compared.
const VARIABLE: &str = "COMMISSIONING";

/// The page in the making, and where its commands run.
struct Walk<'a> {
    scratch: &'a Scratch,
    agent: Agent,
    line: PathBuf,
    page: String,
}

impl Walk<'_> {
    fn say(&mut self, words: &str) {
        self.page.push_str(words);
        self.page.push('\n');
    }

    /// Runs a command as the page shows it; gives what it printed. `kept` makes what is shown of it.
    fn run(&mut self, args: &[&str], code: i32, kept: fn(&str) -> String) -> Result<String> {
        let line = self.line.display().to_string();
        let real: Vec<String> = args.iter().map(|arg| arg.replace(LINE, &line)).collect();
        let mut command = Command::new(places::program("edge-agent")?);
        command.args(&real).arg("--config").arg(self.agent.config());
        let result = run_command(command, self.scratch.path(), DEADLINE)?;
        ensure!(
            result.code == Some(code),
            "edge-agent {args:?} gave {:?}:\n{}{}",
            result.code,
            result.stdout,
            result.stderr
        );
        let folder = self.agent.folder().display().to_string();
        let printed = (result.stdout + &result.stderr)
            .replace(&line, LINE)
            .replace(&format!("{folder}/"), "");
        let quoted = |arg: &&str| {
            if arg.contains(['?', '&', ' ']) {
                format!("'{arg}'")
            } else {
                (*arg).to_owned()
            }
        };
        let args: Vec<String> = args.iter().map(quoted).collect();
        let text = format!(
            "\n```console\n$ edge-agent {}\n{}\n```\n",
            args.join(" "),
            kept(&printed).trim_matches('\n')
        );
        self.page.push_str(&text);
        Ok(printed)
    }

    /// A cabinet on the line; what one before it was goes.
    fn cabinet(&self, name: &str, settings: &[&str]) -> Result<Program> {
        let mut command = Command::new(places::program("edge-agent")?);
        command
            .args(["simulate", "--cabinet", "--serial"])
            .arg(&self.line);
        for setting in settings {
            command.args(["--line", setting]);
        }
        let mut program = Program::start(name, command, self.scratch.path())?;
        program.wait_until("the cabinet", DEADLINE, || {
            Ok(self.line.exists().then_some(()))
        })?;
        Ok(program)
    }

    /// Waits until the running box says this of its devices.
    fn devices(&self, state: &str, count: usize) -> Result<()> {
        let here = self.agent.api();
        wait_for(&format!("{count} devices {state}"), DEADLINE, || {
            let status = here.get("/status")?;
            let devices = status["devices"].as_array().context("no devices")?;
            let found = devices.iter().filter(|device| device["state"] == state);
            Ok((found.count() == count).then_some(()))
        })
    }
}

fn all(printed: &str) -> String {
    printed.to_owned()
}

/// What `doctor` says of this machine, not of the cabinet, has no place on the page.
fn of_the_plant(printed: &str) -> String {
    let of = ["configuration:", "port ", "device ", "devices:", "agent:"];
    let mut shown: Vec<&str> = Vec::new();
    let mut is_kept = true;
    for line in printed.lines() {
        let rest = line.get(7..).unwrap_or_default();
        // What to do belongs to the finding above it.
        if !rest.starts_with("->") {
            is_kept = of.iter().any(|begin| rest.starts_with(begin));
        }
        let parts = line.is_empty() && shown.last().is_some_and(|last| !last.is_empty());
        if is_kept || parts {
            shown.push(line);
        }
    }
    shown.join("\n")
}

/// The configuration that the page writes; `web` is of the test alone.
fn configuration(line: &str) -> String {
    let head = format!(
        "[[port]]\nname = \"line-a\"\nprotocol = \"modbus\"\nkind = \"serial\"\npath = \"{line}\"\n\
         baud = 9600\nparity = \"N\"\ntimeout = \"200ms\"\n"
    );
    let devices = [
        ("pump-247", "P-247", 1, 40001),
        ("compressor-101", "K-101", 2, 40001),
        ("fan-12", "F-12", 3, 40001),
        ("meter-3", "E-3", 4, 40001),
    ];
    let devices = devices.map(|(name, asset, unit, address)| {
        format!(
            "\n[[device]]\nname = \"{name}\"\nasset = \"{asset}\"\nport = \"line-a\"\nunit = {unit}\n\
             [[device.sensor]]\nname = \"first\"\naddress = {address}\ntype = \"f32\"\n"
        )
    });
    head + &devices.concat()
}

#[test]
fn a_new_user_commissions_a_cabinet_as_the_page_tells() -> Result<()> {
    let begun = Instant::now();
    in_scratch("commissioning", |scratch| {
        let web = ports::free()?;
        let line = scratch.file("line-a");
        let path = line.display().to_string();
        let agent = Agent::prepare(scratch, "box", web, |_| {
            format!(
                "[gateway]\ndata_dir = \"data\"\nclock_trusted = true\n\n[web]\nlisten = \"{web}\"\n\n{}",
                configuration(&path)
            )
        })?;
        let mut walk = Walk {
            scratch,
            agent,
            line,
            page: String::new(),
        };
        walk_through(&mut walk)?;
        compare(&walk.page)
    })?;
    println!(
        "measured: 4 of 4 units found with their settings, the 2 wrong ones named, all read in {:.0} s",
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}

fn walk_through(walk: &mut Walk<'_>) -> Result<()> {
    let old = walk.cabinet("cabinet-old", &[])?;
    walk.say(include_str!("commissioning/1-scan.md").trim_end());
    let scanned = walk.run(&["scan", "serial", LINE, "--units", "1-8"], 0, all)?;
    for found in [
        "9600 8N1   1",
        "9600 8N1   2",
        "9600 8E1   4",
        "19200 8E1  3",
    ] {
        ensure!(scanned.contains(found), "{found} is not in\n{scanned}");
    }
    ensure!(scanned.contains("set differently"), "{scanned}");

    walk.say(include_str!("commissioning/2-doctor.md").trim_end());
    let configured = configuration(LINE);
    walk.say(&format!("\n```toml\n{configured}```"));
    walk.run(&["check"], 0, all)?;
    walk.agent.start()?;
    walk.devices("ok", 2)?;
    walk.devices("silent", 2)?;
    walk.say("\nTwo of the four are read. What about the others?");
    let told = walk.run(&["doctor"], 1, of_the_plant)?;
    for silent in ["WRONG  device fan-12", "WRONG  device meter-3"] {
        ensure!(told.contains(silent), "{silent} is not in\n{told}");
    }
    walk.agent.stop()?;
    drop(old);

    walk.say(include_str!("commissioning/3-set.md").trim_end());
    let _new = walk.cabinet("cabinet-new", &["3=9600N", "4=9600N"])?;
    let alike = ["--baud", "9600", "--parity", "N", "--units", "1-8"];
    let scanned = walk.run(&[&["scan", "serial", LINE], &alike[..]].concat(), 0, all)?;
    ensure!(!scanned.contains("set differently"), "{scanned}");

    walk.say(include_str!("commissioning/4-registers.md").trim_end());
    let target = format!("serial://{LINE}?baud=9600&parity=N");
    let mapped = walk.run(&["map", &target, "0-119", "--unit", "3"], 0, all)?;
    ensure!(mapped.contains("valid    40001 (hr:0)"), "{mapped}");
    walk.say("\nWhat is in the first two? Each pair of registers may be a float; in which order?");
    walk.run(
        &["read", &target, "40001:f32", "40003:f32", "--unit", "3"],
        0,
        all,
    )?;
    walk.say("\nThe first order makes sense, the others do not. How fast may it be asked?");
    let probed = walk.run(&["probe", &target, "--unit", "3"], 0, all)?;
    ensure!(probed.contains("timeout = "), "{probed}");

    walk.say(include_str!("commissioning/5-run.md").trim_end());
    walk.agent.start()?;
    walk.devices("ok", 4)?;
    let told = walk.run(&["doctor"], 0, of_the_plant)?;
    ensure!(told.contains("4 of 4 devices answer"), "{told}");
    walk.run(&["bus", "stats"], 0, all)?;
    walk.agent.stop()
}

/// The page is what was printed, but for numbers: times and values differ from run to run.
fn compare(page: &str) -> Result<()> {
    let file = places::repository().join("docs/commissioning.md");
    if std::env::var(VARIABLE).is_ok_and(|value| value == "write") {
        return std::fs::write(&file, page).context("writing docs/commissioning.md");
    }
    let written = std::fs::read_to_string(&file).context("reading docs/commissioning.md")?;
    let (told, page) = (shape(&written), shape(page));
    for (at, (written, printed)) in told.lines().zip(page.lines()).enumerate() {
        ensure!(
            written == printed,
            "docs/commissioning.md:{}: the page says\n  {written}\nand the commands\n  {printed}\n\
             Run this test with {VARIABLE}=write, and read what changed",
            at + 1
        );
    }
    if told.lines().count() != page.lines().count() {
        bail!("docs/commissioning.md has another length than what the commands print");
    }
    Ok(())
}

/// A text with `#` for every number and one blank for several, so that columns may differ in width.
fn shape(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let words = line.split_whitespace().map(|word| {
            let mut out = String::new();
            let mut in_number = false;
            for letter in word.replace("NaN", "0").replace("inf", "0").chars() {
                let goes_on = in_number && (letter.is_ascii_hexdigit() || ".xe+-".contains(letter));
                let begins = letter.is_ascii_digit();
                if begins && !in_number {
                    // The sign belongs to the number.
                    if out.ends_with('-') {
                        out.pop();
                    }
                    out.push('#');
                }
                in_number = begins || goes_on;
                if !in_number {
                    out.push(letter);
                }
            }
            out
        });
        words.collect::<Vec<_>>().join(" ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_shape_of_a_text_keeps_words_and_forgets_numbers() {
    let one = "unit 3  -7.04e-14*  0x4274 30 ms NaN\n| a  b |";
    let other = "unit 4 61.2* 0x0001 5 ms 1.5\n| a b |";
    assert_eq!(shape(one), shape(other));
    assert_ne!(shape(one), shape(&one.replace("ms", "s")));
}
