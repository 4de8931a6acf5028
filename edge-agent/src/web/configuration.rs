//! What counts as this box's configuration, and the way back to its local file. Never takes a
//! document: only the hub sends one.

use super::Page;
use super::caller::Caller;
use super::problem::Problem;
use crate::config::DifferenceView;
use crate::documents::{Desk, DocumentError, Request};
use crate::people::Act;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::oneshot;

/// What counts, and what became of the newest document.
pub(super) fn view(desk: &Desk) -> Value {
    let told = desk.told.borrow().clone();
    json!({
        "document": desk.counts.borrow().map(|name| name.version),
        "newest": {
            "version": told.name.version,
            "state": told.state.word(),
            "words": told.words,
        },
    })
}

/// `POST /configuration/rollback`: the local file counts again; the collection starts anew.
pub(super) async fn roll_back(
    State(page): State<Page>,
    caller: Caller,
) -> Result<Json<Value>, Problem> {
    caller.may(Act::Configure)?;
    let (answer, done) = oneshot::channel();
    let asked = page.desk.requests.send(Request::Rollback(answer)).await;
    let done = match asked {
        Ok(()) => done.await.ok(),
        Err(_) => None,
    };
    match done {
        Some(Ok(name)) => Ok(Json(json!({ "rolled_back": name.version }))),
        Some(Err(error @ DocumentError::LocalAlready)) => Err(problem(
            StatusCode::CONFLICT,
            "local_already",
            &error.to_string(),
        )),
        Some(Err(error)) => {
            tracing::error!(%error, "going back to the local configuration file");
            let words = "the documents folder cannot be written; the log says why";
            Err(problem(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                words,
            ))
        }
        None => Err(problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "ending",
            "the agent is ending; try again when it runs",
        )),
    }
}

/// `POST /configuration/reload`: the local file is read again, and what differs is changed.
pub(super) async fn reload(
    State(page): State<Page>,
    caller: Caller,
) -> Result<Json<DifferenceView>, Problem> {
    caller.may(Act::Configure)?;
    let (answer, done) = oneshot::channel();
    let asked = page.desk.requests.send(Request::Reload(answer)).await;
    let done = match asked {
        Ok(()) => done.await.ok(),
        Err(_) => None,
    };
    match done {
        Some(Ok(difference)) => Ok(Json(DifferenceView::from(&difference))),
        Some(Err(words)) => Err(problem(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_configuration",
            &words,
        )),
        None => Err(problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "ending",
            "the agent is ending; try again when it runs",
        )),
    }
}

fn problem(status: StatusCode, code: &'static str, words: &str) -> Problem {
    Problem::new(status, code, "The configuration is what it was", words)
}
