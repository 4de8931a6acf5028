//! One incoming connection: handshake, who is there, what for. Never reads a frame.

use super::admission::Inside;
use super::lanes::Lanes;
use super::quic::Streams;
use super::tcp::Stream;
use super::{IngestError, Shared, connection, enrol, renew};
use protocol::sync::{ALPN_ENROL, ALPN_RENEW};
use quinn::{Connection, Incoming};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

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

/// Serves one QUIC connection to its end.
pub(super) async fn quic(
    shared: Shared,
    incoming: Incoming,
    inside: Inside,
    stop: watch::Receiver<bool>,
) {
    let remote = incoming.remote_address();
    let handshake = Box::pin(async { incoming.accept()?.await });
    let connection = match tokio::time::timeout(HANDSHAKE_WAIT, handshake).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            tracing::warn!(from = %remote, %error, "a connection was not accepted");
            return;
        }
        Err(_) => return,
    };
    let peer = Peer {
        remote,
        certificate: certificate(&connection),
    };
    let name = protocol_name(&connection);
    let ended = if name == ALPN_ENROL || name == ALPN_RENEW {
        // Boxed, as below what happens seldom: ten thousand sessions sleep in this task.
        Box::pin(ask_by_quic(&shared, &peer, &connection, name == ALPN_RENEW)).await
    } else {
        let lanes = Lanes::Quic(Streams::new(connection.clone()));
        connection::synchronise(&shared, peer, lanes, inside.full, stop).await
    };
    tell(remote, ended);
    connection.close(0_u32.into(), b"");
}

async fn ask_by_quic(
    shared: &Shared,
    peer: &Peer,
    connection: &Connection,
    renew: bool,
) -> Result<(), IngestError> {
    let (send, receive) = connection.accept_bi().await?;
    if renew {
        renew::serve(shared, peer, receive, send).await?;
    } else {
        enrol::serve(shared, receive, send).await?;
    }
    // The box closes when it has read the answer.
    drop(tokio::time::timeout(HANDSHAKE_WAIT, connection.closed()).await);
    Ok(())
}

/// Serves one TCP connection to its end.
pub(super) async fn tcp(
    shared: Shared,
    (stream, remote): (TcpStream, SocketAddr),
    acceptor: TlsAcceptor,
    inside: Inside,
    stop: watch::Receiver<bool>,
) {
    let stream = match tokio::time::timeout(HANDSHAKE_WAIT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::warn!(from = %remote, %error, "a connection was not accepted");
            return;
        }
        Err(_) => return,
    };
    let tls = stream.get_ref().1;
    let certificate = tls.peer_certificates().and_then(<[_]>::first);
    let peer = Peer {
        remote,
        certificate: certificate.map(|certificate| certificate.to_vec()),
    };
    let name = tls.alpn_protocol().unwrap_or_default().to_vec();
    let ended = match name.as_slice() {
        ALPN_ENROL => {
            let (receive, send) = tokio::io::split(stream);
            Box::pin(enrol::serve(&shared, receive, send)).await
        }
        ALPN_RENEW => {
            let (receive, send) = tokio::io::split(stream);
            Box::pin(renew::serve(&shared, &peer, receive, send)).await
        }
        _ => {
            let lanes = Lanes::Tcp(Stream::start(stream));
            connection::synchronise(&shared, peer, lanes, inside.full, stop).await
        }
    };
    tell(remote, ended);
}

fn tell(from: SocketAddr, ended: Result<(), IngestError>) {
    let Err(error) = ended else { return };
    let chain = chain(&error);
    match error {
        IngestError::Connection(_) | IngestError::Stream { .. } | IngestError::Lane { .. } => {
            tracing::info!(%from, error = chain, "a gateway left");
        }
        _ => tracing::warn!(%from, error = chain, "a gateway's connection was ended"),
    }
}

/// An error with all its causes, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
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
