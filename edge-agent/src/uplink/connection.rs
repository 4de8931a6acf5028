//! One connection: the session's wishes are carried out, what happens is told to the session.

use super::lanes::{Inbound, Lanes};
use super::live::LivePace;
use super::{Backoff, Uplink, UplinkError};
use crate::clock;
use crate::health::LinkState;
use crate::storage::{Held, RecordChange, Storage, StorageError};
use protocol::attachment::ContentHash;
use protocol::event::{Body, Event, WorkOrderEvent};
use protocol::limits::INCARNATIONS_MAX;
use protocol::sync::{
    EdgeAction, EdgeSession, EdgeStart, EdgeStream, FEATURES, Fetch, FetchRange, Fetched, Lane,
    PROTOCOL, PROTOCOL_OLDEST,
};
use protocol::wire::clock_code;
use protocol::wire::v1::{Chain, HelloV1};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, watch};

/// Most bytes of events asked of the store at once.
const EVENTS_BYTES_MAX: usize = 128 << 10;
/// Answers of the store that wait; at most one per lane is asked for at a time.
const ANSWERS_MAX: usize = 8;
/// A session that wants nothing is looked at again after this.
const LOOK_AGAIN: Duration = Duration::from_secs(3_600);

type Answer = Result<(Lane, Fetched), UplinkError>;

/// Runs the session until the connection ends.
pub(super) async fn run(
    uplink: &Uplink,
    lanes: Lanes,
    inbound: mpsc::Receiver<Inbound>,
    backoff: &mut Backoff,
) -> Result<Infallible, UplinkError> {
    let mut durable = uplink.durable.clone();
    let mut held_now = uplink.storage.held();
    let held = held_now.borrow_and_update().clone();
    // Before the start is read, so that nothing falls between.
    let changes = uplink.storage.changes();
    let mut measured = uplink.catalog.clone();
    let catalog = Arc::clone(&measured.borrow_and_update());
    let (start, incarnation) = start(uplink, &held, &catalog).await?;
    let session = EdgeSession::new(start, clock::monotonic())?;
    let (answers, answered) = mpsc::channel(ANSWERS_MAX);
    // Whatever became durable since the start was read is told once more; that is harmless.
    durable.mark_changed();
    let mut link = Link {
        uplink,
        incarnation,
        held,
        session,
        lanes,
        answers,
        backoff,
        live: None,
    };
    tokio::select! {
        result = link.serve(inbound, answered, (durable, changes)) => result,
        // An error says that the store is closed: then the agent ends.
        Ok(()) = held_now.changed() => Err(UplinkError::Anew("the time is known, what waited for it goes now")),
        Ok(()) = measured.changed() => Err(UplinkError::Anew("this box measures other things now")),
    }
}

/// What the box holds now and may send.
async fn start(
    uplink: &Uplink,
    held: &Held,
    catalog: &[u8],
) -> Result<(EdgeStart, u32), UplinkError> {
    let mut state = uplink.storage.sync_state().await?;
    state.leave_out(held);
    // When there are too many, the oldest are left out: the hub has had them for long.
    let events = state.events.iter().rev().take(INCARNATIONS_MAX).rev();
    let hello = HelloV1 {
        protocol: (PROTOCOL_OLDEST, PROTOCOL),
        features: FEATURES,
        gateway: uplink.gateway.0,
        build: env!("CARGO_PKG_VERSION").to_owned(),
        time_us: clock::now().0,
        clock: clock_code(clock::state()),
        catalog_hash: protocol::wire::hash(catalog),
        incarnation: state.incarnation,
        events: events.map(|own| (own.incarnation, own.last)).collect(),
        down: state.down,
    };
    let streams = state.streams.into_iter().map(|known| EdgeStream {
        incarnation: known.incarnation,
        stream: known.stream,
        last: known.last_seq,
        schema: known.schema,
    });
    let contents = uplink.storage.contents_waiting().await?;
    let start = EdgeStart {
        hello,
        streams: streams.collect(),
        catalog: catalog.to_vec(),
        contents,
    };
    Ok((start, state.incarnation))
}

pub(super) struct Link<'a> {
    pub(super) uplink: &'a Uplink,
    /// This opening of the store.
    incarnation: u32,
    /// What may not be sent, because its times are not known yet.
    held: Held,
    pub(super) session: EdgeSession,
    lanes: Lanes,
    answers: mpsc::Sender<Answer>,
    backoff: &'a mut Backoff,
    /// From the hub's welcome on.
    live: Option<LivePace>,
}

