//! Writes the file: events first, then readings, the oldest first, until all is in it or the
//! file's limit is reached. Every step reads a little of the store and hands it on.
//! Never marks anything as delivered: only an answer does.

use super::{ExchangeError, MADE};
use crate::clock;
use crate::identity::Identity;
use crate::storage::{OwnEvents, Storage, StreamSync, SyncState};
use protocol::block;
use protocol::exchange::{Writer, to_sign};
use protocol::id::StreamId;
use protocol::limits::{
    BLOCKS_PER_FRAME_MAX, EVENTS_PER_FRAME_MAX, INCARNATIONS_MAX, STREAMS_PER_OFFER_MAX,
};
use protocol::ranges::RangeSet;
use protocol::sync::{FEATURES, PROTOCOL, PROTOCOL_OLDEST};
use protocol::time::Timestamp;
use protocol::wire::v1::{
    BlocksV1, CatalogV1, EventsV1, ExportV1, GapV1, HelloV1, LeftV1, Message, OfferV1, OfferedV1,
    SchemaV1,
};
use protocol::wire::{clock_code, hash, schema_hash};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use tokio::sync::mpsc;

/// Bytes that are read from the store at once.
const CHUNK_BYTES: usize = 64 << 10;
/// What the longest single fact takes.
const FACT_BYTES_MAX: u64 = 1 << 20;
/// What is held back at most before the first fact.
const EARLY_BYTES_MAX: usize = 256 << 10;
/// Kept free for the last words.
const END_BYTES: u64 = 4 << 10;

/// What is to be in the file.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// Longest file; the oldest goes first, the rest into the next file.
    pub bytes_max: Option<u64>,
    /// Also what the hub said it has: for a hub that was put back from an old copy.
    pub all: bool,
}

/// Writes the file to `out`, whose reader may be slow. `catalog` is what the box measures, as
/// `protocol::wire::encode_catalog` wrote it.
pub async fn export(
    storage: &Storage,
    identity: &Identity,
    catalog: Vec<u8>,
    wanted: Wanted,
    out: mpsc::Sender<Vec<u8>>,
) -> Result<(), ExchangeError> {
    let mut state = storage.sync_state().await?;
    let held = storage.held().borrow().clone();
    if !held.polls.is_empty() {
        tracing::warn!(
            "the clock of this box was not set since it was switched on: what was read since then \
             is not in the file; set the clock, or export again after the next start of the box"
        );
    }
    state.leave_out(&held);
    let number = storage.reference(MADE.to_owned()).await?;
    let number = number.map_or(0, |(number, _)| number).saturating_add(1);
    // The number counts from now on; the hash follows when the file is whole.
    storage
        .set_reference(MADE.to_owned(), number, Vec::new())
        .await?;
    let (writer, head) = Writer::begin();
    let mut file = File {
        storage,
        writer,
        out,
        bytes_max: wanted.bytes_max.unwrap_or(u64::MAX),
        facts: false,
        early: Vec::new(),
    };
    file.send(head).await?;
    file.head(&state, catalog, number).await?;
    let events = file.events(&state, wanted.all).await?;
    let polls = file.readings(state.streams, wanted.all).await?;
    if !file.facts && events + polls > 0 {
        return Err(file.too_small());
    }
    file.write(&Message::Left(LeftV1 { events, polls })).await?;
    file.flush().await?;
    let hash = file.writer.hash();
    let signature = identity.sign(&to_sign(&hash))?;
    let end = file.writer.end(identity.certificate.to_vec(), signature)?;
    // Known before the last byte leaves: the answer may be quick.
    storage
        .set_reference(MADE.to_owned(), number, hash.to_vec())
        .await?;
    file.out.send(end).await.map_err(|_| ExchangeError::Gone)
}

struct File<'a> {
    storage: &'a Storage,
    writer: Writer,
    out: mpsc::Sender<Vec<u8>>,
    bytes_max: u64,
    /// Whether anything that the hub lacks is in it.
    facts: bool,
    /// What waits for the first fact: until then the file may still be refused in words.
    early: Vec<u8>,
}

/// One stream on its way into the file.
struct Waiting {
    known: StreamSync,
    /// What is to go, oldest first.
    ranges: VecDeque<(u64, u64)>,
    /// What the hub is told to be gone.
    gone: Vec<(u64, u64)>,
    begun: bool,
}

impl Waiting {
    fn new(known: StreamSync, all: bool) -> Self {
        let acked = if all {
            RangeSet::new()
        } else {
            known.acked.clone()
        };
        let lacking = match known.last_seq {
            0 => Vec::new(),
            last => acked.missing(1, last),
        };
        let held = lacking
            .iter()
            .flat_map(|(first, last)| known.gone.missing(*first, *last));
        let gone = known
            .gone
            .pairs()
            .iter()
            .flat_map(|(first, last)| acked.missing(*first, *last));
        Self {
            ranges: held.collect(),
            gone: gone.collect(),
            begun: false,
            known,
        }
    }

