//! What telling people leaves in the records: who was told, and who acknowledged by answering. Never
//! anything but events written through the store.

use crate::storage::{NewEvent, Storage, StorageError};
use protocol::event::{Actor, AlertEvent, Body, Notified};
use protocol::id::{AlertId, UserId};
use protocol::limits::{NAME_BYTES_MAX, TEXT_BYTES_MAX};

/// Who tells.
const ACTOR: &str = "notify";
/// Whom, where whoever is there hears or sees it.
const EVERYBODY: &str = "everybody there";

/// One delivery, or the end of all tries, as the history of an alert shows it.
pub(super) fn event(channel: &str, to: &str, delivered: bool, words: &str) -> Notified {
    let to = if to.is_empty() { EVERYBODY } else { to };
    Notified {
        channel: at_most(channel, NAME_BYTES_MAX),
        to: at_most(to, NAME_BYTES_MAX),
        delivered,
        words: at_most(words, TEXT_BYTES_MAX),
    }
}

/// Notes who was told, in one transaction. What cannot be noted is in the log of deliveries.
pub(super) async fn noted(storage: &Storage, noted: Vec<(AlertId, Notified)>) {
    let written = storage.records(move |tx| {
        for (alert, notified) in noted {
            tx.append(NewEvent {
                id: None,
                actor: Actor::System(ACTOR.to_owned()),
                record: alert.into(),
                body: Body::Alert(AlertEvent::Notified(notified)),
            })?;
        }
        Ok::<_, StorageError>(())
    });
    if let Err(error) = written.await {
        tracing::warn!(%error, "who was told could not be noted in the history of the alert");
    }
}

/// Acknowledges an alert for a person; one that is acknowledged already, or is not known, stays as it
/// is.
pub(super) async fn acknowledge(
    storage: &Storage,
    alert: AlertId,
    by: &str,
    how: &str,
) -> Result<(), StorageError> {
    let site = storage.site().await?;
    let people = site.iter().flat_map(|site| &site.people);
    let known = people
        .filter(|(_, name)| name == by)
        .map(|(id, _)| UserId(*id))
        .next();
    let actor = Actor::Person(at_most(by, NAME_BYTES_MAX), known);
    let note = Some(at_most(&format!("by {how}"), NAME_BYTES_MAX));
    storage
        .records(move |tx| {
            let Some(found) = tx.alert(alert)? else {
                tracing::warn!(%alert, "somebody acknowledged an alert that is not known here");
                return Ok(());
            };
            if found.acknowledged.is_none() {
                tx.append(NewEvent {
                    id: None,
                    actor,
                    record: alert.into(),
                    body: Body::Alert(AlertEvent::Acknowledged { note }),
                })?;
            }
            Ok(())
        })
        .await
}

fn at_most(text: &str, bytes_max: usize) -> String {
    let ends = (0..=bytes_max.min(text.len())).rev();
    let end = ends.into_iter().find(|at| text.is_char_boundary(*at));
    text.get(..end.unwrap_or(0)).unwrap_or_default().to_owned()
}
