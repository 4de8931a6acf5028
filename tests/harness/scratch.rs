//! A folder for one test, with everything its programs write. Never left behind when the test
//! passes; when it fails, the ends of all logs are printed first.

use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};

/// Lines of each log that are printed when a test fails.
const LOG_LINES: usize = 60;

/// The folder; removed when dropped.
#[derive(Debug)]
pub struct Scratch {
    folder: tempfile::TempDir,
    failed: bool,
}

impl Scratch {
    /// A fresh folder. Call [`Scratch::passed`] at the end, else the logs are printed.
    pub fn new(name: &str) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix(&format!("chatterfix-{name}-"))
            .tempdir()
            .context("making a scratch folder")?;
        Ok(Self {
            folder,
            failed: true,
        })
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A file or folder in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a text file and gives its path.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.file(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("making {}", folder.display()))?;
        }
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    /// The test passed: nothing is printed.
    pub fn passed(mut self) {
        self.failed = false;
    }

    /// The ends of all logs (`*.log`, `*.out`) under the folder.
    pub fn logs(&self) -> String {
        let mut files = Vec::new();
        collect_logs(self.path(), &mut files);
        files.sort();
        files.iter().map(|file| tail(file)).collect()
    }
}

/// Runs one scenario in a scratch folder; when it fails or panics, the logs are printed.
pub fn in_scratch(name: &str, run: impl FnOnce(&Scratch) -> Result<()>) -> Result<()> {
    let scratch = Scratch::new(name)?;
    run(&scratch)?;
    scratch.passed();
    Ok(())
}

impl Drop for Scratch {
    #[expect(
        clippy::print_stderr,
        reason = "the logs of a failed test are for the person who reads it"
    )]
    fn drop(&mut self) {
        if self.failed {
            eprintln!("{}", self.logs());
        }
    }
}

fn collect_logs(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect_logs(&path, into);
        } else if path
            .extension()
            .is_some_and(|end| end == "log" || end == "out")
        {
            into.push(path);
        }
    }
}

fn tail(file: &Path) -> String {
    let text = String::from_utf8_lossy(&std::fs::read(file).unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    let end = lines.iter().skip(lines.len().saturating_sub(LOG_LINES));
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let mut out = format!("--- {name}: {} lines, the last {LOG_LINES}\n", lines.len());
    for line in end {
        out.push_str(line);
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_away_and_holds_the_ends_of_logs() {
        let scratch = Scratch::new("self").unwrap();
        let lines: Vec<String> = (0..100).map(|line| format!("line {line}\n")).collect();
        scratch.write("hub/hub.log", &lines.concat()).unwrap();
        let logs = scratch.logs();
        assert!(
            logs.contains("line 99") && !logs.contains("line 39\n"),
            "{logs}"
        );
        let path = scratch.path().to_path_buf();
        scratch.passed();
        assert!(!path.exists());
    }
}
