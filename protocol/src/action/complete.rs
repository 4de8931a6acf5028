//! The end of work: no task that must be done is left out without a reason. Never closes the order.

use super::{Ground, Refusal, events, text};
use crate::event::{TaskAnswer, TaskValue, WorkOrderEvent as E};

/// Skipped tasks, the clock that stops, the minutes, and *done*.
pub(super) fn events(
    ground: &Ground<'_>,
    remedy: Option<&str>,
    minutes: Option<u32>,
    force: Option<&str>,
) -> Result<Vec<E>, Refusal> {
    let mut written = skipped(ground, force)?;
    let minutes = minutes.filter(|minutes| *minutes != 0);
    if ground
        .order
        .clocks
        .iter()
        .any(|clock| clock.by == ground.by)
    {
        if minutes.is_some() {
            let words = format!(
                "The clock of {} runs and stops with this; leave the minutes out, or stop the clock \
                 first.",
                ground.by
            );
            return Err(Refusal::not_now(words));
        }
        written.push(E::LabourStopped { note: None });
    }
    // The time first: after the end it would count as late.
    if let Some(minutes) = minutes {
        written.push(events::labour(minutes, None)?);
    }
    written.push(E::Done {
        remedy: text::note("remedy", remedy)?,
    });
    Ok(written)
}

fn skipped(ground: &Ground<'_>, force: Option<&str>) -> Result<Vec<E>, Refusal> {
    let open: Vec<_> = ground.order.open_tasks().collect();
    if open.is_empty() {
        return Ok(Vec::new());
    }
    let Some(reason) = text::note("force", force)? else {
        let titles: Vec<_> = open.iter().map(|task| task.title.as_str()).collect();
        let words = format!(
            "These tasks must be done first: {}. To complete without them give the reason as \
             \"force\".",
            titles.join("; ")
        );
        return Err(Refusal::not_now(words));
    };
    let skip = |task: &&crate::work_order::Task| {
        E::TaskAnswered(TaskAnswer {
            task: task.id,
            value: TaskValue::Skipped,
            note: Some(reason.clone()),
        })
    };
    Ok(open.iter().map(skip).collect())
}
