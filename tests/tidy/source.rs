//! The tree as text, and Rust source without what is no code: comments, strings, test modules.
//! Never parses Rust fully: it knows just enough to count lines and find paths.

use std::fs;
use std::path::Path;

/// Folders that hold nothing of ours.
const SKIPPED: [&str; 5] = [".git", "target", "build", "node_modules", "dist"];
/// Larger files are data.
const BYTES_MAX: u64 = 400_000;

/// One text file.
#[derive(Clone, Debug)]
pub(crate) struct File {
    /// Path from the top of the repository, with `/`.
    pub(crate) path: String,
    /// Content.
    pub(crate) text: String,
}

impl File {
    /// A file of a sample.
    #[cfg(test)]
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    /// Whether it is Rust source.
    pub(crate) fn is_rust(&self) -> bool {
        Path::new(&self.path)
            .extension()
            .is_some_and(|end| end == "rs")
    }

    /// Whether the whole file is tests that stand beside the code: `tests.rs`, `tests/….rs`.
    pub(crate) fn is_test(&self) -> bool {
        let inside = self
            .path
            .split_once("/src/")
            .map_or("", |(_, inside)| inside);
        inside
            .split('/')
            .any(|part| part == "tests" || part == "tests.rs")
    }

    /// Code without comments, strings and tests; every line keeps its number.
    pub(crate) fn code(&self) -> String {
        if self.is_test() {
            return "\n".repeat(self.text.lines().count());
        }
        without_tests(&blank(&self.text))
    }
}

/// All text files, sorted by path.
#[derive(Clone, Debug)]
pub(crate) struct Tree(pub(crate) Vec<File>);

impl Tree {
    /// The repository that this test was built from.
    pub(crate) fn read() -> Self {
        let top = harness::places::repository();
        let mut files = Vec::new();
        collect(&top, &top, &mut files);
        files.sort_by(|one, other| one.path.cmp(&other.path));
        Self(files)
    }

    /// Rust files, without generated ones.
    pub(crate) fn rust(&self) -> impl Iterator<Item = &File> {
        self.0.iter().filter(|file| file.is_rust())
    }

    /// One file.
    pub(crate) fn get(&self, path: &str) -> Option<&File> {
        self.0.iter().find(|file| file.path == path)
    }
}

fn collect(top: &Path, folder: &Path, into: &mut Vec<File>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type().unwrap();
        // In a linked worktree `.git` is a file.
        if name == ".git" {
            continue;
        }
        if kind.is_dir() && !SKIPPED.contains(&name.as_str()) {
            collect(top, &path, into);
        } else if kind.is_file() && entry.metadata().unwrap().len() <= BYTES_MAX {
            // What is no UTF-8 is a picture or the like.
            if let Ok(text) = fs::read_to_string(&path) {
                let path = path
                    .strip_prefix(top)
                    .unwrap()
                    .to_string_lossy()
                    .replace('\\', "/");
                into.push(File { path, text });
            }
        }
    }
}

/// Replaces comments and the insides of strings and characters by blanks.
pub(crate) fn blank(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match chars[at] {
            '/' if chars.get(at + 1) == Some(&'/') => end_of_line(&chars, at),
            '/' if chars.get(at + 1) == Some(&'*') => end_of_comment(&chars, at),
            '"' => end_of_string(&chars, at),
            'r' | 'b'
                if !at
                    .checked_sub(1)
                    .is_some_and(|before| is_word(chars[before])) =>
            {
                end_of_raw(&chars, at).unwrap_or(at + 1)
            }
            '\'' => end_of_char(&chars, at),
            _ => at + 1,
        };
        if end == at + 1 {
            out.push(chars[at]);
        } else {
            out.extend(
                chars[at..end]
                    .iter()
                    .map(|c| if *c == '\n' { '\n' } else { ' ' }),
            );
        }
        at = end;
    }
    out
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn end_of_line(chars: &[char], at: usize) -> usize {
    (at..chars.len())
        .find(|i| chars[*i] == '\n')
        .unwrap_or(chars.len())
}

