//! Lengths of functions and files, with a list of exceptions that may only shrink. Never counts
//! comments, blank lines of functions, or tests beside the code.

use crate::source::{File, Tree, block};
use std::collections::BTreeMap;

/// Lines of code between the braces of a function.
const FUNCTION_LINES_MAX: usize = 70;
/// Lines of a file without its tests.
const FILE_LINES_MAX: usize = 500;

/// Everything that is longer than its limit or than its exception, and every exception that is
/// more generous than needed.
pub(crate) fn complaints(tree: &Tree, ratchet: &str) -> Vec<String> {
    let ratchet: toml::Table = toml::from_str(ratchet).unwrap();
    let mut files = BTreeMap::new();
    let mut functions = BTreeMap::new();
    for file in tree.rust() {
        let code = file.code();
        if !file.is_test() {
            files.insert(file.path.clone(), lines_without_tests(file));
        }
        for (name, lines) in function_lines(&code) {
            let longest = functions
                .entry(format!("{} {name}", file.path))
                .or_insert(0);
            *longest = lines.max(*longest);
        }
    }
    let mut found = compare("files", FILE_LINES_MAX, &files, &ratchet);
    found.extend(compare(
        "functions",
        FUNCTION_LINES_MAX,
        &functions,
        &ratchet,
    ));
    found
}

fn compare(
    kind: &str,
    limit: usize,
    measured: &BTreeMap<String, usize>,
    ratchet: &toml::Table,
) -> Vec<String> {
    let entries = ratchet
        .get(kind)
        .and_then(toml::Value::as_table)
        .cloned()
        .unwrap_or_default();
    let mut found = Vec::new();
    for (name, lines) in measured {
        let exception = entries.get(name).map(|entry| entry.as_integer().unwrap());
        let exception = exception.map(|lines| usize::try_from(lines).unwrap());
        match exception {
            None if *lines > limit => {
                found.push(format!("{name}: {lines} lines, at most {limit}: split it"));
            }
            Some(allowed) if *lines > allowed => {
                found.push(format!(
                    "{name}: {lines} lines, its exception is {allowed}: it grew"
                ));
            }
            Some(_) if *lines <= limit => {
                found.push(format!(
                    "ratchet.toml, {kind}: {name} needs no exception: remove it"
                ));
            }
            Some(allowed) if *lines < allowed => {
                found.push(format!(
                    "ratchet.toml, {kind}: {name} shrank, set it to {lines}"
                ));
            }
            _ => {}
        }
    }
    for name in entries.keys().filter(|name| !measured.contains_key(*name)) {
        found.push(format!(
            "ratchet.toml, {kind}: {name} is not there: remove it"
        ));
    }
    found
}

/// Lines of a file, less those of its tests.
fn lines_without_tests(file: &File) -> usize {
    let tests: usize = file
        .text
        .match_indices("#[cfg(test)]")
        .map(|(at, _)| {
            let blanked = crate::source::blank(&file.text[at..]);
            let open = blanked.find('{').unwrap_or(0);
            let semicolon = blanked.find(';').unwrap_or(usize::MAX);
            let end = if semicolon < open {
                semicolon
            } else {
                open + block(&blanked[open..])
            };
            blanked[..end.min(blanked.len())].lines().count()
        })
        .sum();
    file.text.lines().count().saturating_sub(tests)
}

/// Name and lines of code of every function.
fn function_lines(code: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let before = code[..at].chars().next_back().unwrap_or(' ');
        let rest = &code[at + 3..];
        let name: String = rest
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect();
        let (Some(open), semicolon) = (rest.find('{'), rest.find(';').unwrap_or(usize::MAX)) else {
            continue;
        };
        // Without a name it is a function type, without a body a declaration.
        if name.is_empty()
            || semicolon < open && !rest[..open].contains('[')
            || before.is_alphanumeric()
        {
            continue;
        }
        let body = &rest[open + 1..open + block(&rest[open..])];
        let lines = body.lines().filter(|line| !line.trim().is_empty()).count();
        // The closing brace stands alone on its line.
        found.push((name, lines.saturating_sub(usize::from(lines > 1))));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(lines: usize, file_lines: usize) -> Tree {
        let body = "    step();\n    // why\n\n".repeat(lines);
        let filler = "const A: u8 = 0;\n".repeat(file_lines);
        let long_test = "x();\n".repeat(600);
        let text = format!(
            "//! A.\npub fn long() {{\n{body}}}\ntrait T {{ fn declared(&self); }}\n{filler}\
             #[cfg(test)]\nmod tests {{ fn t() {{\n{long_test}}} }}\n"
        );
        Tree(vec![File::new("a/src/b.rs", &text)])
    }

    #[test]
    fn limits_hold_and_comments_and_tests_do_not_count() {
        assert_eq!(complaints(&tree(70, 200), ""), Vec::<String>::new());
        assert!(complaints(&tree(71, 0), "")[0].contains("b.rs long: 71 lines"));
        assert!(complaints(&tree(1, 500), "")[0].contains("at most 500"));
    }

    #[test]
    fn the_list_may_only_shrink() {
        let list = |lines: u32| format!("[functions]\n'a/src/b.rs long' = {lines}");
        assert_eq!(complaints(&tree(80, 0), &list(80)), Vec::<String>::new());
        assert!(complaints(&tree(81, 0), &list(80))[0].contains("it grew"));
        assert!(complaints(&tree(79, 0), &list(80))[0].contains("set it to 79"));
        assert!(complaints(&tree(60, 0), &list(80))[0].contains("needs no exception"));
        assert!(complaints(&tree(1, 0), "[files]\n'gone.rs' = 600")[0].contains("is not there"));
    }
}
