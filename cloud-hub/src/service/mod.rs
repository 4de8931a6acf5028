//! The use cases of people at the hub: who may do what with which record, and the events that
//! say so. Never speaks HTTP and never writes SQL.

mod alarms;
mod alerts;
pub mod reference;
mod remote;
mod site_records;
mod work_orders;

pub use alarms::{
    LOADS_MAX, Loads, OfAlarm, SHELVE_MINUTES_MAX, SiteLoad, act_on_alarm, alarm_loads,
};
pub use alerts::{AlertAction, act_on_alert};
pub use protocol::action::{AlarmAction, NewOrder, OrderAction, OrderChanges};
pub use remote::{EXPIRES, administrator, command, configure};
pub use site_records::{AssetAction, decide_asset, move_stock};
pub use work_orders::{act_on_order, change_order, create_order};

use crate::auth::Actor;
use crate::store::{Records, Role, StoreError};
use protocol::action::Refusal;
use protocol::event::{Actor as By, Body, RecordRef};
use protocol::id::EventId;
use uuid::Uuid;

/// Why a use case was not carried out. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The role does not allow it.
    #[error(
        "the role {role} may look at this, not change it; ask an administrator for the role planner"
    )]
    Forbidden {
        /// The caller's role.
        role: &'static str,
    },
    /// Only administrators may do it.
    #[error("the role {role} may not do this; ask an administrator to do it")]
    ForAdministrators {
        /// The caller's role.
        role: &'static str,
    },
    /// It does not exist, or not for this caller.
    #[error("there is no such {what}")]
    NotFound {
        /// Kind of thing.
        what: &'static str,
    },
    /// The record's state does not allow it.
    #[error("{words}")]
    NotNow {
        /// Why, and what to do.
        words: String,
    },
    /// A value of the request cannot be taken.
    #[error("{field}: {words}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// Why, and what would be right.
        words: String,
    },
    /// The idempotency key belongs to another act.
    #[error("the idempotency key was used for something else; make a new one for every new act")]
    KeyReused,
    /// The store did not do it.
    #[error(transparent)]
    Store(StoreError),
}

impl From<Refusal> for ServiceError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid { field, words } => Self::Invalid { field, words },
            Refusal::NotNow { words } => Self::NotNow { words },
        }
    }
}

impl From<StoreError> for ServiceError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound { what } => Self::NotFound { what },
            StoreError::EventIdReused => Self::KeyReused,
            error => Self::Store(error),
        }
    }
}

/// Refuses who may only look.
fn may_write(actor: &Actor) -> Result<(), ServiceError> {
    match actor.role {
        Role::Admin | Role::Planner => Ok(()),
        Role::Viewer => Err(ServiceError::Forbidden {
            role: actor.role.word(),
        }),
    }
}

/// The caller as events name them.
fn person(actor: &Actor) -> By {
    By::Person(actor.name.clone(), Some(actor.user))
}

/// Whether this very act was carried out before.
fn repeated(
    records: &Records<'_, '_>,
    key: Uuid,
    record: RecordRef,
    body: &Body,
) -> Result<bool, ServiceError> {
    match records.event(key.into())? {
        None => Ok(false),
        Some(known) if known.record == record && known.body == *body => Ok(true),
        Some(_) => Err(ServiceError::KeyReused),
    }
}

/// The id of the `index`-th event of one act: the caller's key itself, then ids derived from it,
/// so that a repeated act makes the same events.
fn event_id(key: Uuid, index: usize) -> EventId {
    if index == 0 {
        return key.into();
    }
    Uuid::new_v5(&key, format!("event:{index}").as_bytes()).into()
}
