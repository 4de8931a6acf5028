//! Finding things in a bundle, and how far it still counts. Never changes it.

use super::{Asset, Bundle, Checklist, Part, Person, Role};
use crate::id::UserId;
use crate::time::Timestamp;

const DAY_US: i64 = 86_400_000_000;

/// How far a bundle counts at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// In full.
    Valid,
    /// Past its last day, in its days of grace: in full, with a warning.
    Grace,
    /// Past both: nobody is more than a technician.
    Ended,
}

impl Validity {
    /// The word of JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Grace => "grace",
            Self::Ended => "ended",
        }
    }

    /// What somebody who has `role` in the bundle may do now.
    pub fn lowered(self, role: Role) -> Role {
        match self {
            Self::Valid | Self::Grace => role,
            Self::Ended => role.min(Role::Technician),
        }
    }
}

impl Bundle {
    /// How far it counts at `now`.
    pub fn validity(&self, now: Timestamp) -> Validity {
        let grace_us = i64::from(self.grace_days).saturating_mul(DAY_US);
        if now <= self.valid_until {
            Validity::Valid
        } else if now.0 <= self.valid_until.0.saturating_add(grace_us) {
            Validity::Grace
        } else {
            Validity::Ended
        }
    }

    /// A person.
    pub fn person(&self, id: UserId) -> Option<&Person> {
        self.people.iter().find(|person| person.id == id)
    }

    /// A person by the name shown.
    pub fn person_named(&self, name: &str) -> Option<&Person> {
        self.people.iter().find(|person| person.name == name)
    }

    /// An asset by its tag.
    pub fn asset(&self, tag: &str) -> Option<&Asset> {
        self.assets.iter().find(|asset| asset.tag == tag)
    }

    /// A part by its number.
    pub fn part(&self, number: &str) -> Option<&Part> {
        self.parts.iter().find(|part| part.number == number)
    }

    /// A checklist by its name.
    pub fn checklist(&self, id: &str) -> Option<&Checklist> {
        self.checklists.iter().find(|list| list.id == id)
    }
}
