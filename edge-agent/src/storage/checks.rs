//! What an event must be before it is written. Never reads the store.

use super::NewEvent;
use super::error::StorageError;
use protocol::event::{
    Access, AlertEvent, Body, FieldValue, GatewayEvent, RecordKind, WorkOrderCreated,
    WorkOrderEvent,
};
use protocol::limits::{
    EVENT_BODY_BYTES_MAX, NAME_BYTES_MAX, SENSOR_TEXT_BYTES_MAX, TEXT_BYTES_MAX,
    WORDS_PER_EVENT_MAX,
};

/// Refuses what is too long or belongs to another kind of record.
pub(super) fn new_event(new: &NewEvent) -> Result<(), StorageError> {
    let fits = match &new.body {
        Body::Alert(_) => new.record.kind == RecordKind::Alert,
        Body::WorkOrder(_) => new.record.kind == RecordKind::WorkOrder,
        Body::Gateway(_) => new.record.kind == RecordKind::Gateway,
        Body::Unknown { .. } => true,
    };
    if !fits {
        return Err(StorageError::WrongRecord);
    }
    limit("the name of who acts", new.actor.name(), NAME_BYTES_MAX)?;
    match &new.body {
        Body::Alert(body) => alert(body),
        Body::WorkOrder(body) => work_order(body),
        Body::Gateway(GatewayEvent::Started { version }) => {
            limit("the version", version, NAME_BYTES_MAX)
        }
        Body::Gateway(GatewayEvent::Worded { words, .. }) => {
            count("the number of words", words.len(), WORDS_PER_EVENT_MAX)?;
            let texts = words.iter().filter_map(|(_, text)| text.as_ref());
            let mut limits = texts.map(|text| limit("a word", text, SENSOR_TEXT_BYTES_MAX));
            limits.find(Result::is_err).unwrap_or(Ok(()))
        }
        Body::Gateway(GatewayEvent::Wrote {
            device,
            place,
            value,
            outcome,
        }) => {
            limit("the name of a device", device, NAME_BYTES_MAX)?;
            limit("a place in a device", place, TEXT_BYTES_MAX)?;
            limit("a value", value, TEXT_BYTES_MAX)?;
            text("what came of it", outcome.as_ref())
        }
        Body::Gateway(GatewayEvent::Access(Access::LockedOut { address })) => {
            limit("an address", address, NAME_BYTES_MAX)
        }
        Body::Gateway(_) => Ok(()),
        Body::Unknown { bytes, .. } => count("an event", bytes.len(), EVENT_BODY_BYTES_MAX),
    }
}

fn alert(body: &AlertEvent) -> Result<(), StorageError> {
    match body {
        AlertEvent::Raised(raised) => limit("the alert's title", &raised.title, TEXT_BYTES_MAX),
        AlertEvent::Acknowledged { note } => text("the note", note.as_ref()),
        AlertEvent::Commented { text: said } => text("the comment", Some(said)),
        AlertEvent::Cleared { .. } | AlertEvent::Peaked { .. } => Ok(()),
    }
}

fn work_order(body: &WorkOrderEvent) -> Result<(), StorageError> {
    match body {
        WorkOrderEvent::Created(created) => new_order(created),
        WorkOrderEvent::FieldSet(FieldValue::Title(value)) => text("the title", Some(value)),
        WorkOrderEvent::FieldSet(FieldValue::Description(value)) => {
            text("the description", Some(value))
        }
        WorkOrderEvent::FieldSet(FieldValue::Asset(Some(tag))) => {
            limit("the asset's tag", tag, NAME_BYTES_MAX)
        }
        WorkOrderEvent::Assigned { name, .. } => limit("the name", name, NAME_BYTES_MAX),
        WorkOrderEvent::Rejected { reason }
        | WorkOrderEvent::Reopened { reason }
        | WorkOrderEvent::Cancelled { reason } => text("the reason", Some(reason)),
        WorkOrderEvent::Held { note, .. }
        | WorkOrderEvent::Closed { note }
        | WorkOrderEvent::LabourAdded { note, .. }
        | WorkOrderEvent::Reviewed { note } => text("the note", note.as_ref()),
        WorkOrderEvent::Done { remedy } => text("the remedy", remedy.as_ref()),
        WorkOrderEvent::Commented { text: said } => text("the comment", Some(said)),
        WorkOrderEvent::PartUsed { part, .. } => limit("the part", part, NAME_BYTES_MAX),
        WorkOrderEvent::SnapshotAdded(snapshot) => {
            let max = protocol::limits::SNAPSHOT_POINTS_MAX;
            count(
                "the number of readings of a snapshot",
                snapshot.points.len(),
                max,
            )
        }
        WorkOrderEvent::Attached(attached) => {
            limit("the name of the file", &attached.name, NAME_BYTES_MAX)?;
            text("the note", attached.note.as_ref())
        }
        WorkOrderEvent::FieldSet(_)
        | WorkOrderEvent::Unassigned
        | WorkOrderEvent::Approved
        | WorkOrderEvent::Scheduled { .. }
        | WorkOrderEvent::Started
        | WorkOrderEvent::Resumed
        | WorkOrderEvent::MarkedDuplicate { .. }
        | WorkOrderEvent::AlarmOccurred { .. }
        | WorkOrderEvent::AlarmCleared { .. } => Ok(()),
    }
}

fn new_order(created: &WorkOrderCreated) -> Result<(), StorageError> {
    limit("the number", &created.number, NAME_BYTES_MAX)?;
    text("the title", Some(&created.title))?;
    text("the description", Some(&created.description))?;
    let asset = created.asset.as_deref().unwrap_or_default();
    limit("the asset's tag", asset, NAME_BYTES_MAX)?;
    let key = created.dedupe_key.as_deref().unwrap_or_default();
    limit("the dedupe key", key, TEXT_BYTES_MAX)
}

fn text(what: &'static str, text: Option<&String>) -> Result<(), StorageError> {
    limit(what, text.map_or("", String::as_str), TEXT_BYTES_MAX)
}

fn limit(what: &'static str, text: &str, max: usize) -> Result<(), StorageError> {
    count(what, text.len(), max)
}

fn count(what: &'static str, found: usize, max: usize) -> Result<(), StorageError> {
    if found > max {
        return Err(StorageError::OverLimit { what, found, max });
    }
    Ok(())
}
