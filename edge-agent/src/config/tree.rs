//! The parsed file as plain values, each with its place in the text. Never judges a value.

use super::problem::Problems;
use std::fmt;
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
    /// The file that `span` is in, when it is not that of the table around it.
    pub(super) origin: Option<Problems>,
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

    /// Notes for every value within that it stands in the file of `origin`.
    pub(super) fn mark(&mut self, origin: &Problems) {
        for entry in &mut self.entries {
            entry.item.mark(origin);
        }
    }

    /// Whether both say the same, in whatever order their keys stand.
    pub(super) fn same(&self, other: &Self) -> bool {
        let has = |entry: &Entry| {
            let there = other.get(&entry.key);
            there.is_some_and(|there| there.item.value.same(&entry.item.value))
        };
        self.entries.len() == other.entries.len() && self.entries.iter().all(has)
    }
}

impl Item {
    pub(super) fn mark(&mut self, origin: &Problems) {
        self.origin = Some(origin.clone());
        match &mut self.value {
            Value::List(list) => list.iter_mut().for_each(|item| item.mark(origin)),
            Value::Table(table) => Arc::make_mut(table).mark(origin),
            _ => {}
        }
    }
}

impl Value {
    /// Whether both say the same; `0x10` is 16.
    pub(super) fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(one), Self::Text(two))
            | (Self::Integer(None, one), Self::Integer(None, two)) => one == two,
            (Self::Integer(Some(one), _), Self::Integer(Some(two), _)) => one == two,
            (Self::Float(one), Self::Float(two)) => one == two,
            (Self::Boolean(one), Self::Boolean(two)) => one == two,
            (Self::Date, Self::Date) => true,
            (Self::List(one), Self::List(two)) => {
                let mut pairs = one.iter().zip(two);
                one.len() == two.len() && pairs.all(|(one, two)| one.value.same(&two.value))
            }
            (Self::Table(one), Self::Table(two)) => one.same(two),
            _ => false,
        }
    }
}

/// As TOML writes it, on one line.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{}", toml::Value::String(text.clone())),
            Self::Integer(_, text) => f.write_str(text),
            Self::Float(Some(number)) => write!(f, "{number:?}"),
            Self::Float(None) => f.write_str("nan"),
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Date => f.write_str("a date"),
            Self::List(list) => {
                f.write_str("[")?;
                for (at, item) in list.iter().enumerate() {
                    let joint = if at == 0 { "" } else { ", " };
                    write!(f, "{joint}{}", item.value)?;
                }
                f.write_str("]")
            }
            Self::Table(table) => {
                f.write_str("{ ")?;
                for (at, entry) in table.entries.iter().enumerate() {
                    let joint = if at == 0 { "" } else { ", " };
                    write!(f, "{joint}{} = {}", toml_key(&entry.key), entry.item.value)?;
                }
                f.write_str(" }")
            }
        }
    }
}

/// The text that a value is.
pub(super) fn text(item: &Item) -> Option<&str> {
    match &item.value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

/// The whole number that a value is.
pub(super) fn whole(item: &Item) -> Option<i64> {
    match item.value {
        Value::Integer(number, _) => number,
        _ => None,
    }
}

/// The number that a value is.
#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a whole number beyond 2^53 in a key that is a float: the nearest float is meant"
)]
pub(super) fn number(item: &Item) -> Option<f64> {
    match item.value {
        Value::Float(number) => number,
        _ => whole(item).map(|number| number as f64),
    }
}

/// A key as TOML writes it.
pub(super) fn toml_key(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.chars().all(bare) {
        return key.to_owned();
    }
    toml::Value::String(key.to_owned()).to_string()
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
        Self {
            span,
            value,
            origin: None,
        }
    }
}
