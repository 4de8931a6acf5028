//! The events that say what a person asked. Never numbers or stamps them.

use super::{FailureGiven, Ground, OrderAction, OrderChanges, Refusal, complete, new_order, text};
use crate::event::{
    Body, FailureReport, FieldValue, PartMoved, RecordRef, Signed, StockEvent, StockMove, TaskKind,
    WorkOrderEvent as E,
};
use crate::stock;
use crate::work_order::{Action, WorkOrder};

/// Longest time that one entry of labour may claim, in minutes: a week.
const LABOUR_MINUTES_MAX: u32 = 7 * 24 * 60;
/// Longest downtime that a report may tell, in minutes: ten years.
const DOWNTIME_MINUTES_MAX: u32 = 10 * 366 * 24 * 60;

/// What is to be written, in this order, each to its record. The first is of the order itself.
pub type Written = Vec<(RecordRef, Body)>;

impl OrderAction {
    /// The events that say it. The caller asked the guard before, on the same order.
    pub fn events(&self, ground: &Ground<'_>) -> Result<Written, Refusal> {
        let order: RecordRef = ground.order.id.into();
        let written = |events: Vec<E>| {
            let events = events.into_iter();
            events
                .map(|event| (order, Body::WorkOrder(event)))
                .collect()
        };
        match self {
            Self::Part {
                part,
                quantity,
                place,
            } => part_moved(ground, part, *quantity, place.as_deref()),
            Self::FollowUp { .. } => new_order::followed_up(ground, self),
            Self::Edit(changes) => Ok(written(changes.events(ground.order)?)),
            Self::Complete {
                remedy,
                minutes,
                force,
            } => {
                let force = force.as_deref();
                complete::events(ground, remedy.as_deref(), *minutes, force).map(written)
            }
            Self::LabourStart {} => labour_start(ground).map(written),
            _ => self.event(ground).map(|event| written(vec![event])),
        }
    }

    /// Those that are one event.
    fn event(&self, ground: &Ground<'_>) -> Result<E, Refusal> {
        let note = |text: &Option<String>| text::note("note", text.as_deref());
        Ok(match self {
            Self::Assign { user_id, name } => E::Assigned {
                name: text::line("name", name.as_deref().unwrap_or_default())?,
                user: *user_id,
            },
            Self::Unassign {} => E::Unassigned,
            Self::Approve {} => E::Approved,
            Self::Reject { reason } => E::Rejected {
                reason: text::words("reason", reason)?,
            },
            Self::Schedule { from, until } => schedule(from, until.as_deref())?,
            Self::Start {} => E::Started,
            Self::Hold { reason, note: text } => E::Held {
                reason: *reason,
                note: note(text)?,
            },
            Self::Resume {} => E::Resumed,
            Self::Verify { note: text } => verify(ground, note(text)?)?,
            Self::Close { note: text } => E::Closed { note: note(text)? },
            Self::Cancel { reason } => E::Cancelled {
                reason: text::words("reason", reason)?,
            },
            Self::Reopen { reason } => E::Reopened {
                reason: text::words("reason", reason)?,
            },
            Self::Duplicate { of } if *of == ground.order.id => {
                return Err(text::invalid("of", "is this order itself"));
            }
            Self::Duplicate { of } => E::MarkedDuplicate { of: *of },
            Self::ReviewDone { note: text } => E::Reviewed { note: note(text)? },
            _ => return self.fact(ground),
        })
    }

    /// What was found, done and said.
    fn fact(&self, ground: &Ground<'_>) -> Result<E, Refusal> {
        let note = |text: &Option<String>| text::note("note", text.as_deref());
        match self {
            Self::Comment { text } => Ok(E::Commented {
                text: text::words("text", text)?,
            }),
            Self::Labour {
                minutes,
                note: text,
            } => labour(*minutes, note(text)?),
            Self::LabourStop { note: text } => {
                let mut clocks = ground.order.clocks.iter();
                if !clocks.any(|clock| clock.by == ground.by) {
                    let words = format!("No clock of {} runs on this order.", ground.by);
                    return Err(Refusal::not_now(words));
                }
                Ok(E::LabourStopped { note: note(text)? })
            }
            Self::Failure(report) => report.event(),
            Self::Sign {
                meaning,
                task,
                note: text,
            } => {
                let (method, digest) = ground
                    .signed
                    .ok_or_else(|| Refusal::not_now("Nobody showed who signs."))?;
                let known = task.map(|id| ground.order.task(id).map(|task| &task.kind));
                if known.is_some_and(|kind| kind != Some(&TaskKind::Signature)) {
                    return Err(text::invalid("task", "is no task that wants a signature"));
                }
                Ok(E::Signed(Signed {
                    meaning: *meaning,
                    method,
                    digest,
                    task: *task,
                    note: note(text)?,
                }))
            }
            _ => self.task(ground),
        }
    }
}

