//! The table of `docs/promises.md` as data. Never runs anything.

use anyhow::{Result, bail, ensure};
use std::collections::BTreeSet;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promise {
    /// For instance `S-1`; unique.
    pub id: String,
    /// Area word, by which rows are chosen.
    pub area: String,
    /// What is promised, with its figure.
    pub promise: String,
    /// Shell command that measures it: prints a line `measured: …`, and fails when it is broken.
    pub command: String,
}

/// The rows of the table whose head is `| id | area | promise | command |`.
pub fn parse(text: &str) -> Result<Vec<Promise>> {
    let mut promises: Vec<Promise> = Vec::new();
    let mut ids = BTreeSet::new();
    let mut lines = text
        .lines()
        .skip_while(|line| cells(line) != ["id", "area", "promise", "command"]);
    ensure!(
        lines.next().is_some(),
        "no table with the head | id | area | promise | command |"
    );
    for line in lines.skip(1).take_while(|line| line.starts_with('|')) {
        let cells = cells(line);
        let [id, area, promise, command] = cells.as_slice() else {
            bail!("this row does not have four cells (write | as &#124;): {line}")
        };
        let command = command.trim_matches('`');
        ensure!(
            ![*id, *area, *promise, command].contains(&""),
            "a cell of this row is empty: {line}"
        );
        ensure!(ids.insert((*id).to_owned()), "the id {id} stands twice");
        promises.push(Promise {
            id: (*id).to_owned(),
            area: (*area).to_owned(),
            promise: (*promise).to_owned(),
            command: command.replace("&#124;", "|"),
        });
    }
    Ok(promises)
}

fn cells(line: &str) -> Vec<&str> {
    let line = line.trim();
    let inside = line
        .strip_prefix('|')
        .and_then(|line| line.strip_suffix('|'))
        .unwrap_or(line);
    inside.split('|').map(str::trim).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "# Promises\n\nWords.\n\n| id | area | promise | command |\n|---|---|---|---|\n";

    #[test]
    fn rows_parse() {
        let rows = parse(&format!(
            "{HEAD}| S-1 | slice | once | `make x` |\n\nafter | it\n"
        ))
        .unwrap();
        let [row] = rows.as_slice() else {
            panic!("{rows:?}")
        };
        assert_eq!(
            (row.id.as_str(), row.area.as_str(), row.command.as_str()),
            ("S-1", "slice", "make x")
        );
    }

    #[test]
    fn wrong_tables_are_told() {
        for (rows, words) in [
            ("| S-1 | slice | once |\n", "four cells"),
            ("| S-1 | slice |  | `x` |\n", "is empty"),
            (
                "| S-1 | a | b | `x` |\n| S-1 | a | b | `x` |\n",
                "stands twice",
            ),
        ] {
            let error = parse(&format!("{HEAD}{rows}")).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        assert!(parse("nothing").is_err());
    }
}
