//! `tags export` and `tags import`: the configured sensors as CSV for a spreadsheet, and the way back,
//! also from the files of Kepware. Whatever is wrong is told by line and column, and nothing is taken
//! from a file of which one row is wrong, unless that is asked for. Never writes the configuration
//! without `--write`, and then keeps the old file beside it.

mod export;
mod kepware;
mod merge;
mod rows;

use super::table::many;
use super::{Output, files, load};
use crate::config::Config;
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use merge::{Imported, Options};
use serde_json::json;
use std::fmt;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Most bytes of a CSV file; a larger one is refused unread.
const BYTES_MAX: u64 = 16 << 20;
/// Most problems that are told of one file.
const PROBLEMS_MAX: usize = 200;

/// Columns in the order of an export; further keys of sensors follow, in their order.
const COLUMNS: [&str; 19] = [
    "device",
    "tag",
    "address",
    "type",
    "order",
    "scale",
    "offset",
    "unit_name",
    "poll",
    "deadband",
    "access",
    "description",
    "table",
    "range",
    "nan",
    "asset",
    "max_silence",
    "port",
    "unit",
];

#[derive(Debug, Subcommand)]
pub(super) enum Tags {
    /// Write the sensors of the configuration that counts, one a line.
    Export(Export),
    /// Make sensors of a CSV file; print the configuration with them, or write it.
    Import(Import),
}

#[derive(Debug, Args)]
pub(super) struct Export {
    /// Only the sensors of this device.
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
    /// Write into this file instead of standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Import {
    /// The CSV file; - is standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The device of rows that name none.
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
    /// The port of devices that are not configured yet.
    #[arg(long, value_name = "NAME")]
    port: Option<String>,
    /// The unit number of a device that is not configured yet, where the file has none.
    #[arg(long, value_name = "NUMBER")]
    unit: Option<u8>,
    /// The byte order of a device that is not configured yet: ABCD, CDAB, BADC or DCBA.
    #[arg(long, value_name = "ORDER")]
    order: Option<String>,
    /// Leave wrong rows out instead of taking none.
    #[arg(long)]
    skip: bool,
    /// Write the configuration file; the old one stays beside it.
    #[arg(long)]
    write: bool,
}

/// What is wrong with one row, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wrong {
    /// Line of the file, from 1.
    line: u64,
    /// Number of the column, from 1, and its head; none: the whole row.
    column: Option<(usize, String)>,
    words: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.column {
            Some((number, head)) => {
                write!(f, "{}: column {number} ({head}): {}", self.line, self.words)
            }
            None => write!(f, "{}: {}", self.line, self.words),
        }
    }
}

impl Tags {
    pub(super) fn run(self, config: &Path, output: Output) -> anyhow::Result<()> {
        match self {
            Self::Export(command) => command.run(config, output),
            Self::Import(command) => command.run(config, output),
        }
    }
}

impl Export {
    fn run(self, file: &Path, output: Output) -> anyhow::Result<()> {
        let config = load(file)?;
        if let Some(name) = &self.device
            && !config.devices.iter().any(|device| device.name == *name)
        {
            let known = config.devices.iter().map(|device| device.name.as_str());
            let advice = crate::config::suggestion(name, known);
            bail!("there is no device \"{name}\"; {advice}");
        }
        let csv = export::export(&config, self.device.as_deref())?;
        let Some(out) = self.out else {
            return output.raw(csv.as_bytes());
        };
        let written = std::fs::File::create(&out).and_then(|mut file| {
            file.write_all(csv.as_bytes())
                .and_then(|()| file.sync_all())
        });
        written.with_context(|| format!("writing {}", out.display()))?;
        let sensors = config.devices.iter().map(|device| device.sensors.len());
        output.answer(
            &json!({"file": out, "bytes": csv.len()}),
            &format!("{}: {}.", out.display(), many(sensors.sum(), "sensor")),
        )
    }
}

impl Import {
    fn run(self, file: &Path, output: Output) -> anyhow::Result<()> {
        let bytes = self.read()?;
        let config = Config::draft(file).map_err(super::told)?;
        let options = Options {
            device: self.device.clone(),
            port: self.port.clone(),
            unit: self.unit,
            order: self.order.clone(),
            skip: self.skip,
        };
        let name = self.file.display();
        let mut imported = merge::import(file, &config, &bytes, &options)
            .with_context(|| format!("importing {name}"))?;
        if let Some(document) = super::config::documents(&config).counts() {
            imported.notes.push(format!(
                "document {} of the hub counts in place of this file's devices; `edge-agent config \
                 rollback` goes back to the file",
                document.version
            ));
        }
        if !imported.wrong.is_empty() && !self.skip {
            bail!(
                "{name} has {}, so nothing was imported (--skip leaves them out):\n{}",
                many(imported.wrong.len(), "problem"),
                lines(&name.to_string(), &imported.wrong)
            );
        }
        self.tell(file, &imported, output)
    }

    fn read(&self) -> anyhow::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = if self.file.as_os_str() == "-" {
            std::io::stdin()
                .lock()
                .take(BYTES_MAX + 1)
                .read_to_end(&mut bytes)
        } else {
            std::fs::File::open(&self.file)
                .and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut bytes))
        };
        let name = self.file.display();
        let size = read.with_context(|| format!("reading {name}"))?;
        if u64::try_from(size).unwrap_or(u64::MAX) > BYTES_MAX {
            bail!("{name} is larger than {BYTES_MAX} bytes; is it the right file?");
        }
        Ok(bytes)
    }

    fn tell(&self, file: &Path, imported: &Imported, output: Output) -> anyhow::Result<()> {
        let name = self.file.display().to_string();
        let mut notes = imported.notes.clone();
        if !imported.wrong.is_empty() {
            let rows = many(imported.wrong.len(), "problem");
            notes.push(format!(
                "left out because of {rows}:\n{}",
                lines(&name, &imported.wrong)
            ));
        }
        let wrong: Vec<String> = imported
            .wrong
            .iter()
            .map(|w| format!("{name}:{w}"))
            .collect();
        let json = json!({
            "sensors": imported.sensors, "devices": imported.devices, "left_out": wrong,
            "notes": imported.notes, "written": self.write.then_some(file),
            "text": (!self.write).then_some(&imported.text),
        });
        if !self.write {
            // Standard output is the configuration; what there is to say goes beside it.
            let mut stderr = std::io::stderr().lock();
            for note in &notes {
                drop(writeln!(stderr, "edge-agent: {note}"));
            }
            return output.answer(&json, &imported.text);
        }
        files::replace(file, &imported.text)?;
        let words = format!(
            "{}: {} of {} written; the old file is beside it with .before at the end. \
             `edge-agent diff` shows what changes, `edge-agent reload` has the running agent take \
             it over.",
            file.display(),
            many(imported.sensors, "sensor"),
            many(imported.devices, "device"),
        );
        let words = std::iter::once(words).chain(notes);
        output.answer(&json, &words.collect::<Vec<_>>().join("\n"))
    }
}

fn lines(file: &str, wrong: &[Wrong]) -> String {
    let lines = wrong.iter().take(PROBLEMS_MAX);
    let lines: Vec<String> = lines.map(|wrong| format!("{file}:{wrong}")).collect();
    lines.join("\n")
}

#[cfg(test)]
#[cfg(feature = "driver-modbus")]
mod tests;
