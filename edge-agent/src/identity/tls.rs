//! TLS and QUIC settings of the box, set by hand: TLS 1.3 with ring, no early data, small windows.
//! Never falls back to the system's certificates: the only trusted authority is the pinned one.

use super::{Identity, IdentityError};
use protocol::sync::ALPN_SYNC;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Endpoint, EndpointConfig, TransportConfig, VarInt};
use rustls::RootCertStore;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// The name in the hub's certificate, whatever its address.
pub const SERVER_NAME: &str = "cloud-hub";
/// Bytes that may wait in QUIC: more waits in the store, so that a new alert is not behind it.
const SEND_WINDOW_BYTES: u64 = 512 << 10;
const STREAM_WINDOW_BYTES: u32 = 512 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;

/// A QUIC endpoint that presents this box's certificate and trusts its hub only.
///
/// `keep_alive` holds the path through routers open; twice and a half of it without a sign of
/// the hub ends the connection.
pub fn endpoint(
    identity: &Identity,
    remote: SocketAddr,
    keep_alive: Duration,
) -> Result<Endpoint, IdentityError> {
    let mut roots = RootCertStore::empty();
    roots
        .add(identity.authority.clone())
        .map_err(crypto("trusting the hub's authority"))?;
    let mut tls = builder()?
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![identity.certificate.clone()], identity.key.clone_key())
        .map_err(crypto("taking the box's certificate"))?;
    tls.alpn_protocols = vec![ALPN_SYNC.to_vec()];
    client_endpoint(tls, remote, keep_alive)
}

pub(super) fn builder()
-> Result<rustls::ConfigBuilder<rustls::ClientConfig, rustls::WantsVerifier>, IdentityError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(crypto("choosing TLS 1.3"))
}

pub(super) fn client_endpoint(
    tls: rustls::ClientConfig,
    remote: SocketAddr,
    keep_alive: Duration,
) -> Result<Endpoint, IdentityError> {
    let crypto_config =
        QuicClientConfig::try_from(tls).map_err(crypto("preparing QUIC's encryption"))?;
    let mut config = ClientConfig::new(Arc::new(crypto_config));
    config.transport_config(Arc::new(transport(keep_alive)));
    let local: SocketAddr = if remote.is_ipv6() {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    };
    let socket = std::net::UdpSocket::bind(local).map_err(crypto("opening a UDP socket"))?;
    let runtime = Arc::new(quinn::TokioRuntime);
    let mut endpoint = Endpoint::new(EndpointConfig::default(), None, socket, runtime)
        .map_err(crypto("opening a QUIC endpoint"))?;
    endpoint.set_default_client_config(config);
    Ok(endpoint)
}

fn transport(keep_alive: Duration) -> TransportConfig {
    let mut transport = TransportConfig::default();
    let idle_ms = u32::try_from(keep_alive.as_millis().saturating_mul(5) / 2).unwrap_or(u32::MAX);
    transport
        .keep_alive_interval(Some(keep_alive))
        .max_idle_timeout(Some(VarInt::from_u32(idle_ms).into()))
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES))
        .send_window(SEND_WINDOW_BYTES)
        .datagram_receive_buffer_size(None)
        // Some gateways' network chips promise segmentation and then fail at it.
        .enable_segmentation_offload(false);
    transport
}

pub(super) fn crypto<E>(action: &'static str) -> impl FnOnce(E) -> IdentityError
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    move |source| IdentityError::Crypto {
        action,
        source: source.into(),
    }
}
