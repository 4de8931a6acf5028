//! Runs one agent after the other in this process: with the configuration that counts, again when
//! somebody asks for it, with a document of the hub on trial, and back when the trial fails.
//! Never lets a document count for good before its trial, nor a failed one keep the box from work.

use super::trial::{Picture, verdict};
use super::{Agent, AgentError, encoded_catalog};
use crate::clock;
use crate::config::{Config, ConfigError};
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
    let config = with_document(file, own, &documents)?;
    Ok((config, documents))
}

fn accepts(config: &Config) -> bool {
    let hub = config.hub.as_ref();
    hub.is_some_and(|hub| hub.accept_configuration)
}

fn with_document(file: &Path, own: Config, documents: &Documents) -> Result<Config, ConfigError> {
    let Some(name) = documents.counts() else {
        return Ok(own);
    };
    match documents.text(name) {
        Ok(text) => Config::draft_with(file, &called(name), &text),
        Err(error) => {
            tracing::error!(%error, "the document of the hub that counts is gone: the local file counts");
            Ok(own)
        }
    }
}

/// What a document is called in problems.
fn called(name: Name) -> String {
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
            self.desk.counts = self.documents.counts();
            match self.try_start().await {
                Ok(agent) => {
                    self.desk.restarted = None;
                    self.on_trial = self.documents.on_trial().then(|| Trial {
                        until: clock::monotonic().plus_micros(micros(self.trial)),
                        seen: Picture::default(),
                    });
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
        let own = Config::draft(&self.file)?;
        let config = with_document(&self.file, own, &self.documents)?;
        Agent::start(config, self.desk.clone()).await
    }

    /// Serves requests and watches a trial; returns when the agent is to be stopped and started
    /// again.
    pub async fn until_restart(&mut self, agent: &Agent) -> Result<(), AgentError> {
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
                        let restart = done.is_ok();
                        // Whoever asked may have gone.
                        drop(answer.send(done));
                        if restart {
                            return Ok(());
                        }
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

    /// Judges a document that came; whether the agent is to start again with it.
    async fn document(
        &mut self,
        name: Name,
        text: &str,
        agent: &Agent,
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
        Ok(true)
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

    /// Looks at the box on trial; whether it is to start again with what counted before.
    async fn look(&mut self, agent: &Agent) -> Result<bool, AgentError> {
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
                Ok(true)
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
