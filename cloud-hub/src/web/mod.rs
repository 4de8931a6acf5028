//! Serves the web app that was built into the program.
//! Never reads a file at run time and never answers for `/api/`.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};

/// Path and content of every page, by path.
static PAGES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/pages.rs"));

const NOT_BUILT: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
<title>ChatterFix hub</title><body><h1>The hub runs, its pages were not built</h1>\
<p>Run <code>make web</code>, build the program again and restart it. \
The JSON interface under <code>/api/v1</code> works as it is.</p></body></html>";

/// Answers a request for a page. Unknown addresses get the app, which knows its own pages.
pub fn serve(method: &Method, path: &str, headers: &HeaderMap) -> Response<Body> {
    answer(PAGES, method, path, headers)
}

fn answer(
    pages: &'static [(&'static str, &'static [u8])],
    method: &Method,
    path: &str,
    headers: &HeaderMap,
) -> Response<Body> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return with_status(StatusCode::METHOD_NOT_ALLOWED, Body::empty());
    }
    let find = |wanted: &str| pages.iter().find(|(name, _)| *name == wanted);
    // A missing asset is missing: the app in its place would be run as a script.
    let found = find(path).or_else(|| {
        (!path.starts_with("/assets/"))
            .then(|| find("/index.html"))
            .flatten()
    });
    match found {
        Some((name, content)) => page(name, content, method, headers),
        None if pages.is_empty() => {
            let mut response = with_status(StatusCode::OK, Body::from(NOT_BUILT));
            set(
                &mut response,
                header::CONTENT_TYPE,
                "text/html; charset=utf-8",
            );
            response
        }
        None => with_status(StatusCode::NOT_FOUND, Body::empty()),
    }
}

fn page(
    name: &str,
    content: &'static [u8],
    method: &Method,
    headers: &HeaderMap,
) -> Response<Body> {
    let digest = ring::digest::digest(&ring::digest::SHA256, content);
    let hex: Vec<_> = (digest.as_ref().iter().take(12))
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let tag = format!("\"{}\"", hex.concat());
    let known = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|seen| seen.split(',').any(|seen| seen.trim() == tag));
    let mut response = if known {
        with_status(StatusCode::NOT_MODIFIED, Body::empty())
    } else if *method == Method::HEAD {
        with_status(StatusCode::OK, Body::empty())
    } else {
        with_status(StatusCode::OK, Body::from(content))
    };
    set(&mut response, header::ETAG, &tag);
    set(&mut response, header::CONTENT_TYPE, content_type(name));
    // The build puts a hash of its content into every asset's name.
    let caching = if name.starts_with("/assets/") {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    set(&mut response, header::CACHE_CONTROL, caching);
    response
}

fn with_status(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

fn set(response: &mut Response<Body>, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("webmanifest") => "application/manifest+json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUILT: &[(&str, &[u8])] = &[
        ("/assets/app-1a2b.js", b"run()"),
        ("/icon.svg", b"<svg/>"),
        ("/index.html", b"<!doctype html>app"),
    ];

    fn get(pages: &'static [(&'static str, &'static [u8])], path: &str) -> Response<Body> {
        answer(pages, &Method::GET, path, &HeaderMap::new())
    }

    fn field(response: &Response<Body>, name: header::HeaderName) -> &str {
        response.headers().get(name).unwrap().to_str().unwrap()
    }

    #[test]
    fn pages_and_assets_have_their_type_and_caching() {
        let script = get(BUILT, "/assets/app-1a2b.js");
        assert_eq!(
            field(&script, header::CONTENT_TYPE),
            "text/javascript; charset=utf-8"
        );
        assert!(field(&script, header::CACHE_CONTROL).contains("immutable"));
        for path in ["/", "/alerts/42", "/index.html"] {
            let app = get(BUILT, path);
            assert_eq!(app.status(), StatusCode::OK, "{path}");
            assert_eq!(
                field(&app, header::CONTENT_TYPE),
                "text/html; charset=utf-8"
            );
            assert_eq!(field(&app, header::CACHE_CONTROL), "no-cache");
        }
        assert_eq!(
            get(BUILT, "/assets/gone.js").status(),
            StatusCode::NOT_FOUND
        );
    }

    #[test]
    fn a_known_tag_is_not_sent_again() {
        let tag = field(&get(BUILT, "/icon.svg"), header::ETAG).to_owned();
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_NONE_MATCH, tag.parse().unwrap());
        let again = answer(BUILT, &Method::GET, "/icon.svg", &headers);
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        let other = answer(BUILT, &Method::GET, "/index.html", &headers);
        assert_eq!(other.status(), StatusCode::OK);
    }

    #[test]
    fn without_built_pages_it_says_how_to_build_them() {
        let response = get(&[], "/");
        assert_eq!(response.status(), StatusCode::OK);
        assert!(NOT_BUILT.contains("make web"));
    }

    #[test]
    fn only_reading_is_answered() {
        let response = answer(BUILT, &Method::POST, "/", &HeaderMap::new());
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    }
}
