//! Moving the stamps of a clock that was not set. Never moves a stamp twice.

use super::{AlarmPointEvent, AlertEvent, Body, Event, GatewayEvent, WorkOrderEvent};
use crate::time::{ClockState, Correction, Timestamp};

impl Event {
    /// Moves what was stamped by a clock that was not set, times within the event too as far as
    /// they are of that clock. What was stamped otherwise is left alone, so that twice is once.
    pub fn correct(&mut self, by: &Correction) {
        if self.clock != ClockState::Untrusted {
            return;
        }
        let correct = |time: &mut Timestamp| *time = by.of(*time);
        match &mut self.body {
            Body::Alert(AlertEvent::Raised(raised)) => correct(&mut raised.since),
            Body::WorkOrder(WorkOrderEvent::SnapshotAdded(snapshot)) => {
                let points = snapshot.points.iter_mut();
                points.for_each(|(time, _)| correct(time));
            }
            Body::Gateway(GatewayEvent::Gap { from, to, .. }) => {
                correct(from);
                correct(to);
            }
            Body::AlarmPoint(
                AlarmPointEvent::Shelved { until: time, .. }
                | AlarmPointEvent::Withheld { since: time, .. }
                | AlarmPointEvent::MaintenanceBegan {
                    until: Some(time), ..
                },
            ) => correct(time),
            _ => {}
        }
        self.time = self.time.plus_micros(by.shift_us);
        self.clock = ClockState::Corrected;
    }
}
