//! A file in place of a connection (PROTOCOL §8): what a box writes on a stick, and what the hub
//! writes back. Puts frames together, takes them apart and hashes them as they pass, a frame at a
//! time. Never touches a file or a key: who signs and who is trusted is the programs' business.

use crate::wire::v1::{EndV1, Message};
use crate::wire::{Frame, FrameReader, WireError};
use ring::digest::{Context, SHA256};
use thiserror::Error;

/// The first bytes of every such file; the version follows.
const MAGIC: [u8; 8] = *b"cfe-file";
const VERSION: u8 = 1;
/// Begins what is signed, so that no such signature can be taken for one of a certificate or of
/// a handshake.
const SIGNED: &[u8] = b"cfe-file/1 ";
/// Longest answer of the hub: a box holds it whole before it believes a word of it.
pub const ANSWER_BYTES_MAX: usize = 8 << 20;
/// Most streams that one file may offer: what the hub remembers of it for its answer.
pub const STREAMS_PER_FILE_MAX: usize = 65_536;

/// What is wrong with a file.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ExchangeError {
    /// The first bytes are others.
    #[error("this is neither a file of `edge-agent export` nor one of `cloud-hub import`")]
    Foreign,
    /// A newer program wrote it.
    #[error(
        "the file has format {version} and this program knows {VERSION} only; update this program"
    )]
    Newer {
        /// Format of the file.
        version: u8,
    },
    /// The end is not there.
    #[error("the file is cut: its end is missing; copy it again, and let the stick finish writing")]
    Cut,
    /// There is more behind the end.
    #[error(
        "the file was altered: something follows its end; copy it again from where it was made"
    )]
    Longer,
    /// Bytes that are no frame, or no message.
    #[error("the file was altered or damaged; copy it again from where it was made")]
    Damaged(#[from] WireError),
}

/// The end of a file: who wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// SHA-256 of all bytes before the End frame.
    pub hash: [u8; 32],
    /// The writer's certificate (DER).
    pub certificate: Vec<u8>,
    /// Its signature (ECDSA on P-256 with SHA-256, DER) over [`to_sign`].
    pub signature: Vec<u8>,
}

/// What the writer of a file with this hash signs.
pub fn to_sign(hash: &[u8; 32]) -> Vec<u8> {
    [SIGNED, hash].concat()
}

/// Makes a file, piece by piece.
pub struct Writer {
    digest: Context,
    bytes: u64,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer")
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

impl Writer {
    /// Begins a file: the writer and the first bytes.
    pub fn begin() -> (Self, Vec<u8>) {
        let mut head = MAGIC.to_vec();
        head.push(VERSION);
        let mut writer = Self {
            digest: Context::new(&SHA256),
            bytes: 0,
        };
        writer.count(&head);
        (writer, head)
    }

    /// The bytes of the next message.
    pub fn message(&mut self, message: &Message) -> Result<Vec<u8>, WireError> {
        let bytes = message.encode()?;
        self.count(&bytes);
        Ok(bytes)
    }

    /// Bytes so far.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// SHA-256 of all so far: what [`to_sign`] takes and what names the file.
    pub fn hash(&self) -> [u8; 32] {
        digest(&self.digest)
    }

    /// The last bytes.
    pub fn end(self, certificate: Vec<u8>, signature: Vec<u8>) -> Result<Vec<u8>, WireError> {
        let end = EndV1 {
            certificate,
            signature,
        };
        Message::End(end).encode()
    }

    fn count(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
        self.bytes = self
            .bytes
            .saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    }
}

/// A part of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A message in its frame. Nothing is proven of it before the seal was checked.
    Frame(Frame),
    /// The end. Nothing may follow.
    End(Seal),
}

/// Takes a file apart, however it is cut into pieces.
pub struct Reader {
    head: Vec<u8>,
    frames: FrameReader,
    digest: Context,
    ended: bool,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            head: Vec::new(),
            frames: FrameReader::default(),
            digest: Context::new(&SHA256),
            ended: false,
        }
    }
}

