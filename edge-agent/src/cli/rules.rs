//! `rules test`: which alerts the configured rules would have given over recorded data, of a CSV file or
//! of the running box's store. Never writes an alert, and never asks a device.

mod recorded;
mod replay;

use super::table::{many, table};
use super::{Output, load};
use crate::analysis::Learning;
use crate::config::{Config, suggestion};
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use protocol::time::Timestamp;
use protocol::view::rfc3339;
use recorded::Readings;
use replay::{Outcome, Raised};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

#[derive(Debug, Subcommand)]
pub(super) enum Rules {
    /// Show the alerts that the rules of the configuration would have given over recorded data.
    Test(Test),
}

#[derive(Debug, Args)]
pub(super) struct Test {
    /// CSV file: time and a column for each sensor (device/sensor), or time,sensor,value, or time,value
    /// with --sensor.
    #[arg(long = "in", value_name = "FILE", conflicts_with_all = ["from", "to"])]
    input: Option<PathBuf>,
    /// The sensor of a file with one column of values.
    #[arg(long, value_name = "DEVICE/SENSOR", requires = "input")]
    sensor: Option<String>,
    /// Begin of the recorded data of the running box.
    #[arg(long, value_name = "TIME", requires = "to")]
    from: Option<String>,
    /// End of the recorded data of the running box.
    #[arg(long, value_name = "TIME", requires = "from")]
    to: Option<String>,
    /// Only this rule (and the patterns that it belongs to).
    #[arg(long, value_name = "NAME")]
    rule: Option<String>,
}

impl Rules {
    pub(super) fn run(self, file: &Path, output: Output) -> anyhow::Result<()> {
        let Self::Test(test) = self;
        let mut config = load(file)?;
        if let Some(name) = &test.rule {
            keep_rule(&mut config, name)?;
        }
        if config.rules.is_empty() {
            bail!("the configuration has no rule; docs/rules.md says how to write one");
        }
        let readings = test.readings(&config)?;
        let outcome = replay::replay(&config.rules, readings);
        output.answer(&as_json(&outcome), &in_words(&config, &outcome))
    }
}

impl Test {
    fn readings(&self, config: &Config) -> anyhow::Result<Readings> {
        match (&self.input, &self.from, &self.to) {
            (Some(input), _, _) => recorded::of_file(config, input, self.sensor.as_deref()),
            (None, Some(from), Some(to)) => {
                let (from, to) = (time("--from", from)?, time("--to", to)?);
                if from >= to {
                    bail!("--from must lie before --to");
                }
                recorded::of_box(config, from, to)
            }
            _ => bail!("say what to test with: --in FILE.csv, or --from TIME --to TIME"),
        }
    }
}

fn time(option: &str, text: &str) -> anyhow::Result<Timestamp> {
    super::series::moment(text).with_context(|| {
        format!("{option}: \"{text}\" is not a time; write for example 2026-11-21T14:03:22Z")
    })
}

/// Leaves out all rules but one and the patterns that it belongs to.
fn keep_rule(config: &mut Config, name: &str) -> anyhow::Result<()> {
    if !config.rules.iter().any(|rule| rule.name == name) {
        let known: Vec<&str> = config.rules.iter().map(|rule| rule.name.as_str()).collect();
        bail!("there is no rule \"{name}\"; {}", suggestion(name, known));
    }
    config.rules.retain(|rule| {
        let of = match &rule.kind {
            crate::config::RuleKind::Pattern(pattern) => pattern.of.iter().any(|of| of == name),
            _ => false,
        };
        rule.name == name || of
    });
    Ok(())
}

fn as_json(outcome: &Outcome) -> Value {
    let alert = |raised: &Raised| {
        json!({
            "rule": raised.rule,
            "raised_at": rfc3339(raised.at),
            "since": rfc3339(raised.since),
            "cleared_at": raised.cleared_at.map(rfc3339),
            "value": raised.value,
            "limit": raised.limit,
            "words": raised.words,
        })
    };
    let learner = |(rule, learning): &(String, Learning)| {
        json!({
            "rule": rule,
            "until": learning.until.map(rfc3339),
            "readings_left": learning.readings_left,
        })
    };
    json!({
        "readings": outcome.readings,
        "from": outcome.from.map(rfc3339),
        "to": outcome.to.map(rfc3339),
        "alerts": outcome.alerts.iter().map(alert).collect::<Vec<_>>(),
        "learning": outcome.learning.iter().map(learner).collect::<Vec<_>>(),
    })
}

fn in_words(config: &Config, outcome: &Outcome) -> String {
    let shown = |time: Timestamp| {
        rfc3339(time)
            .get(..19)
            .unwrap_or_default()
            .replace('T', " ")
    };
    let row = |raised: &Raised| {
        vec![
            shown(raised.at),
            raised.cleared_at.map_or_else(|| "-".to_owned(), shown),
            raised.rule.clone(),
            raised.words.clone(),
        ]
    };
    let rows: Vec<_> = outcome.alerts.iter().map(row).collect();
    let (Some(from), Some(to)) = (outcome.from, outcome.to) else {
        return "There is no reading of a sensor with a rule in this data.".to_owned();
    };
    let mut words = format!(
        "{} over {} from {} to {} (UTC): {}.\n",
        many(config.rules.len(), "rule"),
        many(outcome.readings, "reading"),
        shown(from),
        shown(to),
        many(outcome.alerts.len(), "alert"),
    );
    if !rows.is_empty() {
        words.push_str(&table(&["RAISED", "CLEARED", "RULE", "WHAT"], &rows));
    }
    for (rule, learning) in &outcome.learning {
        let until = learning.until.map_or_else(
            || "no reading of its sensor".to_owned(),
            |until| format!("learns until {}", shown(until)),
        );
        words.push_str("\nNothing can be told of ");
        words.push_str(rule);
        words.push_str(" yet: ");
        words.push_str(&until);
    }
    words
}

#[cfg(test)]
#[cfg(feature = "driver-modbus")]
mod tests;
