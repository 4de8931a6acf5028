//! TLS and QUIC settings of the hub, set by hand: TLS 1.3 with ring, no early data, bounded
//! windows, keys that survive a restart where that helps gateways to notice it.

use super::IngestError;
use crate::ca::Authority;
use protocol::sync::{ALPN_ENROL, ALPN_SYNC};
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{EndpointConfig, ServerConfig, TransportConfig, VarInt};
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use std::sync::Arc;

const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 2 << 20;
const SEND_WINDOW_BYTES: u64 = 512 << 10;
/// A gateway asks for a shorter one; this is the longest that the hub keeps a silent one.
const IDLE_MS: u32 = 60_000;
/// One stream per lane, and room for the one of an enrolment.
const STREAMS_MAX: u32 = 8;
/// Handshakes that wait at the same time.
const INCOMING_MAX: usize = 1_024;

pub(super) fn server_config(authority: &Authority) -> Result<ServerConfig, IngestError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().clone()).map_err(tls)?;
    // A box that enrols has no certificate yet: a synchronising one is asked for it afterwards.
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(tls)?;
    let (chain, key) = authority.server_certificate()?;
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(tls)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(tls)?;
    config.alpn_protocols = vec![ALPN_SYNC.to_vec(), ALPN_ENROL.to_vec()];
    config.max_early_data_size = 0;
    let crypto = QuicServerConfig::try_from(config).map_err(tls)?;
    let mut server = ServerConfig::with_crypto(Arc::new(crypto));
    server
        .transport_config(Arc::new(transport()))
        .max_incoming(INCOMING_MAX);
    Ok(server)
}

/// The stateless-reset key comes from the authority, so that a gateway learns of a restart of
/// the hub at once instead of after its idle time (RFC 9000, section 10.3).
pub(super) fn endpoint_config(authority: &Authority) -> EndpointConfig {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &authority.reset_secret());
    EndpointConfig::new(Arc::new(key))
}

fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(VarInt::from_u32(IDLE_MS).into()))
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS_MAX))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES))
        .send_window(SEND_WINDOW_BYTES)
        .datagram_receive_buffer_size(None);
    transport
}

fn tls<E: Into<Box<dyn std::error::Error + Send + Sync>>>(error: E) -> IngestError {
    IngestError::Tls(error.into())
}