impl Link<'_> {
    async fn serve(
        &mut self,
        mut inbound: mpsc::Receiver<Inbound>,
        mut answered: mpsc::Receiver<Answer>,
        (mut durable, mut changes): (
            watch::Receiver<super::Durable>,
            broadcast::Receiver<RecordChange>,
        ),
    ) -> Result<Infallible, UplinkError> {
        let mut told = self.uplink.desk.told.clone();
        // The hub waits to hear where the box stands.
        told.mark_changed();
        let mut results = self.uplink.results.clone();
        results.mark_changed();
        self.uplink.incoming.lock().await.begin();
        self.tell_bundle().await?;
        loop {
            self.act().await?;
            let now = clock::monotonic();
            if self.live.as_mut().is_some_and(|live| live.take(now)) {
                if self.held.polls.contains(&self.incarnation) {
                    continue;
                }
                let streams = durable.borrow().streams.clone();
                for (stream, last) in streams {
                    self.session.handle_committed(stream, last, now);
                }
                continue;
            }
            let deadlines = [
                self.session.poll_timeout(),
                self.live.as_ref().and_then(LivePace::deadline),
            ];
            let next = deadlines.into_iter().flatten().min();
            let wait = next.map_or(LOOK_AGAIN, |deadline| {
                Duration::from_micros(u64::try_from(deadline.micros_since(now)).unwrap_or(0))
            });
            tokio::select! {
                // What the hub said comes before the end of the connection: it may say why.
                biased;
                Some(frame) = inbound.recv() => {
                    let (lane, frame) = frame?;
                    self.session.handle_frame(lane, &frame, clock::monotonic())?;
                }
                Some(answer) = answered.recv() => {
                    let (lane, fetched) = answer?;
                    self.session.handle_fetched(lane, fetched, clock::monotonic())?;
                }
                Ok(()) = durable.changed() => {
                    let events = durable.borrow_and_update().events;
                    let now = clock::monotonic();
                    if !self.held.events.contains(&self.incarnation) {
                        self.session
                            .handle_events_committed(self.incarnation, events, now);
                    }
                    if let Some(live) = &mut self.live {
                        live.committed();
                    }
                }
                change = changes.recv() => match change {
                    Ok(change) if !is_attached(&change) => {}
                    Ok(_) | Err(RecvError::Lagged(_)) => self.new_contents().await?,
                    Err(RecvError::Closed) => return Err(StorageError::Stopped.into()),
                },
                Ok(()) = told.changed() => self.tell_document()?,
                Ok(()) = results.changed() => self.tell_results().await?,
                error = self.lanes.closed() => return Err(error),
                () = tokio::time::sleep(wait) => self.session.handle_timeout(clock::monotonic())?,
            }
        }
    }

    async fn act(&mut self) -> Result<(), UplinkError> {
        while let Some(action) = self.session.poll_action() {
            let storage = &self.uplink.storage;
            match action {
                EdgeAction::Send(lane, bytes) => self.lanes.send(lane, bytes).await?,
                EdgeAction::Fetch(fetch) => self.fetch(fetch),
                EdgeAction::Connected { hub_time } => {
                    clock::learn(hub_time);
                    let ahead_ms = clock::now().micros_since(hub_time) / 1_000;
                    tracing::info!(ahead_ms, "the link to the hub is up");
                    self.uplink.show(LinkState::Connected, self.lanes.words());
                    let every = self.uplink.hub.live_every;
                    let live = self.live.insert(LivePace::new(every, clock::monotonic()));
                    live.committed();
                }
                EdgeAction::Received(stream, ranges) => storage.reset_acked(stream, ranges).await?,
                // Only now: a hub that answers and cannot store (a full disk) is not asked again
                // every second.
                EdgeAction::PollsAcked(stream, first, last) => {
                    self.backoff.reset();
                    storage.mark_acked(stream, first, last).await?;
                }
                EdgeAction::EventsAt(incarnation, seq, chain) => {
                    self.compare(incarnation, seq, chain).await?;
                }
                EdgeAction::EventsAcked(incarnation, seq) => {
                    storage.mark_events_acked(incarnation, seq).await?;
                }
                EdgeAction::PollsRefused(stream, first, last, words) => {
                    tracing::error!(%stream, first, last, words, "the hub cannot take these polls");
                }
                EdgeAction::ResetDown => {
                    tracing::warn!("the hub was put back from a copy: its events are taken again");
                    storage.reset_down().await?;
                    storage.doubt_contents().await?;
                    self.new_contents().await?;
                }
                EdgeAction::ApplyOwn(incarnation, first, events) => {
                    let held = storage.apply_own(incarnation, first, events).await?;
                    tracing::info!(incarnation, held, "own events came back from the hub");
                    self.session.handle_own_committed(incarnation, held)?;
                }
                EdgeAction::ApplyDown(first, events) => {
                    let last = first.saturating_add(u64::try_from(events.len()).unwrap_or(0)) - 1;
                    storage.apply_down(first, events).await?;
                    self.session.handle_down_committed(last)?;
                }
                EdgeAction::ApplyReference(reference) => storage.set_site(reference).await?,
                EdgeAction::ContentKept(hash) => storage.content_at_hub(hash).await?,
                EdgeAction::ContentNotKept(hash, words) => {
                    tracing::error!(%hash, words, "the hub does not hold an attachment");
                    look_at(storage.clone(), hash);
                }
                EdgeAction::Document(document) => self.document(document).await,
                EdgeAction::Command(command) => self.command(command).await?,
                EdgeAction::ResultAcked(id) => storage.result_acked(id).await?,
                EdgeAction::BundleHead(head) => self.bundle_head(head).await?,
                EdgeAction::BundlePiece(piece) => self.bundle_piece(piece).await?,
            }
        }
        Ok(())
    }

    /// The hub has events of an opening up to here: they must be those of this box.
    async fn compare(&mut self, incarnation: u32, seq: u64, hub: Chain) -> Result<(), UplinkError> {
        let storage = &self.uplink.storage;
        if storage.events_acked(incarnation).await? > seq {
            // The hub was put back from a copy: it may lack attachments too.
            storage.doubt_contents().await?;
            self.new_contents().await?;
        }
        if seq == 0 {
            return Ok(storage.mark_events_acked(incarnation, 0).await?);
        }
        match storage.chain_at(incarnation, seq).await? {
            Some(own) if own != hub => tracing::error!(
                incarnation,
                seq,
                "the events at the hub are not those of this box: one of the two records was \
                 changed; compare both histories of the gateway before trusting either"
            ),
            // None: this store is an older copy. The hub sends what it lacks.
            _ => storage.mark_events_acked(incarnation, seq).await?,
        }
        Ok(())
    }

    /// The session passes over those that it knows.
    async fn new_contents(&mut self) -> Result<(), UplinkError> {
        for content in self.uplink.storage.contents_waiting().await? {
            self.session.handle_new_content(content)?;
        }
        Ok(())
    }

    /// Reads beside the session, so that an acknowledgement never waits for the disk.
    fn fetch(&self, fetch: Fetch) {
        let storage = self.uplink.storage.clone();
        let answers = self.answers.clone();
        tokio::spawn(async move {
            let answer = match fetch {
                Fetch::Events { incarnation, after } => storage
                    .events_after(incarnation, after, EVENTS_BYTES_MAX)
                    .await
                    .map(|events| (Lane::Events, Fetched::Events(incarnation, events)))
                    .map_err(UplinkError::from),
                Fetch::Polls {
                    lane,
                    ranges,
                    bytes_max,
                } => polls(&storage, ranges, bytes_max)
                    .await
                    .map(|polls| (lane, Fetched::Polls(polls))),
                Fetch::Content {
                    hash,
                    offset,
                    bytes_max,
                } => Ok(content(&storage, (hash, offset), bytes_max).await),
            };
            // The session may have ended meanwhile.
            drop(answers.send(answer).await);
        });
    }
}

