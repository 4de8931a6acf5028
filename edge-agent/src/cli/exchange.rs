//! `export` and `acknowledge`: the way to the hub over a stick, whether the agent runs or not.
//! A file is whole under its name or not there at all.

use super::client::Client;
use super::table::many;
use super::{Output, block_on, load};
use crate::agent::{encoded_catalog, identity_folder, open_storage};
use crate::config::Config;
use crate::exchange::{self, ExchangeError, Wanted};
use crate::identity::Identity;
use crate::storage::{Committed, Storage, StorageError};
use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use protocol::exchange::{ANSWER_BYTES_MAX, Part, Reader, Seal};
use protocol::wire::v1::{LeftV1, Message};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How often the progress is told.
const TELL_EVERY: Duration = Duration::from_millis(500);
/// Smallest file that may be asked for.
const BYTES_LEAST: u64 = 8 << 10;

#[derive(Debug, Args)]
pub(super) struct Export {
    /// The file to write; must not be there yet.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Longest file, for a small stick: the oldest goes first, the rest into the next file.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(BYTES_LEAST..))]
    bytes_max: Option<u64>,
    /// Everything that this box still holds, also what the hub has already: for a hub that was
    /// put back from an old backup.
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Args)]
pub(super) struct Acknowledge {
    /// The file that `cloud-hub import … --ack FILE` wrote.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl Export {
    pub(super) fn run(self, config: &Path, output: Output) -> anyhow::Result<()> {
        let config = load(config)?;
        let mut target = Target::create(&self.out)?;
        let written = block_on(Box::pin(self.write(&config, &mut target)));
        let told = match written.and_then(|()| target.finish()) {
            Ok(told) => told,
            Err(error) => {
                // What is not whole is of no use to anybody.
                drop(std::fs::remove_file(&target.part));
                return Err(error);
            }
        };
        let (json, words) = told.words(&self.out);
        output.answer(&json, &words)
    }

    async fn write(&self, config: &Config, target: &mut Target) -> anyhow::Result<()> {
        let wanted = Wanted {
            bytes_max: self.bytes_max,
            all: self.all,
        };
        let Some((storage, _kept)) = stopped(config)? else {
            let asked = json!({"bytes_max": wanted.bytes_max, "all": wanted.all});
            let mut body = Client::new(config).post_for_bytes("/export", &asked)?;
            let mut piece = vec![0; 64 << 10];
            loop {
                let count = body
                    .read(&mut piece)
                    .context("the agent stopped in the middle of the file; its log says why")?;
                match piece.get(..count) {
                    Some(bytes) if count > 0 => target.take(bytes)?,
                    _ => return Ok(()),
                }
            }
        };
        let identity = identity(config)?;
        let catalog = encoded_catalog(config, storage.gateway_id())?;
        let (out, mut pieces) = mpsc::channel(4);
        let from = storage.clone();
        let writing =
            tokio::spawn(
                async move { exchange::export(&from, &identity, catalog, wanted, out).await },
            );
        let mut taken = Ok(());
        while let Some(piece) = pieces.recv().await {
            taken = target.take(&piece);
            if taken.is_err() {
                break;
            }
        }
        drop(pieces);
        let written = writing.await.context("writing the file")?;
        storage.close().await?;
        taken?;
        Ok(written?)
    }
}

impl Acknowledge {
    pub(super) fn run(self, config: &Path, output: Output) -> anyhow::Result<()> {
        let config = load(config)?;
        let bytes = read(&self.file)?;
        let answer = block_on(async {
            let Some((storage, _kept)) = stopped(&config)? else {
                return Client::new(&config).post_bytes("/acknowledge", &bytes);
            };
            let identity = identity(&config)?;
            let taken = exchange::acknowledge(&storage, &identity, &bytes).await;
            storage.close().await?;
            Ok(taken?.view())
        })
        .with_context(|| format!("taking {}", self.file.display()))?;
        let words = words(&answer);
        output.answer(&answer, &words)
    }
}

/// What an answer brought, for people.
fn words(answer: &Value) -> String {
    let number = |key: &str| answer.get(key).and_then(Value::as_u64).unwrap_or(0);
    let is = |key: &str| answer.get(key) == Some(&Value::Bool(true));
    let events = |key: &str| many(usize::try_from(number(key)).unwrap_or(usize::MAX), "event");
    let mut lines = vec![format!(
        "The hub has file {}. New from the hub: {}.",
        number("export"),
        events("events")
    )];
    if is("outdated") {
        let words = "A newer file was answered before, so this answer said little new; no harm is \
                     done.";
        lines.push(words.to_owned());
    }
    if number("events_left") > 0 {
        lines.push(format!(
            "{} more from the hub found no room and come with the next file.",
            events("events_left")
        ));
    }
    if is("differs") {
        let words = "The hub's record of this box's events is another than this box's: one of the \
                     two was changed. Compare both histories of the gateway before trusting either.";
        lines.push(words.to_owned());
    }
    let refused = answer.get("refused").and_then(Value::as_array);
    let refused = refused.into_iter().flatten().filter_map(Value::as_str);
    lines.extend(refused.map(|why| format!("The hub could not take polls: {why}")));
    lines.join("\n")
}

/// The store, when no agent runs. The receiver keeps it at work.
fn stopped(config: &Config) -> anyhow::Result<Option<(Storage, mpsc::Receiver<Committed>)>> {
    let (committed, kept) = mpsc::channel(16);
    match open_storage(config, committed) {
        Ok((storage, _)) => Ok(Some((storage, kept))),
        Err(StorageError::InUse { .. }) => Ok(None),
        Err(other) => Err(anyhow::Error::new(other).context("opening the store of this box")),
    }
}

