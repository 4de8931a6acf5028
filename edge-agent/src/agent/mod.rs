//! The only room that wires the others: which task runs, what queue is between, in what order
//! they stop. Never holds a rule of its own; never lets one device or task take the rest along.

mod catalog;
mod commands;
mod holes;
mod intake;
mod judge;
mod kept;
mod ports;
mod reload;
mod replay;
mod snapshots;
mod store;
mod supervisor;
mod texts;
mod trial;

pub use catalog::encoded_catalog;
pub use kept::{Kept, KeptError};
pub use store::open_storage;
pub use supervisor::{Supervisor, called, effective, effective_of};

use crate::clock;
use crate::config::{Config, ConfigError, InUse};
use crate::documents::{Desk, DocumentError};
use crate::drivers::{self, PortHandles};
use crate::health::{Health, LinkState};
use crate::identity::Identity;
use crate::notify::{self, Handle};
use crate::storage::{Opened, Storage, StorageError};
use crate::trust::{self, Door, SiteAuthority};
use crate::uplink::{Durable, Uplink};
use crate::web::{self, WebError};
use catalog::catalog;
use commands::Commands;
use intake::Intake;
use judge::{Ask, Judge, NOTICES_MAX, Outbox};
use ports::{Built, Ports};
use protocol::catalog::{Catalog, Device};
use protocol::event::{Actor, Body, GatewayEvent, RecordKind, RecordRef};
use protocol::id::GatewayId;
use protocol::limits::COMMANDS_MAX;
use protocol::sync::Outcome;
use protocol::wire::WireError;
use protocol::wire::v1::CommandV1;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// Committed batches that wait for the judge; the store waits when it is slow.
const COMMITTED_MAX: usize = 16;

