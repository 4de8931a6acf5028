//! What people at the hub do with an alert. Never clears one: only the box that measures does.

use super::{ServiceError, may_write, person, repeated};
use crate::auth::Actor;
use crate::store::{NewEvent, Store, StoreError};
use protocol::action::text;
use protocol::event::{AlertEvent, Body};
use protocol::id::AlertId;
use serde::Deserialize;
use uuid::Uuid;

/// An action on an alert, in the words of the JSON interface.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum AlertAction {
    /// Take notice.
    Acknowledge {
        /// What to say with it.
        note: Option<String>,
    },
    /// Say something.
    Comment {
        /// What.
        text: String,
    },
}

/// Carries out `action` once, whatever often it is repeated with the same `key`.
pub async fn act_on_alert(
    store: &Store,
    actor: &Actor,
    id: AlertId,
    key: Uuid,
    action: AlertAction,
) -> Result<(), ServiceError> {
    may_write(actor)?;
    let acknowledges = matches!(action, AlertAction::Acknowledge { .. });
    let body = Body::Alert(match action {
        AlertAction::Acknowledge { note } => AlertEvent::Acknowledged {
            note: text::note("note", note.as_deref())?,
        },
        AlertAction::Comment { text } => AlertEvent::Commented {
            text: text::words("text", &text)?,
        },
    });
    let by = person(actor);
    store
        .records(actor.scope, move |records| {
            let record = id.into();
            let alert = records.alert(id)?;
            if repeated(records, key, record, &body)? {
                return Ok(());
            }
            if let (true, Some((_, first))) = (acknowledges, &alert.acknowledged) {
                let words = format!("{first} has acknowledged this alert already");
                return Err(ServiceError::NotNow { words });
            }
            let home = records
                .home(record)?
                .ok_or(StoreError::NotFound { what: "alert" })?;
            records.append(NewEvent {
                id: key.into(),
                actor: by,
                record,
                body,
                home,
            })?;
            Ok(())
        })
        .await
}
