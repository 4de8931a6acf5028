//! Values to registers, by type and byte order: the inverse of `decode`, for writing. Pure. Never
//! cuts or rounds off what does not fit: that is refused, in words.

use super::data_type::{DataType, Order};
use super::decode::Value;
use protocol::reading::Raw;

/// The registers, or the one bit of a table of bits, that hold `value`. Decoding them gives the
/// value back; a float of fewer bits is the nearest one. Of a type that is a part of a register
/// the rest is 0: see [`mask`].
pub fn encode(value: &Value, kind: DataType, order: Order) -> Result<Vec<u16>, EncodeError> {
    match (value, kind) {
        (Value::Text(text), _) if kind.is_text() => text_words(text, kind, order),
        (Value::Number(raw), _) if !kind.is_text() => {
            let bits = match kind {
                DataType::F16 | DataType::F32 | DataType::F64 => float_bits(*raw, kind)?,
                _ => whole_bits(*raw, kind)?,
            };
            Ok(split(bits, kind, order))
        }
        (Value::Text(text), _) => Err(EncodeError::NotANumber {
            text: text.clone(),
            kind,
        }),
        (Value::Number(_), _) => Err(EncodeError::NotAText { kind }),
    }
}

/// Which bits of its register a value of this type takes, as they stand on the wire. Where it is
/// not all of them, a register has to be written with the others as they are (function 22).
pub const fn mask(kind: DataType, order: Order) -> u16 {
    let bits: u16 = match kind {
        DataType::Bit(bit) => 1_u16.unbounded_shl(widened(bit)),
        DataType::U8Low | DataType::I8Low | DataType::TextLow(_) => 0x00FF,
        DataType::U8High | DataType::I8High | DataType::TextHigh(_) => 0xFF00,
        _ => 0xFFFF,
    };
    if order.swaps_bytes() {
        bits.swap_bytes()
    } else {
        bits
    }
}

impl Value {
    /// From what a person writes: `21.5`, `-3`, `0x1F4`, `true`; for a text type the text.
    pub fn parse(text: &str, kind: DataType) -> Result<Self, EncodeError> {
        if kind.is_text() {
            return Ok(Self::Text(text.to_owned()));
        }
        let error = || EncodeError::NotANumber {
            text: text.to_owned(),
            kind,
        };
        let trimmed = text.trim();
        let hexadecimal = trimmed
            .strip_prefix("0x")
            .or_else(|| trimmed.strip_prefix("0X"));
        let raw = match (trimmed, hexadecimal) {
            ("true" | "on", _) => Raw::Int(1),
            ("false" | "off", _) => Raw::Int(0),
            (_, Some(digits)) if digits.bytes().all(|digit| digit.is_ascii_hexdigit()) => {
                Raw::Int(i64::from_str_radix(digits, 16).map_err(|_| error())?)
            }
            (number, _) => match (number.parse::<i64>(), number.parse::<u64>()) {
                // Kept by its bits, as it comes from a device.
                (Ok(negative), _) if negative < 0 && kind == DataType::U64 => {
                    return Err(out_of_range(number.to_owned(), kind));
                }
                (Ok(number), _) => Raw::Int(number),
                (_, Ok(number)) if kind == DataType::U64 => Raw::Int(number.cast_signed()),
                _ => Raw::Float(number.parse().map_err(|_| error())?),
            },
        };
        Ok(Self::Number(raw))
    }
}

fn whole_bits(raw: Raw, kind: DataType) -> Result<u64, EncodeError> {
    let value = match raw {
        Raw::Int(value) => value,
        Raw::Float(value) => whole(value).ok_or(EncodeError::NotWhole { value, kind })?,
    };
    let Some((low, high)) = range(kind) else {
        return Ok(value.cast_unsigned());
    };
    if !(low..=high).contains(&value) {
        return Err(out_of_range(value.to_string(), kind));
    }
    let bits = value.cast_unsigned();
    Ok(match kind {
        DataType::Bit(bit) => bits << bit,
        DataType::U8High | DataType::I8High => (bits & 0xFF) << 8,
        DataType::U8Low | DataType::I8Low => bits & 0xFF,
        DataType::Bcd16 | DataType::Bcd32 => decimal(bits),
        _ => bits,
    })
}

