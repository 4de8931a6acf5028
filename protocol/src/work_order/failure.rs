//! What failed in an order and why, field by field as it was told last. Never judges it.

use super::Field;
use crate::event::{Event, FailureEffect};

/// The failure report of an order.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// What was found.
    pub problem: Field<Option<String>>,
    /// Why it came to that.
    pub cause: Field<Option<String>>,
    /// What was done about it.
    pub remedy: Field<Option<String>>,
    /// The site's code for the problem.
    pub problem_code: Field<Option<String>>,
    /// The site's code for the cause.
    pub cause_code: Field<Option<String>>,
    /// The site's code for what was done.
    pub remedy_code: Field<Option<String>>,
    /// What it did to the plant.
    pub effect: Field<Option<FailureEffect>>,
    /// How long the asset did not do its work, in minutes.
    pub downtime_minutes: Field<Option<u32>>,
}

impl Failure {
    /// Nothing is told yet.
    pub(super) fn of(created: &Event) -> Self {
        Self {
            problem: Field::of(created, None),
            cause: Field::of(created, None),
            remedy: Field::of(created, None),
            problem_code: Field::of(created, None),
            cause_code: Field::of(created, None),
            remedy_code: Field::of(created, None),
            effect: Field::of(created, None),
            downtime_minutes: Field::of(created, None),
        }
    }

    /// Whether anything is told.
    pub fn is_told(&self) -> bool {
        let texts = [
            &self.problem,
            &self.cause,
            &self.remedy,
            &self.problem_code,
            &self.cause_code,
            &self.remedy_code,
        ];
        texts.iter().any(|text| text.value.is_some())
            || self.effect.value.is_some()
            || self.downtime_minutes.value.is_some()
    }
}
