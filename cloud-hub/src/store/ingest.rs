//! What a gateway brings becomes the hub's, each fact once: one transaction per batch, and what
//! cannot be taken is refused by itself, counted, and stops nothing else.
//! Never acknowledges: the caller does, with what this returns, after it returned.

use super::changes::{Change, Changed};
use super::error::{Doing as _, StoreError};
use super::prepared::{Place, Prepared, Refused, Sound};
use super::rollups::Rollups;
use super::writer::Work;
use super::{Store, blocks, catalog, events, gateways, sql};
use crate::clock;
use crate::tenants::TenantScope;
use protocol::event::{Event, RecordKind};
use protocol::id::{GatewayId, Origin, SensorId, StreamId};
use protocol::ranges::RangeSet;
use protocol::reading::{Cell, Quality, Reading};
use protocol::wire;
use protocol::wire::v1::Chain;
use rusqlite::params;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use tokio::sync::Semaphore;

/// Batches with more than a few polls that are decoded and not yet committed. Who brings another
/// one waits, reads no further, and so stops its own gateway by the windows of its connection.
const BATCHES_MAX: usize = 128;
/// A batch with no more bytes of blocks than this is decoded where it is and waits for no place.
const SMALL_BYTES: usize = 4 << 10;

/// One batch from one gateway.
#[derive(Clone, Debug, Default)]
pub struct Ingest {
    /// Incarnation, stream and `wire::encode_schema`; taken before the blocks.
    pub schemas: Vec<(u32, StreamId, Vec<u8>)>,
    /// `wire::encode_catalog`.
    pub catalog: Option<Vec<u8>>,
    /// Incarnation and `block::encode`.
    pub blocks: Vec<(u32, Vec<u8>)>,
    /// Polls that the box no longer has.
    pub lost: Vec<LostPolls>,
    /// The gateway's own events, in the order of their numbers.
    pub events: Vec<Event>,
}

impl Ingest {
    fn is_small(&self) -> bool {
        let bytes: usize = self.blocks.iter().map(|(_, body)| body.len()).sum();
        bytes <= SMALL_BYTES && self.catalog.is_none()
    }
}

/// What bounds the memory and the processors that taking batches in may use.
#[derive(Debug)]
pub(super) struct Intake {
    places: Semaphore,
    decoders: Semaphore,
}

impl Default for Intake {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            places: Semaphore::new(BATCHES_MAX),
            decoders: Semaphore::new(processors),
        }
    }
}

impl Intake {
    /// Decodes and checks a batch; a small one at once, another one when a processor is free.
    async fn prepare(&self, batch: Ingest) -> Result<Prepared, StoreError> {
        if batch.is_small() {
            return Ok(Prepared::from_batch(batch));
        }
        let _decoder = self.decoders.acquire().await;
        tokio::task::spawn_blocking(move || Prepared::from_batch(batch))
            .await
            .map_err(|_| StoreError::Stopped)
    }
}

/// Polls that will never come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostPolls {
    /// Incarnation of the readings.
    pub incarnation: u32,
    /// Their stream.
    pub stream: StreamId,
    /// First one.
    pub first_seq: u64,
    /// Last one.
    pub last_seq: u64,
}

/// What is on the disk now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ingested {
    /// Of each stream that came: the ranges held around what came.
    pub held: Vec<(u32, StreamId, RangeSet)>,
    /// Of each incarnation whose events came: held without a hole up to here.
    pub events_marks: Vec<(u32, u64)>,
    /// What was not taken.
    pub refused: Vec<Refused>,
    /// Polls that were new.
    pub polls: u64,
    /// Readings that were new.
    pub readings: u64,
    /// Events that were new.
    pub events: u64,
}