fn float_bits(raw: Raw, kind: DataType) -> Result<u64, EncodeError> {
    let value = protocol::reading::to_f64(raw, kind.raw_kind());
    let bits = match kind {
        DataType::F64 => Some(value.to_bits()),
        DataType::F32 => single(value).map(u64::from),
        _ => half(value).map(u64::from),
    };
    let bits = bits.filter(|_| value.is_finite());
    bits.ok_or_else(|| out_of_range(value.to_string(), kind))
}

/// The nearest float of 32 bits; `None` where the value is beyond the largest.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "rounding to the nearest 32-bit float is what is wanted; too large becomes infinite"
)]
fn single(value: f64) -> Option<u32> {
    let single = value as f32;
    single.is_finite().then_some(single.to_bits())
}

/// The nearest float of 16 bits, an even one of two that are equally near; `None` where the value
/// is beyond the largest. Powers of two are exact in an `f64`, so that only one rounding happens.
fn half(value: f64) -> Option<u16> {
    let sign = if value.is_sign_negative() { 0x8000 } else { 0 };
    let size = value.abs();
    // The distance of two neighbours: 2^-24 near 0, and a 1,024th of the power of two below.
    let exponent = (1..=30)
        .rev()
        .find(|exponent| size >= 2_f64.powi(exponent - 15));
    let step = 2_f64.powi(exponent.unwrap_or(1) - 25);
    // Below the first power of two there is no hidden bit. A fraction that was rounded up to 1,024
    // carries into the exponent, as it must.
    let hidden = exponent.map_or(0, |exponent| (exponent - 1) * 1_024);
    let steps = i32::try_from(whole((size / step).round_ties_even())?).ok()?;
    let bits = u16::try_from(steps + hidden).ok()?;
    (bits < 0x7C00).then_some(bits | sign)
}

/// A float that is a whole number, as one.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::float_cmp,
    reason = "a whole number below 2^63 is exactly an i64"
)]
fn whole(value: f64) -> Option<i64> {
    let is_whole = value.trunc() == value && value.abs() < 2_f64.powi(63);
    is_whole.then_some(value as i64)
}

/// Lowest and highest integer of a type; `None` where all 64 bits count.
const fn range(kind: DataType) -> Option<(i64, i64)> {
    Some(match kind {
        DataType::U16 => (0, 0xFFFF),
        DataType::I16 => (-0x8000, 0x7FFF),
        DataType::U32 => (0, 0xFFFF_FFFF),
        DataType::I32 => (-0x8000_0000, 0x7FFF_FFFF),
        DataType::Bool | DataType::Bit(_) => (0, 1),
        DataType::U8Low | DataType::U8High => (0, 0xFF),
        DataType::I8Low | DataType::I8High => (-0x80, 0x7F),
        DataType::Bcd16 => (0, 9_999),
        DataType::Bcd32 => (0, 99_999_999),
        _ => return None,
    })
}

/// The decimal digits in four bits each.
fn decimal(value: u64) -> u64 {
    let mut rest = value;
    let mut bits = 0;
    for at in 0..8 {
        bits |= (rest % 10) << (4 * at);
        rest /= 10;
    }
    bits
}

/// Registers in the order of the wire, from bits, highest first.
fn split(bits: u64, kind: DataType, order: Order) -> Vec<u16> {
    let [b7, b6, b5, b4, b3, b2, b1, b0] = bits.to_be_bytes();
    let all = [[b7, b6], [b5, b4], [b3, b2], [b1, b0]];
    let turned = |pair| {
        if order.swaps_bytes() {
            u16::from_le_bytes(pair)
        } else {
            u16::from_be_bytes(pair)
        }
    };
    let count = usize::from(kind.words()).min(all.len());
    let mut words: Vec<u16> = all.into_iter().map(turned).collect();
    words.drain(..all.len() - count);
    if order.swaps_words() {
        words.reverse();
    }
    words
}

