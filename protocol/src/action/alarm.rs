//! What a person asks of an alarm point (one rule on one sensor), and the event that says it: the same on
//! the box and at the hub. Pure: never looks at a store or a clock, never asks who somebody is.

use super::{Refusal, text};
use crate::alarm_point::AlarmPoint;
use crate::event::AlarmPointEvent;
use crate::time::Timestamp;
use serde::Deserialize;

const MINUTE_US: i64 = 60_000_000;

/// An action on an alarm point.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum AlarmAction {
    /// Not told for a while; comes back by itself.
    Shelve {
        /// Why.
        reason: String,
        /// For how long.
        minutes: u32,
    },
    /// Told again before its time.
    Unshelve {
        /// What to say with it.
        note: Option<String>,
    },
    /// Not told until somebody puts it back.
    OutOfService {
        /// Why.
        reason: String,
    },
    /// Told again.
    InService {
        /// What to say with it.
        note: Option<String>,
    },
}

/// What an action on a point is judged by.
#[derive(Clone, Copy, Debug)]
pub struct PointGround<'a> {
    /// The point, as its events tell it; none: nothing was ever held back of it.
    pub point: Option<&'a AlarmPoint>,
    /// The rule's name.
    pub rule: &'a str,
    /// `device/sensor`.
    pub sensor_path: &'a str,
    /// When it is asked.
    pub now: Timestamp,
    /// Longest shelf in minutes.
    pub shelve_minutes_max: u64,
}

impl AlarmAction {
    /// The word of an action on an alarm point, as it stands in an address.
    pub fn is_word(word: &str) -> bool {
        ["shelve", "unshelve", "out-of-service", "in-service"].contains(&word)
    }

    /// What is written; refused when the record would not follow, or a value cannot be taken.
    pub fn event(&self, ground: &PointGround<'_>) -> Result<AlarmPointEvent, Refusal> {
        let shelf = ground.point.and_then(|point| point.shelved.as_ref());
        let is_shelved = shelf.is_some_and(|shelf| shelf.until > ground.now);
        let is_out = (ground.point).is_some_and(|point| point.out_of_service.is_some());
        let (rule, sensor_path) = (ground.rule.to_owned(), ground.sensor_path.to_owned());
        Ok(match self {
            Self::Shelve { reason, minutes } => AlarmPointEvent::Shelved {
                rule,
                sensor_path,
                reason: text::words("reason", reason)?,
                until: ground.now.plus_micros(long_us(*minutes, ground)?),
            },
            Self::Unshelve { .. } if !is_shelved => {
                return Err(Refusal::not_now("It is not shelved."));
            }
            Self::Unshelve { note } => AlarmPointEvent::Unshelved {
                note: text::note("note", note.as_deref())?,
            },
            Self::OutOfService { .. } if is_out => {
                return Err(Refusal::not_now("It is out of service already."));
            }
            Self::OutOfService { reason } => AlarmPointEvent::OutOfService {
                rule,
                sensor_path,
                reason: text::words("reason", reason)?,
            },
            Self::InService { .. } if !is_out => {
                return Err(Refusal::not_now("It is in service."));
            }
            Self::InService { note } => AlarmPointEvent::InService {
                note: text::note("note", note.as_deref())?,
            },
        })
    }
}

fn long_us(minutes: u32, ground: &PointGround<'_>) -> Result<i64, Refusal> {
    let max = ground.shelve_minutes_max;
    if minutes == 0 || u64::from(minutes) > max {
        let words = format!("is 1 to {max}: nothing is shelved for longer than {max} minutes here");
        return Err(text::invalid("minutes", &words));
    }
    Ok(i64::from(minutes) * MINUTE_US)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alarm_point::{Said, Shelf};
    use crate::id::AlarmPointId;
    use crate::time::Hlc;
    use uuid::Uuid;

    const NOW: Timestamp = Timestamp(1_000_000_000_000);

    fn point(shelved_until: Option<Timestamp>, out: bool) -> AlarmPoint {
        let said = Said {
            at: NOW,
            by: "Ana".into(),
            reason: "known".into(),
        };
        AlarmPoint {
            id: AlarmPointId(Uuid::nil()),
            rule: "r".into(),
            sensor_path: "d/s".into(),
            shelved: shelved_until.map(|until| Shelf {
                said: said.clone(),
                until,
            }),
            out_of_service: out.then_some(said),
            learns_anew: None,
            suppressed: None,
            chattering: None,
            withheld: None,
            switch_of: None,
            maintenance: None,
            history: Vec::new(),
            latest: Hlc::default(),
        }
    }

    fn event(text: &str, point: Option<&AlarmPoint>) -> Result<AlarmPointEvent, Refusal> {
        let action: AlarmAction = serde_json::from_str(text).unwrap();
        action.event(&PointGround {
            point,
            rule: "r",
            sensor_path: "d/s",
            now: NOW,
            shelve_minutes_max: 480,
        })
    }

    #[test]
    fn a_shelf_has_a_reason_and_ends_within_the_limit() {
        let shelved = event(r#"{"shelve":{"reason":" known ","minutes":60}}"#, None).unwrap();
        let until = NOW.plus_micros(60 * MINUTE_US);
        assert!(matches!(
            shelved,
            AlarmPointEvent::Shelved { reason, until: end, .. } if reason == "known" && end == until
        ));
        for minutes in [0, 481] {
            let asked = format!(r#"{{"shelve":{{"reason":"known","minutes":{minutes}}}}}"#);
            let refused = event(&asked, None).unwrap_err();
            assert!(
                matches!(
                    &refused,
                    Refusal::Invalid {
                        field: "minutes",
                        ..
                    }
                ),
                "{refused}"
            );
        }
        let silent = event(r#"{"shelve":{"reason":" ","minutes":60}}"#, None).unwrap_err();
        assert!(matches!(
            silent,
            Refusal::Invalid {
                field: "reason",
                ..
            }
        ));
    }

    #[test]
    fn what_is_not_held_back_is_not_given_back() {
        let shelved = point(Some(NOW.plus_micros(1)), false);
        assert!(event(r#"{"unshelve":{}}"#, Some(&shelved)).is_ok());
        // Its time is over, whether or not its end was written.
        let over = point(Some(NOW), false);
        assert!(event(r#"{"unshelve":{}}"#, Some(&over)).is_err());
        let out = point(None, true);
        assert!(event(r#"{"in-service":{}}"#, Some(&out)).is_ok());
        assert!(event(r#"{"in-service":{}}"#, None).is_err());
        assert!(event(r#"{"out-of-service":{"reason":"broken"}}"#, Some(&out)).is_err());
        assert!(event(r#"{"out-of-service":{"reason":"broken"}}"#, None).is_ok());
    }
}