impl Store {
    /// Takes a batch in one transaction.
    pub async fn ingest(
        &self,
        scope: TenantScope,
        gateway: GatewayId,
        batch: Ingest,
    ) -> Result<Ingested, StoreError> {
        // Held until the commit: of what is decoded and waits for the writer there is so much at
        // the most. Events and a few live polls are small and do not wait behind backlogs.
        let _place = if batch.is_small() {
            None
        } else {
            Some(self.intake.places.acquire().await)
        };
        let prepared = self.intake.prepare(batch).await?;
        let (ingested, newest) = self
            .write(move |work| take(work, scope, gateway, prepared))
            .await?;
        let readings = self.latest.update(scope, newest, clock::now());
        if !readings.is_empty() {
            let what = Changed::Readings {
                gateway,
                readings: readings.into(),
            };
            drop(self.changes.send(Change { scope, what }));
        }
        Ok(ingested)
    }

    /// Up to here the events of a gateway's incarnation are held without a hole.
    pub async fn events_mark(
        &self,
        scope: TenantScope,
        gateway: GatewayId,
        incarnation: u32,
    ) -> Result<u64, StoreError> {
        self.engine
            .read(move |sql| Ok(events::mark(sql, scope, gateway, incarnation)?.0))
            .await
    }

    /// What of a gateway was not taken: reason, how often, the latest case in words.
    pub async fn refused(
        &self,
        scope: TenantScope,
        gateway: GatewayId,
    ) -> Result<Vec<(String, u64, String)>, StoreError> {
        self.engine
            .read(move |sql| {
                sql.prepare_cached(
                    "SELECT reason, count, last_words FROM refused
                    WHERE tenant_id = ?1 AND gateway_id = ?2 ORDER BY reason",
                )
                .and_then(|mut query| {
                    query
                        .query_map((scope.key(), gateway.0.into_bytes()), |row| {
                            Ok((row.get(0)?, sql::uint(row.get(1)?), row.get(2)?))
                        })?
                        .collect()
                })
                .doing("read what was refused")
            })
            .await
    }
}

/// What the transaction gathers.
struct Batch<'a, 'w> {
    work: &'a mut Work<'w>,
    scope: TenantScope,
    gateway: GatewayId,
    streams: HashMap<(u32, StreamId), Option<blocks::StreamRow>>,
    held: BTreeMap<(u32, StreamId), RangeSet>,
    newest: HashMap<SensorId, Reading>,
    rollups: Rollups,
    ingested: Ingested,
}

fn take(
    work: &mut Work<'_>,
    scope: TenantScope,
    gateway: GatewayId,
    prepared: Prepared,
) -> Result<(Ingested, Vec<Reading>), StoreError> {
    if !gateways::touch(work.sql, scope, gateway, work.now)? {
        return Err(StoreError::NotFound { what: "gateway" });
    }
    let mut batch = Batch {
        work,
        scope,
        gateway,
        streams: HashMap::new(),
        held: BTreeMap::new(),
        newest: HashMap::new(),
        rollups: Rollups::default(),
        ingested: Ingested {
            refused: prepared.refused,
            ..Ingested::default()
        },
    };
    for schema in prepared.schemas {
        batch.take_schema(&schema)?;
    }
    if let Some((document, bytes)) = prepared.catalog {
        catalog::replace(batch.work.sql, scope, gateway, (&document, &bytes))?;
        batch.work.changes.push(Change {
            scope,
            what: Changed::Gateway(gateway),
        });
    }
    for sound in &prepared.blocks {
        batch.take_block(sound)?;
    }
    for lost in &prepared.lost {
        batch.take_lost(*lost)?;
    }
    batch.take_events(&prepared.events)?;
    batch.finish()
}

impl Batch<'_, '_> {
    fn take_schema(&mut self, schema: &catalog::NewStream) -> Result<(), StoreError> {
        let refused = catalog::add_stream(self.work.sql, self.scope, self.gateway, schema)?;
        if let Some((reason, words)) = refused {
            self.refuse((schema.stream, 0, 0), reason, words);
        }
        Ok(())
    }

