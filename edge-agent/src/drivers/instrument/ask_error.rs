//! Why a request brought nothing, in words for the person who stands before the instrument. Never
//! decides what follows from it.

use super::escape::shown;
use super::frame::FrameError;
use crate::drivers::DeviceState;
use protocol::reading::Cause;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// A port as its messages name it: `/dev/ttyUSB0 (9600 8N1)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) words: Arc<str>,
    /// A serial line: words and remedies are other ones.
    pub(super) is_serial: bool,
}

/// Why a request brought nothing, or a line that is listened to.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum AskError {
    /// The connection could not be made, or the serial port not opened.
    #[error("{}", no_connection(spot))]
    NoConnection {
        spot: Spot,
        #[source]
        source: Arc<io::Error>,
    },
    /// The other side closed the connection, or the serial port went away.
    #[error("{} {}", spot.words, if spot.is_serial { "went away" } else { "closed the connection" })]
    Closed { spot: Spot },
    /// Not one byte.
    #[error("nothing came from {} within {}", spot.words, seconds(*timeout))]
    Silent { spot: Spot, timeout: Duration },
    /// Bytes without an end.
    #[error("what came from {} has no end: {}", spot.words, shown(begun))]
    NoEnd { spot: Spot, begun: Vec<u8> },
    /// Only frames that begin otherwise.
    #[error("what came from {} begins with none of the prefixes: {}", spot.words, shown(frame))]
    Other { spot: Spot, frame: Vec<u8> },
    /// A damaged frame.
    #[error("{wrong}")]
    Misfit { spot: Spot, wrong: FrameError },
}

fn no_connection(spot: &Spot) -> String {
    if spot.is_serial {
        format!("{} cannot be opened", spot.words)
    } else {
        format!("no connection to {}", spot.words)
    }
}

impl AskError {
    /// What the cells of the poll say.
    pub(super) const fn cause(&self) -> Cause {
        match self {
            Self::NoConnection { .. } | Self::Closed { .. } => Cause::NoConnection,
            Self::Silent { .. } => Cause::NoAnswer,
            Self::NoEnd { .. } | Self::Other { .. } | Self::Misfit { .. } => Cause::BadAnswer,
        }
    }

    /// What it says of the device.
    pub(super) const fn state(&self) -> DeviceState {
        match self {
            Self::NoConnection { .. } | Self::Closed { .. } | Self::Silent { .. } => {
                DeviceState::Silent
            }
            Self::NoEnd { .. } | Self::Other { .. } | Self::Misfit { .. } => DeviceState::Error,
        }
    }

    /// What happened, why, and what to do.
    pub(super) fn words(&self) -> String {
        let (remedy, spot) = match self {
            Self::NoConnection { spot, source } => {
                let remedy = if spot.is_serial {
                    "check that the adapter is plugged in and that no other program uses it"
                } else {
                    "check that the serial server is on, the network cable, the address and the port number"
                };
                return format!("{self} ({source}); {remedy}.");
            }
            Self::Closed { spot } => ("it is opened again as soon as it is there", spot),
            Self::Silent { spot, .. } => (
                "check that the instrument is on, its cable (crossed or not), its output mode, and the request \
                 in its manual",
                spot,
            ),
            Self::NoEnd { spot, .. } => ("check terminator or length in its manual", spot),
            Self::Other { spot, .. } => {
                ("check prefix, and what the instrument is set to send", spot)
            }
            Self::Misfit { spot, .. } => (
                "if this stays, check how the checksum is made in its manual, cable and shield",
                spot,
            ),
        };
        let line = match self {
            Self::NoEnd { .. } | Self::Misfit { .. } | Self::Other { .. } if spot.is_serial => {
                "; baud rate, data bits and parity"
            }
            _ => "",
        };
        format!("{self}; {remedy}{line}.")
    }
}

/// `1 s`, `1500 ms`.
pub(super) fn seconds(time: Duration) -> String {
    if time.subsec_millis() == 0 {
        format!("{} s", time.as_secs())
    } else {
        format!("{} ms", time.as_millis())
    }
}
