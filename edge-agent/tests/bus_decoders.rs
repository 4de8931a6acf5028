//! Every decoder of a bus against random bytes and against valid frames with errors in them: it never
//! panics, never goes on for ever and never takes more memory than a few frames. A binary of its
//! own, because the counting allocator replaces the usual one. A few seconds; `make fuzz` tries for
//! longer, other bytes in every run.
#![cfg(feature = "driver-modbus")]
#![expect(clippy::unwrap_used, reason = "a test may panic: that is how it fails")]

use edge_agent::drivers::modbus::client::{Client, Timing};
use edge_agent::drivers::modbus::frame::{Frame, Framing, Reader, Side, encode};
use edge_agent::drivers::modbus::link::Target;
use edge_agent::drivers::modbus::pdu::{Identification, Request, Response, Span};
use proptest::prelude::*;
use proptest::sample::Index;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Memory at most, at any moment: the buffers of a reader hold 4 KiB, a message decodes into at most
/// 2,024 bits, which take a byte each, and one piece of the input is copied once.
fn memory_max(input: usize) -> u64 {
    u64::try_from(16_384 + 8 * input).unwrap()
}

fn bounded(name: &str, input: &[u8], decode: impl FnOnce(&[u8])) {
    let used = allocation_counter::measure(|| decode(input)).bytes_max;
    assert!(
        used <= memory_max(input.len()),
        "{name}: {used} bytes of memory for {} bytes",
        input.len()
    );
}

const FRAMINGS: [Framing; 3] = [Framing::Mbap, Framing::Rtu, Framing::Ascii];

/// All frames of a stream that comes in pieces.
fn frames(framing: Framing, side: Side, bytes: &[u8], piece: usize) {
    let mut reader = Reader::new(framing, side);
    for (at, piece) in bytes.chunks(piece.max(1)).enumerate() {
        reader.push(piece);
        if at % 3 == 2 {
            reader.silence();
        }
        // Each turn takes bytes out, or is the last.
        for turn in 0.. {
            assert!(turn <= 8_192, "{framing:?} never ends");
            match reader.next_frame() {
                Some(Err(error)) if error.is_fatal() => return,
                Some(Ok(frame)) => messages(&frame.pdu),
                Some(Err(_)) => {}
                None => break,
            }
        }
        assert!(reader.waiting() <= 4_096);
    }
}

fn messages(pdu: &[u8]) {
    drop(black_box(Request::decode(pdu)));
    if let Ok(response) = Response::decode(pdu) {
        for request in requests() {
            drop(black_box(response.clone().matching(&request)));
        }
    }
}

/// A client that waits while all this comes.
fn conversation(framing: Framing, bytes: &[u8], piece: usize) {
    let timing = Timing {
        timeout: Duration::from_millis(100),
        late_window: Duration::from_millis(100),
        character_time: Duration::from_micros(100),
    };
    let mut client = Client::new(framing, timing);
    let mut now = Instant::now();
    for (piece, request) in bytes.chunks(piece.max(1)).zip(requests().iter().cycle()) {
        client.begin(request, 1, now);
        if client.receive(piece, now).is_none() {
            for turn in 0.. {
                assert!(turn <= 8, "{framing:?} never ends");
                let Some(at) = client.wake_at() else { break };
                now = now.max(at);
                if client.expire(now).is_some() {
                    break;
                }
            }
        }
        client.stray(piece);
        drop(client.take_noticed());
        black_box(client.doubts_at(now).sync_request(1, request));
    }
}

fn all(bytes: &[u8], piece: usize) {
    bounded("messages", bytes, messages);
    for framing in FRAMINGS {
        for side in [Side::Answers, Side::Requests] {
            bounded("frames", bytes, |bytes| frames(framing, side, bytes, piece));
        }
        bounded("client", bytes, |bytes| conversation(framing, bytes, piece));
    }
}

fn requests() -> [Request; 6] {
    let span = Span { start: 7, count: 9 };
    [
        Request::ReadCoils(span),
        Request::ReadHoldingRegisters(span),
        Request::WriteRegister(7, 8),
        Request::WriteRegisters(7, vec![1, 2, 3]),
        Request::ReportServerId,
        Request::ReadDeviceIdentification {
            level: 1,
            object: 0,
        },
    ]
}

/// Frames that are right.
fn valid() -> Vec<Vec<u8>> {
    let responses = [
        Response::Bits {
            function: 1,
            bits: vec![true; 16],
        },
        Response::Registers {
            function: 3,
            words: (0..9).collect(),
        },
        Response::ServerId(b"pump".to_vec()),
        Response::DeviceIdentification(Identification {
            level: 1,
            conformity: 0x81,
            more: Some(3),
            objects: vec![(0, b"maker".to_vec()), (1, b"type".to_vec())],
        }),
        Response::Refused {
            function: 3,
            code: 2.into(),
        },
    ];
    let messages = responses.iter().map(Response::encode);
    let messages: Vec<Vec<u8>> = messages
        .chain(requests().iter().map(Request::encode))
        .collect();
    let framed = |framing| {
        messages.iter().map(move |pdu| {
            let frame = Frame {
                id: 0,
                unit: 1,
                pdu: pdu.clone(),
            };
            encode(framing, &frame)
        })
    };
    let frames: Vec<Vec<u8>> = FRAMINGS.into_iter().flat_map(framed).collect();
    frames.into_iter().chain(messages.clone()).collect()
}

fn cases() -> ProptestConfig {
    let cases = std::env::var("FUZZ_CASES").ok();
    ProptestConfig {
        cases: cases.and_then(|cases| cases.parse().ok()).unwrap_or(300),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn random_bytes_are_bounded(
        bytes in prop::collection::vec(any::<u8>(), 0..1_500),
        piece in 1_usize..700,
    ) {
        all(&bytes, piece);
    }

    /// Bytes that mostly look like something: function codes, counts, colons.
    #[test]
    fn bytes_that_look_like_frames_are_bounded(
        bytes in prop::collection::vec(
            prop_oneof![0_u8..24, Just(b':'), Just(b'\n'), b'0'..=b'9', Just(0x2B), Just(0x0E), any::<u8>()],
            0..600),
        piece in 1_usize..300,
    ) {
        all(&bytes, piece);
    }

    /// Cut, doubled, changed and exchanged frames behind one another.
    #[test]
    fn valid_frames_with_errors_are_bounded(
        which in prop::collection::vec(any::<Index>(), 1..12),
        changes in prop::collection::vec((0_u8..4, any::<Index>(), any::<u8>()), 0..8),
        piece in 1_usize..64,
    ) {
        let valid = valid();
        let mut bytes: Vec<u8> = which.iter().flat_map(|at| valid[at.index(valid.len())].clone()).collect();
        for (what, at, byte) in changes {
            let at = at.index(bytes.len());
            match what {
                0 => bytes[at] = byte,
                1 => bytes.truncate(at + 1),
                2 => bytes.insert(at, byte),
                _ => bytes[at] ^= 1 << (byte % 8),
            }
        }
        all(&bytes, piece);
    }

    #[test]
    fn targets_are_read_or_refused_with_words(
        text in "(tcp|tls|serial|rtu\\+tcp|ascii)?(://)?[a-z0-9./:\\[\\]]{0,20}(\\?[a-z]{0,8}=[0-9A-Za-z/]{0,8})?(&[a-z]{0,6}=?)?",
    ) {
        match Target::parse(&text) {
            Ok(target) => prop_assert!(!target.link.place().to_string().is_empty()),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
}
