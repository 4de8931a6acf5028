//! Frames of RTU: unit, message, checksum. Where a frame ends is known from its function and count, so
//! that nobody has to wait for silence; what is no frame is skipped byte by byte until one fits. Never
//! gives out a frame whose checksum is wrong.

use super::{Frame, FrameError, Side, push_bounded};

/// Longest frame (specification of the serial line, 2.3).
const FRAME_BYTES_MAX: usize = 256;
/// A frame, and the largest piece that is read at once.
const BUFFER_MAX: usize = 2_048;
/// Unit, function, checksum.
const FRAME_BYTES_MIN: usize = 4;

#[derive(Debug)]
pub(super) struct RtuReader {
    side: Side,
    buffer: Vec<u8>,
    /// Bytes are being skipped: of what follows until the next good frame, nothing is told.
    skipping: bool,
    /// What waits in the buffer will not go on.
    silent: bool,
}

/// What the beginning of a frame says of its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Bytes(usize),
    /// More has to come before it can be said.
    Open,
    /// It is no beginning of a frame, or one that only silence ends.
    Unknown,
}

pub(super) fn encode(frame: &Frame) -> Vec<u8> {
    let mut out = Vec::with_capacity(frame.pdu.len() + 3);
    out.push(frame.unit);
    out.extend_from_slice(&frame.pdu);
    out.extend(crc(&out).to_le_bytes());
    out
}

impl RtuReader {
    pub(super) const fn new(side: Side) -> Self {
        Self {
            side,
            buffer: Vec::new(),
            skipping: false,
            silent: false,
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        push_bounded(&mut self.buffer, bytes, BUFFER_MAX);
        self.silent = false;
    }

    pub(super) const fn silence(&mut self) {
        self.silent = true;
    }

    pub(super) fn next_frame(&mut self) -> Option<Result<Frame, FrameError>> {
        while let Some((unit, function)) = self.beginning() {
            match length(self.side, &self.buffer) {
                Length::Bytes(end) if end <= self.buffer.len() => {
                    if let Some(frame) = self.take(end) {
                        return Some(Ok(frame));
                    }
                    self.skip(1);
                    if !std::mem::replace(&mut self.skipping, true) {
                        return Some(Err(FrameError::Checksum {
                            unit,
                            function,
                            len: end,
                        }));
                    }
                }
                Length::Unknown if self.side == Side::Answers => {
                    self.skipping = true;
                    self.skip(1);
                }
                _ if self.silent => return self.after_silence().map(Ok),
                _ => return None,
            }
        }
        None
    }

    /// A client keeps what has begun, for some lines pause within a frame, but takes a whole frame
    /// behind it. For a unit, silence ends a frame, of whatever function.
    fn after_silence(&mut self) -> Option<Frame> {
        self.silent = false;
        if self.side == Side::Requests {
            let whole = self.take(self.buffer.len());
            self.clear();
            return whole;
        }
        let begins = |at: &usize| {
            let rest = self.buffer.get(*at..).unwrap_or_default();
            match length(self.side, rest) {
                Length::Bytes(end) => rest.get(..end).is_some_and(is_whole),
                Length::Open | Length::Unknown => false,
            }
        };
        let at = (1..self.buffer.len()).find(begins)?;
        self.skip(at);
        match length(self.side, &self.buffer) {
            Length::Bytes(end) => self.take(end),
            Length::Open | Length::Unknown => None,
        }
    }

    pub(super) const fn waiting(&self) -> usize {
        self.buffer.len()
    }

    pub(super) fn clear(&mut self) {
        self.buffer.clear();
        self.skipping = false;
        self.silent = false;
    }

    fn beginning(&self) -> Option<(u8, u8)> {
        match *self.buffer.as_slice() {
            [unit, function, ..] => Some((unit, function)),
            _ => None,
        }
    }

    /// The first `end` bytes as a frame when the checksum is right.
    fn take(&mut self, end: usize) -> Option<Frame> {
        let whole = self.buffer.get(..end).filter(|bytes| is_whole(bytes))?;
        let [unit, pdu @ .., _, _] = whole else {
            return None;
        };
        let frame = Frame {
            id: 0,
            unit: *unit,
            pdu: pdu.to_vec(),
        };
        self.skip(end);
        self.skipping = false;
        Some(frame)
    }

    fn skip(&mut self, bytes: usize) {
        self.buffer.drain(..bytes.min(self.buffer.len()));
    }
}

/// Whether the last two bytes are the checksum of those before.
fn is_whole(frame: &[u8]) -> bool {
    let checked = |(body, sum): (&[u8], &[u8; 2])| crc(body) == u16::from_le_bytes(*sum);
    frame.len() >= FRAME_BYTES_MIN && frame.split_last_chunk().is_some_and(checked)
}

fn length(side: Side, frame: &[u8]) -> Length {
    let found = match side {
        Side::Answers => answer_length(frame),
        Side::Requests => request_length(frame),
    };
    match found {
        Length::Bytes(bytes) if !(FRAME_BYTES_MIN..=FRAME_BYTES_MAX).contains(&bytes) => {
            Length::Unknown
        }
        found => found,
    }
}

fn answer_length(frame: &[u8]) -> Length {
    match *frame {
        [_, 0x80..=0xFF, ..] => Length::Bytes(5),
        [_, 5 | 6 | 15 | 16, ..] => Length::Bytes(8),
        [_, 22, ..] => Length::Bytes(10),
        [_, 1 | 2, 0, ..] => Length::Unknown,
        [_, 3 | 4 | 23, count, ..] if count == 0 || count % 2 == 1 => Length::Unknown,
        [_, 1..=4 | 23 | 0x11, count, ..] => Length::Bytes(usize::from(count) + 5),
        [_, 0x2B, 0x0E, _, _, _, _, count, ref objects @ ..] => identification(count, objects),
        [_, 0x2B, 0x0E, ..] | [_, 1..=4 | 23 | 0x11 | 0x2B] | [_] | [] => Length::Open,
        _ => Length::Unknown,
    }
}

/// The length of an answer with objects, each with a length of its own.
fn identification(count: u8, objects: &[u8]) -> Length {
    let mut rest = objects;
    for _ in 0..count {
        let [_, len, tail @ ..] = rest else {
            return Length::Open;
        };
        let Some(tail) = tail.get(usize::from(*len)..) else {
            return Length::Open;
        };
        rest = tail;
    }
    Length::Bytes(8 + objects.len() - rest.len() + 2)
}

fn request_length(frame: &[u8]) -> Length {
    match *frame {
        [_, 1..=6, ..] => Length::Bytes(8),
        [_, 0x11, ..] => Length::Bytes(4),
        [_, 22, ..] => Length::Bytes(10),
        [_, 0x2B, ..] => Length::Bytes(7),
        [_, 15 | 16, _, _, _, _, count, ..] => Length::Bytes(usize::from(count) + 9),
        [_, 23, _, _, _, _, _, _, _, _, count, ..] => Length::Bytes(usize::from(count) + 13),
        [_, 15 | 16 | 23, ..] | [_] | [] => Length::Open,
        _ => Length::Unknown,
    }
}

/// CRC-16 of Modbus (polynomial 0xA001 reflected, start 0xFFFF); low byte first on the wire.
fn crc(bytes: &[u8]) -> u16 {
    let step = |crc: u16, _: u8| {
        if crc & 1 == 1 {
            (crc >> 1) ^ 0xA001
        } else {
            crc >> 1
        }
    };
    bytes.iter().fold(0xFFFF, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), step)
    })
}
