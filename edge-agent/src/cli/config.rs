//! `config`: which configuration counts, how it differs from the local file, and the way back to
//! that file. Never changes the local file.

use super::client::Client;
use super::table::table;
use super::{Output, told};
use crate::agent::effective;
use crate::config::Config;
use crate::documents::{Documents, Name};
use anyhow::Context as _;
use clap::Subcommand;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

#[derive(Debug, Subcommand)]
pub(super) enum Configuration {
    /// Print the text that says what the plant is: the local file, or the hub's document.
    Show,
    /// Show ports, devices, sensors and rules that only the local file or only the hub's document has.
    Diff,
    /// Go back to the local file; a running agent starts its collection anew with it.
    Rollback,
}

impl Configuration {
    pub(super) fn run(self, file: &Path, output: Output) -> anyhow::Result<()> {
        match self {
            Self::Show => show(file, output),
            Self::Diff => diff(file, output),
            Self::Rollback => rollback(file, output),
        }
    }
}

/// Which configuration counts, in a sentence.
pub(super) fn counts(documents: &Documents) -> String {
    match documents.counts() {
        Some(Name { version, .. }) => {
            let trial = if documents.on_trial() {
                " (on trial)"
            } else {
                ""
            };
            format!(
                "Document {version} of the hub{trial} counts in place of [[port]], [[device]] and \
                 [[rule]] of the local file; `edge-agent config rollback` goes back to the file."
            )
        }
        None => "The local file counts.".to_owned(),
    }
}

/// What counts beside a configuration file.
pub(super) fn documents(config: &Config) -> Documents {
    let hub = config.hub.as_ref();
    let accepts = hub.is_some_and(|hub| hub.accept_configuration);
    Documents::look(&config.gateway.data_dir, accepts)
}

fn show(file: &Path, output: Output) -> anyhow::Result<()> {
    let config = Config::draft(file).map_err(told)?;
    let documents = documents(&config);
    let version = documents.counts().map(|name| name.version);
    let text = if let Some(name) = documents.counts() {
        documents.text(name)?
    } else {
        let text = std::fs::read_to_string(file);
        text.with_context(|| format!("reading {}", file.display()))?
    };
    let newest = documents.told();
    let json = json!({
        "document": version,
        "text": text,
        "accepts": documents.accepts(),
        "newest": {
            "version": newest.name.version,
            "state": newest.state.word(),
            "words": newest.words,
        },
    });
    output.answer(&json, &format!("# {}\n{text}", counts(&documents)))
}

fn diff(file: &Path, output: Output) -> anyhow::Result<()> {
    let own = Config::draft(file).map_err(told)?;
    let (counting, documents) = effective(file).map_err(told)?;
    let (own, counting) = (names(&own), names(&counting));
    let only = |one: &Names, other: &Names| one.difference(other).cloned().collect::<Vec<_>>();
    let (file_only, document_only) = (only(&own, &counting), only(&counting, &own));
    let row = |place: &str, (kind, name): &(&str, String)| {
        vec![place.to_owned(), (*kind).to_owned(), name.clone()]
    };
    let rows = file_only.iter().map(|name| row("file", name));
    let rows: Vec<_> = rows
        .chain(document_only.iter().map(|name| row("document", name)))
        .collect();
    let list = |names: &[(&str, String)]| {
        let entry = |(kind, name): &(&str, String)| json!({"kind": kind, "name": name});
        Value::Array(names.iter().map(entry).collect())
    };
    let json = json!({
        "document": documents.counts().map(|name| name.version),
        "only_in_file": list(&file_only),
        "only_in_document": list(&document_only),
    });
    let words = if rows.is_empty() {
        "Both name the same ports, devices, sensors and rules.".to_owned()
    } else {
        table(&["ONLY IN", "WHAT", "NAME"], &rows)
    };
    output.answer(&json, &format!("{}\n{words}", counts(&documents)))
}

type Names = BTreeSet<(&'static str, String)>;

fn names(config: &Config) -> Names {
    let ports = config.ports.iter().map(|port| ("port", port.name.clone()));
    let devices = config.devices.iter();
    let sensors = devices.clone().flat_map(|device| {
        let sensors = device.sensors.iter();
        sensors.map(|sensor| ("sensor", device.path(sensor)))
    });
    let rules = config.rules.iter().map(|rule| ("rule", rule.name.clone()));
    ports
        .chain(devices.map(|device| ("device", device.name.clone())))
        .chain(sensors)
        .chain(rules)
        .collect()
}

fn rollback(file: &Path, output: Output) -> anyhow::Result<()> {
    let config = Config::draft(file).map_err(told)?;
    let asked = Client::new(&config).post("/configuration/rollback", &json!({}));
    let version = match asked {
        Ok(answer) => answer.get("rolled_back").cloned(),
        // Nobody runs: the files are ours.
        Err(error) if error.downcast_ref::<ureq::Error>().is_some() => {
            Some(json!(documents(&config).to_local()?.version))
        }
        Err(error) => return Err(error),
    };
    let version = version.unwrap_or(Value::Null);
    output.answer(
        &json!({"rolled_back": version}),
        &format!("The local file counts again; document {version} does not any more."),
    )
}
