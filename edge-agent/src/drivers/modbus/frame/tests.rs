//! Frames by hand and by chance: whole, in pieces, among noise, damaged. What goes in whole comes out
//! whole; what is damaged never comes out as something else.

use super::super::pdu::{Request, Response, Span};
use super::*;
use proptest::prelude::*;

const ALL: [Framing; 3] = [Framing::Mbap, Framing::Rtu, Framing::Ascii];

fn frames(reader: &mut Reader) -> Vec<Result<Frame, FrameError>> {
    std::iter::from_fn(|| reader.next_frame()).collect()
}

fn answer(unit: u8, words: Vec<u16>) -> Frame {
    let pdu = Response::Registers { function: 3, words }.encode();
    Frame { id: 0, unit, pdu }
}

#[test]
fn known_frames_by_hand() {
    let frame = |pdu: &[u8]| Frame {
        id: 0,
        unit: 0x11,
        pdu: pdu.to_vec(),
    };
    // Read three registers from 0x6B of unit 0x11, a frame known from many manuals.
    let read = frame(&[0x03, 0x00, 0x6B, 0x00, 0x03]);
    assert_eq!(
        encode(Framing::Rtu, &read),
        [0x11, 0x03, 0x00, 0x6B, 0x00, 0x03, 0x76, 0x87]
    );
    assert_eq!(encode(Framing::Ascii, &read), b":1103006B00037E\r\n");
    assert_eq!(
        encode(Framing::Mbap, &read),
        [0, 0, 0, 0, 0, 6, 0x11, 0x03, 0x00, 0x6B, 0x00, 0x03]
    );
}

#[test]
fn rtu_ends_a_frame_by_its_length_and_finds_the_next_behind_noise_and_foreign_frames() {
    let mut reader = Reader::new(Framing::Rtu, Side::Answers);
    let (one, two) = (answer(7, vec![1, 2]), answer(9, vec![3]));
    let mut bytes = vec![0x00, 0xFF, 0x42];
    bytes.extend(encode(Framing::Rtu, &one));
    bytes.extend(encode(Framing::Rtu, &two));
    reader.push(&bytes);
    let found: Vec<Frame> = frames(&mut reader).into_iter().flatten().collect();
    assert_eq!(found, [one.clone(), two]);
    // A beginning that promises more than comes holds up what follows until the line is silent.
    let mut bytes = vec![7, 3, 200];
    bytes.extend(encode(Framing::Rtu, &one));
    reader.push(&bytes);
    assert_eq!(frames(&mut reader), []);
    reader.silence();
    assert_eq!(frames(&mut reader), [Ok(one)]);
    assert_eq!(reader.waiting(), 0);
}

#[test]
fn a_wrong_checksum_is_told_once_and_the_next_frame_is_found() {
    let good = answer(7, vec![0x0304, 0x0506]);
    let mut bad = encode(Framing::Rtu, &good);
    bad[4] ^= 1;
    let mut reader = Reader::new(Framing::Rtu, Side::Answers);
    reader.push(&bad);
    reader.push(&encode(Framing::Rtu, &good));
    let mut found = frames(&mut reader);
    reader.silence();
    found.extend(frames(&mut reader));
    let told = FrameError::Checksum {
        unit: 7,
        function: 3,
        len: 9,
    };
    assert_eq!(found, [Err(told), Ok(good)]);
}

#[test]
fn a_unit_hears_requests_of_functions_that_it_does_not_know() {
    let mut reader = Reader::new(Framing::Rtu, Side::Requests);
    let odd = Frame {
        id: 0,
        unit: 3,
        pdu: vec![0x64, 1, 2, 3],
    };
    reader.push(&encode(Framing::Rtu, &odd));
    assert_eq!(frames(&mut reader), []);
    reader.silence();
    assert_eq!(frames(&mut reader), [Ok(odd)]);
}

#[test]
fn a_header_of_nonsense_ends_modbus_tcp() {
    for bytes in [
        &b"HTTP/1.1 400"[..],
        &[0, 1, 0, 0, 0, 1, 7],
        &[0, 1, 0, 0, 1, 0, 7],
    ] {
        let mut reader = Reader::new(Framing::Mbap, Side::Answers);
        reader.push(bytes);
        let error = reader.next_frame().unwrap().unwrap_err();
        assert!(error.is_fatal(), "{error}");
    }
}

#[test]
fn ascii_begins_anew_at_each_colon() {
    let mut reader = Reader::new(Framing::Ascii, Side::Answers);
    reader.push(b"noise:0103:01:1103006B00037E\r\n:1103006B00037F\r\n:11XX\r\n:\r\n");
    let found = frames(&mut reader);
    assert_eq!(found.len(), 4, "{found:?}");
    assert_eq!(found[0].as_ref().unwrap().unit, 0x11);
    assert!(matches!(
        found[1],
        Err(FrameError::Checksum { unit: 0x11, .. })
    ));
    assert!(matches!(found[2], Err(FrameError::Text(_))));
    assert!(matches!(found[3], Err(FrameError::Text(_))));
}

