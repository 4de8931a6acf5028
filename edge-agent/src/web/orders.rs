//! What a person does with a work order: made, worked, signed and closed on the box, each act one
//! transaction. Never does what the order would not follow: the order is folded and asked in the
//! same transaction.

use super::Page;
use super::actions::{append_at, key};
use super::caller::Caller;
use super::problem::Problem;
use super::records::{order_id, work_order_view};
use super::session;
use super::waited::Ago;
use crate::people::Act;
use crate::storage::RecordTx;
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use protocol::action::{Ground, NewOrder, OrderAction, Written};
use protocol::bundle::Bundle;
use protocol::event::{Actor, Body, SignedBy, WorkOrderEvent};
use protocol::id::{EventId, GatewayId, WorkOrderId};
use protocol::time::Timestamp;
use protocol::work_order::{Action, WorkOrder};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::net::SocketAddr;
use std::sync::Arc;

type Posted = Result<Json<Map<String, Value>>, JsonRejection>;

/// What any act may carry beside its own fields.
#[derive(Debug)]
pub(super) struct Envelope {
    /// Who does it, where nobody is signed in.
    pub(super) by: String,
    ago_s: Ago,
    /// The PIN, once more, for a signature.
    pin: Option<String>,
    /// The fields of the act itself.
    pub(super) rest: Map<String, Value>,
}

impl Envelope {
    pub(super) fn read(posted: Posted) -> Result<Self, Problem> {
        let mut rest = posted
            .map(|Json(rest)| rest)
            .map_err(|error| Problem::invalid(None, error.body_text()))?;
        let ago_s = taken::<Ago>(&mut rest, "ago_s")?.unwrap_or_default();
        Ok(Self {
            by: taken(&mut rest, "by")?.unwrap_or_default(),
            ago_s: ago_s.check()?,
            pin: taken(&mut rest, "pin")?,
            rest,
        })
    }

    /// When it was done.
    pub(super) fn time(&self, now: Timestamp) -> Timestamp {
        self.ago_s.time(now)
    }
}

fn taken<T: DeserializeOwned>(
    from: &mut Map<String, Value>,
    field: &'static str,
) -> Result<Option<T>, Problem> {
    let value = from.remove(field).filter(|value| !value.is_null());
    let value = value.map(serde_json::from_value).transpose();
    value.map_err(|error| Problem::invalid(Some(field), format!("{field}: {error}")))
}

/// `POST /work-orders`
pub(super) async fn create(
    State(page): State<Page>,
    caller: Caller,
    headers: HeaderMap,
    posted: Posted,
) -> Result<Response, Problem> {
    let mut envelope = Envelope::read(posted)?;
    let actor = caller.actor(&page, &envelope.by, Act::Work).await?;
    let key = key(&headers)?;
    // An order without a title is told as such, not as JSON that lacks a key.
    let mut rest = std::mem::take(&mut envelope.rest);
    rest.entry("title").or_insert(Value::String(String::new()));
    let order: NewOrder = serde_json::from_value(Value::Object(rest))
        .map_err(|error| Problem::invalid(None, error.to_string()))?;
    if order.gateway_id.is_some() {
        let words = "gateway_id is this box; leave it out";
        return Err(Problem::invalid(Some("gateway_id"), words));
    }
    order.created(String::new())?;
    // The same key is the same order.
    let id = protocol::action::follow_up(key.0);
    let code = code(&page).await?;
    page.storage
        .records(move |tx| {
            if tx.work_order(id)?.is_some() {
                return Ok(());
            }
            let number = tx.next_order_number(&code)?;
            let body = Body::WorkOrder(WorkOrderEvent::Created(order.created(number)?));
            let time = envelope.time(tx.now());
            append_at(tx, key, &actor, vec![(id.into(), body)], time)
        })
        .await?;
    let view = work_order_view(&page, id, true).await?;
    Ok((StatusCode::CREATED, Json(view)).into_response())
}

