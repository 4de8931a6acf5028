//! TLS 1.3 over TCP, straight or through a proxy. Never lets more wait in the kernel than a slow
//! link carries in half a second: what waits there is ahead of a new alert.

use super::{CONNECT_WAIT, DialError, Dialled, SERVER_NAME, local, proxy, resolve};
use crate::config::HubConfig;
use rustls_pki_types::ServerName;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Send buffer in the kernel at first; the kernel takes as much again for its own book-keeping.
pub const SEND_BUFFER_BYTES: usize = 16 << 10;

pub(super) async fn connect(
    hub: &HubConfig,
    tls: &rustls::ClientConfig,
) -> Result<Dialled, DialError> {
    let attempt = async {
        let (stream, address) = match &hub.proxy {
            Some(proxy) => proxy::connect(proxy, &hub.host, hub.tcp_port).await?,
            None => open(&hub.host, hub.tcp_port).await?,
        };
        let name = ServerName::try_from(SERVER_NAME).map_err(local("naming the hub"))?;
        let stream = TlsConnector::from(Arc::new(tls.clone()))
            .connect(name, stream)
            .await
            .map_err(failed("speaking TLS with", address))?;
        Ok(Dialled::Tcp(Box::new(stream), address))
    };
    let late = || DialError::NoAnswer {
        address: format!("{}, TCP port {},", hub.host, hub.tcp_port),
    };
    tokio::time::timeout(CONNECT_WAIT, attempt)
        .await
        .unwrap_or_else(|_| Err(late()))
}

/// A TCP connection with a small send buffer.
pub(super) async fn open(host: &str, port: u16) -> Result<(TcpStream, SocketAddr), DialError> {
    let address = resolve(host, port).await?;
    let refused = || failed("connecting to", address);
    let stream = TcpStream::connect(address).await.map_err(refused())?;
    stream.set_nodelay(true).map_err(refused())?;
    socket2::SockRef::from(&stream)
        .set_send_buffer_size(SEND_BUFFER_BYTES)
        .map_err(refused())?;
    Ok((stream, address))
}

fn failed(action: &'static str, address: SocketAddr) -> impl FnOnce(std::io::Error) -> DialError {
    move |source| DialError::Tcp {
        action,
        address: format!("{address} over TCP"),
        source,
    }
}
