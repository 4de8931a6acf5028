//! `GET /status`: how the box, its link, store and devices are.

use super::{Page, configuration, guard, session};
use crate::clock;
use crate::health::{Learner, LinkStatus};
use crate::storage::{DISK_WARNING_PERCENT, Disk, Stats};
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use protocol::bundle::{Bundle, Validity};
use protocol::time::Timestamp;
use protocol::view::rfc3339;
use serde_json::{Value, json};

use super::problem::Problem;

/// `GET /status`. Without the access code, where one is needed, only that it is needed.
pub(super) async fn status(
    State(page): State<Page>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if !guard::may_see(&page, &headers) {
        return Ok(Json(json!({ "access_code_needed": true })).into_response());
    }
    let (stats, counts) = (page.storage.stats().await?, page.storage.counts().await?);
    let contents = page.storage.contents_sum().await?;
    let site = page.storage.site().await?;
    let bundle = page.storage.bundle();
    let now = clock::now();
    let id = page.storage.gateway_id();
    let (name, code) = match (&site, &page.settings.name) {
        (Some(site), _) => (site.gateway_name.clone(), site.gateway_code.clone()),
        (None, Some(name)) => (name.clone(), page.settings.code.clone()),
        (None, None) => ("This box".to_owned(), page.settings.code.clone()),
    };
    let mut link = link(&page, &page.health.link());
    if let Some(link) = link.as_object_mut() {
        link.insert("waiting_events".to_owned(), json!(stats.waiting_events));
        link.insert("waiting_readings".to_owned(), json!(stats.waiting_readings));
        link.insert("waiting_attachments".to_owned(), json!(contents.waiting));
        let bytes = json!(contents.waiting_bytes);
        link.insert("waiting_attachment_bytes".to_owned(), bytes);
        link.insert("room_days".to_owned(), json!(room_days(&stats, now)));
    }
    let people = site.iter().flat_map(|site| &site.people);
    let people: Vec<Value> = people
        .map(|(id, name)| json!({ "id": id, "name": name }))
        .collect();
    Ok(Json(json!({
        "gateway": { "id": id, "name": name, "code": code },
        "site": site.as_ref().map(|site| json!({ "id": site.site, "name": site.site_name })),
        "version": env!("CARGO_PKG_VERSION"),
        "now": rfc3339(now),
        "clock": clock::state(),
        "started_at": rfc3339(page.health.started_at),
        "link": link,
        "store": {
            "buffer_bytes": stats.buffer_bytes,
            "buffer_bytes_max": stats.buffer_bytes_max,
            "journal_rows": stats.journal_rows,
            "blocks": stats.blocks,
            "failures": stats.failures,
            "disk_percent": stats.disk.map(Disk::used_percent),
            "warnings": warnings(&stats, bundle.as_deref()),
        },
        "queue": {
            "depth": page.storage.queue_depth(),
            "max": page.settings.queue_max,
            "dropped_polls": page.health.dropped_polls(),
        },
        "configuration": configuration::view(&page.desk),
        "devices": devices(&page),
        "learning": learning(&page),
        "people": people,
        "bundle": bundle.as_ref().map(|bundle| session::bundle_view(bundle)),
        "alerts_active": counts.alerts_active,
        "orders_open": counts.orders_open,
        "access_code_needed": false,
    }))
    .into_response())
}

/// The rules that learn and tell nothing yet.
fn learning(page: &Page) -> Vec<Value> {
    let learner = |learner: Learner| {
        json!({
            "rule": learner.rule,
            "until": learner.until.map(rfc3339),
            "readings_left": learner.readings_left,
        })
    };
    page.health.learners().into_iter().map(learner).collect()
}

/// The link without what waits for it: what a page is told when it changes.
pub(super) fn link(page: &Page, status: &LinkStatus) -> Value {
    json!({
        "state": status.state.word(),
        "since": rfc3339(status.since),
        "words": status.words,
        "hub": page.settings.hub,
    })
}

/// One device by its name in the configuration.
pub(super) fn device(page: &Page, name: &str) -> Option<Value> {
    let catalog = page.catalog();
    let mut devices = catalog.devices.iter();
    let device = devices.find(|device| device.name == name)?;
    let report = page.health.device_now(name);
    let state = report
        .as_ref()
        .map_or("starting", |report| report.state.word());
    let since = report
        .as_ref()
        .map_or(page.health.started_at, |report| report.time);
    Some(json!({
        "name": device.name,
        "port": device.port,
        "asset": device.asset,
        "state": state,
        "since": rfc3339(since),
        "words": report.map(|report| report.words),
    }))
}

fn devices(page: &Page) -> Vec<Value> {
    let catalog = page.catalog();
    let devices = catalog.devices.iter();
    devices
        .filter_map(|known| device(page, &known.name))
        .collect()
}

/// What a person should see to, in plain words.
fn warnings(stats: &Stats, bundle: Option<&Bundle>) -> Vec<String> {
    let mut warnings = Vec::new();
    let percent = stats.disk.map_or(0, Disk::used_percent);
    if stats.disk_full {
        warnings.push(
            "The disk is full. Alerts and work orders are still stored, the oldest readings are \
             given up. Make room on the disk."
                .to_owned(),
        );
    } else if percent >= DISK_WARNING_PERCENT {
        warnings.push(format!("Disk {percent} % full."));
    }
    let (events_bytes, events_bytes_max) = stats.core_bytes;
    if events_bytes > events_bytes_max / 100 * DISK_WARNING_PERCENT {
        warnings.push(
            "The room for alerts and work orders is nearly used up. Set a larger events_max."
                .to_owned(),
        );
    }
    if stats.failures > 0 {
        warnings.push("Readings cannot be written to disk at the moment.".to_owned());
    }
    warnings.extend(bundle.and_then(overdue));
    warnings
}

/// A bundle that is past its last day, and what to do about it.
fn overdue(bundle: &Bundle) -> Option<String> {
    let last = rfc3339(bundle.valid_until);
    let last_day = last.split('T').next().unwrap_or_default();
    let remedy = "Connect the box to its hub, or carry a file (`edge-agent export`).";
    match session::validity(bundle) {
        Validity::Valid => None,
        Validity::Grace => Some(format!(
            "The list of people and assets was good until {last_day}; it counts for {} more days. \
             {remedy}",
            bundle.grace_days
        )),
        Validity::Ended => Some(format!(
            "The list of people and assets was good until {last_day}, and its days of grace are \
             over: nobody may do more than a technician. {remedy}"
        )),
    }
}

/// Bytes that a reading takes on disk, with room to spare: sealed blocks need about one, the
/// journal about three.
const READING_BYTES: u64 = 2;

/// Days until the buffer is full at the rate of what waits now; `None` while too little waits to
/// tell.
fn room_days(stats: &Stats, now: Timestamp) -> Option<u64> {
    const LEAST_AGE_S: u64 = 60;
    const DAY_S: u64 = 86_400;
    let age_s = now.micros_since(stats.oldest_unacked?).unsigned_abs() / 1_000_000;
    let waiting = stats.waiting_readings.saturating_mul(READING_BYTES);
    if age_s < LEAST_AGE_S || waiting == 0 {
        return None;
    }
    let left = stats.buffer_bytes_max.saturating_sub(waiting);
    let seconds = u128::from(left) * u128::from(age_s) / u128::from(waiting);
    u64::try_from(seconds / u128::from(DAY_S)).ok()
}
