//! A table of texts with the lines it came from, and reading typed values out of its cells. An empty
//! cell leaves a value as it is; [`CLEAR`] takes it away.

use protocol::limits::NAME_BYTES_MAX;
use std::collections::BTreeMap;

/// The cell that takes a value away.
pub const CLEAR: &str = "\\N";

/// Rows of texts under names of columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Names of the columns.
    pub header: Vec<String>,
    /// Each with its line in the file, or its place in the list from 1.
    pub rows: Vec<(usize, Vec<String>)>,
}

/// What cannot be taken, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadCell {
    /// Line; 0: the table as a whole.
    pub line: usize,
    /// Column; empty: the whole line.
    pub column: String,
    /// Why, and what would be right.
    pub words: String,
}

impl BadCell {
    pub(super) fn whole(words: &str) -> Self {
        Self {
            line: 0,
            column: String::new(),
            words: words.to_owned(),
        }
    }
}

impl std::fmt::Display for BadCell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        if !self.column.is_empty() {
            write!(f, "{}: ", self.column)?;
        }
        f.write_str(&self.words)
    }
}

impl Table {
    /// What is wrong with the columns: unknown ones, ones that stand there twice.
    pub(super) fn header_problems(&self, known: &[&str]) -> Vec<BadCell> {
        let mut problems = Vec::new();
        for (at, name) in self.header.iter().enumerate() {
            let twice = self.header.iter().take(at).any(|other| other == name);
            if !known.contains(&name.as_str()) || twice {
                let words = if twice {
                    "this column stands there twice".to_owned()
                } else {
                    format!("there is no such column; there are: {}", known.join(", "))
                };
                problems.push(BadCell {
                    line: 1,
                    column: name.clone(),
                    words,
                });
            }
        }
        problems
    }

    /// The rows, to be read cell by cell.
    pub(super) fn cells(&self) -> impl Iterator<Item = Cells<'_>> {
        self.rows.iter().map(|(line, row)| Cells {
            line: *line,
            texts: self
                .header
                .iter()
                .map(String::as_str)
                .zip(row.iter().map(|text| text.trim()))
                .collect(),
            problems: Vec::new(),
        })
    }
}

/// One row on its way to an entry.
#[derive(Debug)]
pub(super) struct Cells<'a> {
    pub(super) line: usize,
    texts: BTreeMap<&'a str, &'a str>,
    pub(super) problems: Vec<BadCell>,
}

impl Cells<'_> {
    /// The text of a cell; `None` where it is empty or its column is not there.
    pub(super) fn text(&self, column: &str) -> Option<&str> {
        self.texts
            .get(column)
            .copied()
            .filter(|text| !text.is_empty())
    }

    pub(super) fn wrong(&mut self, column: &str, words: impl Into<String>) {
        self.problems.push(BadCell {
            line: self.line,
            column: column.to_owned(),
            words: words.into(),
        });
    }

    /// A text that an entry must have.
    pub(super) fn required(&mut self, column: &str, before: Option<&str>) -> String {
        if let Some(text) = self.optional(column, before.map(str::to_owned)) {
            return text;
        }
        self.wrong(column, "is missing");
        String::new()
    }

    /// A text that an entry may have.
    pub(super) fn optional(&mut self, column: &str, before: Option<String>) -> Option<String> {
        let text = match self.text(column) {
            None => return before,
            Some(CLEAR) => return None,
            Some(text) => text.to_owned(),
        };
        if text.len() > NAME_BYTES_MAX {
            self.wrong(
                column,
                format!("is longer than {NAME_BYTES_MAX} bytes; shorten it"),
            );
        } else if text.chars().any(char::is_control) {
            self.wrong(column, "holds a line end or another control character");
        }
        Some(text)
    }

    /// A number that an entry may have.
    pub(super) fn number(&mut self, column: &str, before: Option<f64>) -> Option<f64> {
        self.read(
            column,
            before,
            "is no number; write for example 2.5",
            |text| text.parse().ok().filter(|number: &f64| number.is_finite()),
        )
    }

    /// A word out of a list that an entry may have.
    pub(super) fn read<T>(
        &mut self,
        column: &str,
        before: Option<T>,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        match self.text(column) {
            None => before,
            Some(CLEAR) => None,
            Some(text) => {
                let parsed = parse(text);
                if parsed.is_none() {
                    let words = format!("\"{text}\" {expected}");
                    self.wrong(column, words);
                }
                parsed
            }
        }
    }

    /// Yes or no.
    pub(super) fn flag(&mut self, column: &str, before: Option<bool>) -> Option<bool> {
        self.read(column, before, "is neither yes nor no", |text| {
            match text.to_lowercase().as_str() {
                "yes" | "true" | "1" | "y" => Some(true),
                "no" | "false" | "0" | "n" => Some(false),
                _ => None,
            }
        })
    }
}
