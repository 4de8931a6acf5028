//! Every decoder against random bytes and against valid bytes with errors in them: it never
//! panics and never takes more memory than PROTOCOL §2.3 says. A binary of its own, because the
//! counting allocator replaces the usual one. A few seconds; `make fuzz` tries for longer, other
//! bytes in every run.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic: that is how it fails"
)]

use proptest::prelude::*;
use proptest::sample::Index;
use protocol::block;
use protocol::claim::Claim;
use protocol::exchange;
use protocol::id::StreamId;
use protocol::limits::{BLOCK_BYTES_MAX, BLOCK_CELLS_MAX};
use protocol::post::Target;
use protocol::reading::{Cell, Poll, Quality, Raw};
use protocol::rollup::{Level, RollupRow};
use protocol::time::{ClockState, Timestamp};
use protocol::unit::Unit;
use protocol::view::parse_rfc3339;
use protocol::wire::v1::Message;
use protocol::wire::{
    Frame, FrameReader, decode_bundle, decode_catalog, decode_event, decode_schema,
};
use std::collections::BTreeSet;
use std::hint::black_box;
use std::path::Path;
use std::sync::OnceLock;

/// Memory at most, at any moment, while decoding `input` bytes (PROTOCOL §2.3). Sequences are
/// prepared by what they say of their length, but for no more than 1 MiB each.
fn memory_max(input: usize) -> u64 {
    let input = u64::try_from(input).unwrap();
    (2 << 20) + 32 * input
}

/// The same for a block (PROTOCOL §3.5).
const BLOCK_MEMORY_MAX: u64 = 6_500 << 10;

fn bounded(name: &str, input: &[u8], most: u64, decode: impl FnOnce(&[u8])) {
    let used = allocation_counter::measure(|| decode(input)).bytes_max;
    assert!(
        used <= most,
        "{name}: {used} bytes of memory for {} bytes",
        input.len()
    );
}

fn message(kind: u16, body: &[u8]) {
    let frame = Frame {
        kind,
        version: 1,
        body: body.to_vec(),
    };
    drop(Message::decode(&frame));
}

fn frames(bytes: &[u8]) {
    let mut reader = FrameReader::default();
    reader.push(bytes);
    while let Ok(Some(frame)) = reader.next_frame() {
        drop(Message::decode(&frame));
    }
}

/// A file's beginning, and the bytes behind it.
fn file(bytes: &[u8]) {
    for whole in [bytes.to_vec(), [b"cfe-file\x01", bytes].concat()] {
        let mut reader = exchange::Reader::default();
        if reader.push(&whole).is_ok() {
            while let Ok(Some(part)) = reader.next_part() {
                if let exchange::Part::Frame(frame) = part {
                    drop(Message::decode(&frame));
                }
            }
        }
        drop(reader.finish());
    }
}

/// All functions of the package that read what comes from outside, by file: held against the
/// source by `no_decoder_is_forgotten`.
const DECODERS: [&str; 13] = [
    "block/mod.rs decode",
    "block/mod.rs decode_column",
    "claim.rs parse",
    "post.rs parse",
    "rollup/row.rs decode",
    "rollup/row.rs decode_column",
    "unit.rs parse",
    "view.rs parse_rfc3339",
    "wire/events.rs decode_event",
    "wire/mod.rs decode_bundle",
    "wire/mod.rs decode_catalog",
    "wire/mod.rs decode_schema",
    "wire/v1.rs decode",
];

