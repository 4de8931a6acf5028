//! The way to the hub: QUIC, and TLS over TCP where UDP does not get through, straight or through
//! the plant's proxy. Never knows who the box is: the TLS settings are given. Never shows a secret
//! of the proxy.

mod memory;
mod proxy;
mod quic;
mod tcp;

pub use memory::{Memory, Network, source_towards};
pub use quic::any_address;
pub use tcp::SEND_BUFFER_BYTES;

use crate::config::HubConfig;
use rustls_pki_types::CertificateDer;
use std::net::SocketAddr;
use std::time::Duration;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// The name in the hub's certificate, whatever its address.
pub const SERVER_NAME: &str = "cloud-hub";
/// How long the way that is tried first is tried alone.
const HEAD_START: Duration = Duration::from_secs(3);
/// How long one attempt over one way may take.
const CONNECT_WAIT: Duration = Duration::from_secs(5);

/// Why the hub was not reached.
#[derive(Debug, Error)]
pub enum DialError {
    /// A name leads nowhere.
    #[error("finding {host}; check the name, and the name server of this network")]
    Resolve {
        /// Name as configured.
        host: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// No answer.
    #[error("{address} does not answer within {} s", CONNECT_WAIT.as_secs())]
    NoAnswer {
        /// Who was asked.
        address: String,
    },
    /// Sockets or settings could not be made.
    #[error("{action}")]
    Local {
        /// What was being done.
        action: &'static str,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The hub was reached by QUIC and nothing came of it.
    #[error("connecting to {address} by QUIC")]
    Quic {
        /// Address of the hub.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: quinn::ConnectionError,
    },
    /// The hub or the proxy takes no TCP connection, or ended it.
    #[error("{action} {address}")]
    Tcp {
        /// What was being done.
        action: &'static str,
        /// With whom.
        address: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The proxy does not let the box through.
    #[error("the proxy {proxy} answered \"{status}\" when asked for {target}; {remedy}")]
    Proxy {
        /// The proxy, without its secret.
        proxy: String,
        /// What it was asked for.
        target: String,
        /// Its status line.
        status: String,
        /// What helps.
        remedy: &'static str,
    },
    /// Neither way leads there.
    #[error("over UDP: {}; over TCP: {}", chain(udp), chain(tcp))]
    Both {
        /// Why not by QUIC.
        udp: Box<DialError>,
        /// Why not by TCP.
        tcp: Box<DialError>,
    },
}

/// One of the two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// QUIC over UDP.
    Quic,
    /// TLS over TCP.
    Tcp,
}

/// A connection to the hub; TLS is done.
#[derive(Debug)]
pub enum Dialled {
    /// By QUIC; the endpoint can take another local address.
    Quic(quinn::Connection, quinn::Endpoint),
    /// By TLS over TCP, with the address that answered.
    Tcp(Box<TlsStream<TcpStream>>, SocketAddr),
}

impl Dialled {
    /// Which way it was.
    pub const fn way(&self) -> Way {
        match self {
            Self::Quic(..) => Way::Quic,
            Self::Tcp(..) => Way::Tcp,
        }
    }

    /// The certificates that the hub showed, its own first. They were checked.
    pub fn hub_certificates(&self) -> Vec<CertificateDer<'static>> {
        match self {
            Self::Quic(connection, _) => connection
                .peer_identity()
                .and_then(|shown| shown.downcast::<Vec<CertificateDer<'static>>>().ok())
                .map(|shown| *shown)
                .unwrap_or_default(),
            Self::Tcp(stream, _) => {
                let shown = stream.get_ref().1.peer_certificates();
                shown.map(<[_]>::to_vec).unwrap_or_default()
            }
        }
    }
}

/// Connects with these TLS settings. The way `first` is tried alone for three seconds or until it
/// fails, then the other one beside it; who is first there wins.
pub async fn dial(
    hub: &HubConfig,
    tls: &rustls::ClientConfig,
    first: Way,
) -> Result<Dialled, DialError> {
    let by_quic: Attempt<'_> = Box::pin(quic::connect(hub, tls));
    let by_tcp: Attempt<'_> = Box::pin(tcp::connect(hub, tls));
    let both = |one: DialError, two: DialError| {
        let (udp, tcp) = match first {
            Way::Quic => (Box::new(one), Box::new(two)),
            Way::Tcp => (Box::new(two), Box::new(one)),
        };
        DialError::Both { udp, tcp }
    };
    let (mut one, mut two) = match first {
        Way::Quic => (by_quic, by_tcp),
        Way::Tcp => (by_tcp, by_quic),
    };
    let early = tokio::select! {
        result = &mut one => match result {
            Ok(dialled) => return Ok(dialled),
            Err(error) => Some(error),
        },
        () = tokio::time::sleep(HEAD_START) => None,
    };
    if let Some(error) = early {
        return two.await.map_err(|other| both(error, other));
    }
    tokio::select! {
        result = &mut one => match result {
            Ok(dialled) => Ok(dialled),
            Err(error) => two.await.map_err(|other| both(error, other)),
        },
        result = &mut two => match result {
            Ok(dialled) => Ok(dialled),
            Err(other) => one.await.map_err(|error| both(error, other)),
        },
    }
}

type Attempt<'a> = std::pin::Pin<Box<dyn Future<Output = Result<Dialled, DialError>> + Send + 'a>>;

async fn resolve(host: &str, port: u16) -> Result<SocketAddr, DialError> {
    let failed = |source| DialError::Resolve {
        host: host.to_owned(),
        source,
    };
    let mut found = tokio::net::lookup_host((host, port))
        .await
        .map_err(failed)?;
    let nothing = || std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address");
    found.next().ok_or_else(|| failed(nothing()))
}

fn local<E>(action: &'static str) -> impl FnOnce(E) -> DialError
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    move |source| DialError::Local {
        action,
        source: source.into(),
    }
}

/// An error with all its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
