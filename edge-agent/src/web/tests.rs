//! The page's interface against a real store, without a socket.

mod alarms;
mod orders;
mod people;
mod waited;

use super::*;
use crate::clock;
use crate::drivers::{DeviceReport, DeviceState};
use crate::storage::{NewEvent, StorageOptions};
use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode, header};
use protocol::event::{Actor, AlertEvent, AlertRaised, Body as EventBody, Direction, Severity};
use protocol::id::{AlertId, DeviceId, SensorId};
use protocol::reading::{Quality, Reading};
use protocol::time::{ClockState, Timestamp};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::mpsc;
use tower::ServiceExt as _;
use uuid::Uuid;

struct Bench {
    page: Page,
    health: Arc<Health>,
    app: Router,
    storage: Storage,
    sensor: SensorId,
    _folder: tempfile::TempDir,
    _committed: mpsc::Receiver<crate::storage::Committed>,
}

const CONFIG: &str = r#"
[gateway]
name = "Test box"
code = "T1"
"#;

fn catalog(device: DeviceId, sensor: SensorId) -> Catalog {
    Catalog {
        devices: vec![protocol::catalog::Device {
            id: device,
            name: "pump-7".into(),
            port: "line".into(),
            asset: None,
        }],
        sensors: vec![protocol::catalog::Sensor {
            id: sensor,
            device,
            path: "pump-7/temperature".into(),
            asset: Some("PUMP-7".into()),
            unit: protocol::unit::Unit::parse("degC"),
            range: None,
            period_us: 1_000_000,
            limits: vec![],
        }],
        ..Catalog::default()
    }
}

fn bench(more: &str) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("code"), "654321\n").unwrap();
    let text = format!("{CONFIG}{more}");
    let config = crate::config::Config::parse(&folder.path().join("edge.toml"), &text).unwrap();
    let options = StorageOptions {
        folder: folder.path().to_owned(),
        commit_tick: Duration::from_millis(50),
        seal_after: Duration::from_secs(3_600),
        buffer_bytes_max: 10 << 20,
        core_bytes_max: 10 << 20,
        ballast_bytes: 0,
        attachments_bytes_max: 1 << 30,
        keep: crate::storage::Keep::default(),
        disk: crate::storage::Disk::of,
        queue_polls_max: 64,
        now: clock::now,
        clock: clock::state,
    };
    let (sender, committed) = mpsc::channel(16);
    let (storage, opened) = Storage::open(options, sender).unwrap();
    let sensor = SensorId::derive(opened.gateway, "pump-7/temperature");
    let device = DeviceId::derive(opened.gateway, "pump-7");
    let catalog = catalog(device, sensor);
    let health = Arc::new(Health::new(clock::now()));
    health.device(DeviceReport {
        device: "pump-7".into(),
        time: clock::now(),
        state: DeviceState::Silent,
        words: "unit 7 does not answer".into(),
    });
    health.reading(Reading {
        sensor,
        time: Timestamp::from_millis(1_000),
        value: Some(21.5),
        quality: Quality::Good,
        clock: ClockState::Holdover,
    });
    let (desk, _) = crate::documents::Documents::look(folder.path(), true).desk();
    let catalog = watch::Sender::new(Arc::new(catalog)).subscribe();
    let running = watch::Sender::new(Arc::new(InUse::new(&config))).subscribe();
    let page = Page::new(running, storage.clone(), Arc::clone(&health), catalog, desk).unwrap();
    Bench {
        health,
        app: router(page.clone()),
        page,
        storage,
        sensor,
        _folder: folder,
        _committed: committed,
    }
}

/// Sends a request from the box itself and gives status and JSON body.
async fn send(bench: &Bench, request: Request<Body>) -> (StatusCode, Value) {
    let mut request = request;
    let from: SocketAddr = "10.1.2.3:4000".parse().unwrap();
    request.extensions_mut().insert(ConnectInfo(from));
    let response = bench.app.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (
        status,
        serde_json::from_slice(&bytes).unwrap_or(Value::Null),
    )
}

async fn get_json(bench: &Bench, path: &str) -> (StatusCode, Value) {
    let request = Request::get(path).header(header::HOST, "127.0.0.1:8080");
    send(bench, request.body(Body::empty()).unwrap()).await
}