fn identity(config: &Config) -> anyhow::Result<Identity> {
    let identity = Identity::load(&identity_folder(config))?;
    Ok(identity.ok_or(ExchangeError::NotEnrolled)?)
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let most = u64::try_from(ANSWER_BYTES_MAX).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1))
        .read_to_end(&mut bytes)
        .with_context(|| format!("reading {}", path.display()))?;
    if bytes.len() > ANSWER_BYTES_MAX {
        bail!(
            "{} is longer than any answer of a hub ({most} bytes); is it the file that this box \
             wrote itself? Give the one that `cloud-hub import … --ack FILE` wrote",
            path.display()
        );
    }
    Ok(bytes)
}

/// A file on its way: under another name until it is whole.
struct Target {
    file: File,
    name: PathBuf,
    part: PathBuf,
    reader: Reader,
    told: Told,
    last: Instant,
}

/// What the file holds.
#[derive(Debug, Default)]
struct Told {
    number: u64,
    bytes: u64,
    events: u64,
    polls: u64,
    left: Option<LeftV1>,
    seal: Option<Seal>,
}

impl Target {
    fn create(name: &Path) -> anyhow::Result<Self> {
        if name.exists() {
            bail!("{} exists; name a new file", name.display());
        }
        let mut part = name.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let file = File::create(&part).with_context(|| format!("making {}", part.display()))?;
        Ok(Self {
            file,
            name: name.to_owned(),
            part,
            reader: Reader::default(),
            told: Told::default(),
            last: Instant::now(),
        })
    }

    /// Writes the next bytes, and reads along: so it is known what is in them and that they end.
    fn take(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.file
            .write_all(bytes)
            .map_err(|error| self.not_written(error))?;
        self.told.bytes += u64::try_from(bytes.len()).unwrap_or(0);
        self.reader.push(bytes)?;
        while let Some(part) = self.reader.next_part()? {
            match part {
                Part::End(seal) => self.told.seal = Some(seal),
                Part::Frame(frame) => match Message::decode(&frame)? {
                    Message::Export(export) => self.told.number = export.number,
                    Message::Events(events) => {
                        self.told.events += u64::try_from(events.events.len()).unwrap_or(0);
                    }
                    Message::Blocks(blocks) => {
                        let headers = blocks.blocks.iter();
                        let headers = headers.filter_map(|b| protocol::block::header(b).ok());
                        self.told.polls += headers.map(|h| u64::from(h.count)).sum::<u64>();
                    }
                    Message::Left(left) => self.told.left = Some(left),
                    _ => {}
                },
            }
        }
        self.tell();
        Ok(())
    }

    fn finish(&mut self) -> anyhow::Result<Told> {
        let mut stderr = std::io::stderr().lock();
        if stderr.is_terminal() {
            drop(write!(stderr, "\r\x1b[K"));
        }
        drop(stderr);
        self.reader
            .finish()
            .context("the agent stopped in the middle of the file; its log says why")?;
        self.file
            .sync_all()
            .and_then(|()| std::fs::rename(&self.part, &self.name))
            .map_err(|error| self.not_written(error))?;
        Ok(std::mem::take(&mut self.told))
    }

    fn not_written(&self, error: std::io::Error) -> anyhow::Error {
        let name = self.name.display();
        if error.kind() == std::io::ErrorKind::StorageFull {
            return anyhow!(
                "writing {name}: the stick is full; with --bytes-max {} the oldest fits, and the \
                 next file takes the rest",
                self.told.bytes
            );
        }
        anyhow::Error::new(error).context(format!("writing {name}"))
    }

    /// How far it is, for a person who looks.
    fn tell(&mut self) {
        let mut stderr = std::io::stderr().lock();
        if self.last.elapsed() < TELL_EVERY || !stderr.is_terminal() {
            return;
        }
        self.last = Instant::now();
        // Nobody has to see it.
        drop(write!(
            stderr,
            "\r{} MB written, {} polls ",
            self.told.bytes >> 20,
            self.told.polls
        ));
        drop(stderr.flush());
    }
}

impl Told {
    fn words(&self, name: &Path) -> (Value, String) {
        let left = self.left.unwrap_or(LeftV1 {
            events: 0,
            polls: 0,
        });
        let hash = self.seal.as_ref().map(|seal| seal.hash).unwrap_or_default();
        let fingerprint = data_encoding::HEXLOWER.encode(&hash);
        let json = json!({
            "file": name.display().to_string(),
            "export": self.number,
            "fingerprint": fingerprint,
            "bytes": self.bytes,
            "events": self.events,
            "polls": self.polls,
            "left": {"events": left.events, "polls": left.polls},
        });
        let mut lines = vec![format!(
            "{} is file {} of this box: {} events and {} polls in {} bytes.\nAt the hub: \
             cloud-hub import {0} --ack ANSWER. Back here: edge-agent acknowledge ANSWER.",
            name.display(),
            self.number,
            self.events,
            self.polls,
            self.bytes,
        )];
        if left.events > 0 || left.polls > 0 {
            lines.push(format!(
                "{} events and {} polls found no room: acknowledge this file, then export again.",
                left.events, left.polls
            ));
        }
        (json, lines.join("\n"))
    }
}
