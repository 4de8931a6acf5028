//! An order from the request to the signature, the stock and what is made on the box, through the
//! interface and against a real store.

use super::people::{Browser, with_site};
use super::*;
use protocol::bundle::{Answer, Asset, Bundle, Checklist, Criticality, Part, Step};

/// What the hub told of the site beside its people.
fn site(bundle: Bundle) -> Bundle {
    let step = |title: &str, answer| Step {
        title: title.into(),
        required: true,
        answer,
    };
    let pressure = Answer::Number {
        unit: "bar".into(),
        low: Some(2.0),
        high: Some(4.0),
    };
    Bundle {
        assets: vec![Asset {
            tag: "P-101".into(),
            name: "Feed pump".into(),
            parent: None,
            criticality: Some(Criticality::A),
            class: Some("pump".into()),
            location: None,
        }],
        parts: vec![Part {
            number: "SKF-6204".into(),
            name: "Bearing".into(),
            stock: 3.0,
            unit: "piece".into(),
            place: Some("A-3".into()),
            minimum: Some(2.0),
        }],
        checklists: vec![Checklist {
            id: "pump-monthly".into(),
            version: 1,
            title: "Pump, monthly".into(),
            class: Some("pump".into()),
            steps: vec![
                step("Oil level is right", Answer::Yes),
                step("Pressure", pressure),
                step("Released", Answer::Signature),
            ],
        }],
        ..bundle
    }
}

async fn done(browser: &mut Browser, bench: &Bench, path: &str, body: Value) -> Value {
    let (status, answer) = browser.post(bench, path, body).await;
    assert!(status.is_success(), "{path}: {answer}");
    answer
}

