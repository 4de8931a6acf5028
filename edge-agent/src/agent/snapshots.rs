//! The readings after an alarm, added to its order when their time has come.
//! Never holds readings: they are read from the store.

use crate::storage::{NewEvent, PAGE_MAX, Page, Storage, StorageError};
use crate::work_orders::{Policy, snapshot};
use protocol::event::{Actor, AlertRaised, Body, Snapshot, WorkOrderEvent};
use protocol::id::{EventId, WorkOrderId};
use protocol::limits::SNAPSHOT_POINTS_MAX;
use protocol::time::{Correction, Timestamp};
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

    /// After a start: takes up the newest orders that were to get the readings after their alarm
    /// and did not, because the agent ended before their time had come.
    pub(super) async fn take_up(
        &mut self,
        storage: &Storage,
        policy: &Policy,
    ) -> Result<(), StorageError> {
        let newest = Page {
            open_only: false,
            limit: PAGE_MAX,
            after: None,
        };
        let mut due = Vec::new();
        for order in storage.work_orders(newest).await? {
            let Some(opened_by) = order.alerts.first() else {
                continue;
            };
            let Some(alert) = storage.alert(*opened_by).await? else {
                continue;
            };
            let Some(window) = policy.window(&alert.raised.rule) else {
                continue;
            };
            let missing = Due {
                order: order.id,
                raised: alert.raised,
                time: alert.raised_at,
                window,
            };
            let event = event_id(&missing);
            if order.history.iter().all(|line| line.id != event) {
                due.push(missing);
            }
        }
        self.add(due);
        Ok(())
    }

    /// Moves what waits, now that the true time is known.
    pub(super) fn correct(&mut self, by: &Correction) {
        for due in &mut self.due {
            due.time = by.of(due.time);
        }
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

/// Follows from what it is about, so that it is written once.
fn event_id(due: &Due) -> EventId {
    let name = format!("after:{}", due.time.0);
    EventId(Uuid::new_v5(&due.order.0, name.as_bytes()))
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
    let id = event_id(due);
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
