//! A week without uplink, in accelerated time: the real programs under libfaketime, whose clocks and
//! timers run as many times faster as `WEEK_SPEED` says, on a recorded machine and a cell whose faults are
//! planted. Three people on two phones do the work; the power is cut twice. Then the hub comes back, and both
//! sides must agree to the last field. Needs no word of the programs: the clock is the library's.
//! `make test` runs `HOURS` hours; the whole week is promise O-1.1.

mod people;
mod scene;

use crate::plant::{text, time};
use crate::records::{self, Shown};
use anyhow::{Context as _, Result, ensure};
use harness::in_scratch;
use people::{ANNA, BERT, CARLA, Phone};
use protocol::time::Timestamp;
use scene::{Fault, Week};
use serde_json::{Value, json};
use std::time::Instant;

/// Moments as shares of the span.
mod plan {
    pub(super) const PRESS: (f64, f64) = (0.10, 0.16);
    pub(super) const FIRST_CUT: f64 = 0.12;
    pub(super) const PUMP: (f64, f64) = (0.22, 0.26);
    /// The same again while its order is still open.
    pub(super) const PUMP_AGAIN: (f64, f64) = (0.30, 0.33);
    /// The second phone is without the LAN in between.
    pub(super) const OFFLINE: (f64, f64) = (0.24, 0.38);
    pub(super) const OVEN: (f64, f64) = (0.45, 0.52);
    pub(super) const FAN: (f64, f64) = (0.56, 0.62);
    /// In the middle of the recorded failure (0.69 to 0.88 of the replay).
    pub(super) const SECOND_CUT: f64 = 0.78;
}

#[test]
fn week() -> Result<()> {
    in_scratch("week", |scratch| {
        let begun = Instant::now();
        let mut week = Week::start(scratch)?;
        let keys = live(&mut week)?;
        let waiting = week.plant.here.get("/status")?;
        week.hub_comes_back()?;
        close_at_the_hub(&week)?;
        week.plant.wait_until_in_sync()?;
        let shown = (
            records::alerts(&week.plant.there)?,
            records::orders(&week.plant.there)?,
        );
        let compared = week.rest_and_compare(&keys)?;
        judge_alerts(&week, &shown.0, &compared.recorded)?;
        judge_orders(&shown.0, &shown.1)?;
        crate::measured(&format!(
            "{:.0} h without uplink at {} times the speed in {:.0} s: {} readings in {} polls and {} events, \
                 {} of them by people, the same on both sides; {} alerts for {} planted faults and {} recorded, {} \
                 orders, 2 power cuts; {} events had waited",
            week.span.as_secs_f64() / 3_600.0,
            week.speed,
            begun.elapsed().as_secs_f64(),
            compared.readings,
            compared.polls,
            compared.events,
            keys.len(),
            shown.0.len(),
            week.planted.len(),
            compared.recorded.len(),
            shown.1.len(),
            waiting["link"]["waiting_events"],
        ));
        Ok(())
    })
}

/// The week itself; gives the keys of all that people did.
fn live(week: &mut Week) -> Result<Vec<uuid::Uuid>> {
    let mut hall = Phone::new(&week.plant.here, &week.pins);
    let mut yard = Phone::new(&week.plant.here, &week.pins);

    press_while_the_power_fails(week, &mut hall)?;
    pump_without_the_lan(week, &mut hall, &mut yard)?;
    oven(week, &mut yard)?;
    fan_falls_silent(week, &mut hall)?;
    recorded_failure(week, &mut hall)?;
    week.nothing_at_the_hub()?;
    Ok([hall.done(), yard.done()].concat())
}