async fn post_json(
    bench: &Bench,
    path: &str,
    body: &Value,
    key: Option<&str>,
) -> (StatusCode, Value) {
    let mut request = Request::post(path)
        .header(header::HOST, "127.0.0.1:8080")
        .header(header::CONTENT_TYPE, "application/json");
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    send(bench, request.body(Body::from(body.to_string())).unwrap()).await
}

async fn alert(bench: &Bench) -> AlertId {
    let id = AlertId(Uuid::from_u128(77));
    let raised = AlertRaised {
        rule: "hot".into(),
        sensor: bench.sensor,
        sensor_path: "pump-7/temperature".into(),
        asset: None,
        title: "Pump 7 is hot".into(),
        severity: Severity::High,
        direction: Direction::High,
        limit: 90.0,
        value: 91.0,
        unit: "Cel".into(),
        since: clock::now(),
    };
    let new = NewEvent {
        id: None,
        actor: Actor::System("hot".into()),
        record: id.into(),
        body: EventBody::Alert(AlertEvent::Raised(raised)),
    };
    bench
        .storage
        .records(move |tx| tx.append(new))
        .await
        .unwrap();
    id
}

#[tokio::test]
async fn status_and_sensors_tell_how_the_box_is() {
    let bench = bench("");
    let (status, body) = get_json(&bench, "/api/v1/status").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body["gateway"]["name"], "Test box");
    assert_eq!(body["link"]["state"], "not_enrolled");
    assert_eq!(body["devices"][0]["state"], "silent");
    assert_eq!(body["devices"][0]["words"], "unit 7 does not answer");
    let (_, body) = get_json(&bench, "/api/v1/sensors").await;
    assert_eq!(body["data"][0]["value"], 21.5);
    assert_eq!(body["data"][0]["unit"]["symbol"], "°C");
    assert_eq!(body["data"][0]["text"], Value::Null);
    bench.health.worded(bench.sensor, [(7, Some("jam".into()))]);
    let mut reading = bench.health.latest(bench.sensor).unwrap();
    reading.value = Some(7.0);
    bench.health.reading(reading);
    let (_, body) = get_json(&bench, "/api/v1/sensors").await;
    assert_eq!(body["data"][0]["value"], 7.0);
    assert_eq!(body["data"][0]["text"], "jam");
    let path = format!("/api/v1/sensors/{}/readings?points=10", bench.sensor);
    let (status, body) = get_json(&bench, &path).await;
    assert_eq!(
        (status, body["points"].as_array().unwrap().len()),
        (StatusCode::OK, 0)
    );
}

#[tokio::test]
async fn a_gap_is_told_with_its_cause() {
    let bench = bench("");
    let (from, to) = (clock::now().plus_micros(-60_000_000), clock::now());
    let cause = protocol::event::GapCause::AgentOff;
    let new = NewEvent {
        id: None,
        actor: Actor::System("edge-agent".into()),
        record: protocol::event::RecordRef {
            kind: protocol::event::RecordKind::Gateway,
            id: bench.storage.gateway_id().0,
        },
        body: EventBody::Gateway(protocol::event::GatewayEvent::Gap {
            from,
            to,
            polls: 0,
            cause,
        }),
    };
    bench
        .storage
        .records(move |tx| tx.append(new))
        .await
        .unwrap();
    let path = format!("/api/v1/sensors/{}/readings", bench.sensor);
    let (_, body) = get_json(&bench, &path).await;
    assert_eq!(body["gaps"][0]["cause"], "the agent was off");
    let earlier = protocol::view::rfc3339(from.plus_micros(-1));
    let (_, body) = get_json(&bench, &format!("{path}?to={earlier}")).await;
    assert_eq!(body["gaps"], json!([]));
}

