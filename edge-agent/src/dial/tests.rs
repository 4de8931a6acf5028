//! What a person is told when the hub is not reached, and what a proxy answers.

use super::*;
use crate::config::Config;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

fn hub(lines: &str) -> HubConfig {
    let config = Config::parse(Path::new("e"), &format!("[hub]\n{lines}\n"));
    config.unwrap().hub.unwrap()
}

fn tls() -> rustls::ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth()
}

/// A proxy that gives one answer, and what it was asked.
async fn proxy(answer: &'static str) -> (SocketAddr, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            asked.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(asked).unwrap()
    });
    (address, asked)
}

#[tokio::test]
async fn both_ways_are_told_and_tcp_does_not_wait_for_a_way_that_failed() {
    // Port 9 of the loopback: nobody is there.
    let hub = hub("address = \"127.0.0.1:9\"\ntcp_port = 9");
    let started = tokio::time::Instant::now();
    let error = dial(&hub, &tls(), Way::Tcp).await.unwrap_err();
    assert!(started.elapsed() < CONNECT_WAIT + HEAD_START);
    let words = error.to_string();
    assert!(words.contains("over UDP: 127.0.0.1:9 "), "{words}");
    let tcp = "over TCP: connecting to 127.0.0.1:9 over TCP: ";
    assert!(words.contains(tcp), "{words}");
}

#[tokio::test]
async fn a_proxy_is_asked_with_its_password_and_its_refusal_is_told_without_it() {
    for (answer, parts) in [
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
            ["407 Proxy", "user and password"],
        ),
        (
            "HTTP/1.0 403 Filtered\r\nX: y\r\n\r\n",
            ["403", "let this box"],
        ),
        ("HTTP/1.1 502 Bad Gateway\r\n\r\n", ["502", "hub's address"]),
        ("SSH-2.0-x\r\n\r\n", ["SSH", "HTTP proxy that knows"]),
    ] {
        let (address, asked) = proxy(answer).await;
        let hub = hub(&format!(
            "address = \"hub.invalid:9\"\nproxy = \"http://anna:s%40cret@{address}\""
        ));
        let error = tcp::connect(&hub, &tls()).await.unwrap_err();
        let words = format!("{error} {error:?}");
        assert!(parts.iter().all(|part| words.contains(part)), "{words}");
        assert!(words.contains("hub.invalid:443"), "{words}");
        assert!(!words.contains("cret"), "{words}");
        let asked = asked.await.unwrap();
        assert!(
            asked.starts_with("CONNECT hub.invalid:443 HTTP/1.1\r\n"),
            "{asked}"
        );
        assert!(
            asked.contains("Proxy-Authorization: Basic YW5uYTpzQGNyZXQ=\r\n"),
            "{asked}"
        );
    }
}
