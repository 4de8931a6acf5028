//! Every decoder against random bytes and against valid bytes with errors in them: it never
//! panics and never takes more memory than PROTOCOL §2.3 says. A binary of its own, because the
//! counting allocator replaces the usual one.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic: that is how it fails"
)]

use proptest::prelude::*;
use proptest::sample::Index;
use protocol::block;
use protocol::claim::Claim;
use protocol::id::StreamId;
use protocol::limits::{BLOCK_BYTES_MAX, BLOCK_CELLS_MAX};
use protocol::reading::{Cell, Poll, Quality, Raw};
use protocol::time::{ClockState, Timestamp};
use protocol::wire::v1::Message;
use protocol::wire::{Frame, FrameReader, decode_catalog, decode_event, decode_schema};

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

/// The numbers of all messages and one that nobody knows.
const KINDS: [u16; 14] = [1, 2, 3, 4, 5, 6, 7, 16, 18, 32, 34, 48, 49, 900];

fn all(bytes: &[u8]) {
    let most = memory_max(bytes.len());
    for kind in KINDS {
        bounded(&format!("message {kind}"), bytes, most, |bytes| {
            message(kind, bytes);
        });
    }
    bounded("frames", bytes, most, frames);
    bounded("event", bytes, most, |bytes| drop(decode_event(bytes)));
    bounded("schema", bytes, most, |bytes| drop(decode_schema(bytes)));
    bounded("catalog", bytes, most, |bytes| drop(decode_catalog(bytes)));
    bounded("claim", bytes, most, |bytes| {
        if let Ok(text) = std::str::from_utf8(bytes) {
            drop(Claim::parse(text));
        }
    });
    blocks(bytes);
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
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

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
            all(&long);
        }
    }
    let full = sealed(1_024, 256);
    assert!(block::decode(&full).unwrap().polls.len() * 256 == BLOCK_CELLS_MAX);
    blocks(&full);
}

/// The counter counts: else all of the above would hold for nothing.
#[test]
fn the_measure_sees_what_is_taken() {
    let used = allocation_counter::measure(|| drop(vec![0_u8; 5_000])).bytes_max;
    assert!(used >= 5_000, "{used}");
}
