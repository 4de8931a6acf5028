//! Every route that writes: what it does, who may not, what is refused, and repeats.

use super::*;

const KEY: &str = "3d0a1b2c-0000-4000-8000-00000000000";

fn alert_action(action: &str) -> String {
    format!("/alerts/{}/actions/{action}", alert_id())
}

fn order_action(action: &str) -> String {
    format!("/work-orders/{}/actions/{action}", order_id())
}

#[tokio::test]
async fn an_alert_is_acknowledged_once_and_commented() {
    let hub = Hub::start().await;
    let caller = hub.sign_in("Petra").await;
    let key = format!("{KEY}1");
    let body = json!({"note": "I go and look"});
    let first = hub
        .post_with_key(&caller, &alert_action("acknowledge"), &key, body.clone())
        .await;
    assert_eq!(first.status, StatusCode::OK, "{first:?}");
    assert_eq!(first.body["state"], "acknowledged");
    assert_eq!(first.body["acknowledged_by"], "Petra");
    assert_eq!(first.body["history"][1]["id"], key);
    let again = hub
        .post_with_key(&caller, &alert_action("acknowledge"), &key, body)
        .await;
    assert_eq!(again.body, first.body);
    let other = hub
        .post(&caller, &alert_action("acknowledge"), json!({}))
        .await;
    assert_eq!(other.status, StatusCode::CONFLICT);
    assert_eq!(other.code(), "not_now");
    let comment = hub
        .post(
            &caller,
            &alert_action("comment"),
            json!({"text": "Bearing is hot"}),
        )
        .await;
    assert_eq!(comment.body["comments"][0]["text"], "Bearing is hot");
}

#[tokio::test]
async fn what_is_done_to_an_alert_goes_down_to_its_box() {
    let hub = Hub::start().await;
    let caller = hub.sign_in("Petra").await;
    hub.post(&caller, &alert_action("acknowledge"), json!({}))
        .await;
    let down = hub
        .fixture
        .store
        .down_after(hub.fixture.scope, hub.fixture.gateway, 0, 1 << 20)
        .await
        .unwrap();
    assert_eq!(down.len(), 1);
    let event = protocol::wire::decode_event(&down[0].1).unwrap();
    assert_eq!(event.actor.name(), "Petra");
    assert_eq!(event.record, alert_id().into());
}

#[tokio::test]
async fn wrong_acts_on_an_alert_are_refused() {
    let hub = Hub::start().await;
    let caller = hub.sign_in("Petra").await;
    let empty = hub
        .post(&caller, &alert_action("comment"), json!({"text": "  "}))
        .await;
    assert_eq!(
        (empty.code(), &empty.body["field"]),
        ("invalid", &json!("text"))
    );
    let foreign = hub
        .post(
            &caller,
            &alert_action("acknowledge"),
            json!({"by": "Mallory"}),
        )
        .await;
    assert_eq!(
        (foreign.code(), &foreign.body["field"]),
        ("invalid", &json!("by"))
    );
    let unknown = hub.post(&caller, &alert_action("clear"), json!({})).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let nowhere = "/alerts/00000000-0000-0000-0000-00000000dead/actions/acknowledge";
    assert_eq!(
        hub.post(&caller, nowhere, json!({})).await.code(),
        "not_found"
    );
    let key = hub
        .post_with_key(&caller, &alert_action("acknowledge"), "seven", json!({}))
        .await;
    assert_eq!(
        (key.code(), &key.body["field"]),
        ("invalid", &json!("Idempotency-Key"))
    );
    let viewer = hub.sign_in("Viktor").await;
    let forbidden = hub
        .post(&viewer, &alert_action("acknowledge"), json!({}))
        .await;
    assert_eq!(
        (forbidden.status, forbidden.code()),
        (StatusCode::FORBIDDEN, "forbidden")
    );
}

#[tokio::test]
async fn an_order_made_at_the_hub_gets_the_next_number_once_per_key() {
    let hub = Hub::start().await;
    let caller = hub.sign_in("Petra").await;
    let order = json!({
        "title": "Grease the press",
        "gateway_id": hub.fixture.gateway.to_string(),
        "asset": "P-1",
        "priority": 4,
        "type": "preventive",
    });
    let key = format!("{KEY}2");
    let first = hub
        .post_with_key(&caller, "/work-orders", &key, order.clone())
        .await;
    assert_eq!(first.status, StatusCode::CREATED, "{first:?}");
    assert_eq!(first.body["number"], "H-0001");
    assert_eq!(first.body["created_by"], "Petra");
    assert_eq!(first.body["type"], "preventive");
    assert_eq!(first.body["gateway"]["name"], "Box B1");
    let again = hub
        .post_with_key(&caller, "/work-orders", &key, order.clone())
        .await;
    assert_eq!(
        (again.status, &again.body),
        (StatusCode::CREATED, &first.body)
    );
    let second = hub.post(&caller, "/work-orders", order.clone()).await;
    assert_eq!(second.body["number"], "H-0002");
    let mut other = order.clone();
    other["title"] = json!("Paint the press");
    let reused = hub
        .post_with_key(&caller, "/work-orders", &key, other)
        .await;
    assert_eq!(
        (reused.status, reused.code()),
        (StatusCode::CONFLICT, "key_reused")
    );
}

