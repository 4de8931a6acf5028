//! What the store tells its listeners after a commit. Never told before it is on the disk.

use crate::tenants::TenantScope;
use protocol::id::{AlertId, GatewayId, WorkOrderId};
use protocol::reading::Reading;
use std::sync::Arc;

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
    /// A gateway came, went, or told something about itself.
    Gateway(GatewayId),
    /// The hub has new events for this gateway.
    Down(GatewayId),
}
