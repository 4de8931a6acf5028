//! `GET /stream`: server-sent events. What changes within half a second goes out together, the
//! latest state of each thing once; who is too slow is told to load anew (`reset`).

use super::problem::Problem;
use super::records::{alert_view, work_order_view};
use super::{Page, alarms, sensors, status};
use crate::health::News;
use crate::storage::RecordChange;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use protocol::event::{RecordKind, RecordRef};
use protocol::id::{AlarmPointId, AlertId, SensorId, WorkOrderId};
use protocol::reading::Reading;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;

const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// At most two readings per second and sensor.
const GATHER: Duration = Duration::from_millis(500);
/// Records that may wait to go out.
const WAITING_MAX: usize = 500;

/// `GET /stream`
pub(super) async fn open(State(page): State<Page>) -> Result<Response, Problem> {
    let permit = Arc::clone(&page.streams).try_acquire_owned().map_err(|_| {
        let title = "Too many pages are open";
        let detail = "Changes do not arrive by themselves for now. Close pages nobody looks at.";
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Problem::new(status, "too_many_streams", title, detail).retry_after(10)
    })?;
    let feed = Feed {
        news: page.health.subscribe(),
        changes: page.storage.changes(),
        stop: page.stop.clone(),
        page,
        waiting: Waiting::default(),
        ready: VecDeque::new(),
        send_at: None,
        _permit: permit,
    };
    let events = futures_util::stream::unfold(feed, |mut feed| async move {
        let event = feed.next().await?;
        Some((Ok::<_, Infallible>(event), feed))
    });
    let alive = KeepAlive::new().interval(KEEP_ALIVE).text("alive");
    Ok(Sse::new(events).keep_alive(alive).into_response())
}

/// What changed and was not sent yet.
#[derive(Default)]
struct Waiting {
    readings: BTreeMap<SensorId, Reading>,
    records: BTreeSet<RecordRef>,
    devices: BTreeSet<String>,
    link: bool,
}

/// What woke the feed.
enum Told {
    News(Result<News, RecvError>),
    Change(Result<RecordChange, RecvError>),
    Due,
}

/// Waits until the box is to stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A closed channel means that the agent is gone: that is an end too.
    drop(stop.wait_for(|stop| *stop).await);
}

struct Feed {
    page: Page,
    news: Receiver<News>,
    changes: Receiver<RecordChange>,
    stop: watch::Receiver<bool>,
    waiting: Waiting,
    ready: VecDeque<Event>,
    send_at: Option<Instant>,
    _permit: OwnedSemaphorePermit,
}

impl Feed {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let due = self.send_at.unwrap_or_else(|| Instant::now() + KEEP_ALIVE);
            let told = tokio::select! {
                news = self.news.recv() => Told::News(news),
                change = self.changes.recv() => Told::Change(change),
                () = tokio::time::sleep_until(due), if self.send_at.is_some() => Told::Due,
                () = stopped(&mut self.stop) => return None,
            };
            match told {
                Told::Due => {
                    self.send_at = None;
                    self.gather().await;
                    continue;
                }
                Told::News(Err(RecvError::Closed)) | Told::Change(Err(RecvError::Closed)) => {
                    return None;
                }
                // Others are configured: whoever looks loads anew.
                Told::News(Err(_) | Ok(News::Plant)) | Told::Change(Err(_)) => self.reset(),
                Told::News(Ok(News::Reading(reading))) => {
                    self.waiting.readings.insert(reading.sensor, reading);
                }
                Told::News(Ok(News::Device(name))) => {
                    self.waiting.devices.insert(name);
                }
                Told::News(Ok(News::Link(_))) => self.waiting.link = true,
                Told::Change(Ok(change)) => {
                    self.waiting.records.insert(change.record);
                }
            }
            if self.waiting.records.len() > WAITING_MAX {
                self.reset();
            }
            self.send_at.get_or_insert_with(|| Instant::now() + GATHER);
        }
    }

    fn reset(&mut self) {
        self.waiting = Waiting::default();
        self.ready.clear();
        self.ready
            .push_back(Event::default().event("reset").data("{}"));
    }

    async fn gather(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        for reading in waiting.readings.values() {
            self.push("reading", &sensors::reading(&self.page, reading));
        }
        for record in waiting.records {
            match record.kind {
                RecordKind::Alert => {
                    if let Ok(view) = alert_view(&self.page, AlertId(record.id), false).await {
                        self.push("alert", &view);
                    }
                }
                RecordKind::AlarmPoint => self.push_alarm(AlarmPointId(record.id)).await,
                RecordKind::WorkOrder => {
                    if let Ok(view) =
                        work_order_view(&self.page, WorkOrderId(record.id), false).await
                    {
                        self.push("work_order", &view);
                    }
                }
                _ => {}
            }
        }
        for name in waiting.devices {
            if let Some(device) = status::device(&self.page, &name) {
                self.push("device", &device);
            }
        }
        if waiting.link {
            self.push("link", &status::link(&self.page, &self.page.health.link()));
        }
    }

    /// A point with its rule, and its alert, which shows the same; or a maintenance switch.
    async fn push_alarm(&mut self, id: AlarmPointId) {
        if let Ok(view) = alarms::point_view(&self.page, id).await {
            let alert = view.get("alert").and_then(serde_json::Value::as_str);
            if let Some(alert) = alert.and_then(|id| id.parse().ok())
                && let Ok(alert) = alert_view(&self.page, alert, false).await
            {
                self.push("alert", &alert);
            }
            self.push("alarm", &view);
        } else if let Ok(Some(switch)) = self.page.storage.alarm_point(id).await
            && let Some(view) = protocol::view::maintenance(&switch, crate::clock::now())
        {
            self.push("maintenance", &view);
        }
    }

    fn push(&mut self, name: &str, view: &impl Serialize) {
        if let Ok(event) = Event::default().event(name).json_data(view) {
            self.ready.push_back(event);
        }
    }
}
