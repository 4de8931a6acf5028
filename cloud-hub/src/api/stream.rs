//! `/stream`: server-sent events from the store's change feed. What changes within half a second
//! goes out together, the latest state of each thing once.
//! Never holds more than it can: who is too slow is told to read everything anew (`reset`).

use super::extract::Reader;
use super::problem::{Problem, chain};
use super::{Context, alarms, alerts, gateways, sensors, work_orders};
use crate::auth::Actor;
use crate::store::{Change, Changed, StoreError};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use protocol::id::{AlarmPointId, AlertId, GatewayId, SensorId, WorkOrderId};
use protocol::reading::Reading;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, broadcast, watch};
use tokio::time::Instant;

/// A comment goes out after so much silence, so that proxies keep the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// What changes within this time goes out together: at most two events per second and sensor.
const GATHER: Duration = Duration::from_millis(500);
/// How often the session behind a stream is looked at.
const SESSION_CHECK: Duration = Duration::from_secs(60);
/// Records that may wait to go out; beyond it the reader is told to read everything anew.
const WAITING_MAX: usize = 500;

/// `GET /stream`
pub(super) async fn open(
    State(context): State<Context>,
    headers: HeaderMap,
    Reader(actor): Reader,
) -> Result<Response, Problem> {
    let permit = Arc::clone(&context.streams)
        .try_acquire_owned()
        .map_err(|_| {
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "too_many_streams",
                "Too many pages are open",
                "Changes do not arrive by themselves for now. Close pages that nobody looks at.",
            )
            .retry_after(10)
        })?;
    let feed = Feed {
        changes: context.store.changes(),
        stop: context.stop.clone(),
        context,
        headers,
        actor,
        waiting: Waiting::default(),
        ready: VecDeque::new(),
        send_at: Instant::now(),
        check_at: Instant::now() + SESSION_CHECK,
        _permit: permit,
    };
    let events = futures_util::stream::unfold(feed, |mut feed| async move {
        let event = feed.next().await?;
        Some((Ok::<_, Infallible>(event), feed))
    });
    let mut response = Sse::new(events)
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE).text("alive"))
        .into_response();
    // A proxy that gathers answers would hold the events back.
    response.headers_mut().insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    Ok(response)
}

/// Waits until the hub is to end.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error says that the hub's main task is gone: that is an end too.
    drop(stop.wait_for(|stop| *stop).await);
}

/// One reader's stream.
struct Feed {
    context: Context,
    headers: HeaderMap,
    actor: Actor,
    changes: broadcast::Receiver<Change>,
    stop: watch::Receiver<bool>,
    waiting: Waiting,
    ready: VecDeque<Event>,
    send_at: Instant,
    check_at: Instant,
    _permit: OwnedSemaphorePermit,
}

/// What changed and was not yet sent.
#[derive(Default)]
struct Waiting {
    readings: BTreeMap<SensorId, Reading>,
    alerts: BTreeSet<AlertId>,
    points: BTreeSet<AlarmPointId>,
    orders: BTreeSet<WorkOrderId>,
    gateways: BTreeSet<GatewayId>,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.readings.is_empty()
            && self.alerts.is_empty()
            && self.points.is_empty()
            && self.orders.is_empty()
            && self.gateways.is_empty()
    }

    /// Records only: there are never more readings than sensors, and they cost no look-up.
    fn is_over_limit(&self) -> bool {
        let (alerts, points) = (self.alerts.len(), self.points.len());
        alerts + points + self.orders.len() + self.gateways.len() > WAITING_MAX
    }

    fn note(&mut self, changed: Changed) {
        match changed {
            Changed::Readings { readings, .. } => {
                let latest = readings.iter().map(|reading| (reading.sensor, *reading));
                self.readings.extend(latest);
            }
            Changed::Alert(id) => drop(self.alerts.insert(id)),
            Changed::AlarmPoint(id) => drop(self.points.insert(id)),
            Changed::WorkOrder(id) => drop(self.orders.insert(id)),
            Changed::Gateway(id) => drop(self.gateways.insert(id)),
            Changed::Down(_) => {}
        }
    }
}

impl Feed {
    /// The next event; `None` ends the stream.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            tokio::select! {
                () = stopped(&mut self.stop) => return None,
                change = self.changes.recv() => match change {
                    Ok(change) => self.note(change),
                    Err(broadcast::error::RecvError::Lagged(_)) => self.reset(),
                    Err(broadcast::error::RecvError::Closed) => return None,
                },
                () = tokio::time::sleep_until(self.send_at), if !self.waiting.is_empty() => {
                    self.gather().await;
                }
                () = tokio::time::sleep_until(self.check_at) => {
                    self.check_at = Instant::now() + SESSION_CHECK;
                    if !self.is_signed_in().await {
                        return None;
                    }
                }
            }
        }
    }

    fn note(&mut self, change: Change) {
        if change.scope != self.actor.scope {
            return;
        }
        if self.waiting.is_empty() {
            self.send_at = Instant::now() + GATHER;
        }
        self.waiting.note(change.what);
        if self.waiting.is_over_limit() {
            self.reset();
        }
    }

    /// Some changes are lost to this reader: it is to read everything anew.
    fn reset(&mut self) {
        self.waiting = Waiting::default();
        self.ready.clear();
        self.ready
            .push_back(Event::default().event("reset").data("{}"));
    }

    /// Turns what waits into events.
    async fn gather(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        let (context, scope) = (self.context.clone(), self.actor.scope);
        let readings = waiting.readings.values().copied().collect();
        let mut words = match context.store.words(scope, readings).await {
            Ok(words) => words,
            Err(error) => {
                tracing::warn!(error = %chain(&error), "the words of readings could not be read for a stream");
                self.reset();
                return;
            }
        };
        for (sensor, reading) in &waiting.readings {
            let text = words.remove(sensor);
            self.push("reading", &sensors::ReadingView::new(reading, text));
        }
        for id in waiting.gateways {
            let view = gateways::find(&context, scope, id).await;
            self.push_found("gateway", view);
        }
        for id in waiting.alerts {
            let view = alerts::short(&context, scope, id).await;
            self.push_found("alert", view);
        }
        for id in waiting.points {
            let view = alarms::changed(&context, scope, id).await;
            let name = match &view {
                Ok((name, _)) => *name,
                Err(_) => "alarm",
            };
            self.push_found(name, view.map(|(_, view)| view));
        }
        for id in waiting.orders {
            let view = work_orders::short(&context, scope, id).await;
            self.push_found("work_order", view);
        }
    }

    fn push_found(&mut self, name: &'static str, view: Result<impl Serialize, StoreError>) {
        match view {
            Ok(view) => self.push(name, &view),
            // An event that came before the record's first one: there is nothing to show yet.
            Err(StoreError::NotFound { .. }) => {}
            Err(error) => {
                tracing::warn!(error = %chain(&error), name, "a change could not be read for a stream");
                self.reset();
            }
        }
    }

    fn push(&mut self, name: &'static str, view: &impl Serialize) {
        match Event::default().event(name).json_data(view) {
            Ok(event) => self.ready.push_back(event),
            Err(error) => {
                tracing::warn!(error = %chain(&error), name, "a change could not be written to a stream");
            }
        }
    }

    async fn is_signed_in(&self) -> bool {
        super::extract::signed_in(&self.headers, &self.context)
            .await
            .is_ok()
    }
}
