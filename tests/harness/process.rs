//! Real programs under test: started with their output in files, killed hard or asked to stop.
//! Never outlives its owner: what is dropped is killed.

use crate::wait::wait_for;
use anyhow::{Context as _, Result, bail};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// One running program. Standard output goes to `<name>.out`, errors and logs to `<name>.log`; a
/// second start of the same name appends, so that a log tells the whole story.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    out: PathBuf,
    log: PathBuf,
    out_from: u64,
}

impl Program {
    /// Starts `command` with its output in `folder`.
    pub fn start(name: &str, mut command: Command, folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let out = folder.join(format!("{name}.out"));
        let log = folder.join(format!("{name}.log"));
        let out_file = append(&out)?;
        let out_from = out_file
            .metadata()
            .context("asking for the size of a log")?
            .len();
        let child = command
            .stdin(Stdio::null())
            .stdout(out_file)
            .stderr(append(&log)?)
            .spawn()
            .with_context(|| format!("starting {name} ({command:?})"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            out,
            log,
            out_from,
        })
    }

    /// Process number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Kills it the hard way (`SIGKILL`), as a power cut would.
    pub fn kill9(&mut self) -> Result<()> {
        self.child
            .kill()
            .with_context(|| format!("killing {}", self.name))?;
        self.child
            .wait()
            .with_context(|| format!("waiting for the killed {}", self.name))?;
        Ok(())
    }

    /// Asks it to stop (`SIGTERM`) and waits for its exit.
    pub fn stop(&mut self, deadline: Duration) -> Result<ExitStatus> {
        if let Some(status) = self.child.try_wait().context("asking for an exit status")? {
            return Ok(status);
        }
        self.signal(rustix::process::Signal::TERM)?;
        self.wait(deadline)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: rustix::process::Signal) -> Result<()> {
        let id = i32::try_from(self.child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        let id = id.context("a process number beyond all bounds")?;
        rustix::process::kill_process(id, signal)
            .with_context(|| format!("sending {signal:?} to {}", self.name))
    }

    /// Waits for it to end by itself.
    pub fn wait(&mut self, deadline: Duration) -> Result<ExitStatus> {
        let what = format!("{} to end", self.name);
        wait_for(&what, deadline, || {
            self.child.try_wait().context("asking for an exit status")
        })
    }

    /// What this run has written to standard output.
    pub fn output(&self) -> Result<String> {
        let bytes = std::fs::read(&self.out).context("reading captured output")?;
        let from = usize::try_from(self.out_from)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        Ok(String::from_utf8_lossy(bytes.get(from..).unwrap_or_default()).into_owned())
    }

    /// Size that the file of standard output had when this run began.
    pub fn output_start(&self) -> u64 {
        self.out_from
    }

    /// What all runs of this name have logged.
    pub fn log(&self) -> Result<String> {
        let bytes = std::fs::read(&self.log).context("reading a captured log")?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Waits for `look` to give something while the program runs; a program that ends meanwhile is
    /// an error that shows the end of its log.
    pub fn wait_until<T>(
        &mut self,
        what: &str,
        deadline: Duration,
        mut look: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let mut ended = None;
        let found = wait_for(what, deadline, || {
            if let Some(status) = self.child.try_wait().context("asking for an exit status")? {
                ended = Some(status);
                return Ok(Some(None));
            }
            Ok(look()?.map(Some))
        })?;
        match found {
            Some(value) => Ok(value),
            None => bail!(
                "{} ended ({}) before: {what}\n{}",
                self.name,
                ended.map_or_else(String::new, |status| status.to_string()),
                self.log().unwrap_or_default()
            ),
        }
    }

    /// Memory that it holds (resident set), in bytes.
    pub fn resident_bytes(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))
            .with_context(|| format!("reading the memory of {}", self.name))?;
        let kib: u64 = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.trim().trim_end_matches(" kB").trim().parse().ok())
            .with_context(|| format!("no VmRSS for {}", self.name))?;
        Ok(kib * 1_024)
    }
}

/// What a command gave that ran to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandResult {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs `command` to its end, at most for `deadline`; its output stays in `folder` with the logs.
pub fn run_command(command: Command, folder: &Path, deadline: Duration) -> Result<CommandResult> {
    static NUMBER: AtomicU32 = AtomicU32::new(1);
    let name = format!("command-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let what = format!("{command:?} to end");
    let mut program = Program::start(&name, command, folder)?;
    let status = program.wait(deadline).context(what)?;
    Ok(CommandResult {
        code: status.code(),
        stdout: program.output()?,
        stderr: program.log()?,
    })
}

impl Drop for Program {
    fn drop(&mut self) {
        // Nothing can be told from here; a program that is gone already is what we want.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn append(path: &Path) -> Result<File> {
    File::options()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("opening {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn stops_kills_and_keeps_output() {
        let scratch = Scratch::new("process").unwrap();
        let script =
            "trap 'echo bye; exit 3' TERM; echo up; while :; do read -t 1 x; sleep 0.01; done";
        let mut program = Program::start("loop", shell(script), scratch.path()).unwrap();
        let deadline = Duration::from_secs(10);
        let out = program.out.clone();
        program
            .wait_until("up", deadline, || {
                Ok(std::fs::read_to_string(&out)?.contains("up").then_some(()))
            })
            .unwrap();
        assert!(program.resident_bytes().unwrap() > 0);
        assert_eq!(program.stop(deadline).unwrap().code(), Some(3));
        assert_eq!(program.output().unwrap(), "up\nbye\n");
        assert!(!program.is_running());
        scratch.passed();
    }

    #[test]
    fn a_command_that_hangs_is_ended_and_one_that_ends_tells_all() {
        let scratch = Scratch::new("process-command").unwrap();
        let run = |script, deadline| run_command(shell(script), scratch.path(), deadline);
        let result = run("echo out; echo err >&2; exit 5", Duration::from_secs(10)).unwrap();
        let expected = (Some(5), "out\n", "err\n");
        assert_eq!((result.code, &*result.stdout, &*result.stderr), expected);
        let error = run(
            "while :; do read -t 1 x; sleep 0.01; done",
            Duration::from_millis(100),
        );
        assert!(format!("{:#}", error.unwrap_err()).contains("to end"));
        scratch.passed();
    }

    #[test]
    fn a_program_that_ends_early_shows_its_log() {
        let scratch = Scratch::new("process-early").unwrap();
        let mut program = Program::start(
            "early",
            shell("echo broken pipe >&2; exit 7"),
            scratch.path(),
        )
        .unwrap();
        let error = program
            .wait_until::<()>("never", Duration::from_secs(10), || Ok(None))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("broken pipe") && error.contains('7'),
            "{error}"
        );
        scratch.passed();
    }
}
