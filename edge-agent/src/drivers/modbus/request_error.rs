//! Why a request brought nothing, in words for the person who stands before the device. Never decides
//! what follows from it.

use super::pdu::ExceptionCode;
use protocol::reading::Cause;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A port as its messages name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// `HOST:PORT`, or the path of a serial device.
    pub name: Arc<str>,
    /// A serial line: `9600 8N1`.
    pub line: Option<Arc<str>>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match &self.line {
            Some(line) => write!(f, " ({line})"),
            None => Ok(()),
        }
    }
}

/// Why a request brought nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RequestError {
    /// The connection could not be made, or the serial port not opened.
    #[error("{}", no_connection(endpoint))]
    NoConnection {
        /// The port.
        endpoint: Place,
        /// What the operating system says.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// No answer in time.
    #[error("unit {unit} at {endpoint} does not answer within {}", seconds(*timeout))]
    Timeout {
        /// The unit asked.
        unit: u8,
        /// The port.
        endpoint: Place,
        /// How long was waited.
        timeout: Duration,
    },
    /// The other side closed the connection, or the serial port went away, instead of an answer.
    #[error("{}", closed(endpoint, *unit))]
    Closed {
        /// The unit asked.
        unit: u8,
        /// The port.
        endpoint: Place,
    },
    /// Something came that is not the answer.
    #[error("unit {unit} at {endpoint} sent something that is not the answer: {reason}")]
    Garbled {
        /// The unit asked.
        unit: u8,
        /// The port.
        endpoint: Place,
        /// What was wrong with it.
        reason: String,
    },
    /// The answer has more or fewer registers than were asked for.
    #[error("unit {unit} at {endpoint} sent {got} registers or bits instead of {wanted}")]
    WrongLength {
        /// The unit asked.
        unit: u8,
        /// The port.
        endpoint: Place,
        /// Asked for.
        wanted: u16,
        /// Came.
        got: usize,
    },
    /// The unit refused.
    #[error("unit {unit} at {endpoint} refuses: {code} (Modbus exception {})", u8::from(*code))]
    Exception {
        /// The unit asked.
        unit: u8,
        /// The port.
        endpoint: Place,
        /// Why.
        code: ExceptionCode,
    },
}

fn no_connection(endpoint: &Place) -> String {
    match endpoint.line {
        Some(_) => format!("{} cannot be opened", endpoint.name),
        None => format!("no connection to {endpoint}"),
    }
}

fn closed(endpoint: &Place, unit: u8) -> String {
    match endpoint.line {
        Some(_) => format!("{} went away when unit {unit} was asked", endpoint.name),
        None => format!("{endpoint} closed the connection when unit {unit} was asked"),
    }
}

impl RequestError {
    /// What the cells of the poll say.
    pub const fn cause(&self) -> Cause {
        match self {
            Self::NoConnection { .. } | Self::Closed { .. } => Cause::NoConnection,
            Self::Timeout { .. }
            | Self::Exception {
                code: ExceptionCode::GatewayTargetDevice,
                ..
            } => Cause::NoAnswer,
            Self::Garbled { .. } | Self::WrongLength { .. } => Cause::BadAnswer,
            Self::Exception {
                code: ExceptionCode::IllegalDataAddress,
                ..
            } => Cause::NoSuchAddress,
            Self::Exception { .. } => Cause::DeviceError,
        }
    }

    /// Whether the unit itself was heard: it lives, but refuses.
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::Exception { code, .. } if !matches!(code, ExceptionCode::GatewayTargetDevice))
    }

    /// Whether asking again may help.
    pub(super) const fn is_transport(&self) -> bool {
        !matches!(self, Self::Exception { .. } | Self::NoConnection { .. })
    }

    /// What a person can do.
    pub const fn remedy(&self) -> &'static str {
        let (Self::NoConnection { endpoint, .. }
        | Self::Timeout { endpoint, .. }
        | Self::Closed { endpoint, .. }
        | Self::Garbled { endpoint, .. }
        | Self::WrongLength { endpoint, .. }
        | Self::Exception { endpoint, .. }) = self;
        let serial = endpoint.line.is_some();
        match self {
            Self::NoConnection { .. } if serial => {
                "check that the adapter is plugged in and that no other program uses it"
            }
            Self::NoConnection { .. } => {
                "check that the device is on, the network cable, the address and the port number"
            }
            Self::Timeout { .. } if serial => {
                "check its address switch, A and B of the wiring, baud rate and parity. Neighbours \
                 on the same port are still polled"
            }
            Self::Timeout { .. } => {
                "check its address switch and wiring. Neighbours on the same port are still polled"
            }
            Self::Closed { .. } if serial => {
                "it is opened again as soon as the adapter is back; check its plug"
            }
            Self::Closed { .. } => {
                "check that it serves this unit, and how many connections it allows"
            }
            Self::Garbled { .. } | Self::WrongLength { .. } if serial => {
                "if this stays, check baud rate and parity, termination and shield of the cable, and \
                 that no two devices share an address"
            }
            Self::Garbled { .. } | Self::WrongLength { .. } => {
                "a fresh connection is made; if this stays, check that the port speaks Modbus TCP \
                 and that no two devices share an address"
            }
            Self::Exception {
                code: ExceptionCode::GatewayTargetDevice,
                ..
            } => {
                "the gateway works, the unit behind it does not answer: check its address switch \
                 and wiring. Neighbours on the same port are still polled"
            }
            Self::Exception { .. } => "check the address and the table in the device's manual",
        }
    }

    const fn is_unopened_line(&self) -> bool {
        matches!(self, Self::NoConnection { endpoint, .. } if endpoint.line.is_some())
    }

    /// What happened, why, and what to do.
    pub fn words(&self) -> String {
        let remedy = self.remedy();
        match std::error::Error::source(self) {
            // The words of a serial port say themselves what to do, and name it.
            Some(source) if self.is_unopened_line() => {
                let source = source.to_string();
                let named = source.split_once(": ").map_or(&*source, |(_, words)| words);
                format!("{self}: {named}")
            }
            Some(source) => format!("{self} ({source}); {remedy}."),
            None => format!("{self}; {remedy}."),
        }
    }
}

fn seconds(time: Duration) -> String {
    if time.subsec_millis() == 0 {
        format!("{} s", time.as_secs())
    } else {
        format!("{} ms", time.as_millis())
    }
}
