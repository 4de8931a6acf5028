//! A pseudo terminal: what a program opens as a serial line, with the other end in the test's hands.
//! Never has a speed of its own: bytes pass at once, whatever the program sets (see `paced_pty`).

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{
    OptionalActions, Winsize, ioctl_tiocnxcl, tcgetattr, tcsetattr, tcsetwinsize,
};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bytes that are taken from the line at once.
const READ_MAX: usize = 4_096;

/// One pseudo terminal. Its path vanishes when it is dropped, like an adapter that is pulled out.
#[derive(Debug)]
pub struct Pty {
    master: File,
    path: PathBuf,
    /// Held open, so that the line stays when a program closes it.
    slave: File,
}

impl Pty {
    /// Makes one whose bytes pass unchanged.
    pub fn open() -> Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).context("opening a pty")?;
        grantpt(&master).context("granting a pty")?;
        unlockpt(&master).context("unlocking a pty")?;
        let name = ptsname(&master, Vec::new()).context("asking for the name of a pty")?;
        let path = PathBuf::from(OsStr::from_bytes(name.as_bytes()));
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = rustix::fs::open(&path, flags, Mode::empty())
            .with_context(|| format!("opening {}", path.display()))?;
        let mut settings = tcgetattr(&slave).context("reading the settings of a pty")?;
        settings.make_raw();
        tcsetattr(&slave, OptionalActions::Now, &settings).context("making a pty raw")?;
        Ok(Self {
            master: master.into(),
            path,
            slave: slave.into(),
        })
    }

    /// What the program under test opens.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes it a window of so many columns and rows.
    pub fn resize(&self, (columns, rows): (u16, u16)) -> Result<()> {
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&self.slave, size).context("setting the size of a pty")
    }

    /// The program's end, already open: for its standard input and output.
    pub fn near_end(&self) -> Result<File> {
        self.slave.try_clone().context("opening a pty once more")
    }

    /// Waits at most `wait` for bytes from the program and takes what is there; empty when nothing
    /// came.
    pub fn read(&self, wait: Duration) -> Result<Vec<u8>> {
        // A program that wants the line for itself alone and ends would leave it locked, because it
        // is still held open here.
        ioctl_tiocnxcl(&self.slave).context("unlocking a pty")?;
        let wait = Timespec::try_from(wait).context("a wait beyond all bounds")?;
        let mut watched = [PollFd::new(&self.master, PollFlags::IN)];
        if poll(&mut watched, Some(&wait)).context("waiting for a pty")? == 0 {
            return Ok(Vec::new());
        }
        let mut buffer = [0; READ_MAX];
        let length = (&self.master).read(&mut buffer).context("reading a pty")?;
        Ok(buffer.get(..length).unwrap_or_default().to_vec())
    }

    /// Gives bytes to the program.
    pub fn write(&self, bytes: &[u8]) -> Result<()> {
        (&self.master).write_all(bytes).context("writing to a pty")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(5);

    #[test]
    fn every_byte_passes_unchanged_both_ways() {
        let pty = Pty::open().unwrap();
        let mut line = File::options()
            .read(true)
            .write(true)
            .open(pty.path())
            .unwrap();
        let all: Vec<u8> = (0..=255).collect();
        line.write_all(&all).unwrap();
        let mut got = Vec::new();
        while got.len() < all.len() {
            let more = pty.read(WAIT).unwrap();
            assert!(!more.is_empty(), "only {got:?}");
            got.extend(more);
        }
        assert_eq!(got, all);
        pty.write(&all).unwrap();
        let mut back = vec![0; all.len()];
        line.read_exact(&mut back).unwrap();
        assert_eq!(back, all);
        assert!(pty.read(Duration::from_millis(1)).unwrap().is_empty());
        let path = pty.path().to_path_buf();
        drop((pty, line));
        assert!(!path.exists());
    }
}
