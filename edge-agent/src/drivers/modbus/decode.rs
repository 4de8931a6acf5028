//! Registers to raw values, by type and byte order. Pure. Never scales: that is the pipeline's.

use super::data_type::{DataType, Order};
use crate::pipeline::RawCell;
use protocol::reading::{Cause, Raw};

/// The raw value that `words` hold; `None` when there are fewer than the type takes.
pub fn decode(words: &[u16], kind: DataType, order: Order) -> Option<Raw> {
    let words = words.get(..usize::from(kind.words()))?;
    let bits = join(words, order);
    Some(match kind {
        DataType::F32 => Raw::Float(f64::from(f32::from_bits(u32::try_from(bits).ok()?))),
        DataType::F64 => Raw::Float(f64::from_bits(bits)),
        DataType::I32 => Raw::Int(u32::try_from(bits).ok()?.cast_signed().into()),
        DataType::I16 => Raw::Int(u16::try_from(bits).ok()?.cast_signed().into()),
        DataType::U64 | DataType::I64 | DataType::U32 | DataType::U16 => {
            Raw::Int(bits.cast_signed())
        }
        DataType::Bool => Raw::Int((bits != 0).into()),
        DataType::Bit(bit) => Raw::Int(((bits >> bit) & 1).cast_signed()),
        DataType::U8Low => Raw::Int((bits & 0xFF).cast_signed()),
        DataType::U8High => Raw::Int((bits >> 8).cast_signed()),
    })
}

/// The cell of a poll: the value, unless it is the device's sign for "not available" (`nan`, raw
/// values; for integers compared by their bits, so that 0x8000 also means -32768) or not a number.
pub fn cell(words: &[u16], kind: DataType, order: Order, nan: &[Raw]) -> RawCell {
    let Some(raw) = decode(words, kind, order) else {
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
            prop_assert_eq!(decode(&w16, DataType::U16, order), Some(Raw::Int(v16.into())));
            let s16 = i16::from_be_bytes(v16.to_be_bytes());
            prop_assert_eq!(decode(&w16, DataType::I16, order), Some(Raw::Int(s16.into())));
            prop_assert_eq!(decode(&w32, DataType::U32, order), Some(Raw::Int(v32.into())));
            let s32 = i32::from_be_bytes(v32.to_be_bytes());
            prop_assert_eq!(decode(&w32, DataType::I32, order), Some(Raw::Int(s32.into())));
            let signed = i64::from_be_bytes(value.to_be_bytes());
            prop_assert_eq!(decode(&w64, DataType::U64, order), Some(Raw::Int(signed)));
            prop_assert_eq!(decode(&w64, DataType::I64, order), Some(Raw::Int(signed)));
        }

        #[test]
        fn floats_of_every_width_and_order(single: f32, double: f64, order in orders()) {
            let w32 = words_on_the_wire(&single.to_be_bytes(), order);
            let w64 = words_on_the_wire(&double.to_be_bytes(), order);
            prop_assert_eq!(decode(&w32, DataType::F32, order), Some(Raw::Float(single.into())));
            prop_assert_eq!(decode(&w64, DataType::F64, order), Some(Raw::Float(double)));
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
                DataType::U8High, DataType::Bit(bit % 16),
            ];
            for kind in kinds {
                let enough = words.len() >= usize::from(kind.words());
                prop_assert_eq!(decode(&words, kind, order).is_some(), enough);
                let cell = cell(&words, kind, order, &[Raw::Int(sign), Raw::Float(-999.0)]);
                prop_assert!(enough || cell == RawCell::Missing(Cause::BadAnswer));
            }
        }

        #[test]
        fn parts_of_a_register(high: u8, low: u8, bit in 0_u8..16, order in orders()) {
            let words = words_on_the_wire(&[high, low], order);
            prop_assert_eq!(decode(&words, DataType::U8High, order), Some(Raw::Int(high.into())));
            prop_assert_eq!(decode(&words, DataType::U8Low, order), Some(Raw::Int(low.into())));
            let byte = if bit < 8 { low } else { high };
            let expected = i64::from(byte & (1 << (bit % 8)) != 0);
            prop_assert_eq!(decode(&words, DataType::Bit(bit), order), Some(Raw::Int(expected)));
            let any = i64::from(high != 0 || low != 0);
            prop_assert_eq!(decode(&words, DataType::Bool, order), Some(Raw::Int(any)));
        }
    }

    #[test]
    fn a_known_value_by_hand() {
        // 1.0_f32 is 3F 80 00 00.
        assert_eq!(
            decode(&[0x3F80, 0x0000], DataType::F32, Order::Abcd),
            Some(Raw::Float(1.0))
        );
        assert_eq!(
            decode(&[0x0000, 0x3F80], DataType::F32, Order::Cdab),
            Some(Raw::Float(1.0))
        );
        assert_eq!(
            decode(&[0x803F, 0x0000], DataType::F32, Order::Badc),
            Some(Raw::Float(1.0))
        );
        assert_eq!(
            decode(&[0x0000, 0x803F], DataType::F32, Order::Dcba),
            Some(Raw::Float(1.0))
        );
    }

    #[test]
    fn too_few_registers_give_no_value() {
        assert_eq!(decode(&[1], DataType::F32, Order::Abcd), None);
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
