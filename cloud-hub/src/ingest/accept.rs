//! One incoming connection: handshake, who is there, what for. Never reads a frame.

use super::lanes::Lanes;
use super::{IngestError, Shared, connection, enrol};
use protocol::sync::ALPN_ENROL;
use quinn::{Connection, Incoming};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::watch;

/// A handshake that takes longer is given up.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(10);

/// Who is at the other end, as TLS and the network say.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// Address that its packets come from.
    pub(super) remote: SocketAddr,
    /// Its certificate (DER), verified; a box that enrols has none.
    pub(super) certificate: Option<Vec<u8>>,
}

/// Serves one incoming connection to its end.
pub(super) async fn serve(
    shared: Shared,
    incoming: Incoming,
    full: bool,
    stop: watch::Receiver<bool>,
) {
    let from = incoming.remote_address();
    let handshake = async { incoming.accept()?.await };
    let connection = match tokio::time::timeout(HANDSHAKE_WAIT, handshake).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            tracing::warn!(%from, %error, "a connection was not accepted");
            return;
        }
        Err(_) => return,
    };
    let peer = Peer {
        remote: from,
        certificate: certificate(&connection),
    };
    let ended = if protocol_name(&connection) == ALPN_ENROL {
        enrol::serve(&shared, &connection).await
    } else {
        let lanes = Lanes::accept(connection.clone());
        connection::synchronise(&shared, &peer, lanes, full, stop).await
    };
    tell(&peer, ended);
    connection.close(0_u32.into(), b"");
}

fn tell(peer: &Peer, ended: Result<(), IngestError>) {
    let Err(error) = ended else { return };
    let (from, chain) = (peer.remote, chain(&error));
    match error {
        IngestError::Connection(_) | IngestError::Lane { .. } => {
            tracing::info!(%from, error = chain, "a gateway left");
        }
        _ => tracing::warn!(%from, error = chain, "a gateway's connection was ended"),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

fn protocol_name(connection: &Connection) -> Vec<u8> {
    connection
        .handshake_data()
        .and_then(|data| data.downcast::<quinn::crypto::rustls::HandshakeData>().ok())
        .and_then(|data| data.protocol)
        .unwrap_or_default()
}

fn certificate(connection: &Connection) -> Option<Vec<u8>> {
    let chain = connection.peer_identity()?;
    let chain = chain
        .downcast::<Vec<rustls_pki_types::CertificateDer<'static>>>()
        .ok()?;
    chain.first().map(|certificate| certificate.to_vec())
}
