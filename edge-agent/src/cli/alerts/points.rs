//! What is held back of a rule, maintenance, and the load of alerts. Never decides anything.

use super::Action;
use crate::cli::client::{Client, one_of, person};
use crate::cli::table::table;
use crate::cli::words::{facts, text, time, word};
use crate::config::parse_duration;
use anyhow::{Context as _, bail};
use serde_json::{Value, json};

pub(super) fn run(
    action: Action,
    by: Option<String>,
    client: &mut Client,
) -> anyhow::Result<(Value, String)> {
    let by = move || person(by);
    let (what, action, body) = match action {
        Action::Held => {
            let alarms = client.list("/alarms?state=held")?;
            let words = list(&alarms);
            return Ok((json!({"data": alarms, "next_cursor": null}), words));
        }
        Action::Load { hours } => {
            let load = client.get(&format!("/alarms/load?hours={hours}"))?;
            let words = show_load(&load);
            return Ok((load, words));
        }
        Action::Maintenance {
            asset,
            device,
            reason,
            long,
            off,
        } => {
            let minutes = long.as_deref().map(minutes).transpose()?;
            let body = json!({
                "by": by()?, "asset": asset, "device": device, "on": !off, "reason": reason,
                "minutes": minutes,
            });
            let switch = client.post("/maintenance", &body)?;
            let words = show_switch(&switch);
            return Ok((switch, words));
        }
        Action::Shelve { what, reason, long } => {
            let body = json!({"by": by()?, "reason": reason, "minutes": minutes(&long)?});
            (what, "shelve", body)
        }
        Action::Unshelve { what, note } => (what, "unshelve", json!({"by": by()?, "note": note})),
        Action::OutOfService { what, reason } => (
            what,
            "out-of-service",
            json!({"by": by()?, "reason": reason}),
        ),
        Action::InService { what, note } => {
            (what, "in-service", json!({"by": by()?, "note": note}))
        }
        Action::Relearn { what, reason } => {
            (what, "relearn", json!({"by": by()?, "reason": reason}))
        }
        _ => bail!("this is no action on an alarm point"),
    };
    let id = point(client, &what)?;
    let alarm = client.post(&format!("/alarms/{id}/actions/{action}"), &body)?;
    let words = show(&alarm);
    Ok((alarm, words))
}

/// Whole minutes of a time as people write it; begun ones count.
fn minutes(long: &str) -> anyhow::Result<u64> {
    let long = parse_duration(long)
        .with_context(|| format!("{long:?} is not a time; write for example 30m or 8h"))?;
    Ok(long.as_secs().div_ceil(60).max(1))
}

/// The point of a rule by its name, else that of an alert.
fn point(client: &mut Client, what: &str) -> anyhow::Result<String> {
    let alarms = client.list("/alarms")?;
    let named = alarms.iter().find(|alarm| text(alarm, "/rule") == what);
    if let Some(alarm) = named {
        return Ok(text(alarm, "/id"));
    }
    let id = one_of(client, "/alerts", what)
        .with_context(|| format!("there is no rule {what:?} either; `alerts held` lists rules"))?;
    let alert = client.get(&format!("/alerts/{id}"))?;
    Ok(text(&alert, "/point"))
}

fn list(alarms: &[Value]) -> String {
    if alarms.is_empty() {
        return "Nothing is held back.".to_owned();
    }
    let row = |alarm: &Value| {
        vec![
            word(alarm, "/state"),
            text(alarm, "/rule"),
            text(alarm, "/asset"),
            held_words(alarm),
        ]
    };
    let rows: Vec<_> = alarms.iter().map(row).collect();
    table(&["STATE", "RULE", "ASSET", "WHY"], &rows)
}

