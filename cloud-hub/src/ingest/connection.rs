//! One gateway's connection from handshake to good-bye.

mod bundle;
mod contents;
mod down;

use super::accept::Peer;
use super::enrol::sha256;
use super::lanes::Lanes;
use super::presence::{Place, Presence};
use super::windows::Share;
use super::{BUSY_RETRY_S, EXPIRED_RETRY_S, IngestError, Shared};
use crate::ca::{Authority, CertificateOwner, owner_of};
use crate::clock;
use crate::store::{Connected, Ingest, LostPolls, Page, Revocations, Store};
use crate::tenants::TenantScope;
pub(super) use bundle::head as bundle_head;
use contents::{Contents, stored};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use protocol::id::{GatewayId, StreamId};
use protocol::limits::{LANE_IN_FLIGHT_BYTES_MAX, PEOPLE_MAX};
use protocol::sync::{Commit, HelloAnswer, HelloInfo, HubAction, HubSession, Lane, Refusal};
use protocol::wire::v1::ReferenceV1;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// What a box is told whose certificate no longer counts.
pub(super) const WITHDRAWN: &str = "this box was withdrawn at the hub, or enrolled anew with another key; \
    if it is to come back, enrol it with a new claim";
/// Frames committed in one transaction at the most, and bytes of blocks from which on no further
/// frame is taken in.
const BATCH_FRAMES_MAX: usize = 64;
const BATCH_BYTES_MAX: usize = 1 << 20;
/// How often it is looked up what a standing connection may have on the way.
const SHARE_CHECK: Duration = Duration::from_secs(60);
/// What a box is told whose certificate is too old; it asks for a new one by itself.
const EXPIRED: &str = "the certificate of this box is past its last day; the box asks for a new one \
    by itself, and this is shown until it has it";

/// Runs the session of one gateway to its end.
pub(super) async fn synchronise(
    shared: &Shared,
    peer: Peer,
    lanes: Lanes,
    full: bool,
    stop: watch::Receiver<bool>,
) -> Result<(), IngestError> {
    let Some(certificate) = &peer.certificate else {
        return Err(IngestError::Authority(crate::ca::CaError::NoGateway));
    };
    let owner: CertificateOwner = owner_of(certificate)?;
    let (remote, fingerprint) = (peer.remote, sha256(certificate));
    // Not needed as long as the session lives.
    drop(peer);
    let known = Box::pin(shared.store.certificate(fingerprint)).await?;
    let refusal = match &known {
        None => Some((
            Refusal::Revoked,
            "this hub does not know the certificate of this box; enrol it again",
            None,
        )),
        Some(row) if row.revoked.is_some() => Some((Refusal::Revoked, WITHDRAWN, None)),
        Some(row) if row.not_after <= clock::now() => {
            Some((Refusal::Expired, EXPIRED, Some(EXPIRED_RETRY_S)))
        }
        Some(_) if full => Some((
            Refusal::Busy,
            "the hub has as many connections as it takes; this box comes again by itself and keeps \
             everything until then ([quic] connections_max at the hub says how many)",
            Some(BUSY_RETRY_S),
        )),
        Some(_) => None,
    };
    let scope = known.map_or_else(|| shared.store.default_tenant(), |row| row.scope);
    let mut gateway = Gateway {
        store: shared.store.clone(),
        scope,
        id: owner.gateway,
        fingerprint,
        session: HubSession::new(owner.gateway),
        share: Share::enter(&shared.sessions),
        presence: shared.presence.clone(),
        remote,
        place: None,
        contents: None,
        authority: Arc::clone(&shared.authority),
        bundle_told: None,
        lanes,
    };
    if let Some((refusal, words, retry_after_s)) = refusal {
        gateway.session.refuse(refusal, words, retry_after_s)?;
        gateway.act(Frames::Later).await?;
        return Box::pin(gateway.good_bye()).await.map(drop);
    }
    Box::pin(shared.store.certificate_used(fingerprint)).await?;
    let revoked = shared.revocations.clone();
    let ended = gateway.run(revoked, stop).await;
    if gateway.place.as_ref().is_some_and(Place::is_held) {
        gateway.store.disconnected(scope, owner.gateway).await?;
    }
    match ended {
        Ok(()) => Box::pin(gateway.good_bye()).await.map(drop),
        Err(IngestError::Replaced { by }) => Box::pin(gateway.replaced(remote, by)).await,
        Err(IngestError::Revoked) => {
            gateway.session.refuse(Refusal::Revoked, WITHDRAWN, None)?;
            gateway.act(Frames::Later).await?;
            Box::pin(gateway.good_bye()).await.map(drop)
        }
        Err(error) => Err(error),
    }
}

