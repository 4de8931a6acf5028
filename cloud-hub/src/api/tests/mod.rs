//! A hub's HTTP side in this process: store in a scratch folder, no socket. What the tests of the
//! routes share. Never waits for time to pass.

mod alarms;
mod attachments;
mod guards;
mod reading;
mod remote;
mod session;
mod streams;
mod writing;

use super::*;
use crate::auth;
use crate::store::testing::{self, Fixture};
use crate::store::{Ingest, Role};
use axum::http::Request as HttpRequest;
use axum::http::header;
use protocol::catalog::{Catalog, Device, Limit, Sensor};
use protocol::event::{Direction, Severity};
use protocol::id::{AlertId, DeviceId, WorkOrderId};
use protocol::unit::Unit;
use serde_json::{Value, json};
use tower::ServiceExt as _;

/// Password of everybody in these tests.
const PASSWORD: &str = "correct horse battery";

/// A hub with an administrator, a planner, a viewer, and one gateway that has brought two
/// sensors, ten polls, an alert and a work order.
struct Hub {
    context: Context,
    stop: watch::Sender<bool>,
    fixture: Fixture,
}

/// Somebody who signed in.
#[derive(Clone, Debug)]
struct Caller {
    cookie: String,
    csrf: String,
}

/// An answer, read to its end.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

impl Hub {
    async fn start() -> Self {
        let fixture = Fixture::new().await;
        let (store, scope) = (fixture.store.clone(), fixture.scope);
        for (name, role) in [
            ("admin", Role::Admin),
            ("Petra", Role::Planner),
            ("Viktor", Role::Viewer),
        ] {
            auth::add_user(&store, scope, name, role, PASSWORD)
                .await
                .unwrap();
        }
        let batch = Ingest {
            catalog: Some(protocol::wire::encode_catalog(&catalog()).unwrap()),
            ..Ingest::default()
        };
        store.ingest(scope, fixture.gateway, batch).await.unwrap();
        fixture.bring(vec![testing::block(1, 10)]).await;
        fixture
            .tell(vec![
                testing::raised(fixture.gateway, 1, alert_id(), Severity::High),
                testing::created(fixture.gateway, 2, order_id(), "Look at the bearing"),
            ])
            .await;
        let (stop, stopping) = watch::channel(false);
        Self {
            context: Context::new(store, None, stopping),
            stop,
            fixture,
        }
    }

    async fn send(&self, request: HttpRequest<Body>) -> axum::response::Response {
        let mut request = request;
        request
            .extensions_mut()
            .insert(axum::extract::ConnectInfo(Peer([127, 0, 0, 1].into())));
        router(self.context.clone(), |_, path, _| {
            Response::new(Body::from(path.to_owned()))
        })
        .oneshot(request)
        .await
        .unwrap()
    }

    async fn answer(&self, request: HttpRequest<Body>) -> Answer {
        let response = self.send(request).await;
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        }
    }

    async fn sign_in(&self, name: &str) -> Caller {
        let answer = self
            .answer(request(
                "POST",
                "/api/v1/session",
                None,
                Some(&json!({"name": name, "password": PASSWORD})),
            ))
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let cookie = answer.headers[header::SET_COOKIE].to_str().unwrap();
        Caller {
            cookie: cookie.split(';').next().unwrap().to_owned(),
            csrf: answer.body["csrf"].as_str().unwrap().to_owned(),
        }
    }

    async fn get(&self, caller: &Caller, path: &str) -> Answer {
        self.answer(request("GET", path, Some(caller), None)).await
    }

    async fn post(&self, caller: &Caller, path: &str, body: Value) -> Answer {
        self.answer(request("POST", path, Some(caller), Some(&body)))
            .await
    }

    async fn post_with_key(&self, caller: &Caller, path: &str, key: &str, body: Value) -> Answer {
        let mut request = request("POST", path, Some(caller), Some(&body));
        request
            .headers_mut()
            .insert("idempotency-key", key.parse().unwrap());
        self.answer(request).await
    }
}

impl Answer {
    /// The problem's code; fails when this is no problem.
    fn code(&self) -> &str {
        assert_eq!(
            self.headers[header::CONTENT_TYPE],
            "application/problem+json",
            "{self:?}"
        );
        assert_eq!(self.body["status"], self.status.as_u16(), "{self:?}");
        self.body["code"].as_str().unwrap()
    }
}

/// A request as the web app sends it; a path without `/api/v1` gets it.
fn request(
    method: &str,
    path: &str,
    caller: Option<&Caller>,
    body: Option<&Value>,
) -> HttpRequest<Body> {
    let path = if path.starts_with("/api/") || path == "/healthz" {
        path.to_owned()
    } else {
        format!("/api/v1{path}")
    };
    let mut builder = HttpRequest::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "127.0.0.1:8000");
    if method != "GET" {
        builder = builder.header(header::CONTENT_TYPE, "application/json");
    }
    if let Some(caller) = caller {
        builder = builder.header(header::COOKIE, &caller.cookie);
        if method != "GET" {
            builder = builder.header("x-csrf-token", &caller.csrf);
        }
    }
    builder
        .body(body.map_or_else(Body::empty, |body| Body::from(body.to_string())))
        .unwrap()
}

/// The alert that the gateway has raised.
fn alert_id() -> AlertId {
    AlertId(uuid::Uuid::from_u128(0xA1))
}

/// The order that the gateway has made.
fn order_id() -> WorkOrderId {
    WorkOrderId(uuid::Uuid::from_u128(0xB1))
}

/// What the gateway measures.
/// The gateway says what 10 and 13 of its first sensor are called.
fn worded(hub: &Hub, seq: u64) -> protocol::event::Event {
    let gateway = hub.fixture.gateway;
    let record = protocol::event::RecordRef {
        kind: protocol::event::RecordKind::Gateway,
        id: gateway.0,
    };
    let words = vec![
        (10, Some("running".to_owned())),
        (13, Some("full".to_owned())),
    ];
    let body = protocol::event::GatewayEvent::Worded {
        sensor: testing::sensors()[0],
        words,
    };
    testing::event(gateway, seq, record, protocol::event::Body::Gateway(body))
}

fn catalog() -> Catalog {
    let device = DeviceId(uuid::Uuid::from_u128(0xD1));
    let sensor = |(id, path): (_, &str)| Sensor {
        id,
        device,
        path: path.to_owned(),
        asset: Some("P-1".to_owned()),
        unit: Unit::parse("Cel"),
        range: Some((0.0, 150.0)),
        period_us: 1_000_000,
        limits: vec![Limit {
            name: "high".to_owned(),
            value: 80.0,
            direction: Direction::High,
            severity: Severity::High,
        }],
    };
    Catalog {
        devices: vec![Device {
            id: device,
            name: "press".to_owned(),
            port: "line".to_owned(),
            asset: Some("P-1".to_owned()),
        }],
        sensors: testing::sensors()
            .into_iter()
            .zip(["press/temperature", "press/vibration"])
            .map(sensor)
            .collect(),
        ..Catalog::default()
    }
}
