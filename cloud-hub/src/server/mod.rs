//! Wires the hub: store, first-start set-up, certificate authority, QUIC for gateways, HTTP for
//! people, and an orderly stop. Never holds a rule of its own.

mod listener;
mod lock;
mod upkeep;

use crate::api::{self, Context, Peer, PublicAddress};
use crate::auth::{self, Role, UserError};
use crate::ca::{Authority, CaError};
use crate::clock::{self, NoRandom};
use crate::config::{Config, NotifyConfig};
use crate::ingest::{self, IngestError};
use crate::notify;
use crate::service::reference::Terms;
use crate::store::{self, Page, Retention, Store, StoreError};
use crate::web;
use listener::Limited;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// How long open requests and connections may take to end once the hub is told to stop.
const STOP_MAX: Duration = Duration::from_secs(5);
/// The first person; who starts the hub is told the password once.
const ADMINISTRATOR: &str = "admin";

/// What the person who starts the hub is told.
#[derive(Debug)]
pub enum Notice {
    /// First start: there is one administrator now; the password is told this once.
    Administrator {
        /// The name to sign in with.
        name: &'static str,
        /// The password.
        password: String,
    },
    /// Both listeners are bound.
    Listening {
        /// Where gateways connect.
        quic: SocketAddr,
        /// Where those connect whose UDP is blocked.
        tcp: Option<SocketAddr>,
        /// Where people connect.
        web: SocketAddr,
    },
}

