//! Runs the agent of this process: with the configuration that counts, changed while it runs when
//! another one counts, with a document of the hub on trial and back when the trial fails; stopped and
//! started again only when somebody asks for that or nothing else helps.
//! Never lets a document count for good before its trial, nor a failed one keep the box from work.

use super::trial::{Picture, verdict};
use super::{Agent, AgentError, Kept, encoded_catalog};
use crate::clock;
use crate::config::{Config, ConfigError, Difference};
use crate::documents::{Desk, DocumentError, Documents, Name, Request};
use crate::drivers;
use crate::storage::StorageError;
use protocol::id::GatewayId;
use protocol::time::Timestamp;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc;

/// How often a box on trial is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// A start that failed lets go of the store in its own time.
const STORE_WAIT: Duration = Duration::from_millis(100);
const STORE_TRIES: u32 = 100;

/// Whoever runs the agent.
#[derive(Debug)]
pub struct Supervisor {
    file: PathBuf,
    documents: Documents,
    trial: Duration,
    requests: mpsc::Receiver<Request>,
    desk: Desk,
    /// How the box was before the document on trial.
    before: Picture,
    on_trial: Option<Trial>,
}

#[derive(Debug)]
struct Trial {
    until: Timestamp,
    seen: Picture,
}

/// The configuration that counts: the file, with the document of the hub when one counts. Drivers
/// have not looked at it.
pub fn effective(file: &Path) -> Result<(Config, Documents), ConfigError> {
    let own = Config::draft(file)?;
    let documents = Documents::look(&own.gateway.data_dir, accepts(&own));
    let config = effective_of(file, own, &documents)?;
    Ok((config, documents))
}

fn accepts(config: &Config) -> bool {
    let hub = config.hub.as_ref();
    hub.is_some_and(|hub| hub.accept_configuration)
}

/// The same for a file whose own part was read: with the document that counts, if one does.
pub fn effective_of(
    file: &Path,
    own: Config,
    documents: &Documents,
) -> Result<Config, ConfigError> {
    let Some(name) = documents.counts() else {
        return Ok(own);
    };
    match documents.text(name) {
        Ok(text) => Config::draft_local(file, &own.local, Some((&called(name), &text))),
        Err(error) => {
            tracing::error!(%error, "the document of the hub that counts is gone: the local file counts");
            Ok(own)
        }
    }
}

/// What a document is called in problems.
pub fn called(name: Name) -> String {
    format!("document {}", name.version)
}

impl Supervisor {
    /// Reads what counts; a trial that was cut off is over.
    pub fn open(file: &Path) -> Result<Self, AgentError> {
        let own = Config::draft(file)?;
        let documents = Documents::open(&own.gateway.data_dir, accepts(&own))?;
        let (desk, requests) = documents.desk();
        Ok(Self {
            file: file.to_owned(),
            documents,
            trial: own
                .hub
                .map_or(Duration::ZERO, |hub| hub.configuration_trial),
            requests,
            desk,
            before: Picture::default(),
            on_trial: None,
        })
    }

