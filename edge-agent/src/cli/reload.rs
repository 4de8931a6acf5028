//! `reload`, `diff` and `rollback`: what another configuration would change, the change while the
//! agent runs, and the way back to what ran before. Only `rollback` writes the local file, and it
//! keeps the old one beside it.

use super::client::Client;
use super::config::documents;
use super::table::many;
use super::{Output, files, told};
use crate::agent::{Kept, effective_of};
use crate::config::{
    Config, ConfigError, Difference, DifferenceView, KeyView, LocalFile, PartView, Templates,
};
use crate::drivers;
use crate::notify;
use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub(super) struct Diff {
    /// The file to compare with what runs; else the configuration file as it is now.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Rollback {
    /// The agent's data folder, when the file is so broken that it does not tell.
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
}

/// Has the running agent go on with the file as it is now.
pub(super) fn reload(client: &mut Client) -> anyhow::Result<(Value, String)> {
    let answer = client.post("/configuration/reload", &json!({}))?;
    let view: DifferenceView =
        serde_json::from_value(answer.clone()).context("reading the agent's answer")?;
    let words = if view == DifferenceView::default() {
        "Nothing differs from what runs.".to_owned()
    } else {
        format!("Taken over.\n{}", words(&view).join("\n"))
    };
    Ok((answer, words))
}

impl Diff {
    pub(super) fn run(self, config: &Path, output: Output) -> anyhow::Result<()> {
        let own = Config::draft(config).map_err(told)?;
        let kept = Kept::of(&own.gateway.data_dir).running()?;
        let documents = documents(&own);
        let file = self.file.as_deref().unwrap_or(config);
        let next = Config::draft(file).and_then(|next| effective_of(file, next, &documents));
        let next = next.and_then(checked).map_err(told)?;
        let (difference, head) = match &kept {
            None => {
                let head = "The agent has not run with this data folder yet: all is new.";
                (Difference::from_nothing(&next), vec![head.to_owned()])
            }
            Some(local) => {
                let running = Config::draft_local(config, local, None)
                    .and_then(|running| effective_of(config, running, &documents));
                let running = running.map_err(told).context("reading what runs")?;
                (Difference::between(&running, &next), Vec::new())
            }
        };
        let view = DifferenceView::from(&difference);
        let mut lines = head;
        if let Some(name) = documents.counts() {
            lines.push(format!(
                "Document {} of the hub counts: ports, devices and rules of the file do not.",
                name.version
            ));
        }
        if difference.is_empty() {
            lines.push("Nothing differs from what runs.".to_owned());
        } else {
            lines.extend(words(&view));
            let names = next.ports.iter().map(|port| port.name.as_str());
            let fates = &difference.ports;
            let untouched: Vec<_> = names.filter(|name| !fates.contains_key(*name)).collect();
            if !untouched.is_empty() {
                lines.push(format!("Goes on untouched: {}.", untouched.join(", ")));
            }
        }
        output.answer(&serde_json::to_value(&view)?, &lines.join("\n"))
    }
}

/// With every driver's look at its tables.
fn checked(config: Config) -> Result<Config, ConfigError> {
    for port in &config.ports {
        drop(drivers::build(port, &config.devices));
    }
    notify::check(&config);
    config.problems.check()?;
    Ok(config)
}

/// A difference for people.
fn words(view: &DifferenceView) -> Vec<String> {
    let mut lines: Vec<String> = view.changes.iter().map(part_words).collect();
    for (fate, what) in [
        ("starts", "Starts"),
        ("starts_anew", "Stops and starts anew"),
        ("stops", "Stops"),
    ] {
        let ports = view.ports.iter().filter(|port| port.fate == fate);
        let names: Vec<&str> = ports.map(|port| port.port.as_str()).collect();
        if !names.is_empty() {
            lines.push(format!("{what}: {}.", names.join(", ")));
        }
    }
    if !view.needs_restart.is_empty() {
        let words = "Holds only from the next start of the agent (systemctl restart edge-agent):";
        lines.push(words.to_owned());
        let keys = view.needs_restart.iter();
        lines.extend(keys.map(|change| format!("  {}", key_words(change))));
    }
    lines
}

fn part_words(part: &PartView) -> String {
    let (kind, name) = (&part.kind, &part.name);
    match part.what.as_str() {
        "added" => format!("+ {kind} {name}"),
        "removed" => format!("- {kind} {name}"),
        _ if part.keys.is_empty() => format!("~ {kind} {name}: another order"),
        _ => {
            let keys: Vec<String> = part.keys.iter().map(key_words).collect();
            format!("~ {kind} {name}: {}", keys.join("; "))
        }
    }
}

fn key_words(change: &KeyView) -> String {
    let shown =
        |value: &Option<String>| value.clone().unwrap_or_else(|| "(not written)".to_owned());
    format!(
        "{} {} → {}",
        change.key,
        shown(&change.before),
        shown(&change.after)
    )
}

