//! What is wrong with a configuration, in words for the person who wrote it: file, line, column,
//! key, what is wrong, what to write instead. Never stops at the first.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most problems that are kept; further ones are only counted. Nobody reads more in one go.
pub const PROBLEMS_MAX: usize = 200;

/// Why a configuration was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be opened or read.
    #[error("cannot read the configuration {path}; check that the file is there and may be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is larger than `config::FILE_BYTES_MAX`.
    #[error("the configuration {path} is larger than {bytes_max} bytes; is it the right file?")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        bytes_max: u64,
    },
    /// The file was read; these things in it are wrong, in the order of the file.
    #[error("{}", Lines(.0))]
    Invalid(Vec<Problem>),
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// File as the person named it.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The table it stands in, for example `device "pump-7"`; empty at the top.
    pub place: String,
    /// The key; empty when it is about the whole place.
    pub key: String,
    /// What is wrong and what to write instead.
    pub words: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        match (self.place.is_empty(), self.key.is_empty()) {
            (false, false) => write!(f, "{}, key \"{}\": ", self.place, self.key)?,
            (false, true) => write!(f, "{}: ", self.place)?,
            (true, false) => write!(f, "key \"{}\": ", self.key)?,
            (true, true) => {}
        }
        f.write_str(&self.words)
    }
}

/// The problems of one file, one per line.
struct Lines<'a>(&'a [Problem]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}{problem}")?;
        }
        Ok(())
    }
}

/// The problems found so far in one file. A clone is the same list: every section of the file
/// adds to it, those that a driver reads later too.
#[derive(Clone, Debug)]
pub struct Problems {
    source: Arc<Source>,
    list: Arc<Mutex<Vec<Problem>>>,
    #[cfg(test)]
    absent: Arc<Mutex<Vec<String>>>,
}

struct Source {
    file: Arc<str>,
    text: Arc<str>,
}

impl Problems {
    pub(super) fn new(file: &Path, text: impl Into<Arc<str>>) -> Self {
        let (file, text) = (file.display().to_string().into(), text.into());
        Self {
            source: Arc::new(Source { file, text }),
            list: Arc::default(),
            #[cfg(test)]
            absent: Arc::default(),
        }
    }

    /// All that was found until now, in the order of the file.
    ///
    /// # Errors
    /// `ConfigError::Invalid` when there is any problem.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.lock().is_empty() {
            Ok(())
        } else {
            Err(self.to_error())
        }
    }

    /// What was found, as an error.
    pub(super) fn to_error(&self) -> ConfigError {
        let mut list = self.lock().clone();
        // The file itself first, then its templates.
        let is_other = |problem: &Problem| problem.file != self.source.file;
        list.sort_by(|one, two| {
            let place = |problem: &Problem| (problem.line, problem.column);
            (is_other(one), &one.file, place(one)).cmp(&(is_other(two), &two.file, place(two)))
        });
        ConfigError::Invalid(list)
    }

    /// The same list for another file that belongs to this one.
    pub(super) fn of_file(&self, file: &str, text: String) -> Self {
        let (file, text) = (file.into(), text.into());
        Self {
            source: Arc::new(Source { file, text }),
            ..self.clone()
        }
    }

    /// Whether further problems are not kept: nobody needs to think about their words.
    pub(super) fn are_full(&self) -> bool {
        self.lock().len() >= PROBLEMS_MAX
    }

    /// The text of the file.
    pub(super) fn text(&self) -> &Arc<str> {
        &self.source.text
    }

    /// Adds one; `span` is a range of bytes of the file.
    pub(super) fn add(&self, span: &Range<usize>, place: &str, key: &str, words: String) {
        let mut list = self.lock();
        if list.len() >= PROBLEMS_MAX {
            return;
        }
        let (line, column) = self.source.line_and_column(span.start);
        let words = if list.len() + 1 == PROBLEMS_MAX {
            format!("{words} (and more problems, not shown)")
        } else {
            words
        };
        list.push(Problem {
            file: Arc::clone(&self.source.file),
            line,
            column,
            place: place.to_owned(),
            key: key.to_owned(),
            words,
        });
    }

    /// Notes a key that is known and not in the file: `edge.full.toml` must have all.
    #[cfg(test)]
    pub(super) fn note_absent(&self, words: String) {
        self.absent.lock().unwrap().push(words);
    }

    #[cfg(test)]
    pub(crate) fn absent(&self) -> Vec<String> {
        self.absent.lock().unwrap().clone()
    }

    /// A thread that panicked while adding leaves a list that is still right.
    fn lock(&self) -> MutexGuard<'_, Vec<Problem>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Without the text: every section of a file has a part in it.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

impl Source {
    fn line_and_column(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let line = before.matches('\n').count() + 1;
        let last = before.rsplit('\n').next().unwrap_or_default();
        (line, last.chars().count() + 1)
    }
}
