//! When an alert opens a work order, joins one that is there, or leaves it be. Pure: ids, numbers,
//! readings and the orders that are there come in; event bodies go out. Never closes an order.
//!
//! One failure of one machine is one order: its key is `asset|failure mode`. While an order with
//! the key needs somebody, a new alert joins it. For a while (`cool_down`) after it was done, closed or cancelled
//! no new one is opened, unless the alert is more severe than those before: the old order only
//! gets a line that the alarm came again, and the alert itself is told to people as ever.

mod snapshot;

pub use snapshot::{beside, snapshot};

use crate::config::{RuleConfig, WorkOrderConfig};
use protocol::event::{
    AlertRaised, Direction, FieldValue, Severity, Snapshot, WorkOrderCreated, WorkOrderEvent,
};
use protocol::id::{AlertId, WorkOrderId};
use protocol::time::Timestamp;
use protocol::unit::Unit;
use protocol::work_order::WorkOrder;
use std::collections::BTreeMap;
use std::time::Duration;

/// Over which time `per_day_max` counts.
pub const DAY_US: i64 = 24 * 3_600 * 1_000_000;

/// Which rules open orders, and what is in them. At most one entry per rule.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    orders: BTreeMap<String, WorkOrderConfig>,
}

/// An order that is there, as far as the policy needs it.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Identity.
    pub id: WorkOrderId,
    /// Its key.
    pub dedupe_key: String,
    /// When it was done, closed or cancelled; `None` while it needs somebody.
    pub ended_at: Option<Timestamp>,
    /// The most severe of its alerts.
    pub severity: Severity,
    /// Its priority, 1 (most urgent) to 5.
    pub priority: u8,
}

/// An alert that was raised just now.
#[derive(Clone, Copy, Debug)]
pub struct Alarm<'a> {
    /// Its id.
    pub id: AlertId,
    /// How it began.
    pub raised: &'a AlertRaised,
    /// The box's clock.
    pub now: Timestamp,
}

/// What may be needed to open an order.
#[derive(Clone, Debug)]
pub struct NewOrder {
    /// Its id, should one be opened.
    pub id: WorkOrderId,
    /// Readings before the alarm, of its sensor and of others that help.
    pub snapshots: Vec<Snapshot>,
}

/// What is to be done about an alert.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// The rule opens no orders.
    Nothing,
    /// A new order: these events. The number in `Created` is left empty: the store counts, and
    /// it is put in where the events are written, in the same transaction, so that none is
    /// missing and none is there twice.
    Opened(WorkOrderId, Vec<WorkOrderEvent>),
    /// Events for an order that is there.
    Joined(WorkOrderId, Vec<WorkOrderEvent>),
    /// An order with the key ended less than the rule's `cool_down` ago: a line for it, and no new one.
    CoolingDown(WorkOrderId, Vec<WorkOrderEvent>),
}

impl Policy {
    /// From the rules as configured.
    pub fn new(rules: &[RuleConfig]) -> Self {
        let orders = rules
            .iter()
            .filter_map(|rule| Some((rule.name.clone(), rule.work_order.clone()?)));
        Self {
            orders: orders.collect(),
        }
    }

    /// The key of the order that an alert asks for; `None` when its rule opens no orders. Who
    /// asks `decide` has to pass at least the orders with this key.
    pub fn dedupe_key(&self, raised: &AlertRaised) -> Option<String> {
        let order = self.orders.get(&raised.rule)?;
        let place = raised.asset.as_ref().unwrap_or(&raised.sensor_path);
        Some(format!("{place}|{}", order.failure_mode))
    }

    /// How long before and after its alarm the readings of an order are kept.
    pub fn window(&self, rule: &str) -> Option<(Duration, Duration)> {
        let order = self.orders.get(rule)?;
        Some((order.before, order.after))
    }

    /// What an alert is told when its rule has opened `opened` orders in the last 24 hours and
    /// opens no further one; `None` while it may.
    pub fn capped(&self, rule: &str, opened: usize) -> Option<String> {
        let max = self.orders.get(rule)?.per_day_max;
        let is_full = usize::try_from(max).is_ok_and(|max| opened >= max);
        is_full.then(|| {
            format!(
                "No order was opened: rule \"{rule}\" has opened {opened} within 24 hours \
                 (per_day_max = {max}). Open one by hand where it is needed."
            )
        })
    }

