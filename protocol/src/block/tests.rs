//! Tests of the block as a whole: round trips, hostile bytes, golden bytes. Never of a size: those
//! stand in `plant`.

mod plant;

use super::*;
use crate::reading::{Cause, Quality, Raw};
use proptest::prelude::*;
use proptest::sample::{Index, select};

const STREAM: StreamId = StreamId(7);

fn cause() -> impl Strategy<Value = Cause> {
    select(Cause::ALL.to_vec())
}

fn raw() -> impl Strategy<Value = Raw> {
    prop_oneof![
        4 => (200_i64..260).prop_map(Raw::Int),
        1 => any::<i64>().prop_map(Raw::Int),
        1 => select(vec![i64::MIN, i64::MAX, 0, -1]).prop_map(Raw::Int),
        1 => (-500_i32..500).prop_map(|tenths| Raw::Float(f64::from(tenths) / 10.0)),
        1 => any::<f32>().prop_map(|value| Raw::Float(f64::from(value))),
        // Every bit pattern: NaN payloads, infinities, subnormals, minus zero.
        1 => any::<u64>().prop_map(|bits| Raw::Float(f64::from_bits(bits))),
        1 => select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0]).prop_map(Raw::Float),
    ]
}

fn cell() -> impl Strategy<Value = Cell> {
    prop_oneof![
        8 => raw().prop_map(|raw| Cell::Value(raw, Quality::Good)),
        1 => (raw(), cause()).prop_map(|(raw, cause)| Cell::Value(raw, Quality::Uncertain(cause))),
        1 => (raw(), cause()).prop_map(|(raw, cause)| Cell::Value(raw, Quality::Bad(cause))),
        1 => cause().prop_map(Cell::Missing),
        1 => Just(Cell::Skipped),
    ]
}

/// Cells as columns mostly are: of one kind and good.
fn tame_cell() -> impl Strategy<Value = Cell> {
    prop_oneof![
        30 => (0_i64..900).prop_map(|value| Cell::Value(Raw::Int(value), Quality::Good)),
        1 => cause().prop_map(Cell::Missing),
    ]
}

fn poll(columns: usize) -> impl Strategy<Value = Poll> {
    let step = prop_oneof![8 => 999_000_i64..1_001_000, 1 => -9_000_000_i64..0, 1 => any::<i64>()];
    let clock = select(vec![
        ClockState::Synchronised,
        ClockState::Holdover,
        ClockState::Untrusted,
    ]);
    let cells = prop_oneof![
        prop::collection::vec(cell(), columns),
        prop::collection::vec(tame_cell(), columns),
    ];
    // The step stands in for the time until the polls are put in order.
    (step, clock, cells).prop_map(|(step, clock, cells)| Poll {
        time: Timestamp(step),
        clock,
        cells,
    })
}

fn polls() -> impl Strategy<Value = Vec<Poll>> {
    let shape = prop_oneof![(1_usize..6, 1_usize..12), (1_usize..4, 9_usize..90)];
    let polls = shape.prop_flat_map(|(columns, count)| prop::collection::vec(poll(columns), count));
    polls.prop_map(|mut polls| {
        let mut time = 1_790_000_000_000_000_i64;
        for poll in &mut polls {
            time = time.wrapping_add(poll.time.0);
            poll.time = Timestamp(time);
        }
        polls
    })
}

fn both_layouts(first_seq: u64, polls: &[Poll]) -> Vec<Vec<u8>> {
    let header = describe(STREAM, first_seq, polls).unwrap();
    let mut blocks = vec![finish(
        &header,
        LAYOUT_COLUMNAR,
        &columnar::encode(&header, polls),
    )];
    if polls.len() <= BLOCK_SMALL_POLLS_MAX {
        blocks.push(finish(
            &header,
            LAYOUT_SMALL,
            &small::encode(&header, polls),
        ));
    }
    blocks
}

/// Calls every reader; the results do not matter, only that there are some.
fn read_all_ways(bytes: &[u8]) {
    drop(header(bytes));
    drop(decode(bytes));
    drop(decode_column(bytes, 0));
    drop(column_statistics(bytes, 0));
    drop(slice(bytes, 0, u64::MAX));
    drop(join(&[bytes.to_vec(), bytes.to_vec()]));
}

fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    let checksum = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_block_comes_back(polls in polls(), first_seq in any::<u64>()) {
        prop_assume!(first_seq.checked_add(polls.len() as u64).is_some());
        let chosen = encode(STREAM, first_seq, &polls).unwrap();
        let mut reader = ColumnReader::default();
        for bytes in both_layouts(first_seq, &polls).into_iter().chain([chosen]) {
            let block = decode(&bytes).unwrap();
            prop_assert_eq!(&block.polls, &polls);
            prop_assert_eq!(header(&bytes).unwrap(), block.header);
            prop_assert_eq!(block.header.last_seq(), first_seq + polls.len() as u64 - 1);
            prop_assert_eq!(block.header.last_time, polls.last().unwrap().time);
            for column in 0..polls[0].cells.len() {
                let expected: Vec<_> =
                    polls.iter().map(|poll| (poll.time, poll.clock, poll.cells[column])).collect();
                let statistics = ColumnStatistics::of(expected.iter().map(|(_, _, cell)| *cell));
                prop_assert_eq!(&decode_column(&bytes, column).unwrap(), &expected);
                // A reader that has read something else, or failed, before.
                prop_assert_eq!(reader.read(&bytes, column).unwrap(), block.header);
                prop_assert_eq!(reader.cells().collect::<Vec<_>>(), expected);
                if column % 2 == 1 {
                    prop_assert!(reader.read(&bytes[1..], column).is_err());
                    prop_assert_eq!(reader.cells().len(), 0);
                }
                prop_assert_eq!(column_statistics(&bytes, column).unwrap(), statistics);
            }
            let beyond = polls[0].cells.len();
            let refused = matches!(decode_column(&bytes, beyond), Err(BlockError::NoSuchColumn { .. }));
            prop_assert!(refused);
        }
    }

    #[test]
    fn slices_hold_what_they_should_and_join_again(polls in polls(), from in 0_u64..90, len in 0_u64..90) {
        let bytes = encode(STREAM, 10, &polls).unwrap();
        let last = 10 + polls.len() as u64 - 1;
        prop_assert_eq!(&slice(&bytes, 0, u64::MAX).unwrap(), &bytes);
        match slice(&bytes, from, from + len) {
            Err(BlockError::OutsideBlock { .. }) => prop_assert!(from > last || from + len < 10),
            Err(error) => prop_assert!(false, "{}", error),
            Ok(part) => {
                let block = decode(&part).unwrap();
                prop_assert_eq!(block.header.first_seq, from.max(10));
                prop_assert_eq!(block.header.last_seq(), (from + len).min(last));
                let skip = (block.header.first_seq - 10) as usize;
                prop_assert_eq!(&block.polls[..], &polls[skip..skip + block.polls.len()]);
            }
        }
        if polls.len() > 1 {
            let cut = 10 + from % (polls.len() as u64 - 1);
            let parts = [slice(&bytes, 10, cut).unwrap(), slice(&bytes, cut + 1, last).unwrap()];
            prop_assert_eq!(join(&parts).unwrap(), bytes);
            let swapped = [parts[1].clone(), parts[0].clone()];
            let refused = matches!(join(&swapped), Err(BlockError::NotAdjacent { .. }));
            prop_assert!(refused);
        }
    }

    #[test]
    fn a_flipped_bit_is_noticed(polls in polls(), at in any::<Index>(), bit in 0_u8..8) {
        for mut bytes in both_layouts(3, &polls) {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(decode(&bytes).is_err());
            prop_assert!(decode_column(&bytes, 0).is_err());
            read_all_ways(&bytes);
        }
    }

    #[test]
    fn a_block_cut_off_or_too_long_is_refused(polls in polls(), at in any::<Index>()) {
        for mut bytes in both_layouts(3, &polls) {
            let at = at.index(bytes.len());
            prop_assert!(decode(&bytes[..at]).is_err());
            bytes.push(0);
            prop_assert!(decode(&bytes).is_err());
        }
    }

    /// The checksum does not keep a hostile writer out: behind it, too, nothing may panic.
    #[test]
    fn wrong_bytes_under_a_right_checksum_never_panic(
        polls in polls(),
        edits in prop::collection::vec((any::<Index>(), any::<u8>()), 1..6),
    ) {
        for mut bytes in both_layouts(3, &polls) {
            bytes.truncate(bytes.len() - CHECKSUM_BYTES);
            for (at, value) in &edits {
                let at = at.index(bytes.len());
                bytes[at] = *value;
            }
            let bytes = with_checksum(bytes);
            read_all_ways(&bytes);
            if let Ok(block) = decode(&bytes) {
                prop_assert_eq!(block.polls.len(), block.header.count as usize);
                prop_assert!(block.polls.iter().all(|p| p.cells.len() == block.header.columns as usize));
            }
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), layout in 0_u8..3) {
        read_all_ways(&bytes);
        let mut framed = vec![VERSION, layout];
        framed.extend(bytes);
        read_all_ways(&with_checksum(framed));
    }
}

