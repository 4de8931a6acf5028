//! This box's own events by opening of its store: numbers, chains, what the hub has of them, and
//! how those come back that the store no longer has. Never numbers an earlier opening's events.

use super::super::database::{meta, set_meta};
use super::super::error::{Doing as _, StorageError};
use super::super::{folds, words};
use super::{Core, insert};
use protocol::event::{Body, Event, WorkOrderEvent};
use protocol::id::Origin;
use protocol::time::Timestamp;
use protocol::wire;
use protocol::wire::v1::Chain;
use ring::rand::{SecureRandom as _, SystemRandom};
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};

/// Events of one opening of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnEvents {
    /// The opening.
    pub incarnation: u32,
    /// Highest number.
    pub last: u64,
    /// The hub has them up to here, as it last said.
    pub acked: u64,
}

impl Core {
    /// This box's events by opening, oldest first; openings without events are left out.
    pub(in crate::storage) fn own_events(&self) -> Vec<OwnEvents> {
        let mut own = self.earlier.clone();
        if self.heads.seq_last > 0 {
            own.push(OwnEvents {
                incarnation: self.heads.incarnation,
                last: self.heads.seq_last,
                acked: self.acked,
            });
        }
        own
    }

    /// The hub has the events of this incarnation up to `seq`, whatever it said before.
    pub(in crate::storage) fn mark_acked(&mut self, incarnation: u32, seq: u64) {
        let mut earlier = self.earlier.iter_mut();
        if incarnation == self.heads.incarnation {
            self.acked = seq;
        } else if let Some(own) = earlier.find(|own| own.incarnation == incarnation) {
            own.acked = seq;
        }
        self.acked_dirty = true;
    }

    /// Takes back events that this box once wrote and that its store no longer has, dense from
    /// `first_seq`: it was replaced, or put back from a copy. Says up to where they are held.
    pub(in crate::storage) fn apply_own(
        &mut self,
        incarnation: u32,
        first_seq: u64,
        events: Vec<Event>,
        now: Timestamp,
    ) -> Result<u64, StorageError> {
        let doing = "taking back this box's own events";
        let at = self
            .earlier
            .iter()
            .position(|own| own.incarnation == incarnation);
        let mut last = at
            .and_then(|at| self.earlier.get(at))
            .map_or(0, |own| own.last);
        if first_seq > last + 1 || incarnation == self.heads.incarnation {
            return Err(StorageError::OwnHole {
                incarnation,
                first_seq,
                held: last,
            });
        }
        let mut heads = self.heads.clone();
        let mut written = Vec::new();
        let tx = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .doing(doing)?;
        let mut chain = chain_at(&tx, incarnation, last)?.unwrap_or_default();
        for (number, new) in (first_seq..).zip(events) {
            let own = (Origin::Gateway(heads.gateway), incarnation, number);
            if number <= last || (new.origin, new.incarnation, new.seq) != own {
                continue;
            }
            heads.clock.observe(new.hlc, now);
            chain = insert_own(&tx, &new, &chain)?;
            raise_order_number(&tx, &new)?;
            folds::refresh(&tx, new.record)?;
            last = number;
            written.push(new);
        }
        tx.commit().doing(doing)?;
        self.heads = heads;
        let held = OwnEvents {
            incarnation,
            last,
            acked: last,
        };
        match at.and_then(|at| self.earlier.get_mut(at)) {
            Some(own) => *own = held,
            None => self.earlier.push(held),
        }
        self.acked_dirty = true;
        self.publish(written);
        Ok(last)
    }

    /// Writes the acknowledgements that are not yet on disk.
    pub(in crate::storage) fn save_acked(&mut self) -> Result<(), StorageError> {
        let doing = "writing what the hub has";
        let own = self.own_events();
        let tx = self.db.transaction().doing(doing)?;
        for own in own {
            tx.prepare_cached(
                "UPDATE incarnation SET acked = ?2 WHERE number = ?1 AND acked <> ?2",
            )
            .and_then(|mut update| update.execute((own.incarnation, own.acked)))
            .doing(doing)?;
        }
        tx.commit().doing(doing)?;
        self.acked_dirty = false;
        Ok(())
    }
}

/// A number for this opening of the store. At random, so that a store that was put back from a
/// copy never writes the same number twice, wherever the copy came from.
pub(super) fn new_incarnation(earlier: &[OwnEvents]) -> Result<u32, StorageError> {
    loop {
        let mut random = [0; 4];
        SystemRandom::new()
            .fill(&mut random)
            .map_err(|_| StorageError::Random)?;
        let number = u32::from_le_bytes(random);
        if number != 0 && earlier.iter().all(|own| own.incarnation != number) {
            return Ok(number);
        }
    }
}

pub(super) fn earlier(db: &Connection) -> Result<Vec<OwnEvents>, StorageError> {
    let doing = "reading the openings of the store";
    let mut query = db
        .prepare(
            "SELECT number, acked,
                (SELECT max(seq) FROM event
                    WHERE event.incarnation = incarnation.number AND seq IS NOT NULL)
            FROM incarnation ORDER BY pos",
        )
        .doing(doing)?;
    let rows = query.query_map([], |row| {
        Ok(OwnEvents {
            incarnation: row.get(0)?,
            last: row.get::<_, Option<u64>>(2)?.unwrap_or(0),
            acked: row.get(1)?,
        })
    });
    rows.and_then(Iterator::collect).doing(doing)
}

/// Numbers of orders that came back are not given again.
fn raise_order_number(db: &Connection, event: &Event) -> Result<(), StorageError> {
    let Body::WorkOrder(WorkOrderEvent::Created(created)) = &event.body else {
        return Ok(());
    };
    let number = created
        .number
        .rsplit_once('-')
        .map(|(_, number)| number.parse::<u64>());
    let given = meta::<u64>(db, "order_number")?.unwrap_or(0);
    match number {
        Some(Ok(number)) if number > given => set_meta(db, "order_number", number),
        _ => Ok(()),
    }
}

/// The chain over an incarnation's events up to `seq`.
pub(in crate::storage) fn chain_at(
    db: &Connection,
    incarnation: u32,
    seq: u64,
) -> Result<Option<Chain>, StorageError> {
    db.prepare_cached(
        "SELECT chain FROM event WHERE incarnation = ?1 AND seq = ?2 AND seq IS NOT NULL",
    )
    .and_then(|mut query| {
        query
            .query_row((incarnation, seq), |row| row.get(0))
            .optional()
    })
    .doing("reading the chain of events")
}

/// Writes an event of this box; the chain up to it, from the chain before it.
pub(super) fn insert_own(
    db: &Connection,
    event: &Event,
    before: &Chain,
) -> Result<Chain, StorageError> {
    let doing = "writing an event";
    if event.seq == 1 {
        db.prepare_cached("INSERT OR IGNORE INTO incarnation (number) VALUES (?1)")
            .and_then(|mut insert| insert.execute([event.incarnation]))
            .doing(doing)?;
    }
    let body = wire::encode_event(event).doing(doing)?;
    let chain = wire::chain(before, &body);
    let own = (Some(event.incarnation), Some(event.seq), Some(chain));
    insert(db, event, own, &body)?;
    words::note(db, event)?;
    Ok(chain)
}
