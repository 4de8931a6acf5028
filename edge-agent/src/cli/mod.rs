//! The commands of the box: reads the command line, calls the rooms, prints answers to standard
//! output (plain words, or JSON with `--json`) and errors once, with their causes, to standard
//! error. Never does the work itself. Exit codes: 0 done, 1 failed, 2 wrong usage.

mod alerts;
mod analyse;
mod attachments;
mod bundle;
mod bus;
#[cfg(feature = "driver-modbus")]
mod capture;
mod check;
mod client;
mod config;
mod doctor;
mod enrol;
mod exchange;
mod files;
#[cfg(feature = "driver-modbus")]
mod lists;
#[cfg(feature = "driver-modbus")]
mod map;
mod notify;
mod orders;
#[cfg(feature = "driver-modbus")]
mod probe;
mod progress;
#[cfg(feature = "driver-modbus")]
mod read;
mod reload;
mod rules;
mod run;
#[cfg(feature = "driver-modbus")]
mod scan;
mod series;
#[cfg(feature = "driver-modbus")]
mod simulate;
mod status;
mod table;
mod tags;
mod template;
mod trust;
mod tui;
mod words;
#[cfg(feature = "driver-modbus")]
mod write;

use crate::config::{Config, ConfigError};
use anyhow::{Context as _, anyhow};
use clap::{CommandFactory as _, Parser, Subcommand};
use client::Client;
use serde_json::Value;
use std::future::Future;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Where the configuration is when nobody says otherwise.
const CONFIG_FILE: &str = "/etc/edge-agent/edge.toml";
/// Threads of the program besides that of the store: a box has few cores, and no task computes
/// for long.
const WORKERS: usize = 2;
/// Threads for looking up names and reading the store beside the writer.
const BLOCKING_THREADS_MAX: usize = 8;

/// Polls the machines of a plant, keeps and judges what it reads, alerts people and opens work
/// orders, with or without a link to its hub.
#[derive(Debug, Parser)]
#[command(name = "edge-agent", version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    all: ForAll,
    #[command(subcommand)]
    command: Command,
}

/// The command line of the program that stays. What reads all the other commands would be in its
/// memory for good, so this one is tried first.
#[derive(Debug, Parser)]
#[command(name = "edge-agent")]
struct Staying {
    #[command(flatten)]
    all: ForAll,
    #[command(subcommand)]
    command: OnlyRun,
}

#[derive(Debug, Subcommand)]
enum OnlyRun {
    Run(run::Run),
}

#[derive(Debug, clap::Args)]
struct ForAll {
    /// The configuration file.
    #[arg(long, global = true, value_name = "FILE", default_value = CONFIG_FILE)]
    config: PathBuf,
    /// Answer in JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the agent until it is told to stop (SIGTERM or Ctrl-C).
    Run(run::Run),
    /// Look for mistakes in the configuration, and show what will go over the wire.
    Check,
    /// Show what the configuration file, or another one, would change and which ports it would restart.
    Diff(reload::Diff),
    /// Have the running agent go on with the configuration file: only ports that differ start anew.
    Reload,
    /// Write the configuration back that ran before, and have a running agent go on with it.
    Rollback(reload::Rollback),
    /// Write the configured sensors as CSV, or make configuration of such a file (or one of Kepware).
    #[command(subcommand)]
    Tags(tags::Tags),
    /// Show the device templates there are.
    #[command(subcommand)]
    Template(template::Template),
    /// Show which configuration counts, the local file or a document of the hub, and go back.
    #[command(subcommand)]
    Config(config::Configuration),
    /// Show how the running box, its link and its devices are.
    Status,
    /// Watch the running box on one screen: live tags, buses, alerts, uplink.
    Tui(tui::Tui),
    /// Show, acknowledge and comment alerts of the running box.
    Alerts(alerts::Alerts),
    /// Show the channels to people, try one, and show who was told what.
    #[command(subcommand)]
    Notify(notify::Notify),
    /// Show, write and work on work orders of the running box.
    #[command(visible_alias = "work-orders")]
    Wo(orders::Orders),
    /// Try the rules of the configuration on recorded data.
    #[command(subcommand)]
    Rules(rules::Rules),
    /// Score the readings of a CSV file by how unusual they are. Needs no configuration.
    Analyse(analyse::Analyse),
    /// Look for everything that is wrong with this box, and say what to do.
    Doctor(doctor::Doctor),
    /// Write a support file without secrets: what doctor found, versions, status, log.
    Bundle(bundle::Bundle),
    /// Read values of a device by hand, in all byte orders. Needs no configuration.
    #[cfg(feature = "driver-modbus")]
    Read(read::Read),
    /// Find devices: on a serial line with unknown settings, or in a network.
    #[cfg(feature = "driver-modbus")]
    #[command(subcommand)]
    Scan(scan::Scan),
    /// Find out which registers of a unit there are, and what they hold.
    #[cfg(feature = "driver-modbus")]
    Map(map::Map),
    /// Measure how fast and in how large pieces a unit can be asked.
    #[cfg(feature = "driver-modbus")]
    Probe(probe::Probe),
    /// Write one value to a device: through the running agent, or directly when it is not configured.
    #[cfg(feature = "driver-modbus")]
    Write(write::Write),
    /// Show how much the buses of the running agent are used, and how units answer.
    #[command(subcommand)]
    Bus(bus::Bus),
    /// Show what goes over a line, frame by frame.
    #[cfg(feature = "driver-modbus")]
    Capture(capture::Capture),
    /// Join this box to its hub, once, with a claim that `cloud-hub claim new` made.
    Enrol(enrol::Enrol),
    /// HTTPS for the page: the authority that phones are to trust.
    #[command(subcommand)]
    Trust(trust::Trust),
    /// Write what the hub lacks into a signed file, for a plant without any network.
    Export(exchange::Export),
    /// Take the hub's answer to such a file.
    Acknowledge(exchange::Acknowledge),
    /// Serve a demonstration plant over Modbus TCP, to try a box without machines.
    #[cfg(feature = "driver-modbus")]
    Simulate(Box<simulate::Simulate>),
    /// Print the completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page (roff).
    Man,
}

