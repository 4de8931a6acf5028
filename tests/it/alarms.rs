//! Which alarms the stored readings stand for, found again with a rule of three lines, and compared
//! with the alerts that the box raised. Never uses the agent's own detectors.

use crate::plant::{LOW, NORMAL, time};
use crate::readings::Measured;
use crate::records::Shown;
use anyhow::{Result, ensure};
use protocol::time::Timestamp;

/// When the temperature fell below the limit, and when it was normal again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Alarm {
    pub(crate) raised_at: Timestamp,
    pub(crate) cleared_at: Option<Timestamp>,
}

/// The alarms that these readings stand for, oldest first.
pub(crate) fn expected(measured: &[Measured]) -> Vec<Alarm> {
    let mut alarms: Vec<Alarm> = Vec::new();
    for poll in measured {
        let active = alarms.last_mut().filter(|alarm| alarm.cleared_at.is_none());
        match active {
            None if poll.temperature < LOW => alarms.push(Alarm {
                raised_at: poll.time,
                cleared_at: None,
            }),
            Some(alarm) if poll.temperature >= NORMAL => {
                alarm.cleared_at = Some(poll.time);
            }
            _ => {}
        }
    }
    alarms
}

/// Every alarm was raised once, and cleared once when it was over, at the times of its readings.
pub(crate) fn same(expected: &[Alarm], alerts: &Shown) -> Result<()> {
    let mut raised: Vec<Alarm> = Vec::new();
    for alert in alerts.values() {
        raised.push(Alarm {
            raised_at: time(alert, "/raised_at")?,
            cleared_at: time(alert, "/cleared_at").ok(),
        });
    }
    raised.sort_by_key(|alarm| alarm.raised_at);
    ensure!(
        raised == expected,
        "the readings stand for the alarms {expected:#?}, the alerts are {raised:#?}"
    );
    Ok(())
}
