//! What is done with an order on the command line, as the agent's interface wants it, and how what
//! work leaves behind is shown. Never decides what may be done.

use super::super::client::Client;
use super::super::words::{items, text};
use anyhow::{Context as _, bail};
use clap::Subcommand;
use serde_json::{Map, Value, json};
use uuid::Uuid;

const HOLD_REASONS: [&str; 6] = ["material", "plant", "access", "permit", "vendor", "other"];
const MEANINGS: [&str; 5] = ["performed", "verified", "approved", "released", "witnessed"];
const EFFECTS: [&str; 6] = [
    "none",
    "reduced",
    "stopped",
    "quality",
    "safety",
    "environment",
];

#[derive(Debug, Subcommand)]
pub(super) enum Work {
    /// Turn a request into an order.
    Approve {
        /// Its number or id.
        order: String,
    },
    /// Turn a request down.
    Reject {
        /// Its number or id.
        order: String,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Say who does it; without a name: nobody.
    Assign {
        /// Its number or id.
        order: String,
        /// Who.
        name: Option<String>,
    },
    /// Change title, description, priority, date or asset.
    Edit {
        /// Its number or id.
        order: String,
        /// One line.
        #[arg(long, value_name = "TEXT")]
        title: Option<String>,
        /// More words.
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        /// 1 (most urgent) to 5.
        #[arg(long, value_name = "N")]
        priority: Option<u8>,
        /// When it should be done, like 2026-12-24T08:00:00+01:00; "" takes it away.
        #[arg(long, value_name = "TIME")]
        due: Option<String>,
        /// Tag of the machine; "" takes it away.
        #[arg(long, value_name = "TAG")]
        asset: Option<String>,
    },
    /// Give it a time window.
    Schedule {
        /// Its number or id.
        order: String,
        /// Begin, like 2026-12-01T06:00:00Z.
        from: String,
        /// End.
        until: Option<String>,
    },
    /// Begin to work on it.
    Start {
        /// Its number or id.
        order: String,
    },
    /// Stop for a reason that lies elsewhere.
    Hold {
        /// Its number or id.
        order: String,
        /// What it waits for.
        #[arg(long, value_name = "REASON", value_parser = HOLD_REASONS)]
        reason: String,
        /// More words.
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
    /// Go on after a hold.
    Resume {
        /// Its number or id.
        order: String,
    },
    /// Say that the work is done. A clock that you started stops.
    Complete {
        /// Its number or id.
        order: String,
        /// What was done.
        #[arg(long, value_name = "TEXT")]
        remedy: Option<String>,
        /// Time that it took.
        #[arg(long, value_name = "N")]
        minutes: Option<u32>,
        /// Why tasks that must be done are left out.
        #[arg(long, value_name = "REASON")]
        force: Option<String>,
    },
    /// Find good what somebody else did.
    Verify {
        /// Its number or id.
        order: String,
        /// More words.
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
    /// Put it away.
    Close {
        /// Its number or id.
        order: String,
        /// A last word.
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
    /// Say that it is not to be done.
    Cancel {
        /// Its number or id.
        order: String,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Open it again.
    Reopen {
        /// Its number or id.
        order: String,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Say that it is the same as another order.
    Duplicate {
        /// Its number or id.
        order: String,
        /// Number or id of the other one.
        of: String,
    },
    /// Add a comment.
    Note {
        /// Its number or id.
        order: String,
        /// The comment.
        text: String,
    },
    /// Add time that somebody worked.
    Labour {
        /// Its number or id.
        order: String,
        /// How long.
        minutes: u32,
        /// On what.
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
    /// Start or stop your clock.
    Clock {
        /// Its number or id.
        order: String,
        /// What the clock is to do.
        #[arg(value_parser = ["start", "stop"])]
        what: String,
        /// On what the time was spent.
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
    /// Add a part that was used; below zero: given back.
    #[command(allow_negative_numbers = true)]
    Part {
        /// Its number or id.
        order: String,
        /// What it is, or its number in the stock.
        part: String,
        /// How many.
        #[arg(default_value_t = 1.0)]
        quantity: f64,
    },
    /// Put the tasks of a checklist of the site on it.
    Checklist {
        /// Its number or id.
        order: String,
        /// The name of the checklist.
        checklist: String,
    },
    /// Put a task on it.
    AddTask {
        /// Its number or id.
        order: String,
        /// What is to be done.
        title: String,
        /// Whether the order is complete without it only with a reason.
        #[arg(long)]
        required: bool,
    },
    /// Enter the result of a task.
    #[command(allow_negative_numbers = true)]
    Task {
        /// Its number or id.
        order: String,
        /// Its number in the list, from 1, or its id.
        task: String,
        /// good, bad, a number, or words.
        value: Option<String>,
        /// It was not done; the note says why.
        #[arg(long)]
        skip: bool,
        /// More words.
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
    /// Tell what failed and why.
    Failure {
        /// Its number or id.
        order: String,
        /// What was found.
        #[arg(long, value_name = "TEXT")]
        problem: Option<String>,
        /// Why it came to that.
        #[arg(long, value_name = "TEXT")]
        cause: Option<String>,
        /// What was done about it.
        #[arg(long, value_name = "TEXT")]
        remedy: Option<String>,
        /// The site's code for the problem.
        #[arg(long, value_name = "CODE")]
        problem_code: Option<String>,
        /// The site's code for the cause.
        #[arg(long, value_name = "CODE")]
        cause_code: Option<String>,
        /// The site's code for the remedy.
        #[arg(long, value_name = "CODE")]
        remedy_code: Option<String>,
        /// What it did to the plant.
        #[arg(long, value_name = "EFFECT", value_parser = EFFECTS)]
        effect: Option<String>,
        /// How long the machine did not do its work, in minutes.
        #[arg(long, value_name = "N")]
        downtime_minutes: Option<u32>,
    },
    /// Sign it. Here the name counts, and the signature says so; with the PIN it is signed on the
    /// page.
    Sign {
        /// Its number or id.
        order: String,
        /// What it means.
        #[arg(value_parser = MEANINGS)]
        meaning: String,
        /// More words.
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
    /// Go on in a new order.
    FollowUp {
        /// Its number or id.
        order: String,
        /// One line; from the task when left out.
        #[arg(long, value_name = "TEXT")]
        title: Option<String>,
        /// The task that was found bad: its number in the list, from 1, or its id.
        #[arg(long, value_name = "TASK")]
        task: Option<String>,
    },
    /// Say that what was flagged has been looked at.
    Reviewed {
        /// Its number or id.
        order: String,
        /// What was decided.
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
}

/// Which order, which action of the interface, and what it carries.
type Request = (String, &'static str, Map<String, Value>);

fn request(order: String, action: &'static str, body: Value) -> Request {
    let mut body = match body {
        Value::Object(body) => body,
        _ => Map::new(),
    };
    // What was not given stays out: null would take a field away.
    body.retain(|_, value| !value.is_null());
    (order, action, body)
}

impl Work {
    pub(super) fn request(self) -> anyhow::Result<Request> {
        Ok(match self {
            Self::Approve { order } => request(order, "approve", json!({})),
            Self::Reject { order, reason } => request(order, "reject", json!({"reason": reason})),
            Self::Assign { order, name: None } => request(order, "unassign", json!({})),
            Self::Assign { order, name } => request(order, "assign", json!({"name": name})),
            Self::Schedule { order, from, until } => {
                request(order, "schedule", json!({"from": from, "until": until}))
            }
            Self::Start { order } => request(order, "start", json!({})),
            Self::Hold {
                order,
                reason,
                note,
            } => request(order, "hold", json!({"reason": reason, "note": note})),
            Self::Resume { order } => request(order, "resume", json!({})),
            Self::Complete {
                order,
                remedy,
                minutes,
                force,
            } => {
                let body = json!({"remedy": remedy, "minutes": minutes, "force": force});
                request(order, "complete", body)
            }
            Self::Verify { order, note } => request(order, "verify", json!({"note": note})),
            Self::Close { order, note } => request(order, "close", json!({"note": note})),
            Self::Cancel { order, reason } => request(order, "cancel", json!({"reason": reason})),
            Self::Reopen { order, reason } => request(order, "reopen", json!({"reason": reason})),
            Self::Duplicate { order, of } => request(order, "duplicate", json!({"of": of})),
            Self::Reviewed { order, note } => request(order, "review_done", json!({"note": note})),
            fact => return fact.fact(),
        })
    }

    /// What was found, done and said.
    fn fact(self) -> anyhow::Result<Request> {
        Ok(match self {
            Self::Note { order, text } => request(order, "comment", json!({"text": text})),
            Self::Labour {
                order,
                minutes,
                note,
            } => request(order, "labour", json!({"minutes": minutes, "note": note})),
            Self::Clock { order, what, .. } if what == "start" => {
                request(order, "labour_start", json!({}))
            }
            Self::Clock { order, note, .. } => request(order, "labour_stop", json!({"note": note})),
            Self::Part {
                order,
                part,
                quantity,
            } => request(order, "part", json!({"part": part, "quantity": quantity})),
            Self::Checklist { order, checklist } => {
                request(order, "checklist", json!({"checklist": checklist}))
            }
            Self::AddTask {
                order,
                title,
                required,
            } => {
                let body = json!({"title": title, "required": required});
                request(order, "task_add", body)
            }
            Self::Sign {
                order,
                meaning,
                note,
            } => request(order, "sign", json!({"meaning": meaning, "note": note})),
            Self::FollowUp { order, title, task } => {
                request(order, "follow_up", json!({"title": title, "task": task}))
            }
            more => return more.more(),
        })
    }

    /// Those with many fields.
    fn more(self) -> anyhow::Result<Request> {
        match self {
            Self::Task {
                order,
                task,
                value,
                skip,
                note,
            } => {
                let value = value.map(|text| value_of(&text));
                let body = json!({"task": task, "value": value, "skip": skip, "note": note});
                Ok(request(order, "task", body))
            }
            Self::Edit {
                order,
                title,
                description,
                priority,
                due,
                asset,
            } => {
                let body = json!({"title": title, "description": description,
                    "priority": priority});
                let (order, action, mut body) = request(order, "edit", body);
                for (key, value) in [("due", due), ("asset", asset)] {
                    let value = value.map(|value| {
                        if value.is_empty() {
                            Value::Null
                        } else {
                            Value::from(value)
                        }
                    });
                    body.extend(value.map(|value| (key.to_owned(), value)));
                }
                Ok((order, action, body))
            }
            Self::Failure {
                order,
                problem,
                cause,
                remedy,
                problem_code,
                cause_code,
                remedy_code,
                effect,
                downtime_minutes,
            } => {
                let body = json!({"problem": problem, "cause": cause, "remedy": remedy,
                    "problem_code": problem_code, "cause_code": cause_code,
                    "remedy_code": remedy_code, "effect": effect,
                    "downtime_minutes": downtime_minutes});
                Ok(request(order, "failure", body))
            }
            _ => bail!("this is no action on an order"),
        }
    }
}

/// What a person types as the result of a task.
fn value_of(text: &str) -> Value {
    match (text, text.parse::<f64>()) {
        ("good", _) => Value::from(true),
        ("bad", _) => Value::from(false),
        (_, Ok(number)) => Value::from(number),
        _ => Value::from(text),
    }
}

/// Numbers of orders and of tasks in their list become ids.
pub(super) fn resolved(
    client: &mut Client,
    order: Uuid,
    mut body: Map<String, Value>,
) -> anyhow::Result<Map<String, Value>> {
    if let Some(other) = body.get("of").and_then(Value::as_str) {
        let id = super::one_of(client, "/work-orders", other)?;
        body.insert("of".to_owned(), json!(id));
    }
    let number = body.get("task").and_then(Value::as_str);
    if let Some(number) = number.and_then(|text| text.parse::<usize>().ok()) {
        let whole = client.get(&format!("/work-orders/{order}"))?;
        let tasks = items(&whole, "/tasks");
        let task = number.checked_sub(1).and_then(|at| tasks.get(at));
        let id = task.and_then(|task| task.get("id")).cloned();
        let words = || format!("the order has {} tasks", tasks.len());
        body.insert("task".to_owned(), id.with_context(words)?);
    }
    Ok(body)
}

/// The tasks, numbered as `wo task` takes them.
pub(super) fn tasks(order: &Value) -> String {
    let line = |(number, task): (usize, &Value)| {
        let mark = match task.pointer("/result/good") {
            _ if task.get("result").is_none_or(Value::is_null) => "open",
            Some(Value::Bool(true)) => "good",
            Some(Value::Bool(false)) => "NOT GOOD",
            _ => "skipped",
        };
        let value = match task.pointer("/result/value") {
            Some(Value::String(text)) => format!(": {text}"),
            Some(Value::Number(number)) => format!(": {number} {}", text(task, "/unit/symbol")),
            _ => String::new(),
        };
        let must = if task.get("required") == Some(&Value::Bool(true)) {
            " (must be done)"
        } else {
            ""
        };
        format!(
            "{number:>3}  {mark:<8}  {}{must}{value}\n",
            text(task, "/title")
        )
    };
    let tasks = items(order, "/tasks").iter();
    (1..).zip(tasks).map(line).collect::<Vec<_>>().concat()
}

/// The failure report in a line.
pub(super) fn failure(order: &Value) -> String {
    let parts = [
        ("problem", "/failure/problem"),
        ("cause", "/failure/cause"),
        ("remedy", "/failure/remedy"),
        ("effect", "/failure/effect"),
        ("down for minutes", "/failure/downtime_minutes"),
    ];
    let told = parts.iter().filter_map(|(name, pointer)| {
        let value = text(order, pointer);
        (!value.is_empty()).then(|| format!("{name}: {value}"))
    });
    let told: Vec<_> = told.collect();
    if told.is_empty() {
        return String::new();
    }
    format!("Failure  {}\n", told.join("; "))
}

/// What a signature says.
pub(super) fn signature(signature: &Value) -> String {
    let changed = signature.get("changes_since").and_then(Value::as_u64);
    let since = match changed {
        Some(0) | None => String::new(),
        Some(changes) => format!(", {changes} changes since"),
    };
    let holds = if signature.get("holds") == Some(&Value::Bool(true)) {
        ""
    } else {
        ", DOES NOT HOLD"
    };
    let meaning = text(signature, "/meaning");
    let method = text(signature, "/method");
    format!("signed as {meaning} (by {method}){since}{holds}")
}
