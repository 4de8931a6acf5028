//! Who may talk to the box: only names that cannot be rebound, only the box's own page for
//! writes, and the access code where the page listens beyond the box itself.
//! Never keeps a code or a cookie as it is: only their SHA-256.

use super::problem::Problem;
use super::{Page, WebError, session};
use crate::clock;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use protocol::time::Timestamp;
use ring::rand::{SecureRandom as _, SystemRandom};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

const CODE_CHARS_MIN: usize = 6;
const SESSIONS_MAX: usize = 64;
const SESSION_US: i64 = 12 * 3_600 * 1_000_000;
/// Wrong codes from one address within `TRIES_US` before it has to wait.
const TRIES_MAX: usize = 5;
const TRIES_US: i64 = 15 * 60 * 1_000_000;
/// Wrong codes that are remembered, over all addresses; the oldest are forgotten.
const TRIES_KEPT_MAX: usize = 1_000;
const COOKIE: &str = "cfe_box";
/// Put by the box on each request that came by HTTPS, and taken off every other.
pub(super) const SECURE: &str = "x-box-https";

/// The access code and who gave it.
pub(super) struct AccessCode {
    code: [u8; 32],
    sessions: Mutex<VecDeque<([u8; 32], Timestamp)>>,
    tries: Mutex<VecDeque<(IpAddr, Timestamp)>>,
}

impl std::fmt::Debug for AccessCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AccessCode(…)")
    }
}

impl AccessCode {
    /// Reads the code; blanks and line ends around it do not count.
    pub(super) fn read(path: &Path) -> Result<Self, WebError> {
        let text = std::fs::read_to_string(path).map_err(|source| WebError::AccessCodeFile {
            path: path.to_owned(),
            source,
        })?;
        let code = text.trim();
        if code.chars().count() < CODE_CHARS_MIN {
            return Err(WebError::AccessCodeShort {
                path: path.to_owned(),
                min: CODE_CHARS_MIN,
            });
        }
        Ok(Self {
            code: sha256(code.as_bytes()),
            sessions: Mutex::default(),
            tries: Mutex::default(),
        })
    }

    fn try_code(&self, from: IpAddr, code: &str, now: Timestamp) -> Result<String, Problem> {
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        tries.retain(|(_, at)| now.micros_since(*at) < TRIES_US);
        if tries.iter().filter(|(address, _)| *address == from).count() >= TRIES_MAX {
            let title = "Too many wrong codes";
            let detail = "Wait a quarter of an hour, then try again.";
            let status = StatusCode::TOO_MANY_REQUESTS;
            return Err(Problem::new(status, "too_many_tries", title, detail).retry_after(900));
        }
        // Comparing digests tells nothing of how much of the code was right.
        if sha256(code.trim().as_bytes()) != self.code {
            tries.push_back((from, now));
            let excess = tries.len().saturating_sub(TRIES_KEPT_MAX);
            tries.drain(..excess);
            let title = "The access code is wrong";
            let detail = "Enter it again; whoever installed this box knows it.";
            return Err(Problem::new(
                StatusCode::UNAUTHORIZED,
                "wrong_code",
                title,
                detail,
            ));
        }
        drop(tries);
        let mut secret = [0; 32];
        SystemRandom::new().fill(&mut secret).map_err(|_| {
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            Problem::new(
                status,
                "random",
                "The box has no random numbers",
                "Try again.",
            )
        })?;
        let token = data_encoding::HEXLOWER.encode(&secret);
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.push_back((sha256(token.as_bytes()), now));
        let excess = sessions.len().saturating_sub(SESSIONS_MAX);
        sessions.drain(..excess);
        Ok(token)
    }

    fn knows(&self, headers: &HeaderMap, now: Timestamp) -> bool {
        let Some(token) = cookie(headers, &cookie_name(is_secure(headers), COOKIE)) else {
            return false;
        };
        let hash = sha256(token.as_bytes());
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|(_, at)| now.micros_since(*at) < SESSION_US);
        sessions.iter().any(|(known, _)| *known == hash)
    }
}