/// The prefix of the numbers of orders that are made here.
async fn code(page: &Page) -> Result<String, Problem> {
    let site = page.storage.site().await?;
    Ok(site.map_or_else(|| page.settings.code.clone(), |site| site.gateway_code))
}

/// One act on one order, on its way into a transaction.
struct Deed {
    id: WorkOrderId,
    key: EventId,
    actor: Actor,
    action: OrderAction,
    signed_by: Option<SignedBy>,
    bundle: Option<Arc<Bundle>>,
    gateway: GatewayId,
    code: String,
}

/// `POST /work-orders/{id}/actions/{action}`
pub(super) async fn act(
    State(page): State<Page>,
    Path((id, action)): Path<(String, String)>,
    (caller, headers): (Caller, HeaderMap),
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    posted: Posted,
) -> Result<Response, Problem> {
    let id = order_id(&id)?;
    let mut envelope = Envelope::read(posted)?;
    let action = read(&action, std::mem::take(&mut envelope.rest))?;
    let action = named(&page, action)?;
    let act = act_of(&action, &caller, &envelope.by);
    let actor = caller.actor(&page, &envelope.by, act).await?;
    let signed_by = match &action {
        OrderAction::Sign { .. } => Some(signs(&page, &caller, from, &envelope).await?),
        _ => None,
    };
    let deed = Deed {
        id,
        key: key(&headers)?,
        actor,
        action,
        signed_by,
        bundle: page.storage.bundle(),
        gateway: page.storage.gateway_id(),
        code: code(&page).await?,
    };
    let stopped = page
        .storage
        .records(move |tx| deed.write(tx, &envelope))
        .await?;
    let view = work_order_view(&page, id, true).await?;
    let mut view = serde_json::to_value(view).unwrap_or_default();
    if let (Some(view), false) = (view.as_object_mut(), stopped.is_empty()) {
        view.insert("clocks_stopped".to_owned(), stopped.into());
    }
    Ok(Json(view).into_response())
}

impl Deed {
    /// Answers the numbers of the orders on which the clock of this person stopped.
    fn write(self, tx: &mut RecordTx<'_>, envelope: &Envelope) -> Result<Vec<String>, Problem> {
        let order = tx.work_order(self.id)?;
        let order = order.ok_or_else(|| Problem::not_found("work order"))?;
        if order.history.iter().any(|line| line.id == self.key) {
            return Ok(Vec::new());
        }
        if let Some(action) = self.action.guard()
            && !order.may(action)
        {
            return Err(not_now(&order, action));
        }
        let mut written = self.events(tx, &order)?;
        let time = envelope.time(tx.now());
        let mut stopped = Vec::new();
        if self.action == (OrderAction::LabourStart {}) {
            for (other, number) in self.left(tx, time)? {
                let note = Some(format!("went on with {}", order.number));
                let stop = WorkOrderEvent::LabourStopped { note };
                written.push((other.into(), Body::WorkOrder(stop)));
                stopped.push(number);
            }
        }
        append_at(tx, self.key, &self.actor, written, time)?;
        Ok(stopped)
    }

    /// The other orders on which this person's clock runs: who begins here has left there.
    fn left(
        &self,
        tx: &RecordTx<'_>,
        time: Timestamp,
    ) -> Result<Vec<(WorkOrderId, String)>, Problem> {
        let mut left = Vec::new();
        for other in tx.orders_with_clocks()? {
            let mut clocks = other.clocks.iter();
            let own = clocks.find(|clock| clock.by == self.actor.name());
            let Some(clock) = own.filter(|_| other.id != self.id) else {
                continue;
            };
            // Told by a phone that was away: which clock is to stop when nobody can say.
            if clock.since > time {
                return Err(Problem::not_now(format!(
                    "The clock of {} on {} began after that and still runs. Enter the minutes on \
                     this order, or start the clock anew.",
                    clock.by, other.number
                )));
            }
            left.push((other.id, other.number));
        }
        Ok(left)
    }

