//! `POST /export` and `POST /acknowledge`: the file for the hub and the hub's answer, for the
//! command line beside a running agent. One of them at a time; nothing is kept between them.

use super::Page;
use super::caller::Caller;
use super::problem::Problem;
use crate::exchange::{self, ExchangeError, Wanted};
use crate::identity::Identity;
use crate::people::Act;
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use protocol::exchange::ANSWER_BYTES_MAX;
use protocol::wire::encode_catalog;
use serde::Deserialize;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Pieces of a file that wait for the reader.
const PIECES_MAX: usize = 4;

/// What is to be in the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Input {
    bytes_max: Option<u64>,
    all: bool,
}

/// `POST /export`: the bytes of the file. What breaks off in the middle lacks its end, and no hub
/// takes it.
pub(super) async fn export(
    State(page): State<Page>,
    caller: Caller,
    posted: Result<Json<Input>, JsonRejection>,
) -> Result<Response, Problem> {
    caller.may(Act::Exchange)?;
    let Json(input) = posted.map_err(|error| Problem::invalid(None, error.body_text()))?;
    let identity = identity(&page)?;
    let permit = Arc::clone(&page.exchanges)
        .try_acquire_owned()
        .map_err(|_| busy())?;
    let catalog = encode_catalog(&page.catalog()).map_err(|error| problem(&error.into()))?;
    let wanted = Wanted {
        bytes_max: input.bytes_max,
        all: input.all,
    };
    let (out, mut pieces) = mpsc::channel(PIECES_MAX);
    let storage = page.storage.clone();
    let writing = tokio::spawn(async move {
        let written = exchange::export(&storage, &identity, catalog, wanted, out).await;
        drop(permit);
        written
    });
    // Everything that can be told in words shows before the first data.
    let Some(first) = pieces.recv().await else {
        return Err(match writing.await {
            Ok(Err(error)) => problem(&error),
            _ => problem(&ExchangeError::Gone),
        });
    };
    let rest = (Some(first), pieces, Some(writing));
    let stream = futures_util::stream::unfold(rest, |(first, mut pieces, writing)| async move {
        if let Some(first) = first {
            return Some((Ok(first), (None, pieces, writing)));
        }
        if let Some(piece) = pieces.recv().await {
            return Some((Ok(piece), (None, pieces, writing)));
        }
        let failed = match writing?.await {
            Ok(Ok(())) => return None,
            Ok(Err(error)) => error,
            Err(_) => ExchangeError::Gone,
        };
        let _told = problem(&failed);
        let failed = std::io::Error::other(failed);
        Some((Err(failed), (None, pieces, None)))
    });
    let kind = (header::CONTENT_TYPE, "application/octet-stream");
    Ok(([kind], Body::from_stream(stream)).into_response())
}

/// `POST /acknowledge`: the hub's answer as body.
pub(super) async fn acknowledge(
    State(page): State<Page>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    caller.may(Act::Exchange)?;
    let identity = identity(&page)?;
    let _permit = page.exchanges.try_acquire().map_err(|_| busy())?;
    let bytes = axum::body::to_bytes(request.into_body(), ANSWER_BYTES_MAX).await;
    let bytes = bytes.map_err(|_| {
        let words = format!("An answer of a hub has at most {ANSWER_BYTES_MAX} bytes.");
        Problem::invalid(None, words)
    })?;
    let taken = exchange::acknowledge(&page.storage, &identity, &bytes)
        .await
        .map_err(|error| problem(&error))?;
    Ok(Json(taken.view()).into_response())
}

fn identity(page: &Page) -> Result<Identity, Problem> {
    let identity =
        Identity::load(&page.settings.identity).map_err(|error| problem(&error.into()))?;
    identity.ok_or_else(|| problem(&ExchangeError::NotEnrolled))
}

fn busy() -> Problem {
    Problem::not_now("Another file is being written or taken. Wait until it is done.")
        .retry_after(5)
}

/// What stands in the way, in the words of the room; the store's troubles go to the log.
fn problem(error: &ExchangeError) -> Problem {
    let mut chain = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        chain = format!("{chain}: {error}");
        source = error.source();
    }
    if let ExchangeError::Storage(_) = error {
        tracing::error!(
            error = chain,
            "a file for the hub was not written or not taken"
        );
        let title = "The store of this box could not be read or written";
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let detail = format!("{chain}. Try again; if it stays, look at `edge-agent status`.");
        return Problem::new(status, "store", title, detail).retry_after(5);
    }
    if !matches!(error, ExchangeError::Gone) {
        tracing::warn!(
            error = chain,
            "a file for the hub was not written or not taken"
        );
    }
    Problem::new(
        StatusCode::CONFLICT,
        "exchange",
        "The file was not taken",
        chain,
    )
}
