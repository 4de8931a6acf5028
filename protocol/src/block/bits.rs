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
const ESCAPE_BITS: u32 = 20;

/// How one mini-block is written.
#[derive(Clone, Copy, Debug)]
enum Mode {
    Packed(u8),
    Rice(u8),
}

/// Residuals ready to be written, and how long they will be.
#[derive(Debug)]
pub(super) struct Packed {
    codes: Vec<u64>,
    /// One per mini-block.
    modes: Vec<Mode>,
    bits: u64,
}

impl Packed {
    /// Chooses how to write the distances of `values` from `centre`; `None` as soon as that takes
    /// more than `bytes_max`.
    pub(super) fn plan(values: &[i64], centre: i64, bytes_max: usize) -> Option<Self> {
        let bits_max = u64::try_from(bytes_max).ok()?.saturating_mul(8);
        let residuals = values.iter().map(|value| value.wrapping_sub(centre));
        let mut packed = Self {
            codes: residuals.map(zigzag).collect(),
            modes: Vec::with_capacity(values.len().div_ceil(MINI)),
            bits: 0,
        };
        for mini in packed.codes.chunks(MINI) {
            let (mode, bits) = shortest(mini);
            packed.modes.push(mode);
            packed.bits += 8 + bits;
            if packed.bits > bits_max {
                return None;
            }
        }
        Some(packed)
    }

    /// Whole bytes that `put` will write.
    pub(super) fn bytes(&self) -> usize {
        usize::try_from(self.bits.div_ceil(8)).unwrap_or(usize::MAX)
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.reserve(self.bytes());
        let mut writer = Writer::new(out);
        for (mini, mode) in self.codes.chunks(MINI).zip(&self.modes) {
            writer.put(u64::from(mode_byte(*mode)), 8);
            match *mode {
                Mode::Packed(width) => {
                    for code in mini {
                        writer.put(*code, u32::from(width));
                    }
                }
                Mode::Rice(low_bits) => {
                    for code in mini {
                        put_rice(&mut writer, *code, u32::from(low_bits));
                    }
                }
            }
        }
        writer.finish();
    }
}

/// Replaces `residuals` by the next `count`.
pub(super) fn get(
    reader: &mut Reader<'_>,
    count: usize,
    residuals: &mut Vec<i64>,
) -> Result<(), BlockError> {
    residuals.clear();
    residuals.reserve(count);
    let mut bits = BitReader::new(reader.rest());
    while residuals.len() < count {
        let byte = u8::try_from(bits.get(8)).unwrap_or(u8::MAX);
        let mode = mode(byte).ok_or_else(|| malformed("unknown bit-pack mode"))?;
        let mini = 0..MINI.min(count - residuals.len());
        match mode {
            Mode::Packed(0) => residuals.resize(residuals.len() + mini.len(), 0),
            Mode::Packed(width) if width <= 32 => {
                residuals.extend(mini.map(|_| unzigzag(bits.get_short(u32::from(width)))));
            }
            Mode::Packed(width) => {
                residuals.extend(mini.map(|_| unzigzag(bits.get(u32::from(width)))));
            }
            Mode::Rice(low_bits) if low_bits <= 32 => {
                residuals.extend(mini.map(|_| unzigzag(get_rice(&mut bits, u32::from(low_bits)))));
            }
            Mode::Rice(low_bits) => {
                for _ in mini {
                    residuals.push(unzigzag(get_long_rice(&mut bits, u32::from(low_bits))?));
                }
            }
        }
        bits.check()?;
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

/// The shortest mode and its bits.
fn shortest(mini: &[u64]) -> (Mode, u64) {
    let widest = width(mini.iter().fold(0, |all, code| all | code));
    let count = u64::try_from(mini.len()).unwrap_or(0);
    let packed = (Mode::Packed(widest), u64::from(widest) * count);
    let low_bits = best_rice(mini, RICE_MAX);
    let rice = rice_bits(mini, low_bits, widest);
    if rice < packed.1 {
        (Mode::Rice(low_bits), rice)
    } else {
        packed
    }
}

/// The best Rice parameter up to `most`. That of bell-shaped numbers lies next to the width of
/// their median.
pub(super) fn best_rice(mini: &[u64], most: u8) -> u8 {
    let widest = width(mini.iter().fold(0, |all, code| all | code));
    let near = middle_width(mini);
    let around = near.saturating_sub(1).min(most)..=(near + 1).min(most);
    around
        .min_by_key(|low_bits| rice_bits(mini, *low_bits, widest))
        .unwrap_or(0)
}

/// Width of the median.
fn middle_width(mini: &[u64]) -> u8 {
    let mut counts = [0_usize; 65];
    for code in mini {
        if let Some(count) = counts.get_mut(usize::from(width(*code))) {
            *count += 1;
        }
    }
    let mut below = 0;
    let reached = |count: &usize| {
        below += count;
        below > mini.len() / 2
    };
    let at = counts.iter().position(reached);
    at.and_then(|at| u8::try_from(at).ok()).unwrap_or(0)
}

/// Bits of a mini-block in Rice codes; `widest` is the width of its largest number.
fn rice_bits(mini: &[u64], low_bits: u8, widest: u8) -> u64 {
    let each = u64::from(low_bits) + 1;
    // With at most four bits above the low ones it is below 16, so nothing escapes.
    if widest <= low_bits + 4 {
        let high: u64 = mini.iter().map(|code| code >> low_bits).sum();
        return high + each * u64::try_from(mini.len()).unwrap_or(0);
    }
    let bits = mini.iter().map(|code| match code >> low_bits {
        high if high < ESCAPE => high + each,
        _ => ESCAPE + 64,
    });
    bits.sum()
}

/// `code >> low_bits` one bits, a zero bit, the low bits; or the escape.
pub(super) fn put_rice(writer: &mut Writer<'_>, code: u64, low_bits: u32) {
    let high = code >> low_bits;
    if let Ok(ones) = u32::try_from(high)
        && high < ESCAPE
    {
        writer.put(low_mask(ones), ones + 1);
        writer.put(code, low_bits);
    } else {
        writer.put(low_mask(ESCAPE_BITS), ESCAPE_BITS);
        writer.put(code, 64);
    }
}

/// Reads what `put_rice` wrote with at most 32 low bits: with at most 20 ones before them all is in
/// one window.
#[inline]
pub(super) fn get_rice(bits: &mut BitReader<'_>, low_bits: u32) -> u64 {
    let window = bits.window();
    let ones = window.trailing_ones();
    if ones >= ESCAPE_BITS {
        bits.skip(ESCAPE_BITS);
        return bits.get(64);
    }
    bits.skip(ones + 1 + low_bits);
    u64::from(ones) << low_bits | (window >> (ones + 1)) & low_mask(low_bits)
}

/// The same with more low bits.
fn get_long_rice(bits: &mut BitReader<'_>, low_bits: u32) -> Result<u64, BlockError> {
    let ones = bits.window().trailing_ones().min(ESCAPE_BITS);
    bits.skip(ones);
    if ones == ESCAPE_BITS {
        return Ok(bits.get(64));
    }
    bits.skip(1);
    let low = bits.get(low_bits);
    let high = u64::from(ones) << low_bits;
    if high >> low_bits != u64::from(ones) {
        return Err(malformed("Rice code beyond 64 bits"));
    }
    Ok(high | low)
}

/// Bits into bytes, lowest bit first.
pub(super) struct Writer<'a> {
    out: &'a mut Vec<u8>,
    held: u64,
    /// Bits in `held`, less than 32 between two calls.
    bits: u32,
}

impl<'a> Writer<'a> {
    pub(super) const fn new(out: &'a mut Vec<u8>) -> Self {
        Self {
            out,
            held: 0,
            bits: 0,
        }
    }

    /// The low `width` bits of `value`; up to 64.
    pub(super) fn put(&mut self, value: u64, width: u32) {
        if width > 32 {
            self.put(value, 32);
            self.put(value >> 32, width - 32);
            return;
        }
        self.held |= (value & low_mask(width)) << self.bits;
        self.bits += width;
        if self.bits >= 32 {
            let [a, b, c, d, ..] = self.held.to_le_bytes();
            self.out.extend_from_slice(&[a, b, c, d]);
            self.held >>= 32;
            self.bits -= 32;
        }
    }

    /// Zeros up to a whole byte.
    pub(super) fn finish(self) {
        let used = usize::try_from(self.bits.div_ceil(8)).unwrap_or(0);
        self.out
            .extend(self.held.to_le_bytes().into_iter().take(used));
    }
}

/// Bits out of bytes, lowest bit first. Past the end there are zeros, so `check` has to be called
/// from time to time.
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    /// The next bit.
    at: usize,
}