    /// What to do about an alert.
    pub fn decide(&self, alarm: Alarm<'_>, standing: &[Standing], new: NewOrder) -> Decision {
        let raised = alarm.raised;
        let (Some(order), Some(key)) = (self.orders.get(&raised.rule), self.dedupe_key(raised))
        else {
            return Decision::Nothing;
        };
        let same = || standing.iter().filter(|other| other.dedupe_key == key);
        // Two may be open when two boxes opened one each: the older id is the one that survives.
        let open = same()
            .filter(|other| other.ended_at.is_none())
            .min_by_key(|other| other.id);
        if let Some(open) = open {
            return Decision::Joined(open.id, join(open, alarm, order));
        }
        let last = same().max_by_key(|other| other.ended_at);
        if let Some(last) = last
            && raised.severity <= last.severity
            && last
                .ended_at
                .is_some_and(|ended| is_recent(ended, alarm.now, order.cool_down))
        {
            let occurred = vec![WorkOrderEvent::AlarmOccurred { alert: alarm.id }];
            return Decision::CoolingDown(last.id, occurred);
        }
        let id = new.id;
        Decision::Opened(id, open_order(order, alarm, key, new))
    }
}

impl Standing {
    /// An order as its events tell it; `None` when no alarm can join it, for it has no key.
    /// `severity` tells how severe an alert of it was.
    pub fn of(order: &WorkOrder, severity: impl Fn(AlertId) -> Option<Severity>) -> Option<Self> {
        let ended_at = if order.state.is_open() {
            None
        } else {
            let ends = [
                "done",
                "closed",
                "cancelled",
                "rejected",
                "marked_duplicate",
            ];
            let mut lines = order.history.iter().rev();
            let end = lines.find(|line| line.applied && ends.contains(&line.what));
            Some(end.map_or(order.created.0, |line| line.at))
        };
        let alerts = order.alerts.iter().copied();
        Some(Self {
            id: order.id,
            dedupe_key: order.dedupe_key.clone()?,
            ended_at,
            severity: alerts.filter_map(severity).max().unwrap_or(Severity::Low),
            priority: order.priority.value,
        })
    }
}

/// What an order is told when its alarm clears. To be written to each order that has the alert.
pub const fn cleared(alert: AlertId) -> WorkOrderEvent {
    WorkOrderEvent::AlarmCleared { alert }
}

/// The alarm joins; an order that was less urgent than its new alarm becomes as urgent, unless
/// the alarm is no more severe than those before: then a person may have chosen the priority.
fn join(open: &Standing, alarm: Alarm<'_>, order: &WorkOrderConfig) -> Vec<WorkOrderEvent> {
    let mut events = vec![WorkOrderEvent::AlarmOccurred { alert: alarm.id }];
    if alarm.raised.severity > open.severity && order.priority < open.priority {
        events.push(WorkOrderEvent::FieldSet(FieldValue::Priority(
            order.priority,
        )));
    }
    events
}

fn open_order(
    order: &WorkOrderConfig,
    alarm: Alarm<'_>,
    dedupe_key: String,
    new: NewOrder,
) -> Vec<WorkOrderEvent> {
    let raised = alarm.raised;
    let unit = Unit::parse(&raised.unit);
    let unit = if unit.symbol().is_empty() {
        String::new()
    } else {
        format!(" {unit}")
    };
    let side = match raised.direction {
        Direction::High => "above",
        Direction::Low => "below",
    };
    let (value, limit) = (show(raised.value), show(raised.limit));
    let description = format!(
        "{} is at {value}{unit}, {side} its limit of {limit}{unit} (rule \"{}\").",
        raised.sensor_path, raised.rule
    );
    let created = WorkOrderCreated {
        number: String::new(),
        title: order.title.clone(),
        description,
        work_type: order.work_type,
        priority: order.priority,
        asset: raised.asset.clone(),
        alert: Some(alarm.id),
        dedupe_key: Some(dedupe_key),
        requested: false,
    };
    let mut events = vec![WorkOrderEvent::Created(created)];
    events.extend(new.snapshots.into_iter().map(WorkOrderEvent::SnapshotAdded));
    events
}

/// At most three decimals, for a scaled register is rarely a round float; tiny ones as they are.
fn show(value: f64) -> String {
    if value != 0.0 && value.abs() < 0.001 {
        return value.to_string();
    }
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Whether less than the cool-down lies between; a clock that was wrong at either end does not
/// keep orders from being opened for years.
fn is_recent(ended: Timestamp, now: Timestamp, cool_down: Duration) -> bool {
    u128::from(now.micros_since(ended).unsigned_abs()) < cool_down.as_micros()
}

#[cfg(test)]
mod tests;
