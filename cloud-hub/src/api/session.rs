//! `/session`: sign in, who am I, sign out. Never says whether the name or the password was wrong.

use super::extract::{Input, Writer, signed_in};
use super::problem::Problem;
use super::{Context, Peer, cookie, security};
use crate::auth::{self, Session, SignInError};
use crate::clock;
use axum::Json;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use protocol::id::UserId;
use serde::{Deserialize, Serialize};

/// Who wants to sign in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Credentials {
    name: String,
    password: String,
}

/// Who is signed in, and what their writes must carry.
#[derive(Debug, Serialize)]
pub(super) struct SessionView {
    user: UserView,
    csrf: String,
}

#[derive(Debug, Serialize)]
struct UserView {
    id: UserId,
    name: String,
    role: &'static str,
}

impl From<Session> for SessionView {
    fn from(session: Session) -> Self {
        Self {
            user: UserView {
                id: session.actor.user,
                role: session.actor.role.word(),
                name: session.actor.name,
            },
            csrf: session.csrf,
        }
    }
}

/// `POST /session`
pub(super) async fn sign_in(
    State(context): State<Context>,
    ConnectInfo(Peer(address)): ConnectInfo<Peer>,
    headers: HeaderMap,
    Input(credentials): Input<Credentials>,
) -> Result<Response, Problem> {
    security::same_origin(&headers, context.public.as_ref())?;
    let signed_in = auth::sign_in(
        &context.store,
        context.store.default_tenant(),
        (&credentials.name, &credentials.password),
        &address.to_string(),
        clock::now(),
    )
    .await?;
    let cookie = cookie::set(&context, &signed_in.cookie);
    let mut response = Json(SessionView::from(signed_in.session)).into_response();
    response.headers_mut().extend(cookie);
    Ok(response)
}

/// `GET /session`
pub(super) async fn who(
    State(context): State<Context>,
    headers: HeaderMap,
) -> Result<Json<SessionView>, Problem> {
    let session = signed_in(&headers, &context).await?;
    Ok(Json(session.into()))
}

/// `DELETE /session`
pub(super) async fn sign_out(
    State(context): State<Context>,
    headers: HeaderMap,
    Writer(_): Writer,
) -> Result<Response, Problem> {
    if let Some(cookie) = cookie::read(&headers, &context) {
        auth::sign_out(&context.store, &cookie).await?;
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.headers_mut().extend(cookie::clear(&context));
    Ok(response)
}

impl From<SignInError> for Problem {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::BadCredentials => Self::new(
                StatusCode::UNAUTHORIZED,
                "bad_credentials",
                "Name or password is wrong",
                "Look at capital letters and try again. An administrator can give a new password.",
            ),
            SignInError::TooMany { retry_after_s } => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_tries",
                "Too many wrong passwords",
                error.to_string(),
            )
            .retry_after(retry_after_s),
            error => Self::internal(&error),
        }
    }
}
