//! The promise to maintenance staff and to the central team, whole: a machine fails while the
//! uplink is cut, the work is done on the box, a planner changes things at the hub meanwhile, and
//! afterwards both sides hold the same, with nothing lost, doubled or late in its times.

use crate::plant::{ANNA, DEADLINE, PAULA, Plant, now, recorded, text, time};
use crate::{alarms, readings, records};
use anyhow::{Context as _, Result, ensure};
use harness::{PeerOptions, in_scratch, wait_for};
use protocol::time::Timestamp;
use serde_json::{Value, json};
use std::time::Instant;

/// The replay begins in the calm before the machine's last failure, waits at the second row, and
/// then goes through the collapse (rows 19,392 to 19,772) and the return to normal.
const FIRST_ROW: usize = 19_200;
const CALM_ROW: usize = 19_300;

#[test]
fn outage() -> Result<()> {
    in_scratch("outage", |scratch| {
        let options = PeerOptions {
            samples_per_s: 40.0,
            first_row: FIRST_ROW,
            hold_row: Some(CALM_ROW),
            ..PeerOptions::default()
        };
        run(Plant::start(scratch, options)?)
    })
}

fn run(mut plant: Plant) -> Result<()> {
    let shared = orders_known_to_both(&plant)?;
    plant.relay.cut();
    let cut = (now()?, Instant::now());
    plant.wait_for_link("offline")?;
    let waiting_before = waiting_readings(&plant)?;
    plant.peer.go_on()?;
    planner_at_the_hub(&plant, &shared)?;
    let alarm_order = staff_at_the_box(&plant, &shared)?;
    nothing_came_through(&plant, &alarm_order)?;
    let waiting = waiting_readings(&plant)?;
    ensure!(
        waiting > waiting_before,
        "the box stored nothing while it was cut"
    );

    plant.relay.restore();
    let restored = (now()?, Instant::now());
    plant.wait_until_in_sync()?;
    let caught_up = restored.1.elapsed();
    let (alerts, orders) = plant.come_to_rest()?;

    let (compared, groups) = readings::compare(&plant, &recorded()?)?;
    let events = records::compare_events(&plant)?;
    let machine = readings::measured(plant.gateway, 1, &groups)?;
    let expected = alarms::expected(&machine);
    ensure!(
        expected.len() == 1,
        "one failure is one alarm: {expected:?}"
    );
    alarms::same(&expected, &alerts)?;
    let alert = alerts.values().next().context("one alert")?;
    let order = |id: &str| orders.get(id).with_context(|| format!("no order {id}"));
    ensure!(
        orders.len() == 3,
        "one order per alarm and two by hand: {orders:#?}"
    );
    whole_history(alert, order(&alarm_order)?, (cut.0, restored.0))?;
    merged(
        order(&shared.edited)?,
        order(&shared.cancelled)?,
        (cut.0, restored.0),
    )?;
    #[expect(clippy::print_stdout, reason = "the figures of docs/promises.md")]
    {
        println!(
            "measured: {} readings in {} polls of {} groups and {events} events at the hub once \
             and only once; {waiting} readings waited after {:.1} s without uplink, all there \
             {:.1} s after it returned",
            compared.readings,
            compared.polls,
            compared.groups,
            (restored.1 - cut.1).as_secs_f64(),
            caught_up.as_secs_f64(),
        );
    }
    Ok(())
}

/// Orders that both sides know before the uplink is cut, by id.
struct Shared {
    /// Made on the box.
    edited: String,
    /// Made at the hub.
    cancelled: String,
}

fn orders_known_to_both(plant: &Plant) -> Result<Shared> {
    let edited = plant.here.post(
        "/work-orders",
        &json!({"by": ANNA, "title": "Guard of M-2 rattles", "asset": "M-2"}),
    )?;
    let cancelled = plant.there.post(
        "/work-orders",
        &json!({"title": "Replace the filter of M-3", "gateway_id": plant.gateway, "asset": "M-3"}),
    )?;
    plant.wait_until_in_sync()?;
    Ok(Shared {
        edited: text(&edited, "/id")?.to_owned(),
        cancelled: text(&cancelled, "/id")?.to_owned(),
    })
}

