//! A TOML text with the place of everything in it. Gathers mistakes instead of stopping at the
//! first one. Knows no key of its own.

use super::Problem;
use std::net::SocketAddr;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Differences up to which a known key is taken for the one that was meant.
const TYPING_ERRORS_MAX: usize = 3;

/// The text, what it says, and what is wrong with it.
pub(super) struct Reader<'t> {
    text: &'t str,
    root: DeTable<'t>,
    problems: Vec<(usize, String)>,
}

impl<'t> Reader<'t> {
    /// Takes a text that is TOML at all.
    pub(super) fn new(text: &'t str) -> Result<Self, Vec<Problem>> {
        match DeTable::parse(text) {
            Ok(root) => Ok(Self {
                text,
                root: root.into_inner(),
                problems: Vec::new(),
            }),
            Err(error) => {
                let start = error.span().map_or(0, |span| span.start);
                let words = error.message().replace('\n', ", ");
                Err(vec![problem(text, start, words)])
            }
        }
    }

    /// Tells keys of `table` that are not in `known`, with the nearest one that is.
    pub(super) fn keys(&mut self, table: &str, known: &[&str]) {
        let not_a_table = self
            .value("", table)
            .filter(|value| value.get_ref().as_table().is_none())
            .map(|value| value.span().start);
        if let Some(start) = not_a_table {
            let words = format!("\"{table}\" is a table: write [{table}]");
            self.problems.push((start, words));
        }
        let unknown: Vec<(usize, String)> = self
            .table(table)
            .into_iter()
            .flat_map(|table| table.keys())
            .filter(|key| !known.contains(&key.get_ref().as_ref()))
            .map(|key| (key.span().start, key.get_ref().to_string()))
            .collect();
        for (start, key) in unknown {
            let nearest = known
                .iter()
                .map(|known| (differences(known, &key), known))
                .min()
                .filter(|(count, _)| *count <= TYPING_ERRORS_MAX);
            let help = match nearest {
                Some((_, known)) => format!("did you mean \"{known}\"?"),
                None => format!("known here: {}", known.join(", ")),
            };
            self.problems
                .push((start, format!("unknown key \"{key}\"; {help}")));
        }
    }

    /// The text under a key.
    pub(super) fn text(&mut self, table: &str, key: &str) -> Option<String> {
        let value = self.value(table, key)?;
        if let Some(text) = value.get_ref().as_str() {
            return Some(text.to_owned());
        }
        self.wrong(table, key, "must be a text between quotation marks");
        None
    }

    /// The address under a key, or what `setting` is already; answers whether there was one.
    pub(super) fn address(&mut self, table: &str, key: &str, setting: &mut SocketAddr) -> bool {
        let Some(text) = self.text(table, key) else {
            return false;
        };
        let address = text.parse();
        if let Ok(address) = address {
            *setting = address;
        } else {
            let words = "must be an IP address and a port, like \"0.0.0.0:4433\" or \"[::]:4433\"";
            self.wrong(table, key, words);
        }
        address.is_ok()
    }

    /// The count under a key, or what `setting` is already.
    pub(super) fn count(
        &mut self,
        (table, key): (&str, &str),
        (low, high): (usize, usize),
        setting: &mut usize,
    ) {
        let Some(value) = self.value(table, key) else {
            return;
        };
        let count = match value.get_ref() {
            DeValue::Integer(digits) => usize::from_str_radix(digits.as_str(), digits.radix()).ok(),
            _ => None,
        };
        if let Some(count) = count.filter(|count| (low..=high).contains(count)) {
            *setting = count;
        } else {
            let words = format!("must be a whole number from {low} to {high}");
            self.wrong(table, key, &words);
        }
    }

    /// Notes that the value of a key is wrong.
    pub(super) fn wrong(&mut self, table: &str, key: &str, words: &str) {
        let start = self.value(table, key).map_or(0, |value| value.span().start);
        let name = if table.is_empty() {
            key.to_owned()
        } else {
            format!("{table}.{key}")
        };
        self.problems.push((start, format!("{name} {words}")));
    }

    /// `value`, if nothing was wrong.
    pub(super) fn finish<T>(mut self, value: T) -> Result<T, Vec<Problem>> {
        if self.problems.is_empty() {
            return Ok(value);
        }
        self.problems.sort();
        let place = |(start, words)| problem(self.text, start, words);
        Err(self.problems.into_iter().map(place).collect())
    }

    fn table(&self, name: &str) -> Option<&DeTable<'t>> {
        if name.is_empty() {
            return Some(&self.root);
        }
        self.root
            .get(name)
            .and_then(|value| value.get_ref().as_table())
    }

    fn value(&self, table: &str, key: &str) -> Option<&Spanned<DeValue<'t>>> {
        self.table(table)?.get(key)
    }
}

pub(super) fn problem(text: &str, start: usize, words: String) -> Problem {
    let before = text.get(..start).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    Problem {
        line: before.matches('\n').count() + 1,
        column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
        words,
    }
}

/// Letters to add, remove or change to make one text from the other (Levenshtein).
fn differences(left: &str, right: &str) -> usize {
    let mut above: Vec<usize> = (0..=right.chars().count()).collect();
    for (row, letter) in left.chars().enumerate() {
        let mut current = vec![row + 1];
        for ((cells, other), before) in above.windows(2).zip(right.chars()).zip(row + 1..) {
            let [diagonal, upper] = cells else { continue };
            let left_cell = current.last().copied().unwrap_or(before);
            let changed = diagonal + usize::from(letter != other);
            current.push(changed.min(upper + 1).min(left_cell + 1));
        }
        above = current;
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::differences;

    #[test]
    fn typing_errors_are_counted() {
        assert_eq!(differences("listen", "listen"), 0);
        assert_eq!(differences("listen", "listn"), 1);
        assert_eq!(differences("kitten", "sitting"), 3);
        assert_eq!(differences("", "abc"), 3);
    }
}
