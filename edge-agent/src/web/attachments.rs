//! Photos and documents of work orders: taken as they are, piece by piece, and served so that
//! nothing of them runs. Never believes what a client calls them, never holds one whole in memory.

use super::Page;
use super::actions::text;
use super::caller::Caller;
use super::problem::Problem;
use super::records::{order_id, work_order_view};
use crate::people::Act;
use crate::storage::{AttachError, NewAttachment, Storage};
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use protocol::attachment::{self, ContentHash};
use protocol::limits::ATTACHMENT_BYTES_MAX;
use serde::Deserialize;
use std::time::Duration;
use tokio::sync::mpsc;

/// Pieces of a file that wait for the disk.
const PIECES_MAX: usize = 4;
/// Files that are taken at the same time.
pub(super) const UPLOADS_MAX: usize = 4;
/// A sender that is silent for this long has gone.
const SILENCE: Duration = Duration::from_secs(60);
/// Bytes that are read of a file at once.
const READ_BYTES: usize = 64 << 10;

/// Who adds what.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct About {
    #[serde(default)]
    by: String,
    #[serde(default)]
    name: String,
    note: Option<String>,
}

/// `POST /work-orders/{id}/attachments?by=&name=&note=`, body: the file.
pub(super) async fn add(
    State(page): State<Page>,
    Path(id): Path<String>,
    Query(about): Query<About>,
    (caller, headers): (Caller, HeaderMap),
    body: Body,
) -> Result<Response, Problem> {
    let order = order_id(&id)?;
    let actor = caller.actor(&page, &about.by, Act::Work).await?;
    let note = text("note", about.note.as_deref())?;
    let length = headers.get(header::CONTENT_LENGTH);
    let length: Option<u64> = length.and_then(|length| length.to_str().ok()?.parse().ok());
    if length.is_some_and(|length| length > ATTACHMENT_BYTES_MAX) {
        return Err(AttachError::TooLong.into());
    }
    let _turn = page.uploads.try_acquire().map_err(|_| {
        let words = "Other files are being added at the moment. Try again in a minute.";
        Problem::not_now(words).retry_after(30)
    })?;
    let (parts, receiver) = mpsc::channel(PIECES_MAX);
    let (received, ()) = tokio::join!(page.storage.receive(receiver), feed(body, parts));
    let new = NewAttachment {
        order,
        actor,
        name: about.name,
        note,
        received: received?,
    };
    page.storage.attach(new).await?;
    let view = work_order_view(&page, order, true).await?;
    Ok((StatusCode::CREATED, Json(view)).into_response())
}

/// Hands over what comes; says that it is whole only when it ended well.
async fn feed(body: Body, parts: mpsc::Sender<Option<Vec<u8>>>) {
    let mut stream = body.into_data_stream();
    loop {
        match tokio::time::timeout(SILENCE, stream.next()).await {
            Ok(Some(Ok(bytes))) => {
                if parts.send(Some(bytes.to_vec())).await.is_err() {
                    return;
                }
            }
            Ok(None) => break,
            Ok(Some(Err(_))) | Err(_) => return,
        }
    }
    // Who waited may have refused it already.
    drop(parts.send(None).await);
}

/// `GET /work-orders/{id}/attachments/{hash}`: the bytes.
pub(super) async fn one(
    State(page): State<Page>,
    Path((id, hash)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let unknown = || Problem::not_found("attachment");
    let hash: ContentHash = hash.parse().map_err(|_| unknown())?;
    let order = page.storage.work_order(order_id(&id)?).await?;
    let order = order.ok_or_else(|| Problem::not_found("work order"))?;
    let mut attached = order.attachments.iter().map(|attached| &attached.content);
    let attached = attached
        .find(|content| content.hash == hash)
        .ok_or_else(unknown)?;
    let places = page.storage.content_places(vec![hash]).await?;
    if !places.iter().any(|place| place.here) {
        let title = "These bytes are not on this box";
        let detail = "The box gave them up to make room; the hub has them, open the order there.";
        return Err(Problem::new(StatusCode::NOT_FOUND, "at_hub", title, detail));
    }
    let body = Body::from_stream(read(page.storage.clone(), hash));
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, attached.bytes.into());
    for (name, value) in attachment::headers(&attached.name, &attached.media_type) {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    Ok(response)
}

/// The bytes of a content, piece by piece.
fn read(
    storage: Storage,
    hash: ContentHash,
) -> impl futures_util::Stream<Item = std::io::Result<Vec<u8>>> {
    futures_util::stream::unfold(Some(0), move |at| {
        let storage = storage.clone();
        async move {
            let at = at?;
            match storage.content(hash, at, READ_BYTES).await {
                Ok(bytes) if bytes.is_empty() => None,
                Ok(bytes) => {
                    let next = at + u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                    Some((Ok(bytes), Some(next)))
                }
                Err(error) => Some((Err(std::io::Error::other(error)), None)),
            }
        }
    })
}

impl From<AttachError> for Problem {
    fn from(error: AttachError) -> Self {
        let (status, code) = match error {
            AttachError::NoOrder => return Self::not_found("work order"),
            AttachError::Storage(error) => return error.into(),
            AttachError::File { .. } => {
                let source = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(%error, source, "an attachment could not be stored");
                (StatusCode::INSUFFICIENT_STORAGE, "file")
            }
            AttachError::Full { .. } | AttachError::DiskFull => {
                (StatusCode::INSUFFICIENT_STORAGE, "full")
            }
            AttachError::TooLong => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            AttachError::Empty | AttachError::Broken => {
                (StatusCode::UNPROCESSABLE_ENTITY, "invalid")
            }
        };
        let mut words = match error {
            AttachError::File { .. } => {
                "the box could not write the file; look at `edge-agent status`".to_owned()
            }
            error => error.to_string(),
        };
        if let Some(first) = words.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        Self::new(status, code, "The file was not added", format!("{words}."))
    }
}
