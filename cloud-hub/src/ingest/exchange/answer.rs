//! The hub's answer to a file that was taken: what it holds now, and what it has for the box.
//! Never written before all of the file is committed, and never longer than a box takes.

use super::{ImportError, Imported, known};
use crate::ca::Authority;
use crate::clock;
use crate::ingest::connection::{bundle_head, reference};
use crate::store::{Known, Store};
use crate::tenants::TenantScope;
use protocol::exchange::{ANSWER_BYTES_MAX, ExchangeError as FileError, Writer, to_sign};
use protocol::id::GatewayId;
use protocol::limits::{BUNDLE_PIECE_BYTES_MAX, LANE_IN_FLIGHT_BYTES_MAX, STREAMS_PER_OFFER_MAX};
use protocol::sync::{FEATURES, Lane, PROTOCOL, features};
use protocol::wire::WireError;
use protocol::wire::v1::{
    AckV1, AnswerV1, EventsV1, LeftV1, Message, OwnEventsV1, ReceivedV1, WelcomeV1,
};

/// From here on an answer takes no more events: they go with the next.
const EVENTS_BYTES_MAX: u64 = 4 << 20;

/// The hub's answer to a file that was taken: what the hub holds now, and what it has for the box.
pub async fn answer(
    store: &Store,
    authority: &Authority,
    imported: &Imported,
) -> Result<Vec<u8>, ImportError> {
    let (scope, gateway) = (imported.scope, imported.gateway);
    // Whoever sends no hello sends nothing else that the session takes.
    let Some(hello) = &imported.hello else {
        return Err(FileError::Foreign.into());
    };
    let known = known(store, scope, gateway, hello).await?;
    let (writer, bytes) = Writer::begin();
    let mut file = File { writer, bytes };
    let now = clock::now();
    file.add(&Message::Answer(AnswerV1 {
        gateway: gateway.0,
        number: imported.number,
        export: imported.hash,
        down: hello.down.0,
        time_us: now.0,
    }))?;
    file.add(&Message::Welcome(WelcomeV1 {
        protocol: hello.protocol.1.min(PROTOCOL),
        features: hello.features & FEATURES,
        time_us: now.0,
        events: known.events.clone(),
        down_after: known.down_after,
        want_catalog: false,
        windows: (0, 0, 0, 0),
    }))?;
    let reference = reference(store, scope, gateway)
        .await
        .map_err(|error| ImportError::Reference(Box::new(error)))?;
    file.add(&Message::Reference(reference))?;
    file.add(&Message::Ack(AckV1 {
        lane: Lane::Backlog.number(),
        frames: 0,
        refused: imported.told.clone(),
    }))?;
    for streams in imported.offered.chunks(STREAMS_PER_OFFER_MAX) {
        let held = store
            .offered(scope, gateway, streams.to_vec(), false)
            .await?;
        let received = Message::Received(ReceivedV1 { streams: held });
        // A stream that is left out is only sent again.
        if file.room() < received.encode()?.len() {
            break;
        }
        file.add(&received)?;
    }
    let events = file.events(store, (scope, gateway), &known).await?;
    if hello.features & FEATURES & features::BUNDLE != 0 {
        file.bundle(store, authority, imported).await?;
    }
    file.add(&Message::Left(LeftV1 { events, polls: 0 }))?;
    // A box that never has a network knows the authority that signed its own certificate.
    let (signer, signature) =
        authority.sign_for(imported.authority, &to_sign(&file.writer.hash()))?;
    let end = file.writer.end(signer.to_vec(), signature)?;
    file.bytes.extend(end);
    Ok(file.bytes)
}

/// An answer on its way.
struct File {
    writer: Writer,
    bytes: Vec<u8>,
}

impl File {
    fn add(&mut self, message: &Message) -> Result<(), WireError> {
        self.bytes.extend(self.writer.message(message)?);
        Ok(())
    }

    /// Bytes that may still come, less what the end takes.
    fn room(&self) -> usize {
        (ANSWER_BYTES_MAX - (16 << 10)).saturating_sub(self.bytes.len())
    }

    fn has_room(&self) -> bool {
        self.writer.bytes() < EVENTS_BYTES_MAX && self.room() > 2 * LANE_IN_FLIGHT_BYTES_MAX
    }

    /// The newest bundle of the site, where there is room for all of it; the box passes over one
    /// that it holds.
    async fn bundle(
        &mut self,
        store: &Store,
        authority: &Authority,
        imported: &Imported,
    ) -> Result<(), ImportError> {
        let (scope, gateway) = (imported.scope, imported.gateway);
        let Some(name) = store.bundle_wanted(scope, gateway).await? else {
            return Ok(());
        };
        let length = usize::try_from(name.length).unwrap_or(usize::MAX);
        if length.saturating_add(LANE_IN_FLIGHT_BYTES_MAX) > self.room() {
            return Ok(());
        }
        let head = bundle_head(authority, imported.authority, name)?;
        self.add(&Message::BundleHead(head))?;
        for offset in (0..length).step_by(BUNDLE_PIECE_BYTES_MAX) {
            let place = (name.number, u64::try_from(offset).unwrap_or(u64::MAX));
            let piece = store.bundle_piece(scope, gateway, place, BUNDLE_PIECE_BYTES_MAX);
            self.add(&Message::BundlePiece(piece.await?))?;
        }
        Ok(())
    }

    /// The box's own events that it lost, then the hub's; how many found no room.
    async fn events(
        &mut self,
        store: &Store,
        (scope, gateway): (TenantScope, GatewayId),
        known: &Known,
    ) -> Result<u64, ImportError> {
        for lost in &known.lost {
            let mut after = lost.after;
            while after < lost.last && self.has_room() {
                let place = (lost.incarnation, after);
                let own = store
                    .own_after(scope, gateway, place, LANE_IN_FLIGHT_BYTES_MAX)
                    .await?;
                let (Some((first_seq, _)), Some((last, _))) = (own.first(), own.last()) else {
                    break;
                };
                let (first_seq, last) = (*first_seq, *last);
                self.add(&Message::OwnEvents(OwnEventsV1 {
                    incarnation: lost.incarnation,
                    first_seq,
                    events: own.into_iter().map(|(_, event)| event).collect(),
                }))?;
                after = last;
            }
        }
        let mut after = known.down_after;
        while after < known.down_last && self.has_room() {
            let down = store
                .down_after(scope, gateway, after, LANE_IN_FLIGHT_BYTES_MAX)
                .await?;
            let (Some((first_seq, _)), Some((last, _))) = (down.first(), down.last()) else {
                break;
            };
            let (first_seq, last) = (*first_seq, *last);
            self.add(&Message::Events(EventsV1 {
                incarnation: 0,
                first_seq,
                events: down.into_iter().map(|(_, event)| event).collect(),
            }))?;
            after = last;
        }
        Ok(known.down_last.saturating_sub(after))
    }
}
