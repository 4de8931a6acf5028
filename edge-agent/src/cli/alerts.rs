//! `alerts`: what is abnormal, and who has seen it, through the running agent.
//! Never clears an alert: only the machine's own readings do.

mod points;

use super::client::{Client, list_of, one_of, person};
use super::table::table;
use super::words::{facts, history, text, time, who, word};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

#[derive(Debug, Args)]
pub(super) struct Alerts {
    /// Who does it; else the name of the user who is signed in here.
    #[arg(long, global = true, value_name = "NAME")]
    by: Option<String>,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show those that are not closed.
    List {
        /// Also the closed ones.
        #[arg(long)]
        all: bool,
    },
    /// Show one with its history.
    Show {
        /// Its id, or the beginning of it.
        id: String,
    },
    /// Say that you have seen it and take care.
    Ack {
        /// Its id, or the beginning of it.
        id: String,
        /// What to tell the others.
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
    /// Put back an alert that stays until somebody does.
    Reset {
        /// Its id, or the beginning of it.
        id: String,
        /// What to tell the others.
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
    /// Show the rules of which something is held back: shelved, suppressed, out of service.
    Held,
    /// Do not hear of a rule for a while.
    Shelve {
        /// The rule's name, or the id of its alert or the beginning of it.
        what: String,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// For how long ("30m", "8h"); the configuration has the most (`shelve_max`).
        #[arg(long = "for", value_name = "TIME")]
        long: String,
    },
    /// Hear of it again.
    Unshelve {
        /// The rule's name, or the id of its alert or the beginning of it.
        what: String,
        /// What to tell the others.
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
    /// Take a rule out of service, because its sensor is broken or changed.
    OutOfService {
        /// The rule's name, or the id of its alert or the beginning of it.
        what: String,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Put it back into service.
    InService {
        /// The rule's name, or the id of its alert or the beginning of it.
        what: String,
        /// What to tell the others.
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
    /// Say that what a rule of the kind deviation or trend finds is normal now: it forgets what it
    /// learned, and learns anew before it tells anything.
    Relearn {
        /// The rule's name, or the id of its alert or the beginning of it.
        what: String,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Say that somebody works on an asset or device: its alarms are not told until that is over.
    Maintenance {
        /// Tag of the asset.
        #[arg(long, value_name = "TAG", conflicts_with = "device")]
        asset: Option<String>,
        /// Name of the device.
        #[arg(long, value_name = "NAME", required_unless_present = "asset")]
        device: Option<String>,
        /// Why; needed to begin.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// Ends by itself after this time ("2h").
        #[arg(long = "for", value_name = "TIME")]
        long: Option<String>,
        /// The work is over.
        #[arg(long)]
        off: bool,
    },
    /// Show the load of alerts on people: the figures of ISA-18.2 and EEMUA 191, and the worst rules.
    Load {
        /// Of how many hours until now.
        #[arg(long, value_name = "N", default_value_t = 24)]
        hours: u32,
    },
    /// Add a comment.
    Note {
        /// Its id, or the beginning of it.
        id: String,
        /// The comment.
        text: String,
    },
}

impl Alerts {
    pub(super) fn run(self, client: &mut Client) -> anyhow::Result<(Value, String)> {
        let by = self.by;
        let (id, action, body) = match self.action.unwrap_or(Action::List { all: false }) {
            Action::List { all } => {
                let alerts = list_of(client, "/alerts", all)?;
                let words = list(&alerts);
                return Ok((json!({"data": alerts, "next_cursor": null}), words));
            }
            Action::Show { id } => {
                let id = one_of(client, "/alerts", &id)?;
                let alert = client.get(&format!("/alerts/{id}"))?;
                let words = show(&alert);
                return Ok((alert, words));
            }
            Action::Ack { id, note } => {
                (id, "acknowledge", json!({"by": person(by)?, "note": note}))
            }
            Action::Note { id, text } => (id, "comment", json!({"by": person(by)?, "text": text})),
            Action::Reset { id, note } => (id, "reset", json!({"by": person(by)?, "note": note})),
            other => return points::run(other, by, client),
        };
        let id = one_of(client, "/alerts", &id)?;
        let alert = client.post(&format!("/alerts/{id}/actions/{action}"), &body)?;
        let words = show(&alert);
        Ok((alert, words))
    }
}

fn list(alerts: &[Value]) -> String {
    if alerts.is_empty() {
        return "There is no alert.".to_owned();
    }
    let row = |alert: &Value| {
        vec![
            text(alert, "/id").chars().take(8).collect(),
            text(alert, "/severity"),
            word(alert, "/state"),
            time(alert, "/raised_at"),
            value(alert, "/value"),
            text(alert, "/asset"),
            text(alert, "/work_order/number"),
            text(alert, "/title"),
        ]
    };
    let rows: Vec<_> = alerts.iter().map(row).collect();
    let columns = [
        "ID", "SEVERITY", "STATE", "RAISED", "VALUE", "ASSET", "ORDER", "TITLE",
    ];
    table(&columns, &rows)
}

fn show(alert: &Value) -> String {
    let head = facts(&[
        ("Alert", text(alert, "/title")),
        ("Id", text(alert, "/id")),
        (
            "State",
            format!("{}, {}", word(alert, "/state"), text(alert, "/severity")),
        ),
        ("Asset", text(alert, "/asset")),
        ("Sensor", text(alert, "/sensor")),
        (
            "Value",
            format!(
                "{} when raised, limit {}, worst {}",
                value(alert, "/value"),
                value(alert, "/limit"),
                value(alert, "/peak")
            ),
        ),
        ("Raised", time(alert, "/raised_at")),
        (
            "Acknowledged",
            who(alert, "/acknowledged_at", "/acknowledged_by"),
        ),
        ("Cleared", time(alert, "/cleared_at")),
        ("Work order", text(alert, "/work_order/number")),
        ("Found", text(alert, "/words")),
        ("Held back", points::held_words(alert)),
    ]);
    head + &history(alert)
}

/// A measured value with its unit.
fn value(alert: &Value, pointer: &str) -> String {
    match alert.pointer(pointer).and_then(Value::as_f64) {
        Some(value) => {
            let unit = alert.pointer("/unit/symbol").and_then(Value::as_str);
            let rounded = (value * 1_000.0).round() / 1_000.0;
            format!("{rounded} {}", unit.unwrap_or_default())
                .trim_end()
                .to_owned()
        }
        None => "-".to_owned(),
    }
}
