//! Takes the hub's answer: all of it is checked before the first word of it counts.
//! Doing it twice, or with an older answer after a newer one, does no harm.

use super::{ANSWERED, ExchangeError, MADE};
use crate::identity::Identity;
use crate::people::Incoming;
use crate::storage::Storage;
use data_encoding::HEXLOWER;
use protocol::bundle;
use protocol::event::Event;
use protocol::exchange::{ExchangeError as FileError, Part, Reader, Seal, to_sign};
use protocol::id::{GatewayId, SiteId, StreamId};
use protocol::ranges::RangeSet;
use protocol::time::Timestamp;
use protocol::view::rfc3339;
use protocol::wire::v1::{
    AckV1, AnswerV1, BundlePieceV1, Chain, EventsV1, HeldV1, Message, OwnEventsV1, WelcomeV1,
};
use protocol::wire::{WireError, decode_event};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What an answer brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acknowledged {
    /// Number of the file that is answered.
    pub number: u64,
    /// SHA-256 of that file.
    pub export: [u8; 32],
    /// When the hub wrote the answer, by its clock.
    pub time: Timestamp,
    /// A newer file was answered before: only what cannot be outdated was taken.
    pub outdated: bool,
    /// Events of the hub that are held now, beyond what was held before.
    pub events: u64,
    /// Events of the hub that found no room in this answer; they come with the next.
    pub events_left: u64,
    /// What the hub could not take, in its words.
    pub refused: Vec<String>,
    /// The hub's record of this box's events is another one.
    pub differs: bool,
    /// Number of the site bundle that came with it, where it is newer than what was held.
    pub bundle: Option<u64>,
}

impl Acknowledged {
    /// As the page's interface and the command line tell it.
    pub fn view(&self) -> Value {
        json!({
            "export": self.number,
            "fingerprint": HEXLOWER.encode(&self.export),
            "answered": rfc3339(self.time),
            "outdated": self.outdated,
            "events": self.events,
            "events_left": self.events_left,
            "refused": self.refused,
            "differs": self.differs,
            "bundle": self.bundle,
        })
    }
}

/// Takes the answer in `bytes`.
pub async fn acknowledge(
    storage: &Storage,
    identity: &Identity,
    bytes: &[u8],
) -> Result<Acknowledged, ExchangeError> {
    let answer = check(storage.gateway_id(), identity, bytes)?;
    let made = storage.reference(MADE.to_owned()).await?;
    if let Some((number, hash)) = &made
        && *number == answer.number
        && !hash.is_empty()
        && *hash != answer.export
    {
        return Err(ExchangeError::OtherExport { number: *number });
    }
    let newest = storage.reference(ANSWERED.to_owned()).await?;
    let newest = newest.map_or(0, |(number, _)| number);
    let state = storage.sync_state().await?;
    let mut taking = Taking {
        storage,
        identity,
        incoming: Incoming::default(),
        streams: state.streams.iter().map(|known| known.stream).collect(),
        acked: state
            .events
            .iter()
            .map(|own| (own.incarnation, own.acked))
            .collect(),
        down: state.down.0,
        answer,
        done: Acknowledged {
            number: answer.number,
            export: answer.export,
            time: Timestamp(answer.time_us),
            outdated: answer.number < newest,
            ..Acknowledged::default()
        },
    };
    let mut reader = Reader::default();
    reader.push(bytes)?;
    while let Some(part) = reader.next_part()? {
        if let Part::Frame(frame) = part {
            let message = Message::decode(&frame).map_err(FileError::from)?;
            taking.message(message).await?;
        }
    }
    if !taking.done.outdated {
        let number = answer.number;
        storage
            .set_reference(ANSWERED.to_owned(), number, Vec::new())
            .await?;
    }
    let held = storage.sync_state().await?.down.0;
    taking.done.events = held.saturating_sub(state.down.0);
    Ok(taking.done)
}

/// Whether the answer is whole, the hub's, and for this box.
fn check(own: GatewayId, identity: &Identity, bytes: &[u8]) -> Result<AnswerV1, ExchangeError> {
    let mut reader = Reader::default();
    reader.push(bytes)?;
    let (mut first, mut seal): (Option<Message>, Option<Seal>) = (None, None);
    while let Some(part) = reader.next_part()? {
        match part {
            Part::Frame(frame) if first.is_none() => {
                first = Some(Message::decode(&frame).map_err(FileError::from)?);
            }
            Part::Frame(_) => {}
            Part::End(end) => seal = Some(end),
        }
    }
    reader.finish()?;
    let answer = match first {
        Some(Message::Answer(answer)) => answer,
        Some(Message::Export(_)) => return Err(ExchangeError::Export),
        _ => return Err(FileError::Foreign.into()),
    };
    let trusted = seal.is_some_and(|seal| {
        identity.is_from_authority(&seal.certificate, &to_sign(&seal.hash), &seal.signature)
    });
    if !trusted {
        return Err(ExchangeError::Signature);
    }
    if answer.gateway != own.0 {
        return Err(ExchangeError::OtherBox {
            other: GatewayId(answer.gateway).to_string(),
            own: own.to_string(),
        });
    }
    Ok(answer)
}

