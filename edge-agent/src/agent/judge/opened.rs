//! What people are told of an order that an alert has just opened. Told once, after it is on the
//! disk; a crash in between leaves it untold, for the alert's own notice is handed over again.

use super::AlertStep;
use crate::agent::snapshots::Due;
use crate::alerts::{Notice, NoticeKind};
use protocol::event::WorkOrderCreated;
use uuid::Uuid;

/// An order that was opened: when it wants the readings after its alarm, and what is told.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) due: Due,
    pub(super) notice: Notice,
}

/// The notice of an order.
pub(super) fn notice(due: &Due, step: &AlertStep, created: &WorkOrderCreated) -> Notice {
    Notice {
        id: Uuid::new_v5(&due.order.0, b"notice:opened"),
        kind: NoticeKind::OrderOpened,
        alert: Some(step.alert),
        severity: due.raised.severity,
        title: format!("Work order {}: {}", created.number, created.title),
        words: format!("It was opened for the alert \"{}\".", due.raised.title),
        asset: due.raised.asset.clone(),
        rule: Some(due.raised.rule.clone()),
        time: due.time,
    }
}
