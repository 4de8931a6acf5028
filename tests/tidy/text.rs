//! Rules about words in files: openings, unfinished work, the database, the clock. Never looks at
//! meaning; the words that are searched for are put together here, so that this file may hold them.

use crate::source::Tree;

/// Rust files that do not open with `//!`.
pub(crate) fn without_opening(tree: &Tree) -> Vec<String> {
    tree.rust()
        .filter(|file| !file.text.starts_with("//! "))
        .map(|file| {
            format!(
                "{}: open it with `//!`: what it is, what it never does",
                file.path
            )
        })
        .collect()
}

/// Marks of unfinished work, and paths that exist only on one machine.
pub(crate) fn unfinished_or_local(tree: &Tree) -> Vec<String> {
    let everywhere = [
        ["FIX", "ME"],
        ["/wo", "rk/wt"],
        ["/wo", "rk/main"],
        ["/wo", "rk/shared"],
        ["/ho", "me/"],
        ["/ro", "ot/"],
    ];
    let in_rust = [["todo", "!"], ["unimplemented", "!"], ["#[ig", "nore"]];
    let mut found = Vec::new();
    for file in &tree.0 {
        let rust = file.is_rust();
        let words = everywhere.iter().chain(in_rust.iter().filter(|_| rust));
        for word in words.map(|parts| parts.concat()) {
            found
                .extend(lines_with(&file.text, &word).map(|line| {
                    format!("{}:{line}: `{word}` has no place in the tree", file.path)
                }));
        }
    }
    found
}

/// Code that names the database outside the one room of each program that may.
pub(crate) fn database_outside_its_room(tree: &Tree) -> Vec<String> {
    let allowed = ["edge-agent/src/storage/", "cloud-hub/src/store/", "tests/"];
    outside(
        tree,
        &["rusqlite"],
        &allowed,
        "only `storage` (agent) and `store` (hub) may name it",
    )
}

/// Code that reads the wall clock outside the one module of each program that may.
pub(crate) fn clock_outside_its_module(tree: &Tree) -> Vec<String> {
    let words = [
        "SystemTime::now",
        "Zoned::now",
        "jiff::Timestamp::now",
        "now_v7",
        "UNIX_EPOCH.elapsed",
    ];
    let allowed = [
        "edge-agent/src/clock.rs",
        "cloud-hub/src/clock.rs",
        "tests/",
    ];
    outside(
        tree,
        &words,
        &allowed,
        "take the time from the program's clock module",
    )
}

fn outside(tree: &Tree, words: &[&str], allowed: &[&str], remedy: &str) -> Vec<String> {
    let mut found = Vec::new();
    for file in tree
        .rust()
        .filter(|file| !allowed.iter().any(|path| file.path.starts_with(path)))
    {
        let code = file.code();
        for word in words {
            found.extend(
                lines_with(&code, word)
                    .map(|line| format!("{}:{line}: `{word}`: {remedy}", file.path)),
            );
        }
    }
    found
}

fn lines_with<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + use<'a> {
    text.lines()
        .enumerate()
        .filter(move |(_, line)| line.contains(word))
        .map(|(at, _)| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::File;

    fn one(path: &str, text: &str) -> Tree {
        Tree(vec![File::new(path, text)])
    }

    #[test]
    fn openings() {
        assert!(without_opening(&one("a/src/b.rs", "//! It is b.\n")).is_empty());
        assert_eq!(without_opening(&one("a/src/b.rs", "// b\n")).len(), 1);
    }

    #[test]
    fn unfinished_work_and_local_paths() {
        assert!(unfinished_or_local(&one("a.rs", "get(\"/work-orders\")")).is_empty());
        for bad in [
            ["x(); // FIX", "ME"],
            ["todo", "!()"],
            ["open(\"/ho", "me/me/x\")"],
        ] {
            let told = unfinished_or_local(&one("a.rs", &format!("//!\n{}", bad.concat())));
            assert!(told[0].starts_with("a.rs:2:"), "{told:?}");
        }
        assert!(unfinished_or_local(&one("notes.md", &["my todo", "!"].concat())).is_empty());
    }

    #[test]
    fn the_database_and_the_clock_have_one_place() {
        let use_it = "//!\nuse rusqlite::Connection;";
        assert!(database_outside_its_room(&one("edge-agent/src/storage/a.rs", use_it)).is_empty());
        assert_eq!(
            database_outside_its_room(&one("edge-agent/src/web/a.rs", use_it)).len(),
            1
        );
        let in_words = "//! rusqlite\n// rusqlite\nconst A: &str = \"rusqlite\";";
        assert!(database_outside_its_room(&one("edge-agent/src/web/a.rs", in_words)).is_empty());
        let read = "fn a() { std::time::SystemTime::now(); }";
        assert!(clock_outside_its_module(&one("cloud-hub/src/clock.rs", read)).is_empty());
        assert_eq!(
            clock_outside_its_module(&one("cloud-hub/src/api/mod.rs", read)).len(),
            1
        );
    }
}