/// The next bytes of a content. What cannot be read is told and not sent; it stops nothing else.
async fn content(
    storage: &Storage,
    place: (ContentHash, u64),
    bytes_max: usize,
) -> (Lane, Fetched) {
    let (hash, offset) = place;
    let bytes = storage.content(hash, offset, bytes_max).await;
    let bytes = bytes.unwrap_or_else(|error| {
        let error = super::chain(&error);
        tracing::error!(%hash, error, "an attachment cannot be read");
        Vec::new()
    });
    (Lane::Attachment, Fetched::Content(place, bytes))
}

/// Looks whether the bytes here are still right, beside the session.
fn look_at(storage: Storage, hash: ContentHash) {
    tokio::spawn(async move {
        if let Err(error) = storage.content_is_right(hash).await {
            let error = super::chain(&error);
            tracing::error!(%hash, error, "an attachment cannot be read");
        }
    });
}

/// Whether a change of a record brought an attachment.
fn is_attached(change: &RecordChange) -> bool {
    let attached =
        |event: &Event| matches!(event.body, Body::WorkOrder(WorkOrderEvent::Attached(_)));
    change.events.iter().any(attached)
}

type Blocks = Vec<(FetchRange, Vec<Vec<u8>>)>;

async fn polls(
    storage: &Storage,
    ranges: Vec<FetchRange>,
    bytes_max: usize,
) -> Result<Blocks, UplinkError> {
    let mut read = Vec::new();
    let mut room = bytes_max;
    for range in ranges {
        if room == 0 {
            break;
        }
        let blocks = storage
            .blocks(range.stream, range.first, range.last, room)
            .await?;
        let bytes: usize = blocks.iter().map(Vec::len).sum();
        room = room.saturating_sub(bytes);
        read.push((range, blocks));
    }
    Ok(read)
}
