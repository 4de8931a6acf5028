//! Decodes and checks what a gateway brought, before the writer's turn, so that its transactions
//! stay short. Never touches the store, and never keeps a decoded block: a few figures of it do.

use super::{Ingest, LostPolls, catalog, sql};
use protocol::block::{self, Block, BlockHeader};
use protocol::event::Event;
use protocol::id::StreamId;
use protocol::limits::BLOCK_POLLS_SEAL;
use protocol::reading::{Cell, Poll};
use protocol::rollup;
use protocol::time::{ClockState, Timestamp};

/// Something that was not taken, and why. Sending it again does not help, unless `again`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its stream; 0 for events and for what cannot be read at all.
    pub stream: StreamId,
    /// First number in it; 0 when it cannot be read.
    pub first_seq: u64,
    /// Last number in it.
    pub last_seq: u64,
    /// One word, for counting.
    pub reason: &'static str,
    /// In words for people.
    pub words: String,
    /// It may be taken when it is sent again later.
    pub again: bool,
}

/// A block whose checksum, layout and statistics are right.
pub(super) struct Sound {
    pub(super) incarnation: u32,
    pub(super) header: BlockHeader,
    pub(super) body: Vec<u8>,
    pub(super) figures: Figures,
    /// The latest reading of each column.
    pub(super) newest: Vec<Option<(Timestamp, ClockState, Cell)>>,
}

impl Sound {
    fn new(incarnation: u32, block: &Block, body: Vec<u8>) -> Self {
        Self {
            incarnation,
            header: block.header,
            body,
            figures: Figures::of(&block.polls),
            newest: newest(block),
        }
    }
}

/// What the store notes of a block.
#[derive(Default)]
pub(super) struct Figures {
    /// Time of the earliest poll. Not the first one's: the box's clock may have been set in between.
    pub(super) first_us: i64,
    /// Time of the latest poll.
    pub(super) last_us: i64,
    pub(super) readings: u64,
    /// The minutes, columns counted as signed, of a block that is to be sealed.
    pub(super) minutes: Option<Vec<rollup::Bucket>>,
}

impl Figures {
    /// Of a block that came: sealed when it is long enough.
    pub(super) fn of(polls: &[Poll]) -> Self {
        Self::new(polls, polls.len() >= BLOCK_POLLS_SEAL)
    }

    /// Of a block that is never joined again, however long.
    pub(super) fn sealed(polls: &[Poll]) -> Self {
        Self::new(polls, true)
    }

    fn new(polls: &[Poll], sealed: bool) -> Self {
        let times = || polls.iter().map(|poll| poll.time.0);
        let readings = polls
            .iter()
            .flat_map(|poll| &poll.cells)
            .filter(|cell| !matches!(cell, Cell::Skipped))
            .count();
        Self {
            first_us: times().min().unwrap_or(0),
            last_us: times().max().unwrap_or(0),
            readings: u64::try_from(readings).unwrap_or(u64::MAX),
            minutes: sealed.then(|| rollup::minutes_of(polls, &[])),
        }
    }
}

fn newest(block: &Block) -> Vec<Option<(Timestamp, ClockState, Cell)>> {
    let columns = usize::try_from(block.header.columns).unwrap_or(0);
    let mut newest = vec![None; columns];
    let mut wanted = columns;
    for poll in block.polls.iter().rev() {
        for (found, cell) in newest.iter_mut().zip(&poll.cells) {
            if found.is_none() && !matches!(cell, Cell::Skipped) {
                *found = Some((poll.time, poll.clock, *cell));
                wanted -= 1;
            }
        }
        if wanted == 0 {
            break;
        }
    }
    newest
}

/// What is decoded before the writer's turn, so that its transactions stay short.
#[derive(Default)]
pub(super) struct Prepared {
    pub(super) schemas: Vec<catalog::NewStream>,
    pub(super) catalog: Option<(protocol::catalog::Catalog, Vec<u8>)>,
    pub(super) blocks: Vec<Sound>,
    pub(super) lost: Vec<LostPolls>,
    pub(super) events: Vec<Event>,
    pub(super) refused: Vec<Refused>,
}

impl Prepared {
    pub(super) fn from_batch(batch: Ingest) -> Self {
        let mut prepared = Self {
            lost: batch.lost,
            events: batch.events,
            ..Self::default()
        };
        for (incarnation, stream, bytes) in batch.schemas {
            match catalog::NewStream::read(incarnation, stream, bytes) {
                Ok(schema) => prepared.schemas.push(schema),
                Err(source) => {
                    prepared.refuse((stream, 0, 0), "schema_unreadable", source.to_string());
                }
            }
        }
        if let Some(bytes) = batch.catalog {
            match protocol::wire::decode_catalog(&bytes) {
                Ok(catalog) => prepared.catalog = Some((catalog, bytes)),
                Err(source) => {
                    prepared.refuse(NOWHERE, "catalog_unreadable", source.to_string());
                }
            }
        }
        for (incarnation, body) in batch.blocks {
            match block::decode(&body) {
                Ok(block) if sql::uint(i64::MAX) <= block.header.last_seq().saturating_add(1) => {
                    prepared.refuse(
                        NOWHERE,
                        "number_too_large",
                        "its numbers are too large".to_owned(),
                    );
                }
                Ok(block) => prepared.blocks.push(Sound::new(incarnation, &block, body)),
                Err(source) => {
                    let place = block::header(&body).map_or(NOWHERE, |header| {
                        (header.stream, header.first_seq, header.last_seq())
                    });
                    prepared.refuse(place, "block_unreadable", source.to_string());
                }
            }
        }
        prepared
    }

    fn refuse(&mut self, place: Place, reason: &'static str, words: String) {
        self.refused.push(Refused::new(place, reason, words));
    }
}

/// Stream, first and last number.
pub(super) type Place = (StreamId, u64, u64);
const NOWHERE: Place = (StreamId::EVENTS, 0, 0);

impl Refused {
    pub(super) fn new(
        (stream, first_seq, last_seq): Place,
        reason: &'static str,
        words: String,
    ) -> Self {
        Self {
            stream,
            first_seq,
            last_seq,
            reason,
            words,
            again: false,
        }
    }
}
