//! A TCP relay that counts bytes both ways, to measure what a TCP protocol puts on the wire.
//! Never delays and never looks into the bytes.

use anyhow::{Context as _, Result};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The running relay; lives as long as the process (its threads end with their connections).
#[derive(Debug)]
pub struct TcpRelay {
    address: SocketAddr,
    up: Arc<AtomicU64>,
    down: Arc<AtomicU64>,
}

impl TcpRelay {
    /// Starts a relay to `upstream` on a free loopback port.
    pub fn start(upstream: SocketAddr) -> Result<Self> {
        let address = crate::ports::free()?;
        let listener = TcpListener::bind(address).context("binding the TCP relay")?;
        let relay = Self {
            address,
            up: Arc::default(),
            down: Arc::default(),
        };
        let (up, down) = (Arc::clone(&relay.up), Arc::clone(&relay.down));
        std::thread::Builder::new()
            .name("tcp-relay".into())
            .spawn(move || {
                for client in listener.incoming().flatten() {
                    if let Ok(server) = TcpStream::connect(upstream) {
                        join(client, server, &up, &down);
                    }
                }
            })
            .context("starting the TCP relay's thread")?;
        Ok(relay)
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Payload bytes from clients to the upstream, and back.
    pub fn bytes(&self) -> (u64, u64) {
        (
            self.up.load(Ordering::SeqCst),
            self.down.load(Ordering::SeqCst),
        )
    }
}

fn join(client: TcpStream, server: TcpStream, up: &Arc<AtomicU64>, down: &Arc<AtomicU64>) {
    let (Ok(client_too), Ok(server_too)) = (client.try_clone(), server.try_clone()) else {
        return;
    };
    let (up, down) = (Arc::clone(up), Arc::clone(down));
    std::thread::spawn(move || copy(client, server, &up));
    std::thread::spawn(move || copy(server_too, client_too, &down));
}

fn copy(mut from: TcpStream, mut to: TcpStream, count: &AtomicU64) {
    let mut buffer = [0; 16_384];
    while let Ok(length) = from.read(&mut buffer) {
        let bytes = buffer.get(..length).unwrap_or_default();
        if bytes.is_empty() || to.write_all(bytes).is_err() {
            break;
        }
        count.fetch_add(u64::try_from(length).unwrap_or(0), Ordering::SeqCst);
    }
    // The other side may have gone first; then there is nothing left to shut.
    drop(to.shutdown(Shutdown::Both));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_and_counts_both_ways() {
        let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
        let relay = TcpRelay::start(upstream.local_addr().unwrap()).unwrap();
        let mut client = TcpStream::connect(relay.address()).unwrap();
        client.write_all(b"hello").unwrap();
        let (mut server, _) = upstream.accept().unwrap();
        let mut buffer = [0; 5];
        server.read_exact(&mut buffer).unwrap();
        server.write_all(b"ok").unwrap();
        let mut answer = [0; 2];
        client.read_exact(&mut answer).unwrap();
        assert_eq!((&buffer, &answer), (b"hello", b"ok"));
        crate::wait_for("the counters", std::time::Duration::from_secs(10), || {
            Ok((relay.bytes() == (5, 2)).then_some(()))
        })
        .unwrap();
    }
}
