//! The few words that the box itself puts into a message, in the languages of the sites. Titles are
//! the site's own and come as they are. Pure.

use protocol::event::Severity;

/// A language of messages and announcements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Language {
    /// English.
    #[default]
    English,
    /// German.
    German,
    /// French.
    French,
    /// Spanish.
    Spanish,
}

/// As `[notify] language` writes them; also espeak-ng's names of their voices.
pub(super) const LANGUAGES: &[(&str, Language)] = &[
    ("en", Language::English),
    ("de", Language::German),
    ("fr", Language::French),
    ("es", Language::Spanish),
];

impl Language {
    /// As the configuration writes it.
    pub(super) fn code(self) -> &'static str {
        let found = LANGUAGES.iter().find(|(_, language)| *language == self);
        found.map_or("en", |(code, _)| *code)
    }

    /// The word for how urgent an alert is.
    pub(super) const fn severity(self, severity: Severity) -> &'static str {
        let [low, medium, high, critical] = match self {
            Self::English => ["Low", "Medium", "High", "Critical"],
            Self::German => ["Niedrig", "Mittel", "Hoch", "Kritisch"],
            Self::French => ["Bas", "Moyen", "Urgent", "Critique"],
            Self::Spanish => ["Bajo", "Medio", "Alto", "Critico"],
        };
        match severity {
            Severity::Low => low,
            Severity::Medium => medium,
            Severity::High => high,
            Severity::Critical => critical,
        }
    }

    /// Said before an announcement.
    pub(super) const fn attention(self) -> &'static str {
        match self {
            Self::English | Self::French => "Attention",
            Self::German => "Achtung",
            Self::Spanish => "Atención",
        }
    }

    /// Before the title of an alert that is over.
    pub(super) const fn over(self) -> &'static str {
        match self {
            Self::English => "Normal again",
            Self::German => "Wieder normal",
            Self::French => "De nouveau normal",
            Self::Spanish => "Normal de nuevo",
        }
    }

    /// `and 3 more`
    pub(super) fn more(self, count: usize) -> String {
        match self {
            Self::English => format!("and {count} more"),
            Self::German => format!("und {count} weitere"),
            Self::French => format!("et {count} autres"),
            Self::Spanish => format!("y {count} más"),
        }
    }

    /// How an SMS is answered.
    pub(super) fn answer(self, code: u16) -> String {
        match self {
            Self::English => format!("Answer OK {code}"),
            Self::German => format!("Antwort: OK {code}"),
            Self::French => format!("Repondez OK {code}"),
            Self::Spanish => format!("Responda OK {code}"),
        }
    }

    /// How an SMS that tells several things is answered.
    pub(super) const fn answer_all(self) -> &'static str {
        match self {
            Self::English => "Answer OK ALL",
            Self::German => "Antwort: OK ALLE",
            Self::French => "Repondez OK TOUT",
            Self::Spanish => "Responda OK TODO",
        }
    }

    /// The text of a test.
    pub(super) const fn test(self) -> &'static str {
        match self {
            Self::English => "This is a test of the alarm system",
            Self::German => "Dies ist ein Test der Alarmanlage",
            Self::French => "Ceci est un essai du système d'alarme",
            Self::Spanish => "Esto es una prueba del sistema de alarma",
        }
    }
}
