//! The real hub as a process: configuration, first start, claims, restart. Never speaks to its
//! store: tests that compare rows open the file themselves.

use crate::process::run_command;
use crate::{Api, Program, Scratch, places, ports};
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Longest wait for a start or a stop; generous, for loaded machines.
const DEADLINE: Duration = Duration::from_secs(60);

/// The hub of one scenario.
#[derive(Debug)]
pub struct Hub {
    program: Option<Program>,
    folder: PathBuf,
    quic: SocketAddr,
    tcp: SocketAddr,
    web: SocketAddr,
    administrator: Option<(String, String)>,
    environment: Vec<(String, String)>,
}

impl Hub {
    /// Starts a fresh hub in the scratch folder and waits until it answers.
    pub fn start(scratch: &Scratch) -> Result<Self> {
        let mut hub = Self {
            program: None,
            folder: scratch.file("hub"),
            quic: ports::free()?,
            tcp: ports::free()?,
            web: ports::free()?,
            administrator: None,
            environment: Vec::new(),
        };
        let text = format!(
            "data_dir = \"{}\"\n\n[quic]\nlisten = \"{}\"\n\n[tcp]\nlisten = \"{}\"\n\n[web]\nlisten = \"{}\"\n",
            hub.data().display(),
            hub.quic,
            hub.tcp,
            hub.web
        );
        scratch.write("hub/hub.toml", &text)?;
        hub.start_again()?;
        Ok(hub)
    }

    /// Starts the same hub again, after `kill9` or `stop`.
    pub fn start_again(&mut self) -> Result<()> {
        self.launch()?;
        let api = self.api();
        self.program()?
            .wait_until("the hub to answer", DEADLINE, || {
                Ok(matches!(api.try_get("/session")?.status, 200 | 401).then_some(()))
            })?;
        if self.administrator.is_none() {
            self.administrator = administrator_in(&self.program()?.output()?);
        }
        Ok(())
    }

    /// Sets a variable of its environment from the next start on.
    pub fn set_environment(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Starts it without waiting for anything.
    pub fn launch(&mut self) -> Result<()> {
        let mut command = Command::new(places::program("cloud-hub")?);
        command
            .args(["run", "--json", "--config"])
            .arg(self.config())
            .envs(self.environment.iter().cloned());
        self.program = Some(Program::start("hub", command, &self.folder)?);
        Ok(())
    }

    /// A claim with which one gateway may enrol once.
    pub fn claim(&self, site: &str, gateway: &str, code: &str) -> Result<String> {
        let args = [
            "claim",
            "new",
            "--site",
            site,
            "--gateway",
            gateway,
            "--code",
            code,
            "--json",
        ];
        let answer = self.cli(&args)?;
        let claim = answer.get("claim").and_then(Value::as_str);
        Ok(claim
            .with_context(|| format!("no claim in {answer}"))?
            .to_owned())
    }

    /// Adds a person.
    pub fn add_user(&self, name: &str, role: &str, password: &str) -> Result<()> {
        let file = self.folder.join(format!("{name}.password"));
        std::fs::write(&file, password).context("writing a password file")?;
        let file = file.to_string_lossy().into_owned();
        self.cli(&[
            "user",
            "add",
            name,
            "--role",
            role,
            "--password-file",
            &file,
        ])
        .map(drop)
    }

    /// Runs a command of the hub's CLI beside the running hub; its JSON, `null` when it says nothing.
    pub fn cli(&self, args: &[&str]) -> Result<Value> {
        let mut command = Command::new(places::program("cloud-hub")?);
        command.args(args).arg("--config").arg(self.config());
        let result = run_command(command, &self.folder, DEADLINE)?;
        if result.code != Some(0) {
            bail!("cloud-hub {args:?}: {}{}", result.stderr, result.stdout);
        }
        Ok(serde_json::from_str(result.stdout.trim()).unwrap_or(Value::Null))
    }

    /// The interface, not signed in.
    pub fn api(&self) -> Api {
        Api::new(self.web)
    }

    /// The interface, signed in as the administrator of the first start.
    pub fn sign_in(&self) -> Result<Api> {
        let (name, password) = self.administrator()?;
        self.api().sign_in(name, password)
    }

    /// Name and password that the first start printed.
    pub fn administrator(&self) -> Result<(&str, &str)> {
        let (name, password) = self
            .administrator
            .as_ref()
            .context("the first start printed no administrator")?;
        Ok((name, password))
    }

    /// Where gateways connect to.
    pub fn quic(&self) -> SocketAddr {
        self.quic
    }

    /// Where gateways connect to whose UDP is blocked.
    pub fn tcp(&self) -> SocketAddr {
        self.tcp
    }

    /// Folder of its stores.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Its configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.join("hub.toml")
    }

    /// Folder with its configuration and logs.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Kills it the hard way.
    pub fn kill9(&mut self) -> Result<()> {
        self.program.take().context("the hub does not run")?.kill9()
    }

    /// Asks it to stop and waits; anything but a clean exit is an error.
    pub fn stop(&mut self) -> Result<()> {
        let status = self
            .program
            .take()
            .context("the hub does not run")?
            .stop(DEADLINE)?;
        if status.success() {
            Ok(())
        } else {
            bail!("the hub stopped with {status}")
        }
    }

    /// The process, for its log and memory.
    pub fn program(&mut self) -> Result<&mut Program> {
        self.program.as_mut().context("the hub does not run")
    }
}

/// The one line of JSON that a first start prints.
fn administrator_in(output: &str) -> Option<(String, String)> {
    output.lines().find_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        let text = |key: &str| Some(line.get("administrator")?.get(key)?.as_str()?.to_owned());
        Some((text("name")?, text("password")?))
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn finds_the_administrator_among_other_lines() {
        let output = "starting\n{\"administrator\":{\"name\":\"admin\",\"password\":\"p\"}}\nup\n";
        let found = super::administrator_in(output);
        assert_eq!(found, Some(("admin".into(), "p".into())));
        assert_eq!(super::administrator_in("{\"other\":1}"), None);
    }
}
