//! Acts on alerts that waited on a phone without network: they carry the time at which they were
//! done, and undo nothing that came after it.

use super::*;
use protocol::event::AlertDescription;

const RULES: &str = "\n[[port]]\nname = \"line\"\nprotocol = \"modbus\"\n[[device]]\nname = \"pump-7\"\n\
    port = \"line\"\nasset = \"P-7\"\n[[device.sensor]]\nname = \"temperature\"\n\
    [[rule]]\nname = \"hot\"\nsensor = \"pump-7/temperature\"\nhigh = 90.0\n[alarms]\nshelve_max = \"2h\"\n";
const MINUTE_S: i64 = 60;

fn ago(seconds: i64) -> Timestamp {
    clock::now().plus_micros(-seconds * 1_000_000)
}

/// What the box itself wrote of an alert, so long ago.
async fn wrote(bench: &Bench, id: AlertId, event: AlertEvent, ago_s: i64) {
    let new = NewEvent {
        id: None,
        actor: Actor::System("hot".into()),
        record: id.into(),
        body: EventBody::Alert(event),
    };
    bench
        .storage
        .records(move |tx| tx.append_at(new, ago(ago_s), tx.clock()))
        .await
        .unwrap();
}

async fn raised(bench: &Bench, number: u128, ago_s: i64) -> AlertId {
    let id = AlertId(Uuid::from_u128(number));
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
        since: ago(ago_s),
    };
    wrote(bench, id, AlertEvent::Raised(raised), ago_s).await;
    id
}

async fn act(bench: &Bench, id: AlertId, action: &str, body: Value) -> (StatusCode, Value) {
    let path = format!("/api/v1/alerts/{id}/actions/{action}");
    post_json(bench, &path, &body, None).await
}

async fn shown(bench: &Bench, id: AlertId) -> Value {
    get_json(bench, &format!("/api/v1/alerts/{id}")).await.1
}

/// Whether a time of the interface is about so many seconds ago.
fn is_ago(time: &Value, seconds: i64) -> bool {
    let time = protocol::view::parse_rfc3339(time.as_str().unwrap_or_default()).unwrap();
    (ago(seconds).micros_since(time)).abs() < 5_000_000
}

fn not_now((status, answer): &(StatusCode, Value), words: &str) {
    assert_eq!(*status, StatusCode::CONFLICT, "{answer}");
    let detail = answer["detail"].as_str().unwrap();
    assert!(detail.contains(words), "{detail}");
}

#[tokio::test]
async fn an_acknowledgement_and_a_note_keep_the_time_at_which_they_were_made() {
    let bench = bench(RULES);
    let id = raised(&bench, 1, 60 * MINUTE_S).await;
    wrote(
        &bench,
        id,
        AlertEvent::Cleared { value: Some(70.0) },
        10 * MINUTE_S,
    )
    .await;
    let note = json!({"by": "Eva", "text": "the seal drips", "ago_s": 31 * MINUTE_S});
    act(&bench, id, "comment", note).await;
    let seen = json!({"by": "Eva", "ago_s": 30 * MINUTE_S});
    let (status, alert) = act(&bench, id, "acknowledge", seen).await;
    assert_eq!(
        (status, &alert["state"]),
        (StatusCode::OK, &json!("closed"))
    );
    assert!(is_ago(&alert["acknowledged_at"], 30 * MINUTE_S), "{alert}");
    assert!(
        is_ago(&alert["comments"][0]["at"], 31 * MINUTE_S),
        "{alert}"
    );
    // The phone's clock was put forward while it waited: not before there was an alert.
    let young = raised(&bench, 2, MINUTE_S).await;
    let early = json!({"by": "Eva", "ago_s": 30 * MINUTE_S});
    let (_, alert) = act(&bench, young, "acknowledge", early).await;
    assert_eq!(alert["acknowledged_at"], alert["raised_at"]);
    let far = json!({"by": "Eva", "text": "x", "ago_s": 99_999_999});
    let (status, problem) = act(&bench, young, "comment", far).await;
    let invalid = (StatusCode::UNPROCESSABLE_ENTITY, &json!("ago_s"));
    assert_eq!((status, &problem["field"]), invalid);
}

#[tokio::test]
async fn an_acknowledgement_from_before_does_not_silence_what_was_raised_again() {
    let bench = bench(RULES);
    // The same alert: it was acknowledged, and still stood when it was told again.
    let id = raised(&bench, 1, 60 * MINUTE_S).await;
    act(
        &bench,
        id,
        "acknowledge",
        json!({"by": "Jo", "ago_s": 50 * MINUTE_S}),
    )
    .await;
    wrote(&bench, id, AlertEvent::Realarmed, 10 * MINUTE_S).await;
    let before = json!({"by": "Eva", "ago_s": 11 * MINUTE_S});
    not_now(
        &act(&bench, id, "acknowledge", before).await,
        "raised again after",
    );
    assert_eq!(shown(&bench, id).await["state"], "active");
    // Who has seen it since may, on a phone as well as here.
    let after = json!({"by": "Eva", "ago_s": 9 * MINUTE_S});
    let (status, alert) = act(&bench, id, "acknowledge", after).await;
    assert_eq!(
        (status, &alert["state"]),
        (StatusCode::OK, &json!("acknowledged"))
    );
    wrote(&bench, id, AlertEvent::Realarmed, 0).await;
    let (status, _) = act(&bench, id, "acknowledge", json!({"by": "Jo"})).await;
    assert_eq!(status, StatusCode::OK);

    // The next episode is an alert of its own.
    let (old, new) = (
        raised(&bench, 3, 60 * MINUTE_S).await,
        AlertId(Uuid::from_u128(4)),
    );
    wrote(
        &bench,
        old,
        AlertEvent::Cleared { value: None },
        20 * MINUTE_S,
    )
    .await;
    wrote(
        &bench,
        old,
        AlertEvent::Superseded { by: new },
        10 * MINUTE_S,
    )
    .await;
    raised(&bench, 4, 10 * MINUTE_S).await;
    let seen = json!({"by": "Eva", "ago_s": 30 * MINUTE_S});
    let (status, alert) = act(&bench, old, "acknowledge", seen).await;
    assert_eq!(
        (status, &alert["state"]),
        (StatusCode::OK, &json!("closed"))
    );
    assert_eq!(alert["acknowledged_by"], "Eva");
    assert_eq!(shown(&bench, new).await["state"], "active");
}

