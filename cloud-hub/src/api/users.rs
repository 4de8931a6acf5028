//! `/users`: who works orders can be assigned to. Never shows anything secret.

use super::Context;
use super::extract::{Params, Reader};
use super::page::{ListParams, Page};
use super::problem::Problem;
use crate::store::UserRow;
use axum::Json;
use axum::extract::State;
use protocol::id::UserId;
use serde::Serialize;

/// A person.
#[derive(Debug, Serialize)]
pub(super) struct UserView {
    id: UserId,
    name: String,
    role: &'static str,
}

impl From<UserRow> for UserView {
    fn from(row: UserRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            role: row.role.word(),
        }
    }
}

/// `GET /users`
pub(super) async fn list(
    State(context): State<Context>,
    Reader(actor): Reader,
    Params(params): Params<ListParams>,
) -> Result<Json<Page<UserView>>, Problem> {
    let rows = context.store.users(actor.scope, params.page()?).await?;
    Ok(Page::of(rows, UserView::from))
}
