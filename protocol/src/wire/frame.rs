//! One frame: `varint length | u16 type | u8 version | body` (PROTOCOL §1.1).
//! Never waits for bytes: what is not whole yet stays in the reader, bounded by one frame.

use super::WireError;
use crate::limits::FRAME_BYTES_MAX;

/// A message in its envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Type of the message.
    pub kind: u16,
    /// Version of the type.
    pub version: u8,
    /// Its body.
    pub body: Vec<u8>,
}

const HEAD_BYTES: usize = 3;

impl Frame {
    /// The bytes of this frame.
    pub fn encode(&self) -> Result<Vec<u8>, WireError> {
        let length = HEAD_BYTES + self.body.len();
        if length > FRAME_BYTES_MAX {
            return Err(WireError::OverLimit {
                what: "a frame",
                max: FRAME_BYTES_MAX,
            });
        }
        let mut bytes = Vec::with_capacity(length + 3);
        let mut rest = length;
        while rest >= 0x80 {
            bytes.push(low_bits(rest) | 0x80);
            rest >>= 7;
        }
        bytes.push(low_bits(rest));
        bytes.extend(self.kind.to_le_bytes());
        bytes.push(self.version);
        bytes.extend(&self.body);
        Ok(bytes)
    }
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "seven bits are left after the mask"
)]
const fn low_bits(value: usize) -> u8 {
    (value & 0x7F) as u8
}

/// Cuts a stream of bytes into frames.
#[derive(Debug, Default)]
pub struct FrameReader {
    buffer: Vec<u8>,
    used: usize,
}

impl FrameReader {
    /// Takes what came.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.used > 0 {
            self.buffer.drain(..self.used);
            self.used = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes that are here and belong to no frame that was taken out.
    pub fn waiting(&self) -> usize {
        self.buffer.len().saturating_sub(self.used)
    }

    /// The next whole frame. A length over the limit is refused before its bytes are awaited.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, WireError> {
        if self.waiting() == 0 {
            // A lane that has nothing to say keeps no buffer: a hub has tens of thousands of them.
            *self = Self::default();
        }
        let rest = self.buffer.get(self.used..).unwrap_or_default();
        let Some((length, head)) = length(rest)? else {
            return Ok(None);
        };
        let Some(frame) = rest.get(head..head + length) else {
            return Ok(None);
        };
        let (Some(kind), Some(version), Some(body)) = (
            frame.first_chunk::<2>(),
            frame.get(2),
            frame.get(HEAD_BYTES..),
        ) else {
            return Err(WireError::FrameTooShort { bytes: length });
        };
        let frame = Frame {
            kind: u16::from_le_bytes(*kind),
            version: *version,
            body: body.to_vec(),
        };
        self.used += head + length;
        Ok(Some(frame))
    }
}

/// The length at the start of `bytes` and how many bytes it takes; `None` when it is not whole.
fn length(bytes: &[u8]) -> Result<Option<(usize, usize)>, WireError> {
    let mut value: u64 = 0;
    for (at, byte) in bytes.iter().enumerate().take(4) {
        value |= u64::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            let length = usize::try_from(value).map_err(|_| WireError::BadLength)?;
            if length > FRAME_BYTES_MAX {
                return Err(WireError::FrameTooLong {
                    bytes: value,
                    max: FRAME_BYTES_MAX,
                });
            }
            if length < HEAD_BYTES {
                return Err(WireError::FrameTooShort { bytes: length });
            }
            return Ok(Some((length, at + 1)));
        }
    }
    if bytes.len() >= 4 {
        Err(WireError::BadLength)
    } else {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn frames_come_back_however_the_bytes_are_cut(
            bodies in prop::collection::vec((any::<u16>(), any::<u8>(), prop::collection::vec(any::<u8>(), 0..300)), 1..8),
            cut in 1_usize..50,
        ) {
            let frames: Vec<Frame> = bodies.into_iter().map(|(kind, version, body)| Frame { kind, version, body }).collect();
            let bytes: Vec<u8> = frames.iter().flat_map(|frame| frame.encode().unwrap()).collect();
            let mut reader = FrameReader::default();
            let mut got = Vec::new();
            for part in bytes.chunks(cut) {
                reader.push(part);
                while let Some(frame) = reader.next_frame().unwrap() {
                    got.push(frame);
                }
            }
            prop_assert_eq!(got, frames);
        }

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut reader = FrameReader::default();
            reader.push(&bytes);
            while let Ok(Some(_)) = reader.next_frame() {}
        }
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_its_bytes_come() {
        let mut reader = FrameReader::default();
        reader.push(&[0xFF, 0xFF, 0xFF, 0x7F]);
        assert!(matches!(
            reader.next_frame(),
            Err(WireError::FrameTooLong { .. })
        ));
        let mut reader = FrameReader::default();
        reader.push(&[0xFF, 0xFF, 0xFF, 0xFF]);
        assert_eq!(reader.next_frame(), Err(WireError::BadLength));
    }
}
