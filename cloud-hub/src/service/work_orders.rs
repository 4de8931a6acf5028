//! What people at the hub do with work orders: make, change and act, each in one transaction
//! that first asks the folded order whether it may.

use super::order_action::{NewOrder, OrderAction, OrderChanges};
use super::{ServiceError, event_id, may_write, person, repeated};
use crate::auth::Actor;
use crate::store::{NewEvent, Records, Store, StoreError};
use protocol::event::{Actor as By, Body, RecordRef, WorkOrderEvent};
use protocol::id::{GatewayId, UserId, WorkOrderId};
use protocol::work_order::{Action, WorkOrder, WorkOrderState};
use uuid::Uuid;

/// Makes an order at the hub and sends it to its gateway; the same `key` makes it once.
pub async fn create_order(
    store: &Store,
    actor: &Actor,
    key: Uuid,
    order: NewOrder,
) -> Result<WorkOrderId, ServiceError> {
    may_write(actor)?;
    // Refuses a wrong order before a number is taken for it.
    order.event(String::new())?;
    store.gateway(actor.scope, order.gateway_id).await?;
    let id = WorkOrderId(Uuid::new_v5(&key, b"work order"));
    let by = person(actor);
    store
        .records(actor.scope, move |records| {
            if let Some(known) = records.event(key.into())? {
                return order.is_made_by(&known.body).map(|()| id);
            }
            let number = records.next_order_number()?;
            let body = Body::WorkOrder(order.event(number)?);
            let record = id.into();
            let home = order.gateway_id;
            let id_of_event = key.into();
            records.append(NewEvent {
                id: id_of_event,
                actor: by,
                record,
                body,
                home,
            })?;
            Ok(id)
        })
        .await
}

/// Sets the fields that differ, one event each.
pub async fn change_order(
    store: &Store,
    actor: &Actor,
    id: WorkOrderId,
    key: Uuid,
    changes: OrderChanges,
) -> Result<(), ServiceError> {
    may_write(actor)?;
    let by = person(actor);
    store
        .records(actor.scope, move |records| {
            let order = records.work_order(id)?;
            if let Some(known) = records.event(key.into())? {
                return if known.record == id.into() {
                    Ok(())
                } else {
                    Err(ServiceError::KeyReused)
                };
            }
            let events = changes.events(&order)?;
            if !events.is_empty() {
                guard(&order, Action::Edit)?;
            }
            append(records, id, key, &by, events)
        })
        .await
}

/// Carries out `action` once, whatever often it is repeated with the same `key`.
pub async fn act_on_order(
    store: &Store,
    actor: &Actor,
    id: WorkOrderId,
    key: Uuid,
    action: OrderAction,
) -> Result<(), ServiceError> {
    may_write(actor)?;
    let action = match action {
        OrderAction::Assign {
            user_id: Some(user),
            name: None,
        } => OrderAction::Assign {
            user_id: Some(user),
            name: Some(user_name(store, actor, user).await?),
        },
        action => action,
    };
    let events = action.events()?;
    let by = person(actor);
    store
        .records(actor.scope, move |records| {
            let order = records.work_order(id)?;
            if let Some(first) = events.first() {
                let body = Body::WorkOrder(first.clone());
                if repeated(records, key, id.into(), &body)? {
                    return Ok(());
                }
            }
            if let Some(wanted) = action.guard() {
                guard(&order, wanted)?;
            }
            append(records, id, key, &by, events)
        })
        .await
}

async fn user_name(store: &Store, actor: &Actor, user: UserId) -> Result<String, ServiceError> {
    match store.user(actor.scope, user).await {
        Ok(row) => Ok(row.name),
        Err(StoreError::NotFound { .. }) => Err(super::text::invalid(
            "user_id",
            "names nobody; take an id from GET /api/v1/users",
        )),
        Err(error) => Err(error.into()),
    }
}

fn append(
    records: &mut Records<'_, '_>,
    id: WorkOrderId,
    key: Uuid,
    by: &By,
    events: Vec<WorkOrderEvent>,
) -> Result<(), ServiceError> {
    let record: RecordRef = id.into();
    let home: GatewayId = records
        .home(record)?
        .ok_or(StoreError::NotFound { what: "work order" })?;
    for (index, event) in events.into_iter().enumerate() {
        records.append(NewEvent {
            id: event_id(key, index),
            actor: by.clone(),
            record,
            body: Body::WorkOrder(event),
            home,
        })?;
    }
    Ok(())
}

/// Refuses what the order's state does not allow, and says what it does.
fn guard(order: &WorkOrder, wanted: Action) -> Result<(), ServiceError> {
    if order.may(wanted) {
        return Ok(());
    }
    let allowed: Vec<_> = order.actions().into_iter().map(Action::word).collect();
    let words = format!(
        "{} is {}, so \"{}\" is not possible now; possible is: {}",
        order.number,
        state_words(order.state),
        wanted.word(),
        if allowed.is_empty() {
            "nothing".to_owned()
        } else {
            allowed.join(", ")
        }
    );
    Err(ServiceError::NotNow { words })
}

const fn state_words(state: WorkOrderState) -> &'static str {
    match state {
        WorkOrderState::Requested => "requested and not yet approved",
        WorkOrderState::Open => "open",
        WorkOrderState::Scheduled => "scheduled",
        WorkOrderState::InProgress => "in progress",
        WorkOrderState::OnHold => "on hold",
        WorkOrderState::Done => "done",
        WorkOrderState::Closed => "closed",
        WorkOrderState::Rejected => "rejected",
        WorkOrderState::Cancelled => "cancelled",
        WorkOrderState::Duplicate => "a duplicate of another order",
    }
}
