//! A file in place of a connection (PROTOCOL §8): what a box wrote on a stick goes through the
//! same session into the same store, and the answer goes back in a file of the hub.
//!
//! A file is taken whole or not at all: its signature stands at its end, and before that nothing
//! in it is proven. So it is read twice, first to check it, then to take it; the second time each
//! section must be what the first time saw, because a stick may change meanwhile. Memory does not
//! grow with the file, but for 32 bytes for each MiB of it.

use super::IngestError;
mod answer;

pub use answer::answer;

use super::connection::{Batch, reference};
use super::enrol::sha256;
use crate::ca::{CaError, has_signed, owner_of};
use crate::clock;
use crate::store::{Known, Store, StoreError};
use crate::tenants::TenantScope;
use protocol::exchange::{
    ExchangeError as FileError, Part, Reader, STREAMS_PER_FILE_MAX, Seal, to_sign,
};
use protocol::id::GatewayId;
use protocol::limits::STREAMS_PER_OFFER_MAX;
use protocol::sync::{HelloAnswer, HelloInfo, HubAction, HubSession, Lane, SessionError};
use protocol::wire::v1::{HelloV1, LeftV1, Message, OfferedV1};
use protocol::wire::{Frame, WireError};
use std::io::{Read, Seek};
use thiserror::Error;

/// Bytes that are read, and checked, at once.
const SECTION_BYTES: usize = 1 << 20;
/// Most refusals told in an answer; all are counted.
const REFUSED_MAX: usize = 256;

