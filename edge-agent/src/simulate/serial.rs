//! A serial line of the simulated plant: a pseudo terminal behind a stable name, which a master opens
//! like any serial port. Its settings are seen: a unit that is set otherwise does not answer. Never
//! touches a file that is not a link.
//!
//! Of what a master sets, a pseudo terminal keeps the speed; it does not keep that there is parity,
//! but it does keep whether parity is checked on input (`INPCK`) and whether it is odd. So a master
//! that sets parity without having it checked is taken for one without parity, and some C libraries
//! refuse to set parity on a pseudo terminal at all. `edge-agent` sets it and has it checked.

use super::SimulateError;
use super::conversation::{End, Shared, converse};
use super::station::Setting;
use crate::drivers::modbus::frame::Framing;
use rustix::fs::{Mode, OFlags, fcntl_setfl};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{
    ControlModes, InputModes, OptionalActions, Termios, ioctl_tiocnxcl, tcgetattr, tcsetattr,
};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::unix::pipe::{Receiver, Sender};

/// How long a line is away that was ordered to vanish.
const AWAY: Duration = Duration::from_secs(2);

/// A line and the name by which it is opened.
#[derive(Debug)]
pub struct SerialLine {
    pty: Pty,
    link: PathBuf,
}

impl SerialLine {
    /// Makes a line that is opened as `link`. A link that is left from an earlier run is replaced.
    ///
    /// # Errors
    /// When the system has no pseudo terminals, or `link` is there and is something else.
    pub fn make(link: &Path) -> Result<Self, SimulateError> {
        let make = || -> io::Result<Self> {
            let pty = Pty::open()?;
            unlink(link)?;
            std::os::unix::fs::symlink(&pty.path, link)?;
            Ok(Self {
                pty,
                link: link.to_owned(),
            })
        };
        make().map_err(|source| SimulateError::Line {
            link: link.to_owned(),
            source,
        })
    }

    /// Serves the plant on it for ever.
    ///
    /// # Errors
    /// When the line fails, or cannot be made again after it was ordered to vanish.
    pub async fn serve(mut self, framing: Framing, station: Shared) -> Result<(), SimulateError> {
        loop {
            let ended = self.pty.talk(framing, &station).await;
            let end = ended.map_err(|source| SimulateError::Line {
                link: self.link.clone(),
                source,
            })?;
            let link = self.link.clone();
            drop(self);
            if end == End::Ordered {
                tokio::time::sleep(AWAY).await;
            }
            self = Self::make(&link)?;
        }
    }
}

impl Drop for SerialLine {
    fn drop(&mut self) {
        if let Err(error) = unlink(&self.link) {
            tracing::debug!(%error, "a link to a serial line stays");
        }
    }
}

fn unlink(link: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(link) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(found) if found.is_symlink() => std::fs::remove_file(link),
        Ok(_) => Err(io::Error::other(
            "it is there and is no link; choose another name",
        )),
    }
}

#[derive(Debug)]
struct Pty {
    master: OwnedFd,
    path: PathBuf,
    /// Held open: the line stays when a master closes it.
    slave: OwnedFd,
}

impl Pty {
    fn open() -> io::Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        fcntl_setfl(&master, OFlags::RDWR | OFlags::NONBLOCK)?;
        let name = ptsname(&master, Vec::new())?;
        let path = PathBuf::from(OsStr::from_bytes(name.as_bytes()));
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = rustix::fs::open(&path, flags, Mode::empty())?;
        let mut settings = tcgetattr(&slave)?;
        settings.make_raw();
        tcsetattr(&slave, OptionalActions::Now, &settings)?;
        Ok(Self {
            master,
            path,
            slave,
        })
    }

    async fn talk(&self, framing: Framing, station: &Shared) -> io::Result<End> {
        // A pseudo terminal can be waited for like a pipe; that it is none is the "unchecked".
        let end = |master: &OwnedFd| master.try_clone().map(File::from);
        let receiver = Receiver::from_file_unchecked(end(&self.master)?)?;
        let sender = Sender::from_file_unchecked(end(&self.master)?)?;
        let stream = tokio::io::join(receiver, sender);
        converse(stream, framing, station, || self.look()).await
    }

    /// How the line is set now.
    fn look(&self) -> Option<Setting> {
        // A master that wants the line for itself alone would lock the next one out when it ends,
        // because the line is held open here.
        if let Err(error) = ioctl_tiocnxcl(&self.slave) {
            tracing::debug!(%error, "a serial line stays locked");
        }
        tcgetattr(&self.slave).ok().as_ref().map(setting)
    }
}

fn setting(termios: &Termios) -> Setting {
    let checked = termios.input_modes.contains(InputModes::INPCK);
    let parity = match termios.control_modes.contains(ControlModes::PARODD) {
        _ if !checked => 'N',
        true => 'O',
        false => 'E',
    };
    Setting {
        baud: termios.output_speed(),
        parity,
    }
}
