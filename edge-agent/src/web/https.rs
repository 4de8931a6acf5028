//! The page by HTTPS: TLS with the certificate of the site's authority in front of the same routes.
//! A slow handshake holds up nobody else. Never speaks TLS with a certificate of its own making.

use super::guard::Https;
use super::{Page, WebError, load_people, router};
use crate::clock;
use crate::trust::Door;
use axum::Extension;
use axum::serve::{Listener, ListenerExt as _};
use rustls::ServerConfig;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A client that does not end its handshake in this time has gone.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Handshakes at the same time; further connections wait in the system's queue.
const HANDSHAKES_MAX: usize = 16;
/// Connections whose handshake is done and that wait to be served.
const READY_MAX: usize = 16;

/// An open port for HTTPS.
#[derive(Debug)]
pub struct HttpsListener {
    listener: TcpListener,
    address: SocketAddr,
    door: Arc<Door>,
    tls: Arc<ServerConfig>,
}

/// Opens the port for HTTPS.
pub async fn bind_https(listen: SocketAddr, door: Arc<Door>) -> Result<HttpsListener, WebError> {
    let failed = |source| WebError::ListenHttps { listen, source };
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    Ok(HttpsListener {
        address: listener.local_addr().map_err(failed)?,
        listener,
        tls: door.tls()?,
        door,
    })
}

impl HttpsListener {
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
        let (ready, connections) = mpsc::channel(READY_MAX);
        let local = self.address;
        let accepting = tokio::spawn(self.accept(ready));
        let app = router(page).layer(Extension(Https));
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        // The tap is what lets a listener of our own say where a connection comes from.
        let listener = Ready { connections, local }.tap_io(|_| {});
        let mut stopped = stop;
        let stopped = async move {
            // A closed channel means that the agent is gone: stop too.
            drop(stopped.wait_for(|stop| *stop).await);
        };
        if let Err(error) = axum::serve(listener, app)
            .with_graceful_shutdown(stopped)
            .await
        {
            tracing::error!(%error, "the page can no longer be served by HTTPS");
        }
        accepting.abort();
    }

    async fn accept(self, ready: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>) {
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
        let acceptor = TlsAcceptor::from(self.tls);
        let mut listener = self.listener;
        while let Ok(permit) = Arc::clone(&handshakes).acquire_owned().await {
            // Qualified: the inherent method gives a Result, the trait's waits out errors.
            let (stream, from) = Listener::accept(&mut listener).await;
            if let Ok(own) = stream.local_addr() {
                self.door.cover(own.ip(), clock::now());
            }
            let (acceptor, ready) = (acceptor.clone(), ready.clone());
            tokio::spawn(async move {
                let _permit = permit;
                match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                    // Nobody waits any more when the page is closing.
                    Ok(Ok(stream)) => drop(ready.send((stream, from)).await),
                    Ok(Err(error)) => tracing::debug!(%error, %from, "no handshake"),
                    Err(_) => tracing::debug!(%from, "a handshake took too long"),
                }
            });
        }
    }
}

/// Connections whose handshake is done.
struct Ready {
    connections: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    local: SocketAddr,
}

impl Listener for Ready {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        match self.connections.recv().await {
            Some(connection) => connection,
            // The task that accepts has ended, with the whole page.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(self.local)
    }
}
