//! Frames of Modbus TCP: number, protocol 0, length, unit, message. Never looks for the next frame
//! behind a broken header: the connection has to be made anew.

use super::super::pdu::PDU_BYTES_MAX;
use super::{Frame, FrameError, push_bounded};

const HEADER_BYTES: usize = 7;
/// Some frames and the largest piece that is read at once.
const BUFFER_MAX: usize = 4_096;

#[derive(Debug, Default)]
pub(super) struct MbapReader {
    buffer: Vec<u8>,
}

pub(super) fn encode(frame: &Frame) -> Vec<u8> {
    let length = u16::try_from(frame.pdu.len() + 1).unwrap_or(u16::MAX);
    let mut out = Vec::with_capacity(HEADER_BYTES + frame.pdu.len());
    out.extend(frame.id.to_be_bytes());
    out.extend([0, 0]);
    out.extend(length.to_be_bytes());
    out.push(frame.unit);
    out.extend_from_slice(&frame.pdu);
    out
}

impl MbapReader {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        push_bounded(&mut self.buffer, bytes, BUFFER_MAX);
    }

    pub(super) fn next_frame(&mut self) -> Option<Result<Frame, FrameError>> {
        let head: [u8; HEADER_BYTES] = *self.buffer.first_chunk()?;
        let [
            id_high,
            id_low,
            protocol_high,
            protocol_low,
            high,
            low,
            unit,
        ] = head;
        if (protocol_high, protocol_low) != (0, 0) {
            return Some(Err(FrameError::Header(
                "it is not the header of Modbus TCP",
            )));
        }
        let length = usize::from(u16::from_be_bytes([high, low]));
        if !(2..=PDU_BYTES_MAX + 1).contains(&length) {
            let words = "its header names a length that no frame has";
            return Some(Err(FrameError::Header(words)));
        }
        let end = HEADER_BYTES + length - 1;
        let pdu = self.buffer.get(HEADER_BYTES..end)?.to_vec();
        self.buffer.drain(..end);
        Some(Ok(Frame {
            id: u16::from_be_bytes([id_high, id_low]),
            unit,
            pdu,
        }))
    }

    pub(super) const fn waiting(&self) -> usize {
        self.buffer.len()
    }

    pub(super) fn clear(&mut self) {
        self.buffer.clear();
    }
}
