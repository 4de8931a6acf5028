//! The detectors, shared with the intake: it asks whether a poll will raise an alert, so that this poll
//! does not wait for the tick of the store. Only the judge has them judge, what is committed.

use super::Judge;
use crate::analysis::Detectors;
use protocol::reading::{GroupSchema, Poll, readings};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The detectors of the judge.
#[derive(Clone, Debug)]
pub(in crate::agent) struct SharedDetectors(Arc<Mutex<Detectors>>);

impl SharedDetectors {
    /// Shares them.
    pub(super) fn new(detectors: Detectors) -> Self {
        Self(Arc::new(Mutex::new(detectors)))
    }

    /// Held for one call: the intake waits.
    pub(super) fn lock(&self) -> MutexGuard<'_, Detectors> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an alert comes of this poll as soon as it is committed. A poll that follows from one
    /// that is not committed yet may be missed: its alert comes with the next tick.
    pub(in crate::agent) fn foresee(&self, schema: &GroupSchema, poll: &Poll) -> bool {
        let detectors = self.lock();
        readings(schema, poll).any(|reading| detectors.foresees(&reading))
    }
}

impl Judge {
    /// What the intake foresees alerts by.
    pub(in crate::agent) fn detectors(&self) -> SharedDetectors {
        self.detectors.clone()
    }
}
