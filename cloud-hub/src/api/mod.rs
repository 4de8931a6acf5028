//! The JSON interface of the hub (docs/api.md): routes, and what all of them share.
//! Never decides what a person may do: `service` does; never writes SQL: `store` does.

mod alarms;
mod alerts;
mod attachments;
mod cookie;
mod extract;
mod gateways;
mod notifications;

mod page;
mod problem;
mod reference;
mod remote;
mod security;
mod sensors;
mod session;
mod site_records;
mod sites;
mod stream;
mod users;
mod work_orders;

pub use security::PublicAddress;

use crate::service::reference::Terms;
use crate::store::Store;
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderMap, Method, Response, StatusCode};
use axum::middleware;
use axum::response::IntoResponse as _;
use axum::routing::{MethodRouter, delete, get, patch, post};
use problem::Problem;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};

/// Largest body of a request.
const BODY_BYTES_MAX: usize = 256 << 10;
/// Event streams at the same time; a further one is told to come back.
const STREAMS_MAX: usize = 256;

/// Answers for everything that is no route of this interface.
pub type Pages = fn(&Method, &str, &HeaderMap) -> Response<Body>;

/// The address from which a connection comes.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// What every handler may use.
#[derive(Clone, Debug)]
pub struct Context {
    store: Store,
    public: Option<PublicAddress>,
    streams: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
    terms: Terms,
}

impl Context {
    /// `public` is the address that people type; `stop` turns true when the hub is to end.
    pub fn new(store: Store, public: Option<PublicAddress>, stop: watch::Receiver<bool>) -> Self {
        Self {
            store,
            public,
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            stop,
            terms: Terms {
                valid_days: 90,
                grace_days: 30,
            },
        }
    }

    /// Bundles count for as long as the configuration says.
    #[must_use]
    pub const fn with_terms(mut self, terms: Terms) -> Self {
        self.terms = terms;
        self
    }

    /// Whether browsers come by HTTPS.
    fn secure(&self) -> bool {
        self.public.as_ref().is_some_and(PublicAddress::secure)
    }
}

/// The whole HTTP side: the routes, and `pages` for every other address.
pub fn router(context: Context, pages: Pages) -> Router {
    let mut router = Router::new();
    for (_, path, handler) in routes() {
        router = router.route(path, handler);
    }
    router
        .method_not_allowed_fallback(|| async { wrong_method() })
        .fallback(move |request: Request| async move {
            let path = request.uri().path();
            if path == "/api" || path.starts_with("/api/") {
                return Problem::not_found("address").into_response();
            }
            pages(request.method(), path, request.headers())
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::map_response(|response| async {
            security::protect(response)
        }))
        .with_state(context)
}

/// Every route: method, address, handler. A test goes through all of them.
fn routes() -> Vec<(Method, &'static str, MethodRouter<Context>)> {
    let mut routes = vec![
        (Method::GET, "/healthz", get(healthy)),
        (Method::POST, "/api/v1/session", post(session::sign_in)),
        (Method::GET, "/api/v1/session", get(session::who)),
        (Method::DELETE, "/api/v1/session", delete(session::sign_out)),
        (Method::GET, "/api/v1/sites", get(sites::list)),
        (Method::GET, "/api/v1/gateways", get(gateways::list)),
        (Method::GET, "/api/v1/gateways/{id}", get(gateways::one)),
        (Method::GET, "/api/v1/sensors", get(sensors::list)),
        (Method::GET, "/api/v1/sensors/{id}", get(sensors::one)),
        (
            Method::GET,
            "/api/v1/sensors/{id}/readings",
            get(sensors::readings),
        ),
        (Method::GET, "/api/v1/alerts", get(alerts::list)),
        (Method::GET, "/api/v1/alerts/{id}", get(alerts::one)),
        (
            Method::POST,
            "/api/v1/alerts/{id}/actions/{action}",
            post(alerts::act),
        ),
        (Method::GET, "/api/v1/work-orders", get(work_orders::list)),
        (
            Method::POST,
            "/api/v1/work-orders",
            post(work_orders::create),
        ),
        (
            Method::GET,
            "/api/v1/work-orders/{id}",
            get(work_orders::one),
        ),
        (
            Method::PATCH,
            "/api/v1/work-orders/{id}",
            patch(work_orders::change),
        ),
        (
            Method::GET,
            "/api/v1/work-orders/{id}/attachments/{hash}",
            get(attachments::one),
        ),
        (
            Method::POST,
            "/api/v1/work-orders/{id}/actions/{action}",
            post(work_orders::act),
        ),
        (
            Method::GET,
            "/api/v1/notifications",
            get(notifications::list),
        ),
        (Method::GET, "/api/v1/users", get(users::list)),
        (Method::GET, "/api/v1/stream", get(stream::open)),
    ];
    routes.extend(alarms::routes());
    routes.extend(remote::routes());
    routes.extend(site_records::routes());
    routes.extend(reference::routes());
    routes
}

/// Alive and serving: for whoever watches over the process. Says nothing about the plant.
async fn healthy() -> &'static str {
    "ok\n"
}

fn wrong_method() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "wrong_method",
        "This address does not take this method",
        "See docs/api.md for what can be done here.",
    )
}

#[cfg(test)]
mod tests;
