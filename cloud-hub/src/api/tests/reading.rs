//! Every route that only reads: what it gives, filters, pages, and what is not there.

use super::*;
use crate::store::Connected;
use protocol::time::ClockState;

const NOBODY: &str = "00000000-0000-0000-0000-00000000dead";

#[tokio::test]
async fn sites_gateways_and_people_are_listed() {
    let hub = Hub::start().await;
    let caller = hub.sign_in("Viktor").await;
    let sites = hub.get(&caller, "/sites").await;
    assert_eq!(sites.status, StatusCode::OK);
    assert_eq!(sites.body["data"][0]["name"], "Plant");
    assert_eq!(sites.body["data"][0]["alerts_active"], 1);
    assert_eq!(sites.body["next_cursor"], Value::Null);
    let gateways = hub.get(&caller, "/gateways").await;
    let gateway = &gateways.body["data"][0];
    assert_eq!(gateway["code"], "B1");
    assert_eq!(gateway["site"]["name"], "Plant");
    let people = hub.get(&caller, "/users").await;
    let names: Vec<_> = people.body["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|user| user["name"].clone())
        .collect();
    assert_eq!(names, ["admin", "Petra", "Viktor"]);
    assert!(people.body.to_string().find("argon2").is_none());
}

#[tokio::test]
async fn a_gateway_says_how_complete_it_is() {
    let hub = Hub::start().await;
    let caller = hub.sign_in("Viktor").await;
    let path = format!("/gateways/{}", hub.fixture.gateway);
    let hello = Connected {
        version: "1.2.3".to_owned(),
        clock: ClockState::Synchronised,
    };
    let (scope, id) = (hub.fixture.scope, hub.fixture.gateway);
    hub.fixture.store.connected(scope, id, hello).await.unwrap();
    let gateway = hub.get(&caller, &path).await;
    assert_eq!(gateway.status, StatusCode::OK);
    assert_eq!(gateway.body["state"], "online");
    assert_eq!(gateway.body["version"], "1.2.3");
    let completeness = &gateway.body["completeness"];
    assert_eq!(completeness["missing"], 0, "{completeness}");
    assert!(completeness["words"].as_str().unwrap().len() > 10);
    assert_eq!(completeness["spans"][0]["state"], "complete");
    // Polls 11 to 20 are missing now.
    hub.fixture.bring(vec![testing::block(21, 30)]).await;
    let gateway = hub.get(&caller, &path).await;
    assert_eq!(
        gateway.body["completeness"]["missing"], 10,
        "{}",
        gateway.body
    );
    assert_eq!(
        hub.get(&caller, &format!("/gateways/{NOBODY}"))
            .await
            .code(),
        "not_found"
    );
}

#[tokio::test]
async fn sensors_are_found_and_carry_their_newest_reading() {
    let hub = Hub::start().await;
    let caller = hub.sign_in("Viktor").await;
    let all = hub.get(&caller, "/sensors").await;
    assert_eq!(all.body["data"].as_array().unwrap().len(), 2);
    let found = hub.get(&caller, "/sensors?q=vibra").await;
    assert_eq!(found.body["data"][0]["path"], "press/vibration");
    assert_eq!(found.body["data"].as_array().unwrap().len(), 1);
    let elsewhere = hub
        .get(&caller, &format!("/sensors?gateway={NOBODY}"))
        .await;
    assert_eq!(elsewhere.body["data"], json!([]));
    let one = hub
        .get(&caller, &format!("/sensors/{}", testing::sensors()[0]))
        .await;
    assert_eq!(one.body["name"], "temperature");
    assert_eq!(one.body["device"], "press");
    assert_eq!(one.body["value"], 10.0);
    assert_eq!(one.body["text"], Value::Null);
    hub.fixture.tell(vec![worded(&hub, 3)]).await;
    let path = format!("/sensors/{}", testing::sensors()[0]);
    assert_eq!(hub.get(&caller, &path).await.body["text"], "running");
    let all = hub.get(&caller, "/sensors").await;
    assert_eq!(all.body["data"][0]["text"], "running");
    assert_eq!(one.body["quality"], "good");
    assert_eq!(one.body["unit"]["symbol"], "°C");
    assert_eq!(one.body["limits"][0]["direction"], "high");
    assert_eq!(
        hub.get(&caller, &format!("/sensors/{NOBODY}")).await.code(),
        "not_found"
    );
    assert_eq!(
        hub.get(&caller, "/sensors/not-an-id").await.code(),
        "not_found"
    );
}

#[tokio::test]
async fn readings_come_raw_when_few_and_in_buckets_when_many() {
    let hub = Hub::start().await;
    let caller = hub.sign_in("Viktor").await;
    let path = format!("/sensors/{}/readings", testing::sensors()[0]);
    let from = protocol::view::rfc3339(testing::poll_time(1));
    let to = protocol::view::rfc3339(testing::poll_time(11));
    let raw = hub
        .get(&caller, &format!("{path}?from={from}&to={to}"))
        .await;
    assert_eq!(raw.status, StatusCode::OK, "{raw:?}");
    assert_eq!(raw.body["raw"], true);
    let points = raw.body["points"].as_array().unwrap();
    assert_eq!(points.len(), 10);
    assert_eq!(
        points[0],
        json!([testing::poll_time(1).millis(), 1.0, 1.0, 1.0, 0])
    );
    let few = hub
        .get(&caller, &format!("{path}?from={from}&to={to}&points=2"))
        .await;
    assert_eq!(few.body["raw"], false);
    assert!(few.body["points"].as_array().unwrap().len() <= 2);
    for bad in [
        "from=yesterday",
        "points=0",
        "points=1000000",
        "from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z",
    ] {
        let answer = hub.get(&caller, &format!("{path}?{bad}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{bad}");
        assert!(answer.body["field"].is_string(), "{answer:?}");
    }
    let unknown = hub
        .get(&caller, &format!("/sensors/{NOBODY}/readings"))
        .await;
    assert_eq!(unknown.code(), "not_found");
}

#[tokio::test]
async fn alerts_and_orders_are_filtered() {
    let hub = Hub::start().await;
    let caller = hub.sign_in("Viktor").await;
    let count = async |path: &str| {
        let answer = hub.get(&caller, path).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.body["data"].as_array().unwrap().len()
    };
    for (path, expected) in [
        ("/alerts", 1),
        ("/alerts?state=open", 1),
        ("/alerts?state=active", 1),
        ("/alerts?state=closed", 0),
        ("/alerts?severity=high", 1),
        ("/alerts?severity=low", 0),
        ("/work-orders?state=all", 1),
        ("/work-orders?state=in_progress", 0),
        ("/work-orders?q=BEARING", 1),
        ("/work-orders?q=pump", 0),
    ] {
        assert_eq!(count(path).await, expected, "{path}");
    }
    let here = format!("/alerts?gateway={}", hub.fixture.gateway);
    assert_eq!(count(&here).await, 1);
    assert_eq!(count(&format!("/work-orders?gateway={NOBODY}")).await, 0);
    for bad in [
        "/alerts?state=sleepy",
        "/alerts?severity=loud",
        "/alerts?gateway=B1",
        "/work-orders?state=x",
        "/alerts?limit=0",
        "/alerts?limit=201",
        "/alerts?cursor=zz",
    ] {
        assert_eq!(hub.get(&caller, bad).await.code(), "invalid", "{bad}");
    }
}

#[tokio::test]
async fn one_alert_and_one_order_come_with_their_history() {
    let hub = Hub::start().await;
    let caller = hub.sign_in("Viktor").await;
    let alert = hub.get(&caller, &format!("/alerts/{}", alert_id())).await;
    assert_eq!(alert.body["state"], "active");
    assert_eq!(alert.body["history"][0]["what"], "raised");
    assert_eq!(alert.body["gateway"]["name"], "Box B1");
    let order = hub
        .get(&caller, &format!("/work-orders/{}", order_id()))
        .await;
    assert_eq!(order.body["number"], "B1-0002");
    assert_eq!(order.body["history"][0]["origin"], "gateway");
    assert_eq!(order.body["snapshot"], json!([]));
    let listed = hub.get(&caller, "/work-orders").await;
    assert_eq!(listed.body["data"][0].get("history"), None);
    assert_eq!(
        hub.get(&caller, &format!("/alerts/{NOBODY}")).await.code(),
        "not_found"
    );
    assert_eq!(
        hub.get(&caller, &format!("/work-orders/{NOBODY}"))
            .await
            .code(),
        "not_found"
    );
}

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_twin() {
    let hub = Hub::start().await;
    let events = (3..10)
        .map(|seq| {
            let id = WorkOrderId(uuid::Uuid::from_u128(seq.into()));
            testing::created(hub.fixture.gateway, seq, id, "Round")
        })
        .collect();
    hub.fixture.tell(events).await;
    let caller = hub.sign_in("Viktor").await;
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = hub
            .get(&caller, &format!("/work-orders?limit=3&cursor={cursor}"))
            .await;
        for row in page.body["data"].as_array().unwrap() {
            seen.push(row["number"].as_str().unwrap().to_owned());
        }
        match page.body["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    let expected: Vec<_> = (2..10).rev().map(|seq| format!("B1-{seq:04}")).collect();
    assert_eq!(seen, expected);
}
