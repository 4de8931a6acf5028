//! What people do on the box, and who may (docs/people.md has the table). Never does it.

use protocol::bundle::Role;

/// A kind of action. Looking needs none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Take notice of an alert, comment on it.
    Acknowledge,
    /// Ask for or open an order, work on it: start, hold, resume, complete, checklist, parts,
    /// labour, photos, comments, signature.
    Work,
    /// Shelve an alarm for a time, and take it back.
    Shelve,
    /// Carry files between box and hub.
    Exchange,
    /// Approve, reject, assign, change, close, cancel, reopen orders.
    Plan,
    /// Take an alarm out of service, and put it back.
    OutOfService,
    /// Have a rule forget what is usual, and learn anew.
    Relearn,
    /// Write a value to a device.
    Write,
    /// Reload or roll back the configuration.
    Configure,
}

impl Act {
    /// All, in the order of docs/people.md.
    pub const ALL: [Self; 9] = [
        Self::Acknowledge,
        Self::Work,
        Self::Shelve,
        Self::Exchange,
        Self::Plan,
        Self::OutOfService,
        Self::Relearn,
        Self::Write,
        Self::Configure,
    ];

    /// The least role that may.
    pub const fn least(self) -> Role {
        match self {
            Self::Acknowledge | Self::Work | Self::Shelve | Self::Exchange => Role::Technician,
            Self::Plan => Role::Planner,
            Self::OutOfService | Self::Relearn | Self::Write | Self::Configure => Role::Engineer,
        }
    }

    /// Whether somebody of this role may.
    pub fn is_for(self, role: Role) -> bool {
        role >= self.least()
    }

    /// The word of JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Acknowledge => "acknowledge",
            Self::Work => "work",
            Self::Shelve => "shelve",
            Self::Exchange => "exchange",
            Self::Plan => "plan",
            Self::OutOfService => "out_of_service",
            Self::Relearn => "relearn",
            Self::Write => "write",
            Self::Configure => "configure",
        }
    }

    /// For a sentence: "… needs the role engineer".
    pub const fn words(self) -> &'static str {
        match self {
            Self::Acknowledge => "Acknowledging an alert",
            Self::Work => "Working on an order",
            Self::Shelve => "Shelving an alarm",
            Self::Exchange => "Carrying files between box and hub",
            Self::Plan => "Planning orders",
            Self::OutOfService => "Taking an alarm out of service",
            Self::Relearn => "Having a rule learn anew",
            Self::Write => "Writing to a device",
            Self::Configure => "Changing the configuration",
        }
    }
}
