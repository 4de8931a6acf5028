//! `import`: takes a box's file into the store, beside a running hub or without one, and writes
//! the answer for the box. Never writes an answer before all of the file is committed.

use super::Output;
use crate::ca::Authority;
use crate::config::Config;
use crate::ingest;
use crate::store::Store;
use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use serde_json::json;
use std::fs::File;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often the progress is told.
const TELL_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub(super) struct Import {
    /// The file that `edge-agent export` wrote.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Write the answer here; `edge-agent acknowledge` takes it on the box. Without it the box
    /// keeps everything and writes it again.
    #[arg(long, value_name = "FILE")]
    ack: Option<PathBuf>,
}

impl Import {
    pub(super) async fn run(self, config: &Config, output: Output) -> anyhow::Result<()> {
        if let Some(ack) = &self.ack
            && ack.exists()
        {
            bail!("{} exists; name a new file for the answer", ack.display());
        }
        let opening = || format!("opening {}", self.file.display());
        let mut file = File::open(&self.file).with_context(opening)?;
        let total = file.metadata().with_context(opening)?.len();
        let store = Store::open(&config.data_dir)?;
        let authority = Authority::open(&config.data_dir)?;
        let mut progress = Progress::new(total.saturating_mul(2));
        let imported = ingest::import(&store, &mut file, |bytes| progress.add(bytes))
            .await
            .with_context(|| format!("taking {}", self.file.display()))?;
        clear();
        if let Some(ack) = &self.ack {
            let answer = ingest::answer(&store, &authority, &imported).await?;
            write(ack, &answer)?;
        }
        let row = store.gateway(imported.scope, imported.gateway).await?;
        let fingerprint = crate::store::hex(&imported.hash);
        let json = json!({
            "gateway": {"id": imported.gateway, "name": row.name},
            "export": imported.number,
            "fingerprint": fingerprint,
            "new": {
                "polls": imported.polls,
                "readings": imported.readings,
                "events": imported.events,
            },
            "refused": imported.refused,
            "left": {"events": imported.left.events, "polls": imported.left.polls},
            "ack": self.ack.as_ref().map(|ack| ack.display().to_string()),
        });
        output.answer(&json, &self.words(&imported, &row.name))
    }

    fn words(&self, imported: &ingest::Imported, name: &str) -> String {
        let mut lines = vec![format!(
            "File {} of {name}: {} readings in {} polls and {} events were new.",
            imported.number, imported.readings, imported.polls, imported.events
        )];
        if imported.refused > 0 {
            lines.push(format!(
                "{} parts could not be taken; the gateway's page says why.",
                imported.refused
            ));
        }
        if imported.left.events > 0 || imported.left.polls > 0 {
            lines.push(format!(
                "The box has {} events and {} polls more, for its next file.",
                imported.left.events, imported.left.polls
            ));
        }
        lines.push(match &self.ack {
            Some(ack) => format!(
                "Bring {} back to the box: edge-agent acknowledge FILE.",
                ack.display()
            ),
            None => "The box was not told: import again with --ack FILE for the answer.".to_owned(),
        });
        lines.join("\n")
    }
}

/// Writes whole or not at all.
fn write(name: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut part = name.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let written = File::create(&part)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&part, name));
    written.map_err(|error| {
        drop(std::fs::remove_file(&part));
        if error.kind() == std::io::ErrorKind::StorageFull {
            return anyhow!(
                "writing {}: the stick is full; the file was taken, so make room and import it \
                 again for the answer",
                name.display()
            );
        }
        anyhow::Error::new(error).context(format!("writing {}", name.display()))
    })
}

/// How far it is, for a person who looks.
struct Progress {
    done: u64,
    total: u64,
    last: Instant,
}

impl Progress {
    fn new(total: u64) -> Self {
        Self {
            done: 0,
            total,
            last: Instant::now(),
        }
    }

    fn add(&mut self, bytes: u64) {
        self.done += bytes;
        let mut stderr = std::io::stderr().lock();
        if self.last.elapsed() < TELL_EVERY || !stderr.is_terminal() {
            return;
        }
        self.last = Instant::now();
        let percent = self.done.saturating_mul(100) / self.total.max(1);
        // Nobody has to see it.
        drop(write!(stderr, "\r{percent} % "));
        drop(stderr.flush());
    }
}

fn clear() {
    let mut stderr = std::io::stderr().lock();
    if stderr.is_terminal() {
        drop(write!(stderr, "\r\x1b[K"));
    }
}