/// What the planner does while the box cannot be reached.
fn planner_at_the_hub(plant: &Plant, shared: &Shared) -> Result<()> {
    let (hub, edited) = (&plant.there, format!("/work-orders/{}", shared.edited));
    hub.patch(
        &edited,
        &json!({"title": "Guard of M-2: new bolts", "priority": 2}),
    )?;
    hub.post(&format!("{edited}/actions/assign"), &json!({"name": ANNA}))?;
    hub.post(
        &format!("{edited}/actions/comment"),
        &json!({"text": "Bolts are on shelf 4"}),
    )?;
    let cancel = format!("/work-orders/{}/actions/cancel", shared.cancelled);
    hub.post(&cancel, &json!({"reason": "done by the vendor next week"}))?;
    Ok(())
}

/// What the staff in the hall do meanwhile, on the box alone; gives the id of the alarm's order.
fn staff_at_the_box(plant: &Plant, shared: &Shared) -> Result<String> {
    let act = |order: &str, action: &str, body: Value| {
        let mut body = body;
        body["by"] = json!(ANNA);
        plant
            .here
            .post(&format!("/work-orders/{order}/actions/{action}"), &body)
    };
    act(&shared.edited, "start", json!({}))?;
    act(
        &shared.edited,
        "comment",
        json!({"text": "Two bolts are gone"}),
    )?;
    // Nobody here knows that the planner has cancelled it.
    act(&shared.cancelled, "start", json!({}))?;
    act(
        &shared.cancelled,
        "complete",
        json!({"remedy": "new filter", "minutes": 20}),
    )?;

    let alert = wait_for("the alarm on the box", DEADLINE, || {
        Ok(plant.here.list("/alerts?state=open")?.into_iter().next())
    })?;
    let alert_id = text(&alert, "/id")?.to_owned();
    let order = wait_for("the work order of the alarm", DEADLINE, || {
        let alert = plant.here.get(&format!("/alerts/{alert_id}"))?;
        Ok(text(&alert, "/work_order/id").ok().map(str::to_owned))
    })?;
    plant.here.post(
        &format!("/alerts/{alert_id}/actions/acknowledge"),
        &json!({"by": ANNA, "note": "on my way"}),
    )?;
    act(&order, "start", json!({}))?;
    act(&order, "comment", json!({"text": "The coupling is broken"}))?;
    act(
        &order,
        "labour",
        json!({"minutes": 45, "note": "coupling taken apart"}),
    )?;
    act(
        &order,
        "part",
        json!({"part": "coupling 40 mm", "quantity": 1.0}),
    )?;
    wait_for("the temperature to be normal again", DEADLINE, || {
        let alert = plant.here.get(&format!("/alerts/{alert_id}"))?;
        Ok((text(&alert, "/state")? == "closed").then_some(()))
    })?;
    act(
        &order,
        "complete",
        json!({"remedy": "coupling replaced", "minutes": 15}),
    )?;
    Ok(order)
}

/// The hub cannot know yet: the uplink was cut for real.
fn nothing_came_through(plant: &Plant, alarm_order: &str) -> Result<()> {
    ensure!(plant.relay.is_cut());
    let alerts = plant.there.list("/alerts?state=all")?;
    ensure!(
        alerts.is_empty(),
        "the hub has alerts while the uplink is cut: {alerts:?}"
    );
    let answer = plant
        .there
        .try_get(&format!("/work-orders/{alarm_order}"))?;
    ensure!(
        answer.status == 404,
        "the hub has the order while the uplink is cut: {answer:?}"
    );
    Ok(())
}

fn waiting_readings(plant: &Plant) -> Result<u64> {
    let status = plant.here.get("/status")?;
    let waiting = status
        .pointer("/link/waiting_readings")
        .and_then(Value::as_u64);
    waiting.context("no waiting_readings")
}

