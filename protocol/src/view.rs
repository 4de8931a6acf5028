//! The JSON shapes of alerts and work orders (docs/api.md), the same from the box and the hub.
//! Only written, never read back: a shape is not a record.

mod alarm;
mod site;
mod work;

pub use alarm::{
    ActorView, AlarmView, FigureView, LoadView, MaintenanceView, PointState, PointView,
    PriorityView, SaidView, ShelfView, SuppressedView, ToldView, WithheldView, load, maintenance,
    point, point_of,
};
pub use site::{Listed, ProvisionalView, StockLineView, StockView, provisional, stock};
pub use work::{
    ChecklistView, ChoiceView, ClockView, FailureView, FollowUpView, LabourView, PartView,
    SignatureView, TaskResultView, TaskView, ValueView,
};

use crate::alert::{Alert, AlertState};
use crate::attachment::is_picture;
use crate::event::{Direction, HoldReason, Severity, Snapshot, WorkType};
use crate::id::{AlertId, EventId, GatewayId, Origin, SensorId, SiteId, WorkOrderId};
use crate::record::{HistoryEntry, Note};
use crate::time::{ClockState, Timestamp};
use crate::unit::Unit;
use crate::work_order::{WorkOrder, WorkOrderState};
use serde::Serialize;

/// RFC 3339 in UTC.
pub fn rfc3339(at: Timestamp) -> String {
    at.to_string()
}

/// From RFC 3339 with any offset.
pub fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    text.parse::<jiff::Timestamp>()
        .ok()
        .map(|at| Timestamp(at.as_microsecond()))
}

/// An id with its name for people.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Named<I> {
    /// Identity.
    pub id: I,
    /// Name for people.
    pub name: String,
}

/// Where a record lives: filled in by the program that answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Home {
    /// The gateway.
    pub gateway: Option<Named<GatewayId>>,
    /// The site.
    pub site: Option<Named<SiteId>>,
}

/// A unit as code and sign.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UnitView {
    /// UCUM code.
    pub code: String,
    /// Sign for a screen.
    pub symbol: String,
}

impl From<&Unit> for UnitView {
    fn from(unit: &Unit) -> Self {
        Self {
            code: unit.code().to_owned(),
            symbol: unit.symbol().to_owned(),
        }
    }
}

/// An order named by its number.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OrderLink {
    /// Identity.
    pub id: WorkOrderId,
    /// Number for people.
    pub number: String,
}

/// Docs: shape `Alert`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(
    missing_docs,
    reason = "the fields are described in docs/api.md, shape Alert"
)]
pub struct AlertView {
    pub id: AlertId,
    pub state: AlertState,
    pub severity: Severity,
    pub title: String,
    pub rule: String,
    pub direction: Direction,
    pub value: f64,
    pub peak: f64,
    pub limit: f64,
    pub unit: UnitView,
    pub asset: Option<String>,
    pub sensor_id: SensorId,
    pub sensor: String,
    pub raised_at: String,
    pub clock: ClockState,
    pub acknowledged_at: Option<String>,
    pub acknowledged_by: Option<String>,
    pub cleared_at: Option<String>,
    pub cleared_value: Option<f64>,
    pub work_order: Option<OrderLink>,
    pub gateway: Option<Named<GatewayId>>,
    pub site: Option<Named<SiteId>>,
    pub comments: Vec<NoteView>,
    #[serde(flatten)]
    pub alarm: AlarmView,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<Vec<HistoryView>>,
}

/// A comment.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are described in docs/api.md")]
pub struct NoteView {
    pub id: EventId,
    pub at: String,
    pub by: String,
    pub text: String,
    pub late: bool,
}

/// Docs: shape `History`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(
    missing_docs,
    reason = "the fields are described in docs/api.md, shape History"
)]
pub struct HistoryView {
    pub id: EventId,
    pub at: String,
    pub clock: ClockState,
    pub by: String,
    pub origin: &'static str,
    pub what: &'static str,
    pub text: Option<String>,
    pub applied: bool,
    pub note: Option<&'static str>,
}

