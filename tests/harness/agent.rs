//! The real agent as a process: configuration, enrolment, commands, restart. Never speaks to its
//! store: tests that compare rows open the files themselves.

use crate::process::{CommandResult, run_command};
use crate::{Api, Program, Scratch, places};
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Longest wait for a start or a stop; generous, for loaded machines.
const DEADLINE: Duration = Duration::from_secs(60);

/// The agent of one box.
#[derive(Debug)]
pub struct Agent {
    program: Option<Program>,
    name: String,
    folder: PathBuf,
    web: SocketAddr,
    environment: Vec<(String, String)>,
}

impl Agent {
    /// Writes the configuration of a box called `name`; nothing runs yet. `config` gets the box's
    /// folder (for its `data_dir`) and must have the box's page listen on `web`.
    pub fn prepare(
        scratch: &Scratch,
        name: &str,
        web: SocketAddr,
        config: impl FnOnce(&Path) -> String,
    ) -> Result<Self> {
        let folder = scratch.file(name);
        scratch.write(&format!("{name}/edge.toml"), &config(&folder))?;
        Ok(Self {
            program: None,
            name: name.to_owned(),
            folder,
            web,
            environment: Vec::new(),
        })
    }

    /// Sets a variable of its environment from the next start on.
    pub fn set_environment(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Starts it (again) and waits until its page answers.
    pub fn start(&mut self) -> Result<()> {
        self.start_as(&[])
    }

    /// The same with more arguments, for instance `--log debug`.
    pub fn start_as(&mut self, arguments: &[&str]) -> Result<()> {
        self.launch_as(arguments)?;
        let api = self.api();
        self.program()?
            .wait_until("the agent to answer", DEADLINE, || {
                Ok((api.try_get("/status")?.status == 200).then_some(()))
            })
    }

    /// Starts it without waiting for anything.
    pub fn launch(&mut self) -> Result<()> {
        self.launch_as(&[])
    }

    fn launch_as(&mut self, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new(places::program("edge-agent")?);
        command
            .args(["run", "--config"])
            .arg(self.config())
            .args(arguments)
            // As the unit in systemd/ starts it.
            .env("MALLOC_ARENA_MAX", "1")
            .envs(self.environment.iter().cloned());
        self.program = Some(Program::start(&self.name, command, &self.folder)?);
        Ok(())
    }

    /// Enrols the box with a claim of the hub.
    pub fn enrol(&self, claim: &str) -> Result<Value> {
        self.cli(&["enrol", claim])
    }

    /// Runs a command and gives its JSON; a failure is an error with its words.
    pub fn cli(&self, args: &[&str]) -> Result<Value> {
        let mut with_json = args.to_vec();
        with_json.push("--json");
        let result = self.try_cli(&with_json)?;
        if result.code != Some(0) {
            bail!(
                "edge-agent {args:?} gave {:?}: {}{}",
                result.code,
                result.stderr,
                result.stdout
            );
        }
        let text = result.stdout.trim();
        if text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(text)
            .with_context(|| format!("edge-agent {args:?} gave no JSON: {text}"))
    }

    /// Runs a command and gives whatever it said.
    pub fn try_cli(&self, args: &[&str]) -> Result<CommandResult> {
        let mut command = Command::new(places::program("edge-agent")?);
        command.args(args).arg("--config").arg(self.config());
        run_command(command, &self.folder, DEADLINE)
    }

    /// The box's own interface.
    pub fn api(&self) -> Api {
        Api::new(self.web)
    }

    /// Its configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.join("edge.toml")
    }

    /// Folder with its configuration and logs.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Kills it the hard way.
    pub fn kill9(&mut self) -> Result<()> {
        self.program
            .take()
            .context("the agent does not run")?
            .kill9()
    }

    /// Asks it to stop and waits; anything but a clean exit is an error.
    pub fn stop(&mut self) -> Result<()> {
        let status = self
            .program
            .take()
            .context("the agent does not run")?
            .stop(DEADLINE)?;
        if status.success() {
            Ok(())
        } else {
            bail!("the agent stopped with {status}")
        }
    }

    /// The process, for its log and memory.
    pub fn program(&mut self) -> Result<&mut Program> {
        self.program.as_mut().context("the agent does not run")
    }
}