    fn events(&self, tx: &mut RecordTx<'_>, order: &WorkOrder) -> Result<Written, Problem> {
        let number = match &self.action {
            OrderAction::FollowUp { .. } => Some(tx.next_order_number(&self.code)?),
            OrderAction::Duplicate { of } if tx.work_order(*of)?.is_none() => {
                let words = "of is the id of no order that this box knows";
                return Err(Problem::invalid(Some("of"), words));
            }
            _ => None,
        };
        let digest = self
            .signed_by
            .map(|by| Ok::<_, Problem>((by, tx.order_digest(self.id)?)));
        let ground = Ground {
            order,
            gateway: self.gateway,
            by: self.actor.name(),
            key: self.key.0,
            bundle: self.bundle.as_deref(),
            signed: digest.transpose()?,
            number,
        };
        Ok(self.action.events(&ground)?)
    }
}

/// Reads an action by its word and its fields.
fn read(action: &str, fields: Map<String, Value>) -> Result<OrderAction, Problem> {
    let mut whole = Map::new();
    whole.insert(action.to_owned(), Value::Object(fields));
    serde_json::from_value(Value::Object(whole)).map_err(|error| {
        let words = error.to_string();
        if words.starts_with(&format!("unknown variant `{action}`")) {
            return Problem::not_found("action");
        }
        Problem::invalid(None, format!("{action}: {words}"))
    })
}

/// The name of who is to do it, where only the id is given.
fn named(page: &Page, action: OrderAction) -> Result<OrderAction, Problem> {
    let OrderAction::Assign {
        user_id: Some(user),
        name: None,
    } = action
    else {
        return Ok(action);
    };
    let bundle = page.storage.bundle();
    let person = bundle.as_ref().and_then(|bundle| bundle.person(user));
    let name = person.map(|person| person.name.clone()).ok_or_else(|| {
        let words = "user_id names nobody of this site; give the name";
        Problem::invalid(Some("user_id"), words)
    })?;
    Ok(OrderAction::Assign {
        user_id: Some(user),
        name: Some(name),
    })
}

/// What kind of act it is, as roles know it. To take an order oneself is work.
fn act_of(action: &OrderAction, caller: &Caller, by: &str) -> Act {
    use OrderAction as A;
    match action {
        A::Assign { name, .. } => {
            let own = match caller {
                Caller::Person(who) => who.name.as_str(),
                _ => by,
            };
            if name.as_deref() == Some(own) {
                Act::Work
            } else {
                Act::Plan
            }
        }
        A::Unassign {}
        | A::Approve {}
        | A::Reject { .. }
        | A::Edit(_)
        | A::Schedule { .. }
        | A::Close { .. }
        | A::Cancel { .. }
        | A::Reopen { .. }
        | A::Duplicate { .. }
        | A::ReviewDone { .. } => Act::Plan,
        _ => Act::Work,
    }
}

/// Asks for the PIN once more. A box that knows no PINs takes the name, and the signature says so.
async fn signs(
    page: &Page,
    caller: &Caller,
    from: SocketAddr,
    envelope: &Envelope,
) -> Result<SignedBy, Problem> {
    match (caller, &envelope.pin) {
        (Caller::Person(_), Some(pin)) => {
            session::confirm(page, caller, from, pin).await?;
            Ok(SignedBy::Pin)
        }
        (Caller::Person(_), None) => {
            let words = "pin is missing: whoever signs enters it once more";
            Err(Problem::invalid(Some("pin"), words))
        }
        _ => Ok(SignedBy::Name),
    }
}

fn not_now(order: &WorkOrder, action: Action) -> Problem {
    let possible: Vec<&str> = order.actions().into_iter().map(Action::word).collect();
    let state = serde_json::to_value(order.state).unwrap_or_default();
    let state = state.as_str().unwrap_or_default().replace('_', " ");
    Problem::not_now(format!(
        "Order {} is {state}; \"{}\" is not possible. Possible: {}.",
        order.number,
        action.word(),
        possible.join(", ")
    ))
}
