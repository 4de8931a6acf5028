//! The codecs of a column of integers (PROTOCOL §3.4); the shortest is taken.
//! Never fails on a value: all arithmetic wraps, so every `i64` comes back.

use super::bytes::{Reader, put_varint, put_zigzag};
use super::{BlockError, bits, malformed};

/// All values are the one that follows.
const CONSTANT: u8 = 0;
/// Runs of equal values.
const RUNS: u8 = 1;
/// Distances from a centre; the same of the differences (3) and of their differences (4).
const DISTANCE: u8 = 2;
/// Distances from a straight line.
const LINE: u8 = 5;
/// Orders of difference: none, first, second.
const ORDERS: u8 = 3;

/// Nothing for no values, else a codec byte and its bytes.
pub(super) fn put(out: &mut Vec<u8>, values: &[i64]) {
    let Some(first) = values.first() else { return };
    if values.iter().all(|value| value == first) {
        out.push(CONSTANT);
        put_zigzag(out, *first);
        return;
    }
    let mut best: Option<Plan> = None;
    let mut level = values.to_vec();
    for order in 0..ORDERS {
        if let Some(plan) = differences(values, &mut level, order, best.as_ref()) {
            best = Some(plan);
        }
    }
    best = line(values, &mut level, best.as_ref()).or(best);
    let most = best.as_ref().map_or(usize::MAX, Plan::bytes);
    // A run takes two bytes or more.
    if 2 * values.chunk_by(|a, b| a == b).count() < most {
        let runs = runs(values);
        if runs.len() < most {
            out.extend(runs);
            return;
        }
    }
    if let Some(best) = best {
        best.put(out);
    }
}

/// A codec with distances, not yet written.
#[derive(Debug)]
struct Plan {
    /// All before the distances.
    head: Vec<u8>,
    distances: bits::Packed,
}

impl Plan {
    /// Distances from the median of `level`; `None` when that is no shorter than `best`.
    fn new(mut head: Vec<u8>, level: &[i64], best: Option<&Self>) -> Option<Self> {
        let centre = median(level.to_vec());
        put_zigzag(&mut head, centre);
        let most = best.map_or(Some(usize::MAX), |best| best.bytes().checked_sub(1));
        let distances = bits::Packed::plan(level, centre, most?.checked_sub(head.len())?)?;
        Some(Self { head, distances })
    }

    fn bytes(&self) -> usize {
        self.head.len() + self.distances.bytes()
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.extend(&self.head);
        self.distances.put(out);
    }
}

/// Replaces `values` by the next `count`.
pub(super) fn get(
    reader: &mut Reader<'_>,
    count: usize,
    values: &mut Vec<i64>,
) -> Result<(), BlockError> {
    values.clear();
    if count == 0 {
        return Ok(());
    }
    match reader.byte()? {
        CONSTANT => {
            let value = reader.zigzag()?;
            values.resize(count, value);
            Ok(())
        }
        RUNS => get_runs(reader, count, values),
        LINE => get_line(reader, count, values),
        codec => match codec.checked_sub(DISTANCE) {
            Some(order) if order < ORDERS => get_differences(reader, count, order, values),
            _ => Err(malformed("unknown codec of integers")),
        },
    }
}

/// Per run: zigzag distance from the value of the run before, then the length, 0 for the rest.
fn runs(values: &[i64]) -> Vec<u8> {
    let mut out = vec![RUNS];
    let mut previous = 0;
    let mut left = values.len();
    for run in values.chunk_by(|a, b| a == b) {
        left -= run.len();
        let value = run.first().copied().unwrap_or(previous);
        put_zigzag(&mut out, value.wrapping_sub(previous));
        put_varint(
            &mut out,
            if left == 0 {
                0
            } else {
                u64::try_from(run.len()).unwrap_or(0)
            },
        );
        previous = value;
    }
    out
}

fn get_runs(
    reader: &mut Reader<'_>,
    count: usize,
    values: &mut Vec<i64>,
) -> Result<(), BlockError> {
    let mut value = 0_i64;
    while values.len() < count {
        value = value.wrapping_add(reader.zigzag()?);
        let left = count - values.len();
        let len = match usize::try_from(reader.varint()?) {
            Ok(0) => left,
            Ok(len) if len <= left => len,
            _ => return Err(malformed("run past the end")),
        };
        values.resize(values.len() + len, value);
    }
    Ok(())
}

/// The heads of `order` rounds of differences, then the centre and the distances from it. `level`
/// is `values` after the rounds before this one and gets one more.
fn differences(values: &[i64], level: &mut [i64], order: u8, best: Option<&Plan>) -> Option<Plan> {
    let mut head = vec![DISTANCE + order];
    if order > 0 {
        let mut before = level.first().copied()?;
        for value in level.iter_mut().skip(1) {
            (*value, before) = (value.wrapping_sub(before), *value);
        }
        put_zigzag(&mut head, *values.first()?);
    }
    if order > 1 {
        put_zigzag(&mut head, values.get(1)?.wrapping_sub(*values.first()?));
    }
    Plan::new(head, level.get(usize::from(order)..)?, best)
}

