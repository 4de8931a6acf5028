//! What people are told, and one message with it for one channel. Never how it gets there.

use super::words::Language;
use protocol::event::Severity;
use protocol::id::AlertId;
use protocol::time::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Titles of further matters that one message lists.
const LISTED_MAX: usize = 5;

/// What sort of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Sort {
    /// An alert was raised.
    Raised,
    /// It still waits for somebody.
    Again,
    /// It is over.
    Cleared,
    /// Many alerts, told as one, or the end of that; or one that comes and goes.
    Flood,
    /// A work order was opened.
    Order,
    /// Somebody tries a channel.
    Test,
}

/// Something that people are to be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Matter {
    /// Follows from what happened: the same matter is told once.
    pub id: Uuid,
    /// What sort of thing.
    pub sort: Sort,
    /// The alert that can be acknowledged.
    pub alert: Option<AlertId>,
    /// How urgent.
    pub severity: Severity,
    /// One line.
    pub title: String,
    /// More about it; may be empty.
    pub words: String,
    /// Tag of the asset.
    pub asset: Option<String>,
    /// The rule behind it.
    pub rule: Option<String>,
    /// When it happened: the time of the reading.
    pub time: Timestamp,
}

impl Matter {
    /// Somebody tries a channel.
    pub(super) fn test(id: Uuid, title: String, time: Timestamp) -> Self {
        Self {
            id,
            sort: Sort::Test,
            alert: None,
            severity: Severity::Low,
            title,
            words: String::new(),
            asset: None,
            rule: None,
            time,
        }
    }

    /// The title with the asset in front, unless the title names it.
    pub(super) fn headline(&self) -> String {
        match &self.asset {
            Some(asset) if !self.title.contains(asset.as_str()) => {
                format!("{asset}: {}", self.title)
            }
            _ => self.title.clone(),
        }
    }
}

/// Who a message goes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Recipient {
    /// The person.
    pub name: String,
    /// Telephone number or mail address.
    pub address: String,
}

/// One matter of a message, and the delivery that it is part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// The delivery.
    pub job: Uuid,
    /// What is told.
    pub matter: Matter,
    /// What an answer names it by; 0: nothing can be acknowledged.
    pub code: u16,
}

/// One message on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// The same for each try: a receiver can tell a repetition by it.
    pub id: Uuid,
    /// Name of the channel.
    pub channel: String,
    /// Who it goes to; none: everybody who hears or sees the channel.
    pub to: Option<Recipient>,
    /// Also let the telephone ring.
    pub call: bool,
    /// This is try number so many, from 1.
    pub attempt: u8,
    /// How often it was told before because nobody acknowledged it.
    pub round: u16,
    /// What is told, the most urgent first; never empty.
    pub parts: Vec<Part>,
}

impl Message {
    /// The most urgent matter.
    pub(super) fn head(&self) -> Option<&Matter> {
        self.parts.first().map(|part| &part.matter)
    }

    /// How urgent it is.
    pub(super) fn severity(&self) -> Severity {
        self.head().map_or(Severity::Low, |matter| matter.severity)
    }

    /// When the oldest of its matters happened.
    pub(super) fn since(&self) -> Timestamp {
        let times = self.parts.iter().map(|part| part.matter.time);
        times.min().unwrap_or_default()
    }

    /// One line without line ends: severity and headline, or how many there are.
    pub(super) fn subject(&self, language: Language) -> String {
        let Some(head) = self.head() else {
            return String::new();
        };
        let line = match head.sort {
            Sort::Test => head.title.clone(),
            Sort::Cleared => format!("{}: {}", language.over(), head.headline()),
            Sort::Order => head.headline(),
            _ => format!("{}: {}", language.severity(head.severity), head.headline()),
        };
        let line = match self.parts.len() {
            0 | 1 => line,
            count => format!("{line} {}", language.more(count - 1)),
        };
        line.chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect()
    }

    /// Subject, words, further matters, each on a line of its own.
    pub(super) fn body(&self, language: Language) -> String {
        let mut lines = vec![self.subject(language)];
        if let Some(head) = self.head()
            && !head.words.is_empty()
        {
            lines.push(head.words.clone());
        }
        let more = self.parts.iter().skip(1);
        lines.extend(more.clone().take(LISTED_MAX).map(|part| {
            let severity = language.severity(part.matter.severity);
            format!("- {severity}: {}", part.matter.headline())
        }));
        if let Some(left) = more.len().checked_sub(LISTED_MAX).filter(|left| *left > 0) {
            lines.push(format!("- {}", language.more(left)));
        }
        lines.join("\n")
    }
}

/// How one try of a message ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver took it. In words what it said, where it said something.
    Delivered(String),
    /// It did not get there; another try may help.
    Failed(String),
    /// It cannot get there, another try does not help.
    Refused(String),
    /// Somebody acknowledged before it was sent.
    Withdrawn,
}
