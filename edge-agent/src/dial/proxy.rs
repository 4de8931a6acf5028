//! HTTP CONNECT (RFC 9110, section 9.3.6) through the plant's proxy. Never reads past the answer's
//! head, never repeats what was sent: it may hold a password.

use super::{DialError, tcp};
use crate::config::ProxyConfig;
use data_encoding::BASE64;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Longest head of an answer. A longer one is no answer of a proxy.
const HEAD_BYTES_MAX: usize = 8 << 10;

/// A connection to the hub through the proxy, which finds the hub's name itself.
pub(super) async fn connect(
    proxy: &ProxyConfig,
    host: &str,
    port: u16,
) -> Result<(TcpStream, SocketAddr), DialError> {
    let (mut stream, address) = tcp::open(&proxy.host, proxy.port).await?;
    let failed = |source| DialError::Tcp {
        action: "asking the proxy",
        address: proxy.to_string(),
        source,
    };
    let target = if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    stream
        .write_all(request(proxy, &target).as_bytes())
        .await
        .map_err(failed)?;
    let head = read_head(&mut stream).await.map_err(failed)?;
    let status = head.lines().next().unwrap_or_default();
    let remedy = match code(status) {
        Some(200..=299) => return Ok((stream, address)),
        // Some proxies say 401 when the password is wrong.
        Some(401 | 407) => "check user and password in [hub] proxy",
        Some(403 | 405) => "its owner must let this box through to that address and port",
        Some(500..=599) => {
            "check that the hub's address is right and can be reached from the proxy"
        }
        _ => "check that [hub] proxy names an HTTP proxy that knows CONNECT",
    };
    Err(DialError::Proxy {
        proxy: proxy.to_string(),
        target,
        status: status.chars().take(100).collect(),
        remedy,
    })
}

fn request(proxy: &ProxyConfig, target: &str) -> String {
    let authorization = proxy.credentials().map_or_else(String::new, |pair| {
        let pair = BASE64.encode(&[pair.0, pair.1].join(&b':'));
        format!("Proxy-Authorization: Basic {pair}\r\n")
    });
    format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{authorization}\r\n")
}

/// Byte by byte: what follows the head is TLS already.
async fn read_head(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD_BYTES_MAX {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

fn code(status: &str) -> Option<u16> {
    let rest = status.strip_prefix("HTTP/1.")?;
    rest.split_ascii_whitespace().nth(1)?.parse().ok()
}
