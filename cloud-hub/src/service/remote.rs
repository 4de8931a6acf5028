//! What people do to a box from afar: a configuration document, a command. Each is an event of the
//! gateway's record too, in the same transaction. Never says that a box did it: the box does.

use super::{ServiceError, person};
use crate::auth::Actor;
use crate::store::{NewEvent, Records, Role, Store};
use crate::tenants::TenantScope;
use protocol::event::{Actor as By, Body, GatewayEvent, RecordKind, RecordRef};
use protocol::id::GatewayId;
use protocol::limits::{COMMANDS_MAX, DOCUMENT_BYTES_MAX, NAME_BYTES_MAX};
use protocol::sync::Task;
use std::time::Duration;
use uuid::Uuid;

/// Shortest and longest time that a command may wait for its box.
pub const EXPIRES: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(7 * 86_400);

/// Whoever may do this as a person who is signed in.
pub fn administrator(actor: &Actor) -> Result<By, ServiceError> {
    match actor.role {
        Role::Admin => Ok(person(actor)),
        Role::Planner | Role::Viewer => Err(ServiceError::ForAdministrators {
            role: actor.role.word(),
        }),
    }
}

/// Gives a gateway a new configuration document; answers its number. `key` makes a repetition the
/// same act.
pub async fn configure(
    store: &Store,
    scope: TenantScope,
    (by, key): (By, Uuid),
    gateway: GatewayId,
    text: String,
) -> Result<u64, ServiceError> {
    let invalid = |words: String| ServiceError::Invalid {
        field: "text",
        words,
    };
    if text.trim().is_empty() {
        return Err(invalid(
            "is empty; write [[port]] and [[device]] tables".to_owned(),
        ));
    }
    if text.len() > DOCUMENT_BYTES_MAX {
        let bytes = text.len();
        return Err(invalid(format!(
            "is {bytes} bytes long; at most {DOCUMENT_BYTES_MAX} are taken"
        )));
    }
    store.gateway(scope, gateway).await?;
    store
        .records(scope, move |records| {
            if let Some(known) = records.event(key.into())? {
                return match known.body {
                    Body::Gateway(GatewayEvent::Configured { version }) => Ok(version),
                    _ => Err(ServiceError::KeyReused),
                };
            }
            let mut hash = [0; 32];
            let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
            hash.copy_from_slice(digest.as_ref());
            let version = records.add_document(gateway, (&text, hash), name(&by))?;
            note(
                records,
                gateway,
                (by, key),
                GatewayEvent::Configured { version },
            )?;
            Ok(version)
        })
        .await
}

/// Gives a gateway a command that it does within `expires` or not at all. `key` is the command's id,
/// so that a repetition is the same command.
pub async fn command(
    store: &Store,
    scope: TenantScope,
    (by, key): (By, Uuid),
    gateway: GatewayId,
    (task, expires): (Task, Duration),
) -> Result<(), ServiceError> {
    if !EXPIRES.contains(&expires) {
        return Err(ServiceError::Invalid {
            field: "expires_s",
            words: "must be 1 second to 7 days".to_owned(),
        });
    }
    if let Task::Read { sensor } = &task
        && sensor.len() > 2 * NAME_BYTES_MAX + 1
    {
        return Err(ServiceError::Invalid {
            field: "arguments",
            words: "this is no sensor; write device/sensor".to_owned(),
        });
    }
    store.gateway(scope, gateway).await?;
    store
        .records(scope, move |records| {
            let said = GatewayEvent::Commanded {
                command: key,
                task: task.word().to_owned(),
            };
            if let Some(known) = records.event(key.into())? {
                let same = known.record.id == gateway.0 && known.body == Body::Gateway(said);
                return if same {
                    Ok(())
                } else {
                    Err(ServiceError::KeyReused)
                };
            }
            if records.open_commands(gateway)? >= COMMANDS_MAX {
                return Err(ServiceError::NotNow {
                    words: format!(
                        "{COMMANDS_MAX} commands wait for this box already; it has to connect first"
                    ),
                });
            }
            let micros = i64::try_from(expires.as_micros()).unwrap_or(i64::MAX);
            let until = records.now().plus_micros(micros);
            records.add_command(gateway, key, &task, (until, name(&by)))?;
            note(records, gateway, (by, key), said)
        })
        .await
}

fn note(
    records: &mut Records<'_, '_>,
    gateway: GatewayId,
    (by, key): (By, Uuid),
    body: GatewayEvent,
) -> Result<(), ServiceError> {
    records.append(NewEvent {
        id: key.into(),
        actor: by,
        record: RecordRef {
            kind: RecordKind::Gateway,
            id: gateway.0,
        },
        body: Body::Gateway(body),
        home: gateway,
    })?;
    Ok(())
}

fn name(by: &By) -> &str {
    match by {
        By::Person(name, _) | By::System(name) => name,
    }
}