#[tokio::test]
async fn wrong_orders_are_refused_and_take_no_number() {
    let hub = Hub::start().await;
    let caller = hub.sign_in("Petra").await;
    let good = json!({"title": "Grease", "gateway_id": hub.fixture.gateway.to_string()});
    let change = |name: &str, value: Value| {
        let mut order = good.clone();
        order[name] = value;
        order
    };
    for (order, field) in [
        (change("title", json!(" ")), "title"),
        (change("title", json!("x".repeat(300))), "title"),
        (change("priority", json!(9)), "priority"),
        (
            change("description", json!("x".repeat(9_000))),
            "description",
        ),
        (change("state", json!("done")), "state"),
        (json!({"title": "Grease"}), "gateway_id"),
    ] {
        let answer = hub.post(&caller, "/work-orders", order).await;
        assert_eq!(
            (answer.code(), &answer.body["field"]),
            ("invalid", &json!(field))
        );
    }
    let nowhere = change("gateway_id", json!("00000000-0000-0000-0000-00000000dead"));
    assert_eq!(
        hub.post(&caller, "/work-orders", nowhere).await.code(),
        "not_found"
    );
    let viewer = hub.sign_in("Viktor").await;
    assert_eq!(
        hub.post(&viewer, "/work-orders", good.clone()).await.code(),
        "forbidden"
    );
    assert_eq!(
        hub.post(&caller, "/work-orders", good).await.body["number"],
        "H-0001"
    );
}

#[tokio::test]
async fn fields_change_one_event_each() {
    let hub = Hub::start().await;
    let caller = hub.sign_in("Petra").await;
    let path = format!("/work-orders/{}", order_id());
    let send = async |caller: &Caller, body: Value| {
        hub.answer(request("PATCH", &path, Some(caller), Some(&body)))
            .await
    };
    let both = send(
        &caller,
        json!({"priority": 1, "title": "Change the bearing", "due": "2026-12-01T08:00:00+01:00"}),
    )
    .await;
    assert_eq!(both.status, StatusCode::OK, "{both:?}");
    assert_eq!(both.body["priority"], 1);
    assert_eq!(both.body["title"], "Change the bearing");
    assert_eq!(both.body["due"], "2026-12-01T07:00:00Z");
    assert_eq!(both.body["history"].as_array().unwrap().len(), 4);
    let same = send(&caller, json!({"priority": 1})).await;
    assert_eq!(
        same.body["history"].as_array().unwrap().len(),
        4,
        "an equal value is no event"
    );
    let none = send(&caller, json!({"due": null})).await;
    assert_eq!(none.body["due"], Value::Null);
    let wrong = send(&caller, json!({"due": "tomorrow"})).await;
    assert_eq!(
        (wrong.code(), &wrong.body["field"]),
        ("invalid", &json!("due"))
    );
    let unknown = send(&caller, json!({"number": "X"})).await;
    assert_eq!(
        (unknown.code(), &unknown.body["field"]),
        ("invalid", &json!("number"))
    );
    let viewer = hub.sign_in("Viktor").await;
    assert_eq!(
        send(&viewer, json!({"priority": 2})).await.code(),
        "forbidden"
    );
    hub.post(&caller, &order_action("cancel"), json!({"reason": "Sold"}))
        .await;
    assert_eq!(
        send(&caller, json!({"priority": 3})).await.code(),
        "not_now"
    );
}

