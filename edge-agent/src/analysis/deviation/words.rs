//! What a deviation says, in plain words. Never decides whether it says it.

use super::super::figure;
use super::super::finding::{Change, Detail};
use super::super::standing::Look;
use super::model::{Model, Sight, Verdict};
use super::slow::Course;
use protocol::event::{AlertKind, Direction};
use protocol::time::Timestamp;
use std::sync::Arc;

/// What was expected is told as so many standard deviations to both sides.
const EDGES: f64 = 3.0;

/// To which side it is abnormal.
pub(super) fn direction(model: &Model, value: f64, verdict: Verdict) -> Direction {
    let (now, usual) = match verdict.sight {
        Sight::Drift => (model.level().now, middle(model.level())),
        Sight::Swings => (model.swings().now, middle(model.swings())),
        Sight::Readings => (value, verdict.expected),
    };
    if now >= usual {
        Direction::High
    } else {
        Direction::Low
    }
}

/// The alert.
pub(super) fn raised(
    model: &Model,
    look: Look,
    (direction, since): (Direction, Timestamp),
    verdict: Verdict,
) -> Change {
    let mut expected = (
        verdict.expected - EDGES * verdict.spread,
        verdict.expected + EDGES * verdict.spread,
    );
    let score = verdict.score;
    let words = match verdict.sight {
        Sight::Drift => {
            let level = model.level();
            expected = level.usual;
            let usual = range(level.usual);
            let now = figure(level.now);
            format!(
                "has drifted: about {now} over some hours where {usual} is usual (score {score:.1})"
            )
        }
        Sight::Swings => format!("{} (score {score:.1})", swings(model.swings())),
        Sight::Readings => {
            let (value, usual) = (figure(look.value), range(expected));
            if (expected.0..=expected.1).contains(&look.value) {
                format!(
                    "does not behave as usual: {value} is within {usual}, but its course is not (score {score:.1})"
                )
            } else {
                format!("{value} where {usual} is usual at this time of the day (score {score:.1})")
            }
        }
    };
    Change::Raised {
        direction,
        limit: match direction {
            Direction::High => expected.1,
            Direction::Low => expected.0,
        },
        value: look.value,
        peak: look.value,
        since,
        detail: Some(Arc::new(Detail {
            kind: AlertKind::Deviation,
            words,
            expected: Some(expected),
            score: Some(score),
            reaches_limit_in: None,
        })),
    }
}

/// "swings faster than usual: 12 times a minute, normally 3 to 5".
fn swings(course: Course) -> String {
    let (unit, times) = match course.now.max(course.usual.1) {
        an_hour if an_hour >= 120.0 => ("a minute", 1.0 / 60.0),
        an_hour if an_hour >= 2.0 => ("an hour", 1.0),
        _ => ("a day", 24.0),
    };
    let short = |an_hour: f64| {
        let count = an_hour * times;
        let digits = usize::from(count < 9.95);
        let text = format!("{count:.digits$}");
        text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
    };
    let how = if course.now >= middle(course) {
        "faster"
    } else {
        "slower"
    };
    let (low, high) = course.usual;
    format!(
        "swings {how} than usual: {} times {unit}, normally {} to {}",
        short(course.now),
        short(low),
        short(high)
    )
}

fn middle(course: Course) -> f64 {
    f64::midpoint(course.usual.0, course.usual.1)
}

fn range((low, high): (f64, f64)) -> String {
    format!("{} to {}", figure(low), figure(high))
}
