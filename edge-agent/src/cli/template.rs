//! `template`: which device templates there are, and what one says. Never changes one.

use super::table::table;
use super::{Output, told};
use crate::config::{Templates, suggestion};
use anyhow::bail;
use clap::Subcommand;
use serde_json::json;
use std::path::Path;

#[derive(Debug, Subcommand)]
pub(super) enum Template {
    /// List the templates of this program and of the folder templates/ beside the configuration.
    List,
    /// Print a template: its source, its device keys and its sensors.
    Show {
        /// As `template list` names it.
        name: String,
    },
}

impl Template {
    pub(super) fn run(self, config: &Path, output: Output) -> anyhow::Result<()> {
        let templates = Templates::beside(config);
        match self {
            Self::List => list(&templates, output),
            Self::Show { name } => show(&templates, &name, output),
        }
    }
}

fn list(templates: &Templates, output: Output) -> anyhow::Result<()> {
    let (mut rows, mut all) = (Vec::new(), Vec::new());
    for name in templates.names() {
        let Some(found) = templates.find(&name)? else {
            continue;
        };
        let place = if found.is_own { "own" } else { "shipped" };
        match templates.about(&name) {
            Ok(about) => {
                let about = about.unwrap_or_default();
                all.push(json!({
                    "name": name, "place": place, "protocol": about.protocol, "maker": about.maker,
                    "model": about.model, "description": about.description,
                }));
                let device = format!("{} {}", about.maker, about.model);
                rows.push(vec![name, place.to_owned(), device, about.description]);
            }
            Err(error) => {
                let words = error.to_string();
                all.push(json!({"name": name, "place": place, "problem": words}));
                rows.push(vec![name, place.to_owned(), "-".to_owned(), words]);
            }
        }
    }
    let words = table(&["TEMPLATE", "FROM", "DEVICE", "WHAT"], &rows);
    output.answer(&json!({ "templates": all }), &words)
}

fn show(templates: &Templates, name: &str, output: Output) -> anyhow::Result<()> {
    let Some(found) = templates.find(name)? else {
        let names = templates.names();
        let advice = suggestion(name, names.iter().map(String::as_str));
        bail!("there is no template \"{name}\"; {advice}");
    };
    let about = templates.about(name).map_err(told)?.unwrap_or_default();
    let json = json!({
        "name": name, "file": found.file, "maker": about.maker, "model": about.model,
        "description": about.description, "protocol": about.protocol, "sources": about.sources,
        "text": found.text,
    });
    output.answer(&json, &format!("# {}\n{}", found.file, found.text))
}
