//! The cookie of a session: how it is set, read and taken away.
//! Never holds anything but the random value.

use super::Context;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

/// Longest life of a session; the hub itself ends it, this only tidies the browser.
const LIFE_MAX_S: u32 = 12 * 3_600;

/// The header that gives the browser a new session's cookie.
pub(super) fn set(context: &Context, value: &str) -> Option<(HeaderName, HeaderValue)> {
    with(context, value, LIFE_MAX_S)
}

/// The header that takes the cookie away.
pub(super) fn clear(context: &Context) -> Option<(HeaderName, HeaderValue)> {
    with(context, "", 0)
}

fn with(context: &Context, value: &str, life_s: u32) -> Option<(HeaderName, HeaderValue)> {
    let secure = if context.secure() { "; Secure" } else { "" };
    let name = name(context);
    let text = format!("{name}={value}; Path=/; Max-Age={life_s}; HttpOnly; SameSite=Lax{secure}");
    // The value is hexadecimal: it always fits into a header.
    let text = HeaderValue::try_from(text).ok()?;
    Some((header::SET_COOKIE, text))
}

/// The value of the request's cookie.
pub(super) fn read(headers: &HeaderMap, context: &Context) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(found, value)| *found == name(context) && !value.is_empty())
        .map(|(_, value)| value.to_owned())
}

/// With the prefix `__Host-` a browser takes it only from HTTPS and this very host.
fn name(context: &Context) -> &'static str {
    if context.secure() {
        "__Host-cfe_session"
    } else {
        "cfe_session"
    }
}