impl<'a> BitReader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next 57 bits or more.
    #[inline]
    fn window(&self) -> u64 {
        let rest = self.bytes.get(self.at / 8..).unwrap_or_default();
        let word = match rest.first_chunk() {
            Some(word) => u64::from_le_bytes(*word),
            None => padded(rest),
        };
        word >> (self.at % 8)
    }

    /// The next `width` bits; up to 64.
    #[inline]
    pub(super) fn get(&mut self, width: u32) -> u64 {
        if width > 32 {
            let low = self.get_short(32);
            return low | self.get_short(width - 32) << 32;
        }
        self.get_short(width)
    }

    /// A number of at most 32 bits.
    pub(super) fn get_number(&mut self, width: u32) -> u32 {
        u32::try_from(self.get(width)).unwrap_or(u32::MAX)
    }

    /// The next `width` bits; up to 32.
    #[inline]
    fn get_short(&mut self, width: u32) -> u64 {
        let value = self.window() & low_mask(width);
        self.skip(width);
        value
    }

    #[inline]
    fn skip(&mut self, bits: u32) {
        self.at += usize::try_from(bits).unwrap_or(0);
    }

    /// Whole bytes up to the next bit.
    pub(super) const fn bytes_used(&self) -> usize {
        self.at.div_ceil(8)
    }

    /// Fails when more was read than there is.
    pub(super) const fn check(&self) -> Result<(), BlockError> {
        if self.bytes_used() > self.bytes.len() {
            return Err(BlockError::Truncated);
        }
        Ok(())
    }
}

/// Fewer than 8 bytes, zeros after them.
#[cold]
fn padded(rest: &[u8]) -> u64 {
    let bytes = rest.iter().rev();
    bytes.fold(0, |word, byte| word << 8 | u64::from(*byte))
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
            Packed::plan(&residuals, 0, usize::MAX).unwrap().put(&mut bytes);
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
        let packed = Packed::plan(&residuals, 0, usize::MAX).unwrap();
        packed.put(&mut bytes);
        assert_eq!(bytes.len(), packed.bytes());
        assert!(Packed::plan(&residuals, 0, bytes.len() - 1).is_none());
        assert!(bytes.len() <= 64 * 3 / 8 + 13, "{} bytes", bytes.len());
    }
}
