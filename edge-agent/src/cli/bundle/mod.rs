//! `bundle`: one file for whoever helps from afar: what `doctor` found, configuration, versions, how
//! the running agent is, its log and the figures of its databases. Never holds a reading, a person, a
//! code, a key or a password; never sends anything.

mod archive;
mod redact;

use super::client::Client;
use super::config::documents;
use super::doctor::{Examined, examine_all};
use super::status::rounded;
use super::words::text as word_of;
use super::{Output, status};
use crate::clock;
use crate::config::Config;
use crate::storage::inspect;
use anyhow::Context as _;
use archive::{ALL_BYTES_MAX, Archive, TEXT_BYTES_MAX};
use clap::Args;
use protocol::time::Timestamp;
use redact::Redactor;
use serde_json::{Value, json};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

/// Lines of the log that are asked for.
const LOG_LINES: &str = "5000";
/// Longest wait for the journal.
const LOG_WAIT: Duration = Duration::from_secs(20);
/// Longest time for counting the rows of one database.
const COUNT_TIME: Duration = Duration::from_secs(20);
/// Small files that tell of the system; none of them holds anything of people.
const SYSTEM_FILES: [&str; 6] = [
    "/etc/os-release",
    "/proc/version",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/tty/driver/serial",
];

#[derive(Debug, Args)]
#[command(
    after_help = "Inside: what doctor found, the configuration without secrets and comments, \
    versions, status, alerts in numbers, figures of buses and databases, the end of the log.\n\
    Not inside: readings, names of people, access codes, claims, keys, passwords. Look yourself: tar -xzf FILE\n\n\
    Example:\n  edge-agent bundle --out hall-b.tar.gz"
)]
pub(super) struct Bundle {
    /// File to write; else one in this folder, named by the box and the time.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// File with a log to put in, where there is no journal.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

impl Bundle {
    pub(super) fn run(self, file: &Path, output: Output) -> anyhow::Result<()> {
        let now = clock::now();
        let examined = examine_all(file);
        let mut redactor = Redactor::default();
        let archive = gather(file, &examined, self.log.as_deref(), now, &mut redactor);
        let code = examined
            .config
            .as_ref()
            .map(|config| config.gateway.code.clone());
        let name = format!(
            "edge-agent-{}-{}",
            plain(&code.unwrap_or_default()),
            stamp(now)
        );
        let path = self
            .out
            .unwrap_or_else(|| PathBuf::from(format!("{name}.tar.gz")));
        let bytes = archive.write(&path, &name, now)?;
        let texts: Vec<&str> = archive.list().map(|(name, _)| name).collect();
        let notes = archive.notes();
        output.answer(
            &json!({"file": path, "bytes": bytes, "texts": texts, "notes": notes}),
            &format!(
                "Wrote {} ({}): {}.\n{}Readings, people, codes, keys and passwords are not in it.",
                path.display(),
                rounded(bytes),
                texts.join(", "),
                archive.notes_in_lines(),
            ),
        )
    }
}

/// Letters and digits of a name, for that of a file.
fn plain(name: &str) -> String {
    let letters = name.chars().filter(char::is_ascii_alphanumeric);
    Some(letters.collect::<String>())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "box".to_owned())
}

/// `20261130-181500`.
fn stamp(now: Timestamp) -> String {
    let digits: String = now
        .to_string()
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    let (day, time) = digits.split_at_checked(8).unwrap_or((&digits, ""));
    format!("{day}-{}", time.get(..6).unwrap_or(time))
}

fn gather(
    file: &Path,
    examined: &Examined,
    log: Option<&Path>,
    now: Timestamp,
    redactor: &mut Redactor,
) -> Archive {
    let mut archive = Archive::new();
    // First everything that is secret, so that no text goes in before all of it is known.
    let configurations = configurations(file, examined.config.as_ref(), redactor, &mut archive);
    if let Some(config) = &examined.config {
        learn_files(config, redactor);
    }
    let found = &examined.findings;
    archive.add("doctor.txt", redactor, &found.words());
    archive.add("doctor.json", redactor, &found.json().to_string());
    for (name, text) in configurations {
        archive.add(&name, redactor, &text);
    }
    archive.add("versions.txt", redactor, &versions(now));
    for path in SYSTEM_FILES {
        if let Some(text) = end_of(Path::new(path)) {
            archive.add(
                &format!("system{}.txt", path.replace('/', "-")),
                redactor,
                &text,
            );
        }
    }
    if let Some(config) = &examined.config {
        archive.add(
            "databases.json",
            redactor,
            &databases(&config.gateway.data_dir),
        );
        if let Some(status) = &examined.status {
            agent(config, status, redactor, &mut archive);
        }
    }
    let journal = log.map_or_else(journal, |path| {
        end_of(path).with_context(|| format!("reading {}", path.display()))
    });
    match journal {
        Ok(text) => archive.add("log.txt", redactor, &text),
        Err(error) => archive.note(format!(
            "There is no log: {error:#}. Name a file with --log."
        )),
    }
    let notes = archive.notes_in_lines();
    let readme = format!(
        "Support file of an edge-agent box, made at {now} by version {}.\n\
         Readings, people, codes, claims, keys and passwords are not in it; a place where one was says {}.\n\
         At most {} of text.\n\n{notes}",
        env!("CARGO_PKG_VERSION"),
        redact::REMOVED,
        rounded(u64::try_from(ALL_BYTES_MAX).unwrap_or(u64::MAX)),
    );
    archive.add("README.txt", redactor, &readme);
    archive
}

