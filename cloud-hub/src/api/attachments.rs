//! `/work-orders/{id}/attachments/{hash}`: the bytes of a photo or document, for who may see its
//! order. Never holds one whole in memory; never lets anything of it run.

use super::Context;
use super::extract::{IdAction, Reader};
use super::problem::Problem;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use protocol::attachment::{self, ContentHash};
use protocol::id::WorkOrderId;
use std::fs::File;
use std::io::Read as _;

/// Bytes that are read of a file at once.
const READ_BYTES: usize = 64 << 10;

/// `GET /work-orders/{id}/attachments/{hash}`
pub(super) async fn one(
    State(context): State<Context>,
    Reader(actor): Reader,
    IdAction(id, hash): IdAction<WorkOrderId>,
) -> Result<Response, Problem> {
    let unknown = || Problem::not_found("attachment");
    let hash: ContentHash = hash.parse().map_err(|_| unknown())?;
    // What the caller may not see is not there.
    let row = context.store.work_order(actor.scope, id).await?;
    let mut attached = row.order.attachments.iter().map(|known| &known.content);
    let attached = attached
        .find(|content| content.hash == hash)
        .ok_or_else(unknown)?;
    let gateway = row.home.gateway.ok_or_else(unknown)?.id;
    let opened = context.store.open_content(actor.scope, gateway, hash);
    let (file, bytes) = opened.await?;
    let mut response = Body::from_stream(read(file)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, bytes.into());
    for (name, value) in attachment::headers(&attached.name, &attached.media_type) {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    Ok(response)
}

/// The bytes of a file, piece by piece, read beside the async threads.
fn read(file: File) -> impl futures_util::Stream<Item = std::io::Result<Vec<u8>>> {
    futures_util::stream::unfold(Some(file), |file| async move {
        let mut file = file?;
        let piece = tokio::task::spawn_blocking(move || {
            let mut bytes = vec![0; READ_BYTES];
            let count = file.read(&mut bytes)?;
            bytes.truncate(count);
            Ok::<_, std::io::Error>((bytes, file))
        });
        match piece.await {
            Ok(Ok((bytes, _))) if bytes.is_empty() => None,
            Ok(Ok((bytes, file))) => Some((Ok(bytes), Some(file))),
            Ok(Err(error)) => Some((Err(error), None)),
            Err(error) => Some((Err(std::io::Error::other(error)), None)),
        }
    })
}
