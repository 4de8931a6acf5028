//! `run`: the agent until a signal ends it. Never starts a task of its own.

use super::{Output, block_on, told};
use crate::agent::{AgentError, Supervisor};
use crate::documents::Request;
use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;
use std::path::Path;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Says how much is logged, for example `debug` or `edge_agent::uplink=trace,info`.
const LOG_VARIABLE: &str = "EDGE_LOG";

#[derive(Debug, Args)]
pub(super) struct Run {
    /// How much to log to standard error, for example debug; else `EDGE_LOG` says it, else info.
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
}

impl Run {
    pub(super) fn run(self, config: &Path, output: Output) -> anyhow::Result<()> {
        log_to_stderr(self.log)?;
        block_on(run(config, output))
    }
}

async fn run(config: &Path, output: Output) -> anyhow::Result<()> {
    // Before anything starts: a signal that comes early is not lost, it ends the agent in order.
    let mut signals = Signals::listen()?;
    let hangup = signal(SignalKind::hangup()).context("listening to signals")?;
    let mut supervisor = Supervisor::open(config).map_err(start_error)?;
    let mut agent = supervisor.start().await.map_err(start_error)?;
    tokio::spawn(reload_on_signal(hangup, supervisor.requests()));
    let (web, gateway) = (format!("http://{}", agent.web), agent.gateway);
    let printed = output.answer(
        &json!({"listening": {"web": web}, "gateway": gateway}),
        &format!("The agent runs. Page: {web}  Gateway: {gateway}"),
    );
    if let Err(error) = printed {
        tracing::warn!(%error, "standard output is closed; going on without it");
    }
    loop {
        let stopped = agent.store_stopped();
        let name = tokio::select! {
            name = signals.next() => Some(name),
            () = stopped => bail!(
                "the store has stopped, the log says why; start the agent again (systemd does): \
                 damaged readings are then set aside and collection goes on"
            ),
            wanted = supervisor.until_restart(&mut agent) => {
                wanted.map_err(start_error)?;
                None
            }
        };
        let why = name.unwrap_or("a restart that somebody asked for");
        tracing::info!("stopping, because of {why}");
        tokio::select! {
            stopped = agent.stop() => stopped.context("storing what was read last")?,
            name = signals.next() => bail!("ended at once by a second {name}; what was read last is not stored"),
        }
        if name.is_some() {
            return Ok(());
        }
        agent = supervisor.start().await.map_err(start_error)?;
        tracing::info!("the agent runs again");
    }
}

/// SIGHUP reads the configuration again. Ends when the agent does.
async fn reload_on_signal(mut hangup: Signal, requests: mpsc::Sender<Request>) {
    while hangup.recv().await.is_some() {
        let (answer, done) = oneshot::channel();
        if requests.send(Request::Reload(answer)).await.is_err() {
            return;
        }
        // The supervisor has logged what came of it.
        drop(done.await);
    }
}

fn start_error(error: AgentError) -> anyhow::Error {
    match error {
        AgentError::Config(error) => told(error),
        other => other.into(),
    }
}

/// The two signals that end the agent.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("listening to signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

fn log_to_stderr(filter: Option<String>) -> anyhow::Result<()> {
    let filter = filter
        .or_else(|| std::env::var(LOG_VARIABLE).ok())
        .filter(|text| !text.trim().is_empty())
        .unwrap_or_else(|| "info".to_owned());
    let targets: Targets = filter
        .parse()
        .with_context(|| format!("understanding \"{filter}\" as what to log; try info or debug"))?;
    let words = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false);
    tracing_subscriber::registry()
        .with(words)
        .with(targets)
        .init();
    Ok(())
}
