//! The writer's half of core.db: appending events, this box's own and the hub's.
//! Never changes an event that is stored; folds and their indexes follow from the events.

pub(super) mod contents;
mod own;

pub use contents::{ContentPlace, ContentSum};
pub use own::OwnEvents;
pub(super) use own::chain_at;

use super::database::{meta, set_meta};
use super::error::{Doing as _, StorageError};
use super::{checks, folds};
use own::{earlier, insert_own, new_incarnation};
use protocol::alert::Alert;
use protocol::asset::Provisional;
use protocol::attachment::ContentHash;
use protocol::event::{Actor, Body, Event, RecordRef};
use protocol::id::{AlertId, EventId, GatewayId, Origin, WorkOrderId, uuid_v7};
use protocol::time::{ClockState, Correction, Hlc, HlcClock, Timestamp};
use protocol::wire;
use protocol::wire::v1::Chain;
use protocol::work_order::WorkOrder;
use ring::rand::{SecureRandom as _, SystemRandom};
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior};
use tokio::sync::broadcast;

/// What is to be written about a record.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    /// Where the event was made by a caller that may repeat itself: the same id writes nothing
    /// the second time.
    pub id: Option<EventId>,
    /// Who acts.
    pub actor: Actor,
    /// The record.
    pub record: RecordRef,
    /// What happened.
    pub body: Body,
}

/// A record got new events, which are on disk.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordChange {
    /// The record.
    pub record: RecordRef,
    /// The new events, in the order in which they were written.
    pub events: Vec<Event>,
}

/// One transaction on the records. What it wrote counts only when its closure returns `Ok`.
pub struct RecordTx<'a> {
    db: &'a Transaction<'a>,
    heads: &'a mut Heads,
    now: Timestamp,
    clock: ClockState,
    written: Vec<Event>,
}

impl std::fmt::Debug for RecordTx<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordTx")
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}

impl RecordTx<'_> {
    /// Writes an event of this box and folds its record again. An id that is stored already
    /// gives the stored event and writes nothing.
    ///
    /// Refuses bodies and texts over the limits of `protocol::limits`, a body of another kind
    /// than its record, and an id that another record's event has.
    pub fn append(&mut self, new: NewEvent) -> Result<Event, StorageError> {
        self.append_at(new, self.now, self.clock)
    }

    /// Like `append`, for something that happened at `time` and is written down now: readings
    /// that are judged after a restart keep their time.
    pub fn append_at(
        &mut self,
        new: NewEvent,
        time: Timestamp,
        clock: ClockState,
    ) -> Result<Event, StorageError> {
        if let Some(id) = new.id
            && let Some(stored) = event(self.db, id)?
        {
            return if stored.record == new.record {
                Ok(stored)
            } else {
                Err(StorageError::IdTaken { id })
            };
        }
        checks::new_event(&new)?;
        let id = match new.id {
            Some(id) => id,
            None => EventId(random_id(self.now)?),
        };
        let (latest, based_on) = folds::latest(self.db, new.record)?;
        let tick = self.heads.clock.tick(self.now);
        set_meta(self.db, "clock", folds::hlc_key(tick))?;
        let mut event = Event {
            id,
            origin: Origin::Gateway(self.heads.gateway),
            incarnation: self.heads.incarnation,
            seq: self.heads.seq_last + 1,
            based_on,
            hlc: tick.after(latest),
            time,
            clock,
            actor: new.actor,
            record: new.record,
            body: new.body,
        };
        // Judged before the time was known, written after it.
        if let Some(by) = &self.heads.correction {
            event.correct(by);
        }
        self.heads.chain = insert_own(self.db, &event, &self.heads.chain)?;
        folds::refresh(self.db, event.record)?;
        self.heads.seq_last = event.seq;
        self.written.push(event.clone());
        Ok(event)
    }

    pub(in crate::storage) fn db(&self) -> &Connection {
        self.db
    }

    /// The time of this transaction: all its events carry it.
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// How far this time may be trusted.
    pub const fn clock(&self) -> ClockState {
        self.clock
    }

    /// What a signature of a work order covers now.
    pub fn order_digest(&self, id: WorkOrderId) -> Result<ContentHash, StorageError> {
        let events = folds::events(self.db, id.into())?;
        Ok(protocol::work_order::digest(id, &events))
    }

    /// How many orders a rule opened since then.
    pub fn orders_opened_by(&self, rule: &str, since: Timestamp) -> Result<usize, StorageError> {
        folds::orders_opened_by(self.db, rule, since)
    }

    /// An asset that was made on this box.
    pub fn provisional(&self, record: RecordRef) -> Result<Option<Provisional>, StorageError> {
        folds::provisional(self.db, record)
    }

    /// An alert, folded.
    pub fn alert(&self, id: AlertId) -> Result<Option<Alert>, StorageError> {
        folds::alert(self.db, id)
    }

    /// A work order, folded.
    pub fn work_order(&self, id: WorkOrderId) -> Result<Option<WorkOrder>, StorageError> {
        folds::work_order(self.db, id)
    }

    /// The order that is still to be done for a dedupe key; the newest if there are several.
    pub fn open_order_by_key(&self, key: &str) -> Result<Option<WorkOrder>, StorageError> {
        self.order_by_key(key, true)
    }

    /// The newest order for a dedupe key, whatever its state.
    pub fn last_order_by_key(&self, key: &str) -> Result<Option<WorkOrder>, StorageError> {
        self.order_by_key(key, false)
    }

    /// The orders on which somebody's clock runs.
    pub fn orders_with_clocks(&self) -> Result<Vec<WorkOrder>, StorageError> {
        folds::orders_with_clocks(self.db)
    }

    /// The newest order that an alert stands behind.
    pub fn order_of_alert(&self, alert: AlertId) -> Result<Option<WorkOrder>, StorageError> {
        match folds::order_of_alert(self.db, alert)? {
            Some((id, _)) => self.work_order(id),
            None => Ok(None),
        }
    }

    /// The next number for a work order made here: `B2-0417` for the code `B2`. Numbers of a
    /// transaction that fails are given again.
    pub fn next_order_number(&mut self, code: &str) -> Result<String, StorageError> {
        let number = meta::<u64>(self.db, "order_number")?.unwrap_or(0) + 1;
        set_meta(self.db, "order_number", number)?;
        Ok(format!("{code}-{number:04}"))
    }

    fn order_by_key(&self, key: &str, open: bool) -> Result<Option<WorkOrder>, StorageError> {
        match folds::order_by_key(self.db, key, open)? {
            Some(id) => self.work_order(id),
            None => Ok(None),
        }
    }
}

