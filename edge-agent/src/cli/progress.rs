//! One line on standard error that says how far a long work is, only when somebody looks at a
//! terminal. Never goes to standard output, never more than ten times a second.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// Least time between two pictures.
const EVERY: Duration = Duration::from_millis(100);
/// Longest line; a terminal of 80 characters shows it whole.
const CHARS_MAX: usize = 78;

/// The line.
pub(super) struct Progress {
    shown: bool,
    terminal: bool,
    next: Instant,
}

impl Progress {
    /// Says nothing where standard error is no terminal.
    pub(super) fn new() -> Self {
        Self {
            shown: false,
            terminal: std::io::stderr().is_terminal(),
            next: Instant::now(),
        }
    }

    /// Shows a line in place of the one before.
    pub(super) fn show(&mut self, line: &str) {
        let now = Instant::now();
        if !self.terminal || now < self.next {
            return;
        }
        self.next = now + EVERY;
        self.shown = true;
        let line: String = line.chars().take(CHARS_MAX).collect();
        self.write(&format!("\r{line}\x1b[K"));
    }

    #[expect(clippy::unused_self, reason = "the line is that of this value")]
    fn write(&self, text: &str) {
        let mut stderr = std::io::stderr().lock();
        // A terminal that is gone needs no picture.
        drop(
            stderr
                .write_all(text.as_bytes())
                .and_then(|()| stderr.flush()),
        );
    }
}

/// The line goes with whoever showed it.
impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            self.write("\r\x1b[K");
        }
    }
}