#[tokio::test]
async fn a_reset_from_before_the_value_came_back_resets_nothing() {
    let bench = bench(RULES);
    let id = raised(&bench, 1, 60 * MINUTE_S).await;
    let described = AlertDescription {
        kind: protocol::event::AlertKind::Threshold,
        words: String::new(),
        expected: None,
        score: None,
        reaches_limit_in: None,
        first_out: false,
        criticality: None,
        rule_severity: Severity::High,
        latches: true,
    };
    wrote(&bench, id, AlertEvent::Described(described), 60 * MINUTE_S).await;
    wrote(
        &bench,
        id,
        AlertEvent::Cleared { value: None },
        10 * MINUTE_S,
    )
    .await;
    let reset = |minutes: i64| json!({"by": "Eva", "ago_s": minutes * MINUTE_S});
    not_now(
        &act(&bench, id, "reset", reset(11)).await,
        "came back only after",
    );
    let (status, alert) = act(&bench, id, "reset", reset(9)).await;
    assert_eq!(
        (status, &alert["state"]),
        (StatusCode::OK, &json!("closed"))
    );
}

#[tokio::test]
async fn a_shelf_begins_when_it_was_said_and_one_that_is_over_holds_nothing_back() {
    let bench = bench(RULES);
    let id = raised(&bench, 1, 120 * MINUTE_S).await;
    let shelve = |minutes: i64, ago: i64| json!({"by": "Eva", "reason": "known", "minutes": minutes, "ago_s": ago * MINUTE_S});
    not_now(
        &act(&bench, id, "shelve", shelve(30, 40)).await,
        "nothing was held back",
    );
    let (_, held) = get_json(&bench, "/api/v1/alarms?state=held").await;
    assert_eq!(held["data"], json!([]));
    let (_, alert) = act(&bench, id, "shelve", shelve(90, 40)).await;
    assert!(is_ago(&alert["shelved"]["at"], 40 * MINUTE_S), "{alert}");
    assert!(
        is_ago(&alert["shelved"]["until"], -50 * MINUTE_S),
        "{alert}"
    );

    // Jo ended it; what Eva's phone says of the time before changes nothing any more, and the other way.
    act(
        &bench,
        id,
        "unshelve",
        json!({"by": "Jo", "ago_s": 20 * MINUTE_S}),
    )
    .await;
    not_now(
        &act(&bench, id, "shelve", shelve(90, 25)).await,
        "Jo did something else",
    );
    assert_eq!(shown(&bench, id).await["shelved"], Value::Null);
    act(&bench, id, "shelve", shelve(90, 10)).await;
    let before = json!({"by": "Jo", "ago_s": 15 * MINUTE_S});
    not_now(
        &act(&bench, id, "unshelve", before).await,
        "Eva did something else",
    );
    assert_eq!(shown(&bench, id).await["shelved"]["by"], "Eva");
}

#[tokio::test]
async fn out_of_service_and_maintenance_from_before_change_nothing() {
    let bench = bench(RULES);
    let id = raised(&bench, 1, 60 * MINUTE_S).await;
    let out = |ago: i64| json!({"by": "Eva", "reason": "wire", "ago_s": ago * MINUTE_S});
    let (_, alert) = act(&bench, id, "out-of-service", out(30)).await;
    assert!(
        is_ago(&alert["out_of_service"]["at"], 30 * MINUTE_S),
        "{alert}"
    );
    act(
        &bench,
        id,
        "in-service",
        json!({"by": "Jo", "ago_s": 20 * MINUTE_S}),
    )
    .await;
    not_now(
        &act(&bench, id, "out-of-service", out(25)).await,
        "(in service)",
    );

    let on = |minutes: i64, ago: i64| {
        json!({"by": "Eva", "asset": "P-7", "on": true, "reason": "seal", "minutes": minutes,
            "ago_s": ago * MINUTE_S})
    };
    let path = "/api/v1/maintenance";
    not_now(
        &post_json(&bench, path, &on(10, 15), None).await,
        "nothing was held back",
    );
    let (_, work) = post_json(&bench, path, &on(30, 15), None).await;
    assert!(is_ago(&work["until"], -15 * MINUTE_S), "{work}");
    let off = json!({"by": "Jo", "asset": "P-7", "on": false});
    assert_eq!(post_json(&bench, path, &off, None).await.0, StatusCode::OK);
    not_now(
        &post_json(&bench, path, &on(30, 5), None).await,
        "(maintenance ended)",
    );
}
