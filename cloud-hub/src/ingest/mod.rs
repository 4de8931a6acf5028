//! The doors for gateways: accepts QUIC, and TLS over TCP where UDP does not get through; looks at
//! certificates, runs one `HubSession` for each gateway and carries its frames into the store. Never
//! acknowledges before the store has committed; never believes a name that the certificate does not
//! carry.

mod accept;
mod admission;
mod connection;
mod enrol;
mod exchange;
mod lanes;
mod presence;
mod quic;
mod renew;
mod tcp;
mod tls;
mod windows;

pub use admission::Limits;
pub use exchange::{ImportError, Imported, answer, import};

use crate::ca::{Authority, CaError};
use crate::store::{OrdersMark, Revocations, Store, StoreError};
use admission::{Admission, Verdict};
use presence::Presence;
use protocol::sync::SessionError;
use protocol::wire::WireError;
use quinn::{Endpoint, Incoming};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

/// When a gateway that found no room should come again.
const BUSY_RETRY_S: u32 = 30;
/// When a gateway that must renew its certificate first should come again.
const EXPIRED_RETRY_S: u32 = 30;
/// How often it is looked what a command beside the hub has withdrawn or asked for.
const REVOKED_CHECK: Duration = Duration::from_secs(1);
/// Send buffer of a TCP connection in the kernel.
const SEND_BUFFER_BYTES: u32 = 64 << 10;
/// TCP connections that wait to be accepted.
const LISTEN_QUEUE: u32 = 1_024;
/// Rest after an accept that failed.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// What went wrong between the hub and a gateway.
#[derive(Debug, Error)]
pub enum IngestError {
    /// A port could not be opened.
    #[error(
        "listening on {protocol} {address}; is another program using it, or is it a port below \
         1024 that this user may not open?"
    )]
    Listen {
        /// `UDP` or `TCP`.
        protocol: &'static str,
        /// The address as configured.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// TLS settings could not be made.
    #[error("preparing TLS for gateways")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The hub's own certificate could not be made.
    #[error(transparent)]
    Authority(#[from] CaError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The gateway broke the protocol.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The gateway sent bytes that are no frame.
    #[error("reading a frame")]
    Wire(#[from] WireError),
    /// The connection ended.
    #[error("the connection ended")]
    Connection(#[from] quinn::ConnectionError),
    /// The TCP connection ended.
    #[error("the connection ended")]
    Stream {
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A lane could not be read or written.
    #[error("{action} lane {lane}")]
    Lane {
        /// What was being done.
        action: &'static str,
        /// Number of the lane.
        lane: u8,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A newer connection speaks for the gateway.
    #[error("a newer connection from {by} took its place")]
    Replaced {
        /// From where.
        by: SocketAddr,
    },
    /// The certificate was withdrawn while the connection stood.
    #[error("the gateway was revoked")]
    Revoked,
}

/// What all connections share.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    store: Store,
    authority: Arc<Authority>,
    /// Gateways that are connected.
    sessions: Arc<AtomicUsize>,
    presence: Presence,
    revocations: watch::Receiver<Revocations>,
}

/// The open doors.
#[derive(Debug)]
pub struct Listener {
    endpoint: Endpoint,
    tcp: Option<(TcpListener, Arc<rustls::ServerConfig>)>,
    shared: Shared,
    watched: watch::Sender<Revocations>,
}

impl Listener {
    /// Opens the UDP port, and the TCP port where one is configured. Needs a tokio runtime around
    /// it.
    pub fn bind(
        quic: SocketAddr,
        tcp: Option<SocketAddr>,
        authority: Arc<Authority>,
        store: Store,
    ) -> Result<Self, IngestError> {
        let tls_config = tls::tls_config(&authority)?;
        let config = tls::quic_config(tls_config.clone(), &authority)?;
        let failed = |protocol, address| {
            move |source| IngestError::Listen {
                protocol,
                address,
                source,
            }
        };
        let socket = std::net::UdpSocket::bind(quic).map_err(failed("UDP", quic))?;
        let runtime = Arc::new(quinn::TokioRuntime);
        let endpoint_config = tls::endpoint_config(&authority);
        let endpoint = Endpoint::new(endpoint_config, Some(config), socket, runtime)
            .map_err(failed("UDP", quic))?;
        let tcp = match tcp {
            Some(address) => {
                let listener = listen(address).map_err(failed("TCP", address))?;
                Some((listener, Arc::new(tls_config)))
            }
            None => None,
        };
        let (watched, told) = watch::channel(Revocations::default());
        Ok(Self {
            endpoint,
            tcp,
            shared: Shared {
                store,
                authority,
                sessions: Arc::default(),
                presence: Presence::default(),
                revocations: told,
            },
            watched,
        })
    }

    /// Where it listens by UDP and by TCP, the real ports where 0 was asked for.
    pub fn addresses(&self) -> Result<(SocketAddr, Option<SocketAddr>), IngestError> {
        let any = SocketAddr::from(([0, 0, 0, 0], 0));
        let failed = |protocol| {
            move |source| IngestError::Listen {
                protocol,
                address: any,
                source,
            }
        };
        let quic = self.endpoint.local_addr().map_err(failed("UDP"))?;
        let tcp = self.tcp.as_ref().map(|(listener, _)| listener.local_addr());
        Ok((quic, tcp.transpose().map_err(failed("TCP"))?))
    }

    /// Serves gateways until `stop` turns true, then says good-bye to all of them.
    pub async fn serve(self, limits: Limits, mut stop: watch::Receiver<bool>) {
        let admission = Admission::new(limits);
        let mut orders = OrdersMark::default();
        let mut look = tokio::time::interval(REVOKED_CHECK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = look.tick() => {
                    self.look_for_revocations().await;
                    orders = self.look_for_orders(orders).await;
                }
                incoming = self.endpoint.accept() => {
                    let Some(incoming) = incoming else { break };
                    self.quic(&admission, incoming, &stop);
                }
                stream = accepted(self.tcp.as_ref()) => self.tcp(&admission, stream, &stop),
                changed = stop.changed() => {
                    if changed.is_err() || *stop.borrow() {
                        break;
                    }
                }
            }
        }
        self.endpoint.close(0_u32.into(), b"the hub is stopping");
        self.endpoint.wait_idle().await;
    }

    /// A command beside the running hub may have withdrawn a certificate.
    async fn look_for_revocations(&self) {
        match self.shared.store.revocations().await {
            Ok(now) => {
                self.watched
                    .send_if_modified(|before| std::mem::replace(before, now) != now);
            }
            Err(error) => tracing::warn!(%error, "withdrawn certificates could not be looked for"),
        }
    }

    /// A command beside the running hub may have given a box something.
    async fn look_for_orders(&self, mark: OrdersMark) -> OrdersMark {
        match self.shared.store.ring_for_orders(mark).await {
            Ok(now) => now,
            Err(error) => {
                tracing::warn!(%error, "documents and commands could not be looked for");
                mark
            }
        }
    }

    fn quic(&self, admission: &Admission, incoming: Incoming, stop: &watch::Receiver<bool>) {
        match admission.knock(Instant::now()) {
            Verdict::TooMany => incoming.refuse(),
            Verdict::ProveAddress if !incoming.remote_address_validated() => {
                // It comes again at once, with the token that this sends it.
                if let Err(error) = incoming.retry() {
                    tracing::debug!(%error, "an address could not be asked to prove itself");
                }
            }
            Verdict::ProveAddress | Verdict::Welcome => {
                let (shared, inside) = (self.shared.clone(), admission.enter());
                tokio::spawn(accept::quic(shared, incoming, inside, stop.clone()));
            }
        }
    }

    fn tcp(
        &self,
        admission: &Admission,
        accepted: (TcpStream, SocketAddr),
        stop: &watch::Receiver<bool>,
    ) {
        // A TCP address is proven by its handshake. Who is turned away sees the connection close.
        if let (Some((_, tls_config)), Verdict::Welcome | Verdict::ProveAddress) =
            (&self.tcp, admission.knock(Instant::now()))
        {
            let (shared, inside) = (self.shared.clone(), admission.enter());
            let acceptor = TlsAcceptor::from(Arc::clone(tls_config));
            tokio::spawn(accept::tcp(
                shared,
                accepted,
                acceptor,
                inside,
                stop.clone(),
            ));
        }
    }
}

/// The next TCP connection; never, when there is no such door.
async fn accepted(
    door: Option<&(TcpListener, Arc<rustls::ServerConfig>)>,
) -> (TcpStream, SocketAddr) {
    let Some((listener, _)) = door else {
        return std::future::pending().await;
    };
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "a connection that went at once");
                }
                return (stream, remote);
            }
            Err(error) => {
                // Too many open files, or a connection that went at once: the rest goes on.
                tracing::warn!(%error, "a TCP connection was not accepted");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv6() {
        TcpSocket::new_v6()?
    } else {
        TcpSocket::new_v4()?
    };
    // A hub that starts again takes the port while its old connections still fade.
    socket.set_reuseaddr(true)?;
    // Inherited by what is accepted: what waits in the kernel is ahead of a planner's word.
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.bind(address)?;
    socket.listen(LISTEN_QUEUE)
}

#[cfg(test)]
mod tests;
