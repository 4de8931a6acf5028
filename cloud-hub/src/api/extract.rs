//! How a handler gets what it needs from a request, or the caller a problem in plain words.
//! A handler without [`Reader`] or [`Writer`] knows no `Actor` and can reach no record.

use super::problem::Problem;
use super::{Context, cookie, security};
use crate::auth::{self, Actor};
use crate::clock;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use std::str::FromStr;
use uuid::Uuid;

/// The caller, who may read.
#[derive(Debug)]
pub(super) struct Reader(pub(super) Actor);

/// The caller of a write: signed in, and the request comes from the hub's own page.
#[derive(Debug)]
pub(super) struct Writer(pub(super) Actor);

impl FromRequestParts<Context> for Reader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, context: &Context) -> Result<Self, Problem> {
        signed_in(&parts.headers, context)
            .await
            .map(|session| Self(session.actor))
    }
}

impl FromRequestParts<Context> for Writer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, context: &Context) -> Result<Self, Problem> {
        let session = signed_in(&parts.headers, context).await?;
        security::same_origin(&parts.headers, context.public.as_ref())?;
        let shown = parts
            .headers
            .get("x-csrf-token")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        if !auth::same(shown, &session.csrf) {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "csrf",
                "This write does not come from the hub's page",
                "The header X-CSRF-Token must carry the value that GET /api/v1/session gives. \
                 Reload the page and try again.",
            ));
        }
        Ok(Self(session.actor))
    }
}

/// The session whose cookie the request carries.
pub(super) async fn signed_in(
    headers: &HeaderMap,
    context: &Context,
) -> Result<auth::Session, Problem> {
    let token = cookie::read(headers, context).ok_or_else(Problem::signed_out)?;
    auth::session(&context.store, &token, clock::now())
        .await
        .map_err(|error| Problem::internal(&error))?
        .ok_or_else(Problem::signed_out)
}

/// The JSON body of a write; fields that it does not know are refused.
#[derive(Debug)]
pub(super) struct Input<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Context> for Input<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, context: &Context) -> Result<Self, Problem> {
        let content_type = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .unwrap_or_default();
        if !content_type.trim().eq_ignore_ascii_case("application/json") {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "not_json",
                "The request is not JSON",
                "Send the header Content-Type: application/json and a JSON object.",
            ));
        }
        let bytes = Bytes::from_request(request, context)
            .await
            .map_err(|rejection| too_large(&rejection))?;
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|error| not_understood(&error))
    }
}

fn too_large(rejection: &BytesRejection) -> Problem {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            "The request is too large",
            format!("At most {} KiB are taken.", super::BODY_BYTES_MAX / 1_024),
        );
    }
    Problem::invalid(None, "The request broke off before its end. Send it again.")
}

/// A problem that names the field where serde does: it writes names between back quotes.
pub(super) fn not_understood(error: &serde_json::Error) -> Problem {
    let text = error.to_string();
    let named = [
        ("unknown field `", "is not known here"),
        ("missing field `", "is missing"),
        ("duplicate field `", "stands there twice"),
    ];
    for (start, words) in named {
        let name = text
            .strip_prefix(start)
            .and_then(|rest| rest.split_once('`'));
        if let Some((name, _)) = name {
            let detail = format!("The field {name} {words}; docs/api.md has the fields.");
            return Problem::invalid(Some(name), detail);
        }
    }
    Problem::invalid(None, format!("The JSON cannot be taken: {text}"))
}

/// The parameters behind the question mark.
#[derive(Debug)]
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<Context> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, context: &Context) -> Result<Self, Problem> {
        Query::from_request_parts(parts, context)
            .await
            .map(|Query(params)| Self(params))
            .map_err(|rejection| Problem::invalid(None, rejection.body_text()))
    }
}

/// The id in the address. A text that is no id names nothing: 404 like any other unknown one.
#[derive(Debug)]
pub(super) struct Id<T>(pub(super) T);

impl<T: FromStr> FromRequestParts<Context> for Id<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, context: &Context) -> Result<Self, Problem> {
        let Path(text) = Path::<String>::from_request_parts(parts, context)
            .await
            .map_err(|rejection| Problem::invalid(None, rejection.body_text()))?;
        id(&text).map(Self)
    }
}

/// An id and an action's word in the address.
#[derive(Debug)]
pub(super) struct IdAction<T>(pub(super) T, pub(super) String);

impl<T: FromStr> FromRequestParts<Context> for IdAction<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, context: &Context) -> Result<Self, Problem> {
        let Path((text, action)) = Path::<(String, String)>::from_request_parts(parts, context)
            .await
            .map_err(|rejection| Problem::invalid(None, rejection.body_text()))?;
        id(&text).map(|id| Self(id, action))
    }
}

fn id<T: FromStr>(text: &str) -> Result<T, Problem> {
    text.parse().map_err(|_| Problem::not_found("record"))
}

/// The id that the first event of this act gets: the caller's `Idempotency-Key`, or a new one.
#[derive(Debug)]
pub(super) struct Key(pub(super) Uuid);

impl FromRequestParts<Context> for Key {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Context) -> Result<Self, Problem> {
        match parts.headers.get("idempotency-key") {
            None => clock::new_id()
                .map(Self)
                .map_err(|error| Problem::internal(&error)),
            Some(value) => value
                .to_str()
                .ok()
                .and_then(|text| Uuid::try_parse(text.trim().trim_matches('"')).ok())
                .filter(|id| !id.is_nil() && !id.is_max())
                .map(Self)
                .ok_or_else(|| {
                    Problem::invalid(
                        Some("Idempotency-Key"),
                        "The header Idempotency-Key must be a UUID, a new one for every new act.",
                    )
                }),
        }
    }
}

/// The action that the last word of the address names, with the values of the body.
pub(super) fn action<A: DeserializeOwned>(
    word: &str,
    body: serde_json::Value,
) -> Result<A, Problem> {
    let named = serde_json::Value::Object([(word.to_owned(), body)].into_iter().collect());
    serde_json::from_value(named).map_err(|error| {
        // The word itself, not a word inside the body.
        let unknown = format!("unknown variant `{word}`");
        if error.to_string().starts_with(&unknown) {
            Problem::not_found("action")
        } else {
            not_understood(&error)
        }
    })
}