/// How often the random tests try; `make fuzz` says more.
fn cases() -> ProptestConfig {
    let cases = std::env::var("FUZZ_CASES").ok();
    ProptestConfig {
        cases: cases.and_then(|cases| cases.parse().ok()).unwrap_or(150),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// The numbers of all messages, from the table in the source, and one that nobody knows.
fn kinds() -> &'static [u16] {
    static KINDS: OnceLock<Vec<u16>> = OnceLock::new();
    KINDS.get_or_init(|| {
        let source = include_str!("../src/wire/v1.rs");
        let table = source.rsplit("numbered! {").next().unwrap();
        let table = table.split('}').next().unwrap();
        let numbers = table
            .split(';')
            .filter_map(|entry| entry.split_whitespace().next());
        let mut kinds: Vec<u16> = numbers.map(|number| number.parse().unwrap()).collect();
        assert!(
            kinds.len() >= 13,
            "the table of messages was not found: {kinds:?}"
        );
        kinds.push(900);
        kinds
    })
}

fn wire(bytes: &[u8]) {
    let most = memory_max(bytes.len());
    for kind in kinds() {
        bounded(&format!("message {kind}"), bytes, most, |bytes| {
            message(*kind, bytes);
        });
    }
    bounded("frames", bytes, most, frames);
    bounded("file", bytes, most, file);
    bounded("event", bytes, most, |bytes| drop(decode_event(bytes)));
    bounded("schema", bytes, most, |bytes| drop(decode_schema(bytes)));
    bounded("bundle", bytes, most, |bytes| drop(decode_bundle(bytes)));
    bounded("catalog", bytes, most, |bytes| drop(decode_catalog(bytes)));
    blocks(bytes);
}

fn all(bytes: &[u8]) {
    wire(bytes);
    let most = memory_max(bytes.len());
    bounded("claim", bytes, most, |bytes| {
        drop(Claim::parse(&String::from_utf8_lossy(bytes)));
    });
    bounded("address", bytes, most, |bytes| {
        drop(Target::parse(&String::from_utf8_lossy(bytes)));
    });
    bounded("time", bytes, most, |bytes| {
        black_box(parse_rfc3339(&String::from_utf8_lossy(bytes)));
    });
    bounded("unit", bytes, most, |bytes| {
        drop(Unit::parse(&String::from_utf8_lossy(bytes)));
    });
    for level in Level::ALL {
        bounded("rollup", bytes, most, |bytes| {
            drop(RollupRow::decode(level, 5, bytes));
            drop(RollupRow::decode_column((level, i64::MAX), bytes, 1));
        });
    }
}

fn blocks(bytes: &[u8]) {
    bounded("block header", bytes, 0, |bytes| drop(block::header(bytes)));
    bounded("block", bytes, BLOCK_MEMORY_MAX, |bytes| {
        drop(block::decode(bytes));
    });
    for column in [0, 3] {
        bounded("block column", bytes, BLOCK_MEMORY_MAX, |bytes| {
            drop(block::decode_column(bytes, column));
            drop(block::column_statistics(bytes, column));
        });
    }
    // Decoded, cut or joined, and encoded again.
    bounded("block slice", bytes, 2 * BLOCK_MEMORY_MAX, |bytes| {
        drop(block::slice(bytes, 2, 5));
    });
}

/// Bytes of a golden file: `name hex` per line.
fn golden(text: &str) -> Vec<Vec<u8>> {
    let hex = |line: &str| {
        let digits = line.rsplit(' ').next().unwrap().as_bytes();
        data_encoding::HEXLOWER.decode(digits).unwrap()
    };
    text.lines().map(hex).collect()
}

fn valid() -> Vec<Vec<u8>> {
    let mut all = golden(include_str!("../golden/messages_v1.hex"));
    all.extend(golden(include_str!("../golden/events_v1.hex")));
    all.extend(golden(include_str!("../golden/documents_v1.hex")));
    // The bodies of the messages, without length and head.
    for whole in golden(include_str!("../golden/messages_v1.hex")) {
        let mut reader = FrameReader::default();
        reader.push(&whole);
        all.push(reader.next_frame().unwrap().unwrap().body);
    }
    all
}

fn sealed(count: i64, columns: i64) -> Vec<u8> {
    let poll = |n: i64| Poll {
        time: Timestamp(n * 1_000_000),
        clock: ClockState::Synchronised,
        cells: (0..columns)
            .map(|column| match (n + column) % 7 {
                0 => Cell::Skipped,
                1 => Cell::Value(Raw::Float(1.5), Quality::Good),
                _ => Cell::Value(Raw::Int(n * column), Quality::Good),
            })
            .collect(),
    };
    let polls: Vec<Poll> = (0..count).map(poll).collect();
    block::encode(StreamId(1), 1, &polls).unwrap()
}

/// Some bytes changed, cut out or put in.
fn mutated(mut bytes: Vec<u8>, changes: &[(u8, Index, u8)]) -> Vec<u8> {
    for (what, at, value) in changes {
        if bytes.is_empty() {
            break;
        }
        let at = at.index(bytes.len());
        match what {
            0 => bytes[at] = *value,
            1 => bytes[at] ^= 1 << (value % 8),
            2 => bytes.truncate(at),
            3 => bytes.insert(at, *value),
            // A length that says as much as it can.
            _ => drop(bytes.splice(at..=at, [0xFF, 0xFF, 0xFF, 0xFF, 0x0F])),
        }
    }
    bytes
}

fn changes() -> impl Strategy<Value = Vec<(u8, Index, u8)>> {
    prop::collection::vec((0_u8..5, any::<Index>(), any::<u8>()), 1..5)
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn random_bytes_are_bounded(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        all(&bytes);
    }

    #[test]
    fn random_bytes_behind_a_valid_version_are_bounded(
        mut bytes in prop::collection::vec(prop_oneof![Just(0xFF_u8), 0_u8..4, any::<u8>()], 1..200),
    ) {
        bytes[0] = 1;
        all(&bytes);
    }

    #[test]
    fn valid_bytes_with_errors_are_bounded(which in any::<Index>(), changes in changes()) {
        let valid = valid();
        all(&mutated(valid[which.index(valid.len())].clone(), &changes));
    }

    /// With the checksum put right again, so that the error reaches the inside.
    #[test]
    fn blocks_with_errors_are_bounded(count in 1_i64..90, columns in 1_i64..9, changes in changes()) {
        let mut bytes = sealed(count, columns);
        bytes.truncate(bytes.len() - 4);
        let mut bytes = mutated(bytes, &changes);
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        blocks(&bytes);
    }

    /// The same of stored statistics.
    #[test]
    fn rollups_with_errors_are_bounded(columns in 0_usize..9, changes in changes()) {
        let mut bytes = RollupRow::new(Level::Hour, 5, columns).encode();
        bytes.truncate(bytes.len() - 4);
        let mut bytes = mutated(bytes, &changes);
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        all(&bytes);
    }
}

#[test]
fn a_length_without_its_bytes_prepares_at_most_a_bound() {
    // A list that says it holds 2^28 entries, at every place of every body.
    for whole in valid() {
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes.splice(at..=at, [0xFF, 0xFF, 0xFF, 0x7F]);
            all(&bytes);
        }
    }
}

