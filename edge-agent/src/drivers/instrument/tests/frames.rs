//! Streams of frames, whole, damaged, cut and mixed with noise: what comes out is what went in or is told.

use super::super::checksum::{Checksum, Form, Sum};
use super::super::frame::{End, FRAME_BYTES_MAX, Frame, FrameError, Framer, Shape};
use proptest::prelude::*;

fn line(terminator: &[u8], checksum: Option<Checksum>) -> Shape {
    Shape {
        end: End::Terminator(terminator.to_vec()),
        checksum,
        starts: Vec::new(),
    }
}

fn nmea() -> Shape {
    line(
        b"\r\n",
        Some(Checksum {
            sum: Sum::Xor,
            form: Form::Hex,
            from: 1,
            mark: b"*".to_vec(),
            behind: false,
        }),
    )
}

/// STX … ETX BCC. Of contents, none is one bit from STX or ETX: a checksum of one byte lets one in 256
/// frames pass that are cut by that.
fn block_check() -> Shape {
    let shape = line(
        b"\x03",
        Some(Checksum {
            sum: Sum::Xor,
            form: Form::HighFirst,
            from: 1,
            mark: Vec::new(),
            behind: true,
        }),
    );
    Shape {
        starts: vec![b"\x02".to_vec()],
        ..shape
    }
}

/// Twelve bytes: two to begin with, eight of data, CRC.
fn binary() -> Shape {
    Shape {
        end: End::Length(12),
        checksum: Some(Checksum {
            sum: Sum::Crc16Modbus,
            form: Form::LowFirst,
            from: 0,
            mark: Vec::new(),
            behind: false,
        }),
        starts: vec![b"\xAA\x55".to_vec(), b"\xAA\x56".to_vec()],
    }
}

/// A frame on the line, made without the code under test but for the sums, which have tests of their own.
fn on_the_line(shape: &Shape, content: &[u8]) -> Vec<u8> {
    let mut bytes = content.to_vec();
    let checksum = shape.checksum.as_ref().unwrap();
    match (&shape.end, checksum.form) {
        (End::Terminator(_), Form::Hex) => {
            let sum = checksum.sum.of(&content[1..]);
            bytes.extend(format!("*{sum:02X}\r\n").bytes());
        }
        (End::Terminator(_), _) => {
            bytes.push(3);
            let sum = checksum.sum.of(&bytes[1..]);
            bytes.push(u8::try_from(sum).unwrap());
        }
        (End::Length(_), _) => bytes.extend(checksum.sum.of(content).to_le_bytes()),
    }
    bytes
}

/// Content of frames of each shape.
fn contents(shape: usize) -> BoxedStrategy<Vec<Vec<u8>>> {
    let one = match shape {
        0 => "\\$[A-Z]{5}(,[0-9.]{0,6}){1,8}"
            .prop_map(String::into_bytes)
            .boxed(),
        1 => "\x02[ !$-AD-~]{1,30}".prop_map(String::into_bytes).boxed(),
        _ => (0x55_u8..0x57, any::<[u8; 8]>())
            .prop_map(|(second, data)| [&[0xAA, second][..], &data].concat())
            .boxed(),
    };
    prop::collection::vec(one, 1..8).boxed()
}

fn shapes() -> [Shape; 3] {
    [nmea(), block_check(), binary()]
}

fn all(shape: &Shape, bytes: &[u8]) -> Vec<Result<Frame, FrameError>> {
    let mut framer = Framer::new(shape.clone());
    let found = bytes.iter().filter_map(|byte| {
        let found = framer.push(*byte);
        assert!(framer.begun().len() <= FRAME_BYTES_MAX);
        found
    });
    found.collect()
}

