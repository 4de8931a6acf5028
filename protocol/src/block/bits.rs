//! Residuals near zero, in mini-blocks of 64, each bit-packed or Rice-coded, whichever is shorter.
//! Never aligned to bytes inside, only at the end.

use super::bytes::{Reader, unzigzag, zigzag};
use super::{BlockError, malformed};

/// Residuals that share one mode.
const MINI: usize = 64;
/// Modes 0 to 64 are bit-packed with that width, modes from here on are Rice codes.
const RICE_MODE: u8 = 65;
/// Largest Rice parameter.
const RICE_MAX: u8 = 62;
/// Longest unary part; this many one bits mean that the residual follows whole, in 64 bits.
const ESCAPE: u64 = 20;

/// How one mini-block is written.
#[derive(Clone, Copy, Debug)]
enum Mode {
    Packed(u8),
    Rice(u8),
}

pub(super) fn put(out: &mut Vec<u8>, residuals: &[i64]) {
    let mut writer = Writer {
        out,
        held: 0,
        bits: 0,
    };
    let codes: Vec<u64> = residuals.iter().map(|residual| zigzag(*residual)).collect();
    for mini in codes.chunks(MINI) {
        let mode = shortest(mini);
        writer.put(u64::from(mode_byte(mode)), 8);
        for code in mini {
            match mode {
                Mode::Packed(width) => writer.put(*code, width),
                Mode::Rice(low_bits) => put_rice(&mut writer, *code, low_bits),
            }
        }
    }
    writer.finish();
}

pub(super) fn get(reader: &mut Reader<'_>, count: usize) -> Result<Vec<i64>, BlockError> {
    let mut bits = BitReader {
        reader,
        held: 0,
        bits: 0,
    };
    let mut residuals = Vec::with_capacity(count);
    while residuals.len() < count {
        let byte = u8::try_from(bits.get(8)?).unwrap_or(u8::MAX);
        let mode = mode(byte).ok_or_else(|| malformed("unknown bit-pack mode"))?;
        for _ in 0..MINI.min(count - residuals.len()) {
            let code = match mode {
                Mode::Packed(width) => bits.get(width)?,
                Mode::Rice(low_bits) => get_rice(&mut bits, low_bits)?,
            };
            residuals.push(unzigzag(code));
        }
    }
    Ok(residuals)
}

const fn mode_byte(mode: Mode) -> u8 {
    match mode {
        Mode::Packed(width) => width,
        Mode::Rice(low_bits) => RICE_MODE + low_bits,
    }
}

fn mode(byte: u8) -> Option<Mode> {
    match byte.checked_sub(RICE_MODE) {
        None => Some(Mode::Packed(byte)),
        Some(low_bits) => (low_bits <= RICE_MAX).then_some(Mode::Rice(low_bits)),
    }
}

/// Bits that a number needs: 0 for 0, 64 for the largest.
fn width(code: u64) -> u8 {
    u8::try_from(u64::BITS - code.leading_zeros()).unwrap_or(64)
}

fn shortest(mini: &[u64]) -> Mode {
    let widest = mini.iter().copied().map(width).max().unwrap_or(0);
    let mut sorted = mini.to_vec();
    let middle = sorted.len() / 2;
    let (_, median, _) = sorted.select_nth_unstable(middle);
    // The best Rice parameter of a bell-shaped mini-block lies next to the width of its median.
    let near = width(*median);
    let rice = (near.saturating_sub(1)..=near + 1).filter(|low_bits| *low_bits <= RICE_MAX);
    let modes = rice.map(Mode::Rice).chain([Mode::Packed(widest)]);
    modes
        .min_by_key(|mode| cost_bits(mini, *mode))
        .unwrap_or(Mode::Packed(widest))
}

fn cost_bits(mini: &[u64], mode: Mode) -> u64 {
    let cost = |code: &u64| match mode {
        Mode::Packed(width) => u64::from(width),
        Mode::Rice(low_bits) if code >> low_bits < ESCAPE => {
            (code >> low_bits) + 1 + u64::from(low_bits)
        }
        Mode::Rice(_) => ESCAPE + 64,
    };
    mini.iter().map(cost).sum()
}

/// `code >> low_bits` one bits, a zero bit, the low bits; or the escape.
fn put_rice(writer: &mut Writer<'_>, code: u64, low_bits: u8) {
    let high = code >> low_bits;
    for _ in 0..high.min(ESCAPE) {
        writer.put(1, 1);
    }
    if high < ESCAPE {
        writer.put(0, 1);
        writer.put(code, low_bits);
    } else {
        writer.put(code, 64);
    }
}

fn get_rice(bits: &mut BitReader<'_, '_>, low_bits: u8) -> Result<u64, BlockError> {
    let mut high = 0;
    while high < ESCAPE && bits.get(1)? == 1 {
        high += 1;
    }
    if high == ESCAPE {
        return bits.get(64);
    }
    let low = bits.get(low_bits)?;
    let high = high << low_bits;
    if high >> low_bits >= ESCAPE {
        return Err(malformed("Rice code beyond 64 bits"));
    }
    Ok(high | low)
}

/// Bits into bytes, lowest bit first.
struct Writer<'a> {
    out: &'a mut Vec<u8>,
    held: u64,
    bits: u32,
}

impl Writer<'_> {
    /// The low `width` bits of `value`; up to 64.
    fn put(&mut self, value: u64, width: u8) {
        if width > 32 {
            self.put(value, 32);
            self.put(value >> 32, width - 32);
            return;
        }
        self.held |= (value & low_mask(width)) << self.bits;
        self.bits += u32::from(width);
        while self.bits >= 8 {
            let [low, ..] = self.held.to_le_bytes();
            self.out.push(low);
            self.held >>= 8;
            self.bits -= 8;
        }
    }

    fn finish(self) {
        if self.bits > 0 {
            let [low, ..] = self.held.to_le_bytes();
            self.out.push(low);
        }
    }
}

/// Bits out of bytes; takes a byte only when it is needed, so that what follows starts at the
/// next whole byte.
struct BitReader<'r, 'a> {
    reader: &'r mut Reader<'a>,
    held: u64,
    bits: u32,
}

impl BitReader<'_, '_> {
    fn get(&mut self, width: u8) -> Result<u64, BlockError> {
        if width > 32 {
            let low = self.get(32)?;
            return Ok(low | self.get(width - 32)? << 32);
        }
        while self.bits < u32::from(width) {
            self.held |= u64::from(self.reader.byte()?) << self.bits;
            self.bits += 8;
        }
        let value = self.held & low_mask(width);
        self.held >>= width;
        self.bits -= u32::from(width);
        Ok(value)
    }
}

/// `width` one bits; `width` is at most 32.
const fn low_mask(width: u8) -> u64 {
    (1 << width) - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_residual_comes_back(
            small in prop::collection::vec(-40_i64..40, 0..200),
            large in prop::collection::vec(any::<i64>(), 0..70),
        ) {
            let residuals: Vec<i64> = small.into_iter().chain(large).collect();
            let mut bytes = Vec::new();
            put(&mut bytes, &residuals);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(get(&mut reader, residuals.len()).unwrap(), residuals);
            prop_assert!(reader.end().is_ok());
        }
    }

    #[test]
    fn one_outlier_does_not_widen_its_mini_block() {
        let mut residuals = vec![1_i64; 64];
        residuals[20] = 1 << 40;
        let mut bytes = Vec::new();
        put(&mut bytes, &residuals);
        assert!(bytes.len() <= 64 * 3 / 8 + 13, "{} bytes", bytes.len());
    }
}
