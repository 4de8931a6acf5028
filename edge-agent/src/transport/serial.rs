//! A serial line: how it is set, and how it is opened, for this program alone. Never shares a port:
//! two masters on one line destroy each other's frames.

use super::find;
use super::rs485::Rs485;
use std::fmt;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_serial::SerialStream;

/// How a serial line is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SerialSettings {
    /// Which one.
    pub place: SerialPlace,
    /// Bits per second.
    pub baud: u32,
    /// Data bits, 7 or 8.
    pub data: u8,
    /// Parity.
    pub parity: Parity,
    /// Stop bits, 1 or 2.
    pub stop: u8,
    /// Who switches the direction.
    pub rs485: Rs485,
}

/// Which serial port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SerialPlace {
    /// `/dev/ttyS0`.
    Path(PathBuf),
    /// Whichever device fits: at least one of the two; `*` stands for any text.
    Match {
        /// Serial number of the USB adapter.
        usb_serial: Option<String>,
        /// Where it is plugged in, as the kernel names it: `1-1.2`, `1-1.2:1.0`, `fe201000.serial`.
        by_path: Option<String>,
    },
}

/// Parity of a serial line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parity {
    /// `N`.
    None,
    /// `E`.
    Even,
    /// `O`.
    Odd,
}

impl SerialSettings {
    /// 19200 8E1, as the Modbus specification wants it when nothing else is said.
    pub fn new(place: SerialPlace) -> Self {
        Self {
            place,
            baud: 19_200,
            data: 8,
            parity: Parity::Even,
            stop: 1,
            rs485: Rs485::default(),
        }
    }

    /// The device file at this moment.
    ///
    /// # Errors
    /// When no adapter or more than one fits, in words.
    pub fn locate(&self) -> io::Result<PathBuf> {
        self.located(Path::new(find::SYSTEM_ROOT))
    }

    fn located(&self, root: &Path) -> io::Result<PathBuf> {
        match &self.place {
            SerialPlace::Path(path) => Ok(path.clone()),
            SerialPlace::Match {
                usb_serial,
                by_path,
            } => find::find(root, usb_serial.as_deref(), by_path.as_deref()),
        }
    }

    /// How long one character takes: start bit, data, parity, stop bits.
    pub fn character_time(&self) -> Duration {
        let parity = u32::from(self.parity != Parity::None);
        let bits = 1 + u32::from(self.data) + parity + u32::from(self.stop);
        Duration::from_nanos(u64::from(bits) * 1_000_000_000 / u64::from(self.baud.max(1)))
    }

    /// `9600 8N1`.
    pub fn words(&self) -> String {
        format!("{} {}{}{}", self.baud, self.data, self.parity, self.stop)
    }
}

impl Parity {
    /// By its letter.
    pub fn from_letter(letter: &str) -> Option<Self> {
        match letter {
            "N" | "n" => Some(Self::None),
            "E" | "e" => Some(Self::Even),
            "O" | "o" => Some(Self::Odd),
            _ => None,
        }
    }
}

impl fmt::Display for Parity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "N",
            Self::Even => "E",
            Self::Odd => "O",
        })
    }
}

impl fmt::Display for SerialPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Match {
                usb_serial,
                by_path,
            } => {
                f.write_str("the serial port")?;
                if let Some(serial) = usb_serial {
                    write!(f, " with USB serial number {serial}")?;
                }
                if let Some(path) = by_path {
                    write!(f, " at {path}")?;
                }
                Ok(())
            }
        }
    }
}

/// Opens the line; also answers the path at which it was found. `root` is `/` but for tests.
pub(super) fn open(settings: &SerialSettings, root: &Path) -> io::Result<(SerialStream, String)> {
    let path = settings.located(root)?;
    // Without O_NONBLOCK, opening would wait for a modem's carrier that a bus does not have.
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(flags.bits().cast_signed())
        .open(&path)
        .map_err(|error| explained(&error, &path))?;
    settings
        .rs485
        .prepare(file.try_clone()?)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    let name = path.display().to_string();
    let parity = match settings.parity {
        Parity::None => tokio_serial::Parity::None,
        Parity::Even => tokio_serial::Parity::Even,
        Parity::Odd => tokio_serial::Parity::Odd,
    };
    let data = match settings.data {
        7 => tokio_serial::DataBits::Seven,
        _ => tokio_serial::DataBits::Eight,
    };
    let stop = match settings.stop {
        2 => tokio_serial::StopBits::Two,
        _ => tokio_serial::StopBits::One,
    };
    let builder = tokio_serial::new(name.clone(), settings.baud)
        .data_bits(data)
        .parity(parity)
        .stop_bits(stop);
    let mut line = SerialStream::open(&builder).map_err(|error| {
        // It is there, for it was just opened: only the lock on it can be missing.
        let kind = match error.kind() {
            tokio_serial::ErrorKind::NoDevice => io::ErrorKind::ResourceBusy,
            _ => io::ErrorKind::Other,
        };
        explained(&io::Error::new(kind, error), &path)
    })?;
    let released = settings.rs485.release(&mut line);
    released.map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))?;
    // Only now: closed before, the device would forget what its driver was told.
    drop(file);
    Ok((line, name))
}

/// The words of the operating system with the file and what to do.
fn explained(error: &io::Error, path: &Path) -> io::Error {
    let remedy = match error.kind() {
        io::ErrorKind::NotFound => "is the adapter plugged in?",
        io::ErrorKind::PermissionDenied => {
            "the user of this program must be in the group of that file, mostly dialout"
        }
        io::ErrorKind::ResourceBusy | io::ErrorKind::WouldBlock => {
            "another program has it open; two masters cannot share a line"
        }
        _ => "is it a serial port?",
    };
    let words = format!("{}: {error}; {remedy}", path.display());
    io::Error::new(error.kind(), words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_takes_as_long_as_its_bits() {
        let mut settings = SerialSettings::new(SerialPlace::Path("/dev/ttyS0".into()));
        assert_eq!(settings.words(), "19200 8E1");
        settings.baud = 9_600;
        settings.parity = Parity::None;
        assert_eq!(settings.character_time(), Duration::from_nanos(1_041_666));
        settings.parity = Parity::Odd;
        settings.stop = 2;
        assert_eq!(settings.character_time(), Duration::from_micros(1_250));
    }

    #[tokio::test]
    async fn what_cannot_be_opened_is_told_with_its_path_and_a_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("ttyUSB9");
        let settings = SerialSettings::new(SerialPlace::Path(missing.clone()));
        let words = open(&settings, Path::new("/")).unwrap_err().to_string();
        assert!(
            words.contains("ttyUSB9") && words.contains("plugged in"),
            "{words}"
        );
        std::fs::write(&missing, b"no line").unwrap();
        let words = open(&settings, Path::new("/")).unwrap_err().to_string();
        assert!(words.contains("is it a serial port"), "{words}");
    }
}