/// Which frames a round of work takes in.
#[derive(Clone, Copy)]
enum Frames {
    /// Those that are there already join the same transaction.
    Waiting,
    /// None; they have their own round.
    Later,
}

/// One connected gateway.
struct Gateway {
    store: Store,
    scope: TenantScope,
    id: GatewayId,
    fingerprint: [u8; 32],
    session: HubSession,
    share: Share,
    presence: Presence,
    remote: SocketAddr,
    /// From the hello on.
    place: Option<Place>,
    /// From the first content on that the gateway offers.
    contents: Option<Contents>,
    authority: Arc<Authority>,
    /// What was noted of bundles on this connection: the number held, and why not the newest.
    bundle_told: Option<(u64, String)>,
    lanes: Lanes,
}

impl Gateway {
    async fn run(
        &mut self,
        mut revoked: watch::Receiver<Revocations>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), IngestError> {
        let mut news = self.store.news_for(self.scope, self.id);
        let mut check = tokio::time::interval(SHARE_CHECK);
        loop {
            tokio::select! {
                frame = self.lanes.next() => {
                    let Some(frame) = frame else { return Ok(()) };
                    let (lane, frame) = frame?;
                    self.session.handle_frame(lane, &frame)?;
                    if self.act(Frames::Waiting).await? {
                        return Ok(());
                    }
                }
                Ok(()) = news.changed() => Box::pin(self.news()).await?,
                Ok(()) = revoked.changed() => Box::pin(self.still_welcome()).await?,
                Some((hash, stored)) = stored(&mut self.contents) => {
                    self.session.handle_chunk_stored(hash, stored)?;
                    self.act(Frames::Later).await?;
                }
                by = taken(&mut self.place) => return Err(IngestError::Replaced { by }),
                _ = check.tick() => {
                    if let Some(bytes) = self.share.changed() {
                        self.session.handle_window(Lane::Backlog, bytes)?;
                        self.act(Frames::Later).await?;
                    }
                }
                stopped = stop.changed() => {
                    if stopped.is_err() || *stop.borrow() {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// An event of the hub for this gateway, or something about it, perhaps that it was shut out.
    async fn news(&mut self) -> Result<(), IngestError> {
        self.still_welcome().await?;
        let last = self.store.down_last(self.scope, self.id).await?;
        self.session.handle_down_available(last);
        self.wanted().await?;
        self.bundle_wanted().await?;
        self.act(Frames::Later).await?;
        Ok(())
    }

    async fn still_welcome(&mut self) -> Result<(), IngestError> {
        match self.store.certificate(self.fingerprint).await? {
            Some(row) if row.revoked.is_none() => Ok(()),
            _ => Err(IngestError::Revoked),
        }
    }

    /// Does what the session wants until it wants nothing more. Answers whether the connection is
    /// to be closed. Boxed: the task of a gateway sleeps most of its life, and what it needs only
    /// while it works would be kept for each of them all the time.
    fn act(&mut self, frames: Frames) -> BoxFuture<'_, Result<bool, IngestError>> {
        self.do_all(frames).boxed()
    }

    async fn do_all(&mut self, frames: Frames) -> Result<bool, IngestError> {
        let mut batch = Batch::default();
        loop {
            let Some(action) = self.session.poll_action() else {
                let more = match frames {
                    Frames::Waiting => self.lanes.try_next(),
                    Frames::Later => None,
                };
                match more {
                    Some(frame) if batch.has_room() => {
                        let (lane, frame) = frame?;
                        self.session.handle_frame(lane, &frame)?;
                    }
                    Some(frame) => {
                        self.commit(&mut batch).await?;
                        let (lane, frame) = frame?;
                        self.session.handle_frame(lane, &frame)?;
                    }
                    None if batch.is_empty() => return Ok(false),
                    None => self.commit(&mut batch).await?,
                }
                continue;
            };
            match action {
                HubAction::Send(lane, bytes) => self.lanes.send(lane, bytes).await?,
                HubAction::Hello(info) => self.hello(info).await?,
                HubAction::Offer(offered, last) => {
                    let store = &self.store;
                    let held = store.offered(self.scope, self.id, offered, last).await?;
                    self.session.handle_offer_answer(held)?;
                }
                HubAction::Contents(offered) => self.contents_offered(&offered).await?,
                HubAction::StoreChunk(chunk) => self.store_chunk(chunk).await?,
                HubAction::FetchOwn { incarnation, after } => {
                    let place = (incarnation, after);
                    let events = self
                        .store
                        .own_after(self.scope, self.id, place, LANE_IN_FLIGHT_BYTES_MAX)
                        .await?;
                    self.session.handle_own(incarnation, events)?;
                }
                HubAction::StoreSchema(incarnation, stream, schema) => {
                    batch.ingest.schemas.push((incarnation, stream, schema));
                }
                HubAction::StoreCatalog(catalog) => batch.ingest.catalog = Some(catalog),
                HubAction::Commit(lane, commit) => batch.add(lane, commit),
                HubAction::FetchDown { after } => {
                    let store = &self.store;
                    let events = store
                        .down_after(self.scope, self.id, after, LANE_IN_FLIGHT_BYTES_MAX)
                        .await?;
                    self.session.handle_down(events)?;
                }
                HubAction::DownAcked(seq) => {
                    self.store.mark_down_acked(self.scope, self.id, seq).await?;
                }
                HubAction::DocumentState(state) => self.document_state(state).await?,
                HubAction::FetchDocument { version } => self.fetch_document(version).await?,
                HubAction::CommandResult(result) => self.command_ended(result).await?,
                action @ (HubAction::BundleState(_)
                | HubAction::SignBundle(_)
                | HubAction::FetchBundle { .. }) => self.bundle(action).await?,
                HubAction::Close(words) => {
                    tracing::warn!(gateway = %self.id, words, "a gateway was refused");
                    return Ok(true);
                }
            }
        }
    }

    async fn hello(&mut self, info: HelloInfo) -> Result<(), IngestError> {
        // Not before: a connection whose hello is refused must not push the right one out.
        self.place = Some(self.presence.take(self.id, self.remote));
        let hello = info.hello;
        let connected = Connected {
            version: hello.build.clone(),
            clock: info.clock,
        };
        self.store.connected(self.scope, self.id, connected).await?;
        let known = self
            .store
            .known(self.scope, self.id, hello.events, hello.down)
            .await?;
        if !known.lost.is_empty() {
            let events: u64 = known.lost.iter().map(|lost| lost.last - lost.after).sum();
            tracing::warn!(
                gateway = %self.id, events,
                "a gateway has lost events of its own (replaced, or put back from a copy); it gets \
                 them back"
            );
        }
        if known.down_after < hello.down.0 {
            tracing::warn!(
                gateway = %self.id,
                "a gateway holds other events of this hub than the hub; it gets them again"
            );
        }
        let hash = known.catalog.as_deref().map(protocol::wire::hash);
        let answer = HelloAnswer {
            now: clock::now(),
            events: known.events,
            lost: known.lost,
            down_last: known.down_last,
            down_after: known.down_after,
            want_catalog: hash != Some(hello.catalog_hash),
            windows: self.share.windows(),
            reference: reference(&self.store, self.scope, self.id).await?,
        };
        tracing::info!(gateway = %self.id, build = hello.build, "a gateway has connected");
        Ok(self.session.handle_hello_answer(answer)?)
    }

    async fn commit(&mut self, batch: &mut Batch) -> Result<(), IngestError> {
        let Batch { frames, ingest, .. } = std::mem::take(batch);
        let done = self.store.ingest(self.scope, self.id, ingest).await?;
        for refused in &done.refused {
            tracing::error!(
                gateway = %self.id, stream = %refused.stream, first = refused.first_seq,
                last = refused.last_seq, why = refused.words, "polls could not be taken"
            );
        }
        for frame in frames {
            // Each refused block is told with the frame that brought it.
            let refused = done
                .refused
                .iter()
                .filter(|refused| frame.holds(refused.stream, refused.first_seq))
                .map(|r| {
                    let incarnation = frame.incarnation;
                    (
                        incarnation,
                        r.stream,
                        r.first_seq,
                        r.last_seq,
                        r.words.clone(),
                    )
                })
                .collect();
            self.session.handle_committed(frame.lane, refused)?;
        }
        Ok(())
    }

    /// Tells a connection that it lost its place. One that hears it is no left-over of a box that
    /// came again: two boxes have one identity.
    async fn replaced(mut self, own: SocketAddr, by: SocketAddr) -> Result<(), IngestError> {
        let words = format!(
            "another box with the same identity has connected from {by}; if a memory card was \
             copied, stop the copy, empty its data folder, and enrol it with a claim of its own"
        );
        self.session.refuse(Refusal::Replaced, &words, None)?;
        while let Some(action) = self.session.poll_action() {
            if let HubAction::Send(lane, bytes) = action {
                self.lanes.send(lane, bytes).await?;
            }
        }
        let gateway = self.id;
        if self.good_bye().await? {
            tracing::warn!(%gateway, first = %own, second = %by,
                "two boxes use the identity of one gateway; the newer connection counts");
        }
        Ok(())
    }

    /// Answers whether the gateway heard it and closed.
    async fn good_bye(mut self) -> Result<bool, IngestError> {
        self.lanes.finish();
        // Time for the last words to arrive; the gateway closes when it has read them.
        let wait = Duration::from_secs(2);
        let closed = tokio::time::timeout(wait, self.lanes.closed())
            .await
            .is_ok();
        if !closed {
            tracing::debug!(gateway = %self.id, "the gateway did not close by itself");
        }
        Ok(closed)
    }
}

/// The address of a newer connection of the same gateway, when there is one.
async fn taken(place: &mut Option<Place>) -> SocketAddr {
    if let Some(place) = place
        && let Ok(by) = (&mut place.taken).await
    {
        return by;
    }
    std::future::pending().await
}

/// Frames that are committed together.
#[derive(Default)]
pub(super) struct Batch {
    frames: Vec<Pending>,
    pub(super) ingest: Ingest,
    bytes: usize,
}

/// A frame to be acknowledged, and where its blocks begin.
struct Pending {
    lane: Lane,
    incarnation: u32,
    blocks: Vec<(StreamId, u64)>,
}

impl Pending {
    fn holds(&self, stream: StreamId, first_seq: u64) -> bool {
        self.blocks.contains(&(stream, first_seq))
    }
}

impl Batch {
    /// Schemas and the catalog count too: they come in frames that nobody acknowledges.
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.ingest.schemas.is_empty() && self.ingest.catalog.is_none()
    }

    pub(super) fn has_room(&self) -> bool {
        self.frames.len() < BATCH_FRAMES_MAX && self.bytes < BATCH_BYTES_MAX
    }

    pub(super) fn add(&mut self, lane: Lane, commit: Commit) {
        let mut pending = Pending {
            lane,
            incarnation: 0,
            blocks: Vec::new(),
        };
        match commit {
            Commit::Events { events, .. } => self.ingest.events.extend(events),
            Commit::Blocks {
                incarnation,
                blocks,
            } => {
                pending.incarnation = incarnation;
                for bytes in blocks {
                    if let Ok(header) = protocol::block::header(&bytes) {
                        pending.blocks.push((header.stream, header.first_seq));
                    }
                    self.bytes = self.bytes.saturating_add(bytes.len());
                    self.ingest.blocks.push((incarnation, bytes));
                }
            }
            Commit::Gap {
                incarnation,
                stream,
                first_seq,
                last_seq,
            } => {
                self.ingest.lost.push(LostPolls {
                    incarnation,
                    stream,
                    first_seq,
                    last_seq,
                });
            }
        }
        self.frames.push(pending);
    }
}

/// Names of the gateway and its site, and the people who can be named on it.
pub(super) async fn reference(
    store: &Store,
    scope: TenantScope,
    gateway: GatewayId,
) -> Result<ReferenceV1, IngestError> {
    let row = store.gateway(scope, gateway).await?;
    let mut people = Vec::new();
    let mut page = Page::default();
    loop {
        let listed = store.users(scope, page).await?;
        people.extend(listed.rows.into_iter().map(|user| (user.id.0, user.name)));
        if listed.next_cursor.is_none() || people.len() >= PEOPLE_MAX {
            break;
        }
        page = Page {
            cursor: listed.next_cursor,
            ..Page::default()
        };
    }
    people.truncate(PEOPLE_MAX);
    Ok(ReferenceV1 {
        gateway_name: row.name,
        gateway_code: row.code,
        site: row.site.id.0,
        site_name: row.site.name,
        people,
    })
}
