//! Signatures of an order, and what each covers. Never asks how a person showed who they are: the
//! program that takes the signature does.

use super::{WorkOrder, tasks};
use crate::attachment::{ContentDigest, ContentHash};
use crate::event::{Actor, Body, Event, Signed, SignedBy, SignedFor, WorkOrderEvent};
use crate::id::{EventId, UserId, WorkOrderId};
use crate::record::{self, HistoryEntry};
use crate::time::Timestamp;
use crate::wire;
use uuid::Uuid;

/// A signature under an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The event.
    pub id: EventId,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// The hub's id of who signed, where it is known.
    pub user: Option<UserId>,
    /// What it means.
    pub meaning: SignedFor,
    /// How the person showed who they are.
    pub method: SignedBy,
    /// What they said.
    pub note: Option<String>,
    /// The task that it is the result of.
    pub task: Option<Uuid>,
    /// What was signed.
    pub digest: ContentHash,
    /// The events that the person had before them give the digest that was signed.
    pub holds: bool,
    /// Changes of the order that the person had not before them.
    pub changes_since: u32,
}

/// What a signature under the order covers: id, actor and body of each of `events` that belong to
/// it, in the order of the fold. Snapshots count by their id and times of the writers' clocks do
/// not count: a clock that is set afterwards moves them.
pub fn digest(id: WorkOrderId, events: &[Event]) -> ContentHash {
    hash(record::in_order(events, id.into()).into_iter())
}

fn hash<'a>(events: impl Iterator<Item = &'a Event>) -> ContentHash {
    let mut digest = ContentDigest::default();
    let mut part = |bytes: &[u8]| {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        digest.update(&length.to_be_bytes());
        digest.update(bytes);
    };
    for event in events {
        part(event.id.0.as_bytes());
        part(event.actor.name().as_bytes());
        let moves = matches!(
            event.body,
            Body::WorkOrder(WorkOrderEvent::SnapshotAdded(_))
        );
        // A body that was read can be written.
        let body = wire::encode_body(&event.body).unwrap_or_default();
        part(if moves { &[] } else { &body });
    }
    digest.finish()
}

/// Takes in a signature; `before` are the events that stand before it. Says whether a planner is
/// to look at it.
pub(super) fn signed(
    order: &mut WorkOrder,
    line: &mut HistoryEntry,
    (event, signed): (&Event, &Signed),
    before: &[&Event],
) -> bool {
    line.what = "signed";
    line.text = Some(signed.meaning.word().to_owned());
    let seen = |earlier: &&&Event| !record::concurrent(earlier, event);
    let holds = hash(before.iter().filter(seen).copied()) == signed.digest;
    let unseen = before.iter().filter(|earlier| !seen(earlier));
    let unseen = unseen.filter(|earlier| changes(earlier)).count();
    let user = match &event.actor {
        Actor::Person(_, user) => *user,
        Actor::System(_) => None,
    };
    tasks::signed(order, event, signed);
    order.signatures.push(Signature {
        id: event.id,
        at: event.time,
        by: event.actor.name().to_owned(),
        user,
        meaning: signed.meaning,
        method: signed.method,
        note: signed.note.clone(),
        task: signed.task,
        digest: signed.digest,
        holds,
        changes_since: u32::try_from(unseen).unwrap_or(u32::MAX),
    });
    if !holds {
        line.note = Some("what was signed is not what is here");
    } else if unseen > 0 {
        line.note = Some("the order was changed at the same time");
    }
    !holds || unseen > 0
}

/// Counts a change that comes after signatures.
pub(super) fn changed_after(order: &mut WorkOrder, event: &Event, line: &HistoryEntry) {
    if line.applied && changes(event) {
        for signature in &mut order.signatures {
            signature.changes_since = signature.changes_since.saturating_add(1);
        }
    }
}

/// Whether an event changes what a signature is about: neither talk, nor what the box adds, nor
/// what follows when all is done.
fn changes(event: &Event) -> bool {
    use WorkOrderEvent as E;
    match &event.body {
        Body::WorkOrder(body) => !matches!(
            body,
            E::Commented { .. }
                | E::SnapshotAdded(_)
                | E::AlarmCleared { .. }
                | E::Signed(_)
                | E::Verified { .. }
                | E::Done { .. }
                | E::Closed { .. }
                | E::Reviewed { .. }
                | E::FollowedUp { .. }
        ),
        _ => false,
    }
}
