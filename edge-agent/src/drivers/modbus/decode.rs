//! Registers to values, by type and byte order. Pure. Never scales: that is the pipeline's.

use super::data_type::{DataType, Order};
use crate::pipeline::RawCell;
use protocol::reading::{Cause, Raw};

/// What registers hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number as it stands there, not scaled.
    Number(Raw),
    /// A text, without what fills it up.
    Text(String),
}

/// Why registers hold no value of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Fewer registers than the type takes.
    #[error("there are {found} registers and {kind} takes {}", kind.words())]
    TooFew {
        /// How many there are.
        found: usize,
        /// As configured.
        kind: DataType,
    },
    /// A digit above 9.
    #[error(
        "0x{bits:0width$X} is not {kind}: a digit above 9; try u16 or u32, or another order",
        width = digits(*kind)
    )]
    NotDecimal {
        /// The bits, highest first.
        bits: u64,
        /// As configured.
        kind: DataType,
    },
}

/// The value that `words` hold. What follows the registers of the type is not looked at.
pub fn decode(words: &[u16], kind: DataType, order: Order) -> Result<Value, DecodeError> {
    let found = words.len();
    let words = words
        .get(..usize::from(kind.words()))
        .ok_or(DecodeError::TooFew { found, kind })?;
    match kind {
        DataType::Text(bytes) | DataType::TextLow(bytes) | DataType::TextHigh(bytes) => {
            let bytes = text_bytes(words, kind, order).take(bytes.into()).collect();
            Ok(Value::Text(shown(bytes)))
        }
        _ => number(join(words, order), kind).map(Value::Number),
    }
}

/// The cell of a poll: the value, unless it is the device's sign for "not available" (`nan`, raw
/// values; for integers compared by their bits, so that 0x8000 also means -32768) or not a number.
/// A text has no such sign.
pub fn cell(words: &[u16], kind: DataType, order: Order, nan: &[Raw]) -> RawCell {
    let raw = match decode(words, kind, order) {
        Ok(Value::Text(text)) => return RawCell::Text(text.into()),
        Ok(Value::Number(raw)) => Some(raw),
        // The sign of a device that counts in decimal digits need not be made of them.
        Err(DecodeError::NotDecimal { bits, .. }) => {
            let sign = Raw::Int(bits.cast_signed());
            nan.contains(&sign).then_some(sign)
        }
        Err(DecodeError::TooFew { .. }) => None,
    };
    let Some(raw) = raw else {
        return RawCell::Missing(Cause::BadAnswer);
    };
    let not_available = match raw {
        Raw::Float(value) => !value.is_finite() || nan.iter().any(|sign| same_float(*sign, value)),
        Raw::Int(value) => nan.iter().any(|sign| same_bits(*sign, value, kind.bits())),
    };
    if not_available {
        RawCell::Missing(Cause::NotAvailable)
    } else {
        RawCell::Value(raw)
    }
}

/// The number that bits mean, highest first.
fn number(bits: u64, kind: DataType) -> Result<Raw, DecodeError> {
    let [.., high, low] = bits.to_be_bytes();
    let [_, _, _, _, b3, b2, b1, b0] = bits.to_be_bytes();
    let (word, double) = (
        u16::from_be_bytes([high, low]),
        u32::from_be_bytes([b3, b2, b1, b0]),
    );
    Ok(match kind {
        DataType::F16 => Raw::Float(half(word)),
        DataType::F32 => Raw::Float(f32::from_bits(double).into()),
        DataType::F64 => Raw::Float(f64::from_bits(bits)),
        DataType::I32 => Raw::Int(double.cast_signed().into()),
        DataType::I16 => Raw::Int(word.cast_signed().into()),
        DataType::Bool => Raw::Int((bits != 0).into()),
        DataType::Bit(bit) => Raw::Int(((bits >> bit) & 1).cast_signed()),
        DataType::U8Low => Raw::Int(low.into()),
        DataType::U8High => Raw::Int(high.into()),
        DataType::I8Low => Raw::Int(low.cast_signed().into()),
        DataType::I8High => Raw::Int(high.cast_signed().into()),
        DataType::Bcd16 | DataType::Bcd32 => {
            Raw::Int(decimal(bits).ok_or(DecodeError::NotDecimal { bits, kind })?)
        }
        // Texts do not come here.
        DataType::U64
        | DataType::I64
        | DataType::U32
        | DataType::U16
        | DataType::Text(_)
        | DataType::TextLow(_)
        | DataType::TextHigh(_) => Raw::Int(bits.cast_signed()),
    })
}

