//! What people do to alerts and alarm points, here and at the hub, and what the record has of them
//! when the agent starts. Never writes an event by itself.

use super::Judge;
use crate::clock;
use crate::storage::{PAGE_MAX, Page, RecordChange, Storage, StorageError};
use protocol::alert::Alert;
use protocol::event::{Event, RecordKind};
use protocol::id::{AlarmPointId, AlertId};
use tokio::sync::broadcast::error::RecvError;

/// A record that changed, or how many changes were missed.
type Told = Result<RecordChange, RecvError>;

impl Judge {
    /// Tells the uplink how far the events of this box are on the disk.
    pub(super) fn tell_durable(&self, change: &Told) {
        let written = change.iter().flat_map(|change| &change.events);
        let own = written
            .filter(|event| event.origin == self.origin() && event.incarnation == self.incarnation);
        let last = own.map(|event| event.seq).max();
        self.durable.send_if_modified(|durable| {
            let before = durable.events;
            durable.events = before.max(last.unwrap_or(0));
            durable.events != before
        });
    }

    /// Takes notice of what people did; after missed changes, of all that there is.
    pub(super) async fn follow_people(&mut self, change: Told) {
        let told = match change {
            Ok(change) => self.follow_change(&change).await,
            Err(RecvError::Lagged(_)) => self.catch_up().await,
            Err(RecvError::Closed) => Ok(()),
        };
        if let Err(error) = told {
            tracing::warn!(%error, "what people did could not be read; it counts at the next change");
        }
    }

    async fn follow_change(&mut self, change: &RecordChange) -> Result<(), StorageError> {
        // What the judge wrote itself it knows.
        if !change.events.iter().any(|event| self.is_of_others(event)) {
            return Ok(());
        }
        match change.record.kind {
            RecordKind::Alert => {
                if let Some(alert) = self.storage.alert(AlertId(change.record.id)).await? {
                    self.alarms.alert_is(&alert);
                }
            }
            RecordKind::AlarmPoint => {
                let id = AlarmPointId(change.record.id);
                if let Some(point) = self.storage.alarm_point(id).await? {
                    self.learn_anew(&point).await;
                    let outcome = self.alarms.point_is(&point, clock::now(), clock::state());
                    self.carry_out(outcome).await;
                }
            }
            _ => return Ok(()),
        }
        self.save(clock::now()).await;
        Ok(())
    }

    fn is_of_others(&self, event: &Event) -> bool {
        event.actor.is_person() || event.origin != self.origin()
    }

    async fn catch_up(&mut self) -> Result<(), StorageError> {
        for alert in open_alerts(&self.storage).await? {
            self.alarms.alert_is(&alert);
        }
        self.take_up_relearned().await?;
        self.take_up_points().await
    }

    /// What people said is normal now. A detector that did so already does nothing.
    pub(super) async fn take_up_relearned(&mut self) -> Result<(), StorageError> {
        for point in self.storage.relearned_alarm_points().await? {
            self.learn_anew(&point).await;
        }
        Ok(())
    }

    /// What people hold back, and what the record has of points that were suppressed.
    pub(super) async fn take_up_points(&mut self) -> Result<(), StorageError> {
        for point in self.storage.held_alarm_points().await? {
            self.alarms.learn(&point, clock::now());
        }
        Ok(())
    }

    pub(super) async fn take_up_open_alerts(&mut self) -> Result<(), StorageError> {
        for alert in open_alerts(&self.storage).await? {
            self.alarms.take_up(&alert);
            self.detectors.lock().stand_behind(&alert);
        }
        Ok(())
    }
}

/// All alerts that are not closed, the newest first.
async fn open_alerts(storage: &Storage) -> Result<Vec<Alert>, StorageError> {
    let mut all: Vec<Alert> = Vec::new();
    loop {
        let after = all.last().map(|alert| (alert.raised_at, alert.id.0));
        let page = storage
            .alerts(Page {
                open_only: true,
                limit: PAGE_MAX,
                after,
            })
            .await?;
        let last = page.len() < PAGE_MAX;
        all.extend(page);
        if last {
            return Ok(all);
        }
    }
}
