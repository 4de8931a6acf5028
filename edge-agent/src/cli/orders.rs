//! `wo`: work orders, from the first report to the signature, through the running agent.
//! Never decides what may be done: the agent does.

mod left;
mod work;

use super::attachments;
use super::client::{Client, list_of, one_of, person};
use super::table::table;
use super::words::{facts, history, items, text, time, who, word};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use work::Work;

#[derive(Debug, Args)]
pub(super) struct Orders {
    /// Who does it; else the name of the user who is signed in here.
    #[arg(long, global = true, value_name = "NAME")]
    by: Option<String>,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show those that are open.
    List {
        /// Also the closed ones.
        #[arg(long)]
        all: bool,
    },
    /// Show one with its history.
    Show {
        /// Its number or id.
        order: String,
    },
    /// Write one.
    New {
        /// What is to be done.
        title: String,
        /// More words.
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        /// Tag of the machine.
        #[arg(long, value_name = "TAG")]
        asset: Option<String>,
        /// 1 (most urgent) to 5.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=5))]
        priority: Option<u8>,
        /// Somebody has to approve it first.
        #[arg(long)]
        request: bool,
    },
    /// Add a photo or a document.
    Attach {
        /// Its number or id.
        order: String,
        /// The file, at most 16 MiB.
        #[arg(value_hint = clap::ValueHint::FilePath)]
        file: std::path::PathBuf,
        /// What it shows.
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
    /// Show its photos and documents, and where they are.
    Attachments {
        /// Its number or id.
        order: String,
    },
    #[command(flatten)]
    Work(Work),
}

impl Orders {
    pub(super) fn run(self, client: &mut Client) -> anyhow::Result<(Value, String)> {
        match self.action.unwrap_or(Action::List { all: false }) {
            Action::List { all } => {
                let orders = list_of(client, "/work-orders", all)?;
                let words = list(&orders);
                Ok((json!({"data": orders, "next_cursor": null}), words))
            }
            Action::Show { order } => {
                let id = one_of(client, "/work-orders", &order)?;
                Ok(shown(client.get(&format!("/work-orders/{id}"))?))
            }
            Action::New {
                title,
                description,
                asset,
                priority,
                request,
            } => {
                let body = json!({"by": person(self.by)?, "title": title,
                    "description": description, "asset": asset, "priority": priority,
                    "request": request});
                Ok(shown(client.post("/work-orders", &body)?))
            }
            Action::Attachments { order } => {
                let id = one_of(client, "/work-orders", &order)?;
                Ok(attachments::list(
                    &client.get(&format!("/work-orders/{id}"))?,
                ))
            }
            Action::Attach { order, file, note } => {
                let id = one_of(client, "/work-orders", &order)?;
                let by = person(self.by)?;
                let order = attachments::add(client, id, &file, (&by, note.as_deref()))?;
                Ok(attachments::list(&order))
            }
            Action::Work(work) => {
                let (order, action, mut body) = work.request()?;
                body.insert("by".to_owned(), json!(person(self.by)?));
                let id = one_of(client, "/work-orders", &order)?;
                let body = work::resolved(client, id, body)?;
                let path = format!("/work-orders/{id}/actions/{action}");
                Ok(shown(client.post(&path, &Value::Object(body))?))
            }
        }
    }
}

fn shown(order: Value) -> (Value, String) {
    let words = show(&order);
    (order, words)
}

fn list(orders: &[Value]) -> String {
    if orders.is_empty() {
        return "There is no work order.".to_owned();
    }
    let row = |order: &Value| {
        vec![
            text(order, "/number"),
            word(order, "/state"),
            text(order, "/priority"),
            time(order, "/created_at"),
            text(order, "/asset"),
            text(order, "/assignee"),
            text(order, "/title"),
        ]
    };
    let rows: Vec<_> = orders.iter().map(row).collect();
    let columns = [
        "NUMBER",
        "STATE",
        "PRIORITY",
        "CREATED",
        "ASSET",
        "ASSIGNED TO",
        "TITLE",
    ];
    table(&columns, &rows)
}

fn show(order: &Value) -> String {
    let mut state = word(order, "/state");
    if let Some(reason) = order.pointer("/hold_reason").and_then(Value::as_str) {
        state = format!("{state} ({reason})");
    }
    let actions: Vec<&str> = items(order, "/actions")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let stopped: Vec<&str> = items(order, "/clocks_stopped")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let behind = match stopped.as_slice() {
        [] => "-".to_owned(),
        orders => format!("{}: your clock stopped there", orders.join(", ")),
    };
    let head = facts(&[
        (
            "Work order",
            format!("{}  {}", text(order, "/number"), text(order, "/title")),
        ),
        ("Id", text(order, "/id")),
        ("State", state),
        ("Priority", text(order, "/priority")),
        ("Asset", text(order, "/asset")),
        ("Description", text(order, "/description")),
        ("Assigned to", text(order, "/assignee")),
        ("Due", time(order, "/due")),
        ("Created", who(order, "/created_at", "/created_by")),
        ("Done", who(order, "/done_at", "/done_by")),
        ("Verified", who(order, "/verified_at", "/verified_by")),
        ("Remedy", text(order, "/remedy")),
        ("Left", behind),
        ("Next", actions.join(", ")),
    ]);
    let failure = left::failure(order);
    let lists = [
        left::tasks(order),
        failure,
        lines(order, "/clocks", |it| {
            format!("works on it since {}", time(it, "/since"))
        }),
        lines(order, "/labour", |it| {
            format!("worked {} minutes", text(it, "/minutes"))
        }),
        lines(order, "/parts", |it| {
            format!("used {} x {}", text(it, "/quantity"), text(it, "/part"))
        }),
        lines(order, "/signatures", left::signature),
        lines(order, "/follow_ups", |it| {
            format!("goes on in {}", text(it, "/number"))
        }),
        lines(order, "/attachments", |it| {
            format!("added {} ({} bytes)", text(it, "/name"), text(it, "/bytes"))
        }),
        lines(order, "/comments", |it| text(it, "/text")),
        lines(order, "/conflicts", |it| text(it, "/words")),
    ];
    head + &lists.concat() + &history(order)
}

fn lines(order: &Value, pointer: &str, what: impl Fn(&Value) -> String) -> String {
    let line = |it: &Value| {
        let when = format!("{}  {}", time(it, "/at"), text(it, "/by"));
        format!("{when}  {}\n", what(it))
    };
    items(order, pointer)
        .iter()
        .map(line)
        .collect::<Vec<_>>()
        .concat()
}