/// The number whose decimal digits stand in four bits each; `None` where one is above 9.
fn decimal(bits: u64) -> Option<i64> {
    let mut value = 0;
    for at in (0..8).rev() {
        let digit = ((bits >> (4 * at)) & 0xF).cast_signed();
        if digit > 9 {
            return None;
        }
        value = value * 10 + digit;
    }
    Some(value)
}

/// Hexadecimal digits of a type.
const fn digits(kind: DataType) -> usize {
    match kind {
        DataType::Bcd32 => 8,
        _ => 4,
    }
}

/// A number of half precision: sign, 5 bits of exponent, 10 of fraction (IEEE 754-2019, 3.6).
fn half(bits: u16) -> f64 {
    let fraction = f64::from(bits & 0x3FF);
    let exponent = i32::from((bits >> 10) & 0x1F);
    let size = match exponent {
        0 => fraction * 2_f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1_024.0 + fraction) * 2_f64.powi(exponent - 25),
    };
    if bits & 0x8000 == 0 { size } else { -size }
}

/// The bytes of a text. Only the order of the bytes in a register counts: a text goes from
/// register to register also in a device that sends the lower half of a number first.
fn text_bytes(words: &[u16], kind: DataType, order: Order) -> impl Iterator<Item = u8> {
    words.iter().flat_map(move |word| {
        let [high, low] = if order.swaps_bytes() {
            word.to_le_bytes()
        } else {
            word.to_be_bytes()
        };
        let (first, second) = match kind {
            DataType::TextLow(_) => (low, None),
            DataType::TextHigh(_) => (high, None),
            _ => (high, Some(low)),
        };
        std::iter::once(first).chain(second)
    })
}

/// A text for people: it ends at the first NUL, without blanks at its end; what is not UTF-8 or
/// not to be shown is a question mark, so that it has no more bytes than the device sent.
fn shown(mut bytes: Vec<u8>) -> String {
    if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
        bytes.truncate(end);
    }
    let unfit = |c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER;
    let text = String::from_utf8_lossy(&bytes);
    text.trim_end_matches(' ').replace(unfit, "?")
}

/// The bits of a value, highest first, from registers in the order of the wire.
fn join(words: &[u16], order: Order) -> u64 {
    let push = |bits: u64, word: &u16| {
        let word = if order.swaps_bytes() {
            word.swap_bytes()
        } else {
            *word
        };
        (bits << 16) | u64::from(word)
    };
    if order.swaps_words() {
        words.iter().rev().fold(0, push)
    } else {
        words.iter().fold(0, push)
    }
}

