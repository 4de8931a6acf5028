//! Bytes of a line in, whole frames or what is wrong with them out. Pure: knows no port and no time.
//! Never keeps more than `FRAME_BYTES_MAX` bytes: what has no end by then is dropped up to the next
//! one, and told. How the bytes are cut into pieces makes no difference.

use super::checksum::Checksum;
use super::escape::shown;

/// Longest frame, with its checksum and terminator.
pub const FRAME_BYTES_MAX: usize = 1_024;

/// What stands between frames and belongs to none: ends of lines in another order, fill bytes.
pub const BETWEEN: [u8; 3] = *b"\r\n\0";

/// How frames are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Where one ends.
    pub end: End,
    /// Its checksum.
    pub checksum: Option<Checksum>,
    /// What frames begin with, any of these; empty when that is not known. Frames of a fixed length are
    /// found again by it after a disturbance; in a line, a control character with which all begin (STX)
    /// begins a frame wherever it stands.
    pub starts: Vec<Vec<u8>>,
}

/// Where a frame ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Behind these bytes; at least one.
    Terminator(Vec<u8>),
    /// After so many bytes, the checksum counted; 1 to `FRAME_BYTES_MAX`.
    Length(usize),
}

impl Shape {
    /// The control character with which every line begins, if there is one.
    fn line_begin(&self) -> Option<u8> {
        let begin = self.starts.first()?.first().copied()?;
        let same = |start: &Vec<u8>| start.first() == Some(&begin);
        (begin < b' ' && self.starts.iter().all(same)).then_some(begin)
    }
}

/// A good frame, without checksum, its mark, and terminator.
pub type Frame = Vec<u8>;

/// What is wrong with a frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// No end within `FRAME_BYTES_MAX`.
    #[error("no end of a frame within {FRAME_BYTES_MAX} bytes: {}", shown(frame))]
    NoEnd {
        /// Its beginning.
        frame: Vec<u8>,
    },
    /// The next one has begun before its end.
    #[error("the end is missing of {}", shown(frame))]
    Cut {
        /// As far as it came.
        frame: Vec<u8>,
    },
    /// Nothing or something else stands where its checksum must be.
    #[error("no checksum in {}", shown(frame))]
    NoChecksum {
        /// All of it.
        frame: Vec<u8>,
    },
    /// Another checksum.
    #[error(
        "the checksum of {} is {} and must be {}",
        shown(frame),
        shown(found),
        shown(right)
    )]
    Checksum {
        /// All of it.
        frame: Vec<u8>,
        /// As it came.
        found: Vec<u8>,
        /// As it must be.
        right: Vec<u8>,
    },
}

/// Cuts bytes into frames.
#[derive(Clone, Debug)]
pub struct Framer {
    shape: Shape,
    buffer: Vec<u8>,
    /// Bytes of a checksum behind the terminator that are still to come.
    tail: Option<usize>,
    /// A frame without end is dropped up to the next terminator.
    skipping: bool,
}

impl Framer {
    /// Without bytes yet.
    pub const fn new(shape: Shape) -> Self {
        Self {
            shape,
            buffer: Vec::new(),
            tail: None,
            skipping: false,
        }
    }

    /// Forgets what has begun: the next byte begins a frame.
    pub fn reset(&mut self) {
        self.buffer.clear();
        self.tail = None;
        self.skipping = false;
    }

    /// Bytes that wait for the rest of their frame.
    pub fn begun(&self) -> &[u8] {
        if self.skipping { &[] } else { &self.buffer }
    }

    /// Takes one byte; most end no frame.
    pub fn push(&mut self, byte: u8) -> Option<Result<Frame, FrameError>> {
        match &self.shape.end {
            End::Terminator(terminator) => {
                let terminator = terminator.clone();
                self.push_to_line(byte, &terminator)
            }
            End::Length(length) => {
                let length = *length;
                self.push_to_block(byte, length)
            }
        }
    }

