//! A set of sequence numbers kept as closed ranges. Never holds two ranges that touch.

use serde::{Deserialize, Serialize};

/// Sorted, disjoint, non-touching closed ranges of `u64`.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RangeSet {
    ranges: Vec<(u64, u64)>,
}

impl RangeSet {
    /// Holds nothing.
    pub const fn new() -> Self {
        Self { ranges: Vec::new() }
    }

    /// From pairs in any order, overlapping or not; a pair whose end lies before its start is
    /// left out.
    pub fn from_pairs(pairs: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let mut set = Self::new();
        for (first, last) in pairs {
            set.insert(first, last);
        }
        set
    }

    /// The ranges, ascending.
    pub fn pairs(&self) -> &[(u64, u64)] {
        &self.ranges
    }

    /// How many numbers it holds.
    pub fn count(&self) -> u64 {
        self.ranges
            .iter()
            .map(|(first, last)| last - first + 1)
            .sum()
    }

    /// The highest number.
    pub fn last(&self) -> Option<u64> {
        self.ranges.last().map(|(_, last)| *last)
    }

    /// The end of the range that starts at 1: everything up to here is held. 0 when 1 is missing.
    pub fn contiguous_to(&self) -> u64 {
        match self.ranges.first() {
            Some((1, last)) => *last,
            _ => 0,
        }
    }

    /// Whether `value` is held.
    pub fn contains(&self, value: u64) -> bool {
        let at = self.ranges.partition_point(|(first, _)| *first <= value);
        at.checked_sub(1)
            .and_then(|at| self.ranges.get(at))
            .is_some_and(|(_, last)| *last >= value)
    }

    /// Adds `first..=last`; nothing happens when `last < first`.
    pub fn insert(&mut self, first: u64, last: u64) {
        if last < first {
            return;
        }
        let start = self
            .ranges
            .partition_point(|(_, end)| end.saturating_add(1) < first);
        let stop = self
            .ranges
            .partition_point(|(begin, _)| *begin <= last.saturating_add(1));
        let merged = self
            .ranges
            .get(start..stop)
            .unwrap_or_default()
            .iter()
            .fold((first, last), |(low, high), (begin, end)| {
                (low.min(*begin), high.max(*end))
            });
        self.ranges.splice(start..stop.max(start), [merged]);
    }

    /// The parts of `first..=last` that are not held, ascending.
    pub fn missing(&self, first: u64, last: u64) -> Vec<(u64, u64)> {
        let mut holes = Vec::new();
        if last < first {
            return holes;
        }
        let mut next = first;
        let start = self.ranges.partition_point(|(_, end)| *end < first);
        for (begin, end) in self.ranges.get(start..).unwrap_or_default() {
            if *begin > last {
                break;
            }
            if *begin > next {
                holes.push((next, begin - 1));
            }
            next = end.saturating_add(1);
        }
        if next <= last {
            holes.push((next, last));
        }
        holes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn behaves_like_a_plain_set(pairs in prop::collection::vec((1_u64..60, 0_u64..9), 0..30), low in 1_u64..70, len in 0_u64..30) {
            let mut set = RangeSet::new();
            let mut plain = BTreeSet::new();
            for (first, len) in pairs {
                set.insert(first, first + len);
                plain.extend(first..=first + len);
            }
            prop_assert_eq!(usize::try_from(set.count()).unwrap(), plain.len());
            for (a, b) in set.pairs().iter().zip(set.pairs().iter().skip(1)) {
                prop_assert!(a.1 + 1 < b.0);
            }
            let missing: Vec<u64> = set.missing(low, low + len).into_iter().flat_map(|(a, b)| a..=b).collect();
            let expected: Vec<u64> = (low..=low + len).filter(|v| !plain.contains(v)).collect();
            prop_assert_eq!(missing, expected);
            for value in 1..80 {
                prop_assert_eq!(set.contains(value), plain.contains(&value));
            }
        }
    }
}