fn int(value: i64) -> Cell {
    Cell::Value(Raw::Int(value), Quality::Good)
}

fn float(value: f64) -> Cell {
    Cell::Value(Raw::Float(value), Quality::Good)
}

fn poll_of(time: i64, cells: Vec<Cell>) -> Poll {
    Poll {
        time: Timestamp(time),
        clock: ClockState::Synchronised,
        cells,
    }
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let one = |columns: usize| poll_of(0, vec![int(1); columns]);
    assert_eq!(encode(STREAM, 0, &[]), Err(BlockError::Empty));
    assert_eq!(encode(STREAM, 0, &[one(0)]), Err(BlockError::Empty));
    assert_eq!(
        encode(STREAM, 0, &vec![one(1); 1_025]),
        Err(BlockError::TooManyPolls { polls: 1_025 })
    );
    assert_eq!(
        encode(STREAM, 0, &[one(257)]),
        Err(BlockError::TooManyColumns { columns: 257 })
    );
    assert_eq!(
        encode(STREAM, 5, &[one(2), one(3)]),
        Err(BlockError::DifferentColumns {
            seq: 6,
            columns: 3,
            expected: 2
        })
    );
    assert_eq!(
        encode(STREAM, u64::MAX, &[one(1), one(1)]),
        Err(BlockError::SequenceEnd {
            first_seq: u64::MAX,
            count: 2
        })
    );
    assert!(encode(STREAM, u64::MAX, &[one(1)]).is_ok());
    assert_eq!(join(&[]), Err(BlockError::Empty));
    let full = encode(STREAM, 0, &vec![one(1); 1_024]).unwrap();
    let next = encode(STREAM, 1_024, &[one(1)]).unwrap();
    assert_eq!(
        join(&[full, next]),
        Err(BlockError::TooManyPolls { polls: 1_025 })
    );
    let mut newer = encode(STREAM, 0, &[one(1)]).unwrap();
    newer[0] = 2;
    assert_eq!(
        decode(&newer),
        Err(BlockError::UnknownVersion { version: 2 })
    );
    let mut noise = plant::Noise(1);
    let floats = |noise: &mut plant::Noise| {
        (0..256)
            .map(|_| float(f64::from_bits(noise.bits())))
            .collect()
    };
    let wide: Vec<Poll> = (0..600)
        .map(|time| poll_of(time, floats(&mut noise)))
        .collect();
    assert!(matches!(
        encode(STREAM, 0, &wide),
        Err(BlockError::TooLong { .. })
    ));
}

