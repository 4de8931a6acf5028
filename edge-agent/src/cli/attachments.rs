//! Photos and documents of a work order on the command line. Never decides what is taken: the agent
//! does.

use super::client::Client;
use super::table::table;
use super::words::{items, text, time};
use anyhow::{Context as _, bail};
use protocol::attachment::percent;
use protocol::limits::ATTACHMENT_BYTES_MAX;
use serde_json::{Value, json};
use std::path::Path;
use uuid::Uuid;

/// Adds a file to an order; the order with it.
pub(super) fn add(
    client: &mut Client,
    order: Uuid,
    file: &Path,
    (by, note): (&str, Option<&str>),
) -> anyhow::Result<Value> {
    let shown = file.display();
    let about = std::fs::metadata(file).with_context(|| format!("reading {shown}"))?;
    if about.len() > ATTACHMENT_BYTES_MAX {
        bail!(
            "{shown} is longer than {} MiB; make it smaller, or split it",
            ATTACHMENT_BYTES_MAX >> 20
        );
    }
    let bytes = std::fs::read(file).with_context(|| format!("reading {shown}"))?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let mut path = format!(
        "/work-orders/{order}/attachments?by={}&name={}",
        percent(by),
        percent(&name)
    );
    if let Some(note) = note {
        path.push_str("&note=");
        path.push_str(&percent(note));
    }
    client.post_bytes(&path, &bytes)
}

/// The attachments of an order as JSON and in words.
pub(super) fn list(order: &Value) -> (Value, String) {
    let attachments = items(order, "/attachments");
    let number = text(order, "/number");
    let answer = json!({"number": number, "attachments": attachments});
    if attachments.is_empty() {
        return (answer, format!("{number} has no photo or document."));
    }
    let row = |it: &Value| {
        vec![
            text(it, "/name"),
            text(it, "/bytes"),
            text(it, "/media_type"),
            place(&text(it, "/place")).to_owned(),
            time(it, "/at"),
            text(it, "/by"),
            text(it, "/note"),
        ]
    };
    let rows: Vec<_> = attachments.iter().map(row).collect();
    let columns = ["NAME", "BYTES", "TYPE", "WHERE", "ADDED", "BY", "NOTE"];
    (answer, table(&columns, &rows))
}

fn place(word: &str) -> &'static str {
    match word {
        "box" => "here, waits for the hub",
        "both" => "here and at the hub",
        "hub" => "at the hub",
        _ => "nowhere that is known",
    }
}
