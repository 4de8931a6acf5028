//! New orders as people make them, by themselves or to go on with what was found in another one.
//! Never gives them their number.

use super::events::Written;
use super::{Ground, OrderAction, Refusal, text};
use crate::event::{Body, WorkOrderCreated, WorkOrderEvent, WorkType};
use crate::id::{GatewayId, WorkOrderId};
use serde::Deserialize;
use uuid::Uuid;

/// A work order that a person makes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewOrder {
    /// One line.
    pub title: String,
    /// At the hub: the gateway whose people will see it.
    pub gateway_id: Option<GatewayId>,
    /// More about it.
    pub description: Option<String>,
    /// The asset's tag at the site.
    pub asset: Option<String>,
    /// 1 (most urgent) to 5; 3 when left out.
    pub priority: Option<u8>,
    /// What sort of work; corrective when left out.
    pub r#type: Option<WorkType>,
    /// Somebody has to approve it first.
    #[serde(default)]
    pub request: bool,
}

impl NewOrder {
    /// What makes it, under `number`.
    pub fn created(&self, number: String) -> Result<WorkOrderCreated, Refusal> {
        Ok(WorkOrderCreated {
            number,
            title: text::title("title", &self.title)?,
            description: text::note("description", self.description.as_deref())?
                .unwrap_or_default(),
            work_type: self.r#type.unwrap_or_default(),
            priority: text::priority(self.priority.unwrap_or(3))?,
            asset: text::name("asset", self.asset.as_deref())?,
            alert: None,
            dedupe_key: None,
            requested: self.request,
        })
    }
}

/// The id of the order that an act with this key makes.
pub fn follow_up(key: Uuid) -> WorkOrderId {
    WorkOrderId(Uuid::new_v5(&key, b"work order"))
}

/// The line in the order, and the new order.
pub(super) fn followed_up(ground: &Ground<'_>, action: &OrderAction) -> Result<Written, Refusal> {
    let OrderAction::FollowUp {
        task,
        title,
        description,
        priority,
    } = action
    else {
        return Ok(Vec::new());
    };
    let order = ground.order;
    let known = task.map(|id| {
        let known = order.task(id);
        known.ok_or_else(|| text::invalid("task", "names no task of this order"))
    });
    let known = known.transpose()?;
    let Some(number) = ground.number.clone() else {
        return Err(Refusal::not_now("There is no number for the new order."));
    };
    let title = match (title, known) {
        (Some(title), _) => text::title("title", title)?,
        (None, Some(task)) => text::title("title", &shortened(&task.title))?,
        (None, None) => return Err(text::invalid("title", "is missing")),
    };
    let found = known.map(|task| format!("Found in {}: {}", order.number, task.words()));
    let found = found.unwrap_or_else(|| format!("Goes on with {}.", order.number));
    let created = WorkOrderCreated {
        number: number.clone(),
        title,
        description: text::note("description", description.as_deref())?.unwrap_or(found),
        work_type: WorkType::Corrective,
        priority: text::priority(priority.unwrap_or(order.priority.value))?,
        asset: order.asset.value.clone(),
        alert: None,
        dedupe_key: None,
        requested: false,
    };
    let id = follow_up(ground.key);
    let line = WorkOrderEvent::FollowedUp {
        order: id,
        number,
        task: *task,
    };
    Ok(vec![
        (order.id.into(), Body::WorkOrder(line)),
        (id.into(), Body::WorkOrder(WorkOrderEvent::Created(created))),
    ])
}

/// The beginning of a task's title that fits a title of an order.
fn shortened(title: &str) -> String {
    title.chars().take(60).collect()
}
