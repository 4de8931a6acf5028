//! People, assets, parts and failure codes as rows, both ways. Never looks beyond its own row:
//! `checks` does.

use super::Report;
use super::table::{BadCell, Cells, Table};
use protocol::bundle::{Asset, Criticality, FailureCode, FailureKind, Part, Person, Role};
use protocol::id::UserId;
use std::collections::BTreeMap;
use uuid::Uuid;

/// What stands in one row.
pub(super) trait Entry: Clone + PartialEq {
    /// The columns, in the order in which they are written.
    const COLUMNS: &'static [&'static str];
    /// What tells entries apart.
    fn key(&self) -> String;
    /// The entry of a row; what is wrong with it is in the cells.
    fn read(cells: &mut Cells<'_>, before: Option<&Self>) -> Self;
    /// The key of a row.
    fn key_of(cells: &Cells<'_>) -> Option<String>;
    /// The cells of a row.
    fn row(&self) -> Vec<String>;
}

/// Puts the rows of a table into a list, which is in the order of its keys afterwards.
pub(super) fn merge<T: Entry>(list: &mut Vec<T>, table: &Table, replace: bool) -> Report {
    let mut report = Report {
        problems: table.header_problems(T::COLUMNS),
        ..Report::default()
    };
    let mut known: BTreeMap<String, (T, Option<usize>)> = list
        .drain(..)
        .map(|entry| (entry.key(), (entry, None)))
        .collect();
    for mut cells in table.cells() {
        let line = cells.line;
        let key = T::key_of(&cells);
        let before = key.as_ref().and_then(|key| known.get(key));
        if let Some((_, Some(other))) = before {
            let words = format!("is in line {other} already");
            cells.wrong(T::COLUMNS.first().copied().unwrap_or_default(), words);
        }
        let before = before.map(|(entry, _)| entry.clone());
        let entry = T::read(&mut cells, before.as_ref());
        match before {
            None => report.added += 1,
            Some(before) if before == entry => report.unchanged += 1,
            Some(_) => report.changed += 1,
        }
        report.problems.append(&mut cells.problems);
        known.insert(entry.key(), (entry, Some(line)));
    }
    if replace {
        let before = known.len();
        known.retain(|_, (_, line)| line.is_some());
        report.removed = before - known.len();
    } else {
        report.unchanged += known.values().filter(|(_, line)| line.is_none()).count();
    }
    list.extend(known.into_values().map(|(entry, _)| entry));
    report
}

/// A list as a table.
pub(super) fn table<T: Entry>(list: &[T]) -> Table {
    Table {
        header: T::COLUMNS.iter().map(|name| (*name).to_owned()).collect(),
        rows: (2..).zip(list.iter().map(Entry::row)).collect(),
    }
}

fn text(value: Option<&String>) -> String {
    value.cloned().unwrap_or_default()
}

pub(super) fn yes_no(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}

pub(super) fn number(value: Option<f64>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

impl Entry for Person {
    const COLUMNS: &'static [&'static str] =
        &["name", "role", "phone", "email", "language", "on_call"];

    fn key(&self) -> String {
        self.name.to_lowercase()
    }

    fn key_of(cells: &Cells<'_>) -> Option<String> {
        cells.text("name").map(str::to_lowercase)
    }

    fn read(cells: &mut Cells<'_>, before: Option<&Self>) -> Self {
        let phone = cells.optional("phone", before.and_then(|b| b.phone.clone()));
        if phone.as_deref().is_some_and(|phone| !is_phone(phone)) {
            cells.wrong(
                "phone",
                "is no number; write + and the country first: +4915112345",
            );
        }
        let email = cells.optional("email", before.and_then(|b| b.email.clone()));
        if email.as_deref().is_some_and(|email| !is_email(email)) {
            cells.wrong(
                "email",
                "is no address; write for example mara@plant.example",
            );
        }
        let expected = "is no role; there are: viewer, technician, planner, engineer";
        let role = cells.read("role", before.map(|b| b.role), expected, Role::from_word);
        if role.is_none() && cells.text("role").is_none() {
            cells.wrong("role", "is missing");
        }
        Self {
            id: before.map_or(UserId(Uuid::nil()), |before| before.id),
            name: cells.required("name", before.map(|b| b.name.as_str())),
            role: role.unwrap_or_default(),
            pin: before.and_then(|before| before.pin.clone()),
            phone,
            email,
            language: cells.optional("language", before.and_then(|b| b.language.clone())),
            on_call: cells
                .flag("on_call", before.map(|b| b.on_call))
                .unwrap_or(false),
        }
    }

    fn row(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.role.word().to_owned(),
            text(self.phone.as_ref()),
            text(self.email.as_ref()),
            text(self.language.as_ref()),
            yes_no(self.on_call),
        ]
    }
}