/// The good ones that begin as all do: the driver passes the others over.
fn good(found: Vec<Result<Frame, FrameError>>) -> Vec<Frame> {
    let good = found.into_iter().filter_map(Result::ok);
    good.filter(|frame| {
        frame
            .first()
            .is_some_and(|byte| b"$\x02\xAA".contains(byte))
    })
    .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_goes_in_comes_out(
        (shape, contents) in (0_usize..3).prop_flat_map(|shape| (Just(shape), contents(shape))),
    ) {
        let shape = &shapes()[shape];
        let stream: Vec<u8> = contents.iter().flat_map(|content| on_the_line(shape, content)).collect();
        let found: Result<Vec<Frame>, FrameError> = all(shape, &stream).into_iter().collect();
        prop_assert_eq!(found, Ok(contents));
    }

    /// A stream that is entered somewhere: what is whole comes out, what is cut does not.
    #[test]
    fn a_stream_that_is_entered_anywhere_gives_all_that_is_whole(
        (shape, contents) in (0_usize..3).prop_flat_map(|shape| (Just(shape), contents(shape))),
        cut in any::<prop::sample::Index>(),
    ) {
        let shape = &shapes()[shape];
        let pieces: Vec<Vec<u8>> = contents.iter().map(|content| on_the_line(shape, content)).collect();
        let cut = cut.index(pieces.concat().len());
        let mut begins = 0;
        let mut whole = Vec::new();
        let mut first_whole = None;
        for (piece, content) in pieces.iter().zip(&contents) {
            if begins >= cut {
                whole.push(content.clone());
                first_whole.get_or_insert(begins);
            }
            begins += piece.len();
        }
        let entered = &pieces.concat()[cut..];
        // Entered at a check byte that has the value of the terminator, the next frame's first byte
        // looks like the check byte of an end that just came: nobody who listens can know better.
        let looks_like_an_end = first_whole == Some(cut + 1) && entered.first() == Some(&3);
        prop_assume!(!looks_like_an_end);
        prop_assert_eq!(good(all(shape, entered)), whole);
    }

    /// Noise between binary frames costs none of them: they are found again by how they begin.
    #[test]
    fn noise_between_binary_frames_costs_none(
        contents in contents(2),
        noise in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..30), 8),
    ) {
        let mut stream = Vec::new();
        for (content, noise) in contents.iter().zip(&noise) {
            stream.extend(noise);
            stream.extend(on_the_line(&binary(), content));
        }
        // The last frame is pushed out of a false beginning before it.
        stream.extend([0; 24]);
        prop_assert_eq!(good(all(&binary(), &stream)), contents);
    }

    /// One bit turned anywhere: no frame comes out that was not sent, and no other frame is lost but the
    /// one that follows where the end itself was hit.
    #[test]
    fn one_bit_turned_makes_no_false_frame(
        (shape, contents) in (0_usize..3).prop_flat_map(|shape| (Just(shape), contents(shape))),
        hit in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        let shape = &shapes()[shape];
        let mut stream: Vec<u8> = contents.iter().flat_map(|content| on_the_line(shape, content)).collect();
        let hit = hit.index(stream.len());
        // The end of an NMEA sentence has no checksum: it is one of two, and the sum of both may be right.
        prop_assume!(!b"\r\n".contains(&stream[hit]) || shape.starts.len() == 2);
        stream[hit] ^= 1 << bit;
        stream.extend([0; 24]);
        let found = good(all(shape, &stream));
        prop_assert!(found.len() + 2 >= contents.len());
        for frame in found {
            prop_assert!(contents.contains(&frame), "{frame:?}");
        }
    }

    #[test]
    fn any_bytes_do_no_harm(
        bytes in prop::collection::vec(any::<u8>(), 0..4_000),
        length in 1_usize..40,
        starts in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..4), 0..3),
    ) {
        for shape in shapes().into_iter().chain([line(b"ab", None), Shape {
            end: End::Length(length), checksum: None, starts,
        }]) {
            for found in all(&shape, &bytes) {
                match found {
                    Ok(frame) => prop_assert!(frame.len() <= FRAME_BYTES_MAX),
                    Err(error) => prop_assert!(error.to_string().len() < 1_000),
                }
            }
        }
    }
}

#[test]
fn a_frame_without_end_is_told_once_and_the_next_one_is_whole() {
    let endless = [&[b'x'; 5_000][..], b"\r\n", b"good\r\n"].concat();
    let found = all(&line(b"\r\n", None), &endless);
    assert!(
        matches!(&found[0], Err(FrameError::NoEnd { frame }) if frame.len() == FRAME_BYTES_MAX)
    );
    assert_eq!(found[1..], [Ok(b"good".to_vec())]);
    let words = found[0].as_ref().unwrap_err().to_string();
    assert_eq!(
        words,
        format!(
            "no end of a frame within 1024 bytes: \"{}…\"",
            "x".repeat(48)
        )
    );
}

#[test]
fn the_terminator_may_stand_across_the_limit() {
    for before in FRAME_BYTES_MAX - 3..FRAME_BYTES_MAX + 3 {
        let stream = [&vec![b'x'; before][..], b"\r\n", b"good\r\n"].concat();
        let found = all(&line(b"\r\n", None), &stream);
        assert_eq!(found.len(), 2, "{before}");
        assert_eq!(found[1], Ok(b"good".to_vec()));
    }
}

#[test]
fn ends_of_lines_and_fill_bytes_between_frames_belong_to_none() {
    let both = |shape, stream: &[u8], frames: [&[u8]; 2]| {
        let found: Result<Vec<Frame>, FrameError> = all(&shape, stream).into_iter().collect();
        assert_eq!(found, Ok(frames.map(<[u8]>::to_vec).to_vec()));
    };
    let stream = b"\n\r\0\0one\r\n\r\n\ntwo\r\n\r";
    both(line(b"\r\n", None), stream, [b"one", b"two"]);
    both(line(b";", None), b";;a;;b;", [b"a", b"b"]);
}

#[test]
fn stx_begins_a_frame_also_within_one_and_one_without_end() {
    let whole = on_the_line(&block_check(), b"\x02AD");
    let cut = [&b"\x02A"[..], &whole].concat();
    let frame = b"\x02A".to_vec();
    let right = [Err(FrameError::Cut { frame }), Ok(b"\x02AD".to_vec())];
    assert_eq!(all(&block_check(), &cut), right);
    let endless = [&[b'x'; 3_000][..], &whole].concat();
    assert_eq!(all(&block_check(), &endless)[1..], right[1..]);
}

#[test]
fn what_is_wrong_with_a_checksum_is_told_with_the_bytes() {
    let told = |shape: &Shape, bytes: &[u8]| match all(shape, bytes).as_slice() {
        [Err(error)] => error.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        told(&nmea(), b"$WIMWV,214.8,R,0.1,K,A*29\r\n"),
        "the checksum of \"$WIMWV,214.8,R,0.1,K,A*29\" is \"29\" and must be \"28\""
    );
    assert_eq!(
        told(&nmea(), b"$WIMWV,1\r\n"),
        "no checksum in \"$WIMWV,1\""
    );
    assert_eq!(told(&nmea(), b"*\r\n"), "no checksum in \"*\"");
    assert_eq!(
        told(&block_check(), b"\x02AB\x03\x07"),
        "the checksum of \"\\x02AB\\x03\\x07\" is \"\\x07\" and must be \"\\0\""
    );
}
