//! Rollups say what the readings say, at every level and in every order.

use super::*;
use crate::reading::{Cause, Raw};
use crate::time::ClockState;
use proptest::prelude::*;

fn any_cell() -> impl Strategy<Value = Cell> {
    let quality = prop_oneof![
        6 => Just(Quality::Good),
        1 => Just(Quality::Uncertain(Cause::OutOfRange)),
        1 => Just(Quality::Bad(Cause::BadAnswer)),
    ];
    let raw = prop_oneof![
        6 => (-500_i64..500).prop_map(Raw::Int),
        1 => any::<i64>().prop_map(Raw::Int),
        1 => (-1e300_f64..1e300).prop_map(Raw::Float),
        1 => Just(Raw::Float(f64::NAN)),
        1 => any::<f32>().prop_map(|value| Raw::Float(value.into())),
    ];
    prop_oneof![
        6 => (raw, quality).prop_map(|(raw, quality)| Cell::Value(raw, quality)),
        1 => Just(Cell::Skipped),
        1 => Just(Cell::Missing(Cause::NoAnswer)),
    ]
}

fn any_polls() -> impl Strategy<Value = Vec<Poll>> {
    let steps = prop_oneof![8 => 900_000_i64..1_100_000, 1 => -90_000_000_i64..90_000_000];
    let poll = (steps, prop::collection::vec(any_cell(), 3));
    (any::<u32>(), prop::collection::vec(poll, 1..200)).prop_map(|(start, polls)| {
        let mut time = i64::from(start) * 1_000_003 - 2_000_000_000_000;
        let poll = |(step, cells)| {
            time += step;
            Poll {
                time: Timestamp(time),
                clock: ClockState::Synchronised,
                cells,
            }
        };
        polls.into_iter().map(poll).collect()
    })
}

const KINDS: [RawKind; 3] = [RawKind::Int, RawKind::Uint64, RawKind::Float];

/// The usable values of one column and bucket, by time.
fn values(polls: &[Poll], level: Level, number: i64, column: usize) -> Vec<(Timestamp, f64)> {
    let mut found: Vec<_> = polls
        .iter()
        .filter(|poll| level.bucket_of(poll.time) == number)
        .filter_map(|poll| match poll.cells[column] {
            Cell::Value(raw, quality) if !matches!(quality, Quality::Bad(_)) => {
                Some((poll.time, to_f64(raw, KINDS[column])))
            }
            _ => None,
        })
        .filter(|(_, value)| value.is_finite())
        .collect();
    found.sort_by_key(|(time, _)| *time);
    found
}

