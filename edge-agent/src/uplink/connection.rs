//! One connection: the session's wishes are carried out, what happens is told to the session.

use super::lanes::{Inbound, Lanes};
use super::live::LivePace;
use super::{Backoff, Uplink, UplinkError};
use crate::clock;
use crate::health::LinkState;
use crate::storage::Storage;
use protocol::sync::{
    EdgeAction, EdgeSession, EdgeStart, Fetch, FetchRange, Fetched, Lane, PROTOCOL,
};
use protocol::wire::clock_code;
use protocol::wire::v1::HelloV1;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::mpsc;

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
    let session = EdgeSession::new(start(uplink).await?, clock::monotonic())?;
    let (answers, answered) = mpsc::channel(ANSWERS_MAX);
    // Whatever became durable since the start was read is told once more; that is harmless.
    durable.mark_changed();
    let mut link = Link {
        uplink,
        session,
        lanes,
        answers,
        backoff,
    };
    link.serve(inbound, answered, durable).await
}

/// What the box holds now.
async fn start(uplink: &Uplink) -> Result<EdgeStart, UplinkError> {
    let state = uplink.storage.sync_state().await?;
    let hello = HelloV1 {
        protocol: (PROTOCOL, PROTOCOL),
        gateway: uplink.gateway.0,
        build: env!("CARGO_PKG_VERSION").to_owned(),
        core_incarnation: state.incarnation_core,
        buffer_incarnation: state.incarnation_buffer,
        events_last: state.events_last,
        down_mark: state.down_mark,
        time_us: clock::now().0,
        clock: clock_code(clock::state()),
        catalog_hash: protocol::wire::hash(&uplink.catalog),
        streams: state
            .streams
            .iter()
            .map(|stream| (stream.stream.0, stream.last_seq))
            .collect(),
    };
    let schemas = state
        .streams
        .into_iter()
        .map(|stream| (stream.stream, stream.schema.to_vec()))
        .collect();
    Ok(EdgeStart {
        hello,
        schemas,
        catalog: uplink.catalog.clone(),
    })
}

struct Link<'a> {
    uplink: &'a Uplink,
    session: EdgeSession,
    lanes: Lanes,
    answers: mpsc::Sender<Answer>,
    backoff: &'a mut Backoff,
}

impl Link<'_> {
    async fn serve(
        &mut self,
        mut inbound: mpsc::Receiver<Inbound>,
        mut answered: mpsc::Receiver<Answer>,
        mut durable: tokio::sync::watch::Receiver<super::Durable>,
    ) -> Result<Infallible, UplinkError> {
        let mut live = LivePace::new(self.uplink.hub.live_every, clock::monotonic());
        loop {
            self.act().await?;
            let now = clock::monotonic();
            if live.take(now) {
                let streams = durable.borrow().streams.clone();
                for (stream, last) in streams {
                    self.session.handle_committed(stream, last, now);
                }
                continue;
            }
            let deadlines = [self.session.poll_timeout(), live.deadline()];
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
                    self.session.handle_events_committed(events, clock::monotonic());
                    live.committed();
                }
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
                    self.backoff.reset();
                    let ahead_ms = clock::now().micros_since(hub_time) / 1_000;
                    tracing::info!(ahead_ms, "the link to the hub is up");
                    self.uplink.show(LinkState::Connected, self.lanes.words());
                }
                EdgeAction::Received(stream, ranges) => storage.reset_acked(stream, ranges).await?,
                EdgeAction::PollsAcked(stream, first, last) => {
                    storage.mark_acked(stream, first, last).await?;
                }
                EdgeAction::EventsAcked(seq) => storage.mark_events_acked(seq).await?,
                EdgeAction::PollsRefused(stream, first, last, words) => {
                    tracing::error!(%stream, first, last, words, "the hub cannot take these polls");
                }
                EdgeAction::ApplyDown(first, events) => {
                    let last = first.saturating_add(u64::try_from(events.len()).unwrap_or(0)) - 1;
                    storage.apply_down(first, events).await?;
                    self.session.handle_down_committed(last)?;
                }
                EdgeAction::ApplyReference(reference) => storage.set_site(reference).await?,
            }
        }
        Ok(())
    }

    /// Reads beside the session, so that an acknowledgement never waits for the disk.
    fn fetch(&self, fetch: Fetch) {
        let storage = self.uplink.storage.clone();
        let answers = self.answers.clone();
        tokio::spawn(async move {
            let answer = match fetch {
                Fetch::Events { after } => storage
                    .events_after(after, EVENTS_BYTES_MAX)
                    .await
                    .map(|events| (Lane::Events, Fetched::Events(events)))
                    .map_err(UplinkError::from),
                Fetch::Polls {
                    lane,
                    ranges,
                    bytes_max,
                } => polls(&storage, ranges, bytes_max)
                    .await
                    .map(|polls| (lane, Fetched::Polls(polls))),
            };
            // The session may have ended meanwhile.
            drop(answers.send(answer).await);
        });
    }
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