impl Rollback {
    pub(super) fn run(self, file: &Path, output: Output) -> anyhow::Result<()> {
        let own = Config::draft(file);
        let data_dir = match (self.data_dir, &own) {
            (Some(folder), _) => folder,
            (None, Ok(own)) => own.gateway.data_dir.clone(),
            (None, Err(_)) => bail!(
                "{} cannot be read, so it does not tell where the agent keeps what ran before; say \
                 it: --data-dir FOLDER (without a data_dir in the file it is /var/lib/edge-agent)",
                file.display()
            ),
        };
        let kept = Kept::of(&data_dir);
        let now = std::fs::read_to_string(file).unwrap_or_default();
        let Some(target) = target(&kept, file, &now)? else {
            bail!(
                "there is nothing to go back to: the agent has run with no other configuration than \
                 {}",
                file.display()
            );
        };
        let written = restore(file, &target)?;
        let config = Config::draft(file).map_err(told)?;
        let asked = Client::new(&config).post("/configuration/reload", &json!({}));
        let (is_running, more) = match asked {
            Ok(answer) => {
                let view: DifferenceView = serde_json::from_value(answer)?;
                (true, words(&view).join("\n"))
            }
            // Nobody runs: it holds from the next start.
            Err(error) if error.downcast_ref::<ureq::Error>().is_some() => (
                false,
                "The agent does not run; it starts with this file.".to_owned(),
            ),
            Err(error) => {
                return Err(error.context("the file is written, and the agent goes on as before"));
            }
        };
        let files: Vec<String> = written
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        output.answer(
            &json!({"written": files, "taken_over": is_running}),
            &format!(
                "Written: {} (the old {} beside, with .before at the end).\n{more}",
                files.join(", "),
                many(files.len(), "file"),
            ),
        )
    }
}

/// What ran last, when the file is something else by now; else what ran before it.
fn target(kept: &Kept, file: &Path, now: &str) -> anyhow::Result<Option<LocalFile>> {
    let running = kept.running()?;
    let templates = Templates::beside(file);
    let is_here = |local: &LocalFile| {
        let same = |(name, text): (&String, &String)| matches!(templates.find(name), Ok(Some(found)) if found.text == *text);
        *local.text == *now && local.templates.iter().all(same)
    };
    match running {
        Some(running) if !is_here(&running) => Ok(Some(running)),
        Some(_) => Ok(kept.previous()?),
        None => Ok(None),
    }
}

/// Writes the file and the templates that differ; answers which.
fn restore(file: &Path, target: &LocalFile) -> anyhow::Result<Vec<PathBuf>> {
    let folder = file.parent().unwrap_or(Path::new("")).join("templates");
    let mut written = Vec::new();
    let templates = target.templates.iter();
    let templates = templates.map(|(name, text)| (folder.join(format!("{name}.toml")), &**text));
    let all = templates.chain(std::iter::once((file.to_owned(), &*target.text)));
    for (path, text) in all {
        if std::fs::read_to_string(&path).is_ok_and(|now| now == text) {
            continue;
        }
        files::replace(&path, text)?;
        written.push(path);
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLANT: &str = "[gateway]\ndata_dir = \"data\"\n[[port]]\nname = \"a\"\nprotocol = \"modbus\"\naddress = \
        \"10.0.0.5\"\n[[device]]\nname = \"m\"\nport = \"a\"\n[[device.sensor]]\nname = \"t\"\naddress = 40001\n";

    #[test]
    fn a_difference_is_told_in_a_few_lines() {
        let read = |text: &str| Config::parse(Path::new("edge.toml"), text).unwrap();
        let next = PLANT.replace("address = 40001", "address = 40001\nscale = 0.1")
            + "[[device.sensor]]\nname = \"p\"\naddress = 40002\n[web]\nlisten = \"127.0.0.1:99\"\n";
        let difference = Difference::between(&read(PLANT), &read(&next));
        assert_eq!(
            words(&DifferenceView::from(&difference)).join("\n"),
            "+ sensor m/p\n~ sensor m/t: scale (not written) → 0.1\nStops and starts anew: a.\n\
             Holds only from the next start of the agent (systemctl restart edge-agent):\n  \
             web.listen (not written) → \"127.0.0.1:99\""
        );
    }

    #[test]
    fn the_way_back_is_to_what_ran_last_and_then_to_what_ran_before() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("edge.toml");
        let kept = Kept::of(&folder.path().join("data"));
        let mut ran = Vec::new();
        for text in [PLANT.to_owned(), format!("{PLANT}# two\n")] {
            std::fs::write(&file, &text).unwrap();
            let local = Config::draft(&file).unwrap().local;
            kept.runs(&local).unwrap();
            ran.push(text);
        }
        let back = || {
            let now = std::fs::read_to_string(&file).unwrap();
            let target = target(&kept, &file, &now).unwrap().unwrap();
            restore(&file, &target).unwrap();
            std::fs::read_to_string(&file).unwrap()
        };
        std::fs::write(&file, "broken [[").unwrap();
        assert_eq!(back(), ran[1]);
        let before = std::fs::read_to_string(folder.path().join("edge.toml.before")).unwrap();
        assert_eq!(before, "broken [[");
        assert_eq!(back(), ran[0]);
    }
}
