//! Mistakes that can be built in on purpose, each a mistake that a real shell or store could make.
//! Never switched on but by the test that shows that each is caught.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// The hub acknowledges a frame before its commit.
    AckBeforeCommit,
    /// The box sends polls that are not committed yet.
    SendBeforeCommit,
    /// The hub forgets at a restart what it received, and stores it again.
    ReceivedForgotten,
    /// The hub leaves out the last poll of a block.
    LastPollDropped,
    /// The hub takes a block as held when its first poll is.
    DedupeByFirstPoll,
    /// The hub throws away events that it does not understand.
    UnknownDropped,
    /// The hub puts stamps of its own on events.
    Restamped,
    /// A replaced store goes on with the old incarnation.
    IncarnationKept,
    /// The box deletes what it sent, acknowledged or not, when it is short of room.
    DeletedWhenSent,
    /// The box says that it holds the hub's events before it committed them.
    DownAckBeforeCommit,
    /// The hub lets events wait before it commits them.
    EventsLate,
    /// The box waits for an answer for ever.
    NoTimeout,
}

impl Bug {
    pub(crate) const ALL: [Self; 12] = [
        Self::AckBeforeCommit,
        Self::SendBeforeCommit,
        Self::ReceivedForgotten,
        Self::LastPollDropped,
        Self::DedupeByFirstPoll,
        Self::UnknownDropped,
        Self::Restamped,
        Self::IncarnationKept,
        Self::DeletedWhenSent,
        Self::DownAckBeforeCommit,
        Self::EventsLate,
        Self::NoTimeout,
    ];
}
