//! `alerts`: what is abnormal, and who has seen it, through the running agent.
//! Never clears an alert: only the machine's own readings do.

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
