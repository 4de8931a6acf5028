//! The commands of the hub: reads the command line, calls the rooms, prints answers to standard
//! output (plain words, or JSON with `--json`) and errors to standard error.
//! Never does the work itself. Exit codes: 0 done, 1 failed, 2 wrong usage.

mod admin;
mod ca;
mod check;
mod import;
mod reference;
mod remote;

use crate::config::Config;
use crate::server::{self, Notice};
use anyhow::Context as _;
use clap::{CommandFactory as _, Parser, Subcommand};
use serde_json::json;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Takes in what every gateway saw and did, and holds the maintenance record of all sites.
#[derive(Debug, Parser)]
#[command(name = "cloud-hub", version, max_term_width = 100)]
struct Cli {
    /// The configuration file; without it the built-in defaults count.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Answer in JSON, one document per line.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the hub until it is told to stop (SIGTERM or Ctrl-C).
    Run,
    /// One-time tokens with which gateways enrol.
    #[command(subcommand)]
    Claim(admin::Claim),
    /// People who sign in at the hub.
    #[command(subcommand)]
    User(admin::User),
    /// What the boxes of a site know of it: people, assets, parts, checklists, failure codes.
    #[command(subcommand)]
    Reference(reference::Reference),
    /// Gateways that are or may be connected.
    #[command(subcommand)]
    Gateway(admin::Gateway),
    /// The authorities that sign the certificates of gateways.
    #[command(subcommand)]
    Ca(ca::Ca),
    /// Take a file that a box without a network wrote (`edge-agent export`); also while the hub
    /// runs. Importing it twice changes nothing.
    Import(import::Import),
    /// Look through the whole store, block by block; also while the hub runs. Changes nothing.
    Check {
        /// Move the store away, so that a backup can take its place. The hub must not run.
        #[arg(long)]
        set_aside: bool,
    },
    /// Write a whole copy of the store into a new file; also while the hub runs.
    Backup {
        /// The file.
        file: PathBuf,
    },
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
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come as errors too; both print themselves to the right stream.
            let printed = error.print();
            let code = if printed.is_err() {
                1
            } else {
                error.exit_code()
            };
            return ExitCode::from(u8::try_from(code).unwrap_or(2));
        }
    };
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut stderr = std::io::stderr().lock();
            // The last words of a failing program: there is nobody left to tell when they fail.
            drop(writeln!(stderr, "cloud-hub: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let output = Output { json: cli.json };
    match cli.command {
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "cloud-hub", &mut text);
            return print(&text);
        }
        Command::Man => {
            let mut text = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut text)?;
            return print(&text);
        }
        _ => {}
    }
    let config = match &cli.config {
        Some(file) => Config::read(file)?,
        None => Config::default(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting the program's threads")?;
    runtime.block_on(async {
        match cli.command {
            Command::Run => {
                log_to_stderr();
                let announce = move |notice: &Notice| announce(output, notice);
                server::run(&config, announce).await.map_err(Into::into)
            }
            Command::Claim(command) => admin::claim(command, &config, output).await,
            Command::User(command) => admin::user(command, &config, output).await,
            Command::Reference(command) => reference::reference(command, &config, output).await,
            Command::Gateway(command) => admin::gateway(command, &config, output).await,
            Command::Ca(command) => ca::ca(command, &config, output).await,
            Command::Import(command) => command.run(&config, output).await,
            Command::Check { set_aside: true } => check::set_aside(&config, output),
            Command::Check { set_aside: false } => check::check(&config, output),
            Command::Backup { file } => check::backup(&config, &file, output).await,
            Command::Completions { .. } | Command::Man => Ok(()),
        }
    })
}

/// What the running hub has to tell the person who started it.
fn announce(output: Output, notice: &Notice) {
    let printed = match notice {
        Notice::Administrator { name, password } => output.answer(
            &json!({"administrator": {"name": name, "password": password}}),
            &format!(
                "First start: sign in as {name} with the password {password}\n\
                 It is shown this once and stored nowhere in clear."
            ),
        ),
        Notice::Listening { quic, tcp, web } => output.answer(
            &json!({"listening": {
                "quic": quic.to_string(),
                "tcp": tcp.map(|tcp| tcp.to_string()),
                "web": format!("http://{web}"),
            }}),
            &format!(
                "The hub runs. People: http://{web}  Gateways: {quic} (QUIC, UDP){}",
                tcp.map(|tcp| format!(", {tcp} (TLS, TCP)"))
                    .unwrap_or_default()
            ),
        ),
    };
    if let Err(error) = printed {
        tracing::warn!(%error, "standard output is closed; going on without it");
    }
}

/// Logs go to standard error; `RUST_LOG` chooses how much, `info` when it is not set.
fn log_to_stderr() {
    let asked = std::env::var("RUST_LOG").ok();
    let targets = asked.and_then(|text| text.parse::<Targets>().ok());
    let words = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false);
    tracing_subscriber::registry()
        .with(words)
        .with(targets.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO)))
        .init();
}

/// How answers are printed.
#[derive(Clone, Copy, Debug)]
struct Output {
    json: bool,
}

impl Output {
    /// Prints one answer, flushed so that a program that waits for the line gets it.
    fn answer(self, json: &serde_json::Value, words: &str) -> anyhow::Result<()> {
        let mut stdout = std::io::stdout().lock();
        if self.json {
            writeln!(stdout, "{json}")
        } else {
            writeln!(stdout, "{words}")
        }
        .and_then(|()| stdout.flush())
        .context("writing to standard output")
    }
}

/// Prints bytes as they are.
fn print(bytes: &[u8]) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(bytes)
        .and_then(|()| stdout.flush())
        .context("writing to standard output")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn wrong_usage_is_exit_code_2() {
        for line in [
            &["cloud-hub"][..],
            &["cloud-hub", "fly"],
            &["cloud-hub", "claim", "new", "--site", "A"],
            &["cloud-hub", "user", "add", "eva", "--role", "king"],
        ] {
            assert_eq!(
                Cli::try_parse_from(line).unwrap_err().exit_code(),
                2,
                "{line:?}"
            );
        }
    }
}