#[tokio::test]
async fn an_alert_is_acknowledged_once() {
    let bench = bench("");
    let id = alert(&bench).await;
    let (_, list) = get_json(&bench, "/api/v1/alerts?state=open").await;
    assert_eq!(list["data"][0]["state"], "active");
    let path = format!("/api/v1/alerts/{id}/actions/acknowledge");
    let key = Uuid::from_u128(1).to_string();
    let body = json!({ "by": "Ana", "note": "on my way" });
    let (status, view) = post_json(&bench, &path, &body, Some(&key)).await;
    assert_eq!(
        (status, &view["acknowledged_by"]),
        (StatusCode::OK, &json!("Ana"))
    );
    let (status, again) = post_json(&bench, &path, &body, Some(&key)).await;
    assert_eq!(
        (status, &again["history"]),
        (StatusCode::OK, &view["history"])
    );
    let (status, problem) = post_json(&bench, &path, &json!({ "by": "Ben" }), None).await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::CONFLICT, &json!("not_now"))
    );
}

#[tokio::test]
async fn an_order_is_made_worked_and_completed_with_its_time() {
    let bench = bench("");
    let key = Uuid::from_u128(2).to_string();
    let body = json!({ "by": "Ana", "title": "Grease the bearing", "priority": 2 });
    let (status, order) = post_json(&bench, "/api/v1/work-orders", &body, Some(&key)).await;
    assert_eq!(
        (status, &order["number"]),
        (StatusCode::CREATED, &json!("T1-0001"))
    );
    let (_, same) = post_json(&bench, "/api/v1/work-orders", &body, Some(&key)).await;
    assert_eq!(same["number"], "T1-0001");
    let path = |action| {
        format!(
            "/api/v1/work-orders/{}/actions/{action}",
            order["id"].as_str().unwrap()
        )
    };
    let (status, problem) = post_json(&bench, &path("resume"), &json!({ "by": "Ana" }), None).await;
    assert_eq!(status, StatusCode::CONFLICT);
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("T1-0001 is open") && detail.contains("start"),
        "{detail}"
    );
    let (status, _) = post_json(&bench, &path("start"), &json!({ "by": "Ana" }), None).await;
    assert_eq!(status, StatusCode::OK);
    let done = json!({ "by": "Ana", "remedy": "greased", "minutes": 15 });
    let (_, order) = post_json(&bench, &path("complete"), &done, None).await;
    assert_eq!(order["state"], "done");
    assert_eq!(order["labour"][0]["minutes"], 15);
    assert_eq!(order["remedy"], "greased");
}

#[tokio::test]
async fn what_cannot_be_taken_names_the_field() {
    let bench = bench("");
    let path = "/api/v1/work-orders";
    for (body, field) in [
        (json!({ "title": "x" }), "by"),
        (json!({ "by": "Ana" }), "title"),
        (
            json!({ "by": "Ana", "title": "x", "priority": 9 }),
            "priority",
        ),
    ] {
        let (status, problem) = post_json(&bench, path, &body, None).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
        assert_eq!(problem["field"], field, "{problem}");
    }
    let (status, problem) =
        post_json(&bench, path, &json!({ "by": "A", "titel": "x" }), None).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        problem["detail"].as_str().unwrap().contains("titel"),
        "{problem}"
    );
    let (status, problem) = get_json(&bench, "/api/v1/alerts/nonsense").await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::NOT_FOUND, &json!("not_found"))
    );
}