fn same_bits(sign: Raw, value: i64, bits: u32) -> bool {
    let mask = u64::MAX >> (64 - bits.clamp(1, 64));
    matches!(sign, Raw::Int(sign) if (sign ^ value).cast_unsigned() & mask == 0)
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    clippy::float_cmp,
    reason = "a sign for 'not available' is an exact value, compared as the device sends it"
)]
fn same_float(sign: Raw, value: f64) -> bool {
    match sign {
        Raw::Int(sign) => sign as f64 == value,
        Raw::Float(sign) => sign == value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The bytes of the wire by the letters of the README's table, and registers from them: made
    /// without any of the code above.
    fn words_on_the_wire(big_endian: &[u8], order: Order) -> Vec<u16> {
        let letters: &[usize] = match (big_endian.len(), order) {
            (2, Order::Abcd | Order::Cdab) => &[0, 1],
            (2, Order::Badc | Order::Dcba) => &[1, 0],
            (4, Order::Abcd) => &[0, 1, 2, 3],
            (4, Order::Cdab) => &[2, 3, 0, 1],
            (4, Order::Badc) => &[1, 0, 3, 2],
            (4, Order::Dcba) => &[3, 2, 1, 0],
            (8, Order::Abcd) => &[0, 1, 2, 3, 4, 5, 6, 7],
            (8, Order::Cdab) => &[6, 7, 4, 5, 2, 3, 0, 1],
            (8, Order::Badc) => &[1, 0, 3, 2, 5, 4, 7, 6],
            (8, Order::Dcba) => &[7, 6, 5, 4, 3, 2, 1, 0],
            _ => unreachable!("no such width"),
        };
        let wire: Vec<u8> = letters.iter().map(|at| big_endian[*at]).collect();
        wire.chunks(2)
            .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
            .collect()
    }

    fn number(words: &[u16], kind: DataType, order: Order) -> Raw {
        match decode(words, kind, order) {
            Ok(Value::Number(raw)) => raw,
            other => panic!("{other:?} is not a number"),
        }
    }

    fn text(words: &[u16], kind: DataType, order: Order) -> String {
        match decode(words, kind, order) {
            Ok(Value::Text(text)) => text,
            other => panic!("{other:?} is not a text"),
        }
    }

    fn orders() -> impl Strategy<Value = Order> {
        prop::sample::select(Order::ALL.to_vec())
    }

    proptest! {
        #[test]
        fn integers_of_every_width_and_order(value: u64, order in orders()) {
            let v16 = u16::try_from(value & 0xFFFF).unwrap();
            let v32 = u32::try_from(value & 0xFFFF_FFFF).unwrap();
            let w16 = words_on_the_wire(&v16.to_be_bytes(), order);
            let w32 = words_on_the_wire(&v32.to_be_bytes(), order);
            let w64 = words_on_the_wire(&value.to_be_bytes(), order);
            prop_assert_eq!(number(&w16, DataType::U16, order), Raw::Int(v16.into()));
            let s16 = i16::from_be_bytes(v16.to_be_bytes());
            prop_assert_eq!(number(&w16, DataType::I16, order), Raw::Int(s16.into()));
            prop_assert_eq!(number(&w32, DataType::U32, order), Raw::Int(v32.into()));
            let s32 = i32::from_be_bytes(v32.to_be_bytes());
            prop_assert_eq!(number(&w32, DataType::I32, order), Raw::Int(s32.into()));
            let signed = i64::from_be_bytes(value.to_be_bytes());
            prop_assert_eq!(number(&w64, DataType::U64, order), Raw::Int(signed));
            prop_assert_eq!(number(&w64, DataType::I64, order), Raw::Int(signed));
        }

        #[test]
        fn floats_of_every_width_and_order(single: f32, double: f64, order in orders()) {
            let w32 = words_on_the_wire(&single.to_be_bytes(), order);
            let w64 = words_on_the_wire(&double.to_be_bytes(), order);
            prop_assert_eq!(number(&w32, DataType::F32, order), Raw::Float(single.into()));
            prop_assert_eq!(number(&w64, DataType::F64, order), Raw::Float(double));
        }

        /// Whatever a device answers, and however much of it: a value or words, never a panic.
        #[test]
        fn any_registers_are_answered_without_a_panic(
            words in prop::collection::vec(any::<u16>(), 0..6),
            bit: u8,
            sign: i64,
            order in orders(),
        ) {
            let kinds = [
                DataType::U16, DataType::I16, DataType::U32, DataType::I32, DataType::U64,
                DataType::I64, DataType::F32, DataType::F64, DataType::Bool, DataType::U8Low,
                DataType::U8High, DataType::Bit(bit % 16), DataType::I8Low, DataType::I8High,
                DataType::F16, DataType::Bcd16, DataType::Bcd32, DataType::Text(bit % 64 + 1),
                DataType::TextLow(bit % 64 + 1), DataType::TextHigh(bit % 64 + 1),
            ];
            for kind in kinds {
                let enough = words.len() >= usize::from(kind.words());
                prop_assert!(enough || decode(&words, kind, order).is_err());
                let cell = cell(&words, kind, order, &[Raw::Int(sign), Raw::Float(-999.0)]);
                prop_assert!(enough || cell == RawCell::Missing(Cause::BadAnswer));
            }
        }

        /// The digits as they are written down, in bytes of two.
        #[test]
        fn decimal_digits_of_every_width_and_order(value in 0_u32..100_000_000, order in orders()) {
            let digits = format!("{value:08}").into_bytes();
            let bytes: Vec<u8> = digits
                .chunks(2)
                .map(|pair| (pair[0] - b'0') * 16 + (pair[1] - b'0'))
                .collect();
            let words = words_on_the_wire(&bytes, order);
            prop_assert_eq!(number(&words, DataType::Bcd32, order), Raw::Int(value.into()));
            let words = words_on_the_wire(&bytes[2..], order);
            let low = Raw::Int((value % 10_000).into());
            prop_assert_eq!(number(&words, DataType::Bcd16, order), low);
        }

        /// Whatever is above 9 in any digit is no value, and is told with its bits.
        #[test]
        fn a_digit_above_nine_is_refused(bits: u32, order in orders()) {
            let is_decimal = format!("{bits:x}").bytes().all(|digit| digit.is_ascii_digit());
            let words = words_on_the_wire(&bits.to_be_bytes(), order);
            let read = decode(&words, DataType::Bcd32, order);
            prop_assert_eq!(read.is_ok(), is_decimal);
            if let Err(error) = read {
                let told = format!("0x{bits:08X} is not bcd32");
                prop_assert!(error.to_string().starts_with(&told));
            }
        }

        /// A half is a double whose fraction was cut: exponent and fraction moved into their
        /// places give the same number.
        #[test]
        fn halves_of_every_order(sign in 0_u64..2, exponent in 1_u64..31, fraction in 0_u64..1_024,
            order in orders()
        ) {
            let half = u16::try_from(sign << 15 | exponent << 10 | fraction).unwrap();
            let double = f64::from_bits(sign << 63 | (exponent + 1_023 - 15) << 52 | fraction << 42);
            let words = words_on_the_wire(&half.to_be_bytes(), order);
            prop_assert_eq!(number(&words, DataType::F16, order), Raw::Float(double));
        }

        /// A text goes from register to register; an order turns only the bytes of a register.
        #[test]
        fn texts_of_every_length_and_order(text_in in "[ -~]{0,63}[!-~]", spare in 0_usize..5,
            order in orders()
        ) {
            let bytes = (text_in.len() + spare).min(64);
            let mut padded = text_in.clone().into_bytes();
            padded.resize(bytes + bytes % 2, if spare % 2 == 0 { 0 } else { b' ' });
            let length = u8::try_from(bytes).unwrap();
            let turned = |pair: [u8; 2]| match order {
                Order::Abcd | Order::Cdab => u16::from_be_bytes(pair),
                Order::Badc | Order::Dcba => u16::from_le_bytes(pair),
            };
            let words: Vec<u16> = padded.chunks(2).map(|pair| turned([pair[0], pair[1]])).collect();
            prop_assert_eq!(text(&words, DataType::Text(length), order), text_in.clone());
            let low: Vec<u16> = padded.iter().map(|byte| turned([0xEE, *byte])).collect();
            prop_assert_eq!(text(&low, DataType::TextLow(length), order), text_in.clone());
            let high: Vec<u16> = padded.iter().map(|byte| turned([*byte, 0xEE])).collect();
            prop_assert_eq!(text(&high, DataType::TextHigh(length), order), text_in);
        }

        /// Whatever bytes a device sends: a text that can be shown, not longer than they are.
        #[test]
        fn any_bytes_are_a_text_for_people(words in prop::collection::vec(any::<u16>(), 32..33),
            length in 1_u8..=64, order in orders()
        ) {
            let text = text(&words, DataType::Text(length), order);
            prop_assert!(text.len() <= usize::from(length));
            prop_assert!(!text.contains(|c: char| c.is_control()) && !text.ends_with(' '));
        }

        #[test]
        fn parts_of_a_register(high: u8, low: u8, bit in 0_u8..16, order in orders()) {
            let words = words_on_the_wire(&[high, low], order);
            prop_assert_eq!(number(&words, DataType::U8High, order), Raw::Int(high.into()));
            prop_assert_eq!(number(&words, DataType::U8Low, order), Raw::Int(low.into()));
            let [high8, low8] = [high, low].map(|byte| i64::from(i8::from_be_bytes([byte])));
            prop_assert_eq!(number(&words, DataType::I8High, order), Raw::Int(high8));
            prop_assert_eq!(number(&words, DataType::I8Low, order), Raw::Int(low8));
            let byte = if bit < 8 { low } else { high };
            let expected = i64::from(byte & (1 << (bit % 8)) != 0);
            prop_assert_eq!(number(&words, DataType::Bit(bit), order), Raw::Int(expected));
            let any = i64::from(high != 0 || low != 0);
            prop_assert_eq!(number(&words, DataType::Bool, order), Raw::Int(any));
        }
    }

    #[test]
    fn a_known_value_by_hand() {
        // 1.0_f32 is 3F 80 00 00.
        assert_eq!(
            number(&[0x3F80, 0x0000], DataType::F32, Order::Abcd),
            Raw::Float(1.0)
        );
        assert_eq!(
            number(&[0x0000, 0x3F80], DataType::F32, Order::Cdab),
            Raw::Float(1.0)
        );
        assert_eq!(
            number(&[0x803F, 0x0000], DataType::F32, Order::Badc),
            Raw::Float(1.0)
        );
        assert_eq!(
            number(&[0x0000, 0x803F], DataType::F32, Order::Dcba),
            Raw::Float(1.0)
        );
    }

    #[test]
    fn known_halves_and_texts_by_hand() {
        let half = |bits| number(&[bits], DataType::F16, Order::Abcd);
        for (bits, value) in [
            (0x3C00, 1.0),
            (0xC000, -2.0),
            (0x7BFF, 65_504.0),
            (0x3555, 0.333_251_953_125),
            (0x0001, 5.960_464_477_539_063e-8),
            (0x0400, 6.103_515_625e-5),
            (0x7C00, f64::INFINITY),
        ] {
            assert_eq!(half(bits), Raw::Float(value), "{bits:04X}");
        }
        assert!(matches!(half(0x7E00), Raw::Float(value) if value.is_nan()));
        let missing = RawCell::Missing(Cause::NotAvailable);
        assert_eq!(cell(&[0x7E00], DataType::F16, Order::Abcd, &[]), missing);
        let known = [
            (vec![0x4142, 0x4300], "ABC"),
            (vec![0x4142, 0x2020], "AB"),
            (vec![0x4100, 0x4344], "A"),
            (vec![0xC3A9, 0xFF07], "é??"),
            (vec![0, 0], ""),
        ];
        for (words, expected) in known {
            assert_eq!(text(&words, DataType::Text(4), Order::Abcd), expected);
            let cell = cell(&words, DataType::Text(4), Order::Abcd, &[Raw::Int(0)]);
            assert_eq!(cell, RawCell::Text(expected.into()), "no sign for a text");
        }
    }

    #[test]
    fn too_few_registers_give_no_value() {
        let error = decode(&[1], DataType::F32, Order::Abcd).unwrap_err();
        assert_eq!(error.to_string(), "there are 1 registers and f32 takes 2");
        assert_eq!(
            cell(&[1], DataType::F32, Order::Abcd, &[]),
            RawCell::Missing(Cause::BadAnswer)
        );
    }

    #[test]
    fn signs_for_not_available() {
        let missing = RawCell::Missing(Cause::NotAvailable);
        let sign = [Raw::Int(0x8000)];
        assert_eq!(cell(&[0x8000], DataType::I16, Order::Abcd, &sign), missing);
        assert_eq!(
            cell(&[0x8080], DataType::I8Low, Order::Abcd, &[Raw::Int(0x80)]),
            missing
        );
        let all_ones = [Raw::Int(0xFFFF), Raw::Int(9_999)];
        let digits = |word| cell(&[word], DataType::Bcd16, Order::Abcd, &all_ones);
        assert_eq!(digits(0xFFFF), missing);
        assert_eq!(digits(0x9999), missing);
        assert_eq!(digits(0xFFFE), RawCell::Missing(Cause::BadAnswer));
        assert_eq!(digits(0x1234), RawCell::Value(Raw::Int(1_234)));
        assert_eq!(cell(&[0x8000], DataType::U16, Order::Abcd, &sign), missing);
        assert_eq!(
            cell(&[0x8000], DataType::U16, Order::Abcd, &[Raw::Int(-32_768)]),
            missing
        );
        assert_ne!(cell(&[0x8001], DataType::I16, Order::Abcd, &sign), missing);
        assert_eq!(
            cell(&[0xFFFF; 4], DataType::U64, Order::Abcd, &[Raw::Int(-1)]),
            missing
        );
        assert_eq!(cell(&[0x7FC0, 0], DataType::F32, Order::Abcd, &[]), missing);
        assert_eq!(
            cell(
                &[0xC479, 0xC000],
                DataType::F32,
                Order::Abcd,
                &[Raw::Int(-999)]
            ),
            missing
        );
        assert_eq!(
            cell(&[0x3F80, 0], DataType::F32, Order::Abcd, &sign),
            RawCell::Value(Raw::Float(1.0))
        );
    }
}