#[test]
fn every_request_ends_with_its_last_byte() {
    let span = Span { start: 5, count: 9 };
    let requests = [
        Request::ReadCoils(span),
        Request::ReadDiscreteInputs(span),
        Request::ReadHoldingRegisters(span),
        Request::ReadInputRegisters(span),
        Request::WriteCoil(1, true),
        Request::WriteRegister(1, 2),
        Request::WriteCoils(1, vec![true; 11]),
        Request::WriteRegisters(1, vec![7; 3]),
        Request::MaskWriteRegister {
            address: 1,
            and_mask: 2,
            or_mask: 3,
        },
        Request::ReadWriteRegisters {
            read: span,
            write_start: 1,
            values: vec![1, 2],
        },
        Request::ReportServerId,
        Request::ReadDeviceIdentification {
            level: 1,
            object: 0,
        },
    ];
    let mut reader = Reader::new(Framing::Rtu, Side::Requests);
    for request in requests {
        let frame = Frame {
            id: 0,
            unit: 3,
            pdu: request.encode(),
        };
        reader.push(&encode(Framing::Rtu, &frame));
        assert_eq!(reader.next_frame(), Some(Ok(frame)), "{request:?}");
        assert_eq!(reader.waiting(), 0);
    }
}

#[test]
fn every_answer_ends_with_its_last_byte_and_not_before() {
    let span = Span { start: 5, count: 9 };
    let found = super::super::pdu::Identification {
        level: 1,
        conformity: 0x81,
        more: None,
        objects: vec![
            (0, b"maker".to_vec()),
            (1, Vec::new()),
            (2, b"1.0".to_vec()),
        ],
    };
    let answers = [
        Response::Bits {
            function: 1,
            bits: vec![true; 16],
        },
        Response::Registers {
            function: 4,
            words: vec![1, 2, 3],
        },
        Response::Registers {
            function: 23,
            words: vec![1],
        },
        Response::WroteOne {
            function: 5,
            address: 1,
            value: 0xFF00,
        },
        Response::WroteMany { function: 16, span },
        Response::MaskWrote {
            address: 1,
            and_mask: 2,
            or_mask: 3,
        },
        Response::ServerId(vec![1, 0xFF, 3]),
        Response::DeviceIdentification(found),
        Response::Refused {
            function: 3,
            code: 2.into(),
        },
    ];
    let mut reader = Reader::new(Framing::Rtu, Side::Answers);
    for answer in answers {
        let frame = Frame {
            id: 0,
            unit: 3,
            pdu: answer.encode(),
        };
        let bytes = encode(Framing::Rtu, &frame);
        for byte in &bytes[..bytes.len() - 1] {
            reader.push(&[*byte]);
            assert_eq!(reader.next_frame(), None, "{answer:?}");
        }
        reader.push(&bytes[bytes.len() - 1..]);
        assert_eq!(reader.next_frame(), Some(Ok(frame)), "{answer:?}");
    }
}

proptest! {
    #[test]
    fn frames_in_whatever_pieces_come_out_whole(
        frames in prop::collection::vec(
            (any::<u16>(), any::<u8>(), prop::collection::vec(any::<u16>(), 1..=125)), 1..6),
        cuts in prop::collection::vec(1_usize..300, 1..40),
    ) {
        for framing in ALL {
            let mut expected: Vec<Frame> = frames
                .iter()
                .map(|(id, unit, words)| Frame { id: *id, ..answer(*unit, words.clone()) })
                .collect();
            let bytes: Vec<u8> = expected.iter().flat_map(|f| encode(framing, f)).collect();
            let mut reader = Reader::new(framing, Side::Answers);
            let (mut rest, mut found, mut cut) = (bytes.as_slice(), Vec::new(), cuts.iter().cycle());
            while !rest.is_empty() {
                let (piece, tail) = rest.split_at((*cut.next().unwrap()).min(rest.len()));
                reader.push(piece);
                while let Some(frame) = reader.next_frame() {
                    found.push(frame.unwrap());
                }
                rest = tail;
            }
            if framing != Framing::Mbap {
                for frame in &mut expected {
                    frame.id = 0;
                }
            }
            prop_assert_eq!(found, expected);
            prop_assert_eq!(reader.waiting(), 0);
        }
    }

    /// One changed bit in an RTU or ASCII frame: the frame never comes out changed.
    #[test]
    fn one_wrong_bit_is_always_noticed(
        words in prop::collection::vec(0_u16..0x0700, 1..=125),
        at in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        let frame = answer(7, words);
        for framing in [Framing::Rtu, Framing::Ascii] {
            let mut bytes = encode(framing, &frame);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let mut reader = Reader::new(framing, Side::Answers);
            reader.push(&bytes);
            let mut found = Vec::new();
            for _ in 0..2 {
                while let Some(next) = reader.next_frame() {
                    found.extend(next.ok());
                }
                reader.silence();
            }
            // What does not change the meaning of a text may pass: small letters, line ends. Behind a
            // broken RTU frame, one in 65,536 of its tails passes for a frame; never one of this
            // unit, or the client would take it.
            let wrong = |f: &&Frame| f.unit == 7 && (framing == Framing::Rtu || **f != frame);
            prop_assert_eq!(found.iter().find(wrong), None);
        }
    }

    /// Whatever comes: no panic, nothing endless, and the buffers stay small.
    #[test]
    fn random_bytes_are_borne(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..600), 0..12),
        silences: u16,
    ) {
        for (framing, side) in ALL.into_iter().flat_map(|f| [(f, Side::Answers), (f, Side::Requests)]) {
            let mut reader = Reader::new(framing, side);
            for (at, piece) in pieces.iter().enumerate() {
                reader.push(piece);
                if silences & (1 << at) != 0 {
                    reader.silence();
                }
                for _ in 0..5_000 {
                    match reader.next_frame() {
                        Some(Err(error)) if error.is_fatal() => break,
                        Some(_) => {}
                        None => break,
                    }
                }
                prop_assert!(reader.waiting() <= 4_096);
            }
        }
    }
}