    /// Starts the agent. A document on trial that it cannot start with is rolled back.
    pub async fn start(&mut self) -> Result<Agent, AgentError> {
        let mut tries = 0;
        loop {
            match self.try_start().await {
                Ok(agent) => {
                    self.desk.restarted = None;
                    self.watch_trial();
                    keep(&agent);
                    return Ok(agent);
                }
                Err(AgentError::Storage(StorageError::InUse { .. }))
                    if tries < STORE_TRIES && tries > 0 =>
                {
                    tries += 1;
                    tokio::time::sleep(STORE_WAIT).await;
                }
                Err(error) if self.documents.on_trial() => {
                    let words = format!("the agent does not start with it: {}", chain(&error));
                    self.roll_back(&words)?;
                    tries = 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn try_start(&self) -> Result<Agent, AgentError> {
        Agent::start(self.counting()?, self.desk.clone()).await
    }

    /// The configuration that counts, as it is on the disk now.
    fn counting(&self) -> Result<Config, ConfigError> {
        let own = Config::draft(&self.file)?;
        effective_of(&self.file, own, &self.documents)
    }

    /// From now on the document that counts is looked at, if it is on trial.
    fn watch_trial(&mut self) {
        self.on_trial = self.documents.on_trial().then(|| Trial {
            until: clock::monotonic().plus_micros(micros(self.trial)),
            seen: Picture::default(),
        });
    }

    /// The running agent goes on with what counts now. After an error nothing is changed.
    async fn apply(&self, agent: &mut Agent) -> Result<Difference, AgentError> {
        let difference = agent.reload(self.counting()?).await?;
        keep(agent);
        tell(&difference);
        Ok(difference)
    }

    /// The same, once what counts is settled: whether only a new start helps.
    async fn apply_or_restart(&self, agent: &mut Agent) -> bool {
        let applied = self.apply(agent).await;
        if let Err(error) = &applied {
            let error = chain(error);
            tracing::error!(
                error,
                "what counts could not be taken over; the agent starts anew with it"
            );
        }
        applied.is_err()
    }

    /// Where a reload is asked for.
    pub fn requests(&self) -> mpsc::Sender<Request> {
        self.desk.requests.clone()
    }

    /// Serves requests and watches a trial; returns when the agent is to be stopped and started
    /// again.
    pub async fn until_restart(&mut self, agent: &mut Agent) -> Result<(), AgentError> {
        loop {
            let look = async {
                match &self.on_trial {
                    Some(_) => tokio::time::sleep(LOOK).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                request = self.requests.recv() => match request {
                    Some(Request::Document(name, text)) => {
                        if self.document(name, &text, agent).await? {
                            return Ok(());
                        }
                    }
                    Some(Request::Rollback(answer)) => {
                        let done = self.documents.to_local();
                        self.on_trial = None;
                        let restart = done.is_ok() && self.apply_or_restart(agent).await;
                        // Whoever asked may have gone.
                        drop(answer.send(done));
                        if restart {
                            return Ok(());
                        }
                    }
                    Some(Request::Reload(answer)) => {
                        let applied = self.apply(agent).await.map_err(|error| chain(&error));
                        if let Err(words) = &applied {
                            tracing::warn!(words, "the configuration is not taken; all goes on as it was");
                        }
                        drop(answer.send(applied));
                    }
                    Some(Request::Restart(command)) => {
                        self.desk.restarted = Some(command);
                        return Ok(());
                    }
                    None => std::future::pending().await,
                },
                () = look => {
                    if self.look(agent).await? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Judges a document that came, and has the agent go on with it; whether only a new start helps.
    async fn document(
        &mut self,
        name: Name,
        text: &str,
        agent: &mut Agent,
    ) -> Result<bool, AgentError> {
        let version = name.version;
        if !self.documents.receive(name, text)? {
            return Ok(false);
        }
        tracing::info!(version, "the hub sent a configuration document");
        if let Err(words) = self.judged(name, text, agent.gateway) {
            tracing::warn!(version, words, "the configuration document is not taken");
            self.documents.reject(&words)?;
            return Ok(false);
        }
        if self.on_trial.is_none() {
            self.before = agent.picture().await;
        }
        self.documents.begin_trial()?;
        tracing::info!(version, trial = ?self.trial, "the configuration document is on trial");
        if let Err(error) = self.apply(agent).await {
            let words = format!("the agent does not go on with it: {}", chain(&error));
            self.roll_back(&words)?;
            return Ok(self.apply_or_restart(agent).await);
        }
        self.watch_trial();
        Ok(false)
    }

    /// What is wrong with a document, in words with line and key.
    fn judged(&self, name: Name, text: &str, gateway: GatewayId) -> Result<(), String> {
        let hash = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        if hash.as_ref() != name.hash {
            return Err("the document came damaged; have the hub send it again".to_owned());
        }
        let draft = Config::draft_with(&self.file, &called(name), text);
        let config = draft.map_err(|error| chain(&error))?;
        for port in &config.ports {
            drop(drivers::build(port, &config.devices));
        }
        config.problems.check().map_err(|error| chain(&error))?;
        let catalog = encoded_catalog(&config, gateway);
        catalog.map(drop).map_err(|error| chain(&error))
    }

    /// Looks at the box on trial, which goes back to what counted before when it failed; whether
    /// only a new start helps.
    async fn look(&mut self, agent: &mut Agent) -> Result<bool, AgentError> {
        let now = agent.picture().await;
        let Some(trial) = &mut self.on_trial else {
            return Ok(false);
        };
        trial.seen.add(now);
        if clock::monotonic() < trial.until {
            return Ok(false);
        }
        let verdict = verdict(&self.before, &trial.seen);
        self.on_trial = None;
        match verdict {
            Ok(()) => {
                self.documents.confirm()?;
                tracing::info!(
                    "the configuration document passed its trial and counts from now on"
                );
                Ok(false)
            }
            Err(words) => {
                self.roll_back(&words)?;
                Ok(self.apply_or_restart(agent).await)
            }
        }
    }

    fn roll_back(&mut self, words: &str) -> Result<(), DocumentError> {
        tracing::error!(
            words,
            "the configuration document failed its trial; what counted before counts again"
        );
        self.on_trial = None;
        self.documents.roll_back(words)
    }
}

/// Keeps what runs, for the way back.
fn keep(agent: &Agent) {
    let config = agent.config();
    if let Err(error) = Kept::of(&config.gateway.data_dir).runs(&config.local) {
        let error = chain(&error);
        tracing::warn!(
            error,
            "the configuration runs, but could not be kept for a way back"
        );
    }
}

/// What a change led to, in the log.
fn tell(difference: &Difference) {
    for change in &difference.fixed {
        tracing::warn!(
            key = change.key,
            "this holds from the next start of the agent"
        );
    }
    let ports: Vec<&str> = difference.ports.keys().map(String::as_str).collect();
    tracing::info!(
        changes = difference.parts.len(),
        ports = ports.join(", "),
        "the configuration was taken over; all other ports go on"
    );
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// An error with its causes.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}
