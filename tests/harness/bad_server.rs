//! TCP servers that do everything wrong, for the errors that a driver's user must see. Never a
//! well-behaved device: that is the third-party peer's part.

use anyhow::{Context as _, Result};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What it does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Accepts, reads and never answers.
    Silent,
    /// Answers every request with bytes that are no Modbus.
    Garbage,
    /// Answers with the right header and a transaction number of another request.
    WrongTransaction,
    /// Answers with half a frame and then falls silent.
    HalfFrame,
    /// Closes as soon as a request came.
    Closes,
    /// Answers a register read correctly, but so much later.
    Late(Duration),
}

/// The running server; lives as long as the process.
#[derive(Debug)]
pub struct BadServer {
    address: SocketAddr,
    requests: Arc<AtomicU64>,
}

impl BadServer {
    /// Starts one on a free loopback port.
    pub fn start(fault: Fault) -> Result<Self> {
        let address = crate::ports::free()?;
        let listener = TcpListener::bind(address).context("binding the bad server")?;
        let requests = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&requests);
        std::thread::Builder::new()
            .name("bad-server".into())
            .spawn(move || {
                for client in listener.incoming().flatten() {
                    let counted = Arc::clone(&counted);
                    std::thread::spawn(move || misbehave(client, fault, &counted));
                }
            })
            .context("starting the bad server's thread")?;
        Ok(Self { address, requests })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests that it got.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }
}

fn misbehave(mut client: TcpStream, fault: Fault, requests: &AtomicU64) {
    let mut buffer = [0; 260];
    while let Ok(length) = client.read(&mut buffer) {
        let Some(request) = buffer.get(..length).filter(|request| !request.is_empty()) else {
            return;
        };
        requests.fetch_add(1, Ordering::SeqCst);
        let answer = match fault {
            Fault::Silent => continue,
            Fault::Closes => return,
            Fault::Garbage => b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
            Fault::WrongTransaction => registers(request, 0x5A5A),
            Fault::HalfFrame => registers(request, 0).into_iter().take(7).collect(),
            Fault::Late(delay) => {
                crate::wait::pause(delay);
                registers(request, 0)
            }
        };
        if client.write_all(&answer).is_err() {
            return;
        }
    }
}

/// A well-formed answer to a register read, every register 0x1234, with the transaction number
/// changed by `xor`.
fn registers(request: &[u8], xor: u16) -> Vec<u8> {
    let byte = |index: usize| request.get(index).copied().unwrap_or(0);
    let transaction = u16::from_be_bytes([byte(0), byte(1)]) ^ xor;
    let count = u16::from_be_bytes([byte(10), byte(11)]).min(125);
    let mut answer = transaction.to_be_bytes().to_vec();
    answer.extend([0, 0]);
    answer.extend((3 + 2 * count).to_be_bytes());
    answer.extend([byte(6), byte(7), u8::try_from(2 * count).unwrap_or(250)]);
    for _ in 0..count {
        answer.extend([0x12, 0x34]);
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: [u8; 12] = [0, 7, 0, 0, 0, 6, 1, 3, 0, 0, 0, 2];

    fn ask(fault: Fault) -> Vec<u8> {
        let server = BadServer::start(fault).unwrap();
        let mut client = TcpStream::connect(server.address()).unwrap();
        client
            .set_read_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        client.write_all(&REQUEST).unwrap();
        let mut buffer = [0; 100];
        let length = client.read(&mut buffer).unwrap_or(0);
        assert_eq!(server.requests(), 1);
        buffer[..length].to_vec()
    }

    #[test]
    fn each_fault_is_what_it_says() {
        assert!(ask(Fault::Silent).is_empty());
        assert!(ask(Fault::Closes).is_empty());
        assert!(ask(Fault::Garbage).starts_with(b"HTTP"));
        assert_eq!(ask(Fault::HalfFrame).len(), 7);
        let right = [0, 7, 0, 0, 0, 7, 1, 3, 4, 0x12, 0x34, 0x12, 0x34];
        assert_eq!(ask(Fault::Late(Duration::from_millis(20))), right);
        assert_ne!(ask(Fault::WrongTransaction)[..2], right[..2]);
    }
}