/// An entry in minutes.
pub(super) fn labour(minutes: u32, note: Option<String>) -> Result<E, Refusal> {
    if minutes == 0 || minutes > LABOUR_MINUTES_MAX {
        let words = format!("goes from 1 to {LABOUR_MINUTES_MAX}: at most a week");
        return Err(text::invalid("minutes", &words));
    }
    Ok(E::LabourAdded { minutes, note })
}

/// The clock starts; with it work begins where it had not.
fn labour_start(ground: &Ground<'_>) -> Result<Vec<E>, Refusal> {
    let order = ground.order;
    if order.clocks.iter().any(|clock| clock.by == ground.by) {
        let words = format!("The clock of {} runs on this order already.", ground.by);
        return Err(Refusal::not_now(words));
    }
    if !order.state.is_open() {
        let words = "Nobody works on an order that is done or has ended. Reopen it first, or enter \
                     the minutes.";
        return Err(Refusal::not_now(words));
    }
    let mut events = vec![E::LabourStarted];
    if order.may(Action::Start) {
        events.push(E::Started);
    } else if order.may(Action::Resume) {
        events.push(E::Resumed);
    }
    Ok(events)
}

fn schedule(from: &str, until: Option<&str>) -> Result<E, Refusal> {
    let start = text::time("from", from)?;
    let end = until.map(|until| text::time("until", until)).transpose()?;
    if end.is_some_and(|end| end <= start) {
        return Err(text::invalid("until", "must be after from"));
    }
    Ok(E::Scheduled { start, end })
}

fn verify(ground: &Ground<'_>, note: Option<String>) -> Result<E, Refusal> {
    match &ground.order.done {
        Some((_, by)) if by == ground.by => {
            let words = format!("{by} did the work; somebody else has to verify it.");
            Err(Refusal::not_now(words))
        }
        _ => Ok(E::Verified { note }),
    }
}

/// A part of the site's list is moved in the stock too; anything else is only noted.
fn part_moved(
    ground: &Ground<'_>,
    given: &str,
    quantity: Option<f64>,
    place: Option<&str>,
) -> Result<Written, Refusal> {
    let given = text::line("part", given)?;
    let quantity = text::quantity("quantity", quantity.unwrap_or(1.0))?;
    let place = text::name("place", place)?;
    let parts = ground.bundle.iter().flat_map(|bundle| &bundle.parts);
    let listed = parts
        .filter(|part| part.number.eq_ignore_ascii_case(&given))
        .min_by_key(|part| part.number != given);
    let order = ground.order.id;
    let Some(part) = listed else {
        let part = E::PartUsed {
            part: given,
            quantity,
        };
        return Ok(vec![(order.into(), Body::WorkOrder(part))]);
    };
    let moved = PartMoved {
        part: part.number.clone(),
        name: part.name.clone(),
        quantity,
        place: place.or_else(|| part.place.clone()),
    };
    let ledger = StockMove {
        part: moved.part.clone(),
        name: moved.name.clone(),
        quantity: -quantity,
        order: Some(order),
        place: moved.place.clone(),
        note: None,
    };
    Ok(vec![
        (order.into(), Body::WorkOrder(E::PartMoved(moved))),
        (
            stock::record(ground.gateway, &part.number),
            Body::Stock(StockEvent::Moved(ledger)),
        ),
    ])
}

impl FailureGiven {
    fn event(&self) -> Result<E, Refusal> {
        let text = |field, text: &Option<String>| {
            let told = text::note(field, text.as_deref())?;
            Ok(text.as_ref().map(|_| told.unwrap_or_default()))
        };
        let code = |field, code: &Option<String>| {
            let told = text::name(field, code.as_deref())?;
            Ok(code.as_ref().map(|_| told.unwrap_or_default()))
        };
        if self.downtime_minutes > Some(DOWNTIME_MINUTES_MAX) {
            return Err(text::invalid("downtime_minutes", "is at most ten years"));
        }
        let report = FailureReport {
            problem: text("problem", &self.problem)?,
            cause: text("cause", &self.cause)?,
            remedy: text("remedy", &self.remedy)?,
            problem_code: code("problem_code", &self.problem_code)?,
            cause_code: code("cause_code", &self.cause_code)?,
            remedy_code: code("remedy_code", &self.remedy_code)?,
            effect: self.effect,
            downtime_minutes: self.downtime_minutes,
        };
        if report == FailureReport::default() {
            return Err(text::invalid(
                "problem",
                "is missing; tell at least one of problem, cause, remedy, their codes, effect, \
                 downtime_minutes",
            ));
        }
        Ok(E::FailureReported(report))
    }
}

impl OrderChanges {
    /// One event per field whose value differs from the order's.
    pub fn events(&self, order: &WorkOrder) -> Result<Vec<E>, Refusal> {
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
            let due = due
                .as_deref()
                .map(|due| text::time("due", due))
                .transpose()?;
            if due != order.due.value {
                fields.push(FieldValue::Due(due));
            }
        }
        if let Some(tag) = &self.asset {
            let asset = text::name("asset", tag.as_deref())?;
            if asset != order.asset.value {
                fields.push(FieldValue::Asset(asset));
            }
        }
        Ok(fields.into_iter().map(E::FieldSet).collect())
    }
}