    fn take_block(&mut self, sound: &Sound) -> Result<(), StoreError> {
        let header = &sound.header;
        let place = (header.stream, header.first_seq, header.last_seq());
        let name = (sound.incarnation, header.stream);
        let Some(stream) = self.stream(name)? else {
            self.refuse(
                place,
                "schema_unknown",
                "the hub does not know the columns of this stream; send its schema first"
                    .to_owned(),
            );
            return Ok(());
        };
        let columns = stream.schema.columns.len();
        if usize::try_from(header.columns) != Ok(columns) {
            let words = format!(
                "{} columns where the stream's schema has {columns}",
                header.columns
            );
            self.refuse(place, "columns", words);
            return Ok(());
        }
        if header.first_seq == 0 {
            self.refuse(place, "number_zero", "polls are numbered from 1".to_owned());
            return Ok(());
        }
        let place_of_rows = (&stream, &mut self.rollups);
        let stored = blocks::store(self.work.sql, self.scope, place_of_rows, sound)?;
        let Some(stored) = stored else {
            let words =
                "too many separate ranges of this stream are held; send the older polls first";
            self.refuse(place, "too_many_ranges", words.to_owned());
            if let Some(refused) = self.ingested.refused.last_mut() {
                refused.again = true;
            }
            return Ok(());
        };
        self.ingested.polls += stored.polls;
        self.ingested.readings += stored.readings;
        let held = self.held.entry(name).or_default();
        for (first, last) in stored.held.pairs() {
            held.insert(*first, *last);
        }
        if stored.polls > 0 {
            self.note_newest(&stream, sound);
        }
        Ok(())
    }

    /// The last reading of each sensor in the block.
    fn note_newest(&mut self, stream: &blocks::StreamRow, sound: &Sound) {
        for (column, newest) in stream.schema.columns.iter().zip(&sound.newest) {
            let Some((time, clock, cell)) = *newest else {
                continue;
            };
            let (value, quality) = match cell {
                Cell::Skipped => continue,
                Cell::Value(raw, quality) => (Some(column.value(raw)), quality),
                Cell::Missing(cause) => (None, Quality::Bad(cause)),
            };
            let reading = Reading {
                sensor: column.sensor,
                time,
                value,
                quality,
                clock,
            };
            let known = self.newest.entry(column.sensor).or_insert(reading);
            if reading.time >= known.time {
                *known = reading;
            }
        }
    }

    fn stream(&mut self, name: (u32, StreamId)) -> Result<Option<blocks::StreamRow>, StoreError> {
        if let Some(known) = self.streams.get(&name) {
            return Ok(known.clone());
        }
        let row = blocks::stream_row(self.work.sql, self.scope, self.gateway, name)?;
        self.streams.insert(name, row.clone());
        Ok(row)
    }

    fn take_lost(&mut self, lost: LostPolls) -> Result<(), StoreError> {
        let place = (lost.stream, lost.first_seq, lost.last_seq);
        let Some(stream) = self.stream((lost.incarnation, lost.stream))? else {
            let words = "the hub does not know this stream; send its schema first".to_owned();
            self.refuse(place, "schema_unknown", words);
            return Ok(());
        };
        if lost.first_seq == 0 || lost.last_seq < lost.first_seq {
            self.refuse(
                place,
                "range",
                "the end of the gap lies before its begin".to_owned(),
            );
            return Ok(());
        }
        self.work
            .sql
            .prepare_cached(
                "INSERT OR IGNORE INTO lost (tenant_id, stream_key, first_seq, last_seq, told_us)
                VALUES (?1, ?2, ?3, ?4, ?5)",
            )
            .and_then(|mut query| {
                query.execute(params![
                    self.scope.key(),
                    stream.key,
                    sql::int(lost.first_seq),
                    sql::int(lost.last_seq),
                    self.work.now.0
                ])
            })
            .map(|_| ())
            .doing("note lost polls")
    }