/// Anna works on the press; the power is cut while its alert is there.
fn press_while_the_power_fails(week: &mut Week, hall: &mut Phone) -> Result<()> {
    week.plant_fault(Fault::Press, plan::PRESS.0)?;
    week.until(plan::FIRST_CUT)?;
    week.alert_of(Fault::Press, 0)?;
    week.cut_power()?;
    let (alert, order) = week.alert_of(Fault::Press, 0)?;
    hall.acknowledge(ANNA, &alert)?;
    hall.act(ANNA, &order, "start", json!({}))?;
    hall.act(
        ANNA,
        &order,
        "labour",
        json!({"minutes": 45, "note": "seal taken out"}),
    )?;
    hall.act(
        ANNA,
        &order,
        "part",
        json!({"part": "seal 12 mm", "quantity": 2.0}),
    )?;
    week.repair(Fault::Press, plan::PRESS.1)?;
    week.cleared(&alert)?;
    hall.act(
        ANNA,
        &order,
        "complete",
        json!({"remedy": "seal replaced", "minutes": 10}),
    )?;
    Ok(())
}

/// Carla's phone is out of reach for hours; Bert works beside her, and the fault comes again.
fn pump_without_the_lan(week: &mut Week, hall: &mut Phone, yard: &mut Phone) -> Result<()> {
    week.plant_fault(Fault::Pump, plan::PUMP.0)?;
    week.until(plan::OFFLINE.0)?;
    let (alert, order) = week.alert_of(Fault::Pump, 0)?;
    yard.lose_the_lan();
    yard.acknowledge(CARLA, &alert)?;
    yard.act(CARLA, &order, "start", json!({}))?;
    yard.act(CARLA, &order, "comment", json!({"text": "Bearing is hot"}))?;
    yard.act(CARLA, &order, "labour", json!({"minutes": 90}))?;
    week.repair(Fault::Pump, plan::PUMP.1)?;
    week.cleared(&alert)?;
    hall.act(
        BERT,
        &order,
        "comment",
        json!({"text": "Oil is on its way"}),
    )?;
    week.plant_fault(Fault::Pump, plan::PUMP_AGAIN.0)?;
    let (again, same) = week.alert_of(Fault::Pump, 1)?;
    ensure!(
        same == order,
        "the fault came again and has another order: {again}"
    );
    week.repair(Fault::Pump, plan::PUMP_AGAIN.1)?;
    week.cleared(&again)?;
    yard.act(
        CARLA,
        &order,
        "complete",
        json!({"remedy": "bearing greased"}),
    )?;
    week.until(plan::OFFLINE.1)?;
    yard.finds_the_lan()?;
    hall.acknowledge(BERT, &again)?;
    Ok(())
}

/// Carla again, now with the LAN.
fn oven(week: &mut Week, yard: &mut Phone) -> Result<()> {
    week.plant_fault(Fault::Oven, plan::OVEN.0)?;
    let (alert, order) = week.alert_of(Fault::Oven, 0)?;
    yard.acknowledge(CARLA, &alert)?;
    yard.act(CARLA, &order, "start", json!({}))?;
    week.repair(Fault::Oven, plan::OVEN.1)?;
    week.cleared(&alert)?;
    yard.act(
        CARLA,
        &order,
        "complete",
        json!({"remedy": "burner cleaned", "minutes": 30}),
    )?;
    Ok(())
}

/// Bert and the machine of the recording; the power is cut in the middle of its failure.
fn recorded_failure(week: &mut Week, hall: &mut Phone) -> Result<()> {
    week.until(plan::SECOND_CUT)?;
    let (alert, order) = week.alert_of(Fault::Recorded, 0)?;
    hall.acknowledge(BERT, &alert)?;
    hall.act(BERT, &order, "start", json!({}))?;
    week.cut_power()?;
    hall.act(
        BERT,
        &order,
        "comment",
        json!({"text": "The coupling is broken"}),
    )?;
    week.until(1.0)?;
    week.cleared(&alert)?;
    hall.act(
        BERT,
        &order,
        "complete",
        json!({"remedy": "coupling replaced"}),
    )?;
    Ok(())
}