fn text_words(text: &str, kind: DataType, order: Order) -> Result<Vec<u16>, EncodeError> {
    let (DataType::Text(room) | DataType::TextLow(room) | DataType::TextHigh(room)) = kind else {
        return Err(EncodeError::NotAText { kind });
    };
    if text.len() > usize::from(room) {
        let bytes = text.len();
        return Err(EncodeError::TooLong { bytes, kind });
    }
    let unfit = |c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER;
    if text.contains(unfit) || text.ends_with(' ') {
        return Err(EncodeError::NotReadBack { kind });
    }
    let pairs: Vec<[u8; 2]> = match kind {
        DataType::TextLow(_) => text.bytes().map(|byte| [0, byte]).collect(),
        DataType::TextHigh(_) => text.bytes().map(|byte| [byte, 0]).collect(),
        _ => {
            let mut bytes = text.bytes();
            let mut pair = || Some([bytes.next()?, bytes.next().unwrap_or_default()]);
            std::iter::from_fn(&mut pair).collect()
        }
    };
    let mut words: Vec<u16> = pairs.into_iter().map(u16::from_be_bytes).collect();
    words.resize(kind.words().into(), 0);
    if order.swaps_bytes() {
        for word in &mut words {
            *word = word.swap_bytes();
        }
    }
    Ok(words)
}

fn out_of_range(value: String, kind: DataType) -> EncodeError {
    let (low, high) = match (kind, range(kind)) {
        (_, Some((low, high))) => (low.to_string(), high.to_string()),
        (DataType::F16, _) => ("-65504".to_owned(), "65504".to_owned()),
        (DataType::F32, _) => (f32::MIN.to_string(), f32::MAX.to_string()),
        (DataType::F64, _) => (f64::MIN.to_string(), f64::MAX.to_string()),
        (DataType::U64, _) => ("0".to_owned(), u64::MAX.to_string()),
        _ => (i64::MIN.to_string(), i64::MAX.to_string()),
    };
    EncodeError::OutOfRange {
        value,
        kind,
        low,
        high,
    }
}

#[expect(
    clippy::as_conversions,
    reason = "widened without loss; `u32::from` is not const"
)]
const fn widened(bit: u8) -> u32 {
    bit as u32
}

/// Why a value cannot be written as a type.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum EncodeError {
    /// A text where a number is needed.
    #[error("\"{text}\" is not a number, and {kind} is one; write for example 25")]
    NotANumber {
        /// As given.
        text: String,
        /// As configured.
        kind: DataType,
    },
    /// A number where a text is needed.
    #[error("{kind} is a text, not a number")]
    NotAText {
        /// As configured.
        kind: DataType,
    },
    /// A broken number for a type of whole numbers.
    #[error("{value} is not a whole number, and {kind} holds no other")]
    NotWhole {
        /// As given.
        value: f64,
        /// As configured.
        kind: DataType,
    },
    /// The type does not hold it.
    #[error("{value} does not fit into {kind}; write {low} to {high}")]
    OutOfRange {
        /// As given.
        value: String,
        /// As configured.
        kind: DataType,
        /// Lowest that fits.
        low: String,
        /// Highest that fits.
        high: String,
    },
    /// More bytes than the type has.
    #[error("the text has {bytes} bytes and {kind} has room for fewer; shorten it")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// As configured.
        kind: DataType,
    },
    /// Would be another text when it is read.
    #[error("{kind} holds no control characters, no U+FFFD and no blank at the end; remove them")]
    NotReadBack {
        /// As configured.
        kind: DataType,
    },
}

#[cfg(test)]
mod tests {
    use super::super::decode::decode;
    use super::*;
    use proptest::prelude::*;

    const WHOLE: [DataType; 14] = [
        DataType::U16,
        DataType::I16,
        DataType::U32,
        DataType::I32,
        DataType::U64,
        DataType::I64,
        DataType::Bool,
        DataType::Bit(11),
        DataType::U8Low,
        DataType::U8High,
        DataType::I8Low,
        DataType::I8High,
        DataType::Bcd16,
        DataType::Bcd32,
    ];

    fn orders() -> impl Strategy<Value = Order> {
        prop::sample::select(Order::ALL.to_vec())
    }

    fn kinds() -> impl Strategy<Value = DataType> {
        let floats = [DataType::F16, DataType::F32, DataType::F64];
        prop::sample::select([&WHOLE[..], &floats].concat())
    }