/// Docs: shape `WorkOrder`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(
    missing_docs,
    reason = "the fields are described in docs/api.md, shape WorkOrder"
)]
pub struct WorkOrderView {
    pub id: WorkOrderId,
    pub number: String,
    pub title: String,
    pub description: String,
    #[serde(rename = "type")]
    pub work_type: WorkType,
    pub priority: u8,
    pub state: WorkOrderState,
    pub hold_reason: Option<HoldReason>,
    pub asset: Option<String>,
    pub alert_id: Option<AlertId>,
    pub alert_ids: Vec<AlertId>,
    pub dedupe_key: Option<String>,
    pub assignee: Option<String>,
    pub due: Option<String>,
    pub created_at: String,
    pub created_by: String,
    pub started_at: Option<String>,
    pub done_at: Option<String>,
    pub done_by: Option<String>,
    pub verified_at: Option<String>,
    pub verified_by: Option<String>,
    pub closed_at: Option<String>,
    pub scheduled_from: Option<String>,
    pub scheduled_until: Option<String>,
    pub duplicate_of: Option<WorkOrderId>,
    pub remedy: Option<String>,
    pub gateway: Option<Named<GatewayId>>,
    pub site: Option<Named<SiteId>>,
    pub needs_review: bool,
    pub conflicts: Vec<ConflictView>,
    pub comments: Vec<NoteView>,
    pub labour: Vec<LabourView>,
    pub parts: Vec<PartView>,
    pub clocks: Vec<ClockView>,
    pub failure: Option<FailureView>,
    pub follow_ups: Vec<FollowUpView>,
    pub tasks_total: usize,
    pub tasks_open: usize,
    pub tasks_failed: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tasks: Option<Vec<TaskView>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signatures: Option<Vec<SignatureView>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attachments: Option<Vec<AttachmentView>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Vec<SnapshotView>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<Vec<HistoryView>>,
    pub actions: Vec<&'static str>,
}

/// What two people set at the same time.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are described in docs/api.md")]
pub struct ConflictView {
    pub field: &'static str,
    pub kept: String,
    pub lost: String,
    pub kept_by: String,
    pub lost_by: String,
    pub at: String,
    pub words: String,
}

/// A photo or document. Where its bytes are is filled in by the program that answers.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are described in docs/api.md")]
pub struct AttachmentView {
    pub id: EventId,
    pub hash: String,
    pub name: String,
    pub media_type: String,
    pub picture: bool,
    pub bytes: u64,
    pub at: String,
    pub by: String,
    pub note: Option<String>,
    pub late: bool,
    pub place: BytesPlace,
}

/// Where the bytes of an attachment are, as far as the program that answers knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BytesPlace {
    /// On the box, on their way to the hub.
    Box,
    /// On the box and at the hub.
    Both,
    /// At the hub.
    Hub,
    /// Nowhere that is known.
    None,
}

/// Readings around the alarm.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are described in docs/api.md")]
pub struct SnapshotView {
    pub sensor_id: SensorId,
    pub sensor: String,
    pub unit: UnitView,
    pub limit: Option<f64>,
    pub points: Vec<(i64, f64)>,
}

/// The shape of an alert; `whole` adds its history.
pub fn alert(alert: &Alert, order: Option<OrderLink>, home: Home, whole: bool) -> AlertView {
    AlertView {
        id: alert.id,
        state: alert.state(),
        severity: alert.raised.severity,
        title: alert.raised.title.clone(),
        rule: alert.raised.rule.clone(),
        direction: alert.raised.direction,
        value: alert.raised.value,
        peak: alert.peak,
        limit: alert.raised.limit,
        unit: UnitView::from(&Unit::parse(&alert.raised.unit)),
        asset: alert.raised.asset.clone(),
        sensor_id: alert.raised.sensor,
        sensor: alert.raised.sensor_path.clone(),
        raised_at: rfc3339(alert.raised_at),
        clock: alert.clock,
        acknowledged_at: alert.acknowledged.as_ref().map(|(at, _)| rfc3339(*at)),
        acknowledged_by: alert.acknowledged.as_ref().map(|(_, by)| by.clone()),
        cleared_at: alert.cleared.map(|(at, _)| rfc3339(at)),
        cleared_value: alert.cleared.and_then(|(_, value)| value),
        work_order: order,
        gateway: home.gateway,
        site: home.site,
        comments: alert.comments.iter().map(note).collect(),
        alarm: alarm::of_alert(alert, whole),
        history: whole.then(|| alert.history.iter().map(history).collect()),
    }
}

