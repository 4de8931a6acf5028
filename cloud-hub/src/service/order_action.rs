//! What a person asks of a work order, checked and turned into events.
//! Pure: never looks at a store or a clock.

use super::{ServiceError, text};
use protocol::event::{Body, FieldValue, HoldReason, WorkOrderCreated, WorkOrderEvent, WorkType};
use protocol::id::{GatewayId, UserId};
use protocol::view;
use protocol::work_order::{Action, WorkOrder};
use serde::{Deserialize, Deserializer};

/// Longest labour entry: a month without sleep is a slip of the finger.
const LABOUR_MINUTES_MAX: u32 = 31 * 24 * 60;

/// An action on an order, in the words of the JSON interface.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum OrderAction {
    /// Say who does it: a user of the hub, or anybody by name.
    Assign {
        /// The user.
        user_id: Option<UserId>,
        /// The name; taken from the user when left out.
        name: Option<String>,
    },
    /// Nobody does it any more.
    Unassign {},
    /// Turn a request into an order.
    Approve {},
    /// Turn a request down.
    Reject {
        /// Why.
        reason: String,
    },
    /// Work begins.
    Start {},
    /// Work waits.
    Hold {
        /// For what.
        reason: HoldReason,
        /// More about it.
        note: Option<String>,
    },
    /// Work goes on.
    Resume {},
    /// Work is done.
    Complete {
        /// What was done.
        remedy: Option<String>,
        /// Minutes that it took.
        minutes: Option<u32>,
    },
    /// Looked at and put away.
    Close {
        /// A last word.
        note: Option<String>,
    },
    /// It is not to be done.
    Cancel {
        /// Why.
        reason: String,
    },
    /// It was not finished after all.
    Reopen {
        /// Why.
        reason: String,
    },
    /// Say something.
    Comment {
        /// What.
        text: String,
    },
    /// Time was spent.
    Labour {
        /// Minutes.
        minutes: u32,
        /// On what.
        note: Option<String>,
    },
    /// A part was taken (positive) or given back (negative).
    Part {
        /// Part number or name.
        part: String,
        /// How many.
        quantity: f64,
    },
    /// What was flagged has been looked at.
    ReviewDone {
        /// What was decided.
        note: Option<String>,
    },
}

/// A work order to be made at the hub.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewOrder {
    /// One line.
    pub title: String,
    /// The gateway whose people will see it.
    pub gateway_id: GatewayId,
    /// More about it.
    pub description: Option<String>,
    /// The asset's tag at the site.
    pub asset: Option<String>,
    /// 1 (most urgent) to 5; 3 when left out.
    pub priority: Option<u8>,
    /// What sort of work; corrective when left out.
    pub r#type: Option<WorkType>,
}

/// New values of fields; what is left out stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OrderChanges {
    /// One line.
    pub title: Option<String>,
    /// More about it.
    pub description: Option<String>,
    /// 1 (most urgent) to 5.
    pub priority: Option<u8>,
    /// When it should be done (RFC 3339); `null` takes the date away.
    #[serde(deserialize_with = "given")]
    pub due: Option<Option<String>>,
    /// The asset's tag; `null` takes it away.
    #[serde(deserialize_with = "given")]
    pub asset: Option<Option<String>>,
}

/// Tells `null` from a field that was left out.
#[expect(
    clippy::option_option,
    reason = "null takes a value away, a field that is left out keeps it"
)]
fn given<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(input).map(Some)
}

impl OrderAction {
    /// What the order's state must allow; `None` for facts, which may always be added.
    pub(super) const fn guard(&self) -> Option<Action> {
        Some(match self {
            Self::Assign { .. } | Self::Unassign {} => Action::Assign,
            Self::Approve {} => Action::Approve,
            Self::Reject { .. } => Action::Reject,
            Self::Start {} => Action::Start,
            Self::Hold { .. } => Action::Hold,
            Self::Resume {} => Action::Resume,
            Self::Complete { .. } => Action::Complete,
            Self::Close { .. } => Action::Close,
            Self::Cancel { .. } => Action::Cancel,
            Self::Reopen { .. } => Action::Reopen,
            Self::Comment { .. }
            | Self::Labour { .. }
            | Self::Part { .. }
            | Self::ReviewDone { .. } => return None,
        })
    }