    /// Integers of every size, most of them near the ends of some type.
    fn integers() -> impl Strategy<Value = i64> {
        let ends = prop::sample::select(vec![
            0_i64,
            1,
            0x7F,
            0xFF,
            9_999,
            0x7FFF,
            0xFFFF,
            99_999_999,
            0x7FFF_FFFF,
            0xFFFF_FFFF,
        ]);
        let near = (ends, -2_i64..=2, any::<bool>())
            .prop_map(|(end, by, negative)| if negative { -end - by } else { end + by });
        prop_oneof![near, any::<i64>()]
    }

    proptest! {
        /// What is written is read back, and what would not be is refused: of every type in every
        /// order, judged by numbers that are wide enough for all.
        #[test]
        fn a_whole_number_is_read_back_or_refused(
            value in integers(),
            kind in prop::sample::select(WHOLE.to_vec()),
            order in orders(),
        ) {
            let fits = match kind {
                DataType::U16 => u16::try_from(value).is_ok(),
                DataType::I16 => i16::try_from(value).is_ok(),
                DataType::U32 => u32::try_from(value).is_ok(),
                DataType::I32 => i32::try_from(value).is_ok(),
                DataType::Bool | DataType::Bit(_) => value == 0 || value == 1,
                DataType::U8Low | DataType::U8High => u8::try_from(value).is_ok(),
                DataType::I8Low | DataType::I8High => i8::try_from(value).is_ok(),
                DataType::Bcd16 => (0..10_000).contains(&value),
                DataType::Bcd32 => (0..100_000_000).contains(&value),
                _ => true,
            };
            let given = Value::Number(Raw::Int(value));
            match encode(&given, kind, order) {
                Ok(words) => {
                    prop_assert!(fits);
                    prop_assert_eq!(words.len(), usize::from(kind.words()));
                    prop_assert_eq!(decode(&words, kind, order), Ok(given));
                    let outside = !mask(kind, order);
                    prop_assert!(words.iter().all(|word| word & outside == 0));
                }
                Err(error) => {
                    prop_assert!(!fits);
                    let told = format!("does not fit into {kind}");
                    prop_assert!(error.to_string().contains(&told));
                }
            }
        }

        /// Whatever a device holds, writing what was read from it changes nothing but what is
        /// beside the value in the register.
        #[test]
        fn what_was_read_is_written_as_it_was(
            words in prop::collection::vec(any::<u16>(), 4..5),
            kind in kinds(),
            order in orders(),
        ) {
            let Ok(value) = decode(&words, kind, order) else { return Ok(()) };
            let finite = !matches!(value, Value::Number(Raw::Float(float)) if !float.is_finite());
            match encode(&value, kind, order) {
                Ok(written) => {
                    prop_assert!(finite);
                    if kind != DataType::Bool {
                        let held = words.iter().map(|word| word & mask(kind, order));
                        prop_assert!(written.iter().copied().eq(held.take(written.len())));
                    }
                    prop_assert_eq!(decode(&written, kind, order), Ok(value));
                }
                Err(_) => prop_assert!(!finite),
            }
        }

        /// Of a float of fewer bits no other is nearer.
        #[test]
        fn a_float_is_the_nearest_one(value in -70_000.0..70_000.0_f64, order in orders()) {
            let given = Value::Number(Raw::Float(value));
            let read = |kind| match encode(&given, kind, order).map(|words| decode(&words, kind, order)) {
                Ok(Ok(Value::Number(Raw::Float(read)))) => Some(read),
                _ => None,
            };
            prop_assert_eq!(read(DataType::F64), Some(value));
            prop_assert!((read(DataType::F32).unwrap() - value).abs() <= value.abs() * 6e-8);
            match read(DataType::F16) {
                Some(half) => prop_assert!((half - value).abs() <= (value.abs() / 2_048.0).max(3e-8)),
                None => prop_assert!(value.abs() >= 65_504.0),
            }
        }

        #[test]
        fn a_text_is_read_back_or_refused(
            text in "\\PC{0,40}",
            room in 1_u8..=64,
            order in orders(),
        ) {
            for kind in [DataType::Text(room), DataType::TextLow(room), DataType::TextHigh(room)] {
                let given = Value::Text(text.clone());
                match encode(&given, kind, order) {
                    Ok(words) => {
                        prop_assert_eq!(words.len(), usize::from(kind.words()));
                        prop_assert_eq!(decode(&words, kind, order), Ok(given));
                    }
                    Err(error) => {
                        let why = text.len() > usize::from(room)
                            || text.ends_with(' ')
                            || text.contains(char::REPLACEMENT_CHARACTER);
                        prop_assert!(why, "{error}");
                    }
                }
            }
        }
    }