/// A device that says nothing: an alert without an order, over as soon as it speaks again.
fn fan_falls_silent(week: &mut Week, phone: &mut Phone) -> Result<()> {
    week.plant_fault(Fault::Fan, plan::FAN.0)?;
    let alert = week.lone_alert_of(Fault::Fan)?;
    phone.acknowledge(ANNA, &alert)?;
    week.repair(Fault::Fan, plan::FAN.1)?;
    week.cleared(&alert)
}

/// The planner looks at what was done and closes it.
fn close_at_the_hub(week: &Week) -> Result<()> {
    for (id, order) in records::orders(&week.plant.there)? {
        ensure!(order["state"] == "done", "not done: {order}");
        let path = format!("/work-orders/{id}/actions/close");
        week.plant.there.post(&path, &json!({}))?;
    }
    Ok(())
}

/// One alert for each planted fault, soon after it was planted; those of the recording as its readings say.
fn judge_alerts(week: &Week, alerts: &Shown, recorded: &[Timestamp]) -> Result<()> {
    let of = |fault: Fault| -> Result<Vec<Timestamp>> {
        let of_rule = alerts
            .values()
            .filter(|alert| alert["rule"] == fault.rule());
        let mut raised: Vec<Timestamp> = of_rule
            .map(|alert| time(alert, "/raised_at"))
            .collect::<Result<_>>()?;
        raised.sort();
        Ok(raised)
    };
    for fault in [Fault::Press, Fault::Pump, Fault::Oven, Fault::Fan] {
        let planted = week.planted.iter().filter(|(of, _)| *of == fault);
        let planted: Vec<Timestamp> = planted.map(|(_, at)| *at).collect();
        let raised = of(fault)?;
        ensure!(
            raised.len() == planted.len(),
            "{fault:?}: planted {planted:?}, alerts {raised:?}"
        );
        for (planted, raised) in planted.iter().zip(&raised) {
            let late_us = raised.0 - planted.0;
            ensure!(
                (0..=week.late_us_max(fault)).contains(&late_us),
                "{fault:?} was planted at {planted:?} and alerted at {raised:?}"
            );
        }
    }
    let raised = of(Fault::Recorded)?;
    ensure!(
        raised == recorded,
        "the readings stand for {recorded:?}, the alerts are {raised:?}"
    );
    ensure!(
        alerts.len() == week.planted.len() + recorded.len(),
        "alerts nobody planted: {alerts:#?}"
    );
    for alert in alerts.values() {
        ensure!(
            alert["state"] == "closed",
            "not acknowledged and over: {alert}"
        );
    }
    Ok(())
}

/// One order for each machine that failed, closed, with all that its people did.
fn judge_orders(alerts: &Shown, orders: &Shown) -> Result<()> {
    ensure!(orders.len() == 4, "four machines failed: {orders:#?}");
    for fault in [Fault::Press, Fault::Pump, Fault::Oven, Fault::Recorded] {
        let ids: Vec<&String> = alerts
            .iter()
            .filter(|(_, alert)| alert["rule"] == fault.rule())
            .map(|(id, _)| id)
            .collect();
        let order = orders.values().find(|order| {
            let of = order["alert_ids"].as_array().into_iter().flatten();
            let of: Vec<&str> = of.filter_map(Value::as_str).collect();
            of.len() == ids.len() && ids.iter().all(|id| of.contains(&id.as_str()))
        });
        let order = order.with_context(|| format!("{fault:?} has no order of its own"))?;
        ensure!(order["state"] == "closed", "{order}");
        let (worker, remedy) = fault.done();
        ensure!(
            order["done_by"] == worker && order["remedy"] == remedy,
            "{order}"
        );
        let whats = records::whats(order)?;
        for what in ["created", "started", "done", "closed"] {
            let count = whats.iter().filter(|found| **found == what).count();
            ensure!(
                count == 1,
                "{what} {count} times in {}",
                text(order, "/number")?
            );
        }
    }
    Ok(())
}
