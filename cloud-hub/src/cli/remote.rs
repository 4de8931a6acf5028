//! What the command line does to a box from afar: configuration documents and commands, beside a
//! running hub or without one. Never waits for the box: it may be away for days.

use super::Output;
use crate::service;
use crate::store::{CommandRow, ConfigurationTold, DocumentRow, GatewayRow, Store};
use crate::tenants::TenantScope;
use anyhow::{Context as _, bail};
use protocol::event::Actor as By;
use protocol::limits::DOCUMENT_BYTES_MAX;
use protocol::sync::{Outcome, Task};
use protocol::view::rfc3339;
use serde_json::{Value, json};
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

/// Who acts where nobody is signed in.
const COMMAND_LINE: &str = "the hub's command line";

/// `gateway configure`
pub(super) async fn configure(
    store: &Store,
    scope: TenantScope,
    (row, file): (&GatewayRow, &Path),
    output: Output,
) -> anyhow::Result<()> {
    let reading = || format!("reading {}", file.display());
    let most = u64::try_from(DOCUMENT_BYTES_MAX)?;
    let mut text = String::new();
    let file = std::fs::File::open(file).with_context(reading)?;
    file.take(most + 1)
        .read_to_string(&mut text)
        .with_context(reading)?;
    let act = (By::System(COMMAND_LINE.to_owned()), crate::clock::new_id()?);
    let version = service::configure(store, scope, act, row.id, text).await?;
    let name = &row.name;
    output.answer(
        &json!({"gateway": row.id, "name": name, "document": version}),
        &format!(
            "Document {version} is on its way to {name}; `cloud-hub gateway configuration {name:?}` \
             tells what becomes of it"
        ),
    )
}

/// `gateway configuration`
pub(super) async fn configuration(
    store: &Store,
    scope: TenantScope,
    row: &GatewayRow,
    output: Output,
) -> anyhow::Result<()> {
    let (documents, told) = store.documents(scope, row.id).await?;
    let list: Vec<Value> = documents.iter().map(document_json).collect();
    let told_json = told.as_ref().map(|told| {
        json!({
            "version": told.version,
            "state": told.state.map(protocol::sync::DocumentState::word),
            "words": told.words,
            "at": rfc3339(told.told),
        })
    });
    let json = json!({"gateway": row.id, "name": row.name, "told": told_json, "documents": list});
    let lines: Vec<String> = documents.iter().map(document_words).collect();
    let words = format!("{}\n{}", told_words(told.as_ref()), lines.join("\n"));
    output.answer(&json, words.trim_end())
}

fn document_json(row: &DocumentRow) -> Value {
    json!({
        "version": row.version,
        "made": rfc3339(row.made),
        "by": row.by,
        "state": row.state.map(protocol::sync::DocumentState::word),
        "words": row.words,
        "at": row.state_at.map(rfc3339),
    })
}

fn document_words(row: &DocumentRow) -> String {
    let state = match row.state {
        None => "not told of yet".to_owned(),
        Some(state) => state.word().replace('_', " "),
    };
    let at = row
        .state_at
        .map_or(String::new(), |at| format!(" {}", rfc3339(at)));
    let words = if row.words.is_empty() {
        String::new()
    } else {
        format!(": {}", row.words)
    };
    let (made, by) = (rfc3339(row.made), &row.by);
    format!("{:>4}  {made}  {by}  {state}{at}{words}", row.version)
}

fn told_words(told: Option<&ConfigurationTold>) -> String {
    match told {
        None => "The box has told nothing of its configuration yet.".to_owned(),
        Some(ConfigurationTold {
            version: 0, words, ..
        }) if words.is_empty() => "The box has no document; its local file counts.".to_owned(),
        Some(told) => {
            let state = told
                .state
                .map_or("unknown", protocol::sync::DocumentState::word);
            let state = state.replace('_', " ");
            let which = match told.version {
                0 => String::new(),
                version => format!("document {version} "),
            };
            format!("The box says: {which}{state} {}", told.words)
                .trim_end()
                .to_owned()
        }
    }
}

/// `gateway command`
pub(super) async fn command(
    store: &Store,
    scope: TenantScope,
    (row, kind, arguments): (&GatewayRow, &str, &[String]),
    expires: Duration,
    output: Output,
) -> anyhow::Result<()> {
    let Some(task) = Task::from_word(kind, arguments) else {
        bail!(
            "there is no command \"{kind}\" with {} arguments; there are: restart, \
             renew_certificate, read DEVICE/SENSOR",
            arguments.len()
        );
    };
    let id = crate::clock::new_id()?;
    let act = (By::System(COMMAND_LINE.to_owned()), id);
    service::command(store, scope, act, row.id, (task, expires)).await?;
    let name = &row.name;
    output.answer(
        &json!({"gateway": row.id, "name": name, "command": id}),
        &format!(
            "Command {id} is on its way to {name}; `cloud-hub gateway commands {name:?}` tells how \
             it ends"
        ),
    )
}

/// `gateway commands`
pub(super) async fn commands(
    store: &Store,
    scope: TenantScope,
    row: &GatewayRow,
    output: Output,
) -> anyhow::Result<()> {
    let commands = store.commands(scope, row.id).await?;
    let list: Vec<Value> = commands.iter().map(command_json).collect();
    let lines: Vec<String> = commands.iter().map(command_words).collect();
    let words = if lines.is_empty() {
        "The box was never given a command.".to_owned()
    } else {
        lines.join("\n")
    };
    let json = json!({"gateway": row.id, "name": row.name, "commands": list});
    output.answer(&json, &words)
}

fn command_json(row: &CommandRow) -> Value {
    json!({
        "id": row.id,
        "task": row.task,
        "arguments": row.arguments,
        "issued": rfc3339(row.issued),
        "expires": rfc3339(row.expires),
        "by": row.by,
        "outcome": row.outcome.map(Outcome::word),
        "words": row.words,
        "ended": row.ended.map(rfc3339),
    })
}

fn command_words(row: &CommandRow) -> String {
    let task = [&[row.task.to_owned()], row.arguments.as_slice()]
        .concat()
        .join(" ");
    let outcome = match row.outcome {
        Some(outcome) => format!("{}: {}", outcome.word(), row.words),
        None => format!("no result yet, expires {}", rfc3339(row.expires)),
    };
    format!(
        "{}  {}  {task}  {outcome}  {}",
        rfc3339(row.issued),
        row.by,
        row.id
    )
}

/// A time like `90s`, `5m`, `2h` or `1d`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("\"{text}\" is no time; write for example 30s, 5m, 2h or 1d");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = text.trim_end_matches(unit).parse().map_err(|_| wrong())?;
    let time = Duration::from_secs(number.checked_mul(seconds).ok_or_else(wrong)?);
    if service::EXPIRES.contains(&time) {
        Ok(time)
    } else {
        Err("a command expires after 1s to 7d".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_wrong_ones_told() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(duration("7d"), Ok(Duration::from_secs(604_800)));
        for wrong in [
            "",
            "5",
            "m",
            "5 minutes",
            "0s",
            "8d",
            "99999999999999999999d",
        ] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
