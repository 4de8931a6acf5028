//! QUIC set by hand: bounded windows, keep-alive, no datagrams, no early data. Never falls back to
//! a default that leaves a window open.

use super::{CONNECT_WAIT, DialError, Dialled, SERVER_NAME, local, resolve};
use crate::config::HubConfig;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Endpoint, EndpointConfig, TransportConfig, VarInt};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

/// Bytes that may wait in QUIC: more waits in the store, so that a new alert is not behind it.
const SEND_WINDOW_BYTES: u64 = 512 << 10;
const STREAM_WINDOW_BYTES: u32 = 512 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;

pub(super) async fn connect(
    hub: &HubConfig,
    tls: &rustls::ClientConfig,
) -> Result<Dialled, DialError> {
    let address = resolve(&hub.host, hub.port).await?;
    let endpoint = endpoint(tls.clone(), address, hub.keep_alive)?;
    let connecting = endpoint
        .connect(address, SERVER_NAME)
        .map_err(local("preparing a QUIC connection"))?;
    match tokio::time::timeout(CONNECT_WAIT, connecting).await {
        Ok(Ok(connection)) => Ok(Dialled::Quic(connection, endpoint)),
        Ok(Err(source)) => Err(DialError::Quic { address, source }),
        Err(_) => Err(DialError::NoAnswer {
            address: address.to_string(),
        }),
    }
}

fn endpoint(
    tls: rustls::ClientConfig,
    remote: SocketAddr,
    keep_alive: Duration,
) -> Result<Endpoint, DialError> {
    let crypto = QuicClientConfig::try_from(tls).map_err(local("preparing QUIC's encryption"))?;
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(transport(keep_alive)));
    let socket = UdpSocket::bind(any_address(remote)).map_err(local("opening a UDP socket"))?;
    let runtime = Arc::new(quinn::TokioRuntime);
    let mut endpoint = Endpoint::new(EndpointConfig::default(), None, socket, runtime)
        .map_err(local("opening a QUIC endpoint"))?;
    endpoint.set_default_client_config(config);
    Ok(endpoint)
}

/// Any own address of the other end's family.
pub fn any_address(remote: SocketAddr) -> SocketAddr {
    if remote.is_ipv6() {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    }
}

/// `keep_alive` holds the path through routers open; twice and a half of it without a sign of the
/// hub ends the connection.
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
