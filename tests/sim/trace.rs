//! What happened, as a hash over all of it and as text for the end of it.
//! Never formats anything in a run that goes well.

use crate::random::mix;
use std::collections::VecDeque;
use std::fmt::Write as _;

/// Lines that are kept for a failure's report.
pub(crate) const TAIL_LINES: usize = 120;

#[derive(Clone, Copy, Debug)]
struct Line {
    now: i64,
    what: &'static str,
    details: [u64; 4],
}

#[derive(Clone, Debug)]
pub(crate) struct Trace {
    hash: u64,
    lines: u64,
    /// Lines that are kept.
    keeps: usize,
    tail: VecDeque<Line>,
}

impl Trace {
    pub(crate) const fn new(keeps: usize) -> Self {
        Self {
            hash: 0,
            lines: 0,
            keeps,
            tail: VecDeque::new(),
        }
    }

    /// Notes one thing; what the details mean, `what` says by `{}`.
    pub(crate) fn note(&mut self, now: i64, what: &'static str, details: [u64; 4]) {
        self.lines += 1;
        let mut hash = mix(self.hash ^ now.cast_unsigned());
        for chunk in what.as_bytes().chunks(8) {
            let word = chunk
                .iter()
                .fold(0, |word, byte| word << 8 | u64::from(*byte));
            hash = mix(hash ^ word);
        }
        for detail in details {
            hash = mix(hash ^ detail);
        }
        self.hash = hash;
        if self.tail.len() == self.keeps {
            self.tail.pop_front();
        }
        self.tail.push_back(Line { now, what, details });
    }

    pub(crate) const fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) const fn lines(&self) -> u64 {
        self.lines
    }

    /// The last things that happened, one a line.
    pub(crate) fn tail(&self) -> String {
        let mut text = String::new();
        for line in &self.tail {
            let mut words = line.what.to_owned();
            for detail in line.details {
                words = words.replacen("{}", &detail.to_string(), 1);
            }
            let (seconds, rest) = (line.now / 1_000_000, line.now % 1_000_000);
            let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
            writeln!(
                text,
                "{hours:02}:{minutes:02}:{:02}.{rest:06} {words}",
                seconds % 60
            )
            .unwrap();
        }
        text
    }
}