    /// Takes events as long as they continue what is held; what repeats is no harm.
    fn take_events(&mut self, events: &[Event]) -> Result<(), StoreError> {
        let mut marks: BTreeMap<u32, (u64, Chain)> = BTreeMap::new();
        let mut touched = BTreeSet::new();
        for event in events {
            let place = (StreamId::EVENTS, event.seq, event.seq);
            if event.origin != Origin::Gateway(self.gateway) {
                let words = "a gateway may bring its own events only".to_owned();
                self.refuse(place, "origin", words);
                continue;
            }
            let (mark, chain) = match marks.get(&event.incarnation) {
                Some(mark) => *mark,
                None => events::mark(self.work.sql, self.scope, self.gateway, event.incarnation)?,
            };
            marks.insert(event.incarnation, (mark, chain));
            if event.seq > mark + 1 {
                let words = format!("event {} came before event {}", event.seq, mark + 1);
                self.refuse(place, "event_order", words);
                if let Some(refused) = self.ingested.refused.last_mut() {
                    refused.again = true;
                }
            } else if event.seq == mark + 1 {
                if self.take_event(event)? {
                    touched.insert(event.record);
                }
                let bytes = wire::encode_event(event).doing("an event")?;
                let chain = wire::chain(&chain, &bytes);
                marks.insert(event.incarnation, (event.seq, chain));
            }
        }
        for (incarnation, (mark, chain)) in &marks {
            events::set_mark(
                self.work.sql,
                self.scope,
                self.gateway,
                (*incarnation, *mark, *chain),
            )?;
        }
        for record in touched {
            events::refold(self.work, self.scope, record)?;
        }
        self.ingested.events_marks = marks
            .into_iter()
            .map(|(incarnation, (mark, _))| (incarnation, mark))
            .collect();
        Ok(())
    }

    /// Stores the next event; whether folds have to follow it.
    fn take_event(&mut self, event: &Event) -> Result<bool, StoreError> {
        self.work.hlc.observe(event.hlc, self.work.now);
        let home = if event.record.kind == RecordKind::Gateway {
            GatewayId(event.record.id)
        } else {
            events::settle_home(self.work.sql, self.scope, event.record, self.gateway)?
        };
        let set_aside =
            (home != self.gateway).then_some("about a record that lives at another gateway");
        let added = events::insert(self.work, self.scope, event, set_aside)?;
        if let Some(words) = set_aside {
            let place = (StreamId::EVENTS, event.seq, event.seq);
            self.refuse(place, "record_elsewhere", words.to_owned());
            return Ok(false);
        }
        if added {
            self.ingested.events += 1;
            events::note_gateway_event(self.work.sql, self.scope, self.gateway, event)?;
        }
        Ok(added)
    }

    fn refuse(&mut self, place: Place, reason: &'static str, words: String) {
        self.ingested
            .refused
            .push(Refused::new(place, reason, words));
    }

    fn finish(mut self) -> Result<(Ingested, Vec<Reading>), StoreError> {
        for name in self.held.keys() {
            if let Some(Some(stream)) = self.streams.get(name) {
                blocks::seal(self.work.sql, self.scope, stream, &mut self.rollups)?;
            }
        }
        self.rollups.write(self.work.sql, self.scope)?;
        self.count()?;
        self.ingested.held = self
            .held
            .into_iter()
            .map(|((incarnation, stream), ranges)| (incarnation, stream, ranges))
            .collect();
        Ok((self.ingested, self.newest.into_values().collect()))
    }

    fn count(&self) -> Result<(), StoreError> {
        let (key, id) = (self.scope.key(), self.gateway.0.into_bytes());
        let (readings, events) = (
            sql::int(self.ingested.readings),
            sql::int(self.ingested.events),
        );
        self.work
            .sql
            .prepare_cached(
                "UPDATE gateway SET readings = readings + ?3, events = events + ?4
                WHERE tenant_id = ?1 AND id = ?2",
            )
            .and_then(|mut query| query.execute(params![key, id, readings, events]))
            .doing("count what came")?;
        for refused in self
            .ingested
            .refused
            .iter()
            .filter(|refused| !refused.again)
        {
            self.work
                .sql
                .prepare_cached(
                    "INSERT INTO refused (tenant_id, gateway_id, reason, count, last_us, last_words)
                    VALUES (?1, ?2, ?3, 1, ?4, ?5)
                    ON CONFLICT DO UPDATE SET count = count + 1, last_us = excluded.last_us,
                        last_words = excluded.last_words",
                )
                .and_then(|mut query| {
                    query.execute(params![key, id, refused.reason, self.work.now.0, refused.words])
                })
                .doing("count what was refused")?;
        }
        Ok(())
    }
}
