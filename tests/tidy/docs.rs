//! Rules about texts that people read: driver folders, the protocol's numbered sections, promises.
//! Never judges the words, only that what is named is there.

use crate::source::{File, Tree};
use std::collections::BTreeSet;

/// Headings of every driver's README, in this order.
const DRIVER_HEADINGS: [&str; 12] = [
    "What it reads",
    "Wiring and addressing",
    "Configuration",
    "Sensor address syntax",
    "Data types and byte order",
    "Timing and limits",
    "Errors and what to do",
    "Strange values",
    "Try it without hardware",
    "Tested devices",
    "Specification sections used",
    "Not supported",
];

/// Sections of PROTOCOL.md that code cites and that are not there.
pub(crate) fn missing_sections(tree: &Tree) -> Vec<String> {
    let sections: BTreeSet<&str> = tree
        .get("protocol/PROTOCOL.md")
        .into_iter()
        .flat_map(|file| file.text.lines())
        .filter(|line| line.starts_with('#'))
        .filter_map(|line| line.trim_start_matches('#').split_whitespace().next())
        .map(|number| number.trim_end_matches('.'))
        .collect();
    let mut found = Vec::new();
    for file in tree
        .rust()
        .filter(|file| !file.path.starts_with("tests/tidy/"))
    {
        for (at, _) in file.text.match_indices("PROTOCOL §") {
            let rest = &file.text[at + "PROTOCOL §".len()..];
            let cited: String = rest
                .chars()
                .take_while(|c| c.is_ascii_digit() || *c == '.')
                .collect();
            let cited = cited.trim_end_matches('.');
            if !sections.contains(cited) {
                let line = file.text[..at].lines().count();
                let path = &file.path;
                found.push(format!(
                    "{path}:{line}: PROTOCOL.md has no section {cited:?}"
                ));
            }
        }
    }
    found
}

/// Driver folders without a sample, or whose README lacks a heading or has them in another order.
pub(crate) fn driver_folders(tree: &Tree) -> Vec<String> {
    let folders: BTreeSet<&str> = tree
        .0
        .iter()
        .filter_map(|file| file.path.strip_prefix("edge-agent/src/drivers/"))
        .filter_map(|inside| inside.split_once('/').map(|(folder, _)| folder))
        .collect();
    let mut found = Vec::new();
    for folder in folders {
        let path = format!("edge-agent/src/drivers/{folder}/README.md");
        match tree.get(&path) {
            None => found.push(format!("{path} is missing")),
            Some(readme) => found.extend(headings(readme)),
        }
        let sample = format!("edge-agent/src/drivers/{folder}/sample.toml");
        if tree.get(&sample).is_none() {
            found.push(format!("{sample} is missing"));
        }
    }
    found
}

fn headings(readme: &File) -> Vec<String> {
    let there: Vec<&str> = readme
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(str::trim)
        .collect();
    if there == DRIVER_HEADINGS {
        return Vec::new();
    }
    vec![format!(
        "{}: its second-level headings are\n  {}\nand must be\n  {}",
        readme.path,
        there.join(" · "),
        DRIVER_HEADINGS.join(" · ")
    )]
}

/// Promises that do not parse, share an id, or name a command that is not there.
pub(crate) fn promises(tree: &Tree) -> Vec<String> {
    let Some(file) = tree.get("docs/promises.md") else {
        return vec!["docs/promises.md is missing".into()];
    };
    let promises = match harness::promises::parse(&file.text) {
        Ok(promises) => promises,
        Err(error) => return vec![format!("docs/promises.md: {error}")],
    };
    promises
        .iter()
        .filter_map(|promise| {
            let problem = unknown_command(tree, &promise.command)?;
            Some(format!("docs/promises.md, {}: {problem}", promise.id))
        })
        .collect()
}

