//! What the store tells its listeners after a commit. Never told before it is on the disk.

use crate::tenants::TenantScope;
use protocol::id::{AlarmPointId, AlertId, GatewayId, WorkOrderId};
use protocol::reading::Reading;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// Changes that wait for a slow listener; beyond it the listener loses the oldest.
pub(super) const WAITING_MAX: usize = 1_024;

/// Something changed, and whose it is.
#[derive(Clone, Debug)]
pub struct Change {
    /// Only listeners of this tenant may hear of it.
    pub scope: TenantScope,
    /// What changed.
    pub what: Changed,
}

/// What changed.
#[derive(Clone, Debug)]
pub enum Changed {
    /// New latest readings, one per sensor.
    Readings {
        /// The gateway they came from.
        gateway: GatewayId,
        /// The latest reading of each sensor that got a newer one.
        readings: Arc<[Reading]>,
    },
    /// An alert was raised or changed.
    Alert(AlertId),
    /// A work order was made or changed.
    WorkOrder(WorkOrderId),
    /// Something of an alarm point is held back or is not any more, or somebody works on a machine.
    AlarmPoint(AlarmPointId),
    /// A gateway came, went, or told something about itself.
    Gateway(GatewayId),
    /// The hub has new events for this gateway.
    Down(GatewayId),
}

/// A bell for each gateway whose connection listens: it rings when there is something new for that
/// gateway. Were each connection told of all changes, ten thousand of them would do nothing else.
/// Never holds more bells than there are connections, but for those that ended without a sound.
#[derive(Debug, Default)]
pub(super) struct Bells(Mutex<HashMap<(TenantScope, GatewayId), watch::Sender<()>>>);

impl Bells {
    pub(super) fn listen(&self, scope: TenantScope, gateway: GatewayId) -> watch::Receiver<()> {
        let mut bells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bell = bells.entry((scope, gateway));
        bell.or_insert_with(|| watch::channel(()).0).subscribe()
    }

    pub(super) fn ring(&self, change: &Change) {
        let (Changed::Gateway(gateway) | Changed::Down(gateway)) = &change.what else {
            return;
        };
        let mut bells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (change.scope, *gateway);
        if let Some(bell) = bells.get(&place)
            && bell.send(()).is_err()
        {
            bells.remove(&place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_bell_rings_for_its_own_gateway_and_goes_with_its_last_listener() {
        let (bells, scope) = (Bells::default(), TenantScope::of_key(1));
        let gateway = |number| GatewayId(Uuid::from_u128(number));
        let ring = |what| bells.ring(&Change { scope, what });
        let (mut one, mut twin) = (
            bells.listen(scope, gateway(1)),
            bells.listen(scope, gateway(1)),
        );
        let other = bells.listen(scope, gateway(2));
        ring(Changed::Down(gateway(1)));
        ring(Changed::WorkOrder(WorkOrderId(Uuid::nil())));
        assert!(one.has_changed().unwrap() && twin.has_changed().unwrap());
        assert!(!other.has_changed().unwrap());
        one.mark_unchanged();
        twin.mark_unchanged();
        ring(Changed::Gateway(gateway(2)));
        assert!(!one.has_changed().unwrap() && other.has_changed().unwrap());
        drop(one);
        ring(Changed::Down(gateway(1)));
        assert!(twin.has_changed().unwrap());
        drop(twin);
        ring(Changed::Down(gateway(1)));
        assert_eq!(bells.0.lock().unwrap().len(), 1);
    }
}
