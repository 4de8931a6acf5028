//! Free ports of the loopback for programs under test. Never gives the same port twice, not even to
//! another test process that runs at the same time: each is held by a locked file until this
//! process ends. All lie below 32768, because the kernel hands out the ones above to anybody.

use anyhow::{Context as _, Result, bail};
use std::fs::{File, TryLockError};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Mutex;

const FIRST: u16 = 20_000;
const LAST: u16 = 32_000;

/// Locks of the ports given out; the operating system frees them when the process ends.
static HELD: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// The loopback address with a port on which nothing listens, neither by TCP nor by UDP.
pub fn free() -> Result<SocketAddr> {
    let folder = std::env::temp_dir().join("chatterfix-test-ports");
    std::fs::create_dir_all(&folder).context("making the folder of port locks")?;
    // Processes start at different places, so that they rarely try the same port.
    let spread = u16::try_from(std::process::id() % u32::from(LAST - FIRST)).unwrap_or(0);
    for step in 0..(LAST - FIRST) {
        let port = FIRST + (spread + step) % (LAST - FIRST);
        let lock = File::create(folder.join(port.to_string())).context("making a port lock")?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => continue,
            Err(TryLockError::Error(error)) => return Err(error).context("locking a port"),
        }
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok() {
            HELD.lock()
                .map_err(|_| anyhow::anyhow!("a test died while it took a port"))?
                .push(lock);
            return Ok(address);
        }
    }
    bail!("no free port between {FIRST} and {LAST}: end the programs that hold them")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn never_gives_a_port_twice_and_stays_below_the_ephemeral_range() {
        let ports: BTreeSet<u16> = (0..50).map(|_| super::free().unwrap().port()).collect();
        assert_eq!(ports.len(), 50);
        assert!(ports.iter().all(|port| *port < 32_768));
    }
}
