//! What a bench found: a table for people, `build/bench.json` for programs. Never measures.

use anyhow::{Context as _, Result};
use harness::places;
use serde_json::{Value, json};
use std::fmt;

/// The rows of one bench.
#[derive(Debug)]
pub(crate) struct Report {
    name: String,
    rows: Vec<Row>,
    measured: Vec<String>,
    broken: bool,
}

#[derive(Debug)]
struct Row {
    what: String,
    ours: f64,
    unit: &'static str,
    peer: String,
    peers: f64,
}

impl Report {
    /// An empty report.
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            rows: Vec::new(),
            measured: Vec::new(),
            broken: false,
        }
    }

    /// One figure beside that of its peer or its limit, in the same unit.
    pub(crate) fn row(&mut self, what: &str, ours: f64, unit: &'static str, peer: (&str, f64)) {
        let (peer, peers) = (peer.0.to_owned(), peer.1);
        self.rows.push(Row {
            what: what.to_owned(),
            ours,
            unit,
            peer,
            peers,
        });
    }

    /// Measures a promise of `docs/promises.md`.
    pub(crate) fn promise(&mut self, kept: bool, words: String) {
        self.measured.push(words);
        self.broken |= !kept;
    }

    /// Whether a promise does not hold.
    pub(crate) const fn is_broken(&self) -> bool {
        self.broken
    }

    /// Puts the rows into `build/bench.json`, beside those of other benches.
    pub(crate) fn write_json(&self) -> Result<()> {
        let path = places::repository().join("build/bench.json");
        let mut all: Value = std::fs::read(&path)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .filter(Value::is_object)
            .unwrap_or_else(|| json!({}));
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                json!({
                    "what": row.what, "ours": row.ours, "unit": row.unit,
                    "peer": row.peer, "peers": row.peers, "ratio": row.ours / row.peers,
                })
            })
            .collect();
        let release = !cfg!(debug_assertions);
        if let Some(all) = all.as_object_mut() {
            all.insert(
                self.name.clone(),
                json!({ "release": release, "rows": rows }),
            );
        }
        std::fs::create_dir_all(places::repository().join("build")).context("making build")?;
        std::fs::write(&path, serde_json::to_string_pretty(&all)?)
            .with_context(|| format!("writing {}", path.display()))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |f: &mut fmt::Formatter<'_>, cells: [&str; 5]| {
            let [what, ours, peers, ratio, peer] = cells;
            writeln!(f, "  {what:<44} {ours:>16} {peers:>16} {ratio:>8}  {peer}")
        };
        writeln!(f, "{}", self.name)?;
        row(f, ["", "ours", "peer's", "ratio", "peer"])?;
        for Row {
            what,
            ours,
            unit,
            peer,
            peers,
        } in &self.rows
        {
            let ratio = figure(ours / peers, "");
            let (ours, peers) = (figure(*ours, unit), figure(*peers, unit));
            row(f, [what, &ours, &peers, &ratio, peer])?;
        }
        for words in &self.measured {
            writeln!(f, "measured: {words}")?;
        }
        Ok(())
    }
}

/// Three figures that matter.
fn figure(value: f64, unit: &str) -> String {
    let text = match value {
        _ if value >= 1_000.0 => format!("{value:.0} {unit}"),
        _ if value >= 10.0 => format!("{value:.1} {unit}"),
        _ if value >= 0.1 => format!("{value:.2} {unit}"),
        _ => format!("{value:.4} {unit}"),
    };
    text.trim_end().to_owned()
}

/// The middle one of several runs.
pub(crate) fn median(mut values: Vec<f64>) -> Result<f64> {
    values.sort_by(f64::total_cmp);
    values
        .get(values.len() / 2)
        .copied()
        .context("no run to take the median of")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_shows_both_figures_and_their_ratio() {
        let mut report = Report::new("x");
        report.row("reads", 30_000.0, "/s", ("libmodbus", 60_000.0));
        report.promise(true, "30000 reads a second".into());
        let text = report.to_string();
        assert!(text.contains("30000 /s") && text.contains("0.50") && text.contains("libmodbus"));
        assert!(text.contains("measured: 30000 reads a second"), "{text}");
        assert!(!report.is_broken());
        report.promise(false, "slow".into());
        assert!(report.is_broken());
        assert!((median(vec![3.0, 1.0, 2.0]).unwrap() - 2.0).abs() < f64::EPSILON);
    }
}
