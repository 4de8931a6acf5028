//! The codecs of a column of floats: turned into integers, exactly, then coded as those.
//! Never changes a bit: a form is only taken when every value comes back the same, NaN included.

use super::bytes::Reader;
use super::{BlockError, integers, malformed};
use crate::reading::{Raw, RawKind, to_f64};

/// Ordered bits without the zero low bits that all values share.
const BITS: u8 = 0;
/// Whole numbers divided by a power of ten.
const DECIMAL: u8 = 1;
/// The same, rounded to `f32` at the end.
const DECIMAL_32: u8 = 2;
/// Divisors, by exponent.
const POWERS: [f64; 10] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
/// Integers below this are exact in a float: 2 to the power of 53.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// Nothing for no values, else a codec byte, its parameter and the integers.
pub(super) fn put(out: &mut Vec<u8>, values: &[f64]) {
    if values.is_empty() {
        return;
    }
    let decimal = |codec| {
        (0_u8..).zip(POWERS).find_map(|(exponent, power)| {
            let whole = values.iter().map(|value| exact(*value, codec, power));
            let mut bytes = vec![codec, exponent];
            integers::put(&mut bytes, &whole.collect::<Option<Vec<_>>>()?);
            Some(bytes)
        })
    };
    let candidates = [
        Some(ordered_bits(values)),
        decimal(DECIMAL),
        decimal(DECIMAL_32),
    ];
    out.extend(
        candidates
            .into_iter()
            .flatten()
            .min_by_key(Vec::len)
            .unwrap_or_default(),
    );
}

/// Replaces `values` by the next `count`; `wholes` is work space.
pub(super) fn get(
    reader: &mut Reader<'_>,
    count: usize,
    wholes: &mut Vec<i64>,
    values: &mut Vec<f64>,
) -> Result<(), BlockError> {
    values.clear();
    if count == 0 {
        return Ok(());
    }
    let codec = reader.byte()?;
    let parameter = reader.byte()?;
    integers::get(reader, count, wholes)?;
    let wholes = wholes.iter();
    match codec {
        BITS if parameter < 64 => {
            values.extend(wholes.map(|value| from_ordered(*value, parameter)));
        }
        DECIMAL | DECIMAL_32 => {
            let power = *POWERS
                .get(usize::from(parameter))
                .ok_or_else(|| malformed("power of ten outside the limits"))?;
            values.extend(wholes.map(|value| from_whole(*value, codec, power)));
        }
        _ => return Err(malformed("unknown codec of floats")),
    }
    Ok(())
}

fn ordered_bits(values: &[f64]) -> Vec<u8> {
    let zeros = values
        .iter()
        .map(|value| value.to_bits().trailing_zeros())
        .min()
        .unwrap_or(0);
    let shift = u8::try_from(zeros.min(63)).unwrap_or(0);
    let mut bytes = vec![BITS, shift];
    let whole: Vec<i64> = values
        .iter()
        .map(|value| to_ordered(*value, shift))
        .collect();
    integers::put(&mut bytes, &whole);
    bytes
}

/// Neighbouring floats become neighbouring integers: the bits of a negative float count
/// downwards, so all but the sign are turned over.
const fn to_ordered(value: f64, shift: u8) -> i64 {
    turn_negative(value.to_bits().cast_signed() >> shift, shift)
}

const fn from_ordered(value: i64, shift: u8) -> f64 {
    f64::from_bits((turn_negative(value, shift) << shift).cast_unsigned())
}

const fn turn_negative(value: i64, shift: u8) -> i64 {
    if value < 0 {
        value ^ (i64::MAX >> shift)
    } else {
        value
    }
}

/// The integer from which exactly this value comes back.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "whole and below 2^53, checked in the line before"
)]
fn exact(value: f64, codec: u8, power: f64) -> Option<i64> {
    let scaled = (value * power).round();
    let whole = (scaled.abs() < WHOLE_MAX).then_some(scaled as i64)?;
    (from_whole(whole, codec, power).to_bits() == value.to_bits()).then_some(whole)
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "rounding to f32 is what this codec is about"
)]
fn from_whole(whole: i64, codec: u8, power: f64) -> f64 {
    let value = to_f64(Raw::Int(whole), RawKind::Int) / power;
    if codec == DECIMAL_32 {
        f64::from(value as f32)
    } else {
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(values: &[f64]) -> Vec<u8> {
        let mut bytes = Vec::new();
        put(&mut bytes, values);
        bytes
    }

    fn same(values: &[f64]) {
        let bytes = encoded(values);
        let mut reader = Reader::new(&bytes);
        let mut back = Vec::new();
        get(&mut reader, values.len(), &mut Vec::new(), &mut back).unwrap();
        let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&back), bits(values));
        assert!(reader.end().is_ok());
    }

    proptest! {
        #[test]
        fn any_bits_come_back(bits in prop::collection::vec(any::<u64>(), 1..80)) {
            same(&bits.into_iter().map(f64::from_bits).collect::<Vec<_>>());
        }

        #[test]
        fn any_f32_comes_back(values in prop::collection::vec(any::<f32>(), 1..80)) {
            same(&values.into_iter().map(f64::from).collect::<Vec<_>>());
        }
    }

    #[test]
    fn each_codec_is_taken_where_it_fits() {
        let steps = 0..100_u16;
        let tenths: Vec<f64> = steps
            .clone()
            .map(|i| f64::from(i * 7 % 31) / 10.0)
            .collect();
        let tenths_32: Vec<f64> = steps
            .clone()
            .map(|i| f64::from(f32::from(i * 7 % 31) / 10.0))
            .collect();
        let measured: Vec<f64> = steps.map(|i| (f64::from(i) * 1.7).sin()).collect();
        for (values, codec) in [(tenths, DECIMAL), (tenths_32, DECIMAL_32), (measured, BITS)] {
            same(&values);
            assert_eq!(encoded(&values)[0], codec);
        }
    }

    #[test]
    fn special_floats_keep_their_bits() {
        let tiny = f64::from_bits(1);
        same(&[
            0.0,
            -0.0,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MIN_POSITIVE,
            tiny,
        ]);
    }
}