/// E.164: a plus and up to 15 digits.
fn is_phone(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (5..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

fn is_email(text: &str) -> bool {
    let parts = text.split_once('@');
    parts.is_some_and(|(name, host)| {
        !name.is_empty() && host.len() > 2 && !text.contains(char::is_whitespace)
    })
}

impl Entry for Asset {
    const COLUMNS: &'static [&'static str] =
        &["tag", "name", "parent", "criticality", "class", "location"];

    fn key(&self) -> String {
        self.tag.clone()
    }

    fn key_of(cells: &Cells<'_>) -> Option<String> {
        cells.text("tag").map(str::to_owned)
    }

    fn read(cells: &mut Cells<'_>, before: Option<&Self>) -> Self {
        let expected = "is no criticality; there are: A, B, C, D";
        Self {
            tag: cells.required("tag", before.map(|b| b.tag.as_str())),
            name: cells.required("name", before.map(|b| b.name.as_str())),
            parent: cells.optional("parent", before.and_then(|b| b.parent.clone())),
            criticality: cells.read(
                "criticality",
                before.and_then(|b| b.criticality),
                expected,
                Criticality::from_letter,
            ),
            class: cells.optional("class", before.and_then(|b| b.class.clone())),
            location: cells.optional("location", before.and_then(|b| b.location.clone())),
        }
    }

    fn row(&self) -> Vec<String> {
        let letter = self.criticality.map(Criticality::letter);
        vec![
            self.tag.clone(),
            self.name.clone(),
            text(self.parent.as_ref()),
            letter.unwrap_or_default().to_owned(),
            text(self.class.as_ref()),
            text(self.location.as_ref()),
        ]
    }
}

impl Entry for Part {
    const COLUMNS: &'static [&'static str] =
        &["number", "name", "stock", "unit", "place", "minimum"];

    fn key(&self) -> String {
        self.number.clone()
    }

    fn key_of(cells: &Cells<'_>) -> Option<String> {
        cells.text("number").map(str::to_owned)
    }

    fn read(cells: &mut Cells<'_>, before: Option<&Self>) -> Self {
        let unit = cells.optional("unit", before.map(|b| b.unit.clone()));
        Self {
            number: cells.required("number", before.map(|b| b.number.as_str())),
            name: cells.required("name", before.map(|b| b.name.as_str())),
            stock: cells
                .number("stock", before.map(|b| b.stock))
                .unwrap_or(0.0),
            unit: unit.unwrap_or_else(|| "piece".to_owned()),
            place: cells.optional("place", before.and_then(|b| b.place.clone())),
            minimum: cells.number("minimum", before.and_then(|b| b.minimum)),
        }
    }

    fn row(&self) -> Vec<String> {
        vec![
            self.number.clone(),
            self.name.clone(),
            number(Some(self.stock)),
            self.unit.clone(),
            text(self.place.as_ref()),
            number(self.minimum),
        ]
    }
}

impl Entry for FailureCode {
    const COLUMNS: &'static [&'static str] = &["code", "kind", "title", "class", "under"];

    fn key(&self) -> String {
        format!("{}|{}", self.kind.word(), self.code)
    }

    fn key_of(cells: &Cells<'_>) -> Option<String> {
        Some(format!("{}|{}", cells.text("kind")?, cells.text("code")?))
    }

    fn read(cells: &mut Cells<'_>, before: Option<&Self>) -> Self {
        let expected = "is no kind; there are: problem, cause, remedy";
        let kind = cells.read(
            "kind",
            before.map(|b| b.kind),
            expected,
            FailureKind::from_word,
        );
        if kind.is_none() && cells.text("kind").is_none() {
            cells.wrong("kind", "is missing");
        }
        Self {
            code: cells.required("code", before.map(|b| b.code.as_str())),
            kind: kind.unwrap_or(FailureKind::Problem),
            title: cells.required("title", before.map(|b| b.title.as_str())),
            class: cells.optional("class", before.and_then(|b| b.class.clone())),
            under: cells.optional("under", before.and_then(|b| b.under.clone())),
        }
    }

    fn row(&self) -> Vec<String> {
        vec![
            self.code.clone(),
            self.kind.word().to_owned(),
            self.title.clone(),
            text(self.class.as_ref()),
            text(self.under.as_ref()),
        ]
    }
}

/// Columns of a kind, and the lines of its keys: for `checks`.
pub(super) fn lines_of<T: Entry>(table: &Table) -> BTreeMap<String, usize> {
    let lines = table.cells();
    lines
        .filter_map(|cells| Some((T::key_of(&cells)?, cells.line)))
        .collect()
}

/// A problem of an entry, at its line where it is in the table.
pub(super) fn at_line(
    lines: &BTreeMap<String, usize>,
    key: &str,
    column: &str,
    words: String,
) -> BadCell {
    BadCell {
        line: lines.get(key).copied().unwrap_or(0),
        column: column.to_owned(),
        words,
    }
}