proptest! {
    #[test]
    fn each_level_says_what_the_readings_say(polls in any_polls()) {
        let mut buckets = minutes_of(&polls, &KINDS);
        for level in Level::ALL {
            prop_assert!(buckets.is_sorted_by_key(|bucket| bucket.number));
            for bucket in &buckets {
                for (column, entry) in bucket.columns.iter().enumerate() {
                    let expected = values(&polls, level, bucket.number, column);
                    prop_assert_eq!(entry.map_or(0, |e| e.count), u32::try_from(expected.len()).unwrap());
                    let Some(entry) = entry.filter(|entry| entry.count > 0) else { continue };
                    let only = || expected.iter().map(|(_, value)| *value);
                    prop_assert_eq!(entry.min, only().fold(f64::INFINITY, f64::min));
                    prop_assert_eq!(entry.max, only().fold(f64::NEG_INFINITY, f64::max));
                    prop_assert_eq!(entry.first_time, expected[0].0);
                    prop_assert_eq!(entry.last_time, expected[expected.len() - 1].0);
                    let of_time = |at| expected.iter().filter(move |(time, _)| *time == at);
                    prop_assert!(of_time(entry.first_time).any(|(_, v)| *v == entry.first));
                    prop_assert!(of_time(entry.last_time).any(|(_, v)| *v == entry.last));
                }
            }
            buckets = coarser(&buckets, level);
        }
    }

    #[test]
    fn a_row_comes_back_and_its_columns_alone(polls in any_polls()) {
        let mut buckets = minutes_of(&polls, &KINDS);
        for level in Level::ALL {
            let number = level.row_of(buckets[0].number);
            let mut row = RollupRow::new(level, number, 3);
            for bucket in &buckets {
                for (column, entry) in bucket.columns.iter().enumerate() {
                    if let Some(entry) = entry {
                        row.merge(column, bucket.number, entry);
                    }
                }
            }
            let bytes = row.encode();
            prop_assert_eq!(&RollupRow::decode(level, number, &bytes).unwrap(), &row);
            for column in 0..4 {
                let alone = RollupRow::decode_column((level, number), &bytes, column).unwrap();
                let all: Vec<_> = row.column(column).map(|(at, entry)| (at, *entry)).collect();
                prop_assert_eq!(alone, all);
            }
            buckets = coarser(&buckets, level);
        }
    }

    #[test]
    fn the_order_of_parts_does_not_matter(polls in any_polls(), cut in 0_usize..200) {
        let (early, late) = polls.split_at(cut.min(polls.len()));
        let rows = |parts: [&[Poll]; 2]| {
            let mut rows = std::collections::BTreeMap::new();
            for part in parts {
                for bucket in minutes_of(part, &KINDS) {
                    let number = Level::Minute.row_of(bucket.number);
                    let row = rows.entry(number).or_insert_with(|| RollupRow::new(Level::Minute, number, 1));
                    if let Some(entry) = bucket.columns[0] {
                        row.merge(0, bucket.number, &Rollup { sum: 0.0, ..entry });
                    }
                }
            }
            rows
        };
        let times: std::collections::BTreeSet<_> = polls.iter().map(|poll| poll.time).collect();
        // Two polls at the same microsecond have no order.
        prop_assume!(times.len() == polls.len());
        prop_assert_eq!(rows([early, late]), rows([late, early]));
    }

    #[test]
    fn damaged_bytes_are_told_and_no_harm(mut bytes in prop::collection::vec(any::<u8>(), 0..300), fix in any::<bool>()) {
        if fix && bytes.len() > 6 {
            let end = bytes.len() - 4;
            bytes[0] = 1;
            bytes[1] %= 9;
            let checksum = crc32c::crc32c(&bytes[..end]).to_le_bytes();
            bytes[end..].copy_from_slice(&checksum);
        }
        for level in Level::ALL {
            if let Ok(row) = RollupRow::decode(level, 1, &bytes) {
                prop_assert!(row.column(0).count() <= 60);
            }
            drop(RollupRow::decode_column((level, i64::MAX), &bytes, 7));
        }
    }
}

#[test]
fn an_hour_of_a_noisy_integer_takes_nine_bytes_a_minute_at_most() {
    let cell = |seed: i64| Cell::Value(Raw::Int(2_000 + seed * 7_919 % 41), Quality::Good);
    let polls: Vec<Poll> = (0..3_600_i64)
        .map(|second| Poll {
            time: Timestamp(second * 1_000_000 + second * 31 % 977),
            clock: ClockState::Synchronised,
            cells: (0..8).map(|column| cell(second * 13 + column)).collect(),
        })
        .collect();
    let mut row = RollupRow::new(Level::Minute, 0, 8);
    for bucket in minutes_of(&polls, &[]) {
        for (column, entry) in bucket.columns.iter().enumerate() {
            row.merge(column, bucket.number, &entry.unwrap());
        }
    }
    let bytes = row.encode().len();
    assert!(bytes <= 60 * 8 * 9, "{bytes} bytes for 480 entries");
}

#[test]
fn scaling_turns_extremes_round_where_the_scale_is_negative() {
    let mut rollup = Rollup::of(
        Timestamp(0),
        Cell::Value(Raw::Int(1), Quality::Good),
        RawKind::Int,
    )
    .unwrap();
    let three = Cell::Value(Raw::Int(3), Quality::Uncertain(Cause::OutOfRange));
    rollup.merge(&Rollup::of(Timestamp(1), three, RawKind::Int).unwrap());
    let column = Column {
        sensor: crate::id::SensorId(uuid::Uuid::nil()),
        raw: RawKind::Int,
        scale: -2.0,
        offset: 1.0,
    };
    let scaled = rollup.scaled(&column).unwrap();
    assert_eq!((scaled.min, scaled.max, scaled.mean), (-5.0, -1.0, -3.0));
    assert_eq!(scaled.worst, Quality::Uncertain(Cause::OutOfRange));
}

#[test]
fn a_poll_whose_time_is_unknown_is_in_no_minute() {
    let poll = |clock| Poll {
        time: Timestamp(90_000_000),
        clock,
        cells: vec![Cell::Value(Raw::Int(1), Quality::Good)],
    };
    let polls = [poll(ClockState::Untrusted), poll(ClockState::Corrected)];
    let buckets = minutes_of(&polls, &[]);
    assert_eq!(buckets.len(), 1);
    assert_eq!(buckets[0].columns[0].unwrap().count, 1);
}