/// Why a file is not taken.
#[derive(Debug, Error)]
pub enum ImportError {
    /// The file cannot be read.
    #[error("reading the file")]
    Read(#[source] std::io::Error),
    /// It is not whole, or no such file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The hub's own answer was given.
    #[error("this is the answer of a hub, for a box: `edge-agent acknowledge` takes it there")]
    Answer,
    /// The signature is not that of the certificate in the file.
    #[error(
        "the file was altered after the box signed it; nothing was taken. Copy it again from the \
         box, or let the box write a new one"
    )]
    Signature,
    /// Nobody here signed that certificate.
    #[error(
        "the file is from a box that this hub does not know; nothing was taken. Is it for another \
         hub? Else enrol the box with a claim of this one, and export again"
    )]
    Unknown,
    /// The box was shut out.
    #[error(
        "the file is from a box that was withdrawn at this hub, or enrolled anew with another key \
         since; nothing was taken. Enrol it with a new claim, and export again"
    )]
    Withdrawn,
    /// The bytes are not those that were checked.
    #[error(
        "the file changed while it was read; what was taken is signed and stays, the rest is \
         missing. Import it again"
    )]
    Changed,
    /// There are events missing before the first.
    #[error(
        "the file begins with event {got} of the box and this hub holds them up to {held} only \
         (it was put back from an older backup?). Let the box write everything it still has: \
         edge-agent export --all"
    )]
    Hole {
        /// Up to here they are here.
        held: u64,
        /// The first in the file.
        got: u64,
    },
    /// Too many streams.
    #[error("the file offers more than {max} streams of readings; nothing more is taken of it")]
    Streams {
        /// `STREAMS_PER_FILE_MAX`.
        max: usize,
    },
    /// The session, as on a connection.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The box and the hub do not fit together.
    #[error("the hub does not take the file: {words}")]
    Refused {
        /// Why.
        words: String,
    },
    /// The store failed.
    #[error("storing what is in the file")]
    Store(#[from] StoreError),
    /// The names of the site could not be read.
    #[error("reading what the box is to be told")]
    Reference(#[source] Box<IngestError>),
    /// The answer could not be written.
    #[error("writing the answer")]
    Wire(#[from] WireError),
    /// The answer could not be signed.
    #[error(transparent)]
    Authority(#[from] CaError),
}

/// What a file brought.
#[derive(Clone, Debug)]
pub struct Imported {
    /// Whose it is.
    pub gateway: GatewayId,
    /// Counts the files of the box.
    pub number: u64,
    /// SHA-256 of the file before its End: its name.
    pub hash: [u8; 32],
    /// Polls that were new.
    pub polls: u64,
    /// Readings that were new.
    pub readings: u64,
    /// Events that were new.
    pub events: u64,
    /// Polls and events that could not be taken.
    pub refused: u64,
    /// What the box still holds for its next file.
    pub left: LeftV1,
    /// Its tenant.
    pub scope: TenantScope,
    /// SHA-256 of the authority that signed its certificate, where that is noted.
    authority: Option<[u8; 32]>,
    hello: Option<HelloV1>,
    offered: Vec<OfferedV1>,
    told: Vec<(u32, u32, u64, u64, String)>,
}

/// Takes a file in. `told` hears how many bytes are done, of twice as many as the file has.
pub async fn import(
    store: &Store,
    file: &mut (impl Read + Seek),
    mut told: impl FnMut(u64),
) -> Result<Imported, ImportError> {
    let (seal, sections) = check(file, &mut told)?;
    if !has_signed(&seal.certificate, &to_sign(&seal.hash), &seal.signature) {
        return Err(ImportError::Signature);
    }
    let Some(row) = store.certificate(sha256(&seal.certificate)).await? else {
        return Err(ImportError::Unknown);
    };
    // That it may have run out does not count: without a network it could not be renewed.
    if row.revoked.is_some() {
        return Err(ImportError::Withdrawn);
    }
    let gateway = owner_of(&seal.certificate)?.gateway;
    let mut taking = Taking {
        store,
        session: HubSession::new(gateway),
        batch: Batch::default(),
        done: Imported {
            gateway,
            number: 0,
            hash: seal.hash,
            polls: 0,
            readings: 0,
            events: 0,
            refused: 0,
            left: LeftV1 {
                events: 0,
                polls: 0,
            },
            scope: row.scope,
            authority: row.authority,
            hello: None,
            offered: Vec::new(),
            told: Vec::new(),
        },
    };
    file.rewind().map_err(ImportError::Read)?;
    let mut reader = Reader::default();
    let mut buffer = vec![0; SECTION_BYTES];
    for expected in sections {
        let section = section(file, &mut buffer)?;
        if sha256(section) != expected {
            return Err(ImportError::Changed);
        }
        told(u64::try_from(section.len()).unwrap_or(0));
        reader.push(section)?;
        while let Some(part) = reader.next_part()? {
            if let Part::Frame(frame) = part {
                taking.frame(&frame).await?;
            }
        }
    }
    taking.commit().await?;
    // How far the box is, also in what is not in this file.
    for streams in taking.done.offered.chunks(STREAMS_PER_OFFER_MAX) {
        let scope = taking.done.scope;
        store
            .offered(scope, gateway, streams.to_vec(), false)
            .await?;
    }
    Ok(taking.done)
}

/// Whether the file is whole: its seal, and the SHA-256 of each section.
fn check(
    file: &mut impl Read,
    told: &mut impl FnMut(u64),
) -> Result<(Seal, Vec<[u8; 32]>), ImportError> {
    let mut reader = Reader::default();
    let mut buffer = vec![0; SECTION_BYTES];
    let (mut seal, mut sections, mut first) = (None, Vec::new(), true);
    loop {
        let section = section(file, &mut buffer)?;
        if section.is_empty() {
            break;
        }
        sections.push(sha256(section));
        told(u64::try_from(section.len()).unwrap_or(0));
        reader.push(section)?;
        while let Some(part) = reader.next_part()? {
            match part {
                Part::End(end) => seal = Some(end),
                Part::Frame(frame) if first => {
                    first = false;
                    match Message::decode(&frame).map_err(FileError::from)? {
                        Message::Export(_) => {}
                        Message::Answer(_) => return Err(ImportError::Answer),
                        _ => return Err(FileError::Foreign.into()),
                    }
                }
                Part::Frame(_) => {}
            }
        }
    }
    reader.finish()?;
    Ok((seal.ok_or(FileError::Cut)?, sections))
}

/// The next section; shorter at the end of the file only.
fn section<'a>(file: &mut impl Read, buffer: &'a mut [u8]) -> Result<&'a [u8], ImportError> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..)
        && !rest.is_empty()
    {
        match file.read(rest) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(ImportError::Read(error)),
        }
    }
    Ok(buffer.get(..filled).unwrap_or_default())
}

struct Taking<'a> {
    store: &'a Store,
    session: HubSession,
    batch: Batch,
    done: Imported,
}

