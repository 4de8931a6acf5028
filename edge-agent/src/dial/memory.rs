//! Which way led to the hub from which network. Never reads a clock, never keeps more than the
//! network of now: a box that is carried elsewhere finds out anew.

use super::{Way, resolve};
use crate::config::HubConfig;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::time::Instant;

/// A network where QUIC did not get through is given another try with it after this.
const QUIC_AGAIN: Duration = Duration::from_secs(600);

/// Where the box is, as far as the way to the hub goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The box's own address towards the hub.
    pub local: IpAddr,
    /// The hub's address.
    pub hub: SocketAddr,
}

impl Network {
    /// The network of now; `None` when the hub's name is not known here (a proxy may know it).
    /// Sends nothing.
    pub async fn now(hub: &HubConfig) -> Option<Self> {
        let hub = resolve(&hub.host, hub.port).await.ok()?;
        Some(Self {
            local: source_towards(hub).ok()?,
            hub,
        })
    }
}

/// The address that a packet to `remote` would have as its source.
pub fn source_towards(remote: SocketAddr) -> std::io::Result<IpAddr> {
    let socket = std::net::UdpSocket::bind(super::quic::any_address(remote))?;
    socket.connect(remote)?;
    Ok(socket.local_addr()?.ip())
}

/// The way that won last, where, and when.
#[derive(Debug, Default)]
pub struct Memory {
    tcp: Option<(Option<Network>, Instant)>,
}

impl Memory {
    /// Which way to try first.
    pub fn first(&self, network: Option<Network>, now: Instant) -> Way {
        match self.tcp {
            Some((where_, since)) if where_ == network && now - since < QUIC_AGAIN => Way::Tcp,
            _ => Way::Quic,
        }
    }

    /// The hub was reached this way.
    pub fn reached(&mut self, way: Way, network: Option<Network>, now: Instant) {
        self.tcp = match (way, self.tcp) {
            (Way::Quic, _) => None,
            // Counted from when QUIC was tried, not from the last time that TCP did well.
            (Way::Tcp, Some((where_, since))) if where_ == network && now - since < QUIC_AGAIN => {
                Some((where_, since))
            }
            (Way::Tcp, _) => Some((network, now)),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_winner_is_remembered_for_its_network_and_quic_is_tried_again_now_and_then() {
        let hub = "192.0.2.1:7443".parse().unwrap();
        let network = |last: u8| {
            Some(Network {
                local: [10, 0, 0, last].into(),
                hub,
            })
        };
        let mut memory = Memory::default();
        let start = Instant::now();
        assert_eq!(memory.first(network(1), start), Way::Quic);
        memory.reached(Way::Tcp, network(1), start);
        let soon = start + QUIC_AGAIN / 2;
        assert_eq!(memory.first(network(1), soon), Way::Tcp);
        assert_eq!(memory.first(network(2), soon), Way::Quic);
        memory.reached(Way::Tcp, network(1), soon);
        let later = start + QUIC_AGAIN;
        assert_eq!(memory.first(network(1), later), Way::Quic);
        // It did not get through either: TCP first again for a while.
        memory.reached(Way::Tcp, network(1), later);
        assert_eq!(memory.first(network(1), later), Way::Tcp);
        memory.reached(Way::Quic, network(1), later);
        assert_eq!(memory.first(network(1), later), Way::Quic);
    }

    #[test]
    fn the_own_address_is_found_without_sending() {
        let source = source_towards("127.0.0.9:9".parse().unwrap()).unwrap();
        assert!(source.is_loopback());
    }
}
