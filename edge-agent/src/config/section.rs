//! One table of the file and how its keys are read: every wrong value is noted with its place and
//! reading goes on. Never knows what a key is for.

mod words;

use super::problem::{PROBLEMS_MAX, Problems};
use super::tree::{Item, Table, Value, number, text, whole};
use super::value;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::time::Duration;

/// Most entries of one list.
pub const LIST_MAX: usize = 4_096;

/// One table. Keys are asked for by name; `finish` then reports those that nobody asked for.
///
/// A method that answers `None` has noted a problem, or the key is not there: the reader takes
/// its default and goes on, so that one run shows everything that is wrong.
#[derive(Clone, Debug)]
#[must_use = "a section that is not finished tells nothing of unknown keys"]
pub struct Section {
    problems: Problems,
    place: String,
    table: Arc<Table>,
    span: Range<usize>,
    /// Shared by copies until one of them asks for more.
    asked: Arc<Vec<&'static str>>,
}

impl Section {
    pub(super) fn top(problems: Problems, table: Table) -> Self {
        let table = Arc::new(table);
        Self {
            problems,
            place: String::new(),
            table,
            span: 0..0,
            asked: Arc::default(),
        }
    }

    /// A text.
    pub fn text(&mut self, key: &'static str) -> Option<String> {
        let item = self.item(key)?;
        let text = text(&item).map(str::to_owned);
        self.or_wrong(key, &item, text, "a text; write it in quotes")
    }

    /// A text that must be there.
    pub fn required_text(&mut self, key: &'static str) -> Option<String> {
        if self.has(key) {
            return self.text(key);
        }
        self.note_asked(key);
        self.missing(key, &format!("{key} = \"…\""));
        None
    }

    /// A text, or a number as it was written: an address may be `40001`, `0x1F4` or `"hr:0"`.
    pub fn text_or_integer(&mut self, key: &'static str) -> Option<String> {
        let item = self.item(key)?;
        let text = match &item.value {
            Value::Text(text) | Value::Integer(_, text) => Some(text.clone()),
            _ => None,
        };
        self.or_wrong(key, &item, text, "a text or a whole number")
    }

    /// One of the words of a list; answers what stands beside the word.
    pub fn choice<T: Copy>(&mut self, key: &'static str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        let found = choices
            .iter()
            .find(|(word, _)| *word == text)
            .map(|(_, chosen)| *chosen);
        if found.is_none() {
            let advice = value::suggestion(&text, choices.iter().map(|(word, _)| *word));
            let words = format!("{} is not known here; {advice}", value::quoted(&text));
            self.problem(key, &words);
        }
        found
    }

    /// A whole number within a range.
    pub fn integer<T: TryFrom<i64>>(
        &mut self,
        key: &'static str,
        range: RangeInclusive<i64>,
    ) -> Option<T> {
        let item = self.item(key)?;
        let number = self.or_wrong(key, &item, whole(&item), "a whole number")?;
        let fits = range
            .contains(&number)
            .then(|| T::try_from(number).ok())
            .flatten();
        if fits.is_none() {
            self.outside(
                key,
                &number.to_string(),
                &range.start().to_string(),
                &range.end().to_string(),
            );
        }
        fits
    }

    /// A number; whole numbers are taken too, infinity and NaN are not.
    pub fn float(&mut self, key: &'static str) -> Option<f64> {
        let item = self.item(key)?;
        self.or_wrong(key, &item, number(&item), "a number; write for example 0.1")
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, key: &'static str) -> Option<bool> {
        let item = self.item(key)?;
        let known = match item.value {
            Value::Boolean(known) => Some(known),
            _ => None,
        };
        self.or_wrong(key, &item, known, "true or false")
    }

    /// A duration such as `"500ms"`, `"1s"`, `"10m"`, `"1h"`, within a range.
    pub fn duration(
        &mut self,
        key: &'static str,
        range: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let item = self.item(key)?;
        let duration = text(&item).and_then(value::parse_duration);
        let example = "a duration; write for example \"1s\", \"500ms\" or \"5m\"";
        let duration = self.or_wrong(key, &item, duration, example)?;
        if range.contains(&duration) {
            return Some(duration);
        }
        let show = |duration: &Duration| format!("\"{}\"", value::show_duration(*duration));
        self.outside(
            key,
            &show(&duration),
            &show(range.start()),
            &show(range.end()),
        );
        None
    }

    /// A size such as `"200MB"` or `"2GB"`, in bytes, within a range.
    pub fn bytes(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let item = self.item(key)?;
        let bytes = text(&item).and_then(value::parse_bytes);
        let bytes = self.or_wrong(
            key,
            &item,
            bytes,
            "a size; write for example \"200MB\" or \"2GB\"",
        )?;
        if range.contains(&bytes) {
            return Some(bytes);
        }
        let show = |bytes: &u64| format!("\"{}\"", value::show_bytes(*bytes));
        self.outside(key, &show(&bytes), &show(range.start()), &show(range.end()));
        None
    }

