//! A table as it is written, for whoever copies its keys without knowing what they mean (the CSV of
//! tags, what changed between two files). Never judges a key or a value.

use super::section::Section;
use super::tree::{Item, Value};

/// One value as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// A text, without its quotes.
    Text(String),
    /// Anything else, as TOML writes it.
    Other(String),
}

impl Section {
    /// Every key with its value, in the order of the file.
    pub fn written(&self) -> impl Iterator<Item = (&str, Written)> {
        let entries = self.table().entries.iter();
        entries.map(|entry| (entry.key.as_str(), written(&entry.item)))
    }

    /// One of them.
    pub fn written_at(&self, key: &str) -> Option<Written> {
        Some(written(&self.table().get(key)?.item))
    }
}

impl Written {
    /// The text, or what TOML writes.
    pub fn into_text(self) -> String {
        match self {
            Self::Text(text) | Self::Other(text) => text,
        }
    }
}

fn written(item: &Item) -> Written {
    match &item.value {
        Value::Text(text) => Written::Text(text.clone()),
        other => Written::Other(other.to_string()),
    }
}
