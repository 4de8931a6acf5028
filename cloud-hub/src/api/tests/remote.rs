//! Documents and commands for a box: who may give them, and what is shown of them.

use super::*;

fn path(hub: &Hub, what: &str) -> String {
    format!("/gateways/{}/{what}", hub.fixture.gateway)
}

#[tokio::test]
async fn only_administrators_give_and_everybody_sees() {
    let hub = Hub::start().await;
    let (admin, planner) = (hub.sign_in("admin").await, hub.sign_in("Petra").await);
    let commands = path(&hub, "commands");
    let configuration = path(&hub, "configuration");
    let document = json!({"text": "[[port]]\n"});
    for (path, body) in [
        (&commands, json!({"task": "restart"})),
        (&configuration, document.clone()),
    ] {
        let refused = hub.post(&planner, path, body).await;
        assert_eq!(
            (refused.status, refused.code()),
            (StatusCode::FORBIDDEN, "forbidden")
        );
    }
    let key = "3d0a1b2c-0000-4000-8000-000000000009";
    for _ in 0..2 {
        let body = json!({"task": "read", "arguments": ["pump-7/flow"], "expires_s": 60});
        let given = hub.post_with_key(&admin, &commands, key, body).await;
        assert_eq!(
            (given.status, &given.body["id"]),
            (StatusCode::CREATED, &json!(key))
        );
    }
    let shown = hub.get(&planner, &commands).await;
    assert_eq!(shown.body["data"].as_array().unwrap().len(), 1);
    assert_eq!(shown.body["data"][0]["by"], "admin");
    assert_eq!(shown.body["data"][0]["outcome"], Value::Null);
    let made = hub.post(&admin, &configuration, document).await;
    assert_eq!(
        (made.status, &made.body["document"]),
        (StatusCode::CREATED, &json!(1))
    );
    let shown = hub.get(&planner, &configuration).await;
    assert_eq!(shown.body["documents"][0]["by"], "admin");
    assert_eq!(shown.body["told"], Value::Null);
}

#[tokio::test]
async fn what_cannot_be_is_told() {
    let hub = Hub::start().await;
    let admin = hub.sign_in("admin").await;
    for body in [
        json!({"task": "explode"}),
        json!({"task": "read"}),
        json!({"task": "restart", "expires_s": 0}),
    ] {
        let refused = hub
            .post(&admin, &path(&hub, "commands"), body.clone())
            .await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{body}");
    }
    let empty = hub
        .post(&admin, &path(&hub, "configuration"), json!({"text": " "}))
        .await;
    assert_eq!(empty.status, StatusCode::BAD_REQUEST);
    let nobody = "/gateways/00000000-0000-4000-8000-000000000001/commands";
    let unknown = hub.post(&admin, nobody, json!({"task": "restart"})).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
}