/// The shape of a work order; `whole` adds its snapshot and history.
pub fn work_order(order: &WorkOrder, home: Home, whole: bool) -> WorkOrderView {
    WorkOrderView {
        id: order.id,
        number: order.number.clone(),
        title: order.title.value.clone(),
        description: order.description.value.clone(),
        work_type: order.work_type,
        priority: order.priority.value,
        state: order.state,
        hold_reason: order.hold_reason,
        asset: order.asset.value.clone(),
        alert_id: order.alerts.first().copied(),
        alert_ids: order.alerts.clone(),
        dedupe_key: order.dedupe_key.clone(),
        assignee: order
            .assignee
            .value
            .as_ref()
            .map(|assignee| assignee.name.clone()),
        due: order.due.value.map(rfc3339),
        created_at: rfc3339(order.created.0),
        created_by: order.created.1.clone(),
        started_at: order.started_at.map(rfc3339),
        done_at: order.done.as_ref().map(|(at, _)| rfc3339(*at)),
        done_by: order.done.as_ref().map(|(_, by)| by.clone()),
        verified_at: order.verified.as_ref().map(|(at, _)| rfc3339(*at)),
        verified_by: order.verified.as_ref().map(|(_, by)| by.clone()),
        closed_at: order.closed_at.map(rfc3339),
        scheduled_from: order.scheduled.map(|(from, _)| rfc3339(from)),
        scheduled_until: order.scheduled.and_then(|(_, until)| until).map(rfc3339),
        duplicate_of: order.duplicate_of,
        remedy: order.remedy.clone(),
        gateway: home.gateway,
        site: home.site,
        needs_review: order.needs_review,
        conflicts: conflicts(order),
        comments: order.comments.iter().map(note).collect(),
        labour: work::labour(order),
        parts: work::parts(order),
        clocks: work::clocks(order),
        failure: work::failure(order),
        follow_ups: work::follow_ups(order),
        tasks_total: order.tasks.len(),
        tasks_open: order.open_tasks().count(),
        tasks_failed: order.tasks.iter().filter(|task| task.is_failed()).count(),
        tasks: whole.then(|| work::tasks(order)),
        signatures: whole.then(|| work::signatures(order)),
        attachments: whole.then(|| attachments(order)),
        snapshot: whole.then(|| snapshots(order)),
        history: whole.then(|| order.history.iter().map(history).collect()),
        actions: order
            .actions()
            .into_iter()
            .map(crate::work_order::Action::word)
            .collect(),
    }
}

fn conflicts(order: &WorkOrder) -> Vec<ConflictView> {
    let view = |conflict: &crate::work_order::Conflict| ConflictView {
        field: conflict.field,
        kept: conflict.kept.clone(),
        lost: conflict.lost.clone(),
        kept_by: conflict.kept_by.clone(),
        lost_by: conflict.lost_by.clone(),
        at: rfc3339(conflict.at),
        words: format!(
            "{} and {} changed the {} at the same time; \"{}\" counts, \"{}\" is kept here",
            conflict.kept_by, conflict.lost_by, conflict.field, conflict.kept, conflict.lost
        ),
    };
    order.conflicts.iter().map(view).collect()
}

fn attachments(order: &WorkOrder) -> Vec<AttachmentView> {
    let view = |attachment: &crate::work_order::Attachment| AttachmentView {
        id: attachment.id,
        hash: attachment.content.hash.to_string(),
        name: attachment.content.name.clone(),
        media_type: attachment.content.media_type.clone(),
        picture: is_picture(&attachment.content.media_type),
        bytes: attachment.content.bytes,
        at: rfc3339(attachment.at),
        by: attachment.by.clone(),
        note: attachment.content.note.clone(),
        late: attachment.late,
        place: BytesPlace::None,
    };
    order.attachments.iter().map(view).collect()
}

/// What is shown: a snapshot that a later one of the same sensor covers is left out. The one
/// with the readings after the alarm so takes the place of the one from before it.
fn snapshots(order: &WorkOrder) -> Vec<SnapshotView> {
    let view = |snapshot: &Snapshot| SnapshotView {
        sensor_id: snapshot.sensor,
        sensor: snapshot.sensor_path.clone(),
        unit: UnitView::from(&Unit::parse(&snapshot.unit)),
        limit: snapshot.limit,
        points: snapshot
            .points
            .iter()
            .map(|(at, value)| (at.millis(), *value))
            .collect(),
    };
    let mut shown: Vec<&Snapshot> = Vec::new();
    for snapshot in &order.snapshots {
        shown.retain(|earlier| !covers(snapshot, earlier));
        shown.push(snapshot);
    }
    shown.into_iter().map(view).collect()
}

/// Whether `later` shows the same sensor over all of the time that `earlier` does.
fn covers(later: &Snapshot, earlier: &Snapshot) -> bool {
    let span = |snapshot: &Snapshot| {
        let first = snapshot.points.first().map(|(at, _)| *at);
        first.zip(snapshot.points.last().map(|(at, _)| *at))
    };
    let (Some(outer), Some(inner)) = (span(later), span(earlier)) else {
        return false;
    };
    later.sensor == earlier.sensor && outer.0 <= inner.0 && outer.1 >= inner.1
}

fn note(note: &Note) -> NoteView {
    NoteView {
        id: note.id,
        at: rfc3339(note.at),
        by: note.by.clone(),
        text: note.text.clone(),
        late: note.late,
    }
}

fn history(line: &HistoryEntry) -> HistoryView {
    HistoryView {
        id: line.id,
        at: rfc3339(line.at),
        clock: line.clock,
        by: line.by.clone(),
        origin: match line.origin {
            Origin::Gateway(_) => "gateway",
            Origin::Hub => "hub",
        },
        what: line.what,
        text: line.text.clone(),
        applied: line.applied,
        note: line.note,
    }
}