/// The alarm and its order, as the hub shows them.
fn whole_history(alert: &Value, order: &Value, outage: (Timestamp, Timestamp)) -> Result<()> {
    ensure!(alert["state"] == "closed", "acknowledged and over: {alert}");
    ensure!(
        alert["acknowledged_by"] == ANNA && alert["clock"] == "synchronised",
        "{alert}"
    );
    ensure!(alert["work_order"]["id"] == order["id"], "{alert}");
    ensure!(records::whats(alert)?.first() == Some(&"raised"), "{alert}");
    ensure!(
        order["state"] == "done" && order["done_by"] == ANNA,
        "{order}"
    );
    ensure!(order["alert_ids"] == json!([alert["id"]]), "{order}");
    ensure!(order["remedy"] == "coupling replaced", "{order}");
    ensure!(
        text(order, "/number")?.starts_with("HB-"),
        "a number of the box: {order}"
    );
    let whats = records::whats(order)?;
    for what in [
        "created",
        "started",
        "commented",
        "labour",
        "part",
        "alarm_cleared",
        "done",
    ] {
        ensure!(whats.contains(&what), "no \"{what}\" in {whats:?}");
    }
    let minutes = order["labour"].as_array().context("labour")?.iter();
    let minutes: Vec<_> = minutes
        .filter_map(|entry| entry["minutes"].as_u64())
        .collect();
    ensure!(minutes == [45, 15], "{order}");
    ensure!(
        order["comments"][0]["text"] == "The coupling is broken",
        "{order}"
    );
    ensure!(order["parts"][0]["part"] == "coupling 40 mm", "{order}");
    let points = order["snapshot"][0]["points"]
        .as_array()
        .context("no snapshot")?;
    ensure!(
        !points.is_empty(),
        "the readings around the alarm are kept: {order}"
    );
    for record in [alert, order] {
        within(record, outage)?;
    }
    Ok(())
}

/// Every line of a history happened during the outage, one after the other: the times of the box,
/// not those of the arrival.
fn within(record: &Value, (from, to): (Timestamp, Timestamp)) -> Result<()> {
    let mut last = from;
    for line in records::history(record)? {
        let at = time(line, "/at")?;
        ensure!(
            last <= at && at <= to,
            "out of order or outside the outage: {line} in {record}"
        );
        ensure!(
            line["origin"] == "gateway" && line["clock"] == "synchronised",
            "{line}"
        );
        last = at;
    }
    Ok(())
}

/// What both sides did to one order at the same time stands side by side.
fn merged(edited: &Value, cancelled: &Value, outage: (Timestamp, Timestamp)) -> Result<()> {
    ensure!(edited["title"] == "Guard of M-2: new bolts", "{edited}");
    ensure!(
        edited["priority"] == 2 && edited["assignee"] == ANNA,
        "{edited}"
    );
    ensure!(edited["state"] == "in_progress", "{edited}");
    let comments = edited["comments"].as_array().context("comments")?;
    let said: Vec<_> = comments
        .iter()
        .map(|line| (&line["by"], &line["text"]))
        .collect();
    ensure!(
        said.len() == 2
            && said.contains(&(&json!(ANNA), &json!("Two bolts are gone")))
            && said.contains(&(&json!(PAULA), &json!("Bolts are on shelf 4"))),
        "{said:?}"
    );
    // Work done beats a cancel that did not know of it, and a planner is asked to look.
    ensure!(
        cancelled["state"] == "done" && cancelled["remedy"] == "new filter",
        "{cancelled}"
    );
    ensure!(cancelled["needs_review"] == true, "{cancelled}");
    let whats = records::whats(cancelled)?;
    ensure!(
        whats.contains(&"cancelled") && whats.contains(&"done"),
        "{whats:?}"
    );
    for record in [edited, cancelled] {
        for line in records::history(record)? {
            let at = time(line, "/at")?;
            let both_sides = line["origin"] == "gateway" || line["origin"] == "hub";
            ensure!(at <= outage.1 && both_sides, "{line}");
        }
    }
    Ok(())
}