async fn refused(browser: &mut Browser, bench: &Bench, path: &str, body: Value) -> String {
    let (status, answer) = browser.post(bench, path, body).await;
    assert!(status.is_client_error(), "{path}: {answer}");
    answer["detail"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_order_lives_from_the_request_to_the_signature() {
    let bench = with_site(site).await;
    let (mut mara, mut tom) = (Browser::default(), Browser::default());
    mara.sign_in(&bench, "Mara", "111111").await;
    tom.sign_in(&bench, "Tom", "2222").await;
    let new = json!({"title": "Pump is loud", "asset": "P-101", "request": true});
    let order = done(&mut tom, &bench, "/api/v1/work-orders", new).await;
    assert_eq!(order["state"], "requested");
    let id = order["id"].as_str().unwrap().to_owned();
    let to = |action: &str| format!("/api/v1/work-orders/{id}/actions/{action}");
    // A technician works, a planner decides.
    let words = refused(&mut tom, &bench, &to("approve"), json!({})).await;
    assert!(words.contains("planner"), "{words}");
    done(&mut mara, &bench, &to("approve"), json!({})).await;
    let words = refused(&mut mara, &bench, &to("approve"), json!({})).await;
    assert!(
        words.contains("is open") && words.contains("start"),
        "{words}"
    );
    let due = json!({"due": "2026-12-24T08:00:00+01:00", "priority": 2});
    let order = done(&mut mara, &bench, &to("edit"), due).await;
    assert_eq!(order["due"], "2026-12-24T07:00:00Z");
    let window = json!({"from": "2026-12-01T06:00:00Z", "until": "2026-12-01T08:00:00Z"});
    let order = done(&mut mara, &bench, &to("schedule"), window).await;
    assert_eq!(order["scheduled_from"], "2026-12-01T06:00:00Z");
    worked(&bench, &mut tom, &id).await;
    // Nobody verifies their own work.
    let words = refused(&mut tom, &bench, &to("verify"), json!({})).await;
    assert!(words.contains("somebody else"), "{words}");
    done(&mut mara, &bench, &to("verify"), json!({})).await;
    let order = done(&mut mara, &bench, &to("close"), json!({"note": "good"})).await;
    assert_eq!(
        (&order["state"], &order["needs_review"]),
        (&json!("closed"), &json!(false))
    );
    assert_eq!(order["verified_by"], "Mara");
}

/// From the assignment to the end of the work.
async fn worked(bench: &Bench, tom: &mut Browser, id: &str) {
    let to = |action: &str| format!("/api/v1/work-orders/{id}/actions/{action}");
    // To take an order oneself is work; to give it to somebody is not.
    let words = refused(tom, bench, &to("assign"), json!({"name": "Mara"})).await;
    assert!(words.contains("planner"), "{words}");
    done(tom, bench, &to("assign"), json!({"name": "Tom"})).await;
    done(
        tom,
        bench,
        &to("checklist"),
        json!({"checklist": "pump-monthly"}),
    )
    .await;
    let ago = json!({"ago_s": 1_790});
    let order = done(tom, bench, &to("labour_start"), ago).await;
    assert_eq!(order["state"], "in_progress");
    let tasks = order["tasks"].as_array().unwrap();
    let task = |at: usize| tasks[at]["id"].clone();
    let words = refused(tom, bench, &to("complete"), json!({})).await;
    assert!(
        words.contains("Oil level is right; Pressure; Released"),
        "{words}"
    );
    done(
        tom,
        bench,
        &to("task"),
        json!({"task": task(0), "value": true}),
    )
    .await;
    let order = done(
        tom,
        bench,
        &to("task"),
        json!({"task": task(1), "value": 4.6}),
    )
    .await;
    assert_eq!(
        (&order["tasks_failed"], &order["tasks"][1]["failed"]),
        (&json!(1), &json!(true))
    );
    let next = json!({"task": task(1)});
    let order = done(tom, bench, &to("follow_up"), next).await;
    assert_eq!(order["follow_ups"][0]["number"], "T1-0002");
    let failure = json!({"problem": "loud", "cause": "bearing worn", "effect": "reduced",
        "downtime_minutes": 40});
    let order = done(tom, bench, &to("failure"), failure).await;
    assert_eq!(order["failure"]["downtime_minutes"], 40);
    done(
        tom,
        bench,
        &to("part"),
        json!({"part": "SKF-6204", "quantity": 2}),
    )
    .await;
    signed(bench, tom, (id, &task(2))).await;
    let order = done(
        tom,
        bench,
        &to("complete"),
        json!({"remedy": "new bearing"}),
    )
    .await;
    assert_eq!(order["labour"][0]["minutes"], 30);
    assert_eq!(order["state"], "done");
}

/// A signature is for who holds the PIN, at this moment.
async fn signed(bench: &Bench, tom: &mut Browser, (id, task): (&str, &Value)) {
    let to = |action: &str| format!("/api/v1/work-orders/{id}/actions/{action}");
    let sign = |pin: &str| json!({"meaning": "released", "task": task, "pin": pin});
    let words = refused(tom, bench, &to("sign"), json!({"meaning": "released"})).await;
    assert!(words.contains("pin is missing"), "{words}");
    refused(tom, bench, &to("sign"), sign("111111")).await;
    let order = done(tom, bench, &to("sign"), sign("2222")).await;
    let signature = &order["signatures"][0];
    assert_eq!(
        (&signature["by"], &signature["method"]),
        (&json!("Tom"), &json!("pin"))
    );
    assert_eq!(signature["holds"], true);
}

#[tokio::test]
async fn an_act_that_is_repeated_counts_once() {
    let bench = with_site(site).await;
    let mut tom = Browser::default();
    tom.sign_in(&bench, "Tom", "2222").await;
    let order = done(
        &mut tom,
        &bench,
        "/api/v1/work-orders",
        json!({"title": "x"}),
    )
    .await;
    let path = format!(
        "/api/v1/work-orders/{}/actions/part",
        order["id"].as_str().unwrap()
    );
    tom.key = Some(Uuid::from_u128(55));
    for _ in 0..2 {
        let order = done(&mut tom, &bench, &path, json!({"part": "SKF-6204"})).await;
        assert_eq!(order["parts"].as_array().unwrap().len(), 1);
    }
    let (_, stock) = tom.get(&bench, "/api/v1/stock/SKF-6204").await;
    assert_eq!(
        (&stock["stock"], &stock["below_min"]),
        (&json!(2.0), &json!(false))
    );
}

#[tokio::test]
async fn stock_goes_below_zero_and_a_count_sets_it_right() {
    let bench = with_site(site).await;
    let mut tom = Browser::default();
    tom.sign_in(&bench, "Tom", "2222").await;
    let path = "/api/v1/stock/SKF-6204/actions";
    let stock = done(
        &mut tom,
        &bench,
        &format!("{path}/move"),
        json!({"quantity": -5}),
    )
    .await;
    assert_eq!(
        (&stock["stock"], &stock["below_zero"]),
        (&json!(-2.0), &json!(true))
    );
    let counted = json!({"quantity": 7, "note": "in the wrong box"});
    let stock = done(&mut tom, &bench, &format!("{path}/count"), counted).await;
    assert_eq!(
        (&stock["stock"], &stock["counted_by"]),
        (&json!(7.0), &json!("Tom"))
    );
    assert_eq!(stock["lines"][1]["after"], -2.0);
    let wrong = refused(
        &mut tom,
        &bench,
        &format!("{path}/count"),
        json!({"quantity": -1}),
    )
    .await;
    assert!(wrong.contains("0 or more"), "{wrong}");
    done(
        &mut tom,
        &bench,
        "/api/v1/stock/rag/actions/count",
        json!({"quantity": 4}),
    )
    .await;
    let (_, list) = tom.get(&bench, "/api/v1/stock?limit=1").await;
    assert_eq!(list["data"][0]["part"], "SKF-6204");
    let next = list["next_cursor"].as_str().unwrap();
    let (_, list) = tom
        .get(&bench, &format!("/api/v1/stock?limit=1&cursor={next}"))
        .await;
    assert_eq!(
        (&list["data"][0]["part"], &list["next_cursor"]),
        (&json!("rag"), &Value::Null)
    );
}

#[tokio::test]
async fn an_asset_is_made_on_the_box_and_found_by_its_code() {
    let bench = with_site(site).await;
    let mut tom = Browser::default();
    tom.sign_in(&bench, "Tom", "2222").await;
    let new = json!({"tag": "P 900/b", "name": "Sump pump", "parent": "P-101"});
    let made = done(&mut tom, &bench, "/api/v1/assets", new.clone()).await;
    assert_eq!(made["provisional"]["state"], "provisional");
    let words = refused(&mut tom, &bench, "/api/v1/assets", new).await;
    assert!(words.contains("already"), "{words}");
    refused(&mut tom, &bench, "/api/v1/assets", json!({"tag": "P-101"})).await;
    let (_, list) = tom.get(&bench, "/api/v1/assets?q=pump").await;
    let tags: Vec<_> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| &a["tag"])
        .collect();
    assert_eq!(tags, ["P 900/b", "P-101"]);
    let (_, lists) = tom.get(&bench, "/api/v1/checklists?asset=P-101").await;
    assert_eq!(lists["data"][0]["id"], "pump-monthly");
    let (_, lists) = tom
        .get(&bench, "/api/v1/checklists?asset=P%20900%2Fb")
        .await;
    assert_eq!(lists["data"], json!([]));
    let code = qr::asset_code("P 900/b");
    let (_, named) = tom.get(&bench, &format!("/api/v1/codes/{code}")).await;
    assert_eq!(
        (&named["kind"], &named["tag"]),
        (&json!("asset"), &json!("P 900/b"))
    );
    let order = done(
        &mut tom,
        &bench,
        "/api/v1/work-orders",
        json!({"title": "x"}),
    )
    .await;
    let id = order["id"].as_str().unwrap();
    let code = qr::order_code(id.parse().unwrap());
    let (_, named) = tom
        .get(&bench, &format!("/api/v1/codes/{}", code.to_lowercase()))
        .await;
    assert_eq!(named["id"], *id);
    let (status, _) = tom.get(&bench, &format!("/c/{code}")).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    for (path, status) in [
        (format!("/api/v1/qr/work-orders/{id}.svg"), StatusCode::OK),
        ("/api/v1/qr/assets/P-101.svg".into(), StatusCode::OK),
        (
            "/api/v1/qr/assets/nothing.svg".into(),
            StatusCode::NOT_FOUND,
        ),
        ("/api/v1/codes/WAAAAAAAAAAAAA".into(), StatusCode::NOT_FOUND),
    ] {
        assert_eq!(tom.get(&bench, &path).await.0, status, "{path}");
    }
}

#[tokio::test]
async fn without_pins_a_signature_says_that_it_is_only_a_name() {
    let bench = bench("");
    let body = json!({"by": "Ana", "title": "x"});
    let (_, order) = post_json(&bench, "/api/v1/work-orders", &body, None).await;
    let path = format!(
        "/api/v1/work-orders/{}/actions/sign",
        order["id"].as_str().unwrap()
    );
    let sign = json!({"by": "Ana", "meaning": "performed"});
    let (status, order) = post_json(&bench, &path, &sign, None).await;
    assert_eq!(status, StatusCode::OK, "{order}");
    assert_eq!(order["signatures"][0]["method"], "name");
    let far = json!({"by": "Ana", "text": "x", "ago_s": 99_999_999});
    let (status, problem) = post_json(&bench, &path.replace("sign", "comment"), &far, None).await;
    assert_eq!(
        (status, &problem["field"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("ago_s"))
    );
}

#[tokio::test]
async fn who_begins_on_another_order_has_left_the_first_and_hears_of_it() {
    let bench = bench("");
    let mut paths = Vec::new();
    for title in ["Seal", "Belt", "Filter"] {
        let new = json!({"by": "Ana", "title": title});
        let (_, order) = post_json(&bench, "/api/v1/work-orders", &new, None).await;
        paths.push(format!(
            "/api/v1/work-orders/{}",
            order["id"].as_str().unwrap()
        ));
    }
    let [seal, belt, filter] = paths.try_into().unwrap();
    let start = async |path: &str, by: &str, ago_s: u32, key: Option<&str>| {
        let path = format!("{path}/actions/labour_start");
        post_json(&bench, &path, &json!({"by": by, "ago_s": ago_s}), key).await
    };
    start(&seal, "Ana", 2_400, None).await;
    start(&seal, "Ben", 2_000, None).await;
    let key = "01900000-0000-7000-8000-00000000000d";
    let (status, order) = start(&belt, "Ana", 595, Some(key)).await;
    assert_eq!(
        (status, &order["clocks_stopped"]),
        (StatusCode::OK, &json!(["T1-0001"]))
    );
    assert_eq!(order["clocks"][0]["by"], "Ana");
    // Sent again it counts once.
    start(&belt, "Ana", 595, Some(key)).await;
    let (_, left) = get_json(&bench, &seal).await;
    let labour = left["labour"].as_array().unwrap();
    assert_eq!(labour.len(), 1);
    assert_eq!(
        (&labour[0]["by"], &labour[0]["minutes"], &labour[0]["note"]),
        (&json!("Ana"), &json!(31), &json!("went on with T1-0002"))
    );
    assert_eq!(labour[0]["overlaps"], false);
    let running: Vec<_> = left["clocks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|clock| &clock["by"])
        .collect();
    assert_eq!(running, ["Ben"], "the clocks of others go on");
    // A phone that was away tells of a start from before: no clock runs twice, nothing is guessed.
    let (status, problem) = start(&filter, "Ana", 1_200, None).await;
    assert_eq!(status, StatusCode::CONFLICT);
    let words = problem["detail"].as_str().unwrap();
    assert!(words.contains("Ana on T1-0002 began after that"), "{words}");
    let (_, order) = get_json(&bench, &filter).await;
    assert_eq!(
        (&order["state"], &order["clocks"]),
        (&json!("open"), &json!([]))
    );
    let (_, order) = start(&filter, "Ana", 0, None).await;
    assert_eq!(order["clocks_stopped"], json!(["T1-0002"]));
    let (status, _) = post_json(
        &bench,
        &format!("{filter}/actions/labour_stop"),
        &json!({"by": "Ana"}),
        None,
    )
    .await;
    assert_eq!(status, StatusCode::OK);
    let (_, order) = start(&belt, "Ana", 0, None).await;
    assert_eq!(order["clocks_stopped"], Value::Null);
}
