//! The commands for a store that may be damaged: look through it, move it away, copy it.
//! Never repairs: what a damaged file still says is not to be trusted unseen.

use super::Output;
use crate::config::Config;
use crate::server;
use crate::store::{self, Checked, Store};
use anyhow::{Context as _, bail};
use serde_json::json;
use std::path::Path;

/// `check`
pub(super) fn check(config: &Config, output: Output) -> anyhow::Result<()> {
    let checked = store::check(&config.data_dir)?;
    let Checked {
        gateways,
        sensors,
        blocks,
        polls,
        events,
        alerts,
        work_orders,
        statistics,
        attachments,
        problems,
    } = &checked;
    let answer = json!({
        "gateways": gateways, "sensors": sensors, "blocks": blocks, "polls": polls,
        "events": events, "alerts": alerts, "work_orders": work_orders,
        "statistics": statistics, "attachments": attachments, "problems": problems,
    });
    let mut words = format!(
        "{gateways} gateways, {sensors} sensors, {blocks} blocks with {polls} polls, {statistics} \
         rows of statistics, {events} events, {alerts} alerts, {work_orders} work orders, \
         {attachments} attachments"
    );
    for problem in problems {
        words.push_str("\n  ");
        words.push_str(problem);
    }
    output.answer(&answer, &words)?;
    match problems.len() {
        0 => Ok(()),
        count => bail!(
            "{count} problems. The way back: stop the hub, `cloud-hub check --set-aside`, put the \
             newest backup in its place as hub.db, start the hub. Boxes send what the backup lacks \
             as long as they still hold it; what they no longer hold is only in the file set aside"
        ),
    }
}

/// `check --set-aside`
pub(super) fn set_aside(config: &Config, output: Output) -> anyhow::Result<()> {
    let moved = server::set_aside(config)?;
    let moved = moved.display();
    output.answer(
        &json!({"set_aside": moved.to_string()}),
        &format!(
            "The store is now {moved}. Put a backup in its place as hub.db before the hub starts: \
             without one it begins empty and knows no gateway, so each box would have to be enrolled \
             anew."
        ),
    )
}

/// `backup`
pub(super) async fn backup(config: &Config, file: &Path, output: Output) -> anyhow::Result<()> {
    if file.exists() {
        bail!("{} exists; name a new file", file.display());
    }
    let store = Store::open(&config.data_dir)?;
    let mut attachments = file.as_os_str().to_owned();
    attachments.push(".attachments");
    let attachments = std::path::PathBuf::from(attachments);
    if attachments.exists() {
        bail!("{} exists; name a new file", attachments.display());
    }
    let copied = store.backup(file, &attachments).await?;
    let length = std::fs::metadata(file)
        .with_context(|| format!("looking at {}", file.display()))?
        .len();
    output.answer(
        &json!({"backup": file.display().to_string(), "bytes": length, "attachments": copied,
            "attachments_folder": (copied > 0).then(|| attachments.display().to_string())}),
        &format!(
            "{} holds the whole store ({length} bytes){}",
            file.display(),
            match copied {
                0 => String::new(),
                _ => format!(
                    ", and the folder {} the photos and documents of work orders ({copied} files)",
                    attachments.display()
                ),
            }
        ),
    )
}