/// What is wrong with a command: the test or the bench that it names is not there.
fn unknown_command(tree: &Tree, command: &str) -> Option<String> {
    // Settings in front of the command.
    let setting = |word: &&str| word.contains('=') && !word.starts_with('-');
    let words: Vec<&str> = command.split_whitespace().skip_while(setting).collect();
    let last = words.last()?;
    let holds = |folder: &str, text: &str| {
        tree.rust()
            .any(|file| file.path.starts_with(folder) && file.text.contains(text))
    };
    match words.as_slice() {
        // All tests of a module.
        ["cargo", "test", .., "--nocapture", module] if module.ends_with("::") => {
            let mut words = words.iter().skip_while(|word| **word != "--test");
            let binary = words.nth(1)?;
            let place = format!("tests/{binary}/{}", module.trim_end_matches("::"));
            let there =
                holds(&format!("{place}/"), "#[test]") || holds(&format!("{place}.rs"), "#[test]");
            (!there).then(|| format!("there is no test in {place}"))
        }
        ["cargo", "test", ..] => {
            let name = last.rsplit("::").next().unwrap_or(last);
            let there = ["tests/", "protocol/", "edge-agent/", "cloud-hub/"]
                .iter()
                .any(|folder| holds(folder, &format!("fn {name}(")));
            (!there).then(|| format!("there is no test {name}"))
        }
        ["make", target, only @ ..] => {
            let start = format!("{target}:");
            let makefile = tree.get("Makefile")?;
            if !makefile.text.lines().any(|line| line.starts_with(&start)) {
                return Some(format!("the Makefile has no target {target}"));
            }
            let name = only.first()?.strip_prefix("ONLY=").unwrap_or_default();
            let there = holds("tests/bench/", &format!("(\"{name}\", "))
                || holds("tests/it/", &format!("fn {name}"));
            (!there).then(|| format!("there is no bench {name}"))
        }
        [program, ..] => tree
            .get(program)
            .is_none()
            .then(|| format!("there is no {program}")),
        [] => Some("its command is empty".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cited_section_must_exist() {
        let tree = |code: &str| {
            Tree(vec![
                File::new(
                    "protocol/PROTOCOL.md",
                    "# P\n## 4. Frames\n### 4.2 Header\n",
                ),
                File::new("protocol/src/wire/mod.rs", code),
            ])
        };
        assert!(missing_sections(&tree("// PROTOCOL §4.2, PROTOCOL §4.")).is_empty());
        assert!(
            missing_sections(&tree("//!\n// PROTOCOL §4.3"))[0].contains(":2: PROTOCOL.md has no")
        );
    }

    #[test]
    fn a_driver_folder_has_its_headings_in_order() {
        let folder = "edge-agent/src/drivers/modbus";
        let right: String = DRIVER_HEADINGS
            .map(|heading| format!("## {heading}\n\ntext\n"))
            .concat();
        let tree = |readme: &str| {
            Tree(vec![
                File::new("edge-agent/src/drivers/mod.rs", ""),
                File::new(&format!("{folder}/README.md"), readme),
                File::new(&format!("{folder}/sample.toml"), ""),
            ])
        };
        assert!(driver_folders(&tree(&right)).is_empty());
        assert_eq!(
            driver_folders(&tree(&right.replace("## Strange values", "## Odd"))).len(),
            1
        );
        let alone = Tree(vec![File::new(&format!("{folder}/driver.rs"), "")]);
        assert_eq!(driver_folders(&alone).len(), 2);
    }

    #[test]
    fn a_promise_names_a_command_that_exists() {
        let head = "| id | area | promise | command |\n| --- | --- | --- | --- |\n";
        let tree = |row: &str| {
            Tree(vec![
                File::new("docs/promises.md", &format!("{head}{row}\n")),
                File::new("tests/it/outage.rs", "#[test]\nfn a_reading_arrives() {}"),
                File::new("tests/it/errors/a.rs", "#[test]\nfn a_fault_is_told() {}"),
                File::new("tests/sim/older.rs", "#[test]\nfn it_goes_on() {}"),
                File::new("tests/bench/main.rs", "[(\"rss\", rss::run)]"),
                File::new("Makefile", "bench: ## x\n"),
            ])
        };
        for right in [
            "cargo test -p tests --test it -- --exact --nocapture outage::a_reading_arrives",
            "cargo test -p tests --test it -- --nocapture errors::",
            "cargo test -p tests --test sim -- --nocapture older::",
            "make bench ONLY=rss",
            "make bench",
        ] {
            assert!(
                promises(&tree(&format!("| A-1 | a | b | `{right}` |"))).is_empty(),
                "{right}"
            );
            let wrong = format!("| A-1 | a | b | `{right}x` |");
            assert_eq!(promises(&tree(&wrong)).len(), 1, "{right}x");
        }
        assert_eq!(promises(&tree("| A-1 | a | b |")).len(), 1);
    }
}