/// What continues from one event to the next.
#[derive(Clone, Debug)]
struct Heads {
    gateway: GatewayId,
    incarnation: u32,
    seq_last: u64,
    /// Over the events of this incarnation.
    chain: Chain,
    clock: HlcClock,
    down_mark: u64,
    down_chain: Chain,
    /// By what untrusted stamps of this opening are off, once it is known.
    correction: Option<Correction>,
}

/// The open core.db and what is remembered of it.
pub(super) struct Core {
    pub db: Connection,
    heads: Heads,
    /// Events of earlier openings, oldest first.
    earlier: Vec<OwnEvents>,
    /// The hub has the events of this opening up to here.
    acked: u64,
    /// Acknowledgements are not yet on disk.
    pub acked_dirty: bool,
    pub changes: broadcast::Sender<RecordChange>,
}

impl Core {
    /// Reads what has to be remembered; a new store gets its identity here, and every opening
    /// an incarnation of its own.
    pub(super) fn load(
        mut db: Connection,
        now: Timestamp,
        changes: broadcast::Sender<RecordChange>,
    ) -> Result<Self, StorageError> {
        let doing = "reading where the events ended";
        super::points::complete(&db)?;
        let gateway = identity(&mut db, now)?;
        let earlier = earlier(&db)?;
        let incarnation = new_incarnation(&earlier)?;
        // The node only has to differ between writers; the end of a UUIDv7 is random.
        let [.., a, b, c, d] = *gateway.0.as_bytes();
        let node = u32::from_be_bytes([a, b, c, d]);
        // Not from the last own event: its stamp may have been moved behind a far one of its record.
        let own = meta::<[u8; 16]>(&db, "clock")?;
        let mut clock = HlcClock::new(own.map(folds::hlc_from_key).unwrap_or_default(), node);
        // What others wrote was followed when it came, so it must be followed again, within the
        // same bound: one stamp years ahead must not hide the honest ones below it.
        let bound = Hlc {
            wall_ms: u64::try_from(now.millis())
                .unwrap_or(0)
                .saturating_add(protocol::limits::HLC_AHEAD_MS_MAX),
            counter: u32::MAX,
            node: u32::MAX,
        };
        let seen: Option<[u8; 16]> = db
            .query_row(
                "SELECT max(hlc) FROM event WHERE hlc <= ?1",
                [folds::hlc_key(bound)],
                |row| row.get(0),
            )
            .doing(doing)?;
        clock.observe(seen.map(folds::hlc_from_key).unwrap_or_default(), now);
        Ok(Self {
            heads: Heads {
                gateway,
                incarnation,
                seq_last: 0,
                chain: Chain::default(),
                clock,
                down_mark: meta(&db, "down_mark")?.unwrap_or(0),
                down_chain: meta(&db, "down_chain")?.unwrap_or_default(),
                correction: None,
            },
            earlier,
            acked: 0,
            acked_dirty: false,
            changes,
            db,
        })
    }

    pub(super) const fn gateway(&self) -> GatewayId {
        self.heads.gateway
    }

    pub(super) const fn incarnation(&self) -> u32 {
        self.heads.incarnation
    }

    /// How far the hub's events are held, and the chain up to there.
    pub(super) const fn down(&self) -> (u64, Chain) {
        (self.heads.down_mark, self.heads.down_chain)
    }

    /// The hub numbers its events for this box anew.
    pub(super) fn reset_down(&mut self) -> Result<(), StorageError> {
        set_meta(&self.db, "down_mark", 0)?;
        self.heads.down_mark = 0;
        self.heads.down_chain = Chain::default();
        Ok(())
    }

