//! The one shape of every refusal: `application/problem+json` (RFC 9457) in plain words.
//! Never tells a caller what went wrong inside: that goes to the log.

use crate::storage::StorageError;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use protocol::action::Refusal;
use protocol::id::UserId;
use serde::Serialize;

/// A refusal on its way to the caller.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    title: String,
    detail: String,
    field: Option<&'static str>,
    person: Option<UserId>,
    retry_after_s: Option<u64>,
}

#[derive(Serialize)]
struct Shape<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    code: &'static str,
    detail: &'a str,
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    person: Option<UserId>,
    retryable: bool,
}

impl Problem {
    pub(super) fn new(
        status: StatusCode,
        code: &'static str,
        title: &str,
        detail: impl Into<String>,
    ) -> Self {
        let (title, detail) = (title.to_owned(), detail.into());
        Self {
            status,
            code,
            title,
            detail,
            field: None,
            person: None,
            retry_after_s: None,
        }
    }

    /// `what` does not exist.
    pub(super) fn not_found(what: &str) -> Self {
        let title = format!("There is no such {what}");
        let detail = "The address is wrong, or this box does not know it. Go back to the list.";
        Self::new(StatusCode::NOT_FOUND, "not_found", &title, detail)
    }

    /// `field` of the request cannot be taken.
    pub(super) fn invalid(field: Option<&'static str>, detail: impl Into<String>) -> Self {
        let title = "The request cannot be taken";
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Self {
            field,
            ..Self::new(status, "invalid", title, detail)
        }
    }

    /// The record is not in a state for this.
    pub(super) fn not_now(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "not_now",
            "This is not possible now",
            detail,
        )
    }

    /// The caller has to give the access code first.
    pub(super) fn access_code() -> Self {
        let detail = "Enter the access code of this box; whoever installed it knows it.";
        let title = "The access code is needed";
        Self::new(
            StatusCode::UNAUTHORIZED,
            "access_code_needed",
            title,
            detail,
        )
    }

    /// Somebody has to sign in first: the one for whom it is to be done, where one was named.
    pub(super) fn sign_in(person: Option<UserId>) -> Self {
        let title = "Nobody is signed in";
        let detail = "Sign in with your PIN. What waits for somebody waits until they sign in.";
        let status = StatusCode::UNAUTHORIZED;
        Self {
            person,
            ..Self::new(status, "sign_in_needed", title, detail)
        }
    }

    pub(super) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid { field, ref words } => {
                let words = format!("{field} {words}");
                Self::invalid(Some(field), words)
            }
            Refusal::NotNow { words } => Self::not_now(words),
        }
    }
}

impl From<StorageError> for Problem {
    fn from(error: StorageError) -> Self {
        if matches!(
            error,
            StorageError::OverLimit { .. } | StorageError::IdTaken { .. }
        ) {
            return Self::invalid(None, error.to_string());
        }
        let mut chain = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(error) = source {
            chain = format!("{chain}: {error}");
            source = error.source();
        }
        tracing::error!(error = chain, "the store could not do what the page asked");
        let detail = "Nothing was changed. Try again; if it stays, look at `edge-agent status`.";
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "store",
            "The box could not store this",
            detail,
        )
        .retry_after(5)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let shape = Shape {
            r#type: "about:blank",
            title: &self.title,
            status: self.status.as_u16(),
            code: self.code,
            detail: &self.detail,
            field: self.field,
            person: self.person,
            retryable: self.retry_after_s.is_some(),
        };
        let body = serde_json::to_vec(&shape).unwrap_or_default();
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        let kind = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, kind);
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
