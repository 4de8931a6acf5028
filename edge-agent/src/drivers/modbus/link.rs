//! The one connection of a Modbus TCP port. Never keeps a connection on which an answer may still
//! be on its way: after a time-out, a broken or a wrong answer it is closed and the next request
//! goes out on a fresh one, so that a late answer is never taken for the next one's.

use super::address::Table;
use super::breaker::{Breaker, backoff};
use super::plan::Block;
use super::tap::{Received, Tap};
use protocol::reading::Cause;
use std::net::Ipv6Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::time::{sleep_until, timeout};
use tokio_modbus::client::{Client as _, Context, tcp};
use tokio_modbus::slave::SlaveContext as _;
use tokio_modbus::{ExceptionCode, ProtocolError, Request, Response, Slave};

/// Longest wait before a new attempt to connect. Shorter than for a silent unit: nobody else can
/// use the port meanwhile.
const RECONNECT_MAX: Duration = Duration::from_secs(10);

/// How a port is talked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkSettings {
    /// `HOST:PORT`.
    pub endpoint: String,
    /// Longest wait for an answer.
    pub timeout: Duration,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Least pause between an answer and the next request.
    pub request_gap: Duration,
}

/// Owner of the connection.
#[derive(Debug)]
pub(super) struct Link {
    settings: LinkSettings,
    connection: Option<Connection>,
    refused: Option<(Instant, Arc<std::io::Error>)>,
    breaker: Breaker,
    last_answer: Option<Instant>,
}

struct Connection {
    context: Context,
    received: Received,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connection")
    }
}

impl Link {
    pub(super) const fn new(settings: LinkSettings) -> Self {
        let breaker = Breaker::new(0);
        Self {
            settings,
            connection: None,
            refused: None,
            breaker,
            last_answer: None,
        }
    }

    /// Reads one block from one unit; bits come as 0 and 1, one word each. Exactly as many words
    /// come back as the block has. Tries again up to `retries` times, and once more for free
    /// where a connection that had been idle turned out to be closed.
    pub(super) async fn read(
        &mut self,
        unit: u8,
        block: &Block,
        retries: u32,
    ) -> Result<Vec<u16>, RequestError> {
        let mut idle_close_forgiven = self.connection.is_none();
        let mut tries_left = retries;
        loop {
            let error = match self.ask(unit, block).await {
                Err(error) => error,
                answer => return answer,
            };
            if matches!(error, RequestError::Closed { .. }) && !idle_close_forgiven {
                idle_close_forgiven = true;
            } else if error.is_transport() && tries_left > 0 {
                tries_left -= 1;
            } else {
                return Err(error);
            }
        }
    }

    async fn ask(&mut self, unit: u8, block: &Block) -> Result<Vec<u16>, RequestError> {
        // Taken out for the time of the request and put back only after a whole, matching answer:
        // on every other way out, this future being dropped included, the connection is closed.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let free_at = self
            .last_answer
            .map(|last| last + self.settings.request_gap);
        // The timer's tick is a millisecond: a wait that is over already would still cost one.
        if let Some(free_at) = free_at.filter(|free_at| *free_at > Instant::now()) {
            sleep_until(free_at.into()).await;
        }
        connection.context.set_slave(Slave(unit));
        connection.received.reset();
        let answer = timeout(
            self.settings.timeout,
            connection.context.call(request(block)),
        )
        .await;
        self.last_answer = Some(Instant::now());
        let endpoint = self.settings.endpoint.clone();
        match answer {
            Err(_) => Err(match connection.received.bytes() {
                0 => RequestError::Timeout {
                    unit,
                    endpoint,
                    timeout: self.settings.timeout,
                },
                bytes => {
                    let reason = format!("{bytes} bytes that are no whole Modbus TCP answer");
                    RequestError::Garbled {
                        unit,
                        endpoint,
                        reason,
                    }
                }
            }),
            Ok(Err(error)) => Err(RequestError::from_transport(unit, endpoint, error)),
            Ok(Ok(Err(code))) => {
                self.connection = Some(connection);
                Err(RequestError::Exception {
                    unit,
                    endpoint,
                    code,
                })
            }
            Ok(Ok(Ok(response))) => {
                let words = words(response, block).map_err(|got| RequestError::WrongLength {
                    unit,
                    endpoint,
                    wanted: block.count,
                    got,
                })?;
                self.connection = Some(connection);
                Ok(words)
            }
        }
    }

