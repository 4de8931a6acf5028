//! The page for staff and its JSON interface (docs/api.md, "The box"). Works with the hub gone.
//! Never changes a record by itself: every action is an event written through the store.

mod actions;
mod alarms;
mod attachments;
mod bus;
mod caller;
mod configuration;
mod exchange;
mod guard;
mod https;
mod notify;
mod orders;
mod pages;
mod problem;
mod qr;
mod records;
mod sensors;
mod session;
mod site;
mod status;
mod stream;
#[cfg(test)]
mod tests;
mod trust;
mod waited;
mod write;

use crate::config::InUse;
use crate::documents::Desk;
use crate::health::Health;
use crate::notify::Handle;
use crate::storage::Storage;
use crate::trust::TrustError;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use guard::AccessCode;
pub use https::{HttpsListener, bind_https};
use problem::Problem;
use protocol::catalog::Catalog;
pub use session::LOCAL_TOKEN_FILE;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
pub use trust::Https;

/// Longest body of a request.
const BODY_BYTES_MAX: usize = 256 << 10;
/// Pages that may follow the news at the same time.
const STREAMS_MAX: usize = 32;

/// Why the page could not be served.
#[derive(Debug, Error)]
pub enum WebError {
    /// The TCP port could not be opened.
    #[error("listening on {listen} for the page; is another program using it? ([web] listen)")]
    Listen {
        /// The address as configured.
        listen: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The TCP port for HTTPS could not be opened.
    #[error(
        "listening on {listen} for the page by HTTPS; is another program using it? ([web] https_listen)"
    )]
    ListenHttps {
        /// The address as configured.
        listen: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// There is no certificate to serve HTTPS with.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The file with the access code could not be read.
    #[error("reading the access code from {path} ([web] access_code_file)")]
    AccessCodeFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The access code is too short to be one.
    #[error("{path} ([web] access_code_file) must hold at least {min} characters")]
    AccessCodeShort {
        /// The file.
        path: PathBuf,
        /// How many.
        min: usize,
    },
}

/// An open port.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

/// What the page shows and changes.
#[derive(Clone, Debug)]
pub struct Page {
    storage: Storage,
    health: Arc<Health>,
    catalog: watch::Receiver<Arc<Catalog>>,
    settings: Arc<Settings>,
    streams: Arc<Semaphore>,
    /// One file for the hub, or one answer of it, at a time.
    exchanges: Arc<Semaphore>,
    uploads: Arc<Semaphore>,
    captures: Arc<Semaphore>,
    /// One value at a time is written to a device.
    writes: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
    desk: Desk,
    /// What the box runs with.
    running: watch::Receiver<Arc<InUse>>,
    people: Arc<session::Desk>,
    /// How people are told.
    telling: Option<Handle>,
    https: Option<Arc<Https>>,
}

#[derive(Debug)]
struct Settings {
    name: Option<String>,
    code: String,
    hub: Option<String>,
    queue_max: usize,
    access: Option<AccessCode>,
    /// Folder of the box's key and certificates.
    identity: PathBuf,
}

/// Opens the port of the page.
pub async fn bind(listen: SocketAddr) -> Result<Listener, WebError> {
    let failed = |source| WebError::Listen { listen, source };
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok(Listener { listener, address })
}

impl Listener {
    /// Where it listens, the real port where 0 was asked for.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` turns true.
    pub async fn serve(self, page: Page, stop: watch::Receiver<bool>) {
        load_people(&page).await;
        let page = Page {
            stop: stop.clone(),
            ..page
        };
        let app = router(page).into_make_service_with_connect_info::<SocketAddr>();
        let mut stopped = stop;
        let stopped = async move {
            // A closed channel means that the agent is gone: stop too.
            drop(stopped.wait_for(|stop| *stop).await);
        };
        if let Err(error) = axum::serve(self.listener, app)
            .with_graceful_shutdown(stopped)
            .await
        {
            tracing::error!(%error, "the page can no longer be served");
        }
    }
}

