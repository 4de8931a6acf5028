//! What an event must be before it is written. Never reads the store.

use super::NewEvent;
use super::error::StorageError;
use protocol::event::{
    Access, AlarmPointEvent, AlertEvent, AssetEvent, Body, FailureReport, FieldValue, GatewayEvent,
    RecordKind, StockEvent, TaskKind, TaskValue, TasksAdded, WorkOrderCreated, WorkOrderEvent,
};
use protocol::limits::{
    EVENT_BODY_BYTES_MAX, NAME_BYTES_MAX, SENSOR_TEXT_BYTES_MAX, TASK_CHOICES_MAX,
    TASKS_PER_EVENT_MAX, TEXT_BYTES_MAX, WORDS_PER_EVENT_MAX,
};

/// Refuses what is too long or belongs to another kind of record.
pub(super) fn new_event(new: &NewEvent) -> Result<(), StorageError> {
    let fits = match &new.body {
        Body::Alert(_) => new.record.kind == RecordKind::Alert,
        Body::WorkOrder(_) => new.record.kind == RecordKind::WorkOrder,
        Body::Gateway(_) => new.record.kind == RecordKind::Gateway,
        Body::AlarmPoint(_) => new.record.kind == RecordKind::AlarmPoint,
        Body::Asset(_) => new.record.kind == RecordKind::Asset,
        Body::Stock(_) => new.record.kind == RecordKind::Stock,
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
        Body::AlarmPoint(body) => alarm_point(body),
        Body::Asset(body) => asset(body),
        Body::Stock(body) => stock(body),
        Body::Unknown { bytes, .. } => count("an event", bytes.len(), EVENT_BODY_BYTES_MAX),
    }
}

fn alert(body: &AlertEvent) -> Result<(), StorageError> {
    match body {
        AlertEvent::Raised(raised) => limit("the alert's title", &raised.title, TEXT_BYTES_MAX),
        AlertEvent::Acknowledged { note } | AlertEvent::Reset { note } => {
            text("the note", note.as_ref())
        }
        AlertEvent::Commented { text: said } => text("the comment", Some(said)),
        AlertEvent::Described(described) => text("what was found", Some(&described.words)),
        AlertEvent::Notified(notified) => {
            limit("the name of a channel", &notified.channel, NAME_BYTES_MAX)?;
            limit("who was told", &notified.to, TEXT_BYTES_MAX)?;
            limit("how it was told", &notified.words, TEXT_BYTES_MAX)
        }
        AlertEvent::Cleared { .. }
        | AlertEvent::Peaked { .. }
        | AlertEvent::Superseded { .. }
        | AlertEvent::Realarmed => Ok(()),
    }
}

fn alarm_point(body: &AlarmPointEvent) -> Result<(), StorageError> {
    match body {
        AlarmPointEvent::Shelved { reason, .. }
        | AlarmPointEvent::LearnsAnew { reason, .. }
        | AlarmPointEvent::OutOfService { reason, .. }
        | AlarmPointEvent::MaintenanceBegan { reason, .. } => text("the reason", Some(reason)),
        AlarmPointEvent::Unshelved { note }
        | AlarmPointEvent::InService { note }
        | AlarmPointEvent::MaintenanceEnded { note } => text("the note", note.as_ref()),
        AlarmPointEvent::Suppressed { .. }
        | AlarmPointEvent::Unsuppressed
        | AlarmPointEvent::Chattering { .. }
        | AlarmPointEvent::Calmed
        | AlarmPointEvent::Withheld { .. } => Ok(()),
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
        WorkOrderEvent::TasksAdded(added) => tasks(added),
        WorkOrderEvent::TaskAnswered(answer) => {
            if let TaskValue::Text(said) | TaskValue::Choice(said) = &answer.value {
                text("the result", Some(said))?;
            }
            text("the note", answer.note.as_ref())
        }
        WorkOrderEvent::TaskCleared { reason, .. } => text("the reason", reason.as_ref()),
        WorkOrderEvent::FailureReported(report) => failure(report),
        WorkOrderEvent::LabourStopped { note } | WorkOrderEvent::Verified { note } => {
            text("the note", note.as_ref())
        }
        WorkOrderEvent::PartMoved(moved) => {
            limit("the part", &moved.part, NAME_BYTES_MAX)?;
            limit("the part's name", &moved.name, NAME_BYTES_MAX)?;
            name("the place", moved.place.as_ref())
        }
        WorkOrderEvent::Signed(signed) => text("the note", signed.note.as_ref()),
        WorkOrderEvent::FollowedUp { number, .. } => limit("the number", number, NAME_BYTES_MAX),
        WorkOrderEvent::FieldSet(_)
        | WorkOrderEvent::LabourStarted
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

fn tasks(added: &TasksAdded) -> Result<(), StorageError> {
    count(
        "the number of tasks",
        added.tasks.len(),
        TASKS_PER_EVENT_MAX,
    )?;
    if let Some(checklist) = &added.checklist {
        limit("the checklist's name", &checklist.id, NAME_BYTES_MAX)?;
        text("the checklist's title", Some(&checklist.title))?;
    }
    for task in &added.tasks {
        text("the task", Some(&task.title))?;
        match &task.kind {
            TaskKind::Number { unit, .. } => limit("the unit", unit, NAME_BYTES_MAX)?,
            TaskKind::Choice { choices } => {
                count("the number of choices", choices.len(), TASK_CHOICES_MAX)?;
                for choice in choices {
                    limit("a choice", &choice.text, NAME_BYTES_MAX)?;
                }
            }
            TaskKind::Check | TaskKind::Text | TaskKind::Photo | TaskKind::Signature => {}
        }
    }
    Ok(())
}

fn failure(report: &FailureReport) -> Result<(), StorageError> {
    text("the problem", report.problem.as_ref())?;
    text("the cause", report.cause.as_ref())?;
    text("the remedy", report.remedy.as_ref())?;
    name("the code of the problem", report.problem_code.as_ref())?;
    name("the code of the cause", report.cause_code.as_ref())?;
    name("the code of the remedy", report.remedy_code.as_ref())
}

fn asset(body: &AssetEvent) -> Result<(), StorageError> {
    match body {
        AssetEvent::Proposed(asset) => {
            limit("the asset's tag", &asset.tag, NAME_BYTES_MAX)?;
            limit("the asset's name", &asset.name, NAME_BYTES_MAX)?;
            name("the tag of what it is part of", asset.parent.as_ref())?;
            text("the note", asset.note.as_ref())
        }
        AssetEvent::Accepted { tag } | AssetEvent::Merged { into: tag } => {
            limit("the asset's tag", tag, NAME_BYTES_MAX)
        }
        AssetEvent::Refused { reason } => text("the reason", Some(reason)),
    }
}

fn stock(body: &StockEvent) -> Result<(), StorageError> {
    let (part, called, note) = match body {
        StockEvent::Moved(moved) => {
            name("the place", moved.place.as_ref())?;
            (&moved.part, &moved.name, &moved.note)
        }
        StockEvent::Counted {
            part, name, note, ..
        } => (part, name, note),
    };
    limit("the part", part, NAME_BYTES_MAX)?;
    limit("the part's name", called, NAME_BYTES_MAX)?;
    text("the note", note.as_ref())
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

fn name(what: &'static str, name: Option<&String>) -> Result<(), StorageError> {
    limit(what, name.map_or("", String::as_str), NAME_BYTES_MAX)
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
