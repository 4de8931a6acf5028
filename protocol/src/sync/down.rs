//! The words of the down lane (PROTOCOL §6.8): what a box did with a document, what it is asked to
//! do, how that ended. Never does any of it.

/// What a box did with a configuration document. On the wire: append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentState {
    /// It is stored on the box and not judged yet.
    Received,
    /// It cannot be taken; what counted before goes on.
    Rejected,
    /// The box runs with it, on trial.
    Applied,
    /// The trial was passed. With version 0: the box has no document.
    Confirmed,
    /// The trial was not passed, or a person went back: what counted before counts again.
    RolledBack,
}

impl DocumentState {
    const ALL: [Self; 5] = [
        Self::Received,
        Self::Rejected,
        Self::Applied,
        Self::Confirmed,
        Self::RolledBack,
    ];

    /// The number on the wire.
    pub const fn code(self) -> u8 {
        match self {
            Self::Received => 0,
            Self::Rejected => 1,
            Self::Applied => 2,
            Self::Confirmed => 3,
            Self::RolledBack => 4,
        }
    }

    /// From the number on the wire.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.code() == code)
    }

    /// The word of the JSON interfaces.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Rejected => "rejected",
            Self::Applied => "applied",
            Self::Confirmed => "confirmed",
            Self::RolledBack => "rolled_back",
        }
    }

    /// From the word of the JSON interfaces.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }
}

/// How a command ended. On the wire: append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// The box does not do such a thing, or not now.
    Refused,
    /// It was tried and did not work.
    Failed,
    /// It came too late and was not done.
    Expired,
    /// The box ended while it was done: nobody knows. It is not done again.
    Unknown,
}

impl Outcome {
    const ALL: [Self; 5] = [
        Self::Done,
        Self::Refused,
        Self::Failed,
        Self::Expired,
        Self::Unknown,
    ];

    /// The number on the wire.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Refused => 1,
            Self::Failed => 2,
            Self::Expired => 3,
            Self::Unknown => 4,
        }
    }

    /// From the number on the wire.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.code() == code)
    }

    /// The word of the JSON interfaces.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Unknown => "unknown",
        }
    }
}

/// What a command asks for. On the wire a number and texts; the numbers are append only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// End the collection in order and begin it anew.
    Restart,
    /// Have the box's certificate renewed now.
    RenewCertificate,
    /// Say what a sensor showed last.
    Read {
        /// `device/sensor`.
        sensor: String,
    },
}

impl Task {
    /// The words with which people name the kinds.
    pub const WORDS: [&'static str; 3] = ["restart", "renew_certificate", "read"];

    /// Number and arguments on the wire.
    pub fn to_wire(&self) -> (u16, Vec<String>) {
        match self {
            Self::Restart => (1, vec![]),
            Self::RenewCertificate => (2, vec![]),
            Self::Read { sensor } => (3, vec![sensor.clone()]),
        }
    }

    /// From number and arguments; `None`: this build does not know such a command.
    pub fn from_wire(kind: u16, arguments: &[String]) -> Option<Self> {
        match (kind, arguments) {
            (1, []) => Some(Self::Restart),
            (2, []) => Some(Self::RenewCertificate),
            (3, [sensor]) => Some(Self::Read {
                sensor: sensor.clone(),
            }),
            _ => None,
        }
    }

    /// The word of its kind.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::RenewCertificate => "renew_certificate",
            Self::Read { .. } => "read",
        }
    }

    /// From the word of its kind and its arguments, as a person gave them.
    pub fn from_word(word: &str, arguments: &[String]) -> Option<Self> {
        let at = Self::WORDS.iter().position(|known| *known == word)?;
        Self::from_wire(u16::try_from(at).ok()? + 1, arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_words_come_back() {
        for state in DocumentState::ALL {
            assert_eq!(DocumentState::from_code(state.code()), Some(state));
            assert_eq!(DocumentState::from_word(state.word()), Some(state));
        }
        for outcome in Outcome::ALL {
            assert_eq!(Outcome::from_code(outcome.code()), Some(outcome));
        }
        for word in Task::WORDS {
            let arguments = match word {
                "read" => vec!["a/b".to_owned()],
                _ => vec![],
            };
            let task = Task::from_word(word, &arguments).unwrap();
            assert_eq!(task.word(), word);
            let (kind, arguments) = task.to_wire();
            assert_eq!(Task::from_wire(kind, &arguments), Some(task));
        }
        assert_eq!(Task::from_wire(900, &[]), None);
        assert_eq!(Task::from_word("read", &[]), None);
        assert_eq!(Task::from_word("restart", &["now".to_owned()]), None);
    }
}
