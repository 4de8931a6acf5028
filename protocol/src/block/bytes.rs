//! The bytes that all layouts share: varints, zigzag, short floats, runs.
//! Never reads past the end and never allocates more than the caller's count.

use super::{BlockError, malformed};
use crate::reading::Raw;

/// Bytes still to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn byte(&mut self) -> Result<u8, BlockError> {
        let (first, rest) = self.rest.split_first().ok_or(BlockError::Truncated)?;
        self.rest = rest;
        Ok(*first)
    }

    /// What is left.
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// LEB128, at most ten bytes.
    pub(super) fn varint(&mut self) -> Result<u64, BlockError> {
        let mut value = 0_u64;
        for shift in (0..64_u32).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                return Err(malformed("number beyond 64 bits"));
            }
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(malformed("number beyond 64 bits"))
    }

    /// A varint that must fit 32 bits.
    pub(super) fn number(&mut self) -> Result<u32, BlockError> {
        u32::try_from(self.varint()?).map_err(|_| malformed("number beyond 32 bits"))
    }

    pub(super) fn zigzag(&mut self) -> Result<i64, BlockError> {
        self.varint().map(unzigzag)
    }

    /// Splits off the next `len` bytes.
    pub(super) fn section(&mut self, len: usize) -> Result<Self, BlockError> {
        let (section, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or(BlockError::Truncated)?;
        self.rest = rest;
        Ok(Self { rest: section })
    }

    /// Everything must have been read.
    pub(super) const fn end(&self) -> Result<(), BlockError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(BlockError::Malformed {
                what: "bytes left over",
            })
        }
    }

    /// `total` codes out of runs; see [`put_runs`].
    pub(super) fn runs(&mut self, total: usize, codes: &mut Vec<u8>) -> Result<(), BlockError> {
        codes.clear();
        codes.reserve(total);
        while codes.len() < total {
            let code = self.byte()?;
            let left = total - codes.len();
            let len = match usize::try_from(self.varint()?) {
                Ok(0) => left,
                Ok(len) if len <= left => len,
                _ => return Err(malformed("run past the end")),
            };
            codes.resize(codes.len() + len, code);
        }
        Ok(())
    }
}

pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        let [low, ..] = value.to_le_bytes();
        out.push(low | 0x80);
        value >>= 7;
    }
    let [low, ..] = value.to_le_bytes();
    out.push(low);
}

pub(super) fn put_zigzag(out: &mut Vec<u8>, value: i64) {
    put_varint(out, zigzag(value));
}

/// Small for numbers near zero on either side.
pub(super) const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

pub(super) const fn unzigzag(code: u64) -> i64 {
    (code >> 1).cast_signed() ^ -((code & 1).cast_signed())
}

/// Runs of equal codes: code, then length as a varint; length 0 stands for all that is left.
pub(super) fn put_runs(out: &mut Vec<u8>, codes: &[u8]) {
    let mut left = codes.len();
    for run in codes.chunk_by(|a, b| a == b) {
        left -= run.len();
        out.extend(run.first());
        put_varint(
            out,
            if left == 0 {
                0
            } else {
                u64::try_from(run.len()).unwrap_or(0)
            },
        );
    }
}

/// The values before, against which the next one is written. Starts at zero.
///
/// An integer is its zigzag distance from the integer before. A float is combined by exclusive or
/// with the float before, the bits then reversed: the zero low bits of a widened `f32` or of a
/// whole number become leading zeros, which a varint leaves out.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Previous {
    int: i64,
    float: u64,
}

impl Previous {
    pub(super) fn put(&mut self, out: &mut Vec<u8>, raw: Raw) {
        match raw {
            Raw::Int(value) => {
                put_zigzag(out, value.wrapping_sub(self.int));
                self.int = value;
            }
            Raw::Float(value) => {
                put_varint(out, (value.to_bits() ^ self.float).reverse_bits());
                self.float = value.to_bits();
            }
        }
    }

    pub(super) fn int(&mut self, reader: &mut Reader<'_>) -> Result<Raw, BlockError> {
        self.int = self.int.wrapping_add(reader.zigzag()?);
        Ok(Raw::Int(self.int))
    }

    pub(super) fn float(&mut self, reader: &mut Reader<'_>) -> Result<Raw, BlockError> {
        self.float ^= reader.varint()?.reverse_bits();
        Ok(Raw::Float(f64::from_bits(self.float)))
    }
}