    /// A list of texts.
    pub fn text_list(&mut self, key: &'static str) -> Option<Vec<String>> {
        self.list(
            key,
            "a list of texts; write for example [\"a\", \"b\"]",
            |item| text(item).map(str::to_owned),
        )
    }

    /// A list of whole numbers.
    pub fn integer_list(&mut self, key: &'static str) -> Option<Vec<i64>> {
        self.list(
            key,
            "a list of whole numbers; write for example [1, 2]",
            whole,
        )
    }

    /// Two numbers, the lower one first.
    pub fn float_pair(&mut self, key: &'static str) -> Option<(f64, f64)> {
        let words = "a pair of numbers, the lower first; write for example [0.0, 150.0]";
        let list = self.list(key, words, number)?;
        match list.as_slice() {
            [low, high] if low < high => Some((*low, *high)),
            _ => {
                let item = self.item(key)?;
                self.or_wrong(key, &item, None, words)
            }
        }
    }

    /// A number in the sensor's unit (`0.2`), or a share of its range (`"0.5%"`).
    pub fn amount(&mut self, key: &'static str) -> Option<Amount> {
        let item = self.item(key)?;
        let share = text(&item).and_then(|text| {
            let percent: f64 = text.trim().strip_suffix('%')?.trim_end().parse().ok()?;
            (percent.is_finite()).then_some(Amount::Share(percent / 100.0))
        });
        let amount = number(&item).map(Amount::Absolute).or(share);
        let words = "a number or a share of the range; write for example 0.2 or \"0.5%\"";
        let amount = self.or_wrong(key, &item, amount, words)?;
        let (Amount::Absolute(size) | Amount::Share(size)) = amount;
        if size >= 0.0 {
            return Some(amount);
        }
        self.problem(key, "is below zero; write 0 or more");
        None
    }

    /// A table within this one: `[rule.work_order]` or `work_order = { … }`.
    pub fn section(&mut self, key: &'static str) -> Option<Self> {
        let item = self.item(key)?;
        match &item.value {
            Value::Table(_) => Some(self.child(key, &item, None)),
            _ => self.or_wrong(key, &item, None, "a table; write its keys below a [header]"),
        }
    }

    /// Like `section`; an empty one when it is not there, so that its reader takes the defaults.
    pub fn section_or_empty(&mut self, key: &'static str) -> Self {
        let nothing = Item {
            span: self.span.clone(),
            value: Value::Table(Arc::default()),
            origin: None,
        };
        self.section(key)
            .unwrap_or_else(|| self.child(key, &nothing, None))
    }

    /// All tables of a list: `[[device.sensor]]`. Empty when there is none.
    pub fn sections(&mut self, key: &'static str) -> Vec<Self> {
        let Some(item) = self.item(key) else {
            return Vec::new();
        };
        let words = "a list of tables; write [[…]] with two brackets above each";
        let Value::List(list) = &item.value else {
            self.or_wrong::<()>(key, &item, None, words);
            return Vec::new();
        };
        let mut sections = Vec::new();
        for (index, entry) in list.iter().enumerate() {
            match &entry.value {
                Value::Table(_) => sections.push(self.child(key, entry, Some(index))),
                _ => {
                    self.or_wrong::<()>(key, entry, None, words);
                }
            }
        }
        sections
    }

    /// Whether the key is there, right or wrong.
    pub fn has(&self, key: &str) -> bool {
        self.table.get(key).is_some()
    }

    /// Notes a problem with a key of this section (its place is the key, or the section's head
    /// when it is not there). `words` say what is wrong and what to write instead.
    pub fn problem(&self, key: &str, words: &str) {
        let (problems, span) = match self.table.get(key) {
            Some(entry) => (self.origin(&entry.item), &entry.key_span),
            None => (&self.problems, &self.span),
        };
        problems.add(span, &self.place, key, words.to_owned());
    }

    /// The file that a value of this section stands in.
    fn origin<'a>(&'a self, item: &'a Item) -> &'a Problems {
        item.origin.as_ref().unwrap_or(&self.problems)
    }

    /// The table as it is written, for whoever compares or copies it.
    pub(super) const fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// The file that this section stands in, and its list of problems.
    pub(super) const fn problems(&self) -> &Problems {
        &self.problems
    }

    /// The same section with another table in it.
    pub(super) fn with_table(&self, table: Table) -> Self {
        Self {
            table: Arc::new(table),
            ..self.clone()
        }
    }

    /// Leaves a key unread that is known here.
    pub(super) fn pass_over(&mut self, key: &'static str) {
        self.note_asked(key);
    }