/// Runs the command of this process's command line.
pub fn main() -> ExitCode {
    match Staying::try_parse() {
        Ok(Staying { all, command }) => {
            let OnlyRun::Run(command) = command;
            ended(command.run(&all.config, Output { json: all.json }))
        }
        Err(_) => any(),
    }
}

/// Any command, help and wrong usage. Apart from the one that stays: see there.
#[inline(never)]
fn any() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => ended(run(cli)),
        Err(error) => {
            // Help and version come as errors too; both print themselves to the right stream.
            let printed = error.print();
            let code = if printed.is_err() {
                1
            } else {
                error.exit_code()
            };
            ExitCode::from(u8::try_from(code).unwrap_or(2))
        }
    }
}

fn ended(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut stderr = std::io::stderr().lock();
            // The last words of a failing program: there is nobody left to tell when they fail.
            drop(writeln!(stderr, "edge-agent: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let ForAll { config, json } = cli.all;
    let output = Output { json };
    match cli.command {
        Command::Run(command) => command.run(&config, output),
        Command::Check => check::check(&config, output),
        Command::Config(command) => command.run(&config, output),
        Command::Diff(command) => command.run(&config, output),
        Command::Reload => through_agent(&config, output, reload::reload),
        Command::Rollback(command) => command.run(&config, output),
        Command::Tags(command) => command.run(&config, output),
        Command::Template(command) => command.run(&config, output),
        Command::Tui(command) => command.run(&config, output),
        Command::Rules(command) => command.run(&config, output),
        Command::Analyse(command) => command.run(output),
        Command::Bundle(command) => command.run(&config, output),
        Command::Doctor(command) => command.run(&config, output),
        Command::Status => through_agent(&config, output, status::status),
        Command::Alerts(command) => through_agent(&config, output, |client| command.run(client)),
        Command::Notify(command) => through_agent(&config, output, |client| command.run(client)),
        Command::Wo(command) => through_agent(&config, output, |client| command.run(client)),
        #[cfg(feature = "driver-modbus")]
        Command::Read(command) => command.run(output),
        #[cfg(feature = "driver-modbus")]
        Command::Scan(command) => command.run(output),
        #[cfg(feature = "driver-modbus")]
        Command::Map(command) => command.run(output),
        #[cfg(feature = "driver-modbus")]
        Command::Probe(command) => command.run(output),
        #[cfg(feature = "driver-modbus")]
        Command::Write(command) => command.run(&config, output),
        Command::Bus(command) => command.run(&config, output),
        #[cfg(feature = "driver-modbus")]
        Command::Capture(command) => command.run(&config, output),
        Command::Enrol(command) => command.run(&config, output),
        Command::Trust(command) => command.run(&config, output),
        Command::Export(command) => command.run(&config, output),
        Command::Acknowledge(command) => command.run(&config, output),
        #[cfg(feature = "driver-modbus")]
        Command::Simulate(command) => command.run(output),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "edge-agent", &mut text);
            output.raw(&text)
        }
        Command::Man => {
            let mut text = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut text)?;
            output.raw(&text)
        }
    }
}

/// Runs an asynchronous command to its end.
fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .enable_all()
        .build()
        .context("starting the program's threads")?;
    let result = runtime.block_on(Box::pin(work));
    // A look-up of a name that hangs must not hold up the end.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// Asks the running agent. A mistake in a file that was edited since it started is no reason not to
/// acknowledge an alert: the file is read as far as it can be.
fn through_agent(
    file: &Path,
    output: Output,
    ask: impl FnOnce(&mut Client) -> anyhow::Result<(Value, String)>,
) -> anyhow::Result<()> {
    let config = Config::draft(file).map_err(told)?;
    let (json, words) = ask(&mut Client::new(&config))?;
    output.answer(&json, &words)
}

/// The configuration that counts, for a command that needs all of it to be right.
fn load(file: &Path) -> anyhow::Result<Config> {
    let (config, _) = crate::agent::effective(file).map_err(told)?;
    config.problems.check().map_err(told)?;
    Ok(config)
}

/// A configuration's problems under a line that says what follows from them.
fn told(error: ConfigError) -> anyhow::Error {
    match error {
        ConfigError::Invalid(problems) => {
            let file = problems.first().map_or("", |problem| &problem.file);
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            anyhow!(
                "{file} has {}, so the agent does not run with it:\n{}",
                table::many(lines.len(), "problem"),
                lines.join("\n")
            )
        }
        other => other.into(),
    }
}

/// How answers are printed.
#[derive(Clone, Copy, Debug)]
struct Output {
    json: bool,
}

impl Output {
    /// Prints one answer, flushed so that a program that waits for the line gets it.
    fn answer(self, json: &Value, words: &str) -> anyhow::Result<()> {
        let text = if self.json {
            json.to_string()
        } else {
            words.trim_end().to_owned()
        };
        self.raw(format!("{text}\n").as_bytes())
    }

    #[expect(
        clippy::unused_self,
        reason = "whoever prints has been told in which form"
    )]
    fn raw(self, bytes: &[u8]) -> anyhow::Result<()> {
        let mut stdout = std::io::stdout().lock();
        stdout
            .write_all(bytes)
            .and_then(|()| stdout.flush())
            .context("writing to standard output")
    }
}

#[cfg(test)]
mod tests;