impl Page {
    /// The page of this box, with news of what the box runs with.
    pub fn new(
        running: watch::Receiver<Arc<InUse>>,
        storage: Storage,
        health: Arc<Health>,
        catalog: watch::Receiver<Arc<Catalog>>,
        desk: Desk,
    ) -> Result<Self, WebError> {
        let config = Arc::clone(&running.borrow());
        let access = config
            .web
            .access_code_file
            .as_deref()
            .map(AccessCode::read)
            .transpose()?;
        let settings = Settings {
            name: config.gateway.name.clone(),
            code: config.gateway.code.clone(),
            hub: config.hub.as_ref().map(ToString::to_string),
            queue_max: config.queue.polls_max,
            access,
            identity: crate::identity::folder(&config.gateway.data_dir),
        };
        Ok(Self {
            storage,
            health,
            catalog,
            settings: Arc::new(settings),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            exchanges: Arc::new(Semaphore::new(1)),
            uploads: Arc::new(Semaphore::new(attachments::UPLOADS_MAX)),
            writes: Arc::new(Semaphore::new(1)),
            captures: Arc::new(Semaphore::new(bus::CAPTURES_MAX)),
            stop: watch::Sender::new(false).subscribe(),
            desk,
            running,
            people: Arc::new(session::Desk::new(&config.gateway.data_dir)),
            telling: None,
            https: None,
        })
    }
}

/// Who was signed in before the restart.
async fn load_people(page: &Page) {
    if let Err(error) = page.people.load(&page.storage).await {
        tracing::warn!(%error, "who was signed in is forgotten: people sign in again");
    }
}

impl Page {
    /// With the channels to people.
    #[must_use]
    pub fn telling(mut self, telling: Handle) -> Self {
        self.telling = Some(telling);
        self
    }

    /// What the box runs with now.
    fn running(&self) -> Arc<InUse> {
        Arc::clone(&self.running.borrow())
    }

    /// The same page, which tells where it is served by HTTPS too.
    #[must_use]
    pub fn with_https(mut self, https: Https) -> Self {
        self.https = Some(Arc::new(https));
        self
    }

    /// What the box measures now.
    fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog.borrow())
    }
}

fn router(page: Page) -> Router {
    let api = Router::new()
        .route("/sensors", get(sensors::list))
        .route("/sensors/{id}", get(sensors::one))
        .route("/sensors/{id}/readings", get(sensors::readings))
        .route("/alerts", get(records::alerts))
        .route("/alerts/{id}", get(records::alert))
        .route("/alerts/{id}/actions/{action}", post(actions::alert))
        .route("/alarms", get(alarms::list))
        .route("/alarms/load", get(alarms::load))
        .route("/alarms/{id}", get(alarms::one))
        .route("/alarms/{id}/actions/{action}", post(alarms::act))
        .route(
            "/maintenance",
            get(alarms::maintenance).post(alarms::maintain),
        )
        .route(
            "/work-orders",
            get(records::work_orders).post(orders::create),
        )
        .route("/work-orders/{id}", get(records::work_order))
        .route("/work-orders/{id}/actions/{action}", post(orders::act))
        .route("/work-orders/{id}/attachments", post(attachments::add))
        .route(
            "/work-orders/{id}/attachments/{hash}",
            get(attachments::one),
        )
        .route("/stock", get(site::stock))
        .route("/stock/{part}", get(site::stock_of))
        .route("/stock/{part}/actions/{action}", post(site::move_stock))
        .route("/assets", get(site::assets).post(site::propose))
        .route("/assets/{tag}", get(site::asset))
        .route("/checklists", get(site::checklists))
        .route("/failure-codes", get(site::failure_codes))
        .route("/codes/{code}", get(qr::what))
        .route("/qr/{kind}/{name}", get(qr::picture))
        .route("/devices/{device}/write", post(write::write))
        .route("/channels", get(notify::channels))
        .route("/channels/{name}/test", post(notify::test))
        .route("/deliveries", get(notify::deliveries))
        .route("/bus", get(bus::list))
        .route("/bus/{port}", get(bus::one))
        .route("/bus/{port}/capture", get(bus::capture))
        .route("/stream", get(stream::open))
        .route("/export", post(exchange::export))
        .route("/acknowledge", post(exchange::acknowledge))
        .route("/configuration/rollback", post(configuration::roll_back))
        .route("/configuration/reload", post(configuration::reload))
        .route_layer(axum::middleware::from_fn_with_state(
            page.clone(),
            guard::signed_in,
        ))
        .route("/status", get(status::status))
        .route("/trust", get(trust::about))
        .route(
            "/session",
            get(session::who)
                .post(session::sign_in)
                .delete(session::sign_out),
        )
        .fallback(|| async { Problem::not_found("address") });
    Router::new()
        .nest("/api/v1", api)
        .merge(trust::routes())
        .route("/c/{code}", get(qr::go))
        .fallback(pages::serve)
        .layer(axum::middleware::from_fn(guard::headers))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(page)
}