struct Taking<'a> {
    storage: &'a Storage,
    identity: &'a Identity,
    incoming: Incoming,
    streams: BTreeSet<StreamId>,
    /// Own events that the hub said it has, by opening, before this answer.
    acked: BTreeMap<u32, u64>,
    down: u64,
    answer: AnswerV1,
    done: Acknowledged,
}

impl Taking<'_> {
    async fn message(&mut self, message: Message) -> Result<(), ExchangeError> {
        match message {
            Message::Welcome(welcome) => self.welcome(welcome).await,
            Message::Received(received) => {
                for held in received.streams {
                    self.held(held).await?;
                }
                Ok(())
            }
            Message::Ack(ack) => {
                self.refused(ack);
                Ok(())
            }
            Message::Reference(reference) if !self.done.outdated => {
                Ok(self.storage.set_site(reference).await?)
            }
            Message::BundleHead(head) => {
                let message = bundle::to_sign(&head.hash);
                let signed =
                    self.identity
                        .is_from_authority(&head.certificate, &message, &head.signature);
                let held = self.storage.held_bundle().await?;
                self.incoming.head(&head, signed, held);
                Ok(())
            }
            Message::BundlePiece(piece) => self.bundle_piece(&piece).await,
            Message::OwnEvents(events) => self.own_events(&events).await,
            Message::Events(events) => self.events(&events).await,
            Message::Left(left) => {
                self.done.events_left = left.events;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// An older answer's bundle is passed over: the box holds that one or a newer one.
    async fn bundle_piece(&mut self, piece: &BundlePieceV1) -> Result<(), ExchangeError> {
        let site = self.storage.site().await?.map(|site| SiteId(site.site));
        if let Some(bundle) = self.incoming.piece(piece, site) {
            let number = bundle.number;
            if self.storage.keep_bundle(bundle).await? {
                self.done.bundle = Some(number);
            }
        }
        Ok(())
    }

    async fn welcome(&mut self, welcome: WelcomeV1) -> Result<(), ExchangeError> {
        for (incarnation, mark, chain) in welcome.events {
            self.mark(incarnation, mark, chain).await?;
        }
        // The hub numbers its events anew: it was put back from a copy.
        if !self.done.outdated && welcome.down_after == 0 && self.answer.down > 0 {
            self.storage.reset_down().await?;
            self.down = 0;
        }
        Ok(())
    }

    /// As on a connection: what the hub holds must be what this box wrote.
    async fn mark(&mut self, incarnation: u32, mark: u64, hub: Chain) -> Result<(), ExchangeError> {
        let own = self.storage.chain_at(incarnation, mark).await?;
        if mark > 0 && own.is_some_and(|own| own != hub) {
            tracing::error!(
                incarnation,
                mark,
                "the events at the hub are not those of this box: one of the two records was \
                 changed; compare both histories of the gateway before trusting either"
            );
            self.done.differs = true;
            return Ok(());
        }
        // Where an answer is outdated, the hub holds no less by now.
        let known = self.acked.get(&incarnation);
        if !self.done.outdated || known.is_some_and(|acked| *acked < mark) {
            self.storage.mark_events_acked(incarnation, mark).await?;
        }
        Ok(())
    }

    async fn held(&mut self, held: HeldV1) -> Result<(), ExchangeError> {
        let stream = StreamId(held.stream);
        // Given up meanwhile.
        if !self.streams.contains(&stream) {
            return Ok(());
        }
        if self.done.outdated {
            for (first, last) in held.ranges {
                if first > 0 && first <= last {
                    self.storage.mark_acked(stream, first, last).await?;
                }
            }
            return Ok(());
        }
        let sound = held
            .ranges
            .into_iter()
            .filter(|(first, last)| *first > 0 && first <= last);
        self.storage
            .reset_acked(stream, RangeSet::from_pairs(sound))
            .await?;
        Ok(())
    }

    fn refused(&mut self, ack: AckV1) {
        for (_, stream, first, last, why) in ack.refused {
            tracing::error!(stream, first, last, why, "the hub cannot take these polls");
            self.done.refused.push(why);
        }
    }

    async fn own_events(&self, message: &OwnEventsV1) -> Result<(), ExchangeError> {
        let events = decode(&message.events)?;
        let (incarnation, first) = (message.incarnation, message.first_seq);
        let known = self.storage.sync_state().await?;
        let mut own = known.events.iter();
        let own = own.find(|own| own.incarnation == incarnation);
        // What this opening writes now can only come from elsewhere by a mistake.
        if known.incarnation != incarnation && own.map_or(0, |own| own.last) + 1 >= first {
            let held = self.storage.apply_own(incarnation, first, events).await?;
            tracing::info!(incarnation, held, "own events came back from the hub");
        }
        Ok(())
    }

    async fn events(&mut self, message: &EventsV1) -> Result<(), ExchangeError> {
        let events = decode(&message.events)?;
        // A hole: this store is older than the answer. The next file says so to the hub.
        if message.first_seq <= self.down.saturating_add(1) {
            self.down = self.storage.apply_down(message.first_seq, events).await?;
        }
        Ok(())
    }
}

fn decode(events: &[Vec<u8>]) -> Result<Vec<Event>, ExchangeError> {
    let events = events.iter().map(|bytes| decode_event(bytes));
    let events: Result<Vec<Event>, WireError> = events.collect();
    Ok(events.map_err(FileError::from)?)
}
