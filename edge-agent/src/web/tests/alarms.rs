//! What is held back, by the interface: shelving within its limits, out of service, maintenance, reset,
//! the list of alarm points and the load.

use super::*;
use protocol::event::{AlertDescription, AlertKind};

const RULES: &str = "\n[[port]]\nname = \"line\"\nprotocol = \"modbus\"\n[[device]]\nname = \"pump-7\"\n\
    port = \"line\"\nasset = \"P-7\"\n[[device.sensor]]\nname = \"temperature\"\n\
    [[rule]]\nname = \"hot\"\nsensor = \"pump-7/temperature\"\nhigh = 90.0\nseverity = \"medium\"\n\
    latch = true\n[alarms]\nshelve_max = \"2h\"\n[[asset]]\ntag = \"P-7\"\ncriticality = \"A\"\n";

async fn alarm(bench: &Bench) -> Value {
    let (status, body) = get_json(bench, "/api/v1/alarms").await;
    assert_eq!(status, StatusCode::OK, "{body}");
    body["data"][0].clone()
}

#[tokio::test]
async fn an_alarm_point_is_shelved_within_the_limit_and_everybody_sees_it() {
    let bench = bench(RULES);
    let id = alert(&bench).await;
    let point = alarm(&bench).await;
    assert_eq!(
        (&point["state"], &point["isa"]),
        (&json!("active"), &json!("B"))
    );
    assert_eq!(
        point["severity"], "high",
        "medium on an asset of criticality A"
    );
    assert_eq!(point["alert"], json!(id));
    assert_eq!(point["shelve_max_minutes"], 120);
    let path = format!("/api/v1/alerts/{id}/actions/shelve");
    for minutes in [json!(0), json!(121), Value::Null] {
        let body = json!({"by": "Ana", "reason": "known", "minutes": minutes});
        let (status, answer) = post_json(&bench, &path, &body, None).await;
        assert_eq!(
            (status, &answer["field"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &json!("minutes"))
        );
    }
    let no_reason = json!({"by": "Ana", "minutes": 30});
    let (status, answer) = post_json(&bench, &path, &no_reason, None).await;
    assert_eq!(
        (status, &answer["field"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("reason"))
    );
    let body = json!({"by": "Ana", "reason": "known", "minutes": 30});
    let key = "01900000-0000-7000-8000-00000000000c";
    for _ in 0..2 {
        let (status, answer) = post_json(&bench, &path, &body, Some(key)).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        assert_eq!(answer["shelved"]["by"], "Ana");
        assert_eq!(answer["shelved"]["reason"], "known");
        assert_eq!(answer["shelved_until"], answer["shelved"]["until"]);
    }
    let shelved = alarm(&bench).await;
    assert_eq!(
        (&shelved["state"], &shelved["isa"]),
        (&json!("shelved"), &json!("G"))
    );
    let (_, held) = get_json(&bench, "/api/v1/alarms?state=held").await;
    assert_eq!(held["data"].as_array().unwrap().len(), 1);
    let path = format!(
        "/api/v1/alarms/{}/actions/unshelve",
        shelved["id"].as_str().unwrap()
    );
    let (status, answer) = post_json(&bench, &path, &json!({"by": "Ben"}), None).await;
    assert_eq!(
        (status, &answer["state"]),
        (StatusCode::OK, &json!("active"))
    );
    let (status, answer) = post_json(&bench, &path, &json!({"by": "Ben"}), None).await;
    assert_eq!(
        (status, &answer["code"]),
        (StatusCode::CONFLICT, &json!("not_now"))
    );
    let (_, held) = get_json(&bench, "/api/v1/alarms?state=held").await;
    assert_eq!(held["data"], json!([]));
}

#[tokio::test]
async fn out_of_service_and_maintenance_are_switched_once() {
    let bench = bench(RULES);
    let point = alarm(&bench).await;
    assert_eq!(point["isa"], "A");
    let path = format!("/api/v1/alarms/{}/actions", point["id"].as_str().unwrap());
    let out = json!({"by": "Ana", "reason": "wire broken"});
    let (status, answer) = post_json(&bench, &format!("{path}/out-of-service"), &out, None).await;
    assert_eq!((status, &answer["isa"]), (StatusCode::OK, &json!("I")));
    let (status, _) = post_json(&bench, &format!("{path}/out-of-service"), &out, None).await;
    assert_eq!(status, StatusCode::CONFLICT);
    let back = json!({"by": "Ana", "note": "new wire"});
    let (status, answer) = post_json(&bench, &format!("{path}/in-service"), &back, None).await;
    assert_eq!((status, &answer["isa"]), (StatusCode::OK, &json!("A")));

    let path = "/api/v1/maintenance";
    for (body, field) in [
        (json!({"by": "Ana", "on": true, "reason": "seal"}), "asset"),
        (
            json!({"by": "Ana", "on": true, "reason": "seal", "asset": "P-8"}),
            "asset",
        ),
        (
            json!({"by": "Ana", "on": true, "reason": "seal", "device": "pump-8"}),
            "device",
        ),
        (json!({"by": "Ana", "on": true, "asset": "P-7"}), "reason"),
    ] {
        let (status, answer) = post_json(&bench, path, &body, None).await;
        assert_eq!(
            (status, &answer["field"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &json!(field))
        );
    }
    let on = json!({"by": "Ana", "on": true, "reason": "seal", "asset": "P-7", "minutes": 60});
    let (status, answer) = post_json(&bench, path, &on, None).await;
    assert_eq!((status, &answer["on"]), (StatusCode::OK, &json!(true)));
    let (_, list) = get_json(&bench, path).await;
    assert_eq!(list["data"][0]["asset"], "P-7");
    assert_eq!(list["data"][0]["said"]["reason"], "seal");
    let off = json!({"by": "Ana", "on": false, "asset": "P-7"});
    let (status, answer) = post_json(&bench, path, &off, None).await;
    assert_eq!((status, &answer["on"]), (StatusCode::OK, &json!(false)));
    let (status, _) = post_json(&bench, path, &off, None).await;
    assert_eq!(status, StatusCode::CONFLICT);
    let (_, list) = get_json(&bench, path).await;
    assert_eq!(list["data"], json!([]));
}

#[tokio::test]
async fn a_latched_alert_is_reset_when_its_value_is_back() {
    let bench = bench(RULES);
    let id = alert(&bench).await;
    let described = AlertDescription {
        kind: AlertKind::Deviation,
        words: "unlike every Monday before".into(),
        expected: Some((20.0, 60.0)),
        score: Some(7.5),
        reaches_limit_in: None,
        first_out: true,
        criticality: None,
        rule_severity: Severity::Medium,
        latches: true,
    };
    let write = async |event| {
        let new = NewEvent {
            id: None,
            actor: Actor::System("hot".into()),
            record: id.into(),
            body: EventBody::Alert(event),
        };
        bench
            .storage
            .records(move |tx| tx.append(new))
            .await
            .unwrap();
    };
    write(AlertEvent::Described(described)).await;
    let path = format!("/api/v1/alerts/{id}");
    let (_, shown) = get_json(&bench, &path).await;
    assert_eq!(shown["kind"], "deviation");
    assert_eq!(shown["words"], "unlike every Monday before");
    assert_eq!(shown["expected"], json!([20.0, 60.0]));
    assert_eq!(
        (&shown["score"], &shown["first_out"]),
        (&json!(7.5), &json!(true))
    );
    assert_eq!(
        (&shown["priority"], &shown["rule_severity"]),
        (&json!("high"), &json!("medium"))
    );
    let reset = format!("{path}/actions/reset");
    let (status, _) = post_json(&bench, &reset, &json!({"by": "Ana"}), None).await;
    assert_eq!(status, StatusCode::CONFLICT, "the value is not back");
    write(AlertEvent::Cleared { value: Some(70.0) }).await;
    let (_, shown) = get_json(&bench, &path).await;
    assert_eq!(
        (&shown["state"], &shown["latched"]),
        (&json!("active"), &json!(true))
    );
    assert_eq!(alarm(&bench).await["isa"], "E");
    let (status, shown) = post_json(&bench, &reset, &json!({"by": "Ana"}), None).await;
    assert_eq!(
        (status, &shown["state"]),
        (StatusCode::OK, &json!("closed"))
    );
    assert_eq!(shown["reset_by"], "Ana");
    assert_eq!(alarm(&bench).await["isa"], "A");
}

#[tokio::test]
async fn the_load_is_counted_with_its_targets() {
    let bench = bench(RULES);
    alert(&bench).await;
    let (status, load) = get_json(&bench, "/api/v1/alarms/load?hours=2").await;
    assert_eq!((status, &load["alerts"]), (StatusCode::OK, &json!(1)));
    let figures = load["figures"].as_array().unwrap();
    let names: Vec<&str> = figures
        .iter()
        .map(|figure| figure["name"].as_str().unwrap())
        .collect();
    let expected = [
        "per_operator_hour",
        "per_ten_minutes",
        "peak_ten_minutes",
        "flood_share",
        "chattering",
        "fleeting",
        "stale",
        "top_ten_share",
    ];
    assert_eq!(names, expected);
    assert_eq!(figures[0]["value"], 0.5);
    assert_eq!(figures[0]["target"], 6.0);
    assert_eq!(load["bad_actors"][0]["rule"], "hot");
    assert_eq!(
        load["by_priority"][2],
        json!({
            "severity": "high", "alerts": 1, "share": 1.0, "target_share": 0.04
        })
    );
    let (status, _) = get_json(&bench, "/api/v1/alarms/load?hours=0").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn a_rule_that_learns_is_told_that_it_is_normal_now_and_no_other() {
    let odd = "[[rule]]\nname = \"odd\"\nsensor = \"pump-7/temperature\"\nkind = \"deviation\"\n";
    let bench = bench(&format!("{RULES}{odd}"));
    let (_, list) = get_json(&bench, "/api/v1/alarms").await;
    let path = |at: usize| {
        let id = list["data"][at]["id"].as_str().unwrap();
        format!("/api/v1/alarms/{id}/actions/relearn")
    };
    let body = json!({"by": "Ana", "reason": "new pump"});
    let (status, answer) = post_json(&bench, &path(0), &body, None).await;
    assert_eq!(
        (status, &answer["code"]),
        (StatusCode::CONFLICT, &json!("not_now"))
    );
    let (status, answer) = post_json(&bench, &path(1), &json!({"by": "Ana"}), None).await;
    assert_eq!(
        (status, &answer["field"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("reason"))
    );
    let key = "01900000-0000-7000-8000-00000000000d";
    for _ in 0..2 {
        let (status, answer) = post_json(&bench, &path(1), &body, Some(key)).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let anew = &answer["learns_anew"];
        assert_eq!(
            (&anew["by"], &anew["reason"]),
            (&json!("Ana"), &json!("new pump"))
        );
    }
    let points = bench.storage.relearned_alarm_points().await.unwrap();
    assert_eq!((points.len(), points[0].history.len()), (1, 1));
    assert!(bench.storage.held_alarm_points().await.unwrap().is_empty());
}
