//! The parsed file as plain values, each with its place in the text. Never judges a value.

use std::ops::Range;
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A table with its keys in the order of the file.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pub(super) entries: Vec<Entry>,
}

/// One key and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_span: Range<usize>,
    pub(super) item: Item,
}

/// A value and the bytes of the file that it stands in.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) span: Range<usize>,
    pub(super) value: Value,
}

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    /// `None` when it does not fit; the text keeps `0x…` as it was written.
    Integer(Option<i64>, String),
    /// `None` when it does not fit.
    Float(Option<f64>),
    Boolean(bool),
    /// Nothing in our configuration is a date.
    Date,
    List(Vec<Item>),
    Table(Arc<Table>),
}

impl Table {
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }
}

impl From<DeTable<'_>> for Table {
    /// As deep as the parser let the file be nested (it refuses more than 80 levels).
    fn from(table: DeTable<'_>) -> Self {
        let entries = table.into_iter().map(|(key, value)| Entry {
            key_span: key.span(),
            key: key.into_inner().into_owned(),
            item: value.into(),
        });
        Self {
            entries: entries.collect(),
        }
    }
}

impl From<Spanned<DeValue<'_>>> for Item {
    fn from(value: Spanned<DeValue<'_>>) -> Self {
        let span = value.span();
        let value = match value.into_inner() {
            DeValue::String(text) => Value::Text(text.into_owned()),
            DeValue::Integer(number) => {
                let fits = i64::from_str_radix(number.as_str(), number.radix()).ok();
                Value::Integer(fits, number.to_string())
            }
            DeValue::Float(number) => {
                let number: Option<f64> = number.as_str().parse().ok();
                Value::Float(number.filter(|number| number.is_finite()))
            }
            DeValue::Boolean(value) => Value::Boolean(value),
            DeValue::Datetime(_) => Value::Date,
            DeValue::Array(list) => Value::List(list.into_iter().map(Self::from).collect()),
            DeValue::Table(table) => Value::Table(Arc::new(table.into())),
        };
        Self { span, value }
    }
}