    /// Runs `work` in one transaction and tells the listeners what it wrote.
    pub(super) fn records<T, E: From<StorageError>>(
        &mut self,
        now: Timestamp,
        clock: ClockState,
        work: impl FnOnce(&mut RecordTx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let doing = "writing events";
        // On a copy: a transaction that fails leaves no number used.
        let mut heads = self.heads.clone();
        let db = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .doing(doing)?;
        let mut tx = RecordTx {
            db: &db,
            heads: &mut heads,
            now,
            clock,
            written: Vec::new(),
        };
        let result = work(&mut tx)?;
        let written = tx.written;
        db.commit().doing(doing)?;
        self.heads = heads;
        self.publish(written);
        Ok(result)
    }

    /// Takes over events of the hub that are numbered from `first_seq` on in the hub's stream for
    /// this box. What is there already is left out; a hole is refused.
    pub(super) fn apply_down(
        &mut self,
        first_seq: u64,
        events: Vec<Event>,
        now: Timestamp,
    ) -> Result<u64, StorageError> {
        let doing = "taking over events of the hub";
        let held = self.heads.down_mark;
        if first_seq > held + 1 {
            return Err(StorageError::DownHole { first_seq, held });
        }
        let mut heads = self.heads.clone();
        let mut written = Vec::new();
        let tx = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .doing(doing)?;
        for (number, new) in (first_seq..).zip(events) {
            if number <= held {
                continue;
            }
            heads.down_mark = number;
            let body = wire::encode_event(&new).doing(doing)?;
            heads.down_chain = wire::chain(&heads.down_chain, &body);
            heads.clock.observe(new.hlc, now);
            if event(&tx, new.id)?.is_none() {
                insert(&tx, &new, (None, None, None), &body)?;
                folds::refresh(&tx, new.record)?;
                written.push(new);
            }
        }
        set_meta(&tx, "down_mark", heads.down_mark)?;
        set_meta(&tx, "down_chain", heads.down_chain)?;
        tx.commit().doing(doing)?;
        self.heads = heads;
        self.publish(written);
        Ok(self.heads.down_mark)
    }

    /// Events of this opening were moved: `chain` is the one over them now, if there are any.
    pub(super) fn corrected(&mut self, chain: Option<Chain>, by: Correction) {
        self.heads.chain = chain.unwrap_or(self.heads.chain);
        self.heads.correction = Some(by);
    }

    fn publish(&self, written: Vec<Event>) {
        let mut changes: Vec<RecordChange> = Vec::new();
        for event in written {
            match changes.iter_mut().find(|c| c.record == event.record) {
                Some(change) => change.events.push(event),
                None => changes.push(RecordChange {
                    record: event.record,
                    events: vec![event],
                }),
            }
        }
        for change in changes {
            // Nobody listens: that is no error.
            drop(self.changes.send(change));
        }
    }
}

/// The gateway's id, made at the first start.
fn identity(db: &mut Connection, now: Timestamp) -> Result<GatewayId, StorageError> {
    if let Some(bytes) = meta::<[u8; 16]>(db, "gateway")? {
        return Ok(GatewayId(uuid::Uuid::from_bytes(bytes)));
    }
    let gateway = GatewayId(random_id(now)?);
    set_meta(db, "gateway", gateway.0.as_bytes().as_slice())?;
    Ok(gateway)
}

fn random_id(now: Timestamp) -> Result<uuid::Uuid, StorageError> {
    let mut random = [0; 10];
    SystemRandom::new()
        .fill(&mut random)
        .map_err(|_| StorageError::Random)?;
    Ok(uuid_v7(u64::try_from(now.millis()).unwrap_or(0), random))
}

fn event(db: &Connection, id: EventId) -> Result<Option<Event>, StorageError> {
    let doing = "looking for an event";
    let bytes: Option<Vec<u8>> = db
        .prepare_cached("SELECT body FROM event WHERE id = ?1")
        .and_then(|mut query| {
            query
                .query_row([id.0.as_bytes().as_slice()], |row| row.get(0))
                .optional()
        })
        .doing(doing)?;
    bytes
        .map(|bytes| wire::decode_event(&bytes))
        .transpose()
        .doing(doing)
}

/// Incarnation, number and chain of one of this box's own events.
type Own = (Option<u32>, Option<u64>, Option<Chain>);

fn insert(db: &Connection, event: &Event, own: Own, body: &[u8]) -> Result<(), StorageError> {
    let (incarnation, seq, chain) = own;
    db.prepare_cached(
        "INSERT INTO event (id, incarnation, seq, chain, kind, record, hlc, body)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )
    .and_then(|mut insert| {
        insert.execute((
            event.id.0.as_bytes().as_slice(),
            incarnation,
            seq,
            chain,
            folds::kind_code(event.record.kind),
            event.record.id.as_bytes().as_slice(),
            folds::hlc_key(event.hlc),
            body,
        ))
    })
    .doing("writing an event")?;
    Ok(())
}
