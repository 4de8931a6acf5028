//! `reference import|export|show` and `user pin`: reference data of a site as CSV files, beside a
//! running hub or without one. An import says what it would do and does it only when told to.

use super::Output;
use crate::auth;
use crate::config::Config;
use crate::service::reference::{self, Kind, Mode, Report, Table, Terms};
use crate::store::Store;
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand, ValueEnum};
use protocol::id::SiteId;
use protocol::limits::BUNDLE_BYTES_MAX;
use protocol::view::rfc3339;
use serde_json::json;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Who acts where nobody is signed in.
const COMMAND_LINE: &str = "the hub's command line";
/// First characters that make a spreadsheet take a cell for a formula.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];
/// Put before such a cell, and taken off again.
const GUARD: char = '\'';

#[derive(Debug, Subcommand)]
pub(super) enum Reference {
    /// Take a CSV file. Says what would change; with --write it is changed, whole or not at all.
    Import {
        /// The file: a line of column names, then a line per entry.
        file: PathBuf,
        #[command(flatten)]
        which: Which,
        /// Change it; without this nothing is changed.
        #[arg(long)]
        write: bool,
        /// What is not in the file is removed.
        #[arg(long)]
        replace: bool,
    },
    /// Write a CSV file that an import takes without a change.
    Export {
        /// A new file.
        file: PathBuf,
        #[command(flatten)]
        which: Which,
    },
    /// Show the bundles of a site, newest first, and which one each of its boxes holds.
    Show {
        /// The site, by name or id.
        #[arg(long, value_name = "NAME|ID")]
        site: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct Which {
    /// What is in the file.
    #[arg(long)]
    kind: KindWord,
    /// The site, by name or id.
    #[arg(long, value_name = "NAME|ID")]
    site: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum KindWord {
    /// name, role, phone, email, language, `on_call`.
    People,
    /// tag, name, parent, criticality, class, location.
    Assets,
    /// number, name, stock, unit, place, minimum.
    Parts,
    /// A row per step: checklist, title, class, step, required, answer, unit, low, high, choices.
    Checklists,
    /// code, kind, title, class, under.
    FailureCodes,
}

impl From<KindWord> for Kind {
    fn from(word: KindWord) -> Self {
        match word {
            KindWord::People => Self::People,
            KindWord::Assets => Self::Assets,
            KindWord::Parts => Self::Parts,
            KindWord::Checklists => Self::Checklists,
            KindWord::FailureCodes => Self::FailureCodes,
        }
    }
}

/// `reference …`
pub(super) async fn reference(
    command: Reference,
    config: &Config,
    output: Output,
) -> anyhow::Result<()> {
    let store = Store::open(&config.data_dir)?;
    let scope = store.default_tenant();
    match command {
        Reference::Import {
            file,
            which,
            write,
            replace,
        } => {
            let site = store.site_called(scope, &which.site).await?;
            let table = read(&file)?;
            let mode = Mode {
                replace,
                dry_run: !write,
            };
            let (kind, terms) = (Kind::from(which.kind), terms(config));
            let by = (COMMAND_LINE.to_owned(), terms);
            let place = (scope, site);
            let report = reference::import(&store, place, (kind, table), mode, by).await?;
            told(&report, &file, write, output)
        }
        Reference::Export { file, which } => {
            let site = store.site_called(scope, &which.site).await?;
            let table = reference::export(&store, scope, site, which.kind.into()).await?;
            write(&file, &table)?;
            let rows = table.rows.len();
            output.answer(
                &json!({"file": file.display().to_string(), "rows": rows}),
                &format!("{rows} rows are in {}", file.display()),
            )
        }
        Reference::Show { site } => {
            let site = store.site_called(scope, &site).await?;
            show(&store, site, output).await
        }
    }
}

/// `user pin`
pub(super) async fn pin(
    name: &str,
    file: Option<&Path>,
    remove: bool,
    (config, output): (&Config, Output),
) -> anyhow::Result<()> {
    let store = Store::open(&config.data_dir)?;
    let scope = store.default_tenant();
    let (given, made) = match (file, remove) {
        (Some(file), _) => (Some(first_line(file)?), None),
        (None, true) => (None, None),
        (None, false) => {
            let made = auth::generate_pin()?;
            (Some(made.clone()), Some(made))
        }
    };
    let by = (COMMAND_LINE.to_owned(), terms(config));
    let sites = reference::set_pin(&store, scope, name, given.as_deref(), by).await;
    let sites = sites.with_context(|| {
        format!("giving {name} a PIN (cloud-hub reference import --kind people adds people)")
    })?;
    let words = match (&made, remove) {
        (_, true) => format!("{name} has no PIN any more, at {sites} sites"),
        (Some(made), _) => {
            format!("the PIN of {name} at {sites} sites, shown this once: {made}")
        }
        (None, _) => format!("{name} has a new PIN at {sites} sites"),
    };
    output.answer(&json!({"name": name, "sites": sites, "pin": made}), &words)
}

fn terms(config: &Config) -> Terms {
    let days = |days: usize| u16::try_from(days).unwrap_or(u16::MAX);
    Terms {
        valid_days: days(config.bundle.valid_days),
        grace_days: days(config.bundle.grace_days),
    }
}

fn told(report: &Report, file: &Path, write: bool, output: Output) -> anyhow::Result<()> {
    if !report.problems.is_empty() {
        let lines: Vec<String> = report
            .problems
            .iter()
            .map(|problem| format!("{}: {problem}", file.display()))
            .collect();
        bail!("nothing was changed\n{}", lines.join("\n"));
    }
    let counts = format!(
        "{} added, {} changed, {} removed, {} unchanged",
        report.added, report.changed, report.removed, report.unchanged
    );
    let words = match (report.bundle, write) {
        (Some(number), _) => format!("{counts}; bundle {number} is on its way to the site's boxes"),
        (None, true) => format!("{counts}; there was nothing to change"),
        (None, false) => format!("{counts}; nothing was changed: add --write to do it"),
    };
    let json = json!({
        "added": report.added, "changed": report.changed, "removed": report.removed,
        "unchanged": report.unchanged, "bundle": report.bundle,
    });
    output.answer(&json, &words)
}

async fn show(store: &Store, site: SiteId, output: Output) -> anyhow::Result<()> {
    let (rows, told) = store.bundles(store.default_tenant(), site).await?;
    for row in rows {
        let (made, until) = (rfc3339(row.made), rfc3339(row.valid_until));
        output.answer(
            &json!({"bundle": row.number, "made": made, "valid_until": until, "by": row.by,
                "words": row.words, "bytes": row.bytes}),
            &format!(
                "bundle {}  {made}  good until {until}  {} ({})",
                row.number, row.words, row.by
            ),
        )?;
    }
    for box_ in told {
        let words = match (box_.held, box_.refused.as_str()) {
            (None, _) => format!("{} told nothing yet", box_.name),
            (Some(held), "") => format!("{} holds bundle {held}", box_.name),
            (Some(held), why) => format!("{} holds bundle {held}: {why}", box_.name),
        };
        let json = json!({"gateway": box_.gateway, "name": box_.name, "held": box_.held,
            "refused": box_.refused});
        output.answer(&json, &words)?;
    }
    Ok(())
}

fn first_line(file: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("reading the PIN from {}", file.display()))?;
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}

/// A file as a table. Comma or semicolon, with or without a byte order mark.
fn read(file: &Path) -> anyhow::Result<Table> {
    let reading = || format!("reading {}", file.display());
    let most = u64::try_from(BUNDLE_BYTES_MAX)? * 2;
    let mut text = String::new();
    let opened = std::fs::File::open(file).with_context(reading)?;
    let length = opened.take(most + 1).read_to_string(&mut text);
    if u64::try_from(length.with_context(reading)?)? > most {
        bail!("{} is longer than {most} bytes", file.display());
    }
    parse(&text).with_context(reading)
}

fn parse(text: &str) -> anyhow::Result<Table> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // So that lines are counted as people count them.
    let text = &text.replace("\r\n", "\n");
    let first = text.lines().next().unwrap_or_default();
    let between = if first.contains(';') && !first.contains(',') {
        b';'
    } else {
        b','
    };
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(between)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let header = reader.headers()?.iter();
    let header = header.map(|name| name.to_lowercase().replace([' ', '-'], "_"));
    let mut table = Table {
        header: header.collect(),
        rows: Vec::new(),
    };
    for record in reader.records() {
        let record = record?;
        let line = record.position().map_or(0, csv::Position::line);
        let row = record.iter().map(unguarded).collect();
        table.rows.push((usize::try_from(line)?, row));
    }
    Ok(table)
}

fn write(file: &Path, table: &Table) -> anyhow::Result<()> {
    let writing = || format!("writing {}", file.display());
    let opened = std::fs::File::create_new(file).with_context(writing)?;
    let mut writer = csv::Writer::from_writer(opened);
    writer.write_record(&table.header).with_context(writing)?;
    for (_, row) in &table.rows {
        let row = row.iter().map(|text| guarded(text));
        writer.write_record(row).with_context(writing)?;
    }
    writer.flush().with_context(writing)?;
    Ok(())
}

/// So that no spreadsheet takes a cell for a formula. Plain numbers stay numbers.
fn guarded(text: &str) -> String {
    let is_number = !text.starts_with('+') && text.parse::<f64>().is_ok();
    if !is_number && text.starts_with(|first| FORMULA.contains(&first) || first == GUARD) {
        return format!("{GUARD}{text}");
    }
    text.to_owned()
}

/// The inverse of [`guarded`].
fn unguarded(text: &str) -> String {
    let rest = text
        .strip_prefix(GUARD)
        .filter(|rest| rest.starts_with(|first| FORMULA.contains(&first) || first == GUARD));
    rest.unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_that_would_be_formulas_are_guarded_and_come_back() {
        for (cell, written) in [
            ("=1+1", "'=1+1"),
            ("+4915112345", "'+4915112345"),
            ("-3.5", "-3.5"),
            ("-cmd", "'-cmd"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("'=x", "''=x"),
            ("'quoted", "''quoted"),
            ("plain", "plain"),
            ("", ""),
        ] {
            assert_eq!(guarded(cell), written);
            assert_eq!(unguarded(written), cell);
        }
        assert_eq!(unguarded("'s-Hertogenbosch"), "'s-Hertogenbosch");
    }

    #[test]
    fn commas_semicolons_and_marks_of_spreadsheets_are_read() {
        let expected = Table {
            header: vec!["tag".into(), "name".into()],
            rows: vec![(2, vec!["P-1".into(), "Pump, big".into()])],
        };
        for text in [
            "tag,name\nP-1,\"Pump, big\"\n",
            "\u{feff}Tag;Name\r\nP-1;Pump, big\r\n",
        ] {
            assert_eq!(parse(text).unwrap(), expected, "{text}");
        }
        assert!(parse("tag,name\nP-1\n").is_err());
    }
}
