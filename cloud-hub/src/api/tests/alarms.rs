//! Holding back alarms of a box from the hub: what goes down to it, what everybody sees, what is refused;
//! and the load of alerts.

use super::*;
use protocol::event::{AlarmPointEvent, Body as EventBody};

const KEY: &str = "3d0a1b2c-0000-4000-8000-00000000001";

fn of_alert(action: &str) -> String {
    format!("/alerts/{}/actions/{action}", alert_id())
}

#[tokio::test]
async fn what_is_shelved_here_goes_down_to_its_box_once_and_is_given_back() {
    let hub = Hub::start().await;
    let caller = hub.sign_in("Petra").await;
    let body = json!({"reason": "part is ordered", "minutes": 60});
    let key = format!("{KEY}1");
    let first = hub
        .post_with_key(&caller, &of_alert("shelve"), &key, body.clone())
        .await;
    assert_eq!(first.status, StatusCode::OK, "{first:?}");
    assert_eq!(first.body["shelved"]["by"], "Petra");
    assert_eq!(first.body["shelved"]["reason"], "part is ordered");
    let again = hub
        .post_with_key(&caller, &of_alert("shelve"), &key, body)
        .await;
    assert_eq!(again.body["shelved"], first.body["shelved"]);
    for other in [
        json!({"reason": "part is ordered", "minutes": 61}),
        json!({"reason": "another", "minutes": 60}),
    ] {
        let other = hub
            .post_with_key(&caller, &of_alert("shelve"), &key, other)
            .await;
        assert_eq!(other.code(), "key_reused", "{other:?}");
    }
    let down = hub
        .fixture
        .store
        .down_after(hub.fixture.scope, hub.fixture.gateway, 0, 1 << 20)
        .await
        .unwrap();
    assert_eq!(down.len(), 1);
    let event = protocol::wire::decode_event(&down[0].1).unwrap();
    assert!(
        matches!(
            &event.body,
            EventBody::AlarmPoint(AlarmPointEvent::Shelved { rule, sensor_path, .. })
                if rule == "high" && sensor_path == "press/temperature"
        ),
        "{event:?}"
    );
    let held = hub.get(&caller, "/alarms").await;
    let point = &held.body["data"][0];
    assert_eq!(point["id"], first.body["point"]);
    assert_eq!(point["gateway"]["name"], "Box B1");
    let path = |action: &str| {
        let id = point["id"].as_str().unwrap();
        format!("/alarms/{id}/actions/{action}")
    };
    let back = hub.post(&caller, &path("unshelve"), json!({})).await;
    assert_eq!(
        (back.status, &back.body["shelved"]),
        (StatusCode::OK, &Value::Null)
    );
    let twice = hub.post(&caller, &path("unshelve"), json!({})).await;
    assert_eq!(twice.code(), "not_now");
    let out = json!({"reason": "wire broken"});
    let out = hub.post(&caller, &path("out-of-service"), out).await;
    assert_eq!(out.body["out_of_service"]["reason"], "wire broken");
    let back = hub.post(&caller, &path("in-service"), json!({})).await;
    assert_eq!(back.body["out_of_service"], Value::Null);
}

#[tokio::test]
async fn wrong_acts_on_an_alarm_are_refused() {
    let hub = Hub::start().await;
    let caller = hub.sign_in("Petra").await;
    for (body, field) in [
        (json!({"reason": "known", "minutes": 481}), "minutes"),
        (json!({"reason": "known", "minutes": 0}), "minutes"),
        (json!({"reason": " ", "minutes": 60}), "reason"),
        (json!({"reason": "known", "minutes": 60, "by": "Eve"}), "by"),
    ] {
        let refused = hub.post(&caller, &of_alert("shelve"), body).await;
        assert_eq!(
            (refused.code(), &refused.body["field"]),
            ("invalid", &json!(field))
        );
    }
    let id = uuid::Uuid::from_u128(0xDEAD);
    for path in [
        format!("/alarms/{id}/actions/unshelve"),
        format!("/alerts/{id}/actions/shelve"),
    ] {
        let body = json!({"reason": "known", "minutes": 60});
        let body = if path.ends_with("unshelve") {
            json!({})
        } else {
            body
        };
        let nowhere = hub.post(&caller, &path, body).await;
        assert_eq!(nowhere.status, StatusCode::NOT_FOUND, "{path}");
    }
    let word = hub
        .post(&caller, &format!("/alarms/{id}/actions/mute"), json!({}))
        .await;
    assert_eq!(word.status, StatusCode::NOT_FOUND);
    let viewer = hub.sign_in("Viktor").await;
    let body = json!({"reason": "known", "minutes": 60});
    let forbidden = hub.post(&viewer, &of_alert("shelve"), body).await;
    assert_eq!(forbidden.code(), "forbidden");
    let held = hub.get(&viewer, "/alarms").await;
    assert_eq!(held.body["data"], json!([]));
}

#[tokio::test]
async fn the_load_is_counted_for_the_site_and_its_gateway() {
    let hub = Hub::start().await;
    let caller = hub.sign_in("Viktor").await;
    // The alert was raised long ago and stands: it counts as that, not as raised.
    let load = hub.get(&caller, "/alarms/load?hours=24&operators=2").await;
    assert_eq!(load.status, StatusCode::OK, "{load:?}");
    let rows = load.body["data"].as_array().unwrap();
    assert_eq!(rows.len(), 2, "the site and its gateway: {rows:?}");
    assert_eq!(rows[0]["site"]["name"], "Plant");
    assert_eq!(rows[0]["gateway"], Value::Null);
    assert_eq!(rows[1]["gateway"]["name"], "Box B1");
    let figure = |row: &Value, name: &str| {
        let figures = row["figures"].as_array().unwrap();
        let found = figures.iter().find(|figure| figure["name"] == name);
        found.unwrap()["value"].as_f64().unwrap()
    };
    assert_eq!(
        (rows[0]["alerts"].as_u64(), rows[0]["operators"].as_u64()),
        (Some(0), Some(2))
    );
    assert!((figure(&rows[0], "stale") - 1.0).abs() < 1e-9);
    let elsewhere = uuid::Uuid::from_u128(7);
    for filter in [format!("site={elsewhere}"), format!("gateway={elsewhere}")] {
        let none = hub.get(&caller, &format!("/alarms/load?{filter}")).await;
        assert_eq!(
            (&none.body["data"], &none.body["left_out"]),
            (&json!([]), &json!(0))
        );
    }
    for (query, field) in [
        ("hours=0", "hours"),
        ("hours=745", "hours"),
        ("operators=0", "operators"),
    ] {
        let refused = hub.get(&caller, &format!("/alarms/load?{query}")).await;
        assert_eq!(refused.body["field"], json!(field));
    }
}