#[test]
fn the_largest_input_is_bounded() {
    all(&vec![0_u8; BLOCK_BYTES_MAX]);
    // Lists of very many empty entries, at every place of a body where one may stand; just past
    // a power of two, where a list that grows takes the most.
    for whole in valid() {
        for at in 0..whole.len().min(60) {
            let mut long = vec![0_u8; 34_000];
            long[..at].copy_from_slice(&whole[..at]);
            long[at..at + 3].copy_from_slice(&[0x81, 0x80, 0x01]);
            wire(&long);
        }
    }
    let full = sealed(1_024, 256);
    assert!(block::decode(&full).unwrap().polls.len() * 256 == BLOCK_CELLS_MAX);
    blocks(&full);
}

/// The counter counts: else all of the above would hold for nothing.
#[test]
fn the_measure_sees_what_is_taken() {
    let used = allocation_counter::measure(|| drop(black_box(vec![0_u8; 5_000]))).bytes_max;
    assert!(used >= 5_000, "{used}");
}

/// Every `pub fn decode…` and `pub fn parse…` of the package stands in the list above.
#[test]
fn no_decoder_is_forgotten() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = BTreeSet::new();
    decoders_in(&source, "", &mut found);
    let known: BTreeSet<String> = DECODERS.into_iter().map(str::to_owned).collect();
    assert_eq!(found, known, "put it into DECODERS and call it in `all`");
    // What docs/promises.md prints of this file.
    println!(
        "measured: {} decoders and {} messages within their bounds of memory",
        found.len(),
        kinds().len() - 1
    );
}

fn decoders_in(folder: &Path, prefix: &str, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            decoders_in(&path, &format!("{prefix}{name}/"), found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let functions = text.lines().filter_map(|line| {
                let name = line.trim().strip_prefix("pub fn ")?;
                let name = name.split(['(', '<']).next()?;
                (name.starts_with("decode") || name.starts_with("parse")).then_some(name)
            });
            found.extend(functions.map(|function| format!("{prefix}{name} {function}")));
        }
    }
}
