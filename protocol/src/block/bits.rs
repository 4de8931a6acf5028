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
const ESCAPE_BITS: usize = 20;

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

/// Replaces `residuals` by the next `count`.
pub(super) fn get(
    reader: &mut Reader<'_>,
    count: usize,
    residuals: &mut Vec<i64>,
) -> Result<(), BlockError> {
    residuals.clear();
    residuals.reserve(count);
    let mut bits = BitReader {
        bytes: reader.rest(),
        at: 0,
    };
    while residuals.len() < count {
        let byte = u8::try_from(bits.get(8)).unwrap_or(u8::MAX);
        let mode = mode(byte).ok_or_else(|| malformed("unknown bit-pack mode"))?;
        let mini = 0..MINI.min(count - residuals.len());
        match mode {
            Mode::Packed(0) => residuals.resize(residuals.len() + mini.len(), 0),
            Mode::Packed(width) => {
                residuals.extend(mini.map(|_| unzigzag(bits.get(u32::from(width)))));
            }
            Mode::Rice(low_bits) => {
                for _ in mini {
                    residuals.push(unzigzag(get_rice(&mut bits, u32::from(low_bits))?));
                }
            }
        }
        // Past the end everything reads as 0: noticed here, after 64 numbers at most.
        if bits.bytes_used() > bits.bytes.len() {
            return Err(BlockError::Truncated);
        }
    }
    reader.section(bits.bytes_used())?;
    Ok(())
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

fn get_rice(bits: &mut BitReader<'_>, low_bits: u32) -> Result<u64, BlockError> {
    let high = u64::from(bits.window().trailing_ones());
    if high >= ESCAPE {
        bits.at += ESCAPE_BITS;
        return Ok(bits.get(64));
    }
    bits.at += usize::try_from(high).unwrap_or(0) + 1;
    let low = bits.get(low_bits);
    let shifted = high << low_bits;
    if shifted >> low_bits != high {
        return Err(malformed("Rice code beyond 64 bits"));
    }
    Ok(shifted | low)
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
        self.held |= (value & low_mask(u32::from(width))) << self.bits;
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

/// Bits out of bytes, lowest bit first. Past the end there are zeros: the caller checks where it
/// is from time to time.
struct BitReader<'a> {
    bytes: &'a [u8],
    /// The next bit.
    at: usize,
}

impl BitReader<'_> {
    /// The next 57 bits or more.
    fn window(&self) -> u64 {
        let rest = self.bytes.get(self.at / 8..).unwrap_or_default();
        let word = match rest.first_chunk() {
            Some(word) => u64::from_le_bytes(*word),
            None => rest
                .iter()
                .rev()
                .fold(0, |word, byte| word << 8 | u64::from(*byte)),
        };
        word >> (self.at % 8)
    }

    /// The next `width` bits; up to 64.
    fn get(&mut self, width: u32) -> u64 {
        if width > 32 {
            let low = self.get(32);
            return low | self.get(width - 32) << 32;
        }
        let value = self.window() & low_mask(width);
        self.at += usize::try_from(width).unwrap_or(0);
        value
    }

    /// Whole bytes up to the next bit.
    const fn bytes_used(&self) -> usize {
        self.at.div_ceil(8)
    }
}

/// `width` one bits; `width` is at most 32.
const fn low_mask(width: u32) -> u64 {
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
            let mut back = Vec::new();
            get(&mut reader, residuals.len(), &mut back).unwrap();
            prop_assert_eq!(back, residuals);
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
