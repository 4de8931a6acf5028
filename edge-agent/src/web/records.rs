//! Alerts and work orders to look at.

use super::Page;
use super::problem::Problem;
use super::sensors::home;
use crate::clock;
use crate::storage::{PAGE_MAX, Page as Part};
use axum::Json;
use axum::extract::{Path, Query, State};
use protocol::alarm_point::AlarmPoint;
use protocol::alert::Alert;
use protocol::event::SuppressionCause;
use protocol::id::{AlertId, WorkOrderId};
use protocol::time::Timestamp;
use protocol::view::{self, AlertView, BytesPlace, Home, OrderLink, WorkOrderView};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

const LIMIT_DEFAULT: usize = 50;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    state: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

impl List {
    fn part(&self) -> Result<Part, Problem> {
        let open_only = match self.state.as_deref() {
            None | Some("all") => false,
            Some("open") => true,
            Some(_) => {
                return Err(Problem::invalid(
                    Some("state"),
                    "state is \"open\" or \"all\"",
                ));
            }
        };
        let limit = self.limit.unwrap_or(LIMIT_DEFAULT).clamp(1, PAGE_MAX);
        let after = self.cursor.as_deref().map(read_cursor).transpose()?;
        Ok(Part {
            open_only,
            limit,
            after,
        })
    }
}

fn read_cursor(text: &str) -> Result<(Timestamp, Uuid), Problem> {
    let parse = || {
        let (time, id) = text.split_once('_')?;
        Some((Timestamp(time.parse().ok()?), id.parse().ok()?))
    };
    let words = "this cursor is not one of ours; begin with the first page again";
    parse().ok_or_else(|| Problem::invalid(Some("cursor"), words))
}

fn cursor(part: &Part, shown: usize, last: Option<(Timestamp, Uuid)>) -> Option<String> {
    let (time, id) = last.filter(|_| shown == part.limit)?;
    Some(format!("{}_{id}", time.0))
}

/// `GET /alerts`
pub(super) async fn alerts(
    State(page): State<Page>,
    Query(list): Query<List>,
) -> Result<Json<Value>, Problem> {
    let part = list.part()?;
    let alerts = page.storage.alerts(part).await?;
    let next = cursor(
        &part,
        alerts.len(),
        alerts.last().map(|alert| (alert.raised_at, alert.id.0)),
    );
    let home = home(&page).await?;
    let mut data = Vec::with_capacity(alerts.len());
    for alert in &alerts {
        data.push(shape(&page, alert, home.clone(), false).await?);
    }
    Ok(Json(json!({ "data": data, "next_cursor": next })))
}

/// `GET /alerts/{id}`
pub(super) async fn alert(
    State(page): State<Page>,
    Path(id): Path<String>,
) -> Result<Json<AlertView>, Problem> {
    alert_view(&page, alert_id(&id)?, true).await.map(Json)
}

/// `GET /work-orders`
pub(super) async fn work_orders(
    State(page): State<Page>,
    Query(list): Query<List>,
) -> Result<Json<Value>, Problem> {
    let part = list.part()?;
    let orders = page.storage.work_orders(part).await?;
    let next = cursor(
        &part,
        orders.len(),
        orders.last().map(|order| (order.created.0, order.id.0)),
    );
    let home = home(&page).await?;
    let data: Vec<WorkOrderView> = orders
        .iter()
        .map(|order| view::work_order(order, home.clone(), false))
        .collect();
    Ok(Json(json!({ "data": data, "next_cursor": next })))
}

/// `GET /work-orders/{id}`
pub(super) async fn work_order(
    State(page): State<Page>,
    Path(id): Path<String>,
) -> Result<Json<WorkOrderView>, Problem> {
    work_order_view(&page, order_id(&id)?, true).await.map(Json)
}

pub(super) async fn alert_view(
    page: &Page,
    id: AlertId,
    whole: bool,
) -> Result<AlertView, Problem> {
    let alert = page
        .storage
        .alert(id)
        .await?
        .ok_or_else(|| Problem::not_found("alert"))?;
    let home = home(page).await?;
    shape(page, &alert, home, whole).await
}

async fn shape(page: &Page, alert: &Alert, home: Home, whole: bool) -> Result<AlertView, Problem> {
    let order = page.storage.order_of_alert(alert.id).await?;
    let order = order.map(|(id, number)| OrderLink { id, number });
    let point = view::point_of(alert, &home);
    let mut view = view::alert(alert, order, home, whole);
    if whole {
        // Only the box knows it; an alert that keeps nothing quiet is the same on both sides.
        let points = suppressed(page, alert.id).await?;
        view.alarm.suppresses = (!points.is_empty()).then_some(points);
    }
    let Some(id) = point else { return Ok(view) };
    let point = page.storage.alarm_point(id).await?;
    Ok(view.with_point(id, point.as_ref(), clock::now()))
}

/// What is suppressed because of an alert.
async fn suppressed(page: &Page, alert: AlertId) -> Result<Vec<view::PointView>, Problem> {
    let is_under = |point: &AlarmPoint| {
        let cause = point.suppressed.as_ref().map(|(cause, _)| cause);
        matches!(cause, Some(SuppressionCause::Outage { alert: of, .. }) if *of == alert)
    };
    let now = clock::now();
    let points = page.storage.held_alarm_points().await?;
    let under = points.iter().filter(|point| is_under(point));
    Ok(under.map(|point| view::point(point, now)).collect())
}

pub(super) async fn work_order_view(
    page: &Page,
    id: WorkOrderId,
    whole: bool,
) -> Result<WorkOrderView, Problem> {
    let order = page.storage.work_order(id).await?;
    let order = order.ok_or_else(|| Problem::not_found("work order"))?;
    let mut view = view::work_order(&order, home(page).await?, whole);
    let attachments = view.attachments.as_mut().into_iter().flatten();
    let hashes = order.attachments.iter().map(|known| known.content.hash);
    let places = page.storage.content_places(hashes.collect()).await?;
    for (attachment, place) in attachments.zip(places) {
        attachment.place = match (place.here, place.at_hub) {
            (true, false) => BytesPlace::Box,
            (true, true) => BytesPlace::Both,
            (false, true) => BytesPlace::Hub,
            (false, false) => BytesPlace::None,
        };
    }
    Ok(view)
}

pub(super) fn alert_id(text: &str) -> Result<AlertId, Problem> {
    text.parse().map_err(|_| Problem::not_found("alert"))
}

pub(super) fn order_id(text: &str) -> Result<WorkOrderId, Problem> {
    text.parse().map_err(|_| Problem::not_found("work order"))
}