/// Why the agent could not start.
#[derive(Debug, Error)]
pub enum AgentError {
    /// The configuration has problems.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store could not be opened or written.
    #[error("opening the store of this box")]
    Storage(#[from] StorageError),
    /// The page could not be served.
    #[error(transparent)]
    Web(#[from] WebError),
    /// The documents of the hub could not be kept.
    #[error(transparent)]
    Documents(#[from] DocumentError),
    /// Something of this box is longer than what may be sent.
    #[error("describing what this box measures")]
    Catalog(#[from] WireError),
}

/// The agent at work.
#[derive(Debug)]
pub struct Agent {
    /// The identity of this box.
    pub gateway: GatewayId,
    /// Where the page is.
    pub web: SocketAddr,
    /// What it runs with.
    config: Arc<InUse>,
    /// The same, for the page.
    running: watch::Sender<Arc<InUse>>,
    health: Arc<Health>,
    catalog: watch::Sender<Arc<Catalog>>,
    /// The same as the hub gets it.
    encoded: watch::Sender<Arc<Vec<u8>>>,
    storage: Storage,
    stop: watch::Sender<bool>,
    ports: Ports,
    intake: JoinHandle<()>,
    /// Groups that the intake is to know or to forget.
    groups: mpsc::Sender<intake::Change>,
    judge: JoinHandle<()>,
    ask: mpsc::Sender<Ask>,
    /// How people are told.
    telling: Handle,
    rest: Vec<JoinHandle<()>>,
}

/// Folder of the box's key and certificates.
pub fn identity_folder(config: &Config) -> PathBuf {
    crate::identity::folder(&config.gateway.data_dir)
}

impl Agent {
    /// Starts everything. The page answers and the first polls are on their way when it returns.
    pub async fn start(config: Config, desk: Desk) -> Result<Self, AgentError> {
        clock::set_trusted(config.gateway.clock_trusted);
        // All drivers look at their tables before anything is opened.
        let built = build_drivers(&config);
        let ports = PortHandles::default();
        let telling = notify::build(&config.notify, &ports);
        config.problems.check()?;
        let (committed, batches) = mpsc::channel(COMMITTED_MAX);
        let options = store::storage_options(&config);
        let in_use = Arc::new(InUse::new(&config));
        // Everything is made from it: what is made from here on finds its room free.
        drop(config);
        let (storage, opened) = Storage::open(options, committed)?;
        tell_damage(&opened);
        let begun = begin_clock(&storage).await?;
        let gateway = opened.gateway;
        let health = Arc::new(Health::over(clock::now(), ports));
        let (queue, from_drivers) = mpsc::channel(in_use.queue.polls_max);
        let holes = holes::load(&storage).await;
        let mut ports = Ports::new(queue, &health, holes.clone(), Arc::clone(&in_use));
        let built: Vec<Built> = built
            .into_iter()
            .map(|(name, driver)| ports.number(&name, driver))
            .collect();
        let specs: Vec<_> = built.iter().flat_map(|port| port.groups.clone()).collect();
        let catalog = catalog(&in_use, &specs, gateway);
        let encoded = watch::Sender::new(Arc::new(protocol::wire::encode_catalog(&catalog)?));
        let catalog = watch::Sender::new(Arc::new(catalog));
        let (outbox, notices) = mpsc::channel(NOTICES_MAX);
        let outbox = Outbox::new(outbox);
        let mut judge =
            Judge::new(&in_use, storage.clone(), Arc::clone(&health), begun, outbox).await?;
        let intake = catch_up(&storage, &health, &mut judge, &built).await?;
        settle_commands(&storage, desk.restarted).await?;
        started(&storage, &opened, judge.last_time()).await?;
        let measured = (catalog.subscribe(), encoded.subscribe());
        let durable = judge.durable();
        let (stop, stopped) = watch::channel(false);
        let (handle, telling) =
            notify::start(telling, storage.clone(), notices, stopped.clone()).await;
        let running = watch::Sender::new(Arc::clone(&in_use));
        let shown = (&storage, &health, desk, &handle);
        let told = (durable, stopped.clone());
        let (web, mut rest) = tell_others(running.subscribe(), shown, measured, told).await?;
        rest.push(holes::keep(holes, storage.clone(), stopped));
        rest.push(telling);
        let (ask, asked) = mpsc::channel(1);
        let judge = tokio::spawn(judge.run(batches, asked));
        let (groups, changes) = mpsc::channel(1);
        let intake = tokio::spawn(intake.run(from_drivers, changes));
        for port in built {
            ports.start(port);
        }
        Ok(Self {
            gateway,
            web,
            config: in_use,
            running,
            health,
            catalog,
            encoded,
            storage,
            stop,
            ports,
            intake,
            groups,
            judge,
            ask,
            telling: handle,
            rest,
        })
    }

    /// What it runs with.
    pub const fn config(&self) -> &Arc<InUse> {
        &self.config
    }

    /// The ports that run.
    pub fn ports(&self) -> PortHandles {
        self.health.ports()
    }

    /// Returns when the store has stopped by itself: nothing can be kept any more, and only a new
    /// start helps. The log has the cause.
    pub fn store_stopped(&self) -> impl Future<Output = ()> + use<> {
        let storage = self.storage.clone();
        async move { storage.stopped().await }
    }

    /// How the box is now.
    async fn picture(&self) -> trial::Picture {
        let device = |device: &Device| {
            let report = self.health.device_now(&device.name);
            let seen = trial::Seen {
                port: device.port.clone(),
                state: report.as_ref().map(|report| report.state),
                words: report.map_or_else(|| "nothing is known of it".to_owned(), |r| r.words),
            };
            (device.name.clone(), seen)
        };
        let catalog = Arc::clone(&self.catalog.borrow());
        let mut sensors = catalog.sensors.iter();
        trial::Picture {
            devices: catalog.devices.iter().map(device).collect(),
            connected: self.health.link().state == LinkState::Connected,
            stored: sensors.any(|sensor| self.health.latest(sensor.id).is_some()),
            failures: self.storage.stats().await.map_or(1, |stats| stats.failures),
        }
    }

    /// Stops in the order in which data flows, so that what was read is stored and judged.
    pub async fn stop(self) -> Result<(), StorageError> {
        self.ports.stop_all().await;
        // Without drivers the queue ends, and with it the intake.
        done(self.intake).await;
        self.storage.flush().await?;
        settled(&self.ask).await;
        self.stop.send_replace(true);
        for task in self.rest {
            done(task).await;
        }
        self.storage.close().await?;
        done(self.judge).await;
        Ok(())
    }
}

/// The drivers of all ports, by their ports' names.
fn build_drivers(config: &Config) -> Vec<(String, Box<dyn drivers::PortDriver>)> {
    let ports = config.ports.iter();
    let built =
        ports.filter_map(|port| Some((port.name.clone(), drivers::build(port, &config.devices)?)));
    built.collect()
}

/// The intake for what is polled; the judge has looked at all that was stored before.
async fn catch_up(
    storage: &Storage,
    health: &Arc<Health>,
    judge: &mut Judge,
    built: &[Built],
) -> Result<Intake, AgentError> {
    let mut intake = Intake::new(judge.detectors(), storage, health);
    for port in built {
        for (stream, schema) in intake.add(port).await? {
            judge.know(stream, schema);
        }
    }
    replay::run(storage, judge).await?;
    judge.settle().await?;
    Ok(intake)
}

/// Returns when the judge is through with what was committed.
async fn settled(ask: &mpsc::Sender<Ask>) {
    let (answer, through) = oneshot::channel();
    // An error says that the judge has ended: then there is nothing to wait for.
    if ask.send(Ask::Settled(answer)).await.is_ok() {
        drop(through.await);
    }
}

async fn done(task: JoinHandle<()>) {
    if let Err(error) = task.await {
        tracing::error!(%error, "a task of the agent ended badly");
    }
}

/// What is known of the time, and whether something in the store waits for it.
async fn begin_clock(storage: &Storage) -> Result<(clock::Begun, bool), StorageError> {
    let (saved, last) = storage.saved_clock().await?;
    let begun = clock::begin(saved.as_deref(), last);
    let (boot, saved) = (begun.boot.clone(), begun.saved.clone());
    let is_waiting = storage.hold(boot, saved, begun.is_known).await?;
    if !begun.is_known {
        tracing::warn!(
            "the clock of this box was not set since it was switched on: times are marked as not \
             trusted and moved when a time service, a person or the hub tells the time; until then \
             nothing is sent"
        );
    }
    Ok((begun, is_waiting))
}

fn tell_damage(opened: &Opened) {
    if let Some(aside) = &opened.damaged {
        tracing::error!(
            aside = %aside.display(),
            "the stored readings were damaged; what could be read is copied into a new store \
             and collection goes on. Gaps tell what is lost; the damaged file is set aside"
        );
    }
}

/// What was being done when the agent ended: the restart that somebody asked for is done, of all else
/// nobody knows.
async fn settle_commands(
    storage: &Storage,
    restarted: Option<uuid::Uuid>,
) -> Result<(), StorageError> {
    if let Some(command) = restarted {
        let words = "the collection was ended in order and began anew".to_owned();
        storage.command_ended(command, Outcome::Done, words).await?;
    }
    let unknown = storage.commands_cut_off().await?;
    if unknown > 0 {
        tracing::error!(
            unknown,
            "commands of the hub were cut off by the end of the agent"
        );
    }
    Ok(())
}

/// Notes the start, and since when the agent was off.
async fn started(
    storage: &Storage,
    opened: &Opened,
    last: Option<protocol::time::Timestamp>,
) -> Result<(), StorageError> {
    let record = RecordRef {
        kind: RecordKind::Gateway,
        id: opened.gateway.0,
    };
    storage
        .records(move |tx| {
            let mut append = |event| {
                tx.append(crate::storage::NewEvent {
                    id: None,
                    actor: Actor::System("edge-agent".to_owned()),
                    record,
                    body: Body::Gateway(event),
                })
            };
            append(GatewayEvent::Started {
                version: env!("CARGO_PKG_VERSION").to_owned(),
            })?;
            if let Some(from) = last {
                let to = clock::now();
                append(GatewayEvent::Gap {
                    from,
                    to,
                    polls: 0,
                    cause: protocol::event::GapCause::AgentOff,
                })?;
            }
            Ok(())
        })
        .await
}

/// Opens the page and the link to the hub; answers where the page is, and their tasks.
async fn tell_others(
    running: watch::Receiver<Arc<InUse>>,
    (storage, health, desk, telling): (&Storage, &Arc<Health>, Desk, &Handle),
    (catalog, encoded): Measured,
    (durable, stopped): (watch::Receiver<Durable>, watch::Receiver<bool>),
) -> Result<(SocketAddr, Vec<JoinHandle<()>>), AgentError> {
    let config = Arc::clone(&running.borrow());
    let listener = web::bind(config.web.listen).await?;
    let address = listener.address();
    let page = web::Page::new(
        running,
        storage.clone(),
        Arc::clone(health),
        catalog.clone(),
        desk.clone(),
    )?
    .telling(telling.clone());
    let mut tasks = Vec::new();
    let page = match https(&config).await? {
        Some((listener, told)) => {
            let page = page.with_https(told);
            tasks.push(tokio::spawn(listener.serve(page.clone(), stopped.clone())));
            page
        }
        None => page,
    };
    tasks.push(tokio::spawn(listener.serve(page, stopped.clone())));
    let told = (catalog, encoded);
    if let Some(link) = uplink(&config, storage, (health, desk), told, durable) {
        let (uplink, commands, given) = link;
        tasks.push(tokio::spawn(uplink.run(stopped.clone())));
        tasks.push(tokio::spawn(commands.run(given, stopped)));
    }
    Ok((address, tasks))
}

/// The page by HTTPS, where it is configured; the site's authority is made when there is none.
async fn https(config: &InUse) -> Result<Option<(web::HttpsListener, web::Https)>, WebError> {
    let Some(listen) = config.web.https_listen else {
        return Ok(None);
    };
    let file = trust::file(&config.gateway.data_dir);
    let names = config.web.https_names.iter();
    let names: Vec<trust::Name> = names.filter_map(|name| name.parse().ok()).collect();
    let authority = if let Some(authority) = SiteAuthority::read(&file)? {
        authority
    } else {
        let called = config.gateway.name.as_deref().unwrap_or("site");
        let made = SiteAuthority::make(&file, (called, &names), clock::now(), false)?;
        let fingerprint = made.fingerprint();
        tracing::info!(
            fingerprint,
            "the site's authority for HTTPS was made on this box"
        );
        made
    };
    let door = Arc::new(Door::new(authority, &names, clock::now())?);
    let listener = web::bind_https(listen, Arc::clone(&door)).await?;
    let told = web::Https::new(listener.address().port(), door.authority());
    tracing::info!(address = %listener.address(), "the page is served by HTTPS too");
    Ok(Some((listener, told)))
}

/// The uplink and whoever does what the hub asks for.
type Link = (Uplink, Commands, mpsc::Receiver<CommandV1>);

/// What this box measures, as it is and as the hub gets it.
type Measured = (watch::Receiver<Arc<Catalog>>, watch::Receiver<Arc<Vec<u8>>>);

/// The uplink, when a hub is configured.
fn uplink(
    config: &InUse,
    storage: &Storage,
    (health, desk): (&Arc<Health>, Desk),
    (catalog, encoded): Measured,
    durable: watch::Receiver<Durable>,
) -> Option<Link> {
    let hub = config.hub.clone()?;
    let identity = crate::identity::folder(&config.gateway.data_dir);
    if let Ok(None) = Identity::load(&identity) {
        tracing::warn!(
            "this box is not enrolled with its hub yet: it works alone until `edge-agent enrol`"
        );
    }
    let (results, told) = watch::channel(());
    let (given, commands) = mpsc::channel(COMMANDS_MAX);
    let doing = Commands {
        storage: storage.clone(),
        health: Arc::clone(health),
        catalog,
        hub: hub.clone(),
        identity: identity.clone(),
        requests: desk.requests.clone(),
        results,
    };
    let uplink = Uplink {
        storage: storage.clone(),
        hub,
        identity,
        gateway: storage.gateway_id(),
        catalog: encoded,
        durable,
        health: Arc::clone(health),
        desk,
        commands: given,
        results: told,
        incoming: tokio::sync::Mutex::default(),
    };
    Some((uplink, doing, commands))
}
