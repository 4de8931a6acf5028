//! What the desk remembers against what stands in the records: acknowledgements and ends that others
//! wrote, and urgent alerts whose notice was lost. Never writes a record.

use super::super::ladder::{Ladder, Saved};
use super::super::matter::{Matter, Sort};
use super::super::plan::Plan;
use super::{Desk, clock_now};
use crate::alerts::{Notice, NoticeKind};
use crate::storage::{PAGE_MAX, Page, RecordChange, Storage};
use protocol::alert::{Alert, AlertState};
use protocol::event::{AlertEvent, Body, RecordKind, Severity};
use protocol::id::AlertId;
use tokio::sync::broadcast;
use uuid::Uuid;

impl Desk {
    pub(super) async fn changed(
        &mut self,
        change: Result<RecordChange, broadcast::error::RecvError>,
    ) {
        let change = match change {
            Ok(change) => change,
            // What was missed is looked up.
            Err(_) => return self.compare(false).await,
        };
        if change.record.kind != RecordKind::Alert {
            return;
        }
        let alert = AlertId(change.record.id);
        let is_seen = change.events.iter().any(|event| {
            matches!(
                event.body,
                Body::Alert(
                    AlertEvent::Acknowledged { .. }
                        | AlertEvent::Reset { .. }
                        | AlertEvent::Superseded { .. }
                )
            )
        });
        let is_over = change
            .events
            .iter()
            .any(|event| matches!(event.body, Body::Alert(AlertEvent::Cleared { .. })));
        if is_seen {
            self.seen(alert);
        }
        if is_over {
            self.ladder.cleared(alert);
            self.is_dirty = true;
        }
    }

    pub(super) fn seen(&mut self, alert: AlertId) {
        let mut outputs = Vec::new();
        self.ladder.acknowledged(alert, &mut outputs);
        self.is_dirty = true;
        for output in outputs {
            self.put(output);
        }
    }

    /// Holds what is remembered against the records: what was acknowledged meanwhile is told no more,
    /// and at the start what is urgent and was never told is told.
    pub(super) async fn compare(&mut self, at_start: bool) {
        for id in self.ladder.waiting() {
            match self.storage.alert(id).await {
                Ok(Some(alert)) => match alert.state() {
                    AlertState::Active => {}
                    AlertState::Cleared => self.ladder.cleared(id),
                    AlertState::Acknowledged | AlertState::Closed => self.seen(id),
                },
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "an alert could not be looked up"),
            }
        }
        if at_start {
            let mut page = Page {
                open_only: true,
                limit: PAGE_MAX,
                after: None,
            };
            while let Ok(alerts) = self.storage.alerts(page).await {
                page.after = alerts.last().map(|alert| (alert.raised_at, alert.id.0));
                for alert in &alerts {
                    self.catch_up(alert);
                }
                if alerts.len() < PAGE_MAX {
                    break;
                }
            }
        }
        self.is_dirty = true;
    }

    /// An urgent alert that was written down and whose notice was lost with the power.
    pub(super) fn catch_up(&mut self, alert: &Alert) {
        let raised = &alert.raised;
        let waits = alert.state() == AlertState::Active && !self.ladder.knows(alert.id);
        if !waits || raised.severity < Severity::High {
            return;
        }
        let matter = Matter {
            // As the judge names it: what was told is not told again.
            id: Uuid::new_v5(&alert.id.0, b"notice:raised"),
            sort: Sort::Raised,
            alert: Some(alert.id),
            severity: raised.severity,
            title: raised.title.clone(),
            words: String::new(),
            asset: raised.asset.clone(),
            rule: Some(raised.rule.clone()),
            time: alert.raised_at,
        };
        self.ladder.tell(matter, clock_now());
    }
}

pub(super) async fn taken_up(storage: &Storage, plan: Plan) -> Ladder {
    let saved = match storage.telling().await {
        Ok(Some(bytes)) => postcard::from_bytes::<Saved>(&bytes).ok(),
        Ok(None) => None,
        Err(error) => {
            tracing::warn!(%error, "what was told before this start is not known");
            None
        }
    };
    match saved {
        Some(saved) => Ladder::restore(plan, saved, clock_now()),
        None => Ladder::new(plan),
    }
}

pub(super) fn matter(notice: Notice) -> Matter {
    Matter {
        id: notice.id,
        sort: match notice.kind {
            NoticeKind::Raised => Sort::Raised,
            NoticeKind::Again => Sort::Again,
            NoticeKind::Cleared => Sort::Cleared,
            NoticeKind::FloodBegan | NoticeKind::FloodEnded | NoticeKind::Chattering => Sort::Flood,
            NoticeKind::OrderOpened => Sort::Order,
        },
        alert: notice.alert,
        severity: notice.severity,
        title: notice.title,
        words: notice.words,
        asset: notice.asset,
        rule: notice.rule,
        time: notice.time,
    }
}
