//! One lane as the receiver counts it: what is being committed, what is a piece of a frame.
//! Acknowledges in order and never ahead of a commit.

use super::super::SessionError;
use crate::limits::FRAME_BYTES_MAX;
use crate::wire::v1::PieceV1;
use crate::wire::{Frame, FrameReader, WireError};
use std::collections::VecDeque;

/// Counts the frames of a lane and puts pieces together.
#[derive(Debug, Default)]
pub(super) struct LaneState {
    /// Frames acknowledged.
    acked: u64,
    /// Frames after them, in order: whether each waits for a commit.
    waiting: VecDeque<bool>,
    /// Pieces of a frame that is not whole: at most one frame.
    pieces: FrameReader,
    pieces_bytes: usize,
}

impl LaneState {
    /// A frame was given to the store.
    pub(super) fn committing(&mut self) {
        self.waiting.push_back(true);
    }

    /// The store holds the oldest frame that was given to it: how many are acknowledged now.
    pub(super) fn committed(&mut self) -> u64 {
        if self.waiting.pop_front() == Some(true) {
            self.acked += 1;
        }
        self.drain();
        self.acked
    }

    /// A frame that needs no commit came: how many are acknowledged now, if that changed.
    pub(super) fn taken(&mut self) -> Option<u64> {
        self.waiting.push_back(false);
        let before = self.acked;
        self.drain();
        (self.acked > before).then_some(self.acked)
    }

    /// Adds a piece; the frame when it is whole.
    pub(super) fn piece(&mut self, piece: &PieceV1) -> Result<Option<Frame>, SessionError> {
        self.pieces_bytes += piece.bytes.len();
        // The length of a frame may take four bytes.
        if self.pieces_bytes > FRAME_BYTES_MAX + 4 {
            return Err(SessionError::Wire(WireError::OverLimit {
                what: "a frame in pieces",
                max: FRAME_BYTES_MAX,
            }));
        }
        self.pieces.push(&piece.bytes);
        if !piece.last {
            return Ok(None);
        }
        let bytes = std::mem::take(&mut self.pieces_bytes);
        let mut reader = std::mem::take(&mut self.pieces);
        let Some(frame) = reader.next_frame()? else {
            return Err(SessionError::Wire(WireError::FrameTooShort { bytes }));
        };
        if reader.next_frame()?.is_some() {
            return Err(SessionError::Wire(WireError::BadLength));
        }
        Ok(Some(frame))
    }

    fn drain(&mut self) {
        while self.waiting.front() == Some(&false) {
            self.waiting.pop_front();
            self.acked += 1;
        }
    }
}
