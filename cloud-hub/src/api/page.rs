//! Pages of a list: how many rows, and the cursor to the next ones. The cursor is the store's.
//! Never counts the whole list.

use super::problem::Problem;
use crate::store::{self, Listed};
use axum::Json;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// One page of a list.
#[derive(Debug, Serialize)]
pub(super) struct Page<T> {
    data: Vec<T>,
    next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// The page of `rows` in the interface's shape.
    pub(super) fn of<R>(rows: Listed<R>, view: impl FnMut(R) -> T) -> Json<Self> {
        Json(Self {
            data: rows.rows.into_iter().map(view).collect(),
            next_cursor: rows.next_cursor,
        })
    }
}

/// The parameters of a list without filters.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ListParams {
    limit: Option<usize>,
    cursor: Option<String>,
}

impl ListParams {
    /// The page that these parameters ask for.
    pub(super) fn page(self) -> Result<store::Page, Problem> {
        page(self.limit, self.cursor)
    }
}

/// The page with at most `limit` rows after `cursor`.
pub(super) fn page(limit: Option<usize>, cursor: Option<String>) -> Result<store::Page, Problem> {
    let limit = limit.unwrap_or(store::LIMIT_DEFAULT);
    if !(1..=store::LIMIT_MAX).contains(&limit) {
        let words = format!("limit goes from 1 to {}", store::LIMIT_MAX);
        return Err(Problem::invalid(Some("limit"), words));
    }
    let cursor = cursor.filter(|text| !text.is_empty());
    Ok(store::Page { limit, cursor })
}

/// What the filter `state` asks for: `open`, `all` (also when left out) or one state's word.
/// The answer is whether only open ones are wanted, and the one state.
pub(super) fn state<S: DeserializeOwned>(
    wanted: Option<&str>,
) -> Result<(bool, Option<S>), Problem> {
    match wanted {
        None | Some("" | "all") => Ok((false, None)),
        Some("open") => Ok((true, None)),
        Some(word) => serde_json::from_value(word.into())
            .map(|state| (false, Some(state)))
            .map_err(|_| {
                let words = format!(
                    "\"{word}\" is not a state; open, all and the states of docs/api.md are"
                );
                Problem::invalid(Some("state"), words)
            }),
    }
}