    fn polls(&self) -> u64 {
        self.ranges
            .iter()
            .map(|(first, last)| last - first + 1)
            .sum()
    }
}

impl File<'_> {
    async fn head(
        &mut self,
        state: &SyncState,
        catalog: Vec<u8>,
        number: u64,
    ) -> Result<(), ExchangeError> {
        let events = told(state);
        let hello = HelloV1 {
            protocol: (PROTOCOL_OLDEST, PROTOCOL),
            features: FEATURES,
            gateway: self.storage.gateway_id().0,
            build: env!("CARGO_PKG_VERSION").to_owned(),
            time_us: clock::now().0,
            clock: clock_code(clock::state()),
            catalog_hash: hash(&catalog),
            incarnation: state.incarnation,
            events: events.map(|own| (own.incarnation, own.last)).collect(),
            down: state.down,
        };
        self.write(&Message::Export(ExportV1 { number })).await?;
        self.write(&Message::Hello(hello)).await?;
        self.write(&Message::Catalog(CatalogV1 { catalog })).await?;
        let offered: Vec<OfferedV1> = state
            .streams
            .iter()
            .map(|known| OfferedV1 {
                incarnation: known.incarnation,
                stream: known.stream.0,
                last: known.last_seq,
                schema: schema_hash(&known.schema),
            })
            .collect();
        for streams in offered.chunks(STREAMS_PER_OFFER_MAX) {
            let streams = streams.to_vec();
            let offer = OfferV1 {
                streams,
                last: false,
            };
            self.write(&Message::Offer(offer)).await?;
        }
        if self.room() == 0 {
            return Err(self.too_small());
        }
        Ok(())
    }

    /// Bytes that still find room, as far as it matters for one read of the store.
    fn room(&self) -> usize {
        let used = self.writer.bytes().saturating_add(END_BYTES);
        usize::try_from(self.bytes_max.saturating_sub(used))
            .unwrap_or(usize::MAX)
            .min(CHUNK_BYTES)
    }

    fn too_small(&self) -> ExchangeError {
        let used = self.writer.bytes().saturating_add(END_BYTES);
        ExchangeError::TooSmall {
            bytes_max: self.bytes_max,
            least: used.saturating_add(FACT_BYTES_MAX),
        }
    }

    /// Says how many events found no room.
    async fn events(&mut self, state: &SyncState, all: bool) -> Result<u64, ExchangeError> {
        let mut left = 0;
        for own in told(state) {
            let mut after = if all { 0 } else { own.acked };
            while left == 0 && after < own.last {
                let mut events = self
                    .storage
                    .events_after(own.incarnation, after, self.room())
                    .await?;
                events.truncate(EVENTS_PER_FRAME_MAX);
                let (Some((first_seq, _)), Some((last, _))) = (events.first(), events.last())
                else {
                    break;
                };
                let (first_seq, last) = (*first_seq, *last);
                let message = Message::Events(EventsV1 {
                    incarnation: own.incarnation,
                    first_seq,
                    events: events.into_iter().map(|(_, event)| event).collect(),
                });
                if !self.write_if_room(&message).await? {
                    break;
                }
                after = last;
            }
            left += own.last.saturating_sub(after);
        }
        Ok(left)
    }

    /// Says how many polls found no room. Earlier openings of the store go first, whole; within
    /// one the stream that is furthest behind.
    async fn readings(
        &mut self,
        mut streams: Vec<StreamSync>,
        all: bool,
    ) -> Result<u64, ExchangeError> {
        streams.sort_by_key(|known| known.stream);
        let mut ranks: BTreeMap<u32, usize> = BTreeMap::new();
        let mut waiting = Vec::new();
        let mut order = BinaryHeap::new();
        for known in streams {
            let rank = ranks.len();
            let rank = *ranks.entry(known.incarnation).or_insert(rank);
            order.push(Reverse((rank, Timestamp(i64::MIN), waiting.len())));
            waiting.push(Waiting::new(known, all));
        }
        while let Some(Reverse((rank, _, at))) = order.pop() {
            let Some(stream) = waiting.get_mut(at) else {
                continue;
            };
            match self.next_of(stream).await? {
                Next::At(time) => order.push(Reverse((rank, time, at))),
                Next::Done => {}
                Next::NoRoom => break,
            }
        }
        Ok(waiting.iter().map(Waiting::polls).sum())
    }

    /// Writes the next part of a stream.
    async fn next_of(&mut self, stream: &mut Waiting) -> Result<Next, ExchangeError> {
        let (incarnation, number) = (stream.known.incarnation, stream.known.stream);
        let any = !stream.ranges.is_empty() || !stream.gone.is_empty();
        if any && !stream.begun {
            let schema = Message::Schema(SchemaV1 {
                incarnation,
                stream: number.0,
                schema: stream.known.schema.to_vec(),
            });
            if !self.write_if_room(&schema).await? {
                return Ok(Next::NoRoom);
            }
            for range in std::mem::take(&mut stream.gone) {
                if !self.gap((incarnation, number), range).await? {
                    return Ok(Next::NoRoom);
                }
            }
            stream.begun = true;
        }
        let Some((first, last)) = stream.ranges.pop_front() else {
            return Ok(Next::Done);
        };
        let mut blocks = self
            .storage
            .blocks(number, first, last, self.room())
            .await?;
        blocks.truncate(BLOCKS_PER_FRAME_MAX);
        let Some(held) = held(&blocks, (first, last)) else {
            // Given up since the file was begun.
            let written = self.gap((incarnation, number), (first, last)).await?;
            return Ok(if written {
                Next::At(Timestamp(i64::MIN))
            } else {
                Next::NoRoom
            });
        };
        let message = Message::Blocks(BlocksV1 {
            incarnation,
            blocks,
        });
        if !self.write_if_room(&message).await? {
            stream.ranges.push_front((first, last));
            return Ok(Next::NoRoom);
        }
        if held.next <= last {
            stream.ranges.push_front((held.next, last));
        }
        for range in held.holes {
            if !self.gap((incarnation, number), range).await? {
                return Ok(Next::NoRoom);
            }
        }
        Ok(Next::At(held.time))
    }

    async fn gap(
        &mut self,
        (incarnation, stream): (u32, StreamId),
        (first_seq, last_seq): (u64, u64),
    ) -> Result<bool, ExchangeError> {
        let gap = GapV1 {
            incarnation,
            stream: stream.0,
            first_seq,
            last_seq,
        };
        self.write_if_room(&Message::Gap(gap)).await
    }

    /// Writes a message unless the file would get too long; `false` then.
    async fn write_if_room(&mut self, message: &Message) -> Result<bool, ExchangeError> {
        let bytes = u64::try_from(message.encode()?.len()).unwrap_or(u64::MAX);
        let needed = self.writer.bytes().saturating_add(bytes);
        if needed.saturating_add(END_BYTES) > self.bytes_max {
            return Ok(false);
        }
        self.write(message).await?;
        self.facts |= !matches!(message, Message::Schema(_));
        Ok(true)
    }

    async fn write(&mut self, message: &Message) -> Result<(), ExchangeError> {
        let bytes = self.writer.message(message)?;
        self.send(bytes).await
    }

    async fn flush(&mut self) -> Result<(), ExchangeError> {
        let early = std::mem::take(&mut self.early);
        if early.is_empty() {
            return Ok(());
        }
        let sent = self.out.send(early).await;
        sent.map_err(|_| ExchangeError::Gone)
    }

    async fn send(&mut self, bytes: Vec<u8>) -> Result<(), ExchangeError> {
        if !self.facts && self.early.len() < EARLY_BYTES_MAX {
            self.early.extend(bytes);
            return Ok(());
        }
        self.flush().await?;
        self.out.send(bytes).await.map_err(|_| ExchangeError::Gone)
    }
}

/// The box's own events as a hello names them: the oldest openings are left out.
fn told(state: &SyncState) -> impl Iterator<Item = &OwnEvents> {
    let skipped = state.events.len().saturating_sub(INCARNATIONS_MAX);
    state.events.iter().skip(skipped)
}

/// How a stream goes on.
enum Next {
    /// From about this time.
    At(Timestamp),
    Done,
    NoRoom,
}

/// What blocks of a range hold.
struct Held {
    /// Holes between them.
    holes: Vec<(u64, u64)>,
    /// The number behind the last.
    next: u64,
    /// The time of the last.
    time: Timestamp,
}

/// Looks at the blocks of a range; `None` when there is none.
fn held(blocks: &[Vec<u8>], (first, last): (u64, u64)) -> Option<Held> {
    let (mut holes, mut next, mut time) = (Vec::new(), first, None);
    for bytes in blocks {
        // The store has read it, so it can be read.
        let header = block::header(bytes).ok()?;
        if header.first_seq > next {
            holes.push((next, header.first_seq - 1));
        }
        next = header.last_seq().min(last).saturating_add(1);
        time = Some(header.last_time);
    }
    let time = time?;
    Some(Held { holes, next, time })
}
