//! The time series encoding of Facebook's Gorilla (Pelkonen et al., VLDB 2015), as its paper gives
//! it, to stand beside ours: difference of differences of the times, exclusive or of the values.
//! Never used outside the bench. Times are milliseconds here, which is kinder to it than ours.

/// Bits, highest first.
#[derive(Debug, Default)]
pub(crate) struct Bits {
    bytes: Vec<u8>,
    held: u128,
    count: u32,
}

impl Bits {
    fn put(&mut self, value: u64, width: u32) {
        let low = u128::from(value) & ((1 << width) - 1);
        self.held = self.held << width | low;
        self.count += width;
        while self.count >= 8 {
            self.count -= 8;
            let [low, ..] = (self.held >> self.count).to_le_bytes();
            self.bytes.push(low);
        }
    }
}

/// Bytes of one sensor's readings (time in milliseconds, value).
pub(crate) fn encode(readings: impl IntoIterator<Item = (i64, f64)>) -> Vec<u8> {
    let mut bits = Bits::default();
    let mut before: Option<(i64, i64, u64)> = None;
    let mut window = (64, 0);
    for (time, value) in readings {
        let value = value.to_bits();
        let Some((last_time, last_step, last_value)) = before else {
            bits.put(time.cast_unsigned(), 64);
            bits.put(value, 64);
            before = Some((time, 0, value));
            continue;
        };
        let step = time - last_time;
        put_time(&mut bits, step - last_step);
        put_value(&mut bits, value ^ last_value, &mut window);
        before = Some((time, step, value));
    }
    bits.put(0, 7);
    bits.bytes
}

fn put_time(bits: &mut Bits, change: i64) {
    let raw = change.cast_unsigned();
    match change {
        0 => bits.put(0, 1),
        -63..=64 => bits.put(0b10 << 7 | raw & 0x7F, 9),
        -255..=256 => bits.put(0b110 << 9 | raw & 0x1FF, 12),
        -2_047..=2_048 => bits.put(0b1110 << 12 | raw & 0xFFF, 16),
        _ => {
            bits.put(0b1111, 4);
            bits.put(raw, 32);
        }
    }
}

/// `window`: leading and trailing zeros of the last value that brought its own.
fn put_value(bits: &mut Bits, change: u64, window: &mut (u32, u32)) {
    if change == 0 {
        bits.put(0, 1);
        return;
    }
    let (leading, trailing) = (change.leading_zeros().min(31), change.trailing_zeros());
    if leading >= window.0 && trailing >= window.1 && window.0 < 64 {
        bits.put(0b10, 2);
    } else {
        *window = (leading, trailing);
        bits.put(0b11, 2);
        bits.put(u64::from(leading), 5);
        // 64 does not fit six bits and stands as 0.
        bits.put(u64::from(64 - leading - trailing) & 63, 6);
    }
    bits.put(change >> window.1, 64 - window.0 - window.1);
}

/// The same readings again, `count` of them; `None` when the bytes are too short.
pub(crate) fn decode(bytes: &[u8], count: usize) -> Option<Vec<(i64, f64)>> {
    let mut bits = BitReader { bytes, at: 0 };
    let mut time = bits.get(64)?.cast_signed();
    let mut value = bits.get(64)?;
    let (mut step, mut window) = (0, (0, 0));
    let mut readings = Vec::with_capacity(count);
    readings.push((time, f64::from_bits(value)));
    while readings.len() < count {
        step += get_time(&mut bits)?;
        time += step;
        if bits.get(1)? == 1 {
            if bits.get(1)? == 1 {
                let leading = u32::try_from(bits.get(5)?).ok()?;
                let meaningful = match u32::try_from(bits.get(6)?).ok()? {
                    0 => 64,
                    bits => bits,
                };
                window = (leading, 64_u32.checked_sub(leading + meaningful)?);
            }
            value ^= bits.get(64 - window.0 - window.1)? << window.1;
        }
        readings.push((time, f64::from_bits(value)));
    }
    Some(readings)
}

fn get_time(bits: &mut BitReader<'_>) -> Option<i64> {
    let mut ones = 0;
    while ones < 4 && bits.get(1)? == 1 {
        ones += 1;
    }
    let width = match ones {
        0 => return Some(0),
        1 => 7,
        2 => 9,
        3 => 12,
        _ => 32,
    };
    let raw = bits.get(width)?.cast_signed();
    // The ranges reach from -(half - 1) to half.
    let half = 1_i64 << (width - 1);
    Some(if raw > half { raw - 2 * half } else { raw })
}

struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl BitReader<'_> {
    fn get(&mut self, width: u32) -> Option<u64> {
        let rest = self.bytes.get(self.at / 8..)?;
        let word = match rest.first_chunk::<16>() {
            Some(word) => u128::from_be_bytes(*word),
            None => {
                rest.iter()
                    .take(16)
                    .fold((0_u128, 120_u32), |(word, shift), byte| {
                        (word | u128::from(*byte) << shift, shift.saturating_sub(8))
                    })
                    .0
            }
        };
        let skipped = u32::try_from(self.at % 8).ok()?;
        self.at += usize::try_from(width).ok()?;
        if width == 0 {
            return Some(0);
        }
        u64::try_from(word << skipped >> (128 - width)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        let times = [0, 1_000, 2_003, 3_000, 4_060, 9_000, 9_001, 1_000_000];
        let values = [20.5, 20.5, 20.6, -1.0, 0.0, f64::MAX, 3.25, 20.5];
        let readings: Vec<(i64, f64)> = times.into_iter().zip(values).collect();
        let bytes = encode(readings.iter().copied());
        assert_eq!(decode(&bytes, readings.len()), Some(readings));
        assert_eq!(decode(&bytes, 100), None);
    }
}