#[tokio::test]
async fn an_order_is_worked_from_assignment_to_close() {
    let hub = Hub::start().await;
    let caller = hub.sign_in("Petra").await;
    let people = hub.get(&caller, "/users").await;
    let viktor = people.body["data"][2]["id"].clone();
    for (action, body, field, expected) in [
        ("assign", json!({"user_id": viktor}), "assignee", "Viktor"),
        ("start", json!({}), "state", "in_progress"),
        (
            "hold",
            json!({"reason": "material"}),
            "hold_reason",
            "material",
        ),
        ("resume", json!({}), "state", "in_progress"),
        (
            "complete",
            json!({"remedy": "New bearing", "minutes": 40}),
            "remedy",
            "New bearing",
        ),
        ("close", json!({"note": "Fine"}), "state", "closed"),
        ("reopen", json!({"reason": "Noise again"}), "state", "open"),
        (
            "assign",
            json!({"name": "Night shift"}),
            "assignee",
            "Night shift",
        ),
    ] {
        let answer = hub.post(&caller, &order_action(action), body).await;
        assert_eq!(answer.status, StatusCode::OK, "{action} {answer:?}");
        assert_eq!(answer.body[field], expected, "{action}");
    }
    let order = hub
        .post(&caller, &order_action("unassign"), json!({}))
        .await;
    assert_eq!(order.body["assignee"], Value::Null);
    assert_eq!(order.body["labour"][0]["minutes"], 40);
    let order = hub
        .post(
            &caller,
            &order_action("comment"),
            json!({"text": "Ordered"}),
        )
        .await;
    assert_eq!(order.body["comments"][0]["by"], "Petra");
    let order = hub
        .post(
            &caller,
            &order_action("part"),
            json!({"part": "6204", "quantity": 2}),
        )
        .await;
    assert_eq!(order.body["parts"][0]["quantity"], 2.0);
    let order = hub
        .post(&caller, &order_action("review_done"), json!({}))
        .await;
    assert_eq!(order.body["needs_review"], false);
}

#[tokio::test]
async fn what_the_state_does_not_allow_is_refused_in_words() {
    let hub = Hub::start().await;
    let caller = hub.sign_in("Petra").await;
    let answer = hub.post(&caller, &order_action("resume"), json!({})).await;
    assert_eq!(
        (answer.status, answer.code()),
        (StatusCode::CONFLICT, "not_now")
    );
    let words = answer.body["detail"].as_str().unwrap();
    assert!(
        words.contains("B1-0002 is open") && words.contains("start"),
        "{words}"
    );
    let nobody = json!({"user_id": "00000000-0000-0000-0000-00000000dead"});
    let answer = hub.post(&caller, &order_action("assign"), nobody).await;
    assert_eq!(
        (answer.code(), &answer.body["field"]),
        ("invalid", &json!("user_id"))
    );
    let answer = hub.post(&caller, &order_action("explode"), json!({})).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    let answer = hub
        .post(&caller, &order_action("hold"), json!({"reason": "coffee"}))
        .await;
    assert_eq!(answer.code(), "invalid");
    let viewer = hub.sign_in("Viktor").await;
    assert_eq!(
        hub.post(&viewer, &order_action("start"), json!({}))
            .await
            .code(),
        "forbidden"
    );
}

#[tokio::test]
async fn a_repeated_act_counts_once_and_a_key_is_for_one_act() {
    let hub = Hub::start().await;
    let caller = hub.sign_in("Petra").await;
    let key = format!("{KEY}3");
    let body = json!({"remedy": "New bearing", "minutes": 40});
    let first = hub
        .post_with_key(&caller, &order_action("complete"), &key, body.clone())
        .await;
    assert_eq!(first.body["state"], "done", "{first:?}");
    // The state no longer allows it, and still the lost answer is given again.
    let again = hub
        .post_with_key(&caller, &order_action("complete"), &key, body)
        .await;
    assert_eq!((again.status, &again.body), (StatusCode::OK, &first.body));
    assert_eq!(again.body["labour"].as_array().unwrap().len(), 1);
    let other = hub
        .post_with_key(
            &caller,
            &order_action("comment"),
            &key,
            json!({"text": "Hm"}),
        )
        .await;
    assert_eq!(other.code(), "key_reused");
    let elsewhere = hub
        .post_with_key(&caller, &alert_action("acknowledge"), &key, json!({}))
        .await;
    assert_eq!(elsewhere.code(), "key_reused");
}

#[tokio::test]
async fn a_repeated_change_does_not_undo_a_later_one() {
    let hub = Hub::start().await;
    let caller = hub.sign_in("Petra").await;
    let path = format!("/work-orders/{}", order_id());
    let set = async |priority: u8, key: &str| {
        let body = json!({"priority": priority});
        let mut request = request("PATCH", &path, Some(&caller), Some(&body));
        let key = format!("{KEY}{key}").parse().unwrap();
        request.headers_mut().insert("idempotency-key", key);
        hub.answer(request).await.body["priority"].clone()
    };
    assert_eq!(set(1, "4").await, 1);
    assert_eq!(set(5, "5").await, 5);
    assert_eq!(
        set(1, "4").await,
        5,
        "the repeat of a lost answer changes nothing"
    );
}

#[tokio::test]
async fn the_same_act_of_two_people_at_once_counts_once_or_is_refused() {
    let hub = Hub::start().await;
    let caller = hub.sign_in("Petra").await;
    let (path, body) = (order_action("start"), json!({}));
    let (left, right) = tokio::join!(
        hub.post(&caller, &path, body.clone()),
        hub.post(&caller, &path, body.clone())
    );
    let mut statuses = [left.status.as_u16(), right.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
}
