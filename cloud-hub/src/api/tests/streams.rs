//! The event stream: what comes through it, whose it is, and when it ends.

use super::*;
use futures_util::StreamExt as _;
use std::time::Duration;

/// How long a test waits for an event before it fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// An open stream, read as text.
struct Events {
    body: axum::body::BodyDataStream,
    text: String,
}

impl Events {
    async fn open(hub: &Hub, caller: &Caller) -> Self {
        let response = hub
            .send(request("GET", "/stream", Some(caller), None))
            .await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "text/event-stream"
        );
        Self {
            body: response.into_body().into_data_stream(),
            text: String::new(),
        }
    }

    /// The data of the next event called `name`; others are passed over. `None` at the end.
    async fn next(&mut self, name: &str) -> Option<Value> {
        loop {
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                if event.lines().any(|line| line == format!("event: {name}")) {
                    let data = event
                        .lines()
                        .find_map(|line| line.strip_prefix("data: "))
                        .unwrap();
                    return Some(serde_json::from_str(data).unwrap());
                }
            }
            let part = tokio::time::timeout(PATIENCE, self.body.next())
                .await
                .expect("an event");
            self.text
                .push_str(std::str::from_utf8(&part?.unwrap()).unwrap());
        }
    }
}

#[tokio::test]
async fn changes_come_through_in_their_short_shape() {
    let hub = Hub::start().await;
    let caller = hub.sign_in("Petra").await;
    let mut events = Events::open(&hub, &caller).await;
    hub.fixture.bring(vec![testing::block(11, 12)]).await;
    let reading = events.next("reading").await.unwrap();
    assert_eq!(reading["sensor_id"], testing::sensors()[0].to_string());
    assert_eq!(reading["value"], 12.0);
    assert_eq!(reading["quality"], "good");
    assert_eq!(reading["text"], Value::Null);
    hub.fixture.tell(vec![worded(&hub, 3)]).await;
    hub.fixture.bring(vec![testing::block(13, 13)]).await;
    // The first one may still be on its way from the block before.
    let reading = loop {
        let reading = events.next("reading").await.unwrap();
        if reading["value"] == 13.0 {
            break reading;
        }
    };
    assert_eq!(reading["text"], "full");
    hub.post(
        &caller,
        &format!("/alerts/{}/actions/acknowledge", alert_id()),
        json!({}),
    )
    .await;
    let alert = events.next("alert").await.unwrap();
    assert_eq!(alert["state"], "acknowledged");
    assert_eq!(alert.get("history"), None);
    for (action, body) in [
        ("shelve", json!({"reason": "known", "minutes": 60})),
        ("unshelve", json!({})),
    ] {
        let path = format!("/alerts/{}/actions/{action}", alert_id());
        hub.post(&caller, &path, body).await;
        let alarm = events.next("alarm").await.unwrap();
        assert_eq!(alarm["rule"], "high");
        // That it ended is told as well.
        assert_eq!(alarm["shelved"].is_null(), action == "unshelve", "{alarm}");
    }
    hub.post(
        &caller,
        &format!("/work-orders/{}/actions/start", order_id()),
        json!({}),
    )
    .await;
    let order = events.next("work_order").await.unwrap();
    assert_eq!(order["state"], "in_progress");
    hub.fixture
        .store
        .revoke_gateway(hub.fixture.scope, hub.fixture.gateway)
        .await
        .unwrap();
    let gateway = events.next("gateway").await.unwrap();
    assert_eq!(gateway["state"], "revoked");
}

#[tokio::test]
async fn who_is_too_slow_is_told_to_read_everything_anew() {
    let hub = Hub::start().await;
    let caller = hub.sign_in("Petra").await;
    let mut events = Events::open(&hub, &caller).await;
    // More changes than the feed holds for one listener.
    let events_of_a_bad_day = (3..1_200)
        .map(|seq| {
            let id = AlertId(uuid::Uuid::from_u128(seq.into()));
            testing::raised(hub.fixture.gateway, seq, id, Severity::Low)
        })
        .collect();
    hub.fixture.tell(events_of_a_bad_day).await;
    assert_eq!(events.next("reset").await.unwrap(), json!({}));
}

#[tokio::test]
async fn a_stream_ends_when_the_hub_stops() {
    let hub = Hub::start().await;
    let caller = hub.sign_in("Petra").await;
    let mut events = Events::open(&hub, &caller).await;
    hub.stop.send(true).unwrap();
    assert_eq!(events.next("reading").await, None);
}

#[tokio::test]
async fn there_are_only_so_many_streams() {
    let hub = Hub::start().await;
    let caller = hub.sign_in("Petra").await;
    let all = hub
        .context
        .streams
        .clone()
        .try_acquire_many_owned(u32::try_from(STREAMS_MAX).unwrap())
        .unwrap();
    let refused = hub.get(&caller, "/stream").await;
    assert_eq!(
        (refused.status, refused.code()),
        (StatusCode::SERVICE_UNAVAILABLE, "too_many_streams")
    );
    drop(all);
    Events::open(&hub, &caller).await;
}