/// Why the hub ended or did not start.
#[derive(Debug, Error)]
pub enum ServerError {
    /// Another hub runs on the same folder.
    #[error(
        "another hub runs on {folder}; stop it first, or give this one its own data_dir: commands \
         like claim and user work beside a running hub"
    )]
    AlreadyRuns {
        /// The data folder.
        folder: PathBuf,
    },
    /// The lock that keeps two hubs apart could not be taken.
    #[error("the lock {path} could not be taken; check that this user may write there")]
    Lock {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The store could not be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The first administrator could not be made.
    #[error("the first administrator could not be made")]
    Administrator(#[source] UserError),
    /// No random numbers.
    #[error(transparent)]
    Random(#[from] NoRandom),
    /// The certificate authority could not be used.
    #[error("the hub's certificate authority could not be opened")]
    Authority(#[source] CaError),
    /// The door for gateways could not be opened.
    #[error("the door for gateways ([quic] and [tcp] listen) could not be opened")]
    Quic(#[source] IngestError),
    /// The address for people could not be taken.
    #[error(
        "the address {address} ([web] listen) could not be taken; does another program use it?"
    )]
    Web {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A mistake in the program ended it.
    #[error("the hub broke; start it again and report what its log says")]
    Broke(#[source] tokio::task::JoinError),
    /// The system's signals cannot be heard.
    #[error("the system's stop signals cannot be heard")]
    Signals(#[source] std::io::Error),
}

/// Runs the hub until SIGTERM or SIGINT. `tell` hears what the person at the terminal must know.
pub async fn run(config: &Config, tell: impl Fn(&Notice)) -> Result<(), ServerError> {
    let signal = stop_signal()?;
    let (stop, stopping) = watch::channel(false);
    let bound = Bound::new(config, &tell, stopping).await?;
    let mut serving = tokio::spawn(bound.serve());
    tokio::select! {
        // Nothing but the stop ends it in order.
        ended = &mut serving => return ended.map_err(ServerError::Broke),
        () = signal => {}
    }
    tracing::info!("asked to stop");
    stop.send_replace(true);
    if tokio::time::timeout(STOP_MAX, serving).await.is_err() {
        tracing::warn!("some connections did not end in time and were cut");
    }
    Ok(())
}

/// A hub whose listeners are bound.
struct Bound {
    /// Held as long as the hub runs.
    _lock: std::fs::File,
    gateways: ingest::Listener,
    limits: ingest::Limits,
    people: TcpListener,
    people_max: usize,
    context: Context,
    store: Store,
    retention: Retention,
    notify: NotifyConfig,
    terms: Terms,
    stopping: watch::Receiver<bool>,
}

impl Bound {
    async fn new(
        config: &Config,
        tell: &impl Fn(&Notice),
        stopping: watch::Receiver<bool>,
    ) -> Result<Self, ServerError> {
        let lock = lock::take(&config.data_dir)?;
        store::look(&config.data_dir)?;
        let store = Store::open(&config.data_dir)?;
        store.nobody_connected().await?;
        set_up(&store, tell).await?;
        let authority = Authority::open(&config.data_dir).map_err(ServerError::Authority)?;
        let gateways = ingest::Listener::bind(
            config.quic.listen,
            config.tcp.listen,
            Arc::new(authority),
            store.clone(),
        )
        .map_err(ServerError::Quic)?;
        let no_web = |source| ServerError::Web {
            address: config.web.listen,
            source,
        };
        let people = TcpListener::bind(config.web.listen).await.map_err(no_web)?;
        let (quic, tcp) = gateways.addresses().map_err(ServerError::Quic)?;
        tell(&Notice::Listening {
            quic,
            tcp,
            web: people.local_addr().map_err(no_web)?,
        });
        let public = config.web.public_url.as_deref();
        Ok(Self {
            _lock: lock,
            gateways,
            limits: ingest::Limits {
                connections_max: config.quic.connections_max,
                handshakes_per_s: config.quic.handshakes_per_s,
            },
            people,
            people_max: config.web.connections_max,
            store: store.clone(),
            retention: upkeep::retention(&config.retention),
            notify: config.notify.clone(),
            terms: upkeep::terms(&config.bundle),
            context: Context::new(
                store,
                public.and_then(PublicAddress::parse),
                stopping.clone(),
            )
            .with_terms(upkeep::terms(&config.bundle)),
            stopping,
        })
    }

    /// Serves gateways and people until the stop.
    async fn serve(self) {
        let router = api::router(self.context, web::serve);
        let service = router.into_make_service_with_connect_info::<Peer>();
        let mut stopping = self.stopping.clone();
        let stop = async move {
            // An error says that whoever could say stop is gone: that is an end too.
            drop(stopping.wait_for(|stop| *stop).await);
        };
        let people = Limited::new(self.people, self.people_max);
        let people = axum::serve(people, service).with_graceful_shutdown(stop);
        let (served, (), (), ()) = tokio::join!(
            people,
            notify::run(self.store.clone(), self.notify, self.stopping.clone()),
            upkeep::run(
                self.store,
                self.retention,
                self.terms,
                self.stopping.clone()
            ),
            self.gateways.serve(self.limits, self.stopping)
        );
        if let Err(error) = served {
            tracing::error!(%error, "serving people ended");
        }
    }
}

/// Makes sure that the hub does not run, as long as the answer lives.
pub fn alone(config: &Config) -> Result<std::fs::File, ServerError> {
    lock::take(&config.data_dir)
}

/// Moves the store of a hub that does not run out of the way; where it is now.
pub fn set_aside(config: &Config) -> Result<PathBuf, ServerError> {
    let _lock = lock::take(&config.data_dir)?;
    Ok(store::set_aside(&config.data_dir, clock::now())?)
}

/// Makes the first administrator when there is nobody yet.
async fn set_up(store: &Store, tell: &impl Fn(&Notice)) -> Result<(), ServerError> {
    let scope = store.default_tenant();
    let first = Page {
        limit: 1,
        cursor: None,
    };
    if !store.users(scope, first).await?.rows.is_empty() {
        return Ok(());
    }
    let password = auth::generate_password()?;
    auth::add_user(store, scope, ADMINISTRATOR, Role::Admin, &password)
        .await
        .map_err(ServerError::Administrator)?;
    tell(&Notice::Administrator {
        name: ADMINISTRATOR,
        password,
    });
    Ok(())
}

/// Resolves when the system asks the hub to stop.
fn stop_signal() -> Result<impl Future<Output = ()>, ServerError> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).map_err(ServerError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServerError::Signals)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

#[cfg(test)]
mod tests;
