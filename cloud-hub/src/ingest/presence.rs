//! Which connection speaks for a gateway: the newest one. Never closes a connection itself: the
//! one that lost its place is told and goes.

use protocol::id::GatewayId;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// All gateways with a connection. Bounded by the connections that are let in.
#[derive(Clone, Debug, Default)]
pub(super) struct Presence(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    last: u64,
    present: BTreeMap<GatewayId, (u64, oneshot::Sender<SocketAddr>)>,
}

/// The place of one connection; given up when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    presence: Presence,
    gateway: GatewayId,
    number: u64,
    /// Hears the address of the connection that took the place.
    pub(super) taken: oneshot::Receiver<SocketAddr>,
}

impl Presence {
    /// The connection from `remote` speaks for the gateway from now on.
    pub(super) fn take(&self, gateway: GatewayId, remote: SocketAddr) -> Place {
        let (sender, taken) = oneshot::channel();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.last += 1;
        let number = state.last;
        if let Some((_, before)) = state.present.insert(gateway, (number, sender))
            && before.send(remote).is_err()
        {
            tracing::debug!(%gateway, "the connection before was going already");
        }
        drop(state);
        Place {
            presence: self.clone(),
            gateway,
            number,
            taken,
        }
    }
}

impl Place {
    /// Whether no newer connection has taken it.
    pub(super) fn is_held(&self) -> bool {
        let state = self
            .presence
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        state
            .present
            .get(&self.gateway)
            .is_some_and(|(number, _)| *number == self.number)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self
            .presence
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let own = state
            .present
            .get(&self.gateway)
            .is_some_and(|(number, _)| *number == self.number);
        if own {
            state.present.remove(&self.gateway);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn the_newest_connection_has_the_place_and_the_one_before_hears_from_where() {
        let presence = Presence::default();
        let gateway = GatewayId(Uuid::from_u128(1));
        let address = |last| SocketAddr::from(([10, 0, 0, last], 9));
        let mut first = presence.take(gateway, address(1));
        let other = presence.take(GatewayId(Uuid::from_u128(2)), address(3));
        assert!(first.is_held() && first.taken.try_recv().is_err());
        let second = presence.take(gateway, address(2));
        assert_eq!(first.taken.try_recv(), Ok(address(2)));
        assert!(!first.is_held() && second.is_held() && other.is_held());
        drop(first);
        assert!(second.is_held());
        drop(second);
        assert!(presence.take(gateway, address(4)).is_held());
    }
}