    /// The events that say it.
    pub(super) fn events(&self) -> Result<Vec<WorkOrderEvent>, ServiceError> {
        use WorkOrderEvent as E;
        let note = |text: &Option<String>| text::note("note", text.as_deref());
        Ok(vec![match self {
            Self::Assign { user_id, name } => E::Assigned {
                name: text::line("name", name.as_deref().unwrap_or_default())?,
                user: *user_id,
            },
            Self::Unassign {} => E::Unassigned,
            Self::Approve {} => E::Approved,
            Self::Reject { reason } => E::Rejected {
                reason: text::words("reason", reason)?,
            },
            Self::Start {} => E::Started,
            Self::Hold { reason, note: text } => E::Held {
                reason: *reason,
                note: note(text)?,
            },
            Self::Resume {} => E::Resumed,
            Self::Complete { remedy, minutes } => return completion(remedy.as_deref(), *minutes),
            Self::Close { note: text } => E::Closed { note: note(text)? },
            Self::Cancel { reason } => E::Cancelled {
                reason: text::words("reason", reason)?,
            },
            Self::Reopen { reason } => E::Reopened {
                reason: text::words("reason", reason)?,
            },
            Self::Comment { text } => E::Commented {
                text: text::words("text", text)?,
            },
            Self::Labour {
                minutes,
                note: text,
            } => labour(*minutes, note(text)?)?,
            Self::Part { part, quantity } => part_used(part, *quantity)?,
            Self::ReviewDone { note: text } => E::Reviewed { note: note(text)? },
        }])
    }
}

fn completion(
    remedy: Option<&str>,
    minutes: Option<u32>,
) -> Result<Vec<WorkOrderEvent>, ServiceError> {
    let done = WorkOrderEvent::Done {
        remedy: text::note("remedy", remedy)?,
    };
    // The time first: after the end it would count as late.
    let mut events = Vec::with_capacity(2);
    if let Some(minutes) = minutes {
        events.push(labour(minutes, None)?);
    }
    events.push(done);
    Ok(events)
}

fn labour(minutes: u32, note: Option<String>) -> Result<WorkOrderEvent, ServiceError> {
    if minutes == 0 || minutes > LABOUR_MINUTES_MAX {
        let words = format!("goes from 1 to {LABOUR_MINUTES_MAX}");
        return Err(text::invalid("minutes", &words));
    }
    Ok(WorkOrderEvent::LabourAdded { minutes, note })
}

fn part_used(part: &str, quantity: f64) -> Result<WorkOrderEvent, ServiceError> {
    if !quantity.is_finite() || quantity == 0.0 || quantity.abs() > 1e9 {
        return Err(text::invalid(
            "quantity",
            "is how many were taken, or with a minus given back; not 0",
        ));
    }
    Ok(WorkOrderEvent::PartUsed {
        part: text::line("part", part)?,
        quantity,
    })
}

impl NewOrder {
    /// The event that makes it, under `number`.
    pub(super) fn event(&self, number: String) -> Result<WorkOrderEvent, ServiceError> {
        Ok(WorkOrderEvent::Created(WorkOrderCreated {
            number,
            title: text::title("title", &self.title)?,
            description: text::note("description", self.description.as_deref())?
                .unwrap_or_default(),
            work_type: self.r#type.unwrap_or_default(),
            priority: text::priority(self.priority.unwrap_or(3))?,
            asset: asset(self.asset.as_deref())?,
            alert: None,
            dedupe_key: None,
            requested: false,
        }))
    }
}

impl NewOrder {
    /// Whether `body` is what an earlier, equal request made; `KeyReused` when it is not.
    pub(super) fn is_made_by(&self, body: &Body) -> Result<(), ServiceError> {
        if let Body::WorkOrder(known @ WorkOrderEvent::Created(created)) = body
            && *known == self.event(created.number.clone())?
        {
            return Ok(());
        }
        Err(ServiceError::KeyReused)
    }
}