impl Taking<'_> {
    async fn frame(&mut self, frame: &Frame) -> Result<(), ImportError> {
        let lane = match frame.kind {
            64 | 65 => {
                match Message::decode(frame).map_err(FileError::from)? {
                    Message::Export(export) => self.done.number = export.number,
                    Message::Left(left) => self.done.left = left,
                    _ => {}
                }
                return Ok(());
            }
            16 => Lane::Events,
            3 | 32..=34 => Lane::Backlog,
            _ => Lane::Control,
        };
        self.session.handle_frame(lane, frame).map_err(hole)?;
        while let Some(action) = self.session.poll_action() {
            self.act(action).await?;
        }
        if !self.batch.has_room() {
            self.commit().await?;
        }
        Ok(())
    }

    async fn act(&mut self, action: HubAction) -> Result<(), ImportError> {
        let (scope, gateway) = (self.done.scope, self.done.gateway);
        match action {
            HubAction::Hello(info) => self.hello(info).await?,
            HubAction::Offer(streams, _) => {
                if self.done.offered.len() + streams.len() > STREAMS_PER_FILE_MAX {
                    let max = STREAMS_PER_FILE_MAX;
                    return Err(ImportError::Streams { max });
                }
                self.done.offered.extend(&streams);
            }
            HubAction::StoreSchema(incarnation, stream, schema) => {
                self.batch
                    .ingest
                    .schemas
                    .push((incarnation, stream, schema));
            }
            HubAction::StoreCatalog(catalog) => self.batch.ingest.catalog = Some(catalog),
            HubAction::Commit(lane, commit) => {
                self.batch.add(lane, commit);
                // Nobody is told here: the answer is written when all is stored.
                self.session.handle_committed(lane, Vec::new())?;
            }
            HubAction::DownAcked(seq) => {
                self.store.mark_down_acked(scope, gateway, seq).await?;
            }
            HubAction::Close(words) => return Err(ImportError::Refused { words }),
            // What a connection would be told: the answer says it when all is stored.
            // Contents, documents and commands are in no file; a bundle is in the answer.
            HubAction::Send(..)
            | HubAction::FetchDown { .. }
            | HubAction::FetchOwn { .. }
            | HubAction::Contents(_)
            | HubAction::StoreChunk(_)
            | HubAction::DocumentState(_)
            | HubAction::FetchDocument { .. }
            | HubAction::CommandResult(_)
            | HubAction::BundleState(_)
            | HubAction::SignBundle(_)
            | HubAction::FetchBundle { .. } => {}
        }
        Ok(())
    }

    async fn hello(&mut self, info: HelloInfo) -> Result<(), ImportError> {
        let (scope, gateway) = (self.done.scope, self.done.gateway);
        let known = known(self.store, scope, gateway, &info.hello).await?;
        let answer = HelloAnswer {
            now: clock::now(),
            events: known.events,
            lost: Vec::new(),
            down_last: known.down_last,
            down_after: known.down_after,
            want_catalog: false,
            windows: (0, 0, 0, 0),
            reference: reference(self.store, scope, gateway)
                .await
                .map_err(|error| ImportError::Reference(Box::new(error)))?,
        };
        self.done.hello = Some(info.hello);
        Ok(self.session.handle_hello_answer(answer)?)
    }

    async fn commit(&mut self) -> Result<(), ImportError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let (scope, gateway) = (self.done.scope, self.done.gateway);
        let batch = std::mem::take(&mut self.batch);
        let taken = self.store.ingest(scope, gateway, batch.ingest).await?;
        self.done.polls += taken.polls;
        self.done.readings += taken.readings;
        self.done.events += taken.events;
        self.done.refused += u64::try_from(taken.refused.len()).unwrap_or(0);
        for refused in taken.refused {
            if self.done.told.len() < REFUSED_MAX {
                let (first, last) = (refused.first_seq, refused.last_seq);
                // Of which opening is not known here any more; the words are for people.
                let told = (0, refused.stream.0, first, last, refused.words);
                self.done.told.push(told);
            }
        }
        Ok(())
    }
}

fn hole(error: SessionError) -> ImportError {
    match error {
        SessionError::Hole { expected, got } => ImportError::Hole {
            held: expected.saturating_sub(1),
            got,
        },
        other => other.into(),
    }
}

async fn known(
    store: &Store,
    scope: TenantScope,
    gateway: GatewayId,
    hello: &HelloV1,
) -> Result<Known, StoreError> {
    store
        .known(scope, gateway, hello.events.clone(), hello.down)
        .await
}
