//! A rule that opens too many orders in a day: the alert is told that there is none. Never keeps an
//! alert from being raised.

use super::AlertStep;
use crate::storage::{NewEvent, RecordTx, StorageError};
use crate::work_orders::{DAY_US, Policy};
use protocol::event::{Actor, AlertEvent, Body};
use protocol::id::EventId;
use uuid::Uuid;

/// Whether the rule is at its limit; then a line of the alert says so.
pub(super) fn tell(
    tx: &mut RecordTx<'_>,
    policy: &Policy,
    step: &AlertStep,
    rule: &str,
) -> Result<bool, StorageError> {
    let since = tx.now().plus_micros(-DAY_US);
    let opened = tx.orders_opened_by(rule, since)?;
    let Some(text) = policy.capped(rule, opened) else {
        return Ok(false);
    };
    let new = NewEvent {
        id: Some(EventId(Uuid::new_v5(&step.alert.0, b"no order"))),
        actor: Actor::System(rule.to_owned()),
        record: step.alert.into(),
        body: Body::Alert(AlertEvent::Commented { text }),
    };
    tx.append_at(new, step.time, step.clock)?;
    Ok(true)
}
