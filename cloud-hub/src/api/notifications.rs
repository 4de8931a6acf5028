//! `/notifications`: who outside the plants was told of which alert, newest first.

use super::Context;
use super::extract::{Params, Reader};
use super::problem::Problem;
use crate::store::{LIMIT_DEFAULT, LIMIT_MAX, NotificationRow};
use axum::Json;
use axum::extract::State;
use protocol::view::rfc3339;
use serde::Deserialize;
use serde_json::{Value, json};

/// How many.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ListParams {
    limit: Option<usize>,
}

/// `GET /notifications`
pub(super) async fn list(
    State(context): State<Context>,
    Reader(actor): Reader,
    Params(params): Params<ListParams>,
) -> Result<Json<Value>, Problem> {
    let most = params.limit.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX);
    let rows = context.store.notifications(actor.scope, most).await?;
    let data: Vec<Value> = rows.iter().map(view).collect();
    Ok(Json(json!({"data": data, "next_cursor": null})))
}

fn view(row: &NotificationRow) -> Value {
    json!({
        "alert": row.alert,
        "receiver": row.receiver,
        "attempts": row.attempts,
        "outcome": row.how.word(),
        "words": row.words,
        "since": rfc3339(row.since),
        "ended_at": row.ended.map(rfc3339),
    })
}
