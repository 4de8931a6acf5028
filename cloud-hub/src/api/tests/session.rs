//! Signing in and out.

use super::*;

#[tokio::test]
async fn who_signs_in_is_known_until_they_sign_out() {
    let hub = Hub::start().await;
    let caller = hub.sign_in("Petra").await;
    let who = hub.get(&caller, "/session").await;
    assert_eq!(who.status, StatusCode::OK);
    assert_eq!(who.body["user"]["name"], "Petra");
    assert_eq!(who.body["user"]["role"], "planner");
    assert_eq!(who.body["csrf"], caller.csrf.as_str());
    let out = hub
        .answer(request("DELETE", "/session", Some(&caller), None))
        .await;
    assert_eq!(out.status, StatusCode::NO_CONTENT);
    assert!(
        out.headers[header::SET_COOKIE]
            .to_str()
            .unwrap()
            .contains("Max-Age=0")
    );
    let after = hub.get(&caller, "/session").await;
    assert_eq!(after.code(), "signed_out");
}

#[tokio::test]
async fn the_cookie_is_kept_from_scripts_and_other_sites() {
    let hub = Hub::start().await;
    let body = json!({"name": "admin", "password": PASSWORD});
    let answer = hub
        .answer(request("POST", "/session", None, Some(&body)))
        .await;
    let cookie = answer.headers[header::SET_COOKIE].to_str().unwrap();
    assert!(cookie.starts_with("cfe_session="), "{cookie}");
    for part in ["HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Secure"));
    let mut secure = Hub::start().await;
    secure.context.public = PublicAddress::parse("https://hub.example.org");
    let answer = secure
        .answer(request("POST", "/session", None, Some(&body)))
        .await;
    let cookie = answer.headers[header::SET_COOKIE].to_str().unwrap();
    assert!(
        cookie.starts_with("__Host-cfe_session=") && cookie.contains("; Secure"),
        "{cookie}"
    );
}

#[tokio::test]
async fn wrong_names_and_passwords_look_alike_and_end_in_a_pause() {
    let hub = Hub::start().await;
    let attempt = |name: &'static str, password: &'static str| {
        let body = json!({"name": name, "password": password});
        let request = request("POST", "/session", None, Some(&body));
        hub.answer(request)
    };
    let wrong_name = attempt("nobody", PASSWORD).await;
    let wrong_password = attempt("Petra", "guess").await;
    assert_eq!(wrong_name.status, StatusCode::UNAUTHORIZED);
    assert_eq!(wrong_name.code(), "bad_credentials");
    assert_eq!(wrong_name.body, wrong_password.body);
    for _ in 0..4 {
        attempt("Petra", "guess").await;
    }
    let paused = attempt("Petra", PASSWORD).await;
    assert_eq!(paused.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(paused.headers.contains_key(header::RETRY_AFTER));
    assert_eq!(paused.body["retryable"], true);
}

#[tokio::test]
async fn a_sign_in_from_another_site_or_with_other_fields_is_refused() {
    let hub = Hub::start().await;
    let body = json!({"name": "admin", "password": PASSWORD});
    let mut foreign = request("POST", "/session", None, Some(&body));
    foreign
        .headers_mut()
        .insert("origin", "http://evil.example".parse().unwrap());
    assert_eq!(hub.answer(foreign).await.code(), "foreign_origin");
    let body = json!({"name": "admin", "password": PASSWORD, "role": "admin"});
    let answer = hub
        .answer(request("POST", "/session", None, Some(&body)))
        .await;
    assert_eq!(answer.code(), "invalid");
    assert_eq!(answer.body["field"], "role");
}