fn get_differences(
    reader: &mut Reader<'_>,
    count: usize,
    order: u8,
    values: &mut Vec<i64>,
) -> Result<(), BlockError> {
    let mut heads = [0; 2];
    let heads = heads
        .get_mut(..usize::from(order))
        .ok_or_else(|| malformed("unknown codec of integers"))?;
    for head in heads.iter_mut() {
        *head = reader.zigzag()?;
    }
    let rest = count
        .checked_sub(heads.len())
        .ok_or_else(|| malformed("more heads than values"))?;
    get_distances(reader, rest, values)?;
    for head in heads.iter().rev() {
        let mut sum = *head;
        for value in values.iter_mut() {
            let next = sum.wrapping_add(*value);
            *value = sum;
            sum = next;
        }
        values.push(sum);
    }
    Ok(())
}

/// The slope, then the centre and the distances of `value - index * slope` from it: for times on
/// a jittering schedule and for counters. `level` is work space.
fn line(values: &[i64], level: &mut Vec<i64>, best: Option<&Plan>) -> Option<Plan> {
    let slope = slope(values);
    let mut head = vec![LINE];
    put_zigzag(&mut head, slope);
    level.clear();
    let indexed = (0_i64..).zip(values);
    level.extend(indexed.map(|(index, value)| value.wrapping_sub(index.wrapping_mul(slope))));
    Plan::new(head, level, best)
}

fn get_line(
    reader: &mut Reader<'_>,
    count: usize,
    values: &mut Vec<i64>,
) -> Result<(), BlockError> {
    let slope = reader.zigzag()?;
    get_distances(reader, count, values)?;
    for (index, value) in (0_i64..).zip(values) {
        *value = value.wrapping_add(index.wrapping_mul(slope));
    }
    Ok(())
}

/// The median slope over half the length: neither jitter nor single outliers tilt it.
fn slope(values: &[i64]) -> i64 {
    let half = values.len() / 2;
    let later = values.iter().skip(half);
    let rises = values.iter().zip(later).map(|(a, b)| b.wrapping_sub(*a));
    let steps = i64::try_from(half).unwrap_or(1).max(1);
    median(rises.collect())
        .wrapping_add(steps / 2)
        .div_euclid(steps)
}

fn get_distances(
    reader: &mut Reader<'_>,
    count: usize,
    values: &mut Vec<i64>,
) -> Result<(), BlockError> {
    let centre = reader.zigzag()?;
    bits::get(reader, count, values)?;
    for value in values {
        *value = value.wrapping_add(centre);
    }
    Ok(())
}

fn median(mut values: Vec<i64>) -> i64 {
    let middle = values.len() / 2;
    if values.is_empty() {
        return 0;
    }
    *values.select_nth_unstable(middle).1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(values: &[i64]) -> Vec<u8> {
        let mut bytes = Vec::new();
        put(&mut bytes, values);
        bytes
    }

    proptest! {
        #[test]
        fn every_codec_gives_every_value_back(
            values in prop::collection::vec(
                prop_oneof![4 => -50_i64..50, 1 => any::<i64>(), 1 => Just(i64::MIN), 1 => Just(i64::MAX)],
                1..150,
            ),
        ) {
            let mut candidates = vec![encoded(&values), runs(&values)];
            let mut level = values.clone();
            let mut plans: Vec<Plan> =
                (0..ORDERS).filter_map(|order| differences(&values, &mut level, order, None)).collect();
            plans.extend(line(&values, &mut level, None));
            for plan in plans {
                let mut bytes = Vec::new();
                plan.put(&mut bytes);
                prop_assert_eq!(bytes.len(), plan.bytes());
                prop_assert!(candidates[0].len() <= bytes.len());
                candidates.push(bytes);
            }
            for bytes in candidates {
                let mut reader = Reader::new(&bytes);
                let mut back = Vec::new();
                get(&mut reader, values.len(), &mut back).unwrap();
                prop_assert_eq!(&back, &values);
                prop_assert!(reader.end().is_ok());
            }
        }
    }

    #[test]
    fn each_codec_is_taken_where_it_fits() {
        let codec = |values: Vec<i64>| encoded(&values)[0];
        let noise =
            |i: i64| ((i * i * i + 1).wrapping_mul(0x5851_F42D_4C95_7F2D) >> 40).rem_euclid(13) - 6;
        let walk = |sum: &mut i64, i: i64| {
            *sum += noise(i);
            Some(*sum)
        };
        assert_eq!(codec(vec![7; 100]), CONSTANT);
        assert_eq!(codec((0..300).map(|i| i / 100).collect()), RUNS);
        assert_eq!(
            codec((0..300).map(|i| 5_000 + noise(i)).collect()),
            DISTANCE
        );
        assert_eq!(codec((0..300).scan(0, walk).collect()), DISTANCE + 1);
        assert_eq!(codec((0..300).map(|i| i * i * 40).collect()), DISTANCE + 2);
        assert_eq!(
            codec((0..300).map(|i| i * 1_000_000 + noise(i)).collect()),
            LINE
        );
    }
}
