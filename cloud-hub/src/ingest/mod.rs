//! The door for gateways: accepts QUIC, looks at certificates, runs one `HubSession` for each
//! gateway and carries its frames into the store. Never acknowledges before the store has
//! committed; never believes a name that the certificate does not carry.

mod accept;
mod connection;
mod enrol;
mod lanes;
mod tls;

use crate::ca::{Authority, CaError};
use crate::store::{Store, StoreError};
use protocol::sync::SessionError;
use protocol::wire::WireError;
use quinn::Endpoint;
use std::net::SocketAddr;
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::watch;

/// When a gateway that found no room should come again.
const BUSY_RETRY_S: u32 = 30;

/// What went wrong between the hub and a gateway.
#[derive(Debug, Error)]
pub enum IngestError {
    /// The UDP port could not be opened.
    #[error("listening on UDP {address}; is another program using it?")]
    Listen {
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
    /// The certificate was withdrawn while the connection stood.
    #[error("the gateway was revoked")]
    Revoked,
}

/// What all connections share.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    store: Store,
    authority: Arc<Authority>,
}

/// The open door.
#[derive(Debug)]
pub struct Listener {
    endpoint: Endpoint,
    shared: Shared,
}

impl Listener {
    /// Opens the UDP port. Needs a tokio runtime around it.
    pub fn bind(
        address: SocketAddr,
        authority: Arc<Authority>,
        store: Store,
    ) -> Result<Self, IngestError> {
        let config = tls::server_config(&authority)?;
        let socket = std::net::UdpSocket::bind(address)
            .map_err(|source| IngestError::Listen { address, source })?;
        let runtime = Arc::new(quinn::TokioRuntime);
        let endpoint_config = tls::endpoint_config(&authority);
        let endpoint = Endpoint::new(endpoint_config, Some(config), socket, runtime)
            .map_err(|source| IngestError::Listen { address, source })?;
        Ok(Self {
            endpoint,
            shared: Shared { store, authority },
        })
    }

    /// Where it listens, the real port where 0 was asked for.
    pub fn address(&self) -> Result<SocketAddr, IngestError> {
        let any = SocketAddr::from(([0, 0, 0, 0], 0));
        self.endpoint
            .local_addr()
            .map_err(|source| IngestError::Listen {
                address: any,
                source,
            })
    }

    /// Serves gateways until `stop` turns true, then says good-bye to all of them. At most
    /// `gateways_max` at the same time; a further one is told to come again later.
    pub async fn serve(self, gateways_max: usize, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                incoming = self.endpoint.accept() => {
                    let Some(incoming) = incoming else { break };
                    let full = self.endpoint.open_connections() >= gateways_max;
                    tokio::spawn(accept::serve(self.shared.clone(), incoming, full, stop.clone()));
                }
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
}