    async fn connect(&mut self) -> Result<Connection, RequestError> {
        if let Some((until, source)) = &self.refused
            && Instant::now() < *until
        {
            return Err(self.no_connection(Arc::clone(source)));
        }
        let limit = self.settings.connect_timeout;
        let connected = match timeout(limit, TcpStream::connect(&self.settings.endpoint)).await {
            Ok(connected) => connected,
            Err(_) => Err(std::io::Error::new(
                std::io::ErrorKind::TimedOut,
                format!("no answer within {limit:?}"),
            )),
        };
        // Without this, a request may wait for the acknowledgement of the one before.
        match connected.and_then(|stream| stream.set_nodelay(true).map(|()| stream)) {
            Ok(stream) => {
                self.refused = None;
                self.breaker.answered();
                let (stream, received) = Tap::new(stream);
                Ok(Connection {
                    context: tcp::attach(stream),
                    received,
                })
            }
            Err(error) => {
                let now = Instant::now();
                let wait = backoff(self.breaker.failures(), 0).min(RECONNECT_MAX);
                self.breaker.failed(now);
                let source = Arc::new(error);
                self.refused = Some((now + wait, Arc::clone(&source)));
                Err(self.no_connection(source))
            }
        }
    }

    fn no_connection(&self, source: Arc<std::io::Error>) -> RequestError {
        RequestError::NoConnection {
            endpoint: self.settings.endpoint.clone(),
            source,
        }
    }
}

/// `HOST:PORT` from what people write: `tcp://HOST:PORT`, `HOST:PORT`, or `HOST` (port 502); an
/// IPv6 address stands in brackets where a port follows. `None` when it is none of these.
pub fn endpoint(text: &str) -> Option<String> {
    let text = text
        .strip_prefix("tcp://")
        .unwrap_or(text)
        .trim_end_matches('/');
    if text.is_empty() || text.contains(['/', ' ']) {
        return None;
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Some(format!("[{text}]:502"));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !text.ends_with(']') => (host, port),
        _ => (text, "502"),
    };
    let port: u16 = port.parse().ok().filter(|port| *port > 0)?;
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let good = match bare {
        Some(bare) => bare.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && !host.contains(':'),
    };
    good.then(|| format!("{host}:{port}"))
}

fn request(block: &Block) -> Request<'static> {
    match block.table {
        Table::Coil => Request::ReadCoils(block.start, block.count),
        Table::DiscreteInput => Request::ReadDiscreteInputs(block.start, block.count),
        Table::Input => Request::ReadInputRegisters(block.start, block.count),
        Table::Holding => Request::ReadHoldingRegisters(block.start, block.count),
    }
}

/// The words of an answer, or how many there were instead of the number asked for.
fn words(response: Response, block: &Block) -> Result<Vec<u16>, usize> {
    let wanted = usize::from(block.count);
    match response {
        Response::ReadInputRegisters(words) | Response::ReadHoldingRegisters(words) => {
            if words.len() == wanted {
                Ok(words)
            } else {
                Err(words.len())
            }
        }
        // Bits come in whole bytes: the rest of the last byte is padding.
        Response::ReadCoils(bits) | Response::ReadDiscreteInputs(bits) => {
            if bits.len().div_ceil(8) != wanted.div_ceil(8) {
                return Err(bits.len());
            }
            Ok(bits.into_iter().take(wanted).map(u16::from).collect())
        }
        _ => Err(0),
    }
}

