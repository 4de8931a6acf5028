//! What a person may do with an order in a given state. Asked where an action is taken, so that
//! a page never offers what the record would not follow; the fold copes with what two sides did
//! at the same time.

use super::{WorkOrder, WorkOrderState};

/// What a person may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Turn a request into an order.
    Approve,
    /// Turn a request down.
    Reject,
    /// Begin work.
    Start,
    /// Let work wait.
    Hold,
    /// Go on.
    Resume,
    /// Give it a time window.
    Schedule,
    /// Finish.
    Complete,
    /// Find good what was done.
    Verify,
    /// Put away.
    Close,
    /// Take up again.
    Reopen,
    /// Give up.
    Cancel,
    /// Say that it is the same as another order.
    Duplicate,
    /// Say who does it.
    Assign,
    /// Change a field.
    Edit,
}

impl Action {
    /// All actions, in the order in which a page offers them.
    pub const ALL: [Self; 14] = [
        Self::Approve,
        Self::Reject,
        Self::Start,
        Self::Resume,
        Self::Complete,
        Self::Hold,
        Self::Verify,
        Self::Close,
        Self::Reopen,
        Self::Cancel,
        Self::Schedule,
        Self::Duplicate,
        Self::Assign,
        Self::Edit,
    ];

    /// The word of the JSON interface.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::Start => "start",
            Self::Hold => "hold",
            Self::Resume => "resume",
            Self::Complete => "complete",
            Self::Schedule => "schedule",
            Self::Verify => "verify",
            Self::Duplicate => "duplicate",
            Self::Close => "close",
            Self::Reopen => "reopen",
            Self::Cancel => "cancel",
            Self::Assign => "assign",
            Self::Edit => "edit",
        }
    }
}

impl WorkOrder {
    /// Whether a person may take `action` on this order now.
    pub const fn may(&self, action: Action) -> bool {
        use WorkOrderState as S;
        let state = self.state;
        match action {
            Action::Approve | Action::Reject => matches!(state, S::Requested),
            Action::Start => matches!(state, S::Requested | S::Open | S::Scheduled),
            Action::Hold => matches!(state, S::Open | S::Scheduled | S::InProgress),
            Action::Resume => matches!(state, S::OnHold),
            Action::Complete => matches!(state, S::Open | S::Scheduled | S::InProgress | S::OnHold),
            Action::Schedule => matches!(state, S::Requested | S::Open | S::Scheduled),
            Action::Verify => matches!(state, S::Done) && self.verified.is_none(),
            Action::Close => state.is_open() || matches!(state, S::Done),
            Action::Reopen => state.is_ended() || matches!(state, S::Done),
            // Not once work has begun: what was done must stay on the record.
            Action::Cancel => {
                matches!(state, S::Requested | S::Open | S::Scheduled | S::OnHold)
                    && self.started_at.is_none()
            }
            Action::Assign | Action::Edit | Action::Duplicate => !state.is_ended(),
        }
    }

    /// What a person may do with this order now, in the order in which a page offers it.
    pub fn actions(&self) -> Vec<Action> {
        Action::ALL
            .into_iter()
            .filter(|action| self.may(*action))
            .collect()
    }
}
