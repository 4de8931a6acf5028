//! What work on an order leaves behind, as lines for a person. Never asks the agent.

use super::super::words::{items, text};
use serde_json::Value;

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