/// Why a request brought nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RequestError {
    /// The connection could not be made.
    #[error("no connection to {endpoint}")]
    NoConnection {
        /// `HOST:PORT`.
        endpoint: String,
        /// What the operating system says.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// No answer in time.
    #[error("unit {unit} at {endpoint} does not answer within {}", seconds(*timeout))]
    Timeout {
        /// The unit asked.
        unit: u8,
        /// `HOST:PORT`.
        endpoint: String,
        /// How long was waited.
        timeout: Duration,
    },
    /// The other side closed the connection instead of answering.
    #[error("{endpoint} closed the connection when unit {unit} was asked")]
    Closed {
        /// The unit asked.
        unit: u8,
        /// `HOST:PORT`.
        endpoint: String,
    },
    /// Something came that is not the answer.
    #[error("unit {unit} at {endpoint} sent something that is not the answer: {reason}")]
    Garbled {
        /// The unit asked.
        unit: u8,
        /// `HOST:PORT`.
        endpoint: String,
        /// What was wrong with it.
        reason: String,
    },
    /// The answer has more or fewer registers than were asked for.
    #[error("unit {unit} at {endpoint} sent {got} registers or bits instead of {wanted}")]
    WrongLength {
        /// The unit asked.
        unit: u8,
        /// `HOST:PORT`.
        endpoint: String,
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
        /// `HOST:PORT`.
        endpoint: String,
        /// Why.
        code: ExceptionCode,
    },
}

impl RequestError {
    fn from_transport(unit: u8, endpoint: String, error: tokio_modbus::Error) -> Self {
        use std::io::ErrorKind::{InvalidData, UnexpectedEof};
        let reason = match error {
            tokio_modbus::Error::Protocol(ProtocolError::HeaderMismatch { message, .. }) => {
                format!("another unit or request number ({message})")
            }
            tokio_modbus::Error::Protocol(ProtocolError::FunctionCodeMismatch {
                request, ..
            }) => format!("function {request} was asked, another came"),
            // The codec's words for a frame that does not hold what its header promises. The kind
            // of a closed connection is whatever the operating system last said, never these two.
            tokio_modbus::Error::Transport(error)
                if matches!(error.kind(), InvalidData | UnexpectedEof) =>
            {
                error.to_string()
            }
            tokio_modbus::Error::Transport(_) => return Self::Closed { unit, endpoint },
        };
        Self::Garbled {
            unit,
            endpoint,
            reason,
        }
    }

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
    const fn is_transport(&self) -> bool {
        !matches!(self, Self::Exception { .. } | Self::NoConnection { .. })
    }

    /// What a person can do.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::NoConnection { .. } => {
                "check that the device is on, the network cable, the address and the port number"
            }
            Self::Timeout { .. } => {
                "check its address switch and wiring. Neighbours on the same port are still polled"
            }
            Self::Closed { .. } => {
                "check that it serves this unit, and how many connections it allows"
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

    /// What happened, why, and what to do.
    pub fn words(&self) -> String {
        let remedy = self.remedy();
        match std::error::Error::source(self) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_as_people_write_them() {
        for (text, expected) in [
            ("tcp://10.0.0.5:1502", Some("10.0.0.5:1502")),
            ("10.0.0.5:502", Some("10.0.0.5:502")),
            ("plc-7.example", Some("plc-7.example:502")),
            ("tcp://plc-7/", Some("plc-7:502")),
            ("[fe80::1]:503", Some("[fe80::1]:503")),
            ("[fe80::1]", Some("[fe80::1]:502")),
            ("fe80::1", Some("[fe80::1]:502")),
            ("", None),
            (":502", None),
            ("10.0.0.5:70000", None),
            ("10.0.0.5:0", None),
            ("10.0.0.5:", None),
            ("udp://10.0.0.5", None),
            ("a b", None),
            ("[10.0.0.5]:502", None),
        ] {
            assert_eq!(endpoint(text).as_deref(), expected, "{text}");
        }
    }
}