fn asset(tag: Option<&str>) -> Result<Option<String>, ServiceError> {
    match tag.map(str::trim) {
        None | Some("") => Ok(None),
        Some(tag) => text::line("asset", tag).map(Some),
    }
}

impl OrderChanges {
    /// One event per field whose value differs from the order's.
    pub(super) fn events(&self, order: &WorkOrder) -> Result<Vec<WorkOrderEvent>, ServiceError> {
        let mut fields = Vec::new();
        if let Some(title) = &self.title {
            let title = text::title("title", title)?;
            if title != order.title.value {
                fields.push(FieldValue::Title(title));
            }
        }
        if let Some(description) = &self.description {
            let description = text::note("description", Some(description))?.unwrap_or_default();
            if description != order.description.value {
                fields.push(FieldValue::Description(description));
            }
        }
        if let Some(priority) = self.priority {
            let priority = text::priority(priority)?;
            if priority != order.priority.value {
                fields.push(FieldValue::Priority(priority));
            }
        }
        if let Some(due) = &self.due {
            let due = due.as_deref().map(time).transpose()?;
            if due != order.due.value {
                fields.push(FieldValue::Due(due));
            }
        }
        if let Some(tag) = &self.asset {
            let asset = asset(tag.as_deref())?;
            if asset != order.asset.value {
                fields.push(FieldValue::Asset(asset));
            }
        }
        Ok(fields.into_iter().map(WorkOrderEvent::FieldSet).collect())
    }
}

fn time(text: &str) -> Result<protocol::time::Timestamp, ServiceError> {
    view::parse_rfc3339(text).ok_or_else(|| {
        text::invalid(
            "due",
            "is not a time; write it like 2026-11-21T14:00:00Z or with an offset, +01:00",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(value: serde_json::Value) -> Result<OrderAction, serde_json::Error> {
        serde_json::from_value(value)
    }

    #[test]
    fn actions_are_read_strictly() {
        let hold = parse(json!({"hold": {"reason": "material"}})).unwrap();
        assert_eq!(
            hold,
            OrderAction::Hold {
                reason: HoldReason::Material,
                note: None
            }
        );
        assert!(parse(json!({"hold": {"reason": "coffee"}})).is_err());
        assert!(parse(json!({"start": {"by": "Mallory"}})).is_err());
        assert!(parse(json!({"explode": {}})).is_err());
        assert!(parse(json!({"start": {}})).is_ok());
    }

    #[test]
    fn a_completion_with_minutes_is_two_events_with_the_time_first() {
        let action = OrderAction::Complete {
            remedy: Some("New bearing".to_owned()),
            minutes: Some(40),
        };
        let events = action.events().unwrap();
        assert!(matches!(
            events[0],
            WorkOrderEvent::LabourAdded { minutes: 40, .. }
        ));
        assert!(matches!(events[1], WorkOrderEvent::Done { .. }));
        assert_eq!(events.len(), 2);
    }

    #[test]
    fn nonsense_is_refused_by_field() {
        let refused = |action: OrderAction, wanted: &str| match action.events() {
            Err(ServiceError::Invalid { field, .. }) => assert_eq!(field, wanted),
            other => panic!("{other:?}"),
        };
        refused(OrderAction::Comment { text: " ".into() }, "text");
        refused(
            OrderAction::Cancel {
                reason: String::new(),
            },
            "reason",
        );
        refused(
            OrderAction::Labour {
                minutes: 0,
                note: None,
            },
            "minutes",
        );
        let part = |quantity| OrderAction::Part {
            part: "6204".into(),
            quantity,
        };
        refused(part(0.0), "quantity");
        refused(part(f64::NAN), "quantity");
        assert!(part(-1.0).events().is_ok());
    }

    #[test]
    fn null_takes_away_and_left_out_stays() {
        let changes: OrderChanges = serde_json::from_value(json!({"due": null})).unwrap();
        assert_eq!(changes.due, Some(None));
        assert_eq!(changes.asset, None);
        assert!(serde_json::from_value::<OrderChanges>(json!({"state": "done"})).is_err());
    }
}
