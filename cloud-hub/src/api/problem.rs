//! The one shape of every refusal: `application/problem+json` (RFC 9457) in plain words.
//! Never tells a caller what went wrong inside: that goes to the log.

use crate::service;
use crate::store::StoreError;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// A refusal on its way to the caller.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    title: String,
    detail: String,
    field: Option<String>,
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
    retryable: bool,
}

impl Problem {
    /// A refusal with `code` for programs, `title` and `detail` for people.
    pub(super) fn new(
        status: StatusCode,
        code: &'static str,
        title: &str,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            status,
            code,
            title: title.to_owned(),
            detail: detail.into(),
            field: None,
            retry_after_s: None,
        }
    }

    /// The caller is not signed in.
    pub(super) fn signed_out() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "signed_out",
            "You are not signed in",
            "Sign in; a session ends after 30 minutes without use and after 12 hours.",
        )
    }

    /// `what` does not exist, or not for this caller.
    pub(super) fn not_found(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            &format!("There is no such {what}"),
            "It may have been removed, or the address is wrong. Go back to the list.",
        )
    }

    /// `field` of the request cannot be taken.
    pub(super) fn invalid(field: Option<&str>, detail: impl Into<String>) -> Self {
        let mut problem = Self::new(
            StatusCode::BAD_REQUEST,
            "invalid",
            "The request cannot be taken",
            detail,
        );
        problem.field = field.map(str::to_owned);
        problem
    }

    /// The caller is to come back after `seconds`.
    pub(super) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// Something failed in here; the log has it in full.
    pub(super) fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error = %chain(error), "a request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "The hub could not do this",
            "Nothing was changed. Try again; when it happens again, look into the log of the hub.",
        )
    }
}

/// An error with all its causes, in one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let retryable = self.retry_after_s.is_some() || self.status.is_server_error();
        let shape = Shape {
            r#type: "about:blank",
            title: &self.title,
            status: self.status.as_u16(),
            code: self.code,
            detail: &self.detail,
            field: self.field.as_deref(),
            retryable,
        };
        let body = serde_json::to_vec(&shape).unwrap_or_default();
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound { what } => Self::not_found(what),
            StoreError::BadCursor => Self::invalid(Some("cursor"), error.to_string()),
            StoreError::OverLimit { .. } => Self::invalid(None, error.to_string()),
            StoreError::Stopped => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "stopping",
                "The hub is stopping",
                "Nothing was changed. Try again when it is back.",
            )
            .retry_after(5),
            error => Self::internal(&error),
        }
    }
}

impl From<service::ServiceError> for Problem {
    fn from(error: service::ServiceError) -> Self {
        let words = error.to_string();
        match error {
            service::ServiceError::Forbidden { .. }
            | service::ServiceError::ForAdministrators { .. } => Self::new(
                StatusCode::FORBIDDEN,
                "forbidden",
                "Your role does not allow this",
                words,
            ),
            service::ServiceError::NotFound { what } => Self::not_found(what),
            service::ServiceError::NotNow { .. } => Self::new(
                StatusCode::CONFLICT,
                "not_now",
                "This is not possible now",
                words,
            ),
            service::ServiceError::Invalid { field, .. } => Self::invalid(Some(field), words),
            service::ServiceError::KeyReused => Self::new(
                StatusCode::CONFLICT,
                "key_reused",
                "This key was used before",
                words,
            ),
            service::ServiceError::Store(error) => error.into(),
        }
    }
}
