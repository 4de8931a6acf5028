//! What people at the hub do with work orders: make, change and act, each in one transaction
//! that first asks the folded order whether it may.

use super::{ServiceError, event_id, may_write, person};
use crate::auth::Actor;
use crate::store::{NewEvent, Records, Store, StoreError};
use protocol::action::{self, Ground, NewOrder, OrderAction, OrderChanges, Written, text};
use protocol::bundle::Bundle;
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
    order.created(String::new())?;
    let home = order
        .gateway_id
        .ok_or_else(|| text::invalid("gateway_id", "is missing: whose people are to see it?"))?;
    store.gateway(actor.scope, home).await?;
    let id = action::follow_up(key);
    let by = person(actor);
    store
        .records(actor.scope, move |records| {
            if let Some(known) = records.event(key.into())? {
                return is_made_by(&order, &known.body).map(|()| id);
            }
            let number = records.next_order_number()?;
            let body = Body::WorkOrder(WorkOrderEvent::Created(order.created(number)?));
            let record = id.into();
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

/// Whether `body` is what an earlier, equal request made; `KeyReused` when it is not.
fn is_made_by(order: &NewOrder, body: &Body) -> Result<(), ServiceError> {
    match body {
        Body::WorkOrder(WorkOrderEvent::Created(known))
            if *known == order.created(known.number.clone())? =>
        {
            Ok(())
        }
        _ => Err(ServiceError::KeyReused),
    }
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
        OrderAction::Sign { .. } => {
            let words = "a signature is given on the box, with the PIN of who signs".to_owned();
            return Err(ServiceError::NotNow { words });
        }
        action => action,
    };
    let by = person(actor);
    store
        .records(actor.scope, move |records| {
            act(records, id, key, &by, &action)
        })
        .await
}

fn act(
    records: &mut Records<'_, '_>,
    id: WorkOrderId,
    key: Uuid,
    by: &By,
    action: &OrderAction,
) -> Result<(), ServiceError> {
    let order = records.work_order(id)?;
    let home = records
        .home(id.into())?
        .ok_or(StoreError::NotFound { what: "work order" })?;
    if let Some(known) = records.event(key.into())? {
        // As the order was then: what is written may depend on it.
        let then = records.work_order_before(id, &known)?;
        let then = then.filter(|_| known.record == id.into());
        let then = then.ok_or(ServiceError::KeyReused)?;
        let number = match &known.body {
            Body::WorkOrder(WorkOrderEvent::FollowedUp { number, .. }) => Some(number.clone()),
            _ => None,
        };
        let wanted = written(records, (&then, home), (key, by, action), number)?;
        return match wanted.first() {
            Some((_, body)) if *body == known.body => Ok(()),
            _ => Err(ServiceError::KeyReused),
        };
    }
    let number = match action {
        OrderAction::FollowUp { .. } => Some(records.next_order_number()?),
        _ => None,
    };
    if let Some(wanted) = action.guard()
        && !order.may(wanted)
    {
        // A wrong field is told as such in every state.
        written(records, (&order, home), (key, by, action), number)?;
        return guard(&order, wanted);
    }
    if let OrderAction::Duplicate { of } = action {
        let known = records.work_order(*of);
        known.map_err(|_| text::invalid("of", "is the id of no order"))?;
    }
    let events = written(records, (&order, home), (key, by, action), number)?;
    for (index, (record, body)) in events.into_iter().enumerate() {
        let new = NewEvent {
            id: event_id(key, index),
            actor: by.clone(),
            record,
            body,
            home,
        };
        records.append(new)?;
    }
    Ok(())
}

/// The events that say what is asked.
fn written(
    records: &mut Records<'_, '_>,
    (order, home): (&WorkOrder, GatewayId),
    (key, by, action): (Uuid, &By, &OrderAction),
    number: Option<String>,
) -> Result<Written, ServiceError> {
    let bundle = match action {
        OrderAction::Part { .. } | OrderAction::Checklist { .. } => bundle(records, home)?,
        _ => None,
    };
    let ground = Ground {
        order,
        gateway: home,
        by: by.name(),
        key,
        bundle: bundle.as_ref(),
        signed: None,
        number,
    };
    Ok(action.events(&ground)?)
}

/// What the hub has of the site of a gateway.
fn bundle(
    records: &mut Records<'_, '_>,
    gateway: GatewayId,
) -> Result<Option<Bundle>, ServiceError> {
    match records.site_of(gateway)? {
        Some(site) => Ok(records.bundle(site)?),
        None => Ok(None),
    }
}

async fn user_name(store: &Store, actor: &Actor, user: UserId) -> Result<String, ServiceError> {
    match store.user(actor.scope, user).await {
        Ok(row) => Ok(row.name),
        Err(StoreError::NotFound { .. }) => {
            Err(text::invalid("user_id", "names nobody; take an id from GET /api/v1/users").into())
        }
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
