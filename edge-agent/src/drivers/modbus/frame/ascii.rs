//! Frames of Modbus ASCII: `:`, unit and message as hexadecimal digits, checksum, end of line. A `:`
//! always begins a frame, so that a broken one costs only itself. Never gives out a frame whose
//! checksum is wrong.

use super::{Frame, FrameError, push_bounded};
use data_encoding::HEXUPPER_PERMISSIVE;

/// Longest frame: `:`, 2 × (unit, message, checksum), end of line.
const FRAME_BYTES_MAX: usize = 513;
/// A frame, and the largest piece that is read at once.
const BUFFER_MAX: usize = 2_048;

#[derive(Debug, Default)]
pub(super) struct AsciiReader {
    buffer: Vec<u8>,
}

pub(super) fn encode(frame: &Frame) -> Vec<u8> {
    let mut body = vec![frame.unit];
    body.extend_from_slice(&frame.pdu);
    body.push(checksum(&body));
    format!(":{}\r\n", HEXUPPER_PERMISSIVE.encode(&body)).into_bytes()
}

impl AsciiReader {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        push_bounded(&mut self.buffer, bytes, BUFFER_MAX);
    }

    pub(super) fn next_frame(&mut self) -> Option<Result<Frame, FrameError>> {
        let place = |buffer: &[u8], wanted| buffer.iter().position(|byte| *byte == wanted);
        loop {
            let Some(start) = place(&self.buffer, b':') else {
                self.buffer.clear();
                return None;
            };
            self.buffer.drain(..start);
            let behind = self.buffer.get(1..).unwrap_or_default();
            let end = place(behind, b'\n');
            // A new beginning before the end: the frame before it was cut off.
            if let Some(again) = place(behind, b':').filter(|at| end.is_none_or(|end| *at < end)) {
                self.buffer.drain(..=again);
                continue;
            }
            let Some(end) = end else {
                if self.buffer.len() > FRAME_BYTES_MAX {
                    self.buffer.clear();
                }
                return None;
            };
            let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
            return Some(frame(&line));
        }
    }

    pub(super) const fn waiting(&self) -> usize {
        self.buffer.len()
    }

    pub(super) fn clear(&mut self) {
        self.buffer.clear();
    }
}

/// From a whole line, `:` to end of line.
fn frame(line: &[u8]) -> Result<Frame, FrameError> {
    let digits = line
        .strip_prefix(b":")
        .and_then(|line| line.strip_suffix(b"\n"))
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .filter(|digits| digits.len() <= FRAME_BYTES_MAX)
        .ok_or(FrameError::Text("it is a line that is too long"))?;
    let bytes = HEXUPPER_PERMISSIVE
        .decode(digits)
        .map_err(|_| FrameError::Text("it is no hexadecimal digits"))?;
    let [unit, pdu @ .., sum] = bytes.as_slice() else {
        return Err(FrameError::Text("it is too short"));
    };
    let Some(function) = pdu.first() else {
        return Err(FrameError::Text("it is too short"));
    };
    let body = bytes.get(..bytes.len() - 1).unwrap_or_default();
    if checksum(body) != *sum {
        return Err(FrameError::Checksum {
            unit: *unit,
            function: *function,
            len: line.len(),
        });
    }
    Ok(Frame {
        id: 0,
        unit: *unit,
        pdu: pdu.to_vec(),
    })
}

/// LRC: what is missing from the sum of the bytes to the next 256.
fn checksum(bytes: &[u8]) -> u8 {
    let sum = bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    sum.wrapping_neg()
}