/// The stated bound on what a decoder allocates: `BLOCK_CELLS_MAX` cells and what a hostile
/// header can claim stays below it.
#[test]
fn a_short_block_cannot_claim_many_cells() {
    assert!(size_of::<Cell>() <= 24);
    let claim = |layout: u8, count: u64, columns: u64| {
        let mut bytes = vec![VERSION, layout, 1, 1];
        put_varint(&mut bytes, count);
        put_varint(&mut bytes, columns);
        bytes.extend([0, 0]);
        bytes.extend([0, 0].repeat(4));
        decode(&with_checksum(bytes))
    };
    let limits = Err(malformed("number of polls outside the limits"));
    assert_eq!(claim(LAYOUT_SMALL, 65, 256), limits);
    assert_eq!(claim(LAYOUT_COLUMNAR, 1_025, 1), limits);
    assert_eq!(
        claim(LAYOUT_COLUMNAR, 1, 257),
        Err(malformed("number of columns outside the limits"))
    );
    // Each column of the columnar layout needs a section before anything is allocated for it.
    assert!(claim(LAYOUT_COLUMNAR, 1_024, 256).is_err());
}

#[test]
fn a_wrong_statistic_is_noticed() {
    let polls: Vec<Poll> = (0..100)
        .map(|i| poll_of(i * 1_000_000, vec![int(i * i * 7 % 177)]))
        .collect();
    let header = describe(STREAM, 1, &polls).unwrap();
    let honest = ColumnStatistics::of(polls.iter().map(|poll| poll.cells[0])).unwrap();
    let Raw::Int(max) = honest.max else {
        panic!("an integer column")
    };
    let put = |value: ColumnStatistics| {
        let mut bytes = Vec::new();
        statistics::put(&mut bytes, Some(value));
        bytes
    };
    let wrong = put(ColumnStatistics {
        max: Raw::Int(max - 1),
        ..honest
    });
    let honest = put(honest);
    assert_eq!(
        honest.len(),
        wrong.len(),
        "the test needs statistics of one length"
    );
    let mut body = columnar::encode(&header, &polls);
    let at = body
        .windows(honest.len())
        .position(|window| window == honest)
        .unwrap();
    body.splice(at..at + wrong.len(), wrong);
    let bytes = finish(&header, LAYOUT_COLUMNAR, &body);
    assert_eq!(
        decode(&bytes),
        Err(malformed("statistics differ from the values"))
    );
}

/// Polls with a column for every codec, for the golden blocks. Only whole-number arithmetic.
fn golden_polls(count: i64) -> Vec<Poll> {
    let poll = |i: i64| {
        let wave = i * 37 % 23;
        let cells = vec![
            int(215 + wave % 4),
            int(i / 20 % 2),
            int(8_000_000 + i * 41 + wave),
            float((213 + wave) as f64 / 10.0),
            float(f64::from((wave as f32) / 7.0)),
            float(f64::from((213 + wave) as f32 / 10.0)),
            int(i * i * 40),
            if i % 9 == 4 {
                Cell::Missing(Cause::NoAnswer)
            } else {
                int(i64::MAX - wave)
            },
            if i % 2 == 1 {
                Cell::Skipped
            } else {
                int(-wave)
            },
            if i % 5 == 0 {
                Cell::Value(Raw::Float(f64::NAN), Quality::Uncertain(Cause::OutOfRange))
            } else {
                int(i)
            },
        ];
        let mut poll = poll_of(1_790_000_000_000_000 + i * 1_000_000 + wave * 100, cells);
        poll.clock = if i == 0 {
            ClockState::Holdover
        } else {
            ClockState::Synchronised
        };
        poll
    };
    (0..count).map(poll).collect()
}

fn to_hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap();
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// Blocks that were stored must stay readable for ever: these bytes are never written anew.
#[test]
fn golden_blocks_are_still_read() {
    let small = include_str!("../../golden/block_v1_small.hex");
    let columnar = include_str!("../../golden/block_v1_columnar.hex");
    for (text, layout, count) in [(small, LAYOUT_SMALL, 3), (columnar, LAYOUT_COLUMNAR, 130)] {
        let bytes = from_hex(text);
        let polls = golden_polls(count);
        let ours = to_hex(&encode(STREAM, 1_000, &polls).unwrap());
        let block = decode(&bytes).unwrap_or_else(|error| panic!("{error}; written today: {ours}"));
        assert_eq!(block.polls, polls);
        assert_eq!(
            (block.header.stream, block.header.first_seq, bytes[1]),
            (STREAM, 1_000, layout)
        );
    }
}