/// `POST /session` with the access code.
pub(super) fn by_code(
    page: &Page,
    from: SocketAddr,
    headers: &HeaderMap,
    code: &str,
) -> Result<Response, Problem> {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let Some(access) = &page.settings.access else {
        return Ok(response);
    };
    let token = access.try_code(from.ip(), code, clock::monotonic())?;
    set_cookie(&mut response, is_secure(headers), COOKIE, Some(&token));
    Ok(response)
}

/// Whether the request came by HTTPS.
pub(super) fn is_secure(headers: &HeaderMap) -> bool {
    headers.contains_key(SECURE)
}

/// A cookie of HTTPS has a name that no page of plain HTTP can set (RFC 6265bis, "__Host-"); the
/// two do not get into each other's way.
pub(super) fn cookie_name(secure: bool, name: &str) -> String {
    if secure {
        format!("__Host-{name}")
    } else {
        name.to_owned()
    }
}

/// Has the browser keep a cookie for as long as a session lasts, or forget it.
pub(super) fn set_cookie(response: &mut Response, secure: bool, name: &str, value: Option<&str>) {
    let (age_s, value) = match value {
        Some(value) => (43_200, value),
        None => (0, ""),
    };
    let name = cookie_name(secure, name);
    let flag = if secure { "; Secure" } else { "" };
    let cookie =
        format!("{name}={value}; HttpOnly; SameSite=Strict; Path=/; Max-Age={age_s}{flag}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
}

/// Whether this caller has given the code, where one is needed.
pub(super) fn may_see(page: &Page, headers: &HeaderMap) -> bool {
    page.settings
        .access
        .as_ref()
        .is_none_or(|access| access.knows(headers, clock::monotonic()))
        || session::is_signed_in(page, headers)
}

/// Lets only those through who gave the access code or are signed in by PIN, and writes only from the box's own page.
pub(super) async fn signed_in(State(page): State<Page>, request: Request, next: Next) -> Response {
    if !may_see(&page, request.headers()) {
        return Problem::access_code().into_response();
    }
    if request.method() != Method::GET
        && let Err(problem) = own_page(request.headers())
    {
        return problem.into_response();
    }
    next.run(request).await
}

/// A write comes from the box's own page or from a program, never from another site's page.
pub(super) fn own_page(headers: &HeaderMap) -> Result<(), Problem> {
    let origin = headers
        .get(header::ORIGIN)
        .and_then(|value| value.to_str().ok());
    let host = headers
        .get(header::HOST)
        .and_then(|value| value.to_str().ok());
    let foreign = origin.is_some_and(|origin| {
        let bare = origin.split_once("://").map_or(origin, |(_, rest)| rest);
        Some(bare) != host
    });
    if foreign {
        let title = "This does not come from the box's own page";
        let detail = "Open the page of the box itself and try there.";
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "foreign_page",
            title,
            detail,
        ));
    }
    Ok(())
}

/// Marks a request that came by HTTPS; the listener of HTTPS puts it on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Https;

/// Refuses names that somebody else's name server could point at this box, and puts the
/// security headers on every answer.
pub(super) async fn headers(mut request: Request, next: Next) -> Response {
    request.headers_mut().remove(SECURE);
    if request.extensions().get::<Https>().is_some() {
        let value = HeaderValue::from_static("1");
        request.headers_mut().insert(SECURE, value);
    }
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|value| value.to_str().ok());
    let mut response = if host.is_some_and(is_safe_host) {
        next.run(request).await
    } else {
        let detail = "Open the box by its IP address, by localhost, or by its name in the plant.";
        let status = StatusCode::MISDIRECTED_REQUEST;
        Problem::new(
            status,
            "host",
            "This box does not answer to that name",
            detail,
        )
        .into_response()
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // An attachment has a stricter one.
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static(CONTENT_POLICY));
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

const CONTENT_POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data: blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

/// An IP address, localhost, or a name without dots or under `.local` or `.lan`: names that only
/// the plant's own network gives.
fn is_safe_host(host: &str) -> bool {
    if host.parse::<SocketAddr>().is_ok() || host.parse::<IpAddr>().is_ok() {
        return true;
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    match name.rsplit_once('.') {
        None => !name.is_empty(),
        Some((_, last)) => last.eq_ignore_ascii_case("local") || last.eq_ignore_ascii_case("lan"),
    }
}

pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get(header::COOKIE)?.to_str().ok()?;
    all.split(';')
        .find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref());
    out
}