impl Reader {
    /// Takes the next bytes. Take the parts out before the next ones: what waits is not bounded
    /// here.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), ExchangeError> {
        let missing = MAGIC.len() + 1 - self.head.len();
        let (head, rest) = bytes.split_at(missing.min(bytes.len()));
        self.head.extend_from_slice(head);
        self.digest.update(head);
        match self.head.split_at_checked(MAGIC.len()) {
            None if !MAGIC.starts_with(&self.head) => return Err(ExchangeError::Foreign),
            Some((magic, _)) if magic != MAGIC => return Err(ExchangeError::Foreign),
            Some((_, [version])) if *version != VERSION => {
                return Err(ExchangeError::Newer { version: *version });
            }
            _ => {}
        }
        if self.ended && !bytes.is_empty() {
            return Err(ExchangeError::Longer);
        }
        self.frames.push(rest);
        Ok(())
    }

    /// The next whole part, if there is one.
    pub fn next_part(&mut self) -> Result<Option<Part>, ExchangeError> {
        if self.ended {
            return Ok(None);
        }
        let Some(frame) = self.frames.next_frame()? else {
            return Ok(None);
        };
        if frame.kind == EndV1::KIND
            && let Message::End(end) = Message::decode(&frame)?
        {
            self.ended = true;
            if self.frames.waiting() > 0 {
                return Err(ExchangeError::Longer);
            }
            return Ok(Some(Part::End(Seal {
                hash: digest(&self.digest),
                certificate: end.certificate,
                signature: end.signature,
            })));
        }
        // As it is written, not as it came: a length written otherwise changes the hash.
        self.digest.update(&frame.encode()?);
        Ok(Some(Part::Frame(frame)))
    }

    /// Whether the file is whole: call it when there are no more bytes.
    pub fn finish(&self) -> Result<(), ExchangeError> {
        if self.ended {
            Ok(())
        } else if self.head.is_empty() {
            Err(ExchangeError::Foreign)
        } else {
            Err(ExchangeError::Cut)
        }
    }
}

fn digest(so_far: &Context) -> [u8; 32] {
    let mut hash = [0; 32];
    let digest = so_far.clone().finish();
    for (to, from) in hash.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::v1::{ExportV1, LeftV1};
    use proptest::prelude::*;

    fn file() -> (Vec<u8>, [u8; 32]) {
        let (mut writer, mut bytes) = Writer::begin();
        for message in [
            Message::Export(ExportV1 { number: 3 }),
            Message::Left(LeftV1 {
                events: 5,
                polls: 900,
            }),
        ] {
            bytes.extend(writer.message(&message).unwrap());
        }
        assert_eq!(writer.bytes(), u64::try_from(bytes.len()).unwrap());
        let hash = writer.hash();
        bytes.extend(writer.end(vec![1, 2], vec![3]).unwrap());
        (bytes, hash)
    }

    fn read(bytes: &[u8], cut: usize) -> Result<(usize, Option<Seal>), ExchangeError> {
        let mut reader = Reader::default();
        let (mut frames, mut seal) = (0, None);
        for piece in bytes.chunks(cut) {
            reader.push(piece)?;
            while let Some(part) = reader.next_part()? {
                match part {
                    Part::Frame(_) => frames += 1,
                    Part::End(end) => seal = Some(end),
                }
            }
        }
        reader.finish()?;
        Ok((frames, seal))
    }

    #[test]
    fn a_file_comes_back_however_it_is_cut_into_pieces() {
        let (bytes, hash) = file();
        for cut in 1..bytes.len() {
            let (frames, seal) = read(&bytes, cut).unwrap();
            let seal = seal.unwrap();
            assert_eq!((frames, seal.hash), (2, hash), "{cut}");
            assert_eq!((seal.certificate, seal.signature), (vec![1, 2], vec![3]));
        }
    }

    #[test]
    fn a_file_that_is_cut_longer_newer_or_foreign_is_told_apart() {
        let (bytes, _) = file();
        for end in 1..bytes.len() {
            assert_eq!(read(&bytes[..end], 7), Err(ExchangeError::Cut), "{end}");
        }
        assert_eq!(read(&[], 7), Err(ExchangeError::Foreign));
        for more in [&[0][..], &bytes] {
            let longer = [&bytes, more].concat();
            for cut in [1, bytes.len(), longer.len()] {
                assert_eq!(read(&longer, cut), Err(ExchangeError::Longer), "{cut}");
            }
        }
        let mut newer = bytes.clone();
        newer[8] = 2;
        assert_eq!(read(&newer, 3), Err(ExchangeError::Newer { version: 2 }));
        assert_eq!(read(b"%PDF-1.7 and so on", 3), Err(ExchangeError::Foreign));
    }

    proptest! {
        /// No change of a byte leaves a file that reads as the same one.
        #[test]
        fn a_changed_byte_changes_the_hash_or_is_an_error(at in any::<prop::sample::Index>(), bits in 1_u8..) {
            let (mut bytes, hash) = file();
            let signed = bytes.len() - 9;
            let at = at.index(signed);
            bytes[at] ^= bits;
            if let Ok((_, Some(seal))) = read(&bytes, 16) {
                prop_assert_ne!(seal.hash, hash);
            }
        }
    }
}
