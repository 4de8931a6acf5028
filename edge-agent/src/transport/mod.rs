//! The bytes of a port: a TCP connection, TLS over TCP, or a serial line. Opens it, sends, receives,
//! notices that it is gone. Never knows a protocol: what the bytes mean is the driver's.

pub mod config;
mod echo;
mod find;
pub mod rs485;
pub mod serial;
mod tls;

pub use serial::{Parity, SerialPlace, SerialSettings};
pub use tls::{TlsSettings, wrap as wrap_tls};

use echo::{Echo, Filter};
use std::fmt;
use std::io;
use std::net::Ipv6Addr;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Where the bytes of a port go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `HOST:PORT`.
    Tcp(String),
    /// TLS over TCP.
    Tls(TlsSettings),
    /// A serial line.
    Serial(SerialSettings),
}

impl Address {
    /// Whether it is a serial line: words and remedies are other ones.
    pub const fn is_serial(&self) -> bool {
        matches!(self, Self::Serial(_))
    }

    /// How long one character takes on a serial line; zero elsewhere.
    pub fn character_time(&self) -> Duration {
        match self {
            Self::Serial(settings) => settings.character_time(),
            Self::Tcp(_) | Self::Tls(_) => Duration::ZERO,
        }
    }

    /// Opens it. A serial port that is named by its USB adapter is looked up anew each time.
    ///
    /// # Errors
    /// What the operating system says, in words that name the file or the host.
    pub async fn open(&self) -> io::Result<Wire> {
        match self {
            Self::Tcp(endpoint) => Ok(Wire::over(connect(endpoint).await?)),
            Self::Tls(settings) => {
                let stream = connect(&settings.endpoint).await?;
                Ok(Wire::over(tls::wrap(settings, stream).await?))
            }
            Self::Serial(settings) => {
                let (line, name) = serial::open(settings, Path::new(find::SYSTEM_ROOT))?;
                Ok(Wire::serial(line, name, settings))
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(endpoint) => f.write_str(endpoint),
            Self::Tls(settings) => f.write_str(&settings.endpoint),
            Self::Serial(settings) => settings.place.fmt(f),
        }
    }
}

async fn connect(endpoint: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(endpoint).await?;
    // Without this, a request may wait for the acknowledgement of the one before.
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Anything that bytes go through.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// An open port.
pub struct Wire {
    line: Line,
    name: String,
    echo: Filter,
    direction: Option<rs485::Direction>,
    character_time: Duration,
}

enum Line {
    Stream(Box<dyn Stream>),
    Serial(Box<tokio_serial::SerialStream>),
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Wire {
    /// A port over any stream of bytes; no echo, no direction.
    pub fn over(stream: impl Stream + 'static) -> Self {
        Self {
            line: Line::Stream(Box::new(stream)),
            name: String::new(),
            echo: Filter::new(Echo::Off),
            direction: None,
            character_time: Duration::ZERO,
        }
    }

    fn serial(line: tokio_serial::SerialStream, name: String, settings: &SerialSettings) -> Self {
        Self {
            line: Line::Serial(Box::new(line)),
            name,
            echo: Filter::new(settings.rs485.echo),
            direction: settings.rs485.direction(),
            character_time: settings.character_time(),
        }
    }

    /// Path of the serial device as it was found; empty elsewhere.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sends. `mirrored` says that the right answer may look exactly like what is sent, so that it
    /// must not be taken for the line's own echo while it is not known whether there is one.
    ///
    /// # Errors
    /// When the port is gone.
    pub async fn send(&mut self, bytes: &[u8], mirrored: bool) -> io::Result<()> {
        self.echo.sending(bytes, mirrored);
        match &mut self.line {
            Line::Stream(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
            Line::Serial(line) => match self.direction {
                Some(direction) => direction.send(line, bytes, self.character_time).await,
                // Not flushed: that would hold the thread until the last bit is on the wire.
                None => line.write_all(bytes).await,
            },
        }
    }

    /// What comes in, the line's own echo taken out; may be nothing. Safe to give up at any time.
    ///
    /// # Errors
    /// When the port is gone: `UnexpectedEof` when the other side closed it in good order.
    pub async fn receive(&mut self, into: &mut Vec<u8>) -> io::Result<()> {
        let mut buffer = [0_u8; RECEIVE_BYTES];
        let read = match &mut self.line {
            Line::Stream(stream) => stream.read(&mut buffer).await?,
            Line::Serial(line) => line.read(&mut buffer).await?,
        };
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.echo
            .received(buffer.get(..read).unwrap_or_default(), into);
        Ok(())
    }
}

/// Bytes taken from the operating system at once; the longest Modbus frame is 513.
const RECEIVE_BYTES: usize = 1_024;

/// `HOST:PORT` from what people write: `HOST:PORT`, or `HOST` with the protocol's usual port; an
/// IPv6 address stands in brackets where a port follows. `None` when it is none of these.
pub fn host_and_port(text: &str, usual_port: u16) -> Option<String> {
    let text = text.trim_end_matches('/');
    if text.is_empty() || text.contains(['/', ' ', '?', '#', '@']) {
        return None;
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Some(format!("[{text}]:{usual_port}"));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !text.ends_with(']') => (host, port.parse().ok()?),
        _ => (text, usual_port),
    };
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let good = match bare {
        Some(bare) => bare.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && !host.contains(':'),
    };
    (good && port > 0).then(|| format!("{host}:{port}"))
}
