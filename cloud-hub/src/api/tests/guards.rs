//! What holds for every route: nobody without a session, no write without the CSRF token or from
//! elsewhere, no method or address that is not there.

use super::*;
use protocol::id::AlertId;

const OPEN: [(&str, &str); 2] = [("GET", "/healthz"), ("POST", "/api/v1/session")];

/// The address of a route with ids and actions filled in.
fn filled(path: &str) -> String {
    path.replace("{id}", &AlertId(uuid::Uuid::from_u128(7)).to_string())
        .replace("{action}", "comment")
}

#[tokio::test]
async fn every_route_refuses_who_is_not_signed_in() {
    let hub = Hub::start().await;
    let mut seen = 0;
    for (method, path, _) in routes() {
        if OPEN.contains(&(method.as_str(), path)) {
            continue;
        }
        let answer = hub
            .answer(request(
                method.as_str(),
                &filled(path),
                None,
                Some(&json!({})),
            ))
            .await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{method} {path}");
        assert_eq!(answer.code(), "signed_out");
        seen += 1;
    }
    assert_eq!(seen, routes().len() - OPEN.len());
}

#[tokio::test]
async fn every_write_refuses_without_the_csrf_token() {
    let hub = Hub::start().await;
    let caller = hub.sign_in("admin").await;
    for (method, path, _) in routes() {
        if method == Method::GET || OPEN.contains(&(method.as_str(), path)) {
            continue;
        }
        for csrf in ["", "wrong"] {
            let mut request = request(
                method.as_str(),
                &filled(path),
                Some(&caller),
                Some(&json!({})),
            );
            request
                .headers_mut()
                .insert("x-csrf-token", csrf.parse().unwrap());
            let answer = hub.answer(request).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {path}");
            assert_eq!(answer.code(), "csrf");
        }
        let mut request = request(
            method.as_str(),
            &filled(path),
            Some(&caller),
            Some(&json!({})),
        );
        request
            .headers_mut()
            .insert("origin", "http://evil.example".parse().unwrap());
        assert_eq!(
            hub.answer(request).await.code(),
            "foreign_origin",
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn every_answer_carries_the_protecting_headers() {
    let hub = Hub::start().await;
    for path in [
        "/healthz",
        "/api/v1/session",
        "/api/v1/nothing",
        "/api/other",
    ] {
        let answer = hub.answer(request("GET", path, None, None)).await;
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("frame-ancestors 'none'"), "{path}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        assert_eq!(answer.headers["referrer-policy"], "same-origin");
        assert_eq!(answer.headers["cache-control"], "no-store", "{path}");
    }
}

#[tokio::test]
async fn unknown_addresses_and_methods_are_problems_and_pages_are_pages() {
    let hub = Hub::start().await;
    let caller = hub.sign_in("admin").await;
    assert_eq!(
        hub.get(&caller, "/api/v1/nothing").await.code(),
        "not_found"
    );
    let answer = hub
        .answer(request("PUT", "/sites", Some(&caller), Some(&json!({}))))
        .await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer.code(), "wrong_method");
    let page = HttpRequest::builder()
        .uri("/alerts/42")
        .body(Body::empty())
        .unwrap();
    let response = hub.send(page).await;
    assert_eq!(response.status(), StatusCode::OK);
    let health = hub.answer(request("GET", "/healthz", None, None)).await;
    assert_eq!(health.status, StatusCode::OK);
}

#[tokio::test]
async fn a_body_that_is_no_json_or_too_large_is_refused() {
    let hub = Hub::start().await;
    let caller = hub.sign_in("admin").await;
    let mut plain = request("POST", "/work-orders", Some(&caller), Some(&json!({})));
    plain
        .headers_mut()
        .insert("content-type", "text/plain".parse().unwrap());
    let answer = hub.answer(plain).await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let large = json!({"title": "x".repeat(BODY_BYTES_MAX)});
    let answer = hub.post(&caller, "/work-orders", large).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(answer.code(), "too_large");
    let mut broken = request("POST", "/work-orders", Some(&caller), None);
    *broken.body_mut() = Body::from("{\"title\":");
    assert_eq!(hub.answer(broken).await.code(), "invalid");
}