#[tokio::test]
async fn the_access_code_opens_the_page_and_guessing_is_stopped() {
    let folder_code = "[web]\nlisten = \"0.0.0.0:8080\"\naccess_code_file = \"code\"\n";
    let bench = bench(folder_code);
    let (_, status) = get_json(&bench, "/api/v1/status").await;
    assert_eq!(status, json!({ "access_code_needed": true }));
    let (status, _) = get_json(&bench, "/api/v1/alerts").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let request = Request::post("/api/v1/session")
        .header(header::HOST, "10.0.0.9:8080")
        .header(header::CONTENT_TYPE, "application/json")
        .extension(ConnectInfo::<SocketAddr>("10.1.2.3:4000".parse().unwrap()))
        .body(Body::from(r#"{"code":"654321"}"#))
        .unwrap();
    let response = bench.app.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    let cookie = response.headers()[header::SET_COOKIE].to_str().unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let request = Request::get("/api/v1/alerts")
        .header(header::HOST, "10.0.0.9:8080")
        .header(header::COOKIE, cookie)
        .body(Body::empty())
        .unwrap();
    assert_eq!(send(&bench, request).await.0, StatusCode::OK);
    for _ in 0..5 {
        let (status, _) = post_json(&bench, "/api/v1/session", &json!({ "code": "0" }), None).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
    }
    let (status, _) = post_json(
        &bench,
        "/api/v1/session",
        &json!({ "code": "654321" }),
        None,
    )
    .await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn names_from_elsewhere_and_foreign_pages_are_refused() {
    let bench = bench("");
    let request = Request::get("/api/v1/status").header(header::HOST, "evil.example.com");
    let (status, _) = send(&bench, request.body(Body::empty()).unwrap()).await;
    assert_eq!(status, StatusCode::MISDIRECTED_REQUEST);
    let request = Request::post("/api/v1/work-orders")
        .header(header::HOST, "127.0.0.1:8080")
        .header(header::ORIGIN, "https://evil.example.com")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(r#"{"by":"A","title":"x"}"#))
        .unwrap();
    assert_eq!(send(&bench, request).await.0, StatusCode::FORBIDDEN);
}

async fn upload(bench: &Bench, path: &str, bytes: Vec<u8>) -> (StatusCode, Value) {
    let request = Request::post(path).header(header::HOST, "127.0.0.1:8080");
    send(bench, request.body(Body::from(bytes)).unwrap()).await
}

#[tokio::test]
async fn a_photo_is_taken_as_it_is_shown_safely_and_nothing_else_is() {
    let bench = bench("");
    let body = json!({"by": "Ana", "title": "Seal leaks"});
    let (_, order) = post_json(&bench, "/api/v1/work-orders", &body, None).await;
    let path = format!(
        "/api/v1/work-orders/{}/attachments",
        order["id"].as_str().unwrap()
    );
    let about = format!("{path}?by=Ana&name=..%2Fpump%203.jpg&note=before");
    let mut photo = b"\xFF\xD8\xFF".to_vec();
    photo.extend(vec![7; 300_000]);
    let (status, order) = upload(&bench, &about, photo.clone()).await;
    assert_eq!(status, StatusCode::CREATED, "{order}");
    let attached = &order["attachments"][0];
    assert_eq!(attached["name"], "pump 3.jpg");
    assert_eq!(attached["place"], "box");
    assert_eq!(
        (&attached["picture"], &attached["note"]),
        (&json!(true), &json!("before"))
    );
    assert_eq!(attached["bytes"], 300_003);
    let one = format!("{path}/{}", attached["hash"].as_str().unwrap());
    let request = Request::get(&one).header(header::HOST, "127.0.0.1:8080");
    let mut request = request.body(Body::empty()).unwrap();
    let from: SocketAddr = "10.1.2.3:4000".parse().unwrap();
    request.extensions_mut().insert(ConnectInfo(from));
    let response = bench.app.clone().oneshot(request).await.unwrap();
    let headers = response.headers().clone();
    assert_eq!(headers["content-type"], "image/jpeg");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(
        headers["content-security-policy"],
        "default-src 'none'; sandbox"
    );
    assert!(
        headers["content-disposition"]
            .to_str()
            .unwrap()
            .starts_with("inline")
    );
    let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    assert!(bytes == photo);
    // A page that calls itself a photo is a download.
    let (_, order) = upload(
        &bench,
        &format!("{path}?by=Ana&name=a.jpg"),
        b"<html>".to_vec(),
    )
    .await;
    assert_eq!(order["attachments"][1]["media_type"], "text/plain");
    for (bytes, name, by, expected) in [
        (vec![], "a", "Ana", StatusCode::UNPROCESSABLE_ENTITY),
        (vec![1], "a", "", StatusCode::UNPROCESSABLE_ENTITY),
        (
            vec![0; (16 << 20) + 1],
            "a",
            "Ana",
            StatusCode::PAYLOAD_TOO_LARGE,
        ),
    ] {
        let (status, problem) = upload(&bench, &format!("{path}?by={by}&name={name}"), bytes).await;
        assert_eq!(status, expected, "{problem}");
    }
    let nobody = "/api/v1/work-orders/00000000-0000-0000-0000-00000000dead/attachments?by=Ana";
    let (status, _) = upload(&bench, nobody, vec![1]).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, _) = get_json(&bench, &format!("{path}/{}", "0".repeat(64))).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (_, shown) = get_json(&bench, "/api/v1/status").await;
    assert_eq!(shown["link"]["waiting_attachments"], 2);
}
