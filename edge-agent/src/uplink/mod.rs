//! The link to the hub: has it dialled, runs one `EdgeSession` per connection and
//! carries its frames between the store and the network; comes again when the link is gone.
//! Never holds data of its own: what is not in the store does not exist for the hub.

mod backoff;
mod bundle;
mod connection;
mod down;
mod lanes;
mod live;
mod quic;
mod renewal;
mod tcp;

pub use backoff::Backoff;

use crate::clock;
use crate::config::HubConfig;
use crate::dial::{DialError, Memory, Network, Way, chain, dial};
use crate::documents::Desk;
use crate::health::{Health, LinkState};
use crate::identity::{self, Identity, IdentityError};
use crate::people::Incoming;
use crate::storage::{Storage, StorageError};
use protocol::id::{GatewayId, StreamId};
use protocol::sync::{Refusal, SessionError};
use protocol::wire::WireError;
use protocol::wire::v1::CommandV1;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::{Mutex, mpsc, watch};

/// How long a box that was refused waits before it asks again, when the hub names no time.
const REFUSED_WAIT: Duration = Duration::from_secs(300);
/// How often a box that is not enrolled looks whether it is by now.
const ENROLLED_CHECK: Duration = Duration::from_secs(2);

/// Why there is no link.
#[derive(Debug, Error)]
pub enum UplinkError {
    /// The store failed.
    #[error("reading what is to be sent")]
    Storage(#[from] StorageError),
    /// The session ended.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// Bytes that are no frame.
    #[error("reading a frame of the hub")]
    Wire(#[from] WireError),
    /// The identity cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The hub was not reached.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The QUIC connection ended.
    #[error("the connection to the hub ended")]
    Connection(#[from] quinn::ConnectionError),
    /// The TCP connection ended.
    #[error("the connection to the hub ended")]
    Stream {
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Nothing is wrong, but the connection is to begin anew, at once.
    #[error("connecting again: {0}")]
    Anew(&'static str),
    /// A lane could not be read or written.
    #[error("{action} lane {lane}")]
    Lane {
        /// What was being done.
        action: &'static str,
        /// Number of the lane.
        lane: u8,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What is durable on the box and may be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Durable {
    /// Highest number of each stream of readings.
    pub streams: BTreeMap<StreamId, u64>,
    /// Highest number of the box's own events.
    pub events: u64,
}

/// All that the uplink needs.
#[derive(Debug)]
pub struct Uplink {
    /// The store.
    pub storage: Storage,
    /// Where the hub is.
    pub hub: HubConfig,
    /// Folder of the identity.
    pub identity: PathBuf,
    /// This box.
    pub gateway: GatewayId,
    /// What this box measures, encoded. Told too when streams came or went and it is the same.
    pub catalog: watch::Receiver<Arc<Vec<u8>>>,
    /// Told whenever something became durable.
    pub durable: watch::Receiver<Durable>,
    /// Is told where the link is.
    pub health: Arc<Health>,
    /// Where documents of the hub are handed in.
    pub desk: Desk,
    /// Where commands of the hub are handed in: room for as many as may be open.
    pub commands: mpsc::Sender<CommandV1>,
    /// Told when a command has a result.
    pub results: watch::Receiver<()>,
    /// The site bundle that has come in part, over connections.
    pub incoming: Mutex<Incoming>,
}

impl Uplink {
    /// Runs until `stop` turns true. Never ends by itself: every failure is shown and tried again.
    pub async fn run(self, stop: watch::Receiver<bool>) {
        let authorities = renewal::Authorities::default();
        tokio::select! {
            () = self.keep_connecting(stop, &authorities) => {}
            () = self.keep_identity(&authorities) => {}
        }
    }

    async fn keep_connecting(
        &self,
        mut stop: watch::Receiver<bool>,
        authorities: &renewal::Authorities,
    ) {
        let mut backoff = Backoff::new(self.hub.reconnect_max);
        let mut memory = Memory::default();
        while !*stop.borrow() {
            // Before the attempt: who enrols the box anew meanwhile must not wait either.
            let enrolled = identity::enrolled_at(&self.identity);
            let wait = tokio::select! {
                wait = self.attempt(&mut memory, &mut backoff, authorities) => wait,
                _ = stop.changed() => return,
            };
            tokio::select! {
                () = self.rest(wait, enrolled) => {}
                _ = stop.changed() => return,
            }
        }
    }

    /// Waits, but no longer than until the box is enrolled at another time than `before`.
    async fn rest(&self, wait: Duration, before: Option<std::time::SystemTime>) {
        let end = tokio::time::Instant::now() + wait;
        while tokio::time::Instant::now() < end && identity::enrolled_at(&self.identity) == before {
            let next = tokio::time::Instant::now() + ENROLLED_CHECK;
            tokio::time::sleep_until(next.min(end)).await;
        }
    }

    /// One connection from beginning to end; answers how long to wait before the next.
    async fn attempt(
        &self,
        memory: &mut Memory,
        backoff: &mut Backoff,
        authorities: &renewal::Authorities,
    ) -> Duration {
        let identity = match Identity::load(&self.identity) {
            Ok(Some(identity)) => identity,
            Ok(None) => {
                self.show(
                    LinkState::NotEnrolled,
                    "this box has not been enrolled with its hub yet",
                );
                return ENROLLED_CHECK;
            }
            Err(error) => {
                self.show(LinkState::Refused, &chain(&error));
                return REFUSED_WAIT;
            }
        };
        if self.health.link().state == LinkState::NotEnrolled {
            self.show(LinkState::Connecting, "looking for the hub");
        }
        let link = self.connect(&identity, memory, backoff, authorities);
        let Err(error) = link.await;
        match &error {
            UplinkError::Session(SessionError::Refused {
                refusal,
                words,
                retry_after_s,
            }) => {
                let busy = matches!(refusal, Some(Refusal::Busy));
                tracing::error!(error = words, "the hub refused this box");
                self.show(
                    if busy {
                        LinkState::Offline
                    } else {
                        LinkState::Refused
                    },
                    words,
                );
                let wait = retry_after_s.map(|seconds| Duration::from_secs(seconds.into()));
                // Those who were told the same time do not come back together.
                wait.map_or(REFUSED_WAIT, |wait| wait + backoff::part_of(wait))
            }
            UplinkError::Anew(why) => {
                tracing::info!(why, "the link begins anew");
                Duration::ZERO
            }
            error => {
                let words = chain(error);
                tracing::info!(error = words, "no link to the hub");
                match remedy(&words) {
                    Some(remedy) => self.show(LinkState::Refused, remedy),
                    None => self.show(LinkState::Offline, &words),
                }
                backoff.next_wait()
            }
        }
    }

    async fn connect(
        &self,
        identity: &Identity,
        memory: &mut Memory,
        backoff: &mut Backoff,
        authorities: &renewal::Authorities,
    ) -> Result<std::convert::Infallible, UplinkError> {
        let network = Network::now(&self.hub).await;
        let first = memory.first(network, tokio::time::Instant::now());
        let tried = tokio::time::Instant::now();
        if first == Way::Tcp {
            tracing::info!("TCP first: UDP did not get through from this network");
        }
        let dialled = dial(&self.hub, &identity::client_config(identity)?, first).await?;
        memory.reached(dialled.way(), network, tried);
        let way = dialled.way();
        let shown = dialled.hub_certificates();
        if identity.is_superseded(&shown) {
            authorities.superseded.notify_one();
        }
        self.retire(&shown);
        let (lanes, inbound) = lanes::Lanes::open(dialled, self.hub.keep_alive).await?;
        tracing::debug!(?way, hub = %lanes.remote(), round_trip = ?lanes.round_trip(), "connected");
        tokio::select! {
            ended = connection::run(self, lanes, inbound, backoff) => ended,
            () = authorities.renewed.notified() => Err(UplinkError::Anew(
                "this box has a certificate of the hub's new authority",
            )),
        }
    }

    /// Ends the trust in an authority that the hub has retired.
    fn retire(&self, shown: &[rustls_pki_types::CertificateDer<'_>]) {
        match identity::retire(&self.identity, shown) {
            Ok(false) => {}
            Ok(true) => tracing::info!("the hub's authority of before is over: trusted no longer"),
            Err(error) => tracing::warn!(
                error = chain(&error),
                "the hub's authority of before is over and still trusted here; tried again with the \
                 next connection"
            ),
        }
    }

    fn show(&self, state: LinkState, words: &str) {
        self.health.set_link(state, words, clock::now());
    }
}

/// What a person has to do about an authority that one side does not know (TLS alert 48).
fn remedy(words: &str) -> Option<&'static str> {
    if words.contains("UnknownIssuer") {
        Some(
            "the hub's certificate is of an authority that this box does not know: the authority was \
             changed while this box was away, or another hub has the address; if the address is \
             right, enrol this box with a new claim",
        )
    } else if words.contains("UnknownCA") || words.contains("failed: error 48") {
        Some(
            "the hub no longer trusts the authority of this box's certificate: it was changed while \
             this box was away; enrol this box with a new claim",
        )
    } else {
        None
    }
}
