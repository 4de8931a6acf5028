//! The readings after an alarm, added to its order when their time has come.
//! Never holds readings: they are read from the store.

use crate::storage::{NewEvent, Storage, StorageError};
use crate::work_orders::snapshot;
use protocol::event::{Actor, AlertRaised, Body, Snapshot, WorkOrderEvent};
use protocol::id::{EventId, WorkOrderId};
use protocol::limits::SNAPSHOT_POINTS_MAX;
use protocol::time::Timestamp;
use std::time::Duration;
use uuid::Uuid;

/// The newest readings may still be on their way into the store.
const STORE_DELAY_US: i64 = 2_000_000;
/// Orders that wait for their readings; of more, the oldest keep only what was before the alarm.
const DUE_MAX: usize = 1_000;

/// An order that wants the readings after its alarm.
#[derive(Clone, Debug)]
pub(super) struct Due {
    pub order: WorkOrderId,
    pub raised: AlertRaised,
    /// When the alarm was raised.
    pub time: Timestamp,
    /// How long before and after.
    pub window: (Duration, Duration),
}

/// All that wait.
#[derive(Debug, Default)]
pub(super) struct Snapshots {
    due: Vec<Due>,
}

impl Snapshots {
    pub(super) fn add(&mut self, due: Vec<Due>) {
        self.due
            .extend(due.into_iter().filter(|due| !due.window.1.is_zero()));
        let excess = self.due.len().saturating_sub(DUE_MAX);
        self.due.drain(..excess);
    }

    /// Adds what is due by now.
    pub(super) async fn take_due(&mut self, storage: &Storage, now: Timestamp) {
        let (ready, waiting): (Vec<_>, Vec<_>) = self
            .due
            .drain(..)
            .partition(|due| now.micros_since(end(due)) >= STORE_DELAY_US);
        self.due = waiting;
        for due in ready {
            let Some(snapshot) = read(storage, &due.raised, due.window, due.time).await else {
                continue;
            };
            if let Err(error) = write(storage, &due, snapshot).await {
                tracing::warn!(%error, "the readings after an alarm could not be added; they are tried again");
                self.due.push(due);
            }
        }
    }
}

fn end(due: &Due) -> Timestamp {
    due.time.plus_micros(micros(due.window.1))
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Reads the alarm's sensor around `time`; `None` when there is nothing to be read.
pub(super) async fn read(
    storage: &Storage,
    raised: &AlertRaised,
    (before, after): (Duration, Duration),
    time: Timestamp,
) -> Option<Snapshot> {
    let from = time.plus_micros(-micros(before));
    let to = time.plus_micros(micros(after)).plus_micros(1);
    match storage
        .snapshot(raised.sensor, from, to, SNAPSHOT_POINTS_MAX)
        .await
    {
        Ok(points) if points.is_empty() => None,
        Ok(points) => Some(snapshot(raised, &points)),
        Err(error) => {
            tracing::warn!(%error, sensor = raised.sensor_path, "the readings around an alarm could not be read");
            None
        }
    }
}

async fn write(storage: &Storage, due: &Due, snapshot: Snapshot) -> Result<(), StorageError> {
    let order = due.order;
    let id = EventId(Uuid::new_v5(
        &order.0,
        format!("after:{}", due.time.0).as_bytes(),
    ));
    let actor = Actor::System(due.raised.rule.clone());
    storage
        .records(move |tx| {
            let body = Body::WorkOrder(WorkOrderEvent::SnapshotAdded(snapshot));
            tx.append(NewEvent {
                id: Some(id),
                actor,
                record: order.into(),
                body,
            })
        })
        .await
        .map(|_| ())
}
