//! `analyse`: the deviation detector over a recorded series, in one pass. What is written for a reading
//! depends on those before it only, so that a longer file begins with the same lines. Needs no
//! configuration and no agent. Never learns from later readings.

use super::Output;
use super::series::{Series, Shape};
use super::table::many;
use crate::analysis::{Analysis, PROFILES, Profile};
use anyhow::{Context as _, bail};
use clap::Args;
use protocol::view::rfc3339;
use serde_json::json;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct Analyse {
    /// Setting: default (as rules are; few alerts) or watchful (for looking through recorded data).
    #[arg(long, default_value = "default", value_name = "NAME")]
    profile: String,
    /// CSV file with a column timestamp (or time) and a column value.
    #[arg(long = "in", value_name = "FILE")]
    input: PathBuf,
    /// CSV file to write: time, value, score, expected, spread, told.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Analyse {
    pub(super) fn run(self, output: Output) -> anyhow::Result<()> {
        let Some(profile) = Profile::named(&self.profile) else {
            let known = PROFILES.map(|profile| profile.name);
            bail!(
                "there is no profile \"{}\"; {}",
                self.profile,
                crate::config::suggestion(&self.profile, known)
            );
        };
        let mut series = Series::open(&self.input)?;
        if series.shape != Shape::One {
            bail!(
                "{}:1:1: there is more than one sensor in it; write a file with the columns timestamp \
                 and value, or use `edge-agent rules test`",
                self.input.display()
            );
        }
        let shown = self.out.display();
        let file = std::fs::File::create(&self.out).with_context(|| format!("writing {shown}"))?;
        let mut writer = csv::Writer::from_writer(std::io::BufWriter::new(file));
        let writing = || format!("writing {shown}");
        let head = ["time", "value", "score", "expected", "spread", "told"];
        writer.write_record(head).with_context(writing)?;
        let mut analysis = Analysis::new(profile);
        let (mut readings, mut told) = (0_usize, 0_usize);
        while let Some(line) = series.next()? {
            let time = rfc3339(line.time);
            let value = line.values.first().and_then(|(_, value)| *value);
            let Some(value) = value else {
                // A bad reading never feeds a detector.
                writer
                    .write_record([&time, "", "", "", "", "0"])
                    .with_context(writing)?;
                continue;
            };
            let scored = analysis.step(value, line.time);
            let verdict = scored.verdict;
            readings += 1;
            told += usize::from(scored.told);
            let fields = [
                time,
                value.to_string(),
                format!("{:.4}", verdict.score),
                format!("{:.6}", verdict.expected),
                format!("{:.6}", verdict.spread),
                u8::from(scored.told).to_string(),
            ];
            writer.write_record(fields).with_context(writing)?;
        }
        writer.flush().with_context(writing)?;
        drop(series);
        let words = format!(
            "{} scored with the profile {}; {} would be told. {shown} has the scores.",
            many(readings, "reading"),
            profile.name,
            told,
        );
        let answer = json!({
            "profile": profile.name, "readings": readings, "told": told, "out": self.out,
        });
        output.answer(&answer, &words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn analysed(profile: &str, text: &str) -> anyhow::Result<String> {
        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().join("in.csv");
        let out = folder.path().join("out.csv");
        std::fs::write(&input, text).unwrap();
        let analyse = Analyse {
            profile: profile.to_owned(),
            input,
            out: out.clone(),
        };
        analyse.run(Output { json: true })?;
        Ok(std::fs::read_to_string(out).unwrap())
    }

    #[test]
    fn a_recorded_failure_of_a_machine_is_told() {
        let recorded = include_str!("../../../tests/data/machine_temperature.csv");
        let scores = analysed("watchful", recorded).unwrap();
        assert_eq!(scores.lines().count(), recorded.lines().count());
        let told: Vec<&str> = scores.lines().filter(|line| line.ends_with(",1")).collect();
        // The labelled catastrophic failure: 2014-02-07 to 02-09.
        assert!(
            told.iter()
                .any(|line| ("2014-02-07".."2014-02-10").contains(line)),
            "{told:?}"
        );
        assert!(told.len() < 60, "{} told", told.len());
    }

    #[test]
    fn an_unknown_profile_and_a_file_of_many_sensors_are_told() {
        let told = analysed("watchfull", "time,value\n")
            .unwrap_err()
            .to_string();
        assert!(told.contains("did you mean \"watchful\""), "{told}");
        let told = analysed("default", "time,d/a,d/b\n")
            .unwrap_err()
            .to_string();
        assert!(
            told.contains("in.csv:1:1:") && told.contains("rules test"),
            "{told}"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        /// A prefix in gives the same prefix out.
        #[test]
        fn what_is_said_of_a_reading_depends_on_those_before_it_only(
            moves in proptest::collection::vec((-3.0_f64..3.0, 0_i64..900), 1..400), cut in 0_usize..400
        ) {
            let (mut value, mut time) = (50.0, 1_700_000_000);
            let mut lines = vec!["timestamp,value".to_owned()];
            for (change, step) in moves {
                value += change;
                time += step;
                lines.push(format!("{time},{value}"));
            }
            let whole = analysed("watchful", &lines.join("\n")).unwrap();
            let cut = cut.min(lines.len());
            let part = analysed("watchful", &lines[..cut.max(1)].join("\n")).unwrap();
            prop_assert!(whole.starts_with(&part));
        }
    }
}