    /// Notes a problem with a key that must not be here, when it is.
    pub(super) fn refuse(&mut self, key: &str, words: &str) {
        let Some(at) = self.table.entries.iter().position(|entry| entry.key == key) else {
            return;
        };
        self.problem(key, words);
        // So that nobody is told a second time that it is not known here.
        Arc::make_mut(&mut self.table).entries.remove(at);
    }

    /// Notes that a key names something that is not there; `known` are the names that are.
    pub fn unknown<'a>(
        &self,
        key: &str,
        words: &str,
        name: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) {
        // To find the nearest of thousands takes time, and a broken device may leave thousands
        // of rules behind: not for those that are not shown.
        if !self.problems.are_full() {
            let known: Vec<&str> = known.into_iter().collect();
            let advice = value::suggestion(name, known);
            self.problem(key, &format!("{words}; {advice}"));
        }
    }

    /// Notes that a key is needed and not there.
    pub fn missing(&self, key: &str, example: &str) {
        self.problem(key, &format!("is missing; add for example {example}"));
    }

    /// What people call this table, for example `device "pump-7"`.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Notes every key that nobody asked for, with the nearest one that is known here.
    pub fn finish(self) {
        #[cfg(test)]
        for key in self.asked.iter().filter(|key| !self.has(key)) {
            self.problems.note_absent(format!("{} {key}", self.place));
        }
        let unknown = self.table.entries.iter().filter(|entry| {
            let key = entry.key.as_str();
            !self.asked.contains(&key)
        });
        for entry in unknown.take(PROBLEMS_MAX) {
            let mut known = Vec::clone(&self.asked);
            known.sort_unstable();
            let words = format!(
                "is not known here; {}",
                value::suggestion(&entry.key, known)
            );
            self.origin(&entry.item).add(
                &entry.key_span,
                &self.place,
                &value::shortened(&entry.key),
                words,
            );
        }
    }

    /// Finds a key and remembers that it is known here.
    fn item(&mut self, key: &'static str) -> Option<Item> {
        self.note_asked(key);
        self.table.get(key).map(|entry| entry.item.clone())
    }

    /// Keeps one list of keys together with a section of the same kind.
    pub(super) fn share_keys(&mut self, of: &Self) {
        if self.asked == of.asked {
            self.asked = Arc::clone(&of.asked);
        }
    }

    fn note_asked(&mut self, key: &'static str) {
        if !self.asked.contains(&key) {
            Arc::make_mut(&mut self.asked).push(key);
        }
    }

    /// The table that `item` is.
    fn child(&self, key: &str, item: &Item, index: Option<usize>) -> Self {
        let table = match &item.value {
            Value::Table(table) => Arc::clone(table),
            _ => Arc::default(),
        };
        let name = table.get("name").and_then(|entry| text(&entry.item));
        let own = match (name, index) {
            (Some(name), Some(_)) => format!("{key} {}", value::quoted(name)),
            (None, Some(index)) => format!("{key} number {}", index + 1),
            (_, None) if self.place.is_empty() => format!("[{key}]"),
            (_, None) => key.to_owned(),
        };
        let place = if self.place.is_empty() {
            own
        } else {
            format!("{}, {own}", self.place)
        };
        Self {
            problems: self.origin(item).clone(),
            place,
            table,
            span: item.span.clone(),
            asked: Arc::default(),
        }
    }

    fn list<T>(
        &mut self,
        key: &'static str,
        words: &str,
        read: impl Fn(&Item) -> Option<T>,
    ) -> Option<Vec<T>> {
        let item = self.item(key)?;
        let list = match &item.value {
            Value::List(list) if list.len() <= LIST_MAX => list.iter().map(&read).collect(),
            _ => None,
        };
        self.or_wrong(key, &item, list, words)
    }

    /// Passes a value on, or notes that what is written is not what is wanted.
    fn or_wrong<T>(&self, key: &str, item: &Item, found: Option<T>, wanted: &str) -> Option<T> {
        if found.is_none() {
            let written = self
                .origin(item)
                .text()
                .get(item.span.clone())
                .unwrap_or_default();
            let written = written.lines().next().unwrap_or_default();
            // Not `escape_debug`: it is shown as it stands in the file, in its quotes.
            let short: String = written
                .chars()
                .filter(|c| !c.is_control())
                .take(60)
                .collect();
            let dots = if short.len() < written.len() {
                "…"
            } else {
                ""
            };
            self.problem(key, &format!("{short}{dots} is not {wanted}"));
        }
        found
    }

    fn outside(&self, key: &str, written: &str, low: &str, high: &str) {
        let words = format!("{written} is outside the allowed range; write {low} to {high}");
        self.problem(key, &words);
    }
}

/// See `Section::amount`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// In the sensor's unit.
    Absolute(f64),
    /// Share of the sensor's range, 0.01 = 1 %.
    Share(f64),
}
