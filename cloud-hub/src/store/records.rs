//! What people do at the hub: events of the hub's own, each with its way down to the box at
//! which the record lives, in one transaction.
//! Never decides whether somebody may: the caller asks the folded record first.

use super::changes::{Change, Changed};
use super::error::{Doing as _, StoreError};
use super::writer::Work;
use super::{Store, down, events, sql};
use crate::tenants::TenantScope;
use protocol::alarm_point::{self, AlarmPoint};
use protocol::alert::{self, Alert};
use protocol::event::{Actor, Body, Event, RecordRef};
use protocol::id::{AlarmPointId, AlertId, EventId, GatewayId, Origin, SiteId, WorkOrderId};
use protocol::time::{ClockState, Timestamp};
use protocol::wire;
use protocol::work_order::{self, WorkOrder};
use rusqlite::OptionalExtension as _;
use std::collections::BTreeSet;

/// An event to be written by the hub.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// Its identity: the `Idempotency-Key`, or a new one.
    pub id: EventId,
    /// Who acts.
    pub actor: Actor,
    /// The record that changes.
    pub record: RecordRef,
    /// What happens.
    pub body: Body,
    /// The gateway at which a new record is to live; a record that exists keeps its home.
    pub home: GatewayId,
}

/// One transaction over records. What it has appended is seen by its own later questions.
pub struct Records<'a, 'w> {
    scope: TenantScope,
    work: &'a mut Work<'w>,
    touched: BTreeSet<RecordRef>,
}

impl std::fmt::Debug for Records<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Records")
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Runs `action` in one transaction on the writer thread: all of it counts, or nothing.
    pub async fn records<T, E>(
        &self,
        scope: TenantScope,
        action: impl FnOnce(&mut Records<'_, '_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.write(move |work| {
            let mut records = Records {
                scope,
                work,
                touched: BTreeSet::new(),
            };
            let value = action(&mut records)?;
            let touched = std::mem::take(&mut records.touched);
            for record in touched {
                events::refold(work, scope, record)?;
            }
            Ok(value)
        })
        .await
    }
}

impl<'w> Records<'_, 'w> {
    /// The transaction, for the files of this room that keep more than events.
    pub(super) fn parts(&mut self) -> (&mut Work<'w>, TenantScope) {
        (&mut *self.work, self.scope)
    }

    /// The wall clock when this transaction began.
    pub const fn now(&self) -> Timestamp {
        self.work.now
    }

    /// The alert, as its events tell it.
    pub fn alert(&self, id: AlertId) -> Result<Alert, StoreError> {
        let events = events::of_record(self.work.sql, self.scope, id.into())?;
        alert::fold(id, &events).ok_or(StoreError::NotFound { what: "alert" })
    }

    /// The alarm point, as its events tell it; none: nothing was ever held back of it.
    pub fn alarm_point(&self, id: AlarmPointId) -> Result<Option<AlarmPoint>, StoreError> {
        let events = events::of_record(self.work.sql, self.scope, id.into())?;
        Ok(alarm_point::fold(id, &events))
    }

    /// The work order, as its events tell it.
    pub fn work_order(&self, id: WorkOrderId) -> Result<WorkOrder, StoreError> {
        let events = events::of_record(self.work.sql, self.scope, id.into())?;
        work_order::fold(id, &events).ok_or(StoreError::NotFound { what: "work order" })
    }

    /// The work order as it was before `event`; `None` when that event made it.
    pub fn work_order_before(
        &self,
        id: WorkOrderId,
        event: &Event,
    ) -> Result<Option<WorkOrder>, StoreError> {
        let mut events = events::of_record(self.work.sql, self.scope, id.into())?;
        events.retain(|earlier| (earlier.hlc, earlier.id) < (event.hlc, event.id));
        Ok(work_order::fold(id, &events))
    }

    /// The site at which a gateway stands.
    pub fn site_of(&self, gateway: GatewayId) -> Result<Option<SiteId>, StoreError> {
        self.work
            .sql
            .query_row(
                "SELECT site_id FROM gateway WHERE tenant_id = ?1 AND id = ?2",
                (self.scope.key(), gateway.0.into_bytes()),
                |row| sql::id(row, 0),
            )
            .optional()
            .doing("look up the site of a gateway")
    }

    /// The gateway at which a record lives.
    pub fn home(&self, record: RecordRef) -> Result<Option<GatewayId>, StoreError> {
        events::home(self.work.sql, self.scope, record)
    }

    /// The event with this id, if it was written already.
    pub fn event(&self, id: EventId) -> Result<Option<Event>, StoreError> {
        let body: Option<Vec<u8>> = self
            .work
            .sql
            .prepare_cached("SELECT body FROM event WHERE tenant_id = ?1 AND id = ?2")
            .and_then(|mut query| {
                query
                    .query_row((self.scope.key(), id.0.into_bytes()), |row| row.get(0))
                    .optional()
            })
            .doing("look up an event")?;
        body.map(|body| wire::decode_event(&body).doing("a stored event"))
            .transpose()
    }

    /// The next number for an order that is made at the hub: `H-0001`.
    pub fn next_order_number(&mut self) -> Result<String, StoreError> {
        let number: i64 = self
            .work
            .sql
            .query_row(
                "INSERT INTO order_number (tenant_id, last) VALUES (?1, 1)
                ON CONFLICT DO UPDATE SET last = last + 1 RETURNING last",
                [self.scope.key()],
                |row| row.get(0),
            )
            .doing("take the next order number")?;
        Ok(format!("H-{number:04}"))
    }

    /// Writes an event of the hub and puts it on its way to the record's home.
    ///
    /// The same id with the same record and body again gives the event that is there; with
    /// another one it is `EventIdReused`.
    pub fn append(&mut self, new: NewEvent) -> Result<Event, StoreError> {
        if let Some(known) = self.event(new.id)? {
            return if known.record == new.record && known.body == new.body {
                Ok(known)
            } else {
                Err(StoreError::EventIdReused)
            };
        }
        let home = events::settle_home(self.work.sql, self.scope, new.record, new.home)?;
        let (latest, based_on) = events::highest_stamps(self.work.sql, self.scope, new.record)?;
        let (incarnation, seq) = self.next_number()?;
        let event = Event {
            id: new.id,
            origin: Origin::Hub,
            incarnation,
            seq,
            hlc: self.work.hlc.tick(self.work.now).after(latest),
            based_on,
            time: self.work.now,
            clock: ClockState::Synchronised,
            actor: new.actor,
            record: new.record,
            body: new.body,
        };
        events::insert(self.work, self.scope, &event, None)?;
        down::push(self.work.sql, self.scope, home, event.id)?;
        self.work.changes.push(Change {
            scope: self.scope,
            what: Changed::Down(home),
        });
        self.touched.insert(event.record);
        Ok(event)
    }

    /// The next number of the present incarnation; from the store, because a command beside the
    /// hub opens it as well and begins a new one.
    fn next_number(&self) -> Result<(u32, u64), StoreError> {
        self.work
            .sql
            .query_row(
                "UPDATE hub SET events_last = events_last + 1
                RETURNING incarnation, events_last",
                [],
                |row| Ok((row.get(0)?, sql::uint(row.get(1)?))),
            )
            .doing("number an event")
    }
}