    /// Not at random: each type in each order, so that none is left out by chance.
    #[test]
    fn every_type_in_every_order_is_read_back() {
        const EACH: usize = 500;
        let texts = [
            DataType::Text(7),
            DataType::TextLow(7),
            DataType::TextHigh(7),
        ];
        let floats = [DataType::F16, DataType::F32, DataType::F64];
        let kinds = [&WHOLE[..], &floats, &texts].concat();
        let mut seed = 1_u64;
        let mut random = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            u16::try_from(seed >> 48).unwrap()
        };
        for (kind, order) in kinds
            .iter()
            .flat_map(|kind| Order::ALL.map(|order| (*kind, order)))
        {
            let mut values = 0;
            while values < EACH {
                // Registers of a device, until they hold a value of the type.
                let words: Vec<u16> = (0..kind.words())
                    .map(|_| match kind {
                        DataType::Bcd16 | DataType::Bcd32 => random() & 0x7777,
                        kind if kind.is_text() => random() & 0x1F1F | 0x4141,
                        _ => random(),
                    })
                    .collect();
                let value = decode(&words, kind, order).unwrap();
                if matches!(value, Value::Number(Raw::Float(float)) if !float.is_finite()) {
                    continue;
                }
                let written = encode(&value, kind, order).unwrap();
                assert_eq!(decode(&written, kind, order), Ok(value), "{kind} {order}");
                values += 1;
            }
        }
        let pairs = kinds.len() * Order::ALL.len();
        println!(
            "measured: {} types x {} orders, {} values written as they were read, all read back",
            kinds.len(),
            Order::ALL.len(),
            pairs * EACH
        );
    }

    #[test]
    fn what_people_write_is_understood_or_refused_in_words() {
        let words = |text, kind| {
            Value::parse(text, kind).and_then(|value| encode(&value, kind, Order::Abcd))
        };
        assert_eq!(words("25", DataType::U16), Ok(vec![25]));
        assert_eq!(words("25.0", DataType::U16), Ok(vec![25]));
        assert_eq!(words("0x1F4", DataType::U16), Ok(vec![500]));
        assert_eq!(words("-1", DataType::I32), Ok(vec![0xFFFF, 0xFFFF]));
        assert_eq!(words("true", DataType::Bool), Ok(vec![1]));
        assert_eq!(words("1234", DataType::Bcd16), Ok(vec![0x1234]));
        assert_eq!(words("1.5", DataType::F32), Ok(vec![0x3FC0, 0]));
        assert_eq!(words("1.5", DataType::F16), Ok(vec![0x3E00]));
        assert_eq!(words("AB", DataType::Text(4)), Ok(vec![0x4142, 0]));
        let most = u64::MAX.to_string();
        assert_eq!(words(&most, DataType::U64), Ok(vec![0xFFFF; 4]));
        for (text, kind, told) in [
            ("65536", DataType::U16, "write 0 to 65535"),
            ("-1", DataType::U64, "write 0 to 18446744073709551615"),
            ("1.5", DataType::I16, "not a whole number"),
            ("1e39", DataType::F32, "does not fit into f32"),
            ("65520", DataType::F16, "write -65504 to 65504"),
            ("inf", DataType::F64, "does not fit into f64"),
            ("warm", DataType::F32, "\"warm\" is not a number"),
            ("2", DataType::Bit(3), "write 0 to 1"),
            ("ABCDE", DataType::Text(4), "5 bytes and str:4"),
            ("A\0B", DataType::Text(4), "no control characters"),
        ] {
            let error = words(text, kind).unwrap_err().to_string();
            assert!(error.contains(told), "{text}: {error}");
        }
        let number = Value::Number(Raw::Int(1));
        assert!(encode(&number, DataType::Text(4), Order::Abcd).is_err());
    }
}