fn show(alarm: &Value) -> String {
    facts(&[
        ("Rule", text(alarm, "/rule")),
        ("Sensor", text(alarm, "/sensor")),
        (
            "State",
            format!(
                "{} (ISA-18.2 {})",
                word(alarm, "/state"),
                text(alarm, "/isa")
            ),
        ),
        ("Held back", held_words(alarm)),
        ("Learns anew", anew_words(alarm)),
        ("Alerts in a day", text(alarm, "/alerts_day")),
        ("Last", time(alarm, "/last")),
    ])
}

/// Why something is held back, in a line; of an alarm or an alert.
pub(super) fn held_words(shape: &Value) -> String {
    let there = |pointer: &str| shape.pointer(pointer).is_some_and(|value| !value.is_null());
    let mut words = Vec::new();
    if there("/out_of_service") {
        words.push(format!(
            "out of service by {} since {}: {}",
            text(shape, "/out_of_service/by"),
            time(shape, "/out_of_service/at"),
            text(shape, "/out_of_service/reason")
        ));
    }
    if there("/shelved") {
        words.push(format!(
            "shelved by {} until {}: {}",
            text(shape, "/shelved/by"),
            time(shape, "/shelved/until"),
            text(shape, "/shelved/reason")
        ));
    }
    if there("/suppressed_by") {
        words.push(format!(
            "suppressed: {}",
            text(shape, "/suppressed_by/words")
        ));
    }
    if there("/chattering_since") || shape.pointer("/chattering") == Some(&Value::Bool(true)) {
        words.push("comes and goes".to_owned());
    }
    if words.is_empty() {
        "-".to_owned()
    } else {
        words.join("; ")
    }
}

/// Who had it learn anew, in a line.
fn anew_words(alarm: &Value) -> String {
    if alarm.pointer("/learns_anew/at").is_none() {
        return "-".to_owned();
    }
    format!(
        "since {}, said by {}: {}",
        time(alarm, "/learns_anew/at"),
        text(alarm, "/learns_anew/by"),
        text(alarm, "/learns_anew/reason")
    )
}

fn show_switch(switch: &Value) -> String {
    let asset = text(switch, "/asset");
    let of = if asset == "-" {
        text(switch, "/device")
    } else {
        asset
    };
    if switch.pointer("/on") == Some(&Value::Bool(true)) {
        let (by, until) = (text(switch, "/said/by"), time(switch, "/until"));
        format!("{by} works on {of}, until {until}. Its alarms are not told.")
    } else {
        format!("The work on {of} is over. Its alarms are told again.")
    }
}

fn show_load(load: &Value) -> String {
    let items = |pointer: &str| -> Vec<Value> {
        let list = load.pointer(pointer).and_then(Value::as_array);
        list.cloned().unwrap_or_default()
    };
    let number = |value: &Value, pointer: &str| {
        let number = value
            .pointer(pointer)
            .and_then(Value::as_f64)
            .unwrap_or(0.0);
        format!("{number:.2}")
            .trim_end_matches('0')
            .trim_end_matches('.')
            .to_owned()
    };
    let figures: Vec<_> = items("/figures")
        .iter()
        .map(|figure| {
            let ok = figure.pointer("/ok") == Some(&Value::Bool(true));
            vec![
                text(figure, "/words"),
                number(figure, "/value"),
                number(figure, "/target"),
                if ok { "good" } else { "too many" }.to_owned(),
            ]
        })
        .collect();
    let actors: Vec<_> = items("/bad_actors")
        .iter()
        .map(|actor| {
            vec![
                text(actor, "/alerts"),
                text(actor, "/rule"),
                text(actor, "/sensor"),
            ]
        })
        .collect();
    let mut words = format!(
        "{} alerts since {}.\n",
        text(load, "/alerts"),
        time(load, "/from")
    );
    words.push_str(&table(&["FIGURE", "VALUE", "AT MOST", ""], &figures));
    if !actors.is_empty() {
        words.push_str("\n\n");
        words.push_str(&table(&["ALERTS", "RULE", "SENSOR"], &actors));
    }
    words
}