fn end_of_comment(chars: &[char], mut at: usize) -> usize {
    let mut depth = 0;
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn end_of_string(chars: &[char], quote: usize) -> usize {
    let mut at = quote + 1;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// End of `r"…"`, `r#"…"#`, `br"…"`, `b"…"`; `None` when it is an ordinary word.
fn end_of_raw(chars: &[char], start: usize) -> Option<usize> {
    let mut at = start + usize::from(chars[start] == 'b');
    let raw = chars.get(at) == Some(&'r');
    at += usize::from(raw);
    let hashes = chars[at.min(chars.len())..]
        .iter()
        .take_while(|c| **c == '#')
        .count();
    if chars.get(at + hashes) != Some(&'"') || (hashes > 0 && !raw) {
        return None;
    }
    if !raw {
        return Some(end_of_string(chars, at));
    }
    let closing: Vec<char> = std::iter::once('"').chain(vec!['#'; hashes]).collect();
    let from = at + hashes + 1;
    let found = (from..chars.len()).find(|i| chars[*i..].starts_with(&closing));
    Some(found.map_or(chars.len(), |i| i + closing.len()))
}

/// End of a character; a lifetime is no character.
fn end_of_char(chars: &[char], quote: usize) -> usize {
    match (chars.get(quote + 1), chars.get(quote + 2)) {
        (Some('\\'), Some(_)) => {
            let end = (quote + 3..chars.len()).find(|i| chars[*i] == '\'');
            end.map_or(chars.len(), |i| i + 1)
        }
        (Some(_), Some('\'')) => quote + 3,
        _ => quote + 1,
    }
}

/// Blanks every item that `#[cfg(test)]` stands before.
fn without_tests(code: &str) -> String {
    let mut out = code.to_owned();
    while let Some(start) = out.find("#[cfg(test)]") {
        let rest = &out[start..];
        let semicolon = rest.find(';').unwrap_or(rest.len());
        let end = match rest.find('{') {
            Some(open) if open < semicolon => open + block(&rest[open..]),
            _ => (semicolon + 1).min(rest.len()),
        };
        let blanks: String = rest[..end]
            .chars()
            .map(|c| if c == '\n' { '\n' } else { ' ' })
            .collect();
        out.replace_range(start..start + end, &blanks);
    }
    out
}

/// Length of the block that starts with an opening brace.
pub(crate) fn block(code: &str) -> usize {
    let mut depth = 0;
    for (at, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

#[test]
fn comments_strings_and_tests_are_no_code() {
    let file = File::new(
        "a.rs",
        "fn a<'a>(x: &'a str) { // crate::b {\n  let c = '{'; let d = \"crate::e \\\" {\";\n \
         let r = r#\"crate::f \" {\"#; let b = b\"{\"; /* { /* { */ */ g('\\'', '\\u{7b}'); for_r!(r) }\n\
         #[cfg(test)]\nmod tests {\n crate::h();\n}\nfn last() {}\n",
    );
    let code = file.code();
    assert_eq!(code.lines().count(), file.text.lines().count());
    for gone in ["crate::b", "crate::e", "crate::f", "crate::h", "mod tests"] {
        assert!(!code.contains(gone), "{gone} is left in {code}");
    }
    for kept in ["fn a<'a>(x: &'a str) {", "for_r!(r) }", "fn last() {}"] {
        assert!(code.contains(kept), "{kept} is lost in {code}");
    }
    assert_eq!(code.matches('{').count(), 2, "{code}");
    let file = File::new("a/src/b/tests.rs", "fn test() {}\n");
    assert_eq!(file.code(), "\n");
    let file = File::new("b.rs", "#[cfg(test)]\nmod tests;\nfn kept() {}");
    assert!(file.code().contains("fn kept") && !file.code().contains("mod tests"));
}