/// The local file and the hub's document that counts, cleaned.
fn configurations(
    file: &Path,
    config: Option<&Config>,
    redactor: &mut Redactor,
    archive: &mut Archive,
) -> Vec<(String, String)> {
    let mut texts = Vec::new();
    if let Some(text) = end_of(file) {
        texts.push(("configuration/edge.toml".to_owned(), text));
    }
    if let Some(documents) = config.map(documents)
        && let Some(name) = documents.counts()
        && let Ok(text) = documents.text(name)
    {
        texts.push((
            format!("configuration/document-{}.toml", name.version),
            text,
        ));
    }
    let cleaned = texts.into_iter().filter_map(|(name, text)| {
        redactor.learn_addresses(&text);
        let clean = redactor.configuration(&text);
        if clean.is_none() {
            archive.note(format!(
                "{name} is no TOML, so what is secret in it is not known, and it was left out."
            ));
        }
        Some((name, clean?))
    });
    cleaned.collect()
}

/// Learns what is in the files of codes and keys.
fn learn_files(config: &Config, redactor: &mut Redactor) {
    if let Some(text) = config.web.access_code_file.as_deref().and_then(end_of) {
        redactor.learn(&text);
    }
    if let Some(hub) = &config.hub
        && let Some(proxy) = &hub.proxy
        && let Some((_, password)) = proxy.credentials()
    {
        redactor.learn(&String::from_utf8_lossy(password));
    }
    let folder = crate::identity::folder(&config.gateway.data_dir);
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if let Some(text) = end_of(&entry.path()) {
            redactor.learn_pem(&text);
        }
    }
}

/// The end of a file as text.
fn end_of(path: &Path) -> Option<String> {
    let bytes_max = u64::try_from(TEXT_BYTES_MAX).unwrap_or(u64::MAX);
    let mut file = std::fs::File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    if length > bytes_max {
        file.seek(SeekFrom::Start(length - bytes_max)).ok()?;
    }
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn versions(now: Timestamp) -> String {
    format!(
        "edge-agent {}\nprotocols {}\nbuilt for {} {}\nmade at {now}\n",
        env!("CARGO_PKG_VERSION"),
        crate::drivers::PROTOCOLS.join(" "),
        std::env::consts::ARCH,
        std::env::consts::OS,
    )
}

fn databases(folder: &Path) -> String {
    let list = inspect(folder, COUNT_TIME).map(|database| {
        json!({
            "file": database.path,
            "bytes": database.bytes,
            "log_bytes": database.log_bytes,
            "schema": database.schema.0,
            "schema_newest": database.schema.1,
            "found": format!("{:?}", database.found),
            "rows": database.tables.into_iter().collect::<std::collections::BTreeMap<_, _>>(),
        })
    });
    Value::from(list.to_vec()).to_string()
}

/// What the running agent tells, without people, and without what was measured or written.
fn agent(config: &Config, status: &Value, redactor: &mut Redactor, archive: &mut Archive) {
    let mut status = status.clone();
    for person in status
        .pointer("/people")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        redactor.learn(&word_of(person, "/name"));
    }
    if let Some(fields) = status.as_object_mut() {
        fields.remove("people");
    }
    archive.add("status.json", redactor, &status.to_string());
    archive.add("status.txt", redactor, &status::words(&status));
    let mut client = Client::new(config);
    match client.get("/bus") {
        Ok(buses) => archive.add("buses.json", redactor, &buses.to_string()),
        Err(error) => archive.note(format!("There is no buses.json: {error:#}.")),
    }
    let lists: [(&str, &str, &[&str]); 3] = [
        (
            "sensors.json",
            "/sensors",
            &[
                "path",
                "asset",
                "unit",
                "quality",
                "quality_words",
                "time",
                "period_s",
            ],
        ),
        (
            "alerts.json",
            "/alerts",
            &[
                "id",
                "state",
                "severity",
                "rule",
                "raised_at",
                "acknowledged_at",
                "cleared_at",
            ],
        ),
        (
            "work-orders.json",
            "/work-orders",
            &["id", "number", "type", "state", "created_at", "done_at"],
        ),
    ];
    for (name, path, keys) in lists {
        match client.list(path) {
            Ok(items) => {
                let kept: Vec<Value> = items.iter().map(|item| only(item, keys)).collect();
                archive.add(name, redactor, &Value::from(kept).to_string());
            }
            Err(error) => archive.note(format!("There is no {name}: {error:#}.")),
        }
    }
}

/// An object with nothing but these keys.
fn only(item: &Value, keys: &[&str]) -> Value {
    let kept = keys
        .iter()
        .filter_map(|key| Some(((*key).to_owned(), item.get(*key)?.clone())));
    Value::Object(kept.collect())
}

/// The end of the agent's log from the system's journal.
fn journal() -> anyhow::Result<String> {
    let mut child = Command::new("journalctl")
        .args([
            "--unit",
            "edge-agent",
            "--lines",
            LOG_LINES,
            "--no-pager",
            "--output",
            "short-iso",
        ])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("asking the journal")?;
    let pipe = child.stdout.take().context("asking the journal")?;
    let (told, answer) = sync_channel(1);
    let bytes_max = u64::try_from(TEXT_BYTES_MAX).unwrap_or(u64::MAX);
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = pipe.take(bytes_max).read_to_end(&mut bytes);
        told.send(read.map(|_| bytes))
    });
    let answered = answer.recv_timeout(LOG_WAIT);
    // It has said all that is wanted; one that hangs is ended.
    drop(child.kill());
    drop(child.wait());
    let bytes = answered
        .context("the journal took too long")?
        .context("reading the journal")?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests;
