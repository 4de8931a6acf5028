//! Signing in by PIN, what each role may do, and attempts to get around it.

use super::*;
use crate::people::Act;
use crate::web::caller::Caller;
use crate::web::session;
use argon2::{Algorithm, Argon2, Params, Version};
use axum::http::HeaderMap;
use protocol::bundle::{Bundle, Person, PinHash, Role};
use protocol::event::{Access, GatewayEvent};
use protocol::id::{SiteId, UserId};

const MARA: UserId = UserId(Uuid::from_u128(1));
const TOM: UserId = UserId(Uuid::from_u128(2));
const VERA: UserId = UserId(Uuid::from_u128(3));
const NINA: UserId = UserId(Uuid::from_u128(4));
const DAY_US: i64 = 86_400_000_000;

/// Cheap, so that the tests are quick; the real parameters are tested in `people::pin`.
fn pin(text: &str) -> PinHash {
    let params = Params::new(8, 1, 1, Some(32)).unwrap();
    let (mut hash, salt) = ([0; 32], [u8::try_from(text.len()).unwrap(); 16]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(text.as_bytes(), &salt, &mut hash)
        .unwrap();
    PinHash {
        memory_kib: 8,
        passes: 1,
        salt,
        hash,
    }
}

fn person(id: UserId, name: &str, role: Role, pin_text: &str) -> Person {
    Person {
        id,
        name: name.to_owned(),
        role,
        pin: (!pin_text.is_empty()).then(|| pin(pin_text)),
        phone: None,
        email: None,
        language: None,
        on_call: false,
    }
}

fn bundle(number: u64) -> Bundle {
    Bundle {
        number,
        site: SiteId(Uuid::from_u128(9)),
        made: clock::now(),
        valid_until: clock::now().plus_micros(90 * DAY_US),
        grace_days: 30,
        people: vec![
            person(MARA, "Mara", Role::Engineer, "111111"),
            person(TOM, "Tom", Role::Technician, "2222"),
            person(VERA, "Vera", Role::Viewer, "33333"),
            person(NINA, "Nina", Role::Planner, ""),
        ],
        assets: vec![],
        parts: vec![],
        checklists: vec![],
        failure_codes: vec![],
    }
}

/// A box whose bundle `more` adds to.
pub(super) async fn with_site(more: impl FnOnce(Bundle) -> Bundle) -> Bench {
    let bench = bench("");
    assert!(bench.storage.keep_bundle(more(bundle(1))).await.unwrap());
    bench
}

async fn with_people(more: &str) -> Bench {
    let bench = bench(more);
    assert!(bench.storage.keep_bundle(bundle(1)).await.unwrap());
    bench
}

/// A browser: keeps its cookies.
#[derive(Default)]
pub(super) struct Browser {
    cookies: Vec<(String, String)>,
    person: Option<UserId>,
    address: u8,
    /// Sent with what it posts.
    pub(super) key: Option<Uuid>,
}

impl Browser {
    async fn call(
        &mut self,
        bench: &Bench,
        method: &str,
        path: &str,
        body: &Value,
    ) -> (StatusCode, Value) {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "127.0.0.1:8080")
            .header(header::CONTENT_TYPE, "application/json");
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .map(|(n, v)| format!("{n}={v}"))
            .collect();
        if !cookies.is_empty() {
            request = request.header(header::COOKIE, cookies.join("; "));
        }
        if let Some(person) = self.person {
            request = request.header("x-person", person.to_string());
        }
        if let Some(key) = self.key {
            request = request.header("idempotency-key", key.to_string());
        }
        let mut request = request.body(Body::from(body.to_string())).unwrap();
        let from = SocketAddr::from(([10, 0, 0, self.address], 4_000));
        request.extensions_mut().insert(ConnectInfo(from));
        let response = bench.app.clone().oneshot(request).await.unwrap();
        for cookie in response.headers().get_all(header::SET_COOKIE) {
            let (name, rest) = cookie.to_str().unwrap().split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            self.cookies.retain(|(known, _)| known != name);
            if !value.is_empty() {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        let status = response.status();
        let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (
            status,
            serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        )
    }

    pub(super) async fn sign_in(
        &mut self,
        bench: &Bench,
        person: &str,
        pin: &str,
    ) -> (StatusCode, Value) {
        let body = json!({"person": person, "pin": pin});
        self.call(bench, "POST", "/api/v1/session", &body).await
    }

    pub(super) async fn get(&mut self, bench: &Bench, path: &str) -> (StatusCode, Value) {
        self.call(bench, "GET", path, &Value::Null).await
    }

    pub(super) async fn post(
        &mut self,
        bench: &Bench,
        path: &str,
        body: Value,
    ) -> (StatusCode, Value) {
        self.call(bench, "POST", path, &body).await
    }

    async fn acknowledge(&mut self, bench: &Bench, body: Value) -> (StatusCode, Value) {
        let id = AlertId(Uuid::from_u128(77));
        let path = format!("/api/v1/alerts/{id}/actions/acknowledge");
        self.post(bench, &path, body).await
    }
}

async fn audit(bench: &Bench) -> Vec<(Actor, Access)> {
    let own = bench.storage.sync_state().await.unwrap();
    let events = bench
        .storage
        .events_after(own.incarnation, 0, 1 << 20)
        .await;
    let events = events.unwrap().into_iter();
    let decoded = events.map(|(_, bytes)| protocol::wire::decode_event(&bytes).unwrap());
    decoded
        .filter_map(|event| match event.body {
            EventBody::Gateway(GatewayEvent::Access(Access::BundleTaken { .. })) => None,
            EventBody::Gateway(GatewayEvent::Access(access)) => Some((event.actor, access)),
            _ => None,
        })
        .collect()
}

#[tokio::test]
async fn a_box_without_pins_works_as_before() {
    let bench = bench("");
    alert(&bench).await;
    let mut browser = Browser::default();
    let (_, session) = browser
        .call(&bench, "GET", "/api/v1/session", &json!({}))
        .await;
    assert_eq!(
        (&session["pin_needed"], &session["person"]),
        (&json!(false), &Value::Null)
    );
    assert_eq!(session["may"].as_array().unwrap().len(), Act::ALL.len());
    let (status, body) = browser.sign_in(&bench, "Mara", "111111").await;
    assert_eq!(
        (status, &body["code"]),
        (StatusCode::CONFLICT, &json!("not_now"))
    );
    let (status, _) = browser.acknowledge(&bench, json!({"by": "Anybody"})).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn who_acts_is_who_signed_in_and_the_event_carries_their_id() {
    let bench = with_people("").await;
    alert(&bench).await;
    let mut browser = Browser::default();
    let (status, body) = browser.acknowledge(&bench, json!({"by": "Tom"})).await;
    assert_eq!(
        (status, &body["code"]),
        (StatusCode::UNAUTHORIZED, &json!("sign_in_needed"))
    );
    let (status, session) = browser.sign_in(&bench, "tom", "2222").await;
    assert_eq!(status, StatusCode::OK, "{session}");
    assert_eq!(session["person"]["role"], "technician");
    assert_eq!(
        session["may"],
        json!(["acknowledge", "work", "shelve", "exchange"])
    );
    assert_eq!(session["people"].as_array().unwrap().len(), 3);
    let (status, body) = browser.acknowledge(&bench, json!({"by": "Mara"})).await;
    assert_eq!(
        (status, &body["code"]),
        (StatusCode::FORBIDDEN, &json!("other_person"))
    );
    let (status, _) = browser.acknowledge(&bench, json!({"note": "seen"})).await;
    assert_eq!(status, StatusCode::OK);
    let id = AlertId(Uuid::from_u128(77));
    let alert = bench.storage.alert(id).await.unwrap().unwrap();
    let tom = Actor::Person("Tom".into(), Some(TOM));
    assert_eq!(alert.history.last().unwrap().by, "Tom");
    let signed_in = Access::SignedIn {
        bundle: 1,
        role: Role::Technician,
        overdue: false,
    };
    assert_eq!(audit(&bench).await, vec![(tom, signed_in)]);
}

#[tokio::test]
async fn each_role_may_what_the_table_says() {
    let bench = with_people("").await;
    let write = "/api/v1/devices/pump-7/write";
    let asked = json!({"sensor": "temperature", "value": "1"});
    for (name, pin, writes, works) in [
        ("Vera", "33333", false, false),
        ("Tom", "2222", false, true),
        ("Mara", "111111", true, true),
    ] {
        let mut browser = Browser::default();
        browser.sign_in(&bench, name, pin).await;
        let (status, body) = browser.post(&bench, write, asked.clone()).await;
        // No port runs here: whoever may write learns that.
        let refused = body["code"] == "role_needed" && status == StatusCode::FORBIDDEN;
        assert_eq!(!refused, writes, "{name}: {body}");
        let order = json!({"title": "Look at it"});
        let (status, body) = browser.post(&bench, "/api/v1/work-orders", order).await;
        assert_eq!(status == StatusCode::CREATED, works, "{name}: {body}");
        let (status, body) = browser
            .post(&bench, "/api/v1/configuration/rollback", json!({}))
            .await;
        let refused = body["code"] == "role_needed" && status == StatusCode::FORBIDDEN;
        assert_eq!(!refused, writes, "{name}: {body}");
    }
}

#[tokio::test]
async fn guessing_is_stopped_and_written_down() {
    let bench = with_people("").await;
    let mut guesser = Browser::default();
    for guess in 0..5 {
        let (status, body) = guesser
            .sign_in(&bench, "Mara", &format!("90000{guess}"))
            .await;
        assert_eq!(
            (status, &body["code"]),
            (StatusCode::UNAUTHORIZED, &json!("wrong_pin"))
        );
    }
    let (status, body) = guesser.sign_in(&bench, "Mara", "111111").await;
    assert_eq!(
        (status, &body["code"]),
        (StatusCode::TOO_MANY_REQUESTS, &json!("too_many_tries"))
    );
    // Mara herself, at her own phone.
    let mut phone = Browser {
        address: 2,
        ..Browser::default()
    };
    let (status, _) = phone.sign_in(&bench, &MARA.to_string(), "111111").await;
    assert_eq!(status, StatusCode::OK);
    let locked = Access::LockedOut {
        address: "10.0.0.0".into(),
    };
    let written = audit(&bench).await;
    assert_eq!(
        written
            .iter()
            .filter(|(_, access)| *access == locked)
            .count(),
        1
    );
    // Names that nobody has and people without a PIN look the same, and are limited too.
    let mut other = Browser {
        address: 3,
        ..Browser::default()
    };
    for name in ["Nobody", "Nina", "Nobody"] {
        let (status, body) = other.sign_in(&bench, name, "1234").await;
        assert_eq!(
            (status, &body["code"]),
            (StatusCode::UNAUTHORIZED, &json!("wrong_pin"))
        );
    }
}

#[tokio::test]
async fn two_people_on_one_tablet_and_what_waits_for_one_of_them() {
    let bench = with_people("").await;
    let mut tablet = Browser::default();
    tablet.sign_in(&bench, "Tom", "2222").await;
    tablet.sign_in(&bench, "Mara", "111111").await;
    let order = || json!({"title": "Look at it"});
    let created_by = |body: &Value| body["history"][0]["by"].clone();
    let (_, body) = tablet.post(&bench, "/api/v1/work-orders", order()).await;
    assert_eq!(created_by(&body), "Mara", "{body}");
    tablet.person = Some(TOM);
    let (_, body) = tablet.post(&bench, "/api/v1/work-orders", order()).await;
    assert_eq!(created_by(&body), "Tom", "{body}");
    // Tom signs out; what still waits for him is refused, in his name, and Mara stays.
    let (status, _) = tablet
        .call(&bench, "DELETE", "/api/v1/session", &json!({}))
        .await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (status, body) = tablet.post(&bench, "/api/v1/work-orders", order()).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        (&body["code"], &body["person"]),
        (&json!("sign_in_needed"), &json!(TOM))
    );
    tablet.person = None;
    let (_, session) = tablet
        .call(&bench, "GET", "/api/v1/session", &json!({}))
        .await;
    assert_eq!(session["person"]["name"], "Mara");
}

#[tokio::test]
async fn no_header_cookie_or_stolen_half_makes_somebody_else() {
    let bench = with_people("").await;
    let order = || json!({"title": "Look at it"});
    let mut tom = Browser::default();
    tom.sign_in(&bench, "Tom", "2222").await;
    let secret = tom
        .cookies
        .iter()
        .find(|(name, _)| name.starts_with("cfe_person_"));
    let secret = secret.unwrap().1.clone();
    // Tom's secret under Mara's name.
    let mut forged = Browser {
        person: Some(MARA),
        cookies: vec![
            (format!("cfe_person_{}", MARA.0.simple()), secret.clone()),
            ("cfe_person".to_owned(), MARA.to_string()),
        ],
        ..Browser::default()
    };
    let (status, _) = forged.post(&bench, "/api/v1/work-orders", order()).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    // A cookie as plain HTTP has it, with the box's own mark of HTTPS put on by the client.
    let mut headers = HeaderMap::new();
    headers.insert("x-local-token", "0".repeat(64).parse().unwrap());
    let page = bench.page.clone();
    assert!(matches!(
        Caller::of(&page, &headers),
        Ok(Caller::Nobody { named: None })
    ));
    // A new PIN, a person who left: the session has ended at once.
    let mut changed = bundle(2);
    changed.people[1].pin = Some(pin("55555555"));
    assert!(bench.storage.keep_bundle(changed).await.unwrap());
    let (status, _) = tom.post(&bench, "/api/v1/work-orders", order()).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    // An older bundle does not bring the old PIN back.
    assert!(!bench.storage.keep_bundle(bundle(1)).await.unwrap());
    let (status, _) = tom.post(&bench, "/api/v1/work-orders", order()).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_overdue_bundle_lets_people_in_and_an_ended_one_lowers_them() {
    let bench = bench("");
    let mut overdue = bundle(1);
    overdue.valid_until = clock::now().plus_micros(-DAY_US);
    assert!(bench.storage.keep_bundle(overdue).await.unwrap());
    clock::set_trusted(true);
    let mut browser = Browser::default();
    let (_, session) = browser.sign_in(&bench, "Mara", "111111").await;
    assert_eq!(session["bundle"]["validity"], "grace");
    assert_eq!(session["person"]["role"], "engineer");
    let (_, status) = browser
        .call(&bench, "GET", "/api/v1/status", &json!({}))
        .await;
    let words = status["store"]["warnings"].to_string() + &status["bundle"].to_string();
    assert!(words.contains("grace"), "{words}");
    let seen = audit(&bench).await;
    assert!(matches!(seen[0].1, Access::SignedIn { overdue: true, .. }));
    let mut ended = bundle(2);
    ended.valid_until = clock::now().plus_micros(-31 * DAY_US);
    assert!(bench.storage.keep_bundle(ended).await.unwrap());
    let (_, session) = browser
        .call(&bench, "GET", "/api/v1/session", &json!({}))
        .await;
    assert_eq!(session["person"]["role"], "technician");
    assert_eq!(session["bundle"]["validity"], "ended");
}

#[tokio::test]
async fn the_access_code_is_not_needed_by_who_signed_in_and_hides_the_names() {
    let bench = with_people("[web]\nlisten = \"0.0.0.0:0\"\naccess_code_file = \"code\"\n").await;
    let mut browser = Browser::default();
    let (_, session) = browser
        .call(&bench, "GET", "/api/v1/session", &json!({}))
        .await;
    assert_eq!(session["people"], json!([]));
    assert_eq!(
        (&session["access_code_needed"], &session["bundle"]),
        (&json!(true), &Value::Null)
    );
    let (status, _) = browser
        .call(&bench, "GET", "/api/v1/alerts", &json!({}))
        .await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    browser.sign_in(&bench, "Vera", "33333").await;
    let (status, _) = browser
        .call(&bench, "GET", "/api/v1/alerts", &json!({}))
        .await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn a_signature_asks_for_the_pin_again_under_the_same_limits() {
    let bench = with_people("").await;
    let mut tom = Browser::default();
    tom.sign_in(&bench, "Tom", "2222").await;
    let cookies: Vec<String> = tom
        .cookies
        .iter()
        .map(|(n, v)| format!("{n}={v}"))
        .collect();
    let mut headers = HeaderMap::new();
    headers.insert(header::COOKIE, cookies.join("; ").parse().unwrap());
    let caller = Caller::of(&bench.page, &headers).unwrap();
    let from: SocketAddr = "10.0.0.1:1".parse().unwrap();
    session::confirm(&bench.page, &caller, from, "2222")
        .await
        .unwrap();
    for _ in 0..5 {
        session::confirm(&bench.page, &caller, from, "2223")
            .await
            .unwrap_err();
    }
    session::confirm(&bench.page, &caller, from, "2222")
        .await
        .unwrap_err();
    let nobody = Caller::Nobody { named: None };
    session::confirm(&bench.page, &nobody, from, "2222")
        .await
        .unwrap_err();
}
