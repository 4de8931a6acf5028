//! The page for staff and its JSON interface (docs/api.md, "The box"). Works with the hub gone.
//! Never changes a record by itself: every action is an event written through the store.

use crate::config::Config;
use crate::health::Health;
use crate::storage::Storage;
use axum::Router;
use protocol::catalog::Catalog;
use std::net::SocketAddr;
use std::sync::Arc;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;

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
    catalog: Arc<Catalog>,
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
    pub async fn serve(self, page: Page, mut stop: watch::Receiver<bool>) {
        let app = Router::new().with_state(page);
        let stopped = async move {
            // A closed channel means that the agent is gone: stop too.
            drop(stop.wait_for(|stop| *stop).await);
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
    /// A page of this box.
    pub fn new(
        _config: &Config,
        storage: Storage,
        health: Arc<Health>,
        catalog: Arc<Catalog>,
    ) -> Result<Self, WebError> {
        Ok(Self {
            storage,
            health,
            catalog,
        })
    }
}