    fn push_to_line(&mut self, byte: u8, terminator: &[u8]) -> Option<Result<Frame, FrameError>> {
        let begins = self.tail.is_none() && self.shape.line_begin() == Some(byte);
        if self.skipping && begins {
            self.reset();
        }
        if self.skipping {
            self.skip(byte, terminator);
            return None;
        }
        if self.buffer.is_empty() && BETWEEN.contains(&byte) {
            return None;
        }
        if begins && !self.buffer.is_empty() {
            // Without this, the checksum of two frames that lost the end between them may be right.
            let frame = std::mem::replace(&mut self.buffer, vec![byte]);
            return Some(Err(FrameError::Cut { frame }));
        }
        self.buffer.push(byte);
        if let Some(left) = self.tail {
            self.tail = left.checked_sub(1).filter(|left| *left > 0);
            return self
                .tail
                .is_none()
                .then(|| self.end_line(terminator))
                .flatten();
        }
        if self.buffer.ends_with(terminator) {
            let behind = self.shape.checksum.as_ref().filter(|sum| sum.behind);
            self.tail = behind.map(Checksum::length);
            return self
                .tail
                .is_none()
                .then(|| self.end_line(terminator))
                .flatten();
        }
        if self.buffer.len() < FRAME_BYTES_MAX {
            return None;
        }
        let frame = std::mem::take(&mut self.buffer);
        let kept = frame.len().saturating_sub(terminator.len() - 1);
        self.buffer = frame.get(kept..).unwrap_or_default().to_vec();
        self.skipping = true;
        Some(Err(FrameError::NoEnd { frame }))
    }

    /// Keeps only what may be the beginning of a terminator.
    fn skip(&mut self, byte: u8, terminator: &[u8]) {
        self.buffer.push(byte);
        if self.buffer.ends_with(terminator) {
            self.reset();
        } else if self.buffer.len() >= terminator.len() {
            self.buffer.remove(0);
        }
    }

    /// `None` for a frame with nothing in it.
    fn end_line(&mut self, terminator: &[u8]) -> Option<Result<Frame, FrameError>> {
        let frame = std::mem::take(&mut self.buffer);
        if frame == terminator {
            return None;
        }
        Some(match &self.shape.checksum {
            None => Ok(without(frame, terminator.len())),
            Some(checksum) if checksum.behind => {
                let counted = frame.len().saturating_sub(checksum.length());
                let end = counted.saturating_sub(terminator.len());
                checked(checksum, frame, counted, end)
            }
            Some(checksum) => {
                let frame = without(frame, terminator.len());
                before_end(checksum, frame)
            }
        })
    }

    fn push_to_block(&mut self, byte: u8, length: usize) -> Option<Result<Frame, FrameError>> {
        self.buffer.push(byte);
        self.find_start(0);
        if self.buffer.len() < length {
            return None;
        }
        let frame = self.buffer.clone();
        let found = match &self.shape.checksum {
            None => Ok(frame),
            Some(checksum) => before_end(checksum, frame),
        };
        if found.is_ok() || self.shape.starts.is_empty() {
            self.buffer.clear();
        } else {
            // What looked like a beginning was none: the right one may stand behind it.
            self.find_start(1);
        }
        Some(found)
    }

    /// Drops what stands before the first place from `from` on at which a frame may begin.
    fn find_start(&mut self, from: usize) {
        if self.shape.starts.is_empty() {
            return;
        }
        let may_begin = |rest: &[u8]| {
            let mut starts = self.shape.starts.iter();
            starts.any(|start| rest.starts_with(start) || start.starts_with(rest))
        };
        let count = self.buffer.len();
        let at = (from..count).find(|at| self.buffer.get(*at..).is_some_and(may_begin));
        self.buffer.drain(..at.unwrap_or(count));
    }
}

fn without(mut frame: Vec<u8>, end: usize) -> Vec<u8> {
    frame.truncate(frame.len().saturating_sub(end));
    frame
}

/// A frame at whose end its checksum stands.
fn before_end(checksum: &Checksum, frame: Vec<u8>) -> Result<Frame, FrameError> {
    let marked = frame.len().checked_sub(checksum.length());
    let counted = marked.and_then(|end| end.checked_sub(checksum.mark.len()));
    let is_marked = |counted: &usize| {
        let rest = frame.get(*counted..);
        rest.is_some_and(|rest| rest.starts_with(&checksum.mark))
    };
    match counted.filter(is_marked) {
        Some(counted) => checked(checksum, frame, counted, counted),
        None => Err(FrameError::NoChecksum { frame }),
    }
}

/// The first `end` bytes of a frame whose checksum is that of the first `counted` ones.
fn checked(
    checksum: &Checksum,
    mut frame: Vec<u8>,
    counted: usize,
    end: usize,
) -> Result<Frame, FrameError> {
    let found = frame.len().saturating_sub(checksum.length());
    let (found, counted) = (
        frame.get(found..).unwrap_or_default(),
        frame.get(..counted).unwrap_or_default(),
    );
    if checksum.fits(found, counted) {
        frame.truncate(end);
        return Ok(frame);
    }
    let (found, right) = (found.to_vec(), checksum.of(counted));
    Err(FrameError::Checksum {
        frame,
        found,
        right,
    })
}
